"""A lost phone: the owner holds the doorbell's button, and the kit or a backup lets a new browser in, without a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.house import PASSPHRASE, PHONE, a_house, phones

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

OPEN = """
    await page.goto(args.url + "/pair");
    await page.getByText("I have no code, but my keys or my recovery kit").click();
    await page.getByText("I have my recovery kit").click();
    await page.getByLabel("The key on the kit").fill(args.kit);
    const enter = page.locator("details form", {has: page.locator("#kit")}).getByRole("button", {name: "Continue"});
    await enter.click();
"""


def test_the_kit_lets_a_new_phone_in_after_a_long_press_and_not_before(tmp_path: Path, screenshots: Path) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        kit = people.claim("ana")
        people.browser.open("new", **PHONE)
        people.run(
            "new",
            OPEN
            + """await page.getByText("The doorbell has made no code.").waitFor();
               await page.screenshot({path: args.shots + "/pair-by-button-phone-light.png", fullPage: true});
               const found = await axe(page);
               if (found.length) throw new Error(JSON.stringify(found));""",
            url=house.url, kit=kit, shots=str(screenshots),
        )  # fmt: skip
        assert house.solo._button_held()
        foreign = "AGE-SECRET-KEY-PQ-1" + "Q" * 58
        people.run(
            "new", OPEN + 'await page.getByText("This is not a recovery key").waitFor();', url=house.url, kit=foreign
        )
        people.run(
            "new",
            OPEN
            + """await page.getByRole("heading", {name: /has an owner/}).waitFor();
               if (await page.locator("#kit").inputValue() !== args.kit) throw new Error("the kit is typed twice");
               await page.getByLabel("The keys that are lost").selectOption("owner-1");
               await page.locator("#new-passphrase").fill(args.passphrase);
               await page.getByLabel("The passphrase again").fill(args.passphrase);
               await page.getByRole("button", {name: "Put new keys in place"}).click();
               await page.waitForURL("**/timeline");
               await page.getByLabel("Passphrase").fill(args.passphrase);
               await page.getByRole("button", {name: "Unlock", exact: true}).click();
               await page.locator("nav a[aria-current]").waitFor();""",
            url=house.url, kit=kit, passphrase=PASSPHRASE,
        )  # fmt: skip
        current = house.solo.custodian.enrolments.current
        assert current is not None
        assert [each.name for each in current.recipients] == ["owner-new"]

        # The same phone after 90 days: it has its keys and no session.
        assert house.solo._button_held()
        people.run(
            "new",
            """await page.context().clearCookies();
               await page.goto(args.url + "/pair");
               await page.getByText("I have no code, but my keys or my recovery kit").click();
               await page.getByText("I have keys in this browser: owner-new").click();
               await page.locator("#passphrase").fill(args.passphrase);
               const own = page.locator("details form", {has: page.locator("#passphrase")});
               await own.getByRole("button", {name: "Continue"}).click();
               await page.waitForURL("**/timeline");
               await page.getByLabel("Passphrase").fill(args.passphrase);
               await page.getByRole("button", {name: "Unlock", exact: true}).click();
               await page.locator("nav a[aria-current]").waitFor();""",
            url=house.url, passphrase=PASSPHRASE,
        )  # fmt: skip
