"""The auditor's, export's and guest's pages in a real Chromium: a ZIP over TLS, a link that opens, nothing for axe."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desk.custody.models import Entry
from desk.people.roles import Role
from tests.browser.browser import Browser
from tests.desk.export.street import Street
from tests.desk.looking import DESKTOP, look
from tests.desk.served import DeskPages, desk_pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SAVE = """
const page = pages[args.name];
const waiting = page.waitForEvent("download", {timeout: 120000});
await page.getByRole("button", {name: args.button}).click({timeout: 120000}); // it waits for the first byte
await (await waiting).saveAs(args.to);
"""


@pytest.fixture
def desk(data: Path, street: Street) -> Iterator[DeskPages]:
    with desk_pages(data) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def browser(chromium: Browser, desk: DeskPages, street: Street) -> Iterator[Browser]:
    for role in (Role.AUDITOR, Role.EVIDENCE_OFFICER):
        desk.open(chromium, role.value, street.agency.people[role])
    chromium.open("guest", viewport=DESKTOP, locale="en-GB")
    yield chromium
    chromium.close_pages()


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


@pytest.mark.at_length("make test-browser")
def test_an_officer_exports_and_shares_and_a_guest_takes_the_chosen_clip(
    browser: Browser, desk: DeskPages, street: Street, tmp_path: Path, data: Path
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


@pytest.mark.at_length("make test-browser")
def test_an_auditor_reads_the_log_and_compares_a_checkpoint(browser: Browser, desk: DeskPages, tmp_path: Path) -> None:
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


@pytest.mark.at_length("make test-browser")
def test_an_admins_pages_of_tokens_and_of_a_trust_root(browser: Browser, desk: DeskPages, street: Street) -> None:
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
        await page.locator("#id_passphrase").fill("six words that no person guesses");
        await page.locator("#id_again").fill("six words that no person guesses");
        await page.getByRole("button", {name: "Make the key"}).click();
        await page.getByRole("button", {name: "Propose", exact: true}).waitFor();
        """
    )
    look(browser, "admin", "trust")
    assert browser.troubles("admin") == []
