"""Reads what the broker retains for the cell, newest first and never more than a budget allows.

A broker may retain any number of messages for a cell. Its operator's digest service lays them out in pages
(`wire.cell_digest`), and this class decides when to ask for which:

- page 0 after each connection and at each round, then the others in turn, from where it stopped before;
- a page only while the budget has room for it: `BURST_BYTES` at a connection, and a page every `_PAGE_EVERY_S`.
  Packages of trust roots come first and take of the burst. They take nothing of the page that the connection and each
  `_PAGE_EVERY_S` after it have, because a root that publishes all the time would keep all requests away, and one with
  thousands of agencies would delay the newest ones by half a minute;
- a page only after the messages of the one before were handed over, at most `_PER_S` a second, and pages behind page 0
  only while no package of a trust root is read (`hold`). At a connection page 0 waits for packages too, at most 5 s.

The service lags by seconds, and longer if it was killed. So it may lay out a message after the first look that was
published before the connection. Therefore the subscription to page 0 stays for a minute, as far as the budget has room,
and each newer page 0 comes. If there was no room, `look_again` reads page 0 once more, before the rest of a round and
without room for it: older pages may have taken all of it, and newest requests must not be late for them.

A round is over after as many pages as the digest has. A reconnection goes on where the last one stopped, so that a
bad line reaches every page, too. If page 0 does not come, the broker has no digest: then it sends all messages of the
cell, as far as it retains them. A page may wait behind a flood. So while other messages come, page 0 is missing only
after 20 s, and if this process has read a digest of the cell, not before the line is free.

The wishes depend on the number of pages, the clock and chance, and never on a message. So they show nothing of the
owner's choice (promise 4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final

from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.errors import FormatError
from agent.mqtt.pacing import MessageRateLimiter
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Bus
from agent.wire.cell_digest import MAX_PAGE_BYTES, DigestPage, read_page
from agent.wire.topics import in_cell

__all__ = ["BURST_BYTES", "CellReading"]

BURST_BYTES: Final = 64 << 10
"""The most that is read at a reconnection: of a digest, less what was read of packages of trust roots (at most 48 KiB,
`trust_reading`). One page is read in any case."""
_PAGE_BYTES: Final = MAX_PAGE_BYTES + 512
"""With topic and frame."""
_PAGE_EVERY_S: Final = 30.0
_FOLLOW_NS: Final = seconds(60)
"""Time after a connection in which newer pages 0 come. A request must be heard within 60 s."""
_SETTLE_S: Final = 1.0
_SETTLE_MOST_NS: Final = seconds(5)
"""Packages of trust roots come first: a revoked key must not ask. Their indexes come within a second, and what has
changed since the last connection within five. A new doorbell may read on for minutes."""
_GAP_S: Final = (0.2, 1.0)
_ABSENT_NS: Final = seconds(2)
"""A broker sends a retained message right beside its answer to the subscription."""
_BEHIND_NS: Final = seconds(20)
"""While other messages come, a page may wait behind them for this long."""
_UNANSWERED_NS: Final = seconds(60)
_PER_S: Final = 20.0


class CellReading(ThreadOwned):
    """One device's reading. All methods run in the uplink's thread. `uniform`: the source of chance."""

    WRITTEN_BY: ClassVar = dict.fromkeys(
        (
            "_filter",
            "_asked",
            "_followed",
            "_follow_ns",
            "_asked_ns",
            "_page",
            "_absent_ns",
            "_heard_ns",
            "_has_digest",
            "_due_ns",
            "_rest",
            "_left",
            "_is_free",
            "_position",
            "_level",
            "_share",
            "_seen_ns",
            "_up",
            "_is_held",
            "_settled_ns",
        ),
        AttributeOwner.UPLINK,
    )

    def __init__(
        self,
        bus: Bus,
        cell_filter: str | None,
        uniform: Callable[[float, float], float],
        *,
        pages: Bus | None = None,
    ) -> None:
        """`pages`: the connection for pages, if it is not `bus`, which has the subscription to the cell."""
        self._bus = bus
        self._pages = bus if pages is None else pages
        self._filter = cell_filter
        self._uniform = uniform
        self._up = False
        self._is_held = False
        """Packages of trust roots are read."""
        self._settled_ns = 0
        """When page 0 waits no longer for them."""
        self._asked: str | None = None
        """Topic of the page that was asked for, which is page `_page`."""
        self._followed: str | None = None
        """Topic of page 0 while its newer ones come."""
        self._follow_ns = 0
        """When that ends."""
        self._page = 0
        self._asked_ns = 0
        self._absent_ns = 0
        self._heard_ns: int | None = None
        self._has_digest = False
        """Page 0 of this cell was read since the start."""
        self._due_ns: int | None = None
        """When to ask for a page. None: no round is in progress, or a page is on its way."""
        self._rest: int | None = None
        """Pages of this round behind page 0. None: page 0 has not come."""
        self._left: int | None = None
        """Pages of the round that a second look at page 0 interrupts. None: the page that is next begins a round."""
        self._is_free = False
        """The next page 0 needs no room, because it is the second look's."""
        self._position = 1
        self._level = float(BURST_BYTES)
        self._share = 0.0
        """Room of at most one page that only pages take."""
        self._seen_ns: int | None = None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._pace = MessageRateLimiter(_PER_S)

    def connected(self, now: BootNs) -> None:
        self._up = True
        self._level, self._share, self._seen_ns = float(BURST_BYTES), float(_PAGE_BYTES), now
        self._follow_ns, self._settled_ns = now + _FOLLOW_NS, now + _SETTLE_MOST_NS
        self._begin(now)

    def disconnected(self) -> None:
        """The broker forgets what was asked for, unless only the other connection has ended. The position stays."""
        self._drop_asked()
        self._drop_followed()
        self._up, self._due_ns = False, None

    def again(self, now: BootNs) -> None:
        """Begins a round, unless one is in progress: pages far behind would never be read otherwise."""
        if self._up and self._asked is None and self._due_ns is None:
            self._begin(now)

    def look_again(self, now: BootNs) -> bool:
        """Asks for page 0 before the rest of the round. Without a digest nothing came late, and while newer pages come
        nothing was missed. Returns False if a page is on its way: ask then."""
        if self._followed is not None:
            return True
        if self._asked is not None or self._waiting:
            return False
        if self._up and self._has_digest and (self._due_ns is None or self._rest is not None):
            self._left = 0 if self._due_ns is None else self._rest
            self._rest, self._due_ns, self._is_free = None, now, True
        elif self._up and self._has_digest and self._due_ns is not None:
            # Page 0 was missing, and would be asked for again after half a minute.
            self._due_ns, self._is_free = min(self._due_ns, now), True
        return True

    def move(self, cell_filter: str | None, now: BootNs) -> None:
        self._filter, self._position, self._due_ns, self._has_digest = cell_filter, 1, None, False
        self._waiting.clear()
        if self._up:
            self._follow_ns = now + _FOLLOW_NS
            self._begin(now)

    @property
    def room_bytes(self) -> float:
        """The bytes that are left of the budget."""
        return self._level

    def hold(self, is_held: bool) -> None:
        """Says whether packages of trust roots are read now."""
        self._is_held = is_held

    def spent(self, size_bytes: int, now: BootNs) -> None:
        """Something that is no page was read: a piece or an index of a trust root."""
        self._refill(now)
        self._level = max(0.0, self._level - size_bytes)

    def _spent_on_page(self, size_bytes: int, now: BootNs) -> None:
        self.spent(size_bytes, now)
        self._share = max(0.0, self._share - size_bytes)

    def subscribed(self, topic_filter: str, now: BootNs) -> None:
        if topic_filter == self._asked:
            self._absent_ns = min(self._absent_ns, now + _ABSENT_NS)

    def heard(self, now: BootNs) -> None:
        """Something came that is no page. On a full line, the page waits behind it."""
        self._heard_ns = now
        if self._asked is not None:
            self._absent_ns = max(self._absent_ns, min(now + _ABSENT_NS, self._asked_ns + _BEHIND_NS))

    def take(self, topic: str, payload: bytes, now: BootNs) -> bool:
        """Returns True if the message is the page that was asked for, or a newer page 0."""
        if topic != self._asked:
            return topic == self._followed and self._take_newer(topic, payload, now)
        self._spent_on_page(len(topic) + len(payload), now)
        if self._page == 0 and now < self._follow_ns and self._level >= _PAGE_BYTES:
            self._asked, self._followed = None, topic
        else:
            self._drop_asked()
        try:
            page = read_page(payload)
        # A damaged page must not end the round, or its sender could hide the pages behind it.
        except FormatError:
            self._position = self._page + 1
            self._next((self._rest or 1) - 1, now)
            return True
        self._wait(page)
        if self._page == 0:
            self._has_digest = True
            # The digest may have become shorter since the last connection.
            self._position = self._position if self._position < page.pages else 1
            rest, self._left = page.pages - 1 if self._left is None else min(self._left, page.pages - 1), None
            self._next(rest, now)
        else:
            self._position = self._page + 1 if self._page + 1 < page.pages else 1
            self._next(min((self._rest or 1) - 1, page.pages - 1), now)
        return True

    def turn(self, now: BootNs) -> tuple[str, bytes] | None:
        """Asks for a page if one is due. Returns a message of a page to hand over now."""
        self._refill(now)
        if now >= self._follow_ns:
            self._drop_followed()
        if self._asked is not None and now >= self._absent_ns:
            self._is_absent(now)
        if self._waiting:
            if self._pace.wait_s(now / NS_PER_S):
                return None
            # Each message costs the board the check of a signature, so a page of many is handed over at a rate.
            self._pace.taken()
            return self._waiting.popleft()
        if self._due_ns is not None and now >= self._due_ns and self._missing <= 0 and not self._waits(now):
            self._ask(now)
        return None

    def deadline_ns(self, now: BootNs) -> BootNs | None:
        """Returns the moment of the next `turn` that reads, if nothing comes meanwhile."""
        if self._waiting:
            return BootNs(now + int(self._pace.wait_s(now / NS_PER_S) * NS_PER_S))
        if self._asked is not None:
            return BootNs(self._absent_ns)
        if self._due_ns is None:
            return None
        if self._waits(now):
            return BootNs(self._settled_ns) if self._rest is None else None
        missing = max(0.0, self._missing)
        return BootNs(max(self._due_ns, now + int(missing / _PAGE_BYTES * _PAGE_EVERY_S * NS_PER_S)))

    @property
    def _missing(self) -> float:
        """The bytes of room that the next page lacks: also for a newer page 0, while one may come."""
        if self._rest is None and self._is_free:
            return 0.0
        if self._followed is not None:
            return 2 * _PAGE_BYTES - self._level
        return _PAGE_BYTES - max(self._level, self._share)

    def _waits(self, now: BootNs) -> bool:
        """Returns True if the next page waits for packages of trust roots."""
        return self._is_held and (self._rest is not None or now < self._settled_ns)

    def _begin(self, now: BootNs) -> None:
        self._drop_asked()
        self._drop_followed()
        self._rest = self._left = None
        self._is_free = False
        self._due_ns = None if self._filter is None else now + int(_SETTLE_S * NS_PER_S)

    def _next(self, rest: int | None, now: BootNs) -> None:
        self._rest = rest
        self._due_ns = now + int(self._uniform(*_GAP_S) * NS_PER_S) if rest else None

    def _ask(self, now: BootNs) -> None:
        assert self._filter is not None  # noqa: S101 — without a cell nothing is due
        self._page = 0 if self._rest is None else self._position
        self._is_free = False
        self._asked = in_cell(self._filter, f"digest/{self._page}")
        self._due_ns, self._asked_ns, self._absent_ns = None, now, now + _UNANSWERED_NS
        self._pages.read_retained(self._asked)

    def _is_absent(self, now: BootNs) -> None:
        self._drop_asked()
        # Messages still arrive, so the page may wait behind them. Reading the whole cell now would add up to 64 MiB to
        # a full line.
        is_full = self._heard_ns is not None and now - self._heard_ns < _ABSENT_NS
        if self._page == 0 and self._has_digest and is_full:
            self._due_ns = now + int(_PAGE_EVERY_S * NS_PER_S)
            return
        if self._page == 0:
            self._has_digest = False
            assert self._filter is not None  # noqa: S101 — it asked
            self._bus.read_retained(self._filter)  # no digest here
        self._position = 1  # or the digest has become shorter
        self._next(0, now)

    def _take_newer(self, topic: str, payload: bytes, now: BootNs) -> bool:
        self._spent_on_page(len(topic) + len(payload), now)
        if self._level < _PAGE_BYTES:
            self._drop_followed()
        with suppress(FormatError):
            self._wait(read_page(payload))
        return True

    def _wait(self, page: DigestPage) -> None:
        assert self._filter is not None  # noqa: S101 — it asked
        self._waiting.extend((in_cell(self._filter, path), data) for path, data in page.messages)

    def _drop_followed(self) -> None:
        if self._followed is not None:
            self._pages.unsubscribe(self._followed)
        self._followed = None

    def _drop_asked(self) -> None:
        if self._asked is not None:
            self._pages.unsubscribe(self._asked)
        self._asked = None

    def _refill(self, now: BootNs) -> None:
        if self._seen_ns is not None:
            gained = (now - self._seen_ns) / NS_PER_S / _PAGE_EVERY_S * _PAGE_BYTES
            self._level = min(float(BURST_BYTES), self._level + gained)
            self._share = min(float(_PAGE_BYTES), self._share + gained)
        self._seen_ns = now
