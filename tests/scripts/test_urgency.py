"""A test that leaves its process less urgent fails, and a person may change the urgency of a whole run."""

from __future__ import annotations

import os

import pytest

from tests.conftest import is_as_urgent


@pytest.mark.parametrize(
    ("own", "parent", "passes"),
    [(0, 0, True), (5, 0, False), (8, 8, True), (0, 8, True), (-7, 0, True)],
    ids=[
        "nothing has changed",
        "the test made it less urgent",
        "somebody made the run less urgent",
        "somebody made its parent less urgent",
        "somebody made this process alone more urgent",
    ],
)
def test_only_a_test_that_makes_its_own_process_less_urgent_fails(
    own: int, parent: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {0: own, os.getppid(): parent}
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpriority", lambda _which, pid: now[pid])
        found = is_as_urgent(0)
    assert found == passes
