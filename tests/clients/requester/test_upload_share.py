"""A receiver that shares the uploads with others hears the data of those that it claimed, and leaves the rest."""

from __future__ import annotations

import pytest

from agent.clients.requester.claims import SoleReceiver
from agent.clients.requester.upload_share import UploadShare

REQUESTER = "ab" * 8
ALL = f"doorward/v1/up/{REQUESTER}/#"
INITS = f"doorward/v1/up/{REQUESTER}/+/+/init"


class Filters:
    """The subscriptions of a bus, each at most once."""

    def __init__(self) -> None:
        self.now: list[str] = []

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        assert topic_filter not in self.now
        assert retained == (topic_filter in (ALL, INITS)), "with the data of a door, its old questions would come again"
        self.now.append(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        self.now.remove(topic_filter)


class SharedClaims(SoleReceiver):
    shared = True

    def __init__(self, foreign: set[str]) -> None:
        self.foreign = foreign
        self.taken: list[str] = []
        self.released: list[str] = []

    def claim(self, disclosure: str) -> bool:
        self.taken.append(disclosure)
        return disclosure not in self.foreign

    def release(self, disclosure: str) -> None:
        self.released.append(disclosure)


def data_of(device: str) -> str:
    return f"doorward/v1/up/{REQUESTER}/{device}/#"


@pytest.fixture
def bus() -> Filters:
    return Filters()


def test_the_only_receiver_hears_all_uploads_and_each_is_its_own(bus: Filters) -> None:
    share = UploadShare(SoleReceiver(), bus, REQUESTER)  # type: ignore[arg-type]
    share.subscribe()
    assert bus.now == [ALL]
    assert not share.shared
    assert share.claim("one", "door")
    share.leave("one")
    assert bus.now == [ALL], "it goes on to hear all"


def test_one_of_several_hears_inits_and_the_data_of_the_doors_that_it_claimed(bus: Filters) -> None:
    claims = SharedClaims({"foreign"})
    share = UploadShare(claims, bus, REQUESTER)  # type: ignore[arg-type]
    share.subscribe()
    assert share.shared
    assert bus.now == [INITS]
    assert share.claim("one", "door a")
    assert not share.claim("foreign", "door b")
    assert bus.now == [INITS, data_of("door a")]
    assert share.claim("one", "door a")
    assert claims.taken == ["one", "foreign"], "what is its own is not claimed again"


def test_an_upload_that_is_claimed_without_its_door_brings_data_once_the_door_is_known(bus: Filters) -> None:
    """A receiver that starts again claims what it had before a door tells of itself."""
    share = UploadShare(SharedClaims(set()), bus, REQUESTER)  # type: ignore[arg-type]
    assert share.claim("one")
    assert bus.now == []
    assert share.claim("one", "door a")
    assert bus.now == [data_of("door a")]


def test_a_door_is_heard_until_the_last_of_its_uploads_is_left(bus: Filters) -> None:
    claims = SharedClaims(set())
    share = UploadShare(claims, bus, REQUESTER)  # type: ignore[arg-type]
    for disclosure in ("one", "two"):
        assert share.claim(disclosure, "door a")
    assert bus.now == [data_of("door a")]
    share.leave("one")
    assert bus.now == [data_of("door a")]
    share.leave("two")
    share.leave("two")
    assert bus.now == []
    assert claims.released == ["one", "two", "two"]
