"""The doorbell's connection to the relay: what it passes on, what it refuses, and what a bad relay costs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, NetworkError
from agent.ipc.protocol import LinkFrame
from agent.mqtt import BusSettings
from agent.uplink import relay_connection
from agent.uplink.relay_connection import RelayConnection, RelayStatus, relay_settings
from agent.wire.link.session import MAX_FRAME_BYTES
from agent.wire.link.topics import link_filter

ACCOUNT, ADDRESS, OLDER = "a1" * 8, "cd" * 16, "bc" * 16
ONE, TWO = "01" * 16, "02" * 16
PATIENCE_S = 20.0


def into(session: str, address: str = ADDRESS, account: str = ACCOUNT) -> str:
    return f"doorward/v1/link/{account}/{address}/{session}/in"


def out_of(session: str, address: str = ADDRESS) -> str:
    return f"doorward/v1/link/{ACCOUNT}/{address}/{session}/out"


class ScriptedBus:
    """`ports.Bus`: the test says what the relay does. `takes`: publications that it takes now."""

    dropped = 0

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[BusEvent] = queue.SimpleQueue()
        self.published: list[tuple[str, bytes, int]] = []
        self.filters: set[str] = set()
        self.takes = 1000
        self.hurries = False
        self.refuses: ConfigurationError | None = None
        self.stopped = threading.Event()

    def start(self) -> None:
        if self.refuses is not None:
            raise self.refuses

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        assert not retain
        assert not properties
        assert expiry_s == 30
        if self.takes == 0:
            return False
        self.takes -= 1
        self.published.append((topic, payload, token))
        return True

    def subscribe(self, topic_filter: str) -> None:
        self.filters.add(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        self.filters.remove(topic_filter)

    def hurry(self, pending: bool) -> None:
        self.hurries = pending

    def next_event(self, timeout_s: float) -> BusEvent | None:
        try:
            return self.events.get(timeout=min(timeout_s, 0.05)) if timeout_s else self.events.get_nowait()
        except queue.Empty:
            return None

    def stop(self) -> None:
        self.stopped.set()


class Link:
    """`ports.LinkPort`: the custodian, which may be away."""

    def __init__(self) -> None:
        self.delivered: list[LinkFrame] = []
        self.largest = 0
        self.waiting: queue.SimpleQueue[LinkFrame] = queue.SimpleQueue()
        self.away = False
        self.names: tuple[str, ...] = (ADDRESS, OLDER)

    def deliver(self, frames: Sequence[LinkFrame]) -> None:
        if self.away:
            raise NetworkError("The custodian is away.")
        self.largest = max(self.largest, len(frames))
        self.delivered += frames

    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]:
        if self.away:
            raise NetworkError("The custodian is away.")
        try:
            return (self.waiting.get(timeout=min(wait_s, 0.05)),)
        except queue.Empty:
            return ()

    def addresses(self) -> tuple[str, ...]:
        if self.away:
            raise NetworkError("The custodian is away.")
        return self.names


class World:
    def __init__(self) -> None:
        self.bus, self.link = ScriptedBus(), Link()
        self.relay = RelayConnection(self.bus, self.link, ACCOUNT, self.link.addresses)

    def connect(self) -> None:
        self.bus.events.put(BusConnected(1 << 20, 16))
        self.until(lambda: self.relay.status().relay == "connected")

    def say(self, session: str, payload: bytes = b"frame", **where: str) -> None:
        self.bus.events.put(MessageReceived(into(session, **where), payload))

    def open(self, session: str) -> None:
        """A client begins a session."""
        self.say(session, b"hello")
        self.until(lambda: LinkFrame(session, b"hello") in self.link.delivered)

    def until(self, condition: object) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline_s, "it did not happen"
            time.sleep(0.005)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(relay_connection, "_PAUSE_S", 0.01)
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.02)
    found = World()
    found.relay.start()
    yield found
    found.relay.stop()
    assert found.bus.stopped.is_set()


def test_frames_go_both_ways_under_the_address_that_the_client_used(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.say(TWO, b"hello", address=OLDER)
    world.until(lambda: LinkFrame(TWO, b"hello") in world.link.delivered)
    world.link.waiting.put(LinkFrame(ONE, b"answer"))
    world.link.waiting.put(LinkFrame(TWO, b"other"))
    world.until(lambda: len(world.bus.published) == 2)
    assert [each[:2] for each in world.bus.published] == [(out_of(ONE), b"answer"), (out_of(TWO, OLDER), b"other")]


def test_the_order_of_frames_is_kept_in_requests_of_four(world: World) -> None:
    world.connect()
    frames = [bytes([number]) for number in range(40)]
    for each in frames:
        world.say(ONE, each)
    world.until(lambda: len(world.link.delivered) == 40)
    assert [each.frame for each in world.link.delivered] == frames
    assert world.link.largest <= 4


@pytest.mark.parametrize(
    "message",
    [
        MessageReceived(into(ONE, account="b2" * 8), b"x"),
        MessageReceived(into(ONE, address="ee" * 16), b"x"),
        MessageReceived(out_of(ONE), b"x"),
        MessageReceived("doorward/v1/areas/1-1/requests/police/0", b"x"),
        MessageReceived(into("no session"), b"x"),
        MessageReceived(into(ONE), bytes(MAX_FRAME_BYTES + 1)),
        MessageReceived(into(ONE), b""),
    ],
    ids=["another account", "another address", "out", "a request", "no session", "too large", "an end of no session"],
)
def test_what_is_no_frame_for_this_doorbell_stays_here(world: World, message: MessageReceived) -> None:
    world.connect()
    world.until(lambda: len(world.bus.filters) == 2)
    world.bus.events.put(message)
    world.open(TWO)
    assert world.link.delivered == [LinkFrame(TWO, b"hello")]


def test_a_frame_for_a_session_that_no_client_opened_here_is_not_sent(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.link.waiting.put(LinkFrame(TWO, b"for nobody"))
    world.link.waiting.put(LinkFrame(ONE, b"answer"))
    world.until(lambda: world.bus.published)
    assert [each[:2] for each in world.bus.published] == [(out_of(ONE), b"answer")]


def test_the_end_of_a_session_goes_both_ways_and_is_forgotten(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.say(ONE, b"")
    world.until(lambda: LinkFrame(ONE, b"") in world.link.delivered)
    world.open(TWO)
    world.link.waiting.put(LinkFrame(TWO, b""))
    world.link.waiting.put(LinkFrame(TWO, b"late"))
    world.link.waiting.put(LinkFrame(ONE, b"late"))
    world.until(lambda: world.bus.published)
    time.sleep(0.2)
    assert [each[:2] for each in world.bus.published] == [(out_of(TWO), b"")]


def test_a_lost_connection_ends_every_session_and_says_what_to_do(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.open(TWO)
    error = NetworkError("The relay is away.", remedy="Look at it.")
    world.bus.events.put(BusDisconnected(LinkFault.LOST, error, 1.0))
    world.until(lambda: {LinkFrame(ONE, b""), LinkFrame(TWO, b"")} <= set(world.link.delivered))
    assert world.relay.status().relay == "lost"
    assert "Look at it." in world.relay.status().relay_remedy
    assert not world.bus.hurries
    world.link.waiting.put(LinkFrame(ONE, b"too late"))
    world.connect()
    world.open("03" * 16)
    world.link.waiting.put(LinkFrame("03" * 16, b"answer"))
    world.until(lambda: world.bus.published)
    assert [each[1] for each in world.bus.published] == [b"answer"]


@pytest.mark.parametrize("outcome", ["refused", "lost"])
def test_a_frame_that_the_relay_does_not_keep_ends_its_session_and_no_other(world: World, outcome: str) -> None:
    world.connect()
    world.open(ONE)
    world.open(TWO)
    world.link.waiting.put(LinkFrame(ONE, b"answer"))
    world.until(lambda: world.bus.published)
    token = world.bus.published[0][2]
    world.bus.events.put(PublishLost(token) if outcome == "lost" else PublishRefused(token, 0x97, "quota"))
    world.until(lambda: LinkFrame(ONE, b"") in world.link.delivered)
    assert LinkFrame(TWO, b"") not in world.link.delivered


def test_a_relay_that_takes_nothing_more_ends_the_session_in_time_and_frames_wait_in_the_custodian(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_connection, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(relay_connection, "_WAIT_S", 0.02)
    world.connect()
    world.open(ONE)
    world.bus.takes = 1
    for number in range(10):
        world.link.waiting.put(LinkFrame(ONE, bytes([number])))
    world.until(lambda: LinkFrame(ONE, b"") in world.link.delivered)
    assert [each[1] for each in world.bus.published] == [b"\0"]


def test_a_relay_that_has_room_again_gets_the_next_frame(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.bus.takes = 1
    world.link.waiting.put(LinkFrame(ONE, b"first"))
    world.link.waiting.put(LinkFrame(ONE, b"second"))
    world.until(lambda: world.bus.published)
    time.sleep(0.1)
    world.bus.takes = 1
    world.bus.events.put(PublishAcknowledged(world.bus.published[0][2], heard=True))
    world.until(lambda: len(world.bus.published) == 2)
    assert LinkFrame(ONE, b"") not in world.link.delivered


def test_a_flood_of_sessions_keeps_the_newest_and_ends_the_others(world: World) -> None:
    world.connect()
    world.until(lambda: len(world.bus.filters) == 2)
    names = [f"{number:032x}" for number in range(100)]
    for name in names:
        world.say(name)
    world.until(lambda: sum(1 for each in world.link.delivered if each.frame) == 100)
    ended = [each.session for each in world.link.delivered if not each.frame]
    assert ended == names[:36]
    assert len(world.relay._topics) == 64


def test_of_too_many_sessions_the_one_that_is_silent_longest_ends(world: World) -> None:
    world.connect()
    world.until(lambda: len(world.bus.filters) == 2)
    names = [f"{number:032x}" for number in range(64)]
    for name in (*names, names[0], "f" * 32):
        world.say(name)
    world.until(lambda: sum(1 for each in world.link.delivered if each.frame) == 66)
    assert [each.session for each in world.link.delivered if not each.frame] == [names[1]]


def test_the_custodian_gets_two_hundred_frames_a_second_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world, waits = World(), []

    class Stopping(threading.Event):
        """Set once a pause was asked for."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            self.set()
            return True

    world.relay._stopping = Stopping()
    world.relay._look()
    for _ in range(3):
        world.say(ONE)
    world.relay._receive()
    assert waits == [3 / 200]
    assert world.link.delivered == [LinkFrame(ONE, b"frame")] * 3


def test_a_custodian_that_is_away_is_not_asked_at_once_again() -> None:
    world, waits = World(), []
    world.relay._stopping.wait = lambda pause_s=None: waits.append(pause_s) or False  # type: ignore[method-assign]
    world.link.away = True
    world.relay._deliver([LinkFrame(ONE, b"frame")])
    world.relay._deliver([])
    assert waits == [relay_connection._PAUSE_S]


def test_the_bus_hurries_while_there_is_a_session(world: World) -> None:
    world.connect()
    assert not world.bus.hurries
    world.open(ONE)
    world.open(TWO)
    assert world.bus.hurries
    world.say(ONE, b"")
    world.until(lambda: LinkFrame(ONE, b"") in world.link.delivered)
    assert world.bus.hurries
    world.say(TWO, b"")
    world.until(lambda: not world.bus.hurries)


def test_a_frame_counts_as_on_its_way_from_the_moment_it_is_taken_until_it_is_settled(world: World) -> None:
    world.connect()
    world.open(ONE)
    world.bus.takes = 1
    world.link.waiting.put(LinkFrame(ONE, b"first"))
    world.link.waiting.put(LinkFrame(ONE, b"second"))
    world.until(lambda: world.bus.published)
    token = world.bus.published[0][2]
    time.sleep(0.05)  # for the second, which is not taken
    with world.relay._changed:
        assert world.relay._on_the_way == {token: ONE}
    world.bus.events.put(PublishAcknowledged(token, heard=True))
    world.until(lambda: not world.relay._on_the_way)


@pytest.mark.parametrize("what", ["a settled frame", "a lost connection", "the end"])
def test_a_frame_that_waits_for_the_relay_is_woken(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(relay_connection, "_PATIENCE_S", 3600.0)
    monkeypatch.setattr(relay_connection, "_WAIT_S", 3600.0)
    world.connect()
    world.open(ONE)
    world.bus.takes = 1
    world.link.waiting.put(LinkFrame(ONE, b"first"))
    world.link.waiting.put(LinkFrame(ONE, b"second"))
    world.until(lambda: world.relay._changed._waiters)  # type: ignore[attr-defined]
    world.bus.takes = 1
    if what == "a settled frame":
        world.bus.events.put(PublishAcknowledged(world.bus.published[0][2], heard=True))
        world.until(lambda: len(world.bus.published) == 2)
    elif what == "a lost connection":
        error = NetworkError("The relay is away.", remedy="Look at it.")
        world.bus.events.put(BusDisconnected(LinkFault.LOST, error, 1.0))
        world.until(lambda: not world.relay._changed._waiters)  # type: ignore[attr-defined]
        assert LinkFrame(ONE, b"") in world.link.delivered
    else:
        stopping = threading.Thread(target=world.relay.stop)
        stopping.start()
        stopping.join(PATIENCE_S)
        assert not stopping.is_alive()


def test_the_addresses_are_asked_for_again_only_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world, now_s, asked = World(), [1000.0], []
    monkeypatch.setattr(relay_connection, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    world.relay._ask_addresses = lambda: asked.append(now_s[0]) or (ADDRESS,)
    for later_s in (0.0, 4.9, 0.1, 4.9, 0.1):
        now_s[0] += later_s
        world.relay._stopping.wait = lambda _pause_s=None: world.relay._stopping.set()  # type: ignore[assignment, method-assign]
        world.relay._stopping.clear()
        world.relay._receive()
    assert asked == [1000.0, 1005.0, 1010.0]
    assert world.bus.filters == {f"doorward/v1/link/{ACCOUNT}/{ADDRESS}/+/in"}


def test_a_new_list_of_owners_moves_the_subscription(world: World) -> None:
    world.connect()
    world.until(lambda: len(world.bus.filters) == 2)
    world.link.names = ("ab" * 16, ADDRESS)
    wanted = {f"doorward/v1/link/{ACCOUNT}/{each}/+/in" for each in world.link.names}
    world.until(lambda: world.bus.filters == wanted)


def test_a_custodian_that_is_away_costs_its_frames_and_nothing_else(world: World) -> None:
    world.connect()
    world.until(lambda: len(world.bus.filters) == 2)
    world.link.away = True
    for _ in range(8):
        world.say(ONE, b"lost")
    world.until(world.bus.events.empty)
    time.sleep(0.1)
    world.link.away = False
    world.open(TWO)
    assert LinkFrame(TWO, b"hello") in world.link.delivered


def test_a_relay_that_refuses_the_subscription_says_which_setting_to_look_at(world: World) -> None:
    world.connect()
    world.bus.events.put(SubscriptionRefused("x", 0x87))
    world.until(lambda: world.relay.status().relay == "not authorised")
    assert "[remote] user" in world.relay.status().relay_remedy


def test_a_certificate_that_cannot_be_used_switches_only_the_relay_off() -> None:
    world = World()
    world.bus.refuses = ConfigurationError("device.pem cannot be read.", remedy="Look at it.")
    world.relay.start()
    assert world.relay.status().relay == "off"
    assert "device.pem cannot be read." in world.relay.status().relay_remedy
    world.relay.stop()


def test_its_limits_bound_what_waits_here() -> None:
    settings = relay_settings(BusSettings("relay", 1, "x", *[Path("x")] * 3))
    assert settings.inbound_beat_s == 0.0
    assert settings.inbound_bytes + settings.window_bytes <= 2 << 20
    assert settings.inbound_packet_bytes >= MAX_FRAME_BYTES + 200


# -- step by step: without its threads ---------------------------------------------------------------------------------


class Quiet:
    """A connection without threads, a bus that notes its calls, and the custodian."""

    def __init__(self) -> None:
        self.bus, self.link = mock.Mock(), mock.Mock()
        self.names: tuple[str, ...] = (ADDRESS, OLDER)
        self.relay = RelayConnection(self.bus, self.link, ACCOUNT, lambda: self.names)
        self.relay._look()
        self.relay._on_event(BusConnected(1 << 20, 16))
        self.bus.reset_mock()

    def say(self, session: str, payload: bytes = b"frame", **where: str) -> list[LinkFrame]:
        """The frames for the custodian after this message."""
        return self.relay._on_event(MessageReceived(into(session, **where), payload))

    def publish(self, session: str, payload: bytes = b"answer") -> int:
        """Sends a frame, and returns the number of its publication."""
        self.relay._publish(LinkFrame(session, payload))
        token: int = self.bus.publish.call_args.kwargs["token"]
        return token


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()


def test_its_state_is_a_word_and_what_to_do(quiet: Quiet) -> None:
    fresh = RelayConnection(mock.Mock(), mock.Mock(), ACCOUNT, tuple)
    assert fresh.status() == RelayStatus("connecting", "")
    assert quiet.relay.status() == RelayStatus("connected", "")
    error = NetworkError("The relay is away.", remedy="Wait.")
    quiet.relay._on_event(BusDisconnected(LinkFault.UNREACHABLE, error, 1.0))
    assert quiet.relay.status() == RelayStatus(LinkFault.UNREACHABLE.value, str(error))
    quiet.relay._on_event(SubscriptionRefused("x", 0x87))
    remedy = "Give [remote] user the name of the account at the relay, and check the relay's access list."
    assert quiet.relay.status() == RelayStatus("not authorised", remedy)
    unusable = RelayConnection(mock.Mock(), mock.Mock(), ACCOUNT, tuple)
    refused = ConfigurationError("device.pem cannot be read.", remedy="Look at it.")
    unusable._bus.start.side_effect = refused  # type: ignore[attr-defined]
    unusable.start()
    assert unusable.status() == RelayStatus("off", str(refused))
    assert not any(thread.is_alive() for thread in unusable._threads)


def test_a_message_becomes_a_frame_only_at_an_address_of_this_doorbell_and_within_its_size(quiet: Quiet) -> None:
    assert quiet.say(ONE) == [LinkFrame(ONE, b"frame")]
    assert quiet.say(TWO, address=OLDER) == [LinkFrame(TWO, b"frame")]
    assert quiet.say(ONE, bytes(MAX_FRAME_BYTES)) == [LinkFrame(ONE, bytes(MAX_FRAME_BYTES))]
    for other in (
        quiet.say(ONE, bytes(MAX_FRAME_BYTES + 1)),
        quiet.say(ONE, account="b2" * 8),
        quiet.say(ONE, address="ef" * 16),
        quiet.relay._on_event(MessageReceived("another/topic", b"frame")),
    ):
        assert other == []
    assert quiet.bus.mock_calls == [mock.call.hurry(True), mock.call.hurry(True)], "once for each session"


def test_a_session_that_ends_is_told_once_and_the_bus_hurries_while_there_is_another(quiet: Quiet) -> None:
    for session in (ONE, TWO):
        quiet.say(session)
    quiet.bus.reset_mock()
    assert quiet.say(ONE, b"") == [LinkFrame(ONE, b"")]
    assert quiet.bus.mock_calls == []
    assert quiet.say(TWO, b"") == [LinkFrame(TWO, b"")]
    assert quiet.bus.mock_calls == [mock.call.hurry(False)]
    assert quiet.say(ONE, b"") == [], "it is over already"


def test_with_the_connection_every_session_ends_and_nothing_is_sent_until_the_next_one(quiet: Quiet) -> None:
    for session in (ONE, TWO):
        quiet.say(session)
    error = NetworkError("The relay is away.")
    ended = quiet.relay._on_event(BusDisconnected(LinkFault.UNREACHABLE, error, 1.0))
    assert ended == [LinkFrame(ONE, b""), LinkFrame(TWO, b"")]
    assert not quiet.relay._topics
    quiet.bus.reset_mock()
    quiet.relay._topics[ONE] = mock.Mock()
    quiet.relay._publish(LinkFrame(ONE, b"answer"))
    quiet.bus.publish.assert_not_called()
    quiet.link.deliver.assert_called_once_with([LinkFrame(ONE, b"")])


def test_the_session_that_was_silent_longest_gives_way_to_the_sixty_fifth(quiet: Quiet) -> None:
    sessions = [f"{number:032x}" for number in range(65)]
    for session in sessions[:64]:
        assert quiet.say(session) == [LinkFrame(session, b"frame")]
    quiet.say(sessions[0])
    assert quiet.say(sessions[64]) == [LinkFrame(sessions[1], b""), LinkFrame(sessions[64], b"frame")]


@pytest.mark.parametrize(
    ("settled", "ended"),
    [
        (lambda token: PublishAcknowledged(token, heard=True), []),
        (lambda token: PublishRefused(token, 0x97, "quota"), [LinkFrame(ONE, b"")]),
        (PublishLost, [LinkFrame(ONE, b"")]),
    ],
    ids=["acknowledged", "refused", "lost"],
)
def test_a_frame_that_is_settled_is_no_longer_on_its_way_and_a_lost_one_ends_its_session(
    quiet: Quiet, settled: Callable[[int], BusEvent], ended: list[LinkFrame]
) -> None:
    quiet.say(ONE)
    tokens = [quiet.publish(ONE) for _ in range(2)]
    assert quiet.relay._on_the_way == dict.fromkeys(tokens, ONE)
    assert quiet.relay._on_event(settled(tokens[0])) == ended
    assert quiet.relay._on_the_way == {tokens[1]: ONE}
    assert (ONE in quiet.relay._topics) is (ended == [])


def test_a_frame_is_published_under_the_topic_of_its_session_with_its_own_number(quiet: Quiet) -> None:
    quiet.say(ONE, address=OLDER)
    quiet.bus.reset_mock()
    numbers = [quiet.publish(ONE), quiet.publish(ONE, b"")]
    topic = out_of(ONE, OLDER)
    assert quiet.bus.mock_calls == [
        mock.call.publish(topic, b"answer", token=numbers[0], expiry_s=30),
        mock.call.publish(topic, b"", token=numbers[1], expiry_s=30),
    ]
    assert numbers[0] != numbers[1]
    assert ONE not in quiet.relay._topics, "its end was the last frame"
    quiet.bus.reset_mock()
    quiet.relay._publish(LinkFrame(TWO, b"answer"))
    quiet.bus.publish.assert_not_called()
    quiet.link.deliver.assert_not_called()


def test_a_relay_that_takes_nothing_for_twenty_seconds_ends_the_session(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet.say(ONE)
    now_s, waits = [100.0], list[float]()

    def wait(timeout_s: float) -> None:
        waits.append(timeout_s)
        now_s[0] += timeout_s

    monkeypatch.setattr(relay_connection.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(quiet.relay._changed, "wait", wait, raising=False)
    quiet.bus.publish.return_value = False
    quiet.relay._publish(LinkFrame(ONE, b"answer"))
    assert waits == [1.0] * 20
    assert quiet.relay._on_the_way == {}
    quiet.link.deliver.assert_called_once_with([LinkFrame(ONE, b"")])
    assert ONE not in quiet.relay._topics


def test_its_addresses_are_asked_for_every_five_seconds_and_only_changes_are_subscribed(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_connection.time, "monotonic", lambda: 100.0)
    newest = "de" * 16
    quiet.names = (newest, ADDRESS)
    quiet.relay._look()
    assert quiet.bus.mock_calls == [
        mock.call.unsubscribe(link_filter(ACCOUNT, OLDER)),
        mock.call.subscribe(link_filter(ACCOUNT, newest)),
    ]
    assert quiet.relay._look_s == 105.0
    quiet.bus.reset_mock()
    quiet.relay._ask_addresses = mock.Mock(side_effect=NetworkError("The custodian is away."))
    quiet.relay._look()
    assert quiet.bus.mock_calls == []
    assert quiet.relay._addresses == (newest, ADDRESS)


def test_frames_come_in_fours_without_a_wait_behind_the_first(quiet: Quiet) -> None:
    events = [MessageReceived(into(ONE), b"%d" % number) for number in range(6)]
    quiet.bus.next_event.side_effect = [*events, None]
    assert [frame.frame for frame in quiet.relay._next_frames()] == [b"0", b"1", b"2", b"3"]
    assert [each.args for each in quiet.bus.next_event.mock_calls] == [(1.0,), (0.0,), (0.0,), (0.0,)]
    assert [frame.frame for frame in quiet.relay._next_frames()] == [b"4", b"5"]


def test_frames_go_to_the_custodian_only_if_there_are_any_and_one_that_is_away_gets_a_pause(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet.relay._stopping = mock.Mock()
    quiet.relay._deliver([])
    quiet.link.deliver.assert_not_called()
    frames = [LinkFrame(ONE, b"frame")]
    quiet.relay._deliver(frames)
    quiet.link.deliver.assert_called_once_with(frames)
    quiet.relay._stopping.wait.assert_not_called()
    quiet.link.deliver.side_effect = NetworkError("The custodian is away.")
    quiet.relay._deliver(frames)
    quiet.relay._stopping.wait.assert_called_once_with(2.0)


def test_frames_for_clients_are_asked_for_again_after_a_pause(quiet: Quiet) -> None:
    quiet.say(ONE)
    quiet.relay._stopping = mock.Mock()
    quiet.relay._stopping.is_set.side_effect = [False, False, False, True]
    away = NetworkError("The custodian is away.")
    quiet.link.collect.side_effect = [away, (LinkFrame(ONE, b"one"), LinkFrame(ONE, b"two")), ()]
    quiet.relay._send()
    quiet.relay._stopping.wait.assert_called_once_with(2.0)
    assert [each.args[1] for each in quiet.bus.publish.mock_calls] == [b"one", b"two"]
    assert quiet.link.collect.mock_calls == [mock.call(1.0)] * 3


def test_its_end_wakes_and_joins_its_threads_before_the_bus_ends(quiet: Quiet) -> None:
    parts = mock.Mock()
    parts.idle.ident = None
    quiet.relay._threads, quiet.relay._bus = [parts.runs, parts.idle], parts.bus
    quiet.relay.stop()
    assert parts.mock_calls == [mock.call.runs.join(), mock.call.bus.stop()]
    assert quiet.relay._stopping.is_set()


def test_its_settings_are_those_of_the_bus_with_the_limits_of_frames() -> None:
    settings = BusSettings("relay", 8885, "x", *[Path("x")] * 3, keepalive_s=77)
    limits: dict[str, Any] = {
        "window_bytes": 512 << 10, "inbound_window": 64, "inbound_queue": 64, "inbound_bytes": 64 * MAX_FRAME_BYTES,
        "inbound_beat_s": 0.0,
    }  # fmt: skip
    assert relay_settings(settings) == replace(settings, **limits)


def test_before_the_relay_is_reached_nothing_is_sent_to_it() -> None:
    bus, link = mock.Mock(), mock.Mock()
    relay = RelayConnection(bus, link, ACCOUNT, lambda: (ADDRESS,))
    relay._look()
    relay._on_event(MessageReceived(into(ONE), b"frame"))
    relay._publish(LinkFrame(ONE, b"answer"))
    bus.publish.assert_not_called()
    link.deliver.assert_called_once_with([LinkFrame(ONE, b"")])
