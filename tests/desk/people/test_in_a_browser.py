"""A real Chromium, from the first start to a colleague who signs in with a passkey; axe looks at each page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desk.people import one_time_links
from desk.people.models import Organisation, Person
from tests.browser.browser import Browser, require_browser
from tests.browser.passkeys import PASSKEYS
from tests.desk import looking
from tests.desk.looking import DESKTOP, PHONE, TABLET
from tests.desk.served import DeskPages, desk_pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

VIEWS = {"desktop": DESKTOP, "tablet": TABLET, "phone": PHONE}


class People:
    """Browsers of several people at one desk, each with an authenticator."""

    def __init__(self, desk: DeskPages, browser: Browser) -> None:
        self.desk, self.browser = desk, browser

    def arrive(self, name: str, path: str) -> None:
        self.browser.open(name, viewport=DESKTOP, locale="en-GB")
        self.go(name, path)

    def touch(self, name: str, script: str) -> None:
        """Runs a script in which the person uses a passkey."""
        self.browser.run(PASSKEYS, name=name)
        self.run(name, script)

    def run(self, name: str, script: str, **args: Any) -> Any:
        return self.browser.run(f"const page = pages[args.name];{script}", name=name, at=self.desk.address, **args)

    def go(self, name: str, path: str) -> None:
        self.run(name, "await page.goto(args.at + args.path);", path=path)

    def look(self, name: str, look: str) -> None:
        looking.look(self.browser, name, look, VIEWS)


@pytest.fixture
def people(data: Path, tmp_path: Path) -> Iterator[People]:
    require_browser()
    home = tmp_path / "home"
    home.mkdir()
    with desk_pages(data) as desk:
        authority = (data / "tls" / "authority.pem").read_bytes()
        with Browser(home, authority) as browser:
            yield People(desk, browser)


@pytest.mark.at_length("make test-browser")
def test_from_the_first_start_to_a_colleague_with_a_passkey(people: People) -> None:
    people.arrive("admin", f"/link/{one_time_links.make_first_admin_link()}")
    people.look("admin", "first-admin")
    people.run(
        "admin",
        """
        await page.getByLabel("Your name").fill("Noor de Vries");
        await page.getByLabel("E-mail address").fill("noor@rijnstad.example");
        await page.getByRole("button", {name: "Continue"}).click();
        await page.getByRole("button", {name: "Add a passkey"}).waitFor();
        """,
    )
    people.look("admin", "add-passkey")
    people.touch(
        "admin",
        """
        await page.getByRole("button", {name: "Add a passkey"}).click();
        await page.getByText("Passkey added.").waitFor();
        """,
    )
    people.go("admin", "/account")
    assert "Passkey since" in people.run("admin", 'return page.locator("main").innerText();')
    people.look("admin", "account")
    people.go("admin", "/organisation/new")
    people.look("admin", "new-organisation")
    people.run(
        "admin",
        """
        await page.getByLabel("Name", {exact: true}).fill("Rijnstad Police");
        await page.getByLabel("Short name").fill("rijnstad-police");
        await page.getByLabel("Kind").selectOption("police");
        await page.getByRole("button", {name: "Set up"}).click();
        await page.getByRole("heading", {name: "Before the first request"}).waitFor();
        """,
    )
    assert Organisation.objects.get().requester_id == "rijnstad-police"
    people.look("admin", "organisation")
    people.go("admin", "/")
    people.look("admin", "start")
    link = invite(people)
    come_and_go(people, link)
    member = Person.objects.get(email="sam@rijnstad.example")
    people.go("admin", f"/people/{member.pk}")
    people.look("admin", "member")
    for path, look in {"/custody": "not-allowed", "/nowhere": "not-found"}.items():
        people.go("admin", path)
        people.look("admin", look)


def invite(people: People) -> str:
    """The admin invites a colleague with the keyboard alone. Returns the link."""
    people.go("admin", "/people")
    link = people.run(
        "admin",
        """
        const reach = async (id) => {
          for (let presses = 0; presses < 60; presses += 1) {
            await page.keyboard.press("Tab");
            const at = await page.evaluate(() => {
              const now = document.activeElement;
              const seen = getComputedStyle(now);
              return {names: [now.id, now.value, now.textContent.trim()], ring: seen.outlineStyle};
            });
            if (at.ring === "none") throw new Error(`no focus ring at ${at.names}`);
            if (at.names.includes(id)) return;
          }
          throw new Error(`the keyboard does not reach ${id}`);
        };
        await page.keyboard.press("Tab");
        await reach("id_email");
        await page.keyboard.type("sam@rijnstad.example");
        await reach("asker");
        await page.keyboard.press("Space");
        await reach("Make the invitation");
        await page.keyboard.press("Enter");
        await page.getByText("Give this link to your colleague").waitFor();
        return page.locator("code").innerText();
        """,
    )
    people.look("admin", "people")
    return str(link)


def come_and_go(people: People, link: str) -> None:
    """The colleague comes by the link, adds a passkey, signs out, and signs in with it."""
    people.arrive("colleague", link.removeprefix(people.desk.address))
    people.run(
        "colleague",
        """
        await page.getByLabel("Your name").fill("Sam Bakker");
        await page.getByRole("button", {name: "Continue"}).click();
        await page.getByRole("button", {name: "Add a passkey"}).waitFor();
        """,
    )
    people.touch(
        "colleague",
        """
        await page.getByRole("button", {name: "Add a passkey"}).click();
        await page.getByText("Passkey added.").waitFor();
        await page.getByRole("heading", {name: "Rijnstad Police"}).waitFor();
        await page.getByRole("button", {name: "Sign out", exact: true}).click();
        await page.getByRole("button", {name: "Sign in with a passkey"}).waitFor();
        """,
    )
    people.look("colleague", "sign-in")
    people.touch(
        "colleague",
        """
        await page.getByRole("button", {name: "Sign in with a passkey"}).click();
        await page.getByRole("heading", {name: "Rijnstad Police"}).waitFor();
        """,
    )
    assert people.browser.troubles("colleague") == []
