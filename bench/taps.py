"""Taps, typed characters and seconds of an owner's three jobs, in a real browser.  `python -m bench taps`.

Each job (who was there, a ring now, the answer to a request) begins at a locked phone at home, without a relay. It is
done with the passphrase, then with a passkey of Chromium's virtual authenticator, which shows the finger at once. The
seconds are the machine's: the script taps and types without a pause. The tests' push service hands the alerts to the
browser. Needs Chromium, `npm ci` in tests/browser and the footage of the tests.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import structlog

from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_file import FileCamera
from agent.wire.fields import Kind
from tests.browser.house import PASSPHRASE, House, Phones
from tests.browser.test_one_touch import add_passkey, give_authenticator
from tests.browser.test_who_rings import deliver, ring_with_alerts
from tests.scenarios.street import Asker, until
from tests.uplink.test_push_sender import PushService

FOOTAGE = Path(os.environ.get("DOORWARD_VTEST") or Path(__file__).parents[1] / ".cache" / "vtest.avi")

_HAND = """
const hand = {taps: 0, typed: 0, began: Date.now()};
const tap = async (locator) => { await locator.click(); hand.taps++; };
const type = async (locator, text) => { await locator.fill(text); hand.typed += text.length; };
const comeIn = async () => {
  const unlock = page.getByRole("button", {name: "Unlock", exact: true});
  await unlock.waitFor();
  if (args.credential === "passphrase") await type(page.getByLabel("Passphrase"), args.passphrase);
  await tap(unlock);
  await page.locator("body[data-bare=false]").waitFor();
};
const tapAlert = async (action) => {
  hand.taps++;
  await page.context().serviceWorkers()[0].evaluate(async (action) => {
    const [notification] = await registration.getNotifications();
    dispatchEvent(new NotificationEvent("notificationclick", {notification, action}));
  }, action);
};
const plays = () => page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.05);
const done = () => ({...hand, ms: Date.now() - hand.began});
"""
_LOCK = """
await page.goto(args.url + "/timeline");
await page.getByRole("heading", {name: /Welcome back/}).waitFor();
await page.evaluate(async () => {
  for (const each of await (await navigator.serviceWorker.ready).getNotifications()) each.close();
});
"""
_WHO = """
hand.taps++;  // the icon of the page
await comeIn();
await tap(page.locator(".rows .tile", {hasText: "The doorbell rang"}).first());
await plays();
return done();
"""
_RING = """
await tapAlert("answer");
await plays();
return done();
"""
_REQUEST = """
await page.evaluate(() => document.querySelector("main > .page").setAttribute("data-left", ""));
await tapAlert("");
await page.locator("main > .page:not([data-left])").waitFor();
await comeIn();
await tap(page.getByRole("link", {name: /^Look at it/}).first());
await tap(page.getByRole("button", {name: "Say no", exact: true}));
const dialog = page.getByRole("dialog");
if (args.credential === "passphrase") await type(dialog.getByLabel("Passphrase"), args.passphrase);
await tap(dialog.getByRole("button", {name: "Sign my no"}));
await dialog.waitFor({state: "detached"});
return done();
"""


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with PushService() as service, tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), service)


def _measure(folder: Path, service: PushService) -> None:
    with ring_with_alerts(folder, FOOTAGE, service) as (house, people, told):
        ring = next(each for each in told if "picture" in each and "rang" in each["body"])
        police = Asker(house.street, "rijnstad-police", Kind.POLICE)
        people.trust("ana", police.root.text, police.bundle, "The rijnstad-police")
        for credential in ("passphrase", "passkey"):
            if credential == "passkey":
                give_authenticator(people)
                add_passkey(people)
            _lock(people)
            _print("who was there", credential, _act(people, credential, _WHO))
            filming = threading.Thread(target=_film, args=(house,))
            filming.start()
            _lock(people)
            deliver(people, house, ring)
            _print("the bell rings now", credential, _act(people, credential, _RING))
            house.solo.recorder._loop.end_stream("measured")
            filming.join()
            request = police.ask(f"2026-9{len(credential)}")
            _wait_for_match(house, request.id)
            _lock(people)
            deliver(people, house, {"title": "Our door", "body": "A request waits.", "page": "/requests"})
            _print("answer a request", credential, _act(people, credential, _REQUEST))


def _wait_for_match(house: House, request: str) -> None:
    until(lambda: house.state_of(request) == "pending", "the request to match")


def _film(house: House) -> None:
    house.solo.recorder._loop._open_camera = lambda: FileCamera(FOOTAGE, paced=True)
    house.solo.record(SystemClock().now().boot_ns)


def _lock(people: Phones) -> None:
    people.run("ana", _LOCK, url=people.house.url)


def _act(people: Phones, credential: str, script: str) -> dict[str, Any]:
    found = people.run("ana", _HAND + script, credential=credential, passphrase=PASSPHRASE)
    return dict(found)


def _print(job: str, credential: str, found: dict[str, Any]) -> None:
    touches = " and a touch for each unlocking and signing" if credential == "passkey" and found["taps"] > 1 else ""
    print(
        f"{job:20} {credential:10} {found['taps']} taps{touches}, {found['typed']} characters, "
        f"{found['ms'] / 1000:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
