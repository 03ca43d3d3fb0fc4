"""Takes each message the way its address names: web push by ourselves, everything else through Apprise."""

from __future__ import annotations

from agent.core.webpush import SCHEME
from agent.uplink.apprise_sender import AppriseSender
from agent.uplink.push_sender import WebPushSender

__all__ = ["MultiAlertSender"]


class MultiAlertSender:
    """`ports.AlertSender`."""

    def __init__(self) -> None:
        self._apprise = AppriseSender()
        self._push = WebPushSender()

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        sender = self._push if url.startswith(SCHEME) else self._apprise
        sender.send(url, title, body, picture, at_ms)
