"""Publishes the doorbell in the owner's Home Assistant; `custodian.home_status` says how it is.

    status ──▶ HomeStateHandler ──▶ (a socket, or nothing) ──▶ HomeAssistantService ──▶ the owner's own broker

Rules: a state is published when it changes and again after every connect. A press is published at once, and dropped if
the broker is away. If the custodian is away for a minute, the entities become unavailable, because the last state may
no longer hold. The connection only sends.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import msgspec
import structlog

from agent.core.home import PRESS, HomeTopics, discovery
from agent.core.home_news import HomeAddress
from agent.errors import DoorwardError
from agent.ports import HomeBus, HomeStateSource

__all__ = ["HomeAssistantService", "farewell"]

_LOOK_S: Final = 1.0
_PAUSE_S: Final = 2.0
_AWAY_S: Final = 60.0
"""More than a custodian takes that starts again: systemd pauses 20 s at most."""


class HomeAssistantService:
    """`start`, and `stop` from another thread.  `bus` is a connection that only speaks."""

    def __init__(self, source: HomeStateSource, bus: HomeBus, address: HomeAddress) -> None:
        self._source = source
        self._bus = bus
        self._topics = HomeTopics(address.device, address.prefix)
        self._discovery = msgspec.json.encode(discovery(self._topics, address.name, address.version, address.page))
        self._log = structlog.get_logger("home")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="home")

    def start(self) -> None:
        self._bus.start(will=(self._topics.availability, b"offline"))
        self._thread.start()

    def stop(self) -> None:
        """Says goodbye: the entities become unavailable, they stay.  Idempotent."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._bus.publish(self._topics.availability, b"offline", retain=True)
        self._bus.stop()

    def _run(self) -> None:
        presses, shown = -1, b""
        greeted: int | None = None
        """The connection on which everything was told."""
        heard_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                news = self._source.collect(presses, _LOOK_S)
            except DoorwardError as error:
                self._log.warning("home_not_told", error=error.message)
                if greeted is not None and time.monotonic() - heard_s > _AWAY_S:
                    self._bus.publish(self._topics.availability, b"offline", retain=True)
                    greeted = None
                self._stopping.wait(_PAUSE_S)
                continue
            heard_s = time.monotonic()
            connection = self._bus.connection
            if connection is not None:
                if connection != greeted:
                    self._bus.publish(self._topics.discovery, self._discovery, retain=True)
                    self._bus.publish(self._topics.availability, b"online", retain=True)
                    greeted, shown = connection, b""
                # The first answer only tells the count: presses from before this start are not news.
                if 0 <= presses < news.presses:
                    self._bus.publish(self._topics.button, PRESS, retain=False)
                if news.state != shown:
                    self._bus.publish(self._topics.state, news.state, retain=True)
                    shown = news.state
            presses = news.presses


def farewell(bus: HomeBus, topics: HomeTopics) -> None:
    """Remove the device and all its entities from Home Assistant.  `bus` is connected."""
    for topic in (topics.discovery, topics.state, topics.availability):
        bus.publish(topic, b"", retain=True)
