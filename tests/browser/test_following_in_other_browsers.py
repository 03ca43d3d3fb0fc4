"""A cover that follows, in Firefox and WebKit: to the places of the command line, and on the page.

Runs with `make test-browser`. In Chromium: test_covers_in_a_browser.py and test_covering_a_film.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.clients.media.follow import follow_region
from agent.wire.fields import Kind
from tests.browser.browser import require_browser
from tests.browser.house import a_house
from tests.browser.page_modules import in_page, in_webkit, page_modules, served_modules
from tests.browser.test_covering_a_film import beginning_of
from tests.browser.test_covers_in_a_browser import FOLLOW
from tests.browser.test_in_webkit import asked, claim, pair, trust
from tests.browser.webkit import WebKit, require_webkit
from tests.clients.media.test_follow import STEP_MS, around, place, plate_at, wall, with_car
from tests.faces import film_of as film_with
from tests.scenarios.street import Asker

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.at_length("make test-browser")]

LENGTH_MS = 2000
PLATES = [plate_at(20 + 12 * n, 90 + 3 * (n % 5)) for n in range(20)]
HAND = place(900, around(PLATES[9]))
VALUES = {"length": LENGTH_MS, "hand": [[HAND.at_ms, HAND.left, HAND.top, HAND.width, HAND.height]]}


IN_VIEW = """
const film = document.querySelector("svg.covers").getBoundingClientRect();
return film.top >= 0 && film.bottom <= innerHeight;
"""
FIND_EDITOR = """
const found = [...document.querySelectorAll("button")].find((one) => one.innerText.startsWith("Cover parts of this film"));
if (found) found.id = "opens-editor";
return Boolean(found);
"""


def film_of_a_plate() -> bytes:
    return film_with([with_car(wall(), each) for each in PLATES], 1000 // STEP_MS)


def require_same_places(answer: dict[str, Any], film: bytes) -> None:
    assert "places" in answer, answer
    found = follow_region([(film, LENGTH_MS)], [HAND], 0, LENGTH_MS)
    assert [tuple(each) for each in answer["places"]] == [
        (each.at_ms, each.left, each.top, each.width, each.height) for each in found.places
    ]
    assert (answer["order"], answer["unsure"], found.unsure) == ([0, 0], [], ())


def test_firefox_follows_to_the_places_of_the_command_line(tmp_path: Path) -> None:
    require_browser("firefox")
    film = film_of_a_plate()
    with page_modules(tmp_path, "firefox") as browser:
        require_same_places(in_page(browser, FOLLOW, film, [], **VALUES), film)


def test_webkit_follows_to_the_places_of_the_command_line(tmp_path: Path) -> None:
    require_webkit()
    film = film_of_a_plate()
    with served_modules() as address, WebKit(tmp_path / "phone") as phone:
        phone.go(address)
        require_same_places(in_webkit(phone, FOLLOW, film, [], **VALUES), film)


@pytest.mark.broker
@pytest.mark.footage
def test_a_drawn_box_follows_on_the_page_in_webkit_and_says_where_it_is_unsure(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    require_webkit()
    film = beginning_of(footage, 10, tmp_path / "short.avi")
    with a_house(tmp_path, film) as house, WebKit(tmp_path / "phone") as phone:
        pair(phone, house)
        claim(phone)
        house.record()
        police = Asker(house.street, "rijnstad-police", Kind.POLICE)
        trust(phone, police, tmp_path)
        asked(phone, house, police, "2026-75")
        phone.until(FIND_EDITOR)
        phone.press("#opens-editor")
        phone.until(
            "return document.querySelector('.moment')?.textContent || document.querySelector('.problem')?.innerText"
        )
        if phone.script("return document.body.innerText.includes('cannot make films in H.264')"):
            pytest.skip("no WebKit here: apt-get install gstreamer1.0-plugins-ugly")
        phone.drag("svg.covers", (0.45, 0.3), (0.55, 0.6))
        phone.click("Follow it")
        phone.until("return /It was followed/.test(document.body.innerText)")
        phone.reads("It moves in straight lines between")
        phone.screenshot(screenshots / "webkit-followed.png")
        phone.press(".following .row button")
        phone.until("return document.querySelector('.cover.unsure')")
        phone.until(IN_VIEW)
        phone.screenshot(screenshots / "webkit-unsure.png")
        phone.click("Remove number 1", "button")
        phone.click("Done")
