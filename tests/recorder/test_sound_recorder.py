"""Sound is recorded beside the pictures, in time with them, and never at their cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import OwnerKeys
from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S, BootNs
from agent.core.vault.records import SegmentRecord, SoundGapReason
from agent.core.vault.segment import split_media
from agent.errors import DeviceError
from agent.media.sound import sound_mp4
from agent.ports import CameraEnd, Microphone, SoundSink
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.recorder.sound_recorder import KEPT_NS, SoundRecorder
from tests.contracts.test_microphone import tone, wav
from tests.recorder.test_recorder_and_hardware import House, until
from tests.sounds import times_ns


class Pulled:
    """A microphone that hears a file until the test pulls it out; while it is out it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.out = False
        self.running: list[FileMicrophone] = []
        self._sinks: list[SoundSink] = []

    def open(self) -> SoundDescription:
        if self.out:
            raise DeviceError("The microphone 'x' cannot be opened.", remedy="Plug it in.")
        self.running.append(FileMicrophone(self._path, paced=True))
        return SoundDescription(24_000, self.running[-1].open().config, live=True)

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        self._sinks.append(sink)
        self.running[-1].start(sink, BootNs(time.clock_gettime_ns(time.CLOCK_BOOTTIME)))

    def stop(self) -> None:
        if self.running:
            self.running.pop().stop()

    def pull(self) -> None:
        self.out = True
        self._sinks[-1].ended(CameraEnd.LOST, "The microphone 'x' gives nothing more: was it unplugged?")


class Household(House):
    """A `House` with a microphone."""

    def __init__(self, folder: Path) -> None:
        self.microphone = Pulled(wav(folder / "long.wav", tone(120)))
        super().__init__(folder)
        self.keys = OwnerKeys.load(folder / "owner")

    def open_microphone(self) -> Microphone:
        return self.microphone

    def records(self) -> list[SegmentRecord]:
        found = [self.solo.vault.record(entry.id).record for entry in self.solo.vault.entries()]
        return [record for record in found if isinstance(record, SegmentRecord)]

    def press(self, segments: int) -> list[SegmentRecord]:
        """Rings, and waits until this many segments are there."""
        self.solo.press_button()
        until(lambda: len(self.records()) >= segments)
        return self.records()

    def listened(self, seconds: float) -> None:
        """Waits until this many seconds of the sound have been heard: its own time, which waits for a slow machine."""
        listening = self.solo.recorder._parts.sound
        assert listening is not None
        until(lambda: listening.packets * 1024 / 24_000 > seconds)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Household]:
    # A microphone may be as late as a busy machine makes it: here it is asked what is heard when, not how soon.
    monkeypatch.setattr("agent.recorder.sound_recorder._LATE_S", 60.0)
    house = Household(tmp_path)
    yield house
    house.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("sound", "microphone"))]


def test_each_segment_s_sound_is_in_time_with_its_pictures(house: Household) -> None:
    house.film()
    until(lambda: house.solo.recorder.status().sound == "listening")
    house.listened(4)  # longer than pre-roll and a GOP
    first, *_ = house.press(1)
    assert first.silence is None
    sealed = house.solo.vault.read_sound(first.id)
    assert sealed is not None
    track, context = split_media(open_bytes(sealed, [house.keys.identity]))
    assert context.span == first.span
    begins_ns, ends_ns = times_ns(track)
    assert 0 <= begins_ns < NS_PER_S // 20, "sound begins with the first picture, to a packet"
    assert abs(ends_ns - first.span.duration_us * 1000) < NS_PER_S // 20


def test_a_microphone_that_is_pulled_out_is_told_and_recorded_and_costs_no_picture(house: Household) -> None:
    house.film()
    until(lambda: house.solo.recorder.status().sound == "listening")
    house.listened(1)
    house.press(1)
    house.microphone.pull()
    until(lambda: house.told)
    assert [text for text in house.told if "There is no sound" in text], house.told
    until(lambda: house.solo.recorder.status().state == "watching")
    time.sleep(5)  # longer than the pre-roll with which the next begins, on a busy machine too
    before = len(house.records())  # all of the earlier ones: each segment soon ends after the last motion
    after = house.press(before + 1)[-1]
    assert (after.sound, after.silence) == (None, SoundGapReason.MICROPHONE)
    assert after.span.duration_us > 1_000_000
    assert "unplugged" in house.solo.recorder.status().sound


def test_the_privacy_switch_silences_it_at_once(house: Household) -> None:
    house.film()
    until(lambda: house.solo.recorder.status().sound == "listening")
    house.solo.recorder.set_privacy_switch(True)
    until(lambda: not house.microphone.running)
    assert house.solo.recorder.status().sound == "off"
    house.solo.recorder.set_privacy_switch(False)
    until(lambda: house.solo.recorder.status().sound == "listening")


DESCRIPTION = SoundDescription(24_000, b"\x13\x08", live=True)


class Nobody:
    def notify(self, kind: str, text: str, once: str = "") -> None:
        pass


class Deaf:
    """Never gives anything."""

    def __init__(self, live: bool = True) -> None:
        self._live = live

    def open(self) -> SoundDescription:
        return SoundDescription(24_000, b"\x13\x08", live=self._live)

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        self._sink = sink

    def stop(self) -> None:
        pass


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    listening = SoundRecorder(Deaf, Nobody())
    listening.begin(BootNs(0))
    session = listening._session
    assert session is not None
    for second in range(2 * KEPT_NS // NS_PER_S):
        session.sound(SoundPacket(b"x", BootNs(second * NS_PER_S)))
    assert not listening.take(0, 100 * NS_PER_S).packets
    assert listening.take(2 * KEPT_NS - 5 * NS_PER_S, 2 * KEPT_NS - NS_PER_S).packets
    listening.end()
    session.sound(SoundPacket(b"late", BootNs(4 * KEPT_NS)))
    assert not listening.take(4 * KEPT_NS - 1, 4 * KEPT_NS + 1).packets, "heard after the end: nobody's"
    listening.join()


def test_a_microphone_that_is_there_and_gives_nothing_is_told_and_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.recorder.sound_recorder._STALL_S", 0.1)
    monkeypatch.setattr("agent.recorder.sound_recorder._AGAIN_S", 0.1)
    told: list[str] = []
    opened: list[Deaf] = []

    class Owner:
        def notify(self, kind: str, text: str, once: str = "") -> None:
            told.append(text)

    def open_microphone() -> Microphone:
        opened.append(Deaf())
        return opened[-1]

    listening = SoundRecorder(open_microphone, Owner())
    listening.begin(BootNs(0))
    until(lambda: len(opened) >= 2)
    assert "gives nothing" in told[0]
    listening.end()
    listening.join()


def test_a_microphone_that_hangs_keeps_nobody_waiting() -> None:
    release = threading.Event()

    class Hanging(Deaf):
        def stop(self) -> None:
            release.wait(20)

    listening = SoundRecorder(Hanging, Nobody())
    listening.begin(BootNs(0))
    until(lambda: listening.state == "listening")
    began_s = time.monotonic()
    listening.end()
    assert time.monotonic() - began_s < 20, "shorter than it hangs"
    assert listening.state == "off"
    release.set()
    listening.join()


def test_a_source_that_is_not_live_waits_for_its_reader() -> None:
    listening = SoundRecorder(lambda: Deaf(live=False), Nobody())
    listening.begin(BootNs(0))
    until(lambda: listening.state == "listening")
    given: list[int] = []
    session = listening._session
    assert session is not None

    def give() -> None:
        for second in range(400):
            session.sound(SoundPacket(b"x", BootNs(second * NS_PER_S)))
            given.append(second)

    giver = threading.Thread(target=give)
    giver.start()
    time.sleep(0.3)
    assert len(given) < 120
    heard = listening.take(300 * NS_PER_S, 305 * NS_PER_S)
    assert len(heard.packets) == 5
    listening.end()
    giver.join()
    listening.join()


def test_an_end_wakes_a_source_that_waits_for_its_reader_however_slowly_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listening = SoundRecorder(lambda: Deaf(live=False), Nobody())
    listening.begin(BootNs(0))
    until(lambda: listening.state == "listening")
    session = listening._session
    assert session is not None
    told = session.end

    def late() -> None:  # a busy machine stops the thread here, and the source runs meanwhile
        time.sleep(0.2)
        told()

    monkeypatch.setattr(session, "end", late)
    giver = threading.Thread(target=session.sound, args=(SoundPacket(b"x", BootNs(10 * KEPT_NS)),), daemon=True)
    giver.start()
    until(lambda: len(listening._changed._waiters) == 1)  # type: ignore[attr-defined]
    listening.end()
    giver.join(20)
    assert not giver.is_alive()
    listening.join()


def test_what_waited_for_the_reader_of_one_camera_s_life_is_not_heard_in_the_next() -> None:
    listening = SoundRecorder(lambda: Deaf(live=False), Nobody())
    listening.begin(BootNs(0))
    until(lambda: listening.state == "listening")
    session = listening._session
    assert session is not None
    giver = threading.Thread(target=session.sound, args=(SoundPacket(b"old", BootNs(10 * KEPT_NS)),))
    giver.start()
    until(lambda: len(listening._changed._waiters) == 1)  # type: ignore[attr-defined]
    with listening._changed:  # the giver is let go only once the next life has begun
        listening.end()
        listening.begin(BootNs(10 * KEPT_NS))
    giver.join()
    assert not listening._packets
    listening.end()
    listening.join()


@pytest.mark.parametrize("there", [True, False])
def test_footage_does_not_begin_before_its_microphone_is_open_or_cannot_be(there: bool) -> None:
    tried: list[SoundRecorder] = []

    class Slow(Deaf):
        def open(self) -> SoundDescription:
            time.sleep(0.2)
            tried.append(listening)
            if not there:
                raise DeviceError("The microphone 'x' cannot be opened.", remedy="Plug it in.")
            return super().open()

    listening = SoundRecorder(lambda: Slow(live=False), Nobody())
    listening.begin(BootNs(0))
    listening.settle()
    assert tried
    assert (listening.state == "listening") is there
    listening.end()
    listening.settle()
    listening.join()


def test_a_track_holds_what_begins_within_its_segment_and_keeps_holes() -> None:
    packets = [SoundPacket(b"a" * 9, BootNs(at * NS_PER_S // 10)) for at in (0, 10, 11, 30, 40)]
    track = sound_mp4(DESCRIPTION, packets, NS_PER_S, 4 * NS_PER_S)
    assert track is not None
    assert times_ns(track, every=True) == (0, NS_PER_S // 10, 2 * NS_PER_S, 2 * NS_PER_S + 42_666_667)
    assert sound_mp4(DESCRIPTION, packets, 5 * NS_PER_S, 6 * NS_PER_S) is None


@pytest.mark.parametrize(
    ("end", "opened", "told"),
    [(CameraEnd.END_OF_FOOTAGE, 1, 0), (CameraEnd.LOST, 2, 1), (CameraEnd.STOPPED, 2, 0)],
)
def test_a_file_of_sound_is_heard_once_and_a_lost_microphone_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, end: CameraEnd, opened: int, told: int
) -> None:
    monkeypatch.setattr("agent.recorder.sound_recorder._AGAIN_S", 0.01)
    made: list[Deaf] = []
    news: list[str] = []

    class Owner:
        def notify(self, kind: str, text: str, once: str = "") -> None:
            news.append(kind)

    class Ending(Deaf):
        def start(self, sink: SoundSink, first_ns: BootNs) -> None:
            if len(made) == 1:
                sink.ended(end, "It is over.")

    def open_microphone() -> Microphone:
        made.append(Ending())
        return made[-1]

    listening = SoundRecorder(open_microphone, Owner())
    listening.begin(BootNs(0))
    thread = listening._thread
    assert thread is not None
    if opened == 1:
        thread.join()
    else:
        until(lambda: len(made) == opened and listening.state == "listening")
    assert len(made) == opened
    assert news.count("microphone") == told
    listening.end()
    listening.join()


# -- a microphone that the test moves ----------------------------------------------------------------------------------

PACKET_NS = SoundDescription(24_000, b"\x13\x08", live=True).packet_ns


class Ear:
    """A recorder that listens to a microphone of the test, without its own thread's pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, live: bool = True) -> None:
        monkeypatch.setattr("agent.recorder.sound_recorder._AGAIN_S", 0.01)
        monkeypatch.setattr("agent.recorder.sound_recorder._LATE_S", 0.0)
        monkeypatch.setattr("agent.recorder.sound_recorder._SLOW_S", 0.0)
        self.told: list[tuple[str, str]] = []
        self.is_missing = False
        self.opening = threading.Event()
        self.opening.set()
        self._live = live
        self.listening = SoundRecorder(self._open, self)

    def _open(self) -> Microphone:
        assert self.opening.wait(60)
        if self.is_missing:
            raise DeviceError("The card is gone.", remedy="Plug it in.")
        return Deaf(self._live)

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, text))

    def begin(self) -> None:
        self.listening.begin(BootNs(0))
        until(lambda: self.listening.state == "listening")

    def hear(self, *packets: float) -> None:
        """Packets at these times, counted in packets."""
        session = self.listening._session
        assert session is not None
        for number in packets:
            session.sound(SoundPacket(b"x", BootNs(round(number * PACKET_NS))))

    def taken(self, first: float, end: float) -> list[float]:
        found = self.listening.take(round(first * PACKET_NS), round(end * PACKET_NS))
        return [each.heard_ns / PACKET_NS for each in found.packets]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    made = Ear(monkeypatch)
    yield made
    made.opening.set()
    made.listening.end()
    made.listening.join()


def test_the_state_of_the_microphone_is_told_in_a_word_or_by_its_fault(ear: Ear) -> None:
    assert ear.listening.state == "off"
    ear.opening.clear()
    ear.listening.begin(BootNs(0))
    assert ear.listening.state == "starting"
    ear.is_missing = True
    ear.opening.set()
    until(lambda: ear.listening.state == "The card is gone. Plug it in.")
    ear.is_missing = False
    until(lambda: ear.listening.state == "listening")
    assert ear.told == [
        ("microphone", "There is no sound: The card is gone. Plug it in."),
        ("microphone back", "The microphone is back."),
    ], "each once, although it was tried again and again"
    ear.listening.end()
    assert ear.listening.state == "off"


def test_a_span_has_the_packets_from_its_first_instant_to_before_its_end(ear: Ear) -> None:
    ear.begin()
    ear.hear(10, 11, 12, 13)
    assert ear.taken(11, 13) == [11, 12]
    assert ear.listening.packets == 4


def test_a_packet_that_is_not_newer_than_the_last_is_dropped(ear: Ear) -> None:
    ear.begin()
    ear.hear(10, 11, 10.5, 11, 12)
    assert ear.taken(0, 20) == [10, 11, 12]


def test_sound_of_three_minutes_is_kept(ear: Ear) -> None:
    ear.begin()
    kept = KEPT_NS / PACKET_NS
    ear.hear(0, 1, kept, kept + 0.5)
    assert ear.taken(0, 1) == []
    assert ear.taken(1, kept + 1) == [1, kept, kept + 0.5]


@pytest.mark.parametrize(("missing_s", "silence"), [(0.9, None), (1.1, SoundGapReason.MICROPHONE)])
def test_a_segment_may_lack_a_second_of_its_sound(ear: Ear, missing_s: float, silence: object) -> None:
    ear.begin()
    count = 100
    ear.hear(*range(count))
    end_ns = count * PACKET_NS + round(missing_s * NS_PER_S)
    assert ear.listening.take(0, end_ns).silence is silence


def test_a_segment_without_any_sound_says_so_however_short_it_is(ear: Ear) -> None:
    ear.begin()
    found = ear.listening.take(0, PACKET_NS)
    assert (found.packets, found.silence) == ((), SoundGapReason.MICROPHONE)


def test_before_the_microphone_was_open_nothing_is_known_of_its_sound(ear: Ear) -> None:
    found = ear.listening.take(0, NS_PER_S // 2)
    assert (found.description, found.silence) == (None, SoundGapReason.MICROPHONE)
    assert ear.listening.newest(0, NS_PER_S) is None


def test_live_view_hears_what_came_between_two_instants_while_the_microphone_is_open(ear: Ear) -> None:
    ear.begin()
    empty = ear.listening.newest(0, NS_PER_S)
    assert empty is not None
    assert empty.packets == ()
    ear.hear(10, 11, 12, 13)
    found = ear.listening.newest(10 * PACKET_NS, 13 * PACKET_NS)
    assert found is not None
    assert [each.heard_ns / PACKET_NS for each in found.packets] == [11, 12]
    assert found.silence is None
    ear.is_missing = True
    session = ear.listening._session
    assert session is not None
    session.ended(CameraEnd.LOST, "unplugged")
    until(lambda: ear.listening.state.startswith("The card"))
    assert ear.listening.newest(13 * PACKET_NS, 20 * PACKET_NS) is None
    assert ear.listening.newest(11 * PACKET_NS, 20 * PACKET_NS) is not None, "what was heard before is still played"
    ear.listening.end()
    assert ear.listening.newest(0, 20 * PACKET_NS) is None


def test_the_sound_of_an_earlier_camera_is_not_that_of_the_next(ear: Ear) -> None:
    ear.begin()
    ear.hear(10)
    old = ear.listening._session
    ear.listening.end()
    ear.listening.join()
    ear.begin()
    assert ear.taken(0, 20) == []
    assert old is not None
    old.sound(SoundPacket(b"x", BootNs(5)))
    old.ended(CameraEnd.LOST, "It is gone.")
    assert ear.listening.state == "listening"
    assert ear.taken(0, 20) == []
    assert ear.told == []


# -- step by step, without a thread ------------------------------------------------------------------------------------


class Waits:
    """In place of an event or a condition: it notes each wait, and answers as it is told."""

    def __init__(self, *answers: bool, is_set: bool = False) -> None:
        self.answers, self.timeouts_s, self._is_set = list(answers), list[float | None](), is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        self.timeouts_s.append(timeout_s)
        return self.answers.pop(0)

    def is_set(self) -> bool:
        return self._is_set or not self.answers

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False


class Unhurried:
    """A recorder without its thread, and a microphone that gives packets while it is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, live: bool = True) -> None:
        self.told: list[tuple[str, str]] = []
        self.steps: list[str] = []
        self.hangs = False
        self.description = SoundDescription(24_000, b"\x13\x08", live=live)
        with monkeypatch.context() as patched:
            patched.setattr(SoundRecorder, "_listen", lambda *_arguments: None)
            self.listening = SoundRecorder(lambda: self, self)
            self.listening.begin(BootNs(7 * NS_PER_S))
        self.waited: list[tuple[bool, float | None]] = []
        monkeypatch.setattr(self.listening._changed, "wait_for", self._wait_for)
        session = self.listening._session
        assert session is not None
        self.session = session

    def _wait_for(self, predicate: Callable[[], bool], timeout_s: float | None = None) -> bool:
        self.waited.append((bool(predicate()), timeout_s))
        return True

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, text))

    def open(self) -> SoundDescription:
        self.steps.append("open")
        return self.description

    def start(self, _sink: SoundSink, first_ns: BootNs) -> None:
        self.steps.append(f"start at {first_ns // NS_PER_S}")

    def stop(self) -> None:
        self.steps.append("stop")
        if self.hangs:
            raise DeviceError("The microphone hangs.", remedy="Unplug it.")

    def play(self, lost: Waits) -> None:
        self.session.lost = lost  # type: ignore[assignment]
        self.listening._play(self.session, self, self.description, BootNs(7 * NS_PER_S))


def test_a_microphone_that_gives_nothing_for_ten_seconds_is_lost_and_one_that_gives_packets_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ear = Unhurried(monkeypatch)

    class Packets(Waits):
        def wait(self, timeout_s: float | None = None) -> bool:
            if len(self.answers) > 2:
                ear.session.sound(SoundPacket(b"x", BootNs(NS_PER_S * (20 - len(self.answers)))))
            return super().wait(timeout_s)

    silent = Packets(False, False, False, False)
    ear.play(silent)
    assert silent.timeouts_s == [10.0] * 3, "two times with a packet, then one without"
    assert ear.told == [("microphone", "There is no sound: the microphone is there and gives nothing.")]
    assert ear.steps == ["start at 7", "stop"]
    assert ear.listening.state == "the microphone is there and gives nothing."


def test_a_file_of_sound_may_pause_for_as_long_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch, live=False)
    ear.play(Waits(False, False, False, True))
    assert ear.told == []
    assert ear.listening.state == "listening"


def test_a_microphone_that_cannot_be_stopped_is_logged_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    ear.hangs = True
    with capture_logs() as lines:
        ear.play(Waits(True))
    assert [line["event"] for line in lines] == ["microphone_hangs"]


def test_a_microphone_is_tried_every_fifteen_seconds_until_the_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    stopping, lost = Waits(False, False, False), Waits(True, True, True)
    ear.session.stopping, ear.session.lost = stopping, lost  # type: ignore[assignment]
    ear.listening._listen(ear.session, BootNs(0))
    assert stopping.timeouts_s == [15.0] * 3
    assert ear.steps == ["open", "start at 0", "stop"] * 3


def test_a_session_that_was_told_to_end_opens_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    ear.session.end()
    ear.listening._listen(ear.session, BootNs(0))
    assert ear.steps == []
    looks = [False, True]
    ear.session.stopping.is_set = lambda: looks.pop(0)  # type: ignore[method-assign]
    ear.listening._listen(ear.session, BootNs(0))
    assert (ear.steps, looks) == ([], []), "told between its two looks"


def test_what_waits_for_the_microphone_is_woken_as_it_opens_as_it_is_lost_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ear = Unhurried(monkeypatch)
    woken: list[int] = []
    monkeypatch.setattr(ear.listening._changed, "notify_all", lambda: woken.append(1))
    ear.listening.settle()
    assert ear.waited.pop() == (False, 10.0), "it is being opened"
    ear.play(Waits(True))
    assert len(woken) == 1
    ear.listening.settle()
    assert ear.waited.pop() == (True, 10.0)
    ear.session.sound(SoundPacket(b"x", BootNs(1)))
    assert len(woken) == 2
    ear.listening.lose(ear.session, "It is gone.", tell=False)
    assert len(woken) == 3
    ear.listening.take(0, 1)
    assert len(woken) == 4, "a file that waits for its reader goes on"
    ear.listening.end()
    assert len(woken) == 5
    assert ear.told == []


def test_before_a_camera_runs_nothing_is_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    fresh = SoundRecorder(lambda: ear, ear)
    monkeypatch.setattr(fresh._changed, "wait_for", ear._wait_for)
    fresh.settle()
    assert ear.waited == [(True, 10.0)]
    fresh.end()
    fresh.join()
    assert (fresh.state, fresh.packets) == ("off", 0)


@pytest.mark.parametrize(("live", "patience_s"), [(True, 0.6), (False, 10.0)])
def test_a_segment_waits_for_its_last_sound_a_moment_and_longer_for_a_file(
    monkeypatch: pytest.MonkeyPatch, live: bool, patience_s: float
) -> None:
    ear = Unhurried(monkeypatch, live=live)
    ear.listening.take(0, 100)
    assert ear.waited.pop() == (True, 0.6), "nothing is heard yet"
    ear.play(Waits(True))
    ear.listening.take(0, 1)
    assert ear.waited.pop() == (False, patience_s), "no packet has come"
    ear.session.sound(SoundPacket(b"x", BootNs(99)))
    ear.waited.clear()
    ear.listening.take(0, 100)
    ear.listening.take(0, 99)
    assert ear.waited == [(False, patience_s), (True, patience_s)], "until a packet has come that begins at the end"


def test_a_file_is_read_ahead_by_a_minute_and_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch, live=False)
    ear.play(Waits(True))
    ahead_ns = 7 * NS_PER_S + 90 * NS_PER_S
    for at_ns in (ahead_ns - 1, ahead_ns):
        ear.session.sound(SoundPacket(b"x", BootNs(at_ns)))
    assert ear.waited == [(True, None), (False, None)]
    ear.listening.take(8 * NS_PER_S, 9 * NS_PER_S)
    ear.listening.take(2 * NS_PER_S, 3 * NS_PER_S)
    ear.waited.clear()
    ear.session.sound(SoundPacket(b"x", BootNs(ahead_ns + NS_PER_S - 1)))
    ear.session.sound(SoundPacket(b"x", BootNs(ahead_ns + NS_PER_S)))
    assert ear.waited == [(True, None), (False, None)], "counted from the newest span that was read"
    ear.session.stopping.set()
    ear.session.sound(SoundPacket(b"x", BootNs(9 * ahead_ns)))
    assert ear.waited[-1] == (True, None), "and the end lets it go"


def test_sound_that_is_exactly_three_minutes_old_is_still_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    for at_ns in (10, 11, KEPT_NS + 10, KEPT_NS + 11):
        ear.session.sound(SoundPacket(b"x", BootNs(at_ns)))
    assert [packet.heard_ns for packet in ear.listening._packets] == [11, KEPT_NS + 10, KEPT_NS + 11]


def test_a_segment_may_lack_exactly_a_second_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    ear.play(Waits(True))
    start_ns = 7 * NS_PER_S
    ear.session.sound(SoundPacket(b"x", BootNs(start_ns)))
    ear.session.sound(SoundPacket(b"x", BootNs(start_ns + PACKET_NS)))
    for more_ns, silence in ((0, None), (1, SoundGapReason.MICROPHONE)):
        found = ear.listening.take(start_ns, start_ns + 2 * PACKET_NS + NS_PER_S + more_ns)
        assert (found.description, len(found.packets), found.silence) == (ear.description, 2, silence)


def test_a_microphone_that_hangs_is_waited_for_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    joined: list[float | None] = []
    thread = ear.listening._thread
    assert thread is not None
    assert thread.daemon, "one that hangs keeps no process from its end"
    thread.join()
    monkeypatch.setattr(thread, "join", joined.append)
    monkeypatch.setattr(thread, "is_alive", lambda: True)
    with capture_logs() as lines:
        ear.listening.join()
        ear.listening.join()
    assert (joined, [line["event"] for line in lines]) == ([5.0], ["microphone_hangs"])


def test_a_microphone_that_is_back_is_told_only_after_it_was_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Unhurried(monkeypatch)
    ear.play(Waits(True))
    assert ear.told == []
    with capture_logs() as lines:
        ear.session.ended(CameraEnd.LOST, "It is gone.")
        ear.session.ended(CameraEnd.LOST, "It is gone again.")
    assert [line["detail"] for line in lines] == ["It is gone."]
    assert ear.listening.state == "It is gone again."
    ear.play(Waits(True))
    assert ear.told == [
        ("microphone", "There is no sound: It is gone."), ("microphone back", "The microphone is back."),
    ]  # fmt: skip
    ear.session.ended(CameraEnd.STOPPED, "It was stopped.")
    assert ear.listening.state == "listening"
    ear.session.ended(CameraEnd.END_OF_FOOTAGE, "It is over.")
    assert (ear.listening.state, ear.session.stopping.is_set(), len(ear.told)) == ("It is over.", True, 2)
