"""Faces drawn by ellipses, as a network of faces knows them, and films with them. No person has this face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.media.fmp4 import FragmentedMp4Writer

__all__ = ["Seen", "drawn_face", "film_of", "scene", "uncovered", "with_plate"]

Picture = NDArray[np.uint8]
_SIDE = 160
_FACE_PX = (80, 100)


@dataclass(frozen=True)
class Seen:
    """A face in a picture: its middle and width in pixels. `turned`: only its hair is seen."""

    x: float
    y: float
    width: float
    turned: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the face."""
        across, down = self.width / 2, self.width * _FACE_PX[1] / _FACE_PX[0] / 2
        return self.x - across, self.y - down, self.x + across, self.y + down


def drawn_face() -> tuple[Picture, Picture]:
    """Returns a head in BGR, 160 pixels wide and high, and its shape. The face is the middle 80 by 100 pixels."""
    head = np.full((_SIDE, _SIDE, 3), 90, np.uint8)
    shape = np.zeros((_SIDE, _SIDE), np.uint8)
    middle = _SIDE // 2

    def ellipse(x: int, y: int, across: int, down: int, colour: tuple[int, int, int], **more: int) -> None:
        cv2.ellipse(
            head, (x, y), (across, down), 0, more.get("first", 0), more.get("last", 360), colour, -1, cv2.LINE_AA
        )

    cv2.ellipse(shape, (middle, middle - 4), (50, 66), 0, 0, 360, 255, -1)
    ellipse(middle, middle - 8, 50, 60, (40, 50, 60))  # hair
    ellipse(middle, middle + 4, 41, 55, (140, 170, 215))  # skin
    ellipse(middle, middle - 44, 40, 18, (40, 50, 60))  # fringe
    for side in (-1, 1):
        ellipse(middle + side * 17, middle - 8, 9, 5, (240, 240, 240))
        ellipse(middle + side * 17, middle - 8, 4, 4, (40, 40, 40))
        ellipse(middle + side * 17, middle - 19, 11, 3, (50, 60, 80))
        ellipse(middle + side * 5, middle + 16, 3, 2, (90, 110, 150))
        ellipse(middle + side * 28, middle + 14, 8, 8, (135, 155, 215))
    ellipse(middle, middle + 4, 5, 14, (125, 155, 200))
    ellipse(middle, middle + 34, 17, 6, (90, 90, 170))
    ellipse(middle, middle + 34, 14, 1, (60, 50, 100))
    return cv2.GaussianBlur(head, (5, 5), 0), cv2.GaussianBlur(shape, (5, 5), 0)


def scene(faces: Sequence[Sequence[Seen]], width: int, height: int) -> list[Picture]:
    """Returns a BGR picture for each list of faces, in front of a wall with a pattern."""
    rough = np.random.default_rng(0).integers(60, 180, (height, width, 3)).astype(np.uint8)
    wall = cv2.GaussianBlur(rough, (0, 0), 6)
    head, shape = drawn_face()
    back = np.full_like(head, (40, 50, 60))
    pictures = []
    for seen in faces:
        picture = wall.copy()
        for each in seen:
            scale = each.width / _FACE_PX[0]
            move = np.array([[scale, 0, each.x - _SIDE / 2 * scale], [0, scale, each.y - _SIDE / 2 * scale]])
            front = cv2.warpAffine(back if each.turned else head, move, (width, height), flags=cv2.INTER_AREA)
            mask = cv2.warpAffine(shape, move, (width, height), flags=cv2.INTER_AREA)[..., None] / 255
            picture = (picture * (1 - mask) + front * mask).astype(np.uint8)
        pictures.append(picture)
    return pictures


def with_plate(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """Returns the BGR picture with a number plate in this box: left, top, right and bottom."""
    left, top, right, bottom = box
    height = bottom - top
    made = picture.copy()
    cv2.rectangle(made, (left - 6, top - 6), (right + 6, bottom + 6), (60, 40, 30), -1)
    cv2.rectangle(made, (left, top), (right, bottom), (235, 235, 235), -1)
    cv2.rectangle(made, (left, top), (right, bottom), (20, 20, 20), 1)
    corner = left + round((right - left) * 0.06), bottom - round(height * 0.2)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(made, "KX 42 ZB", corner, font, height * 0.028, (20, 20, 20), max(1, round(height / 11)), cv2.LINE_AA)
    return made


def film_of(pictures: Sequence[Picture], per_s: int) -> bytes:
    """The BGR pictures as a recorder stores them, in GOPs of a second."""
    height, width = pictures[0].shape[:2]
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, per_s), Fraction(per_s)
    options = "keyint=infinite:scenecut=0:bframes=0:repeat-headers=1:annexb=1"
    codec.options = {"preset": "ultrafast", "forced-idr": "1", "crf": "23", "x264-params": options}
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, codec.time_base
        frame.pict_type = PictureType.I if number % per_s == 0 else PictureType.NONE
        packets += codec.encode(frame)
    packets += codec.encode(None)
    made = [
        EncodedPacket(bytes(each), each.is_keyframe, BootNs((each.pts or 0) * NS_PER_S // per_s)) for each in packets
    ]
    gops = [
        Gop(tuple(made[first : first + per_s]), BootNs(min(len(made), first + per_s) * NS_PER_S // per_s))
        for first in range(0, len(made), per_s)
    ]
    writer = FragmentedMp4Writer(StreamDescription(width, height, per_s, width, height, live=False))
    return writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:])) + writer.finish()


def uncovered(face: Seen, covers: Sequence[tuple[int, int, int, int]], width: int, height: int) -> float:
    """Returns the share of the face's box in the picture that no cover hides."""
    shown = np.zeros((height, width), bool)
    left, top, right, bottom = (max(0, round(side)) for side in face.box)
    shown[top:bottom, left:right] = True
    whole = np.count_nonzero(shown)
    for cover in covers:
        shown[cover[1] : cover[3], cover[0] : cover[2]] = False
    return np.count_nonzero(shown) / max(1, whole)
