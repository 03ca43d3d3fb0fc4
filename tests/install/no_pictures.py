"""Signed updates to a version that starts and gets no pictures from the camera: the version before films again.

Two faults: in the recorder, which shows only after the switch, and in the camera's adapter, which shows in the test
with the configured camera, before anything is changed. Debian 12 films a drawn scene, so only the first is tried there.
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
ADAPTER: Break = (
    "agent/recorder/capture/camera_picamera2/camera.py",
    "            found = self._cameras()",
    "            found = []",
)

PATIENCE_S = 900.0


def no_pictures(story: Story) -> str:
    before = story._installed()
    with UpdateServer(story) as server:
        server.publish("0.2.5", broken=RECORDER)
        seconds = _chosen(story, before, "0.2.5", starts=True)
        told = f"one without pictures went back after {seconds:.0f} s"
        if story.suite == "bookworm":
            return f"{told}; the other fault is not tried here, because a drawn scene needs no camera"
        server.publish("0.2.6", broken=ADAPTER)
        seconds = _chosen(story, before, "0.2.6", starts=False)
    return f"{told}; one that cannot open the camera was left out after {seconds:.0f} s, before anything was changed"


def _chosen(story: Story, before: str, version: str, *, starts: bool) -> float:
    """An owner chooses `version`, and in the end `before` runs and films. Returns the seconds until then."""
    story.box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
    story._until(lambda: story._offered(OWNER) == version, f"the offer of {version}; {story._update()}", 300)
    started = time.monotonic()  # root's step may still run: it looks again at its end
    story.box.run(*CLIENTS.split(), "owner", "update", "--install", "--yes", "--keys", OWNER)
    if starts:
        story._until(lambda: story._installed().startswith(f"{version}-"), "its start", 900)
    while _outcome(story) != (version, "rolled back"):
        assert starts or story._installed() == before, "it was started"
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
