"""Takes each message the way its address names: web push by ourselves, everything else through Apprise."""

from __future__ import annotations

from agent.core.webpush import SCHEME
from agent.uplink.apprise_sender import AppriseCourier
from agent.uplink.push_sender import PushCourier

__all__ = ["EveryCourier"]


class EveryCourier:
    """`ports.Courier`."""

    def __init__(self) -> None:
        self._apprise = AppriseCourier()
        self._push = PushCourier()

    def send(self, url: str, title: str, body: str) -> None:
        courier = self._push if url.startswith(SCHEME) else self._apprise
        courier.send(url, title, body)
