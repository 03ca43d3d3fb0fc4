"""Keeps whom this door lets ask: the owner's roots and each root's newest bundle, verified again at every start.

Nothing that arrives over the network gets here.  A root comes with a statement the owner signed; a bundle comes from
the owner's client and must be signed by a root the owner has already chosen.

A requester that is new in a bundle may ask once its owner has been told of it, and not a message earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from agent.core.ledger.entries import EntryKind
from agent.custodian.ledger_writer import Ledger
from agent.custodian.transactions import Transactions
from agent.errors import DoorwardError, StorageError
from agent.ports import Journal
from agent.wire.envelope import read_unverified
from agent.wire.identities import parse_public_key
from agent.wire.statements import TrustChange
from agent.wire.trust import (
    BUNDLE_ENVELOPE_LIMIT_BYTES,
    SeenVersion,
    TrustDiff,
    TrustedRequester,
    TrustStore,
)

__all__ = ["TrustManager"]

_ROOT, _BUNDLE, _NEWEST, _ANNOUNCED = "trust.root.", "trust.bundle.", "trust.newest.", "trust.announced."
_CHANGED: Final = "The list of those who may ask has changed."
_NEW: Final = "A new requester may ask you for footage. Review it."


class TrustManager:
    """`store` is the value in force."""

    def __init__(
        self,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        """`tell(kind, text)` tells the owner; what it raises means that they were not told."""
        self._decisions = decisions
        self._journal = journal
        self._ledger = ledger
        self._tell = tell
        self._log = structlog.get_logger("custodian")
        self.store = self._load()
        self._announced = self._load_announced()
        self.on_change: Callable[[], None] = lambda: None
        """Called within the decision that changes who is trusted, once it has."""

    def change(self, change: TrustChange, fields: Mapping[str, str]) -> None:
        """Add and remove roots, inside the caller's decision.  `fields`: what the ledger notes of the statement."""
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
            self._journal.remove(_ANNOUNCED + root.id)
            self._announced = {name: told for name, told in self._announced.items() if name != root.id}
        self._ledger.write(EntryKind.TRUST_CHANGED, **fields)
        self._decisions.after(self.announce)
        self.store = store
        self.on_change()

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
            self._forget_announced(root, changed.removed)
            self.store = grown
            self.on_change()
            self._decisions.after(self.announce)
        return changed

    def is_announced(self, requester: TrustedRequester) -> bool:
        """Whether the owner has been told of this requester."""
        return requester.id in self._announced.get(requester.root, frozenset())

    def announce(self, changed: bool = True) -> None:
        """Tell the owner of a change, and of requesters they have not been told of; those may ask from now on.

        Told is *that* there are new ones; who they are is in the owner's client, because news leaves the house.

        A start does it again: a power cut may have come between the change and the news.
        """
        new = {
            root: [entry for entry in bundle.requesters if entry.id not in self._announced.get(root, frozenset())]
            for root, bundle in self.store.bundles.items()
        }
        someone_new = any(new.values())
        if not changed and not someone_new:
            return
        try:
            self._tell(*(("new requester", _NEW) if someone_new else ("trust", _CHANGED)))
            with self._decisions.one():
                self._decisions.otherwise(self._reload)
                for root, found in new.items():
                    if found and root in self.store.bundles:
                        self._put_announced(root, self._announced.get(root, frozenset()) | {e.id for e in found})
        except DoorwardError as error:
            self._log.warning("requesters_not_announced", error=error.message)

    def _forget_announced(self, root: str, gone: tuple[str, ...]) -> None:
        """One that comes back later is new again."""
        if gone:
            self._put_announced(root, self._announced.get(root, frozenset()) - set(gone))

    def _put_announced(self, root: str, names: frozenset[str]) -> None:
        self._journal.put(_ANNOUNCED + root, " ".join(sorted(names)).encode())
        self._announced = {**self._announced, root: names}

    def _load_announced(self) -> dict[str, frozenset[str]]:
        return {root: frozenset(text.decode().split()) for root, text in self._journal.named(_ANNOUNCED).items()}

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
        self._announced = self._load_announced()

    def _load(self) -> TrustStore:
        store = TrustStore(newest={root: _seen(text) for root, text in self._journal.named(_NEWEST).items()})
        for text in self._journal.named(_ROOT).values():
            store = store.with_root(parse_public_key(text.decode()))
        for envelope in self._journal.named(_BUNDLE).values():
            store, _ = store.accept(envelope)
        return store


def _seen(text: bytes) -> SeenVersion:
    version, _, sha256 = text.decode().partition(" ")
    if not version.isdecimal():
        raise StorageError("The journal's trust records are damaged.", remedy="Restore the journal from a backup.")
    return SeenVersion(int(version), sha256)
