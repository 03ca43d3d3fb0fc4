"""The requesters that this owner trusts: roots chosen on this machine, and the bundles that those roots signed.

The device stores and shows the bundles. This machine verifies them with *its* known roots. So it detects a device that
invents a root, or that shows an older bundle with a revoked key.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, SyncedDevice, sync
from agent.core.trust_change import narrowed, open_agreed
from agent.errors import ConfigurationError, OpenError, RequestError
from agent.ipc.control_operations import GetTrust, SubmitBundle
from agent.wire.statements import TrustChange
from agent.wire.trust import OpenedBundle, TrustBundle, TrustDiff, TrustStore, claimed_root
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import SignedParts

__all__ = [
    "RootSigners",
    "ShownBundle",
    "TrustState",
    "add_trust_root",
    "bundle_change",
    "offer_bundle",
    "remove_trust_root",
    "trust_state",
]


@dataclass(frozen=True, slots=True)
class RootSigners:
    """`least` of `keys` keys sign the lists of a root. `changed_s`: when they changed, None if they are the first."""

    keys: int
    least: int
    changed_s: int | None


@dataclass(frozen=True, slots=True)
class TrustState:
    """The roots and bundles that this machine verified. The device alone names the `unconfirmed` roots.

    `offers`: by root, the newer package that waits for an owner. `fresh_until_s`: by root, the end of its newest
    timestamp; a root without packages has none. `signers`: likewise, who signs its lists.
    """

    store: TrustStore
    unconfirmed: tuple[TrustKey, ...]
    offers: Mapping[str, bytes] = field(default_factory=dict)
    fresh_until_s: Mapping[str, int] = field(default_factory=dict)
    signers: Mapping[str, RootSigners] = field(default_factory=dict)

    def stale_roots(self, now_s: int) -> dict[str, int]:
        """Returns the roots with a timestamp that has ended, and when. Newer revocations may be held back."""
        return {root: until_s for root, until_s in self.fresh_until_s.items() if until_s < now_s}


@dataclass(frozen=True, slots=True)
class ShownBundle:
    """The changes that a signed bundle or package would make while the doorbell is in `cell`."""

    bundle: TrustBundle
    change: TrustDiff
    cell: str | None


def trust_state(link: DeviceChannel, keys: OwnerKeys, met: SyncedDevice | None = None) -> TrustState:
    """Returns the roots that both the device and this owner trust. Raises `OpenError` if the device shows an older
    bundle."""
    met = met or sync(link, keys)
    answer = link.ask(GetTrust())
    store = replace(met.known.trust, cell=answer.cell)
    roots = [parse_trust_key(text) for text in answer.roots]
    # A forger of Ed25519 can give a root another second key, and its id stays. So pairs are compared, not ids.
    unconfirmed = tuple(root for root in roots if store.roots.get(root.id) != root)
    chosen = store.roots.keys() - {root.id for root in unconfirmed}
    agreed, heard = (_by_root(chosen, texts) for texts in (answer.bundles, answer.heard))
    for root in agreed.keys() | heard.keys():
        store = _with_shown(store, agreed.get(root), heard.get(root), answer.agreed_in.get(root))
    known = met.known.with_trust(store)
    if known != met.known:
        keys.memory.remember(known, met.known)
    opened = (store.open(data).parts for data in {**agreed, **heard}.values())
    newest = {parts.root_file.root: parts for parts in opened if parts is not None}
    fresh = {root: parts.ends_s for root, parts in newest.items()}
    signers = {root: _signers(parts) for root, parts in newest.items()}
    return TrustState(store, unconfirmed, heard, fresh, signers)


def _signers(parts: SignedParts) -> RootSigners:
    file, since = parts.root_file, parts.keys_since
    return RootSigners(len(file.keys), file.threshold, None if since is None else since.issued_s)


def add_trust_root(link: DeviceChannel, keys: OwnerKeys, root: str, *, clock: Clock = wall_ms) -> TrustKey:
    """Let the requesters of `root` (`ed25519:…+mldsa44:…`) ask at this device, and remember this choice.

    Raises `RequestError` if this owner chose the root with another second key.
    """
    met = sync(link, keys)
    key = parse_trust_key(root)
    met.known.trust.with_root(key)  # before anything is signed
    # Another owner may have chosen it already. Then only this machine has to remember it.
    if key.text not in link.ask(GetTrust()).roots:
        sign_and_submit(link, keys, met, TrustChange, now_ms=clock(), roots_added=(key.text,))
    # Sync again, so that this machine also stores the ledger entry of the change.
    known = sync(link, keys).known
    keys.memory.remember(known.with_trust(known.trust.with_root(key)), known)
    return key


def remove_trust_root(link: DeviceChannel, keys: OwnerKeys, root: str, *, clock: Clock = wall_ms) -> TrustKey:
    """Take `root` and everybody it vouched for out again."""
    met = sync(link, keys)
    key = parse_trust_key(root)
    if key.text in link.ask(GetTrust()).roots:
        sign_and_submit(link, keys, met, TrustChange, now_ms=clock(), roots_removed=(key.text,))
    # Another owner may have removed it at the device. Then it still has to go here, without a statement.
    elif met.known.trust.roots.get(key.id) != key:
        raise ConfigurationError(f"The root {key.id} is not trusted.", remedy="Run: doorward owner trust show.")
    known = sync(link, keys).known
    if known.trust.roots.get(key.id) == key:
        keys.memory.remember(known.with_trust(known.trust.without_root(key.id)), known)
    return key


def bundle_change(link: DeviceChannel, keys: OwnerKeys, data: bytes, *, clock: Clock = wall_ms) -> ShownBundle:
    """Returns the changes that the signed bundle `data` would make at this device, without applying them.

    Raises `OpenError` if no chosen root signed it, `RequestError` if a newer one is known.
    """
    store = trust_state(link, keys).store
    _, bundle, change = _accepted(store, data, clock() // 1000)
    return ShownBundle(bundle, change, store.cell)


def offer_bundle(
    link: DeviceChannel, keys: OwnerKeys, data: bytes, *, shown: ShownBundle | None = None, clock: Clock = wall_ms
) -> TrustDiff:
    """Submits the signed bundle `data` to the device. Returns the changes as this machine computes them. Raises as
    above, and `RequestError` if the doorbell was moved since the owner agreed to `shown`.

    Without `shown`, no owner was asked, and it is submitted for the doorbell's present place."""
    store = trust_state(link, keys).store
    grown, _, change = _accepted(store, data, clock() // 1000)
    # The cell in which the owner was shown the changes: elsewhere, the same package lets other requesters ask.
    link.ask(SubmitBundle(cell=store.cell if shown is None else shown.cell), body=data)
    known = sync(link, keys).known
    # The bundles alone: another client of this owner may have removed a root since `grown` was read.
    keys.memory.remember(known.with_bundles(grown), known)
    return change


def _accepted(store: TrustStore, data: bytes, now_s: int) -> tuple[TrustStore, TrustBundle, TrustDiff]:
    root = claimed_root(data)
    if root not in store.roots:
        raise OpenError(
            f"The root {root} that signed this bundle is not one you chose on this machine.",
            remedy="If you want to trust it: doorward owner trust add-root KEY.",
        )
    grown, change = store.accept(data, now_s)
    return grown, grown.bundles[root], change


def _by_root(chosen: Container[str], shown: Iterable[str]) -> dict[str, bytes]:
    """Returns what the device shows, without roots that this owner did not choose."""
    found = {claimed_root(text.encode()): text.encode() for text in shown}
    return {root: data for root, data in found.items() if root in chosen}


def _with_shown(store: TrustStore, agreed: bytes | None, heard: bytes | None, agreed_in: str | None) -> TrustStore:
    """Returns `store` with what the device shows of one root: what an owner agreed to in the cell `agreed_in`, less
    what a newer package takes away. One of both is the newest that this machine has seen, or newer."""
    try:
        before = open_agreed(store, agreed, agreed_in) if agreed is not None else None
        if heard is None:
            assert before is not None  # noqa: S101 — one of both is there
            store.require_newest(before)
            return store.with_bundle(before.bundle, before.seen)
        newest = store.open(heard)
        store.require_newest(newest)
        _require_one_chain(before, newest)
        return store.with_bundle(narrowed(before.bundle if before else None, newest.bundle), newest.seen)
    except RequestError as error:
        raise OpenError(
            f"The device shows an older trust bundle or other root files than before: {error.message}",
            remedy="Give it the newest one (doorward owner trust bundle FILE) before you share anything. If it refuses "
            "that one, ask the root.",
        ) from error


def _require_one_chain(before: OpenedBundle | None, newest: OpenedBundle) -> None:
    """The names that an owner sees are those of `before`, so it must not be of a thief of earlier keys."""
    if before is not None and not newest.follows(before):
        raise RequestError("The two packages of a root that it shows have two chains of root files.")
