"""Update repositories for tests, made with python-tuf: real keys, real files, and every way to spoil them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp

__all__ = ["Repository", "deb", "package"]


def deb(version: str = "0.2.1", architecture: str = "amd64", body: bytes = b"the program") -> bytes:
    """A small Debian package with a control file and one file."""
    control = f"Package: doorward\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: x\nDescription: y\n"
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", _tar({"./control": control.encode()})),
        ("data.tar.gz", _tar({"./usr/lib/doorward/scripts/installation/__main__.py": body})),
    ]
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)  # the same bytes in each second


def package(version: str = "0.2.1", architecture: str = "amd64", **more: Any) -> dict[str, Any]:
    """The `custom` of a package."""
    return {
        "kind": "package", "version": version, "architecture": architecture, "debian": ["12", "13"],
        "released": "2026-11-01", "security_below": None, "upgrade_from": "0.1.0", "rollout_hours": 0,
        "notes": {"en": "- Better.\n", "nl": "- Beter.\n"}, **more,
    }  # fmt: skip


@dataclass
class Repository:
    """A repository in `folder`: two of three keys for root and for targets, one for snapshot and one for timestamp."""

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        self.keys = {
            "root": [CryptoSigner.generate_ed25519() for _ in range(3)],
            "targets": [CryptoSigner.generate_ed25519() for _ in range(3)],
            "snapshot": [CryptoSigner.generate_ed25519()],
            "timestamp": [CryptoSigner.generate_ed25519()],
        }
        self.replaced: dict[str, CryptoSigner] = {}
        self.files: dict[str, TargetFile] = {}
        self.versions = {"root": 1, "targets": 0, "snapshot": 0, "timestamp": 0}
        (self.folder / "metadata").mkdir(parents=True)
        (self.folder / "targets").mkdir()
        self.write_root()
        self.publish()

    @property
    def first_root(self) -> bytes:
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    def write_root(self, signers: list[CryptoSigner] | None = None, days: float = 365) -> None:
        keys = {}
        roles = {}
        for name, holders in self.keys.items():
            keys |= {holder.public_key.keyid: holder.public_key for holder in holders}
            threshold = 2 if len(holders) > 1 else 1
            roles[name] = Role([holder.public_key.keyid for holder in holders], threshold)
        root = Root(self.versions["root"], None, self._end(days), keys, roles, consistent_snapshot=True)
        self._sign("root", root, signers or self.keys["root"][:2], f"{root.version}.root.json")

    def release(self, data: bytes, custom: dict[str, Any], name: str | None = None, **sizes: Any) -> str:
        """Adds a package and publishes it. Returns the name of its file."""
        name = name or f"doorward_{custom['version']}_{custom['architecture']}.deb"
        sha256 = hashlib.sha256(data).hexdigest()
        target = TargetFile(sizes.get("length", len(data)), {"sha256": sizes.get("sha256", sha256)}, name)
        target.unrecognized_fields["custom"] = custom
        self.files[name] = target
        stored = f"{target.hashes['sha256']}.{name}"
        (self.folder / "targets" / stored).write_bytes(data)
        self.publish()
        return stored

    def publish(self, **days: float) -> None:
        """Signs a new version of targets, snapshot and timestamp. `days`: how long each is good, from now on."""
        self.write_targets(days.get("targets", 365))
        self.write_snapshot(days.get("snapshot", 120))
        self.write_timestamp(days.get("timestamp", 7))

    def write_targets(self, days: float = 365, signers: list[CryptoSigner] | None = None) -> None:
        self.versions["targets"] += 1
        targets = Targets(self.versions["targets"], None, self._end(days), dict(self.files))
        self._sign("targets", targets, signers or self.keys["targets"][1:], f"{targets.version}.targets.json")

    def write_snapshot(self, days: float = 120, targets: int | None = None, name: str = "targets.json") -> None:
        self.versions["snapshot"] += 1
        meta = {name: MetaFile(targets or self.versions["targets"])}
        snapshot = Snapshot(self.versions["snapshot"], None, self._end(days), meta)
        self._sign("snapshot", snapshot, self.keys["snapshot"], f"{snapshot.version}.snapshot.json")

    def write_timestamp(self, days: float = 7, snapshot: int | None = None) -> None:
        self.versions["timestamp"] += 1
        snapshot = snapshot or self.versions["snapshot"]
        data = (self.folder / "metadata" / f"{snapshot}.snapshot.json").read_bytes()
        meta = MetaFile(snapshot, len(data), {"sha256": hashlib.sha256(data).hexdigest()})
        timestamp = Timestamp(self.versions["timestamp"], None, self._end(days), meta)
        self._sign("timestamp", timestamp, self.keys["timestamp"], "timestamp.json")

    def replace_key(self, role: str, number: int = 0) -> None:
        """Two root keys replace a key of `role`."""
        before = list(self.keys["root"])
        self.replaced[role] = self.keys[role][number]
        self.keys[role][number] = CryptoSigner.generate_ed25519()
        self.versions["root"] += 1
        self.write_root([*before[1:], *self.keys["root"][1:]] if role == "root" else before[1:])
        self.publish()

    def _end(self, days: float) -> datetime:
        return self.now + timedelta(days=days)

    def _sign(self, role: str, signed: Any, signers: list[CryptoSigner], name: str) -> None:
        metadata = Metadata(signed)
        for signer in {signer.public_key.keyid: signer for signer in signers}.values():
            metadata.sign(signer, append=True)
        metadata.to_file(str(self.folder / "metadata" / name))
