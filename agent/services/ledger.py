"""Writes the ledger: one leaf per event, inside the transaction of whatever it records, and signs its head.

The compact Merkle state travels in the same transaction, so leaf and head can never part.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.entries import EntryKind, encode_entry, entry
from agent.core.ledger.merkle import Frontier, consistency_proof, leaf_hash
from agent.errors import RequestError
from agent.ports import Clock, Journal

__all__ = ["Ledger"]

_FRONTIER = "ledger.frontier"


class Ledger:
    """The device's ledger in its journal.  Call `write` inside `journal.transaction()`."""

    def __init__(self, journal: Journal, clock: Clock, device_key: Ed25519PrivateKey) -> None:
        self._journal = journal
        self._clock = clock
        self._key = device_key

    @property
    def size(self) -> int:
        return self._frontier().size

    def write(self, kind: EntryKind, **fields: Any) -> None:
        """Append what just happened; `fields` as `core.ledger.entries.FIELDS` says for `kind`."""
        leaf = encode_entry(entry(kind, self._clock.boot_id, self._clock.now(), **fields))
        with self._journal.transaction():
            frontier = self._frontier()
            self._journal.append_leaf(frontier.size, leaf)
            self._journal.put(_FRONTIER, frontier.append(leaf_hash(leaf)).dump())

    def checkpoint(self) -> bytes:
        """The signed note of the present head."""
        return sign_checkpoint(self._frontier(), self._key)

    def proof(self, old_size: int) -> tuple[bytes, ...]:
        """That the present ledger continues the one of `old_size` entries.  Raises `RequestError` if it is shorter."""
        with self._journal.transaction():
            if not 0 <= old_size <= self.size:
                raise RequestError(f"This ledger has {self.size} entries, not {old_size}.")
            if old_size == 0:
                return ()
            return consistency_proof([leaf_hash(leaf) for leaf in self._journal.leaves()], old_size)

    def leaves(self, start: int, end: int) -> list[bytes]:
        return self._journal.leaves(start, end)

    def _frontier(self) -> Frontier:
        kept = self._journal.get(_FRONTIER)
        return Frontier() if kept is None else Frontier.load(kept)
