"""An owner reads what others confirmed about the time, and finds a doorbell that committed to another ledger."""

from __future__ import annotations

import hashlib

import pytest
from msgspec.structs import replace

from agent.clients.owner import decisions
from agent.clients.owner.confirmed_time import read_confirmed_time
from agent.clients.owner.review import RequestReview
from agent.clients.time_confirmations import TimeTrust
from agent.core.ledger.checkpoint import Checkpoint, origin_of
from agent.core.ledger.entries import EntryKind
from agent.core.ledger.merkle import consistency_proof, leaf_hash, root_of
from agent.errors import ConfigurationError, OpenError
from agent.wire import strictjson
from agent.wire.time_proofs import TimeOpening
from tests.clients.owner.conftest import Home, now
from tests.clients.owner.fake_device import FakeDevice
from tests.time_services import Beats, LocalWitness
from tests.wire import samples

FIRST = LocalWitness(time_s=samples.NOW_S - 3600)
LAST = LocalWitness(time_s=samples.NOW_S + 3600)
TRUST = TimeTrust.of(FIRST.verifier_key, [])


class WitnessedDevice:
    """The device of a test with a log of beats."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.beats = Beats(device.private, samples.MLDSA)
        self.openings: list[TimeOpening] = []
        device.time = self.answer

    def ledger(self, size: int) -> Checkpoint:
        return Checkpoint(origin_of(self.device.key), size, root_of(map(leaf_hash, self.device.leaves[:size])))

    def beat(self, witness: LocalWitness, ledger: Checkpoint | None = None) -> None:
        """A beat that a witness confirms, and its entry."""
        beat = self.beats.add(ledger or self.ledger(len(self.device.leaves)))
        proof = self.beats.proof(beat, [witness])
        self.openings.append(self.beats.opening(beat, 0, proof))
        subject = hashlib.sha256(strictjson.encode(proof)).hexdigest()
        self.device.write(EntryKind.TIME_CONFIRMED, subject=subject, version=beat + 1)

    def answer(self, size: int, beat: int) -> bytes:
        for opening in self.openings[beat - 1 : beat] if beat else self.openings:
            held = int(opening.ledger.split("\n")[1])
            if held >= size:
                hashes = [leaf_hash(leaf) for leaf in self.device.leaves[:held]]
                proof = tuple(node.hex() for node in consistency_proof(hashes, size))
                return strictjson.encode(replace(opening, size=size, consistency=proof))
        return b""


@pytest.fixture
def witnessed(home: Home) -> WitnessedDevice:
    return WitnessedDevice(home.device)


def approved(home: Home) -> str:
    seen = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    decisions.approve(home.device, home.keys, seen, home.segments[:1], clock=now)
    disclosure = home.device.requests[home.request].disclosure
    assert disclosure is not None
    return disclosure


def test_an_approval_lies_between_two_beats(home: Home, witnessed: WitnessedDevice) -> None:
    witnessed.beat(FIRST)
    disclosure = approved(home)
    early = read_confirmed_time(home.device, home.keys, TRUST, disclosure)
    assert (early.findings.from_s, early.findings.until_s, early.opening) == (FIRST.time_s, None, None)
    witnessed.beat(LAST)
    found = read_confirmed_time(home.device, home.keys, TRUST, disclosure)
    assert (found.findings.from_s, found.findings.until_s) == (FIRST.time_s, LAST.time_s)
    assert found.findings.said.startswith("The time was confirmed by witness.test/w1 between ")
    assert found.opening is not None
    assert found.opening.beat == 1


def test_without_a_disclosure_it_is_the_newest_beat(home: Home, witnessed: WitnessedDevice) -> None:
    assert read_confirmed_time(home.device, home.keys, TRUST).findings.said.startswith("No witness")
    witnessed.beat(FIRST)
    witnessed.beat(LAST)
    found = read_confirmed_time(home.device, home.keys, TRUST)
    assert (found.findings.from_s, found.findings.until_s) == (None, LAST.time_s)
    assert read_confirmed_time(home.device, home.keys, TimeTrust()).findings.until_s is None


def test_a_disclosure_that_the_ledger_lacks_is_refused(home: Home, witnessed: WitnessedDevice) -> None:
    with pytest.raises(ConfigurationError, match="no approval of"):
        read_confirmed_time(home.device, home.keys, TRUST, "00" * 16)


def test_a_doorbell_that_committed_to_another_ledger_is_found(home: Home, witnessed: WitnessedDevice) -> None:
    size = len(home.device.leaves)
    witnessed.beat(FIRST, Checkpoint(origin_of(home.device.key), size, b"\x07" * 32))
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        read_confirmed_time(home.device, home.keys, TRUST)


def test_a_doorbell_that_committed_to_a_longer_ledger_is_found(home: Home, witnessed: WitnessedDevice) -> None:
    witnessed.beat(FIRST, Checkpoint(origin_of(home.device.key), 1000, b"\x07" * 32))
    with pytest.raises(OpenError, match="longer ledger than it shows here"):
        read_confirmed_time(home.device, home.keys, TRUST)


def test_a_confirmation_that_the_ledger_does_not_name_is_found(home: Home, witnessed: WitnessedDevice) -> None:
    witnessed.beat(FIRST)
    witnessed.openings[0] = replace(witnessed.openings[0], proof=witnessed.beats.proof(0, [LAST]))
    with pytest.raises(OpenError, match="another confirmation of time than its ledger names"):
        read_confirmed_time(home.device, home.keys, TRUST)


def test_a_log_of_beats_that_was_made_again_is_found(home: Home, witnessed: WitnessedDevice) -> None:
    witnessed.beat(FIRST)
    read_confirmed_time(home.device, home.keys, TRUST)
    again = WitnessedDevice(home.device)
    again.beat(LAST)
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        read_confirmed_time(home.device, home.keys, TRUST)


def test_an_answer_to_another_question_is_refused(home: Home, witnessed: WitnessedDevice) -> None:
    witnessed.beat(FIRST)
    home.device.time = lambda _size, beat: witnessed.answer(1, beat)
    with pytest.raises(OpenError, match="another part of its ledger"):
        read_confirmed_time(home.device, home.keys, TRUST)
