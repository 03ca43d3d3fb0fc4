"""A short life of a vault that touches every procedure, and what must hold of the vault after any of it is cut off."""

from __future__ import annotations

import functools
import io
import itertools
from dataclasses import dataclass, field

from agent.clients.opening import VerifiedPrefix, open_bytes
from agent.core.retention import ChapterLimits, RetentionLimits
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import parse_header
from agent.core.vault.fields import SHARDS, FileKind, parse_name
from agent.core.vault.records import (
    CONTINUOUS,
    BootRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    RecoveredRecord,
    SegmentRecord,
    digest,
)
from agent.core.vault.segment import split_media, split_poster
from agent.errors import StorageError
from agent.vault.manifest_reader import check_manifest, oldest_chapter, read_manifest
from agent.wire.identities import public_key_of
from tests.fake_disk import FakeDisk
from tests.fake_index import FakeIndex
from tests.vaults import (
    DEVICE_KEY,
    DEVICE_MLDSA_KEY,
    OWNER,
    START_UTC_NS,
    SteppedClock,
    TestVault,
    box,
    event_id,
    make_vault,
)

__all__ = ["SHORT_CHAPTERS", "Story", "check", "recover", "tell"]

_PIECES = (box(b"ftyp", b"isom"), box(b"moof", b"m" * 66_000), box(b"mdat", b"d" * 66_000))


@dataclass
class Story:
    """Acknowledgements to the outside world, on which it may rely."""

    media: dict[str, bytes] = field(default_factory=dict)
    """Media of acknowledged segments."""
    heard: dict[str, bytes] = field(default_factory=dict)
    """Sound of segments that were acknowledged with sound."""
    held: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    """Deleted by an owner: a call that was cut off may have come to it or not."""
    evicted: set[str] = field(default_factory=set)
    """Reported as evicted: their tombstones may be gone with an old chapter of the manifest."""
    begun: dict[str, bytes] = field(default_factory=dict)
    """Media written until now of unacknowledged segments, and of all others."""
    errors: list[StorageError] = field(default_factory=list)
    dated: bool = False
    """The clock became known, and a later call of the vault returned."""

    def copy(self) -> Story:
        return Story(
            dict(self.media), dict(self.heard), set(self.held), set(self.erased), set(self.evicted), dict(self.begun),
            list(self.errors), self.dated,
        )  # fmt: skip


SHORT_CHAPTERS = ChapterLimits(chapter_bytes=9_000, history_bytes=9_000)
"""Two or three lines each: the story then begins chapters, carries lines and deletes chapters, several times."""


def tell(
    disk: FakeDisk, index: FakeIndex, story: Story, *, bear_errors: bool = False, chapters: ChapterLimits | None = None
) -> TestVault:
    """Record, hold, evict, note gaps and watching, learn the time, start again, evict again: every procedure.

    `bear_errors`: go on after each.  `chapters`: of the manifest; left out, it has one.
    """
    clock = SteppedClock(quality=ClockQuality.UNKNOWN, utc_offset_ns=0)
    tested = make_vault(disk, index=index, clock=clock, start=False, chapters=chapters)

    def attempt(step: str, number: int = 0) -> None:
        try:
            _STEPS[step](tested, story, number)
        except StorageError as error:
            if not bear_errors:
                raise
            story.errors.append(error)

    attempt("start")
    for number in range(4):
        attempt("record", number)
    attempt("watching")
    attempt("hold")
    attempt("roll")
    clock.quality, clock.utc_offset_ns = ClockQuality.SYNCED, START_UTC_NS
    attempt("gap")
    for number in range(4, 6):
        attempt("record", number)
    for number in range(6, 9):
        attempt("record between", number)
    attempt("roll")
    attempt("abandon", 9)
    attempt("scrub")
    attempt("start")
    attempt("record", 10)
    attempt("watching")
    attempt("record between", 11)
    attempt("erase")
    attempt("roll")
    attempt("record", 12)
    return tested


def _record(tested: TestVault, story: Story, number: int, label: str | None = None) -> None:
    story.dated |= tested.clock.quality is ClockQuality.SYNCED and _returned(tested)
    writer = tested.vault.begin(event_id(number // 2), tested.clock.now(), label=label)
    story.begun[writer.id] = b""
    if number % 2 == 0:
        writer.poster(b"\xff\xd8\xff a jpeg of event %d" % number)
    for piece in _PIECES:
        tested.clock.advance(1.5)
        writer.write(piece)
        story.begun[writer.id] += piece
    sound = box(b"mdat", b"heard in %d" % number) if number % 3 else None
    writer.sound(sound)
    writer.finish(tested.clock.now())
    story.media[writer.id] = story.begun[writer.id]
    if sound is not None:
        story.heard[writer.id] = sound


def _returned(tested: TestVault) -> bool:
    """A call that lets the vault notice what time it is."""
    tested.vault.record_gap(GapReason.STORAGE, tested.clock.now(), tested.clock.now())
    return True


def _record_between(tested: TestVault, story: Story, number: int) -> None:
    _record(tested, story, number, CONTINUOUS)


def _watching(tested: TestVault, story: Story, number: int) -> None:
    tested.vault.record_coverage(tested.clock.now(), tested.clock.advance(900))


def _scrub(tested: TestVault, story: Story, number: int) -> None:
    key = public_key_of(DEVICE_KEY)
    for entry in tested.vault.entries():
        found = tested.vault.check(entry, key)
        assert found.missing + found.damaged == []


def _abandon(tested: TestVault, story: Story, number: int) -> None:
    writer = tested.vault.begin(event_id(number), tested.clock.now())
    story.begun[writer.id] = b"".join(_PIECES)
    for piece in _PIECES:
        tested.clock.advance(1.5)
        writer.write(piece)
    writer.abandon()


def _hold(tested: TestVault, story: Story, number: int) -> None:
    story.held.update(list(story.media)[1:2])


def _roll(tested: TestVault, story: Story, number: int) -> None:
    limits = RetentionLimits(most_bytes=max(1, tested.vault.totals().stored_bytes // 2))
    story.evicted.update(tested.vault.enforce_retention(story.held, limits).evicted)


def _erase(tested: TestVault, story: Story, number: int) -> None:
    """An owner deletes one that is held, and the newest."""
    stored = [entry.id for entry in tested.vault.entries()]
    story.erased.update({*story.held & set(stored), stored[-1]} if stored else ())
    story.evicted.update(tested.vault.erase(sorted(story.erased)))


def _gap(tested: TestVault, story: Story, number: int) -> None:
    tested.vault.record_gap(GapReason.OFF, tested.clock.now(), tested.clock.advance(100))


_STEPS = {
    "start": lambda tested, story, number: tested.vault.start(),
    "record": _record,
    "abandon": _abandon,
    "hold": _hold,
    "roll": _roll,
    "record between": _record_between,
    "watching": _watching,
    "scrub": _scrub,
    "erase": _erase,
    "gap": _gap,
}


def recover(disk: FakeDisk, index: FakeIndex, chapters: ChapterLimits | None = None) -> TestVault:
    """The next boot: no network, and a clock that says 1970."""
    clock = SteppedClock(boot=2, quality=ClockQuality.UNKNOWN, utc_offset_ns=0)
    return make_vault(disk, index=index, clock=clock, seed=99, chapters=chapters)


def check(tested: TestVault, story: Story) -> None:
    """FORMAT.md's invariants, after start-up."""
    entries = {entry.id: entry for entry in tested.vault.entries()}
    found = check_manifest(tested.log, public_key_of(DEVICE_KEY), DEVICE_MLDSA_KEY)
    assert found.faults == ()
    records = [step.signed.record for step in read_manifest(tested.log) if step.signed is not None]
    behind = itertools.takewhile(lambda record: not isinstance(record, BootRecord), reversed(records))
    assert found.signed_once <= len(list(behind)), "a line from before the cut has no second signature behind it"
    assert oldest_chapter(tested.log) == tested.log.chapters()[0], "a chapter that is not needed is left"
    evicted = _evicted(tested, story) | story.evicted
    assert not story.evicted & set(entries), "I2: footage that was evicted came back"
    for segment, media in story.media.items():
        if segment in evicted:
            continue
        assert segment in entries, "I1: an acknowledged segment is lost"
        assert entries[segment].whole, "I1: an acknowledged segment is cut"
        assert split_media(_opened(tested.ciphertext(segment)))[0] == media, "I1: it is another one"
        sealed = tested.vault.read_sound(segment)
        heard = None if sealed is None else split_media(_opened(sealed))[0]
        assert heard == story.heard.get(segment), "I1: its sound is lost, or another one"
    if story.dated:
        undated = [entry for entry in entries.values() if entry.witnessed and entry.start_ms < START_UTC_NS // 10**6]
        assert not undated, "I8: a segment of before the clock was known has no date"
    for entry in entries.values():
        _check_stored(tested, entry.id)
    _check_files(tested, story, set(entries))


def _evicted(tested: TestVault, story: Story) -> set[str]:
    """Returns the segments that the tombstones name, each checked against the file of that time, if its record is
    there."""
    stored: list[SegmentRecord | RecoveredRecord] = []
    gone: set[str] = set()
    if tested.log.chapters()[0]:
        records = [step.signed.record for step in read_manifest(tested.log) if step.signed]
        return {segment for record in records if isinstance(record, EvictionRecord) for segment in record.segments}
    for step in read_manifest(tested.log):
        assert step.signed is not None
        if step.carried:
            continue
        record = step.signed.record
        if isinstance(record, SegmentRecord | RecoveredRecord):
            stored.append(record)
        if isinstance(record, EvictionRecord):
            assert record.reason is not EvictionReason.MISSING, "I2: a segment was missing"
            if record.reason is EvictionReason.OWNER:
                assert set(record.segments) <= story.erased, "I3: deleted, and no owner asked for it"
                stored = [one for one in stored if one.id not in record.segments]
                gone.update(record.segments)
                continue
            unheld = [one for one in stored[:-1] if one.id not in story.held]
            unheld.sort(key=lambda one: one.label_text != CONTINUOUS)  # stable: each kind stays in order
            assert list(record.segments) == [one.id for one in unheld[: len(record.segments)]], (
                "I3: not the oldest first"
            )
            assert stored[-1].id not in record.segments, "I3: the newest was evicted"
            stored = [one for one in stored if one.id not in record.segments]
            gone.update(record.segments)
    return gone


@functools.lru_cache(4096)
def _opened(sealed: bytes) -> bytes:
    """The same few files stand in ten thousand states."""
    return open_bytes(sealed, [OWNER])


def _check_stored(tested: TestVault, segment: str) -> None:
    entry = tested.vault.find(segment)
    assert entry is not None
    record = tested.vault.record(segment).record
    data = tested.ciphertext(segment)
    assert not isinstance(record, EvictionRecord)
    assert digest([data], parse_header(data)[1]) == record.file, "I2: the file is not the recorded one"  # type: ignore[union-attr]
    if isinstance(record, SegmentRecord):
        assert entry.whole
    poster = tested.vault.read_poster(segment)
    if poster is not None:
        image, context = split_poster(_opened(poster))
        assert (image[:9], context.segment) == (b"\xff\xd8\xff a jpeg"[:9], segment)
    sound = tested.vault.read_sound(segment)
    if sound is not None:
        assert split_media(_opened(sound))[1].segment == segment


def _check_files(tested: TestVault, story: Story, stored: set[str]) -> None:
    for shard in SHARDS:
        for name in tested.store.names(shard):
            file = parse_name(name)
            assert file is not None
            assert file.id in stored, "I2: a file without a record"
            data = tested.store.read(file, 0, 1 << 30)
            if file.kind is FileKind.SEGMENT:
                assert _opened(data), "I1: a final name on an incomplete file"
            elif file.kind is FileKind.CUT:
                opened = b"".join(VerifiedPrefix(io.BytesIO(data), [OWNER]))
                whole = story.begun[file.id]
                assert whole.startswith(opened) or opened.startswith(whole), "a cut segment opens to something else"
            else:
                assert file.kind in (FileKind.POSTER, FileKind.SOUND), "start-up left something undone"
