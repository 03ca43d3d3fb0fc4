"""This machine: what decides which package fits, and the folders of an update."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigurationError, UpdateError

__all__ = ["Machine", "UpdateFolders", "output_of", "this_machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """The running version, Debian's name of the architecture, and Debian's number ("12", "13")."""

    running: str
    architecture: str
    debian: str


@dataclass(frozen=True, slots=True)
class UpdateFolders:
    """The folders of an installation (systemd/tmpfiles.d says who writes each). `base` is "/" except in tests."""

    base: Path = Path("/")

    @property
    def source(self) -> Path:
        """The file that `doorward apply` writes from `[updates]`."""
        return self.base / "etc" / "doorward" / "updates.json"

    @property
    def staging(self) -> Path:
        """The updater's."""
        return self.base / "var" / "lib" / "doorward" / "updater"

    @property
    def store(self) -> Path:
        """Root's."""
        return self.base / "var" / "lib" / "doorward" / "update"

    @property
    def wishes(self) -> Path:
        """The custodian's."""
        return self.base / "run" / "doorward" / "update"

    @property
    def opt(self) -> Path:
        return self.base / "opt" / "doorward"


def this_machine(running: str) -> Machine:
    """Raises `ConfigurationError` if this is no Debian."""
    architecture = output_of(["dpkg", "--print-architecture"]).strip()
    try:
        release = platform.freedesktop_os_release()
    except OSError as error:
        raise ConfigurationError("/etc/os-release cannot be read.", remedy="Upgrade with git.") from error
    return Machine(running, architecture, release.get("VERSION_ID", ""))


def output_of(words: list[str]) -> str:
    """Returns what one of Debian's tools prints. Raises `UpdateError` if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise ConfigurationError(f"{words[0]} is not here: this is no Debian.", remedy="Upgrade with git.") from error
    if done.returncode:
        raise UpdateError(f"{words[0]} refuses the package: {done.stderr.strip()[:200]}")
    return done.stdout
