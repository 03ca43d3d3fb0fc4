"""Attacks on films that a browser has covered: the program of the page in Chromium, without a doorbell."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_network import WEIGHTS
from agent.clients.media.follow import follow_region
from agent.clients.media.join import join_mp4
from agent.clients.media.redact import compare_films, cover_film, require_covered, require_muted
from agent.core.vault.redactions import Place, Redaction, RedactionKind, covered_pixels, place_at
from agent.wire import strictjson
from tests.browser.browser import Browser
from tests.browser.page_modules import covered_by_page, in_page, page_modules
from tests.clients.media.test_follow import STEP_MS, around, place, plate_at, wall, with_car
from tests.clients.media.test_redact import (
    FACE,
    FRAMES,
    HEIGHT,
    PER_S,
    WIDTH,
    film_of,
    packets_in,
    pictures_in,
    scene,
)
from tests.faces import Seen, uncovered
from tests.faces import film_of as film_with
from tests.faces import scene as faces_scene
from tests.sounds import track

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LENGTH_MS = FRAMES * 1000 // PER_S


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with page_modules(tmp_path_factory.mktemp("home")) as found:
        yield found


def covered(
    browser: Browser, film: bytes, *redactions: Redaction, length: int = LENGTH_MS, exact: bool = False
) -> bytes:
    return covered_by_page(browser, film, redactions, length, exact=exact)[0]


@pytest.mark.parametrize("exact", [False, True])
def test_two_films_that_differ_only_below_the_covers_become_the_same_bytes(browser: Browser, exact: bool) -> None:
    """The strongest attack: a reader who can tell two hidden faces apart by any measure must find a differing byte.

    The bytes include motion vectors, neighbouring pictures, the rate, the size of each picture and of the film.
    """
    one, two = film_of(scene(1)), film_of(scene(12))
    assert len(one) < 0.9 * len(two), "the scenes must differ in what an attacker could measure"
    made = covered(browser, one, FACE, exact=exact)
    assert made == covered(browser, two, FACE, exact=exact)
    # A cover elsewhere does give other bytes, so the comparison can fail.
    elsewhere = Redaction(kind=RedactionKind.FACE, from_ms=0, until_ms=100, places=(Place(0, 0, 0, 1000, 1000),))
    assert made != covered(browser, two, FACE, elsewhere, exact=exact)


@pytest.mark.parametrize("exact", [pytest.param(False, marks=pytest.mark.at_length("make test-browser")), True])
def test_two_films_that_differ_only_in_their_keyframes_become_the_same_bytes(browser: Browser, exact: bool) -> None:
    """A camera that sets a keyframe where the scene changes would tell when something below a cover changed."""
    films = [film_of(scene(5), keyframes=keyframes) for keyframes in ((0, 7, 8, 23), range(0, FRAMES, PER_S))]
    assert films[0] != films[1]
    made = [covered(browser, film, FACE, exact=exact) for film in films]
    assert made[0] == made[1]
    with av.open(io.BytesIO(made[0])) as container:
        keyframes = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keyframes == [0, 10, 20]


@pytest.mark.parametrize("bframes", [0, pytest.param(2, marks=pytest.mark.at_length("make test-browser"))])
def test_no_pixel_outside_of_the_covers_of_an_exact_film_of_the_page_differs_from_the_recorded_one(
    browser: Browser, tmp_path: Path, bframes: int
) -> None:
    """The command line and a requester find no difference, too, and a viewer may jump in it among recorded films."""
    captured = film_of(scene(5), lossless=False, bframes=bframes)
    made = covered(browser, captured, FACE, exact=True)
    assert len(made) < 8 * len(captured), "all of it is written as pixels"
    found = compare_films(captured, made, [FACE])
    assert (found.pictures, found.changed) == (FRAMES, 0)
    with ConfinedMedia() as media:
        media.check_redacted("segment", made, [FACE], exact=True)
    assert made != cover_film(captured, [FACE], LENGTH_MS, exact=True), "it was to be the page's"
    assert compare_films(captured, covered(browser, captured, FACE), [FACE]).changed > 0
    paths = [tmp_path / "recorded.mp4", tmp_path / "exact.mp4", tmp_path / "again.mp4"]
    for path, film in zip(paths, (captured, made, captured), strict=True):
        path.write_bytes(film)
    joined = join_mp4(paths, tmp_path / "all.mp4", sounds=[None] * 3).seconds
    assert joined == pytest.approx(9, abs=0.3)
    expected = pictures_in(captured) + pictures_in(made) + pictures_in(captured)
    shown = pictures_in((tmp_path / "all.mp4").read_bytes())
    assert len(shown) == len(expected)
    assert all(np.array_equal(one, two) for one, two in zip(shown, expected, strict=True))


def test_an_exact_film_that_differs_in_one_value_is_noticed(browser: Browser) -> None:
    pictures = scene(5)
    captured = film_of(pictures)
    black = pictures_in(cover_film(captured, [FACE], LENGTH_MS, exact=True))
    check = """const { requireExact } = await import("/media/cover_film.js");
               await requireExact(media, unbase64(values.made), redactions);
               return { same: true };"""

    def found(made: list[Any]) -> Any:
        film = base64.b64encode(film_of(made)).decode()
        return in_page(browser, check, captured, [FACE], made=film)

    assert found(black) == {"same": True}
    for row, column in ((0, 0), (HEIGHT - 1, WIDTH - 1), (HEIGHT * 3 // 2 - 1, WIDTH - 1)):
        changed = [each.copy() for each in black]
        changed[20][row, column] ^= 1
        assert found(changed)["refused"] == "error.not-exact", (row, column)
    assert found(black[:-1])["refused"] == "error.not-exact"


def test_each_covered_pixel_is_black_and_the_others_are_close_to_the_recorded_ones(browser: Browser) -> None:
    captured = scene(5)
    made = covered(browser, film_of(captured), FACE)
    require_covered(made, [FACE])
    after = pictures_in(made)
    assert len(after) == FRAMES
    for number, (one, two) in enumerate(zip(captured, after, strict=True)):
        at_ms = number * 1000 // PER_S
        left, top, right, bottom = covered_pixels(place_at(FACE, at_ms), WIDTH, HEIGHT)
        kept = np.ones((HEIGHT, WIDTH), bool)
        if FACE.from_ms <= at_ms <= FACE.until_ms:
            assert two[top + 4 : bottom - 4, left + 4 : right - 4].max() <= 40
            kept[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = False
        assert np.abs(one[:HEIGHT].astype(int) - two[:HEIGHT].astype(int))[kept].mean() < 4


@pytest.mark.at_length("make test-browser")
@pytest.mark.parametrize("bframes", [0, 2])
def test_times_and_length_stay_and_a_requester_joins_it_with_captured_films(
    browser: Browser, tmp_path: Path, bframes: int
) -> None:
    captured = film_of(scene(3), lossless=False, bframes=bframes)
    made = covered(browser, captured, FACE)
    shown = []
    for film in (captured, made):
        with av.open(io.BytesIO(film)) as container:
            frames = [(round((frame.time or 0) * 1000), frame.key_frame) for frame in container.decode(video=0)]
            shown.append((frames, container.duration))
    assert shown[0] == shown[1]
    with ConfinedMedia() as media:
        media.check("segment", made)
    paths = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    paths[0].write_bytes(made)
    paths[1].write_bytes(made)
    assert join_mp4(paths, tmp_path / "both.mp4", sounds=[None, None]).seconds == pytest.approx(6, abs=0.2)


DECODE = """
const { bytesOf, decoded } = await import("/media/decoded.js");
const { picturesIn } = await import("/media/fmp4.js");
const digests = [];
for await (const frame of decoded(media, picturesIn(media))) {
  const { bytes } = await bytesOf(frame);
  digests.push(base64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
}
return { digests };
"""


@pytest.mark.at_length("make test-browser")
def test_a_browser_shows_an_exact_film_value_by_value(browser: Browser) -> None:
    exact = cover_film(film_of(scene(5), lossless=False), [FACE], LENGTH_MS, exact=True)
    shown = in_page(browser, DECODE, exact, [])["digests"]
    assert shown == [
        base64.b64encode(hashlib.sha256(picture.tobytes()).digest()).decode() for picture in pictures_in(exact)
    ]


SUGGEST = """
const { CoverSuggester } = await import("/media/suggest_covers.js");
const films = { ...(await import("/media/cover_film.js")), ...(await import("/media/decoded.js")) };
const { picturesIn } = await import("/media/fmp4.js");
const { redactionsOf } = await import("/owner/redaction_plan.js");
const { newCover, withPlace } = await import("/owner/cover_draft.js");
const suggester = new CoverSuggester(unbase64(values.network), undefined, { ...films, picturesIn });
const begun = performance.now();
await suggester.add(media, length);
const found = suggester.finish(64);
// The owner's pass: the small picture on the wall stays, and the one who looks away is covered in each picture.
const kept = values.pass ? found.filter(({ places: [[, , , width]] }) => width > 1700) : found;
if (values.pass) kept.push(withPlace(newCover(0, length, [6000, 5200, 1500, 4500]), length, [7600, 5200, 1500, 4500]));
const plan = redactionsOf({ e: kept }, [{ event: "e", segments: [{ id: "s", lengthMs: length }] }]);
return { plan: plan.segment.s ?? [], ms: performance.now() - begun };
"""


def test_the_page_suggests_covers_and_after_the_owners_pass_each_face_is_covered(browser: Browser) -> None:
    """Three faces: one walks and turns away for half a second, one looks away all the time, and one is a picture."""
    width, height, per_s, count = 320, 192, 10, 16
    seen = [
        [Seen(90 + 8 * n, 70, 40, turned=6 <= n < 11), Seen(215 + 3 * n, 140, 30, turned=True), Seen(35, 30, 24)]
        for n in range(count)
    ]
    film = film_with(faces_scene(seen, width, height), per_s)
    network = base64.b64encode(WEIGHTS.read_bytes()).decode()

    def shown(*, owners_pass: bool) -> tuple[list[float], bytes]:
        found = in_page(browser, SUGGEST, film, [], length=1600, network=network, **{"pass": owners_pass})
        assert "plan" in found, found
        plan = [strictjson.decode(json.dumps(each).encode(), Redaction) for each in found["plan"]]
        pictures = range(count)
        left = [
            max(
                uncovered(
                    seen[n][each],
                    [
                        covered_pixels(place_at(cover, n * 100), width, height)
                        for cover in plan
                        if cover.from_ms <= n * 100 <= cover.until_ms
                    ],
                    width,
                    height,
                )
                for n in pictures
            )
            for each in range(3)
        ]
        made = covered(browser, film, *plan, length=1600)
        require_covered(made, plan)
        return left, made

    left, _made = shown(owners_pass=False)
    assert (left[0], left[2]) == (0, 0), "the faces that are seen are covered in each picture"
    assert left[1] > 0.5, "the network finds no face at the back of a head"
    left, made = shown(owners_pass=True)
    assert left[:2] == [0, 0]
    assert left[2] == 1, "the owner has removed the cover of the picture on the wall"
    for number, picture in enumerate(pictures_of_film(made)):
        for face in seen[number][:2]:
            x0, y0, x1, y1 = (round(side) for side in face.box)
            assert picture[y0:y1, x0:x1].max() <= 60, f"seen in picture {number}"


FOLLOW = """
const { RegionFollower } = await import("/media/follow_region.js");
const films = { ...(await import("/media/cover_film.js")), ...(await import("/media/decoded.js")) };
const { picturesIn } = await import("/media/fmp4.js");
const { redactionsOf } = await import("/owner/redaction_plan.js");
const { newCover, withFollowed } = await import("/owner/cover_draft.js");
const [[at, ...rectangle]] = values.hand;
const draft = newCover(at, length, rectangle);
const cover = { hand: draft.places, from: 0, until: length, lengths: [length] };
const follower = new RegionFollower(cover, { ...films, picturesIn });
const begun = performance.now();
for (const _ of follower.order) await follower.add(media);
const found = follower.finish();
const ms = performance.now() - begun;
const plan = redactionsOf({ e: [withFollowed(draft, found)] },
  [{ event: "e", segments: [{ id: "s", lengthMs: length }] }]);
return { ...found, plan: plan.segment.s, order: follower.order, ms };
"""


def test_the_page_follows_a_drawn_box_to_the_same_places_as_the_command_line(browser: Browser) -> None:
    """From the same film, because both count with the values that the decoder gives. The plate is black in each picture."""
    plates = [plate_at(20 + 12 * n, 90 + 3 * (n % 5)) for n in range(20)]
    film = film_with([with_car(wall(), each) for each in plates], 1000 // STEP_MS)
    hand = place(900, around(plates[9]))
    answer = in_page(
        browser, FOLLOW, film, [], length=2000, hand=[[hand.at_ms, hand.left, hand.top, hand.width, hand.height]]
    )
    assert "plan" in answer, answer
    found = follow_region([(film, 2000)], [hand], 0, 2000)
    assert [tuple(each) for each in answer["places"]] == [
        (each.at_ms, each.left, each.top, each.width, each.height) for each in found.places
    ]
    assert (answer["order"], answer["unsure"], found.unsure) == ([0, 0], [], ())
    plan = [strictjson.decode(json.dumps(each).encode(), Redaction) for each in answer["plan"]]
    made = covered(browser, film, *plan, length=2000)
    require_covered(made, plan)
    for number, (picture, (x0, y0, x1, y1)) in enumerate(zip(pictures_of_film(made), plates, strict=True)):
        assert picture[y0:y1, x0:x1].max() <= 60, f"seen in picture {number}"


def pictures_of_film(film: bytes) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Luma of each picture."""
    with av.open(io.BytesIO(film)) as container:
        return [
            np.asarray(each.to_ndarray(format="yuv420p"), np.uint8)[: each.height] for each in container.decode(video=0)
        ]


def test_the_new_film_holds_no_part_of_the_captured_one_and_no_name_of_an_encoder(browser: Browser) -> None:
    captured = film_of(scene(7), lossless=False)
    made = covered(browser, captured, FACE)
    assert b"x264 - core" in captured
    assert b"x264 - core" not in made
    kinds = {unit[4] & 31 for packet in packets_in(made) for unit in _units(packet)}
    assert kinds <= {1, 5}, "only slices"
    packets = [each for each in packets_in(captured) if each]
    assert len(packets) == FRAMES
    assert not any(each[-24:] in made for each in packets)


def _units(packet: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4])
        yield packet[at:end]
        at = end


@pytest.mark.at_length("make test-browser")
def test_a_cover_that_lasts_to_the_end_covers_pictures_after_the_end_of_the_record(browser: Browser) -> None:
    """A recorder that was taken over dates the end of a film too early."""
    whole = Redaction(kind=RedactionKind.AREA, from_ms=0, until_ms=800, places=(Place(0, 0, 0, 10_000, 10_000),))
    after = pictures_in(covered(browser, film_of(scene(4)), whole, length=800))
    assert len(after) == FRAMES
    assert max(int(each[:HEIGHT].max()) for each in after) < 40


def test_a_cover_that_failed_is_noticed(browser: Browser) -> None:
    """The page looks at the new film before it is signed."""
    found = in_page(
        browser,
        """const { requireCovered } = await import("/media/cover_film.js");
           await requireCovered(media, redactions);
           return { made: "" };""",
        film_of(scene(5)),
        [FACE],
    )
    assert (found["refused"], found["values"]) == ("error.not-covered", {"seconds": "0.50"})


def test_a_mute_that_failed_is_noticed_and_one_that_holds_is_not(browser: Browser) -> None:
    voice = Redaction(kind=RedactionKind.VOICE, from_ms=700, until_ms=1400)
    look = """const { muteSound, requireMuted } = await import("/media/mute_sound.js");
              const made = values.mute ? muteSound(media, redactions, length) : media;
              await requireMuted(made, redactions);
              return { made: base64(made) };"""
    sound = track(2.0)
    assert in_page(browser, look, sound, [voice], length=2000, mute=False)["refused"] == "error.not-muted"
    made = base64.b64decode(in_page(browser, look, sound, [voice], length=2000, mute=True)["made"])
    require_muted(made, [voice])
    without = """const had = globalThis.AudioDecoder;
                 delete globalThis.AudioDecoder;
                 try { await requireMuted(media, redactions); } finally { globalThis.AudioDecoder = had; }"""
    body = 'const { requireMuted } = await import("/media/mute_sound.js");' + without
    assert in_page(browser, body, made, [voice])["refused"] == "error.sound-unknown"


def test_a_film_that_does_not_decode_is_refused_in_words(browser: Browser) -> None:
    film = bytearray(film_of(scene(3), lossless=False))
    for packet in filter(None, packets_in(bytes(film))):
        at = film.find(packet)
        film[at : at + len(packet)] = b"\xff" * len(packet)
    found = in_page(
        browser,
        """const { coverFilm } = await import("/media/cover_film.js");
           return { made: base64(await coverFilm(media, redactions, length)) };""",
        bytes(film),
        [FACE],
        length=LENGTH_MS,
    )
    assert found["refused"] == "error.film-broken"


@pytest.mark.parametrize("lacks", ["VideoEncoder", "VideoDecoder"])
def test_a_browser_without_webcodecs_is_refused_in_words(browser: Browser, lacks: str) -> None:
    found = in_page(
        browser,
        """const { coverFilm } = await import("/media/cover_film.js");
           const had = globalThis[values.lacks];
           delete globalThis[values.lacks];
           try { return { made: base64(await coverFilm(media, redactions, length)) }; }
           finally { globalThis[values.lacks] = had; }""",
        film_of(scene(3), lossless=False),
        [FACE],
        length=LENGTH_MS,
        lacks=lacks,
    )
    assert found["refused"] == "error.no-webcodecs"


def test_a_browser_that_cannot_show_films_without_loss_makes_no_exact_one(browser: Browser) -> None:
    """The owner could neither look at it nor could the page check it."""
    found = in_page(
        browser,
        """const { coverFilm } = await import("/media/cover_film.js");
           const lossless = await import("/media/lossless_encoder.js");
           const had = VideoDecoder.isConfigSupported;
           VideoDecoder.isConfigSupported = async (each) =>
             each.codec.startsWith("avc1.f4") ? { supported: false } : had.call(VideoDecoder, each);
           try {
             const other = await coverFilm(media, redactions, length);
             return { other: other.length, ...(await coverFilm(media, redactions, length, lossless)) };
           } catch (error) { return { refused: error.text }; }
           finally { VideoDecoder.isConfigSupported = had; }""",
        film_of(scene(3), lossless=False),
        [FACE],
        length=LENGTH_MS,
    )
    assert found == {"refused": "error.no-exact"}
