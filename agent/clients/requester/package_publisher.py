"""Publishes a root's package on a broker: each chunk retained in its slot, and the slots behind it cleared."""

from __future__ import annotations

import time
from typing import Final

from agent.core.bus import BusDisconnected, PublishAcknowledged, PublishLost, PublishRefused
from agent.errors import ConfigurationError, NetworkError
from agent.ports import Bus
from agent.wire.topics import TrustTopic
from agent.wire.trust_package import TRUST_SLOTS, split_package

__all__ = ["publish_package"]

_WAIT_S: Final = 0.2


def publish_package(bus: Bus, root: str, package: bytes, timeout_s: float) -> int:
    """Publishes the package and waits for the broker's answers. Returns the number of chunks.

    Raises `FormatError` if it is too long, `ConfigurationError` if the broker refuses a slot, and `NetworkError` if it
    does not answer in time.
    """
    chunks = split_package(package)
    # An empty retained message clears a slot. The root may have no right to slots that it never used.
    waiting = {slot: chunks[slot] if slot < len(chunks) else b"" for slot in range(TRUST_SLOTS)}
    in_flight: set[int] = set()
    ends_s, fault = time.monotonic() + timeout_s, ""
    bus.hurry(True)
    while waiting:
        for slot in sorted(waiting.keys() - in_flight):
            if bus.publish(str(TrustTopic(root, slot)), waiting[slot], token=slot, retain=True):
                in_flight.add(slot)
        match bus.next_event(_WAIT_S):
            case PublishAcknowledged(token=slot):
                waiting.pop(slot, None)
            case PublishRefused(token=slot) if slot < len(chunks):
                raise ConfigurationError(
                    f"The broker refuses slot {slot} of this root.",
                    remedy="Ask its operator for more slots: doorward broker add-root --slots.",
                )
            case PublishRefused(token=slot):
                waiting.pop(slot, None)
            case PublishLost(token=slot):
                in_flight.discard(slot)
            case BusDisconnected(error=error):
                fault = str(error)
        if time.monotonic() > ends_s:
            raise NetworkError(f"The broker has not taken the package. {fault}".strip(), remedy="Publish it again.")
    return len(chunks)
