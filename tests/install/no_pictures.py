"""A signed update whose version starts and gets no pictures from the camera: the version before films again.

The fault is in the recorder, so the test with the configured camera before the switch does not see it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.install.update_server import CLIENTS, Break, UpdateServer
from tests.install.way_back import OWNER

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["no_pictures"]

RECORDER: Break = (
    "agent/recorder/composition.py",
    "        return translation.make_camera(",
    '        from agent.errors import DeviceError\n        raise DeviceError("no pictures")\n'
    "        return translation.make_camera(",
)
"""It opens no camera where the service does. Neither the self-test nor the test with the camera goes that way."""
PATIENCE_S = 900.0


def no_pictures(story: Story) -> str:
    before = story._installed()
    with UpdateServer(story) as server:
        server.publish("0.2.5", broken=RECORDER)
        seconds = _chosen(story, before, "0.2.5")
    return f"a version whose recorder gets no pictures went back after {seconds:.0f} s"


def _chosen(story: Story, before: str, version: str) -> float:
    """An owner chooses `version`, and in the end `before` runs and films. Returns the seconds until then."""
    story.box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
    story._until(lambda: story._offered(OWNER) == version, f"the offer of {version}; {story._update()}", 300)
    # systemd misses a wish that is written while root's step runs, and the custodian writes it again ten minutes later.
    story._until(lambda: story.box.property("doorward-update", "ActiveState") != "activating", "the end of root's step")
    started = time.monotonic()
    story.box.run(*CLIENTS.split(), "owner", "update", "--install", "--yes", "--keys", OWNER)
    story._until(lambda: story._installed().startswith(f"{version}-"), "its start", 900)
    while _outcome(story) != (version, "rolled back"):
        assert time.monotonic() - started < PATIENCE_S, story._update()
        time.sleep(0.5)
    story._until(lambda: story.box.property("doorward-update", "ActiveState") != "activating", "the end of root's step")
    assert story._installed() == before
    story._until(story._films, "the version before to film")
    seconds = time.monotonic() - started
    story._inside("record", "1")
    return seconds


def _outcome(story: Story) -> tuple[str, str] | None:
    outcome = story._update().get("outcome")
    return (outcome["version"], outcome["result"]) if outcome else None
