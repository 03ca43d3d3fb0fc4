"""Declares a doorbell stolen: a signed file for the requesters who may hear from it.  The doorbell is not needed.

A thief has the key with which the doorbell signs.  The key opens no footage, but the thief could let the doorbell
answer in its owners' place.  A requester who holds this notice takes no answer that was approved after the theft, and
none under owners whom the chain of enrolments in the notice does not know.
"""

from __future__ import annotations

import secrets

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.errors import ConfigurationError
from agent.wire import envelope, strictjson
from agent.wire.statements import Stolen, StolenNotice

__all__ = ["stolen_notice"]

_MS_PER_S = 1000


def stolen_notice(keys: OwnerKeys, device_id: str, since_s: int | None = None, *, clock: Clock = wall_ms) -> bytes:
    """The file.  `since_s`: from when on the doorbell is in other hands; now, if not given.

    Raises `ConfigurationError` for a doorbell that this machine never met, or of which these keys are no owner's.
    """
    known = keys.memory.device(device_id)
    if known is None:
        raise ConfigurationError(
            f"This machine has never met the device {device_id}.",
            remedy="Run this on the machine with which you enrolled it, or from a backup of its folder of keys.",
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
    signed = envelope.sign(Stolen.PAYLOAD_TYPE, strictjson.encode(statement), keys.approval)
    return strictjson.encode(StolenNotice(v=1, stolen=signed.decode("ascii"), enrolments=known.enrolments))
