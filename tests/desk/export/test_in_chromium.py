"""The auditor's, export's and guest's pages in a real Chromium: a ZIP over TLS, a link that opens, nothing for axe."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desk.custody.models import Entry
from desk.people.roles import Role
from tests.browser.browser import Browser, require_browser
from tests.desk.export.street import Street
from tests.desk.served import DESKTOP, TABLET, ServedDesk, served_desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
PICTURES = Path(__file__).resolve().parents[3] / "build" / "screenshots"
LOOK = """
const page = pages[args.name];
const found = [];
for (const [view, size] of Object.entries(args.views)) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({colorScheme});
    await page.setViewportSize(size.viewport);
    await page.screenshot({path: `${args.folder}/desk-${args.look}-${view}-${colorScheme}.png`, fullPage: true});
    found.push({look: `${view}, ${colorScheme}`,
      wide: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), ...(await axed(page))});
  }
}
await page.emulateMedia({colorScheme: "light"});
return found;
"""
SAVE = """
const page = pages[args.name];
const waiting = page.waitForEvent("download", {timeout: 120000});
await page.getByRole("button", {name: args.button}).click();
await (await waiting).saveAs(args.to);
"""


@pytest.fixture
def desk(data: Path, street: Street) -> Iterator[ServedDesk]:
    require_browser()
    with served_desk(data) as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path, desk: ServedDesk, street: Street) -> Iterator[Browser]:
    home = tmp_path / "home"
    home.mkdir()
    with Browser(home) as found:
        for role in (Role.AUDITOR, Role.EVIDENCE_OFFICER):
            desk.open(found, role.value, street.agency.people[role])
        found.open("guest", **DESKTOP, locale="en-GB")
        yield found


def look(browser: Browser, page: str, name: str) -> None:
    """Takes pictures for people, and lets axe and the width judge."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    views: dict[str, Any] = {"desktop": DESKTOP, "tablet": TABLET}
    for row in browser.run(LOOK, name=page, look=name, views=views, folder=str(PICTURES)):
        assert row["broken"] == [], f"{name} ({row['look']}): {row['broken']}"
        assert row["wide"] <= 0, f"{name} ({row['look']}) is {row['wide']} px too wide"


def go(browser: Browser, page: str, address: str) -> None:
    browser.run("await pages[args.name].goto(args.address)", name=page, address=address)


def press(browser: Browser, page: str, button: str) -> None:
    browser.run(
        """
        const page = pages[args.name];
        await page.getByRole("button", {name: args.button, exact: true}).click();
        await page.waitForLoadState("load");
        """,
        name=page,
        button=button,
    )


def test_an_officer_exports_and_shares_and_a_guest_takes_the_chosen_clip(
    browser: Browser, desk: ServedDesk, street: Street, tmp_path: Path, data: Path
) -> None:
    officer, case = Role.EVIDENCE_OFFICER.value, f"{desk.address}/cases/{street.case.pk}"
    go(browser, officer, f"{case}/export")
    look(browser, officer, "export")
    browser.run(SAVE, name=officer, button="Make and download (ZIP)", to=str(tmp_path / "case.zip"))
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        assert archive.testzip() is None
        assert sum(name.endswith("all.mp4") for name in archive.namelist()) == 2
    assert not list((data / "cache").glob("export-*"))

    go(browser, officer, f"{case}/share")
    address = browser.run(
        """
        const page = pages[args.name];
        await page.getByLabel("For whom").fill("A. de Boer, public prosecutor");
        await page.getByRole("checkbox").first().check();
        await page.getByRole("button", {name: "Make the link"}).click();
        return page.locator("p.mono").first().innerText();
        """,
        name=officer,
    )
    look(browser, officer, "share")
    go(browser, "guest", address)
    look(browser, "guest", "guest-door")
    press(browser, "guest", "Open")
    look(browser, "guest", "guest")
    browser.run(SAVE, name="guest", button="Download the clips (ZIP)", to=str(tmp_path / "guest.zip"))
    with zipfile.ZipFile(tmp_path / "guest.zip") as archive:
        assert [name for name in archive.namelist() if "/clips/" in name]
    press(browser, officer, "Revoke the link for A. de Boer, public prosecutor")
    go(browser, "guest", f"{desk.address}/guest")
    look(browser, "guest", "guest-closed")
    actions = [row.action for row in Entry.objects.order_by("number")][-5:]
    assert actions == ["case.exported", "guest.made", "guest.opened", "guest.downloaded", "guest.revoked"]
    assert browser.troubles(officer) == []


def test_an_auditor_reads_the_log_and_compares_a_checkpoint(browser: Browser, desk: ServedDesk, tmp_path: Path) -> None:
    auditor = Role.AUDITOR.value
    go(browser, auditor, f"{desk.address}/custody")
    look(browser, auditor, "custody")
    kept = tmp_path / "kept.txt"
    browser.run(SAVE, name=auditor, button="Download a checkpoint", to=str(kept))
    browser.run(
        """
        const page = pages[args.name];
        await page.getByLabel("A checkpoint that you kept").setInputFiles(args.kept);
        await page.getByRole("button", {name: "Compare"}).click();
        await page.getByText("Nothing was removed or changed").waitFor();
        """,
        name=auditor,
        kept=str(kept),
    )
    look(browser, auditor, "custody-compare")
    go(browser, auditor, f"{desk.address}/custody/entries/1")
    look(browser, auditor, "custody-entry")
    assert browser.troubles(auditor) == []


def test_an_admins_pages_of_tokens_and_of_a_trust_root(browser: Browser, desk: ServedDesk, street: Street) -> None:
    desk.open(browser, "admin", street.agency.people[Role.ADMIN])
    go(browser, "admin", f"{desk.address}/integrations")
    browser.run(
        """
        const page = pages.admin;
        await page.getByLabel("Name of the program").first().fill("Case system");
        await page.getByRole("checkbox").first().check();
        await page.getByRole("button", {name: "Make the token"}).click();
        await page.getByText("shown this once").waitFor();
        """
    )
    look(browser, "admin", "integrations")
    go(browser, "admin", f"{desk.address}/trust")
    look(browser, "admin", "trust-key")
    browser.run(
        """
        const page = pages.admin;
        await page.getByLabel("New passphrase").fill("six words that no person guesses");
        await page.getByLabel("The same again").fill("six words that no person guesses");
        await page.getByRole("button", {name: "Make the key"}).click();
        await page.getByRole("button", {name: "Propose", exact: true}).waitFor();
        """
    )
    look(browser, "admin", "trust")
    assert browser.troubles("admin") == []
