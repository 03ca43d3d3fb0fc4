"""Pages of a cell's digest: the messages that a broker retains for a cell, newest first, in bounded pieces.

    <number of pages>\\n
    requests/<requester>/<slot> <length>\\n
    <the message>
    bulletins/<requester>/<slot> <length>\\n
    <the message>
    …

The operator's digest service writes them; a device that connects reads a page at a time instead of all retained
messages. A page vouches for nothing: each message in it has its requester's signature. PROTOCOL.md section 9. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError
from agent.wire.topics import BULLETIN_SLOTS, DIGEST_PAGES, REQUEST_SLOTS

__all__ = ["MAX_PAGE_BYTES", "DigestPage", "read_page", "write_page"]

MAX_PAGE_BYTES: Final = 15 * 1024
"""With topic and frame below the 16 KiB of an inbound MQTT packet."""
_HEAD: Final = re.compile(rb"([1-9][0-9]{0,3})\n")
_ITEM: Final = re.compile(
    rb"((requests|bulletins)/[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?/(0|[1-9][0-9]?)) ([1-9][0-9]{0,4})\n"
)


@dataclass(frozen=True, slots=True)
class DigestPage:
    """`pages`: how many the digest has. `messages`: the last three levels of each topic, and the message."""

    pages: int
    messages: tuple[tuple[str, bytes], ...]


def write_page(pages: int, messages: Sequence[tuple[str, bytes]]) -> bytes:
    """Raises `FormatError` for a page that no device would read."""
    data = b"%d\n" % pages + b"".join(item(path, message) for path, message in messages)
    read_page(data)
    return data


def item(path: str, message: bytes) -> bytes:
    """Returns the bytes of one message in a page."""
    return f"{path} {len(message)}\n".encode() + message


def read_page(data: bytes) -> DigestPage:
    """Raises `FormatError` unless the whole page has this form."""
    head = _HEAD.match(data)
    if len(data) > MAX_PAGE_BYTES or head is None or int(head[1]) > DIGEST_PAGES:
        raise FormatError("This is no page of a cell's digest.")
    found, at = [], head.end()
    while at < len(data):
        named = _ITEM.match(data, at)
        if named is None or int(named[3]) >= (REQUEST_SLOTS if named[2] == b"requests" else BULLETIN_SLOTS):
            raise FormatError("This page of a cell's digest names no message.")
        at = named.end() + int(named[4])
        if at > len(data):
            raise FormatError("This page of a cell's digest is cut.")
        found.append((named[1].decode(), data[named.end() : at]))
    return DigestPage(int(head[1]), tuple(found))
