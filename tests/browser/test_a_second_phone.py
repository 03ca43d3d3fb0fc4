"""A second phone at the set-up, in one walk: the owner shows a code, the phone joins, and stands in for a lost one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.house import PHONE, a_house, phones
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_a_second_phone_joins_at_the_set_up_and_replaces_a_lost_first_one(tmp_path: Path, screenshots: Path) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        address = people.run(
            "ana",
            """await page.getByRole("button", {name: "Set up the rest"}).click();
               for (const name of ["Name and place", "Motion and masks", "Trusted requesters", "Alerts"]) {
                 await page.getByRole("heading", {name, exact: true}).waitFor();
                 await page.getByRole("button", {name: "Later"}).click();
               }
               await page.getByRole("heading", {name: "A second phone"}).waitFor();
               await page.screenshot({path: args.shots + "/setup-second-phone-light.png", fullPage: true});
               await page.getByRole("button", {name: "Add a phone or owner"}).click();
               await page.locator(".dialog .qr").waitFor();
               return page.locator(".address").textContent();""",
            shots=str(screenshots),
        )
        people.browser.open("ben", **PHONE)
        people.run(
            "ben",
            """await page.goto(args.address);
               await page.getByRole("button", {name: "Continue"}).click();
               await page.getByRole("heading", {name: /Join/}).waitFor();""",
            address=address,
        )
        people.make_keys("ben")
        people.run(
            "ana",
            """await page.getByRole("heading", {name: "Admit owner-2?"}).waitFor();
               await page.getByRole("button", {name: "Sign and admit"}).click();
               await page.getByRole("heading", {name: "A second phone"}).waitFor({state: "detached"});
               await page.locator("nav a[aria-current]").waitFor();""",
        )
        enrolments = house.solo.custodian.enrolments
        assert [each.name for each in enrolments.current.recipients] == ["owner-1", "owner-2"]  # type: ignore[union-attr]

        # The first phone is lost. The second one ends it, without the paper.
        people.run("ben", 'await page.locator("nav a[aria-current]").waitFor();')
        people.go("ben", "/settings")
        people.remove_owner("ben", "owner-1")
        until(
            lambda: [each.name for each in enrolments.current.recipients] == ["owner-2"],  # type: ignore[union-attr]
            "the lost phone to be off the list",
        )
        assert people.browser.troubles("ben") == []
