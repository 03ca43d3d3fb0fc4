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
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_operations import GetLinkAddress, GetStatus
from agent.platform import files
from agent.wire.identities import parse_public_key

__all__ = ["RelayRoute", "learn_route", "reference_of", "route_to"]

_FILE: Final = "relays.json"
_LIMIT_BYTES: Final = 1 << 20


class RelayRoute(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one doorbell. `device`: its key. `ca`: the file of an authority, or empty for the system's.

    Two doorbells may have one name, because each home names its own. The id tells them apart.
    """

    name: str
    device: str
    secret: str
    url: str
    account: str
    password: str
    ca: str = ""

    @property
    def id(self) -> str:
        """The id of the doorbell's key. Empty if the file has no key in its place."""
        try:
            return parse_public_key(self.device).id
        except FormatError:
            return ""


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
    # By key: a doorbell that was renamed must not leave a route with an old secret behind.
    routes = [each for each in _load(keys.folder) if each.device != route.device]
    files.write(keys.folder / _FILE, msgspec.json.encode([*routes, route]), secret=True)
    return route


def route_to(folder: Path, name: str) -> RelayRoute:
    """Returns the route to the doorbell of this name or id. Raises `ConfigurationError` if it is unknown, or if several
    have the name."""
    routes = _load(folder)
    found = [each for each in routes if each.name == name] or [each for each in routes if each.id == name]
    if len(found) == 1:
        return found[0]
    if found:
        ids = sorted(each.id for each in found)
        raise ConfigurationError(
            f"{len(found)} of your doorbells have the name {name!r}. Their ids are {', '.join(ids)}.",
            remedy=f"Name the one that you mean by its id: --relay {ids[0]}",
        )
    known = ", ".join(sorted(each.name for each in routes)) or "none"
    raise ConfigurationError(
        f"There is no relay for {name!r}; known doorbells: {known}.",
        remedy="At home, learn it with 'doorward owner relay'.",
    )


def reference_of(folder: Path, route: RelayRoute) -> str:
    """Returns what `--relay` takes for this route: its name, or its id if another doorbell has the name, too."""
    return route.name if sum(each.name == route.name for each in _load(folder)) == 1 else route.id


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
