"""Covers that follow: what an owner drew a box on once stays covered, and where that is unsure the owner is told."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.clients.media import region_tracks
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Followed
from agent.clients.media.follow import _luma, follow_region, times
from agent.clients.media.redact import cover_film, require_covered
from agent.clients.media.region_tracks import WIDEST_PX, RegionTracks, halved
from agent.core.vault.redactions import MOST_PLACES, WHOLE, Place, Redaction, RedactionKind, place_at
from agent.errors import FormatError
from tests.faces import film_of, scene, with_plate

WIDTH, HEIGHT, PLATE, STEP_MS = 320, 192, (48, 12), 100
Luma = Picture = NDArray[np.uint8]
Pixels = tuple[int, int, int, int]
"""Left, top, right and bottom."""


@functools.cache
def wall() -> Picture:
    return scene([[]], WIDTH, HEIGHT)[0]


@functools.cache
def car() -> Picture:
    return with_plate(np.full((240, 600, 3), (60, 40, 30), np.uint8), (60, 60, 540, 180))


def plate_at(x: float, y: float, larger: float = 1) -> Pixels:
    width, height = (round(side * larger) for side in PLATE)
    return round(x), round(y), round(x) + width, round(y) + height


def with_car(picture: Picture, plate: Pixels) -> Picture:
    """The picture with a plate there, and what holds it. It is drawn large, so that it keeps its shape at each size."""
    left, top, right, bottom = plate
    across, down = round((right - left) / 8), round((bottom - top) / 2)
    columns, rows = right - left + 2 * across, bottom - top + 2 * down
    small = cv2.resize(car(), (columns, rows), interpolation=cv2.INTER_AREA)
    made = cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_CONSTANT)
    y, x = rows + top - down, columns + left - across
    if 0 <= x <= made.shape[1] - columns and 0 <= y <= made.shape[0] - rows:  # else it has left the picture
        made[y : y + rows, x : x + columns] = small
    return np.asarray(made[rows:-rows, columns:-columns], np.uint8)


def seen(plates: Sequence[Pixels], *, post: tuple[int, int] | None = None) -> list[Luma]:
    """Pictures of a plate in front of a wall, the post in front of both."""
    pictures = []
    for plate in plates:
        picture = cv2.cvtColor(with_car(wall(), plate), cv2.COLOR_BGR2GRAY)
        if post is not None:
            picture[:, post[0] : post[1]] = 90
        pictures.append(np.asarray(picture, np.uint8))
    return pictures


def place(at_ms: int, plate: Pixels) -> Place:
    left, top, right, bottom = plate
    x, y = left * WHOLE // WIDTH, top * WHOLE // HEIGHT
    return Place(at_ms, x, y, -(-right * WHOLE // WIDTH) - x, -(-bottom * WHOLE // HEIGHT) - y)


def followed(
    pictures: Sequence[Luma], *hand: Place, from_ms: int = 0, until_ms: int | None = None, films: int = 1
) -> Followed:
    """The pictures in films of the same length, one each `STEP_MS`."""
    length = len(pictures) // films
    whole_ms = length * films * STEP_MS
    tracks = RegionTracks(hand, from_ms, whole_ms if until_ms is None else until_ms, [length * STEP_MS] * films)
    for film in tracks.order:
        moments = tracks.moments([n * STEP_MS for n in range(length)])
        tracks.add([(at, pictures[film * length + at // STEP_MS]) for at in moments])
    return tracks.finish()


def covered_at(found: Followed, at_ms: int, until_ms: int = 100_000) -> tuple[float, float, float, float]:
    """The cover in pixels."""
    each = place_at(Redaction(RedactionKind.PLATE, 0, until_ms, found.places), at_ms)
    right, bottom = each.left + each.width, each.top + each.height
    return (
        each.left * WIDTH / WHOLE, each.top * HEIGHT / WHOLE, right * WIDTH / WHOLE, bottom * HEIGHT / WHOLE
    )  # fmt: skip


def uncovered(found: Followed, plates: Sequence[Pixels]) -> list[int]:
    """The pictures in which a part of the plate is beside the cover."""
    missed = []
    for number, (left, top, right, bottom) in enumerate(plates):
        x0, y0, x1, y1 = map(round, covered_at(found, number * STEP_MS))
        if not (x0 <= left and y0 <= top and x1 >= right and y1 >= bottom):
            missed.append(number)
    return missed


def is_named(found: Followed, at_ms: int) -> bool:
    return any(from_ms <= at_ms <= until_ms for from_ms, until_ms in found.unsure)


def around(plate: Pixels, by: int = 2) -> Pixels:
    return plate[0] - by, plate[1] - by, plate[2] + by, plate[3] + by


def test_one_box_follows_forwards_and_backwards_and_a_still_one_does_not_cover() -> None:
    plates = [plate_at(30 + 7 * n, 90 + 20 * math.sin(n / 5)) for n in range(30)]
    hand = place(1200, around(plates[12]))
    assert len(uncovered(Followed((hand,), ()), plates)) > 25
    found = followed(seen(plates), hand)
    assert uncovered(found, plates) == []
    assert found.unsure == ()
    left, top, right, bottom = covered_at(found, 2500)
    assert (right - left) * (bottom - top) < 4 * PLATE[0] * PLATE[1], "it covers little else"


def test_a_thing_that_comes_nearer_stays_covered() -> None:
    plates = [plate_at(120 - 2 * n, 80 + n, 1 + n / 25) for n in range(30)]
    found = followed(seen(plates), place(0, around(plates[0])))
    assert uncovered(found, plates) == []
    assert found.unsure == ()


def test_behind_a_post_the_cover_waits_and_grows_and_its_owner_is_told_where_to_look() -> None:
    plates = [plate_at(20 + 8 * n, 90) for n in range(30)]
    post = (110, 180)
    found = followed(seen(plates, post=post), place(200, around(plates[2])))
    # It is seen again behind the post, and followed to the end. Between both, its straight way is covered.
    assert uncovered(found, plates) == []
    (stretch,) = found.unsure
    hidden = [number for number, each in enumerate(plates) if each[0] >= post[0] - 10 and each[2] <= post[1] + 10]
    assert hidden
    assert all(stretch[0] <= number * STEP_MS <= stretch[1] for number in hidden)
    before, within = (covered_at(found, at) for at in (stretch[0] - 300, (stretch[0] + stretch[1]) // 2))
    assert within[3] - within[1] > before[3] - before[1]
    assert within[0] <= before[2], "it stays where the plate was seen last"
    assert not is_named(found, 2900)


def test_a_thing_that_leaves_stays_covered_at_the_rim_and_the_rest_is_unsure() -> None:
    plates = [plate_at(200 + 12 * n, 90) for n in range(25)]
    found = followed(seen(plates), place(0, around(plates[0])))
    gone = next(number for number, each in enumerate(plates) if each[0] >= WIDTH)
    shown = [(left, top, min(right, WIDTH), bottom) for left, top, right, bottom in plates[:gone]]
    assert uncovered(found, shown) == []
    assert found.unsure[-1][1] == 2500
    assert found.unsure[-1][0] <= gone * STEP_MS
    assert covered_at(found, 2400)[2] == WIDTH


def test_what_has_no_pattern_or_two_places_is_unsure_and_never_loses_its_drawn_box() -> None:
    flat = [np.full((HEIGHT, WIDTH), 120, np.uint8)] * 8
    drawn = place(300, (100, 60, 150, 90))
    found = followed(flat, drawn)
    assert found.unsure == ((0, 800),)
    for at_ms in (0, 300, 700):
        x0, y0, x1, y1 = covered_at(found, at_ms)
        assert min(100 - x0, 60 - y0, x1 - 150, y1 - 90) >= 0
    # Which board of a fence it is, nothing tells.
    fence = [np.broadcast_to(np.where(np.arange(WIDTH) % 14 < 7, 60, 180).astype(np.uint8), (HEIGHT, WIDTH))] * 8
    assert followed(fence, place(0, (100, 60, 116, 76))).unsure == ((100, 800),)
    alone = followed(seen([plate_at(60, 90)] * 8), place(0, around(plate_at(60, 90))))
    assert alone.unsure == ()


def test_one_of_two_that_look_the_same_is_not_taken_for_the_lost_one() -> None:
    mark = np.random.default_rng(4).integers(0, 256, (7, 7), np.uint8).repeat(2, 0).repeat(2, 1)

    def marked(*lefts: int) -> Luma:
        picture = cv2.cvtColor(wall(), cv2.COLOR_BGR2GRAY)
        for left in lefts:
            picture[60:74, left : left + 14] = mark
        return np.asarray(picture, np.uint8)

    drawn = place(0, (100, 60, 114, 74))
    before = [marked(100)] * 3 + [marked()] * 3
    assert followed([*before, *[marked(80, 120)] * 4], drawn).unsure == ((300, 1000),)
    found = followed([*before, *[marked(120)] * 4], drawn)
    assert found.unsure == ((300, 500),)
    # Between both, its straight way is covered: after half of the time it would be at 110.
    left, _top, right, _bottom = covered_at(found, 400)
    assert left <= 110
    assert right >= 124


def test_a_place_that_the_owner_corrects_holds_and_both_sides_follow_from_it() -> None:
    """Between two places it is followed from both: where one side has lost it, the other one may have it."""
    plates = [plate_at(20 + 8 * n, 90) for n in range(30)]
    pictures = seen(plates, post=(130, 150))
    for number in range(12, 18):
        pictures[number][:] = 90  # the lamp is off for half a second
    one, other = place(0, around(plates[0])), place(2500, around(plates[25]))
    found = followed(pictures, one, other)
    free = [number for number in uncovered(found, plates) if not 9 <= number <= 20]
    assert free == []
    for hand in (one, other):
        at = covered_at(found, hand.at_ms)
        assert at[0] <= hand.left * WIDTH / WHOLE
        assert at[2] >= (hand.left + hand.width) * WIDTH / WHOLE
    # A place on something else ends the stretch there, and what disagrees is named.
    astray = followed(seen(plates), one, place(1500, (10, 20, 58, 32)))
    assert astray.unsure
    assert covered_at(astray, 1500)[0] <= 10


def test_a_cover_follows_through_the_films_of_a_clip_both_ways() -> None:
    plates = [plate_at(30 + 7 * n, 90) for n in range(30)]
    tracks = RegionTracks([place(1200, plates[12])], 0, 3000, [1000] * 3)
    assert tracks.order == [1, 2, 1, 0]
    found = followed(seen(plates), place(1200, around(plates[12])), films=3)
    assert uncovered(found, plates) == []
    assert found.unsure == ()
    # Only the time of the cover counts.
    tracks = RegionTracks([place(1200, plates[12])], 1000, 1900, [1000] * 3)
    assert tracks.order == [1, 1]
    short = followed(seen(plates), place(1200, around(plates[12])), from_ms=1000, until_ms=1900, films=3)
    assert (short.places[0].at_ms, short.places[-1].at_ms) == (1000, 1900)


def test_the_pictures_that_are_looked_at_are_the_first_the_last_and_those_in_which_the_owner_drew() -> None:
    thirty = [n * 1000 // 30 for n in range(31)]
    tracks = RegionTracks([Place(70, 0, 0, 100, 100), Place(2000, 0, 0, 100, 100)], 0, 2000, [1000, 1000])
    # The picture at the end of a film is the first one of the next film.
    assert tracks.moments(thirty)[:5] == [0, 66, 133, 200, 266]
    tracks.add([])
    assert tracks.moments(thirty)[-2:] == [933, 1000]
    # A long film has at most 600 pictures.
    tracks = RegionTracks([Place(0, 0, 0, 100, 100)], 0, 600_000, [600_000])
    assert len(tracks.moments(range(0, 600_000, 50))) <= 601
    # One drawn between two of them is looked at as well.
    tracks = RegionTracks([Place(34, 0, 0, 100, 100)], 0, 1000, [1000])
    assert tracks.moments(thirty)[:3] == [0, 33, 66]


def test_a_restless_thing_gets_no_more_places_than_a_plan_takes_and_stays_covered() -> None:
    chance = np.random.default_rng(3)
    plates, x, y = [], 130.0, 90.0
    for _ in range(130):
        x, y = min(250, max(20, x + chance.uniform(-14, 14))), min(160, max(20, y + chance.uniform(-8, 8)))
        plates.append(plate_at(x, y))
    found = followed(seen(plates), place(0, around(plates[0])))
    assert len(found.places) <= region_tracks.MOST_FOLLOWED < MOST_PLACES
    assert [number for number in uncovered(found, plates) if not is_named(found, number * STEP_MS)] == []


def test_half_a_picture_is_the_mean_of_four_pixels() -> None:
    odd = np.array([[0, 1, 9], [2, 4, 9], [9, 9, 9]], np.uint8)
    assert halved(odd).tolist() == [[2]]


def test_a_film_is_followed_in_the_process_with_limits_and_its_cover_hides_the_plate() -> None:
    plates = [plate_at(30 + 12 * n, 90) for n in range(16)]
    film = film_of([with_car(wall(), each) for each in plates], 1000 // STEP_MS)
    assert times(film) == [n * STEP_MS for n in range(16)]
    hand = [place(700, around(plates[7]))]
    found = follow_region([(film, 1600)], hand, 0, 1600)
    assert uncovered(found, plates) == []
    cover = Redaction(RedactionKind.PLATE, 0, 1600, found.places)
    require_covered(cover_film(film, [cover], 1600), [cover])
    with ConfinedMedia() as media:
        assert media.follow([(film, 1600)], hand, 0, 1600) == found
        with pytest.raises(FormatError):
            media.follow([(b"no film", 1600)], hand, 0, 1600)


@pytest.mark.parametrize(("width_px", "followed_px"), [(WIDEST_PX, WIDEST_PX), (WIDEST_PX + 2, WIDEST_PX // 2 + 1)])
def test_a_picture_is_halved_only_if_it_is_too_wide(width_px: int, followed_px: int) -> None:
    picture = np.full((48 * 3 // 2, width_px), 90, np.uint8)
    assert _luma(av.VideoFrame.from_ndarray(picture, format="yuv420p")).shape[1] == followed_px
