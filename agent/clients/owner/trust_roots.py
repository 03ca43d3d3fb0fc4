"""The requesters that this owner trusts: roots chosen on this machine, and the bundles that those roots signed.

The device stores and shows the bundles. This machine verifies them with *its* known roots. So it detects a device that
invents a root, or that shows an older bundle with a revoked key.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, SyncedDevice, sync
from agent.errors import ConfigurationError, OpenError, RequestError
from agent.ipc.control_operations import GetTrust, SubmitBundle
from agent.wire import envelope
from agent.wire.identities import PublicKey, parse_public_key
from agent.wire.statements import TrustChange
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES, TrustBundle, TrustDiff, TrustStore

__all__ = ["TrustState", "add_trust_root", "bundle_change", "offer_bundle", "remove_trust_root", "trust_state"]


@dataclass(frozen=True, slots=True)
class TrustState:
    """The roots and bundles that this machine verified. The device alone names the `unconfirmed` roots."""

    store: TrustStore
    unconfirmed: tuple[PublicKey, ...]


def trust_state(link: DeviceChannel, keys: OwnerKeys, met: SyncedDevice | None = None) -> TrustState:
    """Returns the roots that both the device and this owner trust. Raises `OpenError` if the device shows an older
    bundle."""
    met = met or sync(link, keys)
    answer = link.ask(GetTrust())
    store = met.known.trust
    roots = [parse_public_key(text) for text in answer.roots]
    for data in answer.bundles:
        store = _with_bundle(store, data.encode())
    known = met.known.with_trust(store)
    if known != met.known:
        keys.memory.remember(known)
    return TrustState(store, tuple(root for root in roots if root.id not in store.roots))


def add_trust_root(link: DeviceChannel, keys: OwnerKeys, root: str, *, clock: Clock = wall_ms) -> PublicKey:
    """Let the requesters of `root` (`ed25519:…`) ask at this device, and remember that it was this owner's choice."""
    met = sync(link, keys)
    key = parse_public_key(root)
    if key.text not in link.ask(GetTrust()).roots:
        sign_and_submit(link, keys, met, TrustChange, now_ms=clock(), roots_added=(key.text,))
    # Sync again, so that this machine also stores the ledger entry of the change.
    known = sync(link, keys).known
    keys.memory.remember(known.with_trust(known.trust.with_root(key)))
    return key


def remove_trust_root(link: DeviceChannel, keys: OwnerKeys, root: str, *, clock: Clock = wall_ms) -> PublicKey:
    """Take `root` and everybody it vouched for out again."""
    met = sync(link, keys)
    key = parse_public_key(root)
    if key.text in link.ask(GetTrust()).roots:
        sign_and_submit(link, keys, met, TrustChange, now_ms=clock(), roots_removed=(key.text,))
    elif key.id not in met.known.trust.roots:
        raise ConfigurationError(f"The root {key.id} is not trusted.", remedy="Run: doorward owner trust show.")
    known = sync(link, keys).known
    keys.memory.remember(known.with_trust(known.trust.without_root(key.id)))
    return key


def bundle_change(link: DeviceChannel, keys: OwnerKeys, data: bytes) -> tuple[TrustBundle, TrustDiff]:
    """Returns the changes that the signed bundle `data` would make at this device, without applying them.

    Raises `OpenError` if no chosen root signed it, `RequestError` if a newer one is known.
    """
    _, bundle, change = _accepted(trust_state(link, keys).store, data)
    return bundle, change


def offer_bundle(link: DeviceChannel, keys: OwnerKeys, data: bytes) -> TrustDiff:
    """Submits the signed bundle `data` to the device. Returns the changes as this machine computes them. Raises as
    above."""
    grown, _, change = _accepted(trust_state(link, keys).store, data)
    link.ask(SubmitBundle(), body=data)
    keys.memory.remember(sync(link, keys).known.with_trust(grown))
    return change


def _accepted(store: TrustStore, data: bytes) -> tuple[TrustStore, TrustBundle, TrustDiff]:
    claimed = envelope.read_unverified(data, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
    if claimed.key_id not in store.roots:
        raise OpenError(
            f"The root {claimed.key_id} that signed this bundle is not one you chose on this machine.",
            remedy="If you want to trust it: doorward owner trust add-root KEY.",
        )
    grown, change = store.accept(data)
    return grown, grown.bundles[claimed.key_id], change


def _with_bundle(store: TrustStore, data: bytes) -> TrustStore:
    """Returns `store` with a bundle from the device. A bundle of an unknown root is left out."""
    claimed = envelope.read_unverified(data, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
    if claimed.key_id not in store.roots:
        return store
    try:
        return store.accept(data)[0]
    except RequestError as error:
        raise OpenError(
            f"The device shows an older trust bundle than before: {error.message}",
            remedy="Give it the newest one (doorward owner trust bundle FILE) before you share anything.",
        ) from error
