"""Archive of the owners' signed approvals, one for each disclosure and tip, with the records of the files they name.

The owner's client lists from it which segments, stills and sounds left.  The client can verify the list: an
owner signed the approval, the ledger names it by its hash, and each record is signed and names its file by hash.
The records are copied because the vault deletes them with the footage.

An approval is sealed to the current owners before it is stored, like the request it answers (docs/decisions/0014). It
names times and the requester's reply key, which a thief of the disk must not read.

The newest approval is always kept.  The oldest are deleted if there are more than `MOST_KEPT`, or if all together have
more than `MOST_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from agent.core.disclosure import ReleasedItem
from agent.custodian.verified_statements import VerifiedStatement
from agent.ports import Journal
from agent.wire import strictjson
from agent.wire.control import encode_approval
from agent.wire.fields import HexId

__all__ = ["MOST_BYTES", "MOST_KEPT", "ApprovalArchive"]

MOST_KEPT: Final = 256
MOST_BYTES: Final = 32 << 20
_KEPT: Final = "shared."
_ORDER: Final = "shared-order"
_ORDER_LIMIT_BYTES: Final = 64 << 10


class _ArchivedSize(strictjson.Message, frozen=True):
    disclosure: HexId
    size_bytes: int


class _ArchiveOrder(strictjson.Message, frozen=True):
    """The ids of everything in the archive, oldest first."""

    kept: tuple[_ArchivedSize, ...] = ()


class ApprovalArchive:
    """Approvals by disclosure.  They are stored in the journal, so several `ApprovalArchive` objects may share one
    journal."""

    def __init__(self, journal: Journal, seal: Callable[[bytes], bytes]) -> None:
        """`seal` encrypts to the current owners and the recovery identity."""
        self._journal = journal
        self._seal = seal

    def keep(
        self,
        disclosure: str,
        verified: VerifiedStatement,
        released: Iterable[ReleasedItem],
        second: VerifiedStatement | None = None,
    ) -> None:
        """Archives an approval inside the caller's transaction, so that it takes effect and is archived, or neither."""
        # By id: a segment, its still and its sound share one record.
        lines = {each.id: each.record.line for each in released}
        data = self._seal(encode_approval(verified.data, second.data if second else None, tuple(lines.values())))
        self._journal.put(_KEPT + disclosure, data)
        order = [*self._order().kept, _ArchivedSize(disclosure=disclosure, size_bytes=len(data))]
        # More than one, because the newest is kept, however large.
        while len(order) > 1 and (len(order) > MOST_KEPT or sum(each.size_bytes for each in order) > MOST_BYTES):
            self._journal.remove(_KEPT + order.pop(0).disclosure)
        self._journal.put(_ORDER, strictjson.encode(_ArchiveOrder(kept=tuple(order))))

    def of(self, disclosure: str) -> bytes | None:
        """Returns the age file around the approval (`wire.control.decode_approval`), or None if the archive
        lacks it."""
        return self._journal.get(_KEPT + disclosure)

    def _order(self) -> _ArchiveOrder:
        data = self._journal.get(_ORDER)
        return (
            _ArchiveOrder() if data is None else strictjson.decode(data, _ArchiveOrder, limit_bytes=_ORDER_LIMIT_BYTES)
        )
