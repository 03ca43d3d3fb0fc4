"""Cost of a broker shard for many doorbells: fan-out, memory, bytes at rest, and a restart: `python -m bench scale`.

A real mosquitto with our configuration, its digest service, and light doorbells. Each has its certificate, a connection
with TLS 1.3, the subscriptions of a doorbell and its reading of pages, in one process, without camera, vault and
judging. In the same run as many bare clients subscribe at a bare mosquitto, without TLS, certificates and rights: the
limit. CPU is the broker's alone, so a busy machine changes the seconds of a row more than its CPU.

The bytes are those of TCP's payload as the kernel counts them (`TCP_INFO`): TLS is in them, IP and TCP headers are not.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.clients.broker import digest_service
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.digest_service import DigestService
from agent.core.bus import BusConnected, LinkFault, PublishAcknowledged
from agent.mqtt import MqttBus
from agent.mqtt.pacing import Backoff
from agent.wire.topics import TRUST_FILTER, RequestTopic, cell_filter, in_cell
from tests.brokers import BrokerWithClients, broker_with_clients

DOORBELLS = 1_000
CELL = "287-379"
OPEN_REQUESTS = 10
REQUEST_BYTES = 4_500
"""A usual request: its reply key alone has 1 959 characters."""
KEEPALIVE_S = 60
REPEATS = 10
ROUNDS_A_DAY = 86_400 / 1_800
_TOKENS = itertools.count(1)
_PINGRESP = 13
_TCP_INFO_BYTES = 256
_BYTES_ACKED, _BYTES_RECEIVED = 120, 128


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DOORBELLS
    digest_service._QUIET_S = 0.02  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder, broker_with_clients(Path(folder) / "broker") as world:
        for number in range(count):
            world.settings(f"{number:016x}")
        with _digest(world):
            asyncio.run(_measure(world, count, Path(folder)))
    return 0


async def _measure(world: BrokerWithClients, count: int, folder: Path) -> None:
    police = world.bus("harbour-police")
    police.start()
    await _until(lambda: isinstance(police.next_event(0), BusConnected))
    for slot in range(OPEN_REQUESTS):
        _publish(police, slot)
    await asyncio.sleep(5)  # until the digest has them
    before, cpu = _memory(world.broker.pid), _cpu_s(world.broker.pid)
    doorbells = [Client(world.broker.device_port, f"{number:016x}", world) for number in range(count)]
    connected_s = await _all(doorbells)
    cpu_of_one_ms = (_cpu_s(world.broker.pid) - cpu) / count * 1000
    _row(f"{count} doorbells connect and read, with {OPEN_REQUESTS} open requests", f"{connected_s:.1f} s")
    memory = _memory(world.broker.pid)
    cpu = _cpu_s(world.broker.pid)
    fanned_s = await _fan_out(doorbells, lambda: asyncio.to_thread(_publish, police, OPEN_REQUESTS))
    cpu_of_message_us = (_cpu_s(world.broker.pid) - cpu) / count / REPEATS * 1e6
    with _bare_broker(folder) as (port, bare_pid):
        bare_before, cpu = _memory(bare_pid), _cpu_s(bare_pid)
        bare = [Client(port, f"{number:016x}", None) for number in range(count)]
        await _all(bare)
        bare_cpu_ms = (_cpu_s(bare_pid) - cpu) / count * 1000
        bare_memory = _memory(bare_pid)
        bare_s = await _fan_out(bare[1:], bare[0].publish)
        bare_ping = await bare[0].ping_bytes()
        for each in bare:
            each.close()
    _row(f"one request heard by all {count}", f"{fanned_s:.2f} s", f"bare mosquitto {bare_s:.2f} s")
    _row("… CPU of the broker for one of them", f"{cpu_of_message_us:.0f} µs")
    _row("CPU of the broker for a connection", f"{cpu_of_one_ms:.1f} ms", f"bare mosquitto {bare_cpu_ms:.1f} ms")
    of_one = (memory - before) / count / 1024
    bare_of_one = (bare_memory - bare_before) / count / 1024
    _row("memory of a connection at the broker", f"{of_one:.1f} KiB", f"bare mosquitto {bare_of_one:.1f} KiB")
    await _bytes_at_rest(doorbells[0], bare_ping)
    await _storm(world, doorbells)
    for each in doorbells:
        each.close()


def _row(what: str, figure: str, limit: str = "") -> None:
    print(f"| {what} | {figure} | {limit} |", flush=True)


async def _bytes_at_rest(doorbell: Client, bare_ping: int) -> None:
    ping = await doorbell.ping_bytes()
    before = doorbell.moved_bytes()
    await doorbell.round()
    a_round = doorbell.moved_bytes() - before
    connection = doorbell.first_bytes
    day = ping * 86_400 / KEEPALIVE_S + a_round * ROUNDS_A_DAY + connection
    _row("bytes of a ping, both ways", f"{ping} B", f"bare mosquitto {bare_ping} B")
    _row(f"bytes of a round with {OPEN_REQUESTS + 1} open requests", f"{a_round / 1000:.1f} kB")
    _row("bytes of a connection: TLS, subscriptions and the first round", f"{connection / 1000:.1f} kB")
    bare_day = bare_ping * 86_400 / KEEPALIVE_S
    _row(
        "a doorbell and day at rest, one connection (computed from the three)",
        f"{day / 1e6:.2f} MB",
        f"bare mosquitto {bare_day / 1e6:.3f} MB: pings alone",
    )


async def _storm(world: BrokerWithClients, doorbells: list[Client]) -> None:
    """The broker dies and comes back: each doorbell tries by its own back-off."""
    world.broker.kill()
    await asyncio.gather(*(each.lost.wait() for each in doorbells))
    began_s = time.monotonic()
    world.broker.start()
    back = [each.come_back() for each in doorbells]
    tries = await asyncio.gather(*back)
    took_s = time.monotonic() - began_s
    _row(f"all {len(doorbells)} are back after a restart of the broker", f"{took_s:.0f} s", f"{sum(tries)} tries")


async def _all(clients: list[Client]) -> float:
    began_s = time.monotonic()
    gate = asyncio.Semaphore(16)

    async def one(client: Client) -> None:
        async with gate:
            await client.connect()

    await asyncio.gather(*map(one, clients))
    return time.monotonic() - began_s


async def _fan_out(clients: list[Client], publish: Callable[[], Awaitable[None]]) -> float:
    """Returns the median of `REPEATS` publications, each until the last client has it."""
    took_s = []
    for _ in range(REPEATS):
        for each in clients:
            each.heard.clear()
        began_s = time.monotonic()
        await publish()
        await asyncio.gather(*(each.heard.wait() for each in clients))
        took_s.append(time.monotonic() - began_s)
    return statistics.median(took_s)


class Client:
    """One light doorbell, or without `world` a bare client of a bare broker."""

    def __init__(self, port: int, name: str, world: BrokerWithClients | None) -> None:
        self._port, self._name = port, name
        self._context = None if world is None else _context(world, name)
        self._backoff = Backoff(random.uniform)
        self._packet = 0
        self.heard, self.lost, self._answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._page, self._pong = asyncio.Event(), asyncio.Event()
        self.first_bytes = 0

    async def connect(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        self.lost.clear()
        self._tasks = [asyncio.create_task(self._read(reader)), asyncio.create_task(self._ping_on())]
        name = self._name.encode()
        properties = b"\x21\x00\x80\x27" + struct.pack(">I", 16 << 10)
        body = b"\x00\x04MQTT\x05\x02" + struct.pack(">HB", KEEPALIVE_S, len(properties)) + properties
        await self._ask(0x10, body + struct.pack(">H", len(name)) + name)
        await self._subscribe(TRUST_FILTER, 1)
        await self._subscribe(cell_filter(CELL), 1 | 2 << 4)
        if self._context is not None:
            await self.round()
        self.first_bytes = self.moved_bytes()

    async def round(self) -> None:
        """Reads page after page until the last one. The pages come as those of a doorbell."""
        number, self._pages = 0, 1
        while number < self._pages:
            self._page.clear()
            topic = in_cell(cell_filter(CELL), f"digest/{number}")
            await self._subscribe(topic, 1)
            await self._page.wait()
            self._packet += 1
            packet = struct.pack(">HB", self._packet % 60_000 + 1, 0)
            await self._ask(0xA2, packet + struct.pack(">H", len(topic)) + topic.encode())
            number += 1

    async def come_back(self) -> int:
        """Connects by the back-off of a doorbell. Returns the number of tries."""
        tries = 0
        while True:
            await asyncio.sleep(self._backoff.next_s(LinkFault.LOST, pending=False))
            tries += 1
            with suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self.connect(), 60)
                return tries

    async def publish(self) -> None:
        """Publishes a request, as a requester of the bare broker."""
        topic = str(RequestTopic(CELL, "harbour-police", 0)).encode()
        self._packet += 1
        head = struct.pack(">H", len(topic)) + topic + struct.pack(">HB", self._packet % 60_000 + 1, 0)
        await self._ask(0x32, head + bytes(REQUEST_BYTES))

    async def ping_bytes(self) -> int:
        """Returns the bytes of a ping and its answer."""
        before = self.moved_bytes()
        await self.ping()
        return self.moved_bytes() - before

    async def ping(self) -> None:
        self._pong.clear()
        self._writer.write(b"\xc0\x00")
        await self._pong.wait()

    async def _ping_on(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE_S / 2)
            self._writer.write(b"\xc0\x00")

    def moved_bytes(self) -> int:
        """Bytes of TCP's payload until now, both ways."""
        info = self._writer.get_extra_info("socket").getsockopt(6, 11, _TCP_INFO_BYTES)
        acked, received = struct.unpack_from("<QQ", info, _BYTES_ACKED)
        return int(acked + received)

    def close(self) -> None:
        for each in self._tasks:
            each.cancel()
        self._writer.close()

    async def _subscribe(self, topic_filter: str, options: int) -> None:
        self._packet += 1
        text = topic_filter.encode()
        body = struct.pack(">HBH", self._packet % 60_000 + 1, 0, len(text)) + text + bytes([options])
        await self._ask(0x82, body)

    async def _ask(self, kind: int, body: bytes) -> None:
        self._answer.clear()
        self._writer.write(bytes([kind]) + _length(len(body)) + body)
        await self._answer.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                kind = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await _read_length(reader))
                if kind >> 4 == 3:
                    self._take(body)
                elif kind >> 4 == _PINGRESP:
                    self._pong.set()
                else:
                    self._answer.set()
        except (asyncio.IncompleteReadError, OSError):
            self._tasks[1].cancel()
            self.lost.set()

    def _take(self, body: bytes) -> None:
        size = struct.unpack_from(">H", body)[0]
        topic = body[2 : 2 + size].decode()
        self._writer.write(b"\x40\x02" + body[2 + size : 4 + size])
        if "/digest/" in topic:
            properties = body[4 + size]
            self._pages = int(body[5 + size + properties :].partition(b"\n")[0])
            self._page.set()
        else:
            self.heard.set()


def _length(number: int) -> bytes:
    made = b""
    while True:
        number, low = divmod(number, 128)
        made += bytes([low | (0x80 if number else 0)])
        if not number:
            return made


async def _read_length(reader: asyncio.StreamReader) -> int:
    number, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number
        shift += 7


def _context(world: BrokerWithClients, name: str) -> ssl.SSLContext:
    files = world.pki.client(name)
    context = ssl.create_default_context(cafile=str(files.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    return context


def _publish(police: MqttBus, slot: int) -> None:
    topic, token = str(RequestTopic(CELL, "harbour-police", slot)), next(_TOKENS)
    while not police.publish(topic, bytes(REQUEST_BYTES), token=token, retain=True):
        police.next_event(0.01)
    while not isinstance(police.next_event(1.0), PublishAcknowledged):
        pass


@contextmanager
def _digest(world: BrokerWithClients) -> Iterator[None]:
    service = DigestService(world.bus(DIGEST_CLIENT), time.monotonic)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        while not service.is_current:
            time.sleep(0.1)
        yield
    finally:
        service.stop()
        thread.join()


@contextmanager
def _bare_broker(folder: Path) -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = folder / "bare.conf"
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 20000\n")
    log = (folder / "bare.log").open("wb")
    with log, subprocess.Popen(["mosquitto", "-c", str(configuration)], stdout=log, stderr=log) as process:
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
            yield port, process.pid
        finally:
            process.terminate()


def _memory(pid: int | None) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024


def _cpu_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    raise SystemExit(main())
