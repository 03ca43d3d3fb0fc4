"""The figures for Prometheus, Grafana and the live screen."""

import io
import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.cli.status_watch import screen, watch
from agent.core.metrics import metrics_of, render
from agent.errors import NetworkError

CONFIG = Path(__file__).parents[2] / "config"
STATUS = {
    "device": "front-door",
    "recorder": {
        "state": "watching", "detail": "", "frames": 1200, "frames_dropped": 3, "packets_dropped": 0, "events": 2,
        "segments": 9, "analysis_ms_per_frame": 1.25, "in_memory_bytes": 4096, "recorded_s": 44.5,
        "disk": {"syncs": 4, "seconds": 0.02, "written_bytes": 99, "buckets": [["0.01", 3], ["+Inf", 4]]},
    },
    "vault": {"segments": 9, "stored_bytes": 12_345_678},
    "clock": "synced",
    "requests_told": 1,
    "link": {"link": "connected", "remedy": "", "transfers": 0, "sent_bytes": 7, "received_messages": 1},
    "alerts": {"channels": {"Ann's phone": {"waiting": 1, "delivered": 2, "failures": 0, "fault": ""}}},
    "panel": {"health": {"temperature_c": 51.5, "under_voltage": False, "throttle_level": 0}},
}  # fmt: skip


def test_every_figure_of_the_issue_is_there() -> None:
    text = render(STATUS)
    for line in (
        "doorward_frames_total 1200", "doorward_frames_dropped_total 3", "doorward_motion_seconds_per_frame 0.00125",
        "doorward_vault_segments 9", "doorward_vault_stored_bytes 12345678", "doorward_recorder_queue_bytes 4096",
        'doorward_fsync_seconds_bucket{le="+Inf"} 4', "doorward_fsync_seconds_sum 0.02", "doorward_mqtt_connected 1",
        "doorward_temperature_celsius 51.5", "doorward_alerts_waiting{channel=\"Ann's phone\"} 1",
    ):  # fmt: skip
        assert line in text.splitlines(), line


@given(st.text(max_size=64))
def test_a_channels_name_cannot_break_out_of_its_line(name: str) -> None:
    channels = {name: {"waiting": 1, "delivered": 0, "failures": 0, "fault": ""}}
    text = render({**STATUS, "alerts": {"channels": channels}})
    lines = [line for line in text.split("\n") if line.startswith("doorward_alerts_waiting")]
    assert len(lines) == 1
    assert re.fullmatch(r'doorward_alerts_waiting\{channel="(\\.|[^"\\\n])*"\} 1', lines[0], re.DOTALL)


def test_what_a_device_does_not_have_is_left_out() -> None:
    recorder = {**STATUS["recorder"], "disk": None}  # type: ignore[dict-item]
    bare = {**STATUS, "recorder": recorder, "link": {"link": "off"}, "alerts": None, "panel": None}
    assert not re.search("mqtt|alerts|temperature|fsync", render(bare))


def test_object_detection_end_to_end_tells_how_it_does_and_never_what_it_saw() -> None:
    detection = {
        "state": "running",
        "detail": "",
        "inferences": 42,
        "dropped": 1,
        "ms_per_inference": 18.0,
        "labels": ["person"],
    }
    text = render({**STATUS, "recorder": {**STATUS["recorder"], "object_detection": detection}})  # type: ignore[dict-item]
    for line in (
        "doorward_detection_running 1", "doorward_detection_inferences_total 42", "doorward_detection_dropped_total 1",
        "doorward_detection_seconds_per_inference 0.018",
    ):  # fmt: skip
        assert line in text.splitlines(), line
    assert "person" not in text
    off = {**STATUS["recorder"], "object_detection": {"state": "off"}}  # type: ignore[dict-item]
    assert "object_detection" not in render({**STATUS, "recorder": off})


def test_the_dashboard_asks_for_figures_that_there_are_and_for_each_of_them() -> None:
    dashboard = (CONFIG / "grafana" / "doorward.json").read_text()
    asked = set(re.findall(r"doorward_[a-z_]+", dashboard)) - {"doorward_fsync_seconds_bucket"}
    given = {f"doorward_{figure.name}" for figure in metrics_of(STATUS)}
    assert asked <= given
    left_out = {
        "fsync_seconds", "recorded_seconds_total", "mqtt_received_total", "alerts_delivered_total",
    }  # fmt: skip
    assert given - asked == {f"doorward_{name}" for name in left_out}
    panels = json.loads(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_live_screen_shows_the_same_and_survives_a_device_that_goes_away() -> None:
    drawn = Console(width=120, record=True, force_terminal=False, file=io.StringIO())
    drawn.print(screen(STATUS))
    shown = drawn.export_text()
    for words in ("front-door", "watching", "12.3 MB", "1.25 ms", "5.0 ms", "1 waiting", "51.5"):
        assert words in shown, words

    def away() -> dict[str, object]:
        raise NetworkError("No device answers.", remedy="Start it.")

    watch(away, Console(quiet=True), most=1)
