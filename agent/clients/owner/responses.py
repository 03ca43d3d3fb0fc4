"""The responses to a request until now, stored by the device and verified on this machine.

- **A first owner's approval**, if it takes two: signed by a present owner, for this request and its reply key, and only
  for matching footage. A co-approval names its hash, and so confirms exactly the displayed approval. Only the first
  owner's client has the file keys, so only it knows that each new header is wrapped to the requester.
- **The requester's receipt** and, later, its **deletion**: signed with a currently trusted key.

These functions only read. They raise `OpenError` if a signature fails to verify.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.sealed_texts import unsealed
from agent.core.disclosure import claimed_clips
from agent.core.disclosure.releasing import stored_file
from agent.core.vault.manifest import SignedRecord
from agent.errors import FormatError, OpenError
from agent.ipc.control_operations import RequestAnswer
from agent.wire import envelope, strictjson
from agent.wire.disclosures import PartKind, Receipt
from agent.wire.messages import Deletion
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Approval, Enrolment, SealedItem, open_statement, read_statement
from agent.wire.trust import TrustedRequester

__all__ = ["FirstApproval", "deletion_in", "first_in", "receipt_in"]

MessageT = TypeVar("MessageT", Receipt, Deletion)

_REMEDY = "Share nothing and inspect the device."


@dataclass(frozen=True, slots=True)
class FirstApproval:
    """The approval of the first of two owners. `by` is the name of their key, `sha256` the hash of the statement's
    payload."""

    by: str
    approval: Approval
    sha256: str


def first_in(
    answer: RequestAnswer,
    enrolment: Enrolment,
    request_sha256: str,
    reply: str,
    records: Mapping[str, SignedRecord],
) -> FirstApproval | None:
    """Returns the approval that waits for a second owner, or None. `records`: of the matching segments, by id."""
    if answer.first is None:
        return None
    data = answer.first.encode("ascii", "replace")
    claimed = read_statement(data)
    if claimed.key_id not in enrolment.approver_keys:
        return None  # the first approver stopped being an owner, so the approval is void
    opened = open_statement(data, Approval.PAYLOAD_TYPE, enrolment.signers)
    approval = strictjson.decode(opened.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
    # The second owner signs this approval's hash and nothing else, so all that it says is checked here.
    if (approval.device, approval.request, approval.reply) != (enrolment.device, request_sha256, reply):
        raise OpenError("The approval that the device shows is for something else.", remedy=_REMEDY)
    _require_recorded(approval.segments, _payloads(PartKind.SEGMENT, records))
    _require_recorded(approval.posters, _payloads(PartKind.POSTER, records))
    _require_recorded(approval.sounds, _payloads(PartKind.SOUND, records))
    if set(approval.clips or ()) - set(claimed_clips(records, tuple(records))):
        raise OpenError("The approval that the device shows names clips that did not match.", remedy=_REMEDY)
    return FirstApproval(enrolment.name_of(opened.key_id), approval, hashlib.sha256(opened.payload).hexdigest())


def receipt_in(
    answer: RequestAnswer, requester: TrustedRequester, disclosure: str | None, identity: AgeIdentity
) -> Receipt | None:
    """Returns the requester's receipt, or None if the disclosure is still open."""
    if answer.receipt is None:
        return None
    receipt = _said(unsealed(answer.receipt, identity), Receipt, requester)
    if (receipt.requester, receipt.trust_root, receipt.disclosure) != (requester.id, requester.root, disclosure):
        raise OpenError("The receipt that the device shows is for something else.", remedy=_REMEDY)
    return receipt


def deletion_in(
    answer: RequestAnswer, requester: TrustedRequester, request: str, identity: AgeIdentity
) -> Deletion | None:
    """The requester's word that what it received is deleted."""
    if answer.deletion is None:
        return None
    deletion = _said(unsealed(answer.deletion, identity), Deletion, requester)
    if (deletion.requester, deletion.trust_root, deletion.request) != (requester.id, requester.root, request):
        raise OpenError("The deletion that the device shows is of something else.", remedy=_REMEDY)
    return deletion


def _said(data: bytes, kind: type[MessageT], requester: TrustedRequester) -> MessageT:
    try:
        opened = envelope.open_envelope(data, kind.PAYLOAD_TYPE, {requester.key.id: requester.key})
        return strictjson.decode(opened.payload, kind)
    except FormatError as error:
        raise OpenError(
            "The requester's message that the device shows is not signed by the key of the request.", remedy=_REMEDY
        ) from error


def _require_recorded(items: Iterable[SealedItem], payloads: Mapping[str, str | None]) -> None:
    for item in items:
        if payloads.get(item.id) != item.payload_sha256:
            raise OpenError(
                f"The approval that waits names {item.id}, which did not match or is no longer stored.",
                remedy="Deny the request, or approve something else.",
            )


def _payloads(kind: PartKind, records: Mapping[str, SignedRecord]) -> dict[str, str | None]:
    """Returns the hash of each segment's sealed content of that kind, or None if it is missing."""
    files = {name: stored_file(kind, record) for name, record in records.items()}
    return {name: None if file is None else file.sha256_payload for name, file in files.items()}
