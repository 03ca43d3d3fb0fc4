"""`run.py SUITE [STEP …]`: the life of an installation in a booted container, each step told with what it measured.

    PYTHONPATH=. python -m tests.install.run trixie            everything, and RESULTS.md
    PYTHONPATH=. python -m tests.install.run bookworm install probes
    PYTHONPATH=. python -m tests.install.run bookworm install broker --record bundle    … and its row in RESULTS.md

Steps build on the ones before.  Exit status 0 only when every one held.
"""

from __future__ import annotations

import datetime
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable

from tests.install.container import ROOT, SMALL, Container
from tests.install.limits import limits
from tests.install.story import Story

RESULTS = ROOT / "tests" / "install" / "RESULTS.md"
STEPS: dict[str, Callable[[Story], str]] = {
    "install": Story.install,
    "broker": Story.broker,
    "first sealed clip": Story.first_clip,
    "request to opened footage": Story.request,
    "memory and CPU": Story.weight,
    "doctor": Story.doctor,
    "home": Story.home,
    "page": Story.page,
    "probes": Story.probes,
    "watchdog": Story.watchdog,
    "kills": Story.kills,
    "upgrade": Story.upgrade,
    "roll-back": Story.roll_back,
    "updates": Story.updates,
    "cuts": Story.cuts,
    "uninstall": Story.uninstall,
    "install again": Story.reinstall,
    "hand over": Story.hand_over,
    "tidying up": Story.tidying_up,
    "bundle": Story.bundle,
    "purge": Story.purge,
    "deb": Story.deb,
}
CAMERA_PACKAGES = "camera packages"
"""In a separate container, without numpy at first."""
LIMITS = "limits of memory"
"""In a separate container: if the kernel keeps memory apart from the rest, one container cannot have both."""


def main(arguments: list[str]) -> int:
    suite, *wanted = arguments
    recorded = wanted[wanted.index("--record") + 1 :] if "--record" in wanted else []
    failed = False
    rows = []
    with Container(suite) as box:
        story = Story(box)
        steps: dict[str, Callable[[Story], str]] = {
            **STEPS,
            CAMERA_PACKAGES: lambda story: camera_packages(story.suite),
            LIMITS: lambda story: limits(story.suite),
        }
        for name, step in steps.items():
            if wanted and name not in wanted:
                continue
            started = time.monotonic()
            try:
                said = step(story)
            except Exception as error:  # noqa: BLE001 — the step that failed is the result
                traceback.print_exc()
                said, failed = f"FAILED: {str(error)[:300]}", True
            rows.append((name, said, time.monotonic() - started))
            print(f"{rows[-1][2]:6.0f} s  {name}: {said}", flush=True)
            if not wanted:
                write_results(suite, rows)  # a run that is cut leaves what it found
            if name in recorded:
                write_row(suite, rows[-1])
            if failed and os.environ.get("DOORWARD_KEEP"):
                print(f"The container stays for a look: {' '.join(box.words('bash'))}", flush=True)
                os._exit(1)
            if failed:
                break
    return 1 if failed else 0


def camera_packages(suite: str) -> str:
    with Container(suite, SMALL) as box:
        return Story(box).camera_packages()


def write_row(suite: str, row: tuple[str, str, float]) -> None:
    """Replace or add one step's line in this suite's section, with its own date."""
    name, said, seconds = row
    text = RESULTS.read_text()
    section = re.search(rf"## {suite}, amd64, nspawn.*?(?=\n## |\Z)", text, flags=re.DOTALL)
    if section is None:
        raise SystemExit(f"RESULTS.md has no whole run of {suite} to add to.")
    head, lines = section[0].partition("|---|---|---|\n")[::2]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines.splitlines() if line}
    today = datetime.datetime.now(datetime.UTC).date()
    rows[name] = f"| {name} | {said.splitlines()[0]} (run alone, {today}) | {seconds:.0f} |"
    order = [*STEPS, CAMERA_PACKAGES, LIMITS]
    made = "\n".join(rows[each] for each in sorted(rows, key=order.index))
    RESULTS.write_text(text.replace(section[0], f"{head}|---|---|---|\n{made}\n"))


def write_results(suite: str, rows: list[tuple[str, str, float]]) -> None:
    """Replace this suite's section of RESULTS.md."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Installation, as measured\n\n`make test-install`\n"
    today = datetime.datetime.now(datetime.UTC).date()
    section = f"## {suite}, amd64, nspawn, {today}\n\n| step | result | s |\n|---|---|---|\n"
    section += "".join(f"| {name} | {said.splitlines()[0]} | {seconds:.0f} |\n" for name, said, seconds in rows)
    text = re.sub(rf"\n## {suite}, amd64, nspawn.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main(sys.argv[1:]))
