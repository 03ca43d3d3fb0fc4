"""Home Assistant is told what changed, and everything again after each connect; a press is told once or never."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from unittest import mock
from unittest.mock import call

import pytest

from agent.core.home import PRESS, HomeTopics
from agent.core.home_news import HomeAddress, HomeState
from agent.errors import NetworkError
from agent.uplink import home_assistant
from agent.uplink.home_assistant import HomeAssistantService, farewell

TOPICS = HomeTopics("ab" * 8, "homeassistant")
ADDRESS = HomeAddress(
    host="home.example", device="ab" * 8, name="front-door", prefix="homeassistant", version="0.1", page=""
)


class Bus:
    """`ports.HomeBus` that keeps what was published."""

    def __init__(self) -> None:
        self.connection: int | None = None
        self.published: list[tuple[str, bytes, bool]] = []
        self.will: tuple[str, bytes] | None = None
        self.running = False

    def start(self, will: tuple[str, bytes] | None = None) -> None:
        self.will, self.running = will, True

    def stop(self) -> None:
        self.running = False

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        self.published.append((topic, payload, retain))


class Source:
    """`ports.HomeStateSource`: one answer for each that the test puts in; `asked` has the presses of each question."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[HomeState | NetworkError | None] = queue.SimpleQueue()
        self.asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.over = threading.Event()

    def collect(self, presses: int, wait_s: float) -> HomeState:
        assert wait_s > 0
        self.asked.put(presses)
        answer = self.answers.get()
        if answer is None:
            self.over.wait(60)
            raise NetworkError("It is over.")
        if isinstance(answer, NetworkError):
            raise answer
        return answer


class House:
    def __init__(self) -> None:
        self.bus, self.source = Bus(), Source()
        self.service = HomeAssistantService(self.source, self.bus, ADDRESS)
        self.service.start()
        assert self.source.asked.get(timeout=60) == -1

    def tell(self, answer: HomeState | NetworkError) -> tuple[int, list[tuple[str, bytes, bool]]]:
        """The presses of the next question, and what was published before it."""
        self.bus.published.clear()
        self.source.answers.put(answer)
        return self.source.asked.get(timeout=60), list(self.bus.published)

    def stop(self) -> None:
        self.source.answers.put(None)
        self.service._stopping.set()
        self.source.over.set()
        self.service.stop()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(home_assistant, "_PAUSE_S", 0.01)
    made = House()
    yield made
    made.stop()


ONLINE = (TOPICS.availability, b"online", True)


def state(data: bytes) -> tuple[str, bytes, bool]:
    return (TOPICS.state, data, True)


def test_after_each_connect_everything_is_told_and_then_only_what_changed(house: House) -> None:
    assert house.bus.will == (TOPICS.availability, b"offline")
    assert house.tell(HomeState(3, b"one")) == (3, [])
    house.bus.connection = 1
    presses, published = house.tell(HomeState(3, b"one"))
    assert (presses, published[1:]) == (3, [ONLINE, state(b"one")])
    assert (published[0][0], published[0][2], b"front-door" in published[0][1]) == (TOPICS.discovery, True, True)
    assert house.tell(HomeState(3, b"one")) == (3, [])
    assert house.tell(HomeState(3, b"two")) == (3, [state(b"two")])
    house.bus.connection = 2
    _, published = house.tell(HomeState(3, b"two"))
    assert [topic for topic, _, _ in published] == [TOPICS.discovery, TOPICS.availability, TOPICS.state]


def test_a_press_is_told_once_and_not_at_all_if_the_broker_is_away_or_the_count_is_new(house: House) -> None:
    assert house.tell(HomeState(3, b"one"))[0] == 3
    assert house.tell(HomeState(4, b"one")) == (4, [])
    house.bus.connection = 1
    assert (TOPICS.button, PRESS, False) not in house.tell(HomeState(4, b"one"))[1]
    assert house.tell(HomeState(5, b"one")) == (5, [(TOPICS.button, PRESS, False)])
    assert house.tell(HomeState(0, b"one")) == (0, []), "a custodian that came back counts from zero"
    assert house.tell(HomeState(1, b"one")) == (1, [(TOPICS.button, PRESS, False)])


def test_a_custodian_that_cannot_be_asked_is_asked_again_with_the_same_count(house: House) -> None:
    house.bus.connection = 1
    assert house.tell(HomeState(3, b"one"))[0] == 3
    assert house.tell(NetworkError("It is away.")) == (3, [])
    assert house.tell(HomeState(4, b"one")) == (4, [(TOPICS.button, PRESS, False)])


def test_a_custodian_that_stays_away_makes_the_entities_unavailable_until_it_is_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.bus.connection = 1
    house.tell(HomeState(3, b"one"))
    monkeypatch.setattr(home_assistant, "_AWAY_S", 0.0)
    assert house.tell(NetworkError("It is away."))[1] == [(TOPICS.availability, b"offline", True)]
    assert house.tell(NetworkError("It is away."))[1] == []
    presses, published = house.tell(HomeState(3, b"one"))
    assert (presses, published[1:]) == (3, [ONLINE, state(b"one")])


def test_its_thread_has_ended_before_it_says_goodbye() -> None:
    """Otherwise the thread could tell that the doorbell is there, after the goodbye."""
    parts = mock.Mock()
    service = HomeAssistantService(Source(), parts.bus, ADDRESS)
    service._thread = parts.thread
    service.stop()
    goodbye = [call.bus.publish(TOPICS.availability, b"offline", retain=True), call.bus.stop()]
    assert parts.mock_calls == [call.thread.join(), *goodbye]
    assert service._stopping.is_set()
    parts.reset_mock()
    parts.thread.ident = None
    service.stop()
    assert parts.mock_calls == goodbye, "it was never started"


def test_it_says_goodbye_when_it_stops_and_takes_everything_along_when_it_is_removed() -> None:
    house = House()
    house.bus.published.clear()
    house.stop()
    assert house.bus.published == [(TOPICS.availability, b"offline", True)]
    assert not house.bus.running
    house.bus.published.clear()
    farewell(house.bus, TOPICS)
    assert house.bus.published == [
        (topic, b"", True) for topic in (TOPICS.discovery, TOPICS.state, TOPICS.availability)
    ]
