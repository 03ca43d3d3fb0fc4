"""Gate for messages that a device accepts from the network: five kinds, each from a requester under one of its owner's
roots.

`verify_inbound` is the only entry. It returns a parsed message and the requester that signed it. A message that
fails here only raises a counter. `core` applies limits, replay protection and matching afterwards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import Receipt
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.topics import BulletinTopic, ReceiptTopic, RequestTopic, Topic, cells_of
from agent.wire.trust import TrustedRequester, TrustStore

__all__ = ["InboundMessage", "VerifiedMessage", "verify_inbound"]

InboundMessage = FootageRequest | Withdrawal | Deletion | Receipt | Bulletin

_KINDS: Final[dict[str, type[InboundMessage]]] = {
    kind.PAYLOAD_TYPE: kind for kind in (FootageRequest, Withdrawal, Deletion, Receipt, Bulletin)
}


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A verified message, its requester, and the SHA-256 of its payload. Approvals and ledger entries name it by that
    hash."""

    message: InboundMessage
    requester: TrustedRequester
    payload: bytes
    payload_sha256: str


def verify_inbound(data: bytes, topic: Topic, trust: TrustStore, at_s: int | None) -> VerifiedMessage:
    """Returns the message in the envelope `data` that arrived on `topic`.

    `at_s`: UTC seconds, or None if the clock is unknown. Raises `RequestError` if a message is malformed or
    its requester may not send it, and `OpenError` if no trusted key signed it.
    """
    try:
        # Its default limit, 12 KiB, is checked before anything is parsed. The broker's packet limit is the caller's.
        claimed = envelope.read_unverified(data)
    except FormatError as cause:
        raise RequestError(cause.message, remedy=cause.remedy) from cause
    kind = _KINDS.get(claimed.payload_type)
    if kind is None:
        raise RequestError("Doors do not accept this kind of message.")
    opened = envelope.verify(claimed, trust.keys(claimed.key_id, at_s))
    # Verified bytes first, then the parser: an untrusted sender does not reach it. Its default limit is 8 KiB.
    message = strictjson.decode(opened.payload, kind, error=RequestError)
    # A key may stand in lists of several roots. It counts only for the root and requester that the message names.
    requester = trust.resolve(message.trust_root, message.requester, opened.key_id, at_s)
    if requester is None:
        raise OpenError(envelope.NOT_SIGNED)
    # The signature does not cover the topic, so a copy under the topic of another sender must not count.
    _require_fitting(message, requester, topic)
    return VerifiedMessage(message, requester, opened.payload, hashlib.sha256(opened.payload).hexdigest())


def _require_fitting(message: InboundMessage, requester: TrustedRequester, topic: Topic) -> None:
    """Raises `RequestError` if the topic belongs to another message, or if the kind differs from the bundle's."""
    match message, topic:
        case FootageRequest() | Withdrawal() | Deletion(), RequestTopic(requester=named) if named == requester.id:
            pass
        case Receipt(disclosure=disclosure), ReceiptTopic(disclosure=named) if disclosure == named:
            pass
        case Bulletin(area=area), BulletinTopic(cell=cell, requester=named) if named == requester.id and (
            area is None or cell in cells_of(area)
        ):
            pass
        case _:
            raise RequestError("This message arrived on a topic that is not its own.")
    if isinstance(message, FootageRequest) and message.kind is not requester.kind:
        raise RequestError("kind: not what the trust bundle says this requester is.")
