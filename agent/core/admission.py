"""Decides whether a verified message may become a footage request, before an owner is asked and anything is changed.

`agent.wire.inbound` has already checked that a requester's key, in a bundle signed by a root *the owner* chose, signed
these bytes, and that they parse. The checks here, in this order:

1. It is new: its id is new for that requester, and its sequence number is new under that key.
2. It has not expired, and keeps the owner's limits (`wire.limits`), tightened by those that the root sets for this
   requester, but for the ground of 5.
3. It asks about a region that the requester is responsible for.
4. The device can seal an answer to the key it names.
5. The ground that counts is as large as those limits want. This is slow, so it comes last.
6. If it is about another place, the day's quota of records for other places has room. Otherwise it is `Elsewhere`.

A message that fails is `Blocked`. Its sender is known, so it is listed for the owner. It has also used up its sequence
number: a broker may deliver the same bytes for weeks, which must stay blocked once the window allows it. A
message over a *rate* keeps its number, because its sender could not avoid a busy day. The broker then delivers it
again. Emergencies get no bypass, and every request needs its approval.

A limit on requests per case must outlive the requests, and case numbers must stay hidden from a thief. The device
therefore counts a request by a *mark* (`CaseHashes`): scrypt over root, requester and case, under a key that only the
device has.

- Two requests of one requester for one case have the same mark. If case or requester differs, the marks differ. Two
  requesters with the same id below different roots count as different.
- A thief of the journal alone learns only marks. A thief who also has the device's secret can try case numbers: each
  try costs what it cost the device, which only slows guessing down (docs/security/limits.md).

Source: PROTOCOL.md, "footage-request"; docs/security/promises.md, promise 4; RFC 7914 (scrypt), RFC 5869 (HKDF);
docs/decisions/0014.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.device_secret import DeviceSecret
from agent.core.requests import History, is_replay, trusted_seconds
from agent.core.timebase import NS_PER_MS, ClockReading
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import FormatError, InternalError
from agent.wire.inbound import VerifiedMessage
from agent.wire.limits import RATES, EarlierRequests, OverLimit, RequestLimits, check_ground, check_quickly
from agent.wire.messages import FootageRequest
from agent.wire.trust import TrustedRequester

__all__ = [
    "ELSEWHERE_IN_ALL",
    "ELSEWHERE_OF_ONE",
    "LOG2_WORK_FACTOR",
    "Accepted",
    "Blocked",
    "CaseHashes",
    "Elsewhere",
    "Replayed",
    "admit",
]

LOG2_WORK_FACTOR: Final = 10
"""1 MiB and about 4 ms on a laptop, some 25 ms on a Zero 2 W. A try must cost something, and a trusted requester who
floods the device must leave the board time to record."""
_LABEL: Final = b"doorward case marks v1"
_MARK_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CaseHashes:
    """Makes marks. `key`: 32 bytes only the device has. If key or work factor changes, the device forgets the counted
    cases."""

    key: bytes = field(repr=False)
    log2_work_factor: int = LOG2_WORK_FACTOR

    @classmethod
    def of_device(cls, secret: DeviceSecret, log2_work_factor: int = LOG2_WORK_FACTOR) -> Self:
        """Derives the key from the device's secret, so that a restored backup of the secret keeps the limit."""
        return cls(secret.key(_LABEL), log2_work_factor)

    def of(self, root: str, requester: str, case: str) -> str:
        """Returns the mark, 32 hex digits. `root`, `requester`: ids without a line feed."""
        scrypt = Scrypt(salt=self.key, length=_MARK_BYTES, n=1 << self.log2_work_factor, r=8, p=1)
        return scrypt.derive(f"{root}\n{requester}\n{case}".encode()).hex()


_DAY_MS: Final = 86_400_000
ELSEWHERE_OF_ONE: Final = 100
ELSEWHERE_IN_ALL: Final = 400
"""Requests about other places that are recorded in 24 hours. Each takes two ledger entries: a quarter of a megabyte in
all."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Seen before, or too old to tell."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Over a limit, or outside the requester's region. The owner is not asked, but can see that it happened and why.

    `for_now`: over a rate. The same bytes may be heard again once the rate allows it.
    """

    reason: str
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """About another place, after the day's quota of records for other places is full. Its id and number stay unused."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request may be matched. From now on `case_mark` counts it."""

    case_mark: str


def admit(
    inbound: VerifiedMessage,
    limits: RequestLimits,
    history: History,
    now: ClockReading,
    marks: CaseHashes,
    *,
    near: bool,
    measured: bool = True,
) -> Accepted | Blocked | Elsewhere | Replayed:
    """Performs the checks above. `marks`: counts the requests of a case. `near`: this place is in the requested area.
    `measured`: False leaves out the slow check of how much ground counts.

    Cases, windows and rates count only requests that are near. A request about a distant street must leave this door's
    limits unchanged.
    """
    request = inbound.message
    if not isinstance(request, FootageRequest):
        raise InternalError("Only footage requests are admitted.")
    whose = (inbound.requester.root, inbound.requester.id)
    # First, because a broker repeats retained messages: a repetition must use up no limit.
    if history.has_request(whose, request.id) or is_replay(history, inbound.requester, request):
        return Replayed()
    limits = inbound.requester.limits.applied_to(limits)
    case_mark = marks.of(request.trust_root, request.requester, request.case)
    # Distant requests count against no limit of this door, or a requester could exhaust it from anywhere.
    earlier = _earlier(inbound.requester, request, case_mark, history, now) if near else EarlierRequests()
    over = check_quickly(request, limits, trusted_seconds(now), earlier)
    if over is not None:
        return Blocked(over.value, for_now=over in RATES)
    if not inbound.requester.may_ask_about(request.area):
        return Blocked(OverLimit.OUTSIDE_REGIONS.value)
    try:
        # Checked before an owner is asked: an approval for an unusable key would be in vain.
        parse_recipient(request.reply)
    except FormatError:
        return Blocked("a reply key that nothing can be sealed to")
    # Behind all other checks: otherwise a request that fails one of them, and counts against no rate, costs seconds.
    if near and measured and (small := check_ground(request, limits)) is not None:
        return Blocked(small.value)
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
    """Returns whether journal and ledger have recorded a day's quota of requests about other places."""
    since_ms, whose = _yesterday_ms(now), (requester.root, requester.id)
    theirs = history.requests_elsewhere(since_ms, whose)
    return theirs >= ELSEWHERE_OF_ONE or history.requests_elsewhere(since_ms) >= ELSEWHERE_IN_ALL


def _yesterday_ms(now: ClockReading) -> int:
    return now.utc_ns // NS_PER_MS - _DAY_MS
