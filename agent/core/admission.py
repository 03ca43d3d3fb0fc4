"""Decides whether a verified message may become a footage request, before anybody is asked and anything is changed.

`agent.wire.inbound` has already seen to it that a key of a requester in a bundle whose root *the owner* chose signed
these bytes, and that they parse.  What is left, in this order:

1. it was not seen before: its id is new, and so is its sequence number under that key;
2. it keeps the owner's limits, tightened by what the root lays on this requester;
3. it asks about a region that requester is responsible for;
4. an answer could be sealed to the key it names.

What fails is `Blocked`.  Because its sender is known, it is listed for the owner to look at; and it has used up its
sequence number, so the same bytes, which a broker may hand over for weeks, do not become a request when the day's rate
or the window allows it.  There is no emergency bypass and no standing approval.

Source: PROTOCOL.md, "Footage request"; SECURITY.md, promise 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.core.case_marks import CaseMarks
from agent.core.requests import History, is_replay, trusted_seconds
from agent.core.timebase import NS_PER_MS, Moment
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import FormatError, InternalError
from agent.wire.inbound import Inbound
from agent.wire.limits import Earlier, Limits, check
from agent.wire.messages import FootageRequest
from agent.wire.trust import TrustedRequester

__all__ = ["Accepted", "Blocked", "Replayed", "admit"]

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """Seen before, or too far behind to tell."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Over a limit, or outside its region.  The owner is not asked; they can see that it happened and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """It may be matched.  `case_mark` is what it is counted by from now on."""

    case_mark: str


def admit(
    inbound: Inbound, limits: Limits, history: History, now: Moment, marks: CaseMarks
) -> Accepted | Blocked | Replayed:
    """The gate above.  `marks`: how the device counts the requests of a case."""
    request = inbound.message
    if not isinstance(request, FootageRequest):
        raise InternalError("Only footage requests are admitted.")
    if history.has_request(request.id) or is_replay(history, inbound.requester, request.seq):
        return Replayed()
    limits = inbound.requester.limits.applied_to(limits)
    case_mark = marks.of(request.audience, request.requester, request.case)
    over = check(request, limits, trusted_seconds(now), _earlier(inbound.requester, case_mark, history, now))
    if over is not None:
        return Blocked(over.value)
    if not inbound.requester.may_ask_about(request.area):
        return Blocked("outside the region of this requester")
    try:
        parse_recipient(request.reply)
    except FormatError:
        return Blocked("a reply key that nothing can be sealed to")
    return Accepted(case_mark)


def _earlier(requester: TrustedRequester, case_mark: str, history: History, now: Moment) -> Earlier:
    since_ms = now.utc_ns // NS_PER_MS - _DAY_MS
    return Earlier(
        for_case=history.requests_in_case(case_mark),
        from_requester=history.requests_since(since_ms, (requester.root, requester.id)),
        in_all=history.requests_since(since_ms),
    )
