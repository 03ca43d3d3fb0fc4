"""Every parser on its examples, on damaged ones, and on everything fuzzing ever found; and a short fuzzing itself."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.run import fuzz, installed
from tests.fuzz.targets import FOUND, TARGETS
from tests.lengths import LONG

DAMAGED = 40
"""Damaged copies of each example."""


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_an_error_of_ours_comes_of(name: str) -> None:
    target, drawn = TARGETS[name], random.Random(name)
    examples = [*target.seeds(), *(path.read_bytes() for path in sorted(FOUND.glob(f"{name}-*")))]
    assert examples
    for example in examples:
        target(example)
        for _ in range(max(1, DAMAGED // len(examples))):
            damaged = bytearray(example)
            for _ in range(drawn.choice([1, 1, 2, 8])):
                at = drawn.randrange(len(damaged) + 1)
                damaged[at : at + drawn.randrange(3)] = drawn.randbytes(drawn.randrange(3))
            target(bytes(damaged))


def test_what_was_found_belongs_to_a_parser() -> None:
    names = set(TARGETS)
    assert all(any(path.name.startswith(f"{name}-") for name in names) for path in FOUND.glob("*-*"))


@LONG
@pytest.mark.skipif(installed() is None, reason="atheris is not installed: make fuzz, on x86-64")
def test_a_short_fuzzing_of_what_the_network_reaches_first_finds_nothing() -> None:
    tried, found = fuzz("inbound", 60, seed=1, most=1000)
    assert found is None
    assert tried >= 1000
