"""The connection is lost in the middle of everything an owner does: the page says so, and each action happens exactly
once.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.home import Home
from tests.browser.house import PASSPHRASE, Phones, a_house, phones
from tests.browser.proxy import RecordingProxy
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(400),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def offline(people: Phones, who: str, is_so: bool = True) -> None:
    people.run(who, "await page.context().setOffline(args.is_so);", is_so=is_so)


def sign_twice(people: Phones, button: str, who: str = "ana") -> None:
    """Without a connection, then with one: in the same dialog, which keeps what was typed."""
    offline(people, who)
    people.run(
        who,
        """const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill(args.passphrase);
           await dialog.getByRole("button", {name: args.button, exact: true}).click();
           await dialog.getByText("The doorbell does not answer").waitFor();""",
        passphrase=PASSPHRASE,
        button=button,
    )
    offline(people, who, False)
    people.sign(who, button)


def test_in_the_middle_of_every_decision(home: Home) -> None:
    people, house = home.people, home.house
    entries = house.solo.custodian.control._ledger

    def once(kind: str) -> Callable[[], bool]:
        return lambda: sum(f'"kind":"{kind}"'.encode() in leaf for leaf in entries.leaves(0, 10_000)) == 1

    request = home.asked("2026-50")
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    sign_twice(people, "Sign my no")
    until(once("denied"), "one refusal")

    request = home.asked("2026-51")
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    people.run("ana", 'await page.getByRole("button", {name: "Share what I chose"}).click();')
    sign_twice(people, "Sign and share")
    people.run("ana", 'await page.getByRole("button", {name: "Take it back"}).click();')
    sign_twice(people, "Sign and take back")
    until(once("revoked"), "one revocation")

    request = home.asked("2026-52")
    people.open_request("ana", request)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Do not ask me this"}).click();
           await page.getByRole("button", {name: "All requests"}).click();""",
    )
    sign_twice(people, "Sign and keep silent")
    until(once("opt-out"), "one opt-out")

    people.go("ana", "/timeline")
    people.run("ana", 'await page.locator(".tile").first().click();')
    people.run("ana", 'await page.getByRole("button", {name: "Delete", exact: true}).click();')
    sign_twice(people, "Sign and delete")
    until(once("erased"), "one deletion")

    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByLabel("Days at most").fill("7");
           await page.locator("#settings-keeping").getByRole("button", {name: "Sign and save"}).click();""",
    )
    sign_twice(people, "Sign")
    until(once("configuration-changed"), "one change")


def test_when_only_the_answer_to_a_yes_is_lost_it_counts_once_and_the_page_finds_out(
    tmp_path: Path, footage: Path
) -> None:
    with a_house(tmp_path, footage) as house:
        proxy = RecordingProxy(house.port, house.street.state_dir, house.authority)
        house.answer_to(frozenset({f"front-door.local:{proxy.port}"}))
        try:
            with phones(house, tmp_path) as people:
                people.through_port = proxy.port
                home = Home(house, people)
                request = home.asked("2026-53")
                people.open_request("ana", request)
                people.tick_first_clip("ana")
                people.run("ana", 'await page.getByRole("button", {name: "Share what I chose"}).click();')
                proxy.loses = b"/api/statement"
                # The browser asks again automatically; the doorbell says that it has been answered; the page understands.
                people.sign("ana", "Sign and share")
                people.run(
                    "ana",
                    'await page.getByRole("heading", {name: /You said yes|Being sent|Received/}).first().waitFor();',
                )
                listed = house.control("requests", all=True)["requests"]
                assert len({each["disclosure"] for each in listed if each["disclosure"]}) == 1
        finally:
            proxy.close()


def test_when_only_the_answer_to_a_tip_is_lost_it_is_sent_once(tmp_path: Path, footage: Path) -> None:
    with a_house(tmp_path, footage) as house:
        proxy = RecordingProxy(house.port, house.street.state_dir, house.authority)
        house.answer_to(frozenset({f"front-door.local:{proxy.port}"}))
        try:
            with phones(house, tmp_path) as people:
                people.through_port = proxy.port
                Home(house, people)
                people.go("ana", "/tips")
                people.run(
                    "ana",
                    """await page.getByLabel("Your message").fill("A white van waits there.");
                       await page.getByRole("button", {name: "Send it"}).click();""",
                )
                proxy.loses = b"/api/statement"
                people.sign("ana", "Sign and send")
                people.run("ana", 'await page.getByRole("heading", {name: "Tips you sent"}).waitFor();')
                assert len(house.control("tips")["tips"]) == 1
        finally:
            proxy.close()


def test_in_the_middle_of_the_set_up(tmp_path: Path) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.make_keys("ana")
        people.run(
            "ana",
            """await page.locator(".kit").waitFor();
               const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
               await page.getByRole("button", {name: "I have it on paper"}).click();
               await page.getByLabel("The last 6 characters").fill(kit.slice(-6));
               await page.context().setOffline(true);
               await page.getByRole("button", {name: "Test and begin"}).click();
               await page.getByRole("alert").filter({hasText: "does not answer"}).first().waitFor();
               await page.context().setOffline(false);
               await page.getByRole("button", {name: "Test and begin"}).click();
               await page.getByRole("heading", {name: "It is yours"}).waitFor();""",
        )
        assert house.control("status")["owners"] == ["owner-1"]


def test_in_the_middle_of_joining_and_of_coming_back_with_the_kit(home: Home) -> None:
    people, house = home.people, home.house
    home.scan("ben", home.invite("ana"))
    people.make_keys("ben")
    people.run("ana", 'await page.getByRole("heading", {name: "Admit owner-2?"}).waitFor();')
    offline(people, "ben")
    people.sign("ana", "Sign and admit")
    people.run("ben", "await page.waitForTimeout(4000);")
    offline(people, "ben", False)
    people.come_in("ben")
    assert house.control("status")["owners"] == ["owner-1", "owner-2"]

    people.pair("new")
    people.run(
        "new",
        """await page.getByText("I have my recovery kit").click();
           await page.getByLabel("The key on the kit").fill(args.kit);
           await page.getByLabel("The keys that are lost").selectOption("owner-1");
           await page.locator("#new-passphrase").fill(args.passphrase);
           await page.getByLabel("The passphrase again").fill(args.passphrase);
           await page.context().setOffline(true);
           await page.getByRole("button", {name: "Put new keys in place"}).click();
           await page.getByRole("alert").filter({hasText: "does not answer"}).first().waitFor();
           await page.context().setOffline(false);
           await page.getByRole("button", {name: "Put new keys in place"}).click();
           await page.getByRole("button", {name: "Not now"}).click();
           await page.waitForURL("**/timeline");""",
        kit=house.kit,
        passphrase=PASSPHRASE,
    )
    until(lambda: "owner-new" in house.control("status")["owners"], "the new keys")


def test_in_the_middle_of_playing_and_of_opening_a_request(home: Home) -> None:
    people, request = home.people, home.asked("2026-54")
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile").first().click();
           await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.2);
           await page.context().setOffline(true);
           // What is there already plays on; then it is said.
           await page.getByRole("alert").filter({hasText: "does not answer"}).waitFor();
           await page.context().setOffline(false);
           await page.locator(".scrub button").last().click();
           await page.waitForFunction(() => document.querySelector("video").buffered.length && document.querySelector("video").currentTime > 0.2);""",
    )
    offline(people, "ana")
    people.run(
        "ana",
        """await page.locator("nav a[href='/requests']").click();
           await page.getByRole("heading", {name: "The doorbell does not answer"}).waitFor();""",
    )
    offline(people, "ana", False)
    # The page goes on without a tap.
    people.run("ana", 'await page.getByRole("link", {name: /^Look at it/}).first().waitFor();')
    people.open_request("ana", request)
    people.run("ana", 'await page.locator(".clip img[src^=blob]").first().waitFor();')
    offline(people, "ana")
    people.run(
        "ana",
        """await page.locator("button.play").first().click();
           await page.locator("#said").filter({hasText: "does not answer"}).waitFor();""",
    )
    offline(people, "ana", False)
    people.tick_first_clip("ana")
    people.share("ana")
    until(lambda: home.house.state_of(request) in ("approved", "sending", "sent"), "the approval")


def test_in_the_middle_of_looking(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.locator(".tile img[src^=blob]").first().waitFor();
           await page.locator(".tile").first().click();
           await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.2);
           await page.context().setOffline(true);
           await page.getByRole("button", {name: "Save as MP4"}).click();
           await page.getByRole("alert").filter({hasText: "does not answer"}).first().waitFor();
           await page.context().setOffline(false);
           const saved = page.waitForEvent("download");
           await page.getByRole("button", {name: "Save as MP4"}).click();
           await saved;""",
    )
    people.go("ana", "/live")
    people.run("ana", "await page.context().setOffline(true);")
    people.run("ana", 'await page.getByText("does not answer").first().waitFor();')
    people.run("ana", "await page.context().setOffline(false);")
    people.run("ana", 'await page.getByText("does not answer").first().waitFor({state: "hidden"});')
