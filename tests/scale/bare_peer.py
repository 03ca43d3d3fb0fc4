"""The limit of the same run: as many bare paho clients at a bare mosquitto, without TLS, certificates and rights."""

from __future__ import annotations

import select
import shutil
import subprocess
import time
from collections.abc import Iterator
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
    """`heard_s`: from the publication until the last client has it."""

    connected_s: float
    connection_cpu_ms: float
    connection_bytes: float
    heard_s: float


def measure_bare(folder: Path, count: int, message_bytes: int) -> BareFigures:
    folder.mkdir()
    with _broker(folder) as (port, pid):
        memory, cpu, began_s = memory_bytes(pid), cpu_s(pid), time.monotonic()
        heard: list[int] = [0]
        clients = [_client(port, number, heard) for number in range(count)]
        with select.epoll() as ready:
            by_fd = {client.socket().fileno(): client for client in clients}
            for number in by_fd:
                ready.register(number, select.EPOLLIN)
            subscribed: set[int] = set()
            for client in clients:
                client.on_subscribe = lambda client, *_: subscribed.add(id(client))
                client.on_connect = lambda client, *_: client.subscribe(_TOPIC, 1)
            _until(ready, by_fd, lambda: len(subscribed) == count)
            connected_s = time.monotonic() - began_s
            used_ms = (cpu_s(pid) - cpu) / count * 1000
            held = (memory_bytes(pid) - memory) / count
            took_s = []
            for _ in range(_REPEATS):
                heard[0], began_s = 0, time.monotonic()
                clients[0].publish(_TOPIC, bytes(message_bytes), 1)
                _until(ready, by_fd, lambda: heard[0] == count)
                took_s.append(time.monotonic() - began_s)
        for client in clients:
            client.disconnect()
    return BareFigures(connected_s, used_ms, held, sorted(took_s)[len(took_s) // 2])


def _client(port: int, number: int, heard: list[int]) -> Any:
    client: Any = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{number:016x}", protocol=MQTTProtocolVersion.MQTTv5
    )

    def on_message(*_: object) -> None:
        heard[0] += 1

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    return client


def _until(ready: Any, by_fd: dict[int, Any], holds: Any) -> None:
    deadline_s = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline_s:
            raise SystemExit("The bare clients stopped.")
        for number, _ in ready.poll(0.2, 256):
            by_fd[number].loop_read()
            while by_fd[number].want_write():
                by_fd[number].loop_write()


@contextmanager
def _broker(folder: Path) -> Iterator[tuple[int, int]]:
    (port,) = _free_ports(1)
    configuration = folder / "bare.conf"
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 20000\n")
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "mosquitto"
    with (
        (folder / "bare.log").open("wb") as log,
        subprocess.Popen([program, "-c", configuration], stderr=log) as process,
    ):
        try:
            while b" running" not in (folder / "bare.log").read_bytes():
                time.sleep(0.05)
            yield port, process.pid
        finally:
            process.kill()
