"""The recorder's services to its other threads: presses, lights, throttling, zones and privacy."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.events import EventSettings, TriggerKind
from agent.core.media import LumaFrame
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.zones import ZoneMap
from agent.core.recovery import RecoveryAction
from agent.core.retention import ProtectedIds
from agent.core.timebase import BootNs, seconds
from agent.ports import Camera, CameraEnd
from agent.recorder import recorder
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.clip_writer import WriterSettings
from agent.recorder.object_detection import ObjectDetectionService
from agent.recorder.recorder import Recorder, RecorderDevices, RecorderServices
from agent.recorder.recorder_inputs import PendingTrigger, RecorderSettings
from firmware_bridge.throttling import ThrottleLevel
from tests.fake_disk import FakeDisk
from tests.networks import fake_eye
from tests.recorder.test_frame_analysis import STILL
from tests.recorder.thread_owner_check import plant
from tests.vaults import SeededEntropy, make_vault


class Owner:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, text))


class House:
    """A recorder that does not run, and the queues of a stream that the test moves."""

    def __init__(self, *, switch_unread: bool = False) -> None:
        def no_camera() -> Camera:
            raise AssertionError("no camera is opened here")

        self.owner, self.tested = Owner(), make_vault(FakeDisk())
        self.detection = ObjectDetectionService(fake_eye, self.owner)
        self.recorder = Recorder(
            RecorderSettings(MotionSettings(), ZoneMap(), EventSettings(), WriterSettings(5.0, 5.0, 10**7)),
            RecorderDevices(no_camera, object_detection=self.detection),
            RecorderServices(self.tested.vault, self.tested.clock, SeededEntropy(1), self.owner, ProtectedIds),
            switch_unread=switch_unread,
        )

    def stream(self, *, live: bool = True) -> CameraQueues:
        made = CameraQueues(live=live)
        plant(self.recorder._loop, queues=made)
        return made

    def deliver(self, stream: CameraQueues, lux: float | None = None) -> None:
        light: Any = SimpleNamespace(lux=lux)
        stream.luma(LumaFrame(STILL, BootNs(1), light))


@pytest.fixture
def house() -> House:
    return House()


def triggers(stream: CameraQueues) -> list[object]:
    found = []
    while (item := stream.lumas.take(0.0)) is not None:
        found.append(item)
    return found


def test_a_press_while_a_camera_runs_begins_an_event_at_its_time_and_is_told(house: House) -> None:
    stream = house.stream()
    house.recorder.trigger(TriggerKind.BUTTON, BootNs(seconds(90)))
    house.recorder.trigger(TriggerKind.PIR, BootNs(seconds(95)))
    house.recorder.trigger(TriggerKind.BUTTON)
    house.recorder.trigger(TriggerKind.BUTTON, BootNs(seconds(500)))
    assert triggers(stream) == [
        PendingTrigger(TriggerKind.BUTTON, BootNs(seconds(90))),
        PendingTrigger(TriggerKind.PIR, BootNs(seconds(95))),
        PendingTrigger(TriggerKind.BUTTON, BootNs(seconds(100))),
        PendingTrigger(TriggerKind.BUTTON, BootNs(seconds(100))),
    ], "not in the future"
    assert house.owner.told == [("button", "A person pressed the button.")] * 3


def test_a_press_during_footage_is_at_the_newest_frame(house: House) -> None:
    stream = house.stream(live=False)
    house.recorder.trigger(TriggerKind.BUTTON, BootNs(5))
    assert triggers(stream) == [PendingTrigger(TriggerKind.BUTTON, None)]


def test_without_a_camera_a_press_is_kept_and_told_with_the_reason_and_a_pulse_is_neither(house: House) -> None:
    house.recorder.trigger(TriggerKind.PIR)
    assert house.owner.told == []
    assert not house.recorder._inputs.early_presses
    house.recorder.trigger(TriggerKind.BUTTON)
    assert house.owner.told == [("button", "A person pressed the button. There is no picture: no camera.")]
    assert list(house.recorder._inputs.unseen_rings) == [seconds(100)]
    assert house.recorder._loop._woken.is_set()
    (pressed_ns,) = house.recorder._inputs.early_presses
    assert 0 <= time.monotonic_ns() - pressed_ns < seconds(600)


def test_the_recording_led_is_lit_for_less_than_a_second_after_each_picture(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = house.stream()
    house.deliver(stream)
    for age_ns, is_lit in ((0, True), (seconds(1) - 1, True), (seconds(1), False)):
        now_ns = stream.frame_ns + age_ns
        monkeypatch.setattr(recorder, "time", SimpleNamespace(monotonic_ns=lambda now_ns=now_ns: now_ns))
        assert house.recorder.delivering is is_lit


def test_the_recording_led_is_lit_while_pictures_come(house: House) -> None:
    assert not house.recorder.delivering
    stream = house.stream()
    assert not house.recorder.delivering, "a camera that was opened and gave nothing"
    stream.frame_ns = time.monotonic_ns() + seconds(600)
    plant(stream, frames=1)
    assert house.recorder.delivering
    plant(stream, frame_ns=time.monotonic_ns() - seconds(1.5))
    assert not house.recorder.delivering


def test_the_light_is_that_of_the_newest_frame(house: House) -> None:
    assert house.recorder.lux is None
    stream = house.stream()
    house.deliver(stream, 42.0)
    assert house.recorder.lux == 42.0


def test_the_watchdog_sees_the_pulse_of_a_live_camera_until_it_ends(house: House) -> None:
    assert house.recorder.pulse is None
    file = house.stream(live=False)
    house.deliver(file)
    assert house.recorder.pulse is None, "a film may be slow"
    stream = house.stream()
    assert house.recorder.pulse == stream.pulse
    stream.ended(CameraEnd.LOST, "It is gone.")
    assert house.recorder.pulse is None


def test_each_throttling_level_reduces_its_own_part(house: House) -> None:
    for level in ThrottleLevel:
        house.recorder.set_throttle_level(level)
        paused = level >= ThrottleLevel.OBJECT_DETECTION
        assert house.detection.state.value == ("paused" if paused else "running")
        assert house.recorder.throttle_level == level
    house.recorder.set_throttle_level(0)
    assert house.detection.state.value == "running"


def test_motion_is_ignored_for_as_long_as_the_filter_moves(house: House) -> None:
    before_ns = time.monotonic_ns()
    house.recorder.black_out(seconds(5))
    after_ns = time.monotonic_ns()
    assert before_ns + seconds(5) <= house.recorder._inputs.blackout_until_ns <= after_ns + seconds(5)


def test_new_zones_are_in_force_at_once_and_wake_the_camera_loop(house: House) -> None:
    stream, zones = house.stream(), ZoneMap()
    house.recorder.watch_for(zones)
    assert house.recorder._inputs.zones is zones
    assert stream.attention.is_set()


def test_the_privacy_switch_and_private_hours_close_the_recorder_each(house: House) -> None:
    assert not house.recorder.is_private
    house.recorder.set_privacy_switch(True)
    house.recorder.set_private_hour(True)
    house.recorder.set_privacy_switch(False)
    assert house.recorder.is_private
    house.recorder.set_private_hour(False)
    assert not house.recorder.is_private
    unread = House(switch_unread=True)
    assert unread.recorder.is_private
    unread.recorder.set_privacy_switch(False)
    assert not unread.recorder.is_private


def test_a_switch_that_goes_on_ends_the_stream_with_the_reason(house: House) -> None:
    stream = house.stream()
    house.recorder.set_privacy_switch(True)
    assert stream.end == (CameraEnd.STOPPED, "The privacy switch is on.")
    house.recorder._loop._woken.clear()
    house.recorder.set_privacy_switch(False)
    assert house.recorder._loop._woken.is_set()


def test_between_two_packets_the_lens_is_looked_at_and_coverage_is_written(house: House) -> None:
    calls: list[object] = []
    coverage: Any = SimpleNamespace(write=lambda: calls.append("coverage"))
    lens: Any = SimpleNamespace(report=calls.append)
    parts = house.recorder._parts
    object.__setattr__(parts, "coverage", coverage)
    plant(house.recorder, _lens_alerts=lens)
    house.recorder._on_writer_tick()
    assert calls == ["coverage"]
    stream = house.stream()
    house.recorder._on_writer_tick()
    assert calls == ["coverage", "coverage", stream]


class LiveView:
    """Notes what it may hear and what it is shown."""

    def __init__(self) -> None:
        self.hears: list[object] = []

    def listen(self, hear: object) -> None:
        self.hears.append(hear)

    def packet(self, *_arguments: object) -> None:
        """No packet comes here."""


@pytest.mark.parametrize("with_sound", [True, False])
@pytest.mark.parametrize("with_live_view", [True, False])
def test_the_microphone_serves_the_writer_and_live_view_if_there_are_both(
    house: House, with_sound: bool, with_live_view: bool
) -> None:
    def no_device() -> Any:
        raise AssertionError("nothing is opened here")

    live: Any = LiveView() if with_live_view else None
    made = Recorder(
        RecorderSettings(MotionSettings(), ZoneMap(), EventSettings(), WriterSettings(5.0, 5.0, 10**7)),
        RecorderDevices(no_device, open_microphone=no_device if with_sound else None, live=live),
        RecorderServices(house.tested.vault, house.tested.clock, SeededEntropy(1), house.owner, ProtectedIds),
    )
    parts = made._parts
    assert (parts.sound is not None, parts.live) == (with_sound, live)
    assert parts.writer._retry_buffer._fetch_sound == (parts.sound.take if parts.sound is not None else None)
    assert parts.writer._show == (live.packet if live is not None else None)
    if live is not None:
        assert live.hears == ([parts.sound.newest] if parts.sound is not None else [])
    assert parts.object_detection.status().state == "off", "without networks"
    assert parts.writer._object_detection is parts.object_detection
    steps = {made.recovery.on_fault(hangs=True)[0] for _ in range(9)}
    assert steps == {RecoveryAction.RESTART}, "no service manager restarts this process"


def test_a_recorder_passes_on_what_its_camera_loop_says(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = house.recorder._loop, list[object]()

    def run(first_ns: BootNs | None) -> CameraEnd:
        asked.append(first_ns)
        return CameraEnd.END_OF_FOOTAGE

    monkeypatch.setattr(loop, "run", run)
    assert house.recorder.run(BootNs(7)) is CameraEnd.END_OF_FOOTAGE
    assert house.recorder.run() is CameraEnd.END_OF_FOOTAGE
    assert asked == [7, None]
    assert (house.recorder.wanted, house.recorder.between_ns) == (None, None)
    plant(loop, wanted=RecoveryAction.EXIT, between_ns=5)
    assert (house.recorder.wanted, house.recorder.between_ns) == (RecoveryAction.EXIT, 5)
    assert house.recorder.recovery is loop.recovery
    assert house.recorder.status().state == "no camera"
    house.recorder.stop()
    assert loop._stopping.is_set()


def test_a_change_of_the_throttling_level_or_the_zones_is_logged_once(house: House) -> None:
    with capture_logs() as lines:
        for level in (0, 2, 2, 3):
            house.recorder.set_throttle_level(level)
        house.recorder.watch_for(ZoneMap())
    changes = [line.get("level") for line in lines if line["event"] == "throttle_level_changed"]
    assert changes == [2, 3]
    assert "zones_changed" in [line["event"] for line in lines]
