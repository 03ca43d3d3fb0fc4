"""Tips of doorbells at a real broker: what its operator can tell from topic, size and time.

Each number is the advantage in linking a tip to one of the doorbells: 0 for a guess, 1 for certainty. Two doorbells
that look the same in one view are guessed between. So the best guess is right for one of each group of equals.
The numbers are in docs/security/analysis.md, "The neighbourhood".
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner.outgoing_tips import _sealed
from agent.core.bus import MessageReceived
from agent.core.disclosure import read_tip
from agent.core.vault.age.recipients import HybridRecipient
from agent.mqtt import MqttBus
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from agent.wire import disclosures
from agent.wire.topics import (
    ANONYMOUS,
    ChunkVerb,
    ReceiptTopic,
    UploadTopic,
    UploadVerb,
    cell_filter,
    cell_of,
    parse_topic,
)
from tests import custodians
from tests.brokers import BrokerWithClients, PrivateBroker
from tests.custodian.test_tips import tip, with_tips
from tests.custodians import DOOR, REPLY, REPLY_IDENTITY, ROOT, Door, signed
from tests.wire import samples

pytestmark = [pytest.mark.broker]

POLICE = "harbour-police"
WORDS = (
    "No.",
    "A white van.",
    "It stood there until ten" + ", or eleven" * 20,
    "\U00010400" * disclosures.MAX_TIP_CHARACTERS,
)
DOORS = tuple(f"{number:016x}" for number in range(1, len(WORDS) + 1))
PATIENCE_S = 120.0
LOGGED = re.compile(r"(\d+): Received PUBLISH from (\S+) \(d\d, q\d, r\d, m\d+, '([^']+)', \.\.\. \((\d+) bytes\)\)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A tip as the broker's log has it."""

    client: str
    topic: UploadTopic
    sizes: tuple[int, ...]


def advantage(views: Sequence[Hashable]) -> float:
    """Returns the advantage of the best guess from one view of each sender."""
    return (len(set(views)) - 1) / (len(views) - 1)


@contextmanager
def linked(world: BrokerWithClients, name: str, door: Door) -> Iterator[None]:
    """The door's real uplink, with a certificate of that name."""
    uplink = Uplink(
        MqttBus(world.settings(name)),
        door.custodian,
        door.outbox,
        SystemClock(),
        device=name,
        cell_filter=cell_filter(cell_of(*DOOR)),
    )
    door.custodian.releases.wake_uplink = uplink.wake
    thread = threading.Thread(target=uplink.run, name=f"uplink {name}")
    thread.start()
    try:
        yield
    finally:
        uplink.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_at_the_broker_neither_topic_nor_size_of_a_tip_of_words_tells_its_doorbell_and_its_connection_does(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        world = BrokerWithClients(tmp_path / "broker", POLICE)
        stack.callback(world.close)
        world.broker = PrivateBroker(tmp_path / "broker", witness=True)
        for name in DOORS:
            world.settings(name)  # rights are there before the broker starts
        world.broker.start()
        police = Police(world)
        heard: dict[str, bytes] = {}
        for name, words in zip(DOORS, WORDS, strict=True):
            door = Door.enrolled()
            stack.callback(door.close)
            door.custodian.control._trust.accept(signed(with_tips(), ROOT))
            stack.enter_context(linked(world, name, door))
            statement, _headers = tip(door, message=_sealed(words, HybridRecipient.parse(REPLY)))
            door.obey(statement)
            heard[statement.tip] = police.receive(statement.tip)
        found = logged(world)

    # The person with the inbox reads the words: the observer below may know all of them, in the order of their lengths.
    for tip_id, sealed in heard.items():
        manifest, _items = read_tip(open_bytes(sealed, [REPLY_IDENTITY]), tip_id)
        assert manifest.device is None
    assert {each.topic.device for each in found} == {ANONYMOUS}
    measured = {
        "topic": advantage([(each.topic.requester, each.topic.device, each.topic.part) for each in found]),
        "size": advantage([len(sealed) for sealed in heard.values()]),
        "size of each message": advantage([each.sizes for each in found]),
        "connection": advantage([each.client for each in found]),
    }
    # By time: the log has the messages in the order in which the owners sent their tips.
    in_order = [each.topic.disclosure for each in found] == list(heard)
    assert measured == {"topic": 0, "size": 0, "size of each message": 0, "connection": 1}
    assert in_order, "time alone tells the doorbell, too"


def logged(world: BrokerWithClients) -> list[Arrival]:
    """Returns each tip as the broker's log has it, in the order of their ends. Questions hold a random number."""
    sizes: dict[str, list[int]] = {}
    found = []
    for _second, client, name, size in LOGGED.findall(world.broker.log()):
        topic = parse_topic(name)
        if isinstance(topic, UploadTopic) and topic.verb is not UploadVerb.INIT:
            sizes.setdefault(topic.disclosure, []).append(int(size))
            if topic.verb is UploadVerb.FIN:
                found.append(Arrival(client, topic, tuple(sizes[topic.disclosure])))
    return found


class Police:
    """The receiver of tips: it answers the question of each with what it holds, which is nothing."""

    def __init__(self, world: BrokerWithClients) -> None:
        self._bus = world.bus(POLICE)
        self._bus.subscribe(f"doorward/v1/up/{POLICE}/#")
        self._bus.start()
        self._tokens = itertools.count(1)

    def receive(self, tip_id: str) -> bytes:
        """Returns the sealed part 0 of the next tip."""
        part = bytearray()
        ends_s = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < ends_s, "the tip to come"
            event = self._bus.next_event(1)
            if not isinstance(event, MessageReceived) or not event.payload:
                continue
            topic = parse_topic(event.topic)
            assert isinstance(topic, UploadTopic)
            assert topic.disclosure == tip_id
            if topic.verb is UploadVerb.INIT:
                said = samples.receipt(
                    disclosure=tip_id, request=tip_id, requester=POLICE, seq=next(self._tokens),
                    manifest=None, incomplete=(), stored=(),
                )  # fmt: skip
                where = str(ReceiptTopic(ANONYMOUS, tip_id))
                self._bus.publish(where, signed(said, custodians.POLICE), token=next(self._tokens))
            elif isinstance(topic.verb, ChunkVerb):
                part[topic.verb.offset_bytes :] = event.payload
            elif topic.verb is UploadVerb.FIN:
                return bytes(part)
