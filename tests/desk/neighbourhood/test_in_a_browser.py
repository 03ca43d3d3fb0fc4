"""A tip from a real Chromium: sealed there, sent without a cookie, read in the inbox, and wrong words stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.test import override_settings

from desk.config import Public
from desk.neighbourhood import proof_of_work, tip_relay
from desk.neighbourhood.models import WaitingTip
from desk.people.roles import Role
from desk.tips.models import Tip
from tests.browser.browser import Browser, require_browser
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import vouch
from tests.desk.asking.served_desk import DESKTOP, served_desk, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

BITS = 8
"""A tip's work in these tests: 256 hashes, so that a busy machine is not at it for half a minute. A page that did no
work would have its tip refused 255 times of 256."""
PATIENCE_MS = 120_000
"""For each step in the browser. Only a failure takes as long."""
PICTURES = Path(__file__).resolve().parents[3] / "build" / "screenshots" / "desk"
PHONE = {"width": 390, "height": 844}
WORDS = "A white van stood at the bakery until ten."


@pytest.fixture
def page(agency: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a script at the page of tips, in the browser of a person who is signed in at this desk."""
    require_browser()
    monkeypatch.setattr(proof_of_work, "LEAST_BITS", BITS)
    vouch(agency)
    (tmp_path / "home").mkdir()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(tips=True))),
        served_desk(tmp_path) as url,
        Browser(tmp_path / "home", timeout_ms=PATIENCE_MS) as browser,
    ):
        sign_in(browser, url, agency, Role.VIEWER)

        def run(script: str, **args: Any) -> Any:
            return browser.run(f"const page = pages[args.who];{script}", who=Role.VIEWER.value, url=url, **args)

        yield run
        assert browser.run("return troubles[args.who];", who=Role.VIEWER.value) == []


def test_a_tip_is_sealed_in_the_browser_and_opens_in_the_inbox(agency: Agency, page: Any) -> None:
    asked = page(
        """
        const asked = [];
        page.on("request", async (request) => {
          if (!request.url().includes("/tip-to/")) return;
          const body = request.postDataBuffer() ?? Buffer.from("");
          asked.push([request.method(), await request.allHeaders(), body.toString("latin1")]);
        });
        await page.goto(args.url + "/tip-to/rijnstad-police");
        await page.getByLabel("What do you want to tell?").fill("See bit.ly/x");
        await page.getByRole("button", {name: "Seal and send"}).click();
        await page.getByText("Write plain words").waitFor();
        for (const [view, size] of Object.entries(args.views)) {
          await page.setViewportSize(size);
          await page.screenshot({path: `${args.to}/tip-${view}.png`, fullPage: true});
        }
        const broken = await axe(page);
        await page.getByLabel("What do you want to tell?").fill(args.words);
        await page.getByRole("button", {name: "Seal and send"}).click();
        await page.getByRole("heading", {name: "Sent"}).waitFor();
        await page.screenshot({path: `${args.to}/tip-sent.png`, fullPage: true});
        return {asked, broken, left: await page.getByLabel("What do you want to tell?").inputValue()};
        """,
        words=WORDS,
        views={"desktop": DESKTOP, "phone": PHONE},
        to=str(PICTURES),
    )
    assert asked["broken"] == []
    assert asked["left"] == "", "a later person at this browser reads nothing"
    methods = [method for method, _headers, _body in asked["asked"]]
    assert methods == ["GET", "GET", "POST"], methods
    for method, headers, body in asked["asked"][1:]:
        assert "cookie" not in headers, method
        assert "referer" not in headers, method
        assert "white van" not in body
    assert WaitingTip.objects.count() == 1
    tip_relay.release(int(time.time()) + 2 * tip_relay.HOUR_S)
    opened = agency.client(Role.EVIDENCE_OFFICER).post(f"/tips/{Tip.objects.get().pk}").content.decode()
    assert WORDS in opened


@pytest.mark.at_length("make test-browser")
def test_if_the_price_rises_while_the_page_works_it_works_again_for_the_same_tip(agency: Agency, page: Any) -> None:
    asked = page(
        """
        const asked = [];
        await page.route("**/tip-to/**", async (route) => {
          const request = route.request();
          asked.push([request.method(), request.url().split("/").at(-1)]);
          const posts = asked.filter(([method]) => method === "POST").length;
          if (request.method() === "POST" && posts === 1) await route.fulfill({status: 409});
          else await route.continue();
        });
        await page.goto(args.url + "/tip-to/rijnstad-police");
        await page.getByLabel("What do you want to tell?").fill(args.words);
        await page.getByRole("button", {name: "Seal and send"}).click();
        await page.getByRole("heading", {name: "Sent"}).waitFor();
        troubles[args.who].length = 0; // Chromium writes each refusal to its console
        return asked.slice(1);
        """,
        words=WORDS,
    )
    assert [method for method, _name in asked] == ["GET", "POST", "GET", "POST"]
    assert asked[1] == asked[3], "the same tip"
    assert WaitingTip.objects.count() == 1


@pytest.mark.at_length("make test-browser")
def test_a_refusal_is_shown_and_the_words_stay_for_another_try(
    agency: Agency, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tip_relay, "MOST_WAITING", 0)
    left = page(
        """
        await page.goto(args.url + "/tip-to/rijnstad-police");
        await page.getByLabel("What do you want to tell?").fill(args.words);
        await page.getByRole("button", {name: "Seal and send"}).click();
        await page.getByText("Too many tips came in this hour.").waitFor();
        troubles[args.who].length = 0; // Chromium writes each refusal to its console
        return page.getByLabel("What do you want to tell?").inputValue();
        """,
        words=WORDS,
    )
    assert left == WORDS
    assert not WaitingTip.objects.exists()
