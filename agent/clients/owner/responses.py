"""What others have said to a request so far, as the device keeps it and this machine verifies it.

- **A first owner's approval**, where it takes two: signed by an owner in force, for this request and its reply key, of
  nothing but what matched.  What is seconded is its hash, and so exactly what is shown here.  That each new header in
  it is wrapped to the requester is the first owner's client's doing: nobody else has the file keys to check it with.
- **The requester's receipt** and, later, its **deletion**: signed with a key that is trusted now.

Nothing here changes anything; what does not verify raises `OpenError`.
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
from agent.wire import envelope, strictjson
from agent.wire.disclosures import PartKind, Receipt
from agent.wire.messages import Deletion
from agent.wire.statements import (
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Approval,
    Enrolment,
    SealedItem,
)
from agent.wire.trust import TrustedRequester

__all__ = ["FirstApproval", "deletion_in", "first_in", "receipt_in"]

MessageT = TypeVar("MessageT", Receipt, Deletion)

_REMEDY = "Share nothing; look at the device."


@dataclass(frozen=True, slots=True)
class FirstApproval:
    """What one of two owners has approved.  `by` is the name of their key, `sha256` of the statement's payload."""

    by: str
    approval: Approval
    sha256: str


def first_in(
    answer: Mapping[str, object],
    enrolment: Enrolment,
    request_sha256: str,
    reply: str,
    records: Mapping[str, SignedRecord],
) -> FirstApproval | None:
    """The approval that waits for a second owner; None when none does.  `records`: of what matched, by segment id."""
    data = _text(answer, "first")
    if data is None:
        return None
    claimed = envelope.read_unverified(data, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)
    if claimed.key_id not in enrolment.approver_keys:
        return None  # whoever approved it is no owner any more, and so it waits for nobody
    opened = envelope.open_envelope(
        data, Approval.PAYLOAD_TYPE, enrolment.approver_keys, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES
    )
    approval = strictjson.decode(opened.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
    if (approval.device, approval.request, approval.reply) != (enrolment.device, request_sha256, reply):
        raise OpenError("The approval that the device shows is for something else.", remedy=_REMEDY)
    _require_recorded(approval.segments, _payloads(PartKind.SEGMENT, records))
    _require_recorded(approval.posters, _payloads(PartKind.POSTER, records))
    _require_recorded(approval.sounds, _payloads(PartKind.SOUND, records))
    if set(approval.clips or ()) - set(claimed_clips(records, tuple(records))):
        raise OpenError("The approval that the device shows tells of other clips than matched.", remedy=_REMEDY)
    return FirstApproval(enrolment.name_of(opened.key_id), approval, hashlib.sha256(opened.payload).hexdigest())


def receipt_in(
    answer: Mapping[str, object], requester: TrustedRequester, disclosure: str | None, identity: AgeIdentity
) -> Receipt | None:
    """What the requester has acknowledged, when it has closed the disclosure."""
    if answer.get("receipt") is None:
        return None
    receipt = _said(unsealed(answer["receipt"], identity), Receipt, requester)
    if (receipt.requester, receipt.trust_root, receipt.disclosure) != (requester.id, requester.root, disclosure):
        raise OpenError("The receipt that the device shows is for something else.", remedy=_REMEDY)
    return receipt


def deletion_in(
    answer: Mapping[str, object], requester: TrustedRequester, request: str, identity: AgeIdentity
) -> Deletion | None:
    """The requester's word that what it received is deleted."""
    if answer.get("deletion") is None:
        return None
    deletion = _said(unsealed(answer["deletion"], identity), Deletion, requester)
    if (deletion.requester, deletion.trust_root, deletion.request) != (requester.id, requester.root, request):
        raise OpenError("The deletion that the device shows is of something else.", remedy=_REMEDY)
    return deletion


def _said(data: bytes, kind: type[MessageT], requester: TrustedRequester) -> MessageT:
    try:
        opened = envelope.open_envelope(data, kind.PAYLOAD_TYPE, {requester.key.id: requester.key})
        return strictjson.decode(opened.payload, kind)
    except FormatError as error:
        raise OpenError(
            "What the device shows as the requester's word is not signed by the key that asked.", remedy=_REMEDY
        ) from error


def _require_recorded(items: Iterable[SealedItem], payloads: Mapping[str, str | None]) -> None:
    for item in items:
        if payloads.get(item.id) != item.payload_sha256:
            raise OpenError(
                f"The approval that waits names {item.id}, which did not match or is stored no more.",
                remedy="Deny the request, or approve something else.",
            )


def _payloads(kind: PartKind, records: Mapping[str, SignedRecord]) -> dict[str, str | None]:
    """The hash of each segment's sealed content of that kind, None where it has none."""
    files = {name: stored_file(kind, record) for name, record in records.items()}
    return {name: None if file is None else file.sha256_payload for name, file in files.items()}


def _text(answer: Mapping[str, object], name: str) -> bytes | None:
    value = answer.get(name)
    return value.encode("ascii", "replace") if isinstance(value, str) else None
