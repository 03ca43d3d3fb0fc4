"""An answer with a time that others confirmed: its words, its evidence, and a doorbell with two faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.clients.requester.checks import Verification
from agent.clients.requester.evidence import write_bundle
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.verification import CheckKind, examine
from agent.core.ledger.checkpoint import Checkpoint, open_checkpoint, origin_of, sign_checkpoint
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.media import Gop
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.disclosures import DisclosureManifest
from agent.wire.time_proofs import TimeOpening
from tests.cli.conftest import Seen, tool
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.house import Changes, House
from tests.clients.requester.test_verification import lay_down, verified
from tests.time_services import Beats, LocalWitness

__all__ = ["tool"]

EARLY, LATE = LocalWitness(time_s=NOW_S - 4000), LocalWitness(time_s=NOW_S + 3600)


class Confirmed:
    """A house with a log of beats. Its first beat is before any answer."""

    def __init__(self, gops: list[Gop], **changes: Callable[[DisclosureManifest], DisclosureManifest]) -> None:
        self.house: House = filmed(gops)
        self.beats = Beats(self.house.device, self.house.mldsa)
        self.beats.add(Checkpoint(origin_of(self.beats.key), 0, Frontier().root))
        proof = self.beats.proof(0, [EARLY])
        self.house.changes = Changes(manifest=lambda manifest: replace(manifest, time=proof))

    def later(self, verification: Verification) -> bytes:
        """Returns the owner's file, after a beat that holds the ledger of this answer."""
        assert verification.disclosed is not None
        ledger = open_checkpoint(verification.disclosed.manifest.ledger.checkpoint.encode(), self.beats.keys)
        beat = self.beats.add(ledger)
        return strictjson.encode(self.beats.opening(beat, ledger.size, self.beats.proof(beat, [LATE])))


@pytest.fixture
def confirmed(gops: list[Gop]) -> Confirmed:
    return Confirmed(gops)


@pytest.fixture
def trusting(requester: Requester) -> Requester:
    (requester.folder / "time").mkdir()
    (requester.folder / "time" / "witnesses.txt").write_text(EARLY.verifier_key)
    return requester


def test_an_answer_says_between_which_times_it_was_made(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed, tmp_path: Path, tool: Callable[..., Seen]
) -> None:
    verification = verified(trusting, asked, confirmed.house.disclose(asked))
    assert verification.ok
    assert verification.time.said == (
        "The answer was made after 2027-01-15 06:53:20 UTC, confirmed by witness.test/w1. No one confirmed an end."
    )
    file = tmp_path / "time.json"
    file.write_bytes(confirmed.later(verification))
    shown = tool("requester", "verify", verification.disclosure, "--folder", trusting.folder, "--time", file)
    assert shown.status == 0, shown.err
    said = "The time was confirmed by witness.test/w1 between 2027-01-15 06:53:20 UTC and 2027-01-15 09:00:00 UTC."
    assert said in shown.out
    again = examine(trusting, verification.disclosure)
    assert again.time.said == said
    write_bundle(tmp_path / "bundle", trusting, again, NOW_S)
    names = {str(path.relative_to(tmp_path / "bundle")) for path in (tmp_path / "bundle/time").rglob("*.*")}
    assert names == {
        "time/TIME.txt", "time/after/checkpoint.signature", "time/after/checkpoint.signed", "time/after/checkpoint.txt",
        "time/after/cosigned.txt", "time/before/checkpoint.signature", "time/before/checkpoint.signed",
        "time/before/checkpoint.txt", "time/before/cosigned.txt", "time/before/opening.json",
    }  # fmt: skip
    assert said in (tmp_path / "bundle/bundle.json").read_text()


def test_the_command_keeps_no_time_of_another_answer(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed, tmp_path: Path, tool: Callable[..., Seen]
) -> None:
    """It could not be taken out again, and each later report would have a doubt that is none."""
    verification = verified(trusting, asked, confirmed.house.disclose(asked))
    file = tmp_path / "time.json"
    opening = strictjson.decode(confirmed.later(verification), TimeOpening)
    house = House(NOW_S * 1000, name="another house")
    other = Beats(house.device, house.mldsa)
    other.add(Checkpoint(origin_of(other.key), 0, Frontier().root))
    file.write_bytes(strictjson.encode(replace(opening, proof=other.proof(0, [EARLY]))))
    shown = tool("requester", "verify", verification.disclosure, "--folder", trusting.folder, "--time", file)
    assert shown.status == 4
    assert "The confirmation of time from the owner is not of this ledger." in shown.err
    assert trusting.answer(verification.disclosure).time_openings() == ()
    assert examine(trusting, verification.disclosure).time == verification.time


def test_the_command_keeps_a_time_of_another_ledger_of_this_doorbell_as_evidence(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed, tmp_path: Path, tool: Callable[..., Seen]
) -> None:
    verification = verified(trusting, asked, confirmed.house.disclose(asked))
    assert verification.disclosed is not None
    shown_here = open_checkpoint(verification.disclosed.manifest.ledger.checkpoint.encode(), confirmed.beats.keys)
    beat = confirmed.beats.add(Checkpoint(shown_here.origin, shown_here.size, bytes(32)))
    opening = confirmed.beats.opening(beat, shown_here.size, confirmed.beats.proof(beat, [LATE]))
    file = tmp_path / "time.json"
    file.write_bytes(strictjson.encode(opening))
    shown = tool("requester", "verify", verification.disclosure, "--folder", trusting.folder, "--time", file)
    assert shown.status == 1
    assert "different people were shown different ledgers" in shown.out
    assert trusting.answer(verification.disclosure).time_openings() == (opening,)


def test_an_answer_without_a_witness_says_so_and_stands(trusting: Requester, asked: SentRequest, house: House) -> None:
    verification = verified(trusting, asked, house.disclose(asked))
    assert verification.ok
    assert verification.time.said == "No witness: the dates are those of the device and its owners."


def test_a_time_of_another_doorbell_changes_no_verdict(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed, gops: list[Gop]
) -> None:
    other = House(NOW_S * 1000, name="another house")
    theirs = Beats(other.device, other.mldsa)
    theirs.add(Checkpoint(origin_of(theirs.key), 0, Frontier().root))
    proof = theirs.proof(0, [EARLY])
    confirmed.house.changes = Changes(manifest=lambda manifest: replace(manifest, time=proof))
    verification = verified(trusting, asked, confirmed.house.disclose(asked))
    assert verification.ok
    assert "The confirmation of time in this answer is not of this doorbell." in verification.time.said
    assert verification.time.from_s is None


def test_a_file_that_is_no_proof_of_time_is_refused(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed
) -> None:
    answer = lay_down(trusting, asked, confirmed.house.disclose(asked))
    with pytest.raises(FormatError):
        answer.add_time_opening(b'{"v":1}')
    assert answer.time_openings() == ()


def test_no_file_of_an_owner_replaces_another_and_their_number_has_a_bound(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed
) -> None:
    verification = verified(trusting, asked, confirmed.house.disclose(asked))
    answer = trusting.answer(verification.disclosure)
    files = [confirmed.later(verification) for _ in range(9)]
    for data in (*files[:8], files[3]):
        answer.add_time_opening(data)
    assert [strictjson.encode(each) for each in answer.time_openings()] == files[:8]
    with pytest.raises(FormatError, match="has 8 files"):
        answer.add_time_opening(files[8])
    (trusting.folder / "disclosures" / verification.disclosure / "time-2.json").write_bytes(b"damaged")
    assert len(answer.time_openings()) == 7
    assert examine(trusting, verification.disclosure).time.until_s is not None


def test_a_doorbell_that_shows_two_ledgers_of_one_size_is_found(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed
) -> None:
    """The first answer is remembered. The second one shows another ledger with as many entries."""
    first = verified(trusting, asked, confirmed.house.disclose(asked))
    assert first.disclosed is not None
    KnownDoorbells(trusting.notes).remember(first.disclosed.manifest, NOW_S)
    assert verified(trusting, asked, confirmed.house.disclose(asked)).ok  # a longer ledger
    confirmed.house.entries = 4
    second = verified(trusting, asked, confirmed.house.disclose(asked))
    assert second.failed is not None
    assert second.failed.kind is CheckKind.LEDGER
    assert "different people were shown different ledgers" in second.failed.said
    known = KnownDoorbells(trusting.notes).find(confirmed.beats.key.id)
    assert known is not None
    assert len(known.heads) == 2


def test_a_doorbell_that_shows_two_logs_of_beats_is_found(
    trusting: Requester, asked: SentRequest, confirmed: Confirmed
) -> None:
    answer = confirmed.house.disclose(asked)
    first = verified(trusting, asked, answer)
    assert first.disclosed is not None
    manifest = first.disclosed.manifest
    doors = KnownDoorbells(trusting.notes)
    doors.remember(manifest, NOW_S)
    other = Beats(confirmed.house.device, confirmed.house.mldsa)
    other.add(Checkpoint(origin_of(other.key), 1, Frontier().append(leaf_hash(b"x")).root))
    forked = replace(manifest, time=other.proof(0, [EARLY]))
    head = sign_checkpoint(Frontier().append(leaf_hash(b"y")), confirmed.house.device, confirmed.house.mldsa)
    ledger = replace(manifest.ledger, checkpoint=head.decode())
    with pytest.raises(Exception, match="different people were shown different ledgers"):
        doors.check_heads(forked)
    doors.check_heads(replace(manifest, ledger=ledger))
    doors.check_heads(manifest)
