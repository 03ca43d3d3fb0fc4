"""The rest of the set-up and the settings, in a real browser: with `make test-browser`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.wire.topics import cell_of
from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.browser.test_alerts_on_the_page import ALERTS
from tests.receivers import NtfyServer, Receiver
from tests.scenarios.street import DOOR, until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def current(home: Home) -> Any:
    return home.house.solo.custodian.settings.current


def test_the_rest_of_the_set_up_is_done_step_by_step_without_typing_the_passphrase_again(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    with (
        NtfyServer(Receiver()) as server,
        a_house(tmp_path, footage, more=ALERTS.format(url=server.url)) as house,
        phones(house, tmp_path) as people,
    ):
        people.pair("ana")
        people.claim("ana")
        house.record()
        people.run(
            "ana",
            """await page.getByRole("button", {name: "Set up the rest"}).click();
               await page.getByLabel("Name of the doorbell").fill("Our door");
               const here = page.getByRole("button", {name: "Where this phone is now"});
               await here.click(); // its browser may not tell
               await page.getByRole("alert").filter({hasText: args.missed}).waitFor();
               await page.context().grantPermissions(["geolocation"]);
               await page.context().setGeolocation({latitude: 52.0902, longitude: 5.1115});
               await here.click();
               await page.waitForFunction(() => document.querySelector("#lon").value === "5.11150");
               await page.getByRole("alert").filter({hasText: args.missed}).waitFor({state: "detached"});
               await page.getByLabel("Address (if you like)").fill("Canal 7");
               await page.screenshot({path: args.shots + "/setup-place-phone-light.png", fullPage: true});
               const found = await axe(page);
               if (found.length) throw new Error(JSON.stringify(found));
               await page.getByRole("button", {name: "Sign and save"}).click();
               await page.getByRole("heading", {name: "Motion and masks"}).waitFor();
               await page.locator(".zones image").waitFor({state: "attached"});
               const box = await page.locator("svg.zones").boundingBox();
               for (const [x, y] of [[0.1, 0.5], [0.9, 0.5], [0.5, 0.95]]) await page.mouse.click(box.x + x * box.width, box.y + y * box.height);
               await page.getByRole("button", {name: "Close this zone"}).click();
               await page.screenshot({path: args.shots + "/setup-zones-phone-light.png", fullPage: true});
               await page.getByRole("button", {name: "Sign and save"}).click();
               await page.getByRole("heading", {name: "Trusted requesters"}).waitFor();
               await page.getByRole("button", {name: "Later"}).click();
               await page.getByRole("heading", {name: "Alerts", exact: true}).waitFor();
               await page.getByRole("button", {name: "Send a test"}).click();
               await page.getByText("A test is on its way to 1 channel.").waitFor();""",
            shots=str(screenshots),
            missed="This phone does not say where it is.",
        )
        until(
            lambda: any("This is a test" in body for *_, body in server.receiver.messages), "the tried alert to arrive"
        )
        people.run(
            "ana",
            """await page.getByRole("button", {name: "Later"}).click();
               await page.getByRole("heading", {name: "A second phone"}).waitFor();
               await page.getByRole("button", {name: "Done"}).click();
               await page.locator(".tile img[src^=blob]").first().waitFor();""",
        )
        settings = house.solo.custodian.settings.current
        assert settings is not None
        assert (settings.name, settings.position.lat) == ("Our door", 52.0902)  # type: ignore[union-attr]
        assert len(settings.zones[0].corners) == 3  # type: ignore[index]
        assert people.browser.troubles("ana") == []


def test_the_household_sets_how_long_to_keep_and_private_hours_and_gives_them_back(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("7");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ana", "Sign")
    until(lambda: current(home) is not None and current(home).max_age_days == 7, "the change")
    people.run("ana", 'await page.locator("#settings-keeping").getByText("Set by an owner").waitFor();')
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Add hours"}).click();
           for (const day of ["Mon", "Tue", "Wed", "Thu", "Fri"]) await page.getByRole("checkbox", {name: day}).uncheck();
           await page.locator("#settings-private").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ana", "Sign")
    until(lambda: bool(current(home).private), "the private hours")
    assert current(home).private[0].days == (5, 6)
    assert current(home).max_age_days == 7, "what was set before stays"
    at_home, here = datetime.now().astimezone().utcoffset(), datetime.now(ZoneInfo("Europe/Amsterdam")).utcoffset()
    warned = people.run(
        "ana",
        """const hours = page.locator("#settings-private");
           await hours.getByText(/^It is .+ at the doorbell \\(/).waitFor();
           return await hours.getByText("on this device. The hours count by the doorbell's time.").count();""",
    )
    assert warned == int(at_home != here), (
        "the driver's browser is in Amsterdam, and the doorbell where this machine is"
    )
    people.run(
        "ana",
        'await page.locator("#settings-keeping").getByRole("button", {name: "Back to that"}).click();',
    )
    people.sign("ana", "Sign")
    until(lambda: current(home).max_age_days is None, "the value to be the file's again")
    assert home.house.control("page_code")
    assert people.browser.troubles("ana") == []


def test_hours_without_questions_are_listed_and_can_be_taken_back(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Do not ask me about").selectOption("hours");
           await page.locator("#settings-opt-outs").getByRole("button", {name: "Sign and keep silent"}).click();
           await page.getByText("It waits for you like all others.").waitFor();""",
    )
    people.sign("ana", "Sign")
    people.run(
        "ana",
        """await page.getByText("From 22:00 – 07:00 each day: heard of later").waitFor();
           await page.getByRole("button", {name: "Ask me again"}).click();""",
    )
    people.sign("ana", "Sign")
    people.run("ana", 'await page.getByText("You can be asked everything.").waitFor();')
    assert home.house.control("requests", all=False)["quiet_hours"] == []


def test_a_phone_that_may_say_where_it_is_says_so(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.context().grantPermissions(["geolocation"]);
           await page.context().setGeolocation({latitude: 52.25, longitude: 5.5});
           await page.getByRole("button", {name: "Where this phone is now"}).click();
           await page.waitForFunction(() => document.querySelector("#lat").value === "52.25000");""",
    )


def test_more_than_the_configuration_allows_cannot_be_typed_and_is_not_signed(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    valid = people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("3000");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();
           return page.getByLabel("Days at most").evaluate((input) => input.validity.valid);""",
    )
    assert not valid
    assert current(home) is None


def test_a_film_shows_what_the_zones_and_the_sensitivity_would_have_seen(home: Home, screenshots: Path) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByText("Try the settings on this film").click();
           await page.getByText(/The whole picture/).waitFor();
           await page.getByText(/would have seen motion from/).waitFor();
           await page.waitForFunction(() => !document.querySelector("#said").textContent);
           await page.locator(".try .frame").evaluate((film) => film.scrollIntoView({block: "center"}));
           await page.screenshot({path: args.shots + "/seen-phone-light.png"});
           // Another zone is judged at once, on what was watched already.
           await page.getByText("Type corners instead").click();
           await page.getByLabel(/^Corners/).fill("0 0, 0.05 0, 0.05 0.05");
           await page.getByRole("button", {name: "Add zone"}).click();
           await page.getByText(/would have seen nothing so far/).waitFor();""",
        shots=str(screenshots),
    )
    assert people.browser.troubles("ana") == []


def test_the_smallest_person_that_counts_is_drawn_on_the_still_and_signed(home: Home, screenshots: Path) -> None:
    people = home.people
    people.go("ana", "/settings")
    shares = people.run(
        "ana",
        """await page.locator(".zones image").waitFor();
           const person = page.locator(".zones .person");
           if (await person.count()) throw new Error("a figure, although anything counts");
           const seen = [];
           for (const tall of ["30", "60"]) {
             await page.getByLabel("The smallest person that counts").fill(tall);
             const [figure, picture] = [await person.boundingBox(), await page.locator(".zones").boundingBox()];
             seen.push(figure.height / picture.height);
           }
           await page.getByLabel("The smallest person that counts").fill("30");
           await page.locator(".zones").evaluate((picture) => picture.scrollIntoView({block: "start"}));
           await page.screenshot({path: args.shots + "/smallest-person-phone-light.png"});
           await page.locator("#settings-picture").getByRole("button", {name: "Sign and save"}).click();
           return seen;""",
        shots=str(screenshots),
    )
    assert shares == pytest.approx([0.3, 0.6], abs=0.04)
    people.sign("ana", "Sign")
    until(lambda: current(home) is not None and current(home).smallest_person == 3000, "the change")
    assert people.browser.troubles("ana") == []


def test_no_mask_is_offered_where_none_can_be_burned_in(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.browser.house.NO_CAMERA", 'kind = "rtsp"\nurl = "rtsp://127.0.0.1:9/none"')
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.record()
        people.go("ana", "/settings")
        people.run(
            "ana",
            """await page.getByText(/refuses zones of that kind/).waitFor();
               await page.getByText("Type corners instead").click();
               await page.getByLabel(/^Corners/).fill("0 0, 0.5 0, 0.5 0.5");
               await page.getByRole("button", {name: "Add zone"}).click();
               const offered = await page.getByLabel("Purpose").locator("option").allTextContents();
               if (offered.length !== 2 || offered.includes("Neither watched nor recorded")) throw new Error(offered.join());""",
        )
        assert people.browser.troubles("ana") == []


def test_settings_that_no_owner_signed_are_named_and_not_built_upon(home: Home) -> None:
    people, custodian = home.people, home.house.solo.custodian
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByLabel("Days at most").fill("7");')
    people.run("ana", 'await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();')
    people.sign("ana", "Sign")
    until(lambda: current(home) is not None, "the change")
    # The section is redrawn after the change; anything typed before would be lost.
    people.run("ana", 'await page.locator("#settings-keeping").getByText("Set by an owner.").waitFor();')
    signed = custodian.settings.envelope
    assert signed is not None
    at = signed.index(b'"sig":"') + 7
    custodian.custodian_state.deps.journal.put(
        "settings", signed[:at] + (b"A" if signed[at : at + 1] != b"A" else b"B") + signed[at + 1 :]
    )
    people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("9");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();
           const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill("correct horse battery");
           await dialog.getByRole("button", {name: "Sign", exact: true}).click();
           await dialog.getByText("are not signed by any of its owners").waitFor();""",
    )
    assert current(home).max_age_days == 7


def test_the_timeline_is_filtered_by_a_zone_from_what_the_films_show(home: Home) -> None:
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """const add = async (corners) => {
             await page.getByLabel(/^Corners/).fill(corners);
             await page.getByRole("button", {name: "Add zone"}).click();
           };
           await page.getByText("Type corners instead").click();
           await add("0 0.2, 1 0.2, 1 1, 0 1");
           await add("0 0, 0.05 0, 0.05 0.05");
           await page.locator("#settings-picture").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ana", "Sign")
    until(lambda: current(home) is not None, "the zones")
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.getByRole("button", {name: "In Zone 1"}).click();
           await page.locator(".tile").first().waitFor();
           await page.getByRole("button", {name: "In Zone 2"}).click();
           await page.locator(".empty").waitFor();
           if (await page.locator(".tile").count()) throw new Error("nobody was in the corner");""",
    )
    assert people.browser.troubles("ana") == []


def test_what_an_owner_set_who_has_left_stays_while_the_others_set_something_else(home: Home) -> None:
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    people.go("ben", "/settings")
    people.run(
        "ben",
        """await page.getByLabel("Days at most").fill("7");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ben", "Sign")
    until(lambda: current(home) is not None and current(home).max_age_days == 7, "the change")
    people.go("ana", "/requests")
    people.go("ana", "/settings")
    people.remove_owner("ana", "owner-2")
    people.go("ana", "/requests")
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Name of the doorbell").fill("Back door");
           await page.locator("#settings-place").getByRole("button", {name: "Sign and save"}).click();""",
    )
    people.sign("ana", "Sign")
    until(lambda: current(home).name == "Back door", "the name")
    assert current(home).max_age_days == 7
    assert people.browser.troubles("ana") == []


def test_a_door_that_is_moved_on_the_page_hears_the_requests_of_where_it_stands_now(home: Home) -> None:
    people, police = home.people, home.police
    far = -0.15
    assert cell_of(DOOR[0] + far, DOOR[1]) != cell_of(*DOOR)
    unheard = police.ask("2026-70", north=far)
    heard = home.asked("2026-71")
    assert home.house.state_of(unheard.id) == ""
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Latitude").fill(String(args.lat));
           await page.locator("#settings-place").getByRole("button", {name: "Sign and save"}).click();""",
        lat=round(DOOR[0] + far, 4),
    )
    people.sign("ana", "Sign")
    until(lambda: current(home) is not None and current(home).position is not None, "the move")
    # Requests that wait in the new cell are heard at once, those in the old cell no longer.
    until(lambda: home.house.state_of(unheard.id) == "pending", "the request of the new place")
    old = police.ask("2026-72")
    new = police.ask("2026-73", north=far)
    until(lambda: home.house.state_of(new.id) == "pending", "a new request of the new place")
    assert home.house.state_of(old.id) == ""
    assert home.house.state_of(heard) == "pending", "what matched before the move waits on"
