"""Rate of receiving with one, two and three workers that share PostgreSQL and an S3 store, beside bare paho.

`python -m bench workers [DOORS]` (default 6). Each door sends an answer of some MB over mutual TLS, all at once. Each
worker is a process with its own connection and session. The time ends when the index of PostgreSQL lists all answers
as complete: each one is verified, and its parts are in the store. Bare paho sends the same bytes from one process to
another, and stores nothing. All run on this machine, so more workers than free cores gain nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.identity import Requester, SentRequest, indexed_tables
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.mqtt import MqttBus
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire.disclosures import PartKind
from agent.wire.fields import Kind
from bench.receive_rate import _bare, _send_answer, _sender
from bench.upload import PATIENCE_S, await_answer, settings
from desk.storage.postgres_claims import PostgresClaims
from desk.storage.postgres_index import PostgresIndex
from desk.storage.postgres_notes import NOTE_TABLE, PostgresNotes
from desk.storage.s3_parts import S3Parts
from tests.cameras import gops_of, play
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, question
from tests.clients.requester.house import Changes, Disclosure, House
from tests.desk.waiting import patiently
from tests.postgres import postgres_server
from tests.seaweed import ACCESS_KEY, SECRET_KEY, s3_client, seaweed_server

PICTURES, BUCKET, SCHEMA = 2, "bench", "requester_bench"
Stores = tuple[str, str]
"""The address of PostgreSQL and that of the store."""


def houses(doors: int) -> list[House]:
    """Doors with noisy stills of about 6 MB each."""
    noise = np.random.default_rng(1).integers(0, 256, (1600, 2400, 3), np.uint8)
    image = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    gops = gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=2, size_px=(320, 180)))[1])
    made = [
        House((NOW_S - 6000) * 1000, changes=Changes(image=lambda _: image), name=f"house {each}")
        for each in range(doors)
    ]
    for house in made:
        for _ in range(PICTURES):
            house.record(DESCRIPTION, gops[:1])
    return made


@contextlib.contextmanager
def opened(folder: Path, stores: Stores, *, session: bool) -> Iterator[Requester]:
    """The requester as a worker has it, or as a web process."""
    parts = S3Parts(stores[1], BUCKET, "bench", ACCESS_KEY, SECRET_KEY)
    index = PostgresIndex(stores[0], SCHEMA, folder, (*indexed_tables(parts), NOTE_TABLE), session=session)
    claims = PostgresClaims(index) if session else None
    yield Requester.open(folder, None, index, parts, PostgresNotes(index, folder), claims)
    index.close()
    parts.close()


def work(folder: Path, stores: Stores, name: str, port: int, pipe: Connection) -> None:
    """Receives until it is killed."""
    with opened(folder / "requester", stores, session=True) as requester:
        bus = MqttBus(
            settings(folder, name, port, inbound_packet_bytes=160 << 10, inbound_bytes=32 << 20, inbound_beat_s=0.0)
        )

        def tell(event: ReceiverEvent) -> None:
            if event.kind is ReceiverEventKind.CONNECTED:
                pipe.send("ready")

        limits = ReceivingLimits(free_bytes=0, share=1.0, per_device_and_request=1000)
        receiver = DisclosureReceiver(requester, bus, SystemClock(), limits, tell=tell)
        bus.start()
        receiver.run(threading.Event())


def lay_out(folder: Path, answer: Disclosure) -> None:
    outbox = folder / "outbox" / answer.id
    outbox.mkdir(parents=True)
    for number, part in enumerate(answer.parts):
        (outbox / str(number)).write_bytes(part)


def received(
    folder: Path, stores: Stores, broker: PrivateBroker, web: Requester, answers: list[Disclosure], workers: int
) -> float:
    """Returns seconds until all answers are complete."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as ends:
        for number in range(workers):
            ours, theirs = spawn.Pipe()
            values: tuple[Any, ...] = (folder, stores, f"{web.id}.w{number}", broker.requester_port, theirs)
            process = spawn.Process(target=work, args=values, daemon=True)
            process.start()
            ends.callback(process.join)
            ends.callback(process.kill)
            await_answer(ours)
        pipes = []
        for answer in answers:
            sender = _sender(_send_answer, folder, broker.device_port, answer.device, answer.id, web.id)
            pipes.append(ends.enter_context(sender))
            await_answer(pipes[-1])
        begin = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        missing = {answer.id for answer in answers}
        while missing:
            if time.perf_counter() - begin > PATIENCE_S:
                raise SystemExit("Error: the answers did not arrive.")
            time.sleep(0.02)
            known = [web.answers.get(each) for each in missing]
            missing -= {each.disclosure for each in known if each and each.state is AnswerState.COMPLETE}
        return time.perf_counter() - begin


def prepared(folder: Path, made: list[House]) -> tuple[Requester, BrokerPki]:
    now = datetime.now(UTC)
    requester = Requester.create(folder / "requester", "bench", Kind.POLICE, ROOT_ID)
    pki = BrokerPki.create(folder / "broker", now)
    for house in made:
        pki.add_device(house.device_id, now)
    for name in (requester.id, *(f"{requester.id}.w{number}" for number in range(3))):
        pki.add_requester(name, now, request=signing_request(pki.client(name).key, name))
    return requester, pki


def main(arguments: list[str]) -> None:
    doors = int(arguments[0]) if arguments else 6
    made = houses(doors)
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        postgres, seaweed = ends.enter_context(postgres_server()), ends.enter_context(seaweed_server())
        with s3_client(seaweed) as client:
            patiently(lambda: client.create_bucket(Bucket=BUCKET))
        prepared(folder, made)
        stores = (postgres.address, seaweed.endpoint)
        web = ends.enter_context(opened(folder / "requester", stores, session=False))
        broker = ends.enter_context(PrivateBroker(folder / "broker"))
        print("| | MB/s | CPU of all processes |\n|---|---|---|")
        for workers in (0, 1, 2, 3):
            asked: SentRequest = web.sent_request(
                messages.make_request(web, question(case=f"{workers}"), now_s=NOW_S).id
            )
            pictures = [[each for each in house.stored if each.kind is PartKind.POSTER] for house in made]
            answers = [house.disclose(asked, each) for house, each in zip(made, pictures, strict=True)]
            size = sum(len(part) for answer in answers for part in answer.parts)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if workers:
                for answer in answers:
                    lay_out(folder, answer)
                taken_s = received(folder, stores, broker, web, answers, workers)
            else:
                all_parts = Disclosure("", answers[0].device, [part for answer in answers for part in answer.parts])
                taken_s = _bare(folder, broker, web.id, all_parts)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            name = (
                f"{workers} worker{'s' * (workers > 1)}, verified and stored" if workers else "bare paho to bare paho"
            )
            print(f"| {name} | {size / taken_s / 1e6:.1f} | {used_s:.1f} s |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
