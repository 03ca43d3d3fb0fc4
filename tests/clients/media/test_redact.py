"""A redacted film carries nothing from below its covers, nor a redacted sound from its mutes: the attacks that look."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from msgspec.structs import replace

from agent.clients.media import redact
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.join import join_mp4, probe
from agent.clients.media.redact import (
    FilmComparison,
    compare_films,
    cover_film,
    mute_sound,
    require_covered,
    require_exact,
    require_muted,
)
from agent.core.media import EncodedPacket, Gop, SoundPacket, StreamDescription, VideoCodec
from agent.core.timebase import NS_PER_S, BootNs
from agent.core.vault.redactions import PixelBox, Place, Redaction, RedactionKind, covered_pixels, place_at
from agent.errors import FormatError
from agent.media.fmp4 import FragmentedMp4Writer, box
from agent.media.sound import sound_mp4
from tests.cameras import filmed_by_camera
from tests.sounds import noise, stereo, times_ns, track

WIDTH, HEIGHT = 208, 112
PER_S = 10
FRAMES = 3 * PER_S
Pictures = Sequence["np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"]

FACE = Redaction(
    kind=RedactionKind.FACE,
    from_ms=500,
    until_ms=2000,
    places=(
        Place(at_ms=500, left=1000, top=2000, width=2000, height=3000),
        Place(at_ms=2000, left=6000, top=3000, width=2000, height=3000),
    ),
)
VOICE = Redaction(kind=RedactionKind.VOICE, from_ms=700, until_ms=1400)


def scene(seed: int) -> Pictures:
    """A street with a moving thing in it, in yuv420p. Only the pixels below the covers differ with the seed.

    The hidden pixels are noise, which costs an encoder many bytes.
    """
    street = np.random.default_rng(0).integers(60, 200, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    street = np.sort(street, axis=1)
    hidden = np.random.default_rng(seed)
    pictures = []
    for number in range(FRAMES):
        picture = np.roll(street, number, axis=1)
        at_ms = number * 1000 // PER_S
        if FACE.from_ms <= at_ms <= FACE.until_ms:
            left, top, right, bottom = covered_pixels(place_at(FACE, at_ms), WIDTH, HEIGHT)
            # Amplitude differs too, so that one scene compresses far better than the other.
            noise = hidden.integers(0, 20 * seed, (bottom - top, right - left), np.uint8)
            picture[top:bottom, left:right] = noise
        pictures.append(picture)
    return pictures


def film_of(
    pictures: Pictures,
    *,
    lossless: bool = True,
    bframes: int = 0,
    colours: int = 2,
    square: bool = False,
    keyframes: Sequence[int] = range(0, 1000, PER_S),
) -> bytes:
    """The pictures as the recorder would store them, a GOP a second. Lossless, a decoder returns just these pixels."""
    codec = av.CodecContext.create("libx264", "w")
    codec.color_primaries = codec.color_trc = codec.colorspace = colours
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.sample_aspect_ratio = Fraction(square)
    codec.time_base, codec.framerate = Fraction(1, PER_S), Fraction(PER_S)
    quality = {"qp": "0"} if lossless else {"crf": "23"}
    options = f"keyint=infinite:scenecut=0:bframes={bframes}:repeat-headers=1:annexb=1"
    codec.options = {"preset": "ultrafast", "forced-idr": "1", "x264-params": options, **quality}
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number, codec.time_base
        frame.pict_type = PictureType.I if number in keyframes else PictureType.NONE
        packets += codec.encode(frame)
    packets += codec.encode(None)
    made = [
        EncodedPacket(bytes(each), each.is_keyframe, BootNs((each.pts or 0) * NS_PER_S // PER_S)) for each in packets
    ]
    starts = [number for number, each in enumerate(made) if each.keyframe]
    ends = [*starts[1:], len(made)]
    writer = FragmentedMp4Writer(StreamDescription(WIDTH, HEIGHT, PER_S, WIDTH, HEIGHT, False))
    parts = b""
    for first, end in zip(starts, ends, strict=True):
        gop = Gop(tuple(made[first:end]), BootNs(end * NS_PER_S // PER_S))
        parts += writer.add(gop) if parts else writer.begin(gop)
    return parts


def pictures_in(film: bytes) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    with av.open(io.BytesIO(film)) as container:
        return [np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8) for frame in container.decode(video=0)]


def packets_in(film: bytes) -> list[bytes]:
    with av.open(io.BytesIO(film)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def samples_in(sound: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with av.open(io.BytesIO(sound)) as container:
        frames = [np.asarray(frame.to_ndarray(), np.float32) for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)[0]


@pytest.mark.parametrize("exact", [False, True])
def test_two_films_that_differ_only_below_the_covers_become_the_same_bytes(exact: bool) -> None:
    """The strongest attack: a reader who can tell two hidden faces apart, by any measure, must find a differing byte.

    It covers motion vectors, neighbouring pictures of the same GOP, rate control, the size of each frame and of the
    whole film.
    """
    one, two = film_of(scene(1)), film_of(scene(12))
    assert len(one) < 0.9 * len(two), "the scenes must differ in what an attacker could measure"
    made = [cover_film(each, [FACE], FRAMES * 100, exact=exact) for each in (one, two)]
    assert made[0] == made[1]


def test_every_covered_pixel_is_black_in_every_picture_of_its_time() -> None:
    redacted = cover_film(film_of(scene(5)), [FACE], FRAMES * 100)
    require_covered(redacted, [FACE])
    for number, picture in enumerate(pictures_in(redacted)):
        at_ms = number * 1000 // PER_S
        if FACE.from_ms <= at_ms <= FACE.until_ms:
            left, top, right, bottom = covered_pixels(place_at(FACE, at_ms), WIDTH, HEIGHT)
            inside = picture[top + 4 : bottom - 4, left + 4 : right - 4]
            assert inside.max() <= 40


def test_the_rest_of_the_picture_stays_as_it_was() -> None:
    captured = scene(5)
    for number, (before, after) in enumerate(
        zip(captured, pictures_in(cover_film(film_of(captured), [FACE], FRAMES * 100)), strict=True)
    ):
        kept = np.ones((HEIGHT, WIDTH), bool)
        left, top, right, bottom = covered_pixels(place_at(FACE, number * 1000 // PER_S), WIDTH, HEIGHT)
        kept[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = False
        error = np.abs(before[:HEIGHT].astype(int) - after[:HEIGHT].astype(int))[kept]
        assert error.mean() < 3


@pytest.mark.parametrize("exact", [False, True])
def test_two_films_that_differ_only_in_their_keyframes_become_the_same_bytes(exact: bool) -> None:
    """A camera that sets a keyframe where the scene changes would tell when something below a cover changed."""
    shown = scene(5)
    films = [film_of(shown, keyframes=keyframes) for keyframes in ((0,), (0, 7, 8, 23), range(0, FRAMES, PER_S))]
    assert len({len(film) for film in films}) == 3
    made = [cover_film(film, [FACE], FRAMES * 100, exact=exact) for film in films]
    assert made[0] == made[1] == made[2]
    with av.open(io.BytesIO(made[0])) as container:
        keyframes = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keyframes == [0, 10, 20]


def test_times_and_length_of_a_film_stay() -> None:
    for bframes in (0, 2):
        captured = film_of(scene(3), lossless=False, bframes=bframes)
        redacted = cover_film(captured, [FACE], FRAMES * 100)
        shown = []
        for film in (captured, redacted):
            with av.open(io.BytesIO(film)) as container:
                frames = [(round(frame.time * 1000), frame.key_frame) for frame in container.decode(video=0)]
                shown.append((frames, container.streams.video[0].width, container.streams.video[0].height))
        assert shown[0] == shown[1]
        assert probe(captured).seconds == probe(redacted).seconds == 3.0


@pytest.mark.parametrize("colours", [1, 6])
def test_a_player_shows_the_rest_in_the_same_colours(colours: int) -> None:
    """Cameras film in BT.709 (1) or BT.601 (6), and a player that is not told guesses."""
    redacted = cover_film(film_of(scene(5)[:2], colours=colours), [FACE], FRAMES * 100)
    with av.open(io.BytesIO(redacted)) as container:
        shown = container.streams.video[0].codec_context
        assert (shown.color_primaries, shown.color_trc, shown.colorspace) == (colours, colours, colours)


def test_a_film_of_hevc_with_pictures_out_of_order_is_covered_too() -> None:
    description, packets = filmed_by_camera(VideoCodec.HEVC, frames=45, b_frames=2)
    starts = [number for number, each in enumerate(packets) if each.keyframe]
    first_ns, ends = packets[0].sensor_ns, [*starts[1:], len(packets)]
    writer, captured = FragmentedMp4Writer(description), b""
    for number, (begin, end) in enumerate(zip(starts, ends, strict=True), start=1):
        gop = Gop(tuple(packets[begin:end]), BootNs(first_ns + number * NS_PER_S))
        captured += writer.add(gop) if captured else writer.begin(gop)
    redacted = cover_film(captured, [FACE], FRAMES * 100)
    require_covered(redacted, [FACE])
    times = []
    for film in (captured, redacted):
        with av.open(io.BytesIO(film)) as container:
            times.append([round((frame.time or 0) * 1000) for frame in container.decode(video=0)])
    assert times[0] == times[1]
    assert len(times[0]) == 45


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_of_the_captured_bytes_and_no_word_of_the_encoder_is_in_the_new_film(exact: bool) -> None:
    captured = film_of(scene(5), lossless=False)
    redacted = cover_film(captured + box(b"free", b"a remark of the camera"), [FACE], FRAMES * 100, exact=exact)
    assert b"x264 - core" in captured
    assert b"x264 - core" not in redacted
    assert b"remark" not in redacted
    samples = b"".join(packets_in(redacted))
    assert not any(samples[at : at + 32] in captured for at in range(0, len(samples) - 32, 32))


def test_the_same_film_gives_the_same_bytes_again() -> None:
    captured = film_of(scene(5), lossless=False)
    assert cover_film(captured, [FACE], FRAMES * 100) == cover_film(captured, [FACE], FRAMES * 100)


def test_a_film_that_is_not_covered_where_its_list_says_so_is_refused() -> None:
    captured = film_of(scene(5))
    redacted = cover_film(captured, [FACE], FRAMES * 100)
    with pytest.raises(FormatError, match="not covered"):
        require_covered(captured, [FACE])
    elsewhere = Redaction(kind=RedactionKind.PLATE, from_ms=0, until_ms=3000, places=FACE.places[:1])
    with pytest.raises(FormatError, match="not covered"):
        require_covered(redacted, [FACE, elsewhere])


def moved(film: bytes, seconds: int, fragments: slice) -> bytes:
    """The film with some of its fragments this much later, as altered software may date them."""
    made = bytearray(film)
    for found in list(re.finditer(b"tfdt", film))[fragments]:
        place = slice(found.end() + 4, found.end() + 12)
        made[place] = (int.from_bytes(made[place]) + seconds * 90_000).to_bytes(8)
    return bytes(made)


WHOLE_PICTURE = (Place(at_ms=0, left=0, top=0, width=10_000, height=10_000),)


def test_a_cover_that_lasts_to_the_end_covers_also_pictures_that_come_hours_later() -> None:
    film = moved(film_of(scene(5)), 7200, slice(-1, None))
    cover = Redaction(kind=RedactionKind.AREA, from_ms=0, until_ms=FRAMES * 100, places=WHOLE_PICTURE)
    shown = pictures_in(cover_film(film, [cover], FRAMES * 100))
    assert len(shown) == FRAMES
    assert max(int(picture[:HEIGHT].max()) for picture in shown) <= 40


def test_a_film_that_begins_late_is_covered_by_its_first_picture() -> None:
    """The page counts from there too."""
    film = film_of(scene(5))
    assert cover_film(moved(film, 10, slice(None)), [FACE], FRAMES * 100) == cover_film(film, [FACE], FRAMES * 100)


def grey_packets(scale: int) -> list[bytes]:
    """A second of grey pictures, each keyframe with its own parameter sets, as an altered recorder may write them."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH * scale, HEIGHT * scale, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, PER_S), Fraction(PER_S)
    codec.options = {"x264-params": "bframes=0:repeat-headers=1:annexb=1"}
    grey = np.full((HEIGHT * scale * 3 // 2, WIDTH * scale), 200, np.uint8)
    packets = []
    for number in range(PER_S):
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts, frame.time_base = number, codec.time_base
        packets += codec.encode(frame)
    return [bytes(each) for each in [*packets, *codec.encode(None)]]


def test_a_film_of_pictures_of_changing_size_is_refused() -> None:
    """A cover in pixels of one size would lie elsewhere in the other."""
    film = io.BytesIO()
    with av.open(film, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=PER_S)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, data in enumerate(grey_packets(1) + grey_packets(2)):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, PER_S), stream, number % PER_S == 0
            container.mux(packet)
    with pytest.raises(FormatError, match="size of its pictures changes"):
        cover_film(film.getvalue(), [FACE], 2000)


def covered(luma: int, chroma: int, *, but: int = -1, places: slice = slice(None)) -> bytes:
    """The scene with this value below the cover, except in picture `but`."""
    pictures = [picture.copy() for picture in scene(5)]
    for number, picture in enumerate(pictures):
        if number == but or not FACE.from_ms <= number * 1000 // PER_S <= FACE.until_ms:
            continue
        left, top, right, bottom = covered_pixels(place_at(FACE, number * 1000 // PER_S), WIDTH, HEIGHT)
        picture[top:bottom, left:right] = luma
        small = picture[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
        small[places, top // 2 : bottom // 2, left // 2 : right // 2] = chroma
    return film_of(pictures)


def test_a_cover_may_differ_from_black_only_by_what_an_encoder_changes() -> None:
    for luma, chroma in ((16, 128), (40, 128), (16, 104), (16, 152)):
        require_covered(covered(luma, chroma), [FACE])
    for luma, chroma in ((41, 128), (16, 103), (16, 153), (255, 128)):
        with pytest.raises(FormatError, match="not covered"):
            require_covered(covered(luma, chroma), [FACE])


def test_a_face_whose_colours_show_is_not_covered() -> None:
    """The picture has three planes: brightness, and two of colour."""
    for places in (slice(0, 1), slice(1, 2)):
        with pytest.raises(FormatError, match="not covered"):
            require_covered(covered(16, 128, places=places), [FACE])


def test_one_picture_that_shows_the_face_is_enough_to_refuse_the_film() -> None:
    first, last = FACE.from_ms * PER_S // 1000, FACE.until_ms * PER_S // 1000
    for number in (first, last):
        with pytest.raises(FormatError, match=f"not covered .* at {number / PER_S:.2f} s"):
            require_covered(covered(16, 128, but=number), [FACE])


def test_a_stretch_is_silent_from_its_begin_to_its_end_or_refused() -> None:
    sound = mute_sound(track(2.0), [Redaction(kind=RedactionKind.VOICE, from_ms=500, until_ms=1500)], 2000)
    for from_ms, until_ms in ((500, 1500), (520, 1480), (950, 1050)):
        require_muted(sound, [Redaction(kind=RedactionKind.VOICE, from_ms=from_ms, until_ms=until_ms)])
    for from_ms, until_ms in ((350, 1500), (500, 1650), (0, 400), (1600, 1900), (0, 3_600_000)):
        with pytest.raises(FormatError, match="not silent"):
            require_muted(sound, [Redaction(kind=RedactionKind.VOICE, from_ms=from_ms, until_ms=until_ms)])


def test_both_channels_of_a_camera_that_hears_in_stereo_are_muted() -> None:
    captured = stereo(2.0)
    redacted = mute_sound(captured, [VOICE], 2000)
    with av.open(io.BytesIO(redacted)) as container:
        assert (container.streams.audio[0].codec_context.channels, container.streams.audio[0].rate) == (2, 48_000)
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    require_muted(redacted, [VOICE])
    inside = heard[:, round(0.75 * 48_000) : round(1.35 * 48_000)]
    assert np.abs(inside).max() < 0.01
    assert all(np.abs(channel).max() > 0.2 for channel in heard[:, : round(0.6 * 48_000)])
    for loud in (0, 1):
        half = stereo(2.0, silent=1 - loud)
        with pytest.raises(FormatError, match="not silent"):
            require_muted(half, [VOICE])


def test_two_sounds_that_differ_only_in_the_muted_stretch_become_the_same_bytes() -> None:
    """No word, and not even how loud it was, is in the new sound."""
    loud = track(2.0)
    rest = mute_sound(loud, [VOICE], 2000)
    require_muted(rest, [VOICE])
    with pytest.raises(FormatError, match="not silent"):
        require_muted(loud, [VOICE])
    heard = samples_in(rest)
    begin, end = (round(at_ms * len(heard) / 2000) for at_ms in (VOICE.from_ms, VOICE.until_ms))
    assert np.abs(heard[begin + 1500 : end - 1500]).max() < 0.01
    assert np.abs(heard[: begin - 1500]).max() > 0.2
    assert np.abs(heard[end + 1500 :]).max() > 0.2
    whole = Redaction(kind=RedactionKind.VOICE, from_ms=0, until_ms=3000)
    assert mute_sound(loud, [whole], 2000) == mute_sound(track(2.0, silent_s=1.0), [whole], 2000)


@pytest.mark.parametrize("clock_hz", [12_000, 48_000])
def test_a_sound_is_muted_by_its_clock_also_if_that_does_not_count_samples(clock_hz: int) -> None:
    """An MP4 may count time in other units than the samples of its sound, for example from a camera's own recorder."""
    packets, description = noise(2.0)
    heard = [SoundPacket(data, BootNs(number * 1024 * NS_PER_S // 24_000)) for number, data in enumerate(packets)]
    captured = sound_mp4(dataclasses.replace(description, rate_hz=clock_hz), heard, 0, 3 * NS_PER_S)
    assert captured is not None
    muted = mute_sound(captured, [VOICE], 2000)
    require_muted(muted, [VOICE])
    loud = np.abs(samples_in(muted)).reshape(-1, 1024).max(axis=1) > 0.1
    assert loud.tolist() == [not 16 < number < 32 for number in range(len(loud))]
    with pytest.raises(FormatError, match="not silent"):
        require_muted(captured, [VOICE])


def test_sound_and_pictures_stay_together() -> None:
    sound = track(2.0)
    assert times_ns(mute_sound(sound, [VOICE], 2000)) == times_ns(sound)


@pytest.mark.parametrize(("exact", "square"), [(False, False), (True, False), (True, True)])
def test_captured_and_redacted_segments_join_to_one_film(tmp_path: object, exact: bool, square: bool) -> None:
    """`square`: whether the camera states that its pixels are square. Most leave it out."""
    from pathlib import Path

    captured = film_of(scene(5), lossless=False, square=square)
    redacted = cover_film(captured, [FACE], FRAMES * 100, exact=exact)
    out = Path(str(tmp_path)) / "all.mp4"
    sounds = [track(3.0), mute_sound(track(3.0), [VOICE], 2000), None]
    info = join_mp4([captured, redacted, captured], out, sounds=sounds)
    assert (info.frames, info.seconds) == (3 * FRAMES, 9.0)
    expected = [*pictures_in(captured), *pictures_in(redacted), *pictures_in(captured)]
    assert all(np.array_equal(one, two) for one, two in zip(pictures_in(out.read_bytes()), expected, strict=True))


def test_the_confined_process_makes_and_checks_the_same() -> None:
    captured, sound = film_of(scene(5), lossless=False), track(2.0)
    with ConfinedMedia() as media:
        redacted = media.redact("segment", captured, [FACE], FRAMES * 100)
        assert redacted == cover_film(captured, [FACE], FRAMES * 100)
        media.check_redacted("segment", redacted, [FACE])
        with pytest.raises(FormatError, match="not covered"):
            media.check_redacted("segment", captured, [FACE])
        exact = media.redact("segment", captured, [FACE], FRAMES * 100, exact=True)
        assert exact == cover_film(captured, [FACE], FRAMES * 100, exact=True)
        media.check_redacted("segment", exact, [FACE], exact=True)
        with pytest.raises(FormatError, match="not covered"):
            media.check_redacted("segment", redacted, [FACE], exact=True)
        found = compare_films(captured, redacted, [FACE])
        assert media.compare(captured, redacted, [FACE]) == (
            found.pictures,
            found.values,
            found.changed,
            found.greatest,
        )
        with pytest.raises(FormatError, match="other pictures"):
            media.compare(captured, film_of(scene(5)[:20]), [FACE])
        muted = media.redact("sound", sound, [VOICE], 2000)
        assert muted == mute_sound(sound, [VOICE], 2000)
        media.check_redacted("sound", muted, [VOICE])
        with pytest.raises(FormatError, match="not silent"):
            media.check_redacted("sound", sound, [VOICE])
        for content in ("segment", "sound"):
            with pytest.raises(FormatError):
                media.redact(content, b"no film", [FACE], 1000)


# -- exact films: nothing outside of the covers changes ----------------------------------------------------------------


def outside(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
    """The values of a picture that no cover of the list touches, by the rules of FORMAT.md. There is no margin."""
    kept = np.ones((HEIGHT * 3 // 2, WIDTH), bool)
    if FACE.from_ms <= number * 1000 // PER_S <= FACE.until_ms:
        left, top, right, bottom = covered_pixels(place_at(FACE, number * 1000 // PER_S), WIDTH, HEIGHT)
        kept[top:bottom, left:right] = False
        kept[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[:, top // 2 : bottom // 2, left // 2 : right // 2] = False
    return kept


@pytest.mark.parametrize("bframes", [0, 2])
def test_no_pixel_outside_of_the_covers_of_an_exact_film_differs_from_the_recorded_film(bframes: int) -> None:
    captured = film_of(scene(5), lossless=False, bframes=bframes)
    exact = cover_film(captured, [FACE], FRAMES * 100, exact=True)
    before, after = pictures_in(captured), pictures_in(exact)
    assert len(before) == len(after) == FRAMES
    covered_values = 0
    for number, (one, two) in enumerate(zip(before, after, strict=True)):
        kept = outside(number)
        assert np.array_equal(one[kept], two[kept]), f"picture {number}"
        luma, chroma = two[:HEIGHT][~kept[:HEIGHT]], two[HEIGHT:][~kept[HEIGHT:]]
        assert set(luma) <= {16}
        assert set(chroma) <= {128}
        covered_values += luma.size + chroma.size
    assert covered_values > 0
    # The other films are encoded with loss, so this test can fail.
    other = pictures_in(cover_film(captured, [FACE], FRAMES * 100))
    assert any(not np.array_equal(one, two) for one, two in zip(before[-5:], other[-5:], strict=True))


def coded(pictures: Pictures, **options: str | int) -> bytes:
    """The pictures as an MP4 of another camera: `pix_fmt` and `color_range` as given."""
    film = io.BytesIO()
    with av.open(film, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=PER_S)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, str(options.get("pix_fmt", "yuv420p"))
        stream.codec_context.color_range = int(options.get("color_range", 0))
        stream.options = {"x264-params": "bframes=0"}
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p").reformat(format=stream.pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return film.getvalue()


def test_an_exact_film_keeps_the_full_range_of_a_camera_that_uses_it() -> None:
    """A conversion to the usual range of 16 to 235 would change each pixel."""
    captured = coded(scene(5)[:8], color_range=2)
    exact = cover_film(captured, [FACE], FRAMES * 100, exact=True)
    shown = []
    for film in (captured, exact):
        with av.open(io.BytesIO(film)) as container:
            frames = list(container.decode(video=0))
            shown.append([np.asarray(frame.to_ndarray(), np.uint8) for frame in frames])
            assert {int(frame.color_range) for frame in frames} == {2}
    for number, (one, two) in enumerate(zip(*shown, strict=True)):
        assert np.array_equal(one[outside(number)], two[outside(number)])
    require_covered(exact, [FACE], exact=True)


def test_a_film_that_cannot_be_exact_is_refused_and_not_converted() -> None:
    captured = coded(scene(5)[:2], pix_fmt="yuv444p")
    with pytest.raises(FormatError, match="an exact film cannot keep"):
        cover_film(captured, [FACE], FRAMES * 100, exact=True)
    assert cover_film(captured, [FACE], FRAMES * 100)


def test_a_cover_of_an_exact_film_is_black_to_the_last_bit_of_its_rim() -> None:
    """A darker face within the tolerance of an encoder would be readable again."""
    require_covered(covered(16, 128), [FACE], exact=True)
    for luma, chroma in ((17, 128), (15, 128), (16, 127), (16, 129)):
        with pytest.raises(FormatError, match="not covered"):
            require_covered(covered(luma, chroma), [FACE], exact=True)
    pictures = [picture.copy() for picture in pictures_in(covered(16, 128))]
    left, top, right, bottom = covered_pixels(place_at(FACE, 1000), WIDTH, HEIGHT)
    for y, x in ((top, left), (bottom - 1, right - 1)):
        pictures[10][y, x] = 17
        with pytest.raises(FormatError, match="not covered"):
            require_covered(film_of(pictures), [FACE], exact=True)
        pictures[10][y, x] = 16


def test_a_comparison_counts_each_value_outside_of_the_covers_and_none_inside() -> None:
    plain = [np.full((HEIGHT * 3 // 2, WIDTH), 100, np.uint8) for _ in range(FRAMES)]
    changed = [picture.copy() for picture in plain]
    left, top, right, bottom = covered_pixels(place_at(FACE, 1000), WIDTH, HEIGHT)
    changed[10][top:bottom, left:right] = 16
    hidden = FilmComparison(FRAMES, sum(int(outside(number).sum()) for number in range(FRAMES)), 0, 0)
    captured = film_of(plain)
    assert compare_films(captured, film_of(changed), [FACE]) == hidden
    require_exact(captured, film_of(changed), [FACE])
    changed[10][top - 1, left] = 107
    changed[10][bottom, right - 1] = 98
    changed[0][HEIGHT + 3, 5] = 99
    assert compare_films(captured, film_of(changed), [FACE]) == replace_counts(hidden, 3, 7)
    with pytest.raises(FormatError, match="differs from the recorded one"):
        require_exact(captured, film_of(changed), [FACE])


def replace_counts(found: FilmComparison, changed: int, greatest: int) -> FilmComparison:
    return dataclasses.replace(found, changed=changed, greatest=greatest)


def test_a_film_that_goes_on_after_its_recorded_length_cannot_be_exact() -> None:
    """Its cover lasts to the last picture, and the list ends with the record. A requester would find a difference."""
    captured, until_ms = film_of(scene(5)), FRAMES * 100 - 1000
    cover = replace(FACE, until_ms=until_ms, places=FACE.places[:1])
    with ConfinedMedia() as media:
        with pytest.raises(FormatError, match="differs from the recorded one"):
            media.redact("segment", captured, [cover], until_ms, exact=True)
        media.check_redacted("segment", media.redact("segment", captured, [cover], until_ms), [cover])


def test_films_of_other_pictures_or_times_are_not_compared() -> None:
    captured = film_of(scene(5))
    for other in (film_of(scene(5)[:20]), moved(captured, 1, slice(-1, None))):
        with pytest.raises(FormatError, match="other pictures"):
            compare_films(captured, other, [FACE])
    assert compare_films(captured, moved(captured, 10, slice(None)), [FACE]).changed == 0


# -- pixel by pixel ----------------------------------------------------------------------------------------------------


def grey(height: int = 24, width: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture in three planes: luma, and two of half the size behind it."""
    return np.full((height * 3 // 2, width), 200, np.uint8)


@pytest.mark.parametrize(
    ("cover", "luma", "chroma"),
    [
        ((4, 6, 16, 14), (4, 6, 16, 14), (2, 3, 8, 7)),
        ((3, 5, 17, 15), (3, 5, 17, 15), (2, 3, 8, 7)),
        ((0, 0, 32, 24), (0, 0, 32, 24), (0, 0, 16, 12)),
    ],
)
def test_a_cover_is_black_up_to_its_last_pixel_in_each_plane_and_nothing_beside_it_is(
    cover: PixelBox, luma: PixelBox, chroma: PixelBox
) -> None:
    picture = grey()
    redact._fill(picture, cover)
    expected, small = grey()[:24], np.full((2, 12, 16), 200, np.uint8)
    expected[luma[1] : luma[3], luma[0] : luma[2]] = 16
    small[:, chroma[1] : chroma[3], chroma[0] : chroma[2]] = 128
    assert np.array_equal(picture[:24], expected)
    assert np.array_equal(picture[24:].reshape(2, 12, 16), small)


def test_a_cover_is_checked_up_to_four_pixels_from_its_border_and_with_what_an_encoder_may_change() -> None:
    whole = (0, 0, 32, 24)
    assert not redact._is_black(grey(), whole)
    for row, column, value, black in (
        (4, 4, 16 + 24, True), (4, 4, 16 + 25, False), (3, 4, 255, True), (4, 3, 255, True), (19, 27, 41, False),
        (20, 27, 255, True), (19, 28, 255, True), (4, 4, 0, True),
    ):  # fmt: skip
        picture = grey()
        redact._fill(picture, whole)
        picture[row, column] = value
        assert redact._is_black(picture, whole) is black, (row, column)
    for plane in (0, 1):
        for row, column, value, black in (
            (2, 2, 128 + 24, True), (2, 2, 128 - 25, False), (9, 13, 200, False), (10, 13, 200, True),
            (1, 2, 200, True),
        ):  # fmt: skip
            picture = grey()
            redact._fill(picture, whole)
            picture[24:].reshape(2, 12, 16)[plane, row, column] = value
            assert redact._is_black(picture, whole) is black, (plane, row, column)
    assert redact._is_black(grey(), (4, 4, 12, 12)), "a box of nothing but rim"


@pytest.mark.parametrize(
    ("at_ms", "place_ms"),
    [(998.999, None), (999, 1000), (1000, 1000), (1500.7, 1500), (2000.999, 2000), (2001, None), (-5, None)],
)
def test_a_picture_within_a_millisecond_of_a_redaction_is_covered_as_at_its_nearest_time(
    at_ms: float, place_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact, "place_at", lambda _redaction, when_ms: when_ms)
    monkeypatch.setattr(redact, "covered_pixels", lambda *found: found)
    places = (Place(at_ms=1000, left=0, top=0, width=10, height=10),)
    late = Redaction(kind=RedactionKind.FACE, from_ms=1000, until_ms=2000, places=places)
    first = Redaction(kind=RedactionKind.FACE, from_ms=0, until_ms=1, places=(replace(places[0], at_ms=0),))
    at_ns = round(at_ms * 10**6)
    assert list(redact._boxes([late], at_ns, 320, 180)) == ([] if place_ms is None else [(place_ms, 320, 180)])
    assert (list(redact._boxes([first], at_ns, 320, 180)) == [(0, 320, 180)]) is (at_ms < 0)
