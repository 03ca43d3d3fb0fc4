"""The messages between recorder, uplink and custodian: requests, each with one answer, and their frame.

    frame = u32 length · JSON object of one of the kinds below

The recorder and the uplink ask, and only the custodian answers. So a recorder receives only answers to its own
questions, and a message from a network cannot open, pause or turn a camera. Lengths are checked before bytes are read.
The custodian identifies a peer by its socket and its user id, never by the message.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.core.home_news import HomeAddress, HomeState
from agent.core.requests import OutboxRecord
from agent.errors import FormatError

__all__ = [
    "MAX_REPLY_BYTES",
    "MAX_REQUEST_BYTES",
    "Ack",
    "AckAlert",
    "AlertChannelsReply",
    "AlertMessages",
    "Answer",
    "BeginSending",
    "DeliverMessage",
    "ErrorReply",
    "FromRecorder",
    "FromUplink",
    "GetAlertChannels",
    "GetErasedSegments",
    "GetHeldSegments",
    "GetHomeAssistant",
    "GetLiveViewers",
    "GetOutgoing",
    "GetRecipients",
    "GetSettings",
    "HeldSegments",
    "HomeAssistantReply",
    "HomeStateReply",
    "IpcMessage",
    "LiveViewers",
    "Notify",
    "OutgoingDisclosures",
    "OutgoingVersion",
    "OwnerSettingsReply",
    "PollAlerts",
    "PollHomeState",
    "PollOutgoing",
    "PutLivePiece",
    "Recipients",
    "ReportStatus",
    "SegmentNames",
    "SendingAllowed",
    "Sign",
    "Signature",
    "TransferReceipt",
    "UplinkConfig",
    "decode",
    "decode_length",
    "frame",
]

MAX_REQUEST_BYTES: Final = 128 << 10
"""A manifest record of the most evictions, or a packet of 16 KiB, in base64, with room."""
MAX_REPLY_BYTES: Final = 4 << 20
"""The held segments of several twelve-hour windows; a list of outbox objects of as many parts."""
LENGTH: Final = struct.Struct(">I")


class IpcMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Base class of all messages."""


# --- The recorder asks


class GetRecipients(IpcMessage, frozen=True):
    """Asks for the keys to seal to.  Answered by `Recipients`."""


class Sign(IpcMessage, frozen=True):
    """Asks to sign a manifest record, and nothing else: `encoding` is its DSSE pre-authentication encoding."""

    encoding: bytes


class GetHeldSegments(IpcMessage, frozen=True):
    """Asks which of `stored` segments must not be evicted, and for the time that ages the others.  Answered by
    `HeldSegments`."""

    stored: int


class GetErasedSegments(IpcMessage, frozen=True):
    """Asks which segments an owner has deleted.  Answered by `SegmentNames`: those that are still on the disk."""


class GetSettings(IpcMessage, frozen=True):
    """Asks for the owner's settings.  Answered by `OwnerSettingsReply`."""


class Notify(IpcMessage, frozen=True):
    """Tell the owner."""

    kind: str
    text: str
    once: str = ""


class ReportStatus(IpcMessage, frozen=True):
    """The status of the asking process, for `doorward status`."""

    status: dict[str, Any]


class GetLiveViewers(IpcMessage, frozen=True):
    """Asks if an owner watches live view.  Answered by `LiveViewers` if one does, after `patience_s` at most."""

    patience_s: float


class PutLivePiece(IpcMessage, frozen=True):
    """A piece of a GOP that is sealed to the owners.  Answered by `LiveViewers`."""

    number: int
    piece: int
    pieces: int
    data: bytes


# --- The uplink asks


class UplinkConfig(IpcMessage, frozen=True):
    """The part of the configuration that the uplink needs: broker and topics.  The answer has the same type."""

    device: str = ""
    host: str = ""
    port: int = 0
    keepalive_s: int = 0
    chunk_bytes: int = 0
    cell_filter: str | None = None
    """The topics of a cell far larger than any area; the position itself stays with the custodian."""
    files: tuple[str, str, str] = ("", "", "")
    """Authority, certificate and key as configured; systemd's credentials win over them."""


class DeliverMessage(IpcMessage, frozen=True):
    """A message from the broker.  Answered by `TransferReceipt`."""

    topic: str
    payload: bytes


class GetOutgoing(IpcMessage, frozen=True):
    """Answered by `OutgoingDisclosures`."""


class BeginSending(IpcMessage, frozen=True):
    """Asks to send the first byte of a disclosure.  Answered by `SendingAllowed`."""

    disclosure: str


class GetAlertChannels(IpcMessage, frozen=True):
    """Asks for the channels of alerts.  Answered by `AlertChannelsReply`.  Alerts in delivery start again."""


class PollAlerts(IpcMessage, frozen=True):
    """Answered by `AlertMessages`, empty after some seconds."""


class AckAlert(IpcMessage, frozen=True):
    """The channel accepted an alert, or `fault` says why it did not.  Answered by `Ack`."""

    message: AlertMessage
    fault: str


class GetHomeAssistant(IpcMessage, frozen=True):
    """Answered by `HomeAssistantReply`."""


class PollHomeState(IpcMessage, frozen=True):
    """Answered by `HomeStateReply` after a press that `presses` does not count, or after a second."""

    presses: int


class PollOutgoing(IpcMessage, frozen=True):
    """Answered by `OutgoingVersion` if the list of outgoing disclosures is newer than `seen`, or after some seconds."""

    seen: int


# --- The custodian answers


class Recipients(IpcMessage, frozen=True):
    """`recipients`: age recipients, the recovery identity's included; empty until an owner has enrolled."""

    device: str
    epoch: int
    recipients: tuple[str, ...]


class Signature(IpcMessage, frozen=True):
    signature: bytes


class OwnerSettingsReply(IpcMessage, frozen=True):
    """The payload of the owner's statement, verified by the custodian.  Empty if no owner has set anything."""

    payload: bytes


class SegmentNames(IpcMessage, frozen=True):
    names: tuple[str, ...]


class HeldSegments(IpcMessage, frozen=True):
    """`core.retention.ProtectedIds`: segments to keep, and the trusted UTC, None if nothing may go by age."""

    names: tuple[str, ...]
    now_ms: int | None


class OutgoingDisclosures(IpcMessage, frozen=True):
    """Outbox objects that may be sent, each with True if its first byte has left."""

    disclosures: tuple[tuple[OutboxRecord, bool], ...]


class SendingAllowed(IpcMessage, frozen=True):
    allowed: bool


class TransferReceipt(IpcMessage, frozen=True):
    """`receipt`: strict JSON of the receipt for a transfer of this device, or None if the message was another one."""

    receipt: bytes | None


class OutgoingVersion(IpcMessage, frozen=True):
    version: int


class LiveViewers(IpcMessage, frozen=True):
    """Whether an owner looks at live view."""

    now: bool


class Ack(IpcMessage, frozen=True):
    """Confirms a message that has no other answer."""


class HomeAssistantReply(IpcMessage, frozen=True):
    """The address has no host if Home Assistant is not configured."""

    address: HomeAddress


class HomeStateReply(IpcMessage, frozen=True):
    news: HomeState


class AlertChannelsReply(IpcMessage, frozen=True):
    addresses: tuple[ChannelAddress, ...]


class AlertMessages(IpcMessage, frozen=True):
    messages: tuple[AlertMessage, ...]


class ErrorReply(IpcMessage, frozen=True):
    """An error of the tree in `agent.errors`, by its class's name."""

    kind: str
    message: str
    remedy: str


FromRecorder: TypeAlias = (
    GetRecipients
    | Sign
    | GetHeldSegments
    | GetErasedSegments
    | GetSettings
    | Notify
    | ReportStatus
    | GetLiveViewers
    | PutLivePiece
)
FromUplink: TypeAlias = (
    UplinkConfig
    | DeliverMessage
    | GetOutgoing
    | BeginSending
    | PollOutgoing
    | ReportStatus
    | GetAlertChannels
    | PollAlerts
    | AckAlert
    | GetHomeAssistant
    | PollHomeState
)
Answer: TypeAlias = (
    Recipients
    | Signature
    | SegmentNames
    | HeldSegments
    | OwnerSettingsReply
    | OutgoingDisclosures
    | SendingAllowed
    | TransferReceipt
    | OutgoingVersion
    | Ack
    | ErrorReply
    | UplinkConfig
    | AlertChannelsReply
    | AlertMessages
    | HomeAssistantReply
    | HomeStateReply
    | LiveViewers
)

_Kind = TypeVar("_Kind")


def frame(message: IpcMessage, limit_bytes: int) -> bytes:
    """Returns the framed message.  Raises `FormatError` if it is larger than its reader accepts."""
    data = msgspec.json.encode(message)
    if len(data) > limit_bytes:
        raise FormatError(f"{type(message).__name__}: {len(data)} bytes, allowed are {limit_bytes}.")
    return LENGTH.pack(len(data)) + data


def decode_length(start: bytes, limit_bytes: int) -> int:
    """Returns the length of the JSON after these four bytes.  Raises `FormatError`."""
    if len(start) != LENGTH.size:
        raise FormatError("A message between roles is cut short.")
    size: int = LENGTH.unpack(start)[0]
    if size > limit_bytes:
        raise FormatError(f"A message between roles claims {size} bytes; at most {limit_bytes} are read.")
    return size


def decode(data: bytes, kinds: type[_Kind]) -> _Kind:
    """Returns a message of one of `kinds`.  Raises `FormatError`."""
    try:
        return msgspec.json.decode(data, type=kinds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError("A message between roles is not one that belongs here.") from error
