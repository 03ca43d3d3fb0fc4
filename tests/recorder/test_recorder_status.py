"""The recorder's status: one word for its state, the reason, and the figures that other processes show."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from agent.recorder.object_detection import DetectionStatus
from agent.recorder.recorder_status import RecorderStatus, StatusReader


@dataclass
class Parts:
    """A recorder's parts as the reader sees them: one that watches, and has not recorded yet."""

    gate: Any = field(default_factory=lambda: SimpleNamespace(closed=False, reason="It is private."))
    loop: Any = field(
        default_factory=lambda: SimpleNamespace(
            queues=SimpleNamespace(frames=7, frames_dropped=2, packets_dropped=3), camera_fault="Plug it in."
        )
    )
    buffer: Any = field(
        default_factory=lambda: SimpleNamespace(
            in_memory_bytes=0, in_memory_s=0.0, recorded_s=0.0, waiting=False, stalled_s=0.0
        )
    )
    analysis: Any = field(default_factory=lambda: SimpleNamespace(spent_ns=0, analysed=0, passes_name=""))
    sound: Any = None
    vault: Any = field(default_factory=lambda: SimpleNamespace(fault=""))

    def __post_init__(self) -> None:
        self.writer = SimpleNamespace(
            events=4,
            acknowledged=5,
            busy=False,
            recording=False,
            fault="",
            warning="",
            retry_buffer=self.buffer,
        )

    def read(self) -> RecorderStatus:
        parts: Any = SimpleNamespace(
            analysis=self.analysis,
            writer=self.writer,
            sound=self.sound,
            object_detection=SimpleNamespace(status=lambda: DetectionStatus("paused")),
        )
        return StatusReader(self.loop, self.gate, parts, self.vault).read()

    def state(self) -> tuple[str, str]:
        status = self.read()
        return status.state, status.detail


def test_every_figure_of_the_parts_is_in_the_status() -> None:
    parts = Parts()
    parts.analysis = SimpleNamespace(spent_ns=9_000_000, analysed=6, passes_name="NEON")
    vars(parts.buffer).update(in_memory_bytes=123, in_memory_s=4.56, recorded_s=78.94)
    parts.sound = SimpleNamespace(state="listening")
    parts.writer.busy = parts.writer.recording = True
    assert parts.read() == RecorderStatus(
        state="recording",
        detail="",
        frames=7,
        frames_dropped=2,
        packets_dropped=3,
        events=4,
        segments=5,
        analysis_ms_per_frame=1.5,
        in_memory_bytes=123,
        in_memory_s=4.6,
        recorded_s=78.9,
        in_event=True,
        motion_passes="NEON",
        sound="listening",
        object_detection=DetectionStatus("paused"),
    )


def test_without_a_camera_and_before_the_first_picture_the_figures_are_zero() -> None:
    parts = Parts()
    parts.loop.queues = None
    status = parts.read()
    assert (status.frames, status.frames_dropped, status.packets_dropped) == (0, 0, 0)
    assert (status.analysis_ms_per_frame, status.sound) == (0.0, "off")


def test_each_state_has_its_word_and_its_reason() -> None:
    parts = Parts()
    assert parts.state() == ("watching", "")
    parts.writer.warning = "Other files fill the disk."
    assert parts.state() == ("watching", "Other files fill the disk.")
    parts.writer.recording = True
    assert parts.state() == ("recording", "Other files fill the disk.")
    parts.loop.queues = None
    assert parts.state() == ("no camera", "Plug it in.")
    parts.gate.closed = True
    assert parts.state() == ("privacy", "It is private.")


def test_a_disk_that_refuses_footage_is_told_with_what_waits_in_memory() -> None:
    parts = Parts()
    parts.writer.fault = "The disk is full."
    assert parts.state() == ("not recording", "The disk is full.")
    parts.buffer.waiting, parts.buffer.in_memory_s = True, 12.4
    assert parts.state() == ("not recording", "The disk is full. The newest 12 s wait in memory.")
    parts.writer.warning = "Other files fill the disk."
    assert parts.state()[1] == "The disk is full. The newest 12 s wait in memory. Other files fill the disk."


def test_a_vault_that_was_not_started_is_no_recording() -> None:
    parts = Parts()
    parts.vault.fault = "The index is made again."
    assert parts.state() == ("not recording", "The index is made again.")


@pytest.mark.parametrize(("silent_s", "state"), [(5.0, "watching"), (5.1, "not recording")])
def test_a_disk_that_is_silent_for_more_than_five_seconds_is_no_recording(silent_s: float, state: str) -> None:
    parts = Parts()
    parts.buffer.stalled_s = silent_s
    found, detail = parts.state()
    assert found == state
    assert (detail == "The disk has not answered for 5 s. Check it.") == (state == "not recording")
