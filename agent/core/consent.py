"""The consent table: everything that can happen to a footage request, from its arrival to the requester's receipt.

A footage request on a device is always in one `RequestState`.  If an `Event` happens, the table gives the next state,
the ledger entry that records it, and the `Action`s that follow.  Combinations outside the table are refused.
Only `agent.custodian.releases` steps it.

Rules that the table keeps:

1. **One event releases footage.**  `Event.APPROVED` needs a statement, signed with an owner's approval key, that
   contains the new headers of exactly the released segments (`agent.core.disclosure`).  The device has no key that
   opens footage, so it cannot approve.  If the owners agreed that it takes two, the first approval is
   `Event.PARTIALLY_APPROVED` and waits for the second.
2. **Every other end is silence.**  Only `Action.OFFER_OUTBOX` lets data leave, and only `Event.APPROVED` has it.  From
   the network, `NO_MATCH`, `DENIED`, `OPTED_OUT` and `EXPIRED` before an approval look the same.  (`mqtt.pacing` keeps
   the time of acknowledgements alike, `alerts.notice_delay` hides the time of alerts.)  After an approval, the
   requester learns that an answer waits and how many parts it has.  If the approval is then revoked, nothing more
   follows.
3. **The ledger comes first.**  Ledger entry, new state and actions are one transaction.  Actions run after the commit
   and carry the request's id, so running one twice is harmless.
4. **An approval can be revoked** until the first byte leaves (`APPROVED` to `REVOKED`), and stopped afterwards
   (`SENDING` to `STOPPED`: no new segment starts).  The device does both automatically if the requester is no longer
   trusted (`Event.TRUST_WITHDRAWN`), or if an owner who approved has left or an owner deletes footage of the answer
   (`Event.REVOKED`).

Holding footage against eviction is a property of the state (`RequestState.holds_footage`) instead of an action, so
no crash can lose or leave behind a hold.  A tip, which an owner sends unasked, uses the same table from `APPROVED` on.

Source: docs/security/promises.md, promises 2 to 5.  The diagram in `docs/consent.md` is generated from this table.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from agent.core.ledger.entries import EntryKind
from agent.errors import RequestError

__all__ = ["TIP_SENT", "TRANSITIONS", "Action", "Event", "RequestState", "Transition", "diagram", "next_transition"]


class RequestState(enum.Enum):
    """The state of a footage request.  The value is the word that owners read."""

    RECEIVED = "received"
    PENDING = "pending"
    PARTIALLY_APPROVED = "waiting for another owner"
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
        """True if no event leads out of this state."""
        # Read from the table, so that a new row cannot contradict a separate list of final states.
        return not any(state is self for state, _ in TRANSITIONS)

    @property
    def holds_footage(self) -> bool:
        """True if the matched segments must stay stored, because no owner has decided yet."""
        return self in (RequestState.PENDING, RequestState.PARTIALLY_APPROVED)

    @property
    def may_have_left(self) -> bool:
        """True if the requester may have received a part of what was approved."""
        return self in (RequestState.SENDING, RequestState.SENT, RequestState.STOPPED)


class Event(enum.Enum):
    """An event in the life of a request.  The value is a sentence that owners read."""

    UNMATCHED = "no segment matches"
    MATCHED = "segments match"
    OPTED_OUT = "the owner has opted out"
    APPROVED = "the owner approves, with keys"
    PARTIALLY_APPROVED = "one of two owners approves, with keys"
    DENIED = "the owner denies"
    EXPIRED = "its time is over"
    WITHDRAWN = "the requester withdraws"
    REVOKED = "the owner takes the approval back"
    """Also used if an owner who approved has left, if an owner deletes footage of the answer, or if its bytes are gone.
    The ledger states the reason."""
    FIRST_BYTE = "the first byte is about to leave"
    """The first chunk of part 0.  The init leaves before it, after the delay, and says only that an answer waits."""
    RECEIPT = "the requester acknowledges everything"
    REFUSED = "the requester refuses it"
    TRUST_WITHDRAWN = "it may not be asked"
    """The requester has lost trust, or the request broke a time limit that could be checked only after the clock
    was known.  The ledger states which."""


class Action(enum.Enum):
    """An effect that the device carries out after the step is durable."""

    NOTIFY_OWNER = "one notification, neutral words"
    NOTIFY_OTHER_OWNERS = "one notification to the other owners, neutral words"
    OFFER_OUTBOX = "hand the outbox object, complete on disk, to the uplink"
    DROP_OUTBOX = "delete the outbox object, unsent"
    STOP_SENDING = "start no new segment, delete what has not left"
    CLOSE_OUTBOX = "delete the outbox object, received"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table: the next state, the ledger entry, and the actions that follow."""

    next_state: RequestState
    entry: EntryKind
    actions: tuple[Action, ...] = ()


# Short names keep each row of the table on one line.
_R, _P, _W, _A, _S = (
    RequestState.RECEIVED,
    RequestState.PENDING,
    RequestState.PARTIALLY_APPROVED,
    RequestState.APPROVED,
    RequestState.SENDING,
)

# Read-only: a later assignment anywhere in the process would be another way for footage to leave.
TRANSITIONS: Final[Mapping[tuple[RequestState, Event], Transition]] = MappingProxyType(
    {
        # Received: the device decides in one transaction, before it asks an owner.
        (_R, Event.UNMATCHED): Transition(RequestState.NO_MATCH, EntryKind.NO_MATCH),
        (_R, Event.OPTED_OUT): Transition(RequestState.OPTED_OUT, EntryKind.OPTED_OUT),
        (_R, Event.MATCHED): Transition(_P, EntryKind.MATCHED, (Action.NOTIFY_OWNER,)),
        # Pending: an owner decides.  From outside, no decision looks like every other denial.
        (_P, Event.APPROVED): Transition(_A, EntryKind.APPROVED, (Action.OFFER_OUTBOX,)),
        (_P, Event.DENIED): Transition(RequestState.DENIED, EntryKind.DENIED),
        (_P, Event.OPTED_OUT): Transition(RequestState.OPTED_OUT, EntryKind.OPTED_OUT),
        (_P, Event.EXPIRED): Transition(RequestState.EXPIRED, EntryKind.EXPIRED),
        (_P, Event.WITHDRAWN): Transition(RequestState.WITHDRAWN, EntryKind.WITHDRAWN),
        (_P, Event.TRUST_WITHDRAWN): Transition(RequestState.DENIED, EntryKind.DENIED),
        # Waiting for another owner: the owners agreed that it takes two.  The second owner approves exactly the same,
        # denies, or approves something else, which then waits for the first.  One denial ends the request.
        (_P, Event.PARTIALLY_APPROVED): Transition(_W, EntryKind.FIRST_APPROVAL, (Action.NOTIFY_OTHER_OWNERS,)),
        (_W, Event.PARTIALLY_APPROVED): Transition(_W, EntryKind.FIRST_APPROVAL, (Action.NOTIFY_OTHER_OWNERS,)),
        (_W, Event.APPROVED): Transition(_A, EntryKind.APPROVED, (Action.OFFER_OUTBOX,)),
        (_W, Event.DENIED): Transition(RequestState.DENIED, EntryKind.DENIED),
        (_W, Event.OPTED_OUT): Transition(RequestState.OPTED_OUT, EntryKind.OPTED_OUT),
        (_W, Event.EXPIRED): Transition(RequestState.EXPIRED, EntryKind.EXPIRED),
        (_W, Event.WITHDRAWN): Transition(RequestState.WITHDRAWN, EntryKind.WITHDRAWN),
        (_W, Event.TRUST_WITHDRAWN): Transition(RequestState.DENIED, EntryKind.DENIED),
        # Approved: the bytes are fixed and none has left, so the owner can still revoke all of it.
        # No opt-out from here on: it says which requests an owner wants to be asked, and this one is answered.
        (_A, Event.FIRST_BYTE): Transition(_S, EntryKind.SENDING),
        (_A, Event.REVOKED): Transition(RequestState.REVOKED, EntryKind.REVOKED, (Action.DROP_OUTBOX,)),
        (_A, Event.REFUSED): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.DROP_OUTBOX,)),
        (_A, Event.WITHDRAWN): Transition(RequestState.WITHDRAWN, EntryKind.WITHDRAWN, (Action.DROP_OUTBOX,)),
        (_A, Event.EXPIRED): Transition(RequestState.EXPIRED, EntryKind.EXPIRED, (Action.DROP_OUTBOX,)),
        # A key that its root revokes after the yes must not receive the answer, although the owner agreed to it.
        (_A, Event.TRUST_WITHDRAWN): Transition(RequestState.REVOKED, EntryKind.REVOKED, (Action.DROP_OUTBOX,)),
        # Sending: only the requester's signed receipt ends it.  A broker's acknowledgement is too little, because the
        # broker may lose the message afterwards.
        (_S, Event.RECEIPT): Transition(RequestState.SENT, EntryKind.RECEIPT, (Action.CLOSE_OUTBOX,)),
        (_S, Event.REVOKED): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.STOP_SENDING,)),
        (_S, Event.REFUSED): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.STOP_SENDING,)),
        (_S, Event.WITHDRAWN): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.STOP_SENDING,)),
        (_S, Event.EXPIRED): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.STOP_SENDING,)),
        (_S, Event.TRUST_WITHDRAWN): Transition(RequestState.STOPPED, EntryKind.STOPPED, (Action.STOP_SENDING,)),
    }
)

TIP_SENT: Final = Transition(RequestState.APPROVED, EntryKind.TIP, (Action.OFFER_OUTBOX,))
"""How a tip enters the table.  The statement that makes a tip is signed by an owner, so the tip starts as approved."""


def next_transition(state: RequestState, event: Event) -> Transition:
    """Returns the line of the table for `event` in `state`.

    Raises `RequestError` with a message for the client that tried, if the table has no such line.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RequestError(
            f"This request is {state.value}: '{event.value}' no longer applies.",
            remedy="Nothing was changed." if state.ended else "Look at it again with 'doorward requests'.",
        ) from None


def diagram() -> str:
    """Returns the table as a Mermaid state diagram, in the order of the table.  A test compares it with
    `docs/consent.md`."""
    name = {state: state.value.replace(" ", "_") for state in RequestState}
    arrows = [
        f"    {name[state]} --> {name[row.next_state]}: {event.value}" for (state, event), row in TRANSITIONS.items()
    ]
    ends = [f"    {name[state]} --> [*]" for state in RequestState if state.ended]
    starts = [f"    [*] --> {name[_R]}", f"    [*] --> {name[TIP_SENT.next_state]}: an owner sends a tip"]
    return "\n".join(["stateDiagram-v2", *starts, *arrows, *ends, ""])
