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
from tests.figures_of_others import read_by_prometheus

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


FULL = {
    **STATUS,
    "recorder": {
        **STATUS["recorder"],  # type: ignore[dict-item]
        "state": "no camera",
        "object_detection": {"state": "running", "ms_per_inference": 250, "inferences": 8, "dropped": 1},
    },
    "alerts": {
        "channels": {
            'a "b"\\c\nd': {"waiting": 1, "delivered": 2, "failures": 3},
            "e": {"waiting": 0, "delivered": 5, "failures": 0},
        }
    },
}
TEXT = r"""# HELP doorward_recorder_state 1 for the state the recorder is in.
# TYPE doorward_recorder_state gauge
doorward_recorder_state{state="recording"} 0
doorward_recorder_state{state="watching"} 0
doorward_recorder_state{state="privacy"} 0
doorward_recorder_state{state="no camera"} 1
doorward_recorder_state{state="not recording"} 0
# HELP doorward_frames_total Frames the camera gave since it was opened.
# TYPE doorward_frames_total counter
doorward_frames_total 1200
# HELP doorward_frames_dropped_total Frames that motion detection had no time for.
# TYPE doorward_frames_dropped_total counter
doorward_frames_dropped_total 3
# HELP doorward_packets_dropped_total Encoded packets for which there was no room.
# TYPE doorward_packets_dropped_total counter
doorward_packets_dropped_total 0
# HELP doorward_events_total Events since the start.
# TYPE doorward_events_total counter
doorward_events_total 2
# HELP doorward_segments_acknowledged_total Segments made durable since the start.
# TYPE doorward_segments_acknowledged_total counter
doorward_segments_acknowledged_total 9
# HELP doorward_recorded_seconds_total Footage made durable since the start.
# TYPE doorward_recorded_seconds_total counter
doorward_recorded_seconds_total 44.5
# HELP doorward_recorder_queue_bytes Footage in memory that is not durable yet.
# TYPE doorward_recorder_queue_bytes gauge
doorward_recorder_queue_bytes 4096
# HELP doorward_motion_seconds_per_frame Cost of motion detection.
# TYPE doorward_motion_seconds_per_frame gauge
doorward_motion_seconds_per_frame 0.00125
# HELP doorward_detection_running 1 while object detection examines events.
# TYPE doorward_detection_running gauge
doorward_detection_running 1
# HELP doorward_detection_inferences_total Frames of events examined since the start.
# TYPE doorward_detection_inferences_total counter
doorward_detection_inferences_total 8
# HELP doorward_detection_dropped_total Frames dropped for lack of time.
# TYPE doorward_detection_dropped_total counter
doorward_detection_dropped_total 1
# HELP doorward_detection_seconds_per_inference Duration of one inference.
# TYPE doorward_detection_seconds_per_inference gauge
doorward_detection_seconds_per_inference 0.25
# HELP doorward_vault_segments Segments stored, all of them sealed.
# TYPE doorward_vault_segments gauge
doorward_vault_segments 9
# HELP doorward_vault_stored_bytes Size of the vault.
# TYPE doorward_vault_stored_bytes gauge
doorward_vault_stored_bytes 12345678
# HELP doorward_fsync_seconds Time the disk took to make something durable.
# TYPE doorward_fsync_seconds histogram
doorward_fsync_seconds_bucket{le="0.01"} 3
doorward_fsync_seconds_bucket{le="+Inf"} 4
doorward_fsync_seconds_sum 0.02
doorward_fsync_seconds_count 4
# HELP doorward_written_bytes_total Bytes written to the vault since the start.
# TYPE doorward_written_bytes_total counter
doorward_written_bytes_total 99
# HELP doorward_clock_synced 1 while a time source disciplines the clock.
# TYPE doorward_clock_synced gauge
doorward_clock_synced 1
# HELP doorward_requests_waiting Requests that wait for their owner, minutes to hours after they came.
# TYPE doorward_requests_waiting gauge
doorward_requests_waiting 1
# HELP doorward_mqtt_connected 1 while the broker is connected.
# TYPE doorward_mqtt_connected gauge
doorward_mqtt_connected 1
# HELP doorward_mqtt_transfers Disclosures on their way.
# TYPE doorward_mqtt_transfers gauge
doorward_mqtt_transfers 0
# HELP doorward_mqtt_sent_bytes_total Bytes of disclosures sent since the start.
# TYPE doorward_mqtt_sent_bytes_total counter
doorward_mqtt_sent_bytes_total 7
# HELP doorward_mqtt_received_total Messages received since the start.
# TYPE doorward_mqtt_received_total counter
doorward_mqtt_received_total 1
# HELP doorward_alerts_waiting Alerts that wait for their channel.
# TYPE doorward_alerts_waiting gauge
doorward_alerts_waiting{channel="a \"b\"\\c\nd"} 1
doorward_alerts_waiting{channel="e"} 0
# HELP doorward_alerts_delivered_total Alerts their channel took since the start.
# TYPE doorward_alerts_delivered_total counter
doorward_alerts_delivered_total{channel="a \"b\"\\c\nd"} 2
doorward_alerts_delivered_total{channel="e"} 5
# HELP doorward_alerts_failures Failed attempts in a row.
# TYPE doorward_alerts_failures gauge
doorward_alerts_failures{channel="a \"b\"\\c\nd"} 3
doorward_alerts_failures{channel="e"} 0
# HELP doorward_temperature_celsius Of the board.
# TYPE doorward_temperature_celsius gauge
doorward_temperature_celsius 51.5
# HELP doorward_under_voltage 1 while the supply is too weak.
# TYPE doorward_under_voltage gauge
doorward_under_voltage 0
# HELP doorward_throttle_level How much work was taken off the board: 0 is none.
# TYPE doorward_throttle_level gauge
doorward_throttle_level 0
"""


def test_each_figure_has_its_name_its_kind_its_words_and_its_value() -> None:
    assert render(FULL) == TEXT


def test_prometheus_own_parser_reads_each_figure_of_a_doorbell_and_its_rules_for_names_hold() -> None:
    found = read_by_prometheus(render(FULL))
    assert found['doorward_alerts_failures{channel=a "b"\\c\nd}'] == 3
    assert found["doorward_temperature_celsius{}"] == 51.5
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    assert len(found) == len(lines)
    assert read_by_prometheus(render(STATUS))["doorward_vault_segments{}"] == 9


def test_detection_that_has_examined_nothing_yet_has_figures_of_zero_and_one_that_is_off_has_none() -> None:
    def figures(**detection: object) -> dict[str, float]:
        recorder = {"state": "watching", "object_detection": detection}
        status = {"recorder": recorder, "vault": {}, "clock": "held", "link": {"link": "no broker"}}
        found = {each.name: each.samples for each in metrics_of(status)}
        return {name: samples[0][1] for name, samples in found.items() if samples and not samples[0][0]}

    nothing = {"clock_synced": 0.0, "mqtt_connected": 0.0}
    assert figures() == figures(state="off") == nothing
    detection = {
        "detection_running": 0.0, "detection_inferences_total": 0.0, "detection_dropped_total": 0.0,
        "detection_seconds_per_inference": 0.0,
    }  # fmt: skip
    assert figures(state="paused") == nothing | detection
