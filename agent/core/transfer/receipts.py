"""`Held` as it travels: in a `wire.disclosures.Receipt`, which the requester signs."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.transfer.values import Held, HeldState
from agent.wire.disclosures import PartMissing, PartRange, Receipt, ReceiptState, Span

__all__ = ["held_of", "receipt_of"]


def held_of(receipt: Receipt) -> Held:
    """What a receipt says is held."""
    return Held(
        HeldState(receipt.state.value),
        receipt.manifest,
        tuple((span.first, span.last) for span in receipt.stored),
        tuple((part.part, tuple((span.start, span.end) for span in part.missing)) for part in receipt.incomplete),
        receipt.question,
    )


def receipt_of(
    held: Held,
    *,
    disclosure: str,
    request: str | None,
    requester: str,
    audience: str,
    seq: int,
    time_s: int | None = None,
    retention_days: int | None = None,
    unopened: Sequence[tuple[int, int]] = (),
) -> Receipt:
    """The receipt that says so.  `seq` grows with everything this requester signs with this key.

    `unopened`: first and last of the parts that do not open.
    """
    return Receipt(
        v=1,
        disclosure=disclosure,
        request=request,
        requester=requester,
        audience=audience,
        seq=seq,
        state=ReceiptState(held.state.value),
        manifest=held.manifest_sha256,
        stored=tuple(PartRange(first=first, last=last) for first, last in held.stored),
        incomplete=tuple(
            PartMissing(part=part, missing=tuple(Span(start=start, end=end) for start, end in spans))
            for part, spans in held.incomplete
        ),
        question=held.question,
        unopened=tuple(PartRange(first=first, last=last) for first, last in unopened),
        retention_days=retention_days,
        time_s=time_s,
    )
