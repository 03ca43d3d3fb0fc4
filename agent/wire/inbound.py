"""What a device lets in from the network: five kinds of message, each from a requester its owner's roots vouch for.

`verify_inbound` is the one gate.  What comes out of it is verified, parsed, and said by the requester whose key signed
it; what does not come out has no effect but a counter.  Limits, replay and matching are decided behind it, in `core`.
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
    """A verified message, who said it, and the SHA-256 of its payload: the name approvals and ledger entries use."""

    message: InboundMessage
    requester: TrustedRequester
    payload: bytes
    payload_sha256: str


def verify_inbound(data: bytes, topic: Topic, trust: TrustStore, at_s: int | None) -> VerifiedMessage:
    """The message in the envelope `data` that arrived on `topic`.

    `at_s`: UTC seconds, None while nobody vouches for the clock.  Raises `RequestError` for a message that is malformed
    or says what its requester may not say, and `OpenError` when no trusted key signed it.
    """
    try:
        claimed = envelope.read_unverified(data)
    except FormatError as cause:
        raise RequestError(cause.message, remedy=cause.remedy) from cause
    kind = _KINDS.get(claimed.payload_type)
    if kind is None:
        raise RequestError("This is none of the message kinds that doors accept.")
    opened = envelope.verify(claimed, trust.keys(claimed.key_id, at_s))
    message = strictjson.decode(opened.payload, kind, error=RequestError)
    requester = trust.resolve(message.trust_root, message.requester, opened.key_id, at_s)
    if requester is None:
        raise OpenError(envelope.NOT_SIGNED)
    _require_fitting(message, requester, topic)
    return VerifiedMessage(message, requester, opened.payload, hashlib.sha256(opened.payload).hexdigest())


def _require_fitting(message: InboundMessage, requester: TrustedRequester, topic: Topic) -> None:
    """Raises `RequestError` for a message on a topic that is not its own, or a request of a kind its sender is not."""
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
