"""The timeline says who was there and filters by it, in a real browser: with `make test-browser`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.home import Home
from tests.networks import real_models

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


@pytest.fixture(autouse=True)
def models() -> None:
    real_models()


def test_people_are_named_below_their_still_and_can_be_asked_for(home: Home, screenshots: Path) -> None:
    people = home.people
    people.go("ana", "/timeline")
    named = people.run(
        "ana",
        """await page.locator(".tile .what", {hasText: "Person"}).first().waitFor();
           await page.getByRole("button", {name: "Person", exact: true}).click();
           await page.locator('.chip[aria-pressed="true"]', {hasText: "Person"}).waitFor();
           await page.screenshot({path: args.path});
           return page.locator(".tile .what").allInnerTexts();""",
        path=str(screenshots / "timeline-people-phone.png"),
    )
    assert named
    assert all("Person" in each for each in named)
    shown = people.run(
        "ana",
        """await page.getByRole("button", {name: "Everything", exact: true}).click();
           const shown = await page.locator(".tile").count();
           await page.locator('nav a[href="/requests"]').click();
           await page.locator('nav a[href="/timeline"]').click();
           await page.getByRole("button", {name: "Person", exact: true}).waitFor();
           return shown;""",
    )
    assert shown >= len(named)
