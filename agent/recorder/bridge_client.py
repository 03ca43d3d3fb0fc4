"""The agent's end of the panel's socket: connects, sends heartbeats, and passes on the panel's messages.

One thread, which connects again after every fault. Without the bridge the doorbell still records; without the agent the
bridge still rings. The frames are `firmware_bridge.frames`; source: firmware_bridge/PROTOCOL.md.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from agent.core.timebase import NS_PER_MS, BootNs
from agent.recorder.panel_handler import PanelHandler
from firmware_bridge import frames
from firmware_bridge.errors import BridgeError

__all__ = ["BridgeLink", "RecorderVitals"]

_BEAT_S = 1.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class RecorderVitals(Protocol):
    """The values of the recorder that the panel's lights show."""

    @property
    def delivering(self) -> bool: ...
    @property
    def lux(self) -> float | None: ...


class BridgeLink:
    """`start` to `stop`.  `well` says whether the recorder could record."""

    def __init__(
        self,
        path: Path,
        handler: PanelHandler,
        vitals: RecorderVitals,
        well: Callable[[], bool],
        setup: Callable[[], frames.SetupLight | None] = lambda: None,
        live: Callable[[], bool] = lambda: False,
    ) -> None:
        """`setup`: how far the set-up by the camera is, for the status LED. `live`: a person watches or talks."""
        self._path = path
        self._setup = setup
        self._live = live
        self._handler = handler
        self._vitals = vitals
        self._well = well
        self._log = structlog.get_logger("bridge")
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="bridge-link")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._stopping.set()
        peer = self._socket
        if peer is not None:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._log.debug("bridge_gone_before")
        if self._thread.is_alive():
            self._thread.join()

    def ask_reboot(self, why: str) -> bool:
        """Tells the bridge that the camera is lost. Returns whether a bridge is connected."""
        peer = self._socket
        try:
            if peer is not None:
                peer.send(frames.encode(frames.Reboot(why=why[:200])))
        except OSError:
            return False
        return peer is not None

    def _run(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
                    peer.connect(os.fspath(self._path))
                    peer.settimeout(_BEAT_S)
                    self._socket = peer
                    tries = 0
                    self._talk(peer)
            except (OSError, BridgeError) as error:
                why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                # At each try: the handler counts the time, and closes the camera if no bridge reads the privacy switch.
                self._handler.away(why)
                if tries == 0:
                    self._log.warning("bridge_away", detail=why)
            finally:
                self._socket = None
            self._stopping.wait(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    def _talk(self, peer: socket.socket) -> None:
        """Until the bridge goes or `stop`.  Raises `OSError`, `BridgeError`."""
        peer.send(frames.encode(frames.Hello(v=frames.VERSION, peer=frames.Peer.AGENT)))
        beat_s = 0.0
        while not self._stopping.is_set():
            now_s = time.monotonic()
            if now_s >= beat_s:
                beat_s = now_s + _BEAT_S
                alive = frames.Heartbeat(
                    delivering=self._vitals.delivering,
                    healthy=self._well(),
                    lux=self._lux(),
                    setup=self._setup(),
                    live=self._live(),
                )
                peer.send(frames.encode(alive))
            peer.settimeout(max(0.01, beat_s - now_s))
            try:
                packet = frames.receive(peer)
            except TimeoutError:
                continue
            if not packet:
                raise BridgeError("The bridge closed the connection.")
            self._hear(peer, frames.decode_from_bridge(packet))

    def _hear(self, peer: socket.socket, frame: frames.FromBridge) -> None:
        match frame:
            case frames.Welcome():
                self._handler.connected(f"{frame.backend} {frame.run}", frame.board)
                # Before the presses that follow: the switch may have been turned while no recorder was connected.
                self._handler.privacy(frame.privacy)
                self._log.info("bridge_connected", backend=frame.backend, board=frame.board)
            case frames.Pressed():
                got = frames.encode(frames.PressAck(press=frame.press))
                at_ns = BootNs(frame.at_us * 1000)
                self._handler.pressed(frame.press, at_ns, held=frame.held, got=partial(_send, peer, got))
            case frames.PirPulse():
                self._handler.passed(BootNs(frame.at_us * 1000))
            case frames.PrivacySwitch():
                self._handler.privacy(frame.on)
            case frames.TamperSwitch():
                self._handler.tampered(frame.open)
            case frames.Blackout():
                self._handler.blackout(frame.ms * NS_PER_MS)
            case frames.BoardState():
                facts = {name: getattr(frame, name) for name in frame.__struct_fields__}
                self._handler.board({**facts, "throttle_level": int(frame.throttle_level)})
            case frames.Rejected():
                self._log.warning("bridge_refused", why=frame.why)

    def _lux(self) -> float | None:
        lux = self._vitals.lux
        # The bridge refuses a frame with a value out of range, and ends the connection.
        return None if lux is None else min(max(lux, 0.0), 1_000_000.0)


def _send(peer: socket.socket, packet: bytes) -> None:
    peer.send(packet)
