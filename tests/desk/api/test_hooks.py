"""Web hooks: what they carry, where they may go, and that a fault of either side loses no event."""

from __future__ import annotations

import datetime
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from agent.errors import ConfigurationError
from desk.api import hook_delivery, hooks
from desk.api.hook_addresses import parse_address, resolve
from desk.api.hook_sender import hook_sender
from desk.api.models import WebHook
from desk.cases.models import Case
from desk.config import Hooks
from desk.custody import log
from desk.custody.models import Entry
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.desk.api.hook_receiver import HookReceiver, accepts, hook_receiver

ACTIONS = {
    "request.published": ("request " + "ab" * 16, "request.published"),
    "withdrawal.published": ("request " + "ab" * 16, "request.withdrawn"),
    "request.expired": ("request " + "ab" * 16, "request.expired"),
    "answer.received": ("answer " + "cd" * 16, "answer.complete"),
    "answer.quarantined": ("answer " + "cd" * 16, "answer.quarantined"),
    "deletion.published": ("request " + "ab" * 16, "deletion.published"),
}


@pytest.fixture
def receiver(data: Path, tmp_path: Path) -> Iterator[HookReceiver]:
    """A program on this computer, which the operator allows."""
    with hook_receiver(tmp_path / "receiver") as started:
        allowed = Hooks(private=("localhost",), authority=started.authority)
        with override_settings(DESK=msgspec.structs.replace(settings.DESK, hooks=allowed)):
            yield started


@pytest.fixture
def hook(agency: Agency, receiver: HookReceiver) -> WebHook:
    """A hook that has had its first message."""
    made = hooks.make_hook(agency.organisation, agency.people[Role.ADMIN], name="RMS", address=receiver.address)
    assert hooks.deliver_due() == 1
    receiver.got.clear()
    return made


def happen(agency: Agency, action: str = "answer.received") -> Entry:
    Case.objects.get_or_create(organisation=agency.organisation, number="2027-0114")
    named = {"request": "ab" * 16} if action.startswith("answer") else {}
    return log.record(agency.organisation, "receiver", action, ACTIONS[action][0], case="2027-0114", **named)


def try_now(hook: WebHook) -> WebHook:
    """Delivers, as after the pause."""
    WebHook.objects.filter(pk=hook.pk).update(next_try_at=timezone.now())
    hooks.deliver_due()
    return WebHook.objects.get(pk=hook.pk)


def test_a_program_gets_each_event_in_order_with_ids_and_times_only(
    agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    log.record(agency.organisation, "test", "note.written", "case 2027-0114", text="the neighbour's name")
    entries = [happen(agency, action) for action in ACTIONS]
    assert hooks.deliver_due() == len(ACTIONS)
    case = Case.objects.get()
    for got, entry, (action, (_object, event)) in zip(receiver.events, entries, ACTIONS.items(), strict=True):
        assert got == {
            "v": 1,
            "id": f"rijnstad-police/{entry.number}",
            "event": event,
            "at_ms": entry.at_ms,
            "organisation": "rijnstad-police",
            "case": case.pk,
            "request": "ab" * 16,
            "disclosure": "cd" * 16 if action.startswith("answer") else None,
        }
    assert hooks.deliver_due() == 0


def test_each_message_is_signed_and_an_old_or_changed_one_is_refused(
    agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    happen(agency)
    hooks.deliver_due()
    [(header, body)] = receiver.got
    secret, now_s = hooks.secret_of(hook), time.time()
    assert accepts(secret, header, body, now_s)
    assert not accepts(secret, header, body, now_s + 400)
    assert not accepts(secret, header, body.replace(b"complete", b"another!"), now_s)
    assert not accepts(secret, re.sub(r"t=\d+", f"t={int(now_s) + 1}", header), body, now_s)
    assert not accepts(secret + "x", header, body, now_s)


def test_a_new_hook_gets_a_first_message_and_nothing_of_before(agency: Agency, receiver: HookReceiver) -> None:
    happen(agency)
    for name in ("first", "second"):
        hooks.make_hook(agency.organisation, agency.people[Role.ADMIN], name=name, address=receiver.address)
    hooks.deliver_due()
    assert [event["event"] for event in receiver.events] == ["hook.made", "hook.made"]


def test_an_event_goes_to_the_hooks_of_its_organisation_only(
    agency: Agency, other_agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    happen(other_agency)
    assert hooks.deliver_due() == 0


def test_a_receiver_that_fails_gets_the_same_events_again_later(
    agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    happen(agency, "request.published")
    happen(agency)
    receiver.status = 500
    assert hooks.deliver_due() == 0
    assert hooks.deliver_due() == 0, "it waits"
    waiting = WebHook.objects.get()
    assert (waiting.failures, "status 500" in waiting.problem) == (1, True)
    assert "The last try failed" in agency.client(Role.ADMIN).get("/integrations").content.decode()
    receiver.status = 200
    after = try_now(hook)
    assert (after.failures, after.problem) == (0, "")
    ids = [event["id"] for event in receiver.events]
    assert ids == [ids[0], ids[0], ids[2]]


def test_a_kill_before_the_answer_is_noted_loses_nothing(
    agency: Agency, hook: WebHook, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(agency)
    real = hook_delivery.post

    def post_and_die(*words: Any, **more: Any) -> str:
        real(*words, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(hook_delivery, "post", post_and_die)
        with pytest.raises(KeyboardInterrupt):
            hooks.deliver_due()
    assert hooks.deliver_due() == 0, "another process leaves it alone until the lease ends"
    lease = WebHook.objects.get().next_try_at - timezone.now()
    assert datetime.timedelta(seconds=10) < lease < datetime.timedelta(minutes=3)
    try_now(hook)
    first, second = receiver.events
    assert first == second


def test_a_hook_that_fails_again_and_again_stops_with_words_and_goes_on_where_it_was(
    agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    happen(agency)
    receiver.status = 404
    pauses = []
    for _ in range(15):
        tried = try_now(hook)
        pauses.append(tried.next_try_at - timezone.now())
    assert pauses[0] < pauses[2] < pauses[5]
    assert tried.stopped_at is not None
    assert len(receiver.got) == 15
    try_now(hook)
    assert len(receiver.got) == 15, "it is stopped"
    client = agency.client(Role.ADMIN)
    assert "after 15 failures in a row" in client.get("/integrations").content.decode()
    receiver.status = 200
    assert client.post(f"/integrations/hooks/{hook.pk}/resume").status_code == 302
    assert hooks.deliver_due() == 1
    actions = [row.action for row in Entry.objects.order_by("number") if row.action.startswith("hook.")]
    assert actions == ["hook.made", "hook.stopped", "hook.resumed"]


def test_a_redirect_is_a_failure_and_is_not_followed(agency: Agency, hook: WebHook, receiver: HookReceiver) -> None:
    happen(agency)
    receiver.status, receiver.headers = 302, {"Location": receiver.address}
    assert "status 302" in try_now(hook).problem
    assert len(receiver.got) == 1


def test_a_receiver_that_never_answers_or_never_ends_its_line_takes_bounded_time(
    agency: Agency, hook: WebHook, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_delivery, "_TIMEOUT_S", 1.0)
    receiver.silent = threading.Event()
    happen(agency)
    problem = try_now(hook).problem
    receiver.silent.set()
    assert "No connection" in problem


def test_a_certificate_of_an_unknown_authority_is_refused(
    agency: Agency, hook: WebHook, receiver: HookReceiver
) -> None:
    happen(agency)
    unknown = msgspec.structs.replace(settings.DESK, hooks=Hooks(private=("localhost",)))
    with override_settings(DESK=unknown):
        assert "certificate" in try_now(hook).problem
    assert receiver.got == []


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_no_hook_goes_to_this_computer_or_a_private_network(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (each, 443)) for each in ("93.184.215.14", number)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_more: found)
    address = parse_address("https://cms.example/hook")
    with pytest.raises(ConfigurationError, match="private network"):
        resolve(address, ())
    assert resolve(address, ("cms.example",)) == ["93.184.215.14", number]


def test_a_host_whose_first_address_takes_no_connection_gets_the_event_at_the_next_one(
    agency: Agency, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's /etc/hosts names ::1 first for localhost, and a receiver may listen on 127.0.0.1 alone."""
    hooks.make_hook(agency.organisation, agency.people[Role.ADMIN], name="RMS", address=receiver.address)
    real, tried = socket.create_connection, list[str]()

    def connect(address: tuple[str, int], timeout_s: float) -> socket.socket:
        tried.append(address[0])
        if address[0] == "::1":
            raise ConnectionRefusedError
        return real(address, timeout_s)

    monkeypatch.setattr(hook_delivery, "resolve", lambda *_: ["::1", "127.0.0.1"])
    monkeypatch.setattr(socket, "create_connection", connect)
    assert hooks.deliver_due() == 1
    assert tried == ["::1", "127.0.0.1"]


def test_the_connection_goes_to_the_judged_address_if_the_name_changes_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_more: [(0, 0, 0, "", (next(answers), 443))])
    tried = []

    def connect(address: tuple[str, int], _timeout_s: float) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert "refused" in hook_delivery.post("https://rebind.example/", b"{}", "secret", now_s=1)
    assert tried == [("93.184.215.14", 443)]


@pytest.mark.parametrize(
    "address",
    [
        "http://cms.example/hook", "cms.example", "https://", "https://user:word@cms.example/", "https://cms.example/#x",
        "https://cms.example/\r\nX: y", "https://cms.example/a b", "https://cms.example:99999/", "file:///etc/passwd",
        "https://[::1/", "https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://2130706433/",
    ],
)  # fmt: skip
def test_a_person_cannot_make_a_hook_to_such_an_address(agency: Agency, address: str) -> None:
    page = agency.client(Role.ADMIN).post("/integrations/hooks", {"hook-name": "RMS", "hook-address": address})
    assert page.status_code == 200
    assert page.context["hook_form"].errors["address"]
    assert not WebHook.objects.exists()


def test_an_admin_makes_a_hook_whose_secret_is_shown_once_and_removes_it(
    agency: Agency, receiver: HookReceiver
) -> None:
    client = agency.client(Role.ADMIN)
    made = client.post("/integrations/hooks", {"hook-name": "RMS", "hook-address": receiver.address})
    hook = WebHook.objects.get()
    secret = hooks.secret_of(hook)
    assert secret in made.content.decode()
    assert secret not in client.get("/integrations").content.decode()
    assert secret not in str(list(WebHook.objects.values())) + str(list(Entry.objects.values()))
    assert client.post(f"/integrations/hooks/{hook.pk}/remove").status_code == 302
    assert not WebHook.objects.exists()
    actions = [row.action for row in Entry.objects.order_by("number") if row.action.startswith("hook.")]
    assert actions == ["hook.made", "hook.removed"]


def test_an_organisation_has_a_bounded_number_of_hooks(agency: Agency, receiver: HookReceiver) -> None:
    for _ in range(10):
        hooks.make_hook(agency.organisation, agency.people[Role.ADMIN], name="RMS", address=receiver.address)
    with pytest.raises(ConfigurationError, match="at most 10"):
        hooks.make_hook(agency.organisation, agency.people[Role.ADMIN], name="RMS", address=receiver.address)


def test_the_service_delivers_by_itself(agency: Agency, hook: WebHook, receiver: HookReceiver) -> None:
    with hook_sender(every_s=0.05):
        happen(agency)
        deadline_s = time.monotonic() + 60
        while not receiver.got and time.monotonic() < deadline_s:
            time.sleep(0.02)
    assert [event["event"] for event in receiver.events] == ["answer.complete"]
