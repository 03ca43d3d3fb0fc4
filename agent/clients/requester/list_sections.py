"""Splits the list of a root into sections by region, so that each broker and doorbell reads only its part.

    head, sections = split_list(entries)

A short list stays whole, in the signed bundle itself. Requesters of a large part of the country stay there, too,
because each doorbell needs them. The others come into sections: the cells of the list are cut in two, again and again,
where doorbells save most bytes. Requesters on both sides of a cut make other sections. Each requester is in one
section, which covers all cells in which it may ask. Pure. Decision 72.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.broker_directory import CellRange
from agent.wire.topics import cell_of, cell_place
from agent.wire.trust import NamedSection, RequesterEntry, TrustSection
from agent.wire.trust_package import MAX_SECTIONS

__all__ = ["WHOLE_BYTES", "split_list"]

WHOLE_BYTES: Final = 32 * 1024
"""A list up to this size stays whole. In base64 it leaves a third of a published package for root files."""
_NAME_BYTES: Final = 180
"""The name of a section in a package has this many bytes."""
_WIDE_BYTES: Final = 8 * 1024
"""Most for requesters of the whole country in the signed bundle. More of them come into sections that all need."""
_WIDE: Final = 4
"""A requester is one of the whole country if it covers a quarter of the cells between the outermost ones."""

Split = tuple[tuple[RequesterEntry, ...], tuple[tuple[NamedSection, bytes], ...]]


@dataclass(frozen=True, slots=True)
class _Box:
    """Rows and columns, from the first to the last."""

    south: int
    west: int
    north: int
    east: int

    @property
    def cells(self) -> int:
        return (self.north - self.south + 1) * (self.east - self.west + 1)


@dataclass(frozen=True, slots=True)
class _Placed:
    entry: RequesterEntry
    box: _Box
    size_bytes: int


def split_list(entries: Sequence[RequesterEntry]) -> Split:
    """Returns the requesters that the bundle itself lists, and the sections with the others, with their names.

    Raises `FormatError` if there are too many for one root.
    """
    placed = [_Placed(each, _box_of(each), len(strictjson.encode(each)) + 1) for each in entries]
    if sum(each.size_bytes for each in placed) <= WHOLE_BYTES:
        return tuple(entries), ()
    most = _around(each.box for each in placed).cells
    head: list[_Placed] = []
    local: list[_Placed] = []
    for each in placed:
        is_wide = each.box.cells * _WIDE >= most
        has_room = sum(other.size_bytes for other in head) + each.size_bytes <= _WIDE_BYTES
        (head if is_wide and has_room else local).append(each)
    made = sorted(
        (_section(group) for group in _groups(local, most)), key=lambda each: cell_place(each[0].cells.south_west)
    )
    return tuple(each.entry for each in head), tuple(made)


def _groups(placed: list[_Placed], cells: int) -> list[list[_Placed]]:
    """Cuts where doorbells save most, until one more section costs all of them more than the cut would save."""
    groups: list[list[_Placed]] = []
    best = [_best_cut(placed)] if placed else []
    while best:
        saved, whole, parts = best.pop(max(range(len(best)), key=lambda number: best[number][0]))
        has_room = len(groups) + len(best) + len(parts) <= MAX_SECTIONS
        if has_room and saved > (len(parts) - 1) * _NAME_BYTES * cells:
            best += [_best_cut(part) for part in parts]
        else:
            groups.append(whole)
    return groups


def _best_cut(placed: list[_Placed]) -> tuple[int, list[_Placed], list[list[_Placed]]]:
    """Returns the bytes that all cells together save by the best cut, the requesters, and its parts."""
    cuts = {(True, each.box.north) for each in placed} | {(False, each.box.east) for each in placed}
    parted = [_parts(placed, by_row, at) for by_row, at in sorted(cuts)]
    parts = min(parted, key=lambda found: sum(map(_read, found)))
    return _read(placed) - sum(map(_read, parts)), placed, parts


def _read(placed: list[_Placed]) -> int:
    """Returns the bytes that one doorbell in each cell of these requesters reads together."""
    return sum(each.size_bytes for each in placed) * _around(each.box for each in placed).cells


def _parts(placed: list[_Placed], by_row: bool, at: int) -> list[list[_Placed]]:
    """Returns the requesters on the near side, on the far side, and on both, without empty parts."""
    near: list[_Placed] = []
    far: list[_Placed] = []
    both: list[_Placed] = []
    for each in placed:
        first, last = (each.box.south, each.box.north) if by_row else (each.box.west, each.box.east)
        (near if last <= at else far if first > at else both).append(each)
    return [part for part in (near, far, both) if part]


def _section(group: list[_Placed]) -> tuple[NamedSection, bytes]:
    box = _around(each.box for each in group)
    cells = CellRange(south_west=f"{box.south}-{box.west}", north_east=f"{box.north}-{box.east}")
    try:
        data = strictjson.encode(TrustSection(v=1, requesters=tuple(each.entry for each in group)))
    except FormatError as error:
        raise FormatError(
            f"The {len(group)} requesters of one place are too many for one root.",
            remedy="Share them among several roots.",
        ) from error
    return NamedSection(cells=cells, sha256=hashlib.sha256(data).hexdigest()), data


def _box_of(entry: RequesterEntry) -> _Box:
    return _around(
        _Box(*cell_place(cell_of(low.lat, low.lon)), *cell_place(cell_of(high.lat, high.lon)))
        for low, high in ((region.south_west, region.north_east) for region in entry.regions)
    )


def _around(boxes: Iterable[_Box]) -> _Box:
    every = list(boxes)
    return _Box(
        min(each.south for each in every), min(each.west for each in every),
        max(each.north for each in every), max(each.east for each in every),
    )  # fmt: skip
