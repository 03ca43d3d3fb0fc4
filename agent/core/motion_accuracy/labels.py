"""Reads the truth about footage: which intervals of a file hold motion, and which do not count.

The file is one JSON object, clip name to label; `file`, `duration_s`, `events_s` and `dont_care_s` are read, the rest
(what happens, origin, licence) is for people:

    {"office": {"file": "office.mp4", "duration_s": 82.1, "events_s": [[23.3, 81.6]], "dont_care_s": []}}
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from agent.core.motion_accuracy.scoring import Interval
from agent.errors import FormatError

__all__ = ["Label", "parse_labels"]


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one clip; intervals are seconds from its first frame."""

    name: str
    file: str
    duration_s: float
    events: tuple[Interval, ...]
    dont_care: tuple[Interval, ...]


def parse_labels(text: str | bytes) -> tuple[Label, ...]:
    """All labels of a file, in its order.  Raises `FormatError` that names the clip."""
    try:
        clips = json.loads(text)
    except ValueError as error:
        raise FormatError("The labels are not JSON.") from error
    if not isinstance(clips, dict):
        raise FormatError("The labels are not a JSON object of clips by name.")
    return tuple(_label(name, clip) for name, clip in clips.items())


def _label(name: str, clip: Any) -> Label:
    try:
        return Label(
            name=name,
            file=str(clip["file"]),
            duration_s=_seconds(clip["duration_s"]),
            events=_intervals(clip["events_s"]),
            dont_care=_intervals(clip.get("dont_care_s", [])),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"The label of '{name}' is wrong ({error}).",
            remedy='Give "file", "duration_s" and "events_s": [[start, end], …] in seconds.',
        ) from error


def _intervals(pairs: list[list[float]]) -> tuple[Interval, ...]:
    intervals = tuple(Interval(_seconds(start), _seconds(end)) for start, end in pairs)
    if any(each.length_s < 0 for each in intervals):
        raise ValueError("an interval ends before it begins")
    return intervals


def _seconds(value: float) -> float:
    if not math.isfinite(float(value)) or value < 0:
        raise ValueError(f"{value} is no number of seconds")
    return float(value)
