"""The book of a run: who was connected, what was published, heard and acknowledged; and the promises that it must keep.

- A request that the brokers have is heard within `PATIENCE_S` by each doorbell that is connected to them. A light
  doorbell is connected once its broker has taken its subscriptions. A broker that
  is killed has no connection any more, also if its doorbell learns that later, because its network was cut meanwhile.
  The run prints how long doorbells believed in such a connection.
- A process of light doorbells that stands still hears nothing, and a doorbell with a processor of its own would. The
  process measures these times, and they count neither as connected nor as waiting. The run prints them, and each
  hearing that would be late with them.
- A notice of a neighbour is on no page before a moderator's yes, on the page within `PATIENCE_S` of it, and gone with
  its removal.
- A part that a receipt acknowledged is in the store in the end, byte for byte, and each answer is there once.

Times are seconds of one clock that only goes forward. Pure, apart from the lock.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = [
    "PATIENCE_S",
    "SLOW_S",
    "Belief",
    "Book",
    "Late",
    "NoticeBook",
    "Outcome",
    "Sent",
    "Spans",
    "Wait",
    "sha256_of",
]

PATIENCE_S = 60.0
SLOW_S = 5.0
_END = operator.itemgetter(1)


class Spans:
    """Times between `begin` and `end`."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, float]] = []
        self.began_s: float | None = None

    @property
    def is_open(self) -> bool:
        return self.began_s is not None

    def begin(self, at_s: float) -> None:
        if self.began_s is None:
            self.began_s = at_s

    def end(self, at_s: float) -> None:
        if self.began_s is not None:
            self.ended.append((self.began_s, at_s))
            self.began_s = None

    def until(self, now_s: float) -> list[tuple[float, float]]:
        return [*self.ended, *([] if self.began_s is None else [(self.began_s, now_s)])]


@dataclass(slots=True)
class Sent:
    """An answer as its doorbell sent it. `acknowledged`: numbers of the parts that receipts named as stored."""

    request: str
    sha256: tuple[str, ...]
    acknowledged: set[int] = field(default_factory=set)
    state: str = "on its way"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The requester's copy of one answer. `rows`, `entries`: of the case, and of the custody log."""

    parts: Mapping[int, str]
    rows: int
    entries: int


@dataclass(frozen=True, slots=True)
class Late:
    """A doorbell that must have heard a message at `due_s`. `heard_s`: None if it never did."""

    message: str
    shard: int
    door: str
    due_s: float
    heard_s: float | None

    def __str__(self) -> str:
        late = "never" if self.heard_s is None else f"{self.heard_s - self.due_s:.0f} s late"
        return f"{self.message} at {self.door} of shard {self.shard}: {late}"


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a doorbell waited for a message, which it heard at `heard_s`."""

    waited_s: float
    message: str
    shard: int
    door: str
    heard_s: float


@dataclass(frozen=True, slots=True)
class Belief:
    """A doorbell believed for `held_s` in a connection that its broker no longer had, since its kill at `killed_s`."""

    held_s: float
    door: str
    shard: int
    killed_s: float


class Book:
    """`shard_of`: the shard of each doorbell."""

    def __init__(self, shard_of: Mapping[str, int]) -> None:
        self.lock = threading.Lock()
        self.shard_of = dict(shard_of)
        self.links: dict[str, Spans] = {door: Spans() for door in shard_of}
        self.outages: dict[int, Spans] = {shard: Spans() for shard in set(shard_of.values())}
        self.kills: dict[int, list[float]] = {shard: [] for shard in self.outages}
        """When the broker of a shard was killed: each connection of before has ended then."""
        self.published: dict[str, tuple[float, frozenset[int]]] = {}
        """Message → when all its brokers had acknowledged it, and the shards."""
        self.heard: dict[str, dict[str, float]] = {}
        self.blocked: set[tuple[str, str]] = set()
        """Requests that a whole agent heard and blocked, because its owner was asked too often. By id and doorbell."""
        self._names: dict[str, str] = {}
        self._by_payload: list[tuple[str, str, float]] = []
        self.process_of: dict[str, int] = {}
        """The process of a light doorbell. A whole agent is a process itself, and nothing excuses it."""
        self.stalls: dict[int, list[tuple[float, float]]] = {}
        """When a process of light doorbells stood still: begin and end, in order."""
        self.subscribed_s: list[float] = []
        """Seconds from a connection to its subscriptions, or to its end without them: those over `SLOW_S`."""
        self.sent: dict[str, Sent] = {}
        self.faults: list[str] = []
        """Events that must never happen."""

    def add(self, door: str, shard: int) -> None:
        """Adds a doorbell to which the promises count from its first connection on."""
        self.links[door] = Spans()
        self.shard_of[door] = shard

    def subscribes(self, after_s: float) -> None:
        if after_s > SLOW_S:
            self.subscribed_s.append(after_s)

    def stalls_of(self, door: str) -> Sequence[tuple[float, float]]:
        return self.stalls.get(self.process_of.get(door, -1), ())

    def hear(self, message: str, door: str, at_s: float) -> None:
        self.heard.setdefault(message, {}).setdefault(door, at_s)

    def name(self, payload_sha256: str, message: str) -> None:
        """Learns the id of a request. A whole agent lists a blocked one by its payload alone."""
        if payload_sha256 not in self._names:
            self._names[payload_sha256] = message
            waiting, self._by_payload = self._by_payload, []
            for each in waiting:
                self.block(*each)

    def block(self, payload_sha256: str, door: str, at_s: float) -> None:
        message = self._names.get(payload_sha256)
        if message is None:
            self._by_payload.append((payload_sha256, door, at_s))
            return
        self.blocked.add((message, door))
        self.hear(message, door, at_s)

    def unheard(self, now_s: float) -> list[str]:
        """Returns each message and doorbell that was connected for `PATIENCE_S` after it, and had not heard it."""
        return [str(each) for each in self.late(now_s)]

    def late(self, now_s: float, *, excuse: bool = True) -> list[Late]:
        """`excuse`: the time in which a doorbell's process stood still counts as none."""
        found = []
        outages = {shard: spans.until(now_s) for shard, spans in self.outages.items()}
        times: dict[str, list[tuple[float, float]]] = {}
        of_shard: dict[int, list[str]] = {}
        for door, shard in self.shard_of.items():
            of_shard.setdefault(shard, []).append(door)
        for message, (since_s, shards) in list(self.published.items()):
            heard = self.heard.get(message, {})
            for shard in sorted(shards & of_shard.keys()):
                for door in of_shard[shard]:
                    if heard.get(door, now_s + 1) <= since_s + PATIENCE_S:
                        continue  # it is never late before that
                    if door not in times:
                        links = _ended_by(self.links[door].until(now_s), self.kills[shard])
                        times[door] = _without(links, outages[shard])
                    late_s = _first_late_s(times[door], since_s, self.stalls_of(door) if excuse else ())
                    if late_s is not None and heard.get(door, now_s + 1) > late_s:
                        found.append(Late(message, shard, door, late_s, heard.get(door)))
        return found

    def waits(self, now_s: float, *, lists: bool) -> list[Wait]:
        """Returns how long each doorbell that heard a message had waited for it, the shortest first.

        The time counts from the publication, the begin of the connection over which it came, or the end of the last
        outage, whichever is latest, as for `late`. Nothing is subtracted for a process that stood still. `lists`: those
        of the trust root, or all others.
        """
        found = []
        outages = {shard: spans.until(now_s) for shard, spans in self.outages.items()}
        times: dict[str, list[tuple[float, float]]] = {}
        for message, (since_s, _) in list(self.published.items()):
            if message.startswith("list ") is not lists:
                continue
            for door, heard_s in list(self.heard.get(message, {}).items()):
                shard = self.shard_of[door]
                if door not in times:
                    links = _ended_by(self.links[door].until(now_s), self.kills[shard])
                    times[door] = _without(links, outages[shard])
                spans = times[door]
                place = bisect.bisect_right(spans, (heard_s, float("inf"))) - 1
                if place >= 0 and spans[place][1] >= heard_s:
                    found.append(Wait(max(0.0, heard_s - max(since_s, spans[place][0])), message, shard, door, heard_s))
        return sorted(found, key=lambda each: each.waited_s)

    def beliefs(self, now_s: float) -> list[Belief]:
        """Returns each time that a doorbell believed in a connection of its killed broker for longer than `PATIENCE_S`,
        the longest first."""
        found = []
        for door, shard in self.shard_of.items():
            spans = self.links[door].until(now_s)
            for (_, killed_s), (_, ends_s) in zip(_ended_by(spans, self.kills[shard]), spans, strict=True):
                if ends_s - killed_s > PATIENCE_S:
                    found.append(Belief(ends_s - killed_s, door, shard, killed_s))
        return sorted(found, key=lambda each: -each.held_s)

    def judged(self, read: Callable[[], Mapping[str, Outcome]]) -> list[str]:
        """Returns each broken promise about answers, by what the stores have now.

        Only receipts from before the reading count, which takes a minute: a part that is stored and acknowledged
        meanwhile would look lost.
        """
        with self.lock:
            before = {name: replace(sent, acknowledged=set(sent.acknowledged)) for name, sent in self.sent.items()}
        outcomes = read()
        with self.lock:
            return [*self.faults, *_broken(before, outcomes), *self._invented(outcomes)]

    def _invented(self, outcomes: Mapping[str, Outcome]) -> list[str]:
        return [f"invented: {disclosure}" for disclosure in outcomes.keys() - self.sent.keys()]


def _broken(answers: Mapping[str, Sent], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    for disclosure, sent in answers.items():
        outcome = outcomes.get(disclosure, Outcome({}, 0, 0))
        for part in sorted(sent.acknowledged):
            if outcome.parts.get(part) != sent.sha256[part]:
                yield f"lost: part {part} of {disclosure} was acknowledged"
        if sent.state != "complete":
            yield f"not delivered: {disclosure} is {sent.state}"
        elif (outcome.rows, outcome.entries) != (1, 1):
            yield f"not once: {disclosure} has {outcome.rows} rows and {outcome.entries} entries"


class NoticeBook:
    """Notices by title. Each reading of the public page is judged as it comes: `broken` returns what it found."""

    def __init__(self) -> None:
        self.readings = 0
        self._yes_s: dict[str, float] = {}
        self._public_s: dict[str, float] = {}
        self._leaving: dict[str, float | None] = {}
        """Notices that a moderator removes, and when the desk had done it."""
        self._never_read: set[str] = set()
        self._faults: list[str] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._public_s)

    @property
    def removals(self) -> int:
        return len(self._leaving)

    @property
    def oldest(self) -> str:
        """Returns the oldest notice that is public."""
        return next(title for title in self._public_s if title not in self._leaving)

    def accepting(self, title: str, at_s: float) -> None:
        """A moderator begins to say yes."""
        with self._lock:
            self._yes_s[title] = at_s

    def accepted(self, title: str, at_s: float) -> None:
        with self._lock:
            self._public_s[title] = at_s
            self._never_read.add(title)

    def removing(self, title: str) -> None:
        with self._lock:
            self._leaving[title] = None

    def removed(self, title: str, at_s: float) -> None:
        with self._lock:
            self._leaving[title] = at_s

    def read(self, began_s: float, ended_s: float, titles: set[str]) -> None:
        """Judges what a reader saw between these two moments."""
        with self._lock:
            self.readings += 1
            self._never_read -= titles
            for title in titles:
                if ended_s < self._yes_s.get(title, float("inf")):
                    self._faults.append(f"shown before a moderator's yes: {title}")
                gone_s = self._leaving.get(title)
                if gone_s is not None and began_s > gone_s:
                    self._faults.append(f"shown after its removal: {title}")
            for title, since_s in self._public_s.items():
                if began_s > since_s + PATIENCE_S and title not in titles and title not in self._leaving:
                    self._faults.append(f"not on the page: {title}, {began_s - since_s:.0f} s after the yes")

    def broken(self) -> list[str]:
        with self._lock:
            return [
                *self._faults,
                *(f"never read: {title}" for title in sorted(self._never_read - self._leaving.keys())),
            ]


def _first_late_s(
    times: Sequence[tuple[float, float]], since_s: float, stalls: Sequence[tuple[float, float]]
) -> float | None:
    """Returns when a doorbell must have heard a message. None: it was not connected for long enough.

    `times`: when it was connected to a shard that worked. `stalls`: when its process stood still.
    """
    due = ((_due_s(max(begin_s, since_s), stalls), end_s) for begin_s, end_s in times if end_s > since_s)
    return min((due_s for due_s, end_s in due if due_s <= end_s), default=None)


def _due_s(begin_s: float, stalls: Sequence[tuple[float, float]]) -> float:
    """Returns when `PATIENCE_S` have passed since then, apart from the time in `stalls`, which are in order."""
    at_s, left_s = begin_s, PATIENCE_S
    for stands_s, moves_s in itertools.islice(stalls, bisect.bisect_right(stalls, begin_s, key=_END), None):
        if stands_s - at_s >= left_s:
            break
        left_s -= max(0.0, stands_s - at_s)
        at_s = max(at_s, moves_s)
    return at_s + left_s


def _ended_by(spans: Sequence[tuple[float, float]], kills: Sequence[float]) -> list[tuple[float, float]]:
    """Returns the spans, each until the first kill in it."""
    ended = []
    for begins_s, ends_s in spans:
        first = bisect.bisect_right(kills, begins_s)
        ended.append((begins_s, min(ends_s, kills[first]) if first < len(kills) else ends_s))
    return ended


def _without(spans: Iterable[tuple[float, float]], holes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Both in order of time: a run has 10 000 doorbells with some dozen spans each, and looks at all in each round."""
    left, first = [], 0
    for begins_s, ends_s in spans:
        while first < len(holes) and holes[first][1] <= begins_s:
            first += 1
        at_s = begins_s
        for hole_begins_s, hole_ends_s in itertools.takewhile(lambda hole: hole[0] < ends_s, holes[first:]):  # noqa: B023
            if hole_begins_s > at_s:
                left.append((at_s, hole_begins_s))
            at_s = max(at_s, hole_ends_s)
        if at_s < ends_s:
            left.append((at_s, ends_s))
    return left


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
