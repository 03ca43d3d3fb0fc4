"""Seconds from an incident to its signed request at the desk, machine and person.  `python -m bench desk_first_use`.

A first-time clerk and a supervisor act in real Chromium at 1440 × 1000, both signed in. Each action is a place on the
screen, found on screenshots alone. The script clicks and types there, and knows no element of the pages. It goes on
if the picture has changed and stands still: at the first of two equal ones. It pauses before each action for as long as
a person takes.

The pauses are the Keystroke-Level Model (Card, Moran, Newell: "The keystroke-level model for user performance time with
interactive systems", CACM 23(7), 1980): `K`, `P`, `H`, `M` and `B` below. M stands before each click, also before those
into a field, where its rules leave it out: a first-time user looks for each one. Typed text has no M. The model counts
no reading, so the last line says how long reading the whole preview takes.

`--look FOLDER` keeps the screenshots. Needs Chromium and `npm ci` in tests/browser.
"""

from __future__ import annotations

import argparse
import base64
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.browser.browser import Browser

K: Final = 0.28
"""Seconds for a key: an average typist who is no secretary."""
P: Final = 1.1
"""Seconds to point at something with the mouse."""
H: Final = 0.4
"""Seconds to move a hand between mouse and keyboard."""
M: Final = 1.35
"""Seconds to prepare an action in mind."""
B: Final = 0.1
"""Seconds to press, or to release, the button of the mouse."""
GOAL_S: Final = 60.0
_READING_WORDS_A_MINUTE: Final = 238
"""Silent reading of English (Brysbaert, "How many words do we read per minute?", 2019)."""


@dataclass(frozen=True, slots=True)
class Click:
    """A click on a place of the screen, in pixels. `opens`: a person waits for what it shows."""

    what: str
    x: int
    y: int
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Type:
    """Text typed where the last click was. `enter`: the Enter key after it."""

    text: str
    enter: bool = False
    opens: bool = False


Action = Click | Type

ASKER: Final[tuple[Action, ...]] = (
    Click("New request", 1325, 110, opens=True),
    Click("What happened?", 466, 203),
    Type("bur", enter=True),
    Click("Case number", 832, 203),
    Type("2026-0431"),
    Click("Yesterday", 510, 259),
    Click("From", 556, 335),
    Type("1000pm"),
    Click("Until", 800, 335),
    Type("1100pm"),
    Click("Place, in the field of the search", 751, 559),
    Type("52.0913, 5.1185"),
    Click("Find", 977, 559, opens=True),
    Click("Preview", 1224, 157, opens=True),
    Click("Submit for approval", 1224, 243, opens=True),
)
SUPERVISOR: Final[tuple[Action, ...]] = (
    Click("1 request waits for approval", 420, 206, opens=True),
    Click("Burglary, 2026-0431", 394, 206, opens=True),
    Click("Approve, sign and publish", 1224, 243, opens=True),
)

_PLAY = """
const page = pages[args.page];
let looking_ms = 0; // for pictures that no person waits for
const picture = async () => (await page.screenshot({type: "jpeg"})).toString("base64");
const still = async (before) => {
  const until = Date.now() + 60_000;
  let [last, lastAt] = [before, performance.now()];
  for (;;) {
    // Between two pages there is no picture for a moment.
    const now = await picture().catch(() => "");
    if (now && now !== before && now === last) break;
    if (Date.now() > until) throw new Error("the picture has not changed, or does not stand still");
    [last, lastAt] = [now, performance.now()];
  }
  looking_ms += performance.now() - lastAt; // the person has seen the first of the two equal ones
  return last;
};
const seen = [];
const began = performance.now();
await page.goto(args.url + "/");
seen.push(await still(""));
for (const {x, y, text, enter, opens, person_s} of args.actions) {
  await page.waitForTimeout(person_s * 1000);
  const asked = performance.now();
  const before = opens ? await picture() : "";
  looking_ms += performance.now() - asked;
  if (text === undefined) await page.mouse.click(x, y);
  else {
    await page.keyboard.type(text);
    if (enter) await page.keyboard.press("Enter");
  }
  if (opens) seen.push(await still(before));
}
return {seconds: (performance.now() - began - looking_ms) / 1000, seen};
"""


def person_s(actions: Sequence[Action]) -> list[float]:
    """Returns the seconds that a person takes for each action. The hand begins at the mouse."""
    found, at_mouse = [], True
    for action in actions:
        clicks = isinstance(action, Click)
        hand = 0.0 if clicks == at_mouse else H
        if isinstance(action, Click):
            found.append(hand + M + P + 2 * B)
        else:
            found.append(hand + K * (len(action.text) + action.enter))
        at_mouse = clicks
    return found


def play(browser: Browser, page: str, url: str, actions: Sequence[Action], look: Path | None = None) -> float:
    """Acts at the pace of a person, from the first page on. Returns the seconds. Keeps its pictures in `look`."""
    steps: list[dict[str, Any]] = []
    for action, seconds in zip(actions, person_s(actions), strict=True):
        shared = {"opens": action.opens, "person_s": seconds}
        if isinstance(action, Click):
            steps.append({"x": action.x, "y": action.y, **shared})
        else:
            steps.append({"text": action.text, "enter": action.enter, **shared})
    done = browser.run(_PLAY, page=page, url=url, actions=steps)
    if look:
        look.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(done["seen"]):
            (look / f"{page}-{number}.jpg").write_bytes(base64.b64decode(picture))
    return float(done["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench desk_first_use", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--look", type=Path, help="a folder for the screenshots")
    options = parser.parse_args()
    os.environ["LANGUAGE"] = "en_US"  # Chromium writes times by it, and the script types "pm"
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "desk.toml"
        configuration.write_text('data = "data"\n')
        os.environ["DOORWARD_DESK_CONFIG"] = str(configuration)
        from desk.cli import migrate, prepare_data, start_django

        prepare_data(Path(folder) / "data")
        start_django()
        migrate()
        _measure(Path(folder), options.look)


def _measure(folder: Path, look: Path | None) -> None:
    from desk.asking.models import Draft
    from desk.people.roles import Role
    from tests.browser.browser import Browser
    from tests.desk.agencies import make_agency
    from tests.desk.asking.asking_desk import vouch
    from tests.desk.asking.served_desk import DRAWS, served_desk, sign_in

    agency = make_agency("rijnstad-police", "Rijnstad Police")
    vouch(agency)
    (folder / "home").mkdir()
    total = 0.0
    print("| who | clicks | keys | person, s | machine, s | sum, s |")
    print("|---|---:|---:|---:|---:|---:|")
    with served_desk(folder) as url, Browser(folder / "home", flags=DRAWS, timeout_ms=60_000) as browser:
        for role, actions in ((Role.ASKER, ASKER), (Role.SUPERVISOR, SUPERVISOR)):
            page = sign_in(browser, url, agency, role)
            seconds, person = play(browser, page, url, actions, look), sum(person_s(actions))
            clicks = sum(isinstance(each, Click) for each in actions)
            keys = sum(len(each.text) + each.enter for each in actions if isinstance(each, Type))
            print(f"| {role.value} | {clicks} | {keys} | {person:.1f} | {seconds - person:.1f} | {seconds:.1f} |")
            total += seconds
        words = len(browser.run('return pages.asker.locator(".owner-page").innerText()').split())
    state = Draft.objects.get().state
    print(f"\nThe request is {state} after {total:.1f} s; the goal is {GOAL_S:.0f} s.")
    print(f"Reading its preview ({words} words) once would take {words / _READING_WORDS_A_MINUTE * 60:.0f} s more.")
    if state != "signed" or total > GOAL_S:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
