"""Runs the detector through a day of frames, as fast as it goes, and watches the memory of the process.

A minute of visit in every ten; between them, nothing.  The sensor's clock goes on over the whole day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.timebase import BootNs, seconds
from agent.recorder import motion_kernel
from bench.motion import scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX

__all__ = ["day"]

_PAGE_KIB = 4


def day(hours: int = 24) -> dict[str, Any]:
    """Resident memory of the process after each hour of footage, in KiB."""
    visit, empty = (scenes.draw("standing", 1, visitor=visitor, duration_s=60.0) for visitor in (True, False))
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S, make_passes=motion_kernel.load().make_passes)
    resident_kib, number = [], 0
    for minute in range(60 * hours):
        for luma in (empty if minute % 10 else visit).luma:
            detector.step(LumaFrame(luma, BootNs(seconds(number / FRAMES_PER_S))))
            number += 1
        if minute % 60 == 59:
            resident_kib.append(_resident_kib())
    return {"frames": number, "resident_kib": resident_kib}


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE_KIB
