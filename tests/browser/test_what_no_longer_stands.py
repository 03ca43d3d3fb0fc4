"""The page in a real browser after other owners decided, and after an approval ended. Runs with `make test-browser`."""

from __future__ import annotations

import pytest

from tests.browser.home import Home
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def main_of(home: Home, who: str) -> str:
    return str(home.people.run(who, 'return page.locator("main").innerText();'))


def two_owners(home: Home) -> None:
    """Ben joins, and from then on it takes both."""
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    people.go("ana", "/requests")
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Let it take two"}).click();')
    people.sign("ana", "Sign")
    people.run("ana", 'await page.getByText("It takes two owners to share.").waitFor();')
    home.trust_on("ben")
    home.house.record()


def test_what_ended_with_the_trust_says_so_and_offers_nothing_that_the_doorbell_refuses(home: Home) -> None:
    people = home.people
    waiting, denied, approved = (home.asked(f"2026-8{n}") for n in range(3))
    people.open_request("ana", denied)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    people.open_request("ana", approved)
    people.tick_first_clip("ana")
    people.share("ana")
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Trust no longer"}).click();')
    people.run("ana", 'await page.getByText("Their open requests end").waitFor();')
    people.sign("ana", "Trust no longer")
    until(lambda: home.house.state_of(waiting) == "denied", "the end of what waited")

    people.go("ana", "/requests")
    people.run("ana", 'await page.getByText("You no longer trust them.").first().waitFor();')
    listed = main_of(home, "ana")
    assert "You said no" not in listed
    assert "no longer in a trust bundle" not in listed
    for request, heading in (
        (waiting, "Ended automatically"),
        (denied, "You said no"),
        (approved, "Ended automatically"),
    ):
        people.open_request("ana", request)
        people.run("ana", 'await page.getByRole("heading", {name: args.heading}).waitFor();', heading=heading)
        shown = main_of(home, "ana")
        assert "You no longer trust this requester." in shown
        assert "You can say no to it" not in shown
        assert ("The requester is no longer trusted." in shown) is (heading == "Ended automatically")
        assert people.run("ana", 'return page.getByRole("button", {name: "Say no"}).count();') == 0
    assert people.browser.troubles("ana") == []


def test_by_a_phone_whose_clock_is_ahead_a_request_is_over_and_can_still_be_turned_down(home: Home) -> None:
    people, request = home.people, home.asked("2026-83")
    people.run(
        "ana",
        """await page.workers()[0].evaluate(() => {
             const now = Date.now;
             Date.now = () => now() + 8 * 86_400_000;
           });""",
    )
    people.open_request("ana", request)
    people.run(
        "ana", 'await page.getByText("By this device\'s clock the time to answer this request is over").waitFor();'
    )
    people.run("ana", 'await page.getByText("Nothing leaves without your yes.").waitFor();')
    assert people.run("ana", 'return page.getByRole("button", {name: "Share what I chose"}).count();') == 0
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    until(lambda: home.house.state_of(request) == "denied", "the no")


def test_another_owner_was_quicker(home: Home) -> None:
    people = home.people
    two_owners(home)
    request = home.asked("2026-84")
    for who in ("ana", "ben"):
        people.open_request(who, request)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.run("ben", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    # A dialog that asks for a passphrase is not interrupted; the doorbell's refusal afterwards is shown as such.
    people.sign("ben", "Sign my no")
    people.run("ben", 'await page.getByRole("heading", {name: "You said no"}).waitFor();')
    assert people.run("ben", 'return page.getByText("no longer applies").count();') == 0

    request = home.asked("2026-85")
    for who in ("ana", "ben"):
        people.open_request(who, request)
    people.tick_first_clip("ben")
    people.tick_first_clip("ana")
    people.share("ana")
    people.run(
        "ben",
        """await page.getByText("This request has moved on meanwhile.").first().waitFor();
           const ticked = await page.getByRole("checkbox", {name: /Share this clip/}).first().isChecked();
           if (!ticked) throw new Error("what was ticked is gone");
           await page.getByRole("button", {name: "Look again"}).click();
           await page.getByRole("heading", {name: "owner-1 wants to share this"}).waitFor();""",
    )


def test_what_was_chosen_first_and_deleted_then_cannot_be_agreed_to_and_is_no_alarm(home: Home) -> None:
    people = home.people
    two_owners(home)
    request = home.asked("2026-86")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    chosen = set(
        people.run(
            "ana", 'return page.locator(".moments input:checked").evaluateAll((all) => all.map((each) => each.value));'
        )
    )
    people.share("ana")
    until(lambda: home.house.state_of(request) == "waiting for another owner", "the first yes")
    event = people.run(
        "ana",
        """await page.locator("nav a[href='/timeline']").click();
           await page.locator(".tile").first().waitFor();
           return page.locator(".tile").first().getAttribute("href");""",
    )
    # If sharing footage takes two owners, the page offers none for a tip.
    people.go("ana", str(event).replace("timeline", "tips"))
    assert people.run("ana", 'return page.getByRole("checkbox").count();') == 0
    people.run("ana", 'await page.getByText("It takes two owners to share footage here.").waitFor();')
    people.go("ana", "/timeline")
    links = people.run(
        "ana",
        """await page.locator(".tile").first().waitFor();
           return page.locator(".tile").evaluateAll((tiles) => tiles.map((each) => each.getAttribute("href")));""",
    )
    for link in links:
        people.go("ana", link)
        people.run("ana", 'await page.getByRole("button", {name: "Delete", exact: true}).click();')
        people.sign("ana", "Sign and delete")
        if chosen - set(home.house.control("request", id=request)["segments"]):
            break
    people.open_request("ben", request)
    people.run(
        "ben",
        """await page.getByText("owner-1 said yes, and a part of their choice is no longer stored.").waitFor();
           await page.getByRole("button", {name: "Say no", exact: true}).waitFor();""",
    )
    assert "look at the doorbell" not in main_of(home, "ben")
    assert people.run("ben", 'return page.getByRole("button", {name: "Agree to exactly this"}).count();') == 0
