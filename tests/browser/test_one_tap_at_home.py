"""A ring is answered with one tap in the home's network, without a relay and with the keys locked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.house import House
from tests.browser.test_answering_from_anywhere import LOCKED, PLAYS, TAP
from tests.browser.test_talking_at_the_door import (
    ALLOW,
    PITCH_HZ,
    PRESS,
    RELEASE,
    TALKS,
    TalkingHome,
    a_talking_home,
    loud_s,
)
from tests.browser.test_who_rings import deliver, switch_alerts_on
from tests.recorder.test_recorder_and_hardware import LiveCamera
from tests.scenarios.street import until
from tests.uplink.test_push_sender import Browser, PushService

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

SEES = "return page.locator('nav').isVisible();"
UNLOCK = 'await page.getByRole("heading", {name: /Welcome back/}).waitFor({timeout: 60_000});'


@pytest.fixture
def home(tmp_path: Path) -> Iterator[TalkingHome]:
    with PushService() as service, a_talking_home(tmp_path, more="\n[alerts]\n") as home:
        assert home.house.solo._delivery is not None
        home.house.solo._delivery._sender._push._connect = service.connect  # type: ignore[attr-defined]
        switch_alerts_on(home.people, Browser())
        until(lambda: bool(home.house.solo._recording.pictures._browsers), "the recorder to have the key")
        home.people.run("ana", LOCKED, url=home.house.url, path="/timeline")
        assert home.house.solo.page is not None
        # As twelve hours later: the browser is paired, and no session of an owner.
        home.house.solo.page._sessions._write("UPDATE sessions SET owner_until_s = 0", ())
        yield home


@contextmanager
def filming(house: House) -> Iterator[None]:
    house.solo.recorder._loop._open_camera = LiveCamera
    camera = threading.Thread(target=house.solo.record)
    camera.start()
    try:
        yield
    finally:
        house.solo.recorder.stop()
        camera.join()


def test_an_alert_leads_to_live_view_and_talk_with_one_tap_and_to_nothing_stored(
    home: TalkingHome, tmp_path: Path
) -> None:
    people, house = home.people, home.house
    with filming(house):
        deliver(people, house, {"title": "Our door", "body": "The doorbell rang.", "page": "/live"})
        people.run("ana", TAP.replace('"answer"', '""') + PLAYS)
        assert people.run("ana", SEES) is False
        people.run("ana", ALLOW + PRESS + TALKS)
        until(lambda: loud_s(tmp_path / "heard.wav", PITCH_HZ) >= 1, "a second of the tone")
        people.run("ana", RELEASE)
        people.run(
            "ana",
            """await page.getByRole("link", {name: "Unlock for the timeline and the settings"}).click();""" + UNLOCK,
        )
    assert people.browser.troubles("ana") == []


def test_a_session_at_the_door_goes_on_over_a_restart_and_ends_with_the_browsers_alerts(home: TalkingHome) -> None:
    people, house = home.people, home.house
    with filming(house):
        people.run("ana", "await page.goto(args.url + '/live');" + PLAYS, url=house.url)
    house.restart()
    with filming(house):
        people.run("ana", "await page.getByText(/^Live, /).waitFor({timeout: 60_000});")
        assert people.run("ana", "return page.getByRole('heading', {name: /Welcome back/}).count();") == 0
        assert house.solo._owned._browsers is not None
        house.solo._owned._browsers._browsers.clear()
        people.run("ana", "await page.goto(args.url + '/live');" + UNLOCK, url=house.url)
