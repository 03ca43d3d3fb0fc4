"""Pages of a digest: fair among requesters, newest first, complete, and each within its bound."""

from __future__ import annotations

import random

from agent.clients.broker.cell_digests import CellDigests
from agent.wire.cell_digest import MAX_PAGE_BYTES, read_page
from agent.wire.topics import BulletinTopic, RequestTopic
from tests.custodians import POLICE, request, signed

CELL = "287-379"


def messages(digests: CellDigests, cell: str = CELL) -> list[tuple[str, bytes]]:
    return [found for page in digests.pages(cell) for found in read_page(page).messages]


def test_a_cell_without_messages_has_one_empty_page() -> None:
    assert CellDigests().pages(CELL) == [b"1\n"]


def test_requesters_take_turns_and_the_newest_message_of_each_comes_first() -> None:
    digests = CellDigests()
    for slot in range(3):
        digests.put(RequestTopic(CELL, "flood", slot), b"flood %d" % slot, 1)
    digests.put(BulletinTopic(CELL, "fire", 0), b"fire", 1)
    digests.put(RequestTopic(CELL, "flood", 3), b"flood 3", 1)
    assert [data for _, data in messages(digests)] == [b"flood 3", b"fire", b"flood 2", b"flood 1", b"flood 0"]
    assert messages(digests)[1][0] == "bulletins/fire/0"


def test_the_newest_message_of_a_requester_is_the_one_with_the_highest_number_it_claims() -> None:
    digests = CellDigests()
    signed_by_a_number = [signed(request(seq=seq), POLICE) for seq in (3, 9, 5)]
    for slot, data in enumerate([*signed_by_a_number, b"{}", b"[", b'{"payload": "e30="}', b'{"payload": 5}']):
        digests.put(RequestTopic(CELL, "harbour-police", slot), data, 1)
    found = [data for _, data in messages(digests)]
    assert found[:3] == [signed_by_a_number[each] for each in (1, 2, 0)]
    assert len(found) == 7


def test_a_hundred_floods_leave_the_one_message_of_a_genuine_requester_in_the_first_hundred() -> None:
    digests = CellDigests()
    digests.put(RequestTopic(CELL, "genuine", 0), b"genuine", 1)
    for number in range(100 * 64):
        digests.put(RequestTopic(CELL, f"flood-{number % 100}", number // 100), b"x" * 12_000, 1)
    pages = digests.pages(CELL)
    assert len(pages) == 6400, "one large message a page"
    assert max(map(len, pages)) <= MAX_PAGE_BYTES
    place = next(number for number, page in enumerate(pages) if b"genuine" in page)
    assert place <= 100


def test_every_message_is_in_the_pages_once_whatever_its_size() -> None:
    chance, digests, left = random.Random(5), CellDigests(), {}
    for number in range(500):
        topic = RequestTopic(CELL, f"r-{chance.randrange(9)}", chance.randrange(64))
        left[topic] = bytes([number % 256]) * chance.randrange(1, 12_289)
        digests.put(topic, left[topic], 1)
    found = messages(digests)
    assert len(found) == len(left)
    assert dict(found) == {f"requests/{t.requester}/{t.slot}": d for t, d in left.items()}
    pages = digests.pages(CELL)
    assert {read_page(page).pages for page in pages} == {len(pages)}


def test_a_message_is_replaced_cleared_and_no_change_if_it_comes_again() -> None:
    digests, topic = CellDigests(), RequestTopic(CELL, "police", 0)
    assert digests.put(topic, b"one", 1)
    assert not digests.put(topic, b"one", 2)
    assert digests.put(topic, b"two", 2)
    assert [data for _, data in messages(digests)] == [b"two"]
    assert digests.put(topic, b"", 2)
    assert not digests.put(topic, b"", 2)
    assert messages(digests) == []


def test_a_message_that_no_device_reads_replaces_one_and_is_in_no_page() -> None:
    digests, topic = CellDigests(), RequestTopic(CELL, "police", 0)
    digests.put(topic, b"one", 1)
    assert digests.put(topic, b"x" * 12_289, 1)
    assert messages(digests) == []


def test_a_message_that_two_readings_of_its_slot_did_not_find_is_forgotten() -> None:
    digests = CellDigests()
    gone, stays, other = (RequestTopic(CELL, name, slot) for name, slot in (("a", 0), ("b", 0), ("c", 1)))
    bulletin = BulletinTopic(CELL, "a", 0)
    for topic in (gone, stays, other, bulletin):
        digests.put(topic, str(topic).encode(), 0)
    digests.put(stays, str(stays).encode(), 1)
    assert digests.forget_unread(RequestTopic, 0, 1) == set()
    assert digests.forget_unread(RequestTopic, 0, 2) == {CELL}
    assert {path for path, _ in messages(digests)} == {"requests/b/0", "requests/c/1", "bulletins/a/0"}
