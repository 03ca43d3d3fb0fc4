"""Measures our upload path over mutual TLS to a mosquitto on loopback beside bare paho sending the same bytes.

`python -m bench upload [MEGABYTES] [ROUNDS]` (default 96 and 5).  All send with QoS 1 and 1 MiB in flight to the same
broker, and the same requester takes it.  They take turns; the table gives medians, and the medians of each round's
ratio to bare paho: on a busy machine only turns of one round compare.

- *bare paho*: `publish` from memory in chunks of 64 KiB, timed to the last PUBACK.  Hashes, files and receipts are
  left out.  The second row sends chunks of 128 KiB.
- *paho, reading and hashing*: the first with the work that the format demands: each chunk comes from the outbox and its
  hash is in its topic.  The limit of any sender of this format with such chunks, for CPU.
- *Doorward*: `uplink.uplink` as it runs on a device: starts with chunks of 64 KiB and continues with 128 KiB, reads
  the outbox from disk, hashes each chunk into its topic, sends the manifest first and waits for its receipt.  Timed to
  the requester's final receipt.

CPU is user and system time of the sending process only.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.core.bus import MessageReceived, Subscribed
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.timebase import BootNs
from agent.core.transfer import (
    AllReceived,
    ManifestReceived,
    PartSize,
    ReceiverLimits,
    SealPart,
    SendReceipt,
    UploadReceiver,
    progress_from_receipt,
    receipt_for,
)
from agent.ipc.outbox_files import DiskOutbox
from agent.mqtt import BusSettings, MqttBus
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from agent.wire import strictjson
from agent.wire.disclosures import Receipt
from agent.wire.topics import ChunkVerb, ReceiptTopic, UploadTopic, UploadVerb, parse_topic
from agent.wire.uploads import UploadNote

CHUNK_BYTES = 64 << 10
SEGMENT_BYTES = 2 << 20
IN_FLIGHT = 16
DEVICE, REQUESTER, DISCLOSURE = "a1" * 8, "springfield", "cd" * 16
PATIENCE_S = 120.0
BARE_PREFIX = f"doorward/v1/up/{REQUESTER}/{DEVICE}/bare"


@dataclass(frozen=True, slots=True)
class Result:
    wall_s: float
    cpu_s: float


def main() -> int:
    megabytes, rounds = (int(text) for text in (*sys.argv[1:], "96", "5")[:2])
    if len(sys.argv) == 2:
        rounds = 5
    size_bytes = megabytes << 20
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name:
        folder = Path(name)
        pki = BrokerPki.create(folder / "broker", datetime.now(UTC))
        pki.add_device(DEVICE, datetime.now(UTC))
        add_requester(pki)
        sizes = fill_outbox(folder / "outbox", size_bytes)
        results: dict[str, list[Result]] = {label: [] for label, _ in SENDERS}
        with PrivateBroker(folder / "broker") as broker:
            for _ in range(rounds):
                for label, send in SENDERS:
                    results[label].append(_turn(spawn, folder, broker, sizes, send))
    _print(results, size_bytes)
    return 0


def add_requester(pki: BrokerPki) -> None:
    """Signs a certificate for the requester, with its key where the broker's tools would look for it."""
    key = pki.client(REQUESTER).key
    pki.add_requester(REQUESTER, datetime.now(UTC), request=signing_request(key, REQUESTER))


def _print(results: dict[str, list[Result]], size_bytes: int) -> None:
    print(f"{size_bytes >> 20} MiB, 1 MiB in flight, medians of {len(results['bare paho'])} rounds:\n")
    print("| path | MB/s | CPU-s per 100 MB | of bare paho's MB/s | of its CPU |\n|---|---|---|---|---|")
    bare = results["bare paho"]
    for label, turns in results.items():
        rate = statistics.median(size_bytes / turn.wall_s / 1e6 for turn in turns)
        cpu = statistics.median(turn.cpu_s / size_bytes * 1e8 for turn in turns)
        speed = statistics.median(one.wall_s / turn.wall_s for one, turn in zip(bare, turns, strict=True))
        work = statistics.median(turn.cpu_s / one.cpu_s for one, turn in zip(bare, turns, strict=True))
        print(f"| {label} | {rate:.0f} | {cpu:.2f} | {speed:.2f} | {work:.2f} |")


def fill_outbox(folder: Path, size_bytes: int) -> list[int]:
    """A manifest and segments of random bytes as an outbox holds them; their sizes."""
    (folder / DISCLOSURE).mkdir(parents=True)
    sizes = [50_000] + [SEGMENT_BYTES] * (size_bytes // SEGMENT_BYTES)
    for number, size in enumerate(sizes):
        (folder / DISCLOSURE / str(number)).write_bytes(os.urandom(size))
    return sizes


def _turn(spawn: Any, folder: Path, broker: PrivateBroker, sizes: list[int], send: Callable[..., None]) -> Result:
    """One upload: a fresh requester process, a fresh sending process."""
    ready, requester_end = spawn.Pipe()
    done, sender_end = spawn.Pipe()
    requester = spawn.Process(target=receive, args=(folder, broker.requester_port, sizes, requester_end), daemon=True)
    sender = spawn.Process(target=send, args=(folder, broker.device_port, sizes, sender_end), daemon=True)
    requester.start()
    try:
        await_answer(ready)
        sender.start()
        result: Result = await_answer(done)
        sender.join(PATIENCE_S)
        ready.send("stop")
        requester.join(PATIENCE_S)
    finally:
        for process in (requester, sender):
            if process.is_alive():
                process.kill()
    return result


def await_answer(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE_S):
        raise SystemExit("Error: a process of the benchmark has not answered; see above.")
    return pipe.recv()


def settings(folder: Path, name: str, port: int, *, host: str = "localhost", **changes: Any) -> BusSettings:
    files = BrokerPki(folder / "broker").client(name)
    return BusSettings(host, port, name, files.authority, files.certificate, files.key, **changes)


# The requester: takes everything, answers ours.


def receive(folder: Path, port: int, sizes: list[int], pipe: Connection) -> None:
    parts = tuple(part_sizes(folder, sizes))
    bus = MqttBus(
        settings(folder, REQUESTER, port, inbound_packet_bytes=160 << 10, inbound_window=64, inbound_beat_s=0)
    )
    bus.subscribe(f"doorward/v1/up/{REQUESTER}/#")
    bus.start()
    while not isinstance(bus.next_event(10), Subscribed):
        pass
    pipe.send("ready")
    receiver, clock, token = UploadReceiver(parts[0], len(parts), ReceiverLimits()), SystemClock(), 0
    while not pipe.poll():
        event = bus.next_event(0.1)
        if isinstance(event, MessageReceived) and not event.topic.startswith(BARE_PREFIX) and event.payload:
            for answer in _assemble(receiver, event, parts, clock.now().boot_ns):
                token += 1
                bus.publish(str(ReceiptTopic(DEVICE, DISCLOSURE)), answer, token=token)
    bus.stop()


def _assemble(
    receiver: UploadReceiver, event: MessageReceived, parts: tuple[PartSize, ...], now: BootNs
) -> list[bytes]:
    topic = parse_topic(event.topic)
    assert isinstance(topic, UploadTopic)
    match topic.verb:
        case ChunkVerb(offset, sha256):
            receiver.chunk(topic.part, offset, event.payload, sha256)
        case UploadVerb.FIN:
            receiver.fin(topic.part)
        case UploadVerb.INIT:
            note = strictjson.decode(event.payload, UploadNote)
            receiver.init(PartSize(note.size_bytes, note.sha256), note.parts, note.question)
    answers = []
    while (effect := receiver.next_effect(now)) is not None:
        match effect:
            case SealPart(part):
                receiver.sealed(part, matches=True)
            case ManifestReceived():
                receiver.expect(parts[1:])
            case AllReceived():
                receiver.complete()
            case SendReceipt(held):
                receipt = receipt_for(
                    held, disclosure=DISCLOSURE, request="ef" * 16, requester=REQUESTER, trust_root="0a" * 8, seq=1
                )
                answers.append(strictjson.encode(receipt))
    return answers


def part_sizes(folder: Path, sizes: list[int]) -> list[PartSize]:
    paths = [folder / "outbox" / DISCLOSURE / str(number) for number in range(len(sizes))]
    return [PartSize(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]


# The senders


def _clocked(work: Callable[[], None]) -> Result:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return Result(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _send_ours(folder: Path, port: int, sizes: list[int], pipe: Connection) -> None:
    parts = tuple(
        OutboxPart(number, "", part.size_bytes, part.sha256) for number, part in enumerate(part_sizes(folder, sizes))
    )
    custody = Custody(OutboxRecord(DISCLOSURE, "ef" * 16, REQUESTER, parts))
    bus = MqttBus(settings(folder, DEVICE, port, window_messages=IN_FLIGHT))
    uplink = Uplink(bus, custody, DiskOutbox(folder / "outbox"), SystemClock(), device=DEVICE, cell_filter=None)
    thread = threading.Thread(target=uplink.run, name="uplink")

    def work() -> None:
        thread.start()
        custody.delivered.wait()

    pipe.send(_clocked(work))
    uplink.stop()
    thread.join()


class Custody:
    """Lists one disclosure, and takes receipts unverified."""

    def __init__(self, record: OutboxRecord) -> None:
        self._record = record
        self.delivered = threading.Event()

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return [(self._record, False)]

    def begin_sending(self, _disclosure: str) -> bool:
        return True

    def roots(self) -> tuple[str, ...]:
        return ()

    def on_message(self, _topic: str, data: bytes) -> Receipt | None:
        receipt = strictjson.decode(data, Receipt)
        if progress_from_receipt(receipt).state.value == "complete":
            self.delivered.set()
        return receipt


def _send_bare(folder: Path, port: int, sizes: list[int], pipe: Connection, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    chunk, count = os.urandom(chunk_bytes), -(-sum(sizes) // chunk_bytes)
    _send_by_paho(
        folder, port, ((f"{BARE_PREFIX}/{number}", chunk) for number in range(count)), count, pipe, chunk_bytes
    )


def _send_bare_large(folder: Path, port: int, sizes: list[int], pipe: Connection) -> None:
    _send_bare(folder, port, sizes, pipe, chunk_bytes=2 * CHUNK_BYTES)


def _send_hashed(folder: Path, port: int, sizes: list[int], pipe: Connection) -> None:
    _send_by_paho(folder, port, _hashed_chunks(folder, sizes), sum(-(-size // CHUNK_BYTES) for size in sizes), pipe)


def _hashed_chunks(folder: Path, sizes: list[int]) -> Iterator[tuple[str, bytes]]:
    outbox = DiskOutbox(folder / "outbox")
    for number, size in enumerate(sizes):
        for offset in range(0, size, CHUNK_BYTES):
            data = outbox.read(DISCLOSURE, number, offset, min(CHUNK_BYTES, size - offset))
            yield f"{BARE_PREFIX}/{number}-{offset}-{hashlib.sha256(data).hexdigest()}", data


def _send_by_paho(
    folder: Path,
    port: int,
    chunks: Iterator[tuple[str, bytes]],
    count: int,
    pipe: Connection,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    files = BrokerPki(folder / "broker").client(DEVICE)
    context = ssl.create_default_context(cafile=str(files.authority))
    context.load_cert_chain(files.certificate, files.key)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=DEVICE, protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set_context(context)
    client.max_inflight_messages = IN_FLIGHT * CHUNK_BYTES // chunk_bytes
    left, done = count, threading.Event()

    def on_publish(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_publish = on_publish

    def work() -> None:
        client.connect("localhost", port)
        client.loop_start()
        for topic, chunk in chunks:
            client.publish(topic, chunk, qos=1)
        done.wait()

    pipe.send(_clocked(work))
    client.disconnect()
    client.loop_stop()


SENDERS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("bare paho", _send_bare),
    ("bare paho, 128 KiB", _send_bare_large),
    ("paho, reading and hashing", _send_hashed),
    ("Doorward", _send_ours),
)


if __name__ == "__main__":
    raise SystemExit(main())
