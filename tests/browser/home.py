"""A home for the browser tests: a claimed door with footage, its owners' phones, and a requester who may ask."""

from __future__ import annotations

from agent.wire.fields import Kind
from tests.browser.house import PHONE, House, Phones
from tests.scenarios.street import Asker, until

__all__ = ["Home"]


class Home:
    """A claimed door with footage, an owner's phone, and a requester who may ask."""

    def __init__(self, house: House, people: Phones) -> None:
        self.house, self.people = house, people
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.record()
        self.police = Asker(house.street, "rijnstad-police", Kind.POLICE)
        people.trust("ana", self.police.root.text, self.police.bundle, "The rijnstad-police")

    def asked(self, case: str, **options: float) -> str:
        """The id of a request that waits for the owner."""
        request = self.police.ask(case, **options)
        until(lambda: self.house.state_of(request.id) == "pending", "the request to match")
        return request.id

    def invite(self, who: str) -> str:
        """The address in the QR code that an owner shows to another phone."""
        self.people.go(who, "/settings")
        return str(
            self.people.run(
                who,
                """await page.getByRole("button", {name: "Add a phone or owner"}).click();
                   await page.locator(".dialog .qr").waitFor();
                   return page.locator(".address").textContent();""",
            )
        )

    def scan(self, who: str, address: str) -> None:
        """Another phone opens the address, and is asked to join."""
        self.people.browser.open(who, **PHONE)
        self.people.run(
            who,
            """await page.goto(args.address);
               await page.getByRole("button", {name: "Continue"}).click();
               await page.getByRole("heading", {name: /Join/}).waitFor();""",
            address=address,
        )

    def join(self, who: str, address: str, admitting: str) -> None:
        """Another phone scans it, makes its keys, and is admitted."""
        self.scan(who, address)
        self.people.make_keys(who)
        self.people.run(admitting, 'await page.getByRole("heading", {name: "Admit owner-2?"}).waitFor();')
        self.people.sign(admitting, "Sign and admit")
        self.people.come_in(who)
        self.people.run(admitting, 'await page.getByRole("button", {name: "Remove owner-2"}).waitFor();')

    def trust_on(self, who: str) -> None:
        """Another owner vouches for the same root on their own phone: the list comes from the doorbell."""
        self.people.go(who, "/settings")
        self.people.run(
            who,
            """await page.getByText("Trust a root", {exact: true}).first().click();
               await page.getByLabel("The root's key").fill(args.root);
               await page.locator("form", {has: page.locator("#root")}).getByRole("button").click();""",
            root=self.police.root.text,
        )
        self.people.sign(who, "Trust a root")
        self.people.run(who, 'await page.getByText("The rijnstad-police").first().waitFor();')
