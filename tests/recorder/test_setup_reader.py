"""The camera reads a set-up code: from which distance, how blurred, in which light, at which angle; and when it looks.

The bounds below were measured with codes of a usual length (Wi-Fi name of 12, password of 16 characters: 41 modules).
Distances are for a code of 6 cm on a phone and a camera with a vertical field of 55 degrees: a side of 0.6 of the
picture's height is 10 cm away, and 0.35 is 16 cm.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from agent.config import Configuration
from agent.config.settings import CameraConfig
from agent.core.media import EncodedPacket, LumaFrame, Picture, StreamDescription
from agent.core.setup_code import SetupCode
from agent.core.setup_state import LONGEST_TEXT, PREFIX, SetupState
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, NetworkError
from agent.platform.system_clock import SystemClock
from agent.ports import Camera, CameraEnd, CameraSink, MaskedArea
from agent.recorder import setup_reader, translation
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.setup_reader import CodeReader, SetupReader, _Pictures
from firmware_bridge.frames import SetupLight
from tests.cameras import play
from tests.setup_films import Grey, View, code_picture, hallway, make_film, seen
from tests.vaults import SteppedClock

CODE = SetupCode(bytes(range(16)), "Huis, 3 hoog", "correct horse 16", "front-door", "NL", "Europe/Amsterdam")
TEXT = CODE.text()
WEB = Path(__file__).resolve().parents[2] / "agent" / "web"
SHOWN_M = 0.06
"""Side of the code on a phone's screen."""


def small(picture: Grey) -> Grey:
    """As a camera gives it for object detection: 640 pixels wide."""
    return cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)


def is_read(view: View, text: str = TEXT, pictures: int = 8) -> bool:
    """Within two seconds, in which a hand moves a little."""
    reader = CodeReader()
    for number in range(pictures):
        moved = View(view.side, view.tilt_deg, view.turn_deg + number, view.blur_px, view.noise, view.light)
        if reader.read(small(seen(code_picture(text), moved, seed=number))) == text:
            return True
    return False


@pytest.mark.parametrize(
    "view",
    [
        *(View(side=side) for side in (0.95, 0.45, 0.3)),
        *(View(blur_px=blur) for blur in (3.0,)),
        *(View(tilt_deg=tilt) for tilt in (-45.0, 45.0)),
        *(View(turn_deg=turn) for turn in (45.0, 180.0)),
        *(View(noise=noise, light=0.4) for noise in (25.0,)),
        View(tilt_deg=25, turn_deg=20, blur_px=1.5, noise=12, light=0.6),
    ],
    ids=str,
)
def test_a_code_is_read(view: View) -> None:
    assert is_read(view)


@dataclass(frozen=True)
class Lens:
    """A camera's optics, from its maker's page: focal length, f-number, sensor. The pictures are 1280 pixels wide."""

    focal_mm: float
    stop: float
    wide_mm: float
    focus_m: float
    """Where it is sharp."""

    def sees(self, away_m: float) -> View:
        """The code at this distance: its size, and its blur by the thin lens, a disc with the sigma of a quarter."""
        high_m = self.wide_mm * 9 / 16 / self.focal_mm * away_m
        disc_mm = self.focal_mm**2 / self.stop * abs(1 / away_m - 1 / self.focus_m) / 1000
        return View(side=SHOWN_M / high_m, blur_px=disc_mm / self.wide_mm * 1280 / 4, noise=6)


MODULE_2 = Lens(3.04, 2.0, 3.68, 10.0)
"""Camera Module 2: its lens stays as it left the factory."""
MODULE_3 = Lens(4.74, 1.8, 6.45, translation.looking_for_a_code(Configuration()).camera.focus_m)
MODULE_3_WIDE = replace(MODULE_3, focal_mm=2.75, stop=2.2)


def named_m() -> float:
    """The distance that the set-up page names."""
    words = json.loads((WEB / "texts" / "en.json").read_text(encoding="utf-8"))["show.hold"]
    found = re.search(r"about (\d+) cm", words)
    assert found is not None
    return int(found[1]) / 100


@pytest.mark.parametrize("lens", [MODULE_2, MODULE_3, MODULE_3_WIDE], ids=["Module 2", "Module 3", "Module 3 wide"])
def test_a_code_is_read_at_the_distance_that_the_page_names(lens: Lens) -> None:
    assert is_read(lens.sees(named_m()))


def test_a_lens_that_stays_where_visitors_are_sharp_reads_no_code_in_a_hand() -> None:
    """The Camera Module 3 at its usual 2 m: at each distance the blur covers most of a module of the code."""
    usual = replace(MODULE_3, focus_m=CameraConfig().focus_m)
    assert not any(is_read(usual.sees(away_m), pictures=4) for away_m in (0.1, named_m(), 0.2, 0.3))


@pytest.mark.parametrize("view", [View(side=0.12), View(blur_px=8.0), View(tilt_deg=75.0), View(noise=160.0)], ids=str)
def test_beyond_these_bounds_nothing_wrong_is_read(view: View) -> None:
    assert not is_read(view, pictures=4)


def test_the_longest_code_is_read_too() -> None:
    longest = SetupCode(bytes(16), "x" * 32, "p" * 63, "n" * 32, "NL", "Z" * 32).text()
    assert is_read(View(side=0.9), longest)


@pytest.mark.parametrize("text", ["WIFI:T:WPA;S=Huis;P=secret;;", "https://example.org", "DW1:" + "A" * 400])
def test_other_qr_codes_are_ignored(text: str) -> None:
    assert not is_read(View(side=0.9), text, pictures=2)


def test_a_film_through_the_real_camera_is_read(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [hallway(), seen(code_picture(TEXT), View(tilt_deg=20, noise=8))])
    _, received = play(FileCamera(film))
    assert received.pictures[0].shape == (360, 640, 3)
    doorbell = Doorbell(film)
    doorbell.run_until(lambda: doorbell.sent == [TEXT])


class Doorbell:
    """A reader with a film for a camera, and a custodian that answers as told."""

    def __init__(self, film: Path | None) -> None:
        self.film = film
        self.sent: list[str] = []
        self.asked = 0
        self.opened = 0
        self.answer = SetupState.WAITING
        self.private = False
        self.away = False
        self.over = threading.Event()
        self.reader = SetupReader(self._open, self._put, lambda: self.private, SystemClock())
        self.thread = threading.Thread(target=self.reader.run, args=(self.over.is_set, self._wait))
        self.turned = threading.Condition()

    def _open(self) -> Camera:
        self.opened += 1
        if self.film is None:
            raise DeviceError("There is no camera.", remedy="Plug it in.")
        return FileCamera(self.film)

    def _put(self, text: str) -> SetupState:
        self.asked += 1
        if self.away:
            raise NetworkError("The custodian does not answer.")
        if text:
            self.sent.append(text)
            self.answer = SetupState.JOINING
        return self.answer

    def _wait(self, _seconds: float) -> None:
        with self.turned:
            self.turned.notify_all()
        self.over.wait(0.01)

    def run_until(self, done: Callable[[], bool]) -> None:
        self.thread.start()
        try:
            with self.turned:
                assert self.turned.wait_for(done, 60)
        finally:
            self.over.set()
            self.thread.join()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", [seen(code_picture(TEXT))])


def test_after_a_code_was_read_the_camera_is_closed_while_the_doorbell_joins(film: Path) -> None:
    doorbell = Doorbell(film)
    asked = 0

    def joins() -> bool:
        nonlocal asked
        asked = asked or (doorbell.asked if doorbell.sent else 0)
        return bool(asked) and doorbell.asked > asked + 3

    doorbell.run_until(joins)
    assert doorbell.sent == [TEXT]
    assert doorbell.opened == 1
    assert not doorbell.reader.delivering


def test_a_film_without_a_code_is_played_again(tmp_path: Path) -> None:
    doorbell = Doorbell(make_film(tmp_path / "film.mp4", [hallway()], 0.3))
    doorbell.run_until(lambda: doorbell.opened >= 2)
    assert doorbell.sent == []


def test_the_privacy_switch_keeps_the_camera_closed(film: Path) -> None:
    doorbell = Doorbell(film)
    doorbell.private = True
    doorbell.run_until(lambda: doorbell.asked > 3)
    assert doorbell.opened == 0


def test_a_doorbell_with_an_owner_looks_at_nothing(film: Path) -> None:
    doorbell = Doorbell(film)
    doorbell.answer = SetupState.OFF
    doorbell.run_until(lambda: doorbell.asked > 3)
    assert (doorbell.opened, doorbell.sent) == (0, [])
    assert doorbell.reader.light is None


def test_a_missing_camera_and_a_custodian_that_is_away_are_tried_again() -> None:
    doorbell = Doorbell(None)
    doorbell.run_until(lambda: doorbell.opened > 2)
    assert doorbell.reader.light is None, "the process stops"
    away = Doorbell(None)
    away.away = True
    away.run_until(lambda: away.asked > 3)
    assert away.reader.state is SetupState.OFF


def test_the_light_follows_the_custodians_answer(film: Path) -> None:
    reader = SetupReader(lambda: FileCamera(film), lambda _: SetupState.WRONG_PASSWORD, lambda: False, SystemClock())
    lights = [reader.light]
    reader._tell("")
    assert [*lights, reader.light] == [SetupLight.WAITING, SetupLight.WRONG_PASSWORD]


def test_the_two_detectors_take_turns_and_a_code_has_its_prefix_and_its_longest_length() -> None:
    longest = PREFIX + "A" * (LONGEST_TEXT - len(PREFIX))
    texts = iter((longest, longest + "A", "DW2:" + "A" * 10, "", PREFIX))
    turns: list[str] = []

    class Detector:
        def __init__(self, name: str) -> None:
            self._name = name

        def detectAndDecode(self, _grey: object) -> tuple[str, None, None]:
            turns.append(self._name)
            return next(texts), None, None

    reader = CodeReader()
    reader._detectors = itertools.cycle((Detector("one"), Detector("other")))  # type: ignore[arg-type]
    picture = np.zeros((4, 6), np.uint8)
    assert [reader.read(picture) for _ in range(5)] == [longest, None, None, None, PREFIX]
    assert turns == ["one", "other", "one", "other", "one"]


@pytest.mark.parametrize("error", [cv2.error("bad"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")])
def test_a_picture_on_which_the_detector_fails_has_no_code(error: Exception) -> None:
    class Failing:
        def detectAndDecode(self, _grey: object) -> tuple[str, None, None]:
            raise error

    reader = CodeReader()
    reader._detectors = itertools.repeat(Failing())  # type: ignore[assignment]
    assert reader.read(np.zeros((4, 6), np.uint8)) is None


class Shown:
    """A camera that gives its pictures as it starts: a film ends then, and a live camera gives no more."""

    def __init__(self, script: Script, pictures: int, *, live: bool) -> None:
        self._script, self._pictures, self._live = script, pictures, live
        self._sink: _Pictures | None = None

    def open(self) -> StreamDescription:
        self._script.note("open")
        return StreamDescription(64, 48, 10, 6, 4, live=self._live)

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        assert isinstance(sink, _Pictures)
        self._sink = sink
        self._script.note(f"start at {first_ns // NS_PER_S}")
        for number in range(self._pictures):
            sink.luma(LumaFrame(np.full((4, 6), number, np.uint8), BootNs(first_ns + number * NS_PER_S)))
        if not self._live:
            sink.ended(CameraEnd.END_OF_FOOTAGE, "The film is over.")

    def stop(self) -> None:
        assert self._sink is None or self._sink.pictures.closed, "a film would wait for room"
        self._script.note("stop")
        if self._script.hangs:
            raise DeviceError("The camera hangs.", remedy="Unplug it.")

    def request_keyframe(self) -> None:
        """Not asked for here."""

    def mask(self, zones: MaskedArea) -> bool:
        raise AssertionError("Nothing is masked.")


class Script:
    """A reader without a thread. `answers` are the custodian's, in order, and end the run with the last one.

    `steps` has every question to the custodian, every pause in seconds, and every call of the camera.
    """

    def __init__(self, *answers: SetupState | Exception, camera: Callable[[Script], Camera] | None = None) -> None:
        self.answers, self.camera = list(answers), camera
        self.steps: list[object] = []
        self.lit: list[bool] = []
        self.private = False
        self.hangs = False
        self.reader = SetupReader(self._open, self._put, lambda: self.private, SteppedClock())
        self.reads: Callable[[int], str | None] = lambda picture: f"DW1:{picture}"
        self.reader._reader.read = lambda grey: self.reads(grey[0, 0])  # type: ignore[method-assign]

    def run(self) -> list[object]:
        self.reader.run(lambda: not self.answers, self.steps.append)
        return self.steps

    def closes_the_switch(self, _picture: int) -> None:
        self.private = True

    def note(self, step: str) -> None:
        self.steps.append(step)
        self.lit.append(self.reader.delivering)

    def _open(self) -> Camera:
        if self.camera is None:
            raise DeviceError("There is no camera.", remedy="Plug it in.")
        return self.camera(self)

    def _put(self, text: str) -> SetupState:
        self.steps.append(f"asks {text!r}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def film_of(pictures: int) -> Callable[[Script], Camera]:
    return lambda script: Shown(script, pictures, live=False)


def camera_with(pictures: int) -> Callable[[Script], Camera]:
    return lambda script: Shown(script, pictures, live=True)


LOOKS, JOINS, OFF = SetupState.WAITING, SetupState.JOINING, SetupState.OFF
ASKS = "asks ''"


def test_while_no_code_is_wanted_the_custodian_is_asked_each_second() -> None:
    script = Script(OFF, JOINS, SetupState.JOINED, OFF)
    assert script.run() == [ASKS, 1.0] * 4
    assert script.reader.state is OFF
    assert script.reader.light is None


def test_while_the_household_is_private_the_custodian_is_asked_each_second_and_no_camera_is_opened() -> None:
    script = Script(LOOKS, LOOKS, camera=film_of(1))
    script.private = True
    assert script.run() == [ASKS, 1.0] * 2


def test_a_camera_that_is_missing_is_tried_again_after_three_seconds() -> None:
    script = Script(LOOKS, LOOKS)
    with capture_logs() as lines:
        assert script.run() == [ASKS, 3.0] * 2
    assert [line["event"] for line in lines] == ["camera_not_read"] * 2


def test_a_film_is_looked_at_to_its_end_and_again_after_three_seconds() -> None:
    script = Script(LOOKS, LOOKS, LOOKS, LOOKS, camera=film_of(2))
    played = ["open", "start at 100"]
    assert script.run() == [ASKS, *played, "asks 'DW1:0'", "asks 'DW1:1'", "stop", 3.0, ASKS, *played, "stop"]
    assert script.lit == [False, True, True] * 2, "the recording LED is lit while the sensor gives pictures"
    assert not script.reader.delivering


def test_after_a_code_the_camera_is_closed_and_the_custodian_is_asked_without_a_pause() -> None:
    script = Script(LOOKS, JOINS, JOINS, camera=film_of(2))
    assert script.run() == [ASKS, "open", "start at 100", "asks 'DW1:0'", "stop", ASKS, 1.0]


def test_a_live_camera_without_a_new_picture_lets_the_custodian_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_reader, "_ASK_S", 0.01)
    script = Script(LOOKS, LOOKS, LOOKS, JOINS, camera=camera_with(1))
    assert script.run() == [ASKS, "open", "start at 100", "asks 'DW1:0'", ASKS, ASKS, "stop"]


def test_a_picture_without_a_code_asks_only() -> None:
    script = Script(LOOKS, JOINS, camera=camera_with(1))
    script.reads = lambda _picture: None
    assert script.run() == [ASKS, "open", "start at 100", ASKS, "stop"]


def test_the_privacy_switch_closes_the_camera_of_the_set_up() -> None:
    script = Script(LOOKS, LOOKS, LOOKS, camera=camera_with(3))
    script.reads = script.closes_the_switch
    assert script.run() == [ASKS, "open", "start at 100", ASKS, "stop", ASKS, 1.0]


def test_a_custodian_that_is_away_changes_nothing_until_it_answers() -> None:
    away = NetworkError("The custodian does not answer.")
    script = Script(away, JOINS, away, camera=film_of(0))
    assert script.reader.light is SetupLight.WAITING
    with capture_logs() as lines:
        assert script.run() == [ASKS, "open", "start at 100", "stop", 3.0, ASKS, 1.0, ASKS, 1.0]
    assert [line["event"] for line in lines] == ["custodian_away"] * 2


def test_a_camera_that_hangs_leaves_the_light_off() -> None:
    script = Script(LOOKS, JOINS, camera=film_of(1))
    script.hangs = True
    with capture_logs() as lines:
        assert script.run() == [ASKS, "open", "start at 100", "asks 'DW1:0'", "stop"]
    assert [line["event"] for line in lines] == ["camera_hangs"]
    assert not script.reader.delivering


def frame(at_ms: int, picture: Callable[[], Picture] | None = None) -> LumaFrame:
    return LumaFrame(np.full((4, 6), at_ms // 250, np.uint8), BootNs(at_ms * 1_000_000), picture=picture)


def waiting_pictures(sink: _Pictures) -> list[int]:
    sink.pictures.close()
    found = []
    while (grey := sink.pictures.take()) is not None:
        found.append(int(grey[0, 0]))
    return found


def test_a_picture_is_looked_at_every_quarter_of_a_second() -> None:
    sink = _Pictures(live=True)
    for at_ms in (0, 249, 250, 499):
        sink.luma(frame(at_ms))
    assert waiting_pictures(sink) == [0, 1]


def test_a_live_camera_never_waits_for_the_reader_and_the_newest_two_pictures_are_kept() -> None:
    sink = _Pictures(live=True)
    for at_ms in (0, 250, 500, 750):
        sink.luma(frame(at_ms))
    assert waiting_pictures(sink) == [2, 3]


def test_the_reader_gets_a_copy_because_the_camera_writes_the_next_picture_over_it() -> None:
    sink, lent = _Pictures(live=True), frame(500)
    sink.luma(lent)
    lent.luma[:] = 9
    assert waiting_pictures(sink) == [2]


def test_the_large_picture_is_read_if_the_camera_has_one() -> None:
    sink = _Pictures(live=False)
    sink.luma(frame(0, lambda: np.full((8, 12, 3), (255, 0, 0), np.uint8)))
    grey = sink.pictures.take(0)
    assert grey is not None
    assert grey.dtype == np.uint8
    assert grey.tolist() == [[76] * 12] * 8, "red is 0.299 of the brightness"


def test_the_end_of_a_film_ends_the_wait_for_its_pictures() -> None:
    sink = _Pictures(live=False)
    sink.packet(EncodedPacket(b"", True, BootNs(0)))
    sink.ended(CameraEnd.END_OF_FOOTAGE, "")
    assert sink.pictures.take(60) is None


def test_a_camera_that_hangs_is_logged_and_ends_nothing(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = FileCamera.stop

    def hang(camera: FileCamera) -> None:
        stop(camera)
        raise DeviceError("The camera hangs.", remedy="Unplug it.")

    monkeypatch.setattr(FileCamera, "stop", hang)
    doorbell = Doorbell(film)
    with capture_logs() as lines:
        doorbell.run_until(lambda: doorbell.sent == [TEXT])
    assert "camera_hangs" in {line["event"] for line in lines}
    assert not doorbell.reader.delivering
    assert doorbell.reader.state is SetupState.OFF
