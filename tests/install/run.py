"""`run.py SUITE … [STEP …]`: the life of an installation in a booted container, each step told with what it measured.

    PYTHONPATH=. python -m tests.install.run trixie bookworm   everything, side by side, and RESULTS.md
    PYTHONPATH=. python -m tests.install.run bookworm install probes
    PYTHONPATH=. python -m tests.install.run bookworm install broker --record bundle    … and its row in RESULTS.md

Steps build on the ones before.  Exit status 0 only when every one held.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.install.container import CACHE, ROOT, SMALL, Container, wheelhouse
from tests.install.late_choice import late_choice, missed_choice
from tests.install.limits import limits, whole
from tests.install.no_pictures import no_pictures
from tests.install.set_up import set_up
from tests.install.slots import SLOTS, slots
from tests.install.story import Story
from tests.install.update_attacks import update_attacks
from tests.install.update_kills import update_kills

RESULTS = ROOT / "tests" / "install" / "RESULTS.md"
SUITES = ("trixie", "bookworm")
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
    "changed program": Story.changed_program,
    "upgrade": Story.upgrade,
    "roll-back": Story.roll_back,
    "updates": Story.updates,
    "attacks on updates": update_attacks,
    "updates without pictures": no_pictures,
    "a choice during root's step": late_choice,
    "a choice that systemd missed": missed_choice,
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
KILLS = "kills during an update"
"""Only if it is named, because two hundred take hours (`make test-update-kills`). It stands on the steps before it."""
QUICK_KILLS = "quick kills of an update"
"""The row that tests/install/quick_kills.py writes."""
POWER_CUTS = "power cuts of an update"
"""The row that tests/install/power_cuts.py writes."""
SET_UP = "set-up by the phone"
"""In a separate container, with NetworkManager and without an owner."""
LIMITS = "limits of memory"
"""In a separate container: if the kernel keeps memory apart from the rest, one container cannot have both."""
WHOLE = "whole system in 426 MB"
"""The same, with a limit for all of the container."""


def main(arguments: list[str]) -> int:
    suites = [suite for suite in SUITES if suite in arguments]  # each once: two of a name would share a container
    if not suites:
        raise SystemExit(__doc__)
    rest = [word for word in arguments if word not in SUITES]
    return _live(suites[0], rest) if len(suites) == 1 else _side_by_side(suites, rest)


def _side_by_side(suites: list[str], rest: list[str]) -> int:
    """Runs each suite in a process: much of a life is waiting. A line of output begins with its suite."""
    wheelhouse()  # both take it
    words = [sys.executable, "-u", "-m", "tests.install.run"]
    lives = {
        suite: subprocess.Popen([*words, suite, *rest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for suite in suites
    }
    tellers = [threading.Thread(target=_tell, args=(suite, life)) for suite, life in lives.items()]
    try:
        for each in tellers:
            each.start()
        for each in tellers:
            each.join()
    finally:
        for life in lives.values():
            life.terminate()
    ended = {suite: life.wait() for suite, life in lives.items()}
    print("; ".join(f"{suite}: {'every step held' if code == 0 else 'FAILED'}" for suite, code in ended.items()))
    return int(any(ended.values()))


def _tell(suite: str, life: subprocess.Popen[str]) -> None:
    for line in life.stdout or ():
        print(f"{suite}: {line}", end="", flush=True)


def _live(suite: str, wanted: list[str]) -> int:
    """Lives through one suite, or its wanted steps."""
    recorded = wanted[wanted.index("--record") + 1 :] if "--record" in wanted else []
    failed = False
    rows = []
    with Container(suite) as box:
        story = Story(box)
        steps: dict[str, Callable[[Story], str]] = {
            **STEPS,
            **({KILLS: update_kills} if KILLS in wanted else {}),
            CAMERA_PACKAGES: lambda story: camera_packages(story.suite),
            SET_UP: lambda story: set_up(story.suite),
            LIMITS: lambda story: limits(story.suite),
            WHOLE: lambda story: whole(story.suite),
            SLOTS: lambda story: slots(story.suite),
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
    with _results_alone():
        _write_row(suite, *row)


def _write_row(suite: str, name: str, said: str, seconds: float) -> None:
    text = RESULTS.read_text()
    section = re.search(rf"## {suite}, amd64, nspawn.*?(?=\n## |\Z)", text, flags=re.DOTALL)
    if section is None:
        raise SystemExit(f"RESULTS.md has no whole run of {suite} to add to.")
    head, lines = section[0].partition("|---|---|---|\n")[::2]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines.splitlines() if line}
    today = datetime.datetime.now(datetime.UTC).date()
    rows[name] = f"| {name} | {said.splitlines()[0]} (run alone, {today}) | {seconds:.0f} |"
    order = [*STEPS, CAMERA_PACKAGES, SET_UP, LIMITS, WHOLE, SLOTS, KILLS, QUICK_KILLS, POWER_CUTS]
    made = "\n".join(rows[each] for each in sorted(rows, key=order.index))
    RESULTS.write_text(text.replace(section[0], f"{head}|---|---|---|\n{made}\n"))


def write_results(suite: str, rows: list[tuple[str, str, float]]) -> None:
    """Replace this suite's section of RESULTS.md."""
    with _results_alone():
        _write_results(suite, rows)


@contextmanager
def _results_alone() -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "results.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_results(suite: str, rows: list[tuple[str, str, float]]) -> None:
    text = RESULTS.read_text() if RESULTS.exists() else "# Installation, as measured\n\n`make test-install`\n"
    today = datetime.datetime.now(datetime.UTC).date()
    pattern = rf"\n## {suite}, amd64, nspawn.*?(?=\n## |\Z)"
    before = re.search(pattern, text, flags=re.DOTALL)
    section = f"## {suite}, amd64, nspawn, {today}\n\n| step | result | s |\n|---|---|---|\n"
    section += "".join(f"| {name} | {said.splitlines()[0]} | {seconds:.0f} |\n" for name, said, seconds in rows)
    # These are written by other targets, and this run says nothing of them.
    others = tuple(f"| {name} |" for name in (KILLS, QUICK_KILLS, POWER_CUTS) if name not in {row[0] for row in rows})
    section += "".join(f"{line}\n" for line in (before[0] if before else "").splitlines() if line.startswith(others))
    text = re.sub(pattern, "", text, flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main(sys.argv[1:]))
