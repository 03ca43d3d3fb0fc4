"""A real Chromium, from the empty form to a signed request: drawn by mouse, and once more by keyboard only."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from desk.asking import drafts
from desk.asking.models import Draft
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.tips.inbox import note_arrival
from tests.browser.browser import Browser, require_browser
from tests.clients.requester.test_incoming_tips import TIP, laid, words
from tests.desk import looking
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import drafted, vouch
from tests.desk.asking.served_desk import DESKTOP, DRAWS, TABLET, served_desk, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

VIEWS = {"desktop": DESKTOP, "tablet": TABLET}
OPEN_MAP = """
    const page = pages[args.page];
    await page.goto(args.url + "/requests/new");
    await page.waitForSelector("#area-map[data-ready]");
"""


class Desk:
    """A browser at the desk of an agency that its root lists."""

    def __init__(self, agency: Agency, url: str, browser: Browser) -> None:
        self.agency, self.url, self.browser = agency, url, browser

    def run(self, page: str, script: str, **args: Any) -> Any:
        return self.browser.run(f"const page = pages[args.page];{script}", page=page, url=self.url, **args)

    def look(self, page: str, name: str) -> None:
        looking.look(self.browser, page, name, VIEWS)

    def draft(self) -> Draft:
        return Draft.objects.latest("pk")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("home"), flags=DRAWS) as found:
        yield found


@pytest.fixture
def desk(chromium: Browser, agency: Agency, tmp_path: Path) -> Iterator[Desk]:
    vouch(agency)
    with served_desk(tmp_path) as url:
        sign_in(chromium, url, agency, Role.ASKER)
        sign_in(chromium, url, agency, Role.SUPERVISOR)
        yield Desk(agency, url, chromium)
        for page in (Role.ASKER, Role.SUPERVISOR):
            troubles = [each for each in chromium.troubles(page.value) if "GPU stall" not in each]
            assert troubles == []
        chromium.close_pages()


@pytest.mark.at_length("make test-browser")
def test_a_polygon_drawn_by_mouse_becomes_a_signed_request_that_a_second_person_approved(desk: Desk) -> None:
    clicks = desk.run(
        "asker",
        OPEN_MAP.replace("const page = pages[args.page];", "")
        + """
    let steps = 0;
    const step = async (doing) => { steps += 1; await doing; };
    await step(page.getByLabel("What happened?").selectOption("burglary"));
    await step(page.getByLabel("Case number").fill("2026-117"));
    await step(page.getByRole("button", {name: "Draw a polygon"}).click());
    await page.evaluate(() => document.querySelector("#area-map").scrollIntoView({block: "center"}));
    const box = await page.locator("#area-map").boundingBox();
    const corners = [[.45, .45], [.52, .45], [.54, .56], [.45, .56]];
    for (const [x, y] of [...corners, corners[0]]) {
      const at = [box.x + box.width * x, box.y + box.height * y];
      await page.mouse.move(...at, {steps: 4});
      await step(page.mouse.click(...at));
      await page.waitForTimeout(350); // two clicks within this time are a double click
    }
    await page.waitForFunction(() => document.querySelector("textarea[name=corners]").value.split("\\n").length === 4);
    await page.locator("#check [data-code=in-region], #check [data-code=over-limit]").first().waitFor();
    return steps;
    """,
    )
    assert clicks <= 8
    # The region of the root fills the first view, so that the drawn polygon is too large: the check says so at once.
    assert "too large" in desk.run("asker", 'return page.locator("#check").innerText();')
    desk.look("asker", "request-too-large")
    desk.run(
        "asker",
        """
    await page.getByLabel(/Find a place/).fill("52.0907, 5.1214");
    await page.getByRole("button", {name: "Find", exact: true}).click();
    await page.getByRole("button", {name: "Clear"}).click();
    await page.getByRole("button", {name: "Draw a polygon"}).click();
    const box = await page.locator("#area-map").boundingBox();
    const corners = [[.2, .2], [.8, .2], [.85, .8], [.2, .8]];
    for (const [x, y] of [...corners, corners[0]]) {
      await page.mouse.move(box.x + box.width * x, box.y + box.height * y, {steps: 4});
      await page.mouse.click(box.x + box.width * x, box.y + box.height * y);
      await page.waitForTimeout(350);
    }
    await page.locator("#check [data-code=area-size]").waitFor();
    """,
    )
    desk.look("asker", "request-form")
    desk.run(
        "asker",
        """
    await page.getByRole("button", {name: "Preview"}).click();
    await page.getByRole("heading", {name: "As an owner reads it"}).waitFor();
    """,
    )
    desk.look("asker", "request-preview")
    desk.run("asker", 'await page.getByRole("button", {name: "Submit for approval"}).click();')
    desk.run(
        "supervisor",
        """
    await page.goto(args.url + "/requests/");
    await page.getByRole("heading", {name: "Wait for approval"}).waitFor();
    """,
    )
    desk.look("supervisor", "requests")
    desk.run(
        "supervisor",
        """
    await page.getByRole("link", {name: /Burglary, 2026-117/}).click();
    await page.getByRole("button", {name: "Approve, sign and publish"}).click();
    await page.getByText("The receiving service publishes it").waitFor();
    """,
    )
    desk.look("supervisor", "request-signed")
    draft = desk.draft()
    assert (draft.state, draft.area["shape"], len(draft.area["vertices"])) == ("signed", "polygon", 4)
    sent = requester_of(desk.agency.organisation).sent_request(draft.request_id).request
    assert [(each.lat, each.lon) for each in sent.area.vertices] == [  # type: ignore[union-attr]
        (each["lat"], each["lon"]) for each in draft.area["vertices"]
    ]


@pytest.mark.at_length("make test-browser")
def test_the_same_request_is_made_by_keyboard_alone(desk: Desk) -> None:
    desk.agency.organisation.two_person_rule = False
    desk.agency.organisation.save()
    desk.run(
        "asker",
        """
    await page.goto(args.url + "/requests/");
    const key = (name) => page.keyboard.press(name);
    /** Tabs on until this element has the focus; never touches the mouse. */
    const to = async (selector) => {
      for (let tabs = 0; tabs < 80; tabs += 1) {
        if (await page.evaluate((it) => document.activeElement?.matches(it), selector)) return;
        await key("Tab");
      }
      throw new Error(`the keyboard does not reach ${selector}`);
    };
    await to('a[href="/requests/new"]');
    await key("Enter");
    await page.waitForSelector("#area-map[data-ready]");
    await to("select[name=incident]");
    await page.keyboard.type("Burg");
    await to("input[name=case]");
    await page.keyboard.type("2026-118");
    await to("#area-map canvas");
    await to("input[name=shape]");
    await key("ArrowDown"); // from circle to polygon
    await to("textarea[name=corners]");
    await page.keyboard.type("52.090, 5.120\\n52.090, 5.127\\n52.094, 5.127\\n52.094, 5.120");
    await page.locator("#check [data-code=area-size]").waitFor();
    await to("textarea[name=description]");
    await to("button.primary");
    await key("Enter");
    await page.getByRole("heading", {name: "As an owner reads it"}).waitFor();
    await to("button.primary");
    await key("Enter");
    await page.getByText("The receiving service publishes it").waitFor();
    """,
    )
    draft = desk.draft()
    assert (draft.state, draft.incident, len(draft.area["vertices"])) == ("signed", "burglary", 4)


@pytest.mark.at_length("make test-browser")
def test_the_author_s_page_follows_the_approval_the_publication_and_other_words(desk: Desk) -> None:
    """Without a click: the badge, the steps and who approved. Words that were changed wait for their reader."""
    draft = drafted(desk.agency)
    desk.run("asker", "await page.goto(`${args.url}/requests/${args.draft}`);", draft=draft.pk)
    desk.run("supervisor", "await page.goto(`${args.url}/requests/${args.draft}`);", draft=draft.pk)
    desk.run("asker", """await page.getByRole("button", {name: "Submit for approval"}).click();""")
    desk.run("supervisor", """await page.getByRole("button", {name: "Approve, sign and publish"}).click();""")
    desk.run(
        "asker",
        """
    await page.getByRole("status").getByText("signed", {exact: true}).waitFor();
    await page.locator("[data-part=history]").getByText("Approved by").waitFor();
    if (await page.getByText("A second person, a supervisor, approves it.").count()) throw new Error("old steps");
    """,
    )
    desk.look("asker", "request-followed")
    draft.refresh_from_db()
    sent = requester_of(desk.agency.organisation).sent_request(draft.request_id)
    sent.notes.write(f"requests/{draft.request_id}/request.published", b"")
    drafts.refresh(desk.agency.organisation, timezone.now())
    desk.run("asker", """await page.getByRole("status").getByText("published", {exact: true}).waitFor();""")
    # A reader who is about to act keeps the page, and is told.
    desk.run("supervisor", """await page.getByText("Withdraw", {exact: true}).first().click();""")
    drafts.withdraw(draft, desk.agency.people[Role.ASKER], frozenset({Role.ASKER}), "")
    desk.run(
        "supervisor",
        """
    await page.evaluate(() => { document.querySelector("[data-follow]").dataset.every = "1"; });
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await page.getByRole("link", {name: "Show it as it is now"}).click();
    await page.getByText("withdrawn", {exact: true}).waitFor();
    """,
    )


@pytest.mark.at_length("make test-browser")
def test_a_draft_is_checked_as_it_opens_and_no_two_degrees_of_its_map_overlap(desk: Desk) -> None:
    draft = drafted(desk.agency)
    found = desk.run(
        "asker",
        """
    await page.goto(`${args.url}/requests/${args.draft}/edit`);
    await page.locator("#check [data-code=area-size]").waitFor();
    await page.waitForSelector("#area-map[data-ready]");
    return page.evaluate(() => {
      const labels = document.querySelectorAll(".degree, .maplibregl-ctrl-scale");
      const boxes = [...labels].map((each) => each.getBoundingClientRect());
      const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
      const over = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => !apart(a, b)));
      return {count: boxes.length, over: over.length};
    });
    """,
        draft=draft.pk,
    )
    assert found["count"] > 6
    assert found["over"] == 0


@pytest.mark.at_length("make test-browser")
def test_a_circle_is_drawn_moved_by_its_fields_and_shown_again(desk: Desk) -> None:
    found = desk.run(
        "asker",
        """
    await page.goto(args.url + "/requests/new");
    await page.waitForSelector("#area-map[data-ready]");
    await page.getByLabel("Centre: latitude, longitude").fill("52.0907, 5.1214");
    await page.locator("#check [data-code=area-size]").waitFor();
    await page.evaluate(() => document.querySelector("#area-map").scrollIntoView({block: "center"}));
    await page.getByRole("button", {name: "Draw a circle"}).click();
    const box = await page.locator("#area-map").boundingBox();
    const middle = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.click(...middle);
    await page.mouse.move(middle[0] + 60, middle[1], {steps: 5});
    await page.waitForTimeout(350);
    await page.mouse.click(middle[0] + 60, middle[1]);
    await page.waitForFunction(() => document.querySelector("[name=radius_m]").value !== "200");
    return [await page.locator("[name=centre]").inputValue(), await page.locator("[name=radius_m]").inputValue()];
    """,
    )
    lat, lon = (float(each) for each in found[0].split(","))
    assert (lat, lon) == (pytest.approx(52.0907, abs=1e-3), pytest.approx(5.1214, abs=1e-3))
    assert int(found[1]) > 10


@pytest.mark.at_length("make test-browser")
def test_the_pages_beside_it_are_looked_at_in_dutch(desk: Desk) -> None:
    agency, browser, url = desk.agency, desk.browser, desk.url
    requester = requester_of(agency.organisation)
    laid(requester, words(requester, "Om drie uur stond er een witte bus."))
    note_arrival(agency.organisation, TIP)
    sign_in(browser, url, agency, Role.SUPERVISOR, name="leiding", locale="nl-NL")
    sign_in(browser, url, agency, Role.ADMIN, name="beheer", locale="nl-NL")
    desk.run("beheer", 'await page.goto(args.url + "/requests/preferences");')
    desk.run("beheer", 'await page.getByText("Nieuw sjabloon").click();')
    desk.look("beheer", "asking-preferences")
    desk.run("leiding", 'await page.goto(args.url + "/tips/");')
    desk.look("leiding", "tips")
    desk.run(
        "leiding",
        'await page.getByRole("button", {name: /^Openen/}).click(); await page.getByText("witte bus").waitFor();',
    )
    desk.look("leiding", "tip")
    desk.run(
        "leiding",
        """
    await page.goto(args.url + "/tips/bulletins/new");
    await page.waitForSelector("#area-map[data-ready]");
    await page.getByLabel("Titel").fill("Geen water");
    await page.getByLabel("Tekst voor de eigenaren").fill("Tot zes uur is er geen water.");
    await page.getByLabel(/^Middelpunt/).fill("52.0907, 5.1214");
    await page.getByLabel("Straal in meters").fill("500");
    """,
    )
    desk.look("leiding", "bulletin-form")
    desk.run("leiding", 'await page.getByRole("button", {name: "Voorbeeld"}).click();')
    desk.look("leiding", "bulletin")
    desk.run("leiding", 'await page.getByRole("button", {name: "Ondertekenen en publiceren"}).click();')
    desk.run(
        "leiding", 'await page.goto(args.url + "/tips/bulletins"); await page.getByText("gepubliceerd").waitFor();'
    )
    desk.look("leiding", "bulletins")
    desk.run(
        "leiding", 'await page.goto(args.url + "/requests/new"); await page.waitForSelector("#area-map[data-ready]");'
    )
    desk.look("leiding", "request-empty-nl")
    browser.open("anyone", viewport=DESKTOP)
    desk.run("anyone", 'await page.goto(args.url + "/numbers");')
    desk.look("anyone", "numbers")


@pytest.mark.at_length("make test-browser")
def test_tiles_come_from_the_desks_own_file(desk: Desk, data: Path) -> None:
    (data / "map.pmtiles").write_bytes(pmtiles(np.full((256, 256, 3), (40, 200, 240), np.uint8)))
    configured = msgspec.structs.replace(
        settings.DESK, map=msgspec.structs.replace(settings.DESK.map, tiles="map.pmtiles")
    )
    with override_settings(DESK=configured):
        shot = desk.run(
            "asker",
            """
    await page.goto(args.url + "/requests/new");
    await page.waitForSelector("#area-map[data-ready]");
    await page.waitForTimeout(1500); // a tile fades in
    const box = await page.locator("#area-map").boundingBox();
    const clip = {x: box.x + 100, y: box.y + 100, width: 40, height: 40};
    return (await page.screenshot({clip})).toString("base64");
    """,
        )
    colour = cv2.imdecode(np.frombuffer(base64.b64decode(shot), np.uint8), cv2.IMREAD_COLOR).reshape(-1, 3).mean(axis=0)
    assert colour == pytest.approx((40, 200, 240), abs=8)


def pmtiles(picture: Any) -> bytes:
    """A file of PMTiles (version 3) with one tile, the world."""
    tile = cv2.imencode(".png", picture)[1].tobytes()
    length, varint = len(tile), b""
    while True:
        length, seven = length >> 7, length & 0x7F
        varint += bytes([seven | 0x80 if length else seven])
        if not length:
            break
    directory = b"\x01\x00\x01" + varint + b"\x01"  # one entry: tile 0, once, this long, at the beginning
    metadata = b"{}"
    places = (127, len(directory), 127 + len(directory), len(metadata), 0, 0, 127 + len(directory) + 2, len(tile))
    head = b"PMTiles\x03" + struct.pack("<11Q", *places, 1, 1, 1)
    # clustered, no compression of directories and tiles, PNG, zoom 0 to 0, bounds of the world, centre
    head += struct.pack("<6B4iB2i", 1, 1, 1, 2, 0, 0, -1800000000, -850000000, 1800000000, 850000000, 0, 0, 0)
    assert len(head) == 127
    return head + directory + metadata + tile


@pytest.mark.at_length("make test-browser")
def test_without_webgl_the_fields_do_the_same_work(agency: Agency, tmp_path: Path) -> None:
    require_browser()
    vouch(agency)
    home = tmp_path / "home"
    home.mkdir()
    with served_desk(tmp_path) as url, Browser(home, flags=("--disable-3d-apis",)) as browser:
        sign_in(browser, url, agency, Role.ASKER)
        browser.run(
            """
    const page = pages.asker;
    await page.goto(args.url + "/requests/new");
    await page.getByText("This browser cannot draw the map").waitFor();
    await page.getByLabel("What happened?").selectOption("fire");
    await page.getByLabel("Case number").fill("2026-119");
    await page.getByLabel("Centre: latitude, longitude").fill("52.0907, 5.1214");
    await page.locator("#check [data-code=area-size]").waitFor();
    await page.getByRole("button", {name: "Preview"}).click();
    await page.getByRole("heading", {name: "As an owner reads it"}).waitFor();
    """,
            url=url,
        )
    assert Draft.objects.get().area["radius_m"] == 200
