"""Decodes labelled footage to what a detector sees: 320×240 luma at 10 frames a second.

Frame times are spread evenly over the labelled duration, because two of the shared clips carry wrong timestamps (their
packets are right, their clock is not).  `vtest.avi` is taken from Debian's `opencv-doc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from agent.core.motion_accuracy.labels import Label, parse_labels
from agent.core.motion_accuracy.scoring import Interval

__all__ = ["FRAMES_PER_S", "HEIGHT_PX", "WIDTH_PX", "Clip", "decode", "labelled", "load"]

FRAMES_PER_S = 10.0
WIDTH_PX, HEIGHT_PX = 320, 240
_FETCHED = Path(__file__).resolve().parents[2] / ".cache" / "vtest.avi"
"""Set up with the tests, out of that package."""
ELSEWHERE = {"vtest": _FETCHED if _FETCHED.exists() else Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")}


@dataclass(frozen=True, slots=True)
class Clip:
    """`luma` is (N, 240, 320) uint8 at `FRAMES_PER_S`; intervals are seconds from the first frame."""

    name: str
    luma: npt.NDArray[np.uint8]
    duration_s: float
    events: tuple[Interval, ...]
    dont_care: tuple[Interval, ...]


def labelled(folder: Path) -> tuple[Label, ...]:
    """The labels of the clips that are present."""
    labels = parse_labels((folder / "labels.json").read_text("utf-8"))
    return tuple(label for label in labels if _file(folder, label).exists())


def load(folder: Path, label: Label) -> Clip:
    """Decode one labelled clip."""
    luma = decode(_file(folder, label), label.duration_s)
    return Clip(label.name, luma, label.duration_s, label.events, label.dont_care)


def _file(folder: Path, label: Label) -> Path:
    return ELSEWHERE.get(label.name, folder / label.file)


def decode(path: Path, duration_s: float) -> npt.NDArray[np.uint8]:
    """(N, 240, 320) uint8: the frames nearest to every tenth of a second, scaled by area (bicubic in x86 swscale)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        frames = [
            frame.reformat(WIDTH_PX, HEIGHT_PX, "gray", interpolation="AREA").to_ndarray()
            for frame in container.decode(stream)
        ]
    wanted = np.arange(round(duration_s * FRAMES_PER_S)) / FRAMES_PER_S
    nearest = np.clip(np.round(wanted * len(frames) / duration_s).astype(int), 0, len(frames) - 1)
    picked: npt.NDArray[np.uint8] = np.stack(frames)[nearest]
    return picked
