"""Collects the reports of health that a broker retains, opens them, and checks who signed each.

A report that is not for this installer, malformed, or signed by another key than its topic names is counted and left
out: a broker may serve several installers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.clients.opening import Identity, open_bytes
from agent.core.bus import BusConnected, BusDisconnected, MessageReceived, Subscribed, SubscriptionRefused
from agent.errors import DoorwardError, FormatError, NetworkError
from agent.ports import Bus
from agent.wire.health import HEALTH_SEALED_LIMIT_BYTES, HealthReport, open_report
from agent.wire.topics import HEALTH_FILTER, HealthTopic, parse_topic

__all__ = ["HealthInbox", "collect_reports"]

_STEP_S: Final = 0.2


@dataclass(slots=True)
class HealthInbox:
    """Reports by device id. `left_out`: messages that could not be read."""

    identities: Sequence[Identity]
    reports: dict[str, HealthReport] = field(default_factory=dict)
    left_out: int = 0

    def take(self, topic: str, payload: bytes) -> None:
        """Keeps the newest report of each doorbell."""
        try:
            parsed = parse_topic(topic)
            if not isinstance(parsed, HealthTopic) or len(payload) > HEALTH_SEALED_LIMIT_BYTES:
                raise FormatError("This is not a report of health.")
            report = open_report(open_bytes(payload, self.identities), parsed.device)
        except DoorwardError:
            self.left_out += 1
            return
        known = self.reports.get(parsed.device)
        if known is None or report.at >= known.at:
            self.reports[parsed.device] = report


def collect_reports(bus: Bus, inbox: HealthInbox, *, timeout_s: float, quiet_s: float) -> None:
    """Reads what the broker retains, until no further doorbell has come for `quiet_s`, at most `timeout_s` after the
    first connection.

    New reports of a doorbell that was heard do not count, because among a thousand there is always one.

    Raises `NetworkError` if there is no connection within `timeout_s`, or if the broker refuses the subscription.
    """
    bus.subscribe(HEALTH_FILTER)
    ends_s, fault, quiet_from_s, is_first = time.monotonic() + timeout_s, "", None, True
    heard = set[str]()
    while quiet_from_s is None or time.monotonic() - quiet_from_s < quiet_s:
        match bus.next_event(_STEP_S):
            case MessageReceived(topic=topic, payload=payload):
                inbox.take(topic, payload)
                quiet_from_s = quiet_from_s if topic in heard else time.monotonic()
                heard.add(topic)
            case BusConnected():
                quiet_from_s = time.monotonic()
                ends_s, is_first = (quiet_from_s + timeout_s if is_first else ends_s), False
            case BusDisconnected(error=error):
                fault, quiet_from_s = str(error), None
            case Subscribed() if quiet_from_s is None:
                quiet_from_s = time.monotonic()
            case SubscriptionRefused() as refused if refused.may_pass:  # the bus asks again
                fault, quiet_from_s = "The broker refuses subscriptions for now.", None
            case SubscriptionRefused():
                raise NetworkError(
                    "The broker refuses to show reports of health.",
                    remedy="On the broker: doorward broker add-installer, then reload it.",
                )
        if time.monotonic() <= ends_s:
            continue
        if quiet_from_s is not None:
            return
        raise NetworkError(f"There is no connection to the broker. {fault}".strip(), remedy="Check its address.")
