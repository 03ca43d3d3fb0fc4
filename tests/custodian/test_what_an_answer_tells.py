"""An answer tells its requester nothing of requests that stayed unanswered.

It shows the ledger's size, and hashes of the entries before its own (PROTOCOL.md, "Ledger").
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest

from agent.clients.opening import open_bytes
from agent.core.disclosure import read_manifest
from agent.wire.disclosures import LedgerProof
from tests import custodians
from tests.custodians import Door, sha256_of
from tests.vaults import SeededEntropy

STEPS = 128
"""One entry more or less before an answer changes what its reader sees in one of this many answers."""


class ChosenPadding(SeededEntropy):
    """Draws `byte` if one byte is asked for: it chooses how much padding there is."""

    def __init__(self, byte: int) -> None:
        super().__init__(11)
        self.byte = byte

    def token(self, size_bytes: int) -> bytes:
        return bytes([self.byte]) if size_bytes == 1 else super().token(size_bytes)


@pytest.fixture
def doors() -> Iterator[Callable[[int], Door]]:
    made: list[Door] = []

    def door(byte: int) -> Door:
        made.append(Door.enrolled(entropy=ChosenPadding(byte)))
        return made[-1]

    yield door
    for each in made:
        each.close()


def proof_of_an_answer(door: Door) -> LedgerProof:
    asked = door.ask()
    verdict = door.approve(asked, *door.segments[:1])
    part = open_bytes(door.outbox.objects[verdict.disclosure or ""][0], [custodians.REPLY_IDENTITY])
    return read_manifest(part, asked, sha256_of(asked)).manifest.ledger


def no_footage(door: Door) -> None:
    asked = custodians.request()
    door.ask(from_s=asked.from_s - 7200, to_s=asked.to_s - 7200)
    assert door.kinds()[-2:] == ["received", "no-match"]


def denied(door: Door) -> None:
    door.deny(door.ask())
    assert door.kinds()[-3:] == ["received", "matched", "denied"]


def test_a_denial_between_two_answers_is_not_counted(doors: Callable[[int], Door]) -> None:
    """A requester asks three times. It gets the first and the third answer, and counts the entries between them."""
    between = []
    for outcome, byte in ((no_footage, 41), (denied, 40)):
        door = doors(0)
        first = proof_of_an_answer(door)
        outcome(door)
        door.entropy.byte = byte  # type: ignore[attr-defined]
        between.append(proof_of_an_answer(door).index - first.index)
    assert between[0] == between[1]


def test_each_number_of_padding_entries_is_as_likely_as_the_others(doors: Callable[[int], Door]) -> None:
    door, found = doors(0), []
    for byte in random.Random(5).sample(range(256), 12):
        door.entropy.byte = byte  # type: ignore[attr-defined]
        before = len(door.kinds())
        door.custodian.custodian_state.ledger.pad(door.entropy)
        found.append((byte, len(door.kinds()) - before))
    assert all(number - 8 == byte % STEPS for byte, number in found)


@pytest.mark.parametrize("byte", [0, 1, 2, 3, 127])
def test_no_hash_in_an_answer_can_be_guessed(doors: Callable[[int], Door], byte: int) -> None:
    """The fields of an entry about a request are known to its requester, but for the microsecond. So a hash over a few
    of them gives them away, unless there is something random among them."""
    door = doors(byte)
    for _ in range(byte % 4):
        no_footage(door)
    denied(door)
    proof = proof_of_an_answer(door)
    kinds = door.kinds()
    assert kinds[proof.index] == "approved"
    sizes = [1 << bit for bit in range(proof.index.bit_length()) if proof.index >> bit & 1]
    assert len(sizes) == len(proof.path)
    for end, size in zip(accumulate(sizes, lambda at, size: at - size, initial=proof.index), sizes, strict=False):
        assert "padding" in kinds[end - size : end] or size > 8
    subjects = [entry["subject"] for entry in door.entries() if entry["kind"] == "padding"]
    assert len(set(subjects)) == len(subjects) >= 8
