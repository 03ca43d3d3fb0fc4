"""The custodian begins once, as soon as its disk allows it, and tells the recorder what must stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.core.consent import RequestState
from agent.core.retention import ProtectedIds
from agent.core.timebase import ClockQuality
from agent.custodian.ledger_writer import Ledger
from agent.errors import StorageError
from agent.wire.control import Frame
from agent.wire.statements import Erasure, Hold
from tests.custodians import DOOR, NOW_S, Door, stated


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


def test_a_disk_that_took_nothing_at_the_start_is_tried_again_and_the_start_is_made_good(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = door.ask()
    boots, told = door.kinds().count("boot"), len(door.told.news)
    door.outbox.objects["0" * 32] = {0: b"left by a power cut"}

    def full(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as failing:
        failing.setattr(Ledger, "write", full)
        door.start()
        with pytest.raises(StorageError):
            door.custodian.on_time()
    assert door.custodian.control.answer(Frame({"op": "requests"})).head["ok"], "owners look at what is stored"
    assert (door.kinds().count("boot"), list(door.outbox.objects)) == (boots, ["0" * 32])
    door.custodian.on_time()
    assert (door.kinds().count("boot"), door.outbox.objects) == (boots + 1, {})
    assert len(door.told.news) == told + 1, "its owner is reminded of the request that waits"
    assert door.state(waiting) is RequestState.PENDING
    door.custodian.on_time()
    assert door.kinds().count("boot") == boots + 1


def test_the_recorder_hears_what_owners_and_requests_hold_what_is_deleted_and_the_trusted_time(door: Door) -> None:
    matched = door.ask()
    held = door.vault.keep(NOW_S)
    door.obey(Hold(**stated(), segments=(held,), until_s=NOW_S + 86_400))
    now_ms = door.clock.now().utc_ns // 10**6
    assert door.custodian.protected(100) == ProtectedIds(frozenset({held, *door.segments}), now_ms)
    assert len(door.custodian.held(4)) == 3, "half of what is stored for requests, and what owners hold"
    door.deny(matched)
    assert door.custodian.held(100) == {held}
    door.obey(Erasure(**stated(), segments=(held,)))
    assert (door.custodian.held(100), door.custodian.erased()) == (frozenset(), {held})
    door.clock.quality = ClockQuality.UNKNOWN
    assert door.custodian.protected(100).now_ms is None


def test_a_door_says_its_place_in_seven_decimals_and_where_it_was_moved_to(door: Door) -> None:
    def place() -> object:
        return door.custodian.control.answer(Frame({"op": "place"})).head["result"]["position"]

    assert place() == {"lat": DOOR[0], "lon": DOOR[1]}
    door.custodian.move_to((1 / 3, -2 / 3))
    assert place() == {"lat": 0.3333333, "lon": -0.6666667}
    door.custodian.move_to(None)
    assert place() is None
