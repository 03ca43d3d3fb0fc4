"""Rate of receiving a large answer over mutual TLS on loopback, beside bare paho and plain files. `desk` prints it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.core.requests import OutboxPart, OutboxRecord
from agent.ipc.outbox_files import DiskOutbox
from agent.mqtt import MqttBus
from agent.platform import files
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.uplink.uplink import Uplink
from agent.wire import envelope
from agent.wire.disclosures import PartKind, Receipt
from bench.upload import CHUNK_BYTES, IN_FLIGHT, PATIENCE_S, Custody, await_answer, settings
from tests.cameras import gops_of, play
from tests.clients.requester.conftest import DESCRIPTION, NOW_S
from tests.clients.requester.house import Changes, Disclosure, House

PICTURES = 12


def large_answer(asked: SentRequest) -> Disclosure:
    """An answer of noisy posters, of about 6 MB each."""
    noise = np.random.default_rng(1).integers(0, 256, (1600, 2400, 3), np.uint8)
    image = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    gops = gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=2, size_px=(320, 180)))[1])
    house = House((NOW_S - 6000) * 1000, changes=Changes(image=lambda _: image))
    for _ in range(PICTURES):
        house.record(DESCRIPTION, gops[:1])
    return house.disclose(asked, [each for each in house.stored if each.kind is PartKind.POSTER])


def rates(folder: Path, requester: Requester, asked: SentRequest) -> dict[str, float]:
    """Returns MB/s of each way, in turn."""
    answer = large_answer(asked)
    size = sum(map(len, answer.parts))
    now = datetime.now(UTC)
    pki = BrokerPki.create(folder / "broker", now)
    pki.add_device(answer.device, now)
    key = pki.client(requester.id).key
    pki.add_requester(requester.id, now, request=signing_request(key, requester.id))
    outbox = folder / "outbox" / answer.id
    outbox.mkdir(parents=True)
    for number, part in enumerate(answer.parts):
        (outbox / str(number)).write_bytes(part)
    found = {"plain write, fsync and rename": size / _files(folder / "plain", answer) / 1e6}
    with PrivateBroker(folder / "broker") as broker:
        found["bare paho to bare paho"] = size / _bare(folder, broker, requester.id, answer) / 1e6
        stored_s, whole_s = _received(folder, broker, requester, answer)
    found["doorward, until the last part is durable"] = size / stored_s / 1e6
    found["doorward, until it is verified and acknowledged"] = size / whole_s / 1e6
    return found


def _files(folder: Path, answer: Disclosure) -> float:
    folder.mkdir()
    begin = time.perf_counter()
    for number, part in enumerate(answer.parts):
        files.write(folder / str(number), part)
    return time.perf_counter() - begin


@contextmanager
def _sender(send: Callable[..., None], *values: Any) -> Iterator[Connection]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=send, args=(*values, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _received(folder: Path, broker: PrivateBroker, requester: Requester, answer: Disclosure) -> tuple[float, float]:
    """Returns seconds from the first word of the answer to its last part, and to its acknowledgement."""
    at: dict[ReceiverEventKind, float] = {}
    stop = threading.Event()

    def tell(event: ReceiverEvent) -> None:
        if event.disclosure == answer.id:
            at[event.kind] = time.perf_counter()

    bus = MqttBus(
        settings(folder, requester.id, broker.requester_port, inbound_packet_bytes=160 << 10, inbound_bytes=32 << 20,
                 inbound_beat_s=0.0)
    )  # fmt: skip
    receiver = DisclosureReceiver(
        requester, bus, SystemClock(), ReceivingLimits(free_bytes=0, share=1.0), tell=tell,
        answered=lambda _: stop.set(),
    )  # fmt: skip
    bus.start()
    thread = threading.Thread(target=receiver.run, args=(stop,))
    thread.start()
    with _sender(_send_answer, folder, broker.device_port, answer.device, answer.id, requester.id) as pipe:
        await_answer(pipe)
        begin = time.perf_counter()
        pipe.send("go")
        if not stop.wait(PATIENCE_S):
            stop.set()
            raise SystemExit("Error: the answer did not arrive.")
        thread.join()
    bus.stop()
    return at[ReceiverEventKind.PROGRESS] - begin, time.perf_counter() - begin


class _SignedCustody(Custody):
    """Takes signed receipts, without a check of the signature."""

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        return super().on_message(topic, envelope.read_unverified(data).payload)


def _send_answer(folder: Path, port: int, device: str, disclosure: str, requester: str, pipe: Connection) -> None:
    paths = sorted((folder / "outbox" / disclosure).iterdir(), key=lambda path: int(path.name))
    parts = tuple(
        OutboxPart(number, "", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for number, path in enumerate(paths)
    )
    custody = _SignedCustody(OutboxRecord(disclosure, "ef" * 16, requester, parts))
    bus = MqttBus(settings(folder, device, port, window_messages=IN_FLIGHT))
    uplink = Uplink(bus, custody, DiskOutbox(folder / "outbox"), SystemClock(), device=device, cell_filter=None)
    pipe.send("ready")
    pipe.recv()
    threading.Thread(target=uplink.run, daemon=True).start()
    custody.delivered.wait()
    time.sleep(PATIENCE_S)


def _client(folder: Path, name: str) -> paho.Client:
    pki = BrokerPki(folder / "broker").client(name)
    context = ssl.create_default_context(cafile=str(pki.authority))
    context.load_cert_chain(pki.certificate, pki.key)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set_context(context)
    client.max_inflight_messages = IN_FLIGHT
    return client


def _bare(folder: Path, broker: PrivateBroker, requester: str, answer: Disclosure) -> float:
    size, subscribed, done = sum(map(len, answer.parts)), threading.Event(), threading.Event()
    left = size

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal left
        left -= len(message.payload)
        if left <= 0:
            done.set()

    client = _client(folder, requester)
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("localhost", broker.requester_port)
    client.loop_start()
    client.subscribe(f"doorward/v1/up/{requester}/#", qos=1)
    subscribed.wait(PATIENCE_S)
    with _sender(_send_bare, folder, broker.device_port, answer.device, requester, size) as pipe:
        await_answer(pipe)
        begin = time.perf_counter()
        pipe.send("go")
        done.wait(PATIENCE_S)
        taken = time.perf_counter() - begin
    client.disconnect()
    client.loop_stop()
    return taken


def _send_bare(folder: Path, port: int, device: str, requester: str, size: int, pipe: Connection) -> None:
    chunk = os.urandom(CHUNK_BYTES)
    client = _client(folder, device)
    client.connect("localhost", port)
    client.loop_start()
    pipe.send("ready")
    pipe.recv()
    for number in range(-(-size // CHUNK_BYTES)):
        client.publish(f"doorward/v1/up/{requester}/{device}/bare/{number}", chunk, qos=1)
    time.sleep(PATIENCE_S)
