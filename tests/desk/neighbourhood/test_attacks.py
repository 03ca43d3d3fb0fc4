"""Attacks on the neighbourhood: a flood by a thousand clients, and links from tips to senders in the operator's view.

The numbers are in docs/security/analysis.md, "The neighbourhood". `tests/uplink/test_tips_at_a_broker.py` has the
view of a broker's operator.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import random
import secrets
import sqlite3
import ssl
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from agent.clients.requester.answer_index import AnswerIndex, QuotaUsage
from agent.wire.disclosures import MAX_TIP_CHARACTERS
from agent.wire.topics import ANONYMOUS
from desk.config import Public
from desk.custody.models import Entry
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood import submissions, tip_relay
from desk.neighbourhood.hour_keys import HourKeys
from desk.neighbourhood.models import Submission, WaitingTip
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.receiving.receiver_thread import _LIMITS
from desk.tips.models import Tip
from tests.clients.requester.doors import TestClock
from tests.clients.requester.house import Disclosure
from tests.clients.requester.test_incoming import Receiving
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import vouch
from tests.desk.asking.served_desk import served_desk
from tests.desk.conftest import GROWN
from tests.desk.neighbourhood.test_neighbours import Neighbour, make_neighbourhood
from tests.desk.neighbourhood.test_tips_from_browsers import made
from tests.lengths import LONG

NOW_S = 1_790_000_000
HOUR_S = tip_relay.HOUR_S
ANALYSIS = Path(__file__).resolve().parents[3] / "docs" / "security" / "analysis.md"
SENDERS = 8
FEW_BITS = 3
"""Work of a client in these tests: 8 hashes at first, and at most 256."""
AT_ONCE = 8
PATIENCE_S = 300.0


# A flood


@dataclass
class Flood:
    """Clients that send by HTTP. Each works as the page does, and again if the price has risen meanwhile."""

    host: str
    trust: ssl.SSLContext
    hashes: int = 0
    prices: list[tuple[int, int]] = field(default_factory=list)
    """The hashes that each piece of work costs on average, and the status of its answer."""
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, what: str, address: str, token_at: str, prefix: str, body: bytes, name: str = "") -> int:
        """`name`: the id in the address, which is part of the work for a tip."""
        with contextlib.closing(HTTPSConnection(self.host, context=self.trust, timeout=PATIENCE_S)) as line:
            for _again in range(6):
                line.request("GET", token_at)
                asked = json.loads(line.getresponse().read())
                nonce, hashes = solved(asked["token"], name.encode() + body, asked["bits"])
                line.request("POST", address, body, {f"{prefix}-Token": asked["token"], f"{prefix}-Nonce": nonce})
                answer = line.getresponse()
                answer.read()
                with self._lock:
                    self.hashes += hashes
                    self.answers[what, answer.status] += 1
                    self.prices.append((2 ** asked["bits"], answer.status))
                if answer.status != 409:
                    break
            return answer.status

    def notice(self, neighbour: Neighbour, **words: str) -> int:
        body = json.dumps(neighbour.notice(**words)).encode()
        return self.send("notice", "/neighbours/kerkstraat/send", "/neighbours/kerkstraat/token", "Work", body)

    def tip(self, tip: str, sealed: bytes) -> int:
        return self.send("tip", f"/tip-to/rijnstad-police/{tip}", "/tip-to/rijnstad-police/token", "Tip", sealed, tip)


def solved(token: str, body: bytes, bits: int) -> tuple[str, int]:
    """Returns the first nonce that does, and the number of hashes that were made."""
    for nonce in itertools.count():
        if work.is_done(token, body, str(nonce), bits):
            return str(nonce), nonce + 1
    raise AssertionError


def random_tip() -> tuple[str, bytes]:
    """A tip of bytes that open nowhere. The relay cannot tell."""
    head = b"age-encryption.org/v1\n"
    return secrets.token_hex(16), head + secrets.token_bytes(tip_relay.SEALED_BYTES - len(head))


def price(most: int) -> int:
    """Returns the hashes that fill `most` places, on average, each at the price of its moment."""
    return sum(2 ** work.bits_at(waiting) for waiting in range(most))


@pytest.fixture
def both(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Agency, Agency]]:
    """An agency and a neighbourhood on one desk. Work costs little here, and is checked as always."""
    monkeypatch.setattr(work, "LEAST_BITS", FEW_BITS)
    monkeypatch.setattr(work, "MOST_BITS", FEW_BITS + 5)
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(neighbours=True, tips=True))):
        vouch(agency)
        agency.organisation.refresh_from_db()
        yield agency, make_neighbourhood()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("clients", "most"), [(40, 12), pytest.param(1000, None, marks=LONG)])
def test_clients_without_end_fill_the_lists_at_the_stated_price_and_keep_no_honest_one_out_for_good(
    both: tuple[Agency, Agency], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clients: int, most: int | None
) -> None:
    police, street = both
    if most is not None:
        monkeypatch.setattr(submissions, "MOST_WAITING", most)
        monkeypatch.setattr(tip_relay, "MOST_WAITING", most)
    half, through = most_of(submissions) // 2, threading.Event()
    honest, early, late = Neighbour(), made(police, "A white van."), made(police, "A red van.")
    now_s = int(time.time()) // HOUR_S * HOUR_S + 60
    monkeypatch.setattr(time, "time", clock := StoppedClock(now_s))
    with served_desk(tmp_path) as url, ThreadPoolExecutor(AT_ONCE) as pool:
        trust = ssl.create_default_context(cafile=tmp_path / "tls" / "authority.pem")
        flood = Flood(url.removeprefix("https://"), trust)

        def spam(number: int) -> None:
            if number == half:
                assert flood.notice(honest) == 202, "an honest neighbour among the others"
                assert flood.tip(*early) == 202
                through.set()
            if number > half + AT_ONCE // 2:
                assert through.wait(PATIENCE_S)
            flood.notice(Neighbour(), description="Buy cheap doorbells now.")
            flood.tip(*random_tip())

        list(pool.map(spam, range(clients)))

        # Both lists are full, and what was accepted before stays.
        assert submissions.waiting(street.organisation) == most_of(submissions)
        assert tip_relay.waiting(police.organisation, now_s) == most_of(tip_relay)
        assert flood.notice(Neighbour()) == 429
        assert flood.tip(*late) == 429
        assert requester_of(street.organisation).request_ids() == [], "no door is asked"
        assert honest.state()["state"] == "waiting"

        # A moderator reads it, and rejects junk. A place is free for each, and the next hour has room for tips.
        row = submissions.find(street.organisation, honest.token)
        assert row is not None
        street.client(Role.MODERATOR).post(f"/moderation/{row.pk}/accept")
        assert honest.state()["state"] == "published"
        clock.now_s += HOUR_S
        assert flood.notice(Neighbour()) == 202
        assert flood.tip(*late) == 202
        clock.now_s += HOUR_S
        tip_relay.release(clock.now_s)
        found = Tip.objects.filter(disclosure_id__in=[early[0], late[0]])
        assert found.count() == 2
    assert Submission.objects.filter(state="waiting").count() == most_of(submissions)

    # The price of the places: a few clients come at once at each step of the price, so a part of it may be lost.
    paid = sum(cost for cost, status in flood.prices if status == 202)
    assert paid >= 0.9 * sum(price(most_of(module)) for module in (submissions, tip_relay))
    # The hashes were made: the number of one piece of work is geometric, so its deviation is its mean.
    costs = [cost for cost, _status in flood.prices]
    assert abs(flood.hashes - sum(costs)) <= 5 * sum(each**2 for each in costs) ** 0.5
    assert not {status for _what, status in flood.answers} - {202, 409, 429}, flood.answers


def test_a_month_of_full_hours_leaves_room_for_the_tips_of_doorbells(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds count together. A receiver that took 500 tips was full after the first hour, for a month."""
    filled = tip_relay.MOST_WAITING * 24 * 31
    requester = requester_of(agency.organisation)
    monkeypatch.setattr(AnswerIndex, "of_door", lambda _index, device, but="": QuotaUsage(filled, filled))
    limits = {each.name: getattr(_LIMITS, each.name) for each in dataclasses.fields(_LIMITS)}
    receiving = Receiving(requester, TestClock(), **limits)
    assert receiving.announce(Disclosure("7" * 32, ANONYMOUS, [b"a tip of a doorbell"]))


class StoppedClock:
    """The hour does not end amid a flood."""

    def __init__(self, now_s: int) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return float(self.now_s)


def most_of(module: Any) -> int:
    return int(module.MOST_WAITING)


def test_one_token_from_before_a_flood_does_not_pay_for_all_of_it(both: tuple[Agency, Agency]) -> None:
    """The token is common to all and holds for ten minutes. Its price must hold until the next step only."""
    police, street = both
    client, answers = browser(), []
    asked = client.get("/tip-to/rijnstad-police/token").json()
    for _ in range(20):
        tip, sealed = random_tip()
        nonce = solved(asked["token"], tip.encode() + sealed, asked["bits"])[0]
        headers = {"tip-token": asked["token"], "tip-nonce": nonce}
        sent = client.post(
            f"/tip-to/rijnstad-police/{tip}", sealed, content_type="application/octet-stream", headers=headers
        )
        answers.append(sent.status_code)
    assert answers == [202] * 16 + [409] * 4
    assert tip_relay.waiting(police.organisation, int(time.time())) == 16
    first = client.get("/neighbours/kerkstraat/token").json()
    answers = []
    for _ in range(20):
        body = json.dumps(Neighbour().notice()).encode()
        headers = {"work-token": first["token"], "work-nonce": solved(first["token"], body, first["bits"])[0]}
        post = "/neighbours/kerkstraat/send"
        answers.append(client.post(post, body, content_type="application/octet-stream", headers=headers).status_code)
    assert answers == [202] * 16 + [409] * 4
    assert submissions.waiting(street.organisation) == 16


def test_the_price_of_a_flood_is_the_one_that_the_analysis_states() -> None:
    said = " ".join(ANALYSIS.read_text().split())
    assert f"{round(price(submissions.MOST_WAITING) / 1e6)} million hashes" in said
    assert f"{round(price(tip_relay.MOST_WAITING) / 1e6)} million hashes" in said


# Links between tips and senders


@dataclass
class Hour:
    """An operator's copies of an hour: who sent in which order, and copies of all files."""

    sent: list[str] = field(default_factory=list)
    """The tips in the order in which their senders were seen. A right guess is this list."""
    codes: list[str] = field(default_factory=list)
    wrapped: list[bytes] = field(default_factory=list)
    """The rows in the order in which they were written, as a database's log keeps them."""
    seals: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, agency: Agency, number: int) -> Hour:
        hour, now_s = cls(), (NOW_S // HOUR_S + number) * HOUR_S
        for tip, sealed in (random_tip() for _ in range(SENDERS)):
            tip_relay.take(agency.organisation, tip, sealed, now_s + secrets.randbelow(HOUR_S))
            (row,) = WaitingTip.objects.filter(hour=now_s // HOUR_S).exclude(code__in=hour.codes)
            hour.sent.append(tip)
            hour.codes.append(row.code)
            hour.wrapped.append(bytes(row.wrapped))
            hour.seals[tip] = sealed
        return hour

    def by(self, order: Callable[[str], Any]) -> list[str]:
        """Returns the tips in an order that the operator sees. Equal ones are guessed between."""
        return sorted(random.sample(self.sent, SENDERS), key=order)

    def ranked(self, seen: Iterable[Any]) -> list[str]:
        """Returns a guess for each row in the order of writing: what is n-th among `seen` is the n-th tip by its id."""
        values = list(seen)
        ranks = sorted(range(SENDERS), key=lambda each: (values[each], random.random()))
        tips = sorted(self.sent)
        return [tips[ranks.index(each)] for each in range(SENDERS)]


def database(name: str) -> bytes:
    path = settings.DATA / name
    return path.read_bytes() if path.exists() else b""


def place(data: bytes, tip: str, hour: Hour) -> int:
    """Returns the place of a tip's bytes in a file: of its sealed bytes, or else of its id in binary."""
    at = data.find(hour.seals[tip][9000:9032])
    return at if at >= 0 else data.find(bytes.fromhex(tip))


def files_of(agency: Agency, tip: str) -> list[int]:
    folder = requester_of(agency.organisation).folder
    found = [each for each in folder.rglob("*") if tip in str(each) and each.is_file()]
    assert found
    return sorted(each.stat().st_mtime_ns for each in found)


def advantage(right: float) -> float:
    """0 if the operator guesses, 1 if the operator knows."""
    return (right - 1 / SENDERS) / (1 - 1 / SENDERS)


@pytest.mark.parametrize("hours", [6, pytest.param(40, marks=LONG)])
def test_an_operator_who_saw_the_senders_in_order_links_no_tip_of_a_past_hour_to_one_of_them(
    agency: Agency, hours: int
) -> None:
    """The operator has all files after the hour, each state of the database within it, and the senders in order."""
    vouch(agency)
    agency.organisation.refresh_from_db()
    right: dict[str, list[float]] = {}
    for number in range(hours):
        hour = Hour.of(agency, number)
        within = {name: database(name) for name in ("desk.sqlite3", "desk.sqlite3-wal")}
        keys = [each["id"] for each in WaitingTip.objects.order_by("hour", "code").values("id")]
        assert tip_relay.release((NOW_S // HOUR_S + number + 1) * HOUR_S + 600) == SENDERS
        assert HourKeys(settings.DATA).hours() == []
        after = {name: database(name) for name in within}
        inbox = list(Tip.objects.order_by("pk").values_list("disclosure_id", flat=True))[-SENDERS:]
        guesses = {
            "by time: rows of the inbox": inbox,
            "by time: codes of the rows": hour.ranked(hour.codes),
            "by time: keys of the rows": hour.ranked(keys),
            "by content of the rows": hour.ranked(hour.wrapped),
        }
        if not GROWN:
            guesses["by time: files of the inbox"] = hour.by(lambda tip: files_of(agency, tip))
        for moment, state in {"within": within, "after": after}.items():
            for name, data in () if GROWN else state.items():
                key = f"by time: place in {name} {moment} the hour"
                guesses[key] = hour.by(lambda tip, data=data, hour=hour: place(data, tip, hour))  # type: ignore[misc]
        for name, guess in guesses.items():
            right.setdefault(name, []).append(statistics.fmean(map(str.__eq__, hour.sent, guess)))
    measured = {name: round(advantage(statistics.fmean(each)), 3) for name, each in right.items()}
    # An order without information is right for one tip of the eight on average, with a deviation of one. So the mean of
    # 40 hours deviates by 1/8 / sqrt(40), which is 0.023 of the advantage. Five deviations are 0.113.
    bound = 5 / SENDERS / hours**0.5 / (1 - 1 / SENDERS)
    assert {name: each for name, each in measured.items() if abs(each) > bound} == {}, measured


def test_the_log_of_the_database_links_no_waiting_row_of_a_past_hour_to_a_tip(agency: Agency, tmp_path: Path) -> None:
    vouch(agency)
    agency.organisation.refresh_from_db()
    if GROWN:
        check_the_transactions_of_postgresql(agency)
    else:
        check_the_commits_of_sqlite(agency, tmp_path)


def check_the_commits_of_sqlite(agency: Agency, folder: Path) -> None:
    """The operator cuts the log at each commit. One says when a row came, and a later one as which tip it went.

    No key of an hour is needed for that.
    """
    hours = [Hour.of(agency, 0)]
    for number in range(1, 3):
        hours.append(Hour.of(agency, number))
        assert tip_relay.release((NOW_S // HOUR_S + number) * HOUR_S + 600) == SENDERS
    before: tuple[frozenset[int], frozenset[str]] = frozenset(), frozenset()
    arrived, moves = 0, []
    for rows, tips in commits(database("desk.sqlite3"), database("desk.sqlite3-wal"), folder):
        arrived += len(rows - before[0])
        gone, came = before[0] - rows, tips - before[1]
        if gone or came:
            moves.append((len(gone), came))
        before = rows, tips
    assert arrived == 3 * SENDERS, "the log holds all hours, or this test sees nothing"
    assert moves == [(SENDERS, frozenset(each.sent)) for each in hours[:2]], "each hour goes at once"
    inbox = list(Tip.objects.order_by("pk").values_list("disclosure_id", flat=True))
    assert inbox == [tip for each in hours[:2] for tip in sorted(each.sent)], "by id, which tells no order of arrival"


def check_the_transactions_of_postgresql(agency: Agency) -> None:
    """A dead row keeps the transaction that deleted it (xmax), and a new one the transaction that made it (xmin).

    Each savepoint is a transaction there, so the tips have several. The rows must have one.
    """
    seen: set[str] = set()
    for number in range(2):
        hour = Hour.of(agency, number)
        assert tip_relay.release((NOW_S // HOUR_S + number + 1) * HOUR_S + 600) == SENDERS
        dead = Counter(each for each in deleted_by(WaitingTip._meta.db_table) if each not in seen)
        assert list(dead.values()) == [SENDERS], "all rows of the hour died in one transaction"
        seen.update(dead)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT disclosure_id FROM {Tip._meta.db_table} ORDER BY xmin::text::bigint, ctid")
            made_in_order = [tip for (tip,) in cursor.fetchall() if tip in hour.seals]
        assert made_in_order == sorted(hour.sent), "by id, which tells no order of arrival"


def commits(database: bytes, log: bytes, folder: Path) -> Iterator[tuple[frozenset[int], frozenset[str]]]:
    """Yields the waiting rows and the listed tips after each commit in SQLite's write-ahead log.

    Its format: sqlite.org/fileformat2.html, "The Write-Ahead Log".
    """
    page, salt, at = int.from_bytes(log[8:12]), log[16:24], 32
    while at + 24 + page <= len(log) and log[at + 8 : at + 16] == salt:
        pages_after_commit = int.from_bytes(log[at + 4 : at + 8])
        at += 24 + page
        if pages_after_commit:
            (folder / "cut").write_bytes(database)
            (folder / "cut-wal").write_bytes(log[:at])
            (folder / "cut-shm").unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(folder / "cut")) as cut:
                rows = cut.execute(f"SELECT id FROM {WaitingTip._meta.db_table}").fetchall()
                tips = cut.execute(f"SELECT disclosure_id FROM {Tip._meta.db_table}").fetchall()
            yield frozenset(each[0] for each in rows), frozenset(each[0] for each in tips)


def deleted_by(table: str) -> Iterator[str]:
    """Yields the transaction that deleted it for each dead row that is still in the file of a table."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pageinspect")
        cursor.execute(
            "SELECT t_xmax::text FROM generate_series(0, pg_relation_size(%s)"
            " / current_setting('block_size')::int - 1) AS page, heap_page_items(get_raw_page(%s, page::int))"
            " WHERE t_xmax::text <> '0'",
            [table, table],
        )
        yield from (each for (each,) in cursor.fetchall())


def test_an_operator_with_the_key_of_the_running_hour_links_each_tip(agency: Agency) -> None:
    """The limit that docs/security/analysis.md states: within the hour, the key is there."""
    vouch(agency)
    agency.organisation.refresh_from_db()
    hour = Hour.of(agency, 0)
    (running,) = HourKeys(settings.DATA).hours()
    opened = [HourKeys(settings.DATA).unwrap(running, each) for each in hour.wrapped]
    guess = [each[0] for each in opened if each is not None]
    assert advantage(statistics.fmean(map(str.__eq__, hour.sent, guess))) == 1.0


def test_by_topic_and_size_a_tip_is_one_of_all_that_came_in_its_hour_to_its_organisation(agency: Agency) -> None:
    """Words of all lengths, sealed as the page does. Rows, files and entries in the log look the same."""
    vouch(agency)
    agency.organisation.refresh_from_db()
    hour = NOW_S // HOUR_S
    for length in (1, 2, 16, 100, 500, 1000, 1999, MAX_TIP_CHARACTERS):
        tip_relay.take(agency.organisation, *made(agency, "x" * length), hour * HOUR_S)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT organisation_id, hour, length(wrapped) FROM {WaitingTip._meta.db_table}")
        assert same(cursor.fetchall())
    tip_relay.release((hour + 1) * HOUR_S + 60)
    tips = list(Tip.objects.order_by("pk").values_list("disclosure_id", flat=True))
    assert len(tips) == SENDERS
    folder = requester_of(agency.organisation).folder
    stored = {tip: sorted(each for each in folder.rglob("*") if tip in str(each) and each.is_file()) for tip in tips}
    assert same([(each.name.replace(tip, ""), each.stat().st_size) for each in stored[tip]] for tip in tips)
    entries = Entry.objects.filter(action="tip.arrived").values_list("detail", flat=True)
    assert same(len(json.dumps(each)) for each in entries)


def same(views: Iterable[Any]) -> bool:
    """Returns True if all of at least eight look the same: then the best guess is one of them."""
    found = list(views)
    return len(found) == SENDERS and all(each == found[0] for each in found)
