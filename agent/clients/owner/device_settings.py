"""Sets a device's settings over its file's: one signed statement, whole, that follows the one before."""

from __future__ import annotations

from typing import Any

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, SyncedDevice, sync, sync_after
from agent.errors import OpenError
from agent.ipc.control_operations import GetSignedSettings
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Settings, open_statement

__all__ = ["MATTER", "change_settings", "matter_of"]

MATTER = (
    "name", "position", "sensitivity_percent", "smallest_person", "zones", "max_bytes", "max_age_days", "quiet",
    "private", "updates",
)  # fmt: skip
"""The settings that an owner can change, by their name in the statement."""


def _signed(text: str, met: SyncedDevice) -> Settings:
    try:
        opened = open_statement(text.encode(), Settings.PAYLOAD_TYPE, met.known.approvers_ever)
    except OpenError as error:
        raise OpenError(
            "The device shows settings that no present or former owner signed.",
            remedy="Reset them with --reset all.",
        ) from error
    return strictjson.decode(opened.payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES)


def matter_of(settings: Settings | None) -> dict[str, Any]:
    """Returns what these settings set, by name."""
    found = {} if settings is None else {name: getattr(settings, name) for name in MATTER}
    return {name: value for name, value in found.items() if value is not None}


def change_settings(
    link: DeviceChannel, keys: OwnerKeys, changes: dict[str, Any], *, clock: Clock = wall_ms
) -> dict[str, Any]:
    """Sets `changes` (None: use the value of the configuration file), keeps the other settings, and returns all that
    are set, by name.

    Earlier settings are kept only if a present or former owner signed them. Otherwise the device could insert a mask or
    a shorter retention. Settings of a former owner stay in force, so a mask stays when its owner leaves.
    """
    met = sync(link, keys)
    answer = link.ask(GetSignedSettings())
    before = None
    if answer.envelope is not None and not set(MATTER) <= set(changes):
        before = _signed(answer.envelope, met)
    matter = {name: value for name, value in {**matter_of(before), **changes}.items() if value is not None}
    sign_and_submit(link, keys, met, Settings, now_ms=clock(), previous=answer.sha256, **matter)
    sync_after(link, keys)
    return matter
