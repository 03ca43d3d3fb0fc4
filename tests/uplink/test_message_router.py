"""An alert goes to the sender of its address's kind, whole."""

from __future__ import annotations

import pytest

from agent.uplink import message_router
from agent.uplink.message_router import MultiAlertSender

Sent = list[tuple[str, str, str, str, bytes, int]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []

    class Noting:
        def __init__(self, name: str) -> None:
            self._name = name

        def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
            found.append((self._name, url, title, body, picture, at_ms))

    monkeypatch.setattr(message_router, "AppriseSender", lambda: Noting("apprise"))
    monkeypatch.setattr(message_router, "WebPushSender", lambda: Noting("push"))
    return found


def test_a_browser_is_reached_by_web_push_and_every_other_address_by_apprise(sent: Sent) -> None:
    sender = MultiAlertSender()
    sender.send("webpush:a-browser", "Door", "It rang.", b"sealed", 7)
    sender.send("ntfy://phone/door", "Door", "It rang.")
    assert sent == [
        ("push", "webpush:a-browser", "Door", "It rang.", b"sealed", 7),
        ("apprise", "ntfy://phone/door", "Door", "It rang.", b"", 0),
    ]
