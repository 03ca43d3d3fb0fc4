"""What the custodian's and the uplink's halves of the Home Assistant service say to each other."""

from __future__ import annotations

import msgspec

__all__ = ["HomeAddress", "HomeState"]


class HomeAddress(msgspec.Struct, frozen=True):
    """The owner's broker, and how the doorbell is called there.  `host` is empty when there is none.

    With `ca` (a path) the connection is TLS.  The password is never logged.
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
    """`presses` counts since the custodian began; `state` is JSON for the entities."""

    presses: int
    state: bytes
