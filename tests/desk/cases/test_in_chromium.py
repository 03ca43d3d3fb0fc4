"""The case pages in a real Chromium: films of several doors by one clock, and pages that everybody can use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from desk.cases import case_work
from desk.cases.models import Answer, Case
from desk.custody.models import Entry
from desk.people.roles import Role
from tests.browser.browser import Browser, require_browser
from tests.clients.requester.conftest import filmed
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.looking import look
from tests.desk.receiving.doors import ask, receive
from tests.desk.served import DeskPages, desk_pages

pytestmark = pytest.mark.browser


@pytest.fixture
def case(agency: Agency, house: House, gops: list[Gop]) -> Case:
    """Three doors: one with two clips, one a second later with a held clock, one with an unsynchronised clock."""
    require_browser()
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    later = filmed(gops, name="later", quality=ClockQuality.HELD)
    receive(agency, later, requester, asked)
    receive(agency, filmed(gops, name="doubtful", quality=ClockQuality.UNKNOWN), requester, asked)
    Case.objects.update(title="Bicycle stolen in the Kerkstraat", category="theft")
    found = Case.objects.get()
    case_work.write_note(found, agency.people[Role.ASKER], "A red bicycle with a basket.")
    return found


@pytest.fixture
def desk(data: Path, case: Case) -> Iterator[DeskPages]:
    with desk_pages(data) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("home"), flags=("--autoplay-policy=no-user-gesture-required",)) as found:
        yield found


@pytest.fixture
def browser(chromium: Browser, desk: DeskPages, agency: Agency) -> Iterator[Browser]:
    desk.open(chromium, "officer", agency.people[Role.EVIDENCE_OFFICER])
    yield chromium
    chromium.close_pages()


def go(browser: Browser, desk: DeskPages, path: str) -> None:
    browser.run("await pages.officer.goto(args.address)", address=desk.address + path)


def test_films_of_several_doors_play_by_one_clock_and_each_opening_is_logged(
    browser: Browser, desk: DeskPages, case: Case
) -> None:
    go(browser, desk, f"/cases/{case.pk}")
    assert not Entry.objects.filter(action="clip.opened").exists()
    browser.run("await pages.officer.getByRole('button', {name: /^Watch Door A/}).first().click()")
    browser.run(
        """
        await pages.officer.waitForFunction(() =>
          [...document.querySelectorAll("figure[data-shows=film] video")].filter((v) => v.readyState > 2).length === 3)
        """
    )
    assert Entry.objects.filter(action="clip.opened").count() == 3
    browser.run("await pages.officer.getByRole('button', {name: 'Play', exact: true}).click()")
    places = browser.run(
        """
        await pages.officer.waitForFunction(() =>
          [...document.querySelectorAll(".tiles video")].every((video) => video.currentTime > 1));
        return pages.officer.evaluate(() => [...document.querySelectorAll(".tiles video")].map((v) => v.currentTime));
        """
    )
    assert max(places) - min(places) < 1.0
    # The clock goes on to the second clips, which open as it reaches them.
    browser.run(
        "await pages.officer.waitForFunction(() => document.querySelector('[data-play]').textContent === 'Play')"
    )
    assert Entry.objects.filter(action="clip.opened").count() == 6
    assert browser.troubles("officer") == []


@pytest.mark.at_length("make test-browser")
def test_stills_are_shown_on_demand(browser: Browser, desk: DeskPages, case: Case) -> None:
    go(browser, desk, f"/cases/{case.pk}")
    shown = browser.run(
        """
        await pages.officer.getByRole('button', {name: 'Show pictures of Door A'}).click();
        await pages.officer.waitForFunction(() => document.querySelectorAll(".stills img").length === 2);
        return pages.officer.evaluate(() => Promise.all([...document.querySelectorAll(".stills img")].map(
          (image) => image.decode().then(() => image.naturalWidth))));
        """
    )
    assert shown == [320, 320]
    assert browser.troubles("officer") == []


@pytest.mark.at_length("make test-browser")
def test_a_keyboard_alone_finds_and_plays_a_clip(browser: Browser, desk: DeskPages, case: Case) -> None:
    go(browser, desk, f"/cases/{case.pk}")
    browser.run(
        """
        const page = pages.officer;
        await page.locator("#place").focus();
        const before = await page.locator("[data-time]").textContent();
        for (let i = 0; i < 10; i++) await page.keyboard.press("ArrowRight");
        await page.waitForFunction((before) => document.querySelector("[data-time]").textContent !== before, before);
        await page.waitForFunction(() => document.querySelector("figure[data-shows=film] video")?.readyState > 2);
        """
    )
    assert browser.troubles("officer") == []


@pytest.mark.at_length("make test-browser")
def test_every_case_page_is_looked_at(browser: Browser, desk: DeskPages, case: Case, agency: Agency) -> None:
    Answer.objects.filter(pk=Answer.objects.order_by("-pk").first().pk).update(
        state="quarantined", reason="Part 3 differs from the recorded one."
    )
    for number in range(8):
        Case.objects.create(organisation=agency.organisation, number=f"2027-02{number:02}", title="Car damaged")
    go(browser, desk, "/cases/")
    look(browser, "officer", "cases")
    go(browser, desk, "/cases/new")
    look(browser, "officer", "case-new")
    go(browser, desk, f"/cases/{case.pk}")
    browser.run(
        """
        await pages.officer.getByRole('button', {name: /^Watch Door A/}).first().click();
        await pages.officer.waitForFunction(() => document.querySelector(".tiles video").readyState > 2);
        """
    )
    browser.run("await pages.officer.waitForFunction(() => !document.querySelector('[data-said]').textContent)")
    look(browser, "officer", "case")
    go(browser, desk, f"/cases/{case.pk}/answers/{Answer.objects.order_by('pk').first().pk}/delete")
    look(browser, "officer", "case-delete")
    go(browser, desk, f"/cases/{case.pk}/answers/{Answer.objects.order_by('pk').first().pk}/proof")
    look(browser, "officer", "case-proof")
    go(browser, desk, "/receiving/")
    look(browser, "officer", "receiving")
    assert browser.troubles("officer") == []
