"""A tip from the page: words alone, and words with pictures of one event.  In a real browser, with `make test-browser`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.requester.incoming_tips import open_tip
from agent.clients.requester.receiving_service import ReceiverEvent, ReceiverEventKind
from agent.wire.topics import ANONYMOUS
from tests.browser.home import Home
from tests.browser.house import PASSPHRASE
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

WORDS = "A white van waits there  every night."


def test_a_tip_is_written_looked_at_and_signed_in_the_browser_and_its_requester_opens_it(
    home: Home, screenshots: Path
) -> None:
    people, house = home.people, home.house
    people.go("ana", "/requests")
    people.run(
        "ana",
        """await page.getByRole("link", {name: "Send a tip"}).click();
           await page.getByRole("heading", {name: "Send a tip", level: 1}).waitFor();
           const send = page.getByRole("button", {name: "Send it"});
           if (!(await send.isDisabled())) throw new Error("a tip that says nothing");
           await page.getByLabel("Your message").fill("See www.example.org");
           await send.click();
           const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill(args.passphrase);
           await dialog.getByRole("button", {name: "Sign and send"}).click();
           await dialog.getByText("use plain words without links").waitFor();
           await dialog.getByRole("button", {name: "Cancel"}).click();
           await page.getByLabel("Your message").fill(args.words);
           await page.screenshot({path: args.shots + "/tip-phone-light.png", fullPage: true});
           await send.click();
           await dialog.getByText("It carries no name.").waitFor();
           await page.screenshot({path: args.shots + "/tip-sure-phone-light.png"});
           const found = await axe(page);
           if (found.length) throw new Error(JSON.stringify(found));""",
        words=WORDS,
        passphrase=PASSPHRASE,
        shots=str(screenshots),
    )
    assert house.control("tips")["tips"] == []
    people.sign("ana", "Sign and send")
    people.run("ana", 'await page.getByRole("heading", {name: "Tips you sent"}).waitFor();')
    (words,) = (each["id"] for each in house.control("tips")["tips"])

    # With pictures of one event: nothing is ticked beforehand, and it is said what that shows.
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile").first().click();
           await page.getByRole("link", {name: "Send this as a tip"}).click();
           await page.getByText("they can tie it to everything else").waitFor();
           if (await page.locator("input[type=checkbox]:checked").count()) throw new Error("ticked beforehand");
           await page.getByRole("radio", {name: "Video and stills"}).check();
           await page.getByText(/Choose among|moment/).first().click();
           await page.locator(".moments input").first().check();
           await page.screenshot({path: args.shots + "/tip-shown-phone-light.png", fullPage: true});
           const found = await axe(page);
           if (found.length) throw new Error(JSON.stringify(found));
           await page.getByRole("button", {name: "Send it"}).click();
           await page.getByText("The footage shows which camera it is from.").waitFor();""",
        shots=str(screenshots),
    )
    people.sign("ana", "Sign and send")
    until(lambda: len(house.control("tips")["tips"]) == 2, "the second tip")
    (shown,) = (each["id"] for each in house.control("tips")["tips"] if each["id"] != words)

    news: list[ReceiverEvent] = []
    with home.police.receiving(news):
        until(lambda: [each.kind for each in news].count(ReceiverEventKind.TIP) == 2, "both tips to arrive")
        until(lambda: {each["state"] for each in house.control("tips")["tips"]} == {"sent"}, "the receipts")
    told, seen = open_tip(home.police.requester, words), open_tip(home.police.requester, shown)
    assert (told.text, told.device, told.files) == ("A white van waits there every night.", None, ())
    assert (seen.text, seen.device) == (None, house.street.device.id)
    assert [each.data[:3] == b"\xff\xd8\xff" for each in seen.files] == [False, True]
    assert all(f"/{ANONYMOUS}/" in message.topic for message in house.street.published())
    people.run(
        "ana",
        """await page.waitForFunction(() => document.querySelectorAll(".card .state").length === 2
             && [...document.querySelectorAll(".card .state")].every((each) => each.textContent === "Received"));
           // The newest is the one with pictures.
           await page.getByText("Show what left").first().click();
           await page.locator(".left .kind", {hasText: "still"}).first().waitFor();
           await page.locator(".left .kind", {hasText: "film"}).first().waitFor();
           await page.screenshot({path: args.shots + "/tips-sent-phone-light.png", fullPage: true});""",
        shots=str(screenshots),
    )
    assert people.browser.troubles("ana") == []


def test_a_tip_can_be_taken_back_and_none_is_lost_or_doubled_with_the_connection(home: Home) -> None:
    people, house = home.people, home.house
    people.go("ana", "/requests")
    people.run(
        "ana",
        """await page.getByRole("link", {name: "Send a tip"}).click();
           await page.getByLabel("Your message").fill("Somebody is there.");
           await page.getByRole("button", {name: "Send it"}).click();""",
    )
    people.sign_in_vain("ana", "Sign and send")
    assert house.control("tips")["tips"] == []
    people.sign("ana", "Sign and send")
    people.run("ana", 'await page.getByRole("button", {name: /Take it back|Stop sending/}).click();')
    people.sign("ana", "Sign and take back")
    until(lambda: next(each["state"] for each in house.control("tips")["tips"]) in ("revoked", "stopped"), "its end")
    assert len(house.control("tips")["tips"]) == 1
