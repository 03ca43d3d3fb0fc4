"""Opened segments at the clients of owner and requester: join, count, look."""

from __future__ import annotations

import hashlib
import struct
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.join import MediaInfo, _is_mixed, _parameter_sets, _picture_format, join_mp4, probe
from agent.clients.media.redact import cover_film
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs, ClockQuality
from agent.core.vault.fields import TimeSpan, segment_id
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.core.vault.segment import Content, Context, poster_plaintext, split_poster
from agent.errors import FormatError, StorageError
from agent.media.annexb import ParameterSets
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.poster import poster, poster_of_media
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from demo.contact_sheet import SheetTile, TileState, contact_sheet
from tests.cameras import FIRST_NS, gops_of, play
from tests.sounds import packets_of, stereo, track

UUID_BOX = struct.pack(">I4s16s", 30, b"uuid", bytes(16)) + b"record"


def as_segments(description: StreamDescription, gops: list[Gop], gops_each: int = 2) -> list[bytes]:
    segments = []
    for begin in range(0, len(gops), gops_each):
        writer = FragmentedMp4Writer(description)
        first, *others = gops[begin : begin + gops_each]
        segments.append(writer.begin(first) + b"".join(map(writer.add, others)) + UUID_BOX)
    return segments


@pytest.fixture(scope="module")
def gops() -> list[Gop]:
    return gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=6, size_px=(320, 180)))[1])


@pytest.fixture(scope="module")
def segments(gops: list[Gop]) -> list[bytes]:
    return as_segments(StreamDescription(320, 180, 10, 320, 176, False), gops)


def test_a_viewer_who_jumps_into_a_film_of_captured_and_redacted_segments_sees_the_pictures_of_that_moment(
    segments: list[bytes], tmp_path: Path
) -> None:
    """A player may begin at each keyframe, and then knows the parameter sets in front of that one alone."""
    place = Place(at_ms=0, left=0, top=0, width=1000, height=1000)
    cover = Redaction(kind=RedactionKind.AREA, from_ms=0, until_ms=2000, places=(place,))
    mixed = [segments[0], cover_film(segments[1], [cover], 2000), segments[2]]
    out = tmp_path / "mixed.mp4"
    join_mp4(mixed, out)
    whole = dict(pictures(out))
    assert len({_extradata(each) for each in mixed}) == 2
    for second in (5, 3, 1):  # the later keyframe of each segment
        with av.open(str(out)) as container:
            container.seek(second * 1_000_000)
            picture = next(container.decode(video=0))
            assert picture.time == second
            assert hashlib.sha256(picture.to_ndarray().tobytes()).digest() == whole[float(second)]


def test_films_of_h264_are_mixed_if_their_parameter_sets_differ(segments: list[bytes]) -> None:
    sets = _extradata(segments[0])
    other_level = sets[:3] + bytes([sets[3] + 1]) + sets[4:]
    other = segments[0].replace(sets, other_level)
    assert _extradata(other) == other_level
    assert not _is_mixed([segments[0], segments[1]])
    assert _is_mixed([segments[0], other])
    for media in (segments[0], other):
        with av.open(BytesIO(media)) as container:
            assert _picture_format(container.streams.video[0]) == ("h264", 320, 180, b"")


def _extradata(media: bytes) -> bytes:
    with av.open(BytesIO(media)) as container:
        return bytes(container.streams.video[0].codec_context.extradata or b"")


def pictures(media: bytes | Path) -> list[tuple[float, bytes]]:
    with av.open(BytesIO(media) if isinstance(media, bytes) else str(media)) as container:
        return [
            (round(float(picture.time or 0), 4), hashlib.sha256(picture.to_ndarray().tobytes()).digest())
            for picture in container.decode(video=0)
        ]


def shown(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_joined_segments_are_one_ordinary_mp4_with_the_same_pictures(segments: list[bytes], tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    holds = join_mp4(segments, out)
    assert holds == MediaInfo(60, 6.0, 320, 180, out.stat().st_size)
    assert [pixels for _, pixels in pictures(out)] == [pixels for each in segments for _, pixels in pictures(each)]
    assert [at_s for at_s, _ in pictures(out)] == [number / 10 for number in range(60)]
    assert list(tmp_path.iterdir()) == [out]


def test_films_of_a_folder_below_this_one_are_joined_like_those_of_any_other(
    segments: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that joins starts in another folder, and a requester's folder is `requester`, wherever one is."""
    monkeypatch.chdir(tmp_path)
    films = [Path(f"{number}.mp4") for number in range(len(segments))]
    for film, media in zip(films, segments, strict=True):
        film.write_bytes(media)
    with ConfinedMedia() as confined:
        assert confined.join(films, Path("clip.mp4")) == 6.0
        assert confined.still(films[0]).startswith(b"\xff\xd8")
    assert Path("clip.mp4").exists()


def test_the_index_stands_in_front_so_that_it_plays_while_it_loads(segments: list[bytes], tmp_path: Path) -> None:
    join_mp4(segments, tmp_path / "clip.mp4")
    data = (tmp_path / "clip.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


def test_gaps_are_closed_or_kept_as_asked(segments: list[bytes], tmp_path: Path) -> None:
    chosen = [segments[0], segments[2]]
    closed = join_mp4(chosen, tmp_path / "closed.mp4")
    kept = join_mp4(chosen, tmp_path / "kept.mp4", starts_ns=[FIRST_NS, FIRST_NS + 4 * NS_PER_S])
    assert (closed.seconds, kept.seconds, closed.frames, kept.frames) == (4.0, 6.0, 40, 40)
    assert [at_s for at_s, _ in pictures(tmp_path / "kept.mp4")][19:21] == [1.9, 4.0]


def test_the_sound_of_each_segment_stays_as_it_is_and_begins_with_its_pictures(
    segments: list[bytes], tmp_path: Path
) -> None:
    sounds = [None, track(2.0), track(2.0, silent_s=1.0)]
    out = tmp_path / "clip.mp4"
    join_mp4(segments, out, sounds=sounds)
    heard, own = packets_of(out.read_bytes()), [packets_of(sound) for sound in sounds if sound]
    assert [data for _, data in heard] == [data for packets in own for _, data in packets]
    first, second = heard[0][0], heard[len(own[0])][0]
    assert abs(first - own[0][0][0] - 2 * NS_PER_S) < NS_PER_MS
    assert abs(second - own[1][0][0] - 4 * NS_PER_S) < 50 * NS_PER_MS, "its first packet may have to wait for the last"
    join_mp4(segments[:2], out, starts_ns=[FIRST_NS, FIRST_NS + 5 * NS_PER_S], sounds=[sounds[1], sounds[2]])
    later = packets_of(out.read_bytes())[len(own[0])][0]
    assert abs(later - own[1][0][0] - 5 * NS_PER_S) < NS_PER_MS


def test_a_sound_that_is_longer_than_its_pictures_moves_the_next_one_back(
    segments: list[bytes], tmp_path: Path
) -> None:
    """A closed gap leaves no room for it. No packet is lost, and each is later than the one before."""
    sounds = [track(2.5), track(2.0)]
    join_mp4(segments[:2], tmp_path / "clip.mp4", sounds=sounds)
    heard = packets_of((tmp_path / "clip.mp4").read_bytes())
    assert [data for _, data in heard] == [data for sound in sounds for _, data in packets_of(sound)]
    times = [at_ns for at_ns, _ in heard]
    assert times == sorted(set(times))


def test_sounds_of_two_formats_are_refused_with_the_segments_number(segments: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Segment 3 has another sound format"):
        join_mp4(segments, tmp_path / "clip.mp4", sounds=[track(2.0), None, stereo(2.0)])
    with pytest.raises(FormatError, match="not a segment's sound"):
        join_mp4(segments, tmp_path / "clip.mp4", sounds=[track(2.0), b"no sound", None])
    assert list(tmp_path.iterdir()) == [], "nothing half done is left"


def test_a_start_for_each_segment_or_for_none(segments: list[bytes], tmp_path: Path) -> None:
    for chosen, starts_ns in (([], None), (segments, [0, 2 * NS_PER_S]), (segments[:1], [0, 2 * NS_PER_S])):
        with pytest.raises(FormatError, match="a start time for each or for none"):
            join_mp4(chosen, tmp_path / "clip.mp4", starts_ns=starts_ns)


def test_segments_that_follow_each_other_to_a_tick_do_not_overlap(segments: list[bytes], tmp_path: Path) -> None:
    """Times of capture are nanoseconds, and rounding makes one begin a tick early."""
    out = tmp_path / "clip.mp4"
    tick_ns = NS_PER_S // 90_000
    assert join_mp4(segments[:2], out, starts_ns=[0, 2 * NS_PER_S - tick_ns]).seconds == 4.0
    with pytest.raises(FormatError, match="Segment 2 begins before"):
        join_mp4(segments[:2], out, starts_ns=[0, 2 * NS_PER_S - 3 * tick_ns])


def test_segments_may_come_from_files(segments: list[bytes], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    for path, media in zip(paths, segments, strict=True):
        path.write_bytes(media)
    assert join_mp4(paths, tmp_path / "clip.mp4").frames == 60


def test_overlapping_segments_are_refused(segments: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Segment 2 begins before"):
        join_mp4(segments[:2], tmp_path / "clip.mp4", starts_ns=[0, NS_PER_S])
    assert list(tmp_path.iterdir()) == [], "nothing half done is left"


def test_segments_of_two_cameras_are_refused(segments: list[bytes], tmp_path: Path) -> None:
    description, receiver = play(ScriptedCamera([], duration_s=1, size_px=(160, 96)))
    other = as_segments(description, gops_of(receiver))
    with pytest.raises(FormatError, match="Export the two separately"):
        join_mp4([segments[0], *other], tmp_path / "clip.mp4")


def test_an_existing_export_survives_a_failed_one(segments: list[bytes], tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"the export of yesterday")
    with pytest.raises(FormatError):
        join_mp4([segments[0], b"not a video"], out)
    assert out.read_bytes() == b"the export of yesterday"


def test_a_folder_that_is_not_there_is_named(segments: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        join_mp4(segments, tmp_path / "nowhere" / "clip.mp4")


@pytest.mark.parametrize("nothing", [b"", b"not a video", bytes(4096), Path("/nowhere/segment.mp4")])
def test_what_is_no_video_is_a_format_error(nothing: bytes | Path) -> None:
    with pytest.raises(FormatError):
        probe(nothing)


def test_a_truncated_segment_counts_its_whole_frames(segments: list[bytes]) -> None:
    cut = segments[0][: segments[0].rindex(b"moof") - 4]
    assert (probe(segments[0]).frames, probe(cut).frames) == (20, 10)


def test_a_poster_is_the_keyframe_no_wider_than_it_should_be() -> None:
    _, receiver = play(ScriptedCamera([], duration_s=1, size_px=(960, 540)))
    image = shown(poster([gops_of(receiver)[0]]))
    assert image.shape == (360, 640, 3)


def test_a_poster_shows_the_frame_nearest_to_the_moment(gops: list[Gop], segments: list[bytes]) -> None:
    begin, end = shown(poster([gops[2]])), shown(poster([gops[2]], gops[2].packets[-1].sensor_ns + 3 * NS_PER_MS))
    from_media = shown(poster_of_media(segments[1], 0.9))
    assert np.abs(begin.astype(int) - end).max() > 60, "the figure moved"
    assert np.array_equal(end, from_media)


def test_a_poster_of_nothing_is_a_format_error() -> None:
    broken = Gop((EncodedPacket(b"\0\0\1\x65" + bytes(range(99)), True, FIRST_NS),), BootNs(FIRST_NS + 1))
    with pytest.raises(FormatError):
        poster([broken])
    with pytest.raises(FormatError):
        poster_of_media(b"not a video")


def test_the_contact_sheet_shows_every_tile_in_its_colour(gops: list[Gop]) -> None:
    jpeg = poster([gops[1]])
    tiles = [
        SheetTile(jpeg, "Segment 1 · 14:02:10 – 14:02:15", "5.0 s", TileState.SHARED),
        SheetTile(jpeg, "Segment 2", "5.0 s", TileState.KEPT),
        SheetTile(None, "Segment 3", "5.0 s", TileState.SEALED),
        SheetTile(
            b"no JPEG", "A caption far too long for the little room that a tile has for it", "", TileState.SEALED
        ),
        SheetTile(jpeg, "Ein späterer Gruß", "", TileState.SHARED),
    ]
    sheet = shown(contact_sheet("Shared with Harbour Police", "case 2026-118", tiles))
    for state in TileState:
        assert (sheet == state.colour).all(axis=2).sum() > 500, state
    assert sheet.shape[1] > sheet.shape[0]


def test_an_empty_contact_sheet_is_still_a_picture() -> None:
    assert shown(contact_sheet("Nothing was shared", "", [])).size > 0


def test_a_still_with_its_context_is_the_same_picture_to_every_viewer(gops: list[Gop]) -> None:
    plain = poster([gops[0]])
    span = TimeSpan(boot="0" * 32, start_us=1, end_us=2, utc_ms=3, quality=ClockQuality.HELD)
    context = Context(
        kind=Content.POSTER, device="0" * 16, segment=segment_id(bytes(16)), event=segment_id(bytes(16)), ordinal=0,
        span=span, media_bytes=len(plain), seen=(ObjectLabel.PERSON,),
    )  # fmt: skip
    sealed = poster_plaintext(plain, context)
    assert np.array_equal(shown(sealed), shown(plain))
    assert sealed.startswith(b"\xff\xd8\xff")
    assert split_poster(sealed) == (plain, context)


def test_each_parameter_set_of_a_header_is_found_behind_its_length() -> None:
    sps, other, pps = b"\x67\x64\0\x28\xac", b"\x67\x42\0\x1e", b"\x68" + bytes(range(1, 255)) * 2
    code = b"\0\0\0\1"
    for units in ((sps, pps), (sps, other, pps), (other, pps, b"\x68\x01")):
        record = ParameterSets.of(b"".join(code + unit for unit in units)).record()
        assert _parameter_sets(record) == b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
