"""A phone or a window that another person picks up: what was opened is closed, and the keys go when they should.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.wire import strictjson
from tests.browser.home import Home
from tests.browser.house import PASSPHRASE, a_house, phones
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

LOCKED = 'await page.getByRole("heading", {name: /Welcome back/}).waitFor();'


def test_a_phone_that_slept_with_the_page_open_is_locked_at_the_first_tap(home: Home) -> None:
    """The system had frozen the page's timers, and the tap counted as a use: the page stayed open for all who came."""
    people = home.people
    people.go("ana", "/timeline")
    found = people.run(
        "ana",
        """await page.locator(".tile img[src^=blob]").first().waitFor();
           const place = await page.locator(".tile").first().boundingBox();
           // Sixteen minutes later, of which no timer has heard: the clock that runs stood still meanwhile.
           await page.evaluate(() => {
             const now = Date.now;
             Date.now = () => now() + 16 * 60_000;
           });
           await page.mouse.click(place.x + place.width / 2, place.y + place.height / 2);
           await page.getByRole("heading", {name: /Welcome back/}).waitFor();
           return {path: new URL(page.url()).pathname, pictures: await page.locator("img[src^=blob]").count()};""",
    )
    assert found == {"path": "/timeline", "pictures": 0}
    people.unlock("ana")
    assert people.browser.troubles("ana") == []


def test_the_steps_after_the_set_up_lock_as_all_pages_do(tmp_path: Path) -> None:
    """They hold the passphrase that was just chosen, and never locked."""
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run(
            "ana",
            """await page.getByRole("button", {name: "Set up the rest"}).click();
               await page.locator("main .rest").waitFor();
               await page.evaluate(() => {
                 const now = Date.now;
                 Date.now = () => now() + 16 * 60_000;
               });
               await page.keyboard.press("Tab");"""
            + LOCKED,
        )
        assert people.run("ana", 'return page.locator("main .rest").count();') == 0


def test_locking_one_window_locks_the_others_and_removing_the_keys_does_too(home: Home) -> None:
    people = home.people
    people.run(
        "ana",
        """pages.second = await page.context().newPage();
           await pages.second.goto(args.url + "/timeline");
           await pages.second.getByLabel("Passphrase").fill(args.passphrase);
           await pages.second.getByRole("button", {name: "Unlock", exact: true}).click();
           await pages.second.locator("body[data-bare=false]").waitFor();""",
        url=home.house.url,
        passphrase=PASSPHRASE,
    )
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Lock", exact: true}).click();' + LOCKED)
    people.run("second", LOCKED)
    for who in ("ana", "second"):
        people.unlock(who)
    # Away from the doorbell, too: a phone that is sold, or handed over, must not wait for a way home.
    ended = people.run(
        "ana",
        """await page.evaluate(() => {
             globalThis.ended = 0;
             PushManager.prototype.getSubscription = async () => ({unsubscribe: async () => { globalThis.ended += 1; }});
           });
           await page.locator("nav a[href='/settings']").click();
           await page.getByRole("button", {name: "Remove from this browser"}).waitFor();
           await page.context().route("**/api/page_leave", (route) => route.abort());
           await page.getByRole("button", {name: "Remove from this browser"}).click();
           await page.evaluate(() => addEventListener("pagehide", () => sessionStorage.setItem("ended", globalThis.ended)));
           await page.getByRole("dialog").getByRole("button", {name: "Remove from this browser"}).click();
           await page.waitForURL("**/pair");
           const kept = await page.evaluate(() => new Promise((resolve) => {
             indexedDB.open("doorward", 1).onsuccess = ({target}) => {
               target.result.transaction("keys").objectStore("keys").getAllKeys().onsuccess = (found) => resolve(found.target.result);
             };
           }));
           return {kept, ended: await page.evaluate(() => sessionStorage.getItem("ended"))};""",
    )
    assert ended == {"kept": [], "ended": "1"}
    people.run("second", 'await page.locator("body[data-bare=true]").waitFor();')
    assert people.run("second", 'return page.locator("img[src^=blob]").count();') == 0


def test_after_the_removal_of_an_owner_the_page_says_what_they_may_still_have(home: Home) -> None:
    """The kit that both had seen still opened everything, and made the former owner an owner again."""
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    before = home.house.solo.custodian.enrolments.current
    people.run("ana", 'await page.getByRole("button", {name: "Remove owner-2"}).click();')
    people.run(
        "ana",
        """const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill(args.passphrase);
           await dialog.getByRole("button", {name: "Remove", exact: true}).click();
           await dialog.getByRole("heading", {name: "owner-2 is removed. What may be left?"}).waitFor();
           await dialog.getByText(/photographed the recovery kit/).waitFor();
           await dialog.getByRole("button", {name: "Replace the kit"}).click();
           await dialog.locator(".kit").waitFor();
           const kit = (await dialog.locator(".secret").innerText()).replaceAll(/\\s/g, "");
           await dialog.getByLabel("The last 6 characters").fill(kit.slice(-6));
           await dialog.getByRole("button", {name: "I have it on paper"}).click();""",
        passphrase=PASSPHRASE,
    )
    people.sign("ana", "Sign and replace")
    until(lambda: home.house.solo.custodian.enrolments.current.epoch == 4, "the next kit")  # type: ignore[union-attr]
    now = home.house.solo.custodian.enrolments.current
    assert before is not None
    assert now is not None
    assert [each.name for each in now.recipients] == ["owner-1"]
    assert now.recovery != before.recovery
    assert people.browser.troubles("ana") == []


def test_a_guest_who_photographed_an_invitation_is_not_admitted_under_the_name_of_another(
    home: Home, tmp_path: Path
) -> None:
    """The first card with the invitation's secret and the expected name was taken."""
    people = home.people
    address = home.invite("ana")
    home.scan("ben", address)
    people.make_keys("ben")
    people.run("ana", 'await page.getByRole("heading", {name: "Admit owner-2?"}).waitFor();')
    secret = address.partition("#")[2].split(".")[1]
    card = strictjson.encode(OwnerKeys.create(tmp_path / "guest", name="owner-2", log2_work_factor=1).card).decode()
    mac = hmac.new(secret.encode(), card.encode(), "sha256").hexdigest()
    cards = home.house.solo.page._operations._cards  # type: ignore[union-attr]
    cards["a guest"] = json.dumps({"card": card, "mac": mac})
    cards.move_to_end("a guest", last=False)
    people.run(
        "ana",
        """const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill(args.passphrase);
           await dialog.getByRole("button", {name: "Sign and admit"}).click();
           await dialog.getByText(/^Two browsers answered this invitation/).waitFor();
           await dialog.getByRole("button", {name: "Cancel"}).click();""",
        passphrase=PASSPHRASE,
    )
    assert home.house.control("status")["owners"] == ["owner-1"]


def test_before_the_signature_the_page_says_from_when_the_footage_is_and_for_which_case(home: Home) -> None:
    people, request = home.people, home.asked("2026-75")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    shown = people.run(
        "ana",
        """await page.getByRole("button", {name: "Share what I chose"}).click();
           return page.getByRole("dialog").getByText(/^Recorded .*, for case 2026-75\\.$/).innerText();""",
    )
    day = people.run("ana", """return new Date().toLocaleDateString("en-GB", {day: "numeric", month: "long"});""")
    assert str(day) in shown
