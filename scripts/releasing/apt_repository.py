"""The apt repository beside the update repository: Packages, Release, InRelease, the source with its key, and a pin.

Its packages are those of targets/, so nothing is there twice. apt accepts one signature, so this way is weaker than the
doorbells' (docs/decisions/0051), and no doorbell uses it by default. Source: Debian's page on repository formats,
deb822(5), sources.list(5).
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from installation.words import fail
from tuf.api.metadata import TargetFile

from releasing.package_rules import ARCHITECTURES, custom_of
from releasing.update_repository import UpdateRepository, write

__all__ = ["HOST", "SUITE", "Gpg", "Signer", "write_apt_repository"]

SUITE = "stable"
COMPONENT = "main"
_HEAD_BYTES = 16 << 20
"""The beginning of a package, enough for its control.tar, which has a checksum for each file."""
HOST = "updates.example"
"""In the place of the address of a copy."""
PIN = f"""\
# A source of apt may offer each package of the system. With this file, this one offers a single one. Put the host of
# your copy of the repository into both places, then copy this file to /etc/apt/preferences.d/doorward.
Package: *
Pin: origin "{HOST}"
Pin-Priority: -1

Package: doorward
Pin: origin "{HOST}"
Pin-Priority: 500
"""
"""By the host, which apt asks. The origin in a Release file is the word of its signer. Source: apt_preferences(5)."""
VALID_DAYS = 14
"""`renew` signs again each day. A mirror that holds back news is noticed after this time."""


class Signer(Protocol):
    def inline(self, data: bytes) -> bytes: ...

    def detached(self, data: bytes) -> bytes: ...

    def public(self) -> bytes: ...


@dataclass(frozen=True)
class Gpg:
    """A key of gpg's keyring, by its fingerprint. `home`: another keyring than the user's."""

    fingerprint: str
    home: Path | None = None

    def inline(self, data: bytes) -> bytes:
        return self._run(["--clearsign"], data)

    def detached(self, data: bytes) -> bytes:
        return self._run(["--armor", "--detach-sign"], data)

    def public(self) -> bytes:
        return self._run(["--armor", "--export-options", "export-minimal", "--export", self.fingerprint], b"")

    def _run(self, words: list[str], data: bytes) -> bytes:
        command = ["gpg", "--batch", "--no-tty", "--local-user", self.fingerprint]
        command += ["--homedir", str(self.home)] if self.home else []
        try:
            done = subprocess.run([*command, *words], input=data, capture_output=True, check=False)
        except FileNotFoundError:
            fail("gpg is not installed.", "sudo apt-get install gpg gpg-agent")
        if done.returncode or not done.stdout:
            fail(
                f"gpg: {done.stderr.decode(errors='replace').strip()[-300:]}", "look for the key with gpg --list-keys."
            )
        return done.stdout


def write_apt_repository(repository: UpdateRepository, now: datetime, signer: Signer) -> None:
    """Writes the indexes of what is published, and signs them."""
    targets = repository.current_targets()
    published = sorted(targets.signed.targets.items()) if targets else []
    indexes: dict[str, bytes] = {}
    for architecture in ARCHITECTURES:
        entries = [
            _entry(repository.folder, target)
            for _, target in published
            if custom_of(target).get("kind") == "package" and custom_of(target)["architecture"] == architecture
        ]
        indexes[f"{COMPONENT}/binary-{architecture}/Packages"] = "\n".join(entries).encode()
    suite = repository.folder / "dists" / SUITE
    release = _release(indexes, now)
    for name, data in indexes.items():
        digest = hashlib.sha256(data).hexdigest()
        # apt fetches an index by its hash, so a visitor in the middle of a publication gets the one it was promised.
        write(suite / Path(name).parent / "by-hash" / "SHA256" / digest, data)
        write(suite / name, data)
    write(suite / "Release", release)
    write(suite / "Release.gpg", signer.detached(release))
    write(suite / "InRelease", signer.inline(release))
    key = signer.public()
    write(repository.folder / "doorward-archive.asc", key)
    write(repository.folder / "doorward.sources", _source(key))
    write(repository.folder / "doorward.pref", PIN.encode())


def _entry(folder: Path, target: TargetFile) -> str:
    """Returns the paragraph of one package: its own control file, and where its bytes are."""
    place = Path("targets") / target.get_prefixed_paths()[0]
    control = _control_of(folder / place)
    return f"{control}Filename: {place}\nSize: {target.length}\nSHA256: {target.hashes['sha256']}\n"


def _control_of(package: Path) -> str:
    """Returns the control file of a package that `release.py` made: `control.tar` is its second member."""
    with package.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    second = 8 + 60 + 4  # the archive's mark, the first member's header, and its "2.0" with an end of line
    if not head.startswith(b"!<arch>\n") or not head[second:].startswith(b"control.tar "):
        fail(f"{package} is no package of `make release`.", "build it again.")
    size = int(head[second + 48 : second + 58])
    with tarfile.open(fileobj=io.BytesIO(head[second + 60 : second + 60 + size])) as tar:
        member = tar.extractfile("./control")
        return member.read().decode() if member else ""


def _release(indexes: dict[str, bytes], now: datetime) -> bytes:
    lines = [
        "Origin: Doorward",
        "Label: Doorward",
        f"Suite: {SUITE}",
        f"Codename: {SUITE}",
        f"Architectures: {' '.join(ARCHITECTURES)}",
        f"Components: {COMPONENT}",
        f"Date: {_date(now)}",
        f"Valid-Until: {_date(now + timedelta(days=VALID_DAYS))}",
        "Acquire-By-Hash: yes",
        "SHA256:",
        *(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in sorted(indexes.items())),
    ]
    return ("\n".join(lines) + "\n").encode()


def _date(at: datetime) -> str:
    return format_datetime(at).replace("+0000", "UTC")


def _source(key: bytes) -> bytes:
    """Returns the source for apt, with the key in it: `Signed-By` trusts the key for this source only."""
    return "\n".join(_lines(key)).encode() + b"\n"


def _lines(key: bytes) -> Iterator[str]:
    yield "# Put the address of your copy of the repository here, then copy this file to /etc/apt/sources.list.d."
    yield "Types: deb"
    yield f"URIs: https://{HOST}"
    yield f"Suites: {SUITE}"
    yield f"Components: {COMPONENT}"
    yield "Signed-By:"
    for line in key.decode().strip().splitlines():
        yield f" {line}" if line.strip() else " ."
