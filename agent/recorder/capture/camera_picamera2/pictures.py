"""Changes to pixels on the camera's thread, in place, before encoder and detector see them, and small coloured copies.

Cameras turn and mirror pictures free of cost. If a driver reports that it left the picture unturned, the picture is
turned here, at the cost of one copy. Privacy zones are filled in the turned picture.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Picture
from agent.ports import MaskedArea
from agent.recorder.capture.delivery import PrivacyMask, picture_size

__all__ = ["PrivacyRetouch", "picture_of", "small_picture"]

_Pixels = npt.NDArray[np.uint8]
_Flips = tuple[bool, bool]
_CODES: Final[dict[_Flips, int]] = {(True, False): 1, (False, True): 0, (True, True): -1}
"""cv2.flip's, for (left with right, top with bottom)."""


class PrivacyRetouch:
    """Implements picamera2's `pre_callback`. `zones`: the private areas of the turned picture; `flips`: the flips to
    do."""

    def __init__(self, zones: MaskedArea, flips: _Flips) -> None:
        self._mask = PrivacyMask(zones)
        self._flips = flips

    @property
    def idle(self) -> bool:
        """There is nothing to change."""
        return not self._mask and not any(self._flips)

    def __call__(self, request: Any) -> None:
        from picamera2 import MappedArray

        for name in ("main", "lores"):
            with MappedArray(request, name) as mapped:
                self.retouch(mapped.array, request.config[name])

    def retouch(self, pixels: _Pixels, stream: dict[str, Any]) -> None:
        """`pixels`: (H·3/2, stride) uint8, Y above chroma, written in place."""
        planes = _planes(pixels, *stream["size"], interleaved=str(stream["format"]) == "NV12")
        if any(self._flips):
            for plane in planes:
                # In front of the mask: an owner draws zones on the turned picture.
                plane[:] = cv2.flip(plane, _CODES[self._flips])
        if self._mask:
            self._mask.black(planes)


def picture_of(request: Any) -> Picture:
    """Returns a small RGB copy of the main stream's picture, which has its masks."""
    from picamera2 import MappedArray

    with MappedArray(request, "main", write=False) as mapped:
        return small_picture(mapped.array, request.config["main"])


def small_picture(pixels: _Pixels, stream: dict[str, Any]) -> Picture:
    """`pixels`: (H·3/2, stride) uint8, Y above chroma, which is only read."""
    interleaved = str(stream["format"]) == "NV12"
    luma, *chroma = _planes(pixels, *stream["size"], interleaved=interleaved)
    width, height = picture_size(*stream["size"])
    sizes = [(width, height), *[(width // 2, height // 2)] * len(chroma)]
    small = [
        cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        for plane, size in zip((luma, *chroma), sizes, strict=True)
    ]
    stacked = np.concatenate([plane.reshape(-1) for plane in small]).reshape(height * 3 // 2, width)
    code = cv2.COLOR_YUV2RGB_NV12 if interleaved else cv2.COLOR_YUV2RGB_I420
    return np.asarray(cv2.cvtColor(stacked, code), np.uint8)


def _planes(pixels: _Pixels, width: int, height: int, *, interleaved: bool) -> list[_Pixels]:
    """Returns views of Y and of chroma, (H, W) or (H, W, 2), without the padding behind each row."""
    chroma = pixels[height:]
    if interleaved:
        return [pixels[:height, :width], chroma.reshape(height // 2, -1, 2)[:, : width // 2]]
    u, v = chroma.reshape(2, height // 2, -1)
    return [pixels[:height, :width], u[:, : width // 2], v[:, : width // 2]]
