"""A household's roots on the page, one of them disputed: named with its whole key in each language, and not among those to
take over.

In a real browser, with `make test-browser`. The page's own modules, without a doorbell.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import agent
from agent.core.languages import LANGUAGES
from agent.wire.trust_keys import TrustKey
from tests.browser.looking import Looking, Screen
from tests.browser.page_modules import page_modules
from tests.wire import package_vectors, samples

pytestmark = [pytest.mark.browser, pytest.mark.at_length("make test-browser")]

WEB = Path(agent.__file__).parent / "web"
NAME = "Bo <b>Long</b> " + "W" * 40
SHOWN = """
    await page.evaluate(async ({style, language, texts, found}) => {
      const { speakWith, t } = await import("/ui/texts.js");
      const { h } = await import("/ui/dom.js");
      const { chosenRoots } = await import("/pages/chosen_roots.js");
      speakWith(language, texts);
      document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
      document.title = "Doorward";
      document.head.replaceChildren(h("title", "Doorward"), h("style", style));
      const leave = () => {};
      document.body.replaceChildren(h("main", h("h1", t("roots.title")), chosenRoots(found, leave, leave)));
    }, args);
"""


@pytest.mark.parametrize("others", [[samples.OWNER_ROOT], []])
def test_a_disputed_root_is_named_with_its_whole_key_and_fits_in_each_language(
    tmp_path: Path, looking: Looking, others: list[TrustKey]
) -> None:
    false = package_vectors.FORGED
    chosen = {"by": NAME, "at": samples.NOW_S * 1000, "requesters": ["Harbour Police"]}
    found = [
        {**chosen, "key": false.text, "id": false.id, "isDisputed": True, "requesters": []},
        *({**chosen, "key": each.text, "id": each.id, "isDisputed": False} for each in others),
    ]
    with page_modules(tmp_path) as browser:
        screen = Screen(browser)
        for language in sorted(LANGUAGES):
            texts = json.loads((WEB / "texts" / f"{language}.json").read_text())
            style = (WEB / "static" / "page.css").read_text()
            screen.run("page", SHOWN, style=style, language=language, texts=texts, found=found)
            name = "roots-disputed" if others else "roots-disputed-alone"
            looking.at(screen, "page", f"{name}-{language}", briefly=language != "en")
            seen = screen.run(
                "page",
                """return {
                  alert: await page.getByRole("alert").filter({hasText: args.key}).innerText(),
                  listed: await page.locator("ul.plain > li").allInnerTexts(),
                  buttons: await page.getByRole("button").allInnerTexts(),
                  bold: await page.locator("b").count(),
                };""",
                key=false.text,
            )
            said = texts["roots.disputed"].split("{date}")[1]
            assert said in seen["alert"], language
            assert NAME in seen["alert"], language
            assert (len(seen["listed"]), seen["bold"]) == (len(others), 0)
            assert all(false.text not in each and false.id not in each for each in seen["listed"])
            yes = [texts["roots.yes"]] if others else []
            assert seen["buttons"] == [texts["roots.later"], *yes]
