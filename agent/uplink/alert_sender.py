"""Delivers alerts: one thread fetches messages, and one thread for each channel sends them.

A slow or silent channel delays no other channel. Each has one message at a time, so its order stays. On stop, the
present message is finished first, up to `_LAST_S`. `Alerts` decides what is sent, when and how often.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import Final

import msgspec
import structlog

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.errors import DoorwardError, NetworkError
from agent.ports import AlertMailer, AlertSender

__all__ = ["AlertDelivery"]

_WAIT_S: Final = 5.0
_PAUSE_S: Final = 1.0
_LAST_S: Final = 25.0
_REMEMBERED: Final = 1000


class AlertDelivery:
    """`start`, and `stop` from another thread."""

    def __init__(self, mailer: AlertMailer, sender: AlertSender) -> None:
        self._mailer = mailer
        self._sender = sender
        self._log = structlog.get_logger("alerts")
        self._stopping = threading.Event()
        self._addresses: dict[str, ChannelAddress] = {}
        self._work: dict[str, SimpleQueue[AlertMessage | None]] = {}
        self._workers: list[threading.Thread] = []
        self._taken: dict[str, deque[int]] = {}
        """The last message that a channel took. A custodian that restarts meanwhile hands it out again."""
        # Daemons: a message may take longer than `_LAST_S`, and must not keep the process from ending.
        self._fetcher = threading.Thread(target=self._fetch, name="alerts-fetch", daemon=True)

    def start(self) -> None:
        self._fetcher.start()

    def stop(self) -> None:
        """Idempotent.  The mailer is still there while this runs."""
        self._stopping.set()
        if self._fetcher.ident is not None:
            self._fetcher.join(_LAST_S)
        for each in self._work.values():
            each.put(None)
        for worker in self._workers:
            worker.join(_LAST_S)

    def _fetch(self) -> None:
        known = False
        while not self._stopping.is_set():
            try:
                if not known:
                    for address in self._mailer.channels():
                        self._begin(address)
                    known = True
                for message in self._mailer.collect(_WAIT_S):
                    if message.channel in self._work:
                        self._work[message.channel].put(message)
                    else:
                        known = False  # a channel that is new: it comes again, with its address
            except DoorwardError as error:
                self._log.warning("alerts_not_fetched", error=error.message)
                # A custodian that restarted may have other addresses, so they are asked for again.
                known = known and not isinstance(error, NetworkError)
                self._stopping.wait(_PAUSE_S)

    def _begin(self, address: ChannelAddress) -> None:
        if self._addresses.get(address.name) == address:
            return
        if address.name in self._work:
            self._work[address.name].put(None)  # it moved: what is on its way still goes to the old place
        self._addresses[address.name] = address
        work: SimpleQueue[AlertMessage | None] = SimpleQueue()
        worker = threading.Thread(target=self._deliver, args=(address, work), name="alerts-channel", daemon=True)
        self._work[address.name] = work
        self._taken.setdefault(address.name, deque(maxlen=_REMEMBERED))
        self._workers.append(worker)
        worker.start()

    def _deliver(self, address: ChannelAddress, work: SimpleQueue[AlertMessage | None]) -> None:
        taken = self._taken[address.name]
        while (message := work.get()) is not None:
            # A custodian that was killed before the acknowledgement hands the message out again. The channel has it
            # already.
            if again := set(taken).intersection(message.alerts):
                self._acknowledge(msgspec.structs.replace(message, alerts=tuple(again)), "")
                continue
            try:
                self._sender.send(address.url, message.title, message.body, message.picture, message.at_ms)
                taken.extend(message.alerts)
                fault = ""
            except DoorwardError as error:
                self._log.warning("alert_not_taken", channel=address.name, error=error.message)
                fault = error.message
            self._acknowledge(message, fault)

    def _acknowledge(self, message: AlertMessage, fault: str) -> None:
        try:
            self._mailer.acknowledge(message, fault)
        except DoorwardError as error:
            self._log.warning("alert_not_settled", channel=message.channel, error=error.message)
