"""Sets a device's settings over its file's: one signed statement, whole, that follows the one before."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, SyncedDevice, sync
from agent.errors import OpenError
from agent.ipc.control_operations import GetSignedSettings
from agent.wire import envelope, strictjson
from agent.wire.statements import STATEMENT_ENVELOPE_LIMIT_BYTES, STATEMENT_LIMIT_BYTES, Settings

__all__ = ["MATTER", "change_settings"]

MATTER = (
    "name", "position", "sensitivity_percent", "smallest_person", "zones", "max_bytes", "max_age_days", "quiet",
    "private",
)  # fmt: skip
"""The settings that an owner can change, by their name in the statement."""


def _signed(text: str, met: SyncedDevice) -> Settings:
    try:
        opened = envelope.open_envelope(
            text.encode(),
            Settings.PAYLOAD_TYPE,
            met.known.approvers_ever,
            limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES,
        )
    except OpenError as error:
        raise OpenError(
            "The device shows settings that no present or former owner signed.",
            remedy="Reset them with --reset all.",
        ) from error
    return strictjson.decode(opened.payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES)


def change_settings(
    link: DeviceChannel, keys: OwnerKeys, changes: dict[str, Any], *, clock: Clock = wall_ms
) -> Settings:
    """Sets `changes` (None: use the value of the configuration file), keeps the other settings, and returns all of
    them.

    Earlier settings are kept only if a present or former owner signed them. Otherwise the device could insert a mask or
    a shorter retention. Settings of a former owner stay in force, so a mask stays when its owner leaves.
    """
    met = sync(link, keys)
    answer = link.ask(GetSignedSettings())
    before = None
    if answer.envelope is not None and not set(MATTER) <= set(changes):
        before = _signed(answer.envelope, met)
    kept = {name: getattr(before, name) for name in MATTER} if before is not None else {}
    matter = {name: value for name, value in {**kept, **changes}.items() if value is not None}
    sign_and_submit(link, keys, met, Settings, now_ms=clock(), previous=answer.sha256, **matter)
    sync(link, keys)
    return msgspec.structs.replace(
        before or Settings(v=1, device=met.known.key, owner_time_ms=clock(), nonce="0" * 32),
        **{name: matter.get(name) for name in MATTER},
    )
