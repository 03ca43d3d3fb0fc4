"""Confirmations of time by others: cosignatures of witnesses and RFC 3161 time stamps on the device's log of beats.

A `TimeProof` is what others said about one head of that log. Part 0 of a disclosure carries the newest one, so the
device signed part 0 after that time. A `TimeOpening` shows that a head of the ledger was in a beat, so an entry of the
ledger is older than the confirmations of that beat.

Source: LEDGER.md, "Time by others".
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.fields import Count, DeviceKeyText, Sha256, Version1, distinct
from agent.wire.strictjson import Message

__all__ = [
    "MAX_STAMP_BYTES",
    "TIME_OPENING_LIMIT_BYTES",
    "ConfirmerName",
    "TimeOpening",
    "TimeProof",
    "TimeStamp",
]

MAX_STAMP_BYTES: Final = 16 * 1024
"""An answer of a time-stamper with its certificates has 1 to 8 KiB."""
TIME_OPENING_LIMIT_BYTES: Final = 256 * 1024
_MAX_STAMPS: Final = 4
_MAX_STAMP_CHARACTERS: Final = (MAX_STAMP_BYTES + 2) // 3 * 4
_MAX_NOTE_CHARACTERS: Final = 4096
_MAX_TEXT_CHARACTERS: Final = 1024
_MAX_LINES_CHARACTERS: Final = 8192
_MAX_PATH: Final = 64

ConfirmerName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")]
"""The name of a witness or time-stamper in the doorbell's configuration."""


class TimeStamp(Message, frozen=True):
    """The answer of a time-stamper, as it came. The device does not read it."""

    name: ConfirmerName
    response: Annotated[str, Meta(max_length=_MAX_STAMP_CHARACTERS)]
    """TimeStampResp of RFC 3161 in DER, as base64. It stamps the SHA-256 of `TimeProof.checkpoint`."""

    def __post_init__(self) -> None:
        if not self.der:
            raise FormatError("response: empty.")

    @property
    def der(self) -> bytes:
        return strictjson.decode_base64(self.response)


class TimeProof(Message, frozen=True):
    """Statements of others about one head of the device's log of beats."""

    checkpoint: Annotated[str, Meta(max_length=_MAX_NOTE_CHARACTERS)]
    """The signed note with the device's two signatures only: the bytes that time-stampers stamp."""
    cosignatures: Annotated[str, Meta(max_length=_MAX_LINES_CHARACTERS)] = ""
    """Signature lines of witnesses, each with its newline."""
    stamps: Annotated[tuple[TimeStamp, ...], Meta(max_length=_MAX_STAMPS)] = ()

    def __post_init__(self) -> None:
        distinct("stamps", tuple(stamp.name for stamp in self.stamps))
        if not self.cosignatures and not self.stamps:
            raise FormatError("cosignatures: a proof of time has at least one cosignature or stamp.")


class TimeOpening(Message, frozen=True, kw_only=True):
    """Proof that the ledger had its first `size` entries when others confirmed a beat.

    It reveals the size of the ledger at that beat, and no entry.
    """

    v: Version1
    device: DeviceKeyText
    size: Count
    """Number of entries that are shown to be this old."""
    consistency: Annotated[tuple[Sha256, ...], Meta(max_length=_MAX_PATH)]
    """RFC 6962 proof from the ledger of `size` entries to `ledger`."""
    ledger: Annotated[str, Meta(max_length=_MAX_TEXT_CHARACTERS)]
    """Text of the ledger's checkpoint at the beat."""
    blind: Sha256
    """The 32 bytes that hid it, as hex."""
    beat: Count
    """Index of the beat's leaf in the log of beats."""
    path: Annotated[tuple[Sha256, ...], Meta(max_length=_MAX_PATH)]
    """Inclusion proof of that leaf in the head that was confirmed."""
    proof: TimeProof
