"""News of a requester's root over the broker: the package with its list, and the broker directory that the list names.

A broker may hold back, repeat, mix or forge these messages. So chunks are joined by the hash that they name. A package
counts only if the root's keys signed it, if it has not ended, and if nothing newer was seen (`KnownRoots.hear`).
A list that names another directory waits until that directory is whole. Messages of different brokers never meet, so
one of them cannot disturb another: it could otherwise send junk under the hash that the other one's chunks name.

Used by one thread. Source: PROTOCOL.md, sections 7 and 9.
"""

from __future__ import annotations

import enum
import hashlib
from collections import OrderedDict
from typing import Final

from agent.clients.requester.roots import KnownRoots
from agent.errors import DoorwardError, FormatError
from agent.wire.topics import BrokersTopic, TrustTopic, brokers_filter, trust_filter
from agent.wire.trust_package import (
    DIRECTORY_SLOTS,
    MAX_CHUNK_BYTES,
    MAX_DIRECTORY_CHUNK_BYTES,
    TRUST_SLOTS,
    read_chunk,
)

__all__ = ["MOST_HELD", "JoinedChunks", "RootNews", "StoredNews", "number_of_chunks"]

MOST_HELD: Final = 4
"""Most packages or directories with chunks that are held at once. The oldest makes room."""


class StoredNews(enum.Enum):
    """The effect of a message."""

    NOTHING = "nothing"
    """It is incomplete, known already, or only states that nothing newer was signed."""
    LIST = "list"
    """A newer list is stored."""
    BROKERS = "brokers"
    """A newer list is stored, and this requester has other brokers to connect to."""


def number_of_chunks(data: bytes) -> int:
    """Returns the number of chunks that a chunk says there are. 0 if the bytes are no chunk."""
    try:
        return read_chunk(data).count
    except FormatError:
        return 0


class JoinedChunks:
    """Chunks by the hash of the whole and their slot."""

    def __init__(self, slots: int, most_bytes: int) -> None:
        self._slots = slots
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, dict[int, bytes]] = OrderedDict()

    def put(self, slot: int, data: bytes) -> bytes | None:
        """Holds a chunk, and returns the whole once its last chunk is here. Bytes that are no chunk are ignored."""
        try:
            chunk = read_chunk(data)
        except FormatError:
            return None
        sha256, count, piece = chunk.sha256, chunk.count, chunk.piece
        # Bounds the memory that a hostile broker can fill with chunks of one hash.
        if not slot < count <= self._slots or len(piece) > self._most_bytes:
            return None
        chunks = self._held.setdefault(sha256, {})
        self._held.move_to_end(sha256)
        chunks[slot] = piece
        if len(self._held) > MOST_HELD:
            self._held.popitem(last=False)
        if any(number not in chunks for number in range(count)):
            return None
        del self._held[sha256]
        whole = b"".join(chunks[number] for number in range(count))
        # A broker may mix chunks of several packages under one hash.
        return whole if hashlib.sha256(whole).hexdigest() == sha256 else None


class _Source:
    """Messages of one broker."""

    def __init__(self) -> None:
        self.packages = JoinedChunks(TRUST_SLOTS, MAX_CHUNK_BYTES)
        self.directories = JoinedChunks(DIRECTORY_SLOTS, MAX_DIRECTORY_CHUNK_BYTES)
        self.whole: OrderedDict[str, bytes] = OrderedDict()
        """Whole directories by their hash, until a package names one of them."""
        self.waiting: bytes | None = None
        """The newest package, if its directory has not come yet."""

    def put(self, topic: TrustTopic | BrokersTopic, data: bytes) -> bytes | None:
        """Takes one message. Returns a package that may be complete now."""
        if isinstance(topic, TrustTopic):
            return self.packages.put(topic.slot, data)
        directory = self.directories.put(topic.slot, data)
        if directory is None:
            return None
        self.whole[hashlib.sha256(directory).hexdigest()] = directory
        if len(self.whole) > MOST_HELD:
            self.whole.popitem(last=False)
        package, self.waiting = self.waiting, None
        return package


class RootNews:
    """News of the root that vouches for a requester."""

    def __init__(self, roots: KnownRoots, now_s: int) -> None:
        self._roots = roots
        self._mark = roots.mark()  # first: an import between the two is found by the next look
        self._root = roots.own_root()
        self._connected = self._brokers(now_s)
        """The brokers of the list with which this connection began. Another worker may store a newer one first."""
        self._sources: dict[str, _Source] = {}

    @property
    def filters(self) -> tuple[str, ...]:
        """Returns the filters to subscribe to. Empty if no root is known."""
        return (brokers_filter(self._root), trust_filter(self._root)) if self._root is not None else ()

    def look(self, now_s: int) -> StoredNews:
        """Looks for an import of a bundle, or for what another worker has stored. `filters` may be other ones then.

        Returns BROKERS if the requester has other brokers to connect to, and NOTHING otherwise.
        """
        mark = self._roots.mark()
        if mark == self._mark:
            return StoredNews.NOTHING
        self._mark = mark
        root = self._roots.own_root()
        if root != self._root:
            self._root = root
            self._sources.clear()
        return self._compared(StoredNews.NOTHING, now_s)

    def take(self, topic: TrustTopic | BrokersTopic, data: bytes, now_s: int, source: str = "") -> StoredNews:
        """Takes one message, which came from the broker `source`.

        Raises `DoorwardError` if the root's news is refused: nothing is stored then.
        """
        # Messages of the root before may still be on their way.
        if topic.root != self._root:
            return StoredNews.NOTHING
        sent = self._sources.setdefault(source, _Source())
        package = sent.put(topic, data)
        return self._hear(sent, package, now_s) if package is not None else StoredNews.NOTHING

    def _hear(self, sent: _Source, package: bytes, now_s: int) -> StoredNews:
        assert self._root is not None  # noqa: S101 — `take` compares it
        wanted = self._roots.named_directory(self._root, package, now_s)
        directory = sent.whole.get(wanted) if wanted else None
        if wanted and directory is None:
            sent.waiting = package
            return StoredNews.NOTHING
        is_new = self._roots.hear(self._root, package, now_s, directory)
        return self._compared(StoredNews.LIST if is_new else StoredNews.NOTHING, now_s)

    def _compared(self, otherwise: StoredNews, now_s: int) -> StoredNews:
        """Returns that there are other brokers to connect to, or else `otherwise`."""
        brokers = self._brokers(now_s)
        if brokers is None or brokers == self._connected:
            return otherwise
        self._connected = brokers
        return StoredNews.BROKERS

    def _brokers(self, now_s: int) -> object:
        """Returns the brokers to connect to, or None if there are none, for example in the requester's regions.

        The connection of before is worth more than none, so it stays then.
        """
        try:
            return self._roots.own_brokers(now_s)
        except DoorwardError:
            return None
