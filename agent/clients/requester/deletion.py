"""Deletes everything received for a request, then states the deletion, signed.

The order makes the statement true at each crash: first the reply key goes, so that each copy of an answer stays sealed
and a running `receive` can begin no other; then the files; then the statement is signed. Repeat it after a crash.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.clients.requester.identity import Requester
from agent.clients.requester.messages import SignedMessage, make_deletion
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.notes import delete_folder

__all__ = ["delete_answers"]


def _ignore(_event: ReceiverEvent) -> None:
    """Ignores the event."""


def delete_answers(
    requester: Requester, request_id: str, now_s: int, tell: Callable[[ReceiverEvent], None] = _ignore
) -> SignedMessage:
    """Deletes all answers to a request in this folder, sealed and opened, and returns the signed deletion.

    `tell` gets a DELETED event for each answer. A running `receive` publishes the deletion, or the caller does
    (`publisher`). Raises `StorageError`, and signs nothing, if a file cannot be deleted.
    """
    asked = requester.sent_request(request_id)
    asked.delete_reply_identity()
    for answer in requester.answers.to_request(request_id):
        delete_folder(requester.folder / "opened" / answer.disclosure)
        requester.answer(answer.disclosure).delete()
        # After its files are gone, so that a list never calls an answer deleted that is still there.
        requester.answers.deleted(answer.disclosure, now_s * 1000)
        tell(
            ReceiverEvent(
                ReceiverEventKind.DELETED, answer.disclosure, request_id, device=answer.device, at_ms=now_s * 1000
            )
        )
    return make_deletion(requester, request_id, now_s)
