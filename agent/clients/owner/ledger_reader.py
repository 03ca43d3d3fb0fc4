"""Reads the device's ledger: every entry, and the proof that the list is complete.

This machine hashes the entries again and compares the result with the root that the device signed. `sync` has verified
that the ledger only grew since the last session. An omitted or altered entry is therefore detected.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import DeviceChannel, sync
from agent.core.ledger.checkpoint import Checkpoint
from agent.core.ledger.entries import LedgerEntry, decode_entry
from agent.core.ledger.merkle import leaf_hash, root_of
from agent.errors import OpenError
from agent.ipc.control_operations import GetEntries

__all__ = ["LedgerView", "read_ledger"]

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LedgerView:
    """Every entry, oldest first. The last `grown` entries are new to this machine."""

    checkpoint: Checkpoint
    entries: tuple[LedgerEntry, ...]
    grown: int


def read_ledger(link: DeviceChannel, keys: OwnerKeys) -> LedgerView:
    """Returns the whole verified ledger. Raises `OpenError` if the entries differ from the signed head."""
    met = sync(link, keys)
    checkpoint = met.known.ledger
    leaves: list[bytes] = []
    while len(leaves) < checkpoint.size:
        end = min(len(leaves) + _PAGE, checkpoint.size)
        page = link.ask(GetEntries(len(leaves), end)).entries
        # A device that stops in the middle is found below by the number of entries.
        if not page:
            break
        leaves += [leaf.encode() for leaf in page]
    # The whole list at once. A proof for each entry would leave out the ones that the device leaves out.
    if len(leaves) != checkpoint.size or root_of(map(leaf_hash, leaves)) != checkpoint.root:
        raise OpenError(
            f"The entries the device shows are not the {checkpoint.size} of the ledger it signed.",
            remedy="Keep known_devices.json as evidence, and treat the device as tampered with.",
        )
    return LedgerView(checkpoint, tuple(decode_entry(leaf) for leaf in leaves), met.ledger_grown)
