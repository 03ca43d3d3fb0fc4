"""Finds answers again that a store of sealed parts has and the notes lack, after the notes came back from a backup.

A doorbell deletes an answer after its receipt, so it does not send it again. If the notes are older than the store,
each whole answer is listed again if the notes have its key, verified as at its arrival. An answer to a later request
stays sealed: its reply key was in the notes that are lost. Each answer that is left aside has its reason and remedy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

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
from agent.core.transfer import PartSize
from agent.errors import DoorwardError, FormatError, NetworkError, OpenError, RequestError, StorageError
from agent.wire.disclosures import ReceiptState
from agent.wire.topics import ANONYMOUS

__all__ = ["RecoveredAnswers", "recover_answers"]


_INCOMPLETE: Final = (
    "Restore them from a version or a backup of the bucket, and run this again. A doorbell that has no receipt for the "
    "answer sends them again."
)


@dataclass(frozen=True, slots=True)
class RecoveredAnswers:
    """Ids of answers that are listed again, and those that are left aside, each with the reason and the remedy."""

    found: tuple[str, ...]
    left: Mapping[str, DoorwardError]


def recover_answers(
    requester: Requester, stored: Iterable[str], arrived_ms: Callable[[str], int], now_s: int
) -> RecoveredAnswers:
    """Lists the answers of the store that have no outcome in the notes.

    `stored`: the answers in the store. `arrived_ms`: when the last part of one came (UTC ms). That time counts as its
    arrival, so that it is kept no longer than promised. Run it while no receiver runs. It may be repeated. Raises
    `NetworkError` if database or store are away.
    """
    found, left = list[str](), dict[str, DoorwardError]()
    for disclosure in stored:
        answer, known = requester.answer(disclosure), requester.answers.get(disclosure)
        if answer.outcome() is not None or (known is not None and known.state is AnswerState.DELETED):
            continue
        try:
            with unexpected_errors():
                _recover(requester, answer, arrived_ms, now_s)
        except NetworkError:
            raise
        except DoorwardError as error:
            left[disclosure] = error
        else:
            found.append(disclosure)
    return RecoveredAnswers(tuple(found), left)


def _recover(requester: Requester, answer: AnswerFolder, arrived_ms: Callable[[str], int], now_s: int) -> None:
    """Lists one answer. Raises `DoorwardError` with the reason if that cannot be."""
    if 0 not in answer.sealed():
        raise StorageError("Its part 0 is not in the store.", remedy=_INCOMPLETE)
    data = answer.read_part(0, MOST_FIRST_PART_BYTES)
    try:
        tag = reply_tag_in(data)
    except FormatError:
        _recover_tip(requester, answer, data, arrived_ms)
    else:
        _recover_answer(requester, answer, data, _opened(requester, data, tag, now_s), arrived_ms)


def _recover_answer(
    requester: Requester,
    answer: AnswerFolder,
    data: bytes,
    opened: tuple[SentRequest, VerifiedDisclosure],
    arrived_ms: Callable[[str], int],
) -> None:
    asked, disclosed = opened
    manifest = disclosed.manifest
    if manifest.disclosure != answer.disclosure:
        raise FormatError(
            f"It lies in the folder of another answer: it is {manifest.disclosure}.",
            remedy="Move its parts to the folder of that name in the bucket, and run this again.",
        )
    if asked.withdrawn:
        raise RequestError(
            "Its request was withdrawn, so the desk must not have it.", remedy="Delete its parts from the bucket."
        )
    at_ms = arrived_ms(answer.disclosure)
    _list(answer, manifest.device_key.id, len(manifest.parts) + 1, data, at_ms)
    answer.adopt(asked.envelope)
    verification = examine(requester, answer.disclosure)
    if verification.failed is not None:
        answer.end(ReceiptState.REFUSED, verification.failed.said, ended_ms=at_ms)
    else:
        KnownDoorbells(requester.notes).remember(manifest, at_ms // 1000)
        answer.end(ReceiptState.COMPLETE, "", verification.unopened_ranges, at_ms, summary_of(verification))
    requester.answers.ended(answer.disclosure)


def _recover_tip(requester: Requester, answer: AnswerFolder, data: bytes, arrived_ms: Callable[[str], int]) -> None:
    try:
        _, items = manifest_in(requester, answer)
    except (FormatError, OpenError) as error:
        raise FormatError(
            f"It is neither an answer nor a tip that this organisation's key opens: {error.message}",
            remedy="Take a damaged part 0 from a version or a backup of the bucket. Otherwise delete its parts from "
            "the bucket.",
        ) from error
    at_ms = arrived_ms(answer.disclosure)
    _list(answer, ANONYMOUS, len(items) + 1, data, at_ms)
    files = open_tip(requester, answer.disclosure).files
    unopened = ranges_of(number for number, each in enumerate(files, start=1) if each.unopened)
    answer.end(ReceiptState.COMPLETE, unopened=unopened, ended_ms=at_ms)
    requester.answers.ended(answer.disclosure)


def _opened(requester: Requester, data: bytes, tag: str, now_s: int) -> tuple[SentRequest, VerifiedDisclosure]:
    """Returns the request that this part 0 answers, and what it says. Raises `DoorwardError` without one."""
    is_relayed = is_deleted = False
    for request_id in requester.register.with_reply_key(tag, now_s):
        # Requests that the index cannot read are among these. The reason is told only if none opens it.
        if requester.is_relayed(request_id):
            is_relayed = True
            continue
        identity = requester.reply_identity(request_id)
        if identity is None:
            is_deleted = True
            continue
        try:
            opened = open_bytes(data, [identity])
        except OpenError:
            continue
        asked = requester.sent_request(request_id)
        return asked, read_manifest(opened, asked.request, asked.payload_sha256)
    if is_relayed:
        raise RequestError(
            "It answers a neighbour, and only their browser has the key.",
            remedy="The neighbour asks again. Delete its parts from the bucket.",
        )
    if is_deleted:
        raise RequestError(
            "The reply key of its request was deleted.",
            remedy="Delete its parts from the bucket. Ask again if you still need an answer.",
        )
    raise RequestError(
        "No request of this database has its reply key: it answers one that was sent after the dump.",
        remedy="Put a newer dump back and run this again. Without one ask again: doorbells take the request as a new "
        "one. Then delete its parts from the bucket.",
    )


def _list(answer: AnswerFolder, device: str, parts: int, first: bytes, at_ms: int) -> None:
    """Writes the origin of an answer of which all parts are there. Raises `StorageError` if one is missing."""
    missing = frozenset(range(parts)) - answer.sealed()
    if missing:
        raise StorageError(f"Parts {_numbers(missing)} of {parts} are not in the store.", remedy=_INCOMPLETE)
    if beyond := answer.sealed() - frozenset(range(parts)):
        raise StorageError(
            f"Parts {_numbers(beyond)} are in the store, and it has {parts} parts.",
            remedy="Delete them from the bucket, and run this again.",
        )
    size = PartSize(len(first), hashlib.sha256(first).hexdigest())
    answer.create(
        DisclosureOrigin(
            v=1, device=device, parts=parts, size_bytes=size.size_bytes, sha256=size.sha256, begun_ms=at_ms
        )
    )
    # All parts are in the store, so the folder in which a receiver would assemble them goes.
    answer.leave()


def _numbers(parts: Iterable[int]) -> str:
    """Returns numbers in words, for example "1, 4-9"."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges_of(parts))
