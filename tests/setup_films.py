"""Set-up codes as a camera sees them: a phone with a QR code, drawn in perspective, with blur and noise, as a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import segno

Grey = np.ndarray
SIZE_PX = (1280, 720)
_RATE = 5
_EYE = 3.0
"""Distance of the drawn camera, in sides of the code."""


@dataclass(frozen=True)
class View:
    """How the phone is held. `side`: of the code with its margin, as a part of the picture's height."""

    side: float = 0.6
    tilt_deg: float = 0.0
    turn_deg: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    light: float = 1.0


def code_picture(text: str) -> Grey:
    """The QR code as the set-up page draws it: level M, with its margin."""
    rows = segno.make(text, error="m", boost_error=False).matrix
    dark = np.array([list(row) for row in rows], np.uint8)
    return np.asarray(np.pad(255 - 255 * dark, 4, constant_values=255), np.uint8)


def seen(code: Grey, view: View = View(), seed: int = 1) -> Grey:
    """One picture of the camera with the phone in front of a hallway."""
    width, height = SIZE_PX
    picture = np.full((height, width), 90, np.uint8)
    picture[:, ::97] = 140
    pixels = cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST) if len(code) < 200 else code
    high, wide = pixels.shape
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    onto = cv2.getPerspectiveTransform(corners, _corners(view))
    cv2.warpPerspective(pixels, onto, SIZE_PX, picture, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
    if view.blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), view.blur_px)
    noise = np.random.default_rng(seed).normal(0, view.noise, picture.shape)
    return np.clip(picture * view.light + noise, 0, 255).astype(np.uint8)


def _corners(view: View) -> np.ndarray:
    """Where the code's corners appear: turned in its plane, then tilted around the upright axis."""
    width, height = SIZE_PX
    turn, tilt = np.deg2rad(view.turn_deg), np.deg2rad(view.tilt_deg)
    found = []
    for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        across, down = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        away = across * np.sin(tilt) + _EYE
        scale = view.side * height * _EYE / away
        found.append((width / 2 + scale * across * np.cos(tilt), height / 2 + scale * down))
    return np.array(found, np.float32)


def make_film(path: Path, pictures: Sequence[Grey], seconds_each: float = 1.0) -> Path:
    """H.264, as any camera would give it. Complete under its name at once, because the doorbell reads it again."""
    making = path.with_name(f"making-{path.name}")
    with av.open(str(making), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        for picture in pictures:
            for _ in range(max(1, round(seconds_each * _RATE))):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p"))
                )
        container.mux(stream.encode(None))
    making.replace(path)
    return path


def hallway() -> Grey:
    """The picture before anyone shows a code."""
    return seen(np.full((8, 8), 90, np.uint8))
