"""An old phone opens the page: clear words in place of an empty page, and none while the doorbell is only away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.house import PHONE, a_house, phones

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

SET_UP = Path(__file__).resolve().parents[2] / "agent" / "web" / "static" / "set-up.html"
TOLD = 'await page.getByText("This browser is too old for this page").waitFor();'
NOT_TOLD = 'if (await page.locator("#too-old").isVisible()) throw new Error("it says that it is old");'


def test_an_old_phone_reads_what_it_lacks_and_the_doorbell_seals_on(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", NOT_TOLD)
        for who, preparation in (
            ("no-timeout", "await page.addInitScript(() => { delete AbortSignal.timeout; });"),
            ("no-workers", "await page.addInitScript(() => { delete globalThis.Worker; });"),
            (
                "no-syntax",
                """await page.route("**/static/app.js*", (route) => route.fulfill({
                     contentType: "text/javascript", body: "const a = #b in c ?. ;"}));""",
            ),
        ):
            people.browser.open(who, **PHONE)
            people.run(
                who,
                preparation + 'await page.goto(args.url + "/pair");' + TOLD
                + 'await page.screenshot({path: args.shots + "/old-phone-" + args.who + ".png"});',
                url=house.url, shots=str(screenshots),
            )  # fmt: skip
        people.browser.open("set-up", **PHONE)
        people.run(
            "set-up",
            """await page.goto(args.url);
               await page.getByLabel("Name of your Wi-Fi").waitFor();
               if (await page.locator("#too-old").count()) throw new Error("it says that it is old");
               await page.addInitScript(() => { delete AbortSignal.timeout; });
               await page.reload();"""
            + TOLD
            + 'if (await page.getByLabel("Name of your Wi-Fi").count()) throw new Error("it goes on");',
            url=SET_UP.as_uri(),
        )
        people.browser.open("away", **PHONE)
        people.run(
            "away",
            """await page.route("**/static/app.js*", (route) => route.abort());
               await page.goto(args.url + "/pair");
               await page.waitForTimeout(1000);"""
            + NOT_TOLD,
            url=house.url,
        )
        house.record()
        assert house.solo.vault.totals().segments, "the doorbell seals, whichever browsers there are"
