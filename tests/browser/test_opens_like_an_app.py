"""The page opens like an app: at once without an answer, installable, with a badge and a count in the title."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.browser.browser import BROWSERS, Browser
from tests.browser.home import Home
from tests.browser.house import a_house
from tests.browser.looking import Looking

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300)]
at_length = pytest.mark.at_length("make test-browser")

CACHED = """
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    await page.reload();
    await page.getByRole("heading", {level: 1}).waitFor();
    await page.waitForFunction(async () => {
      const kept = (await (await caches.open("doorward-program")).keys()).map((each) => new URL(each.url).pathname);
      return ["/timeline", "/static/app.js", "/static/worker.js", "/static/texts-en.json"].every((each) => kept.includes(each));
    });
"""


@at_length
def test_a_doorbell_that_takes_connections_and_says_nothing_is_said_to_be_away(home: Home, looking: Looking) -> None:
    people, house = home.people, home.house
    people.run("ana", CACHED)
    house.close()
    house.footage = None
    # Established by the kernel, never answered: a fetch would wait for minutes.
    with socket.create_server(("127.0.0.1", house.port), reuse_port=False):
        said = people.run(
            "ana",
            """await page.goto(args.url + "/requests");
               await page.getByRole("heading", {name: "The doorbell does not answer"}).waitFor();
               return page.getByRole("alert").innerText();""",
            url=house.url,
        )
        assert said.startswith("Last seen: ")
        looking.at(people, "ana", "away")
    house.solo = house._build()
    # No tap: the page goes on when the doorbell is back.
    people.run("ana", 'await page.getByRole("heading", {name: /Welcome back/}).waitFor({timeout: 60_000});')


@at_length
def test_a_page_that_waits_for_the_doorbell_says_so_and_later_what_to_do(home: Home, looking: Looking) -> None:
    """Once while the program of the page does not come, and once while an answer does not."""
    people = home.people
    people.run(
        "ana",
        """// What the service worker keeps would come at once.
           await page.evaluate(async () => {
             for (const each of await navigator.serviceWorker.getRegistrations()) await each.unregister();
           });
           await page.route("**/static/app.js*", () => {});
           await page.goto(args.url + "/timeline", {waitUntil: "commit"});
           const line = page.getByText("Waiting for the doorbell …");
           await line.waitFor();
           await page.getByText("load this page again").waitFor();""",
        url=home.house.url,
    )
    looking.at(people, "ana", "progress-of-the-program")
    people.run("ana", 'await page.unroute("**/static/app.js*"); await page.reload();')
    people.unlock("ana")
    people.run(
        "ana",
        """let go = () => {};
           const held = new Promise((done) => (go = done));
           await page.route("**/api/page_facts", async (route) => { await held; await route.continue(); });
           await page.locator('nav a[href="/requests"]').click();
           await page.locator('nav a[href="/timeline"]').click();
           await page.getByRole("heading", {name: "Timeline"}).waitFor();
           await page.getByText("Waiting for the doorbell …").waitFor();
           globalThis.letGo = go;""",
    )
    looking.at(people, "ana", "progress-of-an-answer")
    people.run(
        "ana",
        """letGo();
           await page.locator(".tile").first().waitFor();
           await page.locator(".progress").waitFor({state: "detached"});""",
    )


@at_length
def test_waiting_requests_are_counted_in_the_title_and_on_the_icon(home: Home) -> None:
    people = home.people
    people.go("ana", "/timeline")
    people.run(
        "ana",
        """await page.evaluate(() => {
             globalThis.badges = [];
             navigator.setAppBadge = async (n) => void badges.push(n);
             navigator.clearAppBadge = async () => void badges.push(0);
           });""",
    )
    request = home.asked("2026-71")
    people.run("ana", "await page.waitForFunction(() => document.title.startsWith('(1) '));")
    people.open_request("ana", request)
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")
    people.run("ana", "await page.waitForFunction(() => !document.title.startsWith('('));")
    assert people.run("ana", "return page.evaluate(() => badges);") == [1, 0]


@at_length
def test_chromium_finds_nothing_that_keeps_the_page_from_being_installed(tmp_path: Path) -> None:
    with a_house(tmp_path, None) as house:
        folder = tmp_path / "home"
        folder.mkdir()
        with Browser(folder, house.authority) as browser:
            found = browser.run(
                """const {chromium} = await import("playwright-core");
                   // A lasting profile: Chromium installs nothing from a private one.
                   const context = await chromium.launchPersistentContext(args.profile, {
                     executablePath: args.executable, headless: true, env: {...process.env, HOME: args.home},
                     args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--host-resolver-rules=MAP *.local 127.0.0.1"],
                   });
                   const page = await context.newPage();
                   await page.goto(args.url);
                   await page.getByLabel("Code").fill(args.code);
                   await page.getByRole("button", {name: "Continue"}).click();
                   await page.waitForURL("**/timeline");
                   await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
                   const session = await context.newCDPSession(page);
                   const {errors, url} = await session.send("Page.getAppManifest");
                   const {installabilityErrors} = await session.send("Page.getInstallabilityErrors");
                   await context.close();
                   return {errors, url, installabilityErrors};""",
                profile=str(folder / "profile"),
                executable=BROWSERS["chromium"],
                home=str(folder),
                url=house.url,
                code=house.code(),
            )
        assert found == {"errors": [], "url": f"{house.url}/manifest.webmanifest", "installabilityErrors": []}
