"""Every page, step and dialog on phone and desktop, light and dark, and at 320 px: pictures to look at, axe, the width.

In a real browser, with `make test-browser`; the report is build/accessibility.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import agent
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.core.languages import ENGLISH, LANGUAGES
from agent.core.timebase import BootNs, seconds
from agent.core.vault.records import GapReason
from agent.platform.system_clock import SystemClock
from tests.browser.home import Home
from tests.browser.house import PHONE, Phones, a_house, phones, years_of_events
from tests.browser.looking import Looking
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(900),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

STILLS = 'await page.locator(".tile img[src^=blob]").first().waitFor();'
OPEN_DETAILS = (
    "await page.evaluate(() => document.querySelectorAll('main details').forEach((each) => (each.open = true)));"
)


def press(people: Phones, button: str, *, then: str = "", who: str = "ana") -> None:
    people.run(
        who, f'await page.getByRole("button", {{name: args.button, exact: true}}).first().click();{then}', button=button
    )


def dismiss(people: Phones, who: str = "ana") -> None:
    people.run(
        who,
        'await page.keyboard.press("Escape"); await page.getByRole("dialog").waitFor({state: "detached"});',
    )


def test_the_way_in_and_every_step_of_the_set_up(tmp_path: Path, footage: Path, looking: Looking) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.browser.open("ana", **PHONE)
        for path in ("pair", "install"):
            people.run("ana", "await page.goto(args.url);" + OPEN_DETAILS, url=f"{house.url}/{path}")
            if path == "pair":
                people.run("ana", 'await page.getByLabel("Code").waitFor();')
            looking.at(people, "ana", path)
        people.run(
            "ana",
            """await page.goto(args.url + "/pair");
               await page.getByLabel("Code").waitFor();
               await page.evaluate(() => {
                 document.querySelector("#untrusted").hidden = false;
                 document.querySelector("form").hidden = true;
               });""",
            url=house.url,
        )
        looking.at(people, "ana", "pair-untrusted")
        people.run(
            "ana",
            """await page.goto(args.url + "/pair");
               await page.getByLabel("Code").fill("0000-000-000");
               await page.getByRole("button", {name: "Continue"}).click();
               await page.getByRole("alert").filter({hasText: /./}).waitFor();""",
            url=house.url,
        )
        looking.at(people, "ana", "pair-wrong")
        people.run("ana", "await page.context().close();")
        people.pair("ana")
        looking.at(people, "ana", "setup-keys")
        people.make_keys("ana")
        people.run("ana", 'await page.locator(".kit").waitFor();')
        looking.at(people, "ana", "setup-kit")
        people.run(
            "ana",
            """const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
               await page.getByRole("button", {name: "I have it on paper"}).click();
               await page.getByLabel("The last 6 characters").fill(kit.slice(-6));""",
        )
        looking.at(people, "ana", "setup-test")
        press(people, "Show the kit again", then='await page.locator(".kit").waitFor();')
        people.run(
            "ana",
            """const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
               await page.getByRole("button", {name: "I have it on paper"}).click();
               await page.getByLabel("The last 6 characters").fill(kit.slice(-6));""",
        )
        press(people, "Test and begin", then='await page.getByRole("heading", {name: "It is yours"}).waitFor();')
        looking.at(people, "ana", "setup-done")
        house.record()
        press(people, "Set up the rest", then='await page.getByLabel("Latitude").waitFor();')
        looking.at(people, "ana", "setup-place")
        press(people, "Later", then='await page.locator(".zones image").waitFor({state: "attached"});')
        people.run(
            "ana",
            """const box = await page.locator("svg.zones").boundingBox();
               for (const [x, y] of [[0.1, 0.5], [0.9, 0.5], [0.5, 0.95]]) await page.mouse.click(box.x + x * box.width, box.y + y * box.height);
               await page.getByRole("button", {name: "Close this zone"}).click();""",
        )
        looking.at(people, "ana", "setup-zones")
        press(
            people,
            "Later",
            then='await page.getByRole("heading", {name: "Trusted requesters"}).waitFor();' + OPEN_DETAILS,
        )
        looking.at(people, "ana", "setup-trust")
        press(people, "Later", then='await page.getByRole("heading", {name: "Alerts", exact: true}).waitFor();')
        looking.at(people, "ana", "setup-alerts")
        press(people, "Later", then='await page.getByRole("heading", {name: "A second phone", exact: true}).waitFor();')
        looking.at(people, "ana", "setup-second")
        press(people, "Done", then=STILLS)


def test_requests_what_they_ask_and_every_answer_to_them(home: Home, looking: Looking) -> None:
    people = home.people
    people.go("ana", "/requests")
    looking.at(people, "ana", "requests-none")
    refused = home.asked("2026-80")
    people.open_request("ana", refused)
    press(people, "Say no")
    looking.at(people, "ana", "dialog-no", full=False)
    people.sign("ana", "Sign my no")
    request = home.asked("2026-81")
    people.go("ana", "/timeline")
    people.go("ana", "/requests")
    people.run("ana", 'await page.getByRole("link", {name: /^Look at it/}).first().waitFor();')
    looking.at(people, "ana", "requests")
    people.open_request("ana", request)
    people.run("ana", 'await page.locator(".clip img[src^=blob]").first().waitFor();')
    looking.at(people, "ana", "review")
    people.run(
        "ana",
        OPEN_DETAILS
        + """await page.locator(".moments input").first().check();
             await page.getByRole("checkbox", {name: "Tell them this list"}).check();
             await page.locator(".told li").first().waitFor();
             await page.locator("button.play").first().click();
             await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.2);""",
    )
    looking.at(people, "ana", "review-open")
    press(people, "Do not ask me this")
    looking.at(people, "ana", "dialog-silence", full=False)
    press(people, "All requests")
    looking.at(people, "ana", "dialog-silence-sure", full=False)
    dismiss(people)
    press(people, "Share what I chose")
    looking.at(people, "ana", "dialog-share", full=False)
    people.run("ana", 'await page.getByRole("dialog").getByLabel("Passphrase").fill("wrong");')
    press(people, "Sign and share", then='await page.getByText("This is not the passphrase.").waitFor();')
    looking.at(people, "ana", "dialog-share-wrong", full=False)
    people.sign("ana", "Sign and share")
    until(lambda: home.house.state_of(request) in ("approved", "sending"), "the approval")
    people.run("ana", 'await page.getByRole("button", {name: /Take it back|Stop sending/}).waitFor();')
    looking.at(people, "ana", "request-yes")
    people.run("ana", 'await page.getByRole("button", {name: /Take it back|Stop sending/}).click();')
    looking.at(people, "ana", "dialog-take-back", full=False)
    dismiss(people)
    news: list[ReceiverEvent] = []
    with home.police.receiving(news):
        until(lambda: home.house.state_of(request) == "sent", "the receipt")
    people.run("ana", 'await page.getByText("received all of it and could open it").waitFor();')
    looking.at(people, "ana", "request-received")
    people.open_request("ana", refused)
    people.run("ana", 'await page.getByRole("heading", {name: "You said no"}).waitFor();')
    looking.at(people, "ana", "request-refused")
    people.go("ana", "/history")
    people.run("ana", 'await page.getByRole("heading", {name: "Complete and unchanged"}).waitFor();')
    looking.at(people, "ana", "history")
    bars = people.run(
        "ana",
        """return page.evaluate(() => [...document.querySelectorAll(".chart rect")].map((each) => each.getBBox())
             .map(({width, height, y}) => [width, height, y + height]).filter(([, height]) => height));""",
    )
    assert bars == [[30, 45, 100], [30, 45, 55]], "one yes and one no in this month, one upon the other"
    people.go("ana", "/tips")
    people.run("ana", 'await page.getByRole("heading", {name: "Send a tip", level: 1}).waitFor();')
    looking.at(people, "ana", "tip")
    people.run("ana", 'await page.getByLabel("Your message").fill("A white van waits there.");')
    press(people, "Send it")
    looking.at(people, "ana", "dialog-tip", full=False)


def test_in_each_language_every_page_fits_and_nothing_is_left_in_english(home: Home, looking: Looking) -> None:
    people = home.people
    request = home.asked("2026-82")
    ready = {
        "/requests": '.request a[href^="/requests/"]',
        f"/requests/{request}": ".clip img",
        "/timeline": ".tile img[src^=blob]",
        "/live": "h1",
        "/history": ".entries",
        "/settings": "#settings-mine h2",
        "/tips": "#tip-text",
    }
    for language in sorted(LANGUAGES.keys() - {ENGLISH}):
        speak(people, language)
        people.run("ana", 'await page.locator("body[data-bare=false]").waitFor();')
        for path, shown in ready.items():
            people.go("ana", path)
            people.run("ana", "await page.locator(args.shown).first().waitFor();" + OPEN_DETAILS, shown=shown)
            name = "review" if path.endswith(request) else path.strip("/")
            looking.at(people, "ana", f"{name}-{language}", briefly=True)
            english = left_in_english(people, language)
            assert english == set(), (path, language)
    people.run(
        "ana",
        """await page.goto(args.url + "/pair");
           await page.locator("#code").fill("0000-000-000");
           await page.locator("button[type=submit]").click();
           await page.getByRole("alert").filter({hasText: "doorward page code"}).waitFor();""",
        url=home.house.url,
    )
    looking.at(people, "ana", f"pair-wrong-{language}", briefly=True)


def test_the_way_in_and_the_set_up_fit_in_each_language(tmp_path: Path, footage: Path, looking: Looking) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        for language in sorted(LANGUAGES.keys() - {ENGLISH}):
            speak(people, language)
            people.run("ana", 'await page.locator("#new-passphrase").waitFor();')
            looking.at(people, "ana", f"setup-keys-{language}", briefly=True)
            assert left_in_english(people, language) == set(), language
            for path in ("install", "pair"):
                show(people, "ana", f"{house.url}/{path}", language)
                looking.at(people, "ana", f"{path}-{language}", briefly=True)
                assert left_in_english(people, language) == set(), (path, language)
            # This page is a file, which reads no cookie: it follows the browser's own language.
            people.browser.open(language, **PHONE, locale=language)
            show(people, language, f"{house.url}/set-up", language)
            looking.at(people, language, f"set-up-{language}", briefly=True)
            show(people, "ana", f"{house.url}/timeline", language)


def show(people: Phones, who: str, url: str, language: str) -> None:
    people.run(who, "await page.goto(args.url);" + OPEN_DETAILS, url=url)
    people.run(who, "await page.locator(`html[lang=${args.language}] h1`).first().waitFor();", language=language)


def speak(people: Phones, language: str) -> None:
    people.run(
        "ana",
        """await page.locator("#language").selectOption(args.language);
           await page.locator(`html[lang=${args.language}][dir=${args.direction}]`).waitFor();""",
        language=language,
        direction=LANGUAGES[language].direction,
    )


def left_in_english(people: Phones, language: str) -> set[str]:
    """Returns the English texts that the page shows, also in labels, and that the language says otherwise."""
    texts = Path(agent.__file__).parent / "web" / "texts"
    english, other = (set(json.loads((texts / f"{each}.json").read_text()).values()) for each in (ENGLISH, language))
    said = people.run(
        "ana",
        """return page.evaluate(() => {
             const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
             const found = [...document.querySelectorAll("[aria-label]")].map((each) => each.getAttribute("aria-label"));
             while (walker.nextNode()) found.push(walker.currentNode.data.trim());
             return found;
           });""",
    )
    assert len(said) > 10
    return set(said) & (english - other)


def test_what_happened_at_the_door(home: Home, looking: Looking) -> None:
    people = home.people
    people.go("ana", "/live")
    people.run("ana", 'await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.1);')
    looking.at(people, "ana", "live")
    now = SystemClock().now()
    home.house.solo.vault.record_gap(GapReason.PRIVACY, now.at(BootNs(now.boot_ns - seconds(30))), now)
    people.go("ana", "/timeline")
    people.run("ana", STILLS)
    looking.at(people, "ana", "timeline-one")
    people.run(
        "ana",
        """await page.locator(".tile").first().click();
           await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.2);""",
    )
    looking.at(people, "ana", "event")
    press(people, "Keep it")
    looking.at(people, "ana", "dialog-keep", full=False)
    press(people, "30 days")
    people.sign("ana", "Sign and keep")
    people.run("ana", "await page.getByText(/^Kept until/).waitFor();")
    looking.at(people, "ana", "event-kept")
    press(people, "Delete")
    looking.at(people, "ana", "dialog-delete", full=False)
    dismiss(people)
    people.run(
        "ana",
        """await page.getByRole("link", {name: "Send this as a tip"}).click();
           await page.getByRole("heading", {name: "Send a tip", level: 1}).waitFor();""",
    )
    looking.at(people, "ana", "tip-event")
    years_of_events(home.house, 400)
    people.go("ana", "/timeline")
    people.run("ana", STILLS)
    looking.at(people, "ana", "timeline", full=False)


def test_every_part_of_the_settings_and_what_stands_behind_a_lock(home: Home, looking: Looking) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run("ana", 'await page.locator("#settings-mine h2").waitFor();')
    looking.at(people, "ana", "settings")
    people.run("ana", OPEN_DETAILS + "await page.getByText(/would have seen motion from/).waitFor();")
    looking.at(people, "ana", "settings-open")
    people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("7");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();""",
    )
    looking.at(people, "ana", "dialog-set", full=False)
    people.sign("ana", "Sign")
    press(people, "Add hours", then='await page.locator("#settings-keeping").getByText("Set by an owner").waitFor();')
    looking.at(people, "ana", "settings-set")
    press(people, "Remove from this browser")
    looking.at(people, "ana", "dialog-leave", full=False)
    dismiss(people)
    press(people, "Add a phone or owner", then='await page.locator(".dialog .qr").waitFor();')
    looking.at(people, "ana", "dialog-invite", full=False)
    home.scan("ben", people.run("ana", 'return page.locator(".address").textContent();'))
    looking.at(people, "ben", "join")
    people.make_keys("ben")
    people.run("ben", 'await page.getByRole("heading", {name: "Nearly there"}).waitFor();')
    looking.at(people, "ben", "join-wait")
    people.run("ana", 'await page.getByRole("heading", {name: "Admit owner-2?"}).waitFor();')
    looking.at(people, "ana", "dialog-admit", full=False)
    people.sign("ana", "Sign and admit")
    people.run("ben", 'await page.getByRole("heading", {name: "Whom your household trusts"}).waitFor();')
    looking.at(people, "ben", "join-roots")
    people.come_in("ben")
    people.run("ana", 'await page.getByRole("button", {name: "Remove owner-2"}).click();')
    looking.at(people, "ana", "dialog-remove", full=False)
    dismiss(people)
    people.pair("new")
    people.run("new", 'await page.getByText("I have my recovery kit").waitFor();' + OPEN_DETAILS)
    looking.at(people, "new", "come-back")
    press(people, "Lock", then='await page.getByRole("heading", {name: /Welcome back/}).waitFor();')
    looking.at(people, "ana", "unlock")
    press(people, "I have lost my passphrase")
    looking.at(people, "ana", "dialog-lost-passphrase", full=False)
    dismiss(people)
    people.unlock("ana")
    people.run("ana", "await page.context().setOffline(true);")
    people.run(
        "ana",
        """await page.locator('nav a[href="/timeline"]').click();
           await page.getByRole("heading", {name: "The doorbell does not answer"}).waitFor();""",
    )
    looking.at(people, "ana", "trouble")
