"""The custodian's IPC handlers: the messages that the recorder and the uplink may send, and only those.

Each handler has a separate socket. The recorder's handler cannot reach the network. The uplink's handler cannot reach
the signing key, the owners or the vault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from agent.core.home_news import HomeAddress
from agent.core.retention import ProtectedIds
from agent.core.setup_state import LONGEST_TEXT, SetupState
from agent.core.status import RecorderReport, UplinkReport, fault_in
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.custodian.capture_key import CaptureKey
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import RequestError
from agent.ipc.protocol import (
    Ack,
    AckAlert,
    AlertChannelsReply,
    AlertMessages,
    BeatAnswer,
    BeginSending,
    ButtonReply,
    CaptureCertificate,
    DeliverLinkFrames,
    DeliverMessage,
    FromRecorder,
    FromUplink,
    GetAlertChannels,
    GetBeat,
    GetCaptureCertificate,
    GetErasedSegments,
    GetHealthReport,
    GetHeldSegments,
    GetHomeAssistant,
    GetLiveViewers,
    GetOutgoing,
    GetRecipients,
    GetRelay,
    GetSettings,
    GetTalk,
    GetUplinkConfig,
    HealthReportReply,
    HeldSegments,
    HomeAssistantReply,
    HomeStateReply,
    LinkFrames,
    Notify,
    OutgoingBeat,
    OutgoingDisclosures,
    OutgoingVersion,
    OwnerSettingsReply,
    PollAlerts,
    PollHomeState,
    PollLinkFrames,
    PollOutgoing,
    PutBeatAnswers,
    PutLivePiece,
    PutLongPress,
    PutSetupCode,
    PutTalkOffer,
    Recipients,
    RelayReply,
    ReportStatus,
    RoleAnswer,
    SegmentNames,
    SendingAllowed,
    SetupReply,
    Sign,
    Signature,
    SignGop,
    SignSecond,
    TransferReceipt,
    UplinkConfig,
)
from agent.ports import AlertMailer, Clock, CustodyPort, HomeStateSource, LinkPort, PictureNotifier
from agent.wire import strictjson
from agent.wire.envelope import pae

__all__ = ["RecorderIpcHandler", "StatusReports", "UplinkIpcHandler"]

_STALE_NS: Final = 20 * 10**9
_MOST_PATIENCE_S: Final = 3.0
"""Shorter than the recorder's time limit for an answer."""
_NEWS_S: Final = 10.0
_ALERTS_S: Final = 3.0
_LONGEST_TEXT: Final = 500
_MOST_PICTURES: Final = 16
_LARGEST_PICTURE_BYTES: Final = 4096
_IN_REPORTS: Final[Mapping[str, type[Struct]]] = {"recorder": RecorderReport, "uplink": UplinkReport}
_RECORD_PREFIX: Final = b"DSSEv1 %d %b " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode())


class ProtectedSegments(Protocol):
    """Source of the segments that must stay, and of those that must be deleted."""

    def protected(self, stored_segments: int) -> ProtectedIds: ...
    def erased(self) -> frozenset[str]: ...


class BeatSource(Protocol):
    """Source of the beats for witnesses and time-stampers."""

    def beat(self) -> OutgoingBeat: ...
    def take(self, number: int, answers: Sequence[BeatAnswer]) -> None: ...


class StatusReports:
    """The last status report of each other role, while it is fresh."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, tuple[int, Mapping[str, Any]]] = {}

    def record(self, role: str, status: Mapping[str, Any]) -> None:
        """Stores a report.  Raises `RequestError` if the custodian's threads or an owner's command could not read
        it."""
        # Checked here, because a taken recorder writes it: a wrong type would end a thread of the custodian that reads
        # it.
        fault = fault_in(status, _IN_REPORTS[role])
        if fault is not None:
            raise RequestError(f"A report of the {role} cannot be used: {fault}.")
        self._last[role] = (self._clock.now().boot_ns, status)

    def status_of(self, role: str) -> Mapping[str, Any] | None:
        """Returns the last report, or None if the role has not reported for 20 s."""
        last = self._last.get(role)
        if last is None:
            return None
        # The boot clock: a wall clock that is set must not make a dead role look alive.
        at_ns, status = last
        return status if self._clock.now().boot_ns - at_ns <= _STALE_NS else None


class RecorderIpcHandler:
    """`sealers` returns the current recipients of footage, and `settings` the owner's settings.  `sign` signs with the
    device's key, and `second` with its ML-DSA-44 key."""

    def __init__(
        self,
        sealers: Callable[[], Recipients],
        sign: Callable[[bytes], bytes],
        second: Callable[[bytes], bytes],
        holder: ProtectedSegments,
        settings: Callable[[], bytes],
        notifier: PictureNotifier,
        reports: StatusReports,
        live: LiveBuffer,
        talk: TalkBuffer,
        set_up: Callable[[str], SetupState] = lambda _text: SetupState.OFF,
        *,
        capture: CaptureKey,
        button_held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`capture` signs GOPs. `set_up` takes the text of a QR code (`CameraSetup.take`), `button_held` a long press
        of the button (`ButtonCode.held`)."""
        self._button_held = button_held
        self._capture = capture
        self._live = live
        self._talk = talk
        self._set_up = set_up
        self._sealers = sealers
        self._sign = sign
        self._second = second
        self._holder = holder
        self._settings = settings
        self._notifier = notifier
        self._reports = reports

    def handle(self, question: FromRecorder) -> RoleAnswer:
        match question:
            case GetRecipients():
                return self._sealers()
            case Sign(encoding=encoding):
                # The same key signs checkpoints and answers. Only the prefix of records keeps a taken recorder from
                # those.
                return Signature(self._sign(_record_encoding(encoding)))
            case SignSecond(encoding=encoding):
                return Signature(self._second(_record_encoding(encoding)))
            case GetCaptureCertificate():
                return CaptureCertificate(self._capture.certificate())
            case SignGop(document=document):
                return Signature(self._capture.sign(document))
            case GetHeldSegments(stored=stored):
                protected = self._holder.protected(stored)
                return HeldSegments(tuple(protected.names), protected.now_ms)
            case GetErasedSegments():
                return SegmentNames(tuple(self._holder.erased()))
            case GetSettings():
                return OwnerSettingsReply(self._settings())
            case Notify(kind=kind, text=text, once=once, pictures=pictures):
                # Bounds of this side: the recorder has its own, which a taken one does not keep.
                shown = [each for each in pictures[:_MOST_PICTURES] if len(each.sealed) <= _LARGEST_PICTURE_BYTES]
                self._notifier.notify(kind[:_LONGEST_TEXT], text[:_LONGEST_TEXT], once[:_LONGEST_TEXT], shown)
                return Ack()
            case ReportStatus(status=status):
                self._reports.record("recorder", status)
                return Ack()
            case GetLiveViewers(patience_s=patience_s):
                # This side's bound counts, whatever a taken recorder asks for.
                return self._live.wait_for_viewer(min(patience_s, _MOST_PATIENCE_S))
            case PutLivePiece(number=number, piece=piece, pieces=pieces, data=data, begins=begins, small=small):
                return self._live.put(number, piece, pieces, data, begins=begins, small=small)
            case GetTalk(session=session, state=state, patience_s=patience_s):
                return self._talk.work(session, state, min(patience_s, _MOST_PATIENCE_S))
            case PutTalkOffer():
                self._talk.put_offer(question)
                return Ack()
            case PutSetupCode(text=text):
                return SetupReply(self._set_up(text[: LONGEST_TEXT + 1]))
            case PutLongPress():
                return ButtonReply(self._button_held())


class UplinkIpcHandler:
    """`custody` is the part of the custodian that the network may reach."""

    def __init__(
        self,
        custody: CustodyPort,
        addressing: UplinkConfig,
        reports: StatusReports,
        alerts: AlertMailer | None = None,
        home: HomeStateSource | None = None,
        link: LinkPort | None = None,
        relay: Callable[[], RelayReply] = RelayReply,
        health: Callable[[], bytes] = bytes,
        time: BeatSource | None = None,
        *,
        is_sound: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_sound` returns False if the program was changed: then it gets only what its alerts need.

        `relay` returns the relay with the present addresses, `health` the sealed report to the installer, `time` the
        beats for witnesses.
        """
        self._is_sound = is_sound
        self._time = time
        self._health = health
        self._custody = custody
        self.addressing = addressing
        self._reports = reports
        self._alerts = alerts
        self._home = home
        self._link = link
        self._relay = relay
        self.home_address = HomeAddress()
        self._version = 0
        self._changed = threading.Condition()

    def news(self) -> None:
        """Wakes the uplink, because the list of outgoing disclosures has changed.  Call it from any thread."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def handle(self, question: FromUplink) -> RoleAnswer:
        if not self._is_sound() and (answer := self._answer_to_changed(question)) is not None:
            return answer
        match question:
            case GetUplinkConfig():
                return self.addressing
            case DeliverMessage(topic=topic, payload=payload):
                receipt = self._custody.on_message(topic, payload)
                return TransferReceipt(None if receipt is None else strictjson.encode(receipt))
            case GetOutgoing():
                return OutgoingDisclosures(tuple(self._custody.outgoing()))
            case BeginSending(disclosure=disclosure):
                return SendingAllowed(self._custody.begin_sending(disclosure))
            case PollOutgoing(seen=seen):
                with self._changed:
                    # Compared with what the asker has seen, so a change between two questions is not missed.
                    self._changed.wait_for(lambda: self._version != seen, _NEWS_S)
                    return OutgoingVersion(self._version)
            case GetHealthReport():
                return HealthReportReply(self._health())
            case GetBeat():
                return self._time.beat() if self._time is not None else OutgoingBeat(0, ())
            case PutBeatAnswers(number=number, answers=answers):
                if self._time is not None:
                    self._time.take(number, answers)
                return Ack()
            case GetHomeAssistant():
                return HomeAssistantReply(self.home_address)
            case PollHomeState(presses=presses):
                if self._home is None:
                    raise RequestError("No Home Assistant is configured.")
                return HomeStateReply(self._home.collect(presses, _NEWS_S))
            case GetRelay():
                return self._relay()
            case DeliverLinkFrames(frames=frames):
                if self._link is not None:
                    self._link.deliver(frames)
                return Ack()
            case PollLinkFrames():
                return LinkFrames(self._link.collect(_ALERTS_S) if self._link else self._nothing_to_poll())
            case GetAlertChannels():
                return AlertChannelsReply(self._alerts.channels() if self._alerts else ())
            case PollAlerts():
                return AlertMessages(self._alerts.collect(_ALERTS_S) if self._alerts else self._nothing_to_poll())
            case AckAlert(message=message, fault=fault):
                if self._alerts is not None:
                    self._alerts.acknowledge(message, fault[:_LONGEST_TEXT])
                return Ack()
            case ReportStatus(status=status):
                self._reports.record("uplink", status)
                return Ack()

    def _answer_to_changed(self, question: FromUplink) -> RoleAnswer | None:
        """Answers a changed program: no broker, relay or witness, and nothing to send. None for everything else, as for
        alerts and Home Assistant."""
        match question:
            case GetUplinkConfig():
                return UplinkConfig()
            case GetRelay():
                return RelayReply()
            case GetBeat():
                return OutgoingBeat(0, ())
            case GetHealthReport():
                return HealthReportReply(b"")
            case GetOutgoing():
                return OutgoingDisclosures(())
            case BeginSending():
                return SendingAllowed(False)
            case PollLinkFrames():
                return LinkFrames(self._nothing_to_poll())
        return None

    def _nothing_to_poll(self) -> tuple[()]:
        """Answers slowly if alerts or the link are not configured.  Otherwise the uplink would poll continuously."""
        with self._changed:
            self._changed.wait(_ALERTS_S)
        return ()


def _record_encoding(encoding: bytes) -> bytes:
    """Returns `encoding` if it is exactly that of a manifest record.  A recorder must not obtain a signature on a
    checkpoint or a disclosure."""
    length, space, payload = encoding.removeprefix(_RECORD_PREFIX).partition(b" ")
    if (
        not encoding.startswith(_RECORD_PREFIX)
        or not space
        or not length.isdigit()
        # Encoded again and compared: one encoding has one meaning (DSSE, "PAE").
        or encoding != pae(PAYLOAD_TYPE, payload)
    ):
        raise RequestError("The custodian signs only manifest records for the recorder.")
    return encoding
