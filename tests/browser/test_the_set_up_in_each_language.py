"""The set-up to its end in each language: nothing is left in English, and the recovery kit is printed without anything else.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import agent
from agent.core.languages import LANGUAGES
from tests.browser.house import Phones, a_house, phones
from tests.browser.looking import Looking
from tests.browser.test_every_page_is_looked_at import OPEN_DETAILS, left_in_english, speak
from tests.browser.test_offered_roots import OFFERS

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

TEXTS = {
    language: json.loads((Path(agent.__file__).parent / "web" / "texts" / f"{language}.json").read_text())
    for language in LANGUAGES
}
PRINTED = """
    await page.evaluate(() => { window.print = () => { window.printed = (window.printed ?? 0) + 1; }; });
    await page.getByRole("button", {name: args.button, exact: true}).click();
    const printed = await page.evaluate(() => window.printed);
    const pdf = (await page.pdf({format: "A4"})).toString("latin1");
    await page.emulateMedia({media: "print"});
    const words = await page.evaluate(() => {
      const seen = (each) => each.checkVisibility({visibilityProperty: true});
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const found = {kit: "", rest: ""};
      while (walker.nextNode()) {
        const {data, parentElement} = walker.currentNode;
        if (data.trim() && seen(parentElement)) found[parentElement.closest(".kit") ? "kit" : "rest"] += data;
      }
      return found;
    });
    const qr = (await page.locator(".kit .qr").screenshot()).toString("base64");
    await page.emulateMedia({media: "screen"});
    return {printed, pdf, words, qr, secret: await page.locator(".kit .secret").textContent()};
"""
"""Presses "Print", and looks at the page as a printer gets it."""


def assert_the_kit_alone_is_printed(people: Phones, texts: dict[str, str]) -> None:
    seen = people.run("ana", PRINTED, button=texts["setup.kit.print"])
    assert seen["printed"] == 1
    assert seen["pdf"].startswith("%PDF-")
    assert len(re.findall(r"/Type\s*/Page\b", seen["pdf"])) == 1, "one sheet"
    assert seen["words"]["rest"] == ""
    secret = seen["secret"].replace(" ", "")
    assert secret.startswith("AGE-SECRET-KEY")
    for part in (texts["kit.title"], texts["kit.text"], secret):
        assert part in seen["words"]["kit"]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(seen["qr"]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    large = cv2.resize(picture, None, fx=3, fy=3)
    # The first finds nothing in 3 of 100 sound codes, in whatever size.
    detectors = (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco())
    assert secret in (each.detectAndDecode(large)[0] for each in detectors)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_step_of_the_set_up_is_in_the_language_and_the_kit_alone_is_printed(
    tmp_path: Path, looking: Looking, language: str
) -> None:
    texts = TEXTS[language]

    def look(people: Phones, name: str) -> None:
        people.run("ana", OPEN_DETAILS)
        if language != "en":
            looking.at(people, "ana", f"setup-{name}-{language}", briefly=True)
        assert left_in_english(people, language) == set(), (name, language)

    def press(people: Phones, key: str, then: str) -> None:
        people.run(
            "ana",
            """await page.locator("main").getByRole("button", {name: args.button, exact: true}).first().click();
               await page.getByRole("heading", {name: args.then, exact: true}).first().waitFor();""",
            button=texts[key],
            then=then,
        )

    with a_house(tmp_path, None, more=f"\n[alerts]\n{OFFERS}") as house, phones(house, tmp_path) as people:
        people.pair("ana")
        if language != "en":
            speak(people, language)
        people.run("ana", 'await page.locator("#new-passphrase").waitFor();')
        people.run(
            "ana",
            """for (const id of ["new", "again"]) await page.locator(`#${id}-passphrase`).fill("correct horse battery");
               await page.getByRole("button", {name: args.button, exact: true}).click();
               await page.locator(".kit").waitFor();""",
            button=texts["keys.make"],
        )
        look(people, "kit")
        assert_the_kit_alone_is_printed(people, texts)
        kit = people.run("ana", "return page.locator('.secret').textContent();")
        press(people, "setup.kit.done", texts["setup.step.test"])
        look(people, "test")
        people.run("ana", 'await page.locator("#tail").fill(args.tail);', tail=kit[-6:])
        press(people, "setup.test.button", texts["setup.done"])
        look(people, "done")
        press(people, "setup.done.rest", texts["place"])
        look(people, "place")
        for name in ("picture", "trust", "alerts", "second"):
            press(people, "rest.later", texts[name])
            look(people, name)
        assert people.browser.troubles("ana") == []
