"""Small releases and repositories for the tests: real keys and signatures, packages of a few bytes."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Key

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from releasing import package_rules, provenance  # noqa: E402
from releasing.build import DESCRIPTION  # noqa: E402
from releasing.signing import sign  # noqa: E402
from releasing.update_repository import OFFLINE, ROLES, UpdateRepository, write  # noqa: E402
from tuf.api.metadata import TargetFile, Targets  # noqa: E402

COMMIT = "0" * 40


def custom(version: str, architecture: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "package", "version": version, "architecture": architecture, "debian": ["12", "13"],
        "released": "2026-11-28", "security_below": None, "upgrade_from": None, "rollout_hours": 0,
        "notes": {"en": "- It works.\n"}, **more,
    }  # fmt: skip


def release(folder: Path, version: str, packages: dict[str, bytes] | None = None, **more: Any) -> dict[str, TargetFile]:
    """Writes the files of a small release. Returns its targets. `packages`: bytes of some packages, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for architecture in package_rules.ARCHITECTURES:
        name = package_rules.package_name(version, architecture)
        (folder / name).write_bytes((packages or {}).get(name, f"{name}\n".encode()))
        made[name] = _target(folder / name, custom(version, architecture, **more))
    name = f"doorward-{version}.notes.md"
    (folder / name).write_text("- It works.\n")
    made[name] = _target(folder / name, {"kind": "notes", "version": version})
    described = {"version": version, "commit": COMMIT, "files": {name: each.custom for name, each in made.items()}}
    (folder / DESCRIPTION).write_text(json.dumps(described))
    digests = {name: each.hashes["sha256"] for name, each in made.items()}
    (folder / f"doorward-{version}.statement.json").write_bytes(provenance.statement(version, COMMIT, digests, {}))
    return made


def _target(path: Path, custom: dict[str, Any]) -> TargetFile:
    target = TargetFile.from_file(path.name, str(path))
    target.unrecognized_fields["custom"] = custom
    return target


def signers(number: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(number)]


@dataclass
class Maintainers:
    """Three people with a root and a targets key each, the release machine, and one repository."""

    folder: Path
    packages: dict[str, bytes] = field(default_factory=dict)
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        self.repository = UpdateRepository(self.folder / "repository")
        self.held = {role: signers(3 if role in OFFLINE else 1) for role in ROLES}
        self._number = 0

    @property
    def before(self) -> Targets | None:
        """The targets.json in force, as each holder has it."""
        current = self.repository.current_targets()
        return current.signed if current else None

    def public(self, *roles: str) -> dict[str, list[Key]]:
        return {role: [each.public_key for each in self.held[role]] for role in roles or ROLES}

    def new_folder(self, name: str) -> Path:
        self._number += 1
        return self.folder / f"{name}-{self._number}"

    def propose_root(self, *roles: str) -> Path:
        out = self.new_folder("root")
        self.repository.propose_root(self.public(*roles), self.now, out)
        return out

    def propose_release(self, version: str, **more: Any) -> tuple[Path, Path]:
        """Returns the folders of the proposal and of the release."""
        built, out = self.new_folder("built"), self.new_folder("release")
        files = release(built, version, self.packages, **more)
        self.repository.propose_targets(self.now, out, add=files)
        statement = (built / f"doorward-{version}.statement.json").read_bytes()
        write(out / provenance.envelope_name(version), provenance.unsigned(statement))
        return out, built

    def sign(self, folder: Path, role: str, *holders: int, built: Path | None = None) -> None:
        roots = self.repository.roots()
        for number in holders:
            sign(folder, self.held[role][number], roots[-1].signed if roots else None, built, self.before)

    def publish(self, *folders: Path, built: Path | None = None, later: timedelta = timedelta()) -> None:
        self.repository.publish(
            folders,
            self.now + later,
            snapshot=self.held["snapshot"][0],
            timestamp=self.held["timestamp"][0],
            release=built,
        )

    def begin(self, version: str = "0.2.0") -> bytes:
        """Founds the repository with a first release. Returns the first root."""
        root = self.propose_root()
        self.sign(root, "root", 0, 1)
        proposal, built = self.propose_release_with(root, version)
        self.publish(root, proposal, built=built)
        return (self.repository.metadata / "1.root.json").read_bytes()

    def propose_release_with(self, root: Path, version: str) -> tuple[Path, Path]:
        from releasing.update_repository import proposal_files, read
        from tuf.api.metadata import Root

        proposal, built = self.propose_release(version)
        judge = read(proposal_files(root, "root")[0], Root).signed
        for number in (0, 2):
            sign(proposal, self.held["targets"][number], judge, built, self.before)
        return proposal, built


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
