"""Declares a doorbell stolen: a signed file for its requesters. The doorbell is not needed.

A thief has the doorbell's signing key. That key opens no footage, but the thief could answer in the owners' place. A
requester with this notice refuses every answer that was approved after the theft, and every answer under owners that
the chain of enrolments in the notice does not list.
"""

from __future__ import annotations

import secrets

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.errors import ConfigurationError
from agent.wire import strictjson
from agent.wire.statements import Stolen, StolenNotice, sign_statement

__all__ = ["stolen_notice"]

_MS_PER_S = 1000


def stolen_notice(keys: OwnerKeys, device_id: str, since_s: int | None = None, *, clock: Clock = wall_ms) -> bytes:
    """Returns the notice. `since_s`: the time of the theft; now, if not given.

    Raises `ConfigurationError` if the doorbell is unknown to this machine, or these keys are no owner's.
    """
    known = keys.memory.device(device_id)
    if known is None:
        raise ConfigurationError(
            f"This machine has never met the device {device_id}.",
            remedy="Run this on the machine that enrolled it, or on a backup of its folder of keys.",
        )
    if keys.approver.id not in known.enrolled.approver_keys:
        raise ConfigurationError(
            f"“{keys.name}” is no owner of the device {device_id}.",
            remedy="Ask one of its owners to declare it stolen.",
        )
    now_ms = clock()
    statement = Stolen(
        v=1,
        device=known.key,
        owner_time_ms=now_ms,
        nonce=secrets.token_hex(16),
        since_s=now_ms // _MS_PER_S if since_s is None else since_s,
    )
    signed = sign_statement(Stolen.PAYLOAD_TYPE, strictjson.encode(statement), keys.approval)
    return strictjson.encode(StolenNotice(v=1, stolen=signed.decode("ascii"), enrolments=known.enrolments))
