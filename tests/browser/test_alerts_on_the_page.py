"""Alerts, set and tried on the page, and shown by the browser when the page is closed.

In a real browser, with `make test-browser`.  No push service is asked: what one would deliver is handed to the browser.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.browser.looking import Looking
from tests.browser.test_who_rings import switch_alerts_on
from tests.receivers import NtfyServer, Receiver
from tests.scenarios.street import until
from tests.uplink.test_push_sender import Browser

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

ALERTS = """
[alerts]
[[alerts.channels]]
name = "Ann's phone"
url = "{url}"
"""


def test_a_test_reaches_the_phone_and_quiet_hours_are_set_and_given_back(tmp_path: Path, looking: Looking) -> None:
    with (
        NtfyServer(Receiver()) as server,
        a_house(tmp_path, None, more=ALERTS.format(url=server.url)) as house,
        phones(house, tmp_path) as people,
    ):
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        people.go("ana", "/settings")
        people.run("ana", 'await page.locator("#settings-mine h2").waitFor();')
        looking.at(people, "ana", "settings-alerts")
        before = len(server.receiver.messages)
        people.run(
            "ana",
            """await page.getByRole("button", {name: "Send a test"}).click();
               await page.getByText("A test is on its way to 1 channel.").waitFor();""",
        )
        until(lambda: len(server.receiver.messages) > before, "the test to arrive")
        people.run(
            "ana",
            """const alerts = page.locator("#settings-alerts");
               await alerts.getByLabel("From").fill("21:30");
               await alerts.getByRole("button", {name: "Sign and save"}).click();""",
        )
        people.sign("ana", "Sign")
        people.run(
            "ana", 'await page.locator("#settings-alerts").getByText("The configuration says: none.").waitFor();'
        )
        current = house.solo.custodian.settings.current
        assert current is not None
        assert current.quiet is not None
        assert current.quiet.begins_minute == 21 * 60 + 30
        people.run("ana", 'await page.locator("#settings-alerts").getByRole("button", {name: "Back to that"}).click();')
        people.sign("ana", "Sign")
        people.run("ana", 'await page.locator("#settings-alerts").getByText("As the doorbell").waitFor();')
        assert people.browser.troubles("ana") == []


def test_a_channel_that_is_not_reached_is_named_with_what_waits_for_it(tmp_path: Path, looking: Looking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"ntfy://127.0.0.1:{listener.getsockname()[1]}/topic"
    with a_house(tmp_path, None, more=ALERTS.format(url=nobody)) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.control("alerts_test")
        until(lambda: house.control("status")["alerts"]["channels"]["Ann's phone"]["failures"] > 0, "the failure")
        people.go("ana", "/settings")
        people.run(
            "ana",
            """await page.getByText(/Ann's phone is not reached. \\d+ alert/).waitFor();
            await page.locator("#settings-mine h2").waitFor();
            await page.locator("#settings-alerts").evaluate((section) => section.scrollIntoView());""",
        )
        looking.at(people, "ana", "settings-alerts-fault", full=False)
        assert people.browser.troubles("ana") == []


def test_what_a_push_service_delivers_is_shown_in_neutral_words_and_rubbish_is_no_more_than_a_nudge(
    tmp_path: Path,
) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        shown = people.run(
            "ana",
            """await page.context().grantPermissions(["notifications"]);
               await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
               const session = await page.context().newCDPSession(page);
               const registered = new Promise((resolve) => session.on("ServiceWorker.workerRegistrationUpdated",
                 ({registrations}) => registrations.length && resolve(registrations[0].registrationId)));
               await session.send("ServiceWorker.enable");
               const registrationId = await registered;
               const shown = [];
               for (const data of args.messages) {
                 const look = () => page.evaluate(async () => {
                   const found = await (await navigator.serviceWorker.ready).getNotifications();
                   for (const each of found) each.close();
                   return found.map(({title, body, data}) => [title, body, data.page]);
                 });
                 // A worker that is still starting misses a message: a push service would bring it again.
                 let found = [];
                 for (let tries = 0; tries < 60 && !found.length; tries++) {
                   await session.send("ServiceWorker.deliverPushMessage", {origin: args.origin, registrationId, data});
                   for (let looks = 0; looks < 20 && !found.length; looks++) {
                     found = await look();
                     if (!found.length) await page.waitForTimeout(100);
                   }
                 }
                 shown.push(found);
               }
               return shown;""",
            origin=house.url,
            messages=[
                '{"title": "Our door", "body": "The doorbell rang.", "page": "/live"}',
                '{"title": "Our door", "body": "Come.", "page": "https://elsewhere.example/"}',
                "<b>no json",
                '{"title": 7, "body": ["x"]}',
            ],
        )
        assert shown == [
            [["Our door", "The doorbell rang.", "/live"]],
            [["Our door", "Come.", "/timeline"]],
            [["Doorward", "", "/timeline"]],
            [["Doorward", "", "/timeline"]],
        ]


def test_a_tap_on_an_alert_shows_its_page_in_the_window_that_is_open_without_locking_it(home: Home) -> None:
    people = home.people
    people.run(
        "ana",
        """await page.context().grantPermissions(["notifications"]);
           await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
           const [worker] = page.context().serviceWorkers();
           await worker.evaluate(async () => {
             await registration.showNotification("Our door", {body: "The doorbell rang.", data: {page: "/live"}});
             const [notification] = await registration.getNotifications();
             dispatchEvent(new NotificationEvent("notificationclick", {notification}));
           });
           await page.waitForURL("**/live");
           await page.getByRole("heading", {level: 1, name: "Live"}).waitFor();""",
    )
    assert people.browser.troubles("ana") == []


def test_the_browsers_that_get_alerts_are_listed_with_their_pictures_and_an_owner_ends_one(
    tmp_path: Path, looking: Looking
) -> None:
    with a_house(tmp_path, None, more="\n[alerts]\n") as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        switch_alerts_on(people, Browser())
        people.run(
            "ana",
            """const alerts = page.locator("#settings-alerts");
               await alerts.getByText("Browsers that get alerts").waitFor();
               await alerts.getByText(/owner-1 · last used .* · with pictures/).waitFor();
               await page.locator("#settings-mine h2").waitFor();
               await alerts.evaluate((section) => section.scrollIntoView());""",
        )
        looking.at(people, "ana", "settings-alert-browsers", full=False)
        people.run("ana", 'await page.getByRole("button", {name: "End its alerts"}).click();')
        people.sign("ana", "Sign")
        people.run("ana", 'await page.getByText("Browsers that get alerts").waitFor({state: "detached"});')
        assert house.control("push_browsers")["browsers"] == []
        assert people.browser.troubles("ana") == []
