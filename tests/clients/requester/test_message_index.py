"""The register: the cost of a message is independent of the messages before it, and every message survives a crash."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable

import pytest

from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import PublishQueue, is_published, publish, publish_pending
from agent.core.disclosure import reply_tag
from agent.errors import DoorwardError
from agent.platform import files
from agent.wire.area import Circle
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.fake_bus import FakeBroker, FakeBus

YEAR_S = 366 * 86_400
TOUCHES = ("open", "os.listdir", "os.scandir")
QUAY = Circle(lat=52.3702, lon=4.8952, radius_m=300)
counting: list[int] = []


def _count(event: str, _: object) -> None:
    if counting and event in TOUCHES:
        counting[0] += 1


sys.addaudithook(_count)  # which Python never takes out again; it costs a comparison


def touched(act: Callable[[], object]) -> int:
    """Counts the files that `act` opens and the folders it lists."""
    counting.append(0)
    try:
        act()
        return counting[0]
    finally:
        counting.clear()


@pytest.fixture
def bus() -> FakeBus:
    bus = FakeBus(FakeBroker(), "rijnstad-police")
    bus.start()
    return bus


def ask(requester: Requester, number: int) -> str:
    return requester_messages.make_request(requester, question(case=f"2027-{number:04}"), now_s=NOW_S).id


def send_all(requester: Requester, bus: FakeBus) -> None:
    outgoing = PublishQueue(bus)
    publish_pending(requester, outgoing, NOW_S, lambda *_: None)
    while outgoing:
        outgoing.pump()
        if (event := bus.next_event(0)) is not None:
            outgoing.settled(event)


def test_a_message_reads_as_many_files_after_sixty_others_as_after_two(requester: Requester, bus: FakeBus) -> None:
    def costs(number: int) -> dict[str, int]:
        return {
            "ask": touched(lambda: ask(requester, number)),
            "send": touched(lambda: send_all(requester, bus)),
            "look for more to send": touched(lambda: send_all(requester, bus)),
            "look again": touched(lambda: send_all(requester, bus)),
            "the roots a receipt is made for": touched(requester.trust_roots),
            "withdraw": touched(lambda: requester_messages.make_withdrawal(requester, ask(requester, number + 500))),
            "a bulletin": touched(
                lambda: requester_messages.make_bulletin(
                    requester, "Flood", "On the quay.", language="en", not_after_s=NOW_S + 60, area=QUAY
                )
            ),
        }

    costs(1)  # which makes folders that stay
    send_all(requester, bus)
    send_all(requester, bus)  # which strikes out what was sent
    few = costs(2)
    for number in range(3, 61):
        ask(requester, number)
    send_all(requester, bus)
    send_all(requester, bus)
    assert costs(61) == few
    assert requester.trust_roots() == {ROOT_ID}
    bus.stop()


def test_an_answer_finds_its_request_by_the_reply_key_for_a_year_after_its_end(requester: Requester) -> None:
    made = [
        requester.sent_request(
            requester_messages.make_request(requester, question(not_after_s=until_s, case=case), now_s=NOW_S).id
        ).request
        for case, until_s in (("1", NOW_S + 60), ("2", NOW_S + 86_400))
    ]
    old, new = (reply_tag(each.reply) for each in made)
    register = requester.register
    assert register.with_reply_key(old, NOW_S + YEAR_S + 60) == [made[0].id]
    assert register.with_reply_key(new, NOW_S + YEAR_S + 60) == [made[1].id]
    assert register.with_reply_key(old, NOW_S + YEAR_S + 61) == []
    assert register.with_reply_key(new, NOW_S + YEAR_S + 61) == [made[1].id]
    assert register.with_reply_key(reply_tag("another"), NOW_S) == []


def test_what_a_crash_left_half_done_is_skipped_and_nothing_that_was_signed_is_forgotten(
    requester: Requester, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ask(requester, 1)
    whole = files.write

    def fails_at(name: str) -> Callable[..., None]:
        def write(path: object, *values: object, **named: object) -> None:
            if str(path).endswith(name):
                raise DoorwardError("The power went.")
            whole(path, *values, **named)  # type: ignore[arg-type]

        return write

    for name in ("request.dsse", "reply.identity"):
        monkeypatch.setattr(files, "write", fails_at(name))
        with pytest.raises(DoorwardError):
            ask(requester, 1)
    monkeypatch.setattr(files, "write", whole)
    assert [asked.request.id for asked in requester.sent_requests_in_case("2027-0001")] == [kept]
    troubles: list[str] = []
    publish_pending(requester, PublishQueue(bus), NOW_S, lambda name, _: troubles.append(name))
    assert troubles == []
    send_all(requester, bus)
    assert is_published(requester, kept)
    bus.stop()


def test_a_withdrawal_made_while_its_request_is_struck_out_is_still_sent(
    requester: Requester, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(requester, 1)
    publish(requester_messages.signed(requester, request), bus, now_s=NOW_S)
    strike = requester.register.sent
    monkeypatch.setattr(
        requester.register,
        "sent",
        lambda name: (requester_messages.make_withdrawal(Requester.open(requester.folder), name), strike(name)),
    )
    publish_pending(requester, PublishQueue(bus), NOW_S, lambda *_: None)
    monkeypatch.undo()
    assert not is_published(requester, request)
    send_all(requester, bus)
    assert is_published(requester, request)
    bus.stop()


def test_two_requests_of_one_case_are_found_among_all(requester: Requester) -> None:
    for number in range(4):
        area = Circle(lat=52.3702, lon=4.8952 + number / 10, radius_m=300)
        requester_messages.make_request(requester, question(area=area, case="one"), now_s=NOW_S)
        ask(requester, number)
    assert len(list(requester.sent_requests_in_case("one"))) == 4
    assert list(requester.sent_requests_in_case("another")) == []


def test_a_message_that_was_sent_may_be_said_to_be_sent_again(requester: Requester) -> None:
    index = requester.register
    index.add_unsent("a" * 32)
    assert "a" * 32 in list(index.unsent())
    for _ in range(2):
        index.sent("a" * 32)
        assert "a" * 32 not in list(index.unsent())


# -- every row of the register -----------------------------------------------------------------------------------------


def rows(requester: Requester) -> list[tuple[object, ...]]:
    return requester.index.read(lambda of: [tuple(row) for row in of.execute("SELECT * FROM message ORDER BY id")])


def made_again(requester: Requester) -> Requester:
    """The same requester, with an index that is made from the folder alone."""
    again = Requester.open(requester.folder)
    again.index._path = requester.folder / "made again"  # type: ignore[attr-defined]
    return again


def row_of(requester: Requester, request_id: str, *, unsent: bool) -> tuple[object, ...]:
    request = requester.sent_request(request_id).request
    in_case = hashlib.sha256(request.case.encode()).hexdigest()
    until_s = request.not_after_s + YEAR_S
    return (request_id, 1, in_case, request.trust_root, reply_tag(request.reply), until_s, int(unsent))


def test_an_index_that_is_made_again_has_the_row_of_each_message(requester: Requester) -> None:
    sent, unsent, withdrawn, deleted, told = (ask(requester, number) for number in range(5))
    for name in (sent, withdrawn, deleted):
        requester_messages.signed(requester, name).mark_published()
        requester.register.sent(name)
    requester_messages.make_withdrawal(requester, withdrawn)
    requester_messages.make_deletion(requester, deleted, NOW_S)
    requester_messages.make_withdrawal(requester, told).mark_published()
    requester.register.sent(told)
    bulletins = [
        requester_messages.make_bulletin(
            requester, "Flood", "On the quay.", language="en", not_after_s=NOW_S + 60, area=QUAY
        )
        for _ in range(2)
    ]
    bulletins[0].mark_published()
    requester.register.sent(bulletins[0].id)
    expected = sorted(
        [
            row_of(requester, sent, unsent=False),
            *(row_of(requester, name, unsent=True) for name in (unsent, withdrawn, deleted)),
            row_of(requester, told, unsent=False),
            (bulletins[0].id, 0, "", "", "", 0, 0),
            (bulletins[1].id, 0, "", "", "", 0, 1),
        ]
    )
    for name in ("notes of a person", "0d" * 15):
        (requester.folder / "requests" / name).mkdir()
    assert rows(requester) == expected
    assert rows(made_again(requester)) == expected


def test_a_deletion_that_is_published_counts_before_the_withdrawal(requester: Requester) -> None:
    name = ask(requester, 1)
    requester_messages.make_withdrawal(requester, name)
    requester_messages.make_deletion(requester, name, NOW_S).mark_published()
    assert rows(made_again(requester)) == [row_of(requester, name, unsent=False)]


@pytest.mark.parametrize("damage", [b"{}", b"not an envelope", None])
def test_a_request_that_cannot_be_read_stays_listed_so_that_its_damage_is_told(
    requester: Requester, damage: bytes | None
) -> None:
    name, other = ask(requester, 1), ask(requester, 2)
    path = requester.folder / "requests" / name / "request.dsse"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    again = made_again(requester)
    until_s = 1 << 40
    assert (name, 1, "", "", "", until_s, 1) in rows(again)
    tag = reply_tag(requester.sent_request(other).request.reply)
    assert again.register.with_reply_key(tag, NOW_S) == [other, name], "the one with the key comes first"
    assert again.register.with_reply_key("another", until_s) == [name]
    assert again.register.with_reply_key("another", until_s + 1) == []
    assert again.register.roots() == {ROOT_ID}


def test_a_register_names_requests_by_their_beginning_and_no_bulletins(requester: Requester) -> None:
    names = sorted(ask(requester, number) for number in range(4))
    bulletin = requester_messages.make_bulletin(
        requester, "Flood", "On the quay.", language="en", not_after_s=NOW_S + 60, area=QUAY
    ).id
    register = requester.register
    assert register.beginning_with("") == names
    assert register.beginning_with(names[0]) == names[:1]
    assert register.beginning_with(names[0][:8]) == [name for name in names if name.startswith(names[0][:8])]
    assert register.beginning_with(bulletin) == []
    assert register.is_unsent(bulletin)
    register.sent(bulletin)
    assert (register.is_unsent(bulletin), register.is_unsent("0d" * 16)) == (False, False)
    assert sorted(register.unsent()) == names


def test_the_roots_are_those_of_all_requests_once(requester: Requester) -> None:
    for number, root in enumerate(("0f" * 8, ROOT_ID, "0f" * 8, "ff" * 8)):
        requester_messages.make_request(requester, question(case=str(number)), now_s=NOW_S, trust_root=root)
    requester_messages.make_bulletin(
        requester, "Flood", "On the quay.", language="en", not_after_s=NOW_S + 60, area=QUAY, trust_root="ee" * 8
    )
    assert requester.register.roots() == {"0f" * 8, ROOT_ID, "ff" * 8}


def test_a_message_that_is_added_again_keeps_its_row_and_is_unsent(requester: Requester) -> None:
    name = ask(requester, 1)
    row = row_of(requester, name, unsent=True)
    for add in (
        lambda: requester.register.add_unsent(name),
        lambda: requester.register.add_request(requester.sent_request(name).request),
    ):
        requester.register.sent(name)
        add()
        assert rows(requester) == [row]
