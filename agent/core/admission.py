"""Decides whether a verified message may become a footage request, before anybody is asked and anything is changed.

`agent.wire.inbound` has already seen to it that a key of a requester in a bundle whose root *the owner* chose signed
these bytes, and that they parse.  What is left, in this order:

1. it was not seen before: its id is new for that requester, and so is its sequence number under that key;
2. it keeps the owner's limits, tightened by what the root lays on this requester;
3. it asks about a region that requester is responsible for;
4. an answer could be sealed to the key it names.

What fails is `Blocked`.  Because its sender is known, it is listed for the owner to look at; and it has used up its
sequence number, so the same bytes, which a broker may hand over for weeks, do not become a request when the window
allows it.  Only what is over a *rate* keeps its number: that it came on a busy day is nothing its sender could avoid,
and the broker hands it over again.  There is no emergency bypass and no standing approval.

Source: PROTOCOL.md, "Footage request"; SECURITY.md, promise 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.core.case_marks import CaseHashes
from agent.core.requests import History, is_replay, trusted_seconds
from agent.core.timebase import NS_PER_MS, ClockReading
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import FormatError, InternalError
from agent.wire.inbound import VerifiedMessage
from agent.wire.limits import RATES, EarlierRequests, RequestLimits, check
from agent.wire.messages import FootageRequest
from agent.wire.trust import TrustedRequester

__all__ = ["ELSEWHERE_IN_ALL", "ELSEWHERE_OF_ONE", "Accepted", "Blocked", "Elsewhere", "Replayed", "admit"]

_DAY_MS: Final = 86_400_000
ELSEWHERE_OF_ONE: Final = 100
ELSEWHERE_IN_ALL: Final = 400
"""Requests about other places that are written down in 24 hours.  Two ledger entries each: a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Seen before, or too far behind to tell."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Over a limit, or outside its region.  The owner is not asked; they can see that it happened and why.

    `for_now`: over a rate.  The same bytes may be heard again when the rate allows it.
    """

    reason: str
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """About another place, and so much of that was written down today that this is not.  Nothing of it is used up."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """It may be matched.  `case_mark` is what it is counted by from now on."""

    case_mark: str


def admit(
    inbound: VerifiedMessage,
    limits: RequestLimits,
    history: History,
    now: ClockReading,
    marks: CaseHashes,
    *,
    near: bool,
) -> Accepted | Blocked | Elsewhere | Replayed:
    """The gate above.  `marks`: how the device counts the requests of a case.  `near`: its area has this place in it.

    Cases, windows and rates count only what is near: what is asked about a street far away says nothing about how
    often this door was asked, and must not keep anybody from asking it.
    """
    request = inbound.message
    if not isinstance(request, FootageRequest):
        raise InternalError("Only footage requests are admitted.")
    whose = (inbound.requester.root, inbound.requester.id)
    if history.has_request(whose, request.id) or is_replay(history, inbound.requester, request):
        return Replayed()
    limits = inbound.requester.limits.applied_to(limits)
    case_mark = marks.of(request.trust_root, request.requester, request.case)
    earlier = _earlier(inbound.requester, request, case_mark, history, now) if near else EarlierRequests()
    over = check(request, limits, trusted_seconds(now), earlier, near=near)
    if over is not None:
        return Blocked(over.value, for_now=over in RATES)
    if not inbound.requester.may_ask_about(request.area):
        return Blocked("outside the region of this requester")
    try:
        parse_recipient(request.reply)
    except FormatError:
        return Blocked("a reply key that nothing can be sealed to")
    if not near and _is_flooded(inbound.requester, history, now):
        return Elsewhere()
    return Accepted(case_mark)


def _earlier(
    requester: TrustedRequester, request: FootageRequest, case_mark: str, history: History, now: ClockReading
) -> EarlierRequests:
    since_ms, whose = _yesterday_ms(now), (requester.root, requester.id)
    return EarlierRequests(
        for_case=history.requests_in_case(case_mark),
        for_window=history.requests_about(whose, request.from_s, request.to_s),
        from_requester=history.requests_since(since_ms, whose),
        in_all=history.requests_since(since_ms),
    )


def _is_flooded(requester: TrustedRequester, history: History, now: ClockReading) -> bool:
    """Whether journal and ledger have taken enough for a day of what concerns another place."""
    since_ms, whose = _yesterday_ms(now), (requester.root, requester.id)
    theirs = history.requests_elsewhere(since_ms, whose)
    return theirs >= ELSEWHERE_OF_ONE or history.requests_elsewhere(since_ms) >= ELSEWHERE_IN_ALL


def _yesterday_ms(now: ClockReading) -> int:
    return now.utc_ns // NS_PER_MS - _DAY_MS
