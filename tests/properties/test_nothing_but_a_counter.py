"""Replays and mutations by the hundred thousand: none of them changes anything at a door but a counter.

The promise is the fourth of docs/security/promises.md.  `make prove-consent` does 100 000 replays and a million mutated
envelopes; a run without it does a share of each.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality
from agent.errors import DoorwardError, OpenError, RequestError
from agent.wire import envelope
from agent.wire.inbound import verify_inbound
from agent.wire.limits import RequestLimits
from agent.wire.messages import Bulletin, Deletion
from agent.wire.statements import Denial, OptIn, OptOut, Revocation, Scope
from agent.wire.topics import parse_topic
from tests import custodians
from tests.custodians import FIRE, NOW_S, POLICE, Door, sha256_of, signed, stated, topic_of
from tests.properties.amounts import amount
from tests.wire import samples

DAY_S = 86_400


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled(limits=RequestLimits(requests_per_day=200))
    yield made
    made.close()


def state_of(door: Door) -> Any:
    """Everything durable but the counters."""
    tables = [name for (name,) in door.journal._rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {name: door.journal._rows(f"SELECT * FROM {name}") for name in tables if name != "counter"}
    return rows, {name: dict(parts) for name, parts in door.outbox.objects.items()}


# -- replays -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """The doorbell's disk, as a person copied it."""

    database: bytes
    objects: dict[str, dict[int, bytes]]
    boot_ns: int

    @classmethod
    def of(cls, door: Door) -> Image:
        objects = {name: dict(parts) for name, parts in door.outbox.objects.items()}
        return cls(door.journal._db.serialize(), objects, door.clock.boot_ns)

    def restore(self, door: Door) -> None:
        door.journal._db.deserialize(self.database)
        door.outbox.objects = {name: dict(parts) for name, parts in self.objects.items()}
        door.start()


class Past:
    """Everything that was once accepted at a door, each with the number of the first image that knows it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.images = [Image.of(door)]
        self.replays: list[tuple[int, str, Callable[[], object]]] = []

    def hear(self, message: Any, key: Any = POLICE) -> None:
        data, topic = signed(message, key), str(topic_of(message))
        self.door.custodian.on_message(topic, data)
        self._once(type(message).__name__, lambda: self.door.custodian.on_message(topic, data))

    def obey(self, statement: Any, headers: tuple[bytes, ...] = ()) -> Any:
        data = signed(statement, custodians.APPROVER)
        verdict = self.door.custodian.control._statements.accept(data, headers)
        self._once(type(statement).__name__, lambda: self.door.custodian.control._statements.accept(data, headers))
        return verdict

    def _once(self, kind: str, again: Callable[[], object]) -> None:
        self.replays.append((len(self.images), kind, again))
        self.images.append(Image.of(self.door))


def a_busy_past(door: Door) -> Past:
    """Requests that ended in every way there is, and what owners and requesters said on the way."""
    past = Past(door)
    asked = [custodians.request(key) for key in (POLICE, FIRE) for _ in range(9)]
    for each, key in zip(asked, [POLICE] * 9 + [FIRE] * 9, strict=True):
        past.hear(each, key)
    denied, taken_back, revoked, stopped, received, refused, answered, *_ = asked
    past.obey(Denial(**stated(), request=sha256_of(denied)))
    past.hear(custodians.withdrawal(taken_back))
    named = {}
    for each in (revoked, stopped, received, refused, answered):
        named[each.id] = past.obey(*custodians.approval(door, each)).disclosure
    past.obey(Revocation(**stated(), disclosure=named[revoked.id]))
    for each in (stopped, received, refused):
        assert door.begin(named[each.id])
    past.obey(Revocation(**stated(), disclosure=named[stopped.id]))
    past.hear(custodians.complete(door, received, named[received.id]))
    past.hear(custodians.refused(refused, named[refused.id]))
    said = {"v": 1, "requester": "harbour-police", "trust_root": received.trust_root}
    past.hear(Deletion(**said, request=received.id, seq=10**6, deleted_s=NOW_S))
    past.hear(
        Bulletin(
            **said,
            id="00" * 16,
            seq=10**6 + 1,
            title="Flood",
            description="Stay in.",
            language="en",
            not_after_s=NOW_S + 9 * DAY_S,
        )
    )
    past.obey(OptOut(**stated(), scope=Scope.KIND, value="insurer"))
    past.obey(OptIn(**stated(), scope=Scope.KIND, value="insurer"))
    past.obey(OptOut(**stated(), scope=Scope.REQUESTER, value="harbour-fire", trust_root=samples.ROOT_KEY.id))
    past.hear(custodians.request(FIRE), FIRE)
    states = Counter(stored.state for stored in door.journal.requests())
    assert states.keys() == set(RequestState) - {
        RequestState.RECEIVED,
        RequestState.PARTIALLY_APPROVED,
        RequestState.SENDING,
        RequestState.NO_MATCH,
        RequestState.EXPIRED,
    }
    return past


@pytest.mark.timeout(0)
def test_nothing_acts_again_after_restarts_restored_disks_and_jumps_of_the_clock(door: Door) -> None:
    past, drawn = a_busy_past(door), random.Random(5)
    newest, tried = len(past.images) - 1, Counter[str]()
    image = newest
    while tried.total() < amount(600, 100_000):
        what_else = drawn.randrange(100)
        if what_else < 4:
            image = drawn.randrange(newest - 20, newest + 1)
            past.images[image].restore(door)
        elif what_else < 7:
            door.start()
        elif what_else < 14:
            door.clock.boot += 1
            door.clock.utc_offset_ns = (NOW_S + drawn.randrange(-60 * DAY_S, 60 * DAY_S)) * 10**9
            door.clock.quality = drawn.choice(list(ClockQuality))
        before = state_of(door)
        for known_since, kind, again in drawn.sample(past.replays, 12):
            if known_since <= image:
                with suppress(RequestError, OpenError):
                    again()
                tried[kind] += 1
        assert state_of(door) == before
    assert tried.keys() == {kind for _, kind, _ in past.replays}


def test_on_a_disk_from_before_it_a_message_is_new_but_acts_once_and_never_after_its_end(door: Door) -> None:
    """A doorbell cannot detect that it has lost its newest state. The owner's client can: its checkpoint is a later
    one."""
    past = a_busy_past(door)
    known_since, _, again = past.replays[0]
    past.images[known_since - 1].restore(door)
    again()
    before = state_of(door)
    assert [stored.state for stored in door.journal.requests()] == [
        RequestState.PENDING
    ]  # no one has approved it again
    again()
    assert state_of(door) == before
    past.images[known_since - 1].restore(door)
    door.clock.advance(8 * DAY_S)
    again()
    assert list(door.journal.requests()) == []
    assert [line.reason for line in door.journal.blocked()] == ["expired"]


# -- mutations ---------------------------------------------------------------------------------------------------------


def flip(data: bytearray, drawn: random.Random) -> None:
    data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)


def overwrite(data: bytearray, drawn: random.Random) -> None:
    data[drawn.randrange(len(data))] = drawn.randrange(256)


def cut(data: bytearray, drawn: random.Random) -> None:
    at = drawn.randrange(len(data))
    del data[at : at + drawn.randrange(1, 40)]


def end(data: bytearray, drawn: random.Random) -> None:
    del data[drawn.randrange(len(data)) :]


def repeat(data: bytearray, drawn: random.Random) -> None:
    at = drawn.randrange(len(data))
    data[at:at] = data[at : at + drawn.randrange(1, 40)]


def swap(data: bytearray, drawn: random.Random) -> None:
    one, other = drawn.randrange(len(data)), drawn.randrange(len(data))
    data[one], data[other] = data[other], data[one]


def grow(data: bytearray, drawn: random.Random) -> None:
    at = drawn.randrange(len(data) + 1)
    data[at:at] = drawn.choice([b"\0", b"}", b'"', b"]", b"\xff", b"\xc3\xa9", b'"a":1,', b"=", b"00", b"[" * 40])


BYTES = (flip, overwrite, cut, end, repeat, swap, grow)


def mutated(data: bytes, others: list[bytes], drawn: random.Random) -> bytes:
    """Bytes changed, the payload changed under its signature, or the members of two envelopes mixed."""
    how = drawn.randrange(10)
    if how < 6:
        changed = bytearray(data)
        for _ in range(drawn.choice([1, 1, 1, 2, 5])):
            if changed:
                drawn.choice(BYTES)(changed, drawn)
        return bytes(changed)
    members: dict[str, Any] = json.loads(data)
    if how < 8:
        payload = bytearray(envelope.strictjson.decode_base64(members["payload"]))
        drawn.choice(BYTES)(payload, drawn)
        members["payload"] = envelope.strictjson.encode_base64(bytes(payload))
    else:
        theirs = json.loads(drawn.choice(others))
        name = drawn.choice(["payload", "payloadType", "signatures"])
        members[name] = theirs[name]
    if how == 9:
        members["signatures"][0] = {**members["signatures"][0], "keyid": drawn.choice(KEY_IDS)}
    return json.dumps(members, separators=(",", ":")).encode()


KEY_IDS = [key.id for key in (samples.ROOT_KEY, samples.DEVICE_KEY, samples.OWNER_KEY, samples.REQUESTER_KEY)]


@pytest.mark.timeout(0)
def test_a_mutated_envelope_changes_nothing_but_a_counter_whatever_was_mutated(door: Door) -> None:
    waiting, sending = door.ask(), door.ask()
    disclosure = door.approve(sending).disclosure or ""
    assert door.begin(disclosure)
    messages: list[Any] = [
        custodians.request(),
        custodians.withdrawal(waiting),
        custodians.complete(door, sending, disclosure),
        custodians.refused(sending, disclosure),
        # Numbered after the others: whatever ran before in this process, it is not behind their window.
        msgspec.structs.replace(samples.EVERY_MESSAGE["bulletin"], seq=10**6),
    ]
    good = [(str(topic_of(message)), signed(message, POLICE)) for message in messages]
    everything = [data for _, data in good]
    before, drawn, tried, equal = state_of(door), random.Random(7), 0, 0
    while tried < amount(1500, 1_000_000):
        topic, data = drawn.choice(good)
        bad = mutated(data, everything, drawn)
        if _still_says(bad, topic, door):
            equal += 1  # a blank more between two members, or nothing: what is signed is what was signed
            continue
        assert door.custodian.on_message(topic, bad) is None
        tried += 1
        if tried % 5000 == 0:
            assert state_of(door) == before
    assert sum(door.journal.counters().values()) == tried
    assert equal < 0.05 * tried
    print(f"{tried} envelopes: {door.journal.counters()}; {equal} more said what they had said")
    # The door was awake: unchanged, each of them acts.
    for topic, data in (good[0], good[1], good[2], good[4]):
        before = state_of(door)
        door.custodian.on_message(topic, data)
        assert state_of(door) != before


def _still_says(data: bytes, topic: str, door: Door) -> bool:
    """Returns True for a mutation without effect: the signed payload, under its signature, as it was."""
    try:
        verify_inbound(data, parse_topic(topic), door.custodian.custodian_state.trust.store, NOW_S)
    except DoorwardError:
        return False
    return True
