"""The recorder's watchdog is put off by progress alone: stop a frame, a packet, a segment or a camera, and it bites."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.core.recovery import StreamPulse
from agent.core.timebase import NS_PER_S
from agent.platform.supervision import SystemdNotifier
from agent.recorder.recorder_status import RecorderStatus, RecorderWatch

WATCHING = RecorderStatus("watching", "", 0, 0, 0, 0, 0, 0.0)


@dataclass
class Seen:
    """A recorder's visible state."""

    pulse: StreamPulse | None = None
    between_ns: int | None = None
    now: RecorderStatus = WATCHING

    def status(self) -> RecorderStatus:
        return self.now


class Door:
    """A watch, the recorder it looks at, and the service manager's end of the line."""

    def __init__(self, folder: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(folder / "notify"))
        self.line.setblocking(False)
        self.recorder = Seen()
        self._watch = RecorderWatch(self.recorder, SystemdNotifier({"NOTIFY_SOCKET": str(folder / "notify")}), 5.0)

    def fed(self, at_s: float) -> bool:
        """One turn: was the watchdog put off?"""
        self._watch.turn(int(at_s * NS_PER_S))
        words = []
        while True:
            try:
                words.append(self.line.recv(1000).decode())
            except BlockingIOError:
                break
        assert any(word.startswith("STATUS=") for word in words)
        assert ("WATCHDOG=1" in words) != any(word.startswith("STATUS=stuck") for word in words)
        return "WATCHDOG=1" in words

    def pulse(self, frame_s: float, packet_s: float) -> None:
        self.recorder.pulse = StreamPulse(int(frame_s * NS_PER_S), int(packet_s * NS_PER_S), 0)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.line.close()


def test_who_waits_for_an_owner_or_the_privacy_switch_owes_only_its_turn(door: Door) -> None:
    assert all(door.fed(second) for second in range(0, 3600, 2))


def test_a_recorder_that_films_is_fed(door: Door) -> None:
    for second in range(0, 600, 2):
        door.pulse(second, second)
        assert door.fed(second)


@pytest.mark.parametrize("stopped", ["frames", "packets"])
def test_no_frame_or_no_packet_from_the_encoder_ends_the_feeding_though_the_other_comes(
    stopped: str, door: Door
) -> None:
    door.pulse(0, 0)
    assert door.fed(0)
    fed = {}
    for second in range(2, 62, 2):
        door.pulse(*((0, second) if stopped == "frames" else (second, 0)))
        fed[second] = door.fed(second)
    assert fed[44]
    assert not fed[48]
    door.pulse(62, 62)
    assert door.fed(62)


def test_an_event_whose_segments_are_not_acknowledged_ends_the_feeding(door: Door) -> None:
    door.recorder.now = replace(WATCHING, state="recording", segments=3)
    fed = {}
    for second in range(0, 100, 2):
        door.pulse(second, second)
        fed[second] = door.fed(second)
    assert fed[74]
    assert not fed[80]
    door.recorder.now = replace(door.recorder.now, segments=4)
    assert door.fed(101)


def test_a_disk_that_says_so_itself_is_not_cured_by_a_restart(door: Door) -> None:
    door.recorder.now = replace(WATCHING, state="not recording", detail="The disk is full.")
    for second in range(0, 600, 2):
        door.pulse(second, second)
        assert door.fed(second)


def test_a_camera_that_hangs_while_it_is_opened_or_closed_ends_the_feeding(door: Door) -> None:
    door.recorder.between_ns = 0
    assert door.fed(89)
    assert not door.fed(91)
    door.recorder.between_ns = None
    assert door.fed(92)


def words_at(door: Door, at_s: float) -> list[str]:
    door._watch.turn(int(at_s * NS_PER_S))
    words = []
    while True:
        try:
            words += door.line.recv(1000).decode().splitlines()
        except BlockingIOError:
            return words


@pytest.mark.parametrize(
    ("stopped", "limit_s"), [("frames", 45), ("packets", 45), ("camera", 90), ("acknowledgements", 75)]
)
def test_each_kind_of_progress_has_its_patience_to_the_second_and_its_name(
    door: Door, stopped: str, limit_s: int
) -> None:
    fine = ["WATCHDOG=1", "STATUS=watching: 0 segments"]
    if stopped == "acknowledgements":
        door.recorder.now = replace(WATCHING, state="recording", segments=3)
        fine[1] = "STATUS=recording: 3 segments"
        assert words_at(door, 0) == fine, "the first look only counts them"
    door.recorder.between_ns = 0 if stopped == "camera" else None
    for at_s in (0, limit_s):
        door.pulse(0 if stopped == "frames" else at_s, 0 if stopped == "packets" else at_s)
        assert words_at(door, at_s) == fine
    door.pulse(0 if stopped == "frames" else limit_s + 1, 0 if stopped == "packets" else limit_s + 1)
    assert words_at(door, limit_s + 1) == [f"STATUS=stuck: {stopped}"]


def test_a_thread_that_looks_late_is_itself_no_stuck_recorder(door: Door) -> None:
    assert words_at(door, 0)[0] == "WATCHDOG=1"
    assert words_at(door, 600)[0] == "WATCHDOG=1"


def test_a_recorder_that_stops_recording_owes_no_acknowledgement(door: Door) -> None:
    door.recorder.now = replace(WATCHING, state="recording", segments=3)
    assert door.fed(0)
    assert door.fed(2)
    door.recorder.now = replace(WATCHING, state="watching", segments=3)
    assert door.fed(50)
    door.recorder.now = replace(WATCHING, state="recording", segments=3)
    assert door.fed(70), "the time counts from here"
    assert door.fed(140)


def test_a_camera_that_is_switched_off_owes_no_frame_and_no_packet(door: Door) -> None:
    door.pulse(0, 0)
    assert door.fed(0)
    door.recorder.pulse = None
    assert all(door.fed(second) for second in range(2, 200, 2))
