"""The requested settings of a Pi camera, within its capabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

__all__ = ["HDR_SENSORS", "PiMode", "controls_for", "has_hdr", "transform_for"]

_SMALLER: Final = 0.75
_AF_MODES: Final = {"fixed": 0, "once": 1, "continuous": 2}
"""libcamera's AfMode: manual, auto, continuous."""
_AF_START: Final = 0
_SINGLE_EXPOSURE: Final = 3
"""libcamera's HdrMode of a Pi 5: one exposure for each picture, so what moves is not doubled."""
HDR_SENSORS: Final = ("imx708",)
"""Sensors that compute HDR themselves: the Camera Module 3."""


@dataclass(frozen=True, slots=True)
class PiMode:
    """The settings to request. `focus`: "fixed" at `focus_m`, "once" or "continuous", for lenses that move. A hunting
    focus looks like motion."""

    size_px: tuple[int, int] = (1280, 720)
    frames_per_s: int = 15
    bitrate_kbps: int = 4000
    number: int = 0
    rotate: bool = False
    """By 180 degrees."""
    mirror: bool = False
    focus: str = "fixed"
    focus_m: float = 2.0
    hdr: bool = False
    buffers: int = 4

    @property
    def flips(self) -> tuple[bool, bool]:
        """Left with right, top with bottom."""
        return self.rotate != self.mirror, self.rotate

    def smaller(self) -> PiMode:
        """Returns the mode with a quarter less width and height, for too little memory."""
        width, height = (max(160, round(side * _SMALLER / 16) * 16) for side in self.size_px)
        return replace(self, size_px=(width, height), buffers=max(2, self.buffers - 1))

    def at_most(self, widest_px: int) -> PiMode:
        width, height = self.size_px
        if width <= widest_px:
            return self
        return replace(self, size_px=(widest_px, round(height * widest_px / width / 2) * 2))


def transform_for(mode: PiMode) -> dict[str, Any]:
    if not any(mode.flips):
        return {}
    import libcamera

    hflip, vflip = mode.flips
    return {"transform": libcamera.Transform(hflip=hflip, vflip=vflip)}


def controls_for(camera: Any, mode: PiMode, sensor: str = "") -> dict[str, Any]:
    """Returns only the controls that this camera has, with the frame rate within its sensor's range."""
    offered = camera.camera_controls
    controls: dict[str, Any] = {}
    if "FrameDurationLimits" in offered:
        shortest_us, longest_us = offered["FrameDurationLimits"][:2]
        frame_us = 1_000_000 // mode.frames_per_s
        if shortest_us and longest_us:
            frame_us = max(shortest_us, min(frame_us, longest_us))
        # Both limits are the same: otherwise the sensor exposes longer at night, and the rate falls.
        controls["FrameDurationLimits"] = (frame_us, frame_us)
    if "LensPosition" in offered:
        controls |= {"AfMode": _AF_MODES[mode.focus]}
        if mode.focus == "fixed":
            controls |= {"LensPosition": 1 / mode.focus_m}  # in dioptres
        elif mode.focus == "once":
            controls |= {"AfTrigger": _AF_START}  # libcamera applies AfMode before it
    if mode.hdr and sensor not in HDR_SENSORS and "HdrMode" in offered:
        controls |= {"HdrMode": _SINGLE_EXPOSURE}
    return controls


def has_hdr(camera: Any, sensor: str) -> bool:
    """Returns whether this sensor or its board computes HDR."""
    return sensor in HDR_SENSORS or "HdrMode" in camera.camera_controls
