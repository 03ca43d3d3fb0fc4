"""The ways back, with the real units: an owner's signature, then root's own command. A part of the step `updates`.

After each, the version before runs and films, and the withdrawn one does not return: the doorbell looks for updates
again, security updates are automatic, and its roles start again. A newer security update is installed without asking
in between, so the automatic way works.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.install.update_server import CLIENTS, UpdateServer

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["ways_back"]

OWNER = "/root/people/owner"
QUIET_S = 30.0
"""The custodian chooses and writes wishes every few seconds."""


def ways_back(story: Story, server: UpdateServer, before: str, newer: str) -> str:
    """Version 0.2.1 in the folder `newer` runs, after that in `before`. The version in `before` runs at the end."""
    ways = _Ways(story, server, before)
    owner_s = ways.owners(newer)
    automatic_s = ways.automatic()
    root_s = ways.roots()
    story.box.run(*CLIENTS.split(), "owner", "settings", "--updates", "ask", "--yes", "--keys", OWNER)
    return (
        f"an owner's signed way back took {owner_s:.0f} s, root's own {root_s:.0f} s; it filmed after each, and the "
        f"withdrawn version stayed away, while a newer security update came without asking in {automatic_s:.0f} s"
    )


class _Ways:
    def __init__(self, story: Story, server: UpdateServer, before: str) -> None:
        self._story, self._box, self._server, self._before = story, story.box, server, before

    def owners(self, newer: str) -> float:
        """An owner signs; the custodian hands it over, and the path unit starts root's step. Returns the seconds."""
        story, version = self._story, self._before.partition("-")[0]
        story._until(lambda: self._on_offer() == version, f"the way back to {version} on offer; {story._update()}", 120)
        assert story._update()["owners"] is not None, "root knows no owner"
        steps = self._steps()
        started = time.monotonic()
        self._box.run(*CLIENTS.split(), "owner", "update", "--back", "--yes", "--keys", OWNER)
        story._until(lambda: story._installed() == self._before, "the owner's way back", 300)
        self._until_taken_back("0.2.1")
        seconds = time.monotonic() - started
        assert self._steps() > steps, "root's step was not started by its path unit"
        left = self._box.run("ls", "/run/doorward/update").stdout.split()
        assert "owners" in left
        assert "back.dsse" not in left
        assert (self._box.root / "opt/doorward/versions" / newer).is_dir(), "the other version is not kept"
        # From now on it is a security update, and an owner has those installed without asking.
        self._box.run(*CLIENTS.split(), "owner", "settings", "--updates", "security", "--yes", "--keys", OWNER)
        self._server.publish("0.2.1", security_below="0.2.1")
        self._stays_away("0.2.1")
        return seconds

    def automatic(self) -> float:
        """A newer security update comes as before. Returns the seconds until it ran."""
        self._server.publish("0.2.2", security_below="0.2.2")
        started = time.monotonic()
        self._look("0.2.2")
        self._story._until(lambda: self._story._installed().startswith("0.2.2-"), "the automatic update", 900)
        self._story._until(self._is_installed, "its outcome", 300)
        seconds = time.monotonic() - started
        self._story._until(lambda: not self._is_at_work(), "the end of root's step")
        self._story._until(self._story._films, "the automatic update to film")
        return seconds

    def roots(self) -> float:
        """A person with root goes back, although releases name a vulnerability of the version before."""
        started = time.monotonic()
        said = self._box.run("doorward", "update", "back", "--yes").stdout
        assert "0.2.2 was taken back" in said, said
        assert self._story._installed() == self._before
        self._until_taken_back("0.2.2")
        seconds = time.monotonic() - started
        self._stays_away("0.2.2")
        return seconds

    def _stays_away(self, version: str) -> None:
        """The version before films, and `version` is on offer for an owner and does not return."""
        self._story._until(self._story._films, "the version before to film")
        self._story._inside("record", "1")
        self._look(version)
        # The custodian reads the updater's report a moment after it was written.
        told = f"{version} as security update; {self._shown()['offer']}"
        self._story._until(lambda: self._is_security_update(version), told, 120)
        assert self._shown()["automatic"], "security updates wait for an owner"
        roles = [f"doorward-{role}" for role in self._story.roles]
        self._box.run("systemctl", "restart", "doorward.target", *roles)
        self._story._until(self._story._films, "the version before to film after a start")
        ends_s = time.monotonic() + QUIET_S
        while time.monotonic() < ends_s:
            self._box.run("systemctl", "start", "doorward-update.service")
            wished = self._box.run("test", "-e", "/run/doorward/update/wish.json", check=False)
            assert wished.returncode != 0, f"{version} is wished for again"
            assert self._story._installed() == self._before, f"{version} is back"
            time.sleep(5)  # systemd refuses more than five starts in ten seconds
        outcome = self._story._update()["outcome"]
        assert (outcome["version"], outcome["result"]) == (version, "taken back"), outcome

    def _is_security_update(self, version: str) -> bool:
        offer = self._shown()["offer"] or {}
        return (offer.get("version"), offer.get("security")) == (version, True)

    def _look(self, version: str) -> None:
        self._box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
        self._story._until(lambda: self._story._heard() == version, f"the offer of {version}", 300)

    def _until_taken_back(self, version: str) -> None:
        self._story._until(lambda: not self._is_at_work(), "the end of root's step")
        outcome = self._story._update()["outcome"]
        assert (outcome["version"], outcome["result"]) == (version, "taken back"), outcome
        running = self._box.run("doorward", "--version").stdout
        assert self._before.partition("-")[0] in running, running
        self._story._until(lambda: self._shown()["running"] == self._before.partition("-")[0], "its custodian")

    def _is_installed(self) -> bool:
        outcome = self._story._update().get("outcome") or {}
        return (outcome.get("version"), outcome.get("result")) == ("0.2.2", "installed")

    def _is_at_work(self) -> bool:
        return self._box.property("doorward-update", "ActiveState") not in ("inactive", "failed")

    def _on_offer(self) -> str | None:
        back = self._shown()["back"]
        return back["version"] if back and not back["refused"] else None

    def _shown(self) -> Any:
        done = self._box.run(*CLIENTS.split(), "owner", "update", "--json", "--keys", OWNER, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {"back": None, "offer": None, "running": ""}

    def _steps(self) -> int:
        """Returns how often root's step was started."""
        words = ("journalctl", "-u", "doorward-update.service", "-o", "cat", "--no-pager")
        return self._box.run(*words).stdout.count("Starting doorward-update.service")
