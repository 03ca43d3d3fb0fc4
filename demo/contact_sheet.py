"""Contact sheet: posters with captions in one picture, which shows at a glance the segments that were shared.

The state of each segment shows three times (border, badge, word), so that it survives printing in black and white.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from agent.errors import InternalError

__all__ = ["SheetTile", "TileState", "contact_sheet"]

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_PAPER: Colour = (30, 26, 24)
_CARD: Colour = (46, 41, 38)
_INK: Colour = (240, 238, 236)
_FAINT: Colour = (168, 160, 154)
_TILE_PX = 360
_PICTURE_PX = 203
_CAPTION_PX = 78
_MARGIN_PX = 24
_HEADER_PX = 104
_FONT = cv2.FONT_HERSHEY_DUPLEX
_PLAIN = str.maketrans({"–": "-", "—": "-", "·": "-", "…": "...", "→": "->", "’": "'", "×": "x"})
"""The fonts of OpenCV before 5 know ASCII only."""


class TileState(enum.Enum):
    """State of a segment, by its word on the sheet."""

    SHARED = "shared"
    KEPT = "stayed at home"
    SEALED = "sealed"

    @property
    def colour(self) -> Colour:
        return {TileState.SHARED: (92, 190, 88), TileState.KEPT: (196, 150, 92), TileState.SEALED: (160, 152, 146)}[
            self
        ]


@dataclass(frozen=True, slots=True)
class SheetTile:
    """One segment or clip. `poster` is a JPEG, or None if this client cannot open it: then a padlock is drawn."""

    poster: bytes | None
    caption: str
    detail: str
    state: TileState


def contact_sheet(title: str, subtitle: str, tiles: Sequence[SheetTile], *, columns: int = 4) -> bytes:
    """Returns one PNG with a header and the tiles in reading order. Undecodable posters are drawn as sealed ones."""
    columns = max(2, min(columns, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    step_y = _PICTURE_PX + _CAPTION_PX + _MARGIN_PX
    height_px = _HEADER_PX + rows * step_y
    width_px = _MARGIN_PX + columns * (_TILE_PX + _MARGIN_PX)
    sheet = np.full((height_px, width_px, 3), _PAPER, np.uint8)
    _header(sheet, title, subtitle, tiles)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x, y = _MARGIN_PX + column * (_TILE_PX + _MARGIN_PX), _HEADER_PX + row * step_y
        _draw_tile(sheet[y : y + _PICTURE_PX + _CAPTION_PX, x : x + _TILE_PX], tile)
    done, encoded = cv2.imencode(".png", sheet)
    if not done:
        raise InternalError("The contact sheet could not be encoded as PNG.")
    return encoded.tobytes()


def _header(sheet: Picture, title: str, subtitle: str, tiles: Sequence[SheetTile]) -> None:
    room_px = sheet.shape[1] - 2 * _MARGIN_PX
    _write(sheet, title, (_MARGIN_PX, 44), 0.95, _INK, room_px)
    legend = ", ".join(
        f"{count} {state.value}" for state in TileState if (count := sum(tile.state is state for tile in tiles))
    )
    _write(sheet, f"{subtitle}   {legend}".strip(), (_MARGIN_PX, 78), 0.55, _FAINT, room_px)


def _draw_tile(card: Picture, tile: SheetTile) -> None:
    """Draws `tile` in place into `card`, its part of the sheet."""
    card[:] = _CARD
    height_px, width_px = card.shape[:2]
    card[:_PICTURE_PX] = _fitted(tile)
    cv2.rectangle(card, (0, 0), (width_px - 1, height_px - 1), tile.state.colour, 3)
    _write(card, tile.caption, (14, _PICTURE_PX + 30), 0.6, _INK, width_px - 28)
    _badge(card, tile.state, (14, _PICTURE_PX + 60))
    badge_px = 26 + _text_px(tile.state.value, 0.5)
    _write(card, tile.detail, (14 + badge_px, _PICTURE_PX + 60), 0.5, _FAINT, width_px - 28 - badge_px)


def _fitted(tile: SheetTile) -> Picture:
    """Returns the whole poster on a black ground of the tile's size. Unshared segments are dimmed."""
    ground = np.zeros((_PICTURE_PX, _TILE_PX, 3), np.uint8)
    image = cv2.imdecode(np.frombuffer(tile.poster, np.uint8), cv2.IMREAD_COLOR) if tile.poster else None
    if image is None:
        _padlock(ground)
        return ground
    scale = min(_TILE_PX / image.shape[1], _PICTURE_PX / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if tile.state is not TileState.SHARED:
        small = cv2.convertScaleAbs(small, alpha=0.62)
    x, y = (_TILE_PX - size[0]) // 2, (_PICTURE_PX - size[1]) // 2
    ground[y : y + size[1], x : x + size[0]] = small
    return ground


def _padlock(ground: Picture) -> None:
    x, y = _TILE_PX // 2, _PICTURE_PX // 2
    cv2.ellipse(ground, (x, y - 8), (19, 24), 0, 180, 360, _FAINT, 7, cv2.LINE_AA)
    cv2.rectangle(ground, (x - 30, y - 8), (x + 30, y + 38), _FAINT, -1, cv2.LINE_AA)
    cv2.circle(ground, (x, y + 11), 6, (0, 0, 0), -1, cv2.LINE_AA)
    cv2.line(ground, (x, y + 11), (x, y + 25), (0, 0, 0), 5, cv2.LINE_AA)


def _badge(card: Picture, state: TileState, at: tuple[int, int]) -> None:
    centre = (at[0] + 7, at[1] - 5)
    cv2.circle(card, centre, 7, state.colour, -1, cv2.LINE_AA)
    if state is TileState.SHARED:
        tick = np.array([(-3, 0), (-1, 3), (4, -3)]) + centre
        cv2.polylines(card, [tick.astype(np.int32)], False, _CARD, 2, cv2.LINE_AA)
    _write(card, state.value, (at[0] + 20, at[1]), 0.5, state.colour, _TILE_PX)


def _text_px(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text.translate(_PLAIN), _FONT, scale, 1)[0][0])


def _write(picture: Picture, text: str, at: tuple[int, int], scale: float, colour: Colour, room_px: int) -> None:
    """Writes one line with its baseline at `at`, cut to `room_px`."""
    text = text.translate(_PLAIN).encode("ascii", "replace").decode()
    while len(text) > 1 and _text_px(text, scale) > room_px:
        text = text.removesuffix("...")[:-1] + "..." if len(text) > 4 else text[:-1]
    cv2.putText(picture, text, at, _FONT, scale, colour, 1, cv2.LINE_AA)
