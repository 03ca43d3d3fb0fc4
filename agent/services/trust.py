"""Keeps whom this door lets ask: the owner's roots and each root's newest bundle, verified again at every start.

Nothing that arrives over the network gets here.  A root comes with a statement the owner signed; a bundle comes from
the owner's client and must be signed by a root the owner has already chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agent.core.ledger.entries import EntryKind
from agent.errors import StorageError
from agent.ports import Journal
from agent.services.decisions import Decisions
from agent.services.ledger import Ledger
from agent.wire.envelope import read_unverified
from agent.wire.identities import parse_public_key
from agent.wire.statements import TrustChange
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES, Seen, TrustDiff, TrustStore

__all__ = ["TrustKeeper"]

_ROOT, _BUNDLE, _NEWEST = "trust.root.", "trust.bundle.", "trust.newest."


class TrustKeeper:
    """`store` is the value in force."""

    def __init__(self, decisions: Decisions, journal: Journal, ledger: Ledger) -> None:
        self._decisions = decisions
        self._journal = journal
        self._ledger = ledger
        self.store = self._load()
        self.on_change: Callable[[], None] = lambda: None
        """Called after a change is committed."""

    def change(self, change: TrustChange, subject: str) -> None:
        """Add and remove roots, inside the caller's decision.  `subject`: SHA-256 of the signed statement."""
        self._decisions.otherwise(self._reload)
        store = self.store
        for text in change.roots_added:
            root = parse_public_key(text)
            store = store.with_root(root)
            self._journal.put(_ROOT + root.id, text.encode())
        for text in change.roots_removed:
            root = parse_public_key(text)
            store = store.without_root(root.id)
            self._journal.remove(_ROOT + root.id)
            self._journal.remove(_BUNDLE + root.id)
        self._ledger.write(EntryKind.TRUST_CHANGED, subject=subject)
        self._decisions.after(self.on_change)
        self.store = store

    def accept(self, envelope: bytes) -> TrustDiff:
        """Take a newer bundle of a root the owner chose.  Raises as `TrustStore.accept` does."""
        with self._decisions.one():
            grown, changed = self.store.accept(envelope)
            root = read_unverified(envelope, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES).key_id  # `accept` has verified it
            seen = grown.newest[root]
            self._decisions.otherwise(self._reload)
            self._journal.put(_BUNDLE + root, envelope)
            self._journal.put(_NEWEST + root, f"{seen.version} {seen.sha256}".encode())
            self._ledger.write(
                EntryKind.TRUST_CHANGED, subject=hashlib.sha256(envelope).hexdigest(), version=seen.version
            )
            self.store = grown
            self._decisions.after(self.on_change)
        return changed

    def name_of(self, root: str, requester: str) -> str:
        """What the owner reads: from the trust bundle, never from a request."""
        bundle = self.store.bundles.get(root)
        named = (entry.name for entry in bundle.requesters if entry.id == requester) if bundle else iter(())
        return next(named, f"{requester} (no longer in a trust bundle)")

    def roots(self) -> list[str]:
        """Public keys, as text."""
        return [root.text for root in self.store.roots.values()]

    def bundles(self) -> list[bytes]:
        """The envelopes as their roots signed them."""
        return list(self._journal.named(_BUNDLE).values())

    def _reload(self) -> None:
        """Believe the journal again, after a decision that was not committed."""
        self.store = self._load()

    def _load(self) -> TrustStore:
        store = TrustStore(newest={root: _seen(text) for root, text in self._journal.named(_NEWEST).items()})
        for text in self._journal.named(_ROOT).values():
            store = store.with_root(parse_public_key(text.decode()))
        for envelope in self._journal.named(_BUNDLE).values():
            store, _ = store.accept(envelope)
        return store


def _seen(text: bytes) -> Seen:
    version, _, sha256 = text.decode().partition(" ")
    if not version.isdecimal():
        raise StorageError("The journal's trust records are damaged.", remedy="Restore the journal from a backup.")
    return Seen(int(version), sha256)
