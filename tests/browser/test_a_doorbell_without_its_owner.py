"""A doorbell that its owner's phone knows says that it has no owner: the page explains it and asks for a decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity
from tests.browser.house import PASSPHRASE, a_house, phones

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

LOOK = """
    await page.getByRole("heading", {name: "This doorbell says that it has no owner"}).waitFor();
    if (await page.getByRole("button", {name: "Make my keys"}).count()) throw new Error("it is offered as new");
"""


def test_an_owner_reads_what_happened_decides_by_keyboard_and_keeps_the_keys(tmp_path: Path, screenshots: Path) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        kit = people.claim("ana")
        before = house.solo.custodian.enrolments.current
        assert before is not None
        newer = HybridIdentity(b"a newer kit".ljust(32))
        # The card is exchanged for one from before the doorbell had an owner. Its key is the same.
        house.close()
        journals = [path for path in tmp_path.rglob("journal*") if path.is_file()]
        assert journals
        for each in journals:
            each.unlink()
        house.solo = house._build()
        assert house.solo.custodian.enrolments.current is None
        people.run("ana", "await page.context().clearCookies();")
        people.run(
            "ana",
            """await page.goto(args.url + "/pair");
               await page.getByLabel("Code").fill(args.code);
               await page.getByRole("button", {name: "Continue"}).click();
               await page.waitForURL("**/timeline");"""
            + LOOK
            + """
               for (const words of ["It was not the button.", "Clips from before stay sealed.", "stop here"])
                 await page.getByText(words).first().waitFor();
               for (const scheme of ["light", "dark"]) {
                 await page.emulateMedia({colorScheme: scheme});
                 await page.screenshot({path: `${args.shots}/ownerless-phone-${scheme}.png`, fullPage: true});
                 const found = await axe(page);
                 if (found.length) throw new Error(JSON.stringify(found));
               }
               // Without the tick nothing is signed, and the focus goes to what is missing.
               await page.getByLabel("The key on the kit").fill(args.kit);
               await page.locator("#passphrase").fill(args.passphrase);
               await page.locator("#passphrase").press("Enter");
               await page.getByRole("alert").filter({hasText: "Tick first"}).waitFor();
               if (!(await page.locator("#sure").evaluate((box) => box === document.activeElement)))
                 throw new Error("the focus is elsewhere");""",
            url=house.url, code=house.code(), shots=str(screenshots), kit=kit, passphrase=PASSPHRASE,
        )  # fmt: skip
        assert house.solo.custodian.enrolments.current is None
        for language in ("nl", "de", "es", "fr", "ar"):
            people.run(
                "ana",
                """await page.locator("#language").selectOption(args.language);
                   await page.locator("#sure").waitFor();
                   await page.waitForFunction((language) => document.documentElement.lang === language, args.language);
                   const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
                   if (wide) throw new Error("wider than the phone");
                   await page.screenshot({path: `${args.shots}/ownerless-${args.language}.png`, fullPage: true});""",
                language=language, shots=str(screenshots),
            )  # fmt: skip
        people.run(
            "ana",
            """await page.locator("#language").selectOption("en");"""
            + LOOK
            + """
               await page.locator("#sure").focus();
               await page.keyboard.press("Space");
               // Another browser made this kit, and this one did not hear of it.
               await page.getByLabel("The key on the kit").fill(args.newer);
               await page.locator("#passphrase").fill(args.passphrase);
               if (await page.locator("#newer").isVisible()) throw new Error("it is asked before there is a reason");
               await page.locator("#passphrase").press("Enter");
               await page.getByRole("alert").filter({hasText: "has not seen the recovery kit"}).waitFor();
               const found = await axe(page);
               if (found.length) throw new Error(JSON.stringify(found));
               await page.screenshot({path: `${args.shots}/ownerless-newer-kit.png`, fullPage: true});
               await page.locator("#newer").check();
               await page.getByLabel("The key on the kit").fill(args.kit);
               if (await page.locator("#newer").isVisible()) throw new Error("the tick is about another kit");
               await page.getByLabel("The key on the kit").fill(args.newer);
               await page.locator("#passphrase").press("Enter");
               await page.locator("#newer").check();
               await page.locator("#passphrase").press("Enter");
               await page.locator("nav a[aria-current]").waitFor();""",
            kit=kit, newer=newer.secret_text(), passphrase=PASSPHRASE, shots=str(screenshots),
        )  # fmt: skip
        now = house.solo.custodian.enrolments.current
        assert now is not None
        assert now.recipients == before.recipients, "the same keys"
        assert now.recovery == str(newer.recipient())
        assert now.nonce != before.nonce
