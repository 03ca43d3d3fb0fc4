"""The messages between the custodian's and the uplink's halves of the Home Assistant service."""

from __future__ import annotations

import msgspec

__all__ = ["HomeAddress", "HomeState"]


class HomeAddress(msgspec.Struct, frozen=True):
    """The owner's broker and the doorbell's name there. `host` is empty if none is configured.

    With `ca` (a path) the connection uses TLS. The password stays out of all logs.
    """

    host: str = ""
    port: int = 1883
    user: str = ""
    password: str = ""
    ca: str = ""
    prefix: str = "homeassistant"
    device: str = ""
    name: str = ""
    version: str = ""
    page: str = ""

    def __repr__(self) -> str:
        return f"HomeAddress({self.host!r}, {self.port})"


class HomeState(msgspec.Struct, frozen=True):
    """`presses` counts from the start of the custodian; `state` is JSON for the entities."""

    presses: int
    state: bytes
