"""Browsers as channels: kept over restarts, bounded, and told by the same rules."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.clients.opening import HybridIdentity
from agent.core.alerts.alert_messages import AlertPicture, ChannelAddress, glance_id
from agent.core.alerts.policy import Policy
from agent.core.webpush import point_of
from agent.custodian.alerts import push_channels
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.custodian.alerts.alerts import Alerts, AlertSettings
from agent.custodian.alerts.private_file import PrivateText
from agent.custodian.alerts.push_channels import MOST_BROWSERS, UNUSED_S, GlanceHolder, PushChannels
from agent.errors import FormatError, OpenError, RequestError
from agent.ipc.control_operations import GetPushKey, ListAlertBrowsers, UseAlertBrowser
from agent.uplink.alert_sender import AlertDelivery
from agent.wire.identities import parse_public_key, private_key_from_seed, public_key_of
from agent.wire.statements import PushSubscription, PushUnsubscription
from agent.wire.strictjson import encode_base64url
from tests import custodians
from tests.custodian.alerts.test_alerts import HOLDING_BACK, TestClock, local, wait_until
from tests.custodians import Door

POINT = encode_base64url(point_of(ec.generate_private_key(ec.SECP256R1())))


def ended(number: int) -> PushUnsubscription:
    """As an owner signs it."""
    return PushUnsubscription(**custodians.stated(), endpoint=f"https://push.test/{number}")


def wanted(number: int, **changes: str) -> PushSubscription:
    """As an owner signs it."""
    values = {
        "endpoint": f"https://push.test/{number}",
        "p256dh": POINT,
        "auth": encode_base64url(b"s" * 16),
        **changes,
    }
    return PushSubscription(**custodians.stated(), **values)


def channels(store: PrivateText, alerts: Alerts) -> PushChannels:
    """Channels on a journal that makes every decision durable at once."""
    return PushChannels(store, alerts, lambda act: act())


class Brought:
    """A sender that keeps the messages it brought, by address."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.pictures: list[bytes] = []

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        told = json.loads(url.removeprefix("webpush:"))["endpoint"] if url.startswith("webpush:") else url
        self.messages.append((told, body.rpartition("  ")[2]))
        self.pictures.append(picture)


def alerts_in(folder: Path) -> Alerts:
    settings = AlertSettings("Doorward: door", "", (ChannelAddress("Ann", "ntfy://phone/door"),))
    return Alerts(settings, Policy(()), SqliteAlertQueue(folder / "alerts.sqlite"), TestClock(), local, HOLDING_BACK)


def test_a_browser_that_asks_is_told_from_then_on_and_after_a_restart_until_it_asks_no_more(tmp_path: Path) -> None:
    brought, store = Brought(), PrivateText(tmp_path / "push.json")
    for run in range(2):
        alerts = alerts_in(tmp_path)
        push = channels(store, alerts)
        alerts.start()
        delivery = AlertDelivery(alerts, brought)
        delivery.start()
        if run == 0:
            push.subscribe(wanted(1), "anna")
        alerts.notify("button", "")
        wait_until(lambda run=run: len(brought.messages) == run + 1)
        if run == 1:
            push.subscribe(ended(1), "anna")
            alerts.notify("button", "")
        alerts.stop()
        delivery.stop()
        alerts.close()
    assert brought.messages == [("https://push.test/1", "The doorbell rang.")] * 2
    assert (tmp_path / "push.json").stat().st_mode & 0o777 == 0o600


def test_the_doorbells_key_stays_the_same_or_no_browser_could_be_reached_again(tmp_path: Path) -> None:
    alerts, store = alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    keys = {str(channels(store, alerts).answers["push_key"](GetPushKey(), b"")[0]["key"]) for _ in range(3)}
    alerts.close()
    assert len(keys) == 1


def test_no_more_browsers_than_a_home_has_and_nothing_that_is_no_subscription(tmp_path: Path) -> None:
    alerts = alerts_in(tmp_path)
    push = channels(PrivateText(tmp_path / "push.json"), alerts)
    for number in range(MOST_BROWSERS):
        push.subscribe(wanted(number), "anna")
    with pytest.raises(RequestError, match="Too many"):
        push.subscribe(wanted(99), "anna")
    with pytest.raises(FormatError):
        push.subscribe(wanted(1, endpoint="http://192.168.1.1/"), "anna")
    alerts.close()


def test_a_file_that_the_card_can_neither_read_nor_write_ends_nothing(tmp_path: Path) -> None:
    alerts = alerts_in(tmp_path)
    path = tmp_path / "push.json"
    path.mkdir()  # every read of it fails, also for root
    channels(PrivateText(path), alerts).answers["push_key"](GetPushKey(), b"")
    alerts.close()


@pytest.mark.parametrize(
    "content", [b"\x97\xff", b"{", b"[]", b'{"browsers": {}}', b'{"vapid": "", "browsers": {}}', b"null"]
)
def test_a_damaged_file_costs_the_browsers_in_it_and_not_the_doorbell(tmp_path: Path, content: bytes) -> None:
    alerts = alerts_in(tmp_path)
    path = tmp_path / "push.json"
    channels(PrivateText(path), alerts).subscribe(wanted(1), "anna")
    path.write_bytes(content)
    push = channels(PrivateText(path), alerts)
    push.subscribe(wanted(2), "anna")
    again = channels(PrivateText(path), alerts)
    assert again.answers["push_key"](GetPushKey(), b"") == push.answers["push_key"](GetPushKey(), b"")
    alerts.close()


@pytest.mark.parametrize(
    ("part", "damaged"),
    [("p256dh", "p256dx"), (POINT, encode_base64url(b"no point of the curve"))],
)
def test_a_browser_that_lacks_something_or_has_no_address_is_damage(tmp_path: Path, part: str, damaged: str) -> None:
    alerts = alerts_in(tmp_path)
    store = PrivateText(tmp_path / "push.json")
    channels(store, alerts).subscribe(wanted(1), "anna")
    store.save(store.load().replace(part, damaged))
    channels(store, alerts)
    assert json.loads(store.load())["browsers"] == {}
    alerts.close()


def test_a_browser_of_an_owner_who_has_left_is_told_no_more(tmp_path: Path) -> None:
    alerts, store = alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    push = channels(store, alerts)
    push.subscribe(wanted(1), "anna")
    push.subscribe(wanted(2), "bo")
    push.leave(lambda key_id: key_id == "anna")
    assert [each["owner"] for each in json.loads(store.load())["browsers"].values()] == ["bo"]
    alerts.close()


def test_only_an_owners_signature_adds_a_browser_and_it_stands_in_the_ledger_and_is_told(tmp_path: Path) -> None:
    door, alerts = Door.enrolled(), alerts_in(tmp_path)
    told: list[str] = []
    push = PushChannels(
        PrivateText(tmp_path / "push.json"),
        alerts,
        door.custodian.custodian_state.decisions.after,
        lambda kind, _text: told.append(kind),
    )
    assert "push_subscribe" not in {*push.answers, *door.custodian.control._operations}
    with pytest.raises(RequestError, match="has no alerts"):
        door.obey(wanted(1))
    door.custodian.statements.subscribe = push.subscribe
    with pytest.raises(OpenError):
        door.obey(wanted(1), by=private_key_from_seed(b"s" * 32))
    with pytest.raises(FormatError):
        door.obey(wanted(1, endpoint="http://192.168.1.1/"))
    assert told == []
    assert "alerts-changed" not in door.kinds()
    door.obey(wanted(1))
    assert told == ["alerts"]
    (entry,) = [each for each in door.entries() if each["kind"] == "alerts-changed"]
    assert entry["reason"] == "anna"
    door.close()
    alerts.close()


def test_only_an_owners_signature_ends_the_alerts_of_a_browser_and_it_stands_in_the_ledger_and_is_told(
    tmp_path: Path,
) -> None:
    door, alerts, store = Door.enrolled(), alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    told: list[tuple[str, int]] = []

    def tell(kind: str, _text: str) -> None:
        told.append((kind, len(json.loads(store.load())["browsers"])))

    push = PushChannels(store, alerts, door.custodian.custodian_state.decisions.after, tell)
    door.custodian.statements.subscribe = push.subscribe
    door.obey(wanted(1))
    door.obey(wanted(2))
    told.clear()
    assert "push_unsubscribe" not in {*push.answers, *door.custodian.control._operations}
    with pytest.raises(OpenError):
        door.obey(ended(1), by=private_key_from_seed(b"s" * 32))
    assert told == []
    assert door.kinds().count("alerts-changed") == 2
    door.obey(ended(1))
    assert told == [("alerts ended", 2)], "the browser itself hears of it, too"
    assert [each["endpoint"] for each in json.loads(store.load())["browsers"].values()] == ["https://push.test/2"]
    (entry,) = [each for each in door.entries() if each["kind"] == "alerts-changed"][2:]
    assert entry["reason"] == "anna"
    door.obey(ended(1))  # a browser that the doorbell has forgotten can leave, too
    assert len(json.loads(store.load())["browsers"]) == 1
    door.close()
    alerts.close()


def test_a_picture_reaches_the_browser_that_it_is_sealed_to_also_after_a_restart(tmp_path: Path) -> None:
    glances = [str(HybridIdentity(bytes([number]) * 32).recipient()) for number in (1, 2)]
    alerts, store = alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    push = channels(store, alerts)
    for number, glance in enumerate(glances):
        push.subscribe(wanted(number, glance=glance), "anna")
    push.subscribe(wanted(7), "anna")
    assert push.glances() == tuple(glances)
    alerts.start()
    pictures = [AlertPicture(glance_id(glance), f"for {number}".encode()) for number, glance in enumerate(glances)]
    alerts.notify(
        "button", "Somebody pressed the button.", pictures=[*pictures, AlertPicture("0" * 16, b"for a stranger")]
    )
    alerts.stop()
    alerts.close()
    again, brought = alerts_in(tmp_path), Brought()
    channels(store, again)
    delivery = AlertDelivery(again, brought)
    again.start()
    delivery.start()
    wait_until(lambda: len(brought.pictures) == 3)
    delivery.stop()
    again.stop()
    again.close()
    assert sorted(zip((where for where, _ in brought.messages), brought.pictures, strict=True)) == [
        ("https://push.test/0", b"for 0"),
        ("https://push.test/1", b"for 1"),
        ("https://push.test/7", b""),
    ]


def listed(push: PushChannels) -> list[tuple[str, str, str]]:
    """Name, owner and pictures of each browser in the list."""
    found = push.answers["push_browsers"](ListAlertBrowsers(), b"")[0]["browsers"]
    return [(each["browser"], each["owner"], each["pictures"]) for each in found]


def test_the_list_of_browsers_says_when_each_was_added_and_last_used_and_a_use_is_noted_once_an_hour(
    tmp_path: Path,
) -> None:
    alerts, now_s, told = alerts_in(tmp_path), [1_000_000], list[tuple[str, str]]()
    push = PushChannels(
        PrivateText(tmp_path / "push.json"),
        alerts,
        lambda act: act(),
        lambda kind, text: told.append((kind, text)),
        now_ms=lambda: now_s[0] * 1000,
    )
    push.subscribe(wanted(1), "key 1")
    now_s[0] += 2 * push_channels._NOTED_EVERY_S
    used(push, 1)
    noted_s = now_s[0]
    now_s[0] += push_channels._NOTED_EVERY_S - 1
    used(push, 1)
    (found,) = push.answers["push_browsers"](ListAlertBrowsers(), b"")[0]["browsers"]
    assert (found["endpoint"], found["browser"]) == ("https://push.test/1", "Chrome, Android")
    assert (found["made_s"], found["used_s"], found["owner"]) == (1_000_000, noted_s, "key 1")
    now_s[0] += 1
    used(push, 1)
    (found,) = push.answers["push_browsers"](ListAlertBrowsers(), b"")[0]["browsers"]
    assert found["used_s"] == now_s[0]
    used(push, 2)  # a browser that is missing from the list
    assert len(listed(push)) == 1
    push.subscribe(ended(1), "key 1")
    assert told == [
        ("alerts", "One more browser receives alerts."),
        ("alerts ended", "A browser stopped receiving alerts."),
    ]
    alerts.close()


def used(push: PushChannels, number: int, language: str = "en") -> None:
    asked = UseAlertBrowser(endpoint=f"https://push.test/{number}", browser="Chrome, Android", language=language)
    assert push.answers["push_used"](asked, b"") == ({}, b"")


def test_a_browsers_alerts_are_in_the_language_of_its_page_also_after_a_restart(tmp_path: Path) -> None:
    alerts, store = alerts_in(tmp_path), PrivateText(tmp_path / "push.json")
    push = PushChannels(store, alerts, lambda act: act())
    push.subscribe(wanted(1), "key 1")
    used(push, 1, "de")
    for _ in ("now", "after a restart"):
        assert [each.language for each in alerts._policy.channels] == ["de"]
        alerts.test()
        (message,) = alerts.collect(0)
        assert "Das ist ein Test. Die Benachrichtigungen dieser Türklingel kommen hier an." in message.body
        alerts.acknowledge(message)
        alerts._policy.channels = ()
        PushChannels(store, alerts, lambda act: act())
    alerts.close()


def test_the_glance_key_of_a_browser_that_is_not_used_rests_until_an_owner_uses_it_also_after_a_restart(
    tmp_path: Path,
) -> None:
    glance = str(HybridIdentity(bytes([1]) * 32).recipient())
    alerts, store, now_s = alerts_in(tmp_path), PrivateText(tmp_path / "push.json"), [1_000_000]

    def again() -> PushChannels:
        return PushChannels(
            store,
            alerts,
            lambda act: act(),
            now_ms=lambda: now_s[0] * 1000,
            owner_name={"key 1": "anna"}.get,  # type: ignore[arg-type]
        )

    push = again()
    push.subscribe(wanted(1, glance=glance), "key 1")
    push.subscribe(wanted(2), "key 2")
    assert listed(push) == [("", "anna", "shown"), ("", None, "none")]
    now_s[0] += UNUSED_S
    assert push.glances() == (glance,)
    now_s[0] += 1
    for each in (push, again()):
        assert each.glances() == ()
        assert listed(each)[0] == ("", "anna", "resting")
    used(push, 7)  # an unknown browser: nothing to note
    used(push, 1)
    assert push.glances() == (glance,)
    assert listed(again())[0] == ("Chrome, Android", "anna", "shown")
    push._save = lambda: pytest.fail("each use would wear the card")  # type: ignore[method-assign]
    for later_s in (0, 60):
        now_s[0] += later_s
        used(push, 1)
    now_s[0] -= 10_000_000  # a clock that is set back
    assert push.glances() == (glance,)
    alerts.close()


def test_a_signing_key_names_the_browser_in_use_whose_glance_key_it_is(tmp_path: Path) -> None:
    glance = str(HybridIdentity(bytes([1]) * 32).recipient())
    signer = public_key_of(private_key_from_seed(bytes(32))).text
    alerts, now_s = alerts_in(tmp_path), [1_000_000]
    names = {"key 1": "anna"}
    push = PushChannels(
        PrivateText(tmp_path / "push.json"),
        alerts,
        lambda act: act(),
        now_ms=lambda: now_s[0] * 1000,
        owner_name=names.get,  # type: ignore[arg-type]
    )
    push.subscribe(msgspec.structs.replace(wanted(1, glance=glance), glance_signer=signer), "key 1")
    push.subscribe(wanted(2), "key 2")
    assert push.glance_holder(signer) == GlanceHolder(glance, "key 1")
    assert push.glance_signers() == {public_key_of(private_key_from_seed(bytes(32))).id: parse_public_key(signer)}
    assert push.glance_holder("") is None
    assert push.glance_holder("ed25519:other") is None
    assert push.owner_of(glance) == "anna"
    assert push.owner_of("") == "", "a browser without a glance key"
    names.clear()
    assert push.owner_of(glance) == "", "that owner has left"
    now_s[0] += UNUSED_S + 1
    assert push.glance_holder(signer) is None
    assert push.glance_signers() == {}
    now_s[0] -= UNUSED_S
    name, browser = next(iter(push._browsers.items()))
    push._browsers[name] = msgspec.structs.replace(browser, signer="ed25519:damaged")
    assert push.glance_signers() == {}, "a damaged text keeps no owner out"
    alerts.close()


def test_a_subscription_is_kept_as_its_owner_signed_it(tmp_path: Path) -> None:
    store, alerts = PrivateText(tmp_path / "push.json"), alerts_in(tmp_path)
    push = PushChannels(store, alerts, lambda act: act(), now_ms=lambda: 5_000_999)
    signer = public_key_of(private_key_from_seed(b"s" * 32)).text
    glance = str(HybridIdentity(b"g" * 32).recipient())
    push.subscribe(wanted(1), "key 1")
    push.subscribe(wanted(2, glance=glance, glance_signer=signer), "key 2")
    kept = json.loads(store.load())["browsers"]
    plain = {
        "endpoint": "https://push.test/1", "p256dh": POINT, "auth": encode_base64url(b"s" * 16), "owner": "key 1",
        "glance": "", "made_s": 5000, "used_s": 5000, "browser": "", "signer": "", "language": "en",
    }  # fmt: skip
    paired = {**plain, "endpoint": "https://push.test/2", "owner": "key 2", "glance": glance, "signer": signer}
    assert kept == {
        f"browser {hashlib.sha256(each['endpoint'].encode()).hexdigest()[:8]}": each for each in (plain, paired)
    }
    alerts.close()


def test_each_operation_answers_with_a_document_and_no_bytes(tmp_path: Path) -> None:
    store, alerts = PrivateText(tmp_path / "push.json"), alerts_in(tmp_path)
    push = PushChannels(store, alerts, lambda act: act(), now_ms=lambda: 5_000_999, owner_name={"key 1": "Ann"}.get)
    push.subscribe(wanted(1), "key 1")
    listed = {
        "endpoint": "https://push.test/1", "browser": "", "owner": "Ann", "made_s": 5000, "used_s": 5000,
        "pictures": "none",
    }  # fmt: skip
    key = encode_base64url(point_of(push._key))
    asked = UseAlertBrowser(endpoint="https://push.test/2", browser="Firefox", language="nl")
    assert push.answers["push_key"](GetPushKey(), b"") == ({"key": key}, b"")
    assert push.answers["push_browsers"](ListAlertBrowsers(), b"") == ({"browsers": [listed]}, b"")
    assert push.answers["push_used"](asked, b"") == ({}, b""), "it is not on the list"
    asked = msgspec.structs.replace(asked, endpoint="https://push.test/1")
    assert push.answers["push_used"](asked, b"") == ({}, b"")
    listed["browser"] = "Firefox"
    assert push.answers["push_browsers"](ListAlertBrowsers(), b"") == ({"browsers": [listed]}, b"")
    alerts.close()


def test_a_full_list_takes_a_browser_that_is_on_it_and_no_other_and_one_of_a_former_owner_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_channels, "MOST_BROWSERS", 1)
    store, alerts = PrivateText(tmp_path / "push.json"), alerts_in(tmp_path)
    push = channels(store, alerts)
    for signer in ("key 1", "key 2"):
        push.subscribe(wanted(1), signer)
    with pytest.raises(RequestError, match="Too many browsers"):
        push.subscribe(wanted(2), "key 1")
    before = store.load()
    push.leave(lambda key_id: key_id == "key 1")
    assert (store.load(), len(alerts.channels())) == (before, 2), "the browser is of the owner who came last"
    push.leave(lambda key_id: key_id == "key 2")
    assert json.loads(store.load())["browsers"] == {}
    assert [each.name for each in alerts.channels()] == ["Ann"]
    push.subscribe(wanted(2), "key 1")
    assert len(alerts.channels()) == 2
    alerts.close()
