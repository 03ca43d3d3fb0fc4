"""Cost of the n-th request, receipt, answer and deletion at a requester that holds n of them.

A *receipt* is the answer to a doorbell that asks how much has arrived, in the middle of its upload.

`python -m bench desk [N …]` (default 10 100 1000 10000; 100000 takes five minutes, mostly to fill the folder and its
index). One folder grows. At each size every operation runs a few times, and the table has the median wall and CPU
milliseconds. A cost that is independent of history stays flat along a row.

The folder is filled directly with signed requests and with copies of one answer, without waiting for the disk. The
measured operations are the real ones, with each fsync. `TMPDIR=/dev/shm` takes the disk out of the wall times. The
doorbell and the broker are those of the tests, in the same process, and their time does not count.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.clients.opening import HybridIdentity
from agent.clients.requester import messages
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.keys import load_key
from agent.clients.requester.news import ReceiverEvent, ReceivingLimits
from agent.clients.requester.opened_answer import opened_answer
from agent.clients.requester.publisher import PublishQueue, publish_pending
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.request_builder import RequestDraft
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire import envelope, strictjson
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.messages import Contact, FootageRequest, Onward
from agent.wire.topics import ReceiptTopic, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from bench.receive_rate import rates
from tests.cameras import gops_of, play
from tests.clients.requester.conftest import DESCRIPTION, NOW_S
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import House
from tests.fake_bus import FakeBroker, FakeBus

ROOT = "00112233445566aa"
REPEATS = 5
OPERATIONS = (
    "index made again", "start", "request", "look for unsent", "receipt", "answer", "follow up", "view", "deletion",
)  # fmt: skip
LIMITS = ReceivingLimits(free_bytes=0, disclosures=1 << 30, per_device=1 << 30, share=1.0)
DAY_S = 86_400
_MOST_LINKS = 10_000
_RECEIPTS_BEFORE_FOOTAGE = 2
"""One asks for the first part, and one for the others."""
_RECENT = 50
"""Most messages of one answer."""
_REPLIES = 64
"""Different reply keys of the requests that fill the folder."""


class Cost:
    """Wall and CPU milliseconds of each run of one operation."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def of(self, act: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = act()
        self.wall_ms.append((time.perf_counter() - wall) * 1000)
        self.cpu_ms.append((time.process_time() - cpu) * 1000)
        return found

    def add(self, other: Cost) -> None:
        """Adds the sum of the runs of `other` as one run."""
        self.wall_ms.append(sum(other.wall_ms))
        self.cpu_ms.append(sum(other.cpu_ms))

    def __str__(self) -> str:
        return f"{statistics.median(self.wall_ms):.2f} / {statistics.median(self.cpu_ms):.2f}"


def draft(case: str) -> RequestDraft:
    return RequestDraft(
        area=Circle(lat=52.3702, lon=4.8952, radius_m=300),
        from_s=NOW_S - 7200,
        to_s=NOW_S - 3600,
        not_after_s=NOW_S + 7 * DAY_S,
        case=case,
        incident=Incident.BURGLARY,
        description="A burglary in the street.",
        contact=Contact(name="Det. R. Visser", email="r.visser@rijnstad.example"),
        retention_days=90,
        onward=Onward(to=(OnwardKind.COURT,)),
        language="en",
    )


class Desk:
    """A requester's folder that grows, and its receiving service."""

    def __init__(self, folder: Path) -> None:
        self.requester = Requester.create(folder / "requester", "rijnstad-police", Kind.POLICE, ROOT)
        self.clock = TestClock()
        self.broker = FakeBroker()
        self.held = 0
        gops = gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=2, size_px=(320, 180)))[1])
        self.house = House((NOW_S - 6000) * 1000)
        self.house.record(DESCRIPTION, gops[:1])
        self.first = self.ask("first")
        self.events: list[ReceiverEvent] = []
        self.begin()
        self.receiver.start()
        self.sample = self.receive(self.first, Cost(), Cost())

    def begin(self) -> None:
        self.bus = FakeBus(self.broker, self.requester.id)
        self.bus.start()
        self.receiver = DisclosureReceiver(
            Requester.open(self.requester.folder), self.bus, self.clock, LIMITS, tell=self.events.append
        )

    def end(self) -> None:
        self.bus.stop()

    def ask(self, case: str) -> SentRequest:
        return self.requester.sent_request(messages.make_request(self.requester, draft(case), now_s=NOW_S).id)

    def receive(self, asked: SentRequest, answer: Cost, receipt: Cost) -> AnswerFolder:
        """Receives one answer whole, and tells its doorbell once how much has arrived. Only the steps of the receiving
        service count."""
        door = Door(self.broker, self.requester, self.house.disclose(asked), self.clock)
        steps, is_told = Cost(), False
        while not (door.finished is not None and not self.bus_has_more(steps)):
            if not is_told and self.receipts_to(door) == _RECEIPTS_BEFORE_FOOTAGE:
                is_told = True
                self.tell(door, receipt)
            moved = door.step()
            if not self.bus_has_more(steps) and not moved:
                self.clock.boot_ns += 10**9
        answer.add(steps)
        assert is_told
        door.bus.stop()
        return AnswerFolder(self.requester.folder, door.disclosure.id)

    def receipts_to(self, door: Door) -> int:
        topic = str(ReceiptTopic(door.disclosure.device, door.disclosure.id))
        return sum(to == topic for _who, to, _data in self.broker.published[-_RECENT:])

    def tell(self, door: Door, cost: Cost) -> None:
        """The doorbell asks, and gets the receipt."""
        size, before, steps = door.disclosure.sizes[0], self.receipts_to(door), Cost()
        note = UploadNote(
            v=1, parts=len(door.disclosure.parts), size_bytes=size.size_bytes, sha256=size.sha256, question=1
        )
        topic = UploadTopic(self.requester.id, door.disclosure.device, door.disclosure.id, 0, UploadVerb.INIT)
        asking = FakeBus(self.broker, door.disclosure.device)
        asking.start()
        asking.publish(str(topic), strictjson.encode(note), token=0, retain=True)
        while self.bus_has_more(steps):
            pass
        asking.stop()
        cost.add(steps)
        assert self.receipts_to(door) == before + 1

    def bus_has_more(self, steps: Cost) -> bool:
        return steps.of(lambda: self.receiver.step(0)) is not None

    def fill(self, until: int) -> None:
        """Adds requests that were published, each with one complete answer of another doorbell.

        Their reply keys repeat, and their signatures are not checked again: keys take most of the time of a request,
        and no measured operation opens one of these.
        """
        origin = json.loads((self.sample.path / "origin.json").read_bytes())
        outcome, alike = (self.sample.path / "outcome.json").read_bytes(), self.sample.path / "0.age"
        replies = [
            (str(each.recipient()), f"{each.secret_text()}\n".encode()) for each in map(_identity, range(_REPLIES))
        ]
        signer = load_key(self.requester.folder / "signing.key")
        root = str(self.requester.folder)
        for number in range(self.held, until):
            reply, secret = replies[number % _REPLIES]
            request = msgspec.structs.replace(
                self.first.request, id=secrets.token_hex(16), case=f"case {number}", seq=number + 1000, reply=reply
            )
            payload = strictjson.encode(request)
            signature = signer.sign(envelope.pae(FootageRequest.PAYLOAD_TYPE, payload))
            data = envelope.with_signature(FootageRequest.PAYLOAD_TYPE, payload, self.requester.key.id, signature)
            asked, answer = f"{root}/requests/{request.id}", f"{root}/disclosures/{secrets.token_hex(16)}"
            Path(asked).mkdir()
            _write(f"{asked}/reply.identity", secret)
            _write(f"{asked}/request.dsse", data)
            _write(f"{asked}/request.published", b"")
            Path(answer).mkdir()
            if number % _MOST_LINKS == 0:  # a disk may take at most 65 000 links to a file
                shutil.copy(self.sample.path / "0.age", alike := self.requester.folder / f"alike-{number}.age")
            os.link(alike, f"{answer}/0.age")
            _write(f"{answer}/outcome.json", outcome)
            _write(f"{answer}/origin.json", json.dumps(origin | {"device": secrets.token_hex(8)}).encode())
            os.link(f"{asked}/request.dsse", f"{answer}/request.dsse")
        self.held = until
        shutil.rmtree(self.requester.folder / "index")

    def measured(self) -> dict[str, Cost]:
        """Every operation a few times, with what is held now."""
        costs = {name: Cost() for name in OPERATIONS}
        self.end()
        self.begin()
        costs["index made again"].of(self.requester.request_ids)
        costs["start"].of(self.receiver.start)
        for number in range(REPEATS):
            asked = costs["request"].of(functools.partial(self.ask, f"{self.held} {number}"))
            publish_pending(self.requester, queue := PublishQueue(self.bus), NOW_S, lambda *_: None)
            queue.pump()
            while queue:
                self.settle(queue)
            publish_pending(self.requester, queue, NOW_S, lambda *_: None)
            costs["look for unsent"].of(lambda: publish_pending(self.requester, queue, NOW_S, lambda *_: None))
            answer = self.receive(asked, costs["answer"], costs["receipt"])
            last = self.requester.answers.total().disclosures
            costs["follow up"].of(functools.partial(self.requester.answers.changed_since, last, 100))
            costs["view"].of(functools.partial(self.view, answer))
            costs["deletion"].of(functools.partial(delete_answers, self.requester, asked.request.id, NOW_S))
        return costs

    def settle(self, queue: PublishQueue) -> None:
        event = self.bus.next_event(1)
        if event is not None:
            queue.settled(event)

    def view(self, answer: AnswerFolder) -> None:
        with opened_answer(self.requester, answer.disclosure) as opened:
            assert opened.grade is not None
            for clip in opened.clips:
                assert not clip.gaps_ms
                opened.film(clip)


def _identity(_number: int) -> HybridIdentity:
    return HybridIdentity(secrets.token_bytes(32))


def _write(path: str, data: bytes) -> None:
    """Writes a new private file without waiting for the disk, and without the cost of `pathlib`."""
    place = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(place, data)
    finally:
        os.close(place)


def main() -> None:
    sizes = [int(each) for each in sys.argv[1:]] or [10, 100, 1000, 10_000]
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as folder:
        desk = Desk(Path(folder))
        rows: dict[str, list[str]] = {}
        for size in sizes:
            desk.fill(size)
            for name, cost in desk.measured().items():
                rows.setdefault(name, []).append(str(cost))
                print(f"{size}: {name} {cost}", file=sys.stderr)
        desk.end()
    print("| wall / CPU ms, with n = |" + "".join(f" {size} |" for size in sizes))
    print("|---|" + "---|" * len(sizes))
    for name, cells in rows.items():
        print(f"| {name} |" + "".join(f" {cell} |" for cell in cells))
    print("\n| one answer of 12 large pictures, mutual TLS on loopback | MB/s |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as folder:
        requester = Requester.create(Path(folder) / "requester", "rijnstad-police", Kind.POLICE, ROOT)
        asked = messages.make_request(requester, draft("large"), now_s=NOW_S, checked=False)
        for name, rate in rates(Path(folder), requester, requester.sent_request(asked.id)).items():
            print(f"| {name} | {rate:.0f} |")


if __name__ == "__main__":
    main()
