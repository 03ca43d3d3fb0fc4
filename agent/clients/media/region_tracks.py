"""Follows what an owner has drawn a cover on through the pictures of a clip, forwards and backwards.

An owner sets a place or several. From each, the pattern in it is looked for in the next picture, until the next place
that they set or the end of the cover, and the same backwards. A stretch between two of their places is followed from
both. A moment there is sure if one of the two is. It is unsure if both are sure and apart.

A picture is unsure if the pattern is not found in it, if another place looks the same, if what was found is not found
back in the picture before, or if it has come to look otherwise than it was drawn. If it was found, the cover goes with
it and grows, because something else may be in front of it by now. Otherwise the cover stays, reaches to where the
pattern would have gone on to, and grows, until the pattern is found again. After three seconds it stays until its end.
All of this errs to too much, and `Followed.unsure` tells an owner where to look.

Everything here is arithmetic without I/O, on whole numbers until each likeness, which is one division. So the page gets
the same places from the same pictures (agent/web/src/owner/region_tracks.js, compared by
tests/web/test_following.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.clients.media.face_covers import Followed
from agent.clients.media.face_tracks import Box, Known, Luma, place_of, simplified, widened
from agent.core.vault.redactions import MOST_PLACES, WHOLE, Place

__all__ = ["WIDEST_PX", "RegionTracks", "halved"]

WIDEST_PX: Final = 960
"""Patterns are followed in a picture of this width at most: it is halved until then."""
SAMPLE_MS: Final = 45
"""A picture is looked at this often at most: each one of a film of 20 a second or fewer."""
MOST_PICTURES: Final = 600
"""Pictures of one film that are looked at, at most. They are in memory together, because a film is followed backwards,
too."""
GRID: Final = 12
"""A pattern has this many points along the side of a square. An oblong one has more points along its longer side."""
MOST_POINTS: Final = 60
LEAST_PX: Final = 12
"""A pattern is taken from this many pixels around the middle of a narrower box, at least."""
MOST_HALVINGS: Final = 4
REACH: Final = 12
"""How far from where it is expected a pattern is looked for, in points of it: its own size."""
REACH_GROWS: Final = 6
MOST_REACH: Final = 48
"""The reach grows by this much with each picture in which the pattern was not found, to this most."""
BACK_REACH: Final = 6
BACK_STEPS: Final = 2
"""The pattern that was found is looked for in the picture before. It has to be where it was, to this many points."""
LEAST_LIKENESS: Final = 0.6
"""Least correlation, -1..1, of a pattern with the one that is followed."""
AGAIN_LIKENESS: Final = 0.8
"""The same for a pattern that was lost."""
SURE_AGAIN: Final = 0.7
"""A pattern is unsure from when it is less like the drawn one than `LEAST_LIKENESS`, until it is this like it again. In
between the cover goes with the recent pattern."""
LEAST_WITHIN: Final = 0.6
"""Least share of a pattern's area within the picture. Beyond the rim, all patterns look alike."""
FIRST_LIKENESS: Final = 0.8
"""The pattern as the owner drew it decides the place if it is this like, so that small errors do not add up."""
FRESH_LIKENESS: Final = 0.9
"""A pattern that is less like than this has changed: what was found is followed from here on."""
LEAD: Final = 0.05
"""Another place, farther than half the pattern, has to be less like by this much."""
FLAT: Final = 3.0
"""A pattern with a smaller standard deviation, of 255, cannot be followed."""
SCALE: Final = 1.03
SCALE_LEAD: Final = 0.002
"""A pattern grows or shrinks by this factor in a picture, if it is more like then by this much."""
COAST_MS: Final = 500
"""A pattern that is lost is expected to go on as it went for this long."""
LOST_MS: Final = 3000
"""A pattern that is lost for longer is looked for no more."""
MARGIN: Final = 0.1
"""A cover is larger by this share of what it follows, on each side."""
GROWTH_PER_S: Final = 0.5
MOST_GROWTH: Final = 1.0
"""A cover grows by this share of its size on each side for each second that it is unsure, to this most."""
TOLERANCES: Final = (0.08, 0.16, 0.32, 0.64, 1.28)
"""A place is left out if the straight line between others deviates by less than this share of the size. Covers grow by
as much. The first one with which a plan has room for the places is taken."""
MOST_FOLLOWED: Final = MOST_PLACES - 24
"""Places of a followed cover. An owner may set some more, and a segment takes one at each of its ends."""
JOIN_MS: Final = 300
"""Unsure stretches that are closer than this are one."""
_FRACTIONS: Final = 16
"""Parts of a pixel at which brightness is read. Values are larger by the square of it: all sums stay whole numbers."""
_FACTOR: Final = _FRACTIONS * _FRACTIONS

_Values = NDArray[np.float64]


def halved(luma: Luma) -> Luma:
    """Returns a picture of half the width and height: each pixel is the mean of four."""
    rows, columns = luma.shape[0] // 2, luma.shape[1] // 2
    whole = luma[: 2 * rows, : 2 * columns].astype(np.uint16)
    four = whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]
    return ((four + 2) >> 2).astype(np.uint8)


class RegionTracks:
    """Takes the films of a clip in `order`, and returns the places of one cover.

    For each film of `order`, `moments` says which of its pictures are looked at, and `add` takes them. Then the next
    one counts. `hand`: the places that the owner set, in order of time, at least one of them within the cover's time.
    `lengths_ms`: the films of the clip, by their records.
    """

    def __init__(self, hand: Sequence[Place], from_ms: int, until_ms: int, lengths_ms: Sequence[int]) -> None:
        self._hand = [each for each in hand if from_ms <= each.at_ms <= until_ms]
        self._from_ms, self._until_ms = from_ms, until_ms
        self._begins = [0, *itertools.accumulate(lengths_ms)]
        first, last = (self._film_at(self._hand[end].at_ms) for end in (0, -1))
        forwards = range(first, self._film_at(until_ms) + 1)
        backwards = range(last, self._film_at(from_ms) - 1, -1)
        self.order: list[int] = [*forwards, *backwards]
        self._forwards = len(forwards)
        self._next = 0
        self._follower: _Follower | None = None
        self._way: list[int] = []
        """The moments since the pattern was found last, with that one first."""
        self._found: tuple[dict[int, _Found], dict[int, _Found]] = ({}, {})
        self._drawn: dict[int, Place] = {}

    def moments(self, times_ms: Sequence[int]) -> list[int]:
        """Returns the pictures of the next film that are looked at. `times_ms`: all of its pictures, in order."""
        film = self.order[self._next]
        begin_ms, length_ms = self._begins[film], self._begins[film + 1] - self._begins[film]
        is_last = film == len(self._begins) - 2
        there = [
            at
            for at in times_ms
            if (at < length_ms or (is_last and at == length_ms))
            and self._from_ms <= begin_ms + at + 1
            and begin_ms + at <= self._until_ms
        ]
        if not there:
            return []
        step_ms = max(SAMPLE_MS, length_ms // MOST_PICTURES)
        chosen, next_ms = {there[-1]}, there[0]
        for at in there:
            if at >= next_ms:
                chosen.add(at)
                next_ms = at + step_ms
        for place in self._hand:
            if self._film_at(place.at_ms) == film:
                shown = max((at for at in there if begin_ms + at <= place.at_ms), default=there[0])
                chosen.add(shown)
                self._drawn[begin_ms + shown] = place
        return sorted(chosen)

    def add(self, pictures: Sequence[tuple[int, Luma]]) -> None:
        """Follows through the next film. `pictures`: those of `moments`, in order, with their times in the film."""
        is_forwards = self._next < self._forwards
        begin_ms = self._begins[self.order[self._next]]
        self._next += 1
        if self._next == self._forwards + 1:
            self._follower, self._way = None, []  # the way back begins
        found = self._found[0 if is_forwards else 1]
        for at, luma in pictures if is_forwards else reversed(pictures):
            at_ms, scene = begin_ms + at, _Scene(luma)
            place = self._drawn.get(at_ms)
            if place is not None:
                box = _box_of(place)
                self._follower = _Follower(scene, at_ms, box)
                found[at_ms] = _Found(box, 0)
            elif self._follower is not None:
                found[at_ms] = self._follower.follow(scene, at_ms)
            else:
                continue
            self._way.append(at_ms)
            if not found[at_ms].unsure_ms:
                _bridge(found, self._way)
                self._way = [at_ms]

    def finish(self) -> Followed:
        """Returns the places of the cover, and where an owner has to look."""
        forwards, backwards = self._found
        moments = sorted({*forwards, *backwards})
        ways = forwards, backwards
        found = [(at_ms, _joined([way[at_ms] for way in ways if at_ms in way])) for at_ms in moments]
        if not found:
            return Followed(tuple(self._hand), ((self._from_ms, self._until_ms),))
        for tolerance in TOLERANCES:
            known = [Known(at_ms, _grown(each, tolerance), each.unsure_ms) for at_ms, each in found]
            kept = simplified(widened(known), tolerance / (1 + 2 * (MARGIN + tolerance)))
            if len(kept) <= MOST_FOLLOWED:
                break
        else:
            kept = [_around(known)]
        within = (min(max(each.at_ms, self._from_ms), self._until_ms) for each in kept)
        places = tuple(place_of(Known(at_ms, each.box, 0)) for at_ms, each in zip(within, kept, strict=True))
        return Followed(places, tuple(self._unsure(found)))

    def _unsure(self, found: Sequence[tuple[int, _Found]]) -> Iterator[tuple[int, int]]:
        """Yields the stretches that are unsure, from their first to their last picture."""
        stretch: tuple[int, int] | None = None
        first, last = found[0][0], found[-1][0]
        for at_ms, each in found:
            if not each.unsure_ms:
                continue
            begin = self._from_ms if at_ms == first else at_ms
            end = self._until_ms if at_ms == last else at_ms
            if stretch is not None and begin - stretch[1] <= JOIN_MS:
                stretch = (stretch[0], end)
            else:
                if stretch is not None:
                    yield stretch
                stretch = (begin, end)
        if stretch is not None:
            yield stretch

    def _film_at(self, at_ms: int) -> int:
        """The film that shows this moment: the last one that has begun."""
        films = range(len(self._begins) - 1)
        return max((film for film in films if self._begins[film] <= at_ms), default=0)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a cover is in a picture. `unsure_ms`: time since the pattern was found; 0 if it is."""

    box: Box
    unsure_ms: int


class _Scene:
    """A picture and its halves."""

    def __init__(self, luma: Luma) -> None:
        self._sizes = [luma]
        self.rows, self.columns = luma.shape

    def points(self, corner: tuple[float, float], steps: tuple[float, float], counts: tuple[int, int]) -> _Values:
        """Returns the brightness at a grid of points, times 256. Beyond the rim it is as at the rim.

        `corner`: left and top in pixels. `steps`: between two points, to the right and down. `counts`: columns, rows.
        """
        halvings = 0
        while halvings < MOST_HALVINGS and min(steps) >= 2 << halvings:
            halvings += 1
        while len(self._sizes) <= halvings and min(self._sizes[-1].shape) > 1:
            self._sizes.append(halved(self._sizes[-1]))
        halvings = min(halvings, len(self._sizes) - 1)
        luma = self._sizes[halvings]
        (left, across, left_weight, right_weight), (top, below, top_weight, bottom_weight) = (
            self._line(corner[side], steps[side], counts[side], 1 << halvings, luma.shape[1 - side]) for side in (0, 1)
        )
        upper, lower = luma[top].astype(np.float64), luma[below].astype(np.float64)
        return np.asarray(
            (upper[:, left] * left_weight + upper[:, across] * right_weight) * top_weight[:, None]
            + (lower[:, left] * left_weight + lower[:, across] * right_weight) * bottom_weight[:, None],
            np.float64,
        )

    @staticmethod
    def _line(
        corner: float, step: float, count: int, size: int, pixels: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], _Values, _Values]:
        """Returns the pixels before and after each point of one side, and the weights of both."""
        at = np.floor(((corner + (np.arange(count) + 0.5) * step) / size - 0.5) * _FRACTIONS)
        whole = np.clip(at, 0, (pixels - 1) * _FRACTIONS).astype(np.int64)
        before, after = whole // _FRACTIONS, np.minimum(whole // _FRACTIONS + 1, pixels - 1)
        share = (whole % _FRACTIONS).astype(np.float64)
        return before, after, _FRACTIONS - share, share


@dataclass(frozen=True, slots=True)
class _PointGrid:
    """A grid of points, and the sums that each comparison needs."""

    values: _Values
    sum: float = field(init=False)
    spread: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sum", float(self.values.sum()))
        count = self.values.size
        object.__setattr__(self, "spread", count * float((self.values * self.values).sum()) - self.sum * self.sum)

    @property
    def is_flat(self) -> bool:
        return math.sqrt(self.spread) / (self.values.size * _FACTOR) < FLAT

    def likeness(self, area: _Values) -> _Values:
        """Returns the correlation with each part of a larger area that has the pattern's size: rows, columns."""
        count = self.values.size
        parts = np.lib.stride_tricks.sliding_window_view(area, self.values.shape)
        flat = parts.reshape(-1, count)
        sums = flat.sum(axis=1)
        spreads = count * (flat * flat).sum(axis=1) - sums * sums
        norms = np.sqrt(self.spread * spreads)
        both = count * (flat @ self.values.ravel()) - self.sum * sums
        found = np.where(norms > 0, both / np.where(norms > 0, norms, 1), 0)
        return np.asarray(found.reshape(parts.shape[:2]), np.float64)


@dataclass(frozen=True, slots=True)
class _Appearance:
    """The look of a thing: a pattern, and the same with twice the points to each side, for its exact place."""

    coarse: _PointGrid
    fine: _PointGrid


@dataclass(frozen=True, slots=True)
class _Match:
    """A place in a picture. `likeness`: to the pattern that is looked for; `first`: to the pattern as it was drawn."""

    box: Box
    likeness: float
    first: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where the pattern was in a picture, and how fast it went, in shares of the picture for each ms."""

    at_ms: int
    box: Box
    pace: tuple[float, float]

    def expected(self, at_ms: int) -> Box:
        """Where it is if it goes on so for a while."""
        passed_ms = min(abs(at_ms - self.at_ms), COAST_MS)
        return _moved(self.box, self.pace[0] * passed_ms, self.pace[1] * passed_ms)


class _Follower:
    """Follows one pattern in one direction of time. `box`: where it is at the moment `at_ms`."""

    def __init__(self, scene: _Scene, at_ms: int, box: Box) -> None:
        width, height = _size(box, scene)
        self._wider, self._taller = max(1.0, LEAST_PX / width), max(1.0, LEAST_PX / height)
        box = _scaled(box, self._wider, self._taller)
        width, height = _size(box, scene)
        step = math.sqrt(width * height) / GRID
        self._counts = tuple(
            min(MOST_POINTS, max(GRID // 3, math.floor(side / step + 0.5))) for side in (width, height)
        )
        self._scene = scene
        self._last = self._sure = _Seen(at_ms, box, (0.0, 0.0))
        self._misses = 0
        """Pictures since the pattern was sure."""
        self._is_lost = False
        self._first = self._recent = self._appearance(scene, box)

    def follow(self, scene: _Scene, at_ms: int) -> _Found:
        """Returns where the cover is in the next picture."""
        match, is_sure = self._drawn_again(scene, at_ms), True
        if match is None:
            match = self._followed(scene, at_ms)
            is_sure = match is not None and match.first >= (SURE_AGAIN if self._misses else LEAST_LIKENESS)
        if match is None:
            self._is_lost = True
            box = _hull(self._last.box, self._last.expected(at_ms))
        else:
            box = match.box
            (x, y), (old_x, old_y) = _middle(box), _middle(self._last.box)
            passed_ms = abs(at_ms - self._last.at_ms)
            self._last = _Seen(at_ms, box, ((x - old_x) / passed_ms, (y - old_y) / passed_ms))
            self._scene, self._is_lost = scene, False
            if match.likeness < FRESH_LIKENESS:
                self._recent = self._appearance(scene, box)
        if is_sure:
            self._sure, self._misses = self._last, 0
            return _Found(self._as_drawn(box), 0)
        self._misses += 1
        return _Found(self._as_drawn(box), max(1, abs(at_ms - self._sure.at_ms)))

    def _drawn_again(self, scene: _Scene, at_ms: int) -> _Match | None:
        """Looks for the pattern as it was drawn, after it has been unsure.

        It may have been behind something that is in the recent pattern now.
        """
        if not self._misses or abs(at_ms - self._sure.at_ms) > LOST_MS:
            return None
        reach = min(MOST_REACH, REACH + REACH_GROWS * self._misses)
        match = self._find(self._first, scene, self._sure.expected(at_ms), reach)
        return match if match is not None and match.first >= AGAIN_LIKENESS else None

    def _followed(self, scene: _Scene, at_ms: int) -> _Match | None:
        """Looks for the recent pattern where it would have gone on to."""
        if abs(at_ms - self._last.at_ms) > LOST_MS:
            return None
        match = self._find(self._recent, scene, self._last.expected(at_ms), REACH)
        least = AGAIN_LIKENESS if self._is_lost else LEAST_LIKENESS
        if match is None or max(match.likeness, match.first) < least or not self._leads_back(scene, match.box):
            return None
        return match

    def _find(self, appearance: _Appearance, scene: _Scene, expected: Box, reach: int) -> _Match | None:
        """Returns the place that looks most so; None if another place looks the same, or if it is beyond the rim."""
        if self._first.coarse.is_flat:
            return None
        rough, roughly, rival = self._search(scene, appearance.coarse, expected, reach)
        box, likeness = self._refine(scene, appearance.fine, rough)
        first = likeness
        if appearance is not self._first:
            first_box, first = self._refine(scene, self._first.fine, box)
            if first >= FIRST_LIKENESS:
                box = first_box
        if rival > roughly - LEAD or _share_within(box) < LEAST_WITHIN:
            return None
        return _Match(box, likeness, first)

    def _leads_back(self, scene: _Scene, box: Box) -> bool:
        """True if what was found is found in the picture before, where the pattern was."""
        pattern, before = self._appearance(scene, box).coarse, self._last.box
        back, _likeness, _rival = self._search(self._scene, pattern, before, BACK_REACH)
        across = abs(back[0] - before[0]) / (before[2] - before[0]) * self._counts[0]
        down = abs(back[1] - before[1]) / (before[3] - before[1]) * self._counts[1]
        return max(across, down) < BACK_STEPS + 0.5

    def _search(self, scene: _Scene, pattern: _PointGrid, expected: Box, reach: int) -> tuple[Box, float, float]:
        """Returns the place that is most like the pattern, how like it is, and the most of any place apart from it."""
        width, height = _size(expected, scene)
        columns, rows = self._counts
        across, down = width / columns, height / rows
        corner = expected[0] * scene.columns - reach * across, expected[1] * scene.rows - reach * down
        area = scene.points(corner, (across, down), (columns + 2 * reach, rows + 2 * reach))
        likeness = pattern.likeness(area)
        row, column = divmod(int(np.argmax(likeness)), likeness.shape[1])
        apart = np.ones(likeness.shape, bool)
        # Integer halves, as the page has them.
        near = (columns + 1) // 2, (rows + 1) // 2
        apart[max(0, row - near[1]) : row + near[1] + 1, max(0, column - near[0]) : column + near[0] + 1] = False
        rival = float(np.where(apart, likeness, -1.0).max())
        right, below = (column - reach) * across / scene.columns, (row - reach) * down / scene.rows
        return _moved(expected, right, below), float(likeness[row, column]), rival

    def _refine(self, scene: _Scene, pattern: _PointGrid, box: Box) -> tuple[Box, float]:
        """Returns the place near `box` that is most like the pattern, in parts of its points and at other sizes."""
        best = box, self._likeness_at(scene, pattern, box)
        width, height = box[2] - box[0], box[3] - box[1]
        for parts in (2, 4):
            middle = best[0]
            for down, right in _AROUND:
                moved = _moved(middle, right * width / self._counts[0] / parts, down * height / self._counts[1] / parts)
                likeness = self._likeness_at(scene, pattern, moved)
                if likeness > best[1]:
                    best = moved, likeness
        middle, least = best[0], best[1] + SCALE_LEAD
        for scale in (SCALE, 1 / SCALE):
            other = _scaled(middle, scale, scale)
            likeness = self._likeness_at(scene, pattern, other)
            if likeness > least:
                best, least = (other, likeness), likeness
        return best

    def _likeness_at(self, scene: _Scene, pattern: _PointGrid, box: Box) -> float:
        return float(pattern.likeness(self._points(scene, box, 2))[0, 0])

    def _appearance(self, scene: _Scene, box: Box) -> _Appearance:
        return _Appearance(_PointGrid(self._points(scene, box, 1)), _PointGrid(self._points(scene, box, 2)))

    def _points(self, scene: _Scene, box: Box, finer: int) -> _Values:
        width, height = _size(box, scene)
        columns, rows = self._counts[0] * finer, self._counts[1] * finer
        corner = box[0] * scene.columns, box[1] * scene.rows
        return scene.points(corner, (width / columns, height / rows), (columns, rows))

    def _as_drawn(self, box: Box) -> Box:
        """The box without what `LEAST_PX` added."""
        return _scaled(box, 1 / self._wider, 1 / self._taller)


_AROUND: Final = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


def _bridge(found: dict[int, _Found], way: Sequence[int]) -> None:
    """Lets the cover also go straight on between two moments in which the pattern was found: the ends of `way`."""
    if len(way) < 3:
        return
    first_ms, last_ms = way[0], way[-1]
    begin, end = found[first_ms].box, found[last_ms].box
    for at_ms in way[1:-1]:
        share = (at_ms - first_ms) / (last_ms - first_ms)
        left, top, right, bottom = (one + (two - one) * share for one, two in zip(begin, end, strict=True))
        unsure_ms = min(found[at_ms].unsure_ms, abs(last_ms - at_ms))
        found[at_ms] = _Found(_hull(found[at_ms].box, (left, top, right, bottom)), unsure_ms)


def _joined(sides: Sequence[_Found]) -> _Found:
    """Where a cover is that was followed to this moment from one side or from both."""
    if len(sides) == 1:
        return sides[0]
    one, other = sides
    if bool(one.unsure_ms) != bool(other.unsure_ms):
        return other if one.unsure_ms else one
    # The longer that it was not found, the less is known: a growth from both sides is that of the nearer one.
    unsure_ms = min(one.unsure_ms, other.unsure_ms)
    if not unsure_ms and _are_apart(one.box, other.box):
        unsure_ms = 1
    return _Found(_hull(one.box, other.box), unsure_ms)


def _are_apart(one: Box, other: Box) -> bool:
    """True if the middle of one box is outside of the other."""
    (x, y), (other_x, other_y) = _middle(one), _middle(other)
    width, height = min(one[2] - one[0], other[2] - other[0]), min(one[3] - one[1], other[3] - other[1])
    return abs(x - other_x) > width / 2 or abs(y - other_y) > height / 2


def _grown(found: _Found, tolerance: float) -> Box:
    share = MARGIN + tolerance + min(MOST_GROWTH, GROWTH_PER_S * found.unsure_ms / 1000)
    left, top, right, bottom = found.box
    across, down = (right - left) * share, (bottom - top) * share
    return left - across, top - down, right + across, bottom + down


def _around(known: Sequence[Known]) -> Known:
    """One place for all of the time."""
    lefts, tops, rights, bottoms = zip(*(each.box for each in known), strict=True)
    return Known(known[0].at_ms, (min(lefts), min(tops), max(rights), max(bottoms)), 0)


def _box_of(place: Place) -> Box:
    right, bottom = place.left + place.width, place.top + place.height
    return place.left / WHOLE, place.top / WHOLE, right / WHOLE, bottom / WHOLE


def _size(box: Box, scene: _Scene) -> tuple[float, float]:
    """Width and height in pixels."""
    return (box[2] - box[0]) * scene.columns, (box[3] - box[1]) * scene.rows


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _moved(box: Box, right: float, down: float) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _share_within(box: Box) -> float:
    width, height = min(1.0, box[2]) - max(0.0, box[0]), min(1.0, box[3]) - max(0.0, box[1])
    return max(0.0, width) * max(0.0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def _scaled(box: Box, across: float, down: float) -> Box:
    """The box, that much wider and taller, with the same middle."""
    x, y = _middle(box)
    width, height = (box[2] - box[0]) * across / 2, (box[3] - box[1]) * down / 2
    return x - width, y - height, x + width, y + height


def _hull(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
