"""Keeping footage from the rolling vault, and deleting it, in a real browser: with `make test-browser`."""

from __future__ import annotations

import pytest

from tests.browser.home import Home
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_an_event_is_kept_let_go_and_deleted_and_the_ledger_tells_of_it(home: Home) -> None:
    people, house = home.people, home.house
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile").first().click();
           await page.getByRole("button", {name: "Keep it"}).click();
           await page.getByRole("button", {name: "90 days"}).click();""",
    )
    people.sign("ana", "Sign and keep")
    people.run("ana", "await page.getByText(/^Kept until/).waitFor();")
    held = house.control("kept")["held"]
    assert held
    assert set(held) <= house.solo.custodian.held(1000)
    people.go("ana", "/timeline")
    people.run("ana", 'await page.locator(".tile .pin").first().waitFor();')
    people.run("ana", 'await page.locator(".tile").first().click();')
    people.run("ana", 'await page.getByRole("button", {name: /Let it go/}).click();')
    people.sign("ana", "Sign and release")
    until(lambda: not house.control("kept")["held"], "the release")
    vault = house.street.state_dir / "vault" / "segments"
    before = {path.name for path in vault.rglob("*.age")}
    people.run("ana", 'await page.getByRole("button", {name: "Delete", exact: true}).click();')
    people.sign("ana", "Sign and delete")
    people.run(
        "ana", 'await page.getByText("Deleted.").waitFor(); await page.locator(".tile").waitFor({state: "detached"});'
    )
    until(lambda: not house.control("kept")["being_deleted"], "the deletion")
    left = {path.name for path in vault.rglob("*.age")}
    assert not any(name.startswith(segment) for segment in held for name in left)
    assert left < before
    people.go("ana", "/history")
    people.run("ana", 'await page.getByText("You deleted footage").first().waitFor();')
    assert people.browser.troubles("ana") == []
