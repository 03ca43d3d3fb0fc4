"""The set-up page shows each phone and computer the steps of its own system, and checks that they worked.

In a real browser, with `make test-browser`. Playwright answers for the doorbell.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from starlette.requests import Request

import agent
from agent.core.setup_code import SetupCode
from agent.custodian.page.documents import Pages
from agent.custodian.page.request_guard import Caller
from tests.browser.browser import Browser
from tests.web.agents import AGENTS

pytestmark = [pytest.mark.browser, pytest.mark.at_length("make test-browser")]

WEB = Path(agent.__file__).parent / "web"
AUTHORITY = b"the authority"
CODE = SetupCode(bytes(range(16)), "", "", "front-door")
SEEN = """
    const page = await open("ana", {userAgent: args.agent, locale: args.language});
    await page.addInitScript((count) => Object.defineProperty(navigator, "maxTouchPoints", {get: () => count}), args.touch);
    let isTrusted = false;
    await page.route("**/set-up/doorbell", (route) => {
      if (route.request().url().startsWith("https:") && !isTrusted) return route.abort();
      return route.fulfill({json: args.told, headers: {"access-control-allow-origin": "*"}});
    });
    await page.goto(args.url);
    await page.evaluate((kept) => localStorage.setItem("doorward-set-up", kept), args.kept);
    await page.reload();
    const check = page.getByRole("button", {name: args.texts["show.check"]});
    await check.waitFor();
    const shown = (await page.locator("main ol li:visible").allInnerTexts());
    const link = page.locator('a[href*="/pair#"]');
    await check.click();
    await page.getByText(args.texts["show.unchecked"]).waitFor();
    const before = await link.count();
    isTrusted = true;
    await check.click();
    await link.waitFor();
    const href = await link.getAttribute("href");
    await page.context().close();
    return {shown, before, href};
"""
INSTALL = """
    const page = await open("ben", {userAgent: args.agent, hasTouch: args.touch > 0, locale: "en"});
    await page.route("http://front-door.local:8443/**", (route) => {
      const isPage = new URL(route.request().url()).pathname === "/install";
      return route.fulfill(isPage ? {body: args.html, contentType: "text/html"} : {path: args.style});
    });
    await page.goto("http://front-door.local:8443/install");
    const shown = await page.locator("details:visible > summary").allInnerTexts();
    const steps = await page.locator("main ol li:visible").allInnerTexts();
    await page.context().close();
    return {shown, steps};
"""


def test_only_the_steps_of_the_own_system_are_shown_and_the_code_comes_after_a_check(tmp_path: Path) -> None:
    told = {
        "authority": AUTHORITY.hex(), "proof": CODE.proof(AUTHORITY).hex(), "url": "https://front-door.local:8443/",
        "install": "http://front-door.local:8443/install", "fingerprint": "AA:BB",
    }  # fmt: skip
    kept = {"secret": CODE.secret.hex(), "name": CODE.name, "until": int(time.time() * 1000) + 600_000}
    with Browser(tmp_path) as browser:
        for number, (name, (browser_name, touch_points, own)) in enumerate(AGENTS.items()):
            language = ("en", "de", "ar")[number % 3]
            texts = json.loads((WEB / "texts" / f"{language}.json").read_text())
            seen = browser.run(
                SEEN, agent=browser_name, touch=touch_points, language=language, told=told, kept=json.dumps(kept),
                texts=texts, url=(WEB / "static" / "set-up.html").as_uri(),
            )  # fmt: skip
            steps = [texts[key].replace("`", "") for key in sorted(texts) if key.startswith(f"install.{own}.")]
            progress = [texts[f"show.step.{step}"] for step in (1, 2, 3)]
            assert seen["shown"] == progress + steps, name
            assert seen["before"] == 0, name
            assert seen["href"] == f"https://front-door.local:8443/pair#{CODE.pairing_code}", name


def test_the_page_of_the_doorbell_opens_the_steps_of_the_own_system_also_on_an_ipad(tmp_path: Path) -> None:
    """An iPad and a Macintosh send the same name, and get the same document."""
    pages = Pages("Front door", AUTHORITY, "AA:BB", lambda: ("https://front-door.local:8443/", ""))
    texts = json.loads((WEB / "texts" / "en.json").read_text())
    with Browser(tmp_path) as browser:
        for name, (browser_name, touch_points, own) in AGENTS.items():
            headers = [(b"user-agent", browser_name.encode()), (b"accept-language", b"en")]
            scope = {"type": "http", "method": "GET", "path": "/install", "query_string": b"", "headers": headers}
            html = asyncio.run(pages.install(Request(scope), Caller(None, False, True))).body.decode()
            style = str(WEB / "static" / "page.css")
            seen = browser.run(INSTALL, agent=browser_name, touch=touch_points, html=html, style=style)
            others = [system for system in ("ios", "android", "windows", "mac", "linux") if system != own]
            assert (seen["shown"][0], len(seen["shown"])) == (texts[f"install.{own}"], 5), name
            assert set(seen["shown"][1:]) == {texts[f"install.{system}"] for system in others}, name
            steps = [texts[key].replace("`", "") for key in sorted(texts) if key.startswith(f"install.{own}.")]
            assert seen["steps"] == steps, name
