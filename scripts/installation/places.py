"""Every path an installation owns.  `root` is "/" but for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BACKUP", "BOARD_LIGHT", "DROPINS", "ENABLED", "GUARD", "JOIN", "SERVICES", "UNITS", "USERS", "Places"]

SERVICES = ("doorward-custodian", "doorward-recorder", "doorward-uplink", "doorward-bridge")
ENABLED = (
    "doorward.target",
    "doorward-device-key.service",
    "doorward-first-boot.service",
    "doorward-enrol.service",
    *(f"{name}.service" for name in SERVICES),
    "doorward-integrity.service",
    "doorward-integrity.timer",
    "doorward-updater.timer",
    "doorward-update.path",
    "doorward-update.service",
    "doorward-update-trial.service",
)
JOIN = "doorward-join.path"
"""Waits for a set-up code of the camera, if the configuration asks for it."""
BOARD_LIGHT = "doorward-board-light.service"
"""Shows the set-up by the camera on the board's own light, if no status LED is wired."""
GUARD = "doorward-install-guard.service"
"""Ends what an installer leaves if it is killed."""
BACKUP = "doorward-backup.timer"
"""Makes a backup each day, if the configuration says where."""
UNITS = (
    *ENABLED, "doorward-updater.service", JOIN, "doorward-join.service", BOARD_LIGHT, BACKUP, "doorward-backup.service",
    GUARD,
)  # fmt: skip
USERS = (*SERVICES, "doorward-updater")
DROPINS = {
    "custodian-page": "doorward-custodian",
    "recorder-object-detection": "doorward-recorder",
    "recorder-rtsp": "doorward-recorder",
    "recorder-sound": "doorward-recorder",
    "recorder-speaker": "doorward-recorder",
    "recorder-wide": "doorward-recorder",
}
"""File in systemd/dropins → the service it opens a little, when the configuration asks for it."""


@dataclass(frozen=True, slots=True)
class Places:
    root: Path = Path("/")

    @property
    def opt(self) -> Path:
        return self.root / "opt" / "doorward"

    @property
    def versions(self) -> Path:
        return self.opt / "versions"

    @property
    def current(self) -> Path:
        """The link that decides what runs."""
        return self.opt / "current"

    @property
    def previous(self) -> Path:
        """The link to what ran before, for rolling back."""
        return self.opt / "previous"

    @property
    def trial(self) -> Path:
        """Names the version that runs on trial. It exists from before the switch until the version proved healthy."""
        return self.opt / "trial"

    @property
    def etc(self) -> Path:
        return self.root / "etc" / "doorward"

    @property
    def configuration(self) -> Path:
        return self.etc / "doorward.toml"

    @property
    def update_source(self) -> Path:
        """The table `[updates]`, for processes that must not read the configuration."""
        return self.etc / "updates.json"

    @property
    def state(self) -> Path:
        return self.root / "var" / "lib" / "doorward"

    @property
    def runtime(self) -> Path:
        return self.root / "run" / "doorward"

    @property
    def units(self) -> Path:
        return self.root / "etc" / "systemd" / "system"

    @property
    def tmpfiles(self) -> Path:
        return self.root / "etc" / "tmpfiles.d" / "doorward.conf"

    @property
    def modules(self) -> Path:
        return self.root / "etc" / "modules-load.d" / "doorward.conf"

    @property
    def command(self) -> Path:
        return self.root / "usr" / "local" / "bin" / "doorward"

    @property
    def lock(self) -> Path:
        return self.root / "run" / "doorward-install.lock"
