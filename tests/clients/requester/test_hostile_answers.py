"""Answers made to harm a requester are dropped, or quarantined with the reason, and a neighbour's answer arrives."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable

import pytest

from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEventKind
from agent.core.disclosure import reply_stanza, reply_tag
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.core.vault.age.header import Stanza
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.errors import StorageError
from agent.wire.topics import UploadTopic, UploadVerb
from tests.clients.requester.conftest import filmed
from tests.clients.requester.doors import Door, TestClock, answer_folders
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_receiving_service import LIMITS, Desk, broker, clock, desk, kept, play
from tests.fake_bus import FakeBroker, FakeBus

__all__ = ["broker", "clock", "desk"]

DEVICE = "ab" * 8


def first_part(reply: str, *remarks: Stanza, plaintext: bytes = b"[" * 100_000) -> bytes:
    sealer = Sealer(secrets.token_bytes(16), [parse_recipient(reply)], nonce=secrets.token_bytes(16), remarks=remarks)
    return sealer.header + sealer.update(plaintext) + sealer.finish()


def unopenable(reply: str) -> dict[str, bytes]:
    """First parts by what is wrong with them."""
    whole = first_part(reply, reply_stanza(reply))
    return {
        "a header of a megabyte": first_part(reply, reply_stanza(reply))[:22] + b"-> x\n\n" * 180_000 + whole[22:],
        "a header without an end": b"age-encryption.org/v1\n" + b"-> x\n\n" * 400_000,
        "no tag": first_part(reply),
        "two tags": first_part(reply, reply_stanza(reply), reply_stanza(reply)),
        "a tag of no request": first_part(reply, Stanza("doorward-reply", ("5e" * 8,), b"")),
        "a tag that is a path": first_part(reply, Stanza("doorward-reply", ("../../signing.key",), b"")),
        "a tag that is a query": first_part(reply, Stanza("doorward-reply", ("'OR''='",), b"")),
        "the right tag, another key": whole.replace(reply_tag(reply).encode(), b"5e" * 8),
        "the right tag, nothing behind it": whole[: whole.index(b"---")],
        "a cut payload": whole[:-100],
    }


KINDS = (
    "a header of a megabyte",
    "a header without an end",
    "no tag",
    "two tags",
    "a tag of no request",
    "a tag that is a path",
    "a tag that is a query",
    "the right tag, another key",
    "the right tag, nothing behind it",
    "a cut payload",
)


def neighbour_is_heard(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    door = Door(broker, requester, filmed(gops, name="the neighbour's").disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert kept(requester, door.disclosure)


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_part_that_does_not_open_is_dropped_and_leaves_nothing(
    kind: str,
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    gops: list[Gop],
    clock: TestClock,
) -> None:
    bad = Disclosure(secrets.token_hex(16), DEVICE, [unopenable(asked.request.reply)[kind], b"more"])
    door = Door(broker, requester, bad, clock)
    play(clock, desk, door, until=lambda: ReceiverEventKind.DROPPED in desk.kinds)
    assert list(answer_folders(requester.folder)) == []
    assert requester.answers.get(bad.id) is None
    assert door.receipts == [] or door.receipts[-1].request is None
    neighbour_is_heard(desk, broker, requester, asked, gops, clock)


@pytest.mark.parametrize("plaintext", [b"[" * 100_000, b"{}", b"\x00" * 70_000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_a_first_part_that_opens_and_says_nonsense_is_quarantined_with_the_reason(
    plaintext: bytes,
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    gops: list[Gop],
    clock: TestClock,
) -> None:
    part = first_part(asked.request.reply, reply_stanza(asked.request.reply), plaintext=plaintext)
    bad = Disclosure(secrets.token_hex(16), DEVICE, [part, b"more"])
    door = Door(broker, requester, bad, clock)
    play(clock, desk, door)
    found = requester.answers.get(bad.id)
    assert found is not None
    assert (found.state, found.device, found.request) == (AnswerState.QUARANTINED, DEVICE, asked.request.id)
    assert found.reason
    told = next(each for each in desk.news if each.kind is ReceiverEventKind.REFUSED)
    assert (told.detail, told.disclosure, told.device) == (found.reason, bad.id, DEVICE)
    assert AnswerFolder(requester.folder, bad.id).sealed() == {0}
    neighbour_is_heard(desk, broker, requester, asked, gops, clock)


@pytest.mark.parametrize("parts", [30_001, 30_002, 1_000_000, 2**53 - 1])
def test_a_million_parts_are_announced_for_nothing(
    parts: int,
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    gops: list[Gop],
    clock: TestClock,
) -> None:
    bus = FakeBus(broker, DEVICE)
    bus.start()
    note = b'{"parts":%d,"sha256":"%b","size_bytes":100,"v":1}' % (parts, b"0" * 64)
    for number in range(12):
        topic = UploadTopic(requester.id, DEVICE, f"{number:032x}", 0, UploadVerb.INIT)
        assert bus.publish(str(topic), note, token=number, retain=False)
    while desk.step():
        pass
    assert sum(1 for _ in answer_folders(requester.folder)) <= 4
    assert len(requester.answers) <= 4
    neighbour_is_heard(desk, broker, requester, asked, gops, clock)
    bus.stop()


def test_a_doorbell_that_restarts_for_ever_takes_neither_room_nor_turns(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    gops: list[Gop],
    clock: TestClock,
) -> None:
    for number in range(25):
        door = Door(broker, requester, house.disclose(asked), clock, window=1)
        play(clock, desk, door, until=lambda door=door: bool(door.receipts))  # type: ignore[misc]
        for _ in range(number % 5):
            door.step()
            desk.step()
        door.bus.stop()
        assert len(requester.answers) <= LIMITS.unread_per_device
    neighbour_is_heard(desk, broker, requester, asked, gops, clock)
    last = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, last)
    assert last.finished is not None
    assert last.finished.outcome is TransferOutcome.DELIVERED
    complete = [each for each in requester.answers.changed_since(0) if each.state is AnswerState.COMPLETE]
    assert len(complete) == 2
    assert sum(1 for _ in answer_folders(requester.folder)) == len(requester.answers) <= 5


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_that_fills_up_during_an_answer_loses_no_acknowledged_part(
    call: str,
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock, window=2)
    works: Callable[..., int] = getattr(os, call)
    for room in (1, 2, 4):
        left = [room]

        def fills(*values: object, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return works(*values)

        with monkeypatch.context() as full:
            full.setattr(os, call, fills)
            with pytest.raises(StorageError, match="No space left"):
                play(clock, desk, door)
        desk.crash()
        there = AnswerFolder(requester.folder, door.disclosure.id).sealed()
        for receipt in door.receipts:
            stored = {part for span in receipt.stored for part in range(span.first, span.last + 1)}
            assert stored <= there, "a receipt names only what is there"
        desk.begin()
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert kept(requester, door.disclosure)
    assert len(requester.answers) == 1


def test_a_reason_from_outside_is_short_and_prints_as_text(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    hostile = "\x1b[2J=cmd|' /C calc'!A0<script>" * 40
    lying = filmed(gops, Changes(statements=lambda _: hostile.encode()))
    bad = lying.disclose(asked)
    play(clock, desk, Door(broker, requester, bad, clock))
    found = requester.answers.get(bad.id)
    assert found is not None
    assert found.state is AnswerState.QUARANTINED
    assert len(found.reason) <= 500
    assert found.reason.isprintable()
    assert "<script>" not in found.reason
