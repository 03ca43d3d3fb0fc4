"""Suggested covers: each face of a film is covered in each picture, also where the network misses it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.clients.media import face_tracks
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Suggestion, at_most
from agent.clients.media.face_network import Face, FaceNetwork
from agent.clients.media.face_tracks import FaceTracker, followed
from agent.clients.media.plate_cascade import PlateCascade
from agent.clients.media.redact import cover_film, require_covered
from agent.clients.media.suggest import MOST_PX, examine, is_colourless_film, suggest_covers, widest_px
from agent.core.vault.redactions import (
    MOST_PLACES,
    MOST_REDACTIONS,
    WHOLE,
    Place,
    Redaction,
    RedactionKind,
    covered_pixels,
    place_at,
)
from agent.errors import ConfigurationError, FormatError
from tests.faces import Seen, film_of, scene, uncovered, with_plate

WIDTH, HEIGHT, PER_S = 320, 192, 10
Box = tuple[float, float, float, float]


def covers_at(covers: Sequence[Suggestion], at_ms: int) -> list[tuple[int, int, int, int]]:
    found = [
        Redaction(kind=RedactionKind.FACE, from_ms=each.from_ms, until_ms=each.until_ms, places=each.places)
        for each in covers
        if each.from_ms <= at_ms <= each.until_ms
    ]
    return [covered_pixels(place_at(each, at_ms), WIDTH, HEIGHT) for each in found]


def walk(pictures: int) -> list[list[Seen]]:
    """One person crosses the picture and turns away on the way, and one stands far away from the third picture on."""
    near = [Seen(60 + 10 * n, 80 + 2 * n, 40 + n, turned=8 <= n < 13) for n in range(pictures)]
    return [[each, *([Seen(270, 150, 22)] if n >= 2 else [])] for n, each in enumerate(near)]


def test_each_face_is_covered_in_each_picture_also_while_it_turns_away() -> None:
    faces = walk(20)
    film = film_of(scene(faces, WIDTH, HEIGHT), PER_S)
    covers = suggest_covers([(film, 1000 * len(faces) // PER_S)])
    shown = [
        uncovered(face, covers_at(covers, 1000 * number // PER_S), WIDTH, HEIGHT)
        for number, seen in enumerate(faces)
        for face in seen
    ]
    assert len(covers) == 2
    assert max(shown) == 0


def test_a_film_without_a_face_gets_no_cover_and_times_count_through_a_clip() -> None:
    wall = film_of(scene([[]] * 6, WIDTH, HEIGHT), PER_S)
    assert suggest_covers([(wall, 600)]) == []
    met = film_of(scene([[Seen(150, 90, 50)]] * 6, WIDTH, HEIGHT), PER_S)
    (cover,) = suggest_covers([(wall, 3000), (met, 600)])
    assert (cover.from_ms, cover.until_ms) == (3000 - face_tracks.HOLD_MS, 3600)


def test_a_face_in_the_dark_is_covered() -> None:
    faces = [[Seen(110, 90, 24)]] * 4
    noise = np.random.default_rng(0).normal(0, 2, (HEIGHT, WIDTH, 3))
    dark = [np.clip(picture * 0.1 + noise, 0, 255).astype(np.uint8) for picture in scene(faces, WIDTH, HEIGHT)]
    covers = suggest_covers([(film_of(dark, PER_S), 400)])
    assert [uncovered(faces[0][0], covers_at(covers, 100 * n), WIDTH, HEIGHT) for n in range(4)] == [0] * 4


def rounded(covers: Sequence[Suggestion]) -> list[Suggestion]:
    """The covers with a score of four digits: another number of threads adds in another order."""
    return [dataclasses.replace(each, score=round(each.score, 4)) for each in covers]


def test_films_are_examined_in_the_process_with_limits(tmp_path: Path) -> None:
    film = film_of(scene([[Seen(150, 90, 50)]] * 3, WIDTH, HEIGHT), PER_S)
    with ConfinedMedia() as media:
        assert rounded(media.suggest([(film, 300)])) == rounded(suggest_covers([(film, 300)]))
        with pytest.raises(FormatError):
            media.suggest([(film, 300), (b"no film", 300)])
        (tmp_path / "objects.onnx").write_bytes(b"another network")
        with pytest.raises(FormatError, match="not the file that is known"):
            media.suggest([(film, 300)], people=tmp_path / "objects.onnx")
        with pytest.raises(FormatError, match="not the file that is known"):
            media.suggest([(film, 300)], vehicles=tmp_path / "objects.onnx")


def test_a_film_that_begins_without_colour_is_told_from_one_with_colour() -> None:
    """So that its owner hears of heads. A picture in which a lamp turns on later still began by infrared."""
    colours = scene([[Seen(150, 90, 50)]] * 3, WIDTH, HEIGHT)
    greys = [np.repeat(each.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8) for each in colours]
    assert not is_colourless_film(film_of(colours, PER_S))
    assert is_colourless_film(film_of(greys, PER_S))
    assert is_colourless_film(film_of([greys[0], *colours], PER_S))
    with ConfinedMedia() as media:
        assert media.is_colourless(film_of(greys, PER_S)) is True
        assert media.is_colourless(film_of(colours, PER_S)) is False
        with pytest.raises(FormatError):
            media.is_colourless(b"no film")


def test_another_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces.bin").write_bytes(b"\0" * 101_708)
    with pytest.raises(ConfigurationError, match="not the file"):
        FaceNetwork(tmp_path / "faces.bin")
    (tmp_path / "plates.json").write_bytes(b"[]")
    with pytest.raises(ConfigurationError, match="not the file"):
        PlateCascade(tmp_path / "plates.json")
    with pytest.raises(ConfigurationError, match="missing"):
        PlateCascade(tmp_path / "other.json")


def test_a_number_plate_that_moves_is_covered_if_plates_are_looked_for() -> None:
    walls = scene([[Seen(60, 50, 40)]] * 8, WIDTH, HEIGHT)
    boxes = [(100 + 8 * n, 120 - n, 190 + 8 * n, 139 - n) for n in range(8)]
    film = film_of([with_plate(wall, box) for wall, box in zip(walls, boxes, strict=True)], PER_S)
    assert [each.kind for each in suggest_covers([(film, 800)])] == [RedactionKind.FACE]
    covers = suggest_covers([(film, 800)], plates=True)
    assert sorted(each.kind.value for each in covers) == ["face", "plate"]
    plates = [each for each in covers if each.kind is RedactionKind.PLATE]
    for number, box in enumerate(boxes):
        (cover,) = covers_at(plates, 100 * number)
        assert max(cover[0] - box[0], cover[1] - box[1], box[2] - cover[2], box[3] - cover[3]) <= 0, number
    with ConfinedMedia() as media:
        assert rounded(media.suggest([(film, 800)], plates=True)) == rounded(covers)


def test_a_tall_picture_is_examined_at_a_smaller_width() -> None:
    sizes = [
        (1280, 720),
        (3840, 2160),
        (1536, 2048),
        (1080, 1920),
        (1280, 4000),
        (640, 65_535),
        (2, 65_535),
        (65_535, 2),
    ]
    assert [widest_px(*size) for size in sizes] == [1280, 1280, 1280, 1080, 858, 150, 2, 1280]
    assert all(widest_px(*size) * round(size[1] * widest_px(*size) / size[0]) <= MOST_PX * 1.01 for size in sizes)


class Sizes(FaceNetwork):
    """Keeps the width, height and brightness of what it is given. It finds each of `faces` once in a picture."""

    def __init__(self, faces: Sequence[Face] = ()) -> None:
        self.seen: list[tuple[int, int, float]] = []
        self._faces = faces

    def find(self, picture: NDArray[np.uint8], least_score: float) -> list[Face]:
        self.seen.append((picture.shape[1], picture.shape[0], float(picture.mean())))
        assert least_score == face_tracks.LEAST_SCORE
        return list(self._faces)


def grey(width: int, height: int, value: int = 90) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("size", "is_wide", "examined"),
    [
        ((1280, 720), True, [(1280, 720), (640, 360), (320, 180)]),
        ((1280, 720), False, [(640, 360), (320, 180)]),
        ((1920, 1080), True, [(1280, 720), (640, 360), (320, 180)]),
        ((640, 360), False, [(640, 360), (320, 180), (160, 90)]),
        ((642, 4), False, [(321, 2), (160, 1)]),
        ((2, 8), True, [(2, 8), (1, 4), (1, 4)]),
    ],
)
def test_a_picture_is_examined_at_three_sizes_and_at_the_widest_only_if_asked(
    size: tuple[int, int], is_wide: bool, examined: list[tuple[int, int]]
) -> None:
    network = Sizes()
    luma, faces = examine(network, grey(*size), is_wide=is_wide)
    assert [each[:2] for each in network.seen] == examined
    assert luma.shape[1] == min(640, size[0])
    assert faces == []


@pytest.mark.parametrize(("value", "seen"), [(70, 70), (69, 110), (40, 110), (20, 80), (0, 0)])
def test_a_dark_picture_is_examined_brightened_and_followed_as_it_is(value: int, seen: int) -> None:
    network = Sizes()
    luma, _ = examine(network, grey(64, 64, value), is_wide=True)
    assert [round(each[2]) for each in network.seen] == [seen] * 3
    assert int(luma.mean()) == value


def test_a_face_that_is_found_at_several_sizes_counts_once_with_its_highest_score() -> None:
    """Boxes are in pixels of the size that is examined, and the result has shares of the picture."""
    network = Sizes([Face(0.6, 32, 16, 64, 48), Face(0.8, 96, 32, 128, 48), Face(0.9, 97, 32, 129, 48)])
    _, faces = examine(network, grey(640, 320), is_wide=False)
    assert faces == [(0.9, (97 / size, 64 / size, 129 / size, 96 / size)) for size in (640, 320, 160)] + [
        (0.6, (32 / size, 32 / size, 64 / size, 96 / size)) for size in (640, 320, 160)
    ]


def test_covers_of_a_crowd_are_joined_so_that_a_plan_takes_them() -> None:
    """Each film of the clip has at most 64, and each place stays covered at each moment."""
    chance = random.Random(7)
    crowd = []
    for _ in range(150):
        begin, left, top = chance.randint(0, 7000), chance.randint(0, 9000), chance.randint(0, 9000)
        places = (Place(begin, left, top, 400, 800), Place(begin + 900, left + 300, top + 200, 400, 800))
        kind = chance.choice([RedactionKind.FACE, RedactionKind.PLATE])
        crowd.append(Suggestion(begin, begin + 1000, places, chance.random(), kind))
    ends = [2000, 4000, 8000]
    found = at_most(crowd, ends)
    for begin, end in itertools.pairwise([0, *ends]):
        assert len([each for each in found if each.from_ms <= end and each.until_ms >= begin]) <= MOST_REDACTIONS
    for each in crowd:
        assert any(
            other.from_ms <= each.from_ms
            and other.until_ms >= each.until_ms
            and (other == each or all(_is_inside(place, other.places[0]) for place in each.places))
            for other in found
        )
    assert {each.kind for each in found} == {RedactionKind.FACE, RedactionKind.PLATE, RedactionKind.AREA}
    assert at_most(crowd[:64], [8000]) == crowd[:64]


def test_the_smallest_cover_is_joined_with_the_one_that_grows_least() -> None:
    def cover(left: int, size: int, from_ms: int, kind: RedactionKind = RedactionKind.FACE) -> Suggestion:
        return Suggestion(from_ms, from_ms + 100, (Place(from_ms, left, 100, size, size),), left / 10_000, kind)

    near, far, small = cover(500, 300, 0), cover(4000, 300, 0), cover(900, 200, 50)
    joined = Suggestion(0, 150, (Place(0, 500, 100, 600, 300),), 0.09)
    assert at_most([near, far, small], [150], most=2) == [far, joined]
    plate = cover(900, 200, 50, RedactionKind.PLATE)
    assert at_most([near, far, plate], [150], most=2)[1].kind is RedactionKind.AREA
    assert at_most([near, far, small], [150], most=0) == [Suggestion(0, 150, (Place(0, 500, 100, 3800, 300),), 0.4)]
    # A cover that ends with a film may reach a millisecond into the next: a plan has decimals of seconds.
    assert len(at_most([near, cover(4000, 300, 103)], [102, 204], most=1)) == 1
    assert len(at_most([near, cover(4000, 300, 104)], [102, 204], most=1)) == 2


def _is_inside(place: Place, other: Place) -> bool:
    return (
        other.left <= place.left
        and other.top <= place.top
        and place.left + place.width <= other.left + other.width
        and place.top + place.height <= other.top + other.height
    )


# -- faces of single pictures become covers ----------------------------------------------------------------------------


def tracked(moments: Sequence[Sequence[tuple[float, Box]]], step_ms: int = 100) -> list[Suggestion]:
    """The faces of each moment, in pictures without any pattern to follow."""
    tracker = FaceTracker()
    for number, faces in enumerate(moments):
        tracker.add(number * step_ms, np.zeros((90, 160), np.uint8), faces)
    return tracker.finish(len(moments) * step_ms)


def at(x: float, y: float = 0.5, size: float = 0.1) -> Box:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def test_a_face_that_is_missed_for_two_seconds_stays_covered() -> None:
    seen = [(0.9, at(0.3))]
    (cover,) = tracked([seen] * 5 + [[]] * 18 + [[(0.9, at(0.34))]] * 5 + [[]] * 20)
    assert (cover.from_ms, cover.until_ms) == (0, 2700 + face_tracks.HOLD_MS)
    (one, other) = sorted(tracked([seen] * 5 + [[]] * 25 + [seen] * 5 + [[]] * 20), key=lambda each: each.from_ms)
    assert one.until_ms < other.from_ms


def test_a_single_weak_detection_makes_no_cover_and_a_sure_or_repeated_one_does() -> None:
    assert tracked([[], [(0.45, at(0.5))], [], []]) == []
    assert len(tracked([[], [(0.55, at(0.5))], [], []])) == 1
    assert len(tracked([[(0.35, at(0.5))]] * 3)) == 1


def test_two_pictures_of_one_moment_give_a_cover_one_place_at_that_moment() -> None:
    """A film begins at the time of the last picture of the film before, or films of a clip have no length."""
    tracker = FaceTracker()
    for at_ms, x in ((0, 0.3), (100, 0.3), (200, 0.3), (200, 0.36), (200, 0.42), (300, 0.42), (400, 0.42)):
        tracker.add(at_ms, np.zeros((90, 160), np.uint8), [(0.9, at(x))])
    (cover,) = tracker.finish(500)
    times = [place.at_ms for place in cover.places]
    assert times == sorted(set(times))
    Redaction(kind=RedactionKind.FACE, from_ms=cover.from_ms, until_ms=cover.until_ms, places=cover.places)


def test_a_picture_made_of_faces_takes_no_more_time_than_its_surest_faces() -> None:
    """The page's tracker has the same bound (tests/web/test_suggesting.py)."""
    grid = [(1 - n / 1000, at(0.05 + 0.04 * (n % 20), 0.05 + 0.08 * (n // 20), size=0.03)) for n in range(200)]
    covers = tracked([grid])
    assert len(covers) == face_tracks.MOST_FACES
    assert min(each.score for each in covers) == pytest.approx(1 - (face_tracks.MOST_FACES - 1) / 1000)


def box(x: float, y: float, width: float = 0.1, height: float = 0.2) -> Box:
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def places(cover: Suggestion) -> list[tuple[int, int, int, int, int]]:
    return [(each.at_ms, each.left, each.top, each.width, each.height) for each in cover.places]


def test_a_cover_is_larger_than_its_face_by_the_margin_and_the_tolerance() -> None:
    """Each side by 38 % of the face's width or height."""
    (still,) = tracked([[(0.9, box(0.5, 0.4))]] * 3)
    assert (still.from_ms, still.until_ms, still.score, still.kind) == (0, 300, 0.9, RedactionKind.FACE)
    assert places(still) == [(0, 4120, 2240, 1761, 3520), (200, 4120, 2240, 1761, 3520)]
    # Each place is joined with those of the pictures before and after.
    (two,) = tracked([[], [(0.9, box(0.5, 0.4))], [(0.8, box(0.52, 0.4))], *([[]] * 8)])
    assert (two.from_ms, two.until_ms) == (0, 600)
    assert places(two) == [(100, 4120, 2240, 1961, 3520), (200, 4120, 2240, 1961, 3520)]


def test_a_cover_has_a_place_where_its_way_bends() -> None:
    (bent,) = tracked([[(0.9, box(0.3 + 0.03 * min(n, 4), 0.4 + 0.05 * max(0, n - 4)))] for n in range(9)])
    assert places(bent) == [
        (0, 2120, 2240, 2060, 3520), (100, 2120, 2240, 2360, 3520), (300, 2720, 2240, 2360, 3520),
        (500, 3320, 2240, 1760, 4520), (700, 3320, 3240, 1760, 4520), (800, 3320, 3740, 1760, 4020),
    ]  # fmt: skip
    # The line between two places leaves out what deviates by less than 8 % of the face, and no more.
    for offset, count in ((0.0075, 2), (0.0085, 3)):
        (cover,) = tracked([[(0.9, box(0.5 + (offset if 3 <= n <= 5 else 0), 0.4))] for n in range(9)])
        assert len(cover.places) == count, offset


def test_a_face_farther_away_than_a_face_can_move_is_another_one() -> None:
    """Two and a half sizes of the face in one picture, to the side or down."""
    for across, down, count in ((0.24, 0, 1), (0.26, 0, 2), (0, 0.48, 1), (0, 0.52, 2), (0.2, 0.4, 2)):
        covers = tracked([[(0.9, box(0.3, 0.3))], [(0.9, box(0.3 + across, 0.3 + down))]])
        assert len(covers) == count, (across, down)


def test_a_gap_is_covered_along_a_straight_line() -> None:
    seen = [(0.9, box(0.3, 0.4))], [(0.7, box(0.36, 0.44))]
    (cover,) = tracked([[seen[0][0]]] * 2 + [[]] * 3 + [[seen[1][0]]] * 2 + [[]] * 20)
    assert (cover.from_ms, cover.until_ms, cover.score) == (0, 1000, 0.9)
    assert places(cover) == [
        (0, 2120, 2240, 1760, 3520), (100, 2120, 2240, 2360, 3921),
        (500, 2120, 2240, 2360, 3921), (600, 2720, 2639, 1760, 3522),
    ]  # fmt: skip


def test_a_face_beyond_the_rim_has_the_smallest_place() -> None:
    (left,) = tracked([[(0.9, box(-0.15, 0.1))]] * 2)
    assert places(left)[0] == (0, 0, 0, 1, 2761)
    (right,) = tracked([[(0.9, box(1.15, 1.2))]] * 2)
    assert places(right)[0] == (0, WHOLE - 1, WHOLE - 1, 1, 1)


def test_a_cover_does_not_lag_behind_a_face_that_leaves_over_the_rim() -> None:
    """Its last place is cut off by the rim, and a straight line to that would be too slow."""
    ways = [box(0.5 + 0.05 * n, 0.4, width=0.2) for n in range(14)]
    (cover,) = tracked([[(0.9, each)] for each in ways])
    redaction = Redaction(kind=RedactionKind.FACE, from_ms=0, until_ms=cover.until_ms, places=cover.places)
    for number, (left, _top, right, _bottom) in enumerate(ways):
        found = place_at(redaction, 100 * number)
        assert found.left <= left * WHOLE, number
        assert found.left + found.width >= min(WHOLE, right * WHOLE), number


def test_a_face_within_a_longer_cover_has_none_of_its_own() -> None:
    inner, outer = (0.95, box(0.5, 0.5, 0.04, 0.08)), (0.9, box(0.5, 0.5, 0.2, 0.4))
    (cover,) = tracked([[inner, outer]] * 3 + [[outer]] * 7)
    assert places(cover) == [(0, 3240, 1480, 3520, 7040), (900, 3240, 1480, 3520, 7040)]


def test_a_pattern_is_found_where_it_has_moved() -> None:
    rough = np.random.default_rng(3).integers(0, 256, (90, 160)).astype(np.uint8)
    before = np.asarray(cv2.GaussianBlur(rough, (0, 0), 2), np.uint8)
    pattern = (0.3, 0.2, 0.6, 0.6)  # 48 by 36 pixels: a step of the search is 4 by 3
    moved = np.roll(before, (3, 4), (0, 1))
    assert followed(before, pattern, moved, pattern) == pytest.approx((0.325, 0.2 + 3 / 90, 0.625, 0.6 + 3 / 90))
    assert followed(before, pattern, before, (0.35, 0.2, 0.65, 0.6)) == pytest.approx(pattern)
    assert followed(before, pattern, 255 - before, pattern) != pytest.approx(pattern)
    other = np.asarray(cv2.GaussianBlur(rough[::-1, ::-1], (0, 0), 2), np.uint8)
    assert followed(before, pattern, other, pattern) is None
    assert followed(np.zeros_like(before), pattern, before, pattern) is None
    assert followed(before, pattern, np.zeros_like(before), pattern) is None
    # Brighter and with more contrast, it is the same pattern.
    brighter = (60 + before.astype(float) * 0.7).astype(np.uint8)
    assert followed(before, pattern, brighter, pattern) == pytest.approx(pattern)


def test_a_small_fast_face_is_one_cover() -> None:
    assert len(tracked([[(0.8, at(0.1 + 0.06 * n, size=0.03))] for n in range(12)])) == 1


def test_two_faces_that_pass_each_other_are_two_covers() -> None:
    assert len(tracked([[(0.9, at(0.2 + 0.05 * n, 0.4)), (0.9, at(0.8 - 0.05 * n, 0.6))] for n in range(12)])) == 2


def test_a_restless_face_becomes_covers_that_a_plan_takes() -> None:
    """Each has fewer places than the limit, and each begins where the one before it ends."""
    chance = random.Random(3)
    moments = [[(0.9, at(chance.uniform(0.3, 0.4), size=0.15))] for _ in range(300)]
    covers = sorted(tracked(moments), key=lambda each: each.from_ms)
    assert [one.until_ms for one in covers[:-1]] == [other.from_ms for other in covers[1:]]
    assert (covers[0].from_ms, covers[-1].until_ms) == (0, 30_000)
    assert max(len(each.places) for each in covers) == MOST_PLACES - 4
    for each in covers:
        Redaction(kind=RedactionKind.FACE, from_ms=each.from_ms, until_ms=each.until_ms, places=each.places)


def test_a_cover_at_the_rim_stays_within_the_picture() -> None:
    (cover,) = tracked([[(0.9, at(0.01 + 0.01 * n, 0.99))] for n in range(5)])
    assert all(each.left + each.width <= WHOLE and each.top + each.height <= WHOLE for each in cover.places)


def test_after_the_owners_pass_each_labelled_face_of_the_new_film_is_black() -> None:
    """A face that the network misses gets the owner's cover, and the cover of a picture on the wall is removed."""
    faces = [[Seen(90 + 8 * n, 70, 40), Seen(215 + 3 * n, 140, 30, turned=True), Seen(35, 30, 24)] for n in range(10)]
    film = film_of(scene(faces, WIDTH, HEIGHT), PER_S)
    suggested = suggest_covers([(film, 1000)])
    left = [
        max(uncovered(seen[each], covers_at(suggested, 100 * n), WIDTH, HEIGHT) for n, seen in enumerate(faces))
        for each in range(3)
    ]
    assert (left[0], left[2]) == (0, 0)
    assert left[1] > 0.5, "the network finds no face at the back of a head"
    kept = [each for each in suggested if each.places[0].width > 1700]
    assert len(kept) == len(suggested) - 1
    drawn = Suggestion(0, 1000, (Place(0, 6000, 5200, 1500, 4500), Place(1000, 6800, 5200, 1500, 4500)), 1.0)
    plan = [Redaction(RedactionKind.FACE, each.from_ms, each.until_ms, each.places) for each in (*kept, drawn)]
    made = cover_film(film, plan, 1000)
    require_covered(made, plan)
    with av.open(io.BytesIO(made)) as container:
        pictures = [each.to_ndarray(format="gray") for each in container.decode(video=0)]
    for number, (picture, seen) in enumerate(zip(pictures, faces, strict=True)):
        for face in seen[:2]:
            x0, y0, x1, y1 = (round(side) for side in face.box)
            assert picture[y0:y1, x0:x1].max() <= 40, f"seen in picture {number}"
        assert picture[20:44, 23:47].max() > 100, "the picture on the wall stays"
