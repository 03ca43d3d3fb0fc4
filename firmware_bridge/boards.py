"""Boards and their properties: memory, encoder, and the number of camera buffers.

Sources: Raspberry Pi documentation, "Processors" and "Camera software" (H.264 encoder in VideoCore IV and VI, none in
BCM2712); /proc/device-tree/model. These values were not measured on a Pi.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MOST_PX_PER_S", "Board", "BoardName", "board_here", "board_named"]

MOST_PX_PER_S = 1920 * 1080 * 30
"""Pixels a second that any of these boards encodes: H.264 level 4, which is what VideoCore's encoder is made for."""
_MODEL = Path("/proc/device-tree/model")


class BoardName(enum.Enum):
    """Boards with a separate profile."""

    AUTO = "auto"
    ZERO_2_W = "zero2w"
    PI_3 = "pi3"
    PI_4 = "pi4"
    PI_5 = "pi5"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Board:
    """Properties of a board that the camera and the health check need.

    `widest_px`: the widest picture it records. `throttles_c`: the firmware lowers the clock above this temperature.
    """

    name: BoardName
    hardware_h264: bool
    camera_buffers: int
    widest_px: int
    throttles_c: float
    least_cma_mb: int


_BOARDS = {
    board.name: board
    for board in (
        Board(BoardName.ZERO_2_W, True, 3, 1280, 80.0, 128),
        Board(BoardName.PI_3, True, 4, 1920, 80.0, 128),
        Board(BoardName.PI_4, True, 4, 1920, 80.0, 256),
        Board(BoardName.PI_5, False, 6, 1920, 80.0, 64),
        Board(BoardName.OTHER, False, 4, 1920, 90.0, 0),
    )
}
_MODELS = (
    ("Raspberry Pi Zero 2", BoardName.ZERO_2_W),
    ("Raspberry Pi 3", BoardName.PI_3),
    ("Raspberry Pi Compute Module 3", BoardName.PI_3),
    ("Raspberry Pi 4", BoardName.PI_4),
    ("Raspberry Pi 400", BoardName.PI_4),
    ("Raspberry Pi Compute Module 4", BoardName.PI_4),
    ("Raspberry Pi 5", BoardName.PI_5),
    ("Raspberry Pi 500", BoardName.PI_5),
    ("Raspberry Pi Compute Module 5", BoardName.PI_5),
)


def board_here(model: Path = _MODEL) -> Board:
    """Returns the board that the device tree names, or `OTHER`."""
    try:
        words = model.read_bytes().rstrip(b"\0").decode(errors="replace")
    except OSError:
        words = ""
    for begins, name in _MODELS:
        if words.startswith(begins):
            return _BOARDS[name]
    return _BOARDS[BoardName.OTHER]


def board_named(name: BoardName) -> Board:
    return board_here() if name is BoardName.AUTO else _BOARDS[name]
