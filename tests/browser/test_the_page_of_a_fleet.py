"""The page that `doorward fleet status --html` writes, in a real browser: readable on every screen, whatever a doorbell calls
itself.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from agent.clients.fleet.inventory import inventory
from agent.clients.fleet.status_page import status_page
from agent.wire.health import HealthReport, HealthWord
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.browser.browser import Browser
from tests.browser.looking import Looking, Screen
from tests.wire import samples

pytestmark = [pytest.mark.browser, pytest.mark.at_length("make test-browser")]

HOSTILE = (
    '"><img src=//evil.example onerror=alert(1)>',
    "</table><script>alert(1)</script>",
    "\N{RIGHT-TO-LEFT OVERRIDE}" + "W" * 63,
    "&lt;b&gt; \N{ARABIC LETTER ALEF}" + "\N{COMBINING GRAVE ACCENT}" * 40,
)


SEEN = """
    await page.setViewportSize({width: args.width, height: 800});
    const texts = (role) => page.getByRole(role).evaluateAll((found) => found.map((each) => each.textContent));
    const cells = page.locator("tbody tr", {hasText: "Harbour 1"}).locator("td:visible");
    return {
      heads: await texts("columnheader"), names: await texts("rowheader"), rows: await page.getByRole("row").count(),
      elements: await page.locator("img, script").count(),
      wide: await page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth)),
      labels: await cells.evaluateAll((all) => all.map((each) => getComputedStyle(each, "::before").content)),
      split: await page.locator("thead th, td").evaluateAll((all) => all.filter((each) => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return /^\\w[\\w.]*$/.test(each.textContent) && range.getClientRects().length > 1;
      }).map((each) => each.textContent)),
    };
"""
"""The page at this width. `split`: words that do not stand in one line."""


def report(number: int, **changes: Any) -> HealthReport:
    device = public_key_of(private_key_from_seed(hashlib.sha256(bytes([number])).digest())).text
    return samples.health(**{"device": device, "wifi_dbm": -67, **changes})


def test_every_row_of_the_page_is_read_on_a_phone_and_on_a_desktop_whatever_a_doorbell_calls_itself(
    tmp_path: Path, looking: Looking
) -> None:
    named = dict.fromkeys(("Harbour 1", "Harbour 2", "never heard"), "0" * 64)
    reports = [
        report(1, name="Harbour 1", configuration="0" * 64),
        report(3, name="Harbour 3", version="W" * 32),
        report(2, name="Harbour 2", camera=HealthWord.FAULT, storage=HealthWord.FAULT, throttle=2),
        *(report(10 + number, name=name) for number, name in enumerate(HOSTILE)),
    ]
    rows = inventory(named, reports, samples.NOW_S)
    page = tmp_path / "fleet.html"
    page.write_text(status_page(rows, samples.NOW_S), encoding="utf-8")
    with Browser(tmp_path) as browser:
        browser.open("ana")
        screen = Screen(browser)
        screen.run(
            "ana",
            """globalThis.asked = [];
               page.on("request", (each) => asked.push(each.url()));
               page.on("dialog", (each) => { asked.push("a dialog"); return each.dismiss(); });
               await page.goto(args.url);""",
            url=page.as_uri(),
        )
        looking.at(screen, "ana", "fleet")
        for width in (320, 961, 1280):
            seen = screen.run("ana", SEEN, width=width)
            assert seen["names"] == [row.name for row in rows]
            assert (seen["rows"], seen["elements"], seen["wide"]) == (len(rows) + 1, 0, 0)
            assert seen["heads"][:3] == ["Name", "State", "What is wrong"]
            assert set(seen["split"]) <= {"W" * 32}, "an ordinary word stays whole"
            # A narrow screen has no heads, so each value says what it is.
            heads = ["State", "Heard", "Version", "Running", "Clock", "Wi-Fi", "Id"]
            assert [each.split('"')[1] for each in seen["labels"] if each != "none"] == (
                [f"{each}: " for each in heads] if width == 320 else []
            )
        assert screen.run("ana", "return globalThis.asked;") == [page.as_uri()]
        assert browser.troubles("ana") == []
