"""The owner's rules for requests, from `[requests]` and the doorbell's position."""

from __future__ import annotations

from typing import Final

from agent.config.derived import request_limits
from agent.config.settings import RequestsConfig
from agent.custodian.alerts.alert_setup import local_time
from agent.custodian.inbox import InboxSettings

__all__ = ["inbox_settings"]

_S_PER_MINUTE: Final = 60


def inbox_settings(requests: RequestsConfig, position: tuple[float, float] | None) -> InboxSettings:
    """Returns the limits for requests and the delay of an approval.  `position`: (lat, lon) in degrees."""
    return InboxSettings(
        request_limits(requests),
        position,
        requests.delay_minutes * _S_PER_MINUTE,
        minute_of=lambda utc_ms: local_time(utc_ms)[0],
    )
