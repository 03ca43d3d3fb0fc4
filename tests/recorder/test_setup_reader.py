"""The camera reads a set-up code: from which distance, how blurred, in which light, at which angle; and when it looks.

The bounds below were measured with codes of a usual length (Wi-Fi name of 12, password of 16 characters: 41 modules).
Distances are for a code of 6 cm on a phone and a camera with a vertical field of 55 degrees: a side of 0.6 of the
picture's height is 10 cm away, and 0.35 is 16 cm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.core.setup_code import SetupCode
from agent.core.setup_state import SetupState
from agent.errors import DeviceError, NetworkError
from agent.platform.system_clock import SystemClock
from agent.ports import Camera
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.setup_reader import CodeReader, SetupReader, _grey, _Pictures
from firmware_bridge.frames import SetupLight
from tests.cameras import play
from tests.setup_films import Grey, View, code_picture, hallway, make_film, seen

CODE = SetupCode(bytes(range(16)), "Huis, 3 hoog", "correct horse 16", "front-door", "NL")
TEXT = CODE.text()


def small(picture: Grey) -> Grey:
    """As a camera gives it for object detection: 640 pixels wide."""
    import cv2

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


@pytest.mark.parametrize("view", [View(side=0.12), View(blur_px=8.0), View(tilt_deg=75.0), View(noise=120.0)], ids=str)
def test_beyond_these_bounds_nothing_wrong_is_read(view: View) -> None:
    assert not is_read(view, pictures=4)


def test_the_longest_code_is_read_too() -> None:
    longest = SetupCode(bytes(16), "x" * 32, "p" * 63, "n" * 32, "NL").text()
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
    assert reader.light is SetupLight.WAITING
    reader._tell("")
    assert reader.light is SetupLight.WRONG_PASSWORD


def test_a_live_camera_never_waits_for_the_reader(film: Path) -> None:
    class Live(_Pictures):
        def __init__(self) -> None:
            super().__init__(live=True)

    sink = Live()
    camera = FileCamera(film)
    camera.open()
    camera.start(sink, SystemClock().now().boot_ns)
    while sink.pictures.take(10) is not None:
        pass
    camera.stop()
    assert sink.pictures.closed


def test_the_picture_is_made_grey() -> None:
    import numpy as np

    assert _grey(np.full((4, 6, 3), 200, np.uint8)).shape == (4, 6)


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
