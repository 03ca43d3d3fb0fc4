"""Reads the set-up code from the camera of a doorbell without an owner, and sends its text to the custodian.

Nothing is recorded: the pictures are looked at for a QR code and forgotten. The camera is open only while the custodian
waits for a code and the privacy switch is off. The first owner ends it, and the recorder takes the camera over
(docs/decisions, "Set up by the camera").
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import structlog

from agent.core.media import EncodedPacket, Luma, LumaFrame
from agent.core.setup_state import LONGEST_TEXT, PREFIX, SetupState
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DoorwardError
from agent.ports import Camera, CameraEnd, Clock
from agent.recorder.camera_queues import BoundedQueue
from firmware_bridge.frames import SetupLight

__all__ = ["CodeReader", "SetupReader"]

_LOOK_EVERY_NS: Final = NS_PER_S // 4
"""A picture takes 20 to 60 ms on a PC, several times that on a Zero 2 W. A hand holds a phone still for a second."""
_ASK_S: Final = 1.0
_REOPEN_S: Final = 3.0
"""After a camera that cannot be opened, and after a film that has ended."""
_PICTURES: Final = 2

PutCode = Callable[[str], SetupState]


class CodeReader:
    """Finds the set-up code in pictures. One detector of OpenCV is better at noise, the other at an angle, so they take
    turns (bounds: tests/recorder/test_setup_reader.py)."""

    def __init__(self) -> None:
        self._detectors = itertools.cycle((cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()))

    def read(self, grey: Luma) -> str | None:
        """Returns the text of a set-up code. Other QR codes are ignored."""
        try:
            text, *_places = next(self._detectors).detectAndDecode(grey)
        except (cv2.error, UnicodeDecodeError):  # it raises on some pictures that only look like a code
            return None
        return text if text.startswith(PREFIX) and len(text) <= LONGEST_TEXT else None


class SetupReader:
    """`run` blocks until there is an owner, or `stop`. `state` and `delivering` may be read from any thread."""

    def __init__(
        self, open_camera: Callable[[], Camera], put: PutCode, is_private: Callable[[], bool], clock: Clock
    ) -> None:
        """`put` sends a text to the custodian and returns the state; an empty text only asks."""
        self._open_camera = open_camera
        self._put = put
        self._is_private = is_private
        self._clock = clock
        self._log = structlog.get_logger("set-up")
        self._reader = CodeReader()
        self.state = SetupState.WAITING
        self.delivering = False
        """The sensor gives pictures: the recording LED is lit."""

    @property
    def light(self) -> SetupLight | None:
        """The state for the status LED."""
        return None if self.state is SetupState.OFF else SetupLight(self.state.value)

    def run(self, is_over: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """`is_over`: there is an owner, or the process stops. `wait` sleeps, and returns early if one of them comes."""
        while not is_over():
            self._tell("")
            if self.state is SetupState.OFF:
                wait(_ASK_S)
                continue
            if not self.state.reads or self._is_private():
                wait(_ASK_S)
                continue
            if not self._look(is_over):
                wait(_REOPEN_S)
        self.state = SetupState.OFF

    def _look(self, is_over: Callable[[], bool]) -> bool:
        """Opens the camera and reads until a code was taken. Returns False if the camera is missing, or its film is
        over."""
        camera: Camera | None = None
        try:
            camera = self._open_camera()
            sink = _Pictures(live=camera.open().live)
            self.delivering = True
            camera.start(sink, self._clock.now().boot_ns)
            return self._read(sink, is_over)
        except DoorwardError as error:
            self._log.warning("camera_not_read", error=error.message)
            return False
        finally:
            if camera is not None:
                self._close(camera)
            self.delivering = False

    def _read(self, sink: _Pictures, is_over: Callable[[], bool]) -> bool:
        try:
            while not is_over() and self.state.reads and not self._is_private():
                grey = sink.pictures.take(_ASK_S)
                if grey is None and sink.pictures.closed:
                    return False
                self._tell("" if grey is None else self._reader.read(grey) or "")
        finally:
            sink.pictures.close()  # a film waits for room
        return True

    def _close(self, camera: Camera) -> None:
        try:
            camera.stop()
        except DoorwardError as error:
            self._log.error("camera_hangs", detail=error.message)

    def _tell(self, text: str) -> None:
        try:
            self.state = self._put(text)
        except DoorwardError as error:  # the custodian restarts under the new name
            self._log.info("custodian_away", error=error.message)


class _Pictures:
    """`ports.CameraSink`: keeps a few pictures for the reader, as large as the camera gives them."""

    def __init__(self, *, live: bool) -> None:
        self.pictures: BoundedQueue[Luma] = BoundedQueue(_PICTURES)
        self._live = live
        self._last_ns = BootNs(-_LOOK_EVERY_NS)

    def packet(self, packet: EncodedPacket) -> None:
        """Ignores what the encoder gives."""

    def luma(self, frame: LumaFrame) -> None:
        if frame.sensor_ns - self._last_ns < _LOOK_EVERY_NS:
            return
        self._last_ns = frame.sensor_ns
        grey = frame.luma.copy() if frame.picture is None else _grey(frame.picture())
        if not self._live:
            self.pictures.put(grey)
        elif not self.pictures.offer(grey):
            self.pictures.drop_oldest()
            self.pictures.offer(grey)

    def ended(self, end: CameraEnd, detail: str) -> None:  # noqa: ARG002 — the camera's signature
        self.pictures.close()


def _grey(picture: np.ndarray) -> Luma:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
