"""Browsers as channels: kept over restarts, bounded, and told by the same rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.adapters.alerts_sqlite import SqliteAlertQueue
from agent.adapters.private_text import PrivateText
from agent.core.alerts.parcels import ChannelAddress
from agent.core.alerts.policy import Policy
from agent.core.webpush import point_of
from agent.errors import FormatError, RequestError
from agent.services.alerts import Alerts, AlertSettings
from agent.services.courier import Delivery
from agent.services.push import MOST_BROWSERS, PushChannels
from agent.wire.base64 import encode_url
from agent.wire.control import Frame
from tests.services.test_alerts import HOLDING_BACK, TestClock, local, wait_until

POINT = encode_url(point_of(ec.generate_private_key(ec.SECP256R1())))


def asking(number: int) -> Frame:
    return Frame({"endpoint": f"https://push.test/{number}", "p256dh": POINT, "auth": encode_url(b"s" * 16)})


class Brought:
    """A courier that keeps what it brought, by address."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def send(self, url: str, title: str, body: str) -> None:
        told = json.loads(url.removeprefix("webpush:"))["endpoint"] if url.startswith("webpush:") else url
        self.messages.append((told, body.rpartition("  ")[2]))


def alerts_in(folder: Path) -> Alerts:
    settings = AlertSettings("Doorward: door", "", (ChannelAddress("Ann", "ntfy://phone/door"),))
    return Alerts(settings, Policy(()), SqliteAlertQueue(folder / "alerts.sqlite"), TestClock(), local, HOLDING_BACK)


def test_a_browser_that_asks_is_told_from_then_on_and_after_a_restart_until_it_asks_no_more(tmp_path: Path) -> None:
    brought, store = Brought(), PrivateText(tmp_path / "push.json")
    for run in range(2):
        alerts = alerts_in(tmp_path)
        push = PushChannels(store, alerts)
        alerts.start()
        delivery = Delivery(alerts, brought)
        delivery.start()
        if run == 0:
            push.answers["push_subscribe"](asking(1))
        alerts.notify("button", "")
        wait_until(lambda run=run: len(brought.messages) == run + 1)
        if run == 1:
            push.answers["push_unsubscribe"](asking(1))
            alerts.notify("button", "")
        alerts.stop()
        delivery.stop()
        alerts.close()
    assert brought.messages == [("https://push.test/1", "Somebody pressed the button.")] * 2
    assert (tmp_path / "push.json").stat().st_mode & 0o777 == 0o600


def test_the_doorbells_key_stays_the_same_or_no_browser_could_be_reached_again(tmp_path: Path) -> None:
    alerts, store = alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    keys = {str(PushChannels(store, alerts).answers["push_key"](Frame({}))[0]["key"]) for _ in range(3)}
    alerts.close()
    assert len(keys) == 1


def test_no_more_browsers_than_a_home_has_and_nothing_that_is_no_subscription(tmp_path: Path) -> None:
    alerts = alerts_in(tmp_path)
    push = PushChannels(PrivateText(tmp_path / "push.json"), alerts)
    for number in range(MOST_BROWSERS):
        push.answers["push_subscribe"](asking(number))
    with pytest.raises(RequestError, match="Too many"):
        push.answers["push_subscribe"](asking(99))
    with pytest.raises(FormatError):
        push.answers["push_subscribe"](Frame({**asking(1).head, "endpoint": "http://192.168.1.1/"}))
    alerts.close()


@pytest.mark.parametrize(
    "content", [b"\x97\xff", b"{", b"[]", b'{"browsers": {}}', b'{"vapid": "", "browsers": {}}', b"null"]
)
def test_a_damaged_file_costs_the_browsers_in_it_and_not_the_doorbell(tmp_path: Path, content: bytes) -> None:
    alerts = alerts_in(tmp_path)
    path = tmp_path / "push.json"
    PushChannels(PrivateText(path), alerts).answers["push_subscribe"](asking(1))
    path.write_bytes(content)
    push = PushChannels(PrivateText(path), alerts)
    push.answers["push_subscribe"](asking(2))
    again = PushChannels(PrivateText(path), alerts)
    assert again.answers["push_key"](Frame({})) == push.answers["push_key"](Frame({}))
    alerts.close()


def test_a_browser_that_lacks_something_is_damage(tmp_path: Path) -> None:
    alerts = alerts_in(tmp_path)
    store = PrivateText(tmp_path / "push.json")
    PushChannels(store, alerts).answers["push_subscribe"](asking(1))
    store.save(store.load().replace("p256dh", "p256dx"))
    PushChannels(store, alerts)
    assert json.loads(store.load())["browsers"] == {}
    alerts.close()
