"""Trust roots that the doorbell's configuration offers, at the set-up and in the settings: by name, and none ticked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.house import a_house, phones
from tests.scenarios.street import until
from tests.wire import samples

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

OFFERS = f"""
[[roots]]
name = "Rijnstad region"
means = "Police and fire brigade of the region may ask. The city decides who is on the list."
key = "{samples.ROOT_KEY.text}"
[[roots]]
name = "<b>Insurers</b>"
means = "Insurers may ask after an accident."
key = "{samples.OWNER_ROOT.text}"
"""


def test_the_owner_chooses_among_named_roots_of_which_none_is_ticked(tmp_path: Path, screenshots: Path) -> None:
    with a_house(tmp_path, None, more=OFFERS) as house, phones(house, tmp_path) as people:
        trust = house.solo.custodian.control._trust
        people.pair("ana")
        people.claim("ana")
        assert trust.roots() == []
        people.run(
            "ana",
            """await page.getByRole("button", {name: "Set up the rest"}).click();
               for (const name of ["Name and place", "Motion and masks"]) {
                 await page.getByRole("heading", {name}).waitFor();
                 await page.getByRole("button", {name: "Later"}).click();
               }
               await page.getByRole("heading", {name: "Offered by your installer"}).waitFor();
               const boxes = page.locator("input[type=checkbox]");
               if (await boxes.count() !== 2) throw new Error("two are offered");
               for (const box of await boxes.all()) if (await box.isChecked()) throw new Error("one is ticked");
               const yes = page.getByRole("button", {name: "Trust the chosen ones"});
               if (await yes.isEnabled()) throw new Error("nothing is chosen");
               await page.getByText("Insurers may ask after an accident.").waitFor();
               await page.getByText("<b>Insurers</b>").waitFor();
               await page.screenshot({path: args.shots + "/setup-roots-phone-light.png", fullPage: true});
               const found = await axe(page);
               if (found.length) throw new Error(JSON.stringify(found));
               await page.getByLabel("Rijnstad region").check();
               await yes.click();
               await page.getByText("Rijnstad region").waitFor({state: "detached"});""",
            shots=str(screenshots),
        )
        until(lambda: trust.roots() == [samples.ROOT_KEY.text], "the doorbell to trust the chosen root alone")
        people.go("ana", "/settings")
        people.run(
            "ana",
            """const section = page.locator("#settings-trust");
               await section.getByLabel("Insurers").check();
               await section.getByRole("button", {name: "Trust the chosen ones"}).click();""",
        )
        people.sign("ana", "Trust the chosen ones")
        until(lambda: trust.roots() == [samples.ROOT_KEY.text, samples.OWNER_ROOT.text], "the second one")
        people.run("ana", 'await page.getByText("Offered by your installer").waitFor({state: "detached"});')
        assert people.browser.troubles("ana") == []
