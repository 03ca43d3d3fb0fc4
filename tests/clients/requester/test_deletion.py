"""Everything received for a request is deleted, and then that is stated: never the other way round."""

from __future__ import annotations

import os

import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.errors import StorageError
from agent.wire import envelope
from agent.wire.messages import Deletion
from tests.clients.requester.conftest import NOW_S, question
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down


def test_every_copy_goes_and_the_statement_follows(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    other = requester.sent_request(messages.make_request(requester, question(case="2"), now_s=NOW_S).id)
    kept = house.disclose(other)
    lay_down(requester, other, kept)
    open_disclosure(requester, disclosure.id, now_s=NOW_S)
    told: list[ReceiverEvent] = []

    def tell(event: ReceiverEvent) -> None:
        assert requester.reply_identity(asked.request.id) is None, "the key goes before the first answer does"
        told.append(event)

    signed = delete_answers(requester, asked.request.id, NOW_S, tell)
    assert envelope.read_unverified(signed.envelope).payload_type == Deletion.PAYLOAD_TYPE
    left = {str(path.relative_to(requester.folder)) for path in requester.folder.rglob("*")}
    assert not any(disclosure.id in path for path in left)
    assert f"disclosures/{kept.id}" in left
    assert requester.reply_identity(asked.request.id) is None
    listed = requester.answers.get(disclosure.id)
    assert listed is not None
    assert (listed.state, listed.ended_ms) == (AnswerState.DELETED, NOW_S * 1000)
    assert told == [
        ReceiverEvent(
            ReceiverEventKind.DELETED, disclosure.id, asked.request.id, device=disclosure.device, at_ms=NOW_S * 1000
        )
    ]


def test_a_copy_that_cannot_be_deleted_is_named_and_nothing_is_stated(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(SentRequest, "delete_reply_identity", lambda _: None)
    with pytest.raises(StorageError, match=disclosure.id):
        delete_answers(requester, asked.request.id, NOW_S)
    monkeypatch.undo()
    assert not requester.sent_request(asked.request.id).deleted
    assert AnswerFolder(requester.folder, disclosure.id).path.is_dir()
    assert delete_answers(requester, asked.request.id, NOW_S).id == asked.request.id
