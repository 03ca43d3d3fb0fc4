"""An owner's choice for which systemd starts nothing, with the real units: it comes while root's step runs or ends.

While it runs: the installed program gets a pause after it has read the choices, so that the owner is always in it. The
step itself looks again at its end. At its end: for an instant the step looks no more, and systemd does not watch the
file yet. Here the path unit is stopped while the choice is written, so that this instant lasts. The custodian writes it
a second time.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.install.update_server import CLIENTS, UpdateServer
from tests.install.way_back import OWNER

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["late_choice", "missed_choice"]

VERSION = "0.2.1"
HELD_S = 25
WISH = "/run/doorward/update/wish.json"
STILL_S = 20.0
LEAST_S, MOST_S = 10.0, 60.0
"""The second writing comes after 15 s, and the third after 600 s. A busy machine adds some."""
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


def missed_choice(story: Story) -> str:
    box, before = story.box, story._installed()
    with UpdateServer(story) as server:
        server.publish(VERSION)
        box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
        story._until(lambda: story._offered(OWNER) == VERSION, f"the offer; {story._update()}", 300)
        ended = ("inactive", "failed")
        time.sleep(STILL_S)  # a list of owners may start the step once more
        story._until(lambda: box.property("doorward-update", "ActiveState") in ended, "the end of root's step")
        began = _begins(story)
        box.run("systemctl", "stop", "doorward-update.path")
        started = time.monotonic()
        box.run(*CLIENTS.split(), "owner", "update", "--install", "--yes", "--keys", OWNER)
        story._until(lambda: box.run("test", "-e", WISH, check=False).returncode == 0, "the choice to be written")
        box.run("systemctl", "start", "doorward-update.path")
        assert _begins(story) == began, "systemd saw the first writing"
        story._until(lambda: _begins(story) != began, "root's step after the second writing", 700)
        seconds = time.monotonic() - started
        assert LEAST_S < seconds < MOST_S, f"root's step began after {seconds:.0f} s"
        story._until(lambda: story._installed().startswith(f"{VERSION}-"), "the missed choice to be installed", 500)
        story._until(lambda: box.property("doorward-update", "ActiveState") in ended, "the end of root's step")
        said = box.run("doorward", "update", "back", "--yes").stdout
        assert f"{VERSION} was taken back" in said, said
        assert story._installed() == before
        story._until(story._films, "the version before to film")
    return (
        f"an owner's choice that was written while systemd did not watch was written again, and root's step began "
        f"{seconds:.0f} s after the signature; installed"
    )


def _begins(story: Story) -> str:
    """Returns which start of root's step this is."""
    return story.box.property("doorward-update.service", "ExecMainStartTimestampMonotonic")


def _journal(story: Story) -> str:
    words = ("journalctl", "-u", "doorward-update.service", "-o", "cat", "--no-pager")
    return story.box.run(*words).stdout
