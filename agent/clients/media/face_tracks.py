"""Joins the faces of single pictures to covers that move: one for each face, from before it is seen until after.

A detector misses faces in some pictures: a head turns, or a hand is in front of it. Therefore a cover does not stop
where a detection is missing. It follows the pattern below it, forwards and backwards, for up to two seconds, and two
stretches of one face are joined. A cover is larger than its face, and at each moment it also covers the places of the
examined pictures before and after. All of this errs to too much: an owner removes what is in vain, and a cover that is
missing is harder to notice.

Everything here is arithmetic on small numbers, without I/O. The page does the same (agent/web/src/owner/face_tracks.js,
compared by tests/web/test_suggesting.py).
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.clients.media.face_covers import Suggestion
from agent.core.vault.redactions import MOST_PLACES, WHOLE, Place, RedactionKind

__all__ = ["LEAST_SCORE", "SAMPLE_MS", "Box", "FaceTracker", "Known", "Luma", "place_of", "simplified", "widened"]

Luma = NDArray[np.uint8]
"""Brightness of a picture: rows, columns."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the picture's width and height."""

SAMPLE_MS: Final = 100
"""A picture is examined at least this often."""
FOLLOW_MS: Final = 2000
"""A cover follows a pattern for this long without a detection, and joins stretches of one face over this gap."""
HOLD_MS: Final = 400
"""A cover begins this long before the first moment that is known, and ends as long after the last one."""
LEAST_SCORE: Final = 0.25
SURE_SCORE: Final = 0.5
SURE_COUNT: Final = 3
"""A face counts if the network was sure once, or found it this often."""
LEAST_LIKENESS: Final = 0.6
"""Least correlation, -1..1, of a pattern with the one that is followed."""
MARGIN: Final = 0.3
"""A cover is larger than its face by this share of the face's size, on each side."""
GROWTH_PER_S: Final = 0.25
"""A cover that follows a pattern grows by this share of its size each second."""
TOLERANCE: Final = 0.08
"""A place is left out if the straight line between others deviates by less than this share of the face's size. Covers
grow by as much."""
GRID: Final = 12
"""Points of a pattern in each direction."""
REACH: Final = 0.75
"""How far from where it is expected a face is found in the next examined picture, in sizes of the face."""
FAR_REACH: Final = 2.5
"""The same if no face is nearer. For example, a small face crosses the picture in a second."""
MOST_FACES: Final = 128
"""The surest faces of a picture that count. A plan has room for half of them, and a picture made of faces would take
minutes."""
STEPS: Final = 5
"""A pattern is looked for this many points of its grid in each direction."""


@dataclass(frozen=True, slots=True)
class Known:
    """Where a face, or what else a cover follows, is at a moment. `unseen_ms`: time since, or until, a detection."""

    at_ms: int
    box: Box
    unseen_ms: int


@dataclass(slots=True)
class _Track:
    known: list[Known]
    scores: list[float] = field(default_factory=list)
    seen_ms: int = 0
    is_open: bool = True

    @property
    def last(self) -> Known:
        return self.known[-1]

    def expected(self, at_ms: int) -> Box:
        """Where it is if it goes on as it went in the last step."""
        if len(self.known) < 2:
            return self.last.box
        before, last = self.known[-2:]
        share = min(1.0, (at_ms - last.at_ms) / max(1, last.at_ms - before.at_ms))
        right, down = ((_middle(last.box)[side] - _middle(before.box)[side]) * share for side in (0, 1))
        return _moved(last.box, right, down)


class FaceTracker:
    """`add` takes the examined pictures of a clip in order, and `finish` returns the covers.

    It follows number plates and vehicles in the same way. `kind`: that of its covers. `margin`: a cover is larger by
    this share of what is found, on each side. `sure_score`: one detection with it is enough for a cover.
    """

    def __init__(
        self, kind: RedactionKind = RedactionKind.FACE, margin: float = MARGIN, sure_score: float = SURE_SCORE
    ) -> None:
        self._kind = kind
        self._margin = margin
        self._sure_score = sure_score
        self._tracks: list[_Track] = []
        self._recent: deque[tuple[int, Luma]] = deque(maxlen=FOLLOW_MS // SAMPLE_MS + 2)

    def add(self, at_ms: int, luma: Luma, faces: Sequence[tuple[float, Box]]) -> None:
        """`faces`: scores and boxes of this picture, the surest first.

        A picture that is not later than the one before is left out: a cover has one place at a time. For example, a
        film begins at the time of the last picture of the film before.
        """
        left = list(faces[:MOST_FACES])
        before = self._recent[-1] if self._recent else None
        if before is not None and at_ms <= before[0]:
            return
        self._recent.append((at_ms, luma))
        if before is not None:
            open_tracks = [track for track in self._tracks if track.is_open]
            matched: dict[int, int] = {}
            for reach in (REACH, FAR_REACH):
                pairs = [
                    (_distance(track.expected(at_ms), box), number, each)
                    for number, track in enumerate(open_tracks)
                    for each, (_score, box) in enumerate(left)
                    if _is_near(track.expected(at_ms), box, reach)
                ]
                for _far, number, each in sorted(pairs):
                    if number not in matched and each not in matched.values():
                        matched[number] = each
            for number, track in enumerate(open_tracks):
                if number in matched:
                    score, box = left[matched[number]]
                    self._see(track, at_ms, score, box)
                else:
                    self._follow(track, before, (at_ms, luma))
            left = [face for each, face in enumerate(left) if each not in matched.values()]
        for score, box in left:
            self._begin(at_ms, score, box)

    def finish(self, length_ms: int) -> list[Suggestion]:
        """Returns the covers of the clip, the longest first."""
        counted = [
            track for track in self._tracks if max(track.scores) >= self._sure_score or len(track.scores) >= SURE_COUNT
        ]
        counted.sort(key=lambda track: (-len(track.known), track.known[0].at_ms))
        kept: list[_Track] = []
        for track in counted:
            if not any(_is_within(track, other, self._margin) for other in kept):
                kept.append(track)
        found = [
            suggestion for track in kept for suggestion in _suggestions(track, length_ms, self._kind, self._margin)
        ]
        return sorted(found, key=lambda each: (each.from_ms - each.until_ms, each.from_ms))

    @staticmethod
    def _see(track: _Track, at_ms: int, score: float, box: Box) -> None:
        track.known.append(Known(at_ms, box, 0))
        track.scores.append(score)
        track.seen_ms = at_ms

    @staticmethod
    def _follow(track: _Track, before: tuple[int, Luma], now: tuple[int, Luma]) -> None:
        at_ms, luma = now
        unseen_ms = at_ms - track.seen_ms
        found = None
        if unseen_ms <= FOLLOW_MS:
            found = followed(before[1], track.last.box, luma, track.expected(at_ms))
        if found is None:
            track.is_open = False
        else:
            track.known.append(Known(at_ms, found, unseen_ms))

    def _begin(self, at_ms: int, score: float, box: Box) -> None:
        """A face that no cover is at. It follows its pattern back to where a cover ended or none was."""
        back = [Known(at_ms, box, 0)]
        recent = list(self._recent)
        for (earlier_ms, earlier), (_later_ms, later) in reversed(list(itertools.pairwise(recent))):
            if at_ms - earlier_ms > FOLLOW_MS:
                break
            found = followed(later, back[-1].box, earlier, back[-1].box)
            if found is None:
                break
            back.append(Known(earlier_ms, found, at_ms - earlier_ms))
        first = back[-1]
        for track in self._tracks:
            gap_ms = first.at_ms - track.last.at_ms
            reach = REACH + max(0, gap_ms) / 1000
            if not track.is_open and gap_ms <= FOLLOW_MS and _is_near(track.last.box, _at(back, track), reach):
                track.known += [each for each in reversed(back) if each.at_ms > track.last.at_ms]
                track.scores.append(score)
                track.seen_ms, track.is_open = at_ms, True
                return
        self._tracks.append(_Track(known=back[::-1], scores=[score], seen_ms=at_ms))


def followed(before: Luma, box: Box, now: Luma, expected: Box) -> Box | None:
    """Returns where the pattern below `box` is in another picture, near `expected`; None if nothing is like it."""
    rows, columns = now.shape
    step_x, step_y = (box[2] - box[0]) * columns / GRID, (box[3] - box[1]) * rows / GRID
    points = np.arange(GRID) + 0.5
    pattern = _points(before, box[0] * columns + points * step_x, box[1] * rows + points * step_y)
    spread = pattern - pattern.mean()
    size = float((spread * spread).sum())
    if not size:
        return None
    left, top = expected[0] * columns, expected[1] * rows
    # All points that any of the moved patterns has: one step of the grid apart, so each is read once.
    wide = np.arange(-STEPS, GRID + STEPS) + 0.5
    area = _points(now, left + wide * step_x, top + wide * step_y)
    others = np.lib.stride_tricks.sliding_window_view(area, (GRID, GRID))
    apart = others - others.mean(axis=(2, 3), keepdims=True)
    norms = np.sqrt(size * (apart * apart).sum(axis=(2, 3)))
    likeness = (spread * apart).sum(axis=(2, 3)) / np.where(norms, norms, np.inf)
    down, right = divmod(int(np.argmax(likeness)), likeness.shape[1])
    if likeness[down, right] < LEAST_LIKENESS:
        return None
    found = right - STEPS, down - STEPS
    x, y = (left + found[0] * step_x) / columns, (top + found[1] * step_y) / rows
    return x, y, x + box[2] - box[0], y + box[3] - box[1]


def _points(luma: Luma, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the brightness at these columns and rows. Beyond the rim it is as at the rim."""
    rows, columns = luma.shape
    across = np.clip(np.floor(x), 0, columns - 1).astype(int)
    down = np.clip(np.floor(y), 0, rows - 1).astype(int)
    found: NDArray[np.float64] = luma[np.ix_(down, across)].astype(np.float64)
    return found


def _at(back: Sequence[Known], track: _Track) -> Box:
    """Where a face was at a track's end, or at its own begin if that is later."""
    return next((each.box for each in back if each.at_ms <= track.last.at_ms), back[-1].box)


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _moved(box: Box, right: float, down: float) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _distance(one: Box, other: Box) -> float:
    """Distance of the middles, in sizes of the first box."""
    width, height = one[2] - one[0], one[3] - one[1]
    (x, y), (other_x, other_y) = _middle(one), _middle(other)
    return math.hypot((x - other_x) / width, (y - other_y) / height)


def _is_near(one: Box, other: Box, reach: float) -> bool:
    ratio = (one[2] - one[0]) / (other[2] - other[0])
    return 0.5 < ratio < 2 and _distance(one, other) <= reach


def _is_within(track: _Track, other: _Track, margin: float) -> bool:
    """True if the cover of another track covers each place of this one, too."""
    covers = {each.at_ms: _grown(each, margin) for each in other.known}
    return all(each.at_ms in covers and _holds(covers[each.at_ms], each.box) for each in track.known)


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


# -- covers ------------------------------------------------------------------------------------------------------------


def _suggestions(track: _Track, length_ms: int, kind: RedactionKind, margin: float) -> list[Suggestion]:
    known = [Known(each.at_ms, _grown(each, margin), each.unseen_ms) for each in track.known]
    # The tolerance is a share of the face, and a cover is larger than its face.
    kept = simplified(widened(known), TOLERANCE / (1 + 2 * (margin + TOLERANCE)))
    from_ms, until_ms = max(0, known[0].at_ms - HOLD_MS), known[-1].at_ms + HOLD_MS
    if until_ms >= length_ms - HOLD_MS:
        until_ms = length_ms
    if from_ms <= HOLD_MS:
        from_ms = 0
    # The plan has a limit of places, and each segment takes one at each of its ends.
    most = MOST_PLACES - 4
    parts = [kept[first : first + most] for first in range(0, max(1, len(kept) - 1), most - 1)]
    score = max(track.scores)
    ends = [from_ms, *(part[-1].at_ms for part in parts[:-1]), until_ms]
    return [
        Suggestion(begin, end, tuple(place_of(each) for each in part if begin <= each.at_ms <= end), score, kind)
        for part, (begin, end) in zip(parts, itertools.pairwise(ends), strict=True)
        if begin < end
    ]


def _grown(known: Known, margin: float) -> Box:
    left, top, right, bottom = known.box
    share = margin + TOLERANCE + GROWTH_PER_S * known.unseen_ms / 1000
    across, down = (right - left) * share, (bottom - top) * share
    return left - across, top - down, right + across, bottom + down


def widened(known: Sequence[Known]) -> list[Known]:
    """Returns each place with those before and after it, within the picture.

    Between examined pictures a face bobs. If another head hides a part of it, its box shrinks for a moment. The
    part beyond the rim is cut off here: a straight line to a place that is cut off later would lag behind.
    """
    boxes = [each.box for each in known]
    near = [boxes[max(0, number - 1) : number + 2] for number in range(len(boxes))]
    return [Known(each.at_ms, _around(around), each.unseen_ms) for each, around in zip(known, near, strict=True)]


def _around(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return _within(min(lefts)), _within(min(tops)), _within(max(rights)), _within(max(bottoms))


def _within(side: float) -> float:
    return min(1.0, max(0.0, side))


def simplified(known: Sequence[Known], tolerance: float) -> list[Known]:
    """Returns the places that a straight line between others does not replace.

    `tolerance`: most that a cover may deviate from the line, as a share of its size.
    """
    kept = [known[0]]
    first = 0
    for last in range(2, len(known)):
        if any(_deviates(known[first], known[last], known[each], tolerance) for each in range(first + 1, last)):
            first = last - 1
            kept.append(known[first])
    if len(known) > 1:
        kept.append(known[-1])
    return kept


def _deviates(one: Known, two: Known, between: Known, tolerance: float) -> bool:
    share = (between.at_ms - one.at_ms) / (two.at_ms - one.at_ms)
    width, height = between.box[2] - between.box[0], between.box[3] - between.box[1]
    # A side at the rim has no margin that would make up for a deviation.
    return any(
        abs(begin + (end - begin) * share - side) > (tolerance * size if 0.0 < side < 1.0 else 0.0)
        for begin, end, side, size in zip(one.box, two.box, between.box, (width, height) * 2, strict=True)
    )


def place_of(known: Known) -> Place:
    """Returns a place as a plan has it, rounded outwards and kept within the picture."""
    left, top = (max(0, min(WHOLE - 1, math.floor(side * WHOLE))) for side in known.box[:2])
    right, bottom = (max(1, min(WHOLE, math.ceil(side * WHOLE))) for side in known.box[2:])
    return Place(known.at_ms, left, top, max(1, right - left), max(1, bottom - top))
