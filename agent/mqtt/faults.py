"""Why a link fails, from what the broker says: MQTT reason codes turned into faults with words and a remedy.

Source: MQTT 5.0 §2.4 (reason codes).
"""

from __future__ import annotations

from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.core.bus import LinkFault
from agent.errors import NetworkError

__all__ = ["REMEDIES", "LinkError", "broken_protocol", "refused_by_broker", "stalled"]

_BY_CODE = {
    0x81: LinkFault.PROTOCOL,  # malformed packet
    0x82: LinkFault.PROTOCOL,  # protocol error
    0x84: LinkFault.PROTOCOL,  # unsupported protocol version
    0x85: LinkFault.NOT_AUTHORISED,  # client identifier not valid
    0x86: LinkFault.NOT_AUTHORISED,  # bad user name or password
    0x87: LinkFault.NOT_AUTHORISED,
    0x88: LinkFault.BUSY,  # server unavailable
    0x89: LinkFault.BUSY,
    0x8A: LinkFault.NOT_AUTHORISED,  # banned
    0x8B: LinkFault.BUSY,  # shutting down
    0x8C: LinkFault.NOT_AUTHORISED,  # bad authentication method
    0x8E: LinkFault.TAKEN_OVER,
    0x93: LinkFault.PROTOCOL,  # receive maximum exceeded
    0x94: LinkFault.PROTOCOL,  # topic alias invalid
    0x95: LinkFault.PROTOCOL,  # packet too large
    0x96: LinkFault.BUSY,  # message rate too high
    0x97: LinkFault.BUSY,  # quota exceeded
    0x9F: LinkFault.BUSY,  # connection rate exceeded
}
REMEDIES = {
    LinkFault.NOT_AUTHORISED: "Ask who runs the broker to admit this name.",
    LinkFault.TAKEN_OVER: "Two clients use one certificate: give each its own.",
    LinkFault.BUSY: "Nothing to do: it is tried again.",
    LinkFault.STALLED: "Nothing to do: it is tried again.",
    LinkFault.PROTOCOL: "Check that the broker speaks MQTT 5 and what its limits are.",
}
_LONGEST_WORDS = 200


class LinkError(NetworkError):
    """A `NetworkError` that knows its fault."""

    def __init__(self, fault: LinkFault, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.fault = fault


def refused_by_broker(place: str, what: str, code: ReasonCode, properties: Properties | None) -> LinkError:
    """The broker at `place` did `what` (a refusal, a goodbye) for a reason it gave."""
    fault = _BY_CODE.get(code.value, LinkFault.LOST)
    # The broker's words go to a terminal and into a log, so control characters are removed.
    words = "".join(filter(str.isprintable, str(getattr(properties, "ReasonString", ""))))[:_LONGEST_WORDS]
    text = f"The broker at {place} {what}: {words or code.getName()} (0x{code.value:02x})."
    return LinkError(fault, text, remedy=REMEDIES.get(fault, ""))


def broken_protocol(place: str, what: str) -> LinkError:
    """The broker did something MQTT 5, or a limit we told it, forbids."""
    return LinkError(LinkFault.PROTOCOL, f"The broker at {place} {what}.", remedy=REMEDIES[LinkFault.PROTOCOL])


def stalled(place: str, what: str) -> LinkError:
    """The broker missed its deadline."""
    return LinkError(LinkFault.STALLED, f"The broker at {place} {what}.", remedy=REMEDIES[LinkFault.STALLED])
