"""A doorbell's health report to its installer: signed by the device, sealed to the installer.

    HealthReport ── signed ──▶ envelope ── padded, sealed (age) ──▶ doorward/v1/health/<device>, retained

It holds what an installer needs to mend a doorbell, and nothing that footage, requests or decisions of an owner change:
no number of events or clips, no free space in bytes, no privacy switch. Each report is as long as every other.

Source: PROTOCOL.md, "Health of a doorbell". Pure.
"""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from agent.errors import FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.fields import ClockQuality, Count, DeviceKeyText, Sha256, UtcS, Version1
from agent.wire.identities import parse_public_key
from agent.wire.strictjson import Message, form

__all__ = [
    "HEALTH_BYTES",
    "HEALTH_SEALED_LIMIT_BYTES",
    "HealthReport",
    "HealthWord",
    "UpdateWord",
    "open_report",
    "padded",
]

HEALTH_BYTES: Final = 2048
"""Length of each report before it is sealed."""
HEALTH_SEALED_LIMIT_BYTES: Final = 8 * 1024
_PADDING: Final = b"\n"

_Version = Annotated[str, form(r"^[0-9A-Za-z.+~-]{1,32}\Z", "a version")]


class HealthWord(enum.Enum):
    """State of one part. `UNKNOWN`: the doorbell cannot tell."""

    OK = "ok"
    FAULT = "fault"
    UNKNOWN = "unknown"


class UpdateWord(enum.Enum):
    """The end of the newest installation. `NONE`: there was none."""

    NONE = "none"
    INSTALLED = "installed"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


class HealthReport(Message, frozen=True):
    """`at`: UTC in seconds. `uptime`: of the board, in seconds. `configuration`: SHA-256 of the file's settings
    (`custodian.health_reports.settings_sha256`).

    `recorder`, `camera`, `storage` and `supply` are states. `has_owner`: it records only then. `throttle`: steps of
    reduced work because of heat. `wifi_dbm`: of its Wi-Fi, if it has one. `update_version`: the version of `update`. It
    tells a version that failed from a newer one that waits for its owner.
    """

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.doorward.health-report+json"

    v: Version1
    device: DeviceKeyText
    name: Annotated[str, form(r"^[^\x00-\x1f\x7f]{1,64}\Z", "1 to 64 printable characters")]
    at: UtcS
    clock: ClockQuality
    uptime: Count
    version: _Version
    configuration: Sha256
    has_owner: bool
    recorder: HealthWord
    camera: HealthWord
    storage: HealthWord
    supply: HealthWord
    throttle: Annotated[int, Meta(ge=0, le=9)] = 0
    wifi_dbm: Annotated[int, Meta(ge=-200, le=0)] | None = None
    update: UpdateWord = UpdateWord.NONE
    update_version: _Version | None = None

    def __post_init__(self) -> None:
        parse_public_key(self.device)
        if (self.update is UpdateWord.NONE) != (self.update_version is None):
            raise FormatError('update_version: it stands beside each update except "none".')


def padded(signed: bytes) -> bytes:
    """Returns an envelope as long as every other, so that its length tells nothing."""
    if len(signed) > HEALTH_BYTES:
        raise FormatError(f"A health report has {len(signed)} bytes, allowed are {HEALTH_BYTES}.")
    return signed.ljust(HEALTH_BYTES, _PADDING)


def open_report(data: bytes, device: str) -> HealthReport:
    """Returns the report in an opened message on the topic of `device`. Raises `FormatError`, or `OpenError` if another
    key signed it."""
    claimed = envelope.read_unverified(data.rstrip(_PADDING), limit_bytes=HEALTH_BYTES)
    if claimed.payload_type != HealthReport.PAYLOAD_TYPE:
        raise FormatError("This envelope does not hold a health report.")
    report = strictjson.decode(claimed.payload, HealthReport, limit_bytes=HEALTH_BYTES)
    key = parse_public_key(report.device)
    if key.id != device:
        raise OpenError(envelope.NOT_SIGNED)
    envelope.verify(claimed, {key.id: key})
    return report
