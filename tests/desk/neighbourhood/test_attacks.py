"""Attacks on the neighbourhood: a flood by a thousand clients, and links from tips to senders in the operator's view.

The numbers are in docs/security/analysis.md, "The neighbourhood".
"""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from agent.errors import RequestError
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood import submissions, tip_relay
from desk.neighbourhood.models import Submission, WaitingTip
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import vouch
from tests.desk.conftest import GROWN
from tests.desk.neighbourhood.test_neighbours import Neighbour, street

__all__ = ["street"]

NOW_S = 1_790_000_000
ANALYSIS = Path(__file__).resolve().parents[3] / "docs" / "security" / "analysis.md"
SENDERS = 8
HOURS = 40


# A flood


def test_clients_without_end_fill_the_list_and_reach_no_door_and_no_reader(street: Agency) -> None:
    honest = Neighbour()
    honest.sends(honest.notice())
    refused = 0
    for _ in range(300):
        spam = Neighbour()
        body = json.dumps(spam.notice(description="Buy cheap doorbells now."))
        try:
            submissions.take(street.organisation, body.encode(), NOW_S)
        except RequestError:
            refused += 1
    assert refused == 300 - (submissions.MOST_WAITING - 1)
    assert submissions.waiting(street.organisation) == submissions.MOST_WAITING
    assert Neighbour().sends(Neighbour().notice()).status_code == 429
    assert requester_of(street.organisation).request_ids() == []
    assert honest.state()["state"] == "waiting", "the accepted submission stays"
    row = Submission.objects.get(token_sha256=Submission.objects.order_by("pk")[0].token_sha256)
    street.client(Role.MODERATOR).post(f"/moderation/{row.pk}/accept")
    assert honest.state()["state"] == "published", "moderators go on with what came first"


def test_the_price_of_a_flood_is_the_one_that_the_analysis_states() -> None:
    hashes = sum(2 ** work.bits_at(waiting) for waiting in range(submissions.MOST_WAITING))
    tips = sum(2 ** work.bits_at(waiting) for waiting in range(tip_relay.MOST_WAITING))
    said = " ".join(ANALYSIS.read_text().split())
    assert f"{round(hashes / 1e6)} million hashes" in said
    assert f"{round(tips / 1e6)} million hashes" in said


# Links between tips and senders


def arrivals(agency: Agency, hour: int) -> list[str]:
    """The tips of an hour in the order in which their senders were seen. Their words have all lengths."""
    sent = []
    for _ in range(SENDERS):
        tip, sealed = secrets.token_hex(16), b"age-encryption.org/v1\n"
        sealed += secrets.token_bytes(tip_relay.SEALED_BYTES - len(sealed))
        tip_relay.take(agency.organisation, tip, sealed, hour * 3600 + secrets.randbelow(3600))
        sent.append(tip)
    return sent


def stored(order: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tip FROM {WaitingTip._meta.db_table} ORDER BY {order}")
        return [row[0] for row in cursor.fetchall()]


GUESSES: dict[str, Callable[[], list[str]]] = {
    "by time: the order of the keys": lambda: stored("id"),
    "by time: the order on the disk": lambda: stored("rowid"),
    "by time: the order of the page": lambda: [each.tip for each in WaitingTip.objects.all()],
    "by size": lambda: sorted((each.tip for each in WaitingTip.objects.all()), key=lambda tip: (len(tip), tip)),
}


def advantage(right: float) -> float:
    """0 if the operator guesses, 1 if the operator knows."""
    return (right - 1 / SENDERS) / (1 - 1 / SENDERS)


@pytest.mark.parametrize("guess", GUESSES)
def test_an_operator_who_saw_the_senders_in_order_links_no_stored_tip_to_one_of_them(
    agency: Agency, guess: str
) -> None:
    if GROWN and "disk" in guess:
        return  # PostgreSQL keeps rows in the order of insertion, which the analysis says
    vouch(agency)
    agency.organisation.refresh_from_db()
    hits = []
    for number in range(HOURS):
        sent = arrivals(agency, NOW_S // 3600 + number)
        found = GUESSES[guess]()
        hits += [one == other for one, other in zip(sent, found, strict=True)]
        WaitingTip.objects.all().delete()
    # A right guess has the chance 1/8. Four standard deviations of 320 guesses are 0.074, so 0.085 of the advantage.
    assert abs(advantage(statistics.fmean(hits))) < 0.085


def test_a_knowing_operator_would_have_the_advantage_one() -> None:
    assert advantage(1.0) == 1.0
    assert advantage(1 / SENDERS) == 0.0
