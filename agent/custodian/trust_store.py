"""Trust store: the owner's roots and the newest bundle of each root, verified again at every start.

A root comes in a statement that the owner signed. A bundle must be signed by a root that the owner has chosen. It comes

- from the owner's client (`accept`), and then takes effect as it is, or
- over the network in a package (`hear`). Then it only takes rights away, at once (`core.trust_change`). The package is
  kept until an owner submits it through `accept`, which gives what it gives.

The effect of packages that were heard one after the other is stored as another bundle (`_RIGHTS`). It is unsigned,
and read only as far as it takes rights away from what an owner agreed to.

The owners' changes are kept as they were signed. From them, another client of the household learns who chose each root,
without trusting the device. They are in clear, because an owner who is added later must read them. They name roots and
times, which the list of roots and the ledger beside them show too.

A list with sections (`wire.trust`) counts as far as it is about the doorbell's cell. A package without a section that
the cell needs is refused, as if its broker had held it back. Its owner is told so once the timestamp has ended, or at
once if no timestamp counts. After a move, the requesters of the new cell wait for an owner, too.

A requester that is new in a bundle may ask only after its owner has been notified of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar, Final

import structlog

from agent.core.ledger.entries import EntryKind
from agent.core.requests import trusted_seconds
from agent.core.timebase import seconds
from agent.core.trust_change import narrowed, open_agreed, widenings
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.errors import DoorwardError, RequestError, StorageError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Clock, Journal
from agent.wire import strictjson
from agent.wire.statements import TrustChange
from agent.wire.trust import (
    BUNDLE_LIMIT_BYTES,
    OpenedBundle,
    SeenVersion,
    TrustBundle,
    TrustDiff,
    TrustedRequester,
    TrustStore,
    with_sections,
)
from agent.wire.trust_keys import parse_trust_key

__all__ = ["MOST_CHANGES_KEPT", "TrustManager"]

_ROOT, _BUNDLE, _NEWEST, _ANNOUNCED = "trust.root.", "trust.bundle.", "trust.newest.", "trust.announced."
"""The newest versions stay when a root goes. Their names end with the root's text, those of the others with its id."""
_HEARD, _RIGHTS = "trust.heard.", "trust.rights."
"""The newest package that waits for an owner, and what the packages that were heard have left of the agreed bundle."""
_CELL: Final = "trust.cell."
"""The doorbell's cell when an owner agreed to a bundle."""
_SIGNED: Final = "trust.signed."
MOST_CHANGES_KEPT: Final = 256
"""The oldest are dropped. A root that only a dropped change names is typed again."""
_CHANGED: Final = "The list of trusted requesters has changed."
_NEW: Final = "A new requester may ask you for footage. Review it."
_HEARD_NEWS: Final = "A trust root has changed its list. Review it."
_NEW_KEYS: Final = "A trust root has changed the keys that sign its lists. Review it."
_SILENT: Final = "A trust root has sent no news for too long. Revocations may be missing. Review it."
_TIGHTENED: Final = "tightened"
_RENEWAL_NS: Final = seconds(600)
_SEEN_WORDS: Final = 6
_NO_ROOT_FILE: Final = "-"
_NO_CELL: Final = "-"


class TrustManager(ThreadOwned):
    """`store` is the current value. It is written inside a transaction."""

    WRITTEN_BY: ClassVar = {
        "store": AttributeOwner.LOCK,
        "_announced": AttributeOwner.LOCK,
        "_cell": AttributeOwner.LOCK,
        "_moved": AttributeOwner.LOCK,
        "_renewed_ns": AttributeOwner.LOCK,
        "_told": AttributeOwner.LOCK,
        "on_change": AttributeOwner.SET_UP,
    }

    def __init__(
        self,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        clock: Clock,
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
        tell_once: Callable[[str, str, str], None] = lambda _kind, _text, _once: None,
        cell: str | None = None,
    ) -> None:
        """`cell`: where the doorbell is, None before its position is set. `tell(kind, text)` notifies the owner, and
        `tell_once` does so once for each `once`.  If one of them raises, the notification failed."""
        self._decisions = decisions
        self.lock = decisions.lock
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._tell = tell
        self._tell_once = tell_once
        self._cell = cell
        self._moved: frozenset[str] = frozenset()
        """Roots with a stored package that is about another cell."""
        self._renewed_ns: dict[str, int] = {}
        """By root: when a package of it was written last, on the boot clock."""
        self._told: frozenset[str] = frozenset()
        """Packages of which the owner has been told since the start that they have ended."""
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
            root = parse_trust_key(text)
            store = store.with_root(root)
            self._journal.put(_ROOT + root.id, text.encode())
        for text in change.roots_removed:
            root = parse_trust_key(text)
            if store.roots.get(root.id) != root:
                continue  # owners' clients remove the line, and would still show the root of which it has only the id
            store = store.without_root(root.id)
            self._journal.remove(_ROOT + root.id)
            self._journal.remove(_BUNDLE + root.id)
            self._journal.remove(_CELL + root.id)
            self._journal.remove(_ANNOUNCED + root.id)
            self._forget_heard(root.id)
            self._announced = {name: told for name, told in self._announced.items() if name != root.id}
        self._keep(envelope)
        self._ledger.write(EntryKind.TRUST_CHANGED, **fields)
        self._decisions.after(self.announce)
        self.store = store
        self.on_change()

    def accept_shown(self, envelope: bytes, cell: str | None) -> TrustDiff:
        """As `accept`, for a yes of an owner who was shown the changes in `cell`. Raises `RequestError` if the doorbell
        is in another one: there, the same package may let other requesters ask."""
        with self._decisions.one():
            if cell != self._cell:
                raise RequestError("The doorbell was moved meanwhile.", remedy="Look at the list again.")
            return self.accept(envelope)

    def accept(self, envelope: bytes) -> TrustDiff:
        """Accepts a newer bundle or package of a root that the owner chose.

        Raises as `TrustStore.accept` does, and `RequestError` if it lacks a section of the doorbell's cell.
        """
        with self._decisions.one():
            grown, changed = self.store.accept(envelope, trusted_seconds(self._clock.now()))
            opened = grown.open(envelope)
            if opened.lacks:
                raise _lacking()
            self._decisions.otherwise(self._reload)
            self._put_agreed(opened, envelope)
            self._ledger.write(EntryKind.TRUST_CHANGED, subject=_subject(envelope), version=opened.bundle.version)
            self._forget_announced(opened.bundle.root, changed.removed)
            self.store = grown
            self.on_change()
            self._decisions.after(self.announce)
        return changed

    def hear(self, package: bytes) -> bool:
        """Takes a package that arrived over the network: what it takes away is gone at once, what it gives waits.

        It does so without a trusted clock and after the timestamp has ended, too, because taking away needs no
        freshness. Returns False if it is to be judged again: the doorbell was moved meanwhile, or it only renews a
        timestamp too soon after the last one, because a thief of the timestamp's key must not wear out the disk. Raises
        as `TrustStore.accept` does.
        """
        store = self.store
        opened = store.open(package)
        if opened.parts is None:
            raise RequestError("Only packages of a root are taken from the network.")
        with self._decisions.one():
            if store.cell != self._cell or self._is_another_root(store, opened.bundle.root):
                # `opened` has the requesters of the old cell, and an agreement in the new one would hold for others. Or
                # it is by a false pair with the id of the root that is chosen now.
                return False
            if not opened.lacks:
                return self._hear_whole(opened, package)
            silent = self._once("silent", opened.bundle.root, opened.sha256) if self._goes_unnoticed(opened) else None
        # A broker that holds a section back could as well hold back the package, and then the timestamp ends.
        if silent:
            self._notify("trust silent", _SILENT, silent)
        raise _lacking()

    def _is_another_root(self, before: TrustStore, root: str) -> bool:
        """Returns True if the root with that id was exchanged for another pair since `before`."""
        return root in self.store.roots and self.store.roots[root] != before.roots.get(root)

    def _goes_unnoticed(self, opened: OpenedBundle) -> bool:
        """Returns True if `on_time` would never tell that such packages are refused, because no timestamp ends. Raises
        `RequestError` if a newer one was seen."""
        root = opened.bundle.root
        seen = self.store.seen(root)
        if root not in self.store.roots or (root in self.store.bundles and seen is not None and seen.ends_s > 0):
            return False
        self.store.require_newest(opened)
        return True

    def _hear_whole(self, opened: OpenedBundle, package: bytes) -> bool:
        root, before = opened.bundle.root, self.store.bundles.get(opened.bundle.root)
        is_here = before is not None and opened.seen == self.store.seen(root) and root not in self._moved
        if is_here or root not in self.store.roots:
            return True
        self.store.require_newest(opened)
        if root not in self._moved and not self._may_write(opened):
            return False
        self._decisions.otherwise(self._reload)
        left = narrowed(before, opened.bundle)
        if widenings(before, opened.bundle):
            self._put_heard(opened, package, left)
        else:
            self._put_agreed(opened, package)
        self._moved -= {root}
        self._note_rights(opened, before, left)
        self._note_keys(opened)
        self.store = self.store.with_bundle(left, opened.seen)
        self.on_change()
        return True

    def _may_write(self, opened: OpenedBundle) -> bool:
        """Returns True for a new bundle or root file, and for a new timestamp alone at most once in ten minutes."""
        root, now_ns, seen = opened.bundle.root, self._clock.now().boot_ns, opened.seen
        newest = self.store.seen(root) if root in self.store.bundles else None
        is_renewal = newest is not None and replace(newest, timestamp=seen.timestamp, ends_s=seen.ends_s) == seen
        if is_renewal and now_ns - self._renewed_ns.get(root, -_RENEWAL_NS) < _RENEWAL_NS:
            return False
        self._renewed_ns = {**self._renewed_ns, root: now_ns}
        return True

    def _put_heard(self, opened: OpenedBundle, package: bytes, left: TrustBundle) -> None:
        """Keeps a package until an owner agrees, and tells the owner once for each bundle."""
        root, once = opened.bundle.root, self._once("heard", opened.bundle.root, opened.sha256)
        self._journal.put(_HEARD + root, self._local(package))
        self._journal.put(_RIGHTS + root, strictjson.encode(left))
        self._put_newest(opened)
        self._decisions.after(lambda: self._notify("trust news", _HEARD_NEWS, once))

    def _put_agreed(self, opened: OpenedBundle, envelope: bytes) -> None:
        """Keeps a bundle that gives no more than the owner agreed to."""
        self._forget_heard(opened.bundle.root)
        self._journal.put(_BUNDLE + opened.bundle.root, self._local(envelope))
        if opened.has_sections:
            self._journal.put(_CELL + opened.bundle.root, (self._cell or _NO_CELL).encode())
        else:
            self._journal.remove(_CELL + opened.bundle.root)
        self._moved -= {opened.bundle.root}
        self._put_newest(opened)

    def _local(self, package: bytes) -> bytes:
        """Returns the package with the sections of the doorbell's cell. A file may have those of a whole country."""
        cell = self._cell
        return package if cell is None else with_sections(package, lambda cells: cells.holds(cell))

    def _put_newest(self, opened: OpenedBundle) -> None:
        seen = opened.seen
        text = f"{seen.version} {seen.sha256} {seen.root_version} {seen.timestamp} {seen.ends_s} "
        text += seen.root_sha256 or _NO_ROOT_FILE
        self._journal.put(_NEWEST + self.store.roots[opened.bundle.root].text, text.encode())

    def _note_rights(self, opened: OpenedBundle, before: TrustBundle | None, left: TrustBundle) -> None:
        """Records that rights are gone, and tells the owner."""
        old = before.requesters if before is not None else ()
        # The order says nothing. It changes if the root splits its list in another way.
        if {entry.id: entry for entry in old} == {entry.id: entry for entry in left.requesters}:
            return
        root, version = opened.bundle.root, opened.bundle.version
        self._ledger.write(EntryKind.TRUST_CHANGED, subject=opened.sha256, version=version, reason=_TIGHTENED)
        kept = {entry.id for entry in left.requesters}
        self._forget_announced(root, tuple(entry.id for entry in old if entry.id not in kept))
        once = self._once(_TIGHTENED, root, opened.sha256)
        self._decisions.after(lambda: self._notify("trust news", _HEARD_NEWS, once))

    def _note_keys(self, opened: OpenedBundle) -> None:
        """Tells the owner that other people sign for the root now. It needs no yes, because it gives no right."""
        root, seen = opened.bundle.root, self.store.seen(opened.bundle.root)
        changed = opened.parts.keys_since if opened.parts is not None else None
        if changed is not None and seen is not None and 0 < seen.root_version < changed.version:
            once = self._once("keys", root, str(changed.version))
            self._decisions.after(lambda: self._notify("trust keys", _NEW_KEYS, once))

    @property
    def cell(self) -> str | None:
        """Returns the doorbell's cell, None before its position is set."""
        return self._cell

    def move_to(self, cell: str | None) -> bool:
        """Sets the doorbell's cell. Returns True if packages that were heard have to be judged again. Raises
        `DoorwardError` if the stored packages cannot be read; the doorbell then stays in its cell.

        Requesters who may ask in the new cell wait for an owner, as new ones do.
        """
        with self.lock:
            if cell == self._cell:
                return False
            was, before = self._cell, self.store.bundles
            self._cell = cell
            try:
                self.store = self._load()
            except DoorwardError:
                # An agreement is stored with this cell, so it must be that of `store`.
                self._cell = was
                raise
            has_changed = self.store.bundles != before
        if has_changed:
            with self._decisions.one():
                self.on_change()
        return True

    def on_time(self) -> None:
        """Tells the owner of a root whose newest package has ended: newer ones may be held back."""
        at_s = trusted_seconds(self._clock.now())
        with self.lock:
            newest = {root: self.store.seen(root) for root in self.store.bundles}
            ended = {
                self._once("silent", root, str(seen.ends_s))
                for root, seen in newest.items()
                if at_s is not None and seen is not None and 0 < seen.ends_s < at_s
            }
            new, self._told = ended - self._told, frozenset(ended)
        for once in sorted(new):
            self._notify("trust silent", _SILENT, once)

    def remind(self) -> None:
        """Repeats the notices of packages that wait, because a power cut may have come before. The notifier drops
        duplicates."""
        for package in self.heard():
            opened = self.store.open(package)
            self._notify("trust news", _HEARD_NEWS, self._once("heard", opened.bundle.root, opened.sha256))

    def _once(self, what: str, root: str, which: str) -> str:
        """Returns the name of a notice about a chosen root. It has the pair: another pair with the same id could have
        the same payload or end, and its notice would take the place of this one."""
        return f"{what} {self.store.roots[root].text} {which}"

    def _notify(self, kind: str, text: str, once: str) -> None:
        try:
            self._tell_once(kind, text, once)
        except DoorwardError as error:
            self._log.warning("trust_not_announced", error=error.message)

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
            # The notice first: who is noted as announced may ask, and a power cut between the two must repeat the
            # notice.
            self._tell(*(("new requester", _NEW) if someone_new else ("trust", _CHANGED)))
            with self._decisions.one():
                self._decisions.otherwise(self._reload)
                for root, found in new.items():
                    # The root may have been removed while the notice was given.
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
        """Returns the envelopes and packages that owners agreed to, as their roots signed them."""
        return list(self._journal.named(_BUNDLE).values())

    def agreed_in(self) -> dict[str, str]:
        """Returns the doorbell's cell at the time of the agreement, for each root with sections. A root is missing if
        the doorbell had no place then."""
        cells = {root: cell.decode("ascii", "replace") for root, cell in self._journal.named(_CELL).items()}
        return {root: cell for root, cell in cells.items() if cell != _NO_CELL}

    def heard(self) -> list[bytes]:
        """Returns newer packages that wait for an owner."""
        return list(self._journal.named(_HEARD).values())

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

    def _forget_heard(self, root: str) -> None:
        self._journal.remove(_HEARD + root)
        self._journal.remove(_RIGHTS + root)

    def _load(self) -> TrustStore:
        with self.lock:
            return self._load_locked()

    def _load_locked(self) -> TrustStore:
        newest = {pair: _seen(text) for pair, text in self._journal.named(_NEWEST).items()}
        # Also the versions of removed roots: a root that is chosen again must not begin with an older list.
        store = TrustStore(newest=newest, cell=self._cell)
        self._moved = frozenset()
        for text in self._journal.named(_ROOT).values():
            store = store.with_root(parse_trust_key(text.decode()))
        agreed, heard = self._journal.named(_BUNDLE), self._journal.named(_HEARD)
        for root in agreed.keys() | heard.keys():
            store = self._with_stored(store, root, agreed.get(root), heard.get(root))
        return store

    def _with_stored(self, store: TrustStore, root: str, agreed: bytes | None, heard: bytes | None) -> TrustStore:
        """Returns `store` with what the stored packages of a root leave together. They are verified again."""
        before = self._open_agreed(store, root, agreed) if agreed is not None else None
        newest = store.open(heard) if heard is not None else None
        if newest is not None and newest.lacks:
            self._moved |= {root}
        last = newest or before
        assert last is not None  # noqa: S101 — one of both is there
        store.require_newest(last)
        if newest is None:
            return store.with_bundle(last.bundle, last.seen)
        stored = self._journal.get(_RIGHTS + root) or b""
        left = strictjson.decode(stored, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES, error=StorageError)
        left = narrowed(before.bundle if before is not None else None, left)
        return store.with_bundle(narrowed(left, newest.bundle), newest.seen)

    def _open_agreed(self, store: TrustStore, root: str, agreed: bytes) -> OpenedBundle:
        """Opens what an owner agreed to. In another cell, the owner saw other requesters then."""
        agreed_in = self.agreed_in().get(root)
        opened = open_agreed(store, agreed, agreed_in)
        if opened.has_sections and agreed_in != store.cell:
            self._moved |= {root}
        return opened


def _lacking() -> RequestError:
    return RequestError(
        "This trust package lacks the requesters of the doorbell's place.",
        remedy="Get the root's whole package as a file.",
    )


def _subject(envelope: bytes) -> str:
    return hashlib.sha256(envelope).hexdigest()


def _seen(text: bytes) -> SeenVersion:
    words = text.decode().split()
    numbers, hashes = words[:1] + words[2:-1], words[-1:]
    is_whole = len(words) == _SEEN_WORDS and all(each.isdecimal() for each in numbers)
    if not is_whole or (int(words[2]) == 0) != (hashes == [_NO_ROOT_FILE]):
        raise StorageError("The journal's trust records are damaged.", remedy="Restore the journal from a backup.")
    version, root_version, timestamp, ends_s = map(int, numbers)
    return SeenVersion(version, words[1], root_version, timestamp, ends_s, words[-1].replace(_NO_ROOT_FILE, ""))
