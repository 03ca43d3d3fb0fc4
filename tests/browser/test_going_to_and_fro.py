"""Tapping on, going back and thinking better of it, in a real browser: with `make test-browser`."""

from __future__ import annotations

import pytest

from tests.browser.home import Home
from tests.browser.house import PASSPHRASE
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

SLOW = """
const slow = async (op, how) => page.context().route(`**/api/${op}`, async (route) => {
  await new Promise((done) => setTimeout(done, 1500));
  await route[how]().catch(() => {});
});
"""


def test_a_jump_to_the_content_leaves_the_page_as_it_is(home: Home) -> None:
    people, request = home.people, home.asked("2026-70")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    people.run(
        "ana",
        """await page.evaluate(() => document.querySelector("main > .page").id = "mine");
           await page.locator("a.skip").focus();
           await page.keyboard.press("Enter");
           await page.waitForFunction(() => document.activeElement.id === "content");
           await page.goBack();
           await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));""",
    )
    assert people.run("ana", 'return page.locator("#mine input:checked[type=checkbox]").count();') > 0


def test_who_taps_on_before_a_page_is_there_sees_the_newest_and_nothing_of_the_other(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        SLOW
        + """await slow("events", "abort");
           const failed = page.context().waitForEvent("requestfailed");
           await page.locator("nav a[href='/timeline']").click();
           await page.getByRole("heading", {name: "Timeline", level: 1}).waitFor();
           await page.locator("nav a[href='/requests']").click();
           await page.getByRole("heading", {name: "Requests", level: 1}).waitFor();
           await failed;
           await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
           await page.context().unroute("**/api/events");""",
    )
    assert people.run("ana", 'return page.locator("h1").allTextContents();') == ["Requests"]


def test_a_page_that_came_too_late_asks_for_nothing_more(home: Home) -> None:
    people, request = home.people, home.asked("2026-71")
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    asked = people.run(
        "ana",
        SLOW
        + """await slow("status", "continue");
           await page.locator(`a[href="/requests/${args.request}"]`).click();
           await page.getByRole("heading", {name: "The rijnstad-police", level: 1}).waitFor();
           const held = page.context().waitForEvent("requestfinished", (each) => each.url().endsWith("/status"));
           await page.locator("nav a[href='/history']").click();
           await page.getByRole("heading", {name: "Every entry"}).waitFor();
           await held;
           await page.context().unroute("**/api/status");
           let asked = 0;
           page.context().on("request", (each) => (asked += each.url().endsWith("/api/status")));
           await page.evaluate(() => new Promise((done) => setTimeout(done, 4000)));
           return asked;""",
        request=request,
    )
    assert asked == 0


def test_whoever_goes_back_leaves_the_question_behind_too(home: Home) -> None:
    people, request = home.people, home.asked("2026-72")
    people.go("ana", "/requests")
    people.open_request("ana", request)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Say no", exact: true}).click();
           await page.getByRole("dialog").waitFor();
           await page.goBack();
           await page.getByRole("dialog").waitFor({state: "detached"});
           await page.getByRole("heading", {name: "Requests", level: 1}).waitFor();""",
    )
    assert home.house.state_of(request) == "pending"


def test_an_invitation_that_escape_closes_asks_for_nothing_more(home: Home) -> None:
    """It asked the doorbell for the other phone's card every 1.5 seconds, for as long as the page was open."""
    home.invite("ana")
    asked = home.people.run(
        "ana",
        """await page.keyboard.press("Escape");
           await page.getByRole("dialog").waitFor({state: "detached"});
           let asked = 0;
           page.context().on("request", (each) => (asked += each.url().endsWith("/api/page_cards")));
           await page.evaluate(() => new Promise((done) => setTimeout(done, 4000)));
           return asked;""",
    )
    assert asked == 0


def test_a_page_left_open_over_an_upgrade_loads_the_new_program_once_it_is_locked(home: Home) -> None:
    people, page = home.people, home.house.solo.page
    assert page is not None
    people.go("ana", "/settings")
    page._operations._program = page._application.pages.version = "beef01beef01"
    people.run(
        "ana",
        """await page.evaluate(() => (window.isOld = true));
           await page.locator("nav a[href='/requests']").click();
           await page.getByRole("heading", {name: "Requests", level: 1}).waitFor();
           if (!(await page.evaluate(() => window.isOld))) throw new Error("what was unlocked is lost");
           await page.locator("nav a[href='/settings']").click();
           await page.getByRole("button", {name: "Lock", exact: true}).click();
           await page.waitForFunction(() => !window.isOld);
           await page.locator('script[src="/static/app.js?v=beef01beef01"]').waitFor({state: "attached"});""",
    )
    people.unlock("ana")
    # The document is loaded again only once, even if it stays the same.
    page._operations._program = "beef02beef02"
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Lock", exact: true}).click();')
    people.unlock("ana")
    assert people.browser.troubles("ana") == []


def test_two_taps_make_one_invitation_and_what_a_button_cannot_do_is_said(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Add a phone or owner"}).dblclick();
           await page.locator(".dialog .qr").waitFor();
           await page.evaluate(() => new Promise((done) => setTimeout(done, 1000)));
           if ((await page.getByRole("dialog").count()) !== 1) throw new Error("two invitations");
           await page.getByRole("dialog").getByRole("button", {name: "Cancel"}).click();
           await page.context().setOffline(true);
           await page.getByRole("button", {name: "Replace the kit"}).click();
           await page.locator("#said").filter({hasText: "does not answer"}).waitFor();
           await page.context().setOffline(false);""",
    )


def test_what_is_being_signed_is_not_cancelled_in_appearance_only(home: Home) -> None:
    people, request = home.people, home.asked("2026-73")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    is_fixed = people.run(
        "ana",
        """await page.getByRole("button", {name: "Share what I chose"}).click();
           const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill(args.passphrase);
           await page.context().route("**/api/statement", async (route) => {
             await new Promise((done) => setTimeout(done, 2000));
             await route.continue();
           });
           const signed = page.context().waitForEvent("request", (each) => each.url().endsWith("/statement"));
           await dialog.getByRole("button", {name: "Sign and share"}).click();
           await signed;
           await page.keyboard.press("Escape");
           await page.keyboard.press("Escape");
           await dialog.waitFor();
           const isFixed = await dialog.getByRole("button", {name: "Cancel"}).isDisabled();
           await dialog.waitFor({state: "detached"});
           await page.getByRole("heading", {name: /You said yes|Being sent|Received/}).first().waitFor();
           return isFixed;""",
        passphrase=PASSPHRASE,
    )
    assert is_fixed
    until(lambda: home.house.state_of(request) in ("approved", "sending"), "the approval")


def test_another_language_leaves_the_keys_unlocked(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    told = people.run(
        "ana",
        """await page.locator("#language").selectOption("es");
           await page.locator("html[lang=es]").waitFor();
           await page.getByRole("navigation", {name: "Secciones"}).getByText("Cronología").waitFor();
           await page.getByRole("heading", {name: "Cronología", level: 1}).waitFor();
           return page.evaluate(() => document.body.dataset.bare);""",
    )
    assert told == "false"
    # Kept for the next time, too.
    people.run("ana", 'await page.reload(); await page.locator("html[lang=es]").waitFor();')
    assert people.browser.troubles("ana") == []
