"""Kills at random moments of an update: of the updater, installer, root's step, or of all as in a power cut.

After each kill, and without any help, one whole version must run: all roles from the same complete folder, filming,
with their owner, and no version on trial. Then the next look for updates must work.

Most kills use a version that was built before, so that more of them fall between the verification and the last look at
its health. Some build it from nothing.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.install.update_server import UpdateServer

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["update_kills"]

VERSION = "0.2.4"
KINDS = ("updater", "update", "update", "updater", "update", "update", "power", "update", "updater", "build")
"""The step that is interrupted, in turn. Each tenth builds its version from nothing, each tenth is a power cut."""
VICTIMS = ("installer", "root's step", "both")
SETTLE_S = 600.0
KEPT = "/opt/kept-version"
"""A copy of the new version, for the kills after one that left none."""


def update_kills(story: Story) -> str:
    """DOORWARD_UPDATE_KILLS: how many (200)."""
    count = int(os.environ.get("DOORWARD_UPDATE_KILLS", "200"))
    with UpdateServer(story) as server:
        return _Kills(story, server).run(count)


class _Kills:
    def __init__(self, story: Story, server: UpdateServer) -> None:
        self._story, self._box, self._server = story, story.box, server
        self._rng = random.Random(int(os.environ.get("DOORWARD_UPDATE_SEED", "19")))
        self._old = story._installed()
        self._new = ""
        self._sha256 = ""
        self._owners: list[str] = []

    def run(self, count: int) -> str:
        self._owners = self._story._status()["owners"]
        self._sha256 = self._server.publish(VERSION)
        fetch_s = self._fetched_after()
        build_s = self._installed_after()
        self._new = self._story._installed()
        self._box.run("cp", "-al", f"/opt/doorward/versions/{self._new}", KEPT)
        self._back()
        self._sha256 = self._server.publish(VERSION, wheels=False)
        self._fetched_after()
        update_s = self._installed_after()
        self._back()
        lengths = {"updater": fetch_s, "update": update_s, "power": update_s, "build": build_s}
        found: Counter[str] = Counter()
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            after_s = self._rng.uniform(0, lengths[kind] + 1)
            said = self._killed(kind, after_s)
            self._until_whole(f"kill {number + 1}, {kind} after {after_s:.1f} s ({said})")
            now = "new" if self._story._installed() == self._new else "old"
            found[f"{kind}: {now}"] += 1
            print(f"    kill {number + 1}: {said} after {after_s:.1f} s: {now}", flush=True)
            self._back()
            if kind == "build":
                self._sha256 = self._server.publish(VERSION, wheels=False)
            self._fetched_after()
        told = ", ".join(f"{what} {times}" for what, times in sorted(found.items()))
        return (
            f"{count} kills, after each one whole version runs: {told} (update {update_s:.0f} s, built {build_s:.0f} s)"
        )

    def _fetched_after(self) -> float:
        """Lets the updater look, and root verify. Returns the seconds until the offer was there."""
        started = time.monotonic()
        self._box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
        self._story._until(lambda: self._story._heard() == VERSION, "the offer", 300)
        seconds = time.monotonic() - started
        # A kill is timed from the start of root's step.
        self._story._until(lambda: not self._works(), "the end of root's step")
        return seconds

    def _works(self) -> str:
        """Returns the unit of an update that runs, or an empty string."""
        for unit in ("doorward-updater", "doorward-update", "doorward-install-guard", "doorward-update-trial"):
            if self._box.property(f"{unit}.service", "ActiveState") not in ("inactive", "failed"):
                return unit
        return ""

    def _installed_after(self) -> float:
        started = time.monotonic()
        self._server.wish(VERSION, self._sha256)
        self._story._until(lambda: self._story._installed().startswith(f"{VERSION}-"), "the switch", 900)
        self._until_whole("the update that is not killed")
        return time.monotonic() - started

    def _killed(self, kind: str, after_s: float) -> str:
        """Begins what is to be interrupted, and kills after that time. Returns who was killed."""
        if kind == "updater":
            self._box.run("sh", "-c", "rm -rf /var/lib/doorward/updater/repository")
            self._box.run("systemctl", "start", "--no-block", "doorward-updater.service")
            time.sleep(after_s)
            self._box.run("systemctl", "kill", "-s", "KILL", "doorward-updater.service", check=False)
            return "the updater"
        if kind == "build":
            self._box.run("sh", "-c", f"rm -rf /opt/doorward/versions/{self._new}")
            self._sha256 = self._server.publish(VERSION)
            self._fetched_after()
        self._server.wish(VERSION, self._sha256)
        time.sleep(after_s)
        if kind == "power":
            self._box.cut()
            self._box.boot()
            self._server.serve()
            return "everything"
        victim = self._rng.choice(VICTIMS)
        if victim == "both":
            self._box.run("systemctl", "kill", "-s", "KILL", "doorward-update.service", check=False)
        elif victim == "root's step":
            self._box.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "doorward-update.service", check=False)
        else:
            find = "for each in /proc/[0-9]*; do if tr '\\0' ' ' < $each/cmdline 2>/dev/null | "
            find += "grep -q 'installation install --update'; then kill -KILL ${each#/proc/}; fi; done"
            self._box.run("sh", "-c", find, check=False)
        return victim

    def _until_whole(self, what: str) -> None:
        self._story._until(lambda: not self._fault(), f"one whole version after {what}: {self._fault()}", SETTLE_S)

    def _fault(self) -> str:
        """Returns what one whole, settled version lacks; empty if one runs."""
        box, story = self._box, self._story
        if unit := self._works():
            return f"{unit} works"
        if (box.root / "opt/doorward/trial").exists():
            return "a version is on trial"
        now = story._installed()
        folder = f"/opt/doorward/versions/{now}"
        if now not in (self._old, self._new or now) or not (box.root / folder[1:] / "complete").exists():
            return f"{now} is current"
        for role in story.roles:
            unit = f"doorward-{role}.service"
            program = box.run("sh", "-c", f"tr '\\0' ' ' < /proc/{box.property(unit, 'MainPID')}/cmdline", check=False)
            if not program.stdout.startswith(f"{folder}/"):
                return f"{role} runs {program.stdout!r}"
        status = story._status()
        if status["recorder"]["state"] not in ("watching", "recording"):
            return f"the recorder: {status['recorder']['state']!r}"
        return "" if self._owners in ([], status["owners"]) else f"owners {status['owners']}"

    def _back(self) -> None:
        """Makes the old version current, with the new one complete beside it, as after a roll-back by hand."""
        self._box.run("rm", "-f", "/run/doorward/update/wish.json")
        built = f"/opt/doorward/versions/{self._new}"
        self._box.run("sh", "-c", f"test -e {built}/complete || (rm -rf {built}; cp -al {KEPT} {built})")
        for link, version in (("previous", self._new), ("current", self._old)):
            self._box.run("ln", "-sfn", f"versions/{version}", f"/opt/doorward/{link}")
        self._box.run("systemctl", "start", "doorward-install-guard.service")
        self._until_whole("going back")
