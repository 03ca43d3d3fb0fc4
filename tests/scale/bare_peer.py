"""The limit of the same run: as many bare paho clients at a bare mosquitto, without TLS, certificates and rights."""

from __future__ import annotations

import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.clients.broker.private_broker import _free_ports
from tests.scale.figures import cpu_s, memory_bytes

__all__ = ["BareFigures", "measure_bare"]

_TOPIC, _REPEATS = "areas/284-369/requests/police/0", 3


@dataclass(frozen=True, slots=True)
class BareFigures:
    """`heard_s`: from the publication until the last client has it. `back_s`: from the start of a killed broker until
    the last client has subscribed again. None of them pauses before it tries, as doorbells do."""

    connected_s: float
    connection_cpu_ms: float
    connection_bytes: float
    heard_s: float
    back_s: float


class _Broker:
    """A mosquitto with one open listener."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = _free_ports(1)
        self._configuration, self._log = folder / "bare.conf", folder / "bare.log"
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 20000\n"
        )
        self._program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "mosquitto"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([self._program, "-c", self._configuration], stderr=log)
        while b" running" not in self._log.read_bytes():
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class _Clients:
    """Moved by one thread. Each has one file: paho makes its pair of sockets for a thread of its own only."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._heard, self._subscribed = port, 0, set[int]()
        self._clients = [self._made(number) for number in range(count)]

    def _made(self, number: int) -> Any:
        client: Any = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{number:016x}", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_message = self._hear
        client.on_connect = lambda client, *_: client.subscribe(_TOPIC, 1)
        client.on_subscribe = lambda client, *_: self._subscribed.add(id(client))
        return client

    def _hear(self, *_: object) -> None:
        self._heard += 1

    def connect(self) -> float:
        """Returns the seconds until all have subscribed. Also for those that had a connection before."""
        began_s = time.monotonic()
        self._subscribed.clear()
        for client in self._clients:
            client.connect("127.0.0.1", self._port)
        self._until(lambda: len(self._subscribed) == len(self._clients))
        return time.monotonic() - began_s

    def fan_out(self, message_bytes: int) -> float:
        """Returns the seconds until all have a message that the first one publishes."""
        self._heard, began_s = 0, time.monotonic()
        self._clients[0].publish(_TOPIC, bytes(message_bytes), 1)
        self._until(lambda: self._heard == len(self._clients))
        return time.monotonic() - began_s

    def disconnect(self) -> None:
        for client in self._clients:
            client.disconnect()

    def _until(self, holds: Callable[[], bool]) -> None:
        by_fd = {client.socket().fileno(): client for client in self._clients}
        deadline_s = time.monotonic() + 120
        with select.epoll() as ready:
            for number in by_fd:
                ready.register(number, select.EPOLLIN)
            while not holds():
                if time.monotonic() > deadline_s:
                    raise SystemExit("The bare clients stopped.")
                for number, _ in ready.poll(0.2, 256):
                    by_fd[number].loop_read()
                    while by_fd[number].want_write():
                        by_fd[number].loop_write()


def measure_bare(folder: Path, count: int, message_bytes: int) -> BareFigures:
    folder.mkdir()
    with _running(folder) as broker:
        memory, cpu, clients = memory_bytes(broker.pid), cpu_s(broker.pid), _Clients(broker.port, count)
        connected_s = clients.connect()
        used_ms = (cpu_s(broker.pid) - cpu) / count * 1000
        held = (memory_bytes(broker.pid) - memory) / count
        heard_s = _median([clients.fan_out(message_bytes) for _ in range(_REPEATS)])
        broker.kill()
        broker.start()
        back_s = clients.connect()
        clients.disconnect()
    return BareFigures(connected_s, used_ms, held, heard_s, back_s)


def _median(found: Sequence[float]) -> float:
    return sorted(found)[len(found) // 2]


@contextmanager
def _running(folder: Path) -> Iterator[_Broker]:
    broker = _Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
