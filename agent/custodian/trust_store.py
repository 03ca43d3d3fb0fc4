"""Trust store: the owner's roots and the newest bundle of each root, verified again at every start.

Network messages cannot change it.  A root comes in a statement that the owner signed.  A bundle comes from the owner's
client and must be signed by a root that the owner has chosen.

The owners' changes are kept as they were signed. From them, another client of the household learns who chose each root,
without trusting the device. They are in clear, because an owner who is added later must read them. They name roots and
times, which the list of roots and the ledger beside them show too.

A requester that is new in a bundle may ask only after its owner has been notified of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import structlog

from agent.core.ledger.entries import EntryKind
from agent.custodian.ledger_writer import Ledger
from agent.custodian.transactions import Transactions
from agent.errors import DoorwardError, StorageError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
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

__all__ = ["MOST_CHANGES_KEPT", "TrustManager"]

_ROOT, _BUNDLE, _NEWEST, _ANNOUNCED = "trust.root.", "trust.bundle.", "trust.newest.", "trust.announced."
_SIGNED: Final = "trust.signed."
MOST_CHANGES_KEPT: Final = 256
"""The oldest are dropped. A root that only a dropped change names is typed again."""
_CHANGED: Final = "The list of trusted requesters has changed."
_NEW: Final = "A new requester may ask you for footage. Review it."


class TrustManager(ThreadOwned):
    """`store` is the current value. It is written inside a transaction."""

    WRITTEN_BY: ClassVar = {
        "store": AttributeOwner.LOCK,
        "_announced": AttributeOwner.LOCK,
        "on_change": AttributeOwner.SET_UP,
    }

    def __init__(
        self,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        """`tell(kind, text)` notifies the owner.  If it raises, the notification failed."""
        self._decisions = decisions
        self.lock = decisions.lock
        self._journal = journal
        self._ledger = ledger
        self._tell = tell
        self._log = structlog.get_logger("custodian")
        self.store = self._load()
        self._announced = self._load_announced()
        self.on_change: Callable[[], None] = lambda: None
        """Called inside the transaction that changes trust, after the change."""

    def change(self, change: TrustChange, envelope: bytes, fields: Mapping[str, str]) -> None:
        """Adds and removes roots inside the caller's transaction.  `envelope`: the signed statement. `fields`: what the
        ledger records of it."""
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
        self._keep(envelope)
        self._ledger.write(EntryKind.TRUST_CHANGED, **fields)
        self._decisions.after(self.announce)
        self.store = store
        self.on_change()

    def accept(self, envelope: bytes) -> TrustDiff:
        """Accepts a newer bundle of a root that the owner chose.  Raises as `TrustStore.accept` does."""
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
        """Returns True if the owner has been notified of this requester."""
        return requester.id in self._announced.get(requester.root, frozenset())

    def announce(self, changed: bool = True) -> None:
        """Notifies the owner of a change and of new requesters, who may ask from now on.

        The notification says only *that* there are new requesters.  The owner's client shows their names, because a
        notification leaves the house.

        Each start repeats it, because a power cut may have come between the change and the notification.
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
        """Forgets removed requesters.  A requester that returns later is new again."""
        if gone:
            self._put_announced(root, self._announced.get(root, frozenset()) - set(gone))

    def _put_announced(self, root: str, names: frozenset[str]) -> None:
        self._journal.put(_ANNOUNCED + root, " ".join(sorted(names)).encode())
        self._announced = {**self._announced, root: names}

    def _load_announced(self) -> dict[str, frozenset[str]]:
        return {root: frozenset(text.decode().split()) for root, text in self._journal.named(_ANNOUNCED).items()}

    def name_of(self, root: str, requester: str) -> str:
        """Returns the name for the owner.  It comes from the trust bundle, never from a request."""
        bundle = self.store.bundles.get(root)
        named = (entry.name for entry in bundle.requesters if entry.id == requester) if bundle else iter(())
        return next(named, f"{requester} (no longer in a trust bundle)")

    def roots(self) -> list[str]:
        """Returns the roots' public keys as text."""
        return [root.text for root in self.store.roots.values()]

    def bundles(self) -> list[bytes]:
        """Returns the envelopes as their roots signed them."""
        return list(self._journal.named(_BUNDLE).values())

    def changes(self) -> list[bytes]:
        """Returns the owners' signed changes of the roots, oldest first."""
        return [envelope for _, envelope in sorted(self._journal.named(_SIGNED).items())]

    def _keep(self, envelope: bytes) -> None:
        numbers = sorted(self._journal.named(_SIGNED))
        for number in numbers[: max(0, len(numbers) + 1 - MOST_CHANGES_KEPT)]:
            self._journal.remove(_SIGNED + number)
        self._journal.put(f"{_SIGNED}{int(numbers[-1]) + 1 if numbers else 1:08}", envelope)

    def _reload(self) -> None:
        """Loads the journal's value again after a transaction that failed."""
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
