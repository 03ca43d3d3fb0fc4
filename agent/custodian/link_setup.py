"""Builds the doorbell's end of the link over the page's operations: who may open a session, and its secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.settings import RemoteConfig
from agent.core.device_secret import DeviceSecret
from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.enrolment import Enrolments
from agent.custodian.link_sessions import LinkIdentity, LinkSessions
from agent.custodian.page.request_guard import Caller
from agent.custodian.page.server import PageServer
from agent.ipc.control_operations import RelayAccount
from agent.platform.system_clock import SystemEntropy
from agent.wire.identities import PublicKey, public_key_of

__all__ = ["link_sessions"]

_LISTS: Final = 2
"""The newest list of owners, and the one before: a phone that is away learns the new address in a session."""


def link_sessions(
    key: Ed25519PrivateKey,
    secret: DeviceSecret,
    enrolments: Enrolments,
    glance_holder: Callable[[str], GlanceHolder | None],
    page: PageServer,
    remote: RemoteConfig | None,
) -> LinkSessions:
    """`glance_holder`: the browser that signs with this glance key."""

    def caller(client: PublicKey) -> Caller | None:
        current = enrolments.current
        if current is None:
            return None
        if current.approver_keys.get(client.id) == client:
            return Caller(None, owner=True, claimed=True, link=True, key=client.id)
        holder = glance_holder(client.text)
        if holder is None:
            return None
        return Caller(None, owner=False, claimed=True, link=True, key=client.id, glance=holder)

    def secrets() -> tuple[bytes, ...]:
        newest = enrolments.current.epoch if enrolments.current is not None else 0
        return tuple(secret.key(b"doorward link v1 %d" % epoch) for epoch in range(newest, max(newest - _LISTS, 0), -1))

    device = public_key_of(key)
    relay = RelayAccount(remote.url, remote.user or device.id, remote.password) if remote is not None else None
    identity = LinkIdentity(device, key.sign, secrets, caller, relay, lambda client: enrolments.note_use(client.id))
    return LinkSessions(identity, page.answer_in_link, SystemEntropy())
