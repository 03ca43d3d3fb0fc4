"""Divides tests between `make test` and the targets that run tests at length (tests/skips.py).

`make test` keeps a share of each group that takes long. For example, of forty drawn disturbances it tries every third.
The share is the same each time, so that a failure does not depend on the day.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

__all__ = ["LONG", "one_in", "only"]

LONG = pytest.mark.at_length("make test-long")
"""For a test that takes seconds of a processor, if other tests cover its parts."""


def one_in(step: int, cases: Iterable[object]) -> list[object]:
    """Returns the cases as parameters: `make test` runs the first of each `step`, `make test-long` runs the others."""
    return [case if number % step == 0 else pytest.param(case, marks=LONG) for number, case in enumerate(cases)]


def only(kept: Iterable[object], cases: Iterable[object]) -> list[object]:
    """Returns the cases as parameters: `make test` runs those that are `kept`, `make test-long` runs the others."""
    chosen = list(kept)
    return [case if case in chosen else pytest.param(case, marks=LONG) for case in cases]
