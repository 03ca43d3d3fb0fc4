"""On every page: a request that waits, a camera that does not record, and a doorbell that is away.  `make test-browser`."""

from __future__ import annotations

import pytest

from tests.browser.home import Home

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_an_open_timeline_tells_of_a_request_that_waits_and_of_a_doorbell_that_is_off(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    # The footage has been played to its end.
    people.run("ana", 'await page.locator("#now", {hasText: "Nothing is recorded now: there is no camera"}).waitFor();')
    assert people.run("ana", 'return page.locator("nav .badge").count();') == 0
    request = home.asked("2026-70")
    shown = people.run("ana", 'return page.locator("nav a[href=\\"/requests\\"] .badge").innerText();')
    assert shown.split() == ["1", "waiting"]
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    people.go("ana", "/timeline")
    people.run("ana", 'await page.locator("nav .badge").waitFor({state: "detached"});')
    home.house.close()
    try:
        people.run("ana", 'await page.locator("#now", {hasText: "The doorbell has not answered since"}).waitFor();')
    finally:
        home.house.footage = None
        home.house.solo = home.house._build()
    people.run("ana", 'await page.locator("#now", {hasNotText: "has not answered"}).waitFor({state: "attached"});')
