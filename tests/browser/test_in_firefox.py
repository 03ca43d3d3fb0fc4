"""An owner's tasks in Firefox, except saving files, which Firefox does not report to its driver.

Runs with `make test-browser`. From set-up to receipt: test_the_page_from_set_up_to_a_receipt.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.browser import require_browser
from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, footage: Path) -> Iterator[Home]:
    require_browser("firefox")
    with a_house(tmp_path, footage) as house, phones(house, tmp_path, "firefox") as people:
        yield Home(house, people)


def test_no_silence_and_taking_back_with_a_connection_that_is_lost_meanwhile(home: Home) -> None:
    people, house = home.people, home.house
    refused = home.asked("2026-95")
    people.open_request("ana", refused)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign_in_vain("ana", "Sign my no")
    assert house.state_of(refused) == "pending"
    people.sign("ana", "Sign my no")
    until(lambda: house.state_of(refused) == "denied", "the refusal")
    assert house.street.published() == []

    taken_back = home.asked("2026-96")
    people.open_request("ana", taken_back)
    people.tick_first_clip("ana")
    people.share("ana")
    people.run("ana", 'await page.getByRole("button", {name: "Take it back"}).click();')
    people.sign("ana", "Sign and take back")
    until(lambda: house.state_of(taken_back) == "revoked", "the revocation")

    silenced = home.asked("2026-97")
    people.open_request("ana", silenced)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Do not ask me this"}).click();
           await page.getByRole("button", {name: "Requests about this: Theft"}).click();""",
    )
    people.sign("ana", "Sign and keep silent")
    until(lambda: house.state_of(silenced) == "opted out", "the opt-out")


def test_a_second_owner_live_view_and_the_recovery_kit_on_a_new_phone(home: Home) -> None:
    people, house = home.people, home.house
    people.go("ana", "/live")
    people.run("ana", 'await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.1);')
    home.join("ben", home.invite("ana"), "ana")
    assert house.control("status")["owners"] == ["owner-1", "owner-2"]
    people.run("ana", "await page.context().close()")
    people.pair("new")
    people.run(
        "new",
        """await page.getByText("I have my recovery kit").click();
           await page.getByLabel("The key on the kit").fill(args.kit);
           await page.getByLabel("The keys that are lost").selectOption("owner-1");""",
        kit=house.kit,
    )
    people.make_keys("new", "Put new keys in place")
    people.come_in("new", "Trust them too")
    until(lambda: "owner-new" in house.control("status")["owners"], "the new keys")
    people.run("new", 'await page.locator(".tile img[src^=blob]").first().waitFor();')
