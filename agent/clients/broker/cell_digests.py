"""Lays out what a broker retains for each cell in the pages of its digest.

Requesters take turns, and the newest message of each comes first. So the first pages have the newest message of each
requester, however many messages another one has left. The newest is the one with the highest `seq`, which is read
without its signature: a requester who lies about it changes the order of its own messages only. Pure: the service
(`digest_service`) reads and publishes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from agent.wire.cell_digest import MAX_PAGE_BYTES, item, write_page
from agent.wire.envelope import REQUEST_ENVELOPE_LIMIT_BYTES
from agent.wire.topics import DIGEST_PAGES, BulletinTopic, RequestTopic

__all__ = ["CellDigests"]

_HEAD_BYTES: Final = len(b"9999\n")


@dataclass(slots=True)
class _Retained:
    message: bytes
    seq: int
    number: int
    """Grows with each message that comes."""
    reading: int
    """Number of the last reading of its slot that found it."""


class CellDigests:
    """The retained messages of all cells of one broker."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[RequestTopic | BulletinTopic, _Retained]] = {}
        self._count = 0

    def put(self, topic: RequestTopic | BulletinTopic, message: bytes, reading: int) -> bool:
        """Keeps a message, or forgets it if it is empty. Returns True if something changed."""
        cell = self._cells.setdefault(topic.cell, {})
        held = cell.get(topic)
        # An empty retained message clears a topic (MQTT 5, section 3.3.1.3). A message that no device would read has no
        # place in a digest.
        if not message or len(message) > REQUEST_ENVELOPE_LIMIT_BYTES:
            return cell.pop(topic, None) is not None
        if held is not None and held.message == message:
            held.reading = reading
            return False
        self._count += 1
        cell[topic] = _Retained(message, _claimed_seq(message), self._count, reading)
        return True

    def forget_unread(self, kind: type[RequestTopic] | type[BulletinTopic], slot: int, reading: int) -> set[str]:
        """Forgets messages of a slot that the broker no longer retains: the last two readings did not find them.
        Returns their cells."""
        changed = set()
        for name, cell in self._cells.items():
            for topic, held in list(cell.items()):
                if isinstance(topic, kind) and topic.slot == slot and held.reading < reading - 1:
                    del cell[topic]
                    changed.add(name)
        return changed

    def count(self) -> tuple[int, int]:
        """Returns the number of cells and of messages."""
        return len(self._cells), sum(map(len, self._cells.values()))

    def pages(self, cell: str) -> list[bytes]:
        """Returns the pages of a cell, at least one."""
        pages: list[list[tuple[str, bytes]]] = [[]]
        room = MAX_PAGE_BYTES - _HEAD_BYTES
        for topic, message in self._in_turns(cell):
            path = "/".join(str(topic).split("/")[-3:])
            needed = len(item(path, message))
            if needed > room:
                pages.append([])
                room = MAX_PAGE_BYTES - _HEAD_BYTES
            pages[-1].append((path, message))
            room -= needed
        del pages[DIGEST_PAGES:]
        return [write_page(len(pages), page) for page in pages]

    def _in_turns(self, cell: str) -> Iterator[tuple[RequestTopic | BulletinTopic, bytes]]:
        of_sender: dict[str, list[tuple[RequestTopic | BulletinTopic, _Retained]]] = {}
        for topic, held in self._cells.get(cell, {}).items():
            of_sender.setdefault(topic.requester, []).append((topic, held))
        newest_first = [
            sorted(each, key=lambda found: (-found[1].seq, -found[1].number)) for each in of_sender.values()
        ]
        for turn in zip_longest(*newest_first):
            for topic, held in sorted((each for each in turn if each), key=lambda found: -found[1].number):
                yield topic, held.message


def _claimed_seq(message: bytes) -> int:
    try:
        seq = json.loads(base64.b64decode(json.loads(message)["payload"]))["seq"]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        return 0
    return seq if isinstance(seq, int) else 0
