"""The link at the doorbell: who may open a session, what it may ask, and what strangers cost."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.custodian import link_sessions, link_setup
from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.link_sessions import LinkIdentity, LinkSessions
from agent.custodian.page import request_guard
from agent.custodian.page.request_guard import Caller
from agent.errors import RequestError
from agent.ipc.control_operations import OPERATIONS, AccessLevel, GetLinkAddress
from agent.ipc.protocol import LinkFrame
from agent.platform.system_clock import SystemEntropy
from agent.wire.control import Frame, write_frame
from agent.wire.identities import PublicKey, private_key_from_seed, public_key_of
from agent.wire.link.handshake import KNOCK_BYTES
from agent.wire.link.schedule import address_of, knock_of
from agent.wire.link.session import EndReason, LinkSession
from tests.custodian.page.door import Door, a_door
from tests.link_clients import Carrier, LinkClient, begin

DEVICE, OWNER, GLANCE, STRANGER = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2, 3, 4))
SECRET, OLDER = b"\7" * 32, b"\6" * 32


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.fixture(scope="module")
def keys(door: Door) -> OwnerKeys:
    return door.claim()


class Bench:
    """Sessions over an answer that the test gives, and a clock that it moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.listed = {public_key_of(OWNER): Caller(None, owner=True, claimed=True, link=True)}
        self.listed[public_key_of(GLANCE)] = Caller(None, owner=False, claimed=True, link=True)
        self.asked: list[tuple[str, Caller]] = []
        self.body = b""
        self.admitted: list[PublicKey] = []
        identity = LinkIdentity(
            public_key_of(DEVICE),
            DEVICE.sign,
            lambda: (SECRET, OLDER),
            self._caller,
            admitted=self.admitted.append,
        )
        self.link = LinkSessions(identity, self._answer, SystemEntropy(), lambda: self.now_s)
        self.carrier = Carrier(self.link)

    def _caller(self, key: PublicKey) -> Caller | None:
        return self.listed.get(key)

    def _answer(self, name: str, frame: Frame, caller: Caller) -> Frame:
        self.asked.append((name, caller))
        if name == "bug":
            raise ZeroDivisionError
        return Frame({"ok": True, "result": {"size": len(frame.body)}}, self.body)

    def client(self, key: object = OWNER, secret: bytes = SECRET) -> LinkClient:
        return LinkClient(self.carrier, secret, public_key_of(DEVICE), key)  # type: ignore[arg-type]

    def wait_until_none_runs(self, connection: object) -> None:
        with self.link._changed:
            assert self.link._changed.wait_for(lambda: not connection.running, 30)  # type: ignore[attr-defined]

    @property
    def sessions(self) -> list[object]:
        return [each for each in self.link._connections.values() if each.session is not None]


class Gate:
    """Holds each answer back until it opens."""

    def __init__(self) -> None:
        self.began = self.running = 0
        self._changed = threading.Condition()
        self._is_open = False

    def pass_through(self, _name: str, _frame: Frame, _caller: Caller) -> Frame:
        with self._changed:
            self.began += 1
            self.running += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_open, 30)
            self.running -= 1
        return Frame({"ok": True, "result": {}})

    def wait_for(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.began >= number, 30)

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


@pytest.fixture
def gate(bench: Bench) -> Iterator[Gate]:
    found = Gate()
    bench.link._answer = found.pass_through
    yield found
    found.open()


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench()
    yield found
    found.link.close()


def link_of(door: Door) -> LinkSessions:
    assert door.solo.link is not None
    return door.solo.link


def connect(door: Door, key: object) -> LinkClient:
    with_secret = door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"]["secret"]
    return LinkClient(Carrier(link_of(door)), bytes.fromhex(with_secret), door.solo.device, key)  # type: ignore[arg-type]


# An owner can do through the link what an owner can do on the page


def test_an_owner_gets_through_the_link_what_the_page_answers(door: Door, keys: OwnerKeys) -> None:
    client, cookie = connect(door, keys.approval), door.owner(keys)
    for op, head in (
        ("device", {}), ("status", {}), ("requests", {"all": True}), ("enrolments", {"after": 0}), ("trust", {}),
        ("list", {"from_ms": 0, "to_ms": 10**13}), ("events", {"from_ms": 0, "to_ms": 10**13}), ("kept", {}),
        ("settings", {}), ("checkpoint", {"old_size": 0}), ("page_facts", {}), ("place", {}), ("link_address", {}),
    ):  # fmt: skip
        through_the_link, on_the_page = client.ask(op, **head), door.op(op, cookie, **head).frame
        assert through_the_link.head.keys() == on_the_page.head.keys(), op
        assert through_the_link.head["ok"] is True, op
        if op != "status":  # it counts messages and seconds
            assert (through_the_link.head, through_the_link.body) == (on_the_page.head, on_the_page.body), op


def test_an_error_comes_through_the_link_as_on_the_page(door: Door, keys: OwnerKeys) -> None:
    client, cookie = connect(door, keys.approval), door.owner(keys)
    for op, head in (("segment", {"id": "a" * 26}), ("live", {"after": "x"}), ("statement", {"envelope": "{}"})):
        assert client.ask(op, **head).head == door.op(op, cookie, **head).frame.head


def test_operations_of_the_socket_and_of_a_page_session_are_refused(door: Door, keys: OwnerKeys) -> None:
    client = connect(door, keys.approval)
    for op in ("page_code", "page_authority", "page_prove", "page_challenge", "page_leave", "nothing", "__init__"):
        head = {"envelope": "{}"} if op == "page_prove" else {}
        assert client.ask(op, **head).head["ok"] is False, op


def test_what_is_not_a_frame_is_refused_and_the_session_goes_on(door: Door, keys: OwnerKeys) -> None:
    client = connect(door, keys.approval)
    for data in (b"", b"\0", b"\0\0\0\2[]\0\0\0\0", bytes(8) + b"more", b"\xff" * 40):
        client.streams += 1
        client.session.send(client.streams, data, last=True)
        client.flush()
        assert client.wait(client.streams).head["kind"] == "FormatError"
    assert client.ask("device").head["ok"]


def test_a_glance_key_reaches_what_is_at_the_door_now_and_nothing_else(door: Door, bench: Bench) -> None:
    glance = Caller(None, owner=False, claimed=True, link=True)
    may = {name for name, each in OPERATIONS.items() if each.access is not None and glance.may(each.access)}
    assert may == {"live", "link_address", "talk_begin", "talk_send", "talk_end"}
    operations = door.page._application.operations
    for name in set(OPERATIONS) - may:
        with pytest.raises(RequestError, match="not for this caller"):
            operations.answer_in_link(name, Frame({}), glance)
    client = bench.client(GLANCE)
    client.ask("anything")
    assert bench.asked == [("anything", glance)]


def test_before_there_is_an_owner_no_session_opens(tmp_path: Path) -> None:
    with a_door(tmp_path) as door:
        link = link_of(door)
        assert link.addresses() == ()
        with pytest.raises(RequestError, match="no owner"):
            door.solo.custodian.control.answer(Frame({"op": "link_address"}))
        link.deliver([LinkFrame("a" * 32, begin(bytes(32), door.solo.device, OWNER).hello)])
        assert link.collect(0) == (LinkFrame("a" * 32, b""),)


def test_a_new_list_of_owners_gives_a_new_address_and_the_one_before_stays(door: Door, keys: OwnerKeys) -> None:
    enrolments = door.solo.custodian.enrolments
    before = link_of(door).addresses()
    assert len(before) == 1
    current = enrolments.current
    assert current is not None
    with enrolments.lock:
        enrolments.current = msgspec.structs.replace(current, epoch=2, previous="a" * 64)
        newest, *older = link_of(door).addresses()
        told = link_of(door).answer_address(GetLinkAddress(), b"")[0]["secret"]
        enrolments.current = current
    assert older == list(before)
    assert newest != before[0]
    assert address_of(bytes.fromhex(told)) == newest


# Handshakes


def test_a_key_that_is_not_listed_is_told_so_and_gets_no_session(bench: Bench) -> None:
    client = bench.client(STRANGER)
    assert client.ended is EndReason.NOT_LISTED
    assert bench.sessions == []
    assert bench.admitted == []
    bench.client()
    assert bench.admitted == [public_key_of(OWNER)]


def test_the_address_of_the_owners_before_still_opens_a_session(bench: Bench) -> None:
    assert bench.client(secret=OLDER).ask("status").head["ok"]


def test_a_client_without_the_secret_costs_no_handshake_and_learns_nothing(bench: Bench) -> None:
    hello = begin(b"\5" * 32, public_key_of(DEVICE), OWNER).hello
    bench.carrier.send("a" * 32, hello)
    assert bench.carrier.fetch("a" * 32) == [b""]
    assert bench.link._connections == {}


def test_a_first_message_that_comes_again_is_ignored(bench: Bench) -> None:
    hello = begin(SECRET, public_key_of(DEVICE), OWNER).hello
    for session in ("a" * 32, "b" * 32):
        bench.carrier.send(session, hello, hello)
    assert len(bench.carrier.fetch("a" * 32)) == 1
    assert bench.carrier.fetch("b" * 32) == []


def test_of_first_messages_the_newest_are_remembered_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_sessions, "_REMEMBERED", 3)
    hellos = [begin(SECRET, public_key_of(DEVICE), OWNER).hello for _ in range(5)]
    for number, hello in enumerate(hellos):
        bench.carrier.send(f"{number:032x}", hello)
    assert list(bench.link._heard) == [hello[-KNOCK_BYTES:] for hello in hellos[-3:]]


def test_a_glance_key_is_a_caller_below_an_owner_while_its_browser_is_in_use(door: Door, keys: OwnerKeys) -> None:
    """A key that is unlisted is none."""
    owner, glance = public_key_of(keys.approval), public_key_of(GLANCE)
    holder, solo = GlanceHolder("age1", "an owner"), door.solo
    signers = {glance.text: holder}
    secret, enrolments = solo._folder.device_secret(), solo.custodian.enrolments
    link = link_setup.link_sessions(DEVICE, secret, enrolments, signers.get, door.page, None)
    caller = link._identity.caller
    assert caller(owner) == Caller(None, owner=True, claimed=True, link=True, key=owner.id)
    assert caller(glance) == Caller(None, owner=False, claimed=True, link=True, key=glance.id, glance=holder)
    signers.clear()
    assert caller(glance) is None
    assert caller(public_key_of(STRANGER)) is None
    link.close()


def test_a_thousand_half_open_handshakes_hold_sixteen_and_keep_no_owner_out(bench: Bench) -> None:
    for number in range(1000):
        bench.now_s += 0.3  # more than the doorbell answers in a second
        bench.carrier.send(f"{number:032x}", begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert len(bench.link._connections) == 16
    assert len(bench.link._out) <= 16
    assert len(bench.link._heard) <= 1024
    bench.carrier.fetch("")
    bench.carrier.came.clear()
    assert bench.client().ask("status").head["ok"]
    bench.now_s += 11
    bench.link.on_time()
    assert len(bench.link._connections) == 1


def test_the_oldest_of_sixteen_half_open_handshakes_gives_way(bench: Bench) -> None:
    for number in range(17):
        bench.now_s += 0.3
        bench.carrier.send(f"{number:032x}", begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert list(bench.link._connections) == [f"{number:032x}" for number in range(1, 17)]


def test_a_handshake_may_take_ten_seconds_and_no_longer(bench: Bench) -> None:
    bench.carrier.send("a" * 32, begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    bench.now_s += 10
    bench.link.on_time()
    assert list(bench.link._connections) == ["a" * 32]
    bench.now_s += 0.1
    bench.link.on_time()
    assert bench.link._connections == {}


def test_many_handshakes_at_once_are_answered_a_few_a_second(bench: Bench) -> None:
    for number in range(40):
        bench.carrier.send(f"{number:032x}", begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert len(bench.link.collect(0)) == 16
    bench.now_s += 1
    for number in range(40, 60):
        bench.carrier.send(f"{number:032x}", begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert len(bench.link.collect(0)) == 4


def test_ten_thousand_malformed_handshakes_change_nothing(bench: Bench) -> None:
    chance = random.Random(16)
    handshake = begin(SECRET, public_key_of(DEVICE), OWNER)
    good = bench.client()
    bench.carrier.send("c" * 32, handshake.hello)
    (answer,) = bench.carrier.fetch("c" * 32)
    proof, _session = handshake.finish(answer)
    # A client that knows the secret, with key shares that are none.
    for share in (bytes(32), b"\1" + bytes(31)):
        bench.now_s += 1
        hello = handshake.hello[:2] + share + handshake.hello[34:-32]
        bench.carrier.send(secrets.token_hex(16), hello + knock_of(SECRET, hello))
    before = list(bench.link._connections)
    for _ in range(5_000):
        for session, message in (("d" * 32, handshake.hello), ("c" * 32, proof)):
            mutant = bytearray(message)
            match chance.randrange(4):
                case 0:
                    del mutant[chance.randrange(len(mutant)) :]
                case 1:
                    mutant += bytes(chance.randrange(1, 9))
                case _:
                    for _ in range(chance.choice((1, 1, 1, 8))):
                        mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
            if bytes(mutant) not in (message, b""):
                bench.carrier.send(session, bytes(mutant))
    assert list(bench.link._connections) == before
    bench.carrier.fetch("d" * 32)
    bench.carrier.send("c" * 32, proof)
    assert len(bench.sessions) == 2, "the right proof still counts"
    assert good.ask("status").head["ok"]


@pytest.mark.parametrize(
    "frame", [LinkFrame("A" * 32, b"x"), LinkFrame("a" * 31, b"x"), LinkFrame("a" * 32, bytes(15_361))]
)
def test_a_carrier_that_passes_on_something_else_is_told(bench: Bench, frame: LinkFrame) -> None:
    with pytest.raises(RequestError):
        bench.link.deliver([frame])


# Sessions


def test_a_session_that_is_not_used_ends_and_one_in_use_stays(bench: Bench) -> None:
    idle, used = bench.client(), bench.client()
    for _ in range(4):
        bench.now_s += 20
        used.session.ping()
        used.flush()
        bench.link.on_time()
    idle.hear()
    used.hear()
    assert idle.ended is EndReason.IDLE
    assert used.ended is None


def test_a_session_ends_after_a_minute_without_a_frame_and_not_before(bench: Bench) -> None:
    client = bench.client()
    bench.now_s += 60
    bench.link.on_time()
    client.hear()
    assert client.ended is None
    bench.now_s += 0.1
    bench.link.on_time()
    client.hear()
    assert client.ended is EndReason.IDLE


def test_a_frame_that_is_not_authentic_keeps_no_session_alive(bench: Bench) -> None:
    client = bench.client()
    bench.now_s += 50
    bench.carrier.send(client.id, secrets.token_bytes(256))
    bench.now_s += 20
    bench.link.on_time()
    client.hear()
    assert client.ended is EndReason.IDLE


def test_a_key_that_is_removed_loses_its_session_at_once_and_at_the_latest_at_the_next_look(bench: Bench) -> None:
    asking, waiting = bench.client(), bench.client(GLANCE)
    bench.listed.clear()
    asking.start("status")
    asking.hear()
    assert asking.ended is EndReason.NOT_LISTED
    bench.link.on_time()
    waiting.hear()
    assert waiting.ended is EndReason.NOT_LISTED
    assert bench.asked == []


def test_a_request_that_waits_while_its_key_is_removed_has_no_caller(bench: Bench) -> None:
    client = bench.client()
    (found,) = bench.link._connections.values()
    bench.listed.clear()
    bench.link._run(found, 1, b"\0\0\0\2{}\0\0\0\0")
    assert [caller.owner for _name, caller in bench.asked] == [False]
    client.hear()


def test_the_ninth_session_ends_one_of_the_key_that_has_the_most(bench: Bench) -> None:
    glance, owners = bench.client(GLANCE), [bench.client() for _ in range(8)]
    for each in (glance, *owners):
        each.hear()
    assert glance.ended is None
    assert [each.ended for each in owners] == [EndReason.BUSY] + [None] * 7


@pytest.mark.parametrize("key", [OWNER, GLANCE], ids=["owner", "glance"])
def test_two_clients_with_one_key_are_two_sessions_that_cannot_disturb_each_other(bench: Bench, key: object) -> None:
    one, other = bench.client(key), bench.client(key)
    assert one.ask("status").head["ok"]
    assert other.ask("status").head["ok"]
    # Frames of one under the other's name, as the holder of the same account could send them.
    one.streams += 1
    one.session.send(one.streams, b"asked by one", last=True)
    taken = list(iter(one.session.next_frame, None))
    bench.carrier.send(other.id, *taken)
    assert len(bench.asked) == 2
    assert other.ask("status").head["ok"]
    last = one.session.end(EndReason.CLOSED)
    assert last is not None
    bench.carrier.send(one.id, *taken, last)
    assert other.ask("status").head["ok"]
    assert len(bench.sessions) == 1


def test_a_glance_key_cannot_send_long_requests_and_an_owner_can(bench: Bench) -> None:
    owner, glance = bench.client(), bench.client(GLANCE)
    assert owner.ask("statement", bytes(3 << 20)).head["result"] == {"size": 3 << 20}
    glance.start("statement", bytes(70 << 10))
    glance.hear()
    assert glance.ended is EndReason.BUSY


def test_a_glance_keys_request_may_have_64_kib_and_not_a_byte_more(bench: Bench) -> None:
    overhead = len(write_frame(Frame({"op": "live"}, b"")))
    client = bench.client(GLANCE)
    assert client.ask("live", bytes((64 << 10) - overhead)).head["ok"]
    client.start("live", bytes((64 << 10) - overhead + 1))
    client.hear()
    assert client.ended is EndReason.BUSY


def test_an_owners_request_may_fill_the_room_of_all_requests_to_the_last_byte(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    overhead = len(write_frame(Frame({"op": "statement"}, b"")))
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 100_000)
    client = bench.client()
    assert client.ask("statement", bytes(100_000 - overhead)).head["result"] == {"size": 100_000 - overhead}
    client.start("statement", bytes(100_000 - overhead + 1))
    client.hear()
    assert client.ended is EndReason.BUSY


def test_a_session_with_eight_streams_goes_on(bench: Bench) -> None:
    client = bench.client()
    for stream in range(8):
        client.session.send(stream, b"\0")
    client.flush()
    client.hear()
    assert client.ended is None


def test_a_session_with_too_many_streams_ends(bench: Bench) -> None:
    client = bench.client()
    for stream in range(9):
        client.session.send(stream, b"\0")
    client.flush()
    client.hear()
    assert client.ended is EndReason.BUSY


def test_requests_of_eight_streams_are_all_answered_four_at_a_time(bench: Bench, gate: Gate) -> None:
    client = bench.client()
    streams = [client.start("status") for _ in range(8)]
    assert gate.wait_for(4)
    client.hear()
    assert (client.ended, gate.began) == (None, 4)
    gate.open()
    assert [client.wait(stream).head["ok"] for stream in streams] == [True] * 8


def test_an_answer_is_made_while_a_handshake_is_half_open(bench: Bench) -> None:
    client = bench.client()
    bench.carrier.send("a" * 32, begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert client.ask("status").head["ok"]


def test_a_session_that_uses_one_stream_for_many_requests_ends(bench: Bench, gate: Gate) -> None:
    """Each would run beside the others: one browser could keep every thread and hold requests without a limit."""
    client = bench.client(GLANCE)
    for _ in range(12):
        client.session.send(1, write_frame(Frame({"op": "live"}, bytes(60_000))), last=True)
        client.flush()
        client.hear()
    assert client.ended is EndReason.BUSY
    assert gate.running <= 4
    assert bench.link._workers._work_queue.qsize() == 0


@pytest.mark.parametrize("how", ["empty frame", "last record", "removed key"])
def test_of_a_session_that_is_over_nothing_more_begins_to_run(bench: Bench, gate: Gate, how: str) -> None:
    client = bench.client()
    (found,) = bench.link._connections.values()
    for _ in range(8):
        client.start("status")
    assert gate.wait_for(4)
    if how == "removed key":
        bench.listed.clear()
        bench.link.on_time()
    else:
        bench.carrier.send(client.id, client.session.end(EndReason.CLOSED) or b"" if how == "last record" else b"")
    gate.open()
    bench.wait_until_none_runs(found)
    assert gate.began == 4


def test_requests_that_run_count_among_those_that_are_held(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 5_000_000)
    first, second, third = bench.client(), bench.client(), bench.client()
    first.start("statement", bytes(4_950_000))
    while gate.began == 0:
        first.hear(0.05)
    second.start("statement", bytes(200_000))
    second.hear()
    assert second.ended is EndReason.BUSY
    third.start("statement", bytes(60_000))
    assert gate.wait_for(2), "a short request is not refused for another's long one"
    assert third.ended is None
    gate.open()


def test_requests_that_wait_for_their_turn_count_among_those_that_are_held(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.client(), bench.client()
    for _ in range(4):
        first.start("status")
    assert gate.wait_for(4)
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 5_000_000)
    first.start("statement", bytes(4_950_000))
    connection = bench.link._connections[first.id]
    while not connection.ready:
        first.hear(0.05)
    second.start("statement", bytes(200_000))
    second.hear()
    assert second.ended is EndReason.BUSY
    gate.open()


def test_a_request_that_is_cancelled_before_its_turn_does_not_run(bench: Bench, gate: Gate) -> None:
    client = bench.client()
    (found,) = bench.link._connections.values()
    streams = [client.start("status") for _ in range(5)]
    assert gate.wait_for(4)
    client.session.cancel(streams[-1])
    client.flush()
    gate.open()
    bench.wait_until_none_runs(found)
    assert gate.began == 4


def test_a_number_whose_cancelled_request_did_not_run_may_be_used_again(bench: Bench) -> None:
    client = bench.client()
    client.session.cancel(1)
    client.flush()
    assert client.ask("status").head["ok"]


def test_what_was_answered_or_dropped_holds_no_room_for_what_comes_later(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 5 << 20)
    monkeypatch.setattr(link_sessions, "_PATIENCE_S", 1.0)
    client, gone = bench.client(), bench.client()
    found = bench.link._connections[gone.id]
    gone.start("statement", bytes(4 << 20))
    while gate.began == 0:
        gone.hear(0.05)
    bench.carrier.send(gone.id, b"")
    gate.open()
    bench.wait_until_none_runs(found)
    for _ in range(8):
        assert client.ask("statement", bytes(4 << 20)).head["ok"]
        assert client.ask("segment").head["ok"]
    assert (bench.link._running_bytes, bench.link._reserved_bytes) == (0, 0)


def test_an_answer_that_waits_for_room_waits_no_longer_than_its_session(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or browsers that leave would keep every thread for half a minute."""
    monkeypatch.setattr(bench.link, "_fits", lambda _found, _size: False)
    client = bench.client()
    found = bench.link._connections[client.id]
    client.start("segment")
    bench.carrier.send(client.id, b"")
    began_s = time.monotonic()
    bench.wait_until_none_runs(found)
    assert time.monotonic() - began_s < link_sessions._PATIENCE_S / 2
    assert bench.asked == [] or bench.asked == [("segment", bench.listed[public_key_of(OWNER)])]


@pytest.mark.parametrize("what", ["a frame", "a session that is idle", "an answer", "the end"])
def test_a_carrier_that_waits_is_woken(bench: Bench, gate: Gate, what: str) -> None:
    client = bench.client()
    if what == "an answer":
        client.start("status")
        assert gate.wait_for(1)
    taken: list[LinkFrame] = []
    waiting = threading.Thread(target=lambda: taken.extend(bench.link.collect(60)))
    waiting.start()
    while not bench.link._changed._waiters:  # type: ignore[attr-defined]
        time.sleep(0.001)
    match what:
        case "a frame":
            bench.carrier.send("a" * 32, begin(SECRET, public_key_of(DEVICE), OWNER).hello)
        case "a session that is idle":
            bench.now_s += 61
            bench.link.on_time()
        case "an answer":
            gate.open()
        case "the end":
            bench.link.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert taken


def test_one_collection_takes_from_each_session_in_turn_and_no_more_than_a_carrier_can_pass_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_sessions, "_COLLECTED_BYTES", 150_000)
    bench.body = bytes(1 << 20)
    clients = [bench.client() for _ in range(3)]
    for client in clients:
        client.start("segment")
    sessions = [bench.link._connections[client.id].session for client in clients]
    deadline_s = time.monotonic() + 20
    while not all(each is not None and each.queued_bytes for each in sessions):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    taken = bench.link.collect(0)
    frame_bytes = max(len(each.frame) for each in taken)
    assert 150_000 <= sum(len(each.frame) for each in taken) < 150_000 + 3 * frame_bytes
    counts = [sum(each.session == client.id for each in taken) for client in clients]
    assert max(counts) - min(counts) <= 1
    monkeypatch.setattr(link_sessions, "_COLLECTED_BYTES", 3 * frame_bytes)
    assert len(bench.link.collect(0)) == 3, "one frame of each session fills it"


def test_a_cancelled_request_is_dropped(bench: Bench) -> None:
    client = bench.client()
    for stream in range(20):
        client.session.send(stream, b"\0")
        client.flush()
        client.session.cancel(stream)
        client.flush()
    assert client.ask("status").head["ok"]


def test_the_answer_to_a_request_that_is_cancelled_while_it_runs_is_not_sent(bench: Bench, gate: Gate) -> None:
    client = bench.client()
    (found,) = bench.link._connections.values()
    cancelled = client.start("status")
    assert gate.wait_for(1)
    client.session.cancel(cancelled)
    client.flush()
    gate.open()
    bench.wait_until_none_runs(found)
    assert client.ask("status").head["ok"]
    assert cancelled not in client.whole.keys() | client.answers.keys()


def test_the_answer_to_a_request_of_a_session_that_ends_meanwhile_takes_no_memory(bench: Bench, gate: Gate) -> None:
    client = bench.client()
    (found,) = bench.link._connections.values()
    client.start("status")
    assert gate.wait_for(1)
    bench.listed.clear()
    bench.link.on_time()
    gate.open()
    bench.wait_until_none_runs(found)
    assert found.answer_bytes == 0


def test_a_viewer_that_stops_reading_holds_one_window_on_the_way(bench: Bench) -> None:
    bench.body = bytes(6 << 20)
    client = bench.client()
    stream = client.start("segment")
    deadline_s = time.monotonic() + 20
    taken: list[bytes] = []
    while not taken or bench.link._connections[client.id].session.queued_bytes == 0:  # type: ignore[union-attr]
        taken += bench.carrier.fetch(client.id, 0.2)
        assert time.monotonic() < deadline_s
        if taken:
            break
    while more := bench.carrier.fetch(client.id, 0.2):
        taken += more
    assert sum(map(len, taken)) <= 256 << 10
    bench.carrier.came[client.id] = taken
    assert len(client.wait(stream).body) == 6 << 20


def test_answers_of_all_sessions_wait_for_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 2 << 20)
    bench.body = bytes(3 << 19)
    clients = [bench.client() for _ in range(3)]
    streams = [each.start("segment") for each in clients]
    deadline_s = time.monotonic() + 60
    while not all(stream in each.whole for each, stream in zip(clients, streams, strict=True)):
        assert time.monotonic() < deadline_s
        for each in clients:
            each.hear(0.05)
        held = sum(each.session.queued_bytes for each in bench.link._connections.values() if each.session is not None)
        assert held <= 2 << 20
    assert [len(each.whole[1].body) for each in clients] == [3 << 19] * 3


def test_an_answer_that_fills_the_room_or_its_sessions_half_to_the_last_byte_is_made_at_once(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_sessions, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 4 * request_guard.answer_bytes("live"))
    for client in (bench.client(), bench.client()):
        for _ in range(2):
            client.start("live")
    assert gate.wait_for(4)


def test_an_answer_is_made_once_there_is_room_for_it(bench: Bench, gate: Gate) -> None:
    """Otherwise a browser that does not read could make the doorbell hold an answer in each of its threads."""
    clients = [bench.client(GLANCE) for _ in range(8)]
    for client in clients:
        for _ in range(4):
            client.start("live")
    assert gate.wait_for(6)
    time.sleep(0.3)  # for those that must not begin
    assert gate.began * request_guard.answer_bytes("live") <= 32 << 20
    gate.open()
    for client in clients:
        for stream in range(1, 5):
            assert client.wait(stream).head["ok"]


def test_room_is_reserved_by_the_operation_and_only_live_view_goes_without_padding(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live view shows its sizes by the number of its records anyway. Other answers show no size."""
    asked: list[str] = []
    monkeypatch.setattr(link_sessions, "answer_bytes", lambda name: asked.append(name) or 1000)
    client = bench.client()
    session = bench.link._connections[client.id].session
    assert session is not None
    sent, send = list[bool](), session.send
    monkeypatch.setattr(
        session,
        "send",
        lambda *given, fine, **named: (sent.append(fine), send(*given, fine=fine, **named)),
        raising=False,
    )
    for name in ("live", "status"):
        assert client.ask(name).head["ok"]
    client.session.send(9, b"no frame", last=True)
    client.flush()
    assert client.wait(9).head["ok"] is False
    assert (asked, sent) == (["live", "status", ""], [True, False, False])


def test_answers_that_find_no_room_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_sessions, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(link_sessions, "_ROOM_BYTES", 2 << 20)
    bench.body = bytes(3 << 19)
    client = bench.client()
    streams = [client.start("segment") for _ in range(2)]
    deadline_s = time.monotonic() + 60
    while not all(stream in client.whole for stream in streams):
        assert time.monotonic() < deadline_s
        time.sleep(0.15)
        client.hear()
    assert sorted(str(client.whole[each].head.get("kind")) for each in streams) == ["None", "StorageError"]


def test_a_bug_in_one_operation_is_an_answer_without_details(bench: Bench) -> None:
    client = bench.client()
    assert client.ask("bug").head["kind"] == "InternalError"
    assert client.ask("status").head["ok"]


def test_a_lost_frame_ends_the_session_and_the_carrier_is_told(bench: Bench) -> None:
    client = bench.client()
    client.session.ping()
    client.session.next_frame()
    client.start("status")
    client.hear()
    assert client.ended == "over"
    assert bench.sessions == []


def test_after_a_restart_the_client_is_told_that_its_session_is_over(bench: Bench) -> None:
    client, later = bench.client(), Bench()
    client.carrier = later.carrier
    client.start("status")
    client.hear()
    assert client.ended == "over"
    later.link.close()


def test_a_client_that_leaves_ends_its_session(bench: Bench) -> None:
    one, other = bench.client(), bench.client()
    frame = one.session.end(EndReason.CLOSED)
    assert frame is not None
    bench.carrier.send(one.id, frame)
    bench.carrier.send(other.id, b"")
    assert bench.sessions == []


def test_a_doorbell_that_stops_ends_the_sessions_and_hears_nothing_more() -> None:
    bench = Bench()
    client = bench.client()
    bench.link.close()
    client.hear()
    assert client.ended is EndReason.STOPPING
    bench.carrier.send("a" * 32, begin(SECRET, public_key_of(DEVICE), OWNER).hello)
    assert bench.link.collect(0) == ()


def test_frames_of_one_session_say_nothing_in_another(bench: Bench) -> None:
    one, other = bench.client(), bench.client()
    one.session.send(1, b"\0\0\0\2{}\0\0\0\0", last=True)
    frame = one.session.next_frame()
    assert frame is not None
    bench.carrier.send(other.id, frame)
    bench.link.on_time()
    other.hear()
    assert (bench.asked, other.ended) == ([], None)
    assert isinstance(other.session, LinkSession)


def test_the_level_of_a_glance_key_lies_below_an_owners() -> None:
    owner = Caller(None, owner=True, claimed=True, link=True)
    assert all(owner.may(level) for level in AccessLevel)
