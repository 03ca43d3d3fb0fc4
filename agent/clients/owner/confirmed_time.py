"""Reads what others confirmed about the time of the ledger, or of one disclosure, and compares it with the ledger.

This machine opens each confirmed beat with its own copy of the ledger. If the doorbell committed to another ledger than
it shows here, that is a split view. The newest head of the log of beats is remembered, so another one of its size is
noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.ledger_reader import LedgerView, read_ledger
from agent.clients.owner.sync import DeviceChannel, sync
from agent.clients.time_confirmations import TimeFindings, TimeTrust, confirmations
from agent.core.ledger.checkpoint import Checkpoint, check_same_head, open_time_checkpoint
from agent.core.ledger.entries import EntryKind, encode_entry
from agent.core.ledger.merkle import leaf_hash, root_of
from agent.core.ledger.time_log import require_opens
from agent.errors import ConfigurationError, OpenError
from agent.ipc.control_operations import GetTimeOpening
from agent.wire import strictjson
from agent.wire.envelope import HybridKey
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES, TimeOpening

__all__ = ["ConfirmedTime", "read_confirmed_time"]

_TRIED: Final = 5
_LEAVING: Final = (EntryKind.APPROVED, EntryKind.TIP)


@dataclass(frozen=True, slots=True)
class ConfirmedTime:
    """`opening`: the proof for the requester, None if no one confirmed a beat after the approval yet."""

    findings: TimeFindings
    opening: TimeOpening | None


def read_confirmed_time(
    link: DeviceChannel, keys: OwnerKeys, trust: TimeTrust, disclosure: str | None = None
) -> ConfirmedTime:
    """Returns what others confirmed about the newest beat, or about the approval of `disclosure` (or a tip's id).

    Raises `ConfigurationError` if the ledger has no such approval, and `OpenError` if the doorbell committed to another
    ledger, or shows another log of beats than before.
    """
    view = read_ledger(link, keys)
    device = sync(link, keys).known.device_keys
    reader = _Reader(link, keys, device, view, trust)
    if disclosure is None:
        return reader.newest()
    at = next(
        (n for n, each in enumerate(view.entries) if each.disclosure == disclosure and each.kind in _LEAVING), None
    )
    if at is None:
        raise ConfigurationError(f"The ledger has no approval of {disclosure}.", remedy="See: doorward owner ledger")
    return reader.around(at)


class _Reader:
    def __init__(
        self, link: DeviceChannel, keys: OwnerKeys, device: HybridKey, view: LedgerView, trust: TimeTrust
    ) -> None:
        self._link = link
        self._keys = keys
        self._device = device
        self._view = view
        self._trust = trust
        self._leaves = [leaf_hash(encode_entry(each)) for each in view.entries]

    def newest(self) -> ConfirmedTime:
        """Returns the confirmations of the newest confirmed beat: the ledger is older than they are."""
        opening = self._confirmed_before(len(self._leaves))
        if opening is None:
            return ConfirmedTime(TimeFindings(), None)
        found = self._findings_of(opening)
        return ConfirmedTime(TimeFindings((), found.before, found.doubts, stated=True), opening)

    def around(self, at: int) -> ConfirmedTime:
        """Returns the confirmations around entry `at`."""
        earlier, later = self._confirmed_before(at), self._fetch(at + 1)
        after = self._findings_of(earlier) if earlier is not None else TimeFindings()
        before = self._findings_of(later) if later is not None else TimeFindings()
        stated = earlier is not None or later is not None
        return ConfirmedTime(
            TimeFindings(after.before, before.before, (*after.doubts, *before.doubts), stated=stated), later
        )

    def _confirmed_before(self, at: int) -> TimeOpening | None:
        """Returns the newest kept confirmation that an entry before `at` names by its hash."""
        entries = [each for each in self._view.entries[:at] if each.kind is EntryKind.TIME_CONFIRMED]
        # The doorbell thins old confirmations out, so the entry's own one may be gone. A few older ones do as well.
        for entry in reversed(entries[-_TRIED:]):
            opening = self._fetch(0, entry.version or 0)
            if opening is None:
                continue
            if hashlib.sha256(strictjson.encode(opening.proof)).hexdigest() != entry.subject:
                raise OpenError("The doorbell shows another confirmation of time than its ledger names.")
            return opening
        return None

    def _fetch(self, size: int, beat: int = 0) -> TimeOpening | None:
        _, body = self._link.fetch(GetTimeOpening(size, beat))
        if not body:
            return None
        opening = strictjson.decode(body, TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES)
        if opening.size != size:
            raise OpenError("The doorbell answered for another part of its ledger.")
        return opening

    def _findings_of(self, opening: TimeOpening) -> TimeFindings:
        """Returns the confirmations of a beat as `before`, after comparing it with this machine's ledger."""
        head, found, doubts = confirmations(opening.proof, self._device, self._trust)
        committed = require_opens(opening, head, self._ledger(opening.size), self._device.ed25519)
        # A witness has confirmed more entries than this owner is shown: the rest is withheld.
        if committed.size > len(self._leaves):
            raise OpenError("The doorbell committed to a longer ledger than it shows here.")
        # The head of this machine's own copy at that size. Another one is a split view, signed by the device.
        check_same_head(self._ledger(committed.size), committed)
        self._remember(opening.proof.checkpoint, head)
        return TimeFindings((), found, doubts, stated=True)

    def _ledger(self, size: int) -> Checkpoint:
        return Checkpoint(self._view.checkpoint.origin, size, root_of(self._leaves[:size]))

    def _remember(self, note: str, head: Checkpoint) -> None:
        known = self._keys.memory.device(self._device.id)
        assert known is not None  # noqa: S101 — `sync` has met it
        if known.time:
            before = open_time_checkpoint(known.time.encode(), self._device)
            check_same_head(before, head)
            # An older confirmation must not replace the newer head, or a rollback between the two would pass.
            if before.size >= head.size:
                return
        self._keys.memory.remember(replace(known, time=note), known)
