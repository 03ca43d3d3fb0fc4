"""The doorbell's end of the link knows its callers by the owners and browsers of now, and its address by their list."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agent.config.settings import RemoteConfig
from agent.core.device_secret import DeviceSecret
from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.link_sessions import LinkSessions
from agent.custodian.link_setup import link_sessions
from agent.custodian.page.request_guard import Caller
from agent.errors import RequestError
from agent.ipc.control_operations import GetLinkAddress, RelayAccount
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.link.schedule import address_of

DEVICE, OWNER, GLANCE, STRANGER = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2, 3, 4))
SECRET = DeviceSecret(b"s" * 32)
HOLDER = GlanceHolder("age1", "an owner")
REMOTE = RemoteConfig(host="relay.example", url="wss://relay.example/mqtt", password="a long password")


class Owners:
    """`Enrolments`: the list in force, and None before the first."""

    def __init__(self) -> None:
        self.current: Any = None

    def list(self, epoch: int, *keys: Any) -> None:
        approver_keys = {public_key_of(key).id: public_key_of(key) for key in keys}
        self.current = SimpleNamespace(epoch=epoch, approver_keys=approver_keys)


class Page:
    """`PageServer`: an answer that names its caller."""

    def answer_in_link(self, name: str, frame: Frame, caller: Caller) -> Frame:
        return Frame({"asked": name}, frame.body)


@pytest.fixture
def owners() -> Owners:
    return Owners()


def made(owners: Owners, remote: RemoteConfig | None = None) -> LinkSessions:
    holders = {public_key_of(GLANCE).text: HOLDER}
    return link_sessions(DEVICE, SECRET, owners, holders.get, Page(), remote)  # type: ignore[arg-type]


@pytest.fixture
def link(owners: Owners) -> Iterator[LinkSessions]:
    found = made(owners)
    yield found
    found.close()


def derived(epoch: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) in its two steps, without the code under test."""
    extracted = hmac.digest(bytes(32), SECRET.value, "sha256")
    return hmac.digest(extracted, b"doorward link v1 %d\x01" % epoch, "sha256")


def test_each_of_the_newest_two_lists_of_owners_has_a_secret_that_a_restored_doorbell_finds_again(
    owners: Owners, link: LinkSessions
) -> None:
    """A phone that is away finds the doorbell by it, also after a restore of `device.key` from a backup."""
    for epoch, expected in ((1, [1]), (2, [2, 1]), (3, [3, 2]), (12, [12, 11])):
        owners.list(epoch, OWNER)
        assert link.addresses() == tuple(address_of(derived(each)) for each in expected)
        answer = {"secret": derived(epoch).hex(), "relay": None}
        assert link.answer_address(GetLinkAddress(), b"") == (answer, b"")


def test_a_doorbell_without_owners_has_no_address(link: LinkSessions) -> None:
    assert link.addresses() == ()
    with pytest.raises(RequestError, match="This doorbell has no owner yet"):
        link.answer_address(GetLinkAddress(), b"")


def test_an_owners_key_is_an_owner_and_the_glance_key_of_a_browser_is_that_browser(
    owners: Owners, link: LinkSessions
) -> None:
    caller, owner, glance = link._identity.caller, public_key_of(OWNER), public_key_of(GLANCE)
    assert caller(owner) is caller(glance) is None, "before there is an owner"
    owners.list(1, OWNER)
    assert caller(owner) == Caller(None, owner=True, claimed=True, link=True, key=owner.id)
    assert caller(glance) == Caller(None, owner=False, claimed=True, link=True, key=glance.id, glance=HOLDER)
    assert caller(public_key_of(STRANGER)) is None
    owners.list(2, STRANGER)
    assert caller(owner) is None, "an owner who has left"


def test_another_key_under_an_owners_id_is_no_owner(owners: Owners, link: LinkSessions) -> None:
    owners.list(1, OWNER)
    owners.current.approver_keys[public_key_of(STRANGER).id] = public_key_of(OWNER)
    assert link._identity.caller(public_key_of(STRANGER)) is None


@pytest.mark.parametrize(("user", "account"), [("", public_key_of(DEVICE).id), ("house_12", "house_12")])
def test_clients_learn_the_relay_and_the_account_there_which_is_the_doorbells_id_unless_it_is_configured(
    owners: Owners, user: str, account: str
) -> None:
    owners.list(1, OWNER)
    remote = RemoteConfig(host=REMOTE.host, url=REMOTE.url, password=REMOTE.password, user=user)
    link = made(owners, remote)
    assert link._identity.relay == RelayAccount(REMOTE.url, account, REMOTE.password)
    answer = {"url": REMOTE.url, "account": account, "password": REMOTE.password}
    assert link.answer_address(GetLinkAddress(), b"")[0]["relay"] == answer
    link.close()


def test_the_link_signs_as_the_doorbell_and_asks_the_page(link: LinkSessions) -> None:
    identity, device = link._identity, public_key_of(DEVICE)
    assert identity.device == device
    assert device.verifies(identity.sign(b"a handshake"), b"a handshake")
    nobody = Caller(None, owner=False, claimed=True)
    assert link._answer("status", Frame({}, b"body"), nobody) == Frame({"asked": "status"}, b"body")
