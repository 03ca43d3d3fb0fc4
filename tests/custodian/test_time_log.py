"""The custodian's log of beats: on the boot clock, one leaf a beat, whatever happens, and what answers are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from agent.core.ledger.checkpoint import open_time_checkpoint
from agent.core.ledger.entries import EntryKind, decode_entry
from agent.core.timebase import ClockQuality
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.ledger_writer import Ledger
from agent.custodian.time_log import TimeLog, WitnessAddress
from agent.errors import RequestError
from agent.ipc.protocol import BeatAnswer, OutgoingBeat
from agent.wire.identities import public_key_of
from agent.wire.witness_keys import parse_witness
from tests.custodians import DEVICE, DEVICE_KEYS, MLDSA
from tests.time_services import LocalWitness
from tests.vaults import SeededEntropy, SteppedClock
from tests.wire import samples

KEY = public_key_of(DEVICE)
HOUR = 3600
ORIGIN = f"doorward/{KEY.id}/time"
APPROVAL = {
    "request": "ab" * 16, "requester": "harbour-police", "disclosure": "cd" * 16, "subject": samples.SHA, "segments": 1,
}  # fmt: skip


class Door:
    """A ledger and its log of beats, with a witness and a time-stamper that signs nothing and echoes the digest."""

    def __init__(self, entropy: int) -> None:
        self.journal = SqliteJournal(":memory:")
        self.clock = SteppedClock(boot_ns=0)
        self.ledger = Ledger(self.journal, self.clock, DEVICE, MLDSA)
        self.witness = LocalWitness()
        self.witness.follow(ORIGIN, KEY.raw)
        self.entropy = entropy
        self.time = self.opened()

    def opened(self) -> TimeLog:
        addresses = [
            WitnessAddress("w1", "https://w1.test/add-checkpoint", parse_witness(self.witness.verifier_key)),
            WitnessAddress("tsa", "https://tsa.test/"),
        ]
        entropy = SeededEntropy(self.entropy)
        return TimeLog(self.journal, self.ledger, self.clock, entropy, DEVICE, MLDSA, addresses, HOUR)

    def next_beat(self) -> OutgoingBeat:
        self.clock.advance(HOUR)
        return self.time.beat()

    def answered(self, beat: OutgoingBeat) -> list[BeatAnswer]:
        found = []
        for message in beat.messages:
            if message.is_witness:
                status, body, _ = self.witness.answer("/add-checkpoint", message.body)
                found.append(BeatAnswer(message.name, status, body))
            else:
                found.append(BeatAnswer(message.name, 200, b"0" + message.body[24:56]))
        return found

    def confirmed_beat(self) -> OutgoingBeat:
        beat = self.next_beat()
        self.time.take(beat.number, self.answered(beat))
        return beat

    def kinds(self) -> list[EntryKind]:
        return [decode_entry(leaf).kind for leaf in self.ledger.leaves(0, 1000)]

    def by(self) -> dict[str, str | None]:
        status = self.time.status()
        assert status is not None
        return dict(status["by"])


MakeDoor = Callable[[int], Door]


@pytest.fixture
def new_door() -> Iterator[MakeDoor]:
    with ExitStack() as stack:

        def make(entropy: int) -> Door:
            made = Door(entropy)
            stack.callback(made.journal.close)
            return made

        yield make


@pytest.fixture
def door(new_door: MakeDoor) -> Door:
    return new_door(1)


def shapes(beats: list[OutgoingBeat]) -> list[list[tuple[str, str, int, bytes]]]:
    """Returns what a listener and the addresses see of each message, besides digests and signatures."""
    return [
        [(each.name, each.url, len(each.body), b"\n".join(each.body.split(b"\n")[:1])) for each in beat.messages[:1]]
        + [(each.name, each.url, len(each.body), each.body[:24]) for each in beat.messages[1:]]
        for beat in beats
    ]


def test_two_histories_leave_the_same_number_and_lengths_of_bytes_at_the_same_times(new_door: MakeDoor) -> None:
    """One owner decides, the other does not. Only bytes that look random differ."""
    quiet, busy = new_door(1), new_door(2)
    seen: dict[Door, list[tuple[int, OutgoingBeat]]] = {quiet: [], busy: []}
    for hour in range(70):
        for door in (quiet, busy):
            if door is busy and hour % 7 == 3:
                for _ in range(hour):
                    door.ledger.write(EntryKind.APPROVED, **APPROVAL)
            seen[door].append((door.clock.boot_ns, door.confirmed_beat()))
    one, other = ([beat for _, beat in seen[door]] for door in (quiet, busy))
    assert [at for at, _ in seen[quiet]] == [at for at, _ in seen[busy]]
    assert shapes(one) == shapes(other)
    assert [beat.number for beat in one] == [beat.number for beat in other] == list(range(1, 71))
    assert quiet.ledger.size + 300 < busy.ledger.size
    assert one[5].messages[0].body != other[5].messages[0].body  # the comparison can fail


def test_a_beat_without_anything_new_looks_like_another_one(door: Door) -> None:
    first, second = door.confirmed_beat(), door.confirmed_beat()
    assert first.messages[1].body != second.messages[1].body
    assert len(first.messages[1].body) == len(second.messages[1].body)


def test_the_status_counts_confirmed_beats(door: Door) -> None:
    for confirmed in range(3):
        status = door.time.status()
        assert status is not None
        assert (status["beats"], status["confirmed"]) == (confirmed, confirmed)
        door.confirmed_beat()


def test_asking_often_makes_no_more_beats(door: Door) -> None:
    assert door.time.beat() == OutgoingBeat(0, ())
    beat = door.next_beat()
    assert beat.number == 1
    door.ledger.write(EntryKind.BOOT)
    door.clock.advance(HOUR / 8)
    again = door.time.beat()
    assert again == beat
    assert door.opened().beat().number == 1  # nor does a restart
    door.clock.boot, door.clock.boot_ns = 2, 0
    assert door.time.beat() == OutgoingBeat(0, ())  # a new boot, before its first beat
    door.clock.advance(HOUR)
    assert door.time.beat().number == 2


def test_a_clock_in_1970_and_one_that_jumps_change_no_beat(door: Door, new_door: MakeDoor) -> None:
    other = new_door(1)
    other.clock.utc_offset_ns, other.clock.quality = 0, ClockQuality.UNKNOWN
    for _ in range(5):
        one, two = door.confirmed_beat(), other.confirmed_beat()
        assert one == two or (one.number, shapes([one])) == (two.number, shapes([two]))
        other.clock.utc_offset_ns += 10**18
    assert other.time.newest() is not None
    assert door.kinds() == other.kinds() == [EntryKind.TIME_CONFIRMED] * 5


def test_a_confirmed_beat_is_an_entry_of_the_ledger(door: Door) -> None:
    door.confirmed_beat()
    (leaf,) = door.ledger.leaves(0, 10)
    entry = decode_entry(leaf)
    assert (entry.kind, entry.version) == (EntryKind.TIME_CONFIRMED, 1)
    proof = door.time.newest()
    assert proof is not None
    assert open_time_checkpoint(proof.checkpoint.encode(), DEVICE_KEYS).size == 1
    assert proof.cosignatures.startswith("— witness.test/w1 ")
    assert [stamp.name for stamp in proof.stamps] == ["tsa"]
    assert door.by() == {"w1": "", "tsa": ""}


def test_a_witness_that_is_away_for_a_week_continues_from_where_it_was(door: Door) -> None:
    door.confirmed_beat()
    for _ in range(7 * 24):
        beat = door.next_beat()
        door.time.take(beat.number, [BeatAnswer("w1", 0), BeatAnswer("tsa", 503, b"busy")])
    assert door.by() == {"w1": "It did not answer.", "tsa": "It gave no stamp (HTTP 503, 4 bytes)."}
    assert door.kinds().count(EntryKind.TIME_CONFIRMED) == 1
    back = door.confirmed_beat()
    assert back.messages[0].body.startswith(b"old 1\n")
    assert door.by() == {"w1": "", "tsa": ""}
    assert door.witness.logs[ORIGIN][1] == back.number == 170


def test_an_answer_that_was_lost_costs_one_beat(door: Door) -> None:
    door.confirmed_beat()
    door.answered(door.next_beat())  # the witness has signed, and its answer got lost
    door.confirmed_beat()
    assert door.by()["w1"] == "It knew 2 beats. The next beat continues from there."
    door.confirmed_beat()
    assert door.by()["w1"] == ""


def test_forged_answers_confirm_nothing(door: Door) -> None:
    beat = door.next_beat()
    good, stamp = door.answered(beat)
    forger = replace(door.witness, seed=b"\x09" * 32)
    text = open_time_checkpoint(beat.messages[0].body.split(b"\n\n", 1)[1], DEVICE_KEYS).text
    line = good.body.decode()
    for body in (
        b"",
        b"\xff",
        b"no line\n",
        forger.cosign(text),
        door.witness.cosign(text.replace("\n1\n", "\n2\n")),
        line.replace("w1", "w2").encode(),
        good.body + b"x" * 9000,
    ):
        door.time.take(1, [replace_answer(good, body), replace_answer(stamp, b"no digest")])
        assert door.by()["w1"]
        assert door.by()["tsa"] == "Its answer is not for this beat."
    assert door.time.newest() is None
    assert door.kinds() == []
    door.time.take(1, [good, stamp])
    assert door.time.newest() is not None


def test_a_replayed_stamp_confirms_nothing(door: Door) -> None:
    first = door.next_beat()
    old = door.answered(first)
    door.time.take(1, old)
    second = door.next_beat()
    door.time.take(second.number, old)
    assert set(door.by().values()) == {
        "Its answer is not for this beat.",
        "A cosignature in the name of witness.test/w1 is not by that witness, or not of this ledger.",
    }
    assert door.kinds() == [EntryKind.TIME_CONFIRMED]


def test_a_late_answer_is_refused(door: Door) -> None:
    first = door.next_beat()
    late = door.answered(first)
    door.next_beat()
    for number in (0, 1, 3):
        with pytest.raises(RequestError, match="another beat"):
            door.time.take(number, late)
    assert door.time.newest() is None


def test_answers_that_come_twice_make_one_entry(door: Door) -> None:
    beat = door.next_beat()
    answers = door.answered(beat)
    for _ in range(3):
        door.time.take(beat.number, answers)
    assert door.kinds() == [EntryKind.TIME_CONFIRMED]


def test_a_disk_that_was_put_back_is_found_by_the_witness(door: Door, new_door: MakeDoor) -> None:
    """The witness knows more beats than the doorbell; later, as many of another log."""
    for _ in range(3):
        door.confirmed_beat()
    restored = new_door(3)
    restored.witness = door.witness
    restored.time = restored.opened()
    restored.confirmed_beat()
    assert restored.by()["w1"] == (
        "It has seen 3 beats of this doorbell, which has 1. A disk of an earlier day was put back, or another device "
        "uses this doorbell's key."
    )
    for _ in range(4):
        restored.confirmed_beat()
    assert str(restored.by()["w1"]).startswith("It has seen another log of beats of this doorbell.")
    assert door.witness.logs[ORIGIN][1] == 3


def test_without_a_configuration_there_is_no_beat(door: Door) -> None:
    door.confirmed_beat()
    off = TimeLog(door.journal, door.ledger, door.clock, SeededEntropy(1), DEVICE, MLDSA)
    door.clock.advance(HOUR)
    assert off.beat() == OutgoingBeat(0, ())
    assert off.status() is None
    assert off.newest() == door.time.newest()  # what was confirmed stays


def test_an_opening_is_of_the_first_beat_that_is_late_enough(door: Door) -> None:
    door.ledger.write(EntryKind.BOOT)
    door.confirmed_beat()  # its ledger has 1 entry; then 2
    door.next_beat()  # not confirmed
    door.ledger.write(EntryKind.APPROVED, **APPROVAL)
    door.confirmed_beat()  # 3 entries
    openings = [door.time.opening(size) for size in (1, 2, 3, 4)]
    assert [each and (each.beat, each.size) for each in openings] == [(0, 1), (2, 2), (2, 3), None]
    second = door.time.opening(0, 3)
    assert second is not None
    assert second.beat == 2
    assert door.time.opening(0, 2) is None


def test_old_answers_go_but_not_the_first_after_an_approval(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.custodian.time_log._KEPT", 3)
    for hour in range(12):
        if hour == 2:
            door.ledger.write(EntryKind.APPROVED, **APPROVAL)
        door.confirmed_beat()
    kept = sorted(int(name) for name in door.journal.named("time.proof."))
    assert kept == [2, 9, 10, 11]
    newest = door.time.newest()
    assert newest is not None
    assert open_time_checkpoint(newest.checkpoint.encode(), DEVICE_KEYS).size == 12


def replace_answer(answer: BeatAnswer, body: bytes) -> BeatAnswer:
    return BeatAnswer(answer.name, answer.status, body)
