"""The time zone of private and quiet hours: `device.time_zone` of the configuration, or else that of the machine.

A doorbell from a card has the image's zone, wherever it hangs, and no shell to change it. Agent and bridge set their
own zone, so the system's files stay as they are, also on a card that is read-only.
"""

from __future__ import annotations

import os
import time
import tomllib
from pathlib import Path
from typing import Final

from firmware_bridge.errors import BridgeError

__all__ = ["LOCALTIME", "ZONES", "is_zone", "use_time_zone", "zone_in"]

ZONES: Final = Path("/usr/share/zoneinfo")
LOCALTIME: Final = Path("/etc/localtime")
"""A link to the machine's zone in `ZONES`, or a copy of it."""
_MAGIC: Final = b"TZif"
"""The begin of each zone (RFC 9636). Lists of zones lie beside them."""
_MOST_BYTES: Final = 1 << 20


def is_zone(name: str, zones: Path = ZONES) -> bool:
    """Returns whether this machine knows the zone. `name` must have the form of the configuration's key."""
    try:
        with (zones / name).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False


def use_time_zone(name: str, zones: Path = ZONES) -> bool:
    """Sets the zone of this process and its children. Returns False if the machine does not know it.

    The C library would take an unknown zone for UTC. So the machine's zone stays then, as without a name.
    """
    if not name:
        return True
    if not is_zone(name, zones):
        return False
    os.environ["TZ"] = name
    time.tzset()
    return True


def zone_in(path: Path) -> str:
    """Returns `device.time_zone` of a configuration file, for the bridge. Raises `BridgeError`."""
    try:
        with path.open("rb") as file:
            found = tomllib.loads(file.read(_MOST_BYTES).decode("utf-8-sig")).get("device", {}).get("time_zone", "")
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        remedy = f"See what is wrong with:  doorward config check {path}"
        raise BridgeError(f"The time zone in {path} cannot be read: {error}.", remedy=remedy) from error
    return found if isinstance(found, str) else ""
