"""Attacks on the installed updater, with its real units: a server that freezes, rolls back, mixes and drips.

After each, the same version runs and films, the doctor tells the trouble, and the updater's unit has ended alone,
below its limit of memory. At the end an honest server is heard again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.checks.update_news import _TROUBLES
from tests.install.update_server import SERVER, UpdateServer
from tests.update_repositories import package

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["update_attacks"]

DRIPPING = Path(__file__).with_name("dripping_server.py")
UNIT = "doorward-updater.service"
FRESH_S = 60.0
"""The timestamp that a freezing server keeps is good for this long here, instead of a week."""
PATIENCE_S = 25.0
"""The unit's time-out in one attack, instead of eight hours."""
SLOW_BYTES = 4 * 25 * 8192
"""Length of a package that comes at 8 kB a second."""
MOST_S = 120.0
"""Each answer that is too slow is given up half a minute after its first byte (`agent.updater.fetchers`)."""


def update_attacks(story: Story) -> str:
    with UpdateServer(story) as server:
        return _Attacks(story, server).run()


class _Attacks:
    def __init__(self, story: Story, server: UpdateServer) -> None:
        self._story, self._box, self._server = story, story.box, server
        self._metadata = server.repository.folder / "metadata"
        self._installed = story._installed()
        self._peak_kb, self._longest_s = 0, 0.0

    def run(self) -> str:
        self._box.run("systemctl", "stop", "doorward-updater.timer")
        self._honest("")
        attacks: dict[str, tuple[Callable[[], None], str]] = {
            "a freeze": (self._freeze, "expired"),
            "a roll-back": (self._roll_back, "refused"),
            "mix and match": (self._mix_and_match, "refused"),
            "drops": (lambda: self._serve("drip"), "network"),
            "drops in the head": (lambda: self._serve("head"), "network"),
            "answers without an end": (lambda: self._serve("endless"), "refused"),
        }
        for name, (attack, trouble) in attacks.items():
            attack()
            self._look(name)
            self._story._until(lambda: self._has_ended("doorward-update"), f"the end of root's step after {name}")
            self._told(name, trouble)
            self._server.repository.publish()
            self._serve("")
            self._honest(name)
        self._timed_out()
        limit_mb = int(self._box.property(UNIT, "MemoryMax")) / 1e6
        peak_mb = self._peak_kb * 1024 / 1e6
        assert 0 < peak_mb < limit_mb, (peak_mb, limit_mb)
        return (
            f"{', '.join(attacks)}: the same version runs and films after each, the doctor tells the trouble, and an "
            f"honest server is heard again; the updater ended alone after {self._longest_s:.0f} s at most, with a "
            f"peak of {peak_mb:.0f} MB of {limit_mb:.0f}; one that sends a package just fast enough was ended by the "
            f"unit's time-out ({PATIENCE_S:.0f} s there)"
        )

    # --- Attacks

    def _freeze(self) -> None:
        """The same old files as before, until their end has passed."""
        self._server.repository.now = datetime.now(UTC).replace(microsecond=0)
        self._server.repository.publish(timestamp=FRESH_S / 86_400)
        self._honest("the news that will be old")
        time.sleep(FRESH_S)

    def _roll_back(self) -> None:
        """Everything as it was signed before, and still good; the doorbell has seen newer files."""
        before = self._metadata.with_name("before")
        shutil.copytree(self._metadata, before)
        self._server.repository.publish()
        self._honest("the newer news")
        shutil.rmtree(self._metadata)
        before.rename(self._metadata)

    def _mix_and_match(self) -> None:
        """The newest snapshot names a list of packages that never belonged to it."""
        self._server.repository.publish()
        newest = self._server.repository.versions["targets"]
        shutil.copy(self._metadata / "1.targets.json", self._metadata / f"{newest}.targets.json")

    def _timed_out(self) -> None:
        """A package at 8 kB a second, which is fast enough for the updater, until systemd ends it."""
        story, dropin = self._story, f"/run/systemd/system/{UNIT}.d/patience.conf"
        text = f"[Service]\nTimeoutStartSec={PATIENCE_S:.0f}\n"
        self._box.run("sh", "-c", 'mkdir -p "${0%/*}" && printf %s "$1" > "$0"', dropin, text)
        self._box.run("systemctl", "daemon-reload")
        self._server.repository.release(bytes(SLOW_BYTES), package("0.9.0"))
        self._serve("slow")
        self._look("a slow package", result="timeout", patience_s=PATIENCE_S + 60)
        assert story._installed() == self._installed
        assert story._update().get("offer") is None, "half a package is on offer"
        self._box.run("rm", dropin)
        self._box.run("systemctl", "daemon-reload")
        self._server.repository.files.clear()
        self._server.repository.publish()
        self._serve("")
        self._honest("the time-out")

    # --- What is looked at

    def _look(self, name: str, result: str = "exit-code", patience_s: float = MOST_S) -> None:
        """Runs the unit to its end, and notes the updater's time and peak."""
        started = time.monotonic()
        peak_kb = self._run_unit(patience_s)
        seconds = time.monotonic() - started
        assert self._box.property(UNIT, "Result") == result, (name, self._box.property(UNIT, "Result"))
        self._peak_kb = max(self._peak_kb, peak_kb)
        if result != "timeout":
            self._longest_s = max(self._longest_s, seconds)

    def _run_unit(self, patience_s: float) -> int:
        """Returns the peak of its process's memory, in KiB. Raises if the unit does not end."""
        watch = (
            f"systemctl start --no-block {UNIT}; peak=0; for _ in $(seq {int(5 * patience_s)}); do "
            f"pid=$(systemctl show --value -p MainPID {UNIT}); "
            "now=$(sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$pid/status 2>/dev/null); "
            '[ "${now:-0}" -gt $peak ] && peak=$now; '
            f"state=$(systemctl show --value -p ActiveState {UNIT}); "
            'case $state in inactive|failed) [ "$peak" -gt 0 ] && break;; esac; sleep 0.2; done; echo $peak $state'
        )
        peak, state = self._box.run("sh", "-c", watch, timeout_s=patience_s + 300).stdout.split()
        assert state in ("inactive", "failed"), f"the updater's unit is {state}"
        return int(peak)

    def _told(self, name: str, trouble: str) -> None:
        """The state and the doctor tell the trouble, and the same version films."""
        story = self._story
        assert story._update()["trouble"] == trouble, (name, story._update())
        found = json.loads(self._box.run("doorward", "doctor", "--json", check=False).stdout)["findings"]
        (told,) = [each for each in found if each["subject"] == "updates"]
        assert (told["health"], told["message"]) == ("poor", _TROUBLES[trouble]), (name, told)
        assert story._installed() == self._installed, name
        assert story._films(), name
        assert story._update().get("offer") is None, name

    def _honest(self, name: str) -> None:
        """The same unit hears an honest server, and no trouble stays."""
        self._run_unit(MOST_S)
        assert self._box.property(UNIT, "Result") == "success", (name, self._box.property(UNIT, "Result"))
        self._story._until(self._has_news, f"honest news after {name}: {self._story._update()}", 120)

    def _has_news(self) -> bool:
        state = self._story._update()
        return (
            self._has_ended("doorward-update") and state.get("checked_ms") is not None and state.get("trouble") is None
        )

    def _has_ended(self, unit: str) -> bool:
        return self._box.property(unit, "ActiveState") in ("inactive", "failed")

    def _serve(self, mode: str) -> None:
        """`mode`: of tests/install/dripping_server.py; an honest server without it."""
        script = self._box.root / "srv" / DRIPPING.name
        self._box.run("systemctl", "stop", SERVER, check=False)
        script.unlink(missing_ok=True)  # an uninstall has to leave nothing that was not there before
        if not mode:
            self._server.serve()
            return
        script.write_text(DRIPPING.read_text())
        words = ("python3", f"/srv/{DRIPPING.name}", "8099", "/srv/updates", mode)
        self._box.run("systemd-run", "-q", f"--unit={SERVER}", *words)
