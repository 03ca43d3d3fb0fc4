"""Pages of a cell's digest: PROTOCOL.md, section 9."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.second_reader.json_once import RefusedError, refuse_unless

LARGEST = 15_360
SLOTS = {"requests": 64, "bulletins": 16}


class Page(NamedTuple):
    pages: int
    messages: list[tuple[str, bytes]]


def number(text: str, most: int, least: int = 0) -> int:
    refuse_unless(re.fullmatch("0|[1-9][0-9]{0,8}", text, re.ASCII) is not None, "a number")
    refuse_unless(least <= int(text) <= most, "a number's bounds")
    return int(text)


def line(data: bytes) -> tuple[str, bytes]:
    text, end, rest = data.partition(b"\n")
    refuse_unless(bool(end), "a line")
    try:
        return text.decode("ascii"), rest
    except UnicodeDecodeError as error:
        raise RefusedError("a line") from error


def read(data: bytes) -> Page:
    refuse_unless(len(data) <= LARGEST, "its length")
    text, rest = line(data)
    pages, messages = number(text, 9_999, 1), []
    while rest:
        text, rest = line(rest)
        path, _, length = text.partition(" ")
        size = number(length, LARGEST, 1)
        kind, *names = path.split("/")
        refuse_unless(kind in SLOTS and len(names) == 2, "a path")
        refuse_unless(re.fullmatch("[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", names[0]) is not None, "a requester")
        number(names[1], SLOTS[kind] - 1)
        refuse_unless(len(rest) >= size, "a message")
        messages.append((path, rest[:size]))
        rest = rest[size:]
    return Page(pages, messages)
