"""The camera loop, step by step: the order in which a stream begins and ends, and what it does after each fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.core.events import TriggerKind
from agent.core.media import LumaFrame, StreamDescription
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.recovery import RecoveryAction, RecoveryPolicy
from agent.core.timebase import BootNs, ClockReading, seconds
from agent.core.vault.records import GapReason
from agent.errors import DeviceError, InternalError
from agent.ports import CameraEnd, CameraSink, MaskedArea
from agent.recorder import camera_loop
from agent.recorder.camera_loop import CameraLoop, StreamParts
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.recorder_inputs import PendingTrigger, RecorderInputs
from agent.wire.fields import ZoneKind
from firmware_bridge.throttling import ThrottleLevel
from tests.recorder.thread_owner_check import plant
from tests.vaults import SteppedClock

FILM = StreamDescription(64, 48, 10, 32, 24, live=False)
LIVE = replace(FILM, live=True)
GONE = DeviceError("The camera is not there.", remedy="Plug it in.")


class Parts:
    """Everything beside the camera: writes down what it is asked, in order."""

    def __init__(self, *, sound: bool = False, live_view: bool = True) -> None:
        self.calls: list[str] = []
        self.shown: list[object] = []
        self.workers: dict[str, tuple[object, ...]] = {}
        """By the name of each thread: what it was given besides its queue."""
        self.gaps_begun: list[tuple[GapReason, str, ClockReading | None, str]] = []
        self.rings: list[int] = []
        self.ages_ns: list[int] = []
        self.busy = False
        self.analyse: Callable[[CameraQueues], None] = _until_closed
        self.has_sound, self.has_live_view = sound, live_view

    def all(self) -> StreamParts:
        me: Any = self
        sound: Any = _Sound(self) if self.has_sound else None
        live = me if self.has_live_view else None
        return StreamParts(me, me, me, _Coverage(self), _Detection(self), sound, live)  # type: ignore[arg-type]

    # the analysis and the writer
    def run(self, queues: Any, *more: object) -> None:
        self.workers[threading.current_thread().name] = more
        if isinstance(queues, CameraQueues):
            self.analyse(queues)
            queues.packets.close()
            self.calls.append("analysed")

    # gaps
    def begin(self, reason: GapReason, words: str, *, since: ClockReading | None = None, news: str = "") -> None:
        self.gaps_begun.append((reason, words, since, news))

    def end(self, *, tell: bool = True) -> None:
        self.calls.append("gap ends" if tell else "gap ends silently")

    def rang(self, at_ns: int) -> None:
        self.rings.append(at_ns)

    # live view
    def frame(self, frame: object) -> None:
        self.shown.append(frame)

    def forget(self) -> None:
        self.calls.append("forgotten")


def _until_closed(queues: CameraQueues) -> None:
    while queues.lumas.take() is not None:
        pass


class _Coverage:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def pictures_delivered(self, age_ns: int) -> None:
        self._parts.ages_ns.append(age_ns)

    def ended(self, age_ns: int) -> None:
        self._parts.calls.append("coverage ends")
        self._parts.ages_ns.append(age_ns)


class _Detection:
    def __init__(self, parts: Parts) -> None:
        self._calls = parts.calls

    def start(self) -> None:
        self._calls.append("detection starts")

    def stop(self) -> None:
        self._calls.append("detection stops")

    def begin_stream(self, *, live: bool) -> None:
        self._calls.append(f"detection of a {'camera' if live else 'film'}")

    def on_time(self) -> None:
        self._calls.append("detection's time")


class _Sound:
    def __init__(self, parts: Parts) -> None:
        self._calls = parts.calls

    def begin(self, first_ns: int) -> None:
        self._calls.append(f"sound begins at {first_ns}")

    def settle(self) -> None:
        self._calls.append("sound settles")

    def end(self) -> None:
        self._calls.append("sound ends")

    def join(self) -> None:
        self._calls.append("sound is closed")


class FakeCamera:
    """A camera that does what the test says when it is opened, started and stopped."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def open(self) -> StreamDescription:
        self._door.opened += 1
        self._door.note("open")
        if self._door.faults:
            raise self._door.faults.pop(0)
        return self._door.description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        self._door.note(f"start at {first_ns}")
        self._door.played(sink)

    def request_keyframe(self) -> None:
        """Not asked for here."""

    def mask(self, zones: MaskedArea) -> bool:
        self._door.masks.append(zones)
        return self._door.can_mask

    def stop(self) -> None:
        self._door.note("stop")
        if self._door.hangs:
            raise DeviceError("The camera hangs.", remedy="Unplug it.")


class Door:
    """A loop and its surroundings. `played` is what the camera does once it is started; a film ends at once."""

    def __init__(
        self, *, sound: bool = False, supervised: bool = False, live_view: bool = True, unread: bool = False
    ) -> None:
        self.parts, self.clock = Parts(sound=sound, live_view=live_view), SteppedClock()
        self.inputs = RecorderInputs(ZoneMap())
        self.description = FILM
        self.faults: list[DeviceError] = []
        self.opened = 0
        self.hangs = False
        self.can_mask = True
        self.masks: list[MaskedArea] = []
        self.in_driver: list[bool] = []
        self.played: Callable[[Any], None] = lambda sink: sink.ended(CameraEnd.END_OF_FOOTAGE, "It is over.")
        self.gate = PrivacyGate(switch_unread=unread, on_close=self._closed, on_change=self._changed)
        self.loop = CameraLoop(
            lambda: FakeCamera(self),
            self.inputs,
            self.gate,
            self.parts.all(),
            self.clock,
            RecoveryPolicy(supervised=supervised),
            15.0,
        )

    def _closed(self, why: str) -> None:
        self.loop.end_stream(why)

    def _changed(self) -> None:
        self.loop.look_now()

    def note(self, call: str) -> None:
        self.parts.calls.append(call)
        self.in_driver.append(self.loop.between_ns is not None)

    def waits(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None] = lambda _n: None) -> list[Any]:
        """Replaces the pauses: each is noted, `then` gets its number, and the fifth stops the loop."""
        found: list[Any] = []

        def wait(_loop: CameraLoop, timeout_s: float | None, until: Callable[[], bool]) -> None:
            found.append(timeout_s)
            then(len(found))
            if len(found) == 5:
                self.loop.stop()

        monkeypatch.setattr(CameraLoop, "_wait", wait)
        return found


def test_a_film_is_played_once_from_its_first_instant_to_its_end() -> None:
    door = Door()
    assert door.loop.run(BootNs(7)) is CameraEnd.END_OF_FOOTAGE
    assert door.parts.calls == [
        "detection starts", "open", "gap ends", "detection of a film", "start at 7", "stop", "analysed", "forgotten",
        "detection stops", "gap ends silently",
    ]  # fmt: skip
    assert door.in_driver == [True] * 3, "the watchdog sees a driver that hangs"
    assert door.loop.between_ns is None
    assert door.loop.queues is None
    assert (door.loop.camera_fault, door.opened) == ("It is over.", 1)


def test_a_loop_that_has_not_run_yet_is_starting() -> None:
    loop = Door().loop
    assert (loop.camera_fault, loop.queues, loop.between_ns, loop.wanted) == ("starting", None, None, None)


def test_a_film_without_a_given_time_begins_now() -> None:
    door = Door()
    door.loop.run(None)
    assert f"start at {seconds(100)}" in door.parts.calls


def test_the_sound_of_a_film_is_open_before_it_starts_and_closed_when_it_was_read() -> None:
    door = Door(sound=True)
    door.loop.run(BootNs(7))
    calls = [call for call in door.parts.calls if "sound" in call or call in ("start at 7", "stop", "analysed")]
    assert calls == [
        "sound begins at 7", "sound settles", "start at 7", "stop", "analysed", "sound ends", "sound is closed",
    ]  # fmt: skip


def test_the_microphone_of_a_live_camera_is_off_as_soon_as_the_camera_is() -> None:
    door = Door(sound=True)
    door.description = LIVE
    door.played = lambda _sink: door.loop.stop()
    assert door.loop.run(BootNs(7)) is CameraEnd.STOPPED
    calls = [call for call in door.parts.calls if "sound" in call or call in ("start at 7", "stop", "analysed")]
    assert calls == ["sound begins at 7", "start at 7", "sound ends", "stop", "analysed", "sound is closed"]
    assert "coverage ends" in door.parts.calls


def test_a_missing_camera_is_a_gap_and_is_tried_again_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.faults = [GONE] * 9
    waits = door.waits(monkeypatch)
    assert door.loop.run(None) is CameraEnd.STOPPED
    assert waits == [1.0, 2.0, 5.0, 10.0, 30.0]
    assert door.parts.gaps_begun == [(GapReason.CAMERA_LOST, str(GONE), None, "")] * 5
    assert door.loop.camera_fault == str(GONE)
    assert door.loop.wanted is None


def test_a_supervised_process_gives_up_after_three_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(supervised=True)
    door.faults = [GONE] * 9
    door.waits(monkeypatch)
    assert door.loop.run(None) is CameraEnd.LOST
    assert door.loop.wanted is RecoveryAction.EXIT
    assert door.opened == 4


def test_a_camera_that_cannot_be_stopped_ends_a_supervised_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(supervised=True)
    door.description, door.hangs = LIVE, True
    door.played = lambda sink: sink.ended(CameraEnd.LOST, "It froze.")
    waits = door.waits(monkeypatch)
    assert door.loop.run(None) is CameraEnd.LOST
    assert (door.loop.wanted, waits, door.opened) == (RecoveryAction.EXIT, [], 1)


def test_a_film_that_is_lost_is_not_played_again() -> None:
    door = Door()
    door.played = lambda sink: sink.ended(CameraEnd.LOST, "The file is damaged.")
    assert door.loop.run(None) is CameraEnd.LOST
    assert door.opened == 1
    assert door.parts.gaps_begun == []


@pytest.mark.parametrize("which", ["analysis", "camera"])
def test_a_bug_is_raised_and_leaves_no_camera_open(which: str) -> None:
    """Otherwise a doorbell looks healthy and has stopped recording."""

    def broken(_queues: object) -> None:
        raise ZeroDivisionError

    door = Door()
    if which == "analysis":
        door.parts.analyse = broken
        door.played = lambda _sink: None
        with pytest.raises(InternalError, match="does not know") as raised:
            door.loop.run(None)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
    else:
        door.played = broken
        with pytest.raises(ZeroDivisionError):
            door.loop.run(None)
    assert "stop" in door.parts.calls
    assert door.parts.calls[-2:] == ["detection stops", "gap ends silently"]
    assert not [thread for thread in threading.enumerate() if thread.name in ("analysis", "writer")]


def test_the_time_since_the_last_good_picture_is_part_of_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.description = LIVE

    def silent_for_a_while(sink: CameraQueues) -> None:
        plant(sink, frame_ns=time.monotonic_ns() - seconds(40), frames=1)

    door.played = silent_for_a_while
    door.waits(monkeypatch, lambda _number: door.loop.stop())
    door.loop.run(None)
    ((reason, words, since, _news),) = door.parts.gaps_begun
    assert reason is GapReason.CAMERA_LOST
    assert words.startswith("The camera has stopped sending pictures. It is restarted")
    assert since is not None
    assert seconds(30) < since.boot_ns <= seconds(60), "100 s on this clock, less 40 s"
    assert door.parts.ages_ns[-1] >= seconds(40)


def test_a_film_that_pauses_is_not_stalled() -> None:
    door = Door()

    def slowly(sink: CameraQueues) -> None:
        plant(sink, frame_ns=time.monotonic_ns() - seconds(4000))
        threading.Timer(0.05, sink.ended, (CameraEnd.END_OF_FOOTAGE, "Over.")).start()

    door.played = slowly
    assert door.loop.run(None) is CameraEnd.END_OF_FOOTAGE
    assert door.parts.ages_ns == []


def test_a_camera_that_gave_nothing_yet_covers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_loop, "_LOOK_S", 0.01)
    door = Door()
    door.description = LIVE

    def ends_soon(sink: CameraQueues) -> None:
        threading.Timer(0.3, door.loop.stop).start()

    door.played = ends_soon
    door.loop.run(None)
    assert len(door.parts.ages_ns) == 1, "only the end, which ends nothing"


@pytest.mark.parametrize(
    ("age_s", "live", "found"),
    [
        (1, True, [PendingTrigger(TriggerKind.BUTTON, BootNs(seconds(100)), is_recorded=True)]),
        (19, False, [PendingTrigger(TriggerKind.BUTTON, None, is_recorded=True)]),
        (21, True, []),
    ],
)
def test_a_recent_press_becomes_an_event_of_the_camera_that_came(age_s: int, live: bool, found: list[object]) -> None:
    door, got = Door(), []
    door.description = replace(FILM, live=live)
    door.inputs.early_presses.append(time.monotonic_ns() - seconds(age_s))

    def analyse(queues: CameraQueues) -> None:
        while (item := queues.lumas.take()) is not None:
            got.append(item)

    door.parts.analyse = analyse
    begun = door.loop._replay_press

    def replay(queues: CameraQueues) -> None:
        begun(queues)
        door.loop.stop()

    door.loop._replay_press = replay  # type: ignore[method-assign]
    door.played = lambda _sink: None
    door.loop.run(None)
    assert got == found
    assert not door.inputs.early_presses


@pytest.mark.parametrize(("age_ns", "is_kept"), [(seconds(20) - 1, True), (seconds(20), False)])
def test_a_press_is_kept_for_less_than_twenty_seconds(now: Now, age_ns: int, is_kept: bool) -> None:
    door, queues = Door(), CameraQueues(live=True)
    door.inputs.early_presses.append(now.ns - age_ns)
    door.loop._replay_press(queues)
    assert (queues.lumas.take(0.0) is not None) is is_kept


def test_rings_that_no_camera_showed_are_recorded_before_the_next_attempt() -> None:
    door = Door()
    door.inputs.unseen_rings.extend([BootNs(5), BootNs(6)])
    door.loop.run(None)
    assert door.parts.rings == [5, 6]


def privacy_zone(name: str = "window") -> Zone:
    return Zone(name, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)), ZoneKind.PRIVACY)


def looked_at(door: Door, *steps: Callable[[], None], age_s: float = -60) -> None:
    """Lets the loop look at its camera, with one step before each look. `age_s`: of the camera's newest frame."""
    left = list(steps)

    def look(queues: CameraQueues, _timeout_s: float) -> bool:
        if queues.ended_event.is_set():
            return True
        if not left:
            queues.ended(CameraEnd.STOPPED, "done")
            door.loop.stop()
        else:
            left.pop(0)()
        return queues.ended_event.is_set()

    door.description = LIVE
    door.played = lambda sink: plant(sink, frame_ns=camera_loop.time.monotonic_ns() - seconds(age_s), frames=1)
    patched = pytest.MonkeyPatch()
    patched.setattr(CameraQueues, "wait_for_attention", look)
    try:
        door.loop.run(None)
    finally:
        patched.undo()


def test_new_privacy_zones_are_masked_at_once_and_other_zones_are_not() -> None:
    door = Door()
    masked = ZoneMap((privacy_zone(),))
    looked_at(
        door,
        lambda: door.inputs.set_zones(ZoneMap((Zone("street", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))),))),
        lambda: door.inputs.set_zones(masked),
        lambda: None,
        lambda: door.inputs.set_zones(ZoneMap((privacy_zone(),))),
    )
    assert door.masks == [masked]
    assert door.opened == 1


def test_a_camera_that_cannot_mask_is_opened_again_when_no_event_is_being_written() -> None:
    door = Door()
    door.can_mask, door.parts.busy = False, True

    def quiet() -> None:
        assert door.opened == 1, "not in the middle of an event"
        door.parts.busy = False

    looked_at(door, lambda: door.inputs.set_zones(ZoneMap((privacy_zone(),))), lambda: None, quiet)
    assert door.opened == 2
    assert door.parts.gaps_begun == []
    assert len(door.masks) == 1, "the second camera is opened with the mask"


@pytest.mark.parametrize(
    ("levels", "opened"),
    [
        ((ThrottleLevel.OBJECT_DETECTION, ThrottleLevel.ANALYSIS), 1),
        ((ThrottleLevel.RATE,), 2),
        ((ThrottleLevel.RATE, ThrottleLevel.SIZE), 3),
        ((ThrottleLevel.RATE, ThrottleLevel.ANALYSIS), 3),
    ],
)
def test_a_camera_is_opened_again_for_each_level_that_changes_its_picture(
    levels: tuple[ThrottleLevel, ...], opened: int
) -> None:
    door = Door()

    def to(level: ThrottleLevel) -> Callable[[], None]:
        return lambda: bool(door.inputs.set_throttle_level(level)) and None

    looked_at(door, *map(to, levels), lambda: None)
    assert door.opened == opened


def test_while_the_switch_is_on_no_camera_is_opened_and_the_time_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.gate.set_privacy_switch(True)
    waits: list[float | None] = []

    def wait(_loop: CameraLoop, timeout_s: float | None, until: Callable[[], bool]) -> None:
        waits.append(timeout_s)
        assert not until()
        door.gate.set_privacy_switch(False)
        assert until()

    monkeypatch.setattr(CameraLoop, "_wait", wait)
    assert door.loop.run(None) is CameraEnd.END_OF_FOOTAGE
    assert waits == [None]
    ((reason, words, since, news),) = door.parts.gaps_begun
    assert (reason, words, news) == (
        GapReason.PRIVACY, "The privacy switch is on. The camera is off.", "privacy on",
    )  # fmt: skip
    assert since == door.clock.now()


def test_a_switch_that_closes_while_the_camera_is_opened_closes_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.description = LIVE
    note = door.note

    def close_it(call: str) -> None:
        note(call)
        if call == "open":
            door.gate.set_privacy_switch(True)

    monkeypatch.setattr(door, "note", close_it)
    door.waits(monkeypatch, lambda _number: door.loop.stop())
    assert door.loop.run(None) is CameraEnd.STOPPED
    assert not [call for call in door.parts.calls if call.startswith("start at")]
    assert "stop" in door.parts.calls
    assert [gap[0] for gap in door.parts.gaps_begun] == [GapReason.PRIVACY], "no camera was lost"
    assert door.loop.camera_fault == "starting", "it did not fail, and an installer reads no fault (core.health)"


class Now:
    """The loop's monotonic clock, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s = time.monotonic()  # the queues read the real clock, and compare
        clock = SimpleNamespace(monotonic=lambda: self.s, monotonic_ns=lambda: self.ns)
        monkeypatch.setattr(camera_loop, "time", clock)

    @property
    def ns(self) -> int:
        return seconds(self.s)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


def test_the_analysis_and_the_writer_have_threads_of_their_own_and_the_streams_description() -> None:
    door = Door()
    door.loop.run(None)
    (analysis, writer) = door.parts.workers["analysis"], door.parts.workers["writer"]
    assert sorted(door.parts.workers) == ["analysis", "writer"]
    assert analysis[0] is FILM
    assert getattr(analysis[1], "__name__", "") == "request_keyframe"
    assert writer == (FILM,)


@pytest.mark.parametrize("live_view", [True, False])
def test_live_view_is_shown_each_frame_and_forgets_the_stream_at_its_end(live_view: bool) -> None:
    door = Door(live_view=live_view)
    frame = LumaFrame(np.zeros((24, 32), np.uint8), BootNs(1))

    def one_frame(sink: CameraQueues) -> None:
        sink.luma(frame)
        sink.ended(CameraEnd.END_OF_FOOTAGE, "It is over.")

    door.played = one_frame
    door.loop.run(None)
    assert door.parts.shown == ([frame] if live_view else [])
    assert ("forgotten" in door.parts.calls) is live_view


def test_a_stream_that_lasted_is_told_to_the_recovery(now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    door, lasted_ns = Door(), list[int]()
    monkeypatch.setattr(door.loop.recovery, "on_good", lasted_ns.append)

    def lasts(sink: CameraQueues) -> None:
        now.s += 7
        sink.ended(CameraEnd.END_OF_FOOTAGE, "It is over.")

    door.played = lasts
    door.loop.run(None)
    assert lasted_ns == [seconds(7)]


def test_while_a_camera_delivers_its_coverage_and_object_detection_are_kept_up(now: Now) -> None:
    door = Door()
    looked_at(door, lambda: None, lambda: None, age_s=5)
    assert door.parts.ages_ns == [seconds(5)] * 3, "at each of two looks, and at the end"
    assert door.parts.calls.count("detection's time") == 2
    assert door.parts.gaps_begun == []


def test_a_stalled_stream_is_covered_up_to_its_last_good_picture(now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.description = LIVE

    def stalls(sink: CameraQueues) -> None:
        plant(sink, frame_ns=now.ns - seconds(20), packet_ns=now.ns - seconds(3), frames=1)

    door.played = stalls
    door.waits(monkeypatch, lambda _number: door.loop.stop())
    assert door.loop.run(None) is CameraEnd.STOPPED
    ((_reason, _words, since, _news),) = door.parts.gaps_begun
    assert since == door.clock.now().at(BootNs(seconds(80))), "100 s on this clock, less 20 s"
    assert door.parts.ages_ns == [seconds(20)] * 2
    assert door.loop._last_good() is None, "it counts once"


def test_zones_that_change_while_the_camera_is_opened_are_masked_before_the_first_look() -> None:
    door = Door()
    masked, note = ZoneMap((privacy_zone(),)), door.note

    def changes(call: str) -> None:
        note(call)
        if call == "open":
            door.inputs.set_zones(masked)

    door.note = changes  # type: ignore[method-assign]
    looked_at(door)
    assert door.masks == [masked]


def test_why_a_camera_is_opened_again_is_told_until_it_is_open() -> None:
    door, told = Door(), list[str]()
    note = door.note

    def noting(call: str) -> None:
        note(call)
        if call == "open":
            told.append(door.loop.camera_fault)

    door.note = noting  # type: ignore[method-assign]
    looked_at(door, lambda: bool(door.inputs.set_throttle_level(ThrottleLevel.RATE)) and None, lambda: None)
    assert told == ["starting", "The camera is opened again, because its picture must change."]


def test_an_end_of_the_stream_ends_a_pause_too_and_says_why() -> None:
    door = Door()
    door.loop.end_stream("There is no stream.")
    assert door.loop._woken.is_set()
    queues = door.loop.queues = CameraQueues(live=True)
    door.loop.end_stream("The switch is on.")
    assert queues.end == (CameraEnd.STOPPED, "The switch is on.")
    door.loop.look_now()
    assert queues.attention.is_set()


def test_a_stop_says_why_the_stream_ended() -> None:
    door = Door()
    door.description = LIVE
    door.played = lambda _sink: door.loop.stop()
    door.loop.run(None)
    assert door.loop.camera_fault == "The recorder was stopped."


def test_a_pause_takes_what_is_left_of_it_after_each_wake_up(now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    door, waits = Door(), list[float | None]()

    def woken(left_s: float | None) -> None:
        waits.append(left_s)
        now.s += 1.25

    monkeypatch.setattr(door.loop._woken, "wait", woken)
    door.loop._woken.set()
    door.loop._wait(3.0, lambda: False)
    assert waits == [3.0, 1.75, 0.5]
    assert not door.loop._woken.is_set()
    waits.clear()
    door.loop._wait(2.5, lambda: False)
    assert waits == [2.5, 1.25], "nothing is left"


def waits_at_the_gate(door: Door, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], None]) -> list[float | None]:
    """The pauses before the gate, each of which its step ends."""
    left, timeouts = list(steps), list[float | None]()

    def wait(_loop: CameraLoop, timeout_s: float | None, until: Callable[[], bool]) -> None:
        timeouts.append(timeout_s)
        assert not until()
        step = left.pop(0)
        step()
        if timeout_s is None:
            assert until() or door.loop._stopping.is_set()

    monkeypatch.setattr(CameraLoop, "_wait", wait)
    door.loop.run(None)
    assert not left
    return timeouts


def test_a_switch_that_is_read_soon_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(unread=True)
    assert waits_at_the_gate(door, monkeypatch, lambda: door.gate.set_privacy_switch(False)) == [30.0]
    assert (door.parts.gaps_begun, door.opened) == ([], 1)


def test_a_stop_before_the_switch_was_read_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(unread=True)
    assert waits_at_the_gate(door, monkeypatch, door.loop.stop) == [30.0]
    assert (door.parts.gaps_begun, door.opened) == ([], 0)


def test_a_switch_that_cannot_be_read_is_told_and_so_is_its_position_later(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(unread=True)
    timeouts = waits_at_the_gate(
        door,
        monkeypatch,
        lambda: None,
        lambda: door.gate.set_privacy_switch(True),
        lambda: door.gate.set_privacy_switch(False),
    )
    assert timeouts == [30.0, None, None]
    since = door.clock.now()
    assert door.parts.gaps_begun == [
        (GapReason.PRIVACY, "The privacy switch has not been read yet. The camera is off.", since, "privacy unread"),
        (GapReason.PRIVACY, "The privacy switch is on. The camera is off.", since, "privacy on"),
    ]


def test_a_private_hour_is_a_gap_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.gate.set_private_hour(True)
    assert waits_at_the_gate(door, monkeypatch, lambda: door.gate.set_private_hour(False)) == [None]
    ((_reason, words, _since, news),) = door.parts.gaps_begun
    assert (words, news) == ("This is a private hour. The camera is off.", "privacy on")


def test_a_pause_ends_with_a_stop_with_its_condition_and_with_its_time() -> None:
    door = Door()
    door.inputs.unseen_rings.append(BootNs(3))
    door.loop._wait(0.0, lambda: False)
    door.loop._wait(0.02, lambda: False)
    door.loop._wait(None, lambda: True)
    assert door.parts.rings == [3], "a ring during the pause is recorded in it"
    woken = threading.Timer(0.05, door.loop.look_now)
    looks: list[int] = []
    woken.start()
    door.loop._wait(None, lambda: looks.append(1) is not None or len(looks) == 2)
    assert len(looks) == 2
    door.loop.stop()
    door.loop._wait(None, lambda: False)
