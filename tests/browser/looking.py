"""Looks at what a page shows: pictures of it for people, axe and the width for everybody, and a report of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser.browser import Browser
from tests.browser.house import DESKTOP, PHONE, Phones

VIEWS: dict[str, dict[str, Any]] = {
    "phone": PHONE["viewport"],
    "desktop": DESKTOP["viewport"],
    "small": {"width": 320, "height": 640},
}

_LOOK = """
await page.waitForFunction(() => !document.querySelector("#said")?.textContent);
for (const [view, size] of Object.entries(args.views)) {
  for (const colorScheme of view === "small" || args.briefly ? ["light"] : ["light", "dark"]) {
    await page.emulateMedia({colorScheme});
    await page.setViewportSize(size);
    const picture = async (what) => {
      await page.evaluate(async () => {
        const twoFrames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        await twoFrames(); // an animation begins in the frame after its cause
        const ends = (each) => each.effect?.getComputedTiming().endTime !== Infinity;
        await Promise.all(document.getAnimations().filter(ends).map((each) => each.finished.catch(() => {})));
        await twoFrames();
      });
      await page.screenshot({path: `${args.folder}/${args.name}-${view}-${colorScheme}${what}.png`});
    };
    await picture("");
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    if (args.full && height > size.height) {
      await page.setViewportSize({...size, height});
      await picture("-whole");
    }
    found.push({look: `${view}, ${colorScheme}`,
      wide: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), ...(await axed(page))});
  }
}
await page.setViewportSize(args.views.phone);
await page.emulateMedia({colorScheme: "light"});
return found;
"""


class Screen:
    """Pages of a browser without a doorbell."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def run(self, who: str, script: str, /, **args: Any) -> Any:
        return self.browser.run(f"const page = pages[args.who];\n{script}", who=who, **args)


@dataclass
class Looking:
    """Everything that was looked at in this run, in `folder` and in the report beside it."""

    folder: Path
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def at(self, people: Phones | Screen, who: str, name: str, *, full: bool = True, briefly: bool = False) -> None:
        """Takes screenshots for `who`: on a phone and a desktop, light and dark, and at 320 px. No fault may be
        visible. `briefly`: on phones only, in light colours."""
        views = {view: size for view, size in VIEWS.items() if view != "desktop" or not briefly}
        values = {"name": name, "views": views, "folder": str(self.folder), "full": full, "briefly": briefly}
        self.rows[name] = people.run(who, "const found = [];" + _LOOK, **values)
        self._write()
        for row in self.rows[name]:
            assert row["wide"] <= 0, f"{name} ({row['look']}) is {row['wide']} px too wide"
            assert row["broken"] == [], f"{name} ({row['look']}): {row['broken']}"
            assert row["kept"] > 0, f"{name}: axe looked at nothing"

    def _write(self) -> None:
        lines = [
            "# What axe finds on each page",
            "",
            "WCAG 2.0, 2.1 and 2.2 at A and AA, and axe's best practices; each page on a phone and a desktop, light and",
            "dark, and at 320 px. Written by `make test-browser`; the pictures are in screenshots/.",
            "",
            "| page | looks | rules kept, least | violations | wider than the screen |",
            "|---|---|---|---|---|",
        ]
        for name, rows in sorted(self.rows.items()):
            broken = sorted({each for row in rows for each in row["broken"]})
            wide = max(0, *(row["wide"] for row in rows))
            lines.append(
                f"| {name} | {len(rows)} | {min(row['kept'] for row in rows)} | {'; '.join(broken) or 'none'} | {wide} px |"
            )
        (self.folder.parent / "accessibility.md").write_text("\n".join(lines) + "\n")
