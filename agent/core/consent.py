"""Decides what becomes of a footage request: one table, from its arrival to the requester's receipt.

The theory
==========

A footage request on a device is always in exactly one `State`.  Something happens to it, a `Cause`; the table below
says what the next state is, which ledger entry records it, and which `Act`s follow.  What is not in the table cannot
happen.  The table *is* the state machine: there is no other code that moves a request.

Four things make it the owner's table and not ours:

1. **Only one cause opens anything.**  `Cause.APPROVED` is raised for one thing alone, a statement signed by the
   owner's approval key that carries, segment by segment, the new headers their client wrapped
   (`agent.core.disclosure`).  The device holds no key that opens footage, so it could not say yes by itself.  Where
   the owners have agreed that it takes two, one yes is `Cause.HALF` and waits; the other owner's lets it count.
2. **Every other end is silence.**  One act alone lets anything leave, `Act.OFFER_OUTBOX`, and `APPROVED` alone has it.
   Seen from the network, `NO_MATCH`, `DENIED`, `OPTED_OUT` and a request that ran out undecided are one and the same
   thing: nothing.  (Whoever was approved hears that an answer waits: how many parts, no byte of them.  If it is then
   revoked, they hear no more.)
3. **The ledger comes first.**  Ledger entry, new state and acts are committed in one transaction; acts are carried out
   only afterwards and carry their request's id, so doing one twice is harmless.
4. **A yes can be taken back** until the first byte leaves (`APPROVED` → `REVOKED`), and stopped after that
   (`SENDING` → `STOPPED`: no new segment starts).  What has left cannot be called back, and we do not pretend it can.
   The same happens by itself when whoever asked is no longer trusted (`Cause.BARRED`) and when an owner whose yes it
   was has left (`Cause.REVOKED`): a yes outlives neither the trust it was said in nor the say of whoever said it.

Holding footage against eviction is no act: a request's state says whether its matched segments are held
(`State.holds_footage`), so a hold can neither be forgotten nor left behind.

What an owner tells unasked (`services.tips`) steps the same table from `APPROVED` on: nobody asked, so there is nothing
before it.

Source: SECURITY.md, promises 2 to 5; the picture in `docs/consent.md` is drawn from this table.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from agent.core.ledger.entries import EntryKind
from agent.errors import RequestError

__all__ = ["TABLE", "Act", "Cause", "State", "Step", "diagram", "step"]


class State(enum.Enum):
    """Where a footage request stands.  The value is the word the owner reads."""

    RECEIVED = "received"
    PENDING = "pending"
    HALF = "waiting for another owner"
    APPROVED = "approved"
    SENDING = "sending"
    SENT = "sent"
    NO_MATCH = "no match"
    DENIED = "denied"
    OPTED_OUT = "opted out"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """No cause leads out of it."""
        return not any(state is self for state, _ in TABLE)

    @property
    def holds_footage(self) -> bool:
        """Its matched segments must not be evicted: the owner has not decided yet."""
        return self in (State.PENDING, State.HALF)

    @property
    def may_have_left(self) -> bool:
        """Something of what was approved may be with the requester."""
        return self in (State.SENDING, State.SENT, State.STOPPED)


class Cause(enum.Enum):
    """What happened."""

    UNMATCHED = "no segment matches"
    MATCHED = "segments match"
    OPTED_OUT = "the owner has opted out"
    APPROVED = "the owner approves, with keys"
    HALF = "one of two owners approves, with keys"
    DENIED = "the owner denies"
    EXPIRED = "its time is over"
    WITHDRAWN = "the requester withdraws"
    REVOKED = "the owner takes the approval back"
    """Or is none any more.  The ledger's reason says so."""
    FIRST_BYTE = "the first byte is about to leave"
    RECEIPT = "the requester acknowledges everything"
    REFUSED = "the requester refuses it"
    BARRED = "it may not be asked"
    """Whoever asked is not trusted (any more), or asked over a limit of time while nobody knew the time.  The ledger's
    reason says which."""


class Act(enum.Enum):
    """What the device does once the step is durable."""

    TELL_OWNER = "one notification, neutral words"
    TELL_OTHERS = "one notification to the other owners, neutral words"
    OFFER_OUTBOX = "hand the outbox object, complete on disk, to the uplink"
    DROP_OUTBOX = "delete the outbox object, unsent"
    STOP_SENDING = "start no new segment, delete what has not left"
    CLOSE_OUTBOX = "delete the outbox object, received"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table: where it goes, what the ledger says, what follows."""

    to: State
    entry: EntryKind
    acts: tuple[Act, ...] = ()


_R, _P, _H, _A, _S = State.RECEIVED, State.PENDING, State.HALF, State.APPROVED, State.SENDING

TABLE: Final[Mapping[tuple[State, Cause], Step]] = MappingProxyType(
    {
        # Received: decided at once, on the device, before anybody is asked.
        (_R, Cause.UNMATCHED): Step(State.NO_MATCH, EntryKind.NO_MATCH),
        (_R, Cause.OPTED_OUT): Step(State.OPTED_OUT, EntryKind.OPTED_OUT),
        (_R, Cause.MATCHED): Step(_P, EntryKind.MATCHED, (Act.TELL_OWNER,)),
        # Pending: the owner's turn.  Doing nothing is an answer too, and looks like every other no.
        (_P, Cause.APPROVED): Step(_A, EntryKind.APPROVED, (Act.OFFER_OUTBOX,)),
        (_P, Cause.DENIED): Step(State.DENIED, EntryKind.DENIED),
        (_P, Cause.OPTED_OUT): Step(State.OPTED_OUT, EntryKind.OPTED_OUT),
        (_P, Cause.EXPIRED): Step(State.EXPIRED, EntryKind.EXPIRED),
        (_P, Cause.WITHDRAWN): Step(State.WITHDRAWN, EntryKind.WITHDRAWN),
        (_P, Cause.BARRED): Step(State.DENIED, EntryKind.DENIED),
        # Half approved, where the owners have agreed that it takes two.  Another says yes to exactly that, or no, or
        # approves something else, which waits in turn.  Any one no is a no.
        (_P, Cause.HALF): Step(_H, EntryKind.FIRST_APPROVAL, (Act.TELL_OTHERS,)),
        (_H, Cause.HALF): Step(_H, EntryKind.FIRST_APPROVAL, (Act.TELL_OTHERS,)),
        (_H, Cause.APPROVED): Step(_A, EntryKind.APPROVED, (Act.OFFER_OUTBOX,)),
        (_H, Cause.DENIED): Step(State.DENIED, EntryKind.DENIED),
        (_H, Cause.OPTED_OUT): Step(State.OPTED_OUT, EntryKind.OPTED_OUT),
        (_H, Cause.EXPIRED): Step(State.EXPIRED, EntryKind.EXPIRED),
        (_H, Cause.WITHDRAWN): Step(State.WITHDRAWN, EntryKind.WITHDRAWN),
        (_H, Cause.BARRED): Step(State.DENIED, EntryKind.DENIED),
        # Approved: fixed, not yet begun.  Still entirely the owner's.
        (_A, Cause.FIRST_BYTE): Step(_S, EntryKind.SENDING),
        (_A, Cause.REVOKED): Step(State.REVOKED, EntryKind.REVOKED, (Act.DROP_OUTBOX,)),
        (_A, Cause.REFUSED): Step(State.STOPPED, EntryKind.STOPPED, (Act.DROP_OUTBOX,)),
        (_A, Cause.WITHDRAWN): Step(State.WITHDRAWN, EntryKind.WITHDRAWN, (Act.DROP_OUTBOX,)),
        (_A, Cause.EXPIRED): Step(State.EXPIRED, EntryKind.EXPIRED, (Act.DROP_OUTBOX,)),
        (_A, Cause.BARRED): Step(State.REVOKED, EntryKind.REVOKED, (Act.DROP_OUTBOX,)),
        # Sending: only the requester's own signed receipt makes it sent; a broker's acknowledgement does not.
        (_S, Cause.RECEIPT): Step(State.SENT, EntryKind.RECEIPT, (Act.CLOSE_OUTBOX,)),
        (_S, Cause.REVOKED): Step(State.STOPPED, EntryKind.STOPPED, (Act.STOP_SENDING,)),
        (_S, Cause.REFUSED): Step(State.STOPPED, EntryKind.STOPPED, (Act.STOP_SENDING,)),
        (_S, Cause.WITHDRAWN): Step(State.STOPPED, EntryKind.STOPPED, (Act.STOP_SENDING,)),
        (_S, Cause.EXPIRED): Step(State.STOPPED, EntryKind.STOPPED, (Act.STOP_SENDING,)),
        (_S, Cause.BARRED): Step(State.STOPPED, EntryKind.STOPPED, (Act.STOP_SENDING,)),
    }
)


def step(state: State, cause: Cause) -> Step:
    """The line of the table for `cause` in `state`.  Raises `RequestError`, in words for whoever tried."""
    try:
        return TABLE[state, cause]
    except KeyError:
        raise RequestError(
            f"This request is {state.value}: '{cause.value}' no longer applies.",
            remedy="Nothing was changed." if state.ended else "Look at it again with 'doorward requests'.",
        ) from None


def diagram() -> str:
    """The table as a Mermaid state diagram, in the table's order (`docs/consent.md` is held to it by a test)."""
    name = {state: state.value.replace(" ", "_") for state in State}
    arrows = [f"    {name[state]} --> {name[line.to]}: {cause.value}" for (state, cause), line in TABLE.items()]
    ends = [f"    {name[state]} --> [*]" for state in State if state.ended]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {name[_R]}", *arrows, *ends, ""])
