"""The doorbell's metrics for Prometheus: its health and load, never pictures or requesters.

Names, labels and units are constants. The only other text is the names of the owner's channels. Values that a device
does not have are left out instead of zero. Source: prometheus.io/docs/instrumenting/exposition_formats, text format
0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CONTENT_TYPE", "Metric", "metrics_of", "render", "write"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "doorward_"


@dataclass(frozen=True, slots=True)
class Metric:
    """`samples`: (suffix and labels as they are written, value)."""

    name: str
    kind: str
    words: str
    samples: tuple[tuple[str, float], ...]


def render(status: Mapping[str, Any]) -> str:
    """All of it, from what `doorward status` shows."""
    return write(metrics_of(status), _PREFIX)


def write(figures: Iterable[Metric], prefix: str) -> str:
    """Returns figures in Prometheus' text format. One without samples is left out."""
    lines = []
    for figure in figures:
        if not figure.samples:
            continue
        name = prefix + figure.name
        lines += [f"# HELP {name} {figure.words}", f"# TYPE {name} {figure.kind}"]
        lines += [f"{name}{suffix} {_number(value)}" for suffix, value in figure.samples]
    return "\n".join(lines) + "\n"


def metrics_of(status: Mapping[str, Any]) -> Iterator[Metric]:
    recorder, vault, link = status["recorder"], status["vault"], status["link"]
    yield from _recorder(recorder)
    yield _one("vault_segments", "gauge", "Segments stored, all of them sealed.", vault.get("segments"))
    yield _one("vault_stored_bytes", "gauge", "Size of the vault.", vault.get("stored_bytes"))
    yield from _disk(recorder.get("disk") or {})
    yield _one("clock_synced", "gauge", "1 while a time source disciplines the clock.", status["clock"] == "synced")
    told = "Requests that wait for their owner, minutes to hours after they came."
    yield _one("requests_waiting", "gauge", told, status.get("requests_told"))
    yield from _link(link)
    yield from _alerts(status.get("alerts") or {})
    yield from _board((status.get("panel") or {}).get("health") or {})


def _recorder(recorder: Mapping[str, Any]) -> Iterator[Metric]:
    states = ("recording", "watching", "privacy", "no camera", "not recording")
    yield Metric(
        "recorder_state",
        "gauge",
        "1 for the state the recorder is in.",
        tuple((f'{{state="{name}"}}', float(recorder["state"] == name)) for name in states),
    )
    for key, kind, name, words in (
        ("frames", "counter", "frames_total", "Frames the camera gave since it was opened."),
        ("frames_dropped", "counter", "frames_dropped_total", "Frames that motion detection had no time for."),
        ("packets_dropped", "counter", "packets_dropped_total", "Encoded packets for which there was no room."),
        ("events", "counter", "events_total", "Events since the start."),
        ("segments", "counter", "segments_acknowledged_total", "Segments made durable since the start."),
        ("recorded_s", "counter", "recorded_seconds_total", "Footage made durable since the start."),
        ("in_memory_bytes", "gauge", "recorder_queue_bytes", "Footage in memory that is not durable yet."),
    ):
        yield _one(name, kind, words, recorder.get(key))
    cost_ms = recorder.get("analysis_ms_per_frame")
    yield _one(
        "motion_seconds_per_frame", "gauge", "Cost of motion detection.", None if cost_ms is None else cost_ms / 1e3
    )
    yield from _object_detection(recorder.get("object_detection") or {})


def _object_detection(detection: Mapping[str, Any]) -> Iterator[Metric]:
    """Yields load figures, never labels."""
    if detection.get("state", "off") == "off":
        return
    is_running = float(detection["state"] == "running")
    seconds = detection.get("ms_per_inference", 0.0) / 1e3  # a status document may leave out zeros
    examined, dropped = detection.get("inferences", 0), detection.get("dropped", 0)
    yield _one("detection_running", "gauge", "1 while object detection examines events.", is_running)
    yield _one("detection_inferences_total", "counter", "Frames of events examined since the start.", examined)
    yield _one("detection_dropped_total", "counter", "Frames dropped for lack of time.", dropped)
    yield _one("detection_seconds_per_inference", "gauge", "Duration of one inference.", seconds)


def _disk(disk: Mapping[str, Any]) -> Iterator[Metric]:
    if not disk:
        return
    buckets = [(f'_bucket{{le="{bound}"}}', count) for bound, count in disk["buckets"]]
    yield Metric(
        "fsync_seconds",
        "histogram",
        "Time the disk took to make something durable.",
        (*buckets, ("_sum", disk["seconds"]), ("_count", disk["syncs"])),
    )
    yield _one("written_bytes_total", "counter", "Bytes written to the vault since the start.", disk["written_bytes"])


def _link(link: Mapping[str, Any]) -> Iterator[Metric]:
    if link["link"] == "off":
        return
    yield _one("mqtt_connected", "gauge", "1 while the broker is connected.", link["link"] == "connected")
    yield _one("mqtt_transfers", "gauge", "Disclosures on their way.", link.get("transfers"))
    yield _one("mqtt_sent_bytes_total", "counter", "Bytes of disclosures sent since the start.", link.get("sent_bytes"))
    yield _one("mqtt_received_total", "counter", "Messages received since the start.", link.get("received_messages"))


def _alerts(alerts: Mapping[str, Any]) -> Iterator[Metric]:
    channels = alerts.get("channels")
    if not channels:
        return
    for key, kind, name, words in (
        ("waiting", "gauge", "alerts_waiting", "Alerts that wait for their channel."),
        ("delivered", "counter", "alerts_delivered_total", "Alerts their channel took since the start."),
        ("failures", "gauge", "alerts_failures", "Failed attempts in a row."),
    ):
        samples = tuple((f'{{channel="{_escaped(channel)}"}}', each[key]) for channel, each in channels.items())
        yield Metric(name, kind, words, samples)


def _board(health: Mapping[str, Any]) -> Iterator[Metric]:
    yield _one("temperature_celsius", "gauge", "Of the board.", health.get("temperature_c"))
    yield _one("under_voltage", "gauge", "1 while the supply is too weak.", health.get("under_voltage"))
    yield _one(
        "throttle_level", "gauge", "How much work was taken off the board: 0 is none.", health.get("throttle_level")
    )


def _one(name: str, kind: str, words: str, value: Any) -> Metric:
    return Metric(name, kind, words, () if value is None else (("", float(value)),))


def _escaped(text: str) -> str:
    # A channel's name is the owner's text: unescaped, it could end the label and add a figure.
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))
