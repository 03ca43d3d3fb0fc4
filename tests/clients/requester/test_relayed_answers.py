"""Answers that a requester passes on unopened: the neighbour who asked has the only key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEventKind
from agent.core.disclosure import read_manifest
from agent.core.transfer import ReceiverLimits
from agent.errors import ConfigurationError, OpenError
from agent.wire.disclosures import ReceiptState
from agent.wire.uploads import UploadNote
from tests.clients.requester.conftest import NOW_S, ROOT_ID, make_requester
from tests.clients.requester.conftest import question as draft
from tests.clients.requester.doors import TestClock
from tests.clients.requester.house import Disclosure, House
from tests.clients.requester.test_incoming import CHUNK_BYTES, Receiving
from tests.clients.requester.test_receiving_service import clock

__all__ = ["clock"]

NEIGHBOUR = HybridIdentity(bytes(range(32)))


@pytest.fixture
def requester(tmp_path: Path) -> Requester:
    return make_requester(tmp_path)


@pytest.fixture
def asked(requester: Requester) -> SentRequest:
    made = messages.make_request(requester, draft(), now_s=NOW_S, trust_root=ROOT_ID, reply=str(NEIGHBOUR.recipient()))
    return requester.sent_request(made.id)


@pytest.fixture
def answer(house: House, asked: SentRequest) -> Disclosure:
    return house.disclose(asked)


@pytest.fixture
def receiving(requester: Requester, clock: TestClock) -> Receiving:
    return Receiving(requester, clock)


def upload(receiving: Receiving, answer: Disclosure, *parts: int) -> None:
    """Sends parts as a doorbell does: the end of each says how long it is."""
    for part in parts or range(len(answer.parts)):
        data = answer.parts[part]
        for offset in range(0, len(data), CHUNK_BYTES):
            piece = data[offset : offset + CHUNK_BYTES]
            receiving.incoming.chunk(answer.device, answer.id, part, offset, piece, hashlib.sha256(piece).hexdigest())
        receiving.incoming.fin(answer.device, answer.id, part, note_of(answer, part))


def note_of(answer: Disclosure, part: int) -> UploadNote:
    size = answer.sizes[part]
    return UploadNote(v=1, parts=len(answer.parts), size_bytes=size.size_bytes, sha256=size.sha256)


def test_an_answer_arrives_whole_unopened_and_opens_with_the_neighbours_key_only(
    receiving: Receiving, asked: SentRequest, answer: Disclosure
) -> None:
    receiving.announce(answer)
    upload(receiving, answer)
    assert receiving.kinds == [ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE]
    assert receiving.last_state is ReceiptState.COMPLETE
    said = receiving.answered[-1][3]
    assert said is not None
    assert said.request == asked.request.id
    stored = receiving.requester.answer(answer.id)
    parts = [stored.read_part(number, 1 << 30) for number in range(len(answer.parts))]
    assert parts == answer.parts
    manifest = open_bytes(parts[0], [NEIGHBOUR])
    assert read_manifest(manifest, asked.request, asked.payload_sha256).approver
    row = receiving.row(answer.id)
    assert row is not None
    assert row.state is AnswerState.COMPLETE
    outcome = stored.outcome()
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("complete", "")


def test_the_requester_has_no_key_that_opens_it(requester: Requester, asked: SentRequest, answer: Disclosure) -> None:
    assert requester.reply_identity(asked.request.id) is None
    with pytest.raises(ConfigurationError, match="only with the key of the neighbour"):
        asked.reply_identity()
    secrets = [
        path for path in requester.folder.rglob("*") if path.is_file() and b"AGE-SECRET-KEY" in path.read_bytes()
    ]
    assert [path.name for path in secrets] == ["tips.identity"]
    tips = requester.tips_identity()
    assert tips is not None
    for part in answer.parts:
        with pytest.raises(OpenError):
            open_bytes(part, [tips])


def test_an_answer_to_an_ordinary_request_is_still_opened_and_verified(
    receiving: Receiving, requester: Requester, house: House
) -> None:
    made = messages.make_request(requester, draft(), now_s=NOW_S, trust_root=ROOT_ID)
    ordinary = house.disclose(requester.sent_request(made.id))
    receiving.deliver(ordinary)
    assert receiving.told[-1].verification is not None


def test_a_restart_goes_on_with_the_parts_that_are_here(
    receiving: Receiving, requester: Requester, clock: TestClock, answer: Disclosure
) -> None:
    receiving.announce(answer)
    upload(receiving, answer, 0, 1)
    again = Receiving(Requester.open(requester.folder), clock)
    again.incoming.sweep()
    again.announce(answer)
    upload(again, answer, *range(2, len(answer.parts)))
    assert again.last_state is ReceiptState.COMPLETE


def test_a_relayed_answer_has_a_limit_of_its_own_and_a_withdrawn_request_takes_none(
    requester: Requester, clock: TestClock, asked: SentRequest, answer: Disclosure
) -> None:
    small = Receiving(requester, clock, relayed_bytes=len(answer.parts[0]) + 100)
    small.announce(answer)
    upload(small, answer)
    assert small.last_state is ReceiptState.REFUSED
    assert sum(len(data) for data in parts_of(requester, answer)) <= len(answer.parts[0]) + 100


def parts_of(requester: Requester, answer: Disclosure) -> list[bytes]:
    stored = requester.answer(answer.id)
    return [stored.read_part(number, 1 << 30) for number in sorted(stored.sealed())]


def test_a_withdrawn_request_takes_no_answer(receiving: Receiving, asked: SentRequest, answer: Disclosure) -> None:
    messages.make_withdrawal(receiving.requester, asked.request.id)
    receiving.announce(answer)
    upload(receiving, answer, 0)
    assert receiving.last_state is ReceiptState.REFUSED


def test_a_relay_never_reads_more_parts_than_a_doorbell_announced(
    requester: Requester, clock: TestClock, answer: Disclosure
) -> None:
    receiving = Receiving(requester, clock, transfer=ReceiverLimits(parts=len(answer.parts) - 1))
    receiving.announce(answer)
    upload(receiving, answer)
    assert ReceiverEventKind.COMPLETE not in receiving.kinds


def test_a_deletion_removes_the_sealed_parts(receiving: Receiving, asked: SentRequest, answer: Disclosure) -> None:
    receiving.announce(answer)
    upload(receiving, answer)
    delete_answers(receiving.requester, asked.request.id, NOW_S)
    assert not receiving.requester.answer(answer.id).is_known()
    assert not receiving.requester.answer(answer.id).sealed()
