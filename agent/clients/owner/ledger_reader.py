"""The device's ledger as its owner reads it: every entry, and proof that they are all there.

The entries are hashed again here and must make the root that the device signed, whose growth since this machine last
looked `meet` has checked.  So an entry can be neither left out nor altered.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import DeviceChannel, field, sync
from agent.core.ledger.checkpoint import Checkpoint
from agent.core.ledger.entries import LedgerEntry, decode_entry
from agent.core.ledger.merkle import leaf_hash, root_of
from agent.errors import OpenError

__all__ = ["LedgerView", "read_ledger"]

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LedgerView:
    """Every entry, oldest first; the last `grown` are new to this machine."""

    checkpoint: Checkpoint
    entries: tuple[LedgerEntry, ...]
    grown: int


def read_ledger(link: DeviceChannel, keys: OwnerKeys) -> LedgerView:
    """The whole ledger, verified.  Raises `OpenError` when the entries are not those under the signed head."""
    met = sync(link, keys)
    checkpoint = met.known.ledger
    leaves: list[bytes] = []
    while len(leaves) < checkpoint.size:
        end = min(len(leaves) + _PAGE, checkpoint.size)
        page = field(link.ask("ledger", start=len(leaves), end=end), "entries", list)
        if not page:
            break
        leaves += [str(leaf).encode() for leaf in page]
    if len(leaves) != checkpoint.size or root_of(map(leaf_hash, leaves)) != checkpoint.root:
        raise OpenError(
            f"The entries the device shows are not the {checkpoint.size} of the ledger it signed.",
            remedy="Keep remembered.json as evidence, and treat the device as tampered with.",
        )
    return LedgerView(checkpoint, tuple(decode_entry(leaf) for leaf in leaves), met.ledger_grown)
