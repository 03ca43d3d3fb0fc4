"""From a card's first start to the first opened clip, by a phone: an old one first, then tries that must fail.

    python -m tests.install.card_phone FILM FOLDER PICTURES CONSOLE

A real Chromium, which reaches the doorbell at 127.0.0.1:8443 if its household's Wi-Fi has it. FILM: the film that the
doorbell's camera reads; the router's switch is beside it. CONSOLE: the machine's log, which has root's answer to each
code. Prints JSON: steps, seconds, size of the clip's picture, and rows of the tries and of the old phone.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av

from tests.browser.browser import Browser
from tests.browser.house import PHONE
from tests.browser.steps import Steps, steps_of
from tests.browser.test_set_up_without_a_shell import (
    OPEN_THE_FIRST_CLIP,
    PAGE,
    become_owner,
    check_and_open,
    download_authority,
    kept_by_the_page,
    make_code,
    open_set_up_page,
    picture,
)
from tests.install.card_household import PASSWORD, SWITCH, WIFI
from tests.install.container import CACHE
from tests.install.look_alike import Join, joins_of
from tests.setup_films import View, hallway, make_film, seen

PORT = 8443
WAIT_MS = 1_200_000
JOIN_S = 600.0
"""For the camera to read a code, and for root to answer. systemd gives root 170 s."""
PEOPLE_PX = (384, 288)
"""Half of the film's size. An emulated processor encodes few pictures a second."""
SLOW = f"""const page = pages.ana;
    await page.getByText("Your doorbell does not answer yet.").waitFor({{timeout: {WAIT_MS}}});
    await page.getByText("What the light of the doorbell says").click();
    await page.getByText("Groups of three: there is no Wi-Fi of this name here.").waitFor();"""
TOO_OLD = "This browser is too old for this page"


UPRIGHT = View()


@dataclass(frozen=True)
class Try:
    """A code that does not lead into the Wi-Fi. `state`: root's answer."""

    what: str
    state: str
    wifi: str = WIFI
    password: str = PASSWORD
    router: bool = True
    view: View = UPRIGHT


TRIES = (
    Try("no network, the router is off", "no-network", router=False),
    Try("another name of the Wi-Fi", "no-network", wifi="Nowhere", view=View(tilt_deg=15, turn_deg=4, noise=6)),
    Try("a wrong password", "wrong-password", password="not the password", view=View(side=0.5, light=0.7)),
)


class Console:
    """The machine's log."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def join(self, number: int) -> Join:
        """Waits for root's answer to this many codes. Returns the last one."""
        deadline_s = time.monotonic() + JOIN_S
        while len(joins := joins_of(self._log.read_text(errors="replace"))) < number:
            assert time.monotonic() < deadline_s, f"no answer to code {number}: {joins}"
            time.sleep(0.5)
        assert len(joins) == number, joins
        return joins[-1]


def people(target: Path, seconds: int = 20) -> None:
    """A film of people who walk by, complete under its name at once."""
    making = target.with_name(f"making-{target.name}")
    with av.open(str(CACHE.parent / "vtest.avi")) as source, av.open(str(making), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *PEOPLE_PX, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number >= 10 * seconds:
                break
            small = frame.reformat(*PEOPLE_PX, format="yuv420p")
            small.pts = None
            container.mux(stream.encode(small))
        container.mux(stream.encode(None))
    making.replace(target)


def old_phone(browser: Browser, url: str, pictures: Path, name: str) -> tuple[str, float]:
    """Opens a page in a browser that lacks what the page needs. Returns what the page says, and the seconds."""
    began_s = time.monotonic()
    browser.open(name, **PHONE)
    told = browser.run(
        """const page = pages[args.name];
           await page.addInitScript(() => { delete AbortSignal.timeout; });
           await page.goto(args.url);
           const said = page.getByText(args.told);
           await said.waitFor();
           if (await page.getByLabel("Name of your Wi-Fi").count()) throw new Error("it goes on");
           await page.screenshot({path: args.path, fullPage: true});
           return await said.first().innerText();""",
        name=name, url=url, told=TOO_OLD, path=str(pictures / f"{name}.png"),
    )  # fmt: skip
    return str(told), time.monotonic() - began_s


def try_in_vain(phone: Browser, film: Path, console: Console, number: int, pictures: Path) -> tuple[str, str, float]:
    """Goes through one of the tries, to the form again. Returns its row."""
    what = TRIES[number]
    began_s = time.monotonic()
    code = make_code(phone, wifi=what.wifi, password=what.password)
    make_film(film, [hallway(), seen(code, what.view)])
    join = console.join(number + 1)
    seconds = time.monotonic() - began_s
    acts = phone.acts("ana")
    if not what.router:
        phone.run(SLOW)
    picture(phone, pictures, f"try-{number + 1}-{what.state}")
    phone.acts("ana")  # a look at the lights is not needed
    phone.run('await pages.ana.getByRole("button", {name: "Change something"}).click();')
    steps = len(steps_of([*acts, *phone.acts("ana")]))
    return (
        what.what,
        f"{join.state}, {join.at_s:.0f} s after power-on; {steps} steps, back to the form included; NetworkManager: "
        f"“{join.words}”",
        seconds,
    )


def main(film: Path, folder: Path, pictures: Path, log: Path) -> None:
    console, switch = Console(log), film.with_name(SWITCH)
    for name in ("before", "after"):
        (folder / name).mkdir()
    old: list[tuple[str, str, float]] = []
    tries: list[tuple[str, str, float]] = []
    with Browser(folder / "before", timeout_ms=WAIT_MS) as phone:
        old.append(("the set-up page", *old_phone(phone, PAGE.as_uri(), pictures, "old-phone-set-up")))
        open_set_up_page(phone, PORT)
        for number, each in enumerate(TRIES):
            if each.router:
                switch.touch()
            tries.append(try_in_vain(phone, film, console, number, pictures))
        began_s, steps = time.monotonic(), Steps()
        code = make_code(phone, wifi=WIFI, password=PASSWORD)
        make_film(film, [hallway(), seen(code, View(tilt_deg=-20, blur_px=1.5))])
        phone.run(f"""await pages.ana.getByText("is in your network").waitFor({{timeout: {WAIT_MS}}});""")
        joined = console.join(len(TRIES) + 1)
        assert joined.state == "joined", joined
        picture(phone, pictures, "in-your-network")
        authority, kept = download_authority(phone), kept_by_the_page(phone)
        steps.add(phone)
    with Browser(folder / "after", authority, timeout_ms=WAIT_MS) as phone:
        page = f"https://front-door.local:{PORT}/pair"
        old.append(("the doorbell's page", *old_phone(phone, page, pictures, "old-phone-doorbell")))
        check_and_open(phone, PORT, kept)
        people(film)
        become_owner(phone, pictures)
        shown = phone.run(OPEN_THE_FIRST_CLIP)
        steps.add(phone)
        picture(phone, pictures, "first-clip")
    assert shown == list(PEOPLE_PX), shown
    for each, (_, told, _) in zip(TRIES, tries, strict=True):
        assert told.startswith(f"{each.state},"), tries
    steps.judge()
    found = {
        "steps": steps.done, "seconds": time.monotonic() - began_s, "shown": shown, "old": old, "tries": tries,
        "joined": f"joined {joined.at_s:.0f} s after power-on",
    }  # fmt: skip
    print("PHONE " + json.dumps(found))


if __name__ == "__main__":
    film, folder, pictures, log = map(Path, sys.argv[1:])
    try:
        main(film, folder, pictures, log)
    finally:
        # The folder is removed afterwards. A failure is easier to understand with the page as it was.
        for path in folder.glob("*/failed-*.png"):
            shutil.copy(path, pictures)
