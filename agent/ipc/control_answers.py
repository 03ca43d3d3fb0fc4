"""The shapes of a device's answers, by operation: `DeviceLink` checks every answer before a command reads it.

A device, or one role of it, may be altered.  An answer of the wrong shape is a `NetworkError` that names the operation
and the place in the answer, whatever command asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from agent.core.status import Count, Seconds, Status, UtcMs, fault_in
from agent.errors import NetworkError
from agent.wire.statements import Scope

__all__ = ["ANSWERS", "check_answer"]


class _Request(Struct):
    id: str
    state: str
    requester_name: str
    segments: Count
    received_ms: UtcMs
    kind: str | None = None
    incident: str | None = None
    begins_s: Seconds | None = field(default=None, name="from")
    ends_s: Seconds | None = field(default=None, name="to")
    disclosure: str | None = None


class _Blocked(Struct):
    requester: str
    reason: str


class _OptOut(Struct):
    scope: Scope
    value: str | None = None
    until_s: Seconds | None = None


class _Requests(Struct):
    requests: tuple[_Request, ...]
    blocked: tuple[_Blocked, ...]
    counters: dict[str, Count]
    opt_outs: tuple[_OptOut, ...] = ()
    quiet_hours: tuple[_OptOut, ...] = ()


class _Shown(Struct):
    state: str
    disclosure: str | None = None
    waits_s: Seconds | None = None
    receipt: str | None = None
    deletion: str | None = None
    sealed: str | None = None
    first: str | None = None
    segments: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


class _Tip(Struct):
    id: str
    requester: str
    state: str


class _Tips(Struct):
    tips: tuple[_Tip, ...]


class _SignedAnswer(Struct):
    envelope: str | None = None
    sha256: str | None = None


class _Trust(Struct):
    roots: tuple[str, ...]
    bundles: tuple[str, ...]


class _Bulletins(Struct):
    bulletins: tuple[str, ...]


class _Ledger(Struct):
    entries: tuple[str, ...]


class _Checkpoint(Struct):
    checkpoint: str
    proof: tuple[str, ...]


class _Channels(Struct):
    channels: tuple[str, ...]


class _PageCode(Struct):
    url: str
    urls: tuple[str, ...]
    install: str
    fingerprint: str
    code: str
    life_s: Seconds


class _Tests(Struct):
    tests: tuple[dict[str, str], ...]


class _Confirmed(Struct):
    epoch: Count
    waiting: tuple[str, ...] = ()


ANSWERS: Final[Mapping[str, type[Struct]]] = {
    "alerts_test": _Channels,
    "bulletins": _Bulletins,
    "checkpoint": _Checkpoint,
    "enrol": _Tests,
    "enrol_confirm": _Confirmed,
    "enrolment": _SignedAnswer,
    "ledger": _Ledger,
    "page_code": _PageCode,
    "request": _Shown,
    "requests": _Requests,
    "settings": _SignedAnswer,
    "status": Status,
    "tips": _Tips,
    "trust": _Trust,
}
"""Answers to other operations are bytes, or are read by one place that checks them."""


def check_answer(operation: str, result: dict[str, Any]) -> None:
    """Raises `NetworkError` for an answer that is not of its operation's shape."""
    shape = ANSWERS.get(operation)
    fault = fault_in(result, shape) if shape is not None else None
    if fault is not None:
        raise NetworkError(
            f"The device's answer to '{operation}' cannot be used: {fault}.",
            remedy="Update the device and this machine to one version.  If they are, a part of the device was altered.",
        )
