"""From a card's first start to the first opened clip, by a phone.

    python -m tests.install.card_phone FILM FOLDER PICTURES

A real Chromium, which reaches the doorbell at 127.0.0.1:8443. FILM: the film that the doorbell's camera reads. Prints
JSON: steps, seconds, size of the clip's picture.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import av

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
WAIT_MS = 1_200_000
PEOPLE_PX = (384, 288)
"""Half of the film's size. An emulated processor encodes few pictures a second."""


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


def main(film: Path, folder: Path, pictures: Path) -> None:
    began, steps = time.monotonic(), Steps()
    for name in ("before", "after"):
        (folder / name).mkdir()
    with Browser(folder / "before", timeout_ms=WAIT_MS) as phone:
        open_set_up_page(phone, PORT)
        code = make_code(phone, wifi="", password="")
        make_film(film, [hallway(), seen(code, View(tilt_deg=-20, blur_px=1.5))])
        phone.run(f"""await pages.ana.getByText("is in your network").waitFor({{timeout: {WAIT_MS}}});""")
        authority, kept = download_authority(phone), kept_by_the_page(phone)
        steps.add(phone)
    with Browser(folder / "after", authority, timeout_ms=WAIT_MS) as phone:
        check_and_open(phone, PORT, kept)
        people(film)
        become_owner(phone, pictures)
        shown = phone.run(OPEN_THE_FIRST_CLIP)
        steps.add(phone)
        picture(phone, pictures, "first-clip")
    assert shown == list(PEOPLE_PX), shown
    steps.judge()
    print("PHONE " + json.dumps({"steps": steps.done, "seconds": time.monotonic() - began, "shown": shown}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
