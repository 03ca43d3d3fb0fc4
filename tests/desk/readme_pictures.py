"""Takes the pictures of the desk that README.md shows (`make pictures`).

It fills the desk as `make desk` does: a real broker, five doorbells, and owners who share. The pictures replace those
in docs/desk. Look at them before you commit them.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from demo import desk as demo_desk
from demo.stage import Stage
from demo.street import Door
from demo.telling import Teller
from tests.browser.browser import Browser
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "desk"
DOORS = 5
SCREEN = {"width": 1180, "height": 1000}


_PLAY = """await page.getByText("Look closer").locator("a, button").first().click();
           const player = page.locator("[data-player]");
           await player.locator("[data-place]").evaluate((place) => {
             place.value = String(Number(place.max) - 12000);
             place.dispatchEvent(new Event("input", {bubbles: true}));
             place.dispatchEvent(new Event("change", {bubbles: true}));
           });
           await player.getByRole("button", {name: "Play", exact: true}).click();
           await page.waitForFunction(() =>
             [...document.querySelectorAll("[data-player] video")].slice(0, 2).every((film) => film.currentTime > 0.3));
           await page.getByRole("heading", {name: "Time axis"}).evaluate((node) => node.scrollIntoView());
           await page.evaluate(() => scrollBy(0, -30));"""
_SCROLL = "await page.evaluate(() => scrollBy(0, 420));"


def take_pictures(browser: Browser, port: int) -> None:
    """Opens the three pages as the people who work with them. Django has started."""
    from desk.asking.models import Draft
    from desk.cases.models import Case
    from desk.people.models import Membership, Organisation, Person
    from desk.people.roles import Role
    from tests.desk.served import DeskPages

    pages = DeskPages(f"https://localhost:{port}")
    auditor = Person.objects.create(
        username="mila@rijnstad.example", email="mila@rijnstad.example", first_name="Mila Smit", password="!"
    )
    Membership.objects.create(organisation=Organisation.objects.get(), person=auditor, role=Role.AUDITOR.value)
    person = {each.role: each.person for each in Membership.objects.select_related("person")}
    draft, case = Draft.objects.get(state="draft"), Case.objects.get(number="2026-0417")
    for name, role, path, ready in (
        (
            "request",
            Role.ASKER,
            f"/requests/{draft.pk}/edit",
            'await page.locator("canvas").first().waitFor(); await page.waitForLoadState("networkidle");',
        ),
        ("case", Role.EVIDENCE_OFFICER, f"/cases/{case.pk}", _PLAY),
        ("custody", Role.AUDITOR, "/custody", _SCROLL),
    ):
        pages.open(browser, name, person[role.value], viewport=SCREEN)
        browser.run(
            f"""const page = pages[args.name];
                await page.goto(args.address);
                {ready}
                await page.screenshot({{path: args.picture}});""",
            name=name,
            address=pages.address + path,
            picture=str(PICTURES / f"{name}-desktop-light.png"),
        )


def main() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(Path(folder).resolve() / "stage")
        stack.callback(stage.broker.stop)
        stage.broker.start()
        path = demo_desk.prepare(stage, stage.folder / "desk", port)
        doors = [Door(stage, number) for number in range(1, DOORS + 1)]
        demo_desk.fill(stage, doors, path, Teller(), stack)
        home = Path(folder) / "home"
        home.mkdir()
        authority = (path.parent / "data" / "tls" / "authority.pem").read_bytes()
        with Browser(home, authority) as browser:
            take_pictures(browser, port)
    print(f"Look at the pictures in {PICTURES.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
