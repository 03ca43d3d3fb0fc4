"""Reads the packages of trust roots: of each only the pieces that it does not hold, and no more than a budget allows.

A root publishes its package in pieces, and beside them an index with the SHA-256 of each (`wire.trust_package`). The
uplink subscribes to the indexes of all roots, and this class asks for the pieces behind them, one by one:

- a piece only if none with its hash is held. So a reconnection after which nothing is new reads the indexes alone, and
  a change of the list leaves the root files where they are;
- a piece only while the budget has room for a whole one: `TRUST_BURST_BYTES` at a connection, and `_BYTES_PER_S` more,
  which are saved up. So a doorbell that is connected reads a list that changes at once, and within a minute also right
  after a connection that has used up the budget;
- first of the root with the fewest bytes to the end, those included that it has sent since the connection. So a root
  that publishes all the time cannot delay the revocation of another one. Indexes that name missing pieces cannot do it
  either: each such piece costs the root a place behind the others (`_MISSING_BYTES`).

The pieces of *all* roots are read and held, whichever the owner chose. The wishes depend on what was published and on
what this process has read, so they show nothing of the choice (promise 3). A package goes to the custodian as
chunks once it is whole, and again with each later index: the custodian may have been restarted. An index is short and
a package long, so a root gets no more than `_MOST_DELIVERED` of them to the custodian in `_AGAIN_NS`.

A device with a session at its broker also hears pieces as they are published, because a node of a RabbitMQ cluster does
not give what another node retains. They come before their index, so they are kept by their slots until it comes. So is
a piece that was asked for and is of another list: a root that publishes puts it there before its index.

Neither index nor pieces are trusted. The custodian verifies the package; a false index costs bytes of the budget.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.errors import FormatError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Bus
from agent.wire.topics import TrustIndexTopic, TrustTopic, topic_of
from agent.wire.trust_package import (
    MAX_CHUNK_BYTES,
    PackageIndex,
    PackagePiece,
    PublishedChunk,
    read_chunk,
    read_index,
)

__all__ = ["TRUST_BURST_BYTES", "TrustReading"]

TRUST_BURST_BYTES: Final = 48 << 10
"""Part of the 64 KiB at a connection. One page of requests has the rest."""
_BYTES_PER_S: Final = 1024.0
"""A change of a list with 40 regions has about 46 kB, and is read within a minute if the budget is used up."""
_SAVED_BYTES: Final = 128 << 10
"""The most that is saved up: a package of 120 KiB comes at once."""
_TOGETHER_NS: Final = seconds(30)
"""Pages and pieces share the budget of a connection for this long. Later, pages come one by one."""
_PIECE_BYTES: Final = MAX_CHUNK_BYTES + 512
"""With its line, topic and frame. A root may retain as much in each slot, whatever its index says."""
_MOST_ROOTS: Final = 8
"""Access lists have room for three. A broker may send any number of indexes."""
_GAP_S: Final = (0.2, 0.6)
"""Between two pieces. A managed service takes five subscriptions and their ends in a second."""
_ABSENT_NS: Final = seconds(2)
"""A broker sends a retained message right beside its answer to the subscription."""
_BEHIND_NS: Final = seconds(20)
"""While other messages come, a piece may wait behind them for this long, or without an answer."""
_DOUBT_NS: Final = seconds(1)
"""From the first look at which a piece is late to the one that gives it up: a process that stood still reads its line
between both."""
_DEFERRED_NS: Final = seconds(10)
"""Until a slot that lacked its piece is asked for again. It doubles each time."""
_LONGEST_DEFERRED_NS: Final = seconds(600)
_MISSING_BYTES: Final = 64 << 10
"""A missing piece counts for this much in the order of the roots: more than a list with 40 regions changes by. Waiting
for one takes 3 to 21 s, and its index has only 150 bytes."""
_AGAIN_NS: Final = seconds(10)
"""From one time that the custodian gets a package to the next, if the same index comes again."""
_MOST_DELIVERED: Final = 3
"""Packages of one root in `_AGAIN_NS`. The newest of more comes afterwards. Each has up to 180 KiB, and its signatures
are verified."""


@dataclass(slots=True)
class _Root:
    """The newest index of a root, and its pieces."""

    index: PackageIndex
    pieces: dict[str, bytes] = field(default_factory=dict)
    """Those that the index names, by their hash."""
    former: dict[str, bytes] = field(default_factory=dict)
    """Those of the last whole package that the index does not name. A broker that was killed may come back with an
    older index, until the root puts the newer one back."""
    received_bytes: int = 0
    """Since the connection."""
    deferred_times: int = 0
    deferred_until_ns: int = 0
    """A slot had no piece or another one. The next index ends it, and a piece that comes. So does time, because a
    process that stood still may have judged too early."""
    is_delivered: bool = False
    """The custodian got the package of this index."""
    is_due_later: bool = False
    """It gets the package later, because it got others of this root just now."""
    delivered_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_MOST_DELIVERED))
    """When it got packages of this root, the newest last."""

    @property
    def missing(self) -> list[tuple[int, PackagePiece]]:
        """Slots and pieces, from the front."""
        return [(slot, each) for slot, each in enumerate(self.index.pieces) if each.sha256 not in self.pieces]


class TrustReading(ThreadOwned):
    """One device's reading. All methods run in the uplink's thread. `uniform`: the source of chance. `hears_pieces`:
    they also come as they are published."""

    WRITTEN_BY: ClassVar = dict.fromkeys(
        ("_up", "_level", "_seen_ns", "_asked", "_is_late", "_asked_ns", "_absent_ns", "_due_ns", "_connected_ns"),
        AttributeOwner.UPLINK,
    )

    def __init__(self, bus: Bus, uniform: Callable[[float, float], float], *, hears_pieces: bool = False) -> None:
        self._bus = bus
        self._uniform = uniform
        self._hears_pieces = hears_pieces
        self._early: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        """Root → slot → the newest piece that no index has named yet. The root that sent last is last."""
        self._roots: OrderedDict[str, _Root] = OrderedDict()
        """By id. The root of the newest index is last."""
        self._up = False
        self._level = float(TRUST_BURST_BYTES)
        self._seen_ns: int | None = None
        self._charged: set[str] = set()
        """Roots of which an index has come since the connection."""
        self._asked: TrustTopic | None = None
        self._is_late = False
        """The piece that was asked for was missing at the last look."""
        self._asked_ns = self._absent_ns = self._due_ns = self._connected_ns = 0

    def connected(self, now: BootNs) -> None:
        self._up = True
        self._level, self._seen_ns, self._due_ns = float(TRUST_BURST_BYTES), now, now
        self._connected_ns = now
        self._charged.clear()
        for root in self._roots.values():
            root.received_bytes = 0

    def disconnected(self) -> None:
        """The broker forgets what was asked for, unless only the other connection has ended. The pieces stay."""
        # If only the other connection has ended, this subscription would stay and bring the piece unasked.
        if self._asked is not None:
            self._bus.unsubscribe(str(self._asked))
        self._up, self._asked = False, None

    def subscribed(self, topic_filter: str, now: BootNs) -> None:
        if self._asked is not None and topic_filter == str(self._asked):
            # A broker sends a retained message right after its SUBACK. Two seconds of silence mean that the slot is
            # empty.
            self._absent_ns = min(self._absent_ns, now + _ABSENT_NS)

    def heard(self, now: BootNs) -> None:
        """Something came. On a full line, the piece waits behind it."""
        if self._asked is not None:
            self._absent_ns = max(self._absent_ns, min(now + _ABSENT_NS, self._asked_ns + _BEHIND_NS))

    def cap_budget(self, room_bytes: float, now: BootNs) -> None:
        """Leaves no more room than a page has left of the budget that both have at a connection."""
        if now - self._connected_ns < _TOGETHER_NS:
            self._level = min(self._level, room_bytes)

    def take(self, topic: str, payload: bytes, now: BootNs) -> tuple[tuple[str, bytes], ...] | None:
        """Takes an index or a piece. Returns the chunks of a package that is whole now, for the custodian.

        Returns None if the message is neither.
        """
        match topic_of(topic):
            case TrustIndexTopic(root=root):
                # Before it is parsed: a malformed index has used the line, too.
                self._charge(root, len(topic) + len(payload), now)
                try:
                    index = read_index(payload)
                except FormatError:
                    return None
                return self._take_index(root, index, len(topic) + len(payload), now)
            case TrustTopic() as where:
                return self._take_piece(where, payload, len(topic) + len(payload), now)
            case _:
                return None

    def turn(self, now: BootNs) -> tuple[tuple[str, bytes], ...]:
        """Asks for a piece if one is due. Returns the chunks of packages that the custodian was to get later."""
        self._refill(now)
        if self._asked is not None and now >= self._absent_ns:
            # Only a second look gives it up. A process that stood still for seconds has the piece unread in its socket.
            if self._is_late:
                self._defer_root(self._asked, now)
                self._drop_asked(now)
            else:
                self._is_late, self._absent_ns = True, now + _DOUBT_NS
        following = self._next_piece()
        # The index may lie about sizes, so there must be room for the largest piece.
        if self._asked is None and following is not None and now >= self._due_ns and self._level >= _PIECE_BYTES:
            self._asked, self._is_late = following, False
            self._asked_ns, self._absent_ns = now, now + _BEHIND_NS
            self._bus.read_retained(str(following))
        due = [
            (name, root) for name, root in self._roots.items() if root.is_due_later and _next_delivery_ns(root) <= now
        ]
        return tuple(chunk for name, root in due for chunk in self._chunks_if_whole(name, root, now))

    def is_busy(self) -> bool:
        """Returns True while pieces are read. False if there are none to read, or no room for one."""
        return self._asked is not None or (self._next_piece() is not None and self._level >= _PIECE_BYTES)

    def deadline_ns(self, now: BootNs) -> BootNs | None:
        """Returns the moment of the next `turn` that does something, if nothing comes meanwhile."""
        due_later = [_next_delivery_ns(root) for root in self._roots.values() if root.is_due_later]
        reads_ns = self._reads_ns(now)
        return BootNs(max(now, min([*due_later, *([] if reads_ns is None else [reads_ns])]))) if due_later else reads_ns

    def _reads_ns(self, now: BootNs) -> BootNs | None:
        if self._asked is not None:
            return BootNs(self._absent_ns)
        if self._next_piece() is None:
            deferred_ns = [each.deferred_until_ns for each in self._roots.values() if each.missing]
            return BootNs(max(now, min(deferred_ns))) if deferred_ns and self._up else None
        lacks = max(0.0, _PIECE_BYTES - self._level)
        return BootNs(max(self._due_ns, now + int(lacks / _BYTES_PER_S * NS_PER_S)))

    def _charge(self, name: str, size_bytes: int, now: BootNs) -> None:
        """Takes the first index of a root in a connection out of the budget."""
        # The first one is retained. Later ones are live, as new requests are: if they took room, a root that publishes
        # all the time would delay another one.
        if name not in self._charged and len(self._charged) < _MOST_ROOTS:
            self._charged.add(name)
            self._spend(size_bytes, now)

    def _take_index(
        self, name: str, index: PackageIndex, size_bytes: int, now: BootNs
    ) -> tuple[tuple[str, bytes], ...]:
        before = self._roots.get(name)
        if before is not None and before.index == index:
            root = before
            # A root publishes its index after its pieces, so a piece that was missing may be there now.
            root.deferred_until_ns = 0
        else:
            wanted = {each.sha256 for each in index.pieces}
            held = {_sha256(piece): piece for piece in self._early.pop(name, {}).values()}
            root = _Root(index)
            if before is not None:
                held |= before.former | before.pieces
                of_the_last = before.former if before.missing else before.pieces
                root.former = {sha256: piece for sha256, piece in of_the_last.items() if sha256 not in wanted}
                # Kept across indexes. Otherwise a root that changes its index all the time would always be the next
                # one.
                root.received_bytes, root.delivered_ns = before.received_bytes, before.delivered_ns
            root.pieces = {sha256: piece for sha256, piece in held.items() if sha256 in wanted}
        root.received_bytes += size_bytes
        self._roots[name] = root
        self._roots.move_to_end(name)
        # A broker may invent any number of roots. The root with the oldest index goes.
        if len(self._roots) > _MOST_ROOTS:
            self._roots.popitem(last=False)
        return self._chunks_if_whole(name, root, now)

    def _take_piece(
        self, where: TrustTopic, payload: bytes, size_bytes: int, now: BootNs
    ) -> tuple[tuple[str, bytes], ...]:
        self._spend(size_bytes, now)
        is_asked = where == self._asked
        if is_asked:
            self._drop_asked(now)
        try:
            piece = read_chunk(payload).piece
        except FormatError:
            piece = b""
        root = self._roots.get(where.root)
        if root is not None:
            root.received_bytes += size_bytes
        # Only the hash decides where it fits. Its line may name another list.
        sha256 = _sha256(piece)
        if root is None or all(sha256 != each.sha256 for _, each in root.missing):
            if root is not None and is_asked:
                self._defer_root(where, now)
            if (is_asked or self._hears_pieces) and (root is None or sha256 not in root.pieces):
                # While a root publishes, a slot holds the piece of the list whose index comes last.
                self._keep_early(where, piece)
            return ()
        root.pieces[sha256] = piece
        # It may be one that was given up, which a slow line brings later. The next one is asked for now.
        root.deferred_times = root.deferred_until_ns = 0
        return self._chunks_if_whole(where.root, root, now)

    def _keep_early(self, where: TrustTopic, piece: bytes) -> None:
        self._early.setdefault(where.root, {})[where.slot] = piece
        self._early.move_to_end(where.root)
        if len(self._early) > _MOST_ROOTS:
            self._early.popitem(last=False)

    @staticmethod
    def _chunks_if_whole(name: str, root: _Root, now: BootNs) -> tuple[tuple[str, bytes], ...]:
        """Returns the chunks for the custodian, nothing if a piece is missing or if it got them just now."""
        if root.missing or (root.is_delivered and now - root.delivered_ns[-1] < _AGAIN_NS):
            return ()
        root.is_due_later = now < _next_delivery_ns(root)
        if root.is_due_later:
            return ()
        root.is_delivered = True
        root.delivered_ns.append(now)
        index = root.index
        pieces = (PublishedChunk(index.sha256, len(index.pieces), root.pieces[each.sha256]) for each in index.pieces)
        return tuple((str(TrustTopic(name, slot)), each.to_bytes()) for slot, each in enumerate(pieces))

    def _next_piece(self) -> TrustTopic | None:
        """Returns the topic of the next piece, None if there is none to read."""
        now = self._seen_ns or 0
        waiting = [
            (root.received_bytes + sum(each.size_bytes for _, each in missing), name, missing[0][0])
            for name, root in self._roots.items()
            if root.deferred_until_ns <= now and (missing := root.missing)
        ]
        if not self._up or not waiting:
            return None
        _, name, slot = min(waiting)
        return TrustTopic(name, slot)

    def _defer_root(self, where: TrustTopic, now: BootNs) -> None:
        root = self._roots.get(where.root)
        if root is not None:
            # The missing piece costs its root a place. Otherwise indexes of 150 bytes could hold the line for seconds
            # each, at no cost.
            root.received_bytes += _MISSING_BYTES
            root.deferred_until_ns = now + min(_DEFERRED_NS << root.deferred_times, _LONGEST_DEFERRED_NS)
            root.deferred_times = min(root.deferred_times + 1, 8)

    def _drop_asked(self, now: BootNs) -> None:
        if self._asked is not None:
            self._bus.unsubscribe(str(self._asked))
        self._asked = None
        self._due_ns = now + int(self._uniform(*_GAP_S) * NS_PER_S)

    def _spend(self, size_bytes: int, now: BootNs) -> None:
        self._refill(now)
        self._level = max(0.0, self._level - size_bytes)

    def _refill(self, now: BootNs) -> None:
        if self._seen_ns is not None:
            gained = (now - self._seen_ns) / NS_PER_S * _BYTES_PER_S
            self._level = min(float(_SAVED_BYTES), self._level + gained)
        self._seen_ns = now


def _next_delivery_ns(root: _Root) -> int:
    """Returns when the custodian may get the next package of this root."""
    return root.delivered_ns[0] + _AGAIN_NS if len(root.delivered_ns) == _MOST_DELIVERED else 0


def _sha256(piece: bytes) -> str:
    return hashlib.sha256(piece).hexdigest()
