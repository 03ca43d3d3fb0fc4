"""Keeps the newest minutes of sound in memory, and the microphone open while the camera runs.

- A fault of the sound leaves the pictures alone: a microphone that is missing or lost is reported once, retried every
  `_AGAIN_S`, and recorded as absent in the segments concerned. Methods keep their exceptions from the recorder.
- A microphone that hangs cannot be closed, and must not keep the camera open: `end` returns without waiting for it.
- The microphone is open only while a camera runs. For example, the privacy switch closes both (`CameraLoop._close`).
- Memory is bounded: `KEPT_NS` of sound, the oldest is dropped first. A source that is not live waits for its reader.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S, BootNs
from agent.core.vault.records import SoundGapReason
from agent.errors import ConfigurationError, DeviceError, InternalError
from agent.ports import CameraEnd, Microphone, Notifier

__all__ = ["KEPT_NS", "RecordedSound", "SoundRecorder"]

KEPT_NS: Final = 180 * NS_PER_S
"""Longer than pre-roll, a segment, and a card that takes its time, together: about a megabyte."""
_AGAIN_S: Final = 15.0
_STALL_S: Final = 10.0
"""A live microphone is opened again after this many seconds of silence on the line."""
_CLOSING_S: Final = 5.0
_LATE_S: Final = 0.6
"""Sound may come this much later than its pictures, because of a card's block and the encoder's."""
_SLOW_S: Final = 10.0
"""The same for a source that is not live and only has to be read."""
_BACK_NS: Final = 90 * NS_PER_S
"""Pre-roll may ask again for what an earlier segment had."""
_MISSING_NS: Final = NS_PER_S
"""A segment may lack this much sound before it is recorded as missing: camera and microphone do not start at once."""


@dataclass(frozen=True, slots=True)
class RecordedSound:
    """The sound of a span, and why some of it is missing."""

    description: SoundDescription | None
    packets: tuple[SoundPacket, ...]
    silence: SoundGapReason | None


class SoundRecorder:
    """Call `begin`, `end` and `join` around a stream of the camera, and `take` from the writer's thread."""

    def __init__(self, open_microphone: Callable[[], Microphone], notifier: Notifier) -> None:
        self._open_microphone = open_microphone
        self._notifier = notifier
        self._log = structlog.get_logger("sound")
        self._packets: deque[SoundPacket] = deque()
        self._changed = threading.Condition()
        self._description: SoundDescription | None = None
        self._taken_ns = 0
        self._hears = False
        self._opening = False
        self._session: _SoundSession | None = None
        self._thread: threading.Thread | None = None
        self._fault = ""
        self.packets = 0

    @property
    def state(self) -> str:
        """For the status: "listening", "off" or the fault."""
        if self._session is None:
            return "off"
        return "listening" if self._hears else self._fault or "starting"

    def begin(self, first_ns: BootNs) -> None:
        """Opens the microphone for a camera that runs. `first_ns` is for sources without a clock."""
        with self._changed:
            self._packets.clear()
            self._taken_ns = first_ns
            self._opening = True
            self._session = _SoundSession(self)
        self._thread = threading.Thread(target=self._listen, args=(self._session, first_ns), name="sound", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Waits after `begin` until the microphone is open or cannot be opened. For footage, which has the time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._opening, _SLOW_S)

    def end(self) -> None:
        """Ends the session: later sound is dropped. Returns at once. Idempotent."""
        with self._changed:
            session, self._session = self._session, None
            self._hears = self._opening = False
            if session is not None:
                session.end()  # before the wake-up: a source that waits in `hear` looks at it, and is woken once
            self._changed.notify_all()

    def join(self) -> None:
        """Waits after `end` until the microphone is closed, at most `_CLOSING_S` if it hangs."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_CLOSING_S)
            if thread.is_alive():
                self._log.error("microphone_hangs")

    def take(self, start_ns: int, end_ns: int) -> RecordedSound:
        """Returns the sound in [start_ns, end_ns). Waits a moment for its end if the microphone delivers."""
        with self._changed:
            self._taken_ns = max(self._taken_ns, start_ns)
            self._changed.notify_all()
            patience_s = _LATE_S if self._description is None or self._description.live else _SLOW_S
            self._changed.wait_for(lambda: not self._hears or self._newest_ns >= end_ns, patience_s)
            # The packets stay in memory: the pre-roll of the next clip may ask for the same time again.
            found = tuple(packet for packet in self._packets if start_ns <= packet.heard_ns < end_ns)
            description = self._description
        packet_ns = description.packet_ns if description else 0
        missing_ns = end_ns - start_ns - len(found) * packet_ns
        return RecordedSound(
            description, found, SoundGapReason.MICROPHONE if missing_ns > _MISSING_NS or not found else None
        )

    def newest(self, after_ns: int, until_ns: int) -> RecordedSound | None:
        """Returns the sound in (after_ns, until_ns) that has come already; None while nothing is heard.

        For live view, from any thread.
        """
        with self._changed:
            if self._session is None or self._description is None:
                return None
            newer = itertools.takewhile(lambda packet: packet.heard_ns > after_ns, reversed(self._packets))
            found = tuple(packet for packet in newer if packet.heard_ns < until_ns)[::-1]
            if not (found or self._hears):
                return None
            return RecordedSound(self._description, found, None)

    # --- What the session's microphone calls

    def hear(self, session: _SoundSession, packet: SoundPacket) -> None:
        with self._changed:
            if session is not self._session or (self._packets and packet.heard_ns <= self._newest_ns):
                return  # an earlier session; or a clock that was moved back by more than a packet
            description = self._description
            if description is not None and not description.live:
                self._changed.wait_for(
                    lambda: packet.heard_ns < self._taken_ns + KEPT_NS - _BACK_NS or session.stopping.is_set()
                )
                if session is not self._session:
                    return
            self._packets.append(packet)
            self.packets += 1
            while self._packets[0].heard_ns < packet.heard_ns - KEPT_NS:
                self._packets.popleft()
            self._changed.notify_all()

    def lose(self, session: _SoundSession, fault: str, *, tell: bool) -> None:
        with self._changed:
            if session is not self._session:
                return
            self._hears = self._opening = False
            self._changed.notify_all()
        if tell and not self._fault:
            self._log.warning("microphone_lost", detail=fault)
            self._notifier.notify("microphone", f"There is no sound: {fault}")
        self._fault = fault

    # --- The thread

    def _listen(self, session: _SoundSession, first_ns: BootNs) -> None:
        while not session.stopping.is_set():
            session.lost.clear()
            if session.stopping.is_set():  # told between the two lines above
                return
            try:
                microphone = self._open_microphone()
                description = microphone.open()
            except (DeviceError, ConfigurationError, InternalError) as error:
                self.lose(session, str(error), tell=True)
            else:
                self._play(session, microphone, description, first_ns)
            session.stopping.wait(_AGAIN_S)

    def _play(
        self, session: _SoundSession, microphone: Microphone, description: SoundDescription, first_ns: BootNs
    ) -> None:
        with self._changed:
            # A microphone of an earlier session may open late, and must not speak for the present one.
            if session is self._session:
                self._description, self._hears, self._opening = description, True, False
                self._changed.notify_all()
        if self._fault:
            self._notifier.notify("microphone back", "The microphone is back.")
        self._fault = ""
        try:
            microphone.start(session, first_ns)
            heard = -1
            while not session.lost.wait(_STALL_S):
                if description.live and self.packets == heard:
                    self.lose(session, "the microphone is there and gives nothing.", tell=True)
                    break
                heard = self.packets
        finally:
            try:
                microphone.stop()
            except (DeviceError, InternalError) as error:
                self._log.error("microphone_hangs", detail=error.message)

    @property
    def _newest_ns(self) -> int:
        return self._packets[-1].heard_ns if self._packets else 0


class _SoundSession:
    """The sink of one microphone session (`ports.SoundSink`). Sound that comes after its end is dropped."""

    def __init__(self, recorder: SoundRecorder) -> None:
        self._recorder = recorder
        self.stopping = threading.Event()
        self.lost = threading.Event()

    def end(self) -> None:
        self.stopping.set()
        self.lost.set()

    def sound(self, packet: SoundPacket) -> None:
        self._recorder.hear(self, packet)

    def ended(self, end: CameraEnd, detail: str) -> None:
        if end is not CameraEnd.STOPPED:
            self._recorder.lose(self, detail, tell=end is CameraEnd.LOST)
        if end is CameraEnd.END_OF_FOOTAGE:
            self.stopping.set()
        self.lost.set()
