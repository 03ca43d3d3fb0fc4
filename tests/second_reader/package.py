"""Packages of roots as they are published, with their index: PROTOCOL.md, section 9."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from tests.second_reader.digest import line, number
from tests.second_reader.json_once import refuse_unless

LARGEST_PIECE = 15_360
SLOTS = 12


class Index(NamedTuple):
    package: str
    pieces: list[tuple[str, int]]


def sha256(text: str) -> str:
    refuse_unless(re.fullmatch("[0-9a-f]{64}", text, re.ASCII) is not None, "a hash")
    return text


def read_index(data: bytes) -> Index:
    text, rest = line(data)
    package, pieces = sha256(text), []
    while rest:
        text, rest = line(rest)
        name, _, length = text.partition(" ")
        pieces.append((sha256(name), number(length, LARGEST_PIECE, 1)))
    refuse_unless(1 <= len(pieces) <= SLOTS, "the number of pieces")
    return Index(package, pieces)


def whole(index: Index, held: dict[str, bytes]) -> bytes | None:
    """The package, of pieces by their hash. None if one is missing."""
    if any(name not in held for name, _ in index.pieces):
        return None
    data = b"".join(held[name] for name, _ in index.pieces)
    return data if hashlib.sha256(data).hexdigest() == index.package else None


def piece(chunk: bytes) -> tuple[str, bytes]:
    """A piece with its hash, whatever the line before it says."""
    _, rest = line(chunk)
    return hashlib.sha256(rest).hexdigest(), rest
