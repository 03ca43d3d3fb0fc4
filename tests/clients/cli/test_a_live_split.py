"""A dense cell gets a second broker while requests are open and a receiver runs: two real mosquittos, and no request is
unheard.

The steps are those of docs/scale.md: list a second broker with the same cell, let the list reach everybody, give new
doorbells the second broker's name, and move old ones.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.clients.cli.requester.options import connected
from agent.clients.cli.requester.receive import receive
from agent.clients.requester import retained_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.core.bus import MessageReceived
from agent.platform.system_clock import SystemClock
from agent.wire import strictjson
from agent.wire.topics import ReceiptTopic, RequestTopic, UploadTopic, UploadVerb, cell_filter, parse_topic
from agent.wire.uploads import UploadNote
from tests.brokers import BrokerWithClients
from tests.clients.cli import test_news_of_brokers
from tests.clients.cli.test_news_of_brokers import Street
from tests.clients.cli.test_requester import ASK, window
from tests.clients.cli.test_several_brokers import HERE, LIST, NEXT, brokers

__all__ = ["brokers"]
pytestmark = pytest.mark.broker

PATIENCE_S = 120.0
IN_NEXT, IN_HERE = "south = 52.5, west = 4.5, north = 53,", "south = 52, west = 4.5, north = 52.5,"
OF_THE_COMMAND = ("folder", "count", "as_json")
FROM_FOLDER: dict[str, Any] = {str(each.name): None for each in receive.params if each.name not in OF_THE_COMMAND}
OLD, MOVING, NEW = "0a" * 8, "0b" * 8, "0c" * 8


class Receiver:
    """The loop of `doorward requester receive`, in a thread: it begins again with the brokers of each new list."""

    def __init__(self, folder: Path) -> None:
        self._who = Requester.open(folder)
        self._stop, self._again = threading.Event(), threading.Event()
        self.faults: list[BaseException] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._run, name="receiver")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.faults == []

    def _tell(self, news: ReceiverEvent) -> None:
        if news.kind is ReceiverEventKind.ROOT_BROKERS:
            self._again.set()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._again.clear()
                with connected(self._who, FROM_FOLDER) as bus:
                    receiver = DisclosureReceiver(self._who, bus, SystemClock(), tell=self._tell)
                    receiver.start()
                    self.connections += 1
                    while not (self._stop.is_set() or self._again.is_set()):
                        receiver.step(0.2)
        except BaseException as error:  # noqa: BLE001 (shown by `stop`)
            self.faults.append(error)


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    receiver = Receiver(folder)
    try:
        yield receiver
    finally:
        receiver.stop()


class Doorbell:
    """One connection of a doorbell to a broker, with its real rights. It hears its cell."""

    def __init__(self, world: BrokerWithClients, name: str) -> None:
        self.name, self._heard = name, set[str]()
        self._receipts = 0
        self._bus = world.bus(name, inbound_beat_s=0.0)
        self._bus.hurry(True)
        self._bus.subscribe(cell_filter(HERE[1]))
        self._bus.subscribe(str(ReceiptTopic(name, 2 * name)))
        self._bus.start()

    def hears(self, *requests: str) -> None:
        self._until(lambda: self._heard >= set(requests), f"{self.name} at {requests}, heard {self._heard}")

    def is_answered(self) -> None:
        """It begins an upload, and the receiver answers by the same broker."""
        said = UploadNote(v=1, parts=1, size_bytes=1, sha256="00" * 32, question=1)
        topic = UploadTopic("rijnstad-police", self.name, 2 * self.name, 0, UploadVerb.INIT)
        self._until(lambda: self._bus.publish(str(topic), strictjson.encode(said), token=1), "room")
        self._until(lambda: self._receipts > 0, f"a receipt for {self.name}")

    def leave(self) -> None:
        self._bus.stop()

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        ends_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < ends_s, what
            event = self._bus.next_event(0.2)
            if isinstance(event, MessageReceived):
                topic = parse_topic(event.topic)
                if isinstance(topic, RequestTopic):
                    self._heard.add(event.payload.decode("ascii"))
                self._receipts += isinstance(topic, ReceiptTopic)


def test_while_a_cell_gets_a_second_broker_no_doorbell_misses_a_request(
    tool: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    brokers: dict[str, BrokerWithClients], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(test_news_of_brokers, "LIST", LIST.replace(IN_NEXT, IN_HERE))
    monkeypatch.setattr(retained_messages, "_PATIENCE_NS", 10**9)
    monkeypatch.setattr(retained_messages, "_QUIET_NS", 10**9)
    street = Street(tool, tmp_path, capsys, brokers)
    here, after = brokers[HERE[0]], brokers[NEXT[0]]
    for world, names in ((here, (OLD, MOVING)), (after, (MOVING, NEW))):
        for name in names:
            world.settings(name)
        world.broker.reload()
    street.list(1, HERE[0])
    package, root = street.association.root / "package.json", street.association.root
    taken = tool(
        "requester", "root", street.root_key, package, "--brokers", root / "brokers-1.json", "--folder", street.police
    )
    assert taken.status == 0, taken.err

    cases = itertools.count(1)

    def ask() -> str:
        words = (*window(), *ASK, "--case", f"2027-{next(cases)}", "--sign-only", "--json")
        signed = tool("requester", "request", "--folder", street.police, *words)
        assert signed.status == 0, signed.err
        request = Requester.open(street.police).sent_request(json.loads(signed.out)["request"])
        return request.envelope.decode("ascii")

    before = ask()
    with receiving(street.police) as receiver:
        old, moving = Doorbell(here, OLD), Doorbell(here, MOVING)
        old.hears(before)
        moving.hears(before)
        street.list(2, HERE[0], NEXT[0])
        street.publish()
        amid = ask()  # the receiver may have heard of the list, or not
        new = Doorbell(after, NEW)
        new.hears(before, amid)
        assert street.hosts() == [HERE[0], NEXT[0]]
        assert receiver.connections == 2
        old.hears(amid)
        moving.leave()
        last = ask()
        moved = Doorbell(after, MOVING)
        for doorbell in (old, new, moved):
            doorbell.hears(before, amid, last)
        for doorbell in (old, new, moved):
            doorbell.is_answered()
