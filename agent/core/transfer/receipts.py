"""`TransferProgress` as it travels: in a `wire.disclosures.Receipt`, which the requester signs."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.transfer.values import TransferProgress
from agent.wire.disclosures import ByteRange, PartMissing, PartRange, Receipt

__all__ = ["progress_from_receipt", "receipt_for"]


def progress_from_receipt(receipt: Receipt) -> TransferProgress:
    """Returns the progress that a receipt reports."""
    return TransferProgress(
        receipt.state,
        receipt.manifest,
        tuple((span.first, span.last) for span in receipt.stored),
        tuple((part.part, tuple((span.start, span.end) for span in part.missing)) for part in receipt.incomplete),
        receipt.question,
    )


def receipt_for(
    held: TransferProgress,
    *,
    disclosure: str,
    request: str | None,
    requester: str,
    trust_root: str,
    seq: int,
    time_s: int | None = None,
    retention_days: int | None = None,
    unopened: Sequence[tuple[int, int]] = (),
) -> Receipt:
    """Returns the receipt that reports this progress. `seq` grows with every message signed with this requester's key.

    `unopened`: first and last of the parts that fail to open.
    """
    return Receipt(
        v=1,
        disclosure=disclosure,
        request=request,
        requester=requester,
        trust_root=trust_root,
        seq=seq,
        state=held.state,
        manifest=held.manifest_sha256,
        stored=tuple(PartRange(first=first, last=last) for first, last in held.stored),
        incomplete=tuple(
            PartMissing(part=part, missing=tuple(ByteRange(start=start, end=end) for start, end in spans))
            for part, spans in held.incomplete
        ),
        question=held.question,
        unopened=tuple(PartRange(first=first, last=last) for first, last in unopened),
        retention_days=retention_days,
        time_s=time_s,
    )
