"""The custodian's handlers for the other roles: each knows its own requests only, and signs only manifest records."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.custodian.ipc_handlers import RecorderIpcHandler, StatusReports
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import RequestError
from agent.ipc.protocol import (
    DeliverMessage,
    FromRecorder,
    FromUplink,
    GetOutgoing,
    ReportStatus,
    Sign,
    Signature,
    SignSecond,
)
from agent.wire.envelope import pae


def desk(signed: list[bytes]) -> RecorderIpcHandler:
    def sign(encoding: bytes) -> bytes:
        signed.append(encoding)
        return b"signature"

    class Nobody:
        def held(self, stored_segments: int) -> frozenset[str]:
            return frozenset()

        def notify(self, kind: str, text: str, once: str = "") -> None: ...

    talk = TalkBuffer(Ed25519PrivateKey.generate())
    return RecorderIpcHandler(
        lambda: None,  # type: ignore[arg-type,return-value]
        sign,
        sign,
        Nobody(),  # type: ignore[arg-type]
        lambda: b"",
        Nobody(),  # type: ignore[arg-type]
        StatusReports(None),  # type: ignore[arg-type]
        LiveBuffer(),
        talk,
        capture=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("status", [{}, {"link": 5, "remedy": ""}, {"link": ["connected"]}, {"state": "watching"}])
@pytest.mark.parametrize("role", ["uplink", "recorder"])
def test_a_report_that_says_nothing_ends_no_thread_of_the_custodians(role: str, status: dict[str, object]) -> None:
    class Now:
        def now(self) -> ClockReading:
            return ClockReading(BootNs(0), UtcNs(0), ClockQuality.SYNCED)

    reports = StatusReports(Now())  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="cannot be used"):
        reports.record(role, status)
    assert reports.status_of(role) is None, "what reads it finds nobody, and says so"


def test_a_manifest_record_is_signed_for_the_recorder() -> None:
    signed: list[bytes] = []
    encoding = pae(PAYLOAD_TYPE, b'{"a record": 1}')
    for question in (Sign(encoding), SignSecond(encoding)):
        assert desk(signed).handle(question) == Signature(b"signature")
    assert signed == [encoding, encoding]


@pytest.mark.parametrize(
    "encoding",
    [
        b"",
        b"a checkpoint\n1\nroot\n",
        pae("application/vnd.doorward.disclosure+json", b"{}"),
        pae(PAYLOAD_TYPE + "x", b"{}"),
        pae(PAYLOAD_TYPE, b"{}") + b"more",
        pae(PAYLOAD_TYPE, b"{}").replace(b" 2 ", b" 3 "),
        b"DSSEv1" + pae(PAYLOAD_TYPE, b"{}"),
    ],
)
def test_nothing_else_is_ever_signed_for_the_recorder(encoding: bytes) -> None:
    signed: list[bytes] = []
    for question in (Sign(encoding), SignSecond(encoding)):
        with pytest.raises(RequestError):
            desk(signed).handle(question)
    assert signed == []


def test_neither_desk_knows_the_others_questions() -> None:
    recorders, uplinks = set(FromRecorder.__args__), set(FromUplink.__args__)  # type: ignore[attr-defined]
    assert recorders & uplinks == {ReportStatus}
    assert {DeliverMessage, GetOutgoing} <= uplinks
    assert Sign in recorders - uplinks
