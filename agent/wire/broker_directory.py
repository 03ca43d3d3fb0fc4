"""The brokers of an area: which broker serves which cells, so that requesters connect only to those they need.

    trust bundle ── names the SHA-256 of ──▶ broker directory ── cell ──▶ one broker, or several

- A root's people sign the directory's hash inside their bundle. So a directory has the bundle's threshold, version and
  end, and needs no separate signature.
- Several brokers may serve one cell, because a dense cell can be split. Each doorbell is connected to one of them, so a
  message for the cell goes to all of them.
- A doorbell reads the hash and ignores it. Its broker is the one in its configuration.

Source: The Update Framework, version 1.0.33 (targets, named by hash in a signed list); PROTOCOL.md, "Broker
directory". Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from agent.errors import FormatError, RequestError
from agent.wire import strictjson
from agent.wire.area import Bounds
from agent.wire.fields import KeyId, Version1, distinct
from agent.wire.strictjson import Message, form
from agent.wire.topics import cell_of, cell_place

__all__ = [
    "DIRECTORY_LIMIT_BYTES",
    "MAX_BROKERS",
    "MAX_RANGES",
    "BrokerAddress",
    "BrokerDirectory",
    "CellBroker",
    "CellRange",
    "HostText",
    "directory_sha256",
    "open_directory",
]

DIRECTORY_LIMIT_BYTES: Final = 1024 * 1024
MAX_BROKERS: Final = 1024
MAX_RANGES: Final = 64

CellText = Annotated[str, form(r"^(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})\Z", "a cell, row-column")]
HostText = Annotated[
    str,
    form(
        r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,8}|[0-9a-f:]{2,39})\Z",
        "a host name in small letters, or an address",
    ),
]


@dataclass(frozen=True, slots=True, order=True)
class BrokerAddress:
    """Where requesters connect to a broker."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CellRange(Message, frozen=True):
    """A rectangle of cells, both corners included. It does not cross 180° east."""

    south_west: CellText
    north_east: CellText

    def __post_init__(self) -> None:
        (south, west), (north, east) = cell_place(self.south_west), cell_place(self.north_east)
        if south > north or west > east:
            raise FormatError("cells: a corner is on the wrong side.", remedy="Give south-west, then north-east.")

    def holds(self, cell: str) -> bool:
        row, column = cell_place(cell)
        (south, west), (north, east) = cell_place(self.south_west), cell_place(self.north_east)
        return south <= row <= north and west <= column <= east

    def touches(self, region: Bounds) -> bool:
        """Returns True if a cell of the range lies in the region, or partly."""
        first = cell_place(cell_of(region.south, region.west))
        last = cell_place(cell_of(region.north, region.east))
        (south, west), (north, east) = cell_place(self.south_west), cell_place(self.north_east)
        return south <= last[0] and first[0] <= north and west <= last[1] and first[1] <= east

    def overlaps(self, other: CellRange) -> bool:
        """Returns True if both have a cell in common."""
        (south, west), (north, east) = cell_place(self.south_west), cell_place(self.north_east)
        first, last = cell_place(other.south_west), cell_place(other.north_east)
        return south <= last[0] and first[0] <= north and west <= last[1] and first[1] <= east


class CellBroker(Message, frozen=True):
    """One broker and its cells: the doorbells there connect to it."""

    host: HostText
    port: Annotated[int, Meta(ge=1, le=65_535)]
    cells: Annotated[tuple[CellRange, ...], Meta(min_length=1, max_length=MAX_RANGES)]

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress(self.host, self.port)


class BrokerDirectory(Message, frozen=True):
    """All brokers of the doorbells that trust one root."""

    v: Version1
    root: KeyId
    """Key id of the root's name key: the directory of one root cannot be passed off as another's."""
    brokers: Annotated[tuple[CellBroker, ...], Meta(min_length=1, max_length=MAX_BROKERS)]

    def __post_init__(self) -> None:
        distinct("brokers", tuple(broker.address for broker in self.brokers))

    def brokers_of(self, cell: str) -> tuple[BrokerAddress, ...]:
        """Returns each broker that serves the cell, in the directory's order. Empty if none does."""
        return tuple(broker.address for broker in self.brokers if any(each.holds(cell) for each in broker.cells))

    def brokers_in(self, regions: Iterable[Bounds]) -> tuple[BrokerAddress, ...]:
        """Returns each broker that serves a cell in one of the regions, in the directory's order."""
        wanted = tuple(regions)
        return tuple(
            broker.address
            for broker in self.brokers
            if any(each.touches(region) for each in broker.cells for region in wanted)
        )


def directory_sha256(data: bytes) -> str:
    """Returns the hash by which a bundle names the directory with these bytes."""
    return hashlib.sha256(data).hexdigest()


def open_directory(data: bytes, root: str, sha256: str | None) -> BrokerDirectory:
    """Returns the directory that a bundle of `root` names by its hash.

    Raises `RequestError` if the bundle names none or another one, and `FormatError` if it is not a directory of that
    root.
    """
    if sha256 is None:
        raise RequestError(
            "The bundle of this root names no broker directory.",
            remedy="Get the root's newest bundle, or name one broker by its address.",
        )
    if len(data) > DIRECTORY_LIMIT_BYTES or directory_sha256(data) != sha256:
        raise RequestError(
            "The bundle of this root names another broker directory.",
            remedy="Get bundle and directory of the same day from the root.",
        )
    directory = strictjson.decode(data, BrokerDirectory, limit_bytes=DIRECTORY_LIMIT_BYTES)
    if directory.root != root:
        raise FormatError("root: this broker directory is of another root.")
    return directory
