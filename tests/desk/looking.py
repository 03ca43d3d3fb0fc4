"""Looks at a page of the desk: axe and the width for everybody, pictures for people.

`make test` looks at a share: the width on each screen, all of axe's rules on the first screen in light, and those of
contrast in dark. `make test-browser` (and so `make prove`) asks axe for everything on each screen, light and dark, and
keeps the pictures in build/screenshots/desk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from tests.browser.browser import Browser

__all__ = ["DESKTOP", "PHONE", "TABLET", "look"]

DESKTOP: Final = {"width": 1280, "height": 900}
TABLET: Final = {"width": 820, "height": 1180}
PHONE: Final = {"width": 360, "height": 740}
_AT_LENGTH: Final = os.environ.get("DOORWARD_BROWSER") == "all"
_PICTURES: Final = Path(__file__).resolve().parents[2] / "build" / "screenshots" / "desk"
_LOOK = """
const page = pages[args.page];
await page.waitForLoadState("load"); // an element may be there before the style sheet, and the page is wider then
const found = [];
const [first] = Object.keys(args.views);
for (const [view, size] of Object.entries(args.views)) {
  await page.setViewportSize(size);
  for (const colorScheme of args.brief ? ["light"] : view === first || args.whole ? ["light", "dark"] : ["light"]) {
    await page.emulateMedia({colorScheme});
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    const row = {look: `${view}, ${colorScheme}`, wide, broken: [], kept: 1};
    if (args.whole) {
      await page.screenshot({path: `${args.folder}/${args.name}-${view}-${colorScheme}.png`, fullPage: true});
    }
    if (args.whole || view === first) {
      Object.assign(row, await axed(page, args.whole || colorScheme === "light" ? [] : ["color-contrast"]));
    }
    found.push(row);
  }
}
await page.emulateMedia({colorScheme: "light"});
await page.setViewportSize(args.views[first]);
return found;
"""


def look(browser: Browser, page: str, name: str, views: dict[str, Any] | None = None, *, brief: bool = False) -> None:
    """Axe finds no fault on the page, and it fits each screen. The first of `views` is the one that the page keeps.
    `brief`: in light only."""
    if _AT_LENGTH:
        _PICTURES.mkdir(parents=True, exist_ok=True)
    seen = views or {"desktop": DESKTOP, "tablet": TABLET}
    for row in browser.run(
        _LOOK, page=page, name=name, views=seen, folder=str(_PICTURES), whole=_AT_LENGTH, brief=brief
    ):
        assert row["broken"] == [], f"{name} ({row['look']}): {row['broken']}"
        assert row["wide"] <= 0, f"{name} ({row['look']}) is {row['wide']} px too wide"
        assert row["kept"] > 0, f"{name} ({row['look']}): axe looked at nothing"
