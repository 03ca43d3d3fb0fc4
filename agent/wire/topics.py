"""MQTT topics: nine shapes, none of which addresses one home.

    doorward/v1/areas/<cell>/requests/<requester>/<slot>                       requester → doors, retained
    doorward/v1/areas/<cell>/bulletins/<requester>/<slot>                      requester → doors, retained
    doorward/v1/up/<requester>/<device>/<disclosure>-<part>/<verb>             device → requester
    doorward/v1/receipts/<device>/<disclosure>                                 requester → device
    doorward/v1/trust/<root>/<slot>                                            root → doors, requesters, retained
    doorward/v1/trust/<root>/index                                             root → doors, retained
    doorward/v1/brokers/<root>/<slot>                                          root → requesters, retained
    doorward/v1/areas/<cell>/digest/<page>                                     operator → doors, retained

`<verb>` is `init`, `<offset>-<sha256 of the chunk>`, `fin` or `abort`: the grammar of EMQX's file transfer over MQTT. A
topic has at most seven levels and 256 bytes, so that managed brokers accept it. A device subscribes to all topics of
its cell and of all roots, and filters locally: a filter for each root or requester would show the broker which roots
the owner trusts, and when that changes. PROTOCOL.md section 9 has the cells, the slots and the reasons.
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
from agent.wire.trust_package import DIRECTORY_SLOTS, TRUST_SLOTS

__all__ = [
    "ANONYMOUS",
    "BULLETIN_SLOTS",
    "DIGEST_PAGES",
    "HEALTH_FILTER",
    "MAX_TOPIC_BYTES",
    "REQUEST_SLOTS",
    "TRUST_FILTER",
    "TRUST_PIECES_FILTER",
    "BrokersTopic",
    "BulletinTopic",
    "ChunkVerb",
    "DigestTopic",
    "HealthTopic",
    "ReceiptTopic",
    "RequestTopic",
    "Topic",
    "TopicClass",
    "TopicSender",
    "TrustIndexTopic",
    "TrustTopic",
    "UploadTopic",
    "UploadVerb",
    "brokers_filter",
    "cell_filter",
    "cell_of",
    "cell_place",
    "cells_of",
    "in_cell",
    "is_upload",
    "parse_topic",
    "requester_of",
    "sender_of",
    "topic_of",
    "trust_filter",
]

MAX_TOPIC_BYTES: Final = 256
ANONYMOUS: Final = "0" * 16
"""Placeholder for the device's key id in the topics of a tip. No key has this id, and each device may publish under
it."""
_ROOT: Final = "doorward/v1"
_UPLOADS: Final = f"{_ROOT}/up/"
REQUEST_SLOTS: Final = 64
BULLETIN_SLOTS: Final = 16
"""Retained messages a broker keeps of one requester in one cell.  The access list names each (config/mosquitto)."""
DIGEST_PAGES: Final = 9_999
HEALTH_FILTER: Final = f"{_ROOT}/health/+"
TRUST_FILTER: Final = f"{_ROOT}/trust/+/index"
TRUST_PIECES_FILTER: Final = f"{_ROOT}/trust/+/+"
"""The indexes of the packages of all roots. Each device subscribes to it, so a subscription does not show whom its
owner trusts."""
_ALL_OF_A_CELL: Final = "/+/+/+"
_CELL_E7: Final = E7 // 2
_ROWS: Final = 360
_COLUMNS: Final = 720

# No number has a leading zero, so each message has one topic.
_NUMBER = r"(0|[1-9][0-9]{0,15})"
_CELL: Final = re.compile(r"(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})")
_REQUESTER: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_CERTIFICATE: Final = re.compile(rf"({_REQUESTER.pattern})(?:\.[a-z0-9](?:[a-z0-9-]{{0,29}}[a-z0-9])?)?")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")
_HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
_CHUNK: Final = re.compile(_NUMBER + r"-([0-9a-f]{64})")
_PAGE: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_SLOT: Final = re.compile(r"0|[1-9][0-9]?")
_PART: Final = re.compile(r"([0-9a-f]{32})-" + _NUMBER)


class UploadVerb(enum.Enum):
    """Effect of an upload message that carries no chunk."""

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
    """A footage request, or a later message about it, in one cell."""

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
        return _checked(f"{_UPLOADS}{path}")


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
class TrustTopic:
    """One chunk of a root's package."""

    root: str
    slot: int

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/trust/{self.root}/{self.slot}")


@dataclass(frozen=True, slots=True)
class TrustIndexTopic:
    """The index of a root's package: what a device has yet to read of it."""

    root: str

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/trust/{self.root}/index")


@dataclass(frozen=True, slots=True)
class BrokersTopic:
    """One chunk of a root's broker directory, for requesters."""

    root: str
    slot: int

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/brokers/{self.root}/{self.slot}")


@dataclass(frozen=True, slots=True)
class DigestTopic:
    """One page of the digest of a cell."""

    cell: str
    page: int

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/areas/{self.cell}/digest/{self.page}")


@dataclass(frozen=True, slots=True)
class HealthTopic:
    """The report of a doorbell's health to its installer."""

    device: str

    def __str__(self) -> str:
        return _checked(f"{_ROOT}/health/{self.device}")


class TopicClass(enum.Enum):
    """Messages of one class cannot delay those of another."""

    RECEIPTS = "receipts"
    TRUST = "trust"
    CELL = "cell"


@dataclass(frozen=True, slots=True)
class TopicSender:
    """Sender of a message to the cell (requests and bulletins apart), the disclosure of a receipt, or a root."""

    name: str
    kind: TopicClass


Topic = (
    RequestTopic
    | UploadTopic
    | ReceiptTopic
    | BulletinTopic
    | TrustTopic
    | TrustIndexTopic
    | BrokersTopic
    | DigestTopic
    | HealthTopic
)


def cell_of(lat: float, lon: float) -> str:
    """Returns the cell of a place. The north pole and 180° east belong to the last row and column."""
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise FormatError(
            "These coordinates are out of range.", remedy="Latitude is -90 to 90, longitude -180 to 180 degrees."
        )
    row = min((e7(lat) + 90 * E7) // _CELL_E7, _ROWS - 1)
    column = min((e7(lon) + 180 * E7) // _CELL_E7, _COLUMNS - 1)
    return f"{row}-{column}"


def cells_of(area: Area) -> tuple[str, ...]:
    """Returns each cell that the bounds of `area` touch, south-west first."""
    bounds = area.bounds
    corners = [(lat, lon) for lat in (bounds.south, bounds.north) for lon in (bounds.west, bounds.east)]
    # An area is far smaller than a cell, so the corners' cells are all it touches.
    return tuple(dict.fromkeys(cell_of(lat, lon) for lat, lon in corners))


def cell_place(cell: str) -> tuple[int, int]:
    """Returns row (from the south pole) and column (from 180° west) of a cell. Raises `FormatError`."""
    if not _is_cell(cell):
        raise FormatError(f"{cell!r} is not a cell.")
    row, _, column = cell.partition("-")
    return int(row), int(column)


def cell_filter(cell: str) -> str:
    """Returns the MQTT topic filter for all requests and bulletins in `cell`."""
    if not _is_cell(cell):
        raise FormatError(f"{cell!r} is not a cell.")
    return f"{_ROOT}/areas/{cell}{_ALL_OF_A_CELL}"


def trust_filter(root: str) -> str:
    """Returns the filter for the package of one root and its index. Requesters use it: each of their messages names
    their root."""
    return f"{_ROOT}/trust/{root}/+"


def brokers_filter(root: str) -> str:
    """Returns the filter for the broker directory of one root."""
    return f"{_ROOT}/brokers/{root}/+"


def in_cell(filter_of_cell: str, path: str) -> str:
    """Returns the topic at `path` (`digest/0`, `requests/<requester>/<slot>`) of the cell with this filter."""
    return f"{filter_of_cell.removesuffix(_ALL_OF_A_CELL)}/{path}"


def parse_topic(topic: str) -> Topic:
    """Parses `topic` as one of the nine shapes. Raises `FormatError` for all others. `str()` gives `topic` back."""
    parsed = topic_of(topic)
    if parsed is None:
        raise FormatError("This is not a Doorward topic.")
    return parsed


def topic_of(text: str) -> Topic | None:
    """Returns the same, or None for a text of no shape."""
    # A topic from the network may hold half a surrogate pair, which a strict encoder refuses with another error.
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        return None
    return _parse(text.split("/"))


def _parse(levels: list[str]) -> Topic | None:
    match levels:
        case ["doorward", "v1", "areas", cell, kind, requester, slot]:
            return _parse_in_cell(cell, kind, requester, slot)
        case ["doorward", "v1", "areas", cell, "digest", page]:
            is_page = _is_cell(cell) and _PAGE.fullmatch(page) and int(page) < DIGEST_PAGES
            return DigestTopic(cell, int(page)) if is_page else None
        case ["doorward", "v1", "receipts", device, disclosure]:
            is_receipt = _KEY_ID.fullmatch(device) and _HEX_ID.fullmatch(disclosure)
            return ReceiptTopic(device, disclosure) if is_receipt else None
        case ["doorward", "v1", "health", device]:
            return HealthTopic(device) if _KEY_ID.fullmatch(device) else None
        case ["doorward", "v1", "trust", root, "index"]:
            return TrustIndexTopic(root) if _KEY_ID.fullmatch(root) else None
        case ["doorward", "v1", "trust", root, slot]:
            is_trust = _KEY_ID.fullmatch(root) and _SLOT.fullmatch(slot) and int(slot) < TRUST_SLOTS
            return TrustTopic(root, int(slot)) if is_trust else None
        case ["doorward", "v1", "brokers", root, slot]:
            is_part = _KEY_ID.fullmatch(root) and _SLOT.fullmatch(slot) and int(slot) < DIRECTORY_SLOTS
            return BrokersTopic(root, int(slot)) if is_part else None
        case ["doorward", "v1", "up", requester, device, part, verb]:
            return _parse_upload(requester, device, part, verb)
    return None


def is_upload(topic: str) -> bool:
    """Returns True for the topic of an upload, before its form is checked: a receiver sorts all that waits by it."""
    return topic.startswith(_UPLOADS)


def sender_of(topic: str) -> TopicSender:
    """Returns the sender to which `topic` counts, before its form is checked: a flood is sorted before it is
    read."""
    match topic.split("/"):
        case [_, _, "areas", _, kind, requester, *_]:
            return TopicSender(f"{kind}/{requester}", TopicClass.CELL)
        case [_, _, "receipts", _, disclosure]:
            return TopicSender(disclosure, TopicClass.RECEIPTS)
        case [_, _, "trust", root, *_]:
            return TopicSender(root, TopicClass.TRUST)
    return TopicSender("", TopicClass.CELL)


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
    """Returns `topic` if it parses. A slash or a wildcard in a part would add a level or change the shape."""
    parse_topic(topic)
    return topic


def requester_of(common_name: str) -> str:
    """Returns the requester that a certificate with this common name acts for: the part before the dot.

    `rijnstad-police.desk-2` is a worker of `rijnstad-police`. A requester id has no dot, so no worker's name is one.
    Raises `FormatError` for another name, and for the form of a device's key id.
    """
    found = _CERTIFICATE.fullmatch(common_name)
    # The name is also the MQTT client id. One in the form of a key id could take over a doorbell's session.
    if found is None or _KEY_ID.fullmatch(found[1]):
        raise FormatError(
            f"{common_name!r} is not the name of a requester's certificate.",
            remedy="Use its id, or its id, a dot and a worker's name: rijnstad-police.desk-2. "
            "Each part has lowercase letters, digits and inner hyphens (32 and 31 at most). A key id is no such name.",
        )
    return found[1]
