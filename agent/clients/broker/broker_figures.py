"""Figures of a broker and of its digest service for Prometheus.

mosquitto publishes its own figures under `$SYS` every few seconds, if its configuration says so (`sys_interval`). The
digest service, whose certificate may read them, keeps the newest of each. They are sums over all clients: no name of a
doorbell or requester is among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from agent.core.metrics import Metric, write
from agent.errors import StorageError
from agent.platform import files

__all__ = ["BrokerFigures"]

_BROKER: Final = {
    "uptime": ("uptime_seconds", "gauge", "Time since the broker's start."),
    "clients/connected": ("clients_connected", "gauge", "Doorbells and requesters that are connected."),
    "clients/total": ("clients", "gauge", "Clients that the broker knows."),
    "subscriptions/count": ("subscriptions", "gauge", "Filters of all clients."),
    "retained messages/count": ("retained_messages", "gauge", "Messages that the broker retains."),
    "store/messages/bytes": ("stored_bytes", "gauge", "Size of the messages in the broker's memory."),
    "heap/current": ("heap_bytes", "gauge", "Memory that the broker uses."),
    "bytes/received": ("received_bytes_total", "counter", "Bytes from all clients."),
    "bytes/sent": ("sent_bytes_total", "counter", "Bytes to all clients."),
    "messages/received": ("received_total", "counter", "MQTT packets from all clients."),
    "messages/sent": ("sent_total", "counter", "MQTT packets to all clients."),
    "publish/messages/dropped": ("dropped_total", "counter", "Messages that found no room in a client's queue."),
}
"""Topic below `$SYS/broker/` → name, kind and words."""
_MOST_CERTIFICATE_BYTES: Final = 1 << 16
_NUMBER: Final = re.compile(r"([0-9]{1,18})( seconds)?")


class BrokerFigures:
    """The newest figures. One thread writes them, others may read."""

    FILTERS: Final = tuple(f"$SYS/broker/{path}" for path in _BROKER)

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate`: the file of the broker's own."""
        self._certificate = certificate
        self._newest: dict[str, float] = {}
        self.is_connected = False
        self.is_current = False
        self.cells = self.pages = self.messages = 0

    def take(self, topic: str, payload: bytes) -> bool:
        """Returns True if the message is a figure of the broker."""
        path = topic.removeprefix("$SYS/broker/")
        if path == topic:
            return False
        number = _NUMBER.fullmatch(payload.decode("ascii", "replace"))
        if path in _BROKER and number is not None:
            self._newest[path] = float(number[1])
        return True

    def page(self) -> str:
        """Returns the figures in Prometheus' text format. Without a connection the broker's are left out."""
        return write(self._figures(), "doorward_")

    def _figures(self) -> Iterator[Metric]:
        yield _one("broker_up", "gauge", "1 while the digest service is connected to its broker.", self.is_connected)
        if self.is_connected:
            newest = dict(self._newest)
            for path, (name, kind, words) in _BROKER.items():
                if path in newest:
                    yield _one(f"broker_{name}", kind, words, newest[path])
        if (ends_s := self._certificate_ends_s()) is not None:
            words = "When the broker's certificate ends. No client connects after that."
            yield _one("broker_certificate_expiry_timestamp_seconds", "gauge", words, ends_s)
        yield _one("digest_current", "gauge", "1 if the broker has every page of every cell.", self.is_current)
        yield _one("digest_cells", "gauge", "Cells with a digest.", self.cells)
        yield _one("digest_pages", "gauge", "Pages of all digests.", self.pages)
        yield _one("digest_messages", "gauge", "Requests and bulletins in the digests.", self.messages)

    def _certificate_ends_s(self) -> float | None:
        """Reads the file again each time, because `doorward broker renew` replaces it."""
        if self._certificate is None:
            return None
        try:
            made = x509.load_pem_x509_certificate(files.read(self._certificate, _MOST_CERTIFICATE_BYTES))
        except (StorageError, ValueError):
            return None  # a figure that is missing raises an alarm, too
        return made.not_valid_after_utc.timestamp()


def _one(name: str, kind: str, words: str, value: float) -> Metric:
    return Metric(name, kind, words, (("", float(value)),))
