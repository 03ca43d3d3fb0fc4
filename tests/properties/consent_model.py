"""Every order of events at one door, driven through the real code: requests, an owner, time, the uplink and power cuts.

A `World` is a real custodian (inbox, statements, requests, ledger, journal on SQLite). Its whole state can be taken and
put back. An `Exploration` tries every action in every state that can be reached, and every power cut within it, and
checks after each step the promises of docs/security/promises.md and `docs/consent.md` about requests, approvals, outbox
and ledger.

The rest of the world is small: two requesters with a request each, one approval, denial and revocation for each of
them, and an uplink that sends one part at a time and may be behind the times: before a part it asks only the outbox, as
the real one does between two looks at the custodian's list.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from agent.core import admission
from agent.core.clock_trust import ClockTrust
from agent.core.consent import RequestState
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.vault.age import recipients
from agent.custodian import enrolment, outbox_builder
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import DoorwardError, OpenError, RequestError, StorageError
from agent.wire import envelope, identities, strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.limits import RequestLimits
from agent.wire.statements import (
    CoApproval,
    Denial,
    Erasure,
    OptOut,
    Revocation,
    Scope,
    read_statement,
    sign_statement,
)
from tests import custodians
from tests.custodians import APPROVER, FIRE, POLICE, ROOT, Door, sha256_of, signed, stated
from tests.vaults import SeededEntropy
from tests.wire import samples

__all__ = ["AGAIN", "CLOCK_ACTIONS", "DELETE", "Broken", "Exploration", "Explored", "World", "remembering"]

STRANGER, SECOND = private_key_from_seed(b"x" * 32), private_key_from_seed(b"2" * 32)
WAITING = (RequestState.PENDING, RequestState.PARTIALLY_APPROVED)
OPEN = (RequestState.APPROVED, RequestState.SENDING)
AGAIN = "asks about the same time again"
DELETE = "deletes the film of the answer"
IN_VAIN = (*WAITING, RequestState.DENIED, RequestState.EXPIRED, RequestState.WITHDRAWN, RequestState.OPTED_OUT)
"""The owner was asked, or would have been, and nothing came of it, anyone who ended it."""
AHEAD_S = 25 * 86_400
"""By how much the clock jumps: to behind everything's end, and near enough for the longest look-back."""
BACK_S = 8 * 3600
"""Seconds by which it is set back: to before the end that it has just passed, but after the requested windows."""
AHEAD, BACK = "unconfirmed", "set back"
OFF_S = {AHEAD: AHEAD_S, BACK: -BACK_S}
"""Seconds by which an unconfirmed clock is ahead of the true time."""
CLOCK_ACTIONS = (
    "the clock jumps",
    "the clock is set back",
    "the clock is right again",
    "the jump stands",
    "the jump stands over a new boot",
    "an owner states the new time",
    "a stranger states the new time!",
    "an owner states the time it was set back to!",
)
READING_S = 600
"""Between two readings of the clock. A longer step does not count as standing."""
BOOT_NS = 3600 * 10**9
"""The boot clock when the custodian starts after a power cut."""
ENDS = frozenset(RequestState) - {RequestState.RECEIVED, *WAITING, *OPEN}
LEDGERED: dict[RequestState | None, str] = {
    RequestState.NO_MATCH: "no-match",
    RequestState.PENDING: "matched",
    RequestState.PARTIALLY_APPROVED: "first-approval",
    RequestState.APPROVED: "approved",
    RequestState.SENDING: "sending",
    RequestState.SENT: "receipt",
    RequestState.DENIED: "denied",
    RequestState.OPTED_OUT: "opted-out",
    RequestState.EXPIRED: "expired",
    RequestState.WITHDRAWN: "withdrawn",
    RequestState.REVOKED: "revoked",
    RequestState.STOPPED: "stopped",
}


class Broken(AssertionError):  # noqa: N818 — as in: a promise
    """A promise that fails."""


class Cut(BaseException):
    """The power is gone."""


class CuttingJournal(SqliteJournal):
    """SQLite in memory, with a `cut` that names the commit at which the power goes: just before it, or just after."""

    def __init__(self) -> None:
        self.commits = 0
        self.cut: tuple[int, str] | None = None
        self.on_cut: Callable[[], None] = lambda: None
        super().__init__(":memory:")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        outermost = self._depth == 0
        with super().transaction():
            yield
            if outermost:
                self.commits += 1
                self._perhaps("before")
        if outermost:
            self._perhaps("after")

    def _perhaps(self, when: str) -> None:
        if self.cut == (self.commits, when):
            self.on_cut()
            raise Cut


class Quiet:
    """A log no one reads."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


@dataclass(frozen=True)
class Snapshot:
    """Everything that is different from one state to another."""

    database: bytes
    objects: dict[str, dict[int, bytes]]
    evicted: frozenset[str]
    boot_ns: int
    utc_offset_ns: int
    believed: ClockTrust | None
    boot: int
    jump: str
    receipts: dict[str, int]
    sending: dict[str, int]
    published: dict[tuple[str, int], str]
    obeyed: frozenset[str]
    leaves: int
    states: tuple[RequestState | None, ...]
    more: Any = None
    """Additions of a larger world."""
    trust: list[tuple[Any, Any]] = field(default_factory=list)
    """The custodian's trust store as it reads it from this database, once it was read."""


class _LeastPadding(SeededEntropy):
    """Draws the least padding before an approval: more would be written thousands of times and shows nothing here."""

    def token(self, size_bytes: int) -> bytes:
        return b"\0" if size_bytes == 1 else super().token(size_bytes)


class World:
    """One door and its surroundings.  Every action is a method without arguments in `actions`."""

    def __init__(self, requests: int = 1, owners: int = 1, *, windows: bool = False, deletes: bool = False) -> None:
        """`requests`: 1 or 2, each of a separate requester. `owners`: 1, or 2 who must both approve.

        `windows`: one request in vain about one time is the limit, and the first requester asks about its time again.
        `deletes`: an owner deletes the film that the first approval names.
        """
        self.owners = owners
        self.deletes = deletes
        journal = CuttingJournal()
        self.journal = journal
        self.windows = windows
        # Otherwise the limit of questions about one time would hide a replay that was let in.
        rates = {"counts_windows": True, "limits": RequestLimits(requests_per_case=1)} if windows else {}
        self.door = Door.enrolled(journal=journal, entropy=_LeastPadding(11), **rates)
        if owners == 2:
            self.door.enrol(**custodians.two_owners(self.door, SECOND))
        self.outbox, self.vault = self.door.outbox, self.door.vault
        journal.on_cut = lambda: setattr(self.outbox, "off", True)
        self.quieten()
        first, second, third = self.door.segments
        start_s = samples.request().from_s
        # The shortest windows there are: one ends before the third segment, the other begins behind the first.
        self.asked = [
            custodians.request(POLICE, from_s=start_s + 610 - 900, to_s=start_s + 610),
            custodians.request(FIRE, from_s=start_s + 605, to_s=start_s + 605 + 900),
        ]
        self.keys = [POLICE, FIRE]
        self.sets = [(first, second), (second, third)]
        self.everything = frozenset(self.door.segments)
        self.papers = dict(self.vault.kept)
        del self.asked[requests:]
        self._approvals = [self._approval(number, self.sets[number][0]) for number in range(len(self.asked))]
        self._outside = self._approval(0, third)
        self._wrong_bytes = self._approval(0, first, payload_sha256="00" * 32)
        self._others = self._approval(0, self.sets[0][1])
        self._co_approvals = [self._seconding(number, self._approvals[number][0]) for number in range(len(self.asked))]
        self._seconding_of_none = self._seconding(0, self._outside[0])
        self._refusals = [signed(Denial(**stated(), request=sha256_of(a)), APPROVER) for a in self.asked]
        self._withdrawals = [custodians.withdrawal(asked) for asked in self.asked]
        self._opt_out = signed(OptOut(**stated(), scope=Scope.ALL), APPROVER)
        self._erasure = signed(Erasure(**stated(), segments=(first,)), APPROVER)
        self._revoking = [stated() for _ in self.asked]
        self._without = signed(custodians.bundle(2, FIRE), ROOT)
        # Over a limit that needs no clock: what needs one is the requests' own end.
        self._over_limit = custodians.request(to_s=samples.request().from_s + 43_201)
        start_s = self.asked[0].from_s
        self._again = custodians.request(POLICE, from_s=start_s + 60, to_s=start_s + 960)
        self.jump, self._confirming = "", False
        self._believed: dict[Any, ClockTrust | None] = {}
        """The belief about the time after a number of readings. The key is the belief, the clock and the number."""
        self.clock.keep()
        self.sending: dict[str, int] = {}
        self.published: dict[tuple[str, int], str] = {}
        self.obeyed: set[str] = set()
        self.actions: dict[str, Callable[[], object]] = self._actions()

    def quieten(self) -> None:
        self.door.custodian.releases._log = Quiet()
        self.clock._log = Quiet()

    def _actions(self) -> dict[str, Callable[[], object]]:
        """Actions that must change nothing have a name that ends in `!`."""
        made: dict[str, Callable[[], object]] = {}
        for number, _ in enumerate(self.asked):
            made |= {
                f"request {number}": lambda n=number: self._hear(self.asked[n], self.keys[n]),
                f"approve {number}": lambda n=number: self._take(*self._approvals[n]),
                f"deny {number}": lambda n=number: self._take(self._refusals[n]),
                f"withdraw {number}": lambda n=number: self._hear(self._withdrawals[n], self.keys[n]),
                f"revoke {number}": lambda n=number: self._revoke(n),
                f"send {number}": lambda n=number: self._send(n),
                f"receipt {number}": lambda n=number: self._receipt(n),
            }
        if self.owners == 2:
            made |= {f"second {n}": lambda n=n: self._take(signed(self._co_approvals[n], SECOND)) for n in (0,)}
            made |= {
                "the other approves something else": lambda: self._take(*self._others, key=SECOND),
                "the first seconds the other": lambda: self._take(
                    signed(self._seconding(0, self._others[0], "f" * 32), APPROVER)
                ),
                "the first seconds themselves!": lambda: self._take(
                    signed(self._seconding(0, self._approvals[0][0]), APPROVER)
                ),
                "seconds what was not approved!": lambda: self._take(signed(self._seconding_of_none, SECOND)),
                "forged co-approval!": lambda: self._take(signed(self._co_approvals[0], SECOND), by=STRANGER),
            }
        if self.windows:
            made[AGAIN] = self._ask_again
        if self.deletes:
            made[DELETE] = lambda: self._take(self._erasure)
        return made | {
            "refuse 0": lambda: self._receipt(0, refused=True),
            "opt out": lambda: self._take(self._opt_out),
            "distrust 0": self._distrust,
            "time": self._time,
            "evict": self._evict,
            "restart": self.restart,
            "a new boot": self.reboot,
            "the clock jumps": lambda: self._jump(AHEAD),
            "the clock is set back": lambda: self._jump(BACK),
            "the clock is right again": self._put_right,
            "the jump stands": self._stand,
            "the jump stands over a new boot": lambda: self._stand(boots=True),
            "an owner states the time it was set back to!": self._state_past,
            "an owner states the new time": lambda: self._state_time(APPROVER),
            "a stranger states the new time!": lambda: self._state_time(STRANGER),
            "forged request!": lambda: self._hear(self.asked[0], STRANGER),
            "forged withdrawal!": lambda: self._hear(self._withdrawals[0], STRANGER),
            "another's withdrawal!": self._withdraw_anothers,
            "over the limit": lambda: self._hear(self._over_limit, POLICE),
            "forged approval!": lambda: self._take(*self._approvals[0], by=STRANGER),
            "approval outside the match!": lambda: self._take(*self._outside),
            "approval of other bytes!": lambda: self._take(*self._wrong_bytes),
            "forged denial!": lambda: self._take(self._refusals[0], by=STRANGER),
            "forged receipt!": lambda: self._receipt(0, by=STRANGER),
            "another's receipt!": lambda: self._receipt(0, by=FIRE, requester="harbour-fire"),
            "receipt for other bytes!": lambda: self._receipt(0, manifest="00" * 32),
        }

    # -- actions -------------------------------------------------------------------------------------------------------

    def _approval(self, number: int, segment: str, **changes: Any) -> tuple[bytes, tuple[bytes, ...]]:
        """Made before the request was heard, as far as this door knows."""
        header = custodians.new_header(number)
        payload = self.papers_of(segment)[len(custodians.OWNERS_HEADER) :]
        item = custodians.SealedItem(
            id=segment,
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            header_sha256=hashlib.sha256(header).hexdigest(),
        )
        asked = self.asked[number]
        approval = custodians.Approval(
            **stated(),
            request=sha256_of(asked),
            reply=asked.reply,
            segments=(msgspec.structs.replace(item, **changes),),
        )
        return signed(approval, APPROVER), (header,)

    def _seconding(self, number: int, approval: bytes, nonce: str | None = None) -> CoApproval:
        claimed = read_statement(approval)
        values = {**stated(), "request": sha256_of(self.asked[number])}
        values |= {"nonce": nonce} if nonce else {}
        return CoApproval(**values, approval=hashlib.sha256(claimed.payload).hexdigest())

    def papers_of(self, segment: str) -> bytes:
        return self.door.vault.kept[segment].file

    def _hear(self, message: Any, key: Any) -> object:
        return self.door.hear(message, key)

    def _withdraw_anothers(self) -> object:
        theirs = msgspec.structs.replace(self._withdrawals[0], requester="harbour-fire")
        return self._hear(theirs, FIRE)

    def _ask_again(self) -> None:
        """The first requester, in another case, about a time of which an owner was asked in vain: once is enough."""
        if self._states()[0] in IN_VAIN:
            self._hear(self._again, POLICE)

    def _take(self, data: bytes, headers: tuple[bytes, ...] = (), by: Any = None, key: Any = None) -> object:
        if key is not None:
            claimed = read_statement(data)
            data = sign_statement(claimed.payload_type, claimed.payload, key)
        if by is not None:
            payload = strictjson.decode(data, dict)  # type: ignore[type-var]
            first, *second = payload["signatures"]
            data = strictjson.encode({**payload, "signatures": [self._forged(first), *second]})  # type: ignore[arg-type]
        try:
            verdict = self.door.custodian.control._statements.accept(data, headers)
        except (RequestError, OpenError):
            return None
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.obeyed:
            raise Broken("a statement acted twice")
        self.obeyed.add(digest)
        return verdict

    def _distrust(self) -> None:
        """A newer bundle leaves the first requester out."""
        if self.trusted:
            self.door.custodian.custodian_state.trust.accept(self._without)

    @property
    def trusted(self) -> bool:
        return any(
            len(each.requesters) == 2 for each in self.door.custodian.custodian_state.trust.store.bundles.values()
        )

    def _forged(self, signature: dict[str, str]) -> dict[str, str]:
        return {**signature, "sig": "A" * 86 + "=="}

    def disclosure(self, number: int) -> str | None:
        stored = self.journal.request(self.asked[number].id)
        return stored.disclosure if stored else None

    def _revoke(self, number: int) -> object:
        named = self.disclosure(number)
        if named is None:
            return None
        return self._take(signed(Revocation(**self._revoking[number], disclosure=named), APPROVER))

    def _send(self, number: int) -> object:
        """One turn of the uplink: begin what is listed, or publish the next part of what has begun."""
        named = self.disclosure(number)
        if named is None:
            return None
        if named not in self.sending:
            if named in self.door.outgoing() and self.door.begin(named):
                self.sending[named] = 0
            return None
        part = self.sending[named]
        try:
            size = len(self.outbox.objects.get(named, {}).get(part, b""))
            data = self.outbox.read(named, part, 0, max(size, 1))
        except StorageError:
            del self.sending[named]
            return None
        self._publish(number, named, part, data)
        self.sending[named] = (part + 1) % 2
        return None

    def _publish(self, number: int, named: str, part: int, data: bytes) -> None:
        stored = self.journal.request(self.asked[number].id)
        if stored is None or stored.state is not RequestState.SENDING:
            raise Broken(f"[4, 11] part {part} left while the request is {stored and stored.state.value}")
        digest = hashlib.sha256(data).hexdigest()
        if self.published.setdefault((named, part), digest) != digest:
            raise Broken("a retry sent other bytes")
        if part:
            self._check_part(number, data)

    def _check_part(self, number: int, data: bytes) -> None:
        """It is one of ours: a header that an owner's client made, and exactly the footage it was made for."""
        approvals = [(self._approvals[number], self.sets[number][0])]
        approvals += [(self._others, self.sets[0][1])] if self.owners == 2 else []
        ours = {headers[0]: segment for (_, headers), segment in approvals}
        header = next((header for header in ours if data.startswith(header)), None)
        if header is None:
            raise Broken("a header left that no owner's client made")
        if not self.papers[ours[header]].file.endswith(data[len(header) :]):
            raise Broken("other footage left than was approved")

    def _receipt(
        self, number: int, *, by: Any = None, refused: bool = False, manifest: str | None = None, **changes: Any
    ) -> object:
        named = self.disclosure(number)
        rows = [record for record in self.journal.outbox() if record.disclosure == named]
        if named is None or not rows:
            return None
        if refused:
            made = custodians.refused(self.asked[number], named, seq=10**6 + 1, **changes)
        else:
            seq, sha256 = (10**6, manifest) if manifest else (10**6 + 2, rows[0].parts[0].sha256)
            made = custodians.complete(self.door, self.asked[number], named, seq=seq, manifest=sha256, **changes)
        return self._hear(made, by or self.keys[number])

    def _time(self) -> None:
        """To just behind the requests' end, then to behind the grace for what was approved."""
        end_s = self.asked[0].not_after_s
        if self.phase < 2:
            self.door.clock.advance(end_s + 1 + (7 * 86_400 if self.phase else 0) - self._true_s)
            self._keep_up()
        self.door.custodian.requests.on_time()

    def _jump(self, which: str) -> None:
        """A time server says that it is much later, or earlier."""
        if self.jump == "":
            self.door.clock.utc_offset_ns += OFF_S[which] * 10**9
            self.jump = which
            self._watch()

    def _put_right(self) -> None:
        if self.jump in OFF_S:
            self.door.clock.utc_offset_ns -= OFF_S[self.jump] * 10**9
            self.jump = ""
            self._watch()

    def _stand(self, *, boots: bool = False) -> None:
        """An eighth of the jump, or three days, with the clock as it is: nothing ends before they are over."""
        if self.jump not in OFF_S:
            return
        # The power goes only at its end. Otherwise part of the wait would be over, and the next step could end it.
        with self._uncut():
            self._wait_out(boots=boots)
        self._confirm()

    def _wait_out(self, *, boots: bool) -> None:
        readings = min(abs(OFF_S[self.jump]) // 8, 3 * 86_400) // READING_S
        before = self._states()
        # Less of the short wait, because each `time` meanwhile has counted as one reading.
        part = readings * 2 // 3 if self.jump == AHEAD else readings // 3
        self._read(part)
        self.door.custodian.requests.on_time()
        if boots:
            self.reboot()
        if self._states() != before:
            raise Broken("a jump of the clock that nobody confirmed ended a request")
        self._read(readings - 1 - part)
        for _ in range(25):  # a new boot loses up to one reading, so the belief comes in one of these minutes
            self._keep_up()
            if self.clock.status() is None:
                break
            self.door.clock.advance(60)

    def _read(self, count: int) -> None:
        trusted, clock = self.clock, self.door.clock
        begun, begun_ns = (trusted._trust, clock.now(), clock.boot, count), clock.boot_ns
        if begun not in self._believed:
            for _ in range(count):
                clock.boot_ns += READING_S * 10**9
                trusted.now()
            self._believed[begun] = trusted._trust
        # Hundreds of readings, and the same ones in many states.
        clock.boot_ns, trusted._trust = begun_ns + count * READING_S * 10**9, self._believed[begun]
        self._keep_up()

    def _keep_up(self) -> None:
        """Stores the belief about the time, as the custodian does every few seconds. It is there after a power cut."""
        self.clock._written = None
        with self._uncut():
            self.clock.keep()

    @contextmanager
    def _uncut(self) -> Iterator[None]:
        """Within, the power stays, and no commit is counted."""
        journal, cut, commits = self.journal, self.journal.cut, self.journal.commits
        journal.cut = None
        yield
        journal.cut, journal.commits = cut, commits

    def _state_past(self) -> None:
        """An attacker who sets the clock back to the time of an old statement must not confirm it with it."""
        if self.jump == BACK:
            self._state_now(APPROVER)

    def _state_time(self, by: Any) -> None:
        if self.jump == AHEAD:
            self._state_now(by)
            if by is APPROVER:
                self._confirm()

    def _state_now(self, by: Any) -> None:
        """A statement without another effect: its request is unknown."""
        now_ms = self.door.clock.now().utc_ns // 10**6
        said = {**stated(), "owner_time_ms": now_ms, "nonce": "e" * 32, "request": "00" * 32}
        self._take(signed(Denial(**said), by))

    def _confirm(self) -> None:
        self._confirming = True
        self._watch()

    def _watch(self) -> None:
        """As the custodian does every few seconds."""
        with self.door.custodian.requests.deciding():
            self.clock.keep()
        self.jump, self._confirming = self._confirmed if self._confirming else self.jump, False
        self.door.custodian.requests.on_time()

    @property
    def _confirmed(self) -> str:
        return {AHEAD: "confirmed", BACK: "set back, confirmed"}.get(self.jump, self.jump)

    @property
    def _true_s(self) -> int:
        """The time that is to be believed, whatever the doorbell believes."""
        return self.door.clock.now().utc_ns // 10**9 - OFF_S.get(self.jump, 0)

    @property
    def phase(self) -> int:
        now_s, end_s = self._true_s, self.asked[0].not_after_s
        return 0 if now_s <= end_s else 1 if now_s <= end_s + 7 * 86_400 else 2

    def _evict(self) -> None:
        """Evicts the oldest segment that is free of holds, but keeps the newest."""
        *old, _ = self.vault.kept
        held = self.door.custodian.requests.held(100)
        gone = next((name for name in old if name not in held), None)
        if gone is not None:
            self.vault.evict(gone)
            waiting = [self.journal.request(stored.id) for stored in self.journal.requests(*WAITING)]
            if any(gone in stored.segments for stored in waiting if stored):
                raise Broken("a segment was evicted that waits for its owner")

    @property
    def clock(self) -> TrustedClock:
        """The doorbell's, with what it believes."""
        clock = self.door.custodian.custodian_state.deps.clock
        assert isinstance(clock, TrustedClock)
        return clock

    def restart(self) -> None:
        """A new process finds what the old one left."""
        self.journal.cut = None
        self.outbox.off = False
        self.sending.clear()
        self._forget()
        self.clock._trust = self.clock._written = self.clock._load()
        if self._confirming and self.clock.status() is None:
            self.jump = self._confirmed  # the power went, but it was written down
        self._confirming = False
        self.door.custodian.start()

    def _forget(self) -> None:
        """Forgets the memory of the process. Its waits count on a boot clock that the next boot begins again."""
        self.door.custodian._inbox._newest_receipt.clear()
        self.door.custodian.releases._delay._ripe_ns.clear()

    def reboot(self) -> None:
        """The power comes back: a new boot id, a boot clock that begins again, and the same time on the wall."""
        clock = self.door.clock
        clock.boot += 1
        clock.utc_offset_ns += clock.boot_ns - BOOT_NS
        clock.boot_ns = BOOT_NS
        self.restart()

    # -- states --------------------------------------------------------------------------------------------------------

    def take(self) -> Snapshot:
        return Snapshot(
            database=self.journal._db.serialize(),
            objects={name: dict(parts) for name, parts in self.outbox.objects.items()},
            evicted=self.everything - self.vault.kept.keys(),
            boot_ns=self.door.clock.boot_ns,
            utc_offset_ns=self.door.clock.utc_offset_ns,
            boot=self.door.clock.boot,
            believed=self.clock._trust,
            jump=self.jump,
            receipts=dict(self.door.custodian._inbox._newest_receipt),
            sending=dict(self.sending),
            published=dict(self.published),
            obeyed=frozenset(self.obeyed),
            leaves=self._size(),
            states=self._states(),
            more=self.take_more(),
        )

    def take_more(self) -> Any:
        return None

    def put_more(self, more: Any) -> None:
        pass

    def _states(self) -> tuple[RequestState | None, ...]:
        return tuple(stored.state if stored else None for stored in map(self.journal.request, self._ids()))

    def put(self, snapshot: Snapshot) -> None:
        self.journal._db.deserialize(snapshot.database)
        self.outbox.objects = {name: dict(parts) for name, parts in snapshot.objects.items()}
        self.outbox.making.clear()
        self.outbox.off = False
        self.vault.kept = {name: paper for name, paper in self.papers.items() if name not in snapshot.evicted}
        self.door.clock.boot = snapshot.boot
        self.door.clock.boot_ns, self.door.clock.utc_offset_ns = snapshot.boot_ns, snapshot.utc_offset_ns
        self.clock._trust = self.clock._written = snapshot.believed
        self.jump, self._confirming = snapshot.jump, False
        self._forget()
        self.door.custodian._inbox._newest_receipt.update(snapshot.receipts)
        self.sending = dict(snapshot.sending)
        self.published = dict(snapshot.published)
        self.obeyed = set(snapshot.obeyed)
        self.journal.cut = None
        trust = self.door.custodian.custodian_state.trust
        if not snapshot.trust:
            trust._reload()
            snapshot.trust.append((trust.store, trust._announced))
        trust.store, trust._announced = snapshot.trust[0]
        self.put_more(snapshot.more)

    def pulse(self) -> Any:
        """Differs after any change, and is cheaper than a key. One row more is a counter's."""
        memory = (dict(self.sending), len(self.published), dict(self.door.custodian._inbox._newest_receipt))
        clock = (self.door.clock.boot_ns, self.door.clock.utc_offset_ns, self.clock.status() is None)
        return memory, clock, len(self.vault.kept), self.outbox.objects.keys() | set()

    def key(self) -> Any:
        """Two worlds with the same key have the same future."""
        rows = {record.disclosure for record in self.journal.outbox()}
        each = []
        for stored in map(self.journal.request, self._ids()):
            named = stored.disclosure if stored else None
            each.append(
                (
                    stored.state if stored else None,
                    named in rows,
                    named in self.outbox.objects,
                    self.sending.get(named or ""),
                    sum(d == named for d, _ in self.published),
                )
            )
        nonces = frozenset(row[0] for row in self.journal._rows("SELECT nonce FROM nonce"))
        numbers = frozenset(self.journal._rows("SELECT key_id, seq FROM sequence"))
        strays = len(self.outbox.objects.keys() - rows)
        each += [hashlib.sha256(kept).hexdigest() for kept in self.journal.named("first.").values()]
        each += [self.trusted, self.jump]
        each += [frozenset(self.journal.named("unjudged."))]
        return (*each, nonces, numbers, self.journal.opt_outs(), self.phase, len(self.vault.kept), strays)

    def _ids(self) -> list[str]:
        return [asked.id for asked in self.asked]

    def _size(self) -> int:
        return int(self.journal._rows("SELECT count(*) FROM ledger")[0][0])

    # -- promises ------------------------------------------------------------------------------------------------------

    def check(self, before: Snapshot) -> None:
        """After one step from the state `before`, or a restart in the middle of it."""
        self._check_ledger(before)
        self._check_requests(before)
        rows = {record.disclosure: record for record in self.journal.outbox()}
        named = Counter(record.request for record in rows.values())
        if named and max(named.values()) > 1:
            raise Broken("one approval made two outbox objects")
        approved = {stored.disclosure for stored in self.journal.requests(*OPEN)}
        if rows.keys() != approved:
            raise Broken("the outbox names what no approval does, or misses what one names")
        if self.outbox.objects.keys() != approved:
            raise Broken("bytes lie in the outbox that no approval names, or are missing")
        if any(part.segment in self._deleted for record in rows.values() for part in record.parts):
            raise Broken("an answer on its way holds footage that an owner has deleted")
        self._check_time()
        self._check_two()

    @property
    def _deleted(self) -> frozenset[str]:
        return frozenset(self.journal.named("erasure."))

    def _check_two(self) -> None:
        """If it takes two, an approval that only one of them signed is ignored, and every approval is sealed."""
        kept = self.journal.named("first.").keys()
        if kept != {stored.id for stored in self.journal.requests(RequestState.PARTIALLY_APPROVED)}:
            raise Broken("a first approval was lost, or stayed when it was of no use any more")
        if self.owners == 2 and self.journal.requests(*OPEN):
            used = {nonce for (nonce,) in self.journal._rows("SELECT nonce FROM nonce")}
            if not used & {self._co_approvals[0].nonce, "f" * 32}:
                raise Broken("one owner's yes was enough, and it takes two")

    def _check_time(self) -> None:
        open_now = {stored.state for stored in self.journal.requests(*WAITING, *OPEN)}
        known = self.jump not in OFF_S
        if (self.clock.status() is None) is not known:
            raise Broken("a jump of the clock was believed that nobody confirmed, or not believed that was confirmed")
        if known and ((self.phase > 0 and open_now & {*WAITING}) or (self.phase > 1 and open_now)):
            raise Broken("a request outlived its time")
        if self.journal.opt_outs() and open_now & {*WAITING}:
            raise Broken("an owner was asked who had opted out")
        first = self.journal.request(self.asked[0].id)
        if not self.trusted and first is not None and first.state in (*WAITING, *OPEN):
            raise Broken("a request outlived the trust in whoever asked")

    def _check_ledger(self, before: Snapshot) -> None:
        new = self.journal.leaves(before.leaves)
        frontier = Frontier.load(self.journal.get("ledger.frontier") or b"")
        if frontier.size != before.leaves + len(new):
            raise Broken("the ledger's head is not the head of its entries")
        self.news = [strictjson.decode(leaf, dict) for leaf in new]  # type: ignore[type-var]
        if new and leaf_hash(new[-1]) not in frontier.roots and frontier.size & 1:
            raise Broken("the ledger's newest entry is not under its head")

    def _check_requests(self, before: Snapshot) -> None:
        if {stored.id for stored in self.journal.requests()} - set(self._ids()):
            raise Broken("a request over the limit was let in")
        recorded: dict[str, list[str]] = {}
        for entry in self.news:
            recorded.setdefault(entry.get("request", ""), []).append(entry["kind"])
        for number, was in enumerate(before.states):
            stored = self.journal.request(self.asked[number].id)
            state = stored.state if stored else None
            entries = [kind for kind in recorded.get(self.asked[number].id, []) if kind != "sealed"]
            if state is was is RequestState.PARTIALLY_APPROVED and entries == ["first-approval"]:
                continue  # another approval has taken the place of the one that waits
            if (entries[-1:] or None) != (None if state is was else [LEDGERED.get(state)]):
                raise Broken(f"{was} became {state}, and the ledger says {entries}")
            if state is was:
                continue
            if state is RequestState.EXPIRED and self.jump in OFF_S:
                raise Broken("a request expired by a clock that nobody vouches for")
            if was in ENDS or stored is None:
                raise Broken(f"a request came back from {was}")
            window = tuple(s for s in self.sets[number] if s in self.vault.kept and s not in self._deleted)
            if was is None and stored.segments != (() if stored.state.ended else window):
                raise Broken("the match set is not what lies in the window")


@dataclass
class Explored:
    """Extent of an exploration."""

    states: int = 0
    steps: int = 0
    cuts: int = 0
    whole: bool = False
    reached: set[RequestState] = field(default_factory=set)


class Exploration:
    """Breadth first, so that the way to a broken promise is a shortest one."""

    def __init__(
        self,
        world: World,
        *,
        cuts: bool = True,
        one_in: int = 1,
        only: Container[str] | None = None,
        but: Container[str] = (),
    ) -> None:
        """`cuts`: with a power cut before and after every commit, or with one in `one_in` of them. `only`: these
        actions. `but`: without these."""
        self._world = world
        self._cuts = cuts
        self._one_in = one_in
        self._places = itertools.count()
        self._actions = {name: act for name, act in world.actions.items() if only is None or name in only}
        self._actions = {name: act for name, act in self._actions.items() if name not in but}
        self._seen = {world.key()}
        self._waiting: deque[tuple[Snapshot, tuple[str, ...]]] = deque([(world.take(), ())])
        self._doing = ""
        self.done = Explored()

    def run(self, most_states: int = 10**9) -> Explored:
        """Raises `Broken`, which tells the way to the state where a promise fails."""
        while self._waiting and self.done.states < most_states:
            at, way = self._waiting.popleft()
            self.done.states += 1
            self.done.reached |= {state for state in at.states if state is not None}
            self._world.put(at)
            for name, act in self._actions.items():
                try:
                    self._try(at, way, name, act)
                except (Broken, DoorwardError) as error:
                    raise Broken(f"{error} ({' → '.join((*way, self._doing))})") from error
        self.done.whole = not self._waiting
        return self.done

    def _try(self, at: Snapshot, way: tuple[str, ...], name: str, act: Callable[[], object]) -> None:
        """`act` in the world as it is at `at`, and leave it like that."""
        world, journal = self._world, self._world.journal
        self._doing = name
        journal.commits = 0
        pulse, rows = world.pulse(), journal._db.total_changes
        act()
        self.done.steps += 1
        if journal._db.total_changes - rows <= 1 and world.pulse() == pulse:
            return
        if name.endswith("!"):
            raise Broken("it changed something")
        commits = journal.commits
        self._arrived(at, (*way, name))
        if self._cuts and name != "restart":
            for number in range(1, commits + 1):
                for when in ("before", "after"):
                    if next(self._places) % self._one_in == 0:
                        self._cut(at, way, name, act, (number, when))
        world.put(at)

    def _cut(self, at: Snapshot, way: tuple[str, ...], name: str, act: Callable[[], object], cut: Any) -> None:
        world = self._world
        self._doing = f"{name}, power cut {cut[1]} commit {cut[0]}"
        world.put(at)
        world.journal.commits, world.journal.cut = 0, cut
        try:
            act()
        except Cut:
            self.done.cuts += 1
            world.reboot()
            self._arrived(at, (*way, self._doing))

    def _arrived(self, at: Snapshot, way: tuple[str, ...]) -> None:
        self._world.check(at)
        key = self._world.key()
        if key not in self._seen:
            self._seen.add(key)
            self._waiting.append((self._world.take(), way))


@contextmanager
def remembering() -> Iterator[None]:
    """Inside, results that depend on bytes alone are worked out once: parsing, keys, signatures."""
    decode, encode = strictjson.decode, strictjson.encode
    decoded, encoded = functools.lru_cache(4096)(decode), functools.lru_cache(4096)(encode)

    def decode_once(data: bytes, kind: Any, **how: Any) -> Any:
        return decode(data, kind, **how) if kind is dict else decoded(data, kind, **how)  # a dictionary can be changed

    def encode_once(message: Any) -> bytes:
        return encode(message) if isinstance(message, dict) else encoded(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strictjson, "decode", decode_once)
        patch.setattr(strictjson, "encode", encode_once)
        for owner, name in (
            (envelope, "sign"),
            (admission, "parse_recipient"),
            (outbox_builder, "parse_recipient"),
            (enrolment, "parse_recipient"),
            (recipients, "bech32_decode"),
            (identities, "_is_sound_point"),
            (identities.PublicKey, "verifies"),
        ):
            patch.setattr(owner, name, functools.lru_cache(4096)(getattr(owner, name)))
        yield
