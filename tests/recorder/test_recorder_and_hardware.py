"""The recorder's reaction to misbehaving hardware: no camera at a press, hopeless cameras, a hot board."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import Configuration
from agent.config.settings import ClipsConfig, DeviceConfig
from agent.core.events import TriggerKind
from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.object_detection.arrays import Pixels
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import ObjectLabel
from agent.core.recovery import RecoveryAction, RecoveryPolicy
from agent.core.timebase import BootNs, ClockReading, seconds
from agent.core.vault.records import CoverageRecord, GapReason, GapRecord, Record, RingRecord, SegmentRecord
from agent.core.vault.segment import split_media, split_poster
from agent.custodian.state_folder import StateFolder
from agent.custodian.timeline import Timeline
from agent.errors import DeviceError, StorageError
from agent.ipc.control_client import DeviceLink
from agent.ports import Camera, CameraEnd, CameraSink, MaskedArea, Microphone
from agent.recorder import camera_loop, coverage_recorder
from agent.recorder.camera_loop import CameraLoop
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.recorder.recorder_inputs import PendingTrigger
from agent.solo import Solo
from agent.wire.fields import ZoneKind
from agent.wire.identities import private_key_from_seed
from tests.networks import Seen, fake_eye
from tests.recorder.thread_owner_check import plant


class LiveCamera:
    """The drawn porch in real time, as a camera that never ends; or, `broken`, one that cannot be opened."""

    def __init__(self, broken: bool = False, live: bool = True) -> None:
        self._broken = broken
        self._live = live
        self.keyframes_asked = 0
        self.masks = True
        self.stopped = False
        self._inside = ScriptedCamera([], duration_s=600, size_px=(160, 96), frames_per_s=20, paced=True)

    def open(self) -> StreamDescription:
        if self._broken:
            raise DeviceError("The camera is not there.", remedy="Plug it in.")
        inside = self._inside.open()
        return replace(inside, live=self._live)

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        self.silent = Silenced(sink)
        self._inside.start(self.silent, BootNs(time.clock_gettime_ns(time.CLOCK_BOOTTIME)))

    def request_keyframe(self) -> None:
        self.keyframes_asked += 1
        self._inside.request_keyframe()

    def mask(self, zones: MaskedArea) -> bool:
        return self.masks and self._inside.mask(zones)

    def stop(self) -> None:
        self._inside.stop()
        self.stopped = True


class Silenced:
    """Passes on what a camera delivers, until it is told to pass on nothing: a camera that froze."""

    def __init__(self, sink: CameraSink) -> None:
        self._sink = sink
        self.now = False

    def packet(self, packet: EncodedPacket) -> None:
        if not self.now:
            self._sink.packet(packet)

    def luma(self, frame: LumaFrame) -> None:
        if not self.now:
            self._sink.luma(frame)

    def ended(self, end: CameraEnd, detail: str) -> None:
        self._sink.ended(end, detail)


USUAL_CLIPS = ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2)


class House:
    """A device with cameras that the test hands out, one per attempt."""

    open_microphone: Callable[[], Microphone] | None = None

    def __init__(
        self, folder: Path, clips: ClipsConfig = USUAL_CLIPS, open_detector: Callable[[], ObjectDetector] | None = None
    ) -> None:
        self.opened = 0
        self.broken = False
        self.live = True
        StateFolder(folder / "state").initialise(private_key_from_seed(os.urandom(32)))
        self.solo = Solo(
            Configuration(device=DeviceConfig(state_dir=folder / "state"), clips=clips),
            open_camera=self.camera,
            open_microphone=self.open_microphone,
            open_detector=open_detector,
        )
        self.solo.start()
        with DeviceLink(folder / "state" / "control.sock") as link:
            enrol(link, OwnerKeys.create(folder / "owner"))
        self.told: list[str] = []
        self.kinds: list[str] = []
        parts = self.solo.recorder._parts
        for part in (self.solo.recorder, self.solo.recorder._lens_alerts, parts.gaps, parts.sound):
            if part is not None:
                plant(part, _notifier=self)
        self.ends: list[CameraEnd] = []
        self._thread = threading.Thread(target=lambda: self.ends.append(self.solo.record()))

    def camera(self) -> Camera:
        self.opened += 1
        self.newest = LiveCamera(self.broken, self.live)
        return self.newest

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append(text)
        self.kinds.append(kind)

    def film(self) -> None:
        self._thread.start()

    def gaps(self) -> list[GapRecord]:
        return [record for record in self.records() if isinstance(record, GapRecord)]

    def rings(self) -> list[RingRecord]:
        return [record for record in self.records() if isinstance(record, RingRecord)]

    def records(self) -> list[Record]:
        return list(self.solo.vault._records())

    def close(self) -> None:
        self.solo.stop()
        if self._thread.ident:
            self._thread.join()
        self.solo.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def until(condition: Callable[[], object], patience_s: float = 15) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_press_without_a_camera_is_told_at_once_and_becomes_an_event_when_one_comes(house: House) -> None:
    house.broken = True
    house.film()
    until(lambda: house.opened)
    house.solo.press_button()
    assert any("There is no picture" in text for text in house.told)
    house.broken = False
    until(lambda: house.solo.recorder.status().segments >= 1)
    assert house.solo.recorder.status().events == 1
    assert any("not there" in text for text in house.told)
    assert "The camera works again." in house.told
    # The record dates the press and not the event that followed.
    (ring,) = house.rings()
    first = min(record.span.start_us for record in house.records() if isinstance(record, SegmentRecord))
    assert ring.at.at_us <= first


def test_each_ring_is_in_the_manifest_and_hurried_presses_are_one(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    for _ in range(3):
        house.solo.press_button()
    until(house.rings)
    machine = house.solo.recorder._parts.analysis
    until(lambda: machine._rang_ns is not None)
    later_ns = machine._rang_ns + seconds(6)  # type: ignore[operator]
    house.solo.recorder._loop.queues.lumas.force(PendingTrigger(TriggerKind.BUTTON, later_ns))  # type: ignore[union-attr]
    until(lambda: len(house.rings()) == 2)
    first, second = house.rings()
    assert 5_900_000 < second.at.at_us - first.at.at_us < 6_100_000
    assert first.at.boot == second.at.boot


def test_a_press_while_the_privacy_switch_is_on_is_in_the_manifest_without_footage(house: House) -> None:
    house.solo.recorder.set_privacy_switch(True)
    house.film()
    until(house.gaps)
    house.solo.press_button()
    until(house.rings)
    assert not any(isinstance(record, SegmentRecord) for record in house.records())


def test_a_ring_that_the_disk_refuses_costs_the_mark_and_not_the_footage(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("The disk refuses it.")

    monkeypatch.setattr(house.solo.vault, "record_ring", refuse)
    house.film()
    until(lambda: house.solo.recorder.delivering)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().segments >= 1)
    assert house.rings() == []


def test_a_camera_that_does_not_come_back_ends_the_process_for_its_supervisor(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.broken = True
    plant(house.solo.recorder._loop, recovery=RecoveryPolicy(supervised=True))
    monkeypatch.setattr(CameraLoop, "_wait", lambda *_arguments: None)
    house.film()
    until(lambda: house.ends)
    assert house.ends == [CameraEnd.LOST]
    assert house.solo.recorder.wanted is RecoveryAction.EXIT
    assert house.opened == 4


def test_a_camera_whose_driver_hangs_is_seen_to_hang(house: House) -> None:
    hanging, let_go = threading.Event(), threading.Event()

    class Hanging(LiveCamera):
        def open(self) -> StreamDescription:
            hanging.set()
            let_go.wait(15)
            return super().open()

    plant(house.solo.recorder._loop, _open_camera=Hanging)
    assert house.solo.recorder.between_ns is None
    house.film()
    hanging.wait(15)
    since_ns = house.solo.recorder.between_ns
    assert since_ns is not None
    assert 0 <= time.monotonic_ns() - since_ns < 15e9
    let_go.set()
    until(lambda: house.solo.recorder.delivering)
    assert house.solo.recorder.between_ns is None


def test_a_hot_board_opens_its_camera_anew_and_only_when_the_camera_itself_must_change(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    for level in (1, 2):
        house.solo.recorder.set_throttle_level(level)
        time.sleep(0.7)
        assert house.opened == 1
    house.solo.recorder.set_throttle_level(3)
    until(lambda: house.opened == 2)
    until(lambda: house.solo.recorder.delivering)
    assert not house.told, "a restart on purpose is no outage"


def test_the_privacy_switch_closes_the_camera_and_no_event_outlives_it(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().state == "recording")
    house.solo.recorder.set_privacy_switch(True)
    until(lambda: house.solo.recorder.status().segments >= 1 and not house.solo.recorder.status().in_event)
    assert house.solo.recorder.status().state == "privacy"
    until(lambda: not house.solo.recorder.delivering)
    house.solo.recorder.set_privacy_switch(False)
    until(lambda: house.solo.recorder.delivering)
    assert house.opened == 2


def test_the_privacy_switch_closes_the_camera_though_the_disk_hangs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, let_go = threading.Event(), threading.Event()

    def hang(_start: ClockReading, _end: ClockReading) -> None:
        hangs.set()
        let_go.wait(60)

    monkeypatch.setattr(house.solo.vault, "record_coverage", hang)
    monkeypatch.setattr(coverage_recorder, "_EVERY_NS", 0)
    try:
        house.film()
        assert hangs.wait(15)
        until(lambda: house.solo.recorder.delivering)
        house.solo.recorder.set_privacy_switch(True)
        until(lambda: house.newest.stopped)
        assert not let_go.is_set()
    finally:
        let_go.set()


def test_an_event_asks_the_encoder_for_a_keyframe_and_once(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    assert house.newest.keyframes_asked == 0
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().events == 1)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().segments >= 1)
    # The second press may have come when the event was over: then it is another one's.
    until(lambda: house.newest.keyframes_asked == house.solo.recorder.status().events)


LEFT_HALF = ZoneMap((Zone("theirs", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), ZoneKind.PRIVACY),))


def test_a_camera_that_cannot_mask_is_opened_again_though_the_board_gets_warmer_meanwhile(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    first = house.newest
    first.masks = False
    house.solo.recorder.watch_for(LEFT_HALF)
    house.solo.recorder.set_throttle_level(1)  # leaves the camera alone, and must not take back the mask
    until(lambda: house.opened == 2)
    assert first.stopped


@pytest.mark.parametrize("live", [True, False], ids=["camera", "file"])
def test_a_mask_is_applied_at_once_though_an_event_goes_on_and_no_segment_holds_both(
    live: bool, house: House, tmp_path: Path
) -> None:
    house.live = live
    house.film()
    until(lambda: house.solo.recorder.status().frames > 10)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().in_event)
    house.solo.recorder.watch_for(LEFT_HALF)
    drawn_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    until(lambda: house.solo.recorder.status().segments >= 2 and not house.solo.recorder.status().in_event)
    assert (house.opened, house.solo.recorder.status().events) == (1, 1)
    identity, kinds = OwnerKeys.load(tmp_path / "owner").identity, []
    for entry in house.solo.vault.entries():
        media, _ = split_media(open_bytes(house.solo.vault.read(entry.id, 0, 1 << 24), [identity]))
        with av.open(io.BytesIO(media)) as film:
            halves = [picture.to_ndarray(format="gray")[:, :60].max() for picture in film.decode(video=0)]
        black = [bool(brightest < 30) for brightest in halves]
        assert len(set(black)) == 1
        kinds.append(black[0])
        if black[0]:
            assert entry.start_us < drawn_us + 1_500_000, "at once: not when the event was over"
    assert kinds == sorted(kinds)
    assert set(kinds) == {False, True}


def test_of_what_was_filmed_before_a_mask_was_drawn_nothing_is_pre_roll_afterwards(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.status().frames > 40)
    house.solo.recorder.watch_for(LEFT_HALF)
    drawn_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    time.sleep(0.3)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().segments >= 1)
    assert min(entry.start_us for entry in house.solo.vault.entries()) > drawn_us - 200_000


def test_a_second_ring_is_on_the_timeline(house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    analysis = house.solo.recorder._parts.analysis
    machine = replace(analysis._settings.events, ring_again_s=1.0, post_roll_s=4.0)
    plant(analysis, _settings=replace(analysis._settings, events=machine))
    house.solo.recorder.set_privacy_switch(True)
    until(lambda: not house.solo.recorder.delivering)
    house.solo.recorder.set_privacy_switch(False)  # and so its machine is another one
    until(lambda: house.solo.recorder.delivering)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().in_event)
    time.sleep(1.5)
    house.solo.press_button()
    timeline = Timeline(house.solo._recording.manifest)
    until(lambda: len(timeline.events(0, 2**53)) == 2 and not house.solo.recorder.status().in_event)
    second, first = timeline.events(0, 2**53)
    assert [first["kind"], second["kind"]] == ["button", "button"]
    assert abs(second["start_ms"] - first["end_ms"]) <= 1, "not a picture is missing"


def test_a_person_in_a_ring_s_event_is_labelled(tmp_path: Path) -> None:
    """They stood there before: the still was of pictures that no one had looked at more than once."""

    def slowly(_pixels: Pixels) -> Seen:
        time.sleep(0.4)  # as on a small board
        return [(ObjectLabel.PERSON, (0.3, 0.3, 0.6, 0.9), 0.6)]

    object_detector = fake_eye(slowly)
    clips = ClipsConfig(pre_roll_s=4, post_roll_s=6, merge_gap_s=1, segment_s=5)
    house = House(tmp_path, clips, open_detector=lambda: object_detector)
    try:
        house.film()
        until(lambda: house.solo.recorder.status().frames > 130, patience_s=30)
        house.solo.press_button()
        until(lambda: house.solo.recorder.status().segments >= 2, patience_s=30)
        until(lambda: not house.solo.recorder.status().in_event, patience_s=30)
        (event,) = Timeline(house.solo._recording.manifest).events(0, 2**53)
        still = house.solo.vault.read_poster(event["poster"])
        assert still is not None
        _, context = split_poster(open_bytes(still, [OwnerKeys.load(tmp_path / "owner").identity]))
        assert context.seen == (ObjectLabel.PERSON,)
    finally:
        house.close()


def test_while_the_filter_moves_nothing_is_somebody(house: House) -> None:
    house.solo.recorder.black_out(60 * 10**9)
    house.film()
    until(lambda: house.solo.recorder.status().frames > 10)
    assert house.solo.recorder._parts.analysis.analysed == 0
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().events == 1)


def test_a_start_with_a_privacy_switch_that_stands_at_off_tells_nobody_that_nothing_is_recorded(house: House) -> None:
    plant(house.solo.recorder._gate, _switch_on=None)  # as with [panel]: not read yet
    house.film()
    time.sleep(0.3)
    assert (house.opened, house.solo.recorder.status().state) == (0, "privacy")
    house.solo.recorder.set_privacy_switch(False)
    until(lambda: house.solo.recorder.delivering)
    assert not house.told
    assert not house.gaps()


def test_a_privacy_switch_that_cannot_be_read_is_told_as_that_and_then_as_what_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_loop, "_UNREAD_S", 0.1)
    plant(house.solo.recorder._gate, _switch_on=None)
    house.film()
    until(lambda: house.kinds == ["privacy unread"])
    assert "not been read yet" in house.told[0]
    house.solo.recorder.set_privacy_switch(True)
    until(lambda: house.kinds == ["privacy unread", "privacy on"])
    house.solo.recorder.set_privacy_switch(False)
    until(lambda: house.solo.recorder.delivering)
    assert house.kinds == ["privacy unread", "privacy on", "privacy off"]
    assert [gap.reason for gap in house.gaps()] == [GapReason.PRIVACY] * 2, "its beginning, and then all of it"


def test_the_time_before_a_stall_is_certain_counts_as_camera_lost_and_not_as_a_device_that_was_off(
    house: House,
) -> None:
    plant(house.solo.recorder._loop, _stall_ns=seconds(3.0))
    house.film()
    until(lambda: house.solo.recorder.delivering)
    time.sleep(1.0)
    house.newest.silent.now = True
    until(lambda: house.opened == 2 and house.solo.recorder.delivering)
    (watched,) = (record for record in house.records() if isinstance(record, CoverageRecord))
    lost = house.gaps()[-1]
    assert lost.reason is GapReason.CAMERA_LOST
    assert abs(lost.span.start_us - watched.span.end_us) < 100_000
    assert lost.span.duration_us > 3_000_000


def test_an_orderly_stop_leaves_no_record_of_a_live_camera_signed_once(house: House) -> None:
    """The record of the time that it watched has a second signature, and covers the lines before it (decision 87)."""
    house.film()
    until(lambda: house.solo.recorder.delivering)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().segments >= 1)
    house.solo.stop()
    house._thread.join()
    kinds = [type(record) for record in house.records()]
    assert SegmentRecord in kinds
    assert kinds[-1] is CoverageRecord


@pytest.mark.parametrize("kind", [TriggerKind.BUTTON, TriggerKind.PIR])
def test_a_trigger_that_is_dated_in_the_future_blinds_no_recorder(house: House, kind: TriggerKind) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    house.solo.recorder.trigger(kind, BootNs(2**53 * 1000))  # the most that a bridge can say
    until(lambda: house.solo.recorder.status().segments >= 1 and not house.solo.recorder.status().in_event)
    house.solo.press_button()
    until(lambda: house.solo.recorder.status().segments >= 2)
