"""Keeps, for each disclosure and tip, the owners' signed yes and the records of the files that it names.

The owner's client lists from it which segments, stills and sounds left.  The client does not have to believe the
device: an owner signed the yes, the ledger names it by its hash, and each record is signed and names its file by hash.
The records are copied because the vault forgets them with the footage.

It is sealed to the owners of that moment before it is kept, as what was asked is (docs/decisions/0014): the yes names
times and the requester's reply key, which no thief of the disk is to read.

The newest is always kept.  Of the others the oldest go first once there are more than `MOST_KEPT` of them, or more than
`MOST_BYTES` of all together.
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
    """Everything that is kept, oldest first."""

    kept: tuple[_ArchivedSize, ...] = ()


class ApprovalArchive:
    """What owners approved, by disclosure.  It lives in the journal, so that any number of these agree."""

    def __init__(self, journal: Journal, seal: Callable[[bytes], bytes]) -> None:
        """`seal`: to the owners in force and the recovery identity."""
        self._journal = journal
        self._seal = seal

    def keep(
        self,
        disclosure: str,
        said: VerifiedStatement,
        released: Iterable[ReleasedItem],
        second: VerifiedStatement | None = None,
    ) -> None:
        """Within the caller's decision: the yes counts and is kept, or neither."""
        lines = {each.id: each.record.line for each in released}
        data = self._seal(encode_approval(said.data, second.data if second else None, tuple(lines.values())))
        self._journal.put(_KEPT + disclosure, data)
        order = [*self._order().kept, _ArchivedSize(disclosure=disclosure, size_bytes=len(data))]
        while len(order) > 1 and (len(order) > MOST_KEPT or sum(each.size_bytes for each in order) > MOST_BYTES):
            self._journal.remove(_KEPT + order.pop(0).disclosure)
        self._journal.put(_ORDER, strictjson.encode(_ArchiveOrder(kept=tuple(order))))

    def of(self, disclosure: str) -> bytes | None:
        """The age file around it (`wire.control.decode_approval`); None if there never was one or it is kept no
        more."""
        return self._journal.get(_KEPT + disclosure)

    def _order(self) -> _ArchiveOrder:
        data = self._journal.get(_ORDER)
        return (
            _ArchiveOrder() if data is None else strictjson.decode(data, _ArchiveOrder, limit_bytes=_ORDER_LIMIT_BYTES)
        )
