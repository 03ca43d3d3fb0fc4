"""Finding an event on the timeline, in a real browser: with `make test-browser`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.timebase import BootNs, seconds
from agent.core.vault.records import GapReason
from agent.platform.system_clock import SystemClock
from tests.browser.browser import require_browser
from tests.browser.home import Home
from tests.browser.house import Phones, a_house, phones, years_of_events
from tests.browser.looking import Looking

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

SHARED = """await page.evaluate(() => {
    navigator.canShare = () => true;
    navigator.share = async ({files}) => {
      if (window.refusal) throw new DOMException("refused", window.refusal);
      window.shared = {
        name: files[0].name, type: files[0].type, size: files[0].size, active: navigator.userActivation.isActive,
      };
    };
  });
"""


MOVE = """
  const slider = page.getByRole("slider", {name: "Time of day"});
  const back = await page.evaluate((ago) => {
    const at = Date.now() - ago * 60_000;
    const day = new Date(at).setHours(0, 0, 0, 0);
    return {isYesterday: day !== new Date().setHours(0, 0, 0, 0), minute: Math.floor((at - day) / 60_000)};
  }, args.ago);
  if (back.isYesterday) await page.getByRole("button", {name: "Earlier day"}).click();
  await slider.evaluate((range, minute) => {
    range.value = String(minute);
    range.dispatchEvent(new Event("input", {bubbles: true}));
  }, back.minute);
"""


def test_each_ring_is_an_event_and_arrow_keys_open_the_one_before_and_after(
    tmp_path: Path, footage: Path, looking: Looking
) -> None:
    require_browser()
    with a_house(tmp_path, footage, rings_s=(10, 40)) as house, phones(house, tmp_path) as people:
        go_to_and_fro(Home(house, people).people, looking)


def go_to_and_fro(people: Phones, looking: Looking) -> None:
    people.go("ana", "/timeline")
    rings, *places = people.run(
        "ana",
        """await page.locator(".rows .tile").nth(1).waitFor();
           const rings = await page.locator(".rows .tile .what", {hasText: "The doorbell rang"}).count();
           const lengths = await page.locator(".day-bar svg").evaluate((bar) => [
             ...bar.getAttribute("viewBox").split(" "),
             ...[...bar.children].flatMap((each) => [each.getAttribute("x"), each.getAttribute("width")]),
           ].map(Number));
           if (lengths.length < 6 || Math.max(...lengths) >= 2 ** 25)
             throw new Error(`Chromium draws no length over 2^25: ${lengths}`);
           await page.locator(".rows .tile").first().click();
           await page.locator(".neighbours a.earlier").waitFor();
           if (await page.locator(".neighbours a.later").count()) throw new Error("the newest event has a later one");
           const places = [page.url()];
           const step = async (move) => {
             await page.evaluate(() => document.querySelector("main > .page").setAttribute("data-left", ""));
             await move();
             await page.locator("main > .page:not([data-left]) .neighbours a").first().waitFor();
             places.push(page.url());
           };
           await step(() => page.keyboard.press("ArrowLeft"));
           await step(() => page.keyboard.press("ArrowRight"));
           await step(() => page.locator(".neighbours a.earlier").click());
           await step(() => page.locator(".neighbours a.later").click());
           return [rings, ...places];""",
    )
    assert rings == 2
    newest, before, *again = places
    assert newest != before
    assert again == [newest, before, newest]
    people.run(
        "ana",
        """await page.locator("video").focus();
           const before = page.url();
           await page.keyboard.press("ArrowLeft");
           if (page.url() !== before) throw new Error("an arrow key of the film left the event");
           await page.waitForFunction(() => document.querySelector("video").readyState > 1);""",
    )
    looking.at(people, "ana", "event-neighbours")
    assert people.browser.troubles("ana") == []


def test_the_calendar_marks_days_with_events_and_lists_one_of_them(home: Home, looking: Looking) -> None:
    people = home.people
    years_of_events(home.house, 300)
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile img[src^=blob]").first().waitFor();
           await page.locator(".finder .when").first().click();
           await page.locator(".calendar .date.some").first().waitFor();""",
    )
    looking.at(people, "ana", "timeline-calendar")
    chosen, count, heads, tiles = people.run(
        "ana",
        """if (await page.locator(".calendar .date.some").count() < 2)
             await page.getByRole("button", {name: "Earlier month"}).click();
           const day = page.locator(".calendar .date.some").first();
           const label = await day.getAttribute("aria-label");
           await day.click();
           await page.locator(".calendar").waitFor({state: "hidden"});
           await page.getByRole("button", {name: "All days"}).waitFor();
           const heads = await page.locator(".rows .day h2").allInnerTexts();
           await page.locator(".rows .tile").first().waitFor();
           const expected = Number(/([0-9]+) event/.exec(label)[1]);
           const seen = new Set();
           for (let y = 0; y < 20_000 && seen.size < expected; y += 400) {
             await page.evaluate((y) => new Promise((done) => {
               scrollTo(0, y);
               requestAnimationFrame(() => requestAnimationFrame(done));
             }), y);
             for (const link of await page.locator(".rows .tile").evaluateAll((all) => all.map((each) => each.href)))
               seen.add(link);
           }
           return [label, expected, heads, seen.size];""",
    )
    assert len(heads) == 1
    assert heads[0] in chosen
    assert tiles == count
    people.run(
        "ana",
        """const title = () => page.locator(".finder .when").first().innerText();
           const before = await title();
           await page.getByRole("button", {name: "Later day"}).click();
           if (await title() === before) throw new Error("the day did not change");
           const height = await page.evaluate(() => document.querySelector(".rows").offsetHeight);
           await page.getByRole("button", {name: "All days"}).click();
           await page.waitForFunction((height) => document.querySelector(".rows").offsetHeight > height, height);""",
    )
    assert people.browser.troubles("ana") == []


def test_the_slider_finds_an_event_and_says_why_there_is_no_footage(home: Home, looking: Looking) -> None:
    people = home.people
    now = home.house.solo.vault._clock.now()
    home.house.solo.vault.record_gap(
        GapReason.CAMERA_LOST, now.at(BootNs(now.boot_ns - seconds(5400))), now.at(BootNs(now.boot_ns - seconds(1800)))
    )
    people.go("ana", "/timeline")
    people.run("ana", 'await page.locator(".bar .off").first().waitFor({state: "attached"});')
    said = people.run("ana", MOVE + 'return slider.getAttribute("aria-valuetext");', ago=60)
    assert "camera lost" in said
    looking.at(people, "ana", "timeline-no-footage")
    people.go("ana", "/timeline")
    people.run("ana", MOVE + 'await page.locator(".found .tile img[src^=blob]").waitFor();', ago=0)
    looking.at(people, "ana", "timeline-slider")
    people.run(
        "ana",
        """await page.getByRole("slider", {name: "Time of day"}).focus();
           await page.keyboard.press("ArrowLeft");
           if (!page.url().endsWith("/timeline")) throw new Error("the slider's arrow key left the page");
           await page.locator(".found .tile").click();
           await page.locator("video").waitFor();""",
    )
    assert people.browser.troubles("ana") == []


def test_a_film_goes_to_an_app_only_after_a_warning(home: Home, looking: Looking) -> None:
    people = home.people
    people.go("ana", "/timeline")
    shared = people.run(
        "ana",
        SHARED
        + """await page.locator(".tile").first().click();
             await page.getByRole("button", {name: "Share to an app"}).click();
             await page.getByText("It then leaves the encryption of Doorward").waitFor();
             await page.waitForFunction(() => !document.querySelector("dialog .primary").disabled);
             if (await page.evaluate(() => window.shared)) throw new Error("shared before the warning was accepted");""",
    )
    looking.at(people, "ana", "dialog-share-to-an-app", full=False)
    shared = people.run(
        "ana",
        """await page.getByRole("button", {name: "Choose an app"}).click();
           await page.locator("dialog").waitFor({state: "detached"});
           return page.evaluate(() => window.shared);""",
    )
    assert shared["type"] == "video/mp4"
    assert shared["name"].endswith(".mp4")
    assert shared["size"] > 10_000
    assert shared["active"], "the browser's permission to share ends seconds after a tap"


def test_a_film_that_the_system_refuses_to_share_is_saved(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    name = people.run(
        "ana",
        SHARED
        + """await page.evaluate(() => { window.refusal = "NotAllowedError"; });
             await page.locator(".tile").first().click();
             await page.getByRole("button", {name: "Share to an app"}).click();
             const saved = page.waitForEvent("download");
             await page.getByRole("button", {name: "Choose an app"}).click();
             return (await saved).suggestedFilename();""",
    )
    assert name.startswith("doorward-")
    assert name.endswith(".mp4")


def test_a_browser_without_web_share_offers_to_save_only(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    offered = people.run(
        "ana",
        """await page.evaluate(() => { navigator.canShare = undefined; });
           await page.locator(".tile").first().click();
           await page.getByRole("button", {name: "Save as MP4"}).waitFor();
           return page.getByRole("button", {name: "Share to an app"}).count();""",
    )
    assert offered == 0


def test_a_ring_is_marked_in_its_film_and_one_without_footage_is_on_the_timeline(
    tmp_path: Path, footage: Path, looking: Looking
) -> None:
    require_browser()
    with a_house(tmp_path, footage, rings_s=(10,)) as house, phones(house, tmp_path) as people:
        Home(house, people)
        house.solo.vault.record_ring(SystemClock().now())
        people.go("ana", "/timeline")
        people.run("ana", "await page.getByText(/rang. There is no footage of it./).first().waitFor();")
        looking.at(people, "ana", "timeline-ring-alone")
        people.run(
            "ana",
            """await page.locator(".rows .tile", {hasText: "The doorbell rang"}).first().click();
               await page.getByRole("button", {name: /^Rang at/}).click();
               // The film goes on from a moment before the ring, and says it when it comes.
               await page.locator(".rang-now", {hasText: /^Rang at/}).waitFor();""",
        )
        looking.at(people, "ana", "event-ring")
        ground = (
            "return page.locator('.framed').evaluate((each) => getComputedStyle(each.parentElement).backgroundColor);"
        )
        assert people.run("ana", ground) == "rgba(0, 0, 0, 0)", "the marks stand on the page, below the film"
        assert people.browser.troubles("ana") == []
