"""Draws the motion detector's data for a person who tunes it: one strip per file, one PNG for all.

A strip shows the following over time: the labels (green), the events (orange), and the presence of a person, moving or
still (pale); the score with the threshold that confirms motion; the threshold of each cell (bright: higher, for example
at leaves or a street); and a still of each event at its strongest, with the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Luma
from agent.core.motion.sample import CONFIRMED_SCORE, MotionSample, RelativeBox

__all__ = ["CapturedFrame", "MotionStrip", "Record", "picture_of"]

_WIDTH_PX = 1280
_MARGIN_PX = 16
_CURVE_PX, _BAR_PX, _STILL_PX, _HEAD_PX = 110, 14, 150, 34
_MOST_STILLS = 5
_PAPER, _INK, _PALE = (250, 250, 250), (40, 40, 40), (190, 215, 240)
_TRUTH, _EVENT, _LINE = (80, 160, 60), (30, 130, 240), (170, 170, 170)

Canvas = npt.NDArray[np.uint8]
"""(H, W, 3) BGR."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame worth showing: its luma (a copy), the box of what moved, when, and how sure."""

    luma: Luma
    box: RelativeBox | None
    at_s: float
    score: float


@dataclass(slots=True)
class Record:
    """The samples of one file. `stills` has one moment per event."""

    at_s: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    stills: list[CapturedFrame] = field(default_factory=list)

    def take(self, sample: MotionSample, luma: Luma, at_s: float, event: int) -> None:
        """Adds a sample. `event`: the number of events that ended before; `luma` is borrowed."""
        self.at_s.append(at_s)
        self.scores.append(sample.score)
        self.present.append(sample.present)
        if not sample.moving:
            return
        if len(self.stills) <= event:
            self.stills.append(CapturedFrame(luma.copy(), sample.box, at_s, sample.score))
        elif _size(sample) * sample.score > _worth(self.stills[event]):
            self.stills[event] = CapturedFrame(luma.copy(), sample.box, at_s, sample.score)


def _size(sample: MotionSample) -> float:
    return _area(sample.box)


def _worth(moment: CapturedFrame) -> float:
    return _area(moment.box) * moment.score


def _area(box: RelativeBox | None) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) if box else 0.0


@dataclass(frozen=True, slots=True)
class MotionStrip:
    """One file: intervals are (start, end) in seconds; `thresholds` (rows, columns) in steps."""

    name: str
    length_s: float
    record: Record
    events_s: Sequence[tuple[float, float]]
    truth_s: Sequence[tuple[float, float]] | None
    thresholds: npt.NDArray[np.float32]


def picture_of(strips: Sequence[MotionStrip]) -> bytes:
    """A PNG."""
    canvas = np.concatenate([_drawn(strip) for strip in strips])
    encoded: Any = cv2.imencode(".png", canvas)[1]
    return bytes(encoded.tobytes())


def _drawn(strip: MotionStrip) -> Canvas:
    height = _HEAD_PX + 2 * _BAR_PX + 6 + _CURVE_PX + 24 + _STILL_PX + 3 * _MARGIN_PX
    canvas: Canvas = np.full((height, _WIDTH_PX, 3), _PAPER, np.uint8)
    count = len(strip.events_s)
    seen = f"{count} event{'' if count == 1 else 's'} in {strip.length_s:.0f} s"
    _write(canvas, f"{strip.name}: {seen}", (_MARGIN_PX, 24), 0.6)
    _legend(canvas, has_truth=strip.truth_s is not None)
    top = _HEAD_PX
    if strip.truth_s is not None:
        _bars(canvas, strip, strip.truth_s, top, _TRUTH)
    _bars(canvas, strip, _runs(strip.record), top + _BAR_PX + 3, _PALE)
    _bars(canvas, strip, strip.events_s, top + _BAR_PX + 3, _EVENT, high=_BAR_PX // 2)
    top += 2 * _BAR_PX + 6 + 6
    _curve(canvas, strip, top)
    top += _CURVE_PX + 24
    _stills(canvas, strip, top)
    canvas[-1] = _LINE
    return canvas


def _legend(canvas: Canvas, *, has_truth: bool) -> None:
    """Draws the meaning of the bars' colours, at the right of the heading."""
    left = _WIDTH_PX - _MARGIN_PX
    for word, tone in (("person there", _PALE), ("event", _EVENT), *([("label", _TRUTH)] if has_truth else [])):
        left -= 9 * len(word)
        _write(canvas, word, (left, 22), 0.4)
        canvas[12:22, left - 16 : left - 6] = tone
        left -= 34


def _x(strip: MotionStrip, at_s: float) -> int:
    return _MARGIN_PX + round((_WIDTH_PX - 2 * _MARGIN_PX) * min(1.0, at_s / max(strip.length_s, 1e-3)))


def _bars(
    canvas: Canvas,
    strip: MotionStrip,
    intervals: Sequence[tuple[float, float]],
    top: int,
    tone: tuple[int, int, int],
    *,
    high: int = _BAR_PX,
) -> None:
    for start_s, end_s in intervals:
        canvas[top : top + high, _x(strip, start_s) : max(_x(strip, start_s) + 2, _x(strip, end_s))] = tone


def _runs(record: Record) -> list[tuple[float, float]]:
    """Returns the times of presence, moving or still."""
    runs: list[tuple[float, float]] = []
    before = False
    for at_s, present in zip(record.at_s, record.present, strict=True):
        if present:
            runs.append((runs.pop()[0], at_s) if before else (at_s, at_s))
        before = present
    return runs


def _curve(canvas: Canvas, strip: MotionStrip, top: int) -> None:
    bottom = top + _CURVE_PX
    for score in (0.0, CONFIRMED_SCORE, 1.0):
        y = bottom - round(score * _CURVE_PX)
        canvas[y, _MARGIN_PX:-_MARGIN_PX] = _LINE
    _write(canvas, "confirmed", (_MARGIN_PX + 4, bottom - round(CONFIRMED_SCORE * _CURVE_PX) - 4), 0.35)
    points = [
        (_x(strip, at_s), bottom - round(score * _CURVE_PX))
        for at_s, score in zip(strip.record.at_s, strip.record.scores, strict=True)
    ]
    if points:
        cv2.polylines(canvas, [np.array(points, np.int32)], False, _INK, 1, cv2.LINE_AA)
    for part in range(7):
        at_s = strip.length_s * part / 6
        _write(canvas, f"{at_s:.0f} s", (min(_x(strip, at_s), _WIDTH_PX - 60), bottom + 16), 0.4)


def _stills(canvas: Canvas, strip: MotionStrip, top: int) -> None:
    rows, columns = strip.thresholds.shape
    width = round(_STILL_PX * columns / rows)
    shown = np.clip(strip.thresholds * 6, 0, 255).astype(np.uint8)
    heat = cv2.applyColorMap(cv2.resize(shown, (width, _STILL_PX), interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_MAGMA)
    left = _MARGIN_PX
    _place(canvas, np.asarray(heat, np.uint8), left, top)
    _write(canvas, "by how much a cell must differ (bright: more)", (left, top + _STILL_PX + 13), 0.38)
    strongest = sorted(sorted(strip.record.stills, key=_worth)[-_MOST_STILLS:], key=lambda moment: moment.at_s)
    for moment in strongest:
        left += width + _MARGIN_PX
        still = cv2.cvtColor(cv2.resize(moment.luma, (width, _STILL_PX)), cv2.COLOR_GRAY2BGR)
        if moment.box:
            x0, y0, x1, y1 = moment.box
            corners = (round(x0 * width), round(y0 * _STILL_PX)), (round(x1 * width) - 1, round(y1 * _STILL_PX) - 1)
            cv2.rectangle(still, *corners, _EVENT, 2)
        _place(canvas, np.asarray(still, np.uint8), left, top)
        _write(canvas, f"{moment.at_s:.1f} s, score {moment.score:.2f}", (left, top + _STILL_PX + 13), 0.38)


def _place(canvas: Canvas, picture: Canvas, left: int, top: int) -> None:
    width = min(picture.shape[1], canvas.shape[1] - left)
    if width > 0:
        canvas[top : top + picture.shape[0], left : left + width] = picture[:, :width]


def _write(canvas: Canvas, text: str, place: tuple[int, int], size: float) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
