"""What the roles say to each other, and how it is framed: a handful of questions, each with one answer.

    frame = u32 length · JSON object of one of the kinds below

Only the custodian is asked; it asks nobody.  So nothing can be said *to* a recorder but the answer to its question, and
nothing that came over a network can open, pause or turn a camera.  Lengths are bounded before anything is read.
The peers are told apart by the socket they can reach and by their user id, never by what they say.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from agent.core.alerts.alert_messages import ChannelAddress, Parcel
from agent.core.home_news import HomeAddress, HomeNews
from agent.core.requests import OutboxRecord
from agent.errors import FormatError

__all__ = [
    "LONGEST_ANSWER_BYTES",
    "LONGEST_QUESTION_BYTES",
    "Addressing",
    "Answer",
    "BeginSending",
    "Begun",
    "Changed",
    "Channels",
    "Failed",
    "FromRecorder",
    "FromUplink",
    "Held",
    "Home",
    "HomeIs",
    "LivePiece",
    "Looking",
    "Message",
    "Names",
    "Noted",
    "Outgoing",
    "Parcels",
    "Receipt",
    "Report",
    "Sealers",
    "SettingsAre",
    "Sign",
    "Signature",
    "Tell",
    "Told",
    "Took",
    "WhatChanged",
    "WhatIsDeleted",
    "WhatIsHeld",
    "WhatIsHome",
    "WhatToSend",
    "WhatToTell",
    "WhichChannels",
    "WhichHome",
    "WhichSettings",
    "WhoLooks",
    "WhoMayOpen",
    "decode",
    "frame",
    "length_in",
]

LONGEST_QUESTION_BYTES: Final = 128 << 10
"""A manifest record of the most evictions, or a packet of 16 KiB, in base64, with room."""
LONGEST_ANSWER_BYTES: Final = 4 << 20
"""The held segments of several twelve-hour windows; a list of outbox objects of as many parts."""
LENGTH: Final = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Base of all of them."""


# --- The recorder asks


class WhoMayOpen(Message, frozen=True):
    """Whom to seal to.  Answered by `Sealers`."""


class Sign(Message, frozen=True):
    """Sign a manifest record, and nothing else: `encoding` is its DSSE pre-authentication encoding."""

    encoding: bytes


class WhatIsHeld(Message, frozen=True):
    """Which of `stored` segments must not be evicted, and what time to age the others by.  Answered by `Held`."""

    stored: int


class WhatIsDeleted(Message, frozen=True):
    """Which segments an owner has deleted.  Answered by `Names`: those that are still on the disk."""


class WhichSettings(Message, frozen=True):
    """What an owner has set.  Answered by `SettingsAre`."""


class Tell(Message, frozen=True):
    """Tell the owner."""

    kind: str
    text: str
    once: str = ""


class Report(Message, frozen=True):
    """How the asking role is: for `doorward status`."""

    status: dict[str, Any]


class WhoLooks(Message, frozen=True):
    """Does an owner look at live view?  Answered by `Looking`, at once or when one does, after `patience_s` at most."""

    patience_s: float


class LivePiece(Message, frozen=True):
    """A piece of a GOP that is sealed to the owners.  Answered by `Looking`."""

    number: int
    piece: int
    pieces: int
    data: bytes


# --- The uplink asks


class Addressing(Message, frozen=True):
    """Where to connect and what to listen to: everything the uplink needs of the configuration.  Answers itself."""

    device: str = ""
    host: str = ""
    port: int = 0
    keepalive_s: int = 0
    chunk_bytes: int = 0
    cell_filter: str | None = None
    """The topics of a cell far larger than any area; the position itself stays with the custodian."""
    files: tuple[str, str, str] = ("", "", "")
    """Authority, certificate and key as configured; systemd's credentials win over them."""


class Took(Message, frozen=True):
    """A message came.  Answered by `Receipt`."""

    topic: str
    payload: bytes


class WhatToSend(Message, frozen=True):
    """Answered by `Outgoing`."""


class BeginSending(Message, frozen=True):
    """The first byte of a disclosure is about to leave.  Answered by `Begun`."""

    disclosure: str


class WhichChannels(Message, frozen=True):
    """Where alerts go.  Answered by `Channels`; whatever was handed out before counts as not delivered."""


class WhatToTell(Message, frozen=True):
    """Answered by `Parcels`, empty after some seconds."""


class Told(Message, frozen=True):
    """A parcel was taken by its channel, or (`fault`) why not.  Answered by `Noted`."""

    parcel: Parcel
    fault: str


class WhichHome(Message, frozen=True):
    """Answered by `Home`."""


class WhatIsHome(Message, frozen=True):
    """Answered by `HomeIs`, after another press than these or after a second."""

    presses: int


class WhatChanged(Message, frozen=True):
    """Answered by `Changed` when the list of outgoing disclosures is newer than `seen`, or after some seconds."""

    seen: int


# --- The custodian answers


class Sealers(Message, frozen=True):
    """`recipients`: age recipients, the recovery identity's included; empty until an owner has enrolled."""

    device: str
    epoch: int
    recipients: tuple[str, ...]


class Signature(Message, frozen=True):
    signature: bytes


class SettingsAre(Message, frozen=True):
    """The payload of the owner's statement, verified by the custodian; empty while everything is as the file says."""

    payload: bytes


class Names(Message, frozen=True):
    names: tuple[str, ...]


class Held(Message, frozen=True):
    """`core.retention.Protected`: the names of what stays; the trusted UTC, or None when nothing may go by age."""

    names: tuple[str, ...]
    now_ms: int | None


class Outgoing(Message, frozen=True):
    """Outbox objects that may be sent, and whether their first byte has left already."""

    disclosures: tuple[tuple[OutboxRecord, bool], ...]


class Begun(Message, frozen=True):
    allowed: bool


class Receipt(Message, frozen=True):
    """`receipt`: strict JSON of the receipt for a transfer of ours; None when the message was anything else."""

    receipt: bytes | None


class Changed(Message, frozen=True):
    version: int


class Looking(Message, frozen=True):
    """Whether an owner looks at live view."""

    now: bool


class Noted(Message, frozen=True):
    """Heard."""


class Home(Message, frozen=True):
    """With no host when Home Assistant is not wanted."""

    address: HomeAddress


class HomeIs(Message, frozen=True):
    news: HomeNews


class Channels(Message, frozen=True):
    addresses: tuple[ChannelAddress, ...]


class Parcels(Message, frozen=True):
    parcels: tuple[Parcel, ...]


class Failed(Message, frozen=True):
    """An error of the tree in `agent.errors`, by its class's name."""

    kind: str
    message: str
    remedy: str


FromRecorder: TypeAlias = (
    WhoMayOpen | Sign | WhatIsHeld | WhatIsDeleted | WhichSettings | Tell | Report | WhoLooks | LivePiece
)
FromUplink: TypeAlias = (
    Addressing
    | Took
    | WhatToSend
    | BeginSending
    | WhatChanged
    | Report
    | WhichChannels
    | WhatToTell
    | Told
    | WhichHome
    | WhatIsHome
)
Answer: TypeAlias = (
    Sealers
    | Signature
    | Names
    | Held
    | SettingsAre
    | Outgoing
    | Begun
    | Receipt
    | Changed
    | Noted
    | Failed
    | Addressing
    | Channels
    | Parcels
    | Home
    | HomeIs
    | Looking
)

_Kind = TypeVar("_Kind")


def frame(message: Message, limit_bytes: int) -> bytes:
    """Raises `FormatError` when it is larger than its reader takes."""
    data = msgspec.json.encode(message)
    if len(data) > limit_bytes:
        raise FormatError(f"{type(message).__name__}: {len(data)} bytes, allowed are {limit_bytes}.")
    return LENGTH.pack(len(data)) + data


def length_in(start: bytes, limit_bytes: int) -> int:
    """How long the JSON is that follows these four bytes.  Raises `FormatError`."""
    if len(start) != LENGTH.size:
        raise FormatError("A message between roles is cut short.")
    size: int = LENGTH.unpack(start)[0]
    if size > limit_bytes:
        raise FormatError(f"A message between roles claims {size} bytes; at most {limit_bytes} are read.")
    return size


def decode(data: bytes, kinds: type[_Kind]) -> _Kind:
    """One of `kinds`.  Raises `FormatError`."""
    try:
        return msgspec.json.decode(data, type=kinds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError("A message between roles is not one that belongs here.") from error
