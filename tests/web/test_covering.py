"""Covers and mutes on the page: plans, lists, films and sounds as `doorward owner` makes them, run in node."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from agent.clients.cli.owner.redact import redacted_choice
from agent.clients.media.redact import _boxes, _lasting, require_muted
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.opening.committed import open_redacted
from agent.clients.owner import decisions
from agent.clients.owner.decisions import ShareChoice
from agent.clients.owner.redaction import film_length_ms, read_plan
from agent.core.media import SoundPacket, VideoCodec
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs, ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.core.vault.redactions import (
    MOST_PLACES,
    Place,
    Redaction,
    RedactionKind,
    covered_pixels,
    place_at,
    places_within,
)
from agent.core.vault.segment import split_media
from agent.errors import DoorwardError
from agent.ipc.control_operations import MOST_STATEMENT_BYTES
from agent.media.annexb import ParameterSets, nal_units
from agent.media.sound import sound_mp4
from agent.wire import strictjson
from agent.wire.statements import Redacted, SealedItem
from tests.sounds import noise, packets_of, stereo, track
from tests.web.test_the_program import WEB, require_node

pytestmark = pytest.mark.interop

ENGLISH = json.loads((WEB / "texts" / "en.json").read_text(encoding="utf-8"))
VOICE = Redaction(kind=RedactionKind.VOICE, from_ms=700, until_ms=1400)
OWN: dict[str, Any] = {
    "media_bytes": 11,
    "redactions": [{"kind": "face", "from_ms": 0, "until_ms": 9, "places": [[0, 1, 2, 3, 4]]}],
}
RECORD: dict[str, Any] = {"id": "k" * 25 + "a", "event": "e" * 25 + "a", "ordinal": 4,
          "span": {"boot": "0" * 32, "start_us": 5, "end_us": 2_000_005, "utc_ms": 7, "quality": "synced"}}  # fmt: skip
TO = HybridIdentity(b"t" * 32)


@cache
def running() -> subprocess.Popen[str]:
    """One node for all tests of this file, because each start reads the whole program."""
    command = [require_node(), str(Path(__file__).with_name("covering.mjs"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module", autouse=True)
def _node() -> Iterator[None]:
    yield
    if running.cache_info().currsize:
        running().communicate(timeout=60)
        running.cache_clear()


def answers(jobs: Sequence[dict[str, Any]]) -> list[Any]:
    process = running()
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(jobs) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:  # it has ended, and the next test gets another one
        running.cache_clear()
        raise AssertionError(process.communicate(timeout=60)[1])
    return list(json.loads(line))


def answer(kind: str, **values: Any) -> Any:
    return answers([{"kind": kind, **values}])[0]


def drawn_places(rng: random.Random) -> tuple[Place, ...]:
    times = sorted(rng.sample(range(5000), rng.randint(1, 6)))
    made = []
    for at_ms in times:
        left, top = rng.randrange(10_000), rng.randrange(10_000)
        made.append(Place(at_ms, left, top, rng.randint(1, 10_000 - left), rng.randint(1, 10_000 - top)))
    return tuple(made)


def listed(places: Sequence[Place]) -> list[list[int]]:
    return [[each.at_ms, each.left, each.top, each.width, each.height] for each in places]


def test_a_cover_is_where_the_list_says_to_the_pixel() -> None:
    rng = random.Random(20)
    jobs: list[dict[str, Any]] = []
    expected = []
    for _ in range(400):
        places = drawn_places(rng)
        redaction = Redaction(kind=RedactionKind.FACE, from_ms=0, until_ms=6000, places=places)
        at_ms, size = rng.randrange(6000), (rng.randrange(16, 4096), rng.randrange(16, 2160))
        from_ms = rng.randrange(5000)
        until_ms = rng.randrange(from_ms + 1, 6000)
        jobs.append({"kind": "geometry", "places": listed(places), "at": at_ms, "from": from_ms, "until": until_ms,
                     "size": size})  # fmt: skip
        at = place_at(redaction, at_ms)
        expected.append({"at": listed([at])[0], "within": listed(places_within(redaction, from_ms, until_ms)),
                         "pixels": list(covered_pixels(at, *size))})  # fmt: skip
    assert answers(jobs) == expected


def test_the_same_pictures_are_covered_also_beyond_the_end_of_the_record() -> None:
    rng = random.Random(21)
    jobs: list[dict[str, Any]] = []
    expected = []
    for _ in range(300):
        until_ms = rng.choice([1999, 2000, 2001, 5000])
        place = Place(500, 1000, 2000, 3000, 4000)
        redaction = Redaction(kind=RedactionKind.AREA, from_ms=500, until_ms=until_ms, places=(place,))
        at_ms = rng.choice([-3, 0, 498, 499, 500, 1998, 2000, 2001, 2002, 7000, 7_200_000])
        jobs.append({"kind": "boxes", "redactions": [json.loads(strictjson.encode(redaction))], "length": 2000,
                     "at": at_ms, "size": (640, 360)})  # fmt: skip
        boxes = _boxes(_lasting([redaction], 2000), at_ms * NS_PER_MS, 640, 360)
        expected.append([list(box) for box in boxes])
    assert answers(jobs) == expected
    # Altered software may date a picture hours after the end of its film.
    last = {"kind": "boxes", "redactions": [json.loads(strictjson.encode(redaction))], "length": until_ms,
            "at": 7_200_000, "size": (640, 360)}  # fmt: skip
    assert len(answers([last])[0]) == 1


# -- plans -------------------------------------------------------------------------------------------------------------

START_US = 1_000_000


def segment(number: int, begin_s: float, seconds: float = 2, *, sound: bool = True, poster: bool = False) -> Any:
    """A reviewed segment, as much of it as a plan reads. `begin_s` counts from the first one."""
    start_us = START_US + round(begin_s * 1e6)
    span = TimeSpan(
        boot="0" * 32, start_us=start_us, end_us=start_us + round(seconds * 1e6), utc_ms=7, quality=ClockQuality.SYNCED
    )
    record = SimpleNamespace(span=span, poster_file=object() if poster else None)
    return SimpleNamespace(
        number=number, id=f"s{number}", record=record, is_cut=False, has_sound=sound, start_ms=7, signed=None
    )


def reviewed() -> Any:
    """Two clips of two segments each; the first two seconds of the second clip are also in the first one."""
    clips = []
    for number, own in (
        (1, [segment(1, 0, poster=True), segment(2, 2)]),
        (2, [segment(3, 1, poster=True), segment(4, 9)]),
    ):
        clips.append(SimpleNamespace(number=number, event=f"e{number}", segments=own, poster_of=own[0]))
    return SimpleNamespace(clips=clips, segments=[each for clip in clips for each in clip.segments])


def for_the_page(seen: Any) -> list[dict[str, Any]]:
    return [
        {
            "number": clip.number,
            "event": clip.event,
            "poster": clip.poster_of.id,
            "segments": [
                {
                    "number": each.number,
                    "id": each.id,
                    "lengthMs": film_length_ms(each.record.span),
                    "span": json.loads(strictjson.encode(each.record.span)),
                    "isCut": False,
                }
                for each in clip.segments
            ],
        }
        for clip in seen.clips
    ]


def plans_of(entries: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The page's form of a plan: milliseconds of the clip, and ten-thousandths of the picture."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        planned: dict[str, Any] = {"kind": entry["kind"], "from_ms": round(entry.get("from_s", 0) * 1000)}
        if "until_s" in entry:
            planned["until_ms"] = round(entry["until_s"] * 1000)
        places = [[round(at * 1000), *(round(each * 100) for each in place)] for at, *place in entry.get("places", [])]
        if places:
            planned["places"] = places
        found.setdefault(f"e{entry['clip']}", []).append(planned)
    return found


def face(**values: Any) -> dict[str, Any]:
    return {"clip": 1, "kind": "face", "places": [[0, 10, 10, 20, 20]], **values}


def said(text: str, values: dict[str, Any]) -> str:
    """Returns the words of the page for a refusal."""
    shown: str = ENGLISH[text]
    for name, value in values.items():
        shown = shown.replace("{" + name + "}", str(value))
    return shown


def refusal(what: Callable[[], object]) -> str:
    with pytest.raises(DoorwardError) as caught:
        what()
    return f"{caught.value.message} {caught.value.remedy}"


def test_a_plan_becomes_the_same_redactions_of_each_segment() -> None:
    entries = [
        face(until_s=3.5, places=[[0.5, 10, 10, 20, 20], [3, 60, 50, 20, 20]]),
        face(kind="area", from_s=1.999, places=[[1.999, 10, 10, 20, 20]]),
        {"clip": 2, "kind": "voice", "from_s": 0.5, "until_s": 2.5},
        {"clip": 1, "kind": "voice", "from_s": 0.5, "until_s": 1.9},
        face(clip=2, kind="plate"),
    ]
    seen = reviewed()
    plan = read_plan(json.dumps({"redactions": entries}).encode(), seen)
    found = answer("plan", plans=plans_of(entries), clips=for_the_page(seen))["is"]
    for file, redactions in (("segment", plan.films), ("sound", plan.sounds)):
        expected = {name: [json.loads(strictjson.encode(each)) for each in own] for name, own in redactions.items()}
        assert found[file] == expected
        assert expected


MANY = [[at / 100, 10, 10, 20, 20] for at in range(MOST_PLACES)]


@pytest.mark.parametrize(
    "entries",
    [
        [face(from_s=4)],
        [face(), face(from_s=2, until_s=1, places=[[1.5, 10, 10, 20, 20]])],
        [face(places=[[0, 90, 10, 20, 20]])],
        [face(places=[[0, 10, 90, 20, 20]])],
        [face(places=[])],
        [{"clip": 1, "kind": "voice", "places": [[0, 10, 10, 20, 20]]}],
        [face(places=MANY)],
        [face(places=[[1, 10, 10, 20, 20], [1, 10, 10, 20, 20]])],
        [face(from_s=1)],
        [face(until_s=1, places=[[1.5, 10, 10, 20, 20]])],
        [face()] * 65,
    ],
)
def test_a_plan_that_the_command_line_refuses_is_refused_on_the_page_with_the_same_words(
    entries: list[dict[str, Any]],
) -> None:
    seen = reviewed()
    command = refusal(lambda: read_plan(json.dumps({"redactions": entries}).encode(), seen))
    found = answer("plan", plans=plans_of(entries), clips=for_the_page(seen))
    assert said(*found["refused"]) == command


@pytest.mark.parametrize(
    ("entries", "segments", "posters", "sound"),
    [
        ([face(clip=2)], ["s1"], [], False),
        ([{"clip": 1, "kind": "voice"}], ["s1"], [], False),
        ([face(), face(clip=2)], ["s3"], [1], False),
        ([face()], ["s1", "s3"], [], False),
        ([face(until_s=1.5)], ["s1", "s3"], [], False),
        ([face(until_s=1.05)], ["s1", "s3"], [], False),
        ([{"clip": 1, "kind": "voice", "until_s": 0.8}], ["s1", "s3"], [], True),
        ([{"clip": 1, "kind": "voice"}], ["s1", "s3"], [], True),
        ([face(clip=1)], ["s1"], [2], False),
        ([face()], [], [2], False),
    ],
)
def test_a_choice_that_shows_what_a_plan_hides_is_refused_on_the_page_with_the_same_words(
    tmp_path: Path, entries: list[dict[str, Any]], segments: list[str], posters: list[int], sound: bool
) -> None:
    seen = reviewed()
    chosen = tuple(clip for clip in seen.clips if clip.number in posters)
    choice = ShareChoice(tuple(segments), chosen, sound=sound)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"redactions": entries}))
    command = refusal(lambda: decisions._chosen(seen, redacted_choice(seen, choice, plan)))
    found = answer(
        "hidden",
        plans=plans_of(entries),
        clips=for_the_page(seen),
        choice={
            "segments": segments,
            "posters": [clip.poster_of.id for clip in chosen],
            "sounds": segments if sound else [],
        },
    )
    assert said(*found["refused"]) == command


@pytest.mark.parametrize(
    ("entries", "segments", "posters", "sounds"),
    [
        ([face()], ["s1", "s2", "s4"], [], []),
        ([face(until_s=1)], ["s1", "s3"], [], []),
        ([face(), face(clip=2)], ["s1", "s2", "s3", "s4"], [], ["s1", "s3"]),
        ([{"clip": 1, "kind": "voice"}], ["s1", "s3"], ["s1", "s3"], ["s1"]),
        ([], ["s1"], ["s1"], []),
    ],
)
def test_a_choice_beside_a_plan_leaves_if_it_hides_the_same(
    entries: list[dict[str, Any]], segments: list[str], posters: list[str], sounds: list[str]
) -> None:
    choice = {"segments": segments, "posters": posters, "sounds": sounds}
    found = answer("hidden", plans=plans_of(entries), clips=for_the_page(reviewed()), choice=choice)
    assert found == {"is": "leaves"}


def test_an_approval_that_has_no_room_is_refused_with_the_same_words() -> None:
    command = refusal(lambda: decisions._require_room([bytes(MOST_STATEMENT_BYTES), b"x"], exact=False))
    found = answer("room", sizes=[MOST_STATEMENT_BYTES, 1], exact=False)
    assert said(*found["refused"]) == command
    larger = said(*answer("room", sizes=[MOST_STATEMENT_BYTES, 1], exact=True)["refused"])
    assert larger.startswith(command.removesuffix("."))
    assert ENGLISH["cover.exact"] in larger  # the way out
    assert answer("room", sizes=[MOST_STATEMENT_BYTES - 1, 1], exact=True) == {"is": "fits"}


def test_a_large_approval_has_the_time_that_a_slow_network_needs() -> None:
    """Half a megabit a second, as from a phone away from home."""
    small, large = answer("patience", sizes=[100, MOST_STATEMENT_BYTES])
    assert small <= 30_010
    assert large > MOST_STATEMENT_BYTES * 8 / 500_000 * 1000


@pytest.mark.parametrize("exact", [{}, {"exact": True}])
def test_a_redacted_file_opens_with_the_key_that_the_approval_commits_to(exact: dict[str, bool]) -> None:
    to = str(TO.recipient())
    film = b"\0\0\0\x0bfreeabc"
    own = OWN | exact
    found = answer("seal", record=RECORD, device="a" * 16, own=own, recipient=to, media=strictjson.encode_base64(film))
    item = SealedItem(
        id=RECORD["id"], payload_sha256="0" * 64, header_sha256="0" * 64,
        redacted=Redacted(payload_sha256="0" * 64, key=found["commitment"]),
    )  # fmt: skip
    media, context = split_media(open_redacted(item, strictjson.decode_base64(found["file"]), [TO]))
    assert media == film
    assert json.loads(strictjson.encode(context)) == {
        "kind": "segment", "device": "a" * 16, "segment": RECORD["id"], "event": RECORD["event"], "ordinal": 4,
        "span": RECORD["span"], **own,
    }  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 2 << 16])
def test_a_file_of_any_size_is_sealed_as_age_does(size: int) -> None:
    found = answer("seal", recipient=str(TO.recipient()), zeros=size)
    assert open_bytes(strictjson.decode_base64(found["file"]), [TO]) == bytes(size)


# -- drawing -----------------------------------------------------------------------------------------------------------


def test_each_change_of_a_drawing_keeps_a_plan_that_can_be_made() -> None:
    found = answer("drafts", length=4000)
    first = [500, 1000, 2000, 3000, 4000]
    assert found["drawn"] == {"kind": "face", "from_ms": 0, "until_ms": 4000, "places": [first]}
    assert found["moved"]["places"] == [first, [1500, 3000, 2000, 3000, 4000]]
    # It begins and ends where the moving cover was at these moments.
    assert found["shorter"]["places"] == [[1000, 2000, 2000, 3000, 4000], [1400, 2800, 2000, 3000, 4000]]
    assert found["again"] == [first, [1500, 0, 0, 10_000, 10_000]]
    assert found["fewer"] == [[1500, 3000, 2000, 3000, 4000]]
    assert found["last"] == [first]
    assert (found["backwards"]["from_ms"], found["backwards"]["until_ms"]) == (900, 901)
    # The last picture is covered if a cover ends near the end, also if the clip is longer than its record says.
    assert found["ends"] == [3499, 3500, 4000, 4000]
    assert (found["beyond"]["from_ms"], found["beyond"]["until_ms"]) == (0, 4000)
    assert found["late"]["places"][0][0] == 4000
    assert found["many"] == MOST_PLACES - 2
    assert found["drawing"] == [[2000, 5000, 3000, 5000], None]
    assert found["kept"] == [[8000, 0, 2000, 2000], [0, 1000, 10_000, 1]]
    # A picture at 66 or at 74 ms is shown as one at 0.07 s.
    assert found["typed"] == [66, 74]
    assert found["mute"] == {"kind": "voice", "from_ms": 0, "until_ms": 4000, "places": []}
    assert found["there"] == [True, True, True, False]


# -- film and sound ----------------------------------------------------------------------------------------------------


def test_the_page_writes_a_film_as_the_doorbell_does(media: bytes) -> None:
    at = media.find(b"avcC")
    configuration = media[at + 4 : at - 4 + int.from_bytes(media[at - 4 : at])]
    with av.open(io.BytesIO(media)) as container:
        stream = container.streams.video[0]
        size = {"width": stream.width, "height": stream.height}
    made = answer(
        "film", media=strictjson.encode_base64(media), configuration=strictjson.encode_base64(configuration), **size
    )
    assert strictjson.decode_base64(made) == media


@pytest.fixture(scope="module")
def media() -> bytes:
    from tests.clients.media.test_redact import film_of, scene

    return film_of(scene(3), lossless=False)


@pytest.mark.parametrize("format", ["I420", "NV12"])
@pytest.mark.parametrize("size", [(32, 16), (33, 16), (32, 17), (33, 17)])
def test_a_cover_reaches_the_last_colour_of_a_picture_of_odd_size(format: str, size: tuple[int, int]) -> None:
    assert answer("filled", format=format, width=size[0], height=size[1]) == [16, 128]


# -- exact films -------------------------------------------------------------------------------------------------------

Values = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
PLAIN: dict[str, Any] = {"isFullRange": False, "namesSquare": False}
UNKNOWN, BT601 = 2, 6


def lossless(pictures: Sequence[Values], keys: Sequence[int] = (0,), signal: dict[str, Any] = PLAIN) -> bytes:
    """The film that the page's encoder makes of pictures in yuv420p."""
    width, height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
    own = [strictjson.encode_base64(picture.tobytes()) for picture in pictures]
    found = answer("lossless", width=width, height=height, pictures=own, keys=list(keys), signal=signal)
    assert "is" in found, found
    return strictjson.decode_base64(found["is"])


def hard_pictures(width: int, height: int) -> list[Values]:
    """Pictures that use each way to code a block: flat, noise of each strength, the same again, and pixels."""
    rng = np.random.default_rng(width * height)
    shape = (height * 3 // 2, width)
    made: list[Values] = [np.full(shape, 100, np.uint8)]
    for strength in (1, 2, 5, 15, 60, 255):
        for density in (0.01, 0.1, 0.5, 1):
            noise = rng.integers(-strength, strength + 1, shape) * (rng.random(shape) < density)
            made.append(np.clip(made[-1] + noise, 0, 255).astype(np.uint8))
            if density == 0.5:
                made.append(made[-1])
    slope = np.add.outer(np.arange(shape[0]), np.arange(width)) % 256
    sides = np.where(np.arange(width) < width // 2, made[0], made[-1]).astype(np.uint8)
    return [*made, slope.astype(np.uint8), sides, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)]


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (34, 18), (66, 50)])
def test_each_value_of_a_picture_is_the_one_that_the_page_was_given(size: tuple[int, int]) -> None:
    """The pictures also return backwards, so that each is coded alone and by another one before it."""
    pictures = hard_pictures(*size)
    pictures += pictures[::-1]
    keys = [0, 3, 4, len(pictures) // 2 + 1]
    film = lossless(pictures, keys)
    with av.open(io.BytesIO(film)) as container:
        shown = list(container.decode(video=0))
    assert [number for number, frame in enumerate(shown) if frame.key_frame] == keys
    assert len(shown) == len(pictures)
    for number, (frame, picture) in enumerate(zip(shown, pictures, strict=True)):
        assert np.array_equal(frame.to_ndarray(), picture), number
    # A picture of noise takes no more than its pixels. One that stays takes a few bytes.
    with av.open(io.BytesIO(film)) as container:
        lengths = [packet.size for packet in container.demux(video=0) if packet.size]
    blocks = -(-size[0] // 16) * -(-size[1] // 16)
    # In a black picture, bytes stand between the zeros.
    assert max(length for length, picture in zip(lengths, pictures, strict=True) if picture.any()) < 430 * blocks
    assert min(lengths) < 20


def test_a_gop_may_have_more_pictures_than_the_number_of_a_picture_counts() -> None:
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 9, (24, 16), np.uint8) for _ in range(600)]
    with av.open(io.BytesIO(lossless(pictures))) as container:
        assert [frame.to_ndarray().tobytes() for frame in container.decode(video=0)] == [
            each.tobytes() for each in pictures
        ]


def test_two_keyframes_in_a_row_have_different_numbers() -> None:
    """A decoder that has lost the border between them would otherwise take both for one picture."""
    picture = hard_pictures(16, 16)[7]
    with av.open(io.BytesIO(lossless([picture] * 3, keys=[0, 1, 2]))) as container:
        one, two, three = (bytes(packet) for packet in container.demux(video=0) if packet.size)
    assert one == three
    assert one != two


def test_an_exact_film_of_the_page_is_shown_in_the_colours_of_the_recorded_one() -> None:
    """Its pixels are written as square in the other one of two ways, for players of joined films."""
    for full_range, square in ((False, False), (True, True)):
        signal = {"isFullRange": full_range, "namesSquare": square, "colours": [BT601, UNKNOWN, BT601]}
        with av.open(io.BytesIO(lossless(hard_pictures(16, 16)[:1], signal=signal))) as container:
            codec = container.streams.video[0].codec_context
            next(container.decode(video=0))
            assert codec.profile == "High 4:4:4 Predictive"
            assert codec.pix_fmt == ("yuvj420p" if full_range else "yuv420p")
            assert (codec.color_primaries, codec.color_trc, codec.colorspace) == (BT601, UNKNOWN, BT601)
            # PyAV for Python 3.11 has None for a ratio that the film leaves open.
            assert (codec.sample_aspect_ratio or 0) == (0 if square else 1)


@pytest.mark.parametrize("aspect", ["0", "1", "4/3"])
@pytest.mark.parametrize("profile", ["baseline", "high", "high444"])
def test_the_page_reads_whether_a_recorded_film_names_square_pixels(aspect: str, profile: str) -> None:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 34, 18, "yuv420p"  # with rims that are cut off
    codec.time_base, codec.sample_aspect_ratio = Fraction(1, 10), Fraction(aspect)
    more = {"high444": "qp=0:annexb=0"}.get(profile, "annexb=0")
    codec.options = {"profile": profile, "x264-params": more}
    codec.flags |= 1 << 22  # parameter sets beside the pictures
    codec.open()
    described = answer(
        "signal",
        colours={"primaries": "bt709", "transfer": None, "matrix": "smpte170m", "fullRange": True},
        codec="avc1.42c01f",
        description=strictjson.encode_base64(avcc_of(bytes(codec.extradata or b""))),
    )
    assert described == {"isFullRange": True, "namesSquare": aspect == "1", "colours": [1, UNKNOWN, BT601]}


def avcc_of(extradata: bytes) -> bytes:
    """The box's body, also from parameter sets with start codes."""
    if not extradata.startswith(b"\0\0"):
        return extradata
    units = list(nal_units(extradata))
    return ParameterSets(VideoCodec.H264, tuple((each,) for each in units if each[0] & 31 in {7, 8})).record()


def code_of(value: int) -> str:
    """Exp-Golomb (ITU-T H.264, 9.1)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def signed_code_of(value: int) -> str:
    return code_of(2 * value - 1 if value > 0 else -2 * value)


LIST_4, LIST_8 = ["1" + "".join(map(signed_code_of, [5, -3] * (size // 2))) for size in (16, 64)]
DEFAULT_LIST = "1" + signed_code_of(-8)
LISTS = {
    "no lists": "0",
    "a small list": "1" + LIST_4 + "0" * 7,
    "a large list": "1" + "0" * 6 + LIST_8 + "0",
    "lists of the standard": "1" + DEFAULT_LIST * 8,
}
ORDERS = {
    "an order by number": code_of(0) + code_of(4),
    "an order by a cycle": code_of(1)
    + "1"
    + signed_code_of(-1)
    + signed_code_of(2)
    + code_of(2)
    + signed_code_of(3) * 2,
    "zeros like a start code": code_of(1) + "1" + signed_code_of(1 << 20) * 2 + code_of(0),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("lists", LISTS)
@pytest.mark.parametrize("aspect", [1, 2])
def test_what_stands_before_the_aspect_in_the_parameters_of_a_film_is_passed(
    lists: str, order: str, aspect: int
) -> None:
    """Encoders that are tried here write none of it."""
    bits = "".join(map(code_of, [0, 1, 0, 0])) + "0" + LISTS[lists] + code_of(0) + ORDERS[order]
    bits += code_of(1) + "0" + code_of(1) + code_of(0) + "11" + "0" + "1" + "1" + f"{aspect:08b}" + "1"
    bits += "0" * (-len(bits) % 8)
    plain = bytes((0x67, 100, 0, 31)) + int(bits, 2).to_bytes(len(bits) // 8)
    unit = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", plain)
    assert (unit != plain) is (order == "zeros like a start code")
    description = bytes((1, 100, 0, 31, 0xFF, 0xE1)) + len(unit).to_bytes(2) + unit
    found = answer("signal", colours={}, codec="avc1.64001f", description=strictjson.encode_base64(description))
    assert found["namesSquare"] is (aspect == 1)


@pytest.mark.parametrize("record", [b"", b"\1\0", b"\1" + b"\xff" * 40, b"\1" + bytes(7), bytes(range(60))])
def test_parameters_that_make_no_sense_name_no_square_pixels_and_end(record: bytes) -> None:
    nothing = {"primaries": None, "transfer": None, "matrix": None, "fullRange": None}
    found = answer("signal", colours=nothing, codec="avc1.000000", description=strictjson.encode_base64(record))
    assert found["isFullRange"] is False
    assert "colours" not in found
    assert found["namesSquare"] is False


@pytest.mark.parametrize("format", ["I420", "NV12"])
@pytest.mark.parametrize("size", [(6, 4), (5, 3)])
def test_the_planes_of_a_picture_are_read_from_rows_with_a_gap_behind_them(format: str, size: tuple[int, int]) -> None:
    (width, height), gap = size, 3
    across, down = -(-width // 2), -(-height // 2)
    rng = np.random.default_rng(2)
    luma = rng.integers(0, 256, (height, width), np.uint8)
    colours = [rng.integers(0, 256, (down, across), np.uint8) for _ in range(2)]
    stored = [luma, np.stack(colours, axis=2).reshape(down, 2 * across)] if format == "NV12" else [luma, *colours]
    content, layout = b"??", []
    for plane in stored:
        layout.append({"offset": len(content), "stride": plane.shape[1] + gap})
        content += np.pad(plane, ((0, 0), (0, gap)), constant_values=255).tobytes()
    found = answer(
        "planes", format=format, width=width, height=height, layout=layout, bytes=strictjson.encode_base64(content)
    )
    assert [strictjson.decode_base64(each) for each in found] == [each.tobytes() for each in (luma, *colours)]


def test_the_level_of_a_film_is_one_that_allows_its_size_and_rate() -> None:
    sizes = [(1280, 720, 30), (1280, 720, 31), (1920, 1080, 30), (3840, 2160, 15), (3840, 2160, 30), (9999, 9999, 1)]
    assert answer("level", sizes=sizes) == [31, 40, 40, 52, 52, None]


def unit(kind: int, size: int = 9) -> bytes:
    return size.to_bytes(4, "big") + bytes([0x60 | kind]) + bytes(size - 1)


def test_only_the_slices_of_an_encoded_picture_are_kept() -> None:
    """An encoder may write its name, or fill up to a rate that depends on what it has seen."""
    sample = unit(9, 2) + unit(7) + unit(8) + unit(6, 300) + unit(5, 70) + unit(12, 500) + unit(5, 3)
    found = answer("alone", sample=strictjson.encode_base64(sample))
    assert strictjson.decode_base64(found["is"]) == unit(5, 70) + unit(5, 3)
    for cut in (sample[:-1], sample + b"\0\0\0", b"\0\0\0\0"):
        assert answer("alone", sample=strictjson.encode_base64(cut))["refused"][0] == "error.format"


def heard_in(sound: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with av.open(io.BytesIO(sound)) as container:
        return np.concatenate([np.asarray(each.to_ndarray(), np.float32) for each in container.decode(audio=0)], axis=1)


def muted(sound: bytes, *redactions: Redaction, length: int = 2000) -> dict[str, Any]:
    planned = [json.loads(strictjson.encode(each)) for each in redactions]
    found: dict[str, Any] = answer("muted", sound=strictjson.encode_base64(sound), redactions=planned, length=length)
    return found


@pytest.mark.parametrize("sound", [track(2.0), stereo(2.0)], ids=["mono", "stereo"])
def test_a_muted_stretch_is_silent_and_the_rest_sounds_as_recorded(sound: bytes) -> None:
    made = strictjson.decode_base64(muted(sound, VOICE)["is"])
    require_muted(made, [VOICE])
    before, after = packets_of(sound), packets_of(made)
    assert [at_ns for at_ns, _ in before] == [at_ns for at_ns, _ in after]
    heard = heard_in(made)
    rate_hz = 24_000 if heard.shape[0] == 1 else 48_000
    first, last = round(0.7 * rate_hz), round(1.4 * rate_hz)
    assert np.abs(heard[:, first:last]).max() == 0
    for rest in (heard[:, : first - 4 * 1024], heard[:, last + 3 * 1024 :]):
        assert np.abs(rest).max() > 0.1
    # One packet more on both sides is replaced, because an encoder looks ahead.
    same = [at_ns * rate_hz // NS_PER_S for (at_ns, one), (_, two) in zip(before, after, strict=True) if one == two]
    assert not any(first - 3 * 1024 < at < last + 1024 for at in same)
    assert len(same) == sum(not first - 3 * 1024 < at_ns * rate_hz // NS_PER_S < last + 1024 for at_ns, _ in before)


def sound_of(packets: Sequence[tuple[int, bytes]]) -> bytes:
    """The sound of these packets of one channel, as the doorbell writes it."""
    _, description = noise(0.1)
    made = sound_mp4(description, [SoundPacket(data, BootNs(at_ns)) for at_ns, data in packets], 0, 2 * NS_PER_S)
    assert made is not None
    return made


def test_two_sounds_that_differ_only_in_a_muted_stretch_become_the_same_bytes() -> None:
    """Also in how many bytes each packet has."""
    tone, silence = (packets_of(track(2.0, silent_s=begin)) for begin in (0.0, 3.0))
    mixed = [other if 700 <= own[0] / NS_PER_MS < 1350 else own for own, other in zip(tone, silence, strict=True)]
    one, two = sound_of(tone), sound_of(mixed)
    assert len(one) > len(two)
    assert muted(one, VOICE) == muted(two, VOICE)


def test_a_mute_that_lasts_to_the_end_lasts_longer_than_an_altered_record_says() -> None:
    made = strictjson.decode_base64(muted(track(2.0), VOICE, length=1400)["is"])
    assert np.abs(heard_in(made)[:, 17_000:]).max() == 0


def test_a_sound_of_another_kind_is_refused_in_words() -> None:
    sound = bytearray(track(1.0))
    at = sound.find(b"esds") + 8 + 3 + 2 + 2 + 13 + 2
    assert sound[at] >> 3 == 2
    sound[at] = sound[at] & 7 | 5 << 3  # HE-AAC
    assert muted(bytes(sound), VOICE)["refused"][0] == "error.sound-unknown"
    assert "doorward owner redact" in ENGLISH["error.sound-unknown"]
