"""Tips from any browser: they cost work, have one size, wait for the end of their hour, and open in the inbox only."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from django.conf import settings
from django.test import Client, override_settings
from structlog.testing import capture_logs

from agent.errors import StorageError
from agent.wire import strictjson
from agent.wire.disclosures import MAX_TIP_CHARACTERS, TIP_PADDED_BYTES, TipManifest, TipText
from desk import server
from desk.config import Public, Web
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood import tip_relay
from desk.neighbourhood.hour_keys import HourKeys
from desk.neighbourhood.models import WaitingTip
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.tips.models import Tip
from tests.clients.requester.test_incoming_tips import sealed
from tests.damage import with_another_end
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import vouch
from tests.ports import free_port

NOW_S = 1_790_000_000
HOUR_S = tip_relay.HOUR_S
SECRET = b"s" * 32


@pytest.fixture
def taking(agency: Agency) -> Iterator[Agency]:
    """An agency whose desk takes tips."""
    vouch(agency)
    agency.organisation.refresh_from_db()
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(tips=True))):
        yield agency


def made(agency: Agency, text: str = "A white van.") -> tuple[str, bytes]:
    """Returns a tip's id and its sealed bytes, as the page's program makes them."""
    requester, tip = requester_of(agency.organisation), secrets.token_hex(16)
    message = strictjson.encode_base64(sealed(requester, strictjson.encode(TipText(v=1, text=text))))
    manifest = TipManifest(v=1, tip=tip, trust_root=agency.organisation.trust_root, message=message)
    plain = strictjson.encode(manifest)
    assert len(plain) <= TIP_PADDED_BYTES
    return tip, sealed(requester, plain.ljust(TIP_PADDED_BYTES))


@cache
def worked(token: str, data: bytes, bits: int) -> str:
    """Returns the first nonce that does. As in the page's program, the tip is hashed once, not for each nonce."""
    begun = hashlib.sha256(f"{token}.{hashlib.sha256(data).hexdigest()}.".encode())
    for nonce in map(str, itertools.count()):
        tried = begun.copy()
        tried.update(nonce.encode())
        if int.from_bytes(tried.digest()) >> (256 - bits) == 0:
            assert work.is_done(token, data, nonce, bits)
            return nonce
    raise AssertionError


def sent(data: bytes, tip: str, *, client: Client | None = None, **headers: str) -> Any:
    client = client or browser()
    if not headers:
        asked = client.get("/tip-to/rijnstad-police/token").json()
        nonce = worked(asked["token"], tip.encode() + data, asked["bits"])
        headers = {"tip-token": asked["token"], "tip-nonce": nonce}
    return client.post(f"/tip-to/rijnstad-police/{tip}", data, content_type="application/octet-stream", headers=headers)


# Proof of work


def test_a_token_is_the_same_for_every_sender_and_ends_after_two_slots() -> None:
    token = work.make_token(SECRET, "police", NOW_S, 16)
    assert token == work.make_token(SECRET, "police", NOW_S + 1, 16)
    assert work.read_token(SECRET, "police", token, NOW_S) == 16
    assert work.read_token(SECRET, "police", token, NOW_S + work.SLOT_S) == 16
    assert work.read_token(SECRET, "police", token, NOW_S + 2 * work.SLOT_S) is None
    assert work.read_token(SECRET, "police", token, NOW_S - work.SLOT_S) is None


@pytest.mark.parametrize("changed", ["court", "fewer", "slot", "code", "", "1", "1.2", "..", "²." * 3, "9" * 200])
def test_a_token_of_another_taker_with_fewer_bits_or_invented_is_refused(changed: str) -> None:
    slot, bits, code = work.make_token(SECRET, "police", NOW_S, 16).split(".")
    tries = {
        "court": work.make_token(SECRET, "court", NOW_S, 16),
        "fewer": f"{slot}.1.{code}",
        "slot": f"{int(slot) + 1}.{bits}.{code}",
        "code": f"{slot}.{bits}.{'0' * 32}",
    }
    assert work.read_token(SECRET, "police", tries.get(changed, changed), NOW_S) is None


def test_work_for_one_tip_does_not_serve_another_or_another_token() -> None:
    token = work.make_token(SECRET, "police", NOW_S, 12)
    nonce = worked(token, b"one", 12)
    assert work.is_done(token, b"one", nonce, 12)
    assert not all(work.is_done(token, other, nonce, 12) for other in (b"two", b"three"))
    assert not work.is_done(work.make_token(SECRET, "police", NOW_S + 600, 12), b"one", nonce, 24)
    for bad in ("", "-1", "1 ", "1e3", "²", "1" * 21):
        assert not work.is_done(token, b"one", bad, 0)


def test_the_more_tips_wait_the_more_the_next_costs_up_to_a_bound() -> None:
    costs = [work.bits_at(waiting) for waiting in (0, 15, 16, 31, 32, 64, 128, 500, 10**6)]
    assert costs == sorted(costs)
    assert (costs[0], costs[2], costs[4], costs[-1]) == (16, 17, 18, 21)


# The relay


def test_a_tip_reaches_the_inbox_when_its_hour_ends_and_opens_there(taking: Agency) -> None:
    tip, data = made(taking)
    assert sent(data, tip).status_code == 202
    assert not Tip.objects.exists()
    now_s = int(time.time())
    assert tip_relay.release(now_s) in (0, 1)  # 1 if the hour ended during this test
    tip_relay.release(now_s + 2 * HOUR_S)
    found = Tip.objects.get(disclosure_id=tip)
    assert not WaitingTip.objects.exists()
    page = taking.client(Role.EVIDENCE_OFFICER).post(f"/tips/{found.pk}").content.decode()
    assert "A white van." in page
    assert "nothing is proven" in page


def test_what_waits_shows_neither_words_nor_minute_and_every_tip_has_one_size(taking: Agency) -> None:
    longest = [made(taking, word * MAX_TIP_CHARACTERS) for word in ("x", "\U00010400", '"')]
    tips = [made(taking, "No"), *longest]
    assert {len(data) for _tip, data in tips} == {tip_relay.SEALED_BYTES}
    for tip, data in tips:
        tip_relay.take(taking.organisation, tip, data, NOW_S + 1234)
    row = WaitingTip.objects.order_by("pk").first()
    assert row is not None
    assert {each.name for each in WaitingTip._meta.get_fields()} == {"id", "code", "organisation", "hour", "wrapped"}
    assert row.hour == NOW_S // HOUR_S
    keys = HourKeys(settings.DATA)
    assert [each.code for each in WaitingTip.objects.all()] == sorted(keys.code(row.hour, tip) for tip, _data in tips)
    for each in WaitingTip.objects.all():
        assert not [tip for tip, data in tips if data[100:132] in each.wrapped or bytes.fromhex(tip) in each.wrapped]
    tip_relay.release(NOW_S + HOUR_S)
    stored = requester_of(taking.organisation).answers.get(tips[0][0])
    assert stored is not None
    assert stored.begun_ms == stored.ended_ms == (NOW_S // HOUR_S + 1) * HOUR_S * 1000


def test_the_key_of_an_hour_is_overwritten_and_gone_some_minutes_after_its_tips(taking: Agency) -> None:
    tip, data = made(taking)
    tip_relay.take(taking.organisation, tip, data, NOW_S)
    hour = NOW_S // HOUR_S
    folder = settings.DATA / "tip-hours"
    assert [each.name for each in folder.iterdir()] == [str(hour)]
    assert (folder / str(hour)).stat().st_mode & 0o777 == 0o600
    os.link(folder / str(hour), settings.DATA / "same-block")
    assert tip_relay.release((hour + 1) * HOUR_S + 59) == 0, "a row of the last second would come later, and alone"
    assert tip_relay.release((hour + 1) * HOUR_S + 60) == 1
    assert HourKeys(settings.DATA).hours() == [hour], "a slow sender of the last second may still come"
    tip_relay.release((hour + 1) * HOUR_S + 300)
    assert list(folder.iterdir()) == []
    assert (settings.DATA / "same-block").read_bytes() == bytes(32)


def test_a_tip_without_its_key_is_said_and_ends_so_that_the_others_go_on(taking: Agency) -> None:
    """A backup has the row and lacks the key, so a restored desk has such tips."""
    (lost, first), (found, second) = made(taking), made(taking)
    tip_relay.take(taking.organisation, lost, first, NOW_S)
    (settings.DATA / "tip-hours" / str(NOW_S // HOUR_S)).unlink()
    tip_relay.take(taking.organisation, found, second, NOW_S)
    assert tip_relay.release(NOW_S + HOUR_S) == 1
    assert [each.disclosure_id for each in Tip.objects.all()] == [found]
    assert not WaitingTip.objects.exists()


@pytest.mark.parametrize(
    "damage", [b"", b"k" * 31, b"k" * 40, bytes(32), None], ids=["empty", "short", "long", "zeros", "another"]
)
def test_a_damaged_key_is_named_and_loses_the_tips_before_it_in_its_hour_and_no_others(
    taking: Agency, other_agency: Agency, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    """Zeros are what a power cut leaves of a file. None: another key."""
    hour = NOW_S // HOUR_S
    made_of = {name: made(taking) for name in ("hour before", "lost", "after it", "hour after", "now")}
    tip_relay.take(taking.organisation, *made_of["hour before"], NOW_S - HOUR_S)
    tip_relay.take(taking.organisation, *made_of["lost"], NOW_S)
    path = settings.DATA / "tip-hours" / str(hour)
    path.write_bytes(secrets.token_bytes(32) if damage is None else damage)
    tip_relay.take(taking.organisation, *made_of["after it"], NOW_S)
    tip_relay.take(taking.organisation, *made_of["after it"], NOW_S)
    tip_relay.take(other_agency.organisation, *made_of["hour after"], NOW_S + HOUR_S)
    monkeypatch.setattr(time, "time", lambda: float(NOW_S))
    assert sent(made_of["now"][1], made_of["now"][0]).status_code == 202
    with capture_logs() as lines:
        assert tip_relay.release(NOW_S + HOUR_S) == 3
        assert tip_relay.release(NOW_S + 3 * HOUR_S) == 1
    assert {each.disclosure_id for each in Tip.objects.all()} == {
        tip for name, (tip, _data) in made_of.items() if name != "lost"
    }
    assert not WaitingTip.objects.exists()
    named = [line["file"] for line in lines if line["event"] == "tip_key_damaged"]
    assert named == ([] if damage is None else [str(path)]), "once"
    assert [line["tips"] for line in lines if line["event"] == "tips_without_key"] == [1]
    assert list(path.parent.iterdir()) == []


def test_a_key_that_cannot_be_read_now_loses_no_tip_and_holds_up_no_other_hour(taking: Agency) -> None:
    """A folder in its place stands for a fault of the disk. It ends when the file is back."""
    waits, goes = made(taking), made(taking)
    tip_relay.take(taking.organisation, *waits, NOW_S)
    tip_relay.take(taking.organisation, *goes, NOW_S + HOUR_S)
    path = settings.DATA / "tip-hours" / str(NOW_S // HOUR_S)
    path.rename(settings.DATA / "away")
    path.mkdir()
    with capture_logs() as lines:
        assert tip_relay.release(NOW_S + 3 * HOUR_S) == 1
    assert [each.disclosure_id for each in Tip.objects.all()] == [goes[0]]
    assert [line["file"] for line in lines if line["event"] == "tip_key_damaged"] == [str(path)]
    path.rmdir()
    (settings.DATA / "away").rename(path)
    assert tip_relay.release(NOW_S + 3 * HOUR_S) == 1
    assert not WaitingTip.objects.exists()


def test_a_desk_that_can_store_no_key_says_so_to_the_sender(taking: Agency) -> None:
    (settings.DATA / "tip-hours").write_bytes(b"")
    tip, data = made(taking)
    with capture_logs() as lines:
        assert sent(data, tip).status_code == 503
    assert [str(settings.DATA) in line["error"] for line in lines if line["event"] == "tip_not_stored"] == [True]


def test_a_tip_that_cannot_be_stored_keeps_the_others_for_an_hour_so_that_they_go_together(
    taking: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    tips = [made(taking) for _ in range(3)]
    for tip, data in tips:
        tip_relay.take(taking.organisation, tip, data, NOW_S)
    whole, bad = tip_relay.store_sealed_tip, tips[0][0]

    def store(requester: Any, tip: str, *others: Any) -> None:
        if tip == bad:
            raise StorageError("No room.")
        whole(requester, tip, *others)

    monkeypatch.setattr(tip_relay, "store_sealed_tip", store)
    end_s = (NOW_S // HOUR_S + 1) * HOUR_S
    assert tip_relay.release(end_s + HOUR_S - 1) == 0
    assert not Tip.objects.exists()
    assert tip_relay.release(end_s + HOUR_S) == 2
    monkeypatch.undo()
    assert tip_relay.release(end_s + HOUR_S) == 1
    assert Tip.objects.count() == 3


def test_threads_that_come_first_in_an_hour_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: HourKeys(tmp_path).code(5, "ab" * 16), range(64)))
    assert len(set(codes)) == 1
    assert [each.name for each in (tmp_path / "tip-hours").iterdir()] == ["5"]


def test_a_tip_that_is_sent_again_in_the_next_hour_arrives_once(taking: Agency) -> None:
    tip, data = made(taking)
    tip_relay.take(taking.organisation, tip, data, NOW_S)
    tip_relay.take(taking.organisation, tip, data, NOW_S + HOUR_S)
    assert WaitingTip.objects.count() == 1
    assert tip_relay.release(NOW_S + HOUR_S) == 1
    tip_relay.take(taking.organisation, tip, data, NOW_S + HOUR_S)
    assert not WaitingTip.objects.exists()


def test_a_tip_that_is_sent_again_arrives_once(taking: Agency) -> None:
    tip, data = made(taking)
    for _again in range(2):
        assert sent(data, tip).status_code == 202
    tip_relay.release(int(time.time()) + 2 * HOUR_S)
    assert sent(data, tip).status_code == 202
    assert not WaitingTip.objects.exists()
    assert Tip.objects.count() == 1


@pytest.mark.parametrize("cut", ["store_sealed_tip", "note_arrival"])
def test_a_stop_during_the_release_loses_and_doubles_no_tip(
    taking: Agency, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    tips = [made(taking) for _ in range(3)]
    for tip, data in tips:
        tip_relay.take(taking.organisation, tip, data, NOW_S)
    whole, calls = getattr(tip_relay, cut), itertools.count()

    def stops(*arguments: Any) -> None:
        whole(*arguments)
        if next(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(tip_relay, cut, stops)
    with pytest.raises(KeyboardInterrupt):
        tip_relay.release(NOW_S + HOUR_S)
    monkeypatch.undo()
    tip_relay.release(NOW_S + HOUR_S)
    assert {each.disclosure_id for each in Tip.objects.all()} == {tip for tip, _data in tips}
    assert not WaitingTip.objects.exists()


def test_a_tip_without_work_with_old_work_or_of_another_size_is_refused(taking: Agency) -> None:
    tip, data = made(taking)
    asked = browser().get("/tip-to/rijnstad-police/token").json()
    nonce = worked(asked["token"], tip.encode() + data, asked["bits"])
    assert sent(data, tip, **{"tip-token": asked["token"], "tip-nonce": "x"}).status_code == 403
    assert sent(with_another_end(data), tip, **{"tip-token": asked["token"], "tip-nonce": nonce}).status_code == 403
    assert sent(data, "f" * 31, **{"tip-token": asked["token"], "tip-nonce": nonce}).status_code == 400
    for wrong in (b"short", data + b"x", b"A" * len(data)):
        answer = sent(wrong, tip)
        assert answer.status_code == 400, wrong[:5]
        assert "not a sealed tip" in answer.content.decode()


def test_the_same_sealed_bytes_under_another_id_cost_their_own_work(taking: Agency) -> None:
    """The id is in the address. One nonce would otherwise fill an hour with copies of one tip."""
    tip, data = made(taking)
    asked = browser().get("/tip-to/rijnstad-police/token").json()
    headers = {"tip-token": asked["token"], "tip-nonce": worked(asked["token"], tip.encode() + data, asked["bits"])}
    assert sent(data, tip, **headers).status_code == 202
    others = [secrets.token_hex(16) for _ in range(3)]
    assert [sent(data, other, **headers).status_code for other in others] == [403] * 3
    assert WaitingTip.objects.count() == 1


def test_the_tip_after_a_full_hour_is_refused_with_words_and_the_accepted_ones_stay(
    taking: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tip_relay, "MOST_WAITING", 2)
    monkeypatch.setattr(time, "time", lambda: float(NOW_S))
    tips = [made(taking) for _ in range(3)]
    assert [sent(data, tip).status_code for tip, data in tips] == [202, 202, 429]
    assert "next hour" in sent(tips[2][1], tips[2][0]).content.decode()
    tip_relay.release(NOW_S + HOUR_S)
    assert Tip.objects.count() == 2


def test_only_an_organisation_that_a_root_lists_takes_tips_and_only_if_the_desk_wants_it(
    agency: Agency, other_agency: Agency
) -> None:
    vouch(agency)
    assert browser().get("/tip-to/rijnstad-police").status_code == 404, "off unless the desk turns it on"
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(tips=True))):
        assert browser().get("/tip-to/rijnstad-police").status_code == 200
        assert browser().get("/tip-to/waterland-police").status_code == 404
        assert browser().get("/tip-to/unknown/token").status_code == 404
        assert sent(b"x", "0" * 32, **{"tip-token": "x", "tip-nonce": "0"}).status_code == 403


def test_the_public_pages_can_be_turned_off(agency: Agency) -> None:
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(bulletins=False))):
        for address in ("/bulletins", "/bulletins.atom", "/bulletins/" + "0" * 32):
            assert browser().get(address).status_code == 404
        assert "/bulletins" not in browser().get("/numbers").content.decode()


def test_a_damaged_folder_of_one_organisation_holds_up_no_tip_to_another(taking: Agency, other_agency: Agency) -> None:
    (tip, data), (_id, other) = made(taking), made(taking)
    tip_relay.take(other_agency.organisation, "0" * 32, other, NOW_S)  # the first in order
    tip_relay.take(taking.organisation, tip, data, NOW_S)
    (requester_of(other_agency.organisation).folder / "requester.json").write_text("damaged")
    assert tip_relay.release(NOW_S + HOUR_S) == 1
    assert [each.disclosure_id for each in Tip.objects.all()] == [tip]
    assert [each.organisation for each in WaitingTip.objects.all()] == [other_agency.organisation]
    assert tip_relay.release(NOW_S + 3 * HOUR_S) == 0
    assert HourKeys(settings.DATA).hours() == [NOW_S // HOUR_S], "the key stays as long as a tip needs it"


def test_the_service_releases_waiting_tips(taking: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    tip, data = made(taking)
    tip_relay.take(taking.organisation, tip, data, int(time.time()) - 2 * HOUR_S)

    def serve(_server: uvicorn.Server) -> None:
        end_s = time.monotonic() + 30
        while not Tip.objects.exists() and time.monotonic() < end_s:
            time.sleep(0.05)

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    server.run(msgspec.structs.replace(settings.DESK, web=Web(port=free_port())), lambda _line: None)
    assert Tip.objects.get().disclosure_id == tip
