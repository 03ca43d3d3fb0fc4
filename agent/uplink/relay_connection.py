"""Carries the frames of the link between the relay and the custodian (agent/wire/link/LINK.md).

    relay ──▶ bus event ──▶ LinkPort.deliver            LinkPort.collect ──▶ bus.publish ──▶ relay

It opens, changes and keeps no frame. This connection is separate from the one for footage requests, so a slow or absent
relay leaves uploads and alerts on time.

- At most `_FRAMES_PER_S` frames go to the custodian, and 64 wait here; the relay keeps or drops the others.
- Frames to clients wait in the custodian while the relay takes none. If it takes none for `_PATIENCE_S`, the session
  ends.
- A session ends at once if a frame is lost on the way. Every session ends if the connection ends.
- Without sessions it sends only MQTT pings, whatever happens at the door.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, DoorwardError
from agent.ipc.protocol import LinkFrame
from agent.mqtt import BusSettings
from agent.ports import Bus, LinkPort
from agent.wire.link.topics import MAX_FRAME_BYTES, LinkTopic, link_filter, parse_link_topic

__all__ = ["RelayConnection", "RelayStatus", "relay_settings"]

_WAIT_S: Final = 1.0
_COLLECT_S: Final = 1.0
_PAUSE_S: Final = 2.0
_PATIENCE_S: Final = 20.0
"""A client that hears nothing for this long has ended the session."""
_LOOK_S: Final = 5.0
"""Interval at which the addresses are asked for."""
_BATCH: Final = 4
"""Frames in one request to the custodian."""
_FRAMES_PER_S: Final = 200.0
_MOST_TOPICS: Final = 64
_EXPIRY_S: Final = 30
_QUEUE: Final = 64
_WINDOW_BYTES: Final = 512 << 10


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """`relay` is a word as `UplinkStatus.link` has it. `relay_remedy`: what to do while it is down."""

    relay: str
    relay_remedy: str = ""


def relay_settings(settings: BusSettings) -> BusSettings:
    """`settings` with the limits for frames. `name` should be random: the relay's clients choose their ids."""
    return replace(
        settings,
        window_bytes=_WINDOW_BYTES,
        inbound_window=_QUEUE,
        inbound_queue=_QUEUE,
        inbound_bytes=_QUEUE * MAX_FRAME_BYTES,
        inbound_beat_s=0.0,
    )


class RelayConnection:
    """`start`, and `stop` from another thread. `addresses`: this doorbell's names at the relay, newest first."""

    def __init__(self, bus: Bus, link: LinkPort, account: str, addresses: Callable[[], Sequence[str]]) -> None:
        self._bus = bus
        self._link = link
        self._account = account
        self._ask_addresses = addresses
        self._log = structlog.get_logger("relay")
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._is_up = False
        self._status = RelayStatus("connecting")
        self._addresses: tuple[str, ...] = ()
        self._look_s = 0.0
        self._topics: OrderedDict[str, LinkTopic] = OrderedDict()
        """Sessions that clients have opened, the one in use latest last."""
        self._tokens = itertools.count(1)
        self._on_the_way: dict[int, str] = {}
        self._threads = [
            threading.Thread(target=self._receive, name="relay-in"),
            threading.Thread(target=self._send, name="relay-out"),
        ]

    def status(self) -> RelayStatus:
        return self._status

    def start(self) -> None:
        """A certificate that cannot be used is reported by `status`: the rest of the doorbell goes on."""
        try:
            self._bus.start()
        except ConfigurationError as error:
            self._log.error("relay_not_used", error=error.message, remedy=error.remedy)
            self._status = RelayStatus("off", str(error))
            return
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Idempotent. The link is closed or about to close: `collect` returns soon."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._bus.stop()

    # -- from the relay

    def _receive(self) -> None:
        while not self._stopping.is_set():
            if time.monotonic() >= self._look_s:
                self._look()
            frames = self._next_frames()
            self._deliver(frames)
            # Bounds how fast a flood at the relay reaches the custodian. The relay keeps or drops the others.
            self._stopping.wait(len(frames) / _FRAMES_PER_S)

    def _look(self) -> None:
        """Subscribes to the present addresses."""
        self._look_s = time.monotonic() + _LOOK_S
        try:
            wanted = tuple(self._ask_addresses())
        except DoorwardError as error:
            self._log.warning("custodian_not_heard", error=error.message)
            return
        before, self._addresses = self._addresses, wanted
        for each in before:
            if each not in wanted:
                self._bus.unsubscribe(link_filter(self._account, each))
        for each in wanted:
            if each not in before:
                self._bus.subscribe(link_filter(self._account, each))

    def _next_frames(self) -> list[LinkFrame]:
        frames: list[LinkFrame] = []
        wait_s = _WAIT_S
        while len(frames) < _BATCH and (event := self._bus.next_event(wait_s)) is not None:
            wait_s = 0.0
            frames += self._on_event(event)
        return frames

    def _on_event(self, event: BusEvent) -> list[LinkFrame]:
        """Returns the frames for the custodian."""
        match event:
            case MessageReceived(topic=topic, payload=payload):
                return self._on_message(topic, payload)
            case BusConnected():
                self._status = RelayStatus("connected")
                self._log.info("relay_up")
                with self._changed:
                    self._is_up = True
            case BusDisconnected(fault=fault, error=error):
                self._status = RelayStatus(fault.value, str(error))
                self._log.warning("relay_down", fault=fault.value, error=error.message)
                return self._end_all()
            case SubscriptionRefused():
                remedy = "Give [remote] user the name of the account at the relay, and check the relay's access list."
                self._status = RelayStatus("not authorised", remedy)
                self._log.warning("relay_refuses", remedy=remedy)
            case PublishAcknowledged(token=token):
                self._settle(token)
            case PublishRefused(token=token) | PublishLost(token=token):
                return self._end(self._settle(token))
        return []

    def _on_message(self, topic: str, payload: bytes) -> list[LinkFrame]:
        parsed = parse_link_topic(topic)
        # A faulty relay may deliver any topic, for example that of another household.
        if parsed is None or parsed.account != self._account or parsed.address not in self._addresses:
            return []
        if not payload:
            return self._end(parsed.session)
        if len(payload) > MAX_FRAME_BYTES:
            return []
        with self._changed:
            is_new = parsed.session not in self._topics
            self._topics[parsed.session] = parsed
            self._topics.move_to_end(parsed.session)
            oldest = next(iter(self._topics)) if len(self._topics) > _MOST_TOPICS else None
        if is_new:
            # A person waits now, so a lost connection is tried again within seconds.
            self._bus.hurry(True)
        return [*(self._end(oldest) if oldest else []), LinkFrame(parsed.session, payload)]

    def _deliver(self, frames: list[LinkFrame]) -> None:
        try:
            if frames:
                self._link.deliver(frames)
        except DoorwardError as error:  # the next frame finds a session cut
            self._log.warning("frames_not_delivered", error=error.message)
            self._stopping.wait(_PAUSE_S)

    def _settle(self, token: int) -> str | None:
        with self._changed:
            session = self._on_the_way.pop(token, None)
            self._changed.notify_all()
        return session

    def _end(self, session: str | None) -> list[LinkFrame]:
        """A lost frame ends a session. Returns the frame that tells the custodian."""
        with self._changed:
            known = session is not None and self._topics.pop(session, None) is not None
            if not self._topics:
                self._bus.hurry(False)
        return [LinkFrame(session, b"")] if session is not None and known else []

    def _end_all(self) -> list[LinkFrame]:
        with self._changed:
            self._is_up = False
            sessions = list(self._topics)
            self._changed.notify_all()
        return [frame for each in sessions for frame in self._end(each)]

    # -- to the relay

    def _send(self) -> None:
        while not self._stopping.is_set():
            try:
                frames = self._link.collect(_COLLECT_S)
            except DoorwardError as error:
                self._log.warning("custodian_not_heard", error=error.message)
                self._stopping.wait(_PAUSE_S)
                continue
            for each in frames:
                self._publish(each)

    def _publish(self, frame: LinkFrame) -> None:
        """Waits while the relay takes no more. Drops frames of sessions that have ended meanwhile."""
        deadline_s = time.monotonic() + _PATIENCE_S
        with self._changed:
            while (topic := self._topics.get(frame.session)) is not None and self._is_up:
                token = next(self._tokens)
                # Before it is published: its acknowledgement may come on the other thread before `publish` returns.
                self._on_the_way[token] = frame.session
                if self._bus.publish(str(topic), frame.frame, token=token, expiry_s=_EXPIRY_S):
                    # An empty frame is the custodian's goodbye to the session.
                    if not frame.frame:
                        del self._topics[frame.session]
                    return
                del self._on_the_way[token]
                left_s = deadline_s - time.monotonic()
                if self._stopping.is_set():
                    return
                if left_s <= 0:
                    break
                self._changed.wait(min(left_s, _WAIT_S))
        self._deliver(self._end(frame.session))
