"""An owner's choice that comes while root's step runs, after it read the choices, with the real units.

The installed program gets a pause at that place, so that the owner is always in it. systemd starts nothing for the
choice; the step itself looks again at its end.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.install.update_server import CLIENTS, UpdateServer
from tests.install.way_back import OWNER

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["late_choice"]

VERSION = "0.2.1"
HELD_S = 25
READ = '        wish = _read(self.wishes / "wish.json", UpdateWish)\n'
PAUSE = f"""\
        import os, time
        looks = int(os.environ.get("DOORWARD_UPDATE_LOOKS", "1"))
        print("LOOK", looks, "with" if wish else "without", "a choice", flush=True)
        time.sleep({HELD_S} if looks == 1 else 0)
"""
LOOKS = re.compile(r"(?m)^LOOK .*$")


def late_choice(story: Story) -> str:
    box, before = story.box, story._installed()
    program = box.root / "opt/doorward/versions" / before / "app/agent/updater/root_step.py"
    whole = program.read_text()
    assert READ in whole
    with UpdateServer(story) as server:
        server.publish(VERSION)
        program.write_text(whole.replace(READ, READ + PAUSE, 1))
        box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
        story._until(lambda: story._offered(OWNER) == VERSION, f"the offer; {story._update()}", 300)
        story._until(lambda: LOOKS.search(_journal(story)), "root's first look")
        assert box.property("doorward-update", "ActiveState") == "activating"
        started = time.monotonic()
        box.run(*CLIENTS.split(), "owner", "update", "--install", "--yes", "--keys", OWNER)
        story._until(lambda: story._installed().startswith(f"{VERSION}-"), "the late choice to be installed", 500)
        seconds = time.monotonic() - started
        found = LOOKS.findall(_journal(story))
        assert found[:2] == ["LOOK 1 without a choice", "LOOK 2 with a choice"], found
        ended = ("inactive", "failed")
        story._until(lambda: box.property("doorward-update", "ActiveState") in ended, "the end of root's step")
        program.write_text(whole)
        said = box.run("doorward", "update", "back", "--yes").stdout
        assert f"{VERSION} was taken back" in said, said
        assert story._installed() == before
        story._until(story._films, "the version before to film")
    return (
        f"an owner's choice that came after root's step had read the choices was read by its second look, and "
        f"installed {seconds:.0f} s after the signature, of which the step was held for up to {HELD_S}"
    )


def _journal(story: Story) -> str:
    words = ("journalctl", "-u", "doorward-update.service", "-o", "cat", "--no-pager")
    return story.box.run(*words).stdout
