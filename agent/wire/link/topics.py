"""The topics of the link at a relay (LINK.md, "Frames and carriers").

    doorward/v1/link/<account>/<address>/<session>/in         owner's client → doorbell
    doorward/v1/link/<account>/<address>/<session>/out        doorbell → owner's client

The account is the user name at the relay. It is a level of the topic, so that the relay's access list can tell
households apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_FRAME_BYTES", "LinkTopic", "client_topic", "is_account", "link_filter", "parse_link_topic"]

MAX_FRAME_BYTES: Final = 15_360
"""With its topic, a frame fits a packet of 16 KiB."""
_ROOT: Final = "doorward/v1/link"
_ACCOUNT: Final = r"[A-Za-z0-9_-]{1,64}"
_HEX_ID: Final = r"[0-9a-f]{32}"
_TOPIC: Final = re.compile(rf"{_ROOT}/({_ACCOUNT})/({_HEX_ID})/({_HEX_ID})/in")


@dataclass(frozen=True, slots=True)
class LinkTopic:
    """A session at a relay. `str()` is the topic to its client."""

    account: str
    address: str
    session: str

    def __str__(self) -> str:
        return f"{_ROOT}/{self.account}/{self.address}/{self.session}/out"


def is_account(name: str) -> bool:
    """Returns whether `name` can be a level of the topics: no slash and no wildcard."""
    return re.fullmatch(_ACCOUNT, name) is not None


def client_topic(account: str, address: str, session: str) -> str:
    """Returns the topic of a client's session without its last level, `in` or `out`."""
    return f"{_ROOT}/{account}/{address}/{session}"


def link_filter(account: str, address: str) -> str:
    """Returns the filter for all frames to the doorbell with this address."""
    return f"{_ROOT}/{account}/{address}/+/in"


def parse_link_topic(topic: str) -> LinkTopic | None:
    """Parses a topic to the doorbell. Returns None for all others."""
    found = _TOPIC.fullmatch(topic)
    return LinkTopic(found[1], found[2], found[3]) if found else None
