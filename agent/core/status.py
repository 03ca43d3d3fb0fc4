"""The shape of what roles report and of what a device says of itself.

A role may be taken over.  Its report goes to the custodian's own threads (metrics, Home Assistant, alerts) and through
`doorward status` to a terminal of root.  So each reader checks the whole tree with these types before it uses a value:
`fault_in(value, RecorderReport)` says what is wrong and where.  Unknown names are let through.  Numbers are bounded,
because a number of a thousand digits ends arithmetic as a wrong type does.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "AlertQueueStatus",
    "Amount",
    "Count",
    "RecorderReport",
    "Seconds",
    "Status",
    "TimeStatus",
    "UpdateStatus",
    "UplinkReport",
    "UtcMs",
    "fault_in",
]

_LAST_S: Final = 253_402_300_799
"""The end of the year 9999, the latest time of `datetime`."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Amount = Annotated[float, Meta(ge=-1e15, le=1e15)]
Seconds = Annotated[int, Meta(ge=0, le=_LAST_S)]
UtcMs = Annotated[int, Meta(ge=0, le=_LAST_S * 1000)]
_Bound = Annotated[str, Meta(pattern=r"^(\+Inf|[0-9.e-]{1,12})$")]
"""The bound of a bucket in seconds. It is copied into the text of the metrics, so its form is checked."""


class DetectionReport(Struct):
    state: str
    detail: str = ""
    inferences: Count = 0
    dropped: Count = 0
    ms_per_inference: Amount = 0.0
    labels: tuple[str, ...] | None = None


class ScrubReport(Struct):
    segments: Count
    read_bytes: Count
    damaged: tuple[str, ...]
    fault: str


class Wear(Struct):
    bytes_per_recorded_hour: Count | None


class DiskReport(Struct):
    syncs: Count
    seconds: Amount
    written_bytes: Count
    buckets: tuple[tuple[_Bound, Count], ...]


class Health(Struct):
    temperature_c: Amount | None = None
    throttle_level: Count | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    wifi_dbm: Annotated[int, Meta(ge=-1000, le=1000)] | None = None


class PanelReport(Struct):
    connected: bool
    detail: str = ""
    backend: str = ""
    board: str = ""
    privacy: bool | None = None
    open: bool | None = None
    health: Health = msgspec.field(default_factory=Health)


class RecorderReport(Struct):
    """A recorder's report about itself. The first fields are always present, the others depend on its equipment."""

    state: str
    detail: str
    frames: Count
    frames_dropped: Count
    packets_dropped: Count
    events: Count
    segments: Count
    analysis_ms_per_frame: Amount
    in_memory_bytes: Count = 0
    in_memory_s: Amount = 0.0
    recorded_s: Amount = 0.0
    in_event: bool = False
    motion_passes: str = ""
    sound: str = "off"
    speaker: str = "off"
    object_detection: DetectionReport | None = None
    scrub: ScrubReport | None = None
    wear: Wear | None = None
    disk: DiskReport | None = None
    panel: PanelReport | None = None


class UplinkReport(Struct):
    link: str
    remedy: str
    transfers: Count | None = None
    sent_bytes: Count | None = None
    received_messages: Count | None = None
    relay: str = ""
    relay_remedy: str = ""


class _Vault(Struct):
    segments: Count
    stored_bytes: Count


class _Jump(Struct):
    ahead_s: Annotated[int, Meta(ge=-_LAST_S, le=_LAST_S)]
    confirmed_in_s: Seconds


class _Channel(Struct):
    waiting: Count
    delivered: Count
    failures: Count
    fault: str | None


class AlertQueueStatus(Struct):
    channels: dict[str, _Channel]


class UpdateStatus(Struct):
    """`offer`: the version that waits for an owner. `trouble`: why the newest look found nothing out."""

    running: str
    offer: str | None = None
    security: bool = False
    trouble: str | None = None


class TimeStatus(Struct):
    """`beats` of the log of time, and how many of them the newest confirmed one counts.

    `by`: for each address the fault of its last answer, empty if it confirmed the beat. None: this process still waits
    for its first answer."""

    beats: Count
    confirmed: Count
    by: dict[str, str | None]


class Status(Struct):
    """The data of `doorward status`."""

    device: str
    device_id: str
    owners: tuple[str, ...]
    recorder: RecorderReport
    vault: _Vault
    clock: str
    link: UplinkReport
    panel: PanelReport | None = None
    clock_jump: _Jump | None = None
    alerts: AlertQueueStatus | None = None
    requests_told: Count = 0
    messages_dropped: Count = 0
    newest_ms: UtcMs | None = None
    update: UpdateStatus | None = None
    time: TimeStatus | None = None
    page_fault: str = ""
    """Why no browser can open the page."""


def fault_in(value: Any, shape: type[Struct]) -> str | None:
    """Returns the reason why `value` does not have this shape, with the place in it, or None."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        return str(error)
    return None
