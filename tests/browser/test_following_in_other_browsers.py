"""A cover that follows gets the same places in Firefox and WebKit as at the command line. `make test-browser` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.clients.media.follow import follow_region
from tests.browser.browser import require_browser
from tests.browser.page_modules import in_page, in_webkit, page_modules, served_modules
from tests.browser.test_covers_in_a_browser import FOLLOW
from tests.browser.webkit import WebKit, require_webkit
from tests.clients.media.test_follow import STEP_MS, around, place, plate_at, wall, with_car
from tests.faces import film_of as film_with

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.at_length("make test-browser")]

LENGTH_MS = 2000
PLATES = [plate_at(20 + 12 * n, 90 + 3 * (n % 5)) for n in range(20)]
HAND = place(900, around(PLATES[9]))
VALUES = {"length": LENGTH_MS, "hand": [[HAND.at_ms, HAND.left, HAND.top, HAND.width, HAND.height]]}


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
