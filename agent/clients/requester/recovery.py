"""Finds answers again that a store of sealed parts has and the notes lack, after the notes came back from a backup.

A doorbell deletes an answer after its receipt, so it does not send it again. If the notes are older than the store,
each whole answer is listed again if the notes have its key, verified as at its arrival. An answer to a later request
stays sealed: its reply key was in the notes that are lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from agent.clients.opening import open_bytes
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.checks import MOST_FIRST_PART_BYTES, ranges_of, unexpected_errors
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.grades import summary_of
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.incoming_tips import manifest_in, open_tip
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.verification import examine
from agent.core.disclosure import VerifiedDisclosure, read_manifest, reply_tag_in
from agent.core.transfer import PartSize, TransferState
from agent.errors import DoorwardError, FormatError, NetworkError, OpenError
from agent.wire.topics import ANONYMOUS

__all__ = ["RecoveredAnswers", "recover_answers"]


@dataclass(frozen=True, slots=True)
class RecoveredAnswers:
    """Ids of answers: those that are listed again, and those that are cut or open with no key of these notes."""

    found: tuple[str, ...]
    sealed: tuple[str, ...]


def recover_answers(requester: Requester, stored: Mapping[str, int], now_s: int) -> RecoveredAnswers:
    """Lists the answers of the store that have no outcome in the notes.

    `stored`: each answer in the store, with the time at which its last part came (UTC ms). That time counts as its
    arrival, so that it is kept no longer than promised. Run it while no receiver runs. It may be repeated. Raises
    `NetworkError` if database or store are away.
    """
    found, sealed = list[str](), list[str]()
    for disclosure, at_ms in stored.items():
        answer, known = requester.answer(disclosure), requester.answers.get(disclosure)
        if answer.outcome() is not None or (known is not None and known.state is AnswerState.DELETED):
            continue
        try:
            with unexpected_errors():
                is_whole = _recover_answer(requester, answer, at_ms, now_s) or _recover_tip(requester, answer, at_ms)
        except NetworkError:
            raise
        except DoorwardError:
            is_whole = False
        (found if is_whole else sealed).append(disclosure)
    return RecoveredAnswers(tuple(found), tuple(sealed))


def _recover_answer(requester: Requester, answer: AnswerFolder, at_ms: int, now_s: int) -> bool:
    data = answer.read_part(0, MOST_FIRST_PART_BYTES)
    opened = _opened(requester, data, now_s)
    if opened is None:
        return False
    asked, disclosed = opened
    manifest = disclosed.manifest
    if manifest.disclosure != answer.disclosure or asked.withdrawn:
        return False
    if not _list(answer, manifest.device_key.id, len(manifest.parts) + 1, data, at_ms):
        return False
    answer.adopt(asked.envelope)
    verification = examine(requester, answer.disclosure)
    if verification.failed is not None:
        answer.end(TransferState.REFUSED, verification.failed.said, ended_ms=at_ms)
    else:
        KnownDoorbells(requester.notes).remember(manifest, at_ms // 1000)
        answer.end(TransferState.COMPLETE, "", verification.unopened_ranges, at_ms, summary_of(verification))
    requester.answers.ended(answer.disclosure)
    return True


def _recover_tip(requester: Requester, answer: AnswerFolder, at_ms: int) -> bool:
    data = answer.read_part(0, MOST_FIRST_PART_BYTES)
    _, items = manifest_in(requester, answer)
    if not _list(answer, ANONYMOUS, len(items) + 1, data, at_ms):
        return False
    files = open_tip(requester, answer.disclosure).files
    unopened = ranges_of(number for number, each in enumerate(files, start=1) if each.unopened)
    answer.end(TransferState.COMPLETE, unopened=unopened, ended_ms=at_ms)
    requester.answers.ended(answer.disclosure)
    return True


def _opened(requester: Requester, data: bytes, now_s: int) -> tuple[SentRequest, VerifiedDisclosure] | None:
    """Returns the request that this part 0 answers, and what it says."""
    try:
        tag = reply_tag_in(data)
    except FormatError:
        return None  # a tip
    for request_id in requester.register.with_reply_key(tag, now_s):
        identity = None if requester.is_relayed(request_id) else requester.reply_identity(request_id)
        if identity is None:
            continue
        try:
            opened = open_bytes(data, [identity])
        except OpenError:
            continue
        asked = requester.sent_request(request_id)
        return asked, read_manifest(opened, asked.request, asked.payload_sha256)
    return None


def _list(answer: AnswerFolder, device: str, parts: int, first: bytes, at_ms: int) -> bool:
    """Writes the origin of an answer of which all parts are there. Returns False if one is missing."""
    if answer.sealed() != frozenset(range(parts)):
        return False
    size = PartSize(len(first), hashlib.sha256(first).hexdigest())
    answer.create(
        DisclosureOrigin(
            v=1, device=device, parts=parts, size_bytes=size.size_bytes, sha256=size.sha256, begun_ms=at_ms
        )
    )
    answer.leave()
    return True
