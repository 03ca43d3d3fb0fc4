"""A vault and a ledger at work on a real file system, telling a log what it acknowledged; and the check after a cut.

`python -m tests.crash.power.workload DISK MARKS SEED [CALL…]` records, posts, holds, evicts, scrubs, notes gaps and
writes the ledger below DISK.  Before and after each promise it writes one JSON line to MARKS, which lies between the
disk's own writes in the log: so of any cut it is known what had been promised by then.  CALLs of the disk do nothing.
`--go-on` makes it go on after a fault.
"""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.clients.opening import VerifiedPrefix
from agent.core.ledger.entries import EntryKind
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.retention import RetentionLimits
from agent.core.timebase import ClockQuality
from agent.core.vault.records import GapReason
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.ledger_writer import Ledger
from agent.errors import StorageError
from agent.platform.disk import RealDisk, _RealFile
from agent.recorder.scrub import Scrubber
from agent.recorder.vault_recovery import StartReport
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.identities import mldsa_key_from_seed, public_key_of
from tests.crash.vault_story import Story, check
from tests.vaults import DEVICE_KEY, OWNER, SteppedClock, TestVault, box, event_id, make_vault

__all__ = ["SEGMENTS", "broken_promises"]

SEGMENTS = 36
MLDSA = mldsa_key_from_seed(b"d" * 32)
_FULL_BYTES = 3_000_000
_AGE_CHUNK_BYTES = 65_536
_TAIL_S = 2.0

Tell = Callable[..., None]


class Silent:
    """A `Notifier` no one listens to."""

    def notify(self, kind: str, text: str) -> None:
        pass


def pieces_of(number: int) -> list[bytes]:
    """The media of segment `number`, a fragment for each second."""
    chance = random.Random(number)
    return [box(b"mdat", chance.randbytes(chance.randint(20_000, 90_000))) for _ in range(5)]


def sound_of(number: int) -> bytes | None:
    return box(b"mdat", random.Random(number).randbytes(40_000)) if number % 2 else None


def work(disk: Path, tell: Tell, seed: int, bearing: type[Exception] | tuple[()] = ()) -> None:
    """A life of some minutes.  `bearing`: errors after which it goes on with the next segment."""
    tested = make_vault(
        RealDisk(), index=SqliteIndex(disk / "index.sqlite"), root=disk / "vault", seed=seed, start=False
    )
    journal = SqliteJournal(disk / "journal.sqlite")
    ledger = Ledger(journal, tested.clock, DEVICE_KEY, MLDSA)
    scrub = Scrubber(tested.vault, public_key_of(DEVICE_KEY), Silent(), 1 << 40)
    with suppress(*_classes(bearing)):
        tested.vault.start()
    chance, held = random.Random(seed), set[str]()
    for number in range(SEGMENTS):
        with suppress(*_classes(bearing)):
            segment = _record(tested, tell, number)
            if number in (5, 11, 23):
                held.add(segment)
                tell(held=sorted(held))
        if number % 4 == 0:
            with suppress(*_classes(bearing)):
                ledger.write(EntryKind.BOOT)
                tell(ledger=ledger.size)
        with suppress(*_classes(bearing)):
            if number % 6 == 2:
                start = tested.clock.now()
                tested.vault.record_gap(chance.choice(tuple(GapReason)), start, tested.clock.advance(60))
            if tested.vault.totals().stored_bytes > _FULL_BYTES:
                tested.vault.enforce_retention(held, RetentionLimits(most_bytes=_FULL_BYTES * 3 // 4))
            scrub.step()
    tested.close()
    journal.close()


def _classes(bearing: type[Exception] | tuple[()]) -> tuple[type[Exception], ...]:
    return (bearing,) if isinstance(bearing, type) else ()


def _record(tested: TestVault, tell: Tell, number: int) -> str:
    writer = tested.vault.begin(event_id(number // 3), tested.clock.now())
    tell(begun=writer.id, number=number)
    if number % 3 == 0:
        writer.poster(b"\xff\xd8\xff a jpeg" + random.Random(number).randbytes(20_000))
    written = 0
    for piece in pieces_of(number):
        tested.clock.advance(1)
        writer.write(piece)
        written += len(piece)
        tell(wrote=writer.id, bytes=written, at_s=tested.clock.boot_ns / 1e9)
    writer.sound(sound_of(number))
    writer.finish(tested.clock.now())
    tell(acknowledged=writer.id)
    return writer.id


def broken_promises(disk: Path, marks: Iterable[dict[str, Any]]) -> None:
    """Start on what a cut left below `disk`, and compare it with what had been promised.  Raises `AssertionError`."""
    story, ledger_size, wrote = Story(), 0, list[tuple[str, int, float]]()
    sounds: dict[str, bytes | None] = {}
    for mark in marks:
        if "begun" in mark:
            story.begun[mark["begun"]] = b"".join(pieces_of(mark["number"]))
            sounds[mark["begun"]] = sound_of(mark["number"])
        elif "acknowledged" in mark:
            story.media[mark["acknowledged"]] = story.begun[mark["acknowledged"]]
            if (sound := sounds[mark["acknowledged"]]) is not None:
                story.heard[mark["acknowledged"]] = sound
            wrote.clear()
        elif "wrote" in mark:
            wrote.append((mark["wrote"], mark["bytes"], mark["at_s"]))
        story.held.update(mark.get("held", ()))
        ledger_size = mark.get("ledger", ledger_size)
    clock = SteppedClock(boot=2, quality=ClockQuality.UNKNOWN, utc_offset_ns=0)
    index = SqliteIndex(disk / "index.sqlite")
    tested = make_vault(RealDisk(), index=index, root=disk / "vault", clock=clock, seed=99)
    try:
        check(tested, story)
        _check_tail(tested, wrote)
        again = tested.vault.start()
        assert again == StartReport(), again
        new = tested.record()
        tested.vault.enforce_retention(story.held, RetentionLimits(most_bytes=1))
        assert new in [entry.id for entry in tested.vault.entries()]
        assert tested.vault.verify(public_key_of(DEVICE_KEY)).sound
    finally:
        tested.close()
    _check_ledger(disk, clock, ledger_size)


def _check_tail(tested: TestVault, wrote: list[tuple[str, int, float]]) -> None:
    """The segment being written is there, except for at most two seconds and age's open chunk."""
    if not wrote:
        return
    segment, _bytes, now_s = wrote[-1]
    due = max((written for _segment, written, at_s in wrote if at_s <= now_s - _TAIL_S), default=0)
    entry = tested.vault.find(segment)
    if entry is None:
        assert due <= _AGE_CHUNK_BYTES, f"more than {_TAIL_S} s of tail lost: all of {due} bytes"
        return
    kept = len(b"".join(VerifiedPrefix(io.BytesIO(tested.ciphertext(segment)), [OWNER])))
    assert kept >= due - _AGE_CHUNK_BYTES, f"more than {_TAIL_S} s of tail lost: {kept} of {due} bytes kept"


def _check_ledger(disk: Path, clock: SteppedClock, promised: int) -> None:
    journal = SqliteJournal(disk / "journal.sqlite")
    try:
        ledger = Ledger(journal, clock, DEVICE_KEY, MLDSA)
        assert ledger.size >= promised, f"the ledger lost entries: {ledger.size} of {promised}"
        frontier = Frontier()
        for leaf in journal.leaves():
            frontier = frontier.append(leaf_hash(leaf))
        assert frontier.dump() == Frontier.load(journal.get("ledger.frontier") or Frontier().dump()).dump()
        ledger.write(EntryKind.BOOT)
    finally:
        journal.close()


def main() -> None:
    disk, marks, seed, without = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    going_on = "--go-on" in without
    for call in (call for call in without if call != "--go-on"):
        owner = RealDisk if hasattr(RealDisk, call) else _RealFile
        setattr(owner, call, lambda *_arguments: None)
    with marks.open("r+b", buffering=0) as out:
        bearing = StorageError if going_on else ()
        work(disk, lambda **mark: (out.write(json.dumps(mark).encode() + b"\n"), None)[1], seed, bearing)


if __name__ == "__main__":
    main()
