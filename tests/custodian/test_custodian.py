"""The custodian begins once, as soon as its disk allows it, and tells the recorder what must stay."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock
from unittest.mock import call

import pytest

from agent.core.consent import RequestState
from agent.core.ledger.entries import EntryKind
from agent.core.retention import ProtectedIds
from agent.core.timebase import ClockQuality
from agent.custodian.ledger_writer import Ledger
from agent.errors import StorageError
from agent.wire.control import Frame
from agent.wire.statements import Erasure, Hold, TrustChange
from tests.custodians import DOOR, NOW_S, Door, sha256_of, stated
from tests.wire import samples


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
        answer = door.custodian.control.answer(Frame({"op": "place"}))
        assert (set(answer.head["result"]), answer.body) == ({"position"}, b"")
        return answer.head["result"]["position"]

    assert place() == {"lat": DOOR[0], "lon": DOOR[1]}
    door.custodian.move_to((1 / 3, -2 / 3))
    assert place() == {"lat": 0.3333333, "lon": -0.6666667}
    door.custodian.move_to(None)
    assert place() is None


def watched(door: Door, monkeypatch: pytest.MonkeyPatch) -> mock.MagicMock:
    """Puts a part that notes its calls in the place of each part of the custodian."""
    found, custodian = mock.MagicMock(), door.custodian
    for name in ("enrolments", "requests", "notices", "holds", "clock"):
        monkeypatch.setattr(custodian, name, getattr(found, name))
    state = SimpleNamespace(ledger=found.ledger, trust=found.trust, deps=custodian.custodian_state.deps)
    monkeypatch.setattr(custodian, "custodian_state", state)
    monkeypatch.setattr(door.outbox, "sweep", found.sweep)
    return found


def test_a_start_tells_the_vault_notes_the_boot_and_ends_what_has_expired_before_it_reminds(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = door.approve(door.ask()).disclosure
    parts = watched(door, monkeypatch)
    door.custodian.start()
    assert parts.mock_calls == [
        call.enrolments.announce(),
        call.ledger.write(EntryKind.BOOT),
        call.sweep(frozenset({disclosure})),
        call.trust.announce(changed=False),
        call.trust.remind(),
        call.requests.on_time(),
        call.notices.remind(),
    ]


def test_a_start_that_fails_half_way_goes_on_later_and_records_its_boot_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    boots = door.kinds().count("boot")
    monkeypatch.setattr(door.outbox, "sweep", mock.Mock(side_effect=[StorageError("no"), StorageError("no"), None]))
    door.start()
    with pytest.raises(StorageError):
        door.custodian.on_time()
    door.custodian.on_time()
    door.custodian.on_time()
    assert door.kinds().count("boot") == boots + 1


def test_each_turn_keeps_the_clock_and_ends_requests_holds_and_trust(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock and the holds write to the journal, so they need its transaction."""
    parts = watched(door, monkeypatch)
    door.custodian.on_time()
    deciding = [call.requests.deciding(), call.requests.deciding().__enter__()]
    decided = call.requests.deciding().__exit__(None, None, None)
    assert parts.mock_calls == [
        *deciding, call.clock.keep(), decided, call.requests.on_time(), *deciding, call.holds.on_time(), decided,
        call.trust.on_time(),
    ]  # fmt: skip


def test_a_change_of_the_owners_ends_what_it_has_ended_and_is_told_once_it_is_durable(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, told = door.ask(), list[str]()
    recheck = door.custodian.releases.recheck
    monkeypatch.setattr(door.custodian.releases, "recheck", lambda: (told.append("rechecked"), recheck()))
    door.custodian.owners_changed = lambda: told.append(f"epoch {len(door.journal.named('enrolment.'))}")
    door.enrol(epoch=2, previous=sha256_of(door.custodian.enrolments.current))  # type: ignore[arg-type]
    assert told == ["rechecked", "epoch 2"]
    assert door.state(waiting) is RequestState.PENDING


def test_a_change_of_trust_ends_what_it_has_ended_and_then_looks_at_packages_that_came_before_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, recheck = list[str](), door.custodian.releases.recheck
    monkeypatch.setattr(door.custodian.releases, "recheck", lambda: (told.append("rechecked"), recheck()))
    news = door.custodian._trust_news
    monkeypatch.setattr(news, "look", lambda: told.append(f"roots {len(door.custodian.control._trust.roots())}"))
    door.obey(TrustChange(**stated(), roots_added=(samples.OWNER_ROOT.text,)))
    assert told == ["rechecked", "roots 2"]


def test_news_of_trust_goes_to_its_reader_and_everything_else_to_the_inbox(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = mock.Mock()
    parts.news.takes = lambda topic: topic == "trust"
    parts.inbox.on_message.return_value = "a receipt"
    monkeypatch.setattr(door.custodian, "_trust_news", parts.news)
    monkeypatch.setattr(door.custodian, "_inbox", parts.inbox)
    assert door.custodian.on_message("trust", b"a package") is None
    assert parts.mock_calls == [call.news.on_message("trust", b"a package")]
    parts.reset_mock()
    assert door.custodian.on_message("requests", b"a request") == "a receipt"
    assert parts.mock_calls == [call.inbox.on_message("requests", b"a request")]
