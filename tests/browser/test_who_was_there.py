"""The timeline says who was there and filters by it, in a real browser: with `make test-browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.browser import require_all
from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.networks import real_models

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300)]


SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


@pytest.fixture(autouse=True)
def all_of_it() -> None:
    require_all()
    real_models()


@pytest.fixture
def home(tmp_path: Path, footage: Path) -> Iterator[Home]:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        yield Home(house, people)


def test_people_are_named_below_their_still_and_can_be_asked_for(home: Home) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    people = home.people
    people.go("ana", "/timeline")
    named = people.run(
        "ana",
        """await page.locator(".tile .what", {hasText: "Person"}).first().waitFor();
           await page.getByRole("button", {name: "Person", exact: true}).click();
           await page.locator('.chip[aria-pressed="true"]', {hasText: "Person"}).waitFor();
           await page.screenshot({path: args.path});
           return page.locator(".tile .what").allInnerTexts();""",
        path=str(SCREENSHOTS / "timeline-people-phone.png"),
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
