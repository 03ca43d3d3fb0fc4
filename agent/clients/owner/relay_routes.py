"""The relays of the owner's doorbells: `relays.json` in the folder of keys.

A route is learnt at home, over the control socket or in a session. The secret changes with the list of owners, so each
session learns it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import DeviceChannel, sync
from agent.errors import ConfigurationError
from agent.ipc.control_operations import GetLinkAddress, GetStatus
from agent.platform import files

__all__ = ["RelayRoute", "learn_route", "route_to"]

_FILE: Final = "relays.json"
_LIMIT_BYTES: Final = 1 << 20


class RelayRoute(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one doorbell. `device`: its key. `ca`: the file of an authority, or empty for the system's."""

    name: str
    device: str
    secret: str
    url: str
    account: str
    password: str
    ca: str = ""


def learn_route(channel: DeviceChannel, keys: OwnerKeys, ca: str = "") -> RelayRoute:
    """Asks the doorbell for its relay, and keeps the answer. Raises `ConfigurationError` if it has none."""
    key = sync(channel, keys).key
    answer, name = channel.ask(GetLinkAddress()), channel.ask(GetStatus()).device
    if answer.relay is None:
        raise ConfigurationError(
            f"{name} has no relay.", remedy="Give it one: [remote] in its configuration (docs/remote.md)."
        )
    relay = answer.relay
    route = RelayRoute(
        name=name,
        device=key.text,
        secret=answer.secret,
        url=relay.url,
        account=relay.account,
        password=relay.password,
        ca=ca,
    )
    routes = [each for each in _load(keys.folder) if each.device != route.device]
    files.write(keys.folder / _FILE, msgspec.json.encode([*routes, route]), secret=True)
    return route


def route_to(folder: Path, name: str) -> RelayRoute:
    """Returns the route to the doorbell of this name. Raises `ConfigurationError` if it is unknown."""
    routes = _load(folder)
    found = [each for each in routes if each.name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(each.name for each in routes)) or "none"
    raise ConfigurationError(
        f"There is no relay for {name!r}; known doorbells: {known}.",
        remedy="At home, learn it with 'doorward owner relay'.",
    )


def _load(folder: Path) -> list[RelayRoute]:
    data = files.read_if_there(folder / _FILE, _LIMIT_BYTES)
    if data is None:
        return []
    try:
        return msgspec.json.decode(data, type=list[RelayRoute])
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{folder / _FILE} cannot be read: {error}.", remedy="Remove it, and run 'doorward owner relay' at home."
        ) from error
