"""The requests that the recorder and the uplink send to the custodian, and their answers (docs/local-rpc.md).

The recorder and the uplink ask, and only the custodian answers. So a recorder receives only answers to its own
requests, and a message from a network cannot open, pause or turn a camera. The custodian identifies a peer by its
socket and its user id, never by the message.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

from agent.core.alerts.alert_messages import AlertMessage, AlertPicture, ChannelAddress
from agent.core.home_news import HomeAddress, HomeState
from agent.core.requests import OutboxRecord
from agent.core.setup_state import SetupState
from agent.core.talk.offers import TalkState
from agent.ipc.rpc import Request

__all__ = [
    "Ack",
    "AckAlert",
    "AlertChannelsReply",
    "AlertMessages",
    "BeatAnswer",
    "BeatMessage",
    "BeginSending",
    "ButtonReply",
    "CaptureCertificate",
    "DeliverLinkFrames",
    "DeliverMessage",
    "FromRecorder",
    "FromUplink",
    "GetAlertChannels",
    "GetBeat",
    "GetCaptureCertificate",
    "GetErasedSegments",
    "GetHealthReport",
    "GetHeldSegments",
    "GetHomeAssistant",
    "GetLiveViewers",
    "GetOutgoing",
    "GetRecipients",
    "GetRelay",
    "GetSettings",
    "GetTalk",
    "GetUplinkConfig",
    "HealthReportReply",
    "HeldSegments",
    "HomeAssistantReply",
    "HomeStateReply",
    "LinkFrame",
    "LinkFrames",
    "LiveViewers",
    "Notify",
    "OutgoingBeat",
    "OutgoingDisclosures",
    "OutgoingVersion",
    "OwnerSettingsReply",
    "PollAlerts",
    "PollHomeState",
    "PollLinkFrames",
    "PollOutgoing",
    "PutBeatAnswers",
    "PutLivePiece",
    "PutLongPress",
    "PutSetupCode",
    "PutTalkOffer",
    "Recipients",
    "RelayReply",
    "ReportStatus",
    "RoleAnswer",
    "SegmentNames",
    "SendingAllowed",
    "SetupReply",
    "Sign",
    "SignGop",
    "SignSecond",
    "Signature",
    "TalkWork",
    "TransferReceipt",
    "UplinkConfig",
]


class RoleAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of all answers."""


# --- The custodian answers


class Recipients(RoleAnswer, frozen=True):
    """`recipients`: age recipients, the recovery identity's included; empty until an owner has enrolled. `glances`: the
    glance keys of the browsers that show alerts."""

    device: str
    device_mldsa: str
    """The device's ML-DSA-44 key in base64, for the records that name it."""
    epoch: int
    recipients: tuple[str, ...]
    glances: tuple[str, ...] = ()


class Signature(RoleAnswer, frozen=True):
    signature: bytes


class CaptureCertificate(RoleAnswer, frozen=True):
    """In PEM."""

    certificate: bytes


class OwnerSettingsReply(RoleAnswer, frozen=True):
    """The payload of the owner's statement, verified by the custodian.  Empty if no owner has set anything."""

    payload: bytes


class SegmentNames(RoleAnswer, frozen=True):
    names: tuple[str, ...]


class HeldSegments(RoleAnswer, frozen=True):
    """`core.retention.ProtectedIds`: segments to keep, and the trusted UTC, None if nothing may go by age."""

    names: tuple[str, ...]
    now_ms: int | None


class OutgoingDisclosures(RoleAnswer, frozen=True):
    """Outbox objects that may be sent, each with True if its first byte has left."""

    disclosures: tuple[tuple[OutboxRecord, bool], ...]


class SendingAllowed(RoleAnswer, frozen=True):
    allowed: bool


class TransferReceipt(RoleAnswer, frozen=True):
    """`receipt`: strict JSON of the receipt for a transfer of this device, or None if the message was another one."""

    receipt: bytes | None


class OutgoingVersion(RoleAnswer, frozen=True):
    version: int


class LiveViewers(RoleAnswer, frozen=True):
    """Whether a person looks at live view. `glances`: the glance keys of browsers that look, besides the owners.

    `now`: a person looks at the filmed pictures. `small_kbps`: a person with a slow link looks at small pictures with
    at most this many kbit/s; 0: there is no such person.
    """

    now: bool
    glances: tuple[str, ...] = ()
    small_kbps: int = 0


class SetupReply(RoleAnswer, frozen=True):
    """How far the set-up by the camera is."""

    state: SetupState


class ButtonReply(RoleAnswer, frozen=True):
    """`is_open`: a code for a browser can be fetched now."""

    is_open: bool


class TalkWork(RoleAnswer, frozen=True):
    """Work for the speaker. `to` and `challenge`: a browser asks for an offer; both are empty if none does.

    `session` is the session that holds the floor, and `frames` its sealed frames, oldest first."""

    to: str = ""
    challenge: str = ""
    session: str = ""
    frames: tuple[bytes, ...] = ()


class Ack(RoleAnswer, frozen=True):
    """Confirms a message that has no other answer."""


class HomeAssistantReply(RoleAnswer, frozen=True):
    """The address has no host if Home Assistant is not configured."""

    address: HomeAddress


class HomeStateReply(RoleAnswer, frozen=True):
    news: HomeState


class AlertChannelsReply(RoleAnswer, frozen=True):
    addresses: tuple[ChannelAddress, ...]


class AlertMessages(RoleAnswer, frozen=True):
    messages: tuple[AlertMessage, ...]


class LinkFrame(Struct, frozen=True, forbid_unknown_fields=True):
    """A frame of the link, and the session that its carrier names (LINK.md). An empty frame: the session is over."""

    session: str
    frame: bytes


class LinkFrames(RoleAnswer, frozen=True):
    """Frames for clients, in the order of sending."""

    frames: tuple[LinkFrame, ...]


class RelayReply(RoleAnswer, frozen=True):
    """The relay of the link, and this doorbell's account and addresses there.  No host if none is configured."""

    host: str = ""
    port: int = 0
    keepalive_s: int = 0
    account: str = ""
    addresses: tuple[str, ...] = ()
    files: tuple[str, str, str] = ("", "", "")
    """Authority, certificate and key as configured."""
    is_brokers: bool = False
    """The files are those of `UplinkConfig`."""


class UplinkConfig(RoleAnswer, frozen=True):
    """Broker and topics for the uplink.  No host if no broker is configured."""

    device: str = ""
    host: str = ""
    port: int = 0
    keepalive_s: int = 0
    chunk_bytes: int = 0
    cell_filter: str | None = None
    """The topics of a cell far larger than any area; the position itself stays with the custodian."""
    files: tuple[str, str, str] = ("", "", "")
    """Authority, certificate and key as configured; systemd's credentials win over them."""
    reports_health: bool = False
    """The configuration names an installer who reads reports."""
    beat_every_s: int = 0
    """Seconds between two beats of the log of time. 0: no witness and no time-stamper is configured."""
    session_hours: int = 0
    """For how long the broker keeps messages for the doorbell while it is away."""
    user: str = ""
    password_file: str = ""
    """For a broker that takes a password. Then certificate and key may be empty."""


class BeatMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A POST to a witness (`add-checkpoint`) or to a time-stamper (RFC 3161)."""

    name: str
    url: str
    body: bytes
    is_witness: bool


class OutgoingBeat(RoleAnswer, frozen=True):
    """Beat `number` of the log of time. 0: there is none yet, and no message."""

    number: int
    messages: tuple[BeatMessage, ...]


class BeatAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of an address to a `BeatMessage`. `status`: the HTTP status, 0 if none came."""

    name: str
    status: int
    body: bytes = b""


class HealthReportReply(RoleAnswer, frozen=True):
    """A report, signed and sealed to the installer. Empty if none is configured."""

    sealed: bytes


# --- The recorder asks


class GetRecipients(Request[Recipients], frozen=True):
    """Asks for the keys to seal to."""


class Sign(Request[Signature], frozen=True):
    """Asks to sign a manifest record, and nothing else: `encoding` is its DSSE pre-authentication encoding."""

    encoding: bytes


class SignSecond(Request[Signature], frozen=True):
    """Does the same with the device's ML-DSA-44 key."""

    encoding: bytes


class GetCaptureCertificate(Request[CaptureCertificate], frozen=True):
    """Asks for the certificate of the key that signs GOPs."""


class SignGop(Request[Signature], frozen=True):
    """Asks the capture key to sign a document of ONVIF Media Signing, and nothing else."""

    document: bytes


class GetHeldSegments(Request[HeldSegments], frozen=True):
    """Asks which of `stored` segments must not be evicted, and for the time that ages the others."""

    stored: int


class GetErasedSegments(Request[SegmentNames], frozen=True):
    """Asks which segments an owner has deleted.  Answered by `SegmentNames`: those that are still on the disk."""


class GetSettings(Request[OwnerSettingsReply], frozen=True):
    """Asks for the owner's settings."""


class Notify(Request[Ack], frozen=True):
    """Tell the owner."""

    kind: str
    text: str
    once: str = ""
    pictures: tuple[AlertPicture, ...] = ()


class ReportStatus(Request[Ack], frozen=True):
    """The status of the asking process, for `doorward status`."""

    status: dict[str, Any]


class GetLiveViewers(Request[LiveViewers], frozen=True):
    """Asks if an owner watches live view.  Answered by `LiveViewers` if one does, after `patience_s` at most."""

    patience_s: float


class PutLivePiece(Request[LiveViewers], frozen=True):
    """A piece of a GOP that is sealed to the owners, or of its part that `begins` it with the keyframe. `small`: of the
    small pictures."""

    number: int
    piece: int
    pieces: int
    data: bytes
    begins: bool
    small: bool = False


class PutLongPress(Request[ButtonReply], frozen=True):
    """The button was held for `long_press_s`."""


class PutSetupCode(Request[SetupReply], frozen=True):
    """The text of a QR code that the camera of a doorbell without an owner saw. Without `text` it only asks."""

    text: str = ""


class GetTalk(Request[TalkWork], frozen=True):
    """Asks for work for the speaker, after `patience_s` at most. `session` and `state` say what became of the last."""

    session: str
    state: TalkState
    patience_s: float


class PutTalkOffer(Request[Ack], frozen=True):
    """Answers a browser's question for an offer. Without `session` there is none, and `state` says why."""

    challenge: str
    state: TalkState
    session: str = ""
    sealed: bytes = b""


# --- The uplink asks


class GetUplinkConfig(Request[UplinkConfig], frozen=True):
    """Asks for the part of the configuration that the uplink needs."""


class DeliverMessage(Request[TransferReceipt], frozen=True):
    """A message from the broker."""

    topic: str
    payload: bytes


class GetOutgoing(Request[OutgoingDisclosures], frozen=True):
    """Answered by `OutgoingDisclosures`."""


class BeginSending(Request[SendingAllowed], frozen=True):
    """Asks to send the first byte of a disclosure."""

    disclosure: str


class GetRelay(Request[RelayReply], frozen=True):
    """Asks for the relay.  The addresses change with the list of owners, so the uplink asks again."""


class GetAlertChannels(Request[AlertChannelsReply], frozen=True):
    """Asks for the channels of alerts.  Alerts in delivery start again."""


class PollAlerts(Request[AlertMessages], frozen=True):
    """Answered by `AlertMessages`, empty after some seconds."""


class AckAlert(Request[Ack], frozen=True):
    """The channel accepted an alert, or `fault` says why it did not."""

    message: AlertMessage
    fault: str


class GetHomeAssistant(Request[HomeAssistantReply], frozen=True):
    """Answered by `HomeAssistantReply`."""


class PollHomeState(Request[HomeStateReply], frozen=True):
    """Answered by `HomeStateReply` after a press that `presses` does not count, or after a second."""

    presses: int


class DeliverLinkFrames(Request[Ack], frozen=True):
    """Frames of clients, as the relay passed them on: four at most, so that they fit a request."""

    frames: tuple[LinkFrame, ...]


class PollLinkFrames(Request[LinkFrames], frozen=True):
    """Answered by `LinkFrames`, empty after some seconds."""


class GetHealthReport(Request[HealthReportReply], frozen=True):
    """Asks for the report of this doorbell's health."""


class GetBeat(Request[OutgoingBeat], frozen=True):
    """Asks for the present beat of the log of time. Asking again makes no other one."""


class PutBeatAnswers(Request[Ack], frozen=True):
    """The answers to beat `number`: one for each message at most."""

    number: int
    answers: tuple[BeatAnswer, ...]


class PollOutgoing(Request[OutgoingVersion], frozen=True):
    """Answered by `OutgoingVersion` if the list of outgoing disclosures is newer than `seen`, or after some seconds."""

    seen: int


FromRecorder: TypeAlias = (
    GetRecipients
    | Sign
    | SignSecond
    | GetCaptureCertificate
    | SignGop
    | GetHeldSegments
    | GetErasedSegments
    | GetSettings
    | Notify
    | ReportStatus
    | GetLiveViewers
    | PutLivePiece
    | GetTalk
    | PutTalkOffer
    | PutSetupCode
    | PutLongPress
)
FromUplink: TypeAlias = (
    GetUplinkConfig
    | DeliverMessage
    | GetOutgoing
    | BeginSending
    | PollOutgoing
    | ReportStatus
    | GetAlertChannels
    | PollAlerts
    | AckAlert
    | GetHomeAssistant
    | GetRelay
    | PollHomeState
    | DeliverLinkFrames
    | PollLinkFrames
    | GetHealthReport
    | GetBeat
    | PutBeatAnswers
)
