"""The amount to share, and the owners that have to agree: in a real browser, with `make test-browser`."""

from __future__ import annotations

import time

import pytest

from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from tests.browser.home import Home
from tests.browser.house import PASSPHRASE
from tests.scenarios.power_cut import cut_the_power
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_that_footage_exists_can_be_told_without_showing_any(home: Home) -> None:
    people, request = home.people, home.asked("2026-30")
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("radio", {name: /That footage exists/}).check();')
    people.tick_first_clip("ana")
    people.run("ana", 'await page.getByText("You tell of 1 clip. None of it is shown.").waitFor();')
    news: list[ReceiverEvent] = []
    with home.police.receiving(news):
        people.share("ana")
        until(lambda: home.house.state_of(request) == "sent", "the receipt")
    people.run("ana", 'await page.getByText("received all of it and could open it").waitFor();')
    assert people.browser.troubles("ana") == []


def test_the_rest_of_the_window_is_told_only_when_the_owner_ticks_it(home: Home) -> None:
    people, request = home.people, home.asked("2026-31")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    people.run(
        "ana",
        """await page.getByText("Tell what the rest of the time holds").click();
           await page.getByRole("checkbox", {name: "Tell them this list"}).check();
           await page.locator(".told li").first().waitFor();
           await page.getByRole("button", {name: "Share what I chose"}).click();
           await page.getByText("The requester also learns what the rest of the time contains.").waitFor();""",
    )
    people.sign("ana", "Sign and share")
    until(lambda: home.house.state_of(request) in ("approved", "sending"), "the approval")


def test_a_segment_cut_by_a_power_failure_is_shared_and_one_without_a_whole_second_is_left_out_by_one_tap(
    home: Home,
) -> None:
    people, house = home.people, home.house
    people.run("ana", 'await page.goto("about:blank");')
    server = house.solo.page._server  # type: ignore[union-attr]
    until(lambda: not server.server_state.connections, "the browser's connections to end")
    house.close()
    early, half = cut_the_power(house.street.state_dir)
    house.solo = house._build()
    request = home.asked("2026-34")
    people.run("ana", "await page.goto(args.url);", url=house.url)
    people.unlock("ana")
    people.open_request("ana", request)
    people.run(
        "ana",
        """for (const details of await page.locator(".clip details").all()) await details.locator("summary").click();
           await page.getByText("its end is missing").first().waitFor();
           const cut = page.getByText("its end is missing; what is whole of it is shared");
           if ((await cut.count()) !== 2) throw new Error(`${await cut.count()} cut`);
           for (const box of await page.getByRole("checkbox", {name: /^Share this clip/}).all()) await box.check();
           await page.getByRole("button", {name: "Share what I chose"}).click();""",
    )
    people.run(
        "ana",
        """await page.getByRole("dialog").getByLabel("Passphrase").fill(args.passphrase);
           await page.getByRole("dialog").getByRole("button", {name: "Sign and share"}).click();
           await page.getByRole("heading", {name: "Not everything can be shared"}).waitFor();
           await page.getByRole("dialog").getByText("This was cut off before its first second was whole.").waitFor();
           await page.getByRole("button", {name: "Leave them out"}).click();
           await page.getByRole("dialog").waitFor({state: "detached"});""",
        passphrase=PASSPHRASE,
    )
    assert house.state_of(request) == "pending"
    news: list[ReceiverEvent] = []
    with home.police.receiving(news):
        people.share("ana")
        until(lambda: house.state_of(request) == "sent", "the receipt")
    (folder,) = (home.police.requester.folder / "disclosures").iterdir()
    opened = open_disclosure(home.police.requester, folder.name, now_s=int(time.time()))
    shared = {each.item.part.id for each in opened.verification.segments}
    assert half in shared
    assert early not in shared
    assert people.browser.troubles("ana") == []


def test_where_it_takes_two_owners_the_second_agrees_to_exactly_what_the_first_chose(home: Home) -> None:
    people = home.people
    home.join("ben", home.invite("ana"), "ana")
    people.go("ana", "/requests")
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Let it take two"}).click();')
    people.sign("ana", "Sign")
    people.run("ana", 'await page.getByText("It takes two owners to share.").waitFor();')
    home.trust_on("ben")
    home.house.record()
    request = home.asked("2026-32")
    people.open_request("ana", request)
    # The second owner could not see a film that was covered for the requester.
    people.run(
        "ana", 'await page.getByText("Parts of a film cannot be covered, because it takes two").first().waitFor();'
    )
    people.tick_first_clip("ana")
    people.share("ana")
    until(lambda: home.house.state_of(request) == "waiting for another owner", "the first yes")
    people.run("ana", 'await page.getByText("It waits for another owner").waitFor();')
    assert home.house.street.published() == []
    people.open_request("ben", request)
    people.run(
        "ben",
        """await page.getByRole("heading", {name: "owner-1 wants to share this"}).waitFor();
           await page.getByRole("button", {name: "Agree to exactly this"}).click();""",
    )
    people.sign("ben", "Sign and agree")
    until(lambda: home.house.state_of(request) in ("approved", "sending", "sent"), "the second yes")
    assert people.browser.troubles("ben") == []
    # A single no is enough.
    other = home.asked("2026-33")
    people.open_request("ana", other)
    people.tick_first_clip("ana")
    people.share("ana")
    until(lambda: home.house.state_of(other) == "waiting for another owner", "the first yes")
    people.open_request("ben", other)
    people.run("ben", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ben", "Sign my no")
    until(lambda: home.house.state_of(other) == "denied", "the no")


def test_after_sharing_an_owner_sees_which_stills_and_film_left(home: Home) -> None:
    people, request = home.people, home.asked("2026-36")
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("radio", {name: "Video and stills"}).check();')
    people.tick_first_clip("ana")
    news: list[ReceiverEvent] = []
    people.share("ana")
    people.run("ana", 'await page.locator(".left li").first().waitFor();')
    with home.police.receiving(news):
        until(lambda: home.house.state_of(request) == "sent", "the receipt")
    left = people.run(
        "ana",
        """await page.getByRole("heading", {name: "Shared", exact: true}).waitFor();
           await page.locator(".left").scrollIntoViewIfNeeded();
           await page.locator(".left img[src^=blob]").first().waitFor();
           const found = await axe(page);
           if (found.length) throw new Error(JSON.stringify(found));
           return {
             kinds: await page.locator(".left .kind").allTextContents(),
             said: await page.locator(".left").innerText(),
           };""",
    )
    assert {"still", "film"} <= set(left["kinds"])
    assert "owner-1 approved this. It began to leave" in left["said"]
    assert "no longer stored" not in left["said"]
    assert people.browser.troubles("ana") == []
