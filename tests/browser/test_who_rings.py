"""A ring shows who is there in the notification: recorder, custodian, uplink, push service, and a real browser.

The push service is the tests' own. Chromium gets its messages through the debugger, because it
would ask its maker's service for them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.core.webpush import point_of
from agent.wire.strictjson import encode_base64url
from tests.browser.house import House, Phones, a_house, phones
from tests.browser.looking import Looking
from tests.scenarios.street import until
from tests.uplink.test_push_sender import ENDPOINT, Browser, PushService

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

ALERTS = "\n[alerts]\n"


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as running:
        yield running


def switch_alerts_on(people: Phones, browser: Browser) -> None:
    """Presses the page's own button. Only the push service's answer is the tests'."""
    people.run(
        "ana",
        """await page.context().grantPermissions(["notifications"]);
           await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
           await page.evaluate(({endpoint, keys}) => {
             PushManager.prototype.subscribe = async () => ({endpoint, toJSON: () => ({endpoint, keys})});
           }, args);""",
        endpoint=ENDPOINT,
        keys={"p256dh": encode_base64url(point_of(browser.key)), "auth": encode_base64url(browser.auth)},
    )
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Alerts in this browser"}).click();')
    people.sign("ana", "Sign")


@contextmanager
def ring_with_alerts(
    folder: Path, footage: Path, service: PushService
) -> Iterator[tuple[House, Phones, list[dict[str, Any]]]]:
    """A house at which a visitor rang, and an owner with alerts in a browser. Yields the opened messages as well."""
    browser = Browser()
    with a_house(folder, footage, more=ALERTS) as house, phones(house, folder) as people:
        assert house.solo._delivery is not None
        house.solo._delivery._sender._push._connect = service.connect  # type: ignore[attr-defined]
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        switch_alerts_on(people, browser)
        until(lambda: bool(house.solo._recording.pictures._browsers), "the recorder to have the key")
        house.record()
        until(lambda: any("picture" in browser.open(body) for _, body in service.taken), "a picture")
        yield house, people, [browser.open(body) for _, body in service.taken]


def deliver(people: Phones, house: House, message: dict[str, Any]) -> dict[str, Any]:
    """Hands a message to the browser as its push service would, and returns the notification."""
    found = people.run(
        "ana",
        """const session = await page.context().newCDPSession(page);
           const registered = new Promise((resolve) => session.on("ServiceWorker.workerRegistrationUpdated",
             ({registrations}) => registrations.length && resolve(registrations[0].registrationId)));
           // Such as a picture that the policy of the service worker blocks: the notification comes without it.
           const errors = [];
           session.on("ServiceWorker.workerErrorReported", ({errorMessage}) => errors.push(errorMessage.errorMessage));
           await session.send("ServiceWorker.enable");
           const registrationId = await registered;
           for (let tries = 0; tries < 60; tries++) {
             await session.send("ServiceWorker.deliverPushMessage", {origin: args.origin, registrationId, data: args.data});
             for (let looks = 0; looks < 20; looks++) {
               const found = await page.evaluate(async () => {
                 const [each] = await (await navigator.serviceWorker.ready).getNotifications();
                 return each && {title: each.title, body: each.body, image: each.image ?? "", data: each.data,
                   actions: each.actions.map(({action, title}) => [action, title])};
               });
               if (errors.length) throw new Error(errors[0].slice(-300));
               if (found) return found;
               await page.waitForTimeout(100);
             }
           }
           return null;""",
        origin=house.url,
        data=json.dumps(message),
    )
    assert found is not None
    return dict(found)


def answer_and_later(people: Phones) -> None:
    """ "Later" closes the alert and asks for no page. "Answer" leads to Live with one tap."""
    asked = people.run(
        "ana",
        """await page.evaluate(() => {
             globalThis.asked = [];
             navigator.serviceWorker.addEventListener("message", ({data}) => asked.push(data.page));
           });
           const [worker] = page.context().serviceWorkers();
           for (const action of ["later", "answer"]) {
             await worker.evaluate(async (action) => {
               await registration.showNotification("Our door", {tag: action, data: {page: "/live"}});
               const [notification] = await registration.getNotifications({tag: action});
               dispatchEvent(new NotificationEvent("notificationclick", {notification, action}));
             }, action);
           }
           await page.waitForURL("**/live");
           await page.waitForFunction(async () => {
             const left = await (await navigator.serviceWorker.ready).getNotifications();
             return !left.some((each) => ["later", "answer"].includes(each.tag));
           });
           return page.evaluate(() => asked);""",
    )
    assert asked == ["/live"]


def see_the_visitor_before_unlocking(people: Phones, looking: Looking) -> None:
    """Where the keys are asked for, on a system that shows no pictures: the picture comes before them."""
    people.run(
        "ana",
        """await page.goto(args.url + "/timeline");
           await page.getByRole("heading", {name: /Welcome back/}).waitFor();
           const picture = page.getByRole("img", {name: "The picture of the alert"});
           await picture.waitFor();
           await page.waitForFunction(() => document.querySelector(".visitor img").naturalWidth === 160);""",
        url=people.house.url,
    )
    looking.at(people, "ana", "unlock-with-visitor")


def test_a_ring_shows_who_is_there_in_the_notification_and_to_nobody_in_between(
    tmp_path: Path, footage: Path, service: PushService, screenshots: Path, looking: Looking
) -> None:
    with ring_with_alerts(tmp_path, footage, service) as (house, people, messages):
        (ring,) = [each for each in messages if "picture" in each and "rang" in each["body"]]
        assert len({len(body) for _, body in service.taken}) == 1
        shown = deliver(people, house, ring)
        assert shown["body"].endswith("The doorbell rang.")
        assert shown["data"] == {"page": "/live", "hasPicture": True}
        assert shown["actions"] == [["answer", "Answer"], ["later", "Later"]]
        head, _, data = shown["image"].partition(",")
        assert head == "data:image/webp;base64"
        webp = base64.b64decode(data)
        picture = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (120, 160, 3)
        assert picture.std() > 20
        (screenshots / "notification.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        # The picture and its first bytes are absent from the uplink's memory and the queue.
        for path in (tmp_path / "state").rglob("*"):
            if path.is_file():
                assert webp[12:60] not in path.read_bytes(), path
        assert all(webp[12:60] not in json.dumps(each).encode() for each in messages)
        answer_and_later(people)
        see_the_visitor_before_unlocking(people, looking)
        damaged = ring | {"picture": ring["picture"] | {"payload": ring["picture"]["payload"][::-1]}}
        people.run(
            "ana",
            "await page.evaluate(async () => { for (const each of await (await navigator.serviceWorker.ready)"
            ".getNotifications()) each.close(); });",
        )
        assert deliver(people, house, damaged)["data"] == {"page": "/live", "hasPicture": False}
        assert people.browser.troubles("ana") == []
