"""One doorbell cannot fill a requester's disk: the honest neighbour always has room."""

from __future__ import annotations

import dataclasses
import shutil
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import HeldDisclosure, QuotaUsage
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEventKind, ReceivingLimits
from agent.core.media import Gop
from agent.core.transfer import ReceiverLimits, TransferOutcome
from agent.wire import strictjson
from agent.wire.disclosures import ReceiptState
from agent.wire.topics import ANONYMOUS, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from tests.clients.requester.conftest import NOW_S, filmed, question
from tests.clients.requester.doors import Door, TestClock, answer_folders
from tests.clients.requester.house import Disclosure, House
from tests.clients.requester.test_incoming_tips import sealed, words
from tests.clients.requester.test_receiving_service import LIMITS, Desk, broker, clock, desk, kept, play
from tests.clients.requester.test_verification import lay_down
from tests.fake_bus import FakeBroker, FakeBus

__all__ = ["broker", "clock", "desk"]


def with_limits(desk: Desk, **limits: Any) -> None:
    desk.limits = dataclasses.replace(LIMITS, **limits)
    desk.crash()
    desk.begin()


def small_disk(monkeypatch: pytest.MonkeyPatch, requester: Requester, capacity_bytes: int) -> None:
    """A disk of that size, with nothing else on it."""

    def usage(_path: object) -> Any:
        used = sum(path.stat().st_size for path in (requester.folder / "disclosures").rglob("*") if path.is_file())
        return SimpleNamespace(free=capacity_bytes - used)

    monkeypatch.setattr("agent.clients.requester.incoming.shutil.disk_usage", usage)


def size_of(disclosure: Disclosure) -> int:
    return sum(map(len, disclosure.parts))


def send_until_settled(clock: TestClock, desk: Desk, door: Door) -> None:
    """Until it is delivered, refused or told that there is no room; then it gives up."""

    def settled() -> bool:
        turned_down = any(
            each.kind is ReceiverEventKind.NO_ROOM and each.disclosure == door.disclosure.id for each in desk.news
        )
        return door.finished is not None or turned_down

    play(clock, desk, door, until=settled)
    door.bus.stop()


def of_door(requester: Requester, device: str) -> list[AnswerFolder]:
    return [each for each in answer_folders(requester.folder) if (origin := each.origin()) and origin.device == device]


def test_after_forty_answers_of_its_neighbour_an_honest_doorbell_still_has_room(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    gops: list[Gop],
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    neighbour = filmed(gops, name="the neighbour's")
    honest = neighbour.disclose(asked)
    small_disk(monkeypatch, requester, 12 * size_of(honest))
    for _ in range(40):
        send_until_settled(clock, desk, Door(broker, requester, house.disclose(asked), clock))
    here = of_door(requester, house.device_id)
    assert len(here) <= 4
    assert sum(path.stat().st_size for each in here for path in each.path.iterdir()) <= 3.1 * size_of(honest)
    door = Door(broker, requester, honest, clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert kept(requester, honest)


def test_a_fifth_answer_to_one_request_is_refused_and_not_kept(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    with_limits(desk, share=1.0)
    doors = [Door(broker, requester, house.disclose(asked), clock) for _ in range(5)]
    for door in doors:
        play(clock, desk, door)
    assert [door.receipts[-1].state for door in doors] == [ReceiptState.COMPLETE] * 4 + [ReceiptState.REFUSED]
    assert len(of_door(requester, house.device_id)) == 4
    assert "has already answered this request 4 times" in desk.news[-1].detail
    other = requester.sent_request(messages.make_request(requester, question(case="2027-0115"), now_s=NOW_S).id)
    door = Door(broker, requester, house.disclose(other), clock)
    play(clock, desk, door)
    assert door.receipts[-1].state is ReceiptState.COMPLETE, "another request is another account"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("total_bytes", "With this doorbell's earlier answers to this request it exceeds this machine's size limit."),
        ("parts", "With this doorbell's earlier answers to this request it has too many parts for this machine."),
    ],
)
def test_answers_to_one_request_together_stay_within_the_limits_of_one(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock, name: str,
    said: str,
) -> None:  # fmt: skip
    first, second = house.disclose(asked), house.disclose(asked)
    most = {"total_bytes": size_of(first) * 3 // 2, "parts": len(first.parts) * 3 // 2}[name]
    with_limits(desk, transfer=ReceiverLimits(**{name: most}), share=1.0)
    for disclosure, state in ((first, ReceiptState.COMPLETE), (second, ReceiptState.REFUSED)):
        door = Door(broker, requester, disclosure, clock)
        play(clock, desk, door)
        assert door.receipts[-1].state is state
    assert said == desk.news[-1].detail


def test_a_newer_answer_takes_the_place_of_one_that_is_still_on_its_way(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    older = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, older, until=lambda: ReceiverEventKind.BEGUN in desk.kinds)
    newer = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, newer)
    assert newer.receipts[-1].state is ReceiptState.COMPLETE
    assert [each.disclosure for each in of_door(requester, house.device_id)] == [newer.disclosure.id]
    older.bus.stop()


def test_what_is_promised_counts_before_it_is_there(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    gops: list[Gop],
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_limits(desk, share=1.0)
    first = house.disclose(asked)
    small_disk(monkeypatch, requester, size_of(first) * 3 // 2)
    slow = Door(broker, requester, first, clock)
    play(clock, desk, slow, until=lambda: ReceiverEventKind.BEGUN in desk.kinds)
    other = Door(broker, requester, filmed(gops, name="the neighbour's").disclose(asked), clock)
    play(clock, desk, other, until=lambda: ReceiverEventKind.NO_ROOM in desk.kinds)
    play(clock, desk, slow)
    assert slow.finished is not None
    assert slow.finished.outcome is TransferOutcome.DELIVERED, "it was promised the room it needs"
    other.bus.stop()


def test_folders_that_were_moved_away_make_room_without_a_restart(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    with_limits(desk, per_device_and_request=1, share=1.0)
    for number in range(2):
        door = Door(broker, requester, house.disclose(asked), clock)
        play(clock, desk, door)
        assert door.receipts[-1].state is ReceiptState.COMPLETE
        if number == 0:
            shutil.rmtree(AnswerFolder(requester.folder, door.disclosure.id).path)


def test_one_doorbell_has_only_so_many_answers_on_their_way(
    desk: Desk, requester: Requester, asked: SentRequest, house: House
) -> None:
    with_limits(desk, open_per_device=3, unread_per_device=8)
    note = strictjson.encode(UploadNote(v=1, parts=2, size_bytes=100, sha256="0" * 64))
    bus = FakeBus(desk.broker, house.device_id)
    bus.start()
    for number in range(5):
        topic = UploadTopic(requester.id, house.device_id, f"{number:032x}", 0, UploadVerb.INIT)
        assert bus.publish(str(topic), note, token=number, retain=False)
    while desk.step():
        pass
    assert len(of_door(requester, house.device_id)) == 3
    bus.stop()


def test_one_doorbell_that_dawdles_leaves_turns_to_its_neighbours() -> None:
    limits = ReceivingLimits()
    assert 0 < limits.open_per_device <= limits.at_once // 2


def test_tips_take_no_room_of_answers(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
) -> None:
    with_limits(desk, per_device=1, tips=3, share=1.0)
    for number in range(6):
        named = f"{number:032x}"
        first = sealed(requester, strictjson.encode(msgspec.structs.replace(words(requester), tip=named)))
        send_until_settled(clock, desk, Door(broker, requester, Disclosure(named, ANONYMOUS, [first]), clock))
    assert len(of_door(requester, ANONYMOUS)) == 3
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert door.receipts[-1].state is ReceiptState.COMPLETE


def test_an_account_is_what_lies_on_the_disk(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure).end(ReceiptState.COMPLETE)
    (requester.folder / "disclosures" / ("9" * 32)).mkdir()
    holdings = requester.answers
    before = holdings.total()
    holdings.put("8" * 32, HeldDisclosure("a", "b", 5, 2, live=True))
    assert holdings.total() == QuotaUsage(2, before.size_bytes + 5)
    holdings.reconcile()
    key = asked.request.id
    usage = holdings.of(house.device_id, key)
    assert (usage.disclosures, usage.parts) == (1, len(disclosure.parts))
    assert usage.size_bytes > size_of(disclosure)
    assert holdings.of_door(house.device_id) == usage
    assert holdings.total() == dataclasses.replace(usage, parts=0), "what was moved away is gone"
    assert holdings.of(house.device_id, key, but=disclosure.id) == QuotaUsage()
    assert holdings.live(house.device_id, key) == ()
    holdings.remove(disclosure.id)
    assert len(holdings) == 0


# -- at the edges ------------------------------------------------------------------------------------------------------


def announce(desk: Desk, number: int, device: str = "ab" * 8, size_bytes: int = 100) -> bool:
    """Returns True if the announcement of a disclosure by that device was let in."""
    note = UploadNote(v=1, parts=2, size_bytes=size_bytes, sha256="0" * 64)
    desk.receiver._arrivals.init(device, f"{number:032x}", note)
    return f"{number:032x}" in desk.receiver._arrivals._reception


def refusals(desk: Desk) -> list[tuple[str, str]]:
    return [(each.disclosure, each.detail) for each in desk.news if each.kind is ReceiverEventKind.NO_ROOM]


def test_strangers_together_announce_only_so_many_and_the_next_is_not_heard(desk: Desk) -> None:
    with_limits(desk, unread=3)
    assert [announce(desk, number, f"{number:016x}") for number in range(5)] == [True, True, True, False, False]
    assert refusals(desk) == [], "a stranger's announcement is no news"


def test_devices_that_hold_all_places_of_announcements_make_room_for_one_that_has_fewer(desk: Desk) -> None:
    with_limits(desk, unread=6, unread_per_device=3, open_per_device=4)
    held = [(device, number) for number in range(3) for device in ("a1" * 8, "b2" * 8)]
    assert all(announce(desk, 10 * number + int(device[1]), device) for device, number in held)
    there = desk.receiver._arrivals._reception
    assert announce(desk, 77, "c3" * 8)
    assert announce(desk, 78, "c3" * 8)
    assert not announce(desk, 79, "c3" * 8), "each has two places now"
    assert sorted(there.ids()) == sorted(f"{number:032x}" for number in (11, 21, 12, 22, 77, 78)), "the oldest went"
    assert announce(desk, 80, "d4" * 8)
    assert f"{77:032x}" in there


def test_of_one_device_the_oldest_announcement_makes_room_for_the_newest(desk: Desk, requester: Requester) -> None:
    with_limits(desk, unread_per_device=2, open_per_device=8)
    for number in range(3):
        assert announce(desk, number)
    assert announce(desk, 9, "cd" * 8)
    reception = desk.receiver._arrivals._reception
    assert [f"{number:032x}" in reception for number in range(3)] == [False, True, True]
    assert not AnswerFolder(requester.folder, f"{0:032x}").path.exists()


def test_a_doorbell_that_sends_too_many_at_once_is_named_with_the_reason(desk: Desk) -> None:
    with_limits(desk, open_per_device=1, unread_per_device=8)
    assert announce(desk, 1)
    assert not announce(desk, 2)
    assert announce(desk, 3, "cd" * 8)
    assert refusals(desk) == [(f"{2:032x}", "Its doorbell sends too many at once.")]


@pytest.mark.parametrize("limit", ["per_device", "disclosures"])
def test_too_many_folders_are_counted_again_before_a_doorbell_is_turned_away(
    desk: Desk, requester: Requester, limit: str
) -> None:
    with_limits(desk, unread_per_device=8, open_per_device=8, **{limit: 2})
    assert announce(desk, 1)
    assert announce(desk, 2)
    assert not announce(desk, 3)
    assert refusals(desk) == [(f"{3:032x}", "Move old folders out of disclosures/.")]
    assert announce(desk, 4, "cd" * 8) is (limit == "per_device")
    shutil.rmtree(AnswerFolder(requester.folder, f"{1:032x}").path)
    if limit == "disclosures":
        assert announce(desk, 3)


def test_a_first_part_is_taken_if_it_fits_to_the_last_byte_beside_what_was_promised(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(desk, free_bytes=1000)
    monkeypatch.setattr("agent.clients.requester.incoming.shutil.disk_usage", lambda _path: SimpleNamespace(free=1500))
    assert not announce(desk, 1, size_bytes=501)
    assert announce(desk, 2, size_bytes=400)
    assert not announce(desk, 3, "cd" * 8, size_bytes=101)
    assert announce(desk, 4, "cd" * 8, size_bytes=100)


def test_the_next_receipt_that_was_put_off_is_the_earliest(desk: Desk) -> None:
    arrivals = desk.receiver._arrivals
    assert arrivals.deadline_ns is None
    arrivals._answering_later = {
        name: SimpleNamespace(deadline_ns=due) for name, due in (("a", 7), ("b", 5), ("c", None), ("d", 9))
    }  # type: ignore[assignment]
    assert arrivals.deadline_ns == 5


def holding(size_bytes: int, parts: int = 1) -> HeldDisclosure:
    return HeldDisclosure("ab" * 8, "request", size_bytes, parts, live=True)


def test_the_account_of_one_request_is_full_to_the_last_byte_and_part(desk: Desk) -> None:
    with_limits(desk, transfer=ReceiverLimits(total_bytes=1000, parts=10), per_device_and_request=2)
    arrivals = desk.receiver._arrivals
    assert arrivals._beyond("new", holding(2000, 20)) == "", "the first one has limits of its own"
    arrivals._holdings.put("old", holding(600, 6))
    assert arrivals._beyond("new", holding(400, 4)) == ""
    assert "size limit" in arrivals._beyond("new", holding(401, 4))
    assert "too many parts" in arrivals._beyond("new", holding(400, 5))
    assert arrivals._beyond("old", holding(2000, 20)) == "", "it does not count against itself"
    arrivals._holdings.put("older", holding(1, 1))
    assert arrivals._beyond("new", holding(1, 1)) == "This doorbell has already answered this request 2 times."


def test_one_doorbell_has_its_share_of_the_disk_to_the_last_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with_limits(desk, share=0.25)
    arrivals = desk.receiver._arrivals
    monkeypatch.setattr(type(arrivals), "_room", lambda _: 800)
    assert arrivals._in_the_way("new", holding(200)) == ""
    assert arrivals._in_the_way("new", holding(801)) == "The disk is too full."
    assert arrivals._in_the_way("new", holding(201)).startswith("Its doorbell has used up its share of the disk.")
    arrivals._holdings.put("another", HeldDisclosure("cd" * 8, "request", 400, 1, live=False))
    assert arrivals._in_the_way("new", holding(300)) == ""
    assert arrivals._in_the_way("new", holding(301)) != ""
    arrivals._holdings.put("old", holding(100))
    assert arrivals._in_the_way("new", holding(225)) == ""
    assert arrivals._in_the_way("new", holding(226)) != ""


def test_a_turn_of_an_answer_that_is_here_no_more_goes_to_the_next(desk: Desk) -> None:
    with_limits(desk, at_once=1)
    arrivals = desk.receiver._arrivals
    gone = ["a" * 32, "b" * 32, "c" * 32]
    assert [arrivals._turns.may_begin(each, 0) for each in gone] == [True, False, False]
    arrivals._turns.ends(gone[0])
    arrivals._take_turns()
    assert not any(each in arrivals._turns._waiting for each in gone)


def test_what_is_taken_back_before_it_was_read_counts_no_more(desk: Desk) -> None:
    arrivals = desk.receiver._arrivals
    assert announce(desk, 1)
    assert announce(desk, 2)
    assert arrivals._holdings.of_door("ab" * 8).disclosures == 2
    arrivals.abort("ab" * 8, f"{1:032x}")
    assert arrivals._holdings.of_door("ab" * 8) == QuotaUsage(1, 100, 1)
    assert list(arrivals._unread) == [f"{2:032x}"]
