"""The bulletins that a device keeps for its owner, verified on this machine with the roots this owner chose.

A bulletin is a requester's safety message to an area. The device stays silent about it and keeps its state. An owner
reads it in the client or on the page.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sealed_texts import opens, unsealed
from agent.clients.owner.sync import DeviceChannel, sync
from agent.clients.owner.trust_roots import trust_state
from agent.errors import FormatError
from agent.ipc.control_operations import ListBulletins
from agent.wire import envelope, strictjson
from agent.wire.messages import Bulletin
from agent.wire.trust import TrustedRequester, TrustStore

__all__ = ["PostedBulletin", "read_bulletins"]

_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class PostedBulletin:
    """A bulletin and who really posted it, as the trust bundle names them."""

    bulletin: Bulletin
    requester: TrustedRequester


def read_bulletins(link: DeviceChannel, keys: OwnerKeys, *, clock: Clock = wall_ms) -> tuple[PostedBulletin, ...]:
    """Returns the valid bulletins, newest first. Bulletins of a requester that lost the trust are left out."""
    met = sync(link, keys)
    now_s = clock() // _MS_PER_S
    store = trust_state(link, keys, met).store
    kept = link.ask(ListBulletins()).bulletins
    # A bulletin that is older than this owner's enrolment is sealed to other owners.
    opened = [unsealed(each, keys.identity) for each in kept if opens(each, keys.identity)]
    shown = [_read(each, store, now_s) for each in opened]
    return tuple(each for each in shown if each is not None and each.bulletin.not_after_s >= now_s)


def _read(data: bytes, store: TrustStore, now_s: int) -> PostedBulletin | None:
    claimed = envelope.read_unverified(data)
    bulletin = strictjson.decode(claimed.payload, Bulletin)
    requester = store.resolve(bulletin.trust_root, bulletin.requester, claimed.key_id, now_s)
    if requester is None:
        return None
    try:
        envelope.open_envelope(data, Bulletin.PAYLOAD_TYPE, {requester.key.id: requester.key})
    except FormatError:
        return None
    return PostedBulletin(bulletin, requester)
