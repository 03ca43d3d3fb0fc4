"""Adds records to the manifest and then to the index, in this order (FORMAT.md, procedures F, A, E)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.vault.entries import VaultEntry, entry_of
from agent.core.vault.manifest import Signer, Tip, sign_record
from agent.core.vault.names import SegmentId
from agent.core.vault.records import Adopted, Anchor, Record, Segment
from agent.ports import Index, ManifestLog

__all__ = ["ManifestWriter"]


class ManifestWriter:
    """One writer at a time; `tip` is set by start-up.  `StorageError` leaves it unusable until the next start-up."""

    def __init__(self, log: ManifestLog, index: Index, sign: Signer) -> None:
        self._log = log
        self._index = index
        self._sign = sign
        self.tip = Tip()

    def commit(self, record: Record, removed: Sequence[SegmentId] = ()) -> VaultEntry | None:
        """Make `record` durable, then let the index know.  Returns the entry of a stored segment, else None."""
        signed = sign_record(record, self.tip, self._sign)
        self._log.append(signed.line)
        added: list[VaultEntry] = []
        if isinstance(record, Segment | Adopted):
            added.append(entry_of(record, signed.sequence, self.tip.offset, len(signed.line)))
        self.tip = self.tip.after(signed)
        self._index.apply(added, removed, self.tip, (record.at,) if isinstance(record, Anchor) else ())
        return added[0] if added else None
