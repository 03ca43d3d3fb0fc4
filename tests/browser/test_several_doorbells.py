"""A household with two doorbells: one list, one passphrase and one kit, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.browser import Browser, require_browser
from tests.browser.house import House, Phones, a_house
from tests.browser.looking import Looking

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_a_second_doorbell_joins_with_the_same_kit_and_each_says_whether_the_other_is_there(
    tmp_path: Path, looking: Looking
) -> None:
    require_browser()
    for each in ("home", "a", "b"):
        (tmp_path / each).mkdir()
    with (
        a_house(tmp_path / "a", None) as front,
        a_house(tmp_path / "b", None, name="back-door") as back,
        Browser(tmp_path / "home", front.authority, back.authority) as browser,
    ):
        people = Phones(front, browser)
        people.pair("ana")
        kit = people.claim("ana")
        keys = save_keys(people)
        add_from_the_list(people, back, looking)
        claim_with_the_same_keys(people, back, keys, kit, looking)
        first, second = (each.solo.custodian.enrolments.current for each in (front, back))
        assert first is not None
        assert second is not None
        assert (first.recovery, first.recipients) == (second.recovery, second.recipients)
        assert [each.key for each in first.approvers] == [each.key for each in second.approvers]
        assert first.device != second.device
        see_one_and_both_away(people, front, back, looking)
        assert [each for each in browser.troubles("ana") if "ERR_CONNECTION" not in each] == []


def save_keys(people: Phones) -> str:
    people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
    people.go("ana", "/settings")
    return str(
        people.run(
            "ana",
            """const coming = page.waitForEvent("download");
               await page.getByRole("button", {name: "Save a backup"}).click();
               const {readFile} = await import("node:fs/promises");
               return readFile(await (await coming).path(), "utf8");""",
        )
    )


def add_from_the_list(people: Phones, back: House, looking: Looking) -> None:
    people.run(
        "ana",
        """await page.getByRole("link", {name: /Your doorbells/}).click();
           await page.getByText("answers · this page").waitFor();
           await page.getByLabel("Its name").fill(args.address);
           await page.getByRole("button", {name: "Add it"}).click();
           await page.locator("li", {hasText: "back-door"}).getByText("answers", {exact: true}).waitFor();""",
        address=back.url,
    )
    looking.at(people, "ana", "doorbells-add")


def claim_with_the_same_keys(people: Phones, back: House, keys: str, kit: str, looking: Looking) -> None:
    people.run(
        "ana",
        """await page.getByRole("link", {name: "Open its page and type its code"}).click();
           await page.getByLabel("Code").fill(args.code);
           await page.getByRole("button", {name: "Continue"}).click();
           await page.getByText("I have keys for another doorbell").waitFor();""",
        code=back.code(),
    )
    looking.at(people, "ana", "setup-same-keys")
    people.run(
        "ana",
        """const file = {name: "keys.json", mimeType: "application/json", buffer: Buffer.from(args.keys)};
           await page.locator("#backup").setInputFiles(file);
           await page.locator("#backup-passphrase").fill("correct horse battery");
           await page.getByLabel("The key on the kit").fill(args.kit);
           await page.getByRole("button", {name: "Use my keys here"}).click();
           await page.waitForURL(args.url + "/timeline");
           await page.locator("body[data-bare=false]").waitFor();""",
        keys=keys,
        kit=kit,
        url=back.url,
    )


def see_one_and_both_away(people: Phones, front: House, back: House, looking: Looking) -> None:
    people.run(
        "ana",
        """await page.getByRole("link", {name: /Your doorbells/}).click();
           await page.locator("li", {hasText: "scenario"}).getByText("answers", {exact: true}).waitFor();""",
    )
    for house in (front, back):
        house.close()
    try:
        people.run(
            "ana",
            """await page.goto(args.url + "/doorbells");
               await page.waitForFunction(() =>
                 [...document.querySelectorAll("li small")].filter((each) => /last seen \\d\\d:\\d\\d/.test(each.textContent)).length === 2);""",
            url=back.url,
        )
        looking.at(people, "ana", "doorbells-off")
    finally:
        for house in (front, back):
            house.solo = house._build()
