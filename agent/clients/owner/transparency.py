"""The owner's transparency report: requests and answers of a doorbell, counted from its verified ledger.

Each number counts ledger entries under the tree head that the device signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.core.ledger.entries import EntryKind, LedgerEntry

__all__ = ["RequesterStatistics", "TransparencyReport", "transparency_of"]

_ENDS = {
    EntryKind.DENIED: "denied",
    EntryKind.EXPIRED: "expired",
    EntryKind.OPTED_OUT: "opted_out",
    EntryKind.WITHDRAWN: "withdrawn",
    EntryKind.REVOKED: "taken_back",
    EntryKind.STOPPED: "stopped",
}


@dataclass(slots=True)
class RequesterStatistics:
    """The requests and answers of one requester. `bytes_sent`: the full size of each disclosure that had begun to
    leave."""

    requester: str
    asked: int = 0
    blocked: int = 0
    no_match: int = 0
    matched: int = 0
    approved: int = 0
    sent: int = 0
    denied: int = 0
    expired: int = 0
    opted_out: int = 0
    withdrawn: int = 0
    taken_back: int = 0
    stopped: int = 0
    deleted: int = 0
    tips: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class TransparencyReport:
    """The statistics by requester, most requests first. Both times are UTC ms; None for an empty ledger."""

    from_ms: int | None
    to_ms: int | None
    askings: tuple[RequesterStatistics, ...] = field(default=())

    @property
    def total(self) -> RequesterStatistics:
        whole = RequesterStatistics("all")
        for each in self.askings:
            for name in RequesterStatistics.__slots__:
                if name != "requester":
                    setattr(whole, name, getattr(whole, name) + getattr(each, name))
        return whole


def transparency_of(entries: Iterable[LedgerEntry]) -> TransparencyReport:
    """Counted from every entry of a ledger, oldest first."""
    found: dict[str, RequesterStatistics] = {}
    sealed: dict[str, int] = {}
    times: list[int] = []
    for entry in entries:
        times.append(entry.utc_ms)
        if entry.requester is None:
            continue
        asking = found.setdefault(entry.requester, RequesterStatistics(entry.requester))
        match entry.kind:
            case EntryKind.RECEIVED:
                asking.asked += 1
            case EntryKind.BLOCKED:
                asking.blocked += 1
            case EntryKind.NO_MATCH:
                asking.no_match += 1
            case EntryKind.MATCHED:
                asking.matched += 1
            case EntryKind.APPROVED:
                asking.approved += 1
            case EntryKind.SEALED:
                sealed[entry.disclosure or ""] = entry.size_bytes or 0
            case EntryKind.SENDING:
                asking.bytes_sent += sealed.get(entry.disclosure or "", 0)
            case EntryKind.TIP:
                asking.tips += 1
            case EntryKind.RECEIPT if entry.request != entry.disclosure:
                asking.sent += 1
            case EntryKind.DELETED:
                asking.deleted += 1
            case kind if kind in _ENDS and (entry.disclosure is None or entry.request != entry.disclosure):
                setattr(asking, _ENDS[kind], getattr(asking, _ENDS[kind]) + 1)
    ordered = sorted(found.values(), key=lambda each: (-each.asked, each.requester))
    return TransparencyReport(min(times, default=None), max(times, default=None), tuple(ordered))
