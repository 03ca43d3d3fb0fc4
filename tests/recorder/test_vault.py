"""The vault's promises while everything works, on a disk in memory and on a real one."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from agent.clients.opening import HybridIdentity, X25519Identity, open_bytes, open_file_key
from agent.core.retention import RetentionLimits
from agent.core.timebase import BootNs, ClockQuality, seconds
from agent.core.vault.age.header import split
from agent.core.vault.commitment import key_commitment
from agent.core.vault.following import clip_chain_start, prev_in_clip_of
from agent.core.vault.hash_chain import FIRST, chain_hash
from agent.core.vault.manifest import open_line, read_chain, verify_chain
from agent.core.vault.records import (
    EvictionReason,
    EvictionRecord,
    GapReason,
    RecoveredRecord,
    SegmentRecord,
    SoundGapReason,
)
from agent.core.vault.segment import Content, split_media, split_poster
from agent.errors import FormatError, InternalError, OpenError, StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault import RetentionReport
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.fake_disk import FakeDisk
from tests.vaults import DEVICE_KEY, JPEG, OWNER, SEALING, TestVault, box, event_id, make_vault


@pytest.fixture(params=["in memory", "on disk"])
def tested(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestVault]:
    if request.param == "in memory":
        made = make_vault(FakeDisk())
    else:
        made = make_vault(RealDisk(), index=SqliteIndex(tmp_path / "index.sqlite"), root=tmp_path / "vault")
    yield made
    made.close()


MEDIA = (box(b"ftyp", b"isom"), box(b"moof", bytes(70_000)), box(b"mdat", bytes(range(256)) * 700))


def key_in(data: bytes) -> bytes:
    return open_file_key(data[: split(data)], [OWNER])


def test_nothing_on_the_disk_confirms_a_guess_of_what_was_recorded(tested: TestVault) -> None:
    """A thief who has the film, from somewhere else, cannot tell from hashes or lengths that this is it."""
    track = box(b"mdat", b"heard")
    tested.record(*MEDIA, poster=JPEG, sound=track)
    film = b"".join(MEDIA)
    lines = b"".join(tested.log.lines())
    said = b"".join(base64.b64decode(json.loads(line)["payload"]) for line in lines.splitlines())
    for guess in (film, JPEG, track):
        for hashed in (hashlib.sha256(guess), hashlib.sha1(guess), hashlib.md5(guess), hashlib.sha512(guess)):
            assert hashed.hexdigest().encode() not in said
        assert not re.search(rb"\b%d\b" % len(guess), said), "an exact length tells how long the sealed context is"


def test_an_owner_opens_what_was_recorded_and_finds_its_context(tested: TestVault) -> None:
    event = event_id(7)
    segment = tested.record(*MEDIA, event=event)
    media, context = split_media(open_bytes(tested.ciphertext(segment), [OWNER]))
    assert media == b"".join(MEDIA)
    record = tested.vault.record(segment).record
    assert isinstance(record, SegmentRecord)
    assert (context.segment, context.event, context.span) == (segment, event, record.span)
    assert context.kind is Content.SEGMENT
    assert record.key == key_commitment(key_in(tested.ciphertext(segment)))
    assert record.span.duration_us == 3_000_000
    assert record.quality is ClockQuality.SYNCED


def test_nobody_else_opens_it(tested: TestVault) -> None:
    """One file and a wrong key. For the whole disk of a stolen doorbell: `demo/evidence.py`: `steal`."""
    segment = tested.record(*MEDIA)
    with pytest.raises(OpenError):
        open_bytes(tested.ciphertext(segment), [X25519Identity(bytes(reversed(range(32))))])


def test_a_poster_is_sealed_like_a_segment_and_recorded_with_it(tested: TestVault) -> None:
    segment = tested.record(*MEDIA, poster=JPEG)
    poster = tested.vault.read_poster(segment)
    assert poster is not None
    image, context = split_poster(open_bytes(poster, [OWNER]))
    record = tested.vault.record(segment).record
    assert isinstance(record, SegmentRecord)
    assert image == JPEG
    assert (context.kind, context.segment, context.event, context.span) == (
        Content.POSTER, segment, record.event, record.span,
    )  # fmt: skip
    assert record.poster is not None
    assert record.poster.key == key_commitment(key_in(poster))
    assert tested.vault.read_poster(tested.record(*MEDIA)) is None


def test_a_hybrid_recipient_opens_a_segment_whose_header_carries_its_beginning() -> None:
    owner = HybridIdentity(bytes(range(32)))
    tested = make_vault(FakeDisk(), sealing=replace(SEALING, recipients=(owner.recipient(),)))
    media, _context = split_media(open_bytes(tested.ciphertext(tested.record(*MEDIA)), [owner]))
    assert media == b"".join(MEDIA)


def test_every_line_of_the_manifest_is_signed_and_follows_the_one_before(tested: TestVault) -> None:
    segments = [tested.record(*MEDIA) for _ in range(3)]
    tested.vault.record_gap(GapReason.PRIVACY, tested.clock.now(), tested.clock.advance(60))
    lines = list(tested.log.lines())
    assert len(lines) == 5
    assert verify_chain(lines, public_key_of(DEVICE_KEY)) == ()
    stranger = public_key_of(private_key_from_seed(b"e" * 32))
    assert len(verify_chain(lines, stranger)) == 5
    signed = tested.vault.record(segments[1])
    assert open_line(signed.line, public_key_of(DEVICE_KEY)) == signed
    with pytest.raises(OpenError):
        open_line(signed.line, stranger)


def test_every_record_is_signed_as_what_follows_its_clip_so_far(tested: TestVault) -> None:
    first = [tested.record(*MEDIA, event=event_id(1))]
    other = [tested.record(*MEDIA, event=event_id(2))]
    tested.vault.record_gap(GapReason.PRIVACY, tested.clock.now(), tested.clock.advance(60))
    first += [tested.record(*MEDIA, event=event_id(1)) for _ in range(2)]
    other.append(tested.record(*MEDIA, event=event_id(2)))
    for clip in (first, other):
        records = [tested.vault.record(name) for name in clip]
        assert clip_chain_start(records) == FIRST
        assert prev_in_clip_of(records[1]) == chain_hash(FIRST, records[0].line)


def test_what_a_power_cut_left_stands_in_its_clip_and_a_later_clip_begins_anew(tested: TestVault) -> None:
    clip = [tested.record(*MEDIA, event=event_id(1))]
    lost = tested.vault.begin(event_id(1), tested.clock.now())
    lost.write(MEDIA[0])
    lost.abandon()
    tested.vault.start()
    clip += [lost.id, tested.record(*MEDIA, event=event_id(1))]
    records = [tested.vault.record(name) for name in clip]
    assert [type(signed.record) for signed in records] == [SegmentRecord, RecoveredRecord, SegmentRecord]
    assert clip_chain_start(records) == FIRST
    assert prev_in_clip_of(tested.vault.record(tested.record(*MEDIA, event=event_id(2)))) == FIRST


def test_of_many_clips_the_longest_finished_are_forgotten(tested: TestVault) -> None:
    for number in range(9):
        tested.record(event=event_id(number))
    assert len(tested.vault._writer._reached) == 8
    assert prev_in_clip_of(tested.vault.record(tested.record(event=event_id(0)))) == FIRST
    assert prev_in_clip_of(tested.vault.record(tested.record(event=event_id(8)))) != FIRST


def test_a_window_finds_the_segments_that_overlap_it(tested: TestVault) -> None:
    ids = []
    for _ in range(4):
        ids.append(tested.record(*MEDIA))
        tested.clock.advance(10)
    entries = list(tested.vault.entries())
    assert [entry.id for entry in entries] == ids
    assert tested.vault.overlapping(entries[1].start_ms, entries[2].end_ms) == tuple(entries[1:3])
    assert tested.vault.overlapping(entries[1].end_ms, entries[2].start_ms) == ()
    assert tested.vault.overlapping(entries[3].end_ms - 1, entries[3].end_ms) == (entries[3],)


def test_a_clock_that_becomes_good_while_recording_dates_the_start(tested: TestVault) -> None:
    clock = tested.clock
    right_offset, clock.utc_offset_ns, clock.quality = clock.utc_offset_ns, 0, ClockQuality.UNKNOWN
    start = clock.now()
    writer = tested.vault.begin(event_id(1), start)
    writer.write(MEDIA[0])
    clock.advance(4)
    clock.utc_offset_ns, clock.quality = right_offset, ClockQuality.SYNCED
    span = writer.finish(clock.now()).span
    assert span.quality is ClockQuality.SYNCED
    assert span.start_ms == (right_offset + start.boot_ns) // 10**6
    assert span.end_ms - span.start_ms == 4000


def test_the_sound_is_a_file_of_its_own_and_says_what_the_segment_says(tested: TestVault) -> None:
    track = box(b"mdat", b"heard")
    segment = tested.record(*MEDIA, sound=track)
    sealed = tested.vault.read_sound(segment)
    assert sealed is not None
    heard, context = split_media(open_bytes(sealed, [OWNER]))
    _, seen = split_media(open_bytes(tested.ciphertext(segment), [OWNER]))
    assert heard == track
    assert (context.segment, context.span, context.ordinal) == (seen.segment, seen.span, seen.ordinal)
    record = tested.vault.record(segment).record
    assert isinstance(record, SegmentRecord)
    assert record.sound is not None
    assert context.kind is Content.SOUND
    assert record.sound.key == key_commitment(key_in(sealed))
    keys = [key_in(data) for data in (sealed, tested.ciphertext(segment))]
    assert keys[0] != keys[1], "whoever is given the pictures' key must not hear"
    assert tested.vault.read_sound(tested.record(*MEDIA)) is None


def test_a_segment_without_all_of_its_sound_says_so(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(0), tested.clock.now())
    tested.clock.advance(1)
    writer.write(MEDIA[0])
    writer.sound(None, SoundGapReason.MICROPHONE)
    record = writer.finish(tested.clock.now())
    assert (record.sound, record.silence) == (None, SoundGapReason.MICROPHONE)


def test_eviction_takes_the_oldest_first_and_neither_held_nor_newest(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA, poster=JPEG, sound=MEDIA[0]) for _ in range(5)]
    stored_bytes = tested.vault.totals().stored_bytes
    report = tested.vault.enforce_retention(held={ids[1]}, limits=RetentionLimits(most_bytes=1))
    assert list(report.evicted) == [ids[0], ids[2], ids[3]]
    assert report.short_bytes > 0
    assert [entry.id for entry in tested.vault.entries()] == [ids[1], ids[4]]
    assert tested.vault.totals().segments == 2
    kept = [name for shard in "abcdefghijklmnopqrstuvwxyz234567" for name in tested.store.names(shard)]
    assert sorted(kept) == sorted(
        f"{segment}{end}" for segment in (ids[1], ids[4]) for end in (".age", ".poster.age", ".sound.age")
    )
    assert report.freed_bytes == stored_bytes - tested.vault.totals().stored_bytes
    with pytest.raises(StorageError, match="not stored"):
        tested.vault.read(ids[0], 0, 10)


def test_a_second_start_finds_nothing_to_do_and_the_same_segments(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA) for _ in range(3)]
    tested.vault.enforce_retention(held=(), limits=RetentionLimits(most_bytes=1))
    before = list(tested.vault.entries())
    lines = list(tested.log.lines())
    report = tested.vault.start()
    assert (report.rebuilt, report.recovered, report.missing, report.quarantined, report.cut_bytes) == (
        False,
        [],
        [],
        [],
        0,
    )
    assert list(tested.vault.entries()) == before
    assert list(tested.log.lines()) == lines
    assert [entry.id for entry in before] == [ids[2]]


def test_a_deleted_index_is_rebuilt_equal(tested: TestVault) -> None:
    for number in range(6):
        tested.record(*MEDIA, poster=JPEG if number % 2 else None)
    tested.vault.enforce_retention(held=(), limits=RetentionLimits(most_bytes=tested.vault.totals().stored_bytes // 2))
    before, totals, tip = list(tested.vault.entries()), tested.vault.totals(), tested.index.chain_head()
    tested.index.clear()
    assert list(tested.vault.entries()) == []
    assert tested.vault.start().rebuilt
    assert (list(tested.vault.entries()), tested.vault.totals(), tested.index.chain_head()) == (before, totals, tip)


def test_the_ordinal_goes_on_within_a_boot_and_starts_anew_in_the_next(tested: TestVault) -> None:
    first, second = tested.record(*MEDIA), tested.record(*MEDIA)
    again = make_vault(tested.disk, index=tested.index, clock=tested.clock, root=tested.store._root, seed=1)
    third = again.record(*MEDIA)
    ordinals = {entry.id: entry.ordinal for entry in again.vault.entries()}
    assert [ordinals[first], ordinals[second], ordinals[third]] == [0, 1, 2]
    tested.clock.boot += 1
    later = make_vault(tested.disk, index=tested.index, clock=tested.clock, root=tested.store._root, seed=2)
    entry = later.vault.find(later.record(*MEDIA))
    assert entry is not None
    assert entry.ordinal == 0
    again.log.close()
    later.log.close()


def test_a_file_key_is_gone_from_memory_with_its_segment_and_was_never_on_the_disk(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []
    draw = tested.vault._entropy.token
    monkeypatch.setattr(tested.vault._entropy, "token", lambda size_bytes: drawn.append(draw(size_bytes)) or drawn[-1])
    segment = tested.record(*MEDIA, poster=JPEG, sound=box(b"mdat", b"heard"))
    stored = [tested.ciphertext(segment), tested.vault.read_poster(segment), tested.vault.read_sound(segment)]
    opened = {key_in(each) for each in stored if each}
    keys = [each for each in drawn if each in opened]
    assert len(keys) == 3
    on_disk = b"".join([*(each for each in stored if each), *tested.log.lines()])
    gc.collect()
    for number in range(len(keys)):
        spellings = (keys[number], keys[number].hex().encode(), base64.b64encode(keys[number]).rstrip(b"="))
        assert [each for each in spellings if each in on_disk] == []
        del spellings
        held_by = [type(each) for each in gc.get_referrers(keys[number]) if each is not drawn and each is not keys]
        assert held_by == []


def test_a_finished_segment_cannot_be_continued(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(MEDIA[0])
    writer.finish(tested.clock.advance(1))
    with pytest.raises(InternalError):
        writer.write(MEDIA[0])
    with pytest.raises(InternalError):
        writer.finish(tested.clock.now())
    writer.abandon()


def test_an_abandoned_segment_is_kept_up_to_what_was_written(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(bytes(200_000))
    writer.abandon()
    other = tested.record(*MEDIA)
    kept, last = tested.vault.entries()
    assert (kept.id, kept.whole, kept.witnessed, kept.event) == (writer.id, False, False, event_id(1))
    assert kept.quality is ClockQuality.UNKNOWN
    assert last.id == other


def test_a_segment_being_written_is_synced_every_two_seconds() -> None:
    disk = FakeDisk()
    tested = make_vault(disk)
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    unsynced_ns = 0
    disk.calls.clear()
    for _ in range(20):
        tested.clock.advance(0.5)
        unsynced_ns += seconds(0.5)
        writer.write(bytes(100_000))
        if ("sync_data", f"{writer.id}.part") in disk.calls:
            unsynced_ns = 0
        disk.calls.clear()
        assert unsynced_ns <= seconds(2)
    writer.finish(tested.clock.now())


def test_two_segments_may_be_open_at_once(tested: TestVault) -> None:
    first = tested.vault.begin(event_id(1), tested.clock.now())
    second = tested.vault.begin(event_id(2), tested.clock.now())
    first.write(MEDIA[0])
    second.write(MEDIA[1])
    tested.vault.start()  # as after a fault elsewhere: neither is taken for a left-over
    second.finish(tested.clock.advance(1))
    first.finish(tested.clock.advance(1))
    assert [entry.id for entry in tested.vault.entries()] == [second.id, first.id]


def test_a_segment_that_ends_before_it_starts_or_lasts_for_hours_is_kept_as_cut(tested: TestVault) -> None:
    for shift_s in (-1, 3601):
        writer = tested.vault.begin(event_id(1), tested.clock.now())
        writer.write(MEDIA[1])
        with pytest.raises(FormatError):
            writer.finish(tested.clock.now().at(BootNs(tested.clock.boot_ns + seconds(shift_s))))
        tested.vault.start()
        kept = tested.vault.find(writer.id)
        assert kept is not None
        assert not kept.whole


def test_a_player_plays_a_segment_as_it_is(tested: TestVault) -> None:
    encoded = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(encoded, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    segment = tested.record(encoded.getvalue())
    plaintext = open_bytes(tested.ciphertext(segment), [OWNER])
    assert len(plaintext) > len(encoded.getvalue())
    with av.open(io.BytesIO(plaintext)) as played:
        assert sum(1 for _frame in played.decode(video=0)) == 20


def test_on_a_full_disk_recording_wins_over_holds_and_says_so() -> None:
    disk = FakeDisk()
    tested = make_vault(disk, limits=RetentionLimits(1 << 40, free_bytes=64 << 20))
    ids = [tested.record() for _ in range(4)]
    held = set(ids)
    assert tested.vault.enforce_retention(held).evicted == ()
    used = disk.capacity_bytes - disk.free_bytes(Path("/"))
    disk.capacity_bytes = used + (60 << 20)  # below the floor: what holds forbid is only told
    assert tested.vault.enforce_retention(held, need_bytes=9000) == RetentionReport((), 0, 9000)
    disk.capacity_bytes = used + (8 << 20)  # below half of it: recording would stop
    report = tested.vault.enforce_retention(held, need_bytes=9000)
    assert report.held_but_evicted == report.evicted == tuple(ids[:3])
    assert [entry.id for entry in tested.vault.entries()] == ids[3:]
    reasons = [getattr(record, "reason", None) for record in tested.vault._records()]
    assert EvictionReason.RECORDING in reasons


def test_what_an_owner_deletes_goes_at_once_the_newest_too_and_the_manifest_says_by_whom(tested: TestVault) -> None:
    first, second, third = (tested.record(*MEDIA) for _ in range(3))
    assert tested.vault.erase([third, first, "a" * 26]) == (third, first)
    assert [entry.id for entry in tested.vault.entries()] == [second]
    assert tested.vault.erase([third, first]) == ()
    records = [step.signed.record for step in read_chain(tested.log.lines()) if step.signed is not None]
    assert isinstance(records[-1], EvictionRecord)
    assert (records[-1].segments, records[-1].reason) == ((third, first), EvictionReason.OWNER)
    fourth = tested.record(*MEDIA)
    assert [entry.id for entry in tested.vault.entries()] == [second, fourth]
