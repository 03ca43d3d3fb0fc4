"""Footage opens on the owner's machine, from the device or from the copied disk of one that stopped answering."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent.clients.media.join import probe
from agent.clients.opening import open_bytes
from agent.clients.owner.copied_vault import FolderVault
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.mp4_export import ExportedClip, clips_of, export_clip, export_review
from agent.clients.owner.review import RequestReview
from agent.clients.owner.sealed_footage import (
    OpenedSegment,
    open_captured,
    open_poster,
    open_sound,
    open_unrecorded,
)
from agent.clients.owner.segment_sources import DeviceVault, ListedSegment, record_of
from agent.clients.owner.sync import sync
from agent.core.object_detection.labels import ObjectLabel, sorted_labels
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.fields import Stamp, segment_id
from agent.core.vault.manifest import LONGEST_LINE_BYTES, ChainHead, open_line, parse_line, sign_record
from agent.core.vault.records import (
    BootRecord,
    Chapter,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    RecoveredRecord,
    SegmentRecord,
    digest,
)
from agent.core.vault.segment import begin_in
from agent.errors import ConfigurationError, FormatError, NetworkError, OpenError
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed
from tests.clients.owner.conftest import WINDOW_MS, Home, now, seeds
from tests.clients.owner.fake_device import BOOT, JPEG
from tests.damage import with_another_end
from tests.hostile import HOSTILE_FILMS, box
from tests.lengths import one_in
from tests.sounds import heard_from_s, track
from tests.wire.samples import MLDSA_KEY


def device_vault(home: Home) -> DeviceVault:
    return DeviceVault(home.device, sync(home.device, home.keys).key)


def test_a_segment_opens_from_the_device(home: Home, media: list[bytes]) -> None:
    opened = device_vault(home).open(home.segments[0], home.keys.identities)
    assert opened.media == media[0]
    assert opened.record is not None
    assert opened.record.signed_by(home.device.key)


def test_a_list_cannot_make_a_segment_be_another(home: Home) -> None:
    other = home.device.stored[home.segments[1]]
    home.device.lies["segment"] = lambda result, data: ({"record": other.signed.line.decode()}, other.sealed)
    with pytest.raises(OpenError, match="about something else"):
        device_vault(home).open(home.segments[0], home.keys.identities)


def test_clips_become_ordinary_videos_with_their_posters(home: Home, tmp_path: Path) -> None:
    vault = device_vault(home)
    clips = clips_of(vault.listed(WINDOW_MS, WINDOW_MS + 10_000))
    assert [len(clip) for clip in clips] == [2]
    done = export_clip(vault, [home.keys.identity], clips[0], tmp_path / "out")
    assert done.video is not None
    assert done.still is not None
    assert (probe(done.video).frames, done.seconds) == (40, 4.0)
    assert done.still.read_bytes() == JPEG
    assert done.notes == ()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_a_clip_is_exported_with_its_sound_in_time_or_without_it(home: Home, tmp_path: Path) -> None:
    vault = device_vault(home)
    (clip,) = clips_of(vault.listed(WINDOW_MS, WINDOW_MS + 10_000))
    heard = export_clip(vault, [home.keys.identity], clip, tmp_path / "heard")
    mute = export_clip(vault, [home.keys.identity], clip, tmp_path / "mute", sound=False)
    assert heard.video is not None
    assert mute.video is not None
    (begins_s,) = heard_from_s(heard.video)
    assert abs(begins_s - 1) < 0.01
    assert heard_from_s(mute.video) == []
    assert probe(heard.video).frames == probe(mute.video).frames == 40
    assert heard.seconds == mute.seconds == 4.0


def test_the_copied_disk_of_a_dead_device_is_heard_too(home: Home, tmp_path: Path) -> None:
    folder = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    (clip, _) = clips_of(folder.listed())
    done = export_clip(folder, [home.keys.identity], clip, tmp_path / "out")
    assert done.video is not None
    assert len(heard_from_s(done.video)) == 1
    stored = home.device.stored[home.segments[0]]
    assert stored.sound is not None
    stored.sound = with_another_end(stored.sound)
    vault = DeviceVault(home.device, home.device.key)
    hurt = export_clip(vault, [home.keys.identity], clip, tmp_path / "hurt")
    assert hurt.seconds == 4.0, "a sound that does not open costs nothing but itself"
    assert "sound" in hurt.notes[0]


def test_a_damaged_segment_costs_only_itself(home: Home, tmp_path: Path) -> None:
    stored = home.device.stored[home.segments[1]]
    stored.sealed = with_another_end(stored.sealed)
    vault = DeviceVault(home.device, home.device.key)
    done = export_clip(vault, [home.keys.identity], clips_of(vault.listed())[0], tmp_path)
    assert done.seconds == 2.0
    assert len(done.notes) == 1
    assert home.segments[1] in done.notes[0]


def test_segments_that_do_not_go_into_one_video_are_written_one_by_one(
    home: Home, tmp_path: Path, other_media: bytes
) -> None:
    home.device.record(other_media, WINDOW_MS + 4000, event=1)
    vault = DeviceVault(home.device, home.device.key)
    done = export_clip(vault, [home.keys.identity], clips_of(vault.listed())[0], tmp_path)
    assert done.seconds == pytest.approx(6.0)
    assert "segment by segment" in done.notes[0]
    assert len(list(tmp_path.glob("2027*.mp4"))) == 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.glob("2027*"))


@pytest.mark.parametrize("name", one_in(3, HOSTILE_FILMS))
def test_a_hostile_film_of_a_network_camera_is_opened_by_a_process_with_limits_and_costs_only_itself(
    home: Home, media: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def opened_here(*_: object, **__: object) -> None:
        raise AssertionError("this process opened foreign media")

    monkeypatch.setattr("agent.clients.media.join.av.open", opened_here)
    monkeypatch.setattr("agent.media.poster.av.open", opened_here)
    home.device.record(HOSTILE_FILMS[name](media[0]), WINDOW_MS + 4000, event=1)
    vault = DeviceVault(home.device, home.device.key)
    done = export_clip(vault, home.keys.identities, clips_of(vault.listed())[0], tmp_path)
    assert done.video is not None
    assert done.seconds >= 4.0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_clip_of_which_nothing_is_a_video_says_so(home: Home, tmp_path: Path) -> None:
    home.device.record(box(b"free", bytes(50)), WINDOW_MS + 90_000, event=7)
    vault = DeviceVault(home.device, home.device.key)
    done = export_clip(vault, home.keys.identities, clips_of(vault.listed())[-1], tmp_path)
    assert (done.video, done.still, done.seconds) == (None, None, 0.0)
    assert "part 1 is left out" in done.notes[-1]


def test_a_list_in_pages_is_read_to_its_end_and_no_further(home: Home) -> None:
    everything = home.device.on_list(b"", 0, 2**53)["segments"]
    pages = iter([everything[:2], everything[1:], everything[2:]])
    home.device.lies["list"] = lambda result, data: ({"segments": next(pages), "more": True}, data)
    assert [item.id for item in DeviceVault(home.device, home.device.key).listed()] == list(home.segments)


def test_the_disk_of_a_dead_device_opens_with_the_owners_identity(
    home: Home, tmp_path: Path, media: list[bytes]
) -> None:
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    assert vault.signed
    assert vault.faults == ()
    assert [item.id for item in vault.listed()] == list(home.segments)
    assert vault.open(home.segments[2], home.keys.identities).media == media[2]
    assert vault.poster(home.segments[0], [home.keys.identity]).image == JPEG


def test_it_opens_with_the_recovery_page_on_a_borrowed_machine(home: Home, tmp_path: Path, media: list[bytes]) -> None:
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {})
    assert not vault.signed
    assert vault.open(home.segments[0], [home.keys.recovery()]).media == media[0]


def test_it_opens_for_nobody_else(home: Home, tmp_path: Path) -> None:
    stranger = OwnerKeys.create(tmp_path / "stranger", seeds=seeds("stranger"))
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {})
    for name in home.segments:
        with pytest.raises(OpenError):
            vault.open(name, [stranger.identity, stranger.recovery()])


def test_the_vaults_own_folder_will_do_and_any_other_will_not(home: Home, tmp_path: Path) -> None:
    copy = home.device.copy_to(tmp_path / "copy")
    assert len(FolderVault(copy / "vault", {}).listed()) == 3
    with pytest.raises(ConfigurationError, match="holds no vault"):
        FolderVault(tmp_path, {})


@pytest.mark.parametrize("recorded", [True, False])
def test_a_segment_cut_by_a_power_failure_opens_to_its_last_whole_fragment(
    home: Home, tmp_path: Path, media: list[bytes], recorded: bool
) -> None:
    # Three chunks of 64 KiB and a bit, of which the last is torn.
    long = media[0] + b"".join(media[1:])
    long = long * (1 + 200_000 // len(long))
    name = home.device.cut_short(long, WINDOW_MS, 0.9, recorded=recorded)
    if not recorded:
        home.device.lines = home.device.lines[:]
    part = None if recorded else name
    vault = FolderVault(home.device.copy_to(tmp_path / "copy", part=part), {home.device.key.id: home.device.key})
    opened = vault.open(name, [home.keys.identity])
    assert not opened.whole
    assert opened.context is None
    assert (opened.record is not None) is recorded
    assert 0 < opened.verified_bytes < len(home.device.stored[name].sealed)
    assert long.startswith(opened.media)
    assert opened.media
    listed = next(item for item in vault.listed() if item.id == name)
    assert not listed.whole


def test_a_cut_segment_is_exported_as_far_as_it_is_authentic_and_says_so(
    home: Home, tmp_path: Path, media: list[bytes]
) -> None:
    long = media[0] + bytes(0)
    name = home.device.cut_short(long + b"\0" * 200_000, WINDOW_MS, 0.8)
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    clip = next(clip for clip in clips_of(vault.listed()) if clip[0].id == name)
    done = export_clip(vault, [home.keys.identity], clip, tmp_path / "out")
    assert done.seconds == 2.0
    assert "verified to byte" in done.notes[0]


def test_a_cut_segment_under_another_record_is_betrayed_by_its_header(home: Home, media: list[bytes]) -> None:
    cut = [home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS + n * 1000, 0.8) for n in (0, 1)]
    a, b = (home.device.stored[name] for name in cut)
    values = {name: getattr(a.signed.record, name) for name in a.signed.record.__struct_fields__}
    a.signed = home.device._record(type(a.signed.record)(**values | {"file": b.signed.record.file}))  # type: ignore[union-attr]
    a.sealed = b.sealed
    with pytest.raises(FormatError, match="does not begin with the bytes that the device signed"):
        device_vault(home).open(cut[0], home.keys.identities)


def test_a_manifest_line_not_signed_by_the_device_is_left_out_and_told(home: Home, tmp_path: Path) -> None:
    copy = home.device.copy_to(tmp_path / "copy")
    manifest = copy / "vault" / "manifest.0"
    lines = manifest.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"sig":"', b'"sig":"AAAA', 1)
    manifest.write_bytes(b"".join(lines))
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    assert vault.faults
    # It is still listed from the file's header, and still opened, but no record vouches for it.
    opened = vault.open(home.segments[0], [home.keys.identity])
    assert opened.record is None
    assert opened.whole


def test_a_pipe_under_the_name_of_a_chapter_holds_nobody_up(home: Home, tmp_path: Path) -> None:
    copy = home.device.copy_to(tmp_path / "copy")
    os.mkfifo(copy / "vault" / "manifest.7")
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    assert vault.faults == ()
    assert vault.listed()


def test_a_record_that_another_key_signed_counts_for_nothing(home: Home, tmp_path: Path) -> None:
    real, home.device.private = home.device.private, private_key_from_seed(b"z" * 32)
    tip = home.device.tip
    home.device._newest_second = None  # the line that is replaced has a second signature, and so has this one
    forged = home.device._record(home.device.stored[home.segments[0]].signed.record)
    home.device.private, home.device.tip = real, tip
    home.device.lines = [line for line in home.device.lines if line != forged.line]
    at = home.device.lines.index(home.device.stored[home.segments[0]].signed.line)
    home.device.lines[at] = forged.line
    newest: Any = home.device.stored[home.segments[2]].signed.record
    home.device._record(CoverageRecord(span=newest.span))
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    assert "not this device's" in vault.faults[0].problem
    assert vault.open(home.segments[0], [home.keys.identity]).record is None
    assert vault.open(home.segments[1], [home.keys.identity]).record is not None


def forged_copy(home: Home, folder: Path, *added: Any, cut: int = 0) -> FolderVault:
    """A copy of the disk as a forger of Ed25519 writes it, who lacks the second key: `added` are lines of theirs,
    behind the device's lines without the last `cut`. Each follows the line before it."""
    lines = home.device.lines[: len(home.device.lines) - cut]
    newest = parse_line(lines[-1])
    tip = ChainHead(0, newest.sequence + 1, newest.chain_hash)
    for record in added:
        signed = sign_record(record, tip, home.device.private.sign)
        tip = tip.after(signed)
        lines.append(signed.line)
    home.device.lines = lines
    keys = {home.device.key.id: home.device.key}
    return FolderVault(home.device.copy_to(folder), keys, {home.device.key.id: MLDSA_KEY})


def later(record: Any, duration_s: int, **changes: Any) -> Any:
    span = record.span
    by_us = duration_s * 10**6
    moved = msgspec.structs.replace(
        span, start_us=span.start_us + by_us, end_us=span.end_us + by_us, utc_ms=span.utc_ms + duration_s * 1000
    )
    return msgspec.structs.replace(record, span=moved, **changes)


def test_a_forger_of_ed25519_adds_no_record_of_a_later_hour(home: Home, tmp_path: Path) -> None:
    """Each of their lines follows, and the device's first key could have signed it. Only the second key did not."""
    stored = home.device.stored[home.segments[2]]
    genuine: Any = stored.signed.record
    vault = forged_copy(home, tmp_path / "copy", later(genuine, 3_600), cut=1)
    assert [fault.problem for fault in vault.faults] == ["The line lacks the second signature, by ML-DSA-44."]
    assert vault.open(home.segments[2], [home.keys.identity]).record is None
    assert vault.open(home.segments[1], [home.keys.identity]).record is not None


def test_records_of_the_last_hour_are_told_as_signed_once_and_take_the_place_of_none(
    home: Home, tmp_path: Path
) -> None:
    genuine: Any = home.device.stored[home.segments[0]].signed.record
    assert home.device.stored[home.segments[0]].signed.mldsa is not None, "hours after the boot"
    vault = forged_copy(home, tmp_path / "copy", later(genuine, 1, label="forged"))
    assert vault.faults == ()
    assert vault.signed_once == set(home.segments[1:]), "the line of the first has a second signature"
    opened = vault.open(home.segments[0], [home.keys.identity])
    assert opened.record is not None
    assert opened.record.record.label_text == genuine.label_text  # type: ignore[union-attr]


def test_a_second_signature_covers_the_records_before_it(home: Home, tmp_path: Path) -> None:
    """The device's own line covers also a record behind damage that took the line with the signature."""
    newest: Any = home.device.stored[home.segments[2]].signed.record
    home.device._record(CoverageRecord(span=newest.span))
    vault = forged_copy(home, tmp_path / "copy")
    assert (vault.faults, vault.signed_once, vault.unknown_mldsa) == ((), frozenset(), "")
    assert parse_line(home.device.lines[1]).mldsa is not None
    home.device.lines[1] = b"\0" * len(home.device.lines[1])
    damaged = forged_copy(home, tmp_path / "damaged")
    assert len(damaged.faults) > 1
    assert (damaged.signed, damaged.signed_once) == (True, frozenset())
    opened = [damaged.open(name, [home.keys.identity]) for name in home.segments]
    assert [each.record is not None for each in opened] == [False, True, True]


def test_a_manifest_of_another_second_key_is_refused_if_the_key_is_known_and_named_if_not(
    home: Home, tmp_path: Path
) -> None:
    """A forger of Ed25519 writes every line again, with a second key of theirs."""
    theirs = mldsa_key_from_seed(b"t" * 32)
    key = MldsaPublicKey.of(theirs)
    tip, lines = ChainHead(), []
    for line in home.device.lines:
        record: Any = parse_line(line).record
        if isinstance(record, BootRecord):
            record = msgspec.structs.replace(record, device_mldsa=key.text)
        signed = sign_record(record, tip, home.device.private.sign, theirs.sign)
        tip = tip.after(signed)
        lines.append(signed.line)
    home.device.lines = lines
    vault = forged_copy(home, tmp_path / "copy")
    assert {fault.problem for fault in vault.faults} == {
        "The line names another ML-DSA-44 key than this device's.", "The second signature is not this device's.",
    }  # fmt: skip
    assert all(vault.open(name, [home.keys.identity]).record is None for name in home.segments)
    stranger = FolderVault(tmp_path / "copy", {home.device.key.id: home.device.key})
    assert (stranger.faults, stranger.unknown_mldsa) == ((), key.text)


def test_a_file_under_another_name_is_not_what_its_name_says(home: Home, tmp_path: Path, media: list[bytes]) -> None:
    name = home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS, 0.8, recorded=False)
    copy = home.device.copy_to(tmp_path / "copy", part=name)
    other = segment_id(b"another segment.")
    path = copy / "vault" / "segments" / other[0] / f"{other}.part"
    path.parent.mkdir(exist_ok=True)
    (copy / "vault" / "segments" / name[0] / f"{name}.part").rename(path)
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    with pytest.raises(FormatError, match="another segment than its name says"):
        vault.open(other, [home.keys.identity])


def recovered_whole(home: Home, name: str, device: str = "") -> OpenedSegment:
    """A segment as the device would have recovered it: whole, but without a record."""
    stored = home.device.stored[name]
    begin = begin_in(parse_header(stored.sealed)[0])
    stamp = Stamp(boot=begin.boot, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    file = digest((stored.sealed,), split(stored.sealed))
    stored.signed = home.device._record(RecoveredRecord(begin=begin, complete=True, file=file, at=stamp))
    return open_captured(stored.signed, stored.sealed, [home.keys.identity], device=device or home.device.key.id)


def test_a_recovered_segment_opens_whole_and_is_its_devices(home: Home, media: list[bytes]) -> None:
    opened = recovered_whole(home, home.segments[0])
    assert (opened.media, opened.whole) == (media[0], True)
    with pytest.raises(FormatError, match="recorded by another device"):
        recovered_whole(home, home.segments[1], device="0" * 16)


def test_a_segment_whose_ends_disagree_does_not_open(home: Home, media: list[bytes]) -> None:
    begin = begin_in(parse_header(home.device.stored[home.segments[0]].sealed)[0])
    other = home.device.stored[home.segments[1]]
    plaintext = open_bytes(other.sealed, [home.keys.identity])
    sealed, _ = home.device._seal(plaintext, begin)
    with pytest.raises(FormatError, match="different ids at its beginning and its end"):
        open_unrecorded(sealed, [home.keys.identity])


def test_the_sound_of_another_segment_under_this_record_is_betrayed_by_its_inside(home: Home) -> None:
    other = home.device.record(b"\0\0\0\x08free", WINDOW_MS + 120_000, event=7, sound=track(2))
    shown, old = home.device.stored[home.segments[0]], home.device.stored[other]
    record, theirs = shown.signed.record, old.signed.record
    assert isinstance(record, SegmentRecord)
    assert isinstance(theirs, SegmentRecord)
    assert old.sound is not None
    signed = home.device._record(msgspec.structs.replace(record, sound=theirs.sound))
    assert open_sound(old.signed, old.sound, [home.keys.identity], device=home.device.key.id)
    with pytest.raises(FormatError, match="differs from the record signed"):
        open_sound(signed, old.sound, [home.keys.identity], device=home.device.key.id)


def test_the_clips_of_a_review_are_written_as_a_film_a_still_and_their_segments(home: Home, tmp_path: Path) -> None:
    review = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    opened: list[str] = []
    done = export_review(review, review.clips[0], tmp_path / "out", lambda: opened.append("one"))
    assert opened == ["one", "one"]
    assert done.notes == ()
    assert done.video == tmp_path / "out" / "clip-1.mp4"
    assert probe(done.video).frames == 40
    assert done.still is not None
    assert done.still.read_bytes() == JPEG
    assert {number: probe(path).frames for number, path in done.segments.items()} == {1: 20, 2: 20}
    assert [path.name for path in done.segments.values()] == ["segment-001.mp4", "segment-002.mp4"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_of_a_clip_of_a_review_what_is_damaged_is_left_out_and_named(home: Home, tmp_path: Path) -> None:
    review = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    stored = home.device.stored[home.segments[0]]
    assert stored.poster is not None
    stored.sealed = stored.sealed[:-1] + bytes([stored.sealed[-1] ^ 1])
    stored.poster = stored.poster[:-1] + bytes([stored.poster[-1] ^ 1])
    opened: list[str] = []
    done = export_review(review, review.clips[0], tmp_path / "out", lambda: opened.append("one"))
    assert opened == ["one", "one"]
    assert list(done.segments) == [2]
    assert done.video is not None
    assert probe(done.video).frames == 20
    assert [note.partition(":")[0] for note in done.notes] == ["segment 1 is left out", "the poster is left out"]
    assert done.still is not None
    assert done.still.read_bytes() != JPEG


def test_of_a_clip_of_a_review_that_does_not_open_nothing_is_written(home: Home, tmp_path: Path) -> None:
    review = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    stored = home.device.stored[home.segments[2]]
    stored.sealed = stored.sealed[:-1] + bytes([stored.sealed[-1] ^ 1])
    done = export_review(review, review.clips[1], tmp_path / "out")
    assert (done.video, done.still, done.segments) == (None, None, {})
    assert [note.partition(":")[0] for note in done.notes] == ["segment 3 is left out"]


def test_a_list_of_a_window_holds_what_lies_in_it_and_not_what_only_touches_it(home: Home, tmp_path: Path) -> None:
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    first, second, third = home.segments

    def ids(from_ms: int, to_ms: int) -> list[str]:
        return [item.id for item in vault.listed(WINDOW_MS + from_ms, WINDOW_MS + to_ms)]

    assert ids(2000, 60_000) == [second]
    assert ids(1999, 60_001) == [first, second, third]
    assert ids(62_000, 90_000) == []
    assert [item.id for item in vault.listed()] == [first, second, third]


def test_the_list_of_a_copied_vault_is_the_list_of_its_device(home: Home, media: list[bytes], tmp_path: Path) -> None:
    home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS + 120_000, 0.8)
    copied = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    assert copied.listed() == DeviceVault(home.device, home.device.key).listed()
    assert [each.poster for each in copied.listed()] == [True, False, True, False]
    assert [each.sound for each in copied.listed()] == [True, False, False, False]
    assert [each.whole for each in copied.listed()] == [True, True, True, False]


def test_a_file_without_a_record_is_listed_from_its_header_with_an_unknown_clock(
    home: Home, media: list[bytes], tmp_path: Path
) -> None:
    name = home.device.cut_short(media[0] + bytes(200_000), WINDOW_MS, 0.8, recorded=False)
    vault = FolderVault(home.device.copy_to(tmp_path / "copy", part=name), {home.device.key.id: home.device.key})
    begin = begin_in(parse_header(home.device.stored[name].sealed)[0])
    assert next(each for each in vault.listed() if each.id == name) == ListedSegment(
        id=name, event=begin.event, ordinal=begin.ordinal, start_ms=WINDOW_MS, end_ms=WINDOW_MS + 30_000,
        quality=ClockQuality.UNKNOWN, size_bytes=len(home.device.stored[name].sealed), poster=False, whole=False,
    )  # fmt: skip
    for content, ask in (("poster", vault.poster), ("sound", vault.sound)):
        with pytest.raises(FormatError, match=f"recorded no {content} for segment {name}"):
            ask(name, home.keys.identities)


def test_what_a_copied_vault_does_not_hold_is_refused_by_its_name(home: Home, tmp_path: Path) -> None:
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    other = segment_id(b"another segment.")
    for ask in (vault.open, vault.poster, vault.sound):
        with pytest.raises(ConfigurationError, match=f"Segment {other} is not in"):
            ask(other, home.keys.identities)


def test_a_record_that_its_device_deleted_does_not_vouch_for_a_file_that_came_back(home: Home, tmp_path: Path) -> None:
    stamp = Stamp(boot=BOOT, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    gone = home.segments[:1]
    home.device._record(EvictionRecord(segments=gone, reason=EvictionReason.OWNER, at=stamp))
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    assert vault.open(gone[0], home.keys.identities).record is None
    assert vault.open(home.segments[1], home.keys.identities).record is not None


def test_a_record_that_is_about_no_segment_opens_none(home: Home) -> None:
    stored = home.device.stored[home.segments[0]]
    boot, bare = open_line(home.device.lines[0], home.device.key), home.device.stored[home.segments[1]].signed
    with pytest.raises(FormatError, match="not about a segment"):
        open_captured(boot, stored.sealed, home.keys.identities, device=home.device.key.id)
    for ask, content in ((open_poster, "poster"), (open_sound, "sound")):
        with pytest.raises(FormatError, match=f"signed no {content}"):
            ask(boot, stored.sealed, home.keys.identities, device=home.device.key.id)
        with pytest.raises(FormatError, match=f"signed no {content}"):
            ask(bare, stored.sealed, home.keys.identities, device=home.device.key.id)


def test_bytes_that_are_no_age_file_are_not_the_signed_ones(home: Home) -> None:
    signed = home.device.stored[home.segments[0]].signed
    with pytest.raises(OpenError, match="not the ones the device signed"):
        open_captured(signed, b"no age file", home.keys.identities, device=home.device.key.id)


def test_sound_in_the_place_of_pictures_is_not_shown_as_pictures(home: Home) -> None:
    stored = home.device.stored[home.segments[0]]
    begin = begin_in(parse_header(stored.sealed)[0])
    assert stored.sound is not None
    sealed, _ = home.device._seal(open_bytes(stored.sound, home.keys.identities), begin)
    with pytest.raises(FormatError, match="are labelled as something else"):
        open_unrecorded(sealed, home.keys.identities)


def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(home: Home) -> None:
    home.device.lies["list"] = lambda result, data: ({**result, "segments": [{"id": 7}]}, data)
    with pytest.raises(NetworkError, match="'list' cannot be used"):
        DeviceVault(home.device, home.device.key).listed()
    home.device.lies["list"] = lambda result, data: (
        {**result, "segments": [{**each, "quality": "of another version"} for each in result["segments"]]},
        data,
    )
    with pytest.raises(NetworkError, match="list of segments cannot be read"):
        DeviceVault(home.device, home.device.key).listed()


class LostConnection(DeviceVault):
    def open(self, *_: object) -> OpenedSegment:
        raise NetworkError("The device stopped answering.")


def test_a_lost_connection_stops_an_export_and_is_not_taken_for_a_damaged_segment(home: Home, tmp_path: Path) -> None:
    vault = DeviceVault(home.device, home.device.key)
    (clip, *_) = clips_of(vault.listed())
    with pytest.raises(NetworkError, match="stopped answering"):
        export_clip(LostConnection(home.device, home.device.key), home.keys.identities, clip, tmp_path)

    def away(*_: object) -> tuple[dict[str, object], bytes]:
        raise NetworkError("The device stopped answering.")

    home.device.lies["sound"] = away
    with pytest.raises(NetworkError, match="stopped answering"):
        export_clip(vault, home.keys.identities, clip, tmp_path)


def test_a_clip_of_which_nothing_opens_leaves_no_file_and_names_each_segment(home: Home, tmp_path: Path) -> None:
    for name in home.segments[:2]:
        stored = home.device.stored[name]
        stored.sealed = with_another_end(stored.sealed)
    vault = DeviceVault(home.device, home.device.key)
    (clip, _) = clips_of(vault.listed())
    opened: list[str] = []
    done = export_clip(vault, home.keys.identities, clip, tmp_path / "out", lambda: opened.append("one"))
    assert (done.video, done.still, done.seconds, done.segments) == (None, None, 0.0, ())
    assert (done.event, done.start_ms) == (clip[0].event, clip[0].start_ms)
    assert [note.partition(" is left out")[0] for note in done.notes] == [
        f"segment {each}" for each in home.segments[:2]
    ]
    assert not (tmp_path / "out").exists()
    assert len(opened) == 2


def test_a_poster_that_does_not_open_is_named_and_a_picture_of_the_film_takes_its_place(
    home: Home, tmp_path: Path
) -> None:
    stored = home.device.stored[home.segments[0]]
    assert stored.poster is not None
    stored.poster = with_another_end(stored.poster)
    vault = DeviceVault(home.device, home.device.key)
    (clip, _) = clips_of(vault.listed())
    done = export_clip(vault, home.keys.identities, clip, tmp_path)
    assert [note.partition(":")[0] for note in done.notes] == ["the poster is left out"]
    assert done.still is not None
    assert done.still.read_bytes()[:3] == JPEG[:3]
    assert done.still.read_bytes() != JPEG
    assert done.still.stat().st_mode & 0o777 == 0o600


def test_a_part_that_is_no_video_costs_only_itself_where_parts_are_written_one_by_one(
    home: Home, tmp_path: Path
) -> None:
    home.device.record(box(b"free", bytes(50)), WINDOW_MS - 2000, event=1)
    vault = DeviceVault(home.device, home.device.key)
    clip = next(each for each in clips_of(vault.listed()) if len(each) == 3)
    done = export_clip(vault, home.keys.identities, sorted(clip, key=lambda item: item.start_ms), tmp_path)
    assert done.seconds == pytest.approx(4.0)
    assert [note.partition(":")[0] for note in done.notes] == ["written segment by segment", "part 1 is left out"]
    assert done.video is not None
    assert [path.name[-8:] for path in sorted(tmp_path.glob("*.mp4"))] == ["-002.mp4", "-003.mp4"]
    assert done.video.name.endswith("-002.mp4")


def test_an_exported_clip_has_the_labels_of_all_its_segments_and_tells_unsure_from_unexamined(home: Home) -> None:
    def clip(*labels: tuple[ObjectLabel, ...] | None) -> ExportedClip:
        opened = tuple(SimpleNamespace(context=SimpleNamespace(seen=each)) for each in labels)
        return ExportedClip("e", 0, None, None, 0.0, (SimpleNamespace(context=None), *opened), ())  # type: ignore[arg-type]

    person, vehicle = sorted_labels(list(ObjectLabel))[:2]
    assert clip((vehicle,), None, (person, vehicle)).seen == (person, vehicle)
    assert clip((), None).seen == ()
    assert clip(None, None).seen is None
    assert clip().seen is None


def test_a_copied_vault_without_a_manifest_names_no_device_and_lists_its_files(home: Home, tmp_path: Path) -> None:
    copy = home.device.copy_to(tmp_path / "copy")
    (copy / "vault" / "manifest.0").unlink()
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    assert (vault.device, vault.signed, vault.faults) == ("", False, ())
    assert [item.id for item in vault.listed()] == list(home.segments)
    whole = FolderVault(home.device.copy_to(tmp_path / "whole"), {})
    assert (whole.device, whole.signed) == (home.device.key.id, False)


def beginning(home: Home, number: int, oldest: int) -> bytes:
    stamp = Stamp(boot=BOOT, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    chapter = Chapter(number=number, oldest=oldest, device=home.device.key.id, device_mldsa=MLDSA_KEY.text, at=stamp)
    return sign_record(chapter, ChainHead(), home.device.private.sign).line


def test_the_newest_chapter_says_which_ones_are_needed(home: Home, tmp_path: Path) -> None:
    """Older chapters that are still there were deleted, and came back with a power cut or by hand."""
    (tmp_path / "segments").mkdir()
    for name in ("manifest.0", "manifest.1", "manifest.2", "manifest.10", "manifest.2.part"):
        (tmp_path / name).write_bytes(b"")
    numbers = (0, 1, 2, 10)
    vault = FolderVault(tmp_path, {})
    paths = vault._chapters()
    assert paths == {number: tmp_path / f"manifest.{number}" for number in numbers}
    assert vault._oldest_needed(paths, None, None) == 0
    for number, oldest in ((1, 1), (2, 2)):
        paths[number].write_bytes(beginning(home, number, oldest))
    assert vault._oldest_needed(paths, None, None) == 2
    assert vault._oldest_needed(paths, home.device.key, MLDSA_KEY) == 0, "both were signed once"


def test_the_first_line_of_a_chapter_is_read_and_no_other(home: Home, tmp_path: Path) -> None:
    line = beginning(home, 7, 5)
    path = tmp_path / "manifest.7"
    (tmp_path / "segments").mkdir()
    vault = FolderVault(tmp_path, {})
    for data, number, oldest in (
        (line, 7, 5),
        (line + b"\n" + line + b"\n", 7, 5),
        (line + b"\n", 6, 0),
        (b"\n" + line + b"\n", 7, 0),
        (line.rjust(LONGEST_LINE_BYTES) + b"\n", 7, 5),
        (line.rjust(LONGEST_LINE_BYTES + 1) + b"\n", 7, 0),
        (b"", 7, 0),
    ):
        path.write_bytes(data)
        assert vault._oldest_needed({number: path}, None, None) == oldest


def test_each_page_of_a_list_is_asked_for_from_where_the_one_before_ended(home: Home) -> None:
    """The last segment of a page comes again with the next one, and a page of nothing new ends the list."""
    listed = home.device.on_list(b"", from_ms=0, to_ms=2**53)["segments"]
    first, second, third = listed
    pages = {0: [first, second], second["start_ms"]: [second, third], third["start_ms"]: [third]}
    asked: list[tuple[int, int]] = []

    def page(body: bytes, from_ms: int, to_ms: int) -> dict[str, Any]:
        asked.append((from_ms, to_ms))
        return {"segments": pages[from_ms], "more": True}

    home.device.on_list = page  # type: ignore[method-assign]
    found = DeviceVault(home.device, home.device.key).listed(to_ms=9 * 10**12)
    assert [each.id for each in found] == list(home.segments)
    assert asked == [(from_ms, 9 * 10**12) for from_ms in pages]


def test_a_record_is_of_the_segment_that_was_asked_for(home: Home) -> None:
    line = home.device.stored[home.segments[0]].signed.line.decode()
    assert record_of(line, home.segments[0], home.device.key).record.id == home.segments[0]  # type: ignore[union-attr]
    for other, name in ((line, home.segments[1]), (home.device.lines[0].decode(), home.segments[0])):
        with pytest.raises(OpenError) as refused:
            record_of(other, name, home.device.key)
        assert str(refused.value) == f"The device's record for segment {name} is about something else."
