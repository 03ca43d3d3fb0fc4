"""Joins the chunks in which roots publish their packages, by root and slot.

A new package replaces the old one slot by slot, and a subscription brings the slots in any order. So the newest chunk
of each slot is held, and a package is whole once all its slots name the same hash and length. Its bytes are nothing
yet: the caller verifies them.

The memory is bounded. Chunks of roots that the owner chose stay; others wait here in case the owner chooses their root,
and the oldest of them make room first. Pure.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Container
from typing import Final

from agent.errors import FormatError
from agent.wire.topics import TrustTopic
from agent.wire.trust_package import MAX_CHUNK_BYTES, TRUST_SLOTS, PublishedChunk, read_chunk

__all__ = ["MOST_CHUNKS", "TrustChunks"]

MOST_CHUNKS: Final = 4 * TRUST_SLOTS
"""Four times what access lists let all roots of a broker retain together."""


class TrustChunks:
    """The newest chunk of each slot."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, int], PublishedChunk] = OrderedDict()

    def put(self, topic: TrustTopic, data: bytes, chosen: Container[str]) -> None:
        """Holds a chunk. `chosen`: the roots that the owner chose. Raises `FormatError` if it is none."""
        chunk = read_chunk(data)
        if not topic.slot < chunk.count <= TRUST_SLOTS or len(chunk.piece) > MAX_CHUNK_BYTES:
            raise FormatError("This is no chunk of a trust package.")
        key = (topic.root, topic.slot)
        self._held.pop(key, None)
        self._held[key] = chunk
        while len(self._held) > MOST_CHUNKS:
            del self._held[next((each for each in self._held if each[0] not in chosen), next(iter(self._held)))]

    def whole(self, root: str) -> bytes | None:
        """Returns the root's package, or None while a chunk is missing or belongs to another package."""
        first = self._held.get((root, 0))
        if first is None:
            return None
        chunks = [self._held.get((root, slot)) for slot in range(first.count)]
        found = [each for each in chunks if each is not None and each.sha256 == first.sha256]
        data = b"".join(each.piece for each in found)
        if len(found) < first.count or hashlib.sha256(data).hexdigest() != first.sha256:
            return None
        return data
