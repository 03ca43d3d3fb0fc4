"""From an installed doorbell to its first opened clip by a phone: a real Chromium, and a film of what its camera sees.

    python -m tests.install.phone CAMERA OUTCOME FOLDER

Runs in the container's network and outside its file system (tests/install/set_up.py). CAMERA: the film that the
doorbell's camera reads. OUTCOME: the file in which root's command says what became of a code. FOLDER: for the browser's
homes and the pictures. Prints JSON: steps, seconds, tries.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.browser.browser import Browser
from tests.browser.steps import Steps
from tests.browser.test_set_up_without_a_shell import (
    OPEN_THE_FIRST_CLIP,
    become_owner,
    check_and_open,
    download_authority,
    kept_by_the_page,
    make_code,
    open_set_up_page,
    picture,
)
from tests.install.container import CACHE
from tests.setup_films import View, hallway, make_film, seen

PORT = 8443
WIFI, PASSWORD = "Huis, 3 hoog", r"pass\word with spaces"
TRIES = {
    "a network that is not there": {"wifi": "Nowhere"},
    "a wrong password": {"password": "not the password"},
}
OUTCOMES = ("no-network", "wrong-password")
PATIENCE_S = 300.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.2)


def main(camera: Path, outcome: Path, folder: Path) -> None:
    began = time.monotonic()
    steps, tries = Steps(), []
    for name in ("before", "after"):
        (folder / name).mkdir()
    views = (View(tilt_deg=15, turn_deg=4, noise=6), View(side=0.5, light=0.7), View(tilt_deg=-20, blur_px=1.5))

    def heard() -> str:
        return outcome.read_text() if outcome.exists() else ""

    with Browser(folder / "before", timeout_ms=120_000) as phone:
        open_set_up_page(phone, PORT)
        for (what, wrong), expected, view in zip(TRIES.items(), OUTCOMES, views, strict=False):
            code = make_code(phone, **{"wifi": WIFI, "password": PASSWORD, **wrong})
            make_film(camera, [hallway(), seen(code, view)])
            until(lambda expected=expected: heard().endswith(f" {expected}\n"), f"{what}: {expected}, not {heard()}")
            tries.append(f"{what}: {expected}")
            phone.run('await pages.ana.getByRole("button", {name: "Change something"}).click();')
            phone.acts("ana")  # a try that fails is not part of the way
        code = make_code(phone, wifi=WIFI, password=PASSWORD)
        make_film(camera, [hallway(), seen(code, views[-1])])
        phone.run("""await pages.ana.getByText("is in your network").waitFor({timeout: 300_000});""")
        tries.append(f"the right one: {heard().split()[-1]}")
        authority, kept = download_authority(phone), kept_by_the_page(phone)
        steps.add(phone)
    with Browser(folder / "after", authority, timeout_ms=120_000) as phone:
        check_and_open(phone, PORT, kept)
        shutil.copyfile(CACHE.parent / "vtest.avi", camera.with_name("people.avi"))
        camera.with_name("people.avi").replace(camera)  # from now on people walk by
        become_owner(phone, folder)
        time.sleep(20)
        shown = phone.run(OPEN_THE_FIRST_CLIP)
        steps.add(phone)
        picture(phone, folder, "first-clip")
    assert shown == [768, 576], shown
    steps.judge()
    print("PHONE " + json.dumps({"steps": steps.done, "seconds": time.monotonic() - began, "tries": tries}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
