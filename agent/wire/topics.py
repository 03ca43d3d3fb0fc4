"""Where things are published: four shapes of MQTT topic, none of which addresses one home.

    doorward/v1/areas/<cell>/requests/<requester>/<slot>                       requester → doors, retained
    doorward/v1/areas/<cell>/bulletins/<requester>/<slot>                      requester → doors, retained
    doorward/v1/up/<requester>/<device>/<disclosure>-<part>/<verb>             device → requester
    doorward/v1/receipts/<device>/<disclosure>                                 requester → device

- A cell is half a degree of latitude by half a degree of longitude, counted from 90° south and 180° west:
  `<floor((lat + 90) · 2)>-<floor((lon + 180) · 2)>`, plain decimals, the exact arithmetic of 1e-7 degrees.  At 80°
  latitude that is still 55 km by 9.6 km, 400 times the largest allowed area.  A device subscribes to the one cell it
  stands in and filters locally; a requester publishes in each cell the bounds of its area touch (at most four).
- A slot is one of a few numbers, 0 to 63 for requests and 0 to 15 for bulletins.  A broker's access list can name them
  all, so in each cell it keeps no more of one requester than that, whatever the requester sends: a new message in a
  slot takes the place of the one before.
- Names stand in the topics so that a broker's access list can bind each client to its own: a requester cannot replace
  another's retained request, a device cannot listen to another's receipts.
- A tip goes up under `0000000000000000` instead of the device's name, so that its requester does not learn who speaks.
- A device subscribes to all of its cell alike and drops what no root of its owner's vouches for: a filter for each root
  or requester would tell the broker whom an owner trusts, and when that changes.
- A device subscribes to `receipts/<device>/<disclosure>` only while that disclosure is being sent; nobody has heard of
  the device's name before it chose to speak.
- `<verb>` is `init`, `<offset>-<sha256 of the chunk>`, `fin` or `abort`: the grammar of EMQX's file transfer over MQTT.
- Never more than seven levels nor 256 bytes, so that managed brokers take them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError
from agent.wire.area import E7, Area, e7
from agent.wire.disclosures import MAX_PARTS
from agent.wire.strictjson import MAX_INTEGER

__all__ = [
    "ANONYMOUS",
    "BULLETIN_SLOTS",
    "MAX_TOPIC_BYTES",
    "REQUEST_SLOTS",
    "BulletinTopic",
    "ChunkVerb",
    "ReceiptTopic",
    "RequestTopic",
    "Topic",
    "TopicSender",
    "UploadTopic",
    "UploadVerb",
    "cell_filter",
    "cell_of",
    "cells_of",
    "parse_topic",
    "sender_of",
]

MAX_TOPIC_BYTES: Final = 256
ANONYMOUS: Final = "0" * 16
"""What stands for the device in the topics of a tip: no key has this id, and every device may speak under it."""
_ROOT: Final = "doorward/v1"
REQUEST_SLOTS: Final = 64
BULLETIN_SLOTS: Final = 16
"""Retained messages a broker keeps of one requester in one cell.  The access list names each (config/mosquitto)."""
_CELL_E7: Final = E7 // 2
_ROWS: Final = 360
_COLUMNS: Final = 720

_NUMBER = r"(0|[1-9][0-9]{0,15})"
_CELL: Final = re.compile(r"(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})")
_REQUESTER: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")
_HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
_CHUNK: Final = re.compile(_NUMBER + r"-([0-9a-f]{64})")
_SLOT: Final = re.compile(r"0|[1-9][0-9]?")
_PART: Final = re.compile(r"([0-9a-f]{32})-" + _NUMBER)


class UploadVerb(enum.Enum):
    """What an upload message without a chunk does."""

    INIT = "init"
    FIN = "fin"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class ChunkVerb:
    """The payload is the chunk at `offset_bytes`, and this is its hash."""

    offset_bytes: int
    sha256: str

    @property
    def value(self) -> str:
        return f"{self.offset_bytes}-{self.sha256}"


@dataclass(frozen=True, slots=True)
class RequestTopic:
    """A footage request, or what was said of it later, in one cell."""

    cell: str
    requester: str
    slot: int

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/areas/{self.cell}/requests/{self.requester}/{self.slot}")


@dataclass(frozen=True, slots=True)
class UploadTopic:
    """One message of the transfer of one part."""

    requester: str
    device: str
    disclosure: str
    part: int
    verb: UploadVerb | ChunkVerb

    def __str__(self) -> str:
        path = f"{self.requester}/{self.device}/{self.disclosure}-{self.part}/{self.verb.value}"
        return _checked(f"{_ROOT}/up/{path}")


@dataclass(frozen=True, slots=True)
class ReceiptTopic:
    """Receipts for one disclosure of one device."""

    device: str
    disclosure: str

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/receipts/{self.device}/{self.disclosure}")


@dataclass(frozen=True, slots=True)
class BulletinTopic:
    """One bulletin, in one cell."""

    cell: str
    requester: str
    slot: int

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/areas/{self.cell}/bulletins/{self.requester}/{self.slot}")


@dataclass(frozen=True, slots=True)
class TopicSender:
    """Who said something to the cell (requests and bulletins apart), or which disclosure a receipt is for."""

    name: str
    is_receipt: bool


Topic = RequestTopic | UploadTopic | ReceiptTopic | BulletinTopic


def cell_of(lat: float, lon: float) -> str:
    """The cell a place lies in.  The north pole and 180° east belong to the last row and column."""
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise FormatError("This is no place on Earth.", remedy="Latitude is -90 to 90, longitude -180 to 180 degrees.")
    row = min((e7(lat) + 90 * E7) // _CELL_E7, _ROWS - 1)
    column = min((e7(lon) + 180 * E7) // _CELL_E7, _COLUMNS - 1)
    return f"{row}-{column}"


def cells_of(area: Area) -> tuple[str, ...]:
    """Every cell the bounds of `area` touch, south-west first."""
    bounds = area.bounds
    corners = [(lat, lon) for lat in (bounds.south, bounds.north) for lon in (bounds.west, bounds.east)]
    # An area is far smaller than a cell, so no cell lies between those of its corners.
    return tuple(dict.fromkeys(cell_of(lat, lon) for lat, lon in corners))


def cell_filter(cell: str) -> str:
    """The MQTT topic filter for every request and every bulletin in `cell`."""
    if not _is_cell(cell):
        raise FormatError(f"{cell!r} is no cell.")
    return f"{_ROOT}/areas/{cell}/+/+/+"


def parse_topic(topic: str) -> Topic:
    """`topic` as one of the four shapes.  Raises `FormatError` for everything else; `str()` gives `topic` back."""
    parsed = None
    if len(topic.encode("utf-8", "surrogatepass")) <= MAX_TOPIC_BYTES:
        parsed = _parse(topic.split("/"))
    if parsed is None:
        raise FormatError("This is none of Doorward's topics.")
    return parsed


def _parse(levels: list[str]) -> Topic | None:
    match levels:
        case ["doorward", "v1", "areas", cell, kind, requester, slot]:
            return _parse_in_cell(cell, kind, requester, slot)
        case ["doorward", "v1", "receipts", device, disclosure]:
            named = _KEY_ID.fullmatch(device) and _HEX_ID.fullmatch(disclosure)
            return ReceiptTopic(device, disclosure) if named else None
        case ["doorward", "v1", "up", requester, device, part, verb]:
            return _parse_upload(requester, device, part, verb)
    return None


def sender_of(topic: str) -> TopicSender:
    """Whose turn `topic` counts for, without looking whether it is one of ours: a flood is sorted before it is read."""
    match topic.split("/"):
        case [_, _, "areas", _, kind, requester, *_]:
            return TopicSender(f"{kind}/{requester}", is_receipt=False)
        case [_, _, "receipts", _, disclosure]:
            return TopicSender(disclosure, is_receipt=True)
    return TopicSender("", is_receipt=False)


def _parse_in_cell(cell: str, kind: str, requester: str, slot: str) -> RequestTopic | BulletinTopic | None:
    if not (_is_cell(cell) and _REQUESTER.fullmatch(requester) and _SLOT.fullmatch(slot)):
        return None
    if kind == "requests" and int(slot) < REQUEST_SLOTS:
        return RequestTopic(cell, requester, int(slot))
    if kind == "bulletins" and int(slot) < BULLETIN_SLOTS:
        return BulletinTopic(cell, requester, int(slot))
    return None


def _parse_upload(requester: str, device: str, part: str, verb: str) -> UploadTopic | None:
    numbered = _PART.fullmatch(part)
    action = _parse_verb(verb)
    if not (_REQUESTER.fullmatch(requester) and _KEY_ID.fullmatch(device) and numbered and action):
        return None
    number = int(numbered[2])
    return UploadTopic(requester, device, numbered[1], number, action) if number <= MAX_PARTS else None


def _parse_verb(verb: str) -> UploadVerb | ChunkVerb | None:
    chunk = _CHUNK.fullmatch(verb)
    if chunk:
        offset = int(chunk[1])
        return ChunkVerb(offset, chunk[2]) if offset <= MAX_INTEGER else None
    return next((plain for plain in UploadVerb if plain.value == verb), None)


def _is_cell(text: str) -> bool:
    numbers = _CELL.fullmatch(text)
    return numbers is not None and int(numbers[1]) < _ROWS and int(numbers[2]) < _COLUMNS


def _checked(topic: str) -> str:
    """`topic`, if it is one: a slash or a wildcard in a part would be a level too many or a part of another form."""
    parse_topic(topic)
    return topic
