"""The benchmark of a first-time user still runs: its places on the screen lead to the request that they should."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bench.desk_first_use import ASKER, GOAL_S, SUPERVISOR, B, Click, H, K, M, P, Type, person_s, play
from desk.asking.models import Draft
from desk.people.roles import Role
from tests.browser.browser import Browser
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import vouch
from tests.desk.asking.served_desk import DRAWS, served_desk, sign_in


def test_a_person_s_seconds_are_those_of_the_keystroke_level_model() -> None:
    click = M + P + 2 * B
    found = person_s([Click("", 1, 1), Type("ab", enter=True), Type("c"), Click("", 2, 2), Click("", 3, 3)])
    assert found == pytest.approx([click, H + 3 * K, K, H + click, click])


def test_two_persons_leave_a_sixth_of_the_minute_to_the_machine() -> None:
    assert sum(person_s(ASKER)) + sum(person_s(SUPERVISOR)) <= GOAL_S * 5 / 6


@pytest.mark.at_length("make test-browser")
@pytest.mark.browser
@pytest.mark.timeout(300)
def test_the_places_on_the_screen_lead_to_the_signed_request_of_last_night(
    agency: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGUAGE", "en_US")
    vouch(agency)
    (tmp_path / "home").mkdir()
    began = datetime.datetime.now(datetime.UTC)
    with served_desk(tmp_path) as url, Browser(tmp_path / "home", flags=DRAWS, timeout_ms=60_000) as browser:
        play(browser, sign_in(browser, url, agency, Role.ASKER), url, ASKER)
        draft = Draft.objects.get()
        assert draft.state == "submitted"
        assert draft.author == agency.people[Role.ASKER]
        play(browser, sign_in(browser, url, agency, Role.SUPERVISOR), url, SUPERVISOR)
    draft.refresh_from_db()
    assert draft.state == "signed"
    assert draft.approved_by == agency.people[Role.SUPERVISOR]
    assert (draft.incident, draft.case.number) == ("burglary", "2026-0431")
    assert draft.area == {"shape": "circle", "lat": 52.0913, "lon": 5.1185, "radius_m": 200}
    night = began.replace(hour=22, minute=0, second=0, microsecond=0) - datetime.timedelta(days=1)
    assert (draft.from_s, draft.to_s) == (night.timestamp(), night.timestamp() + 3600)
