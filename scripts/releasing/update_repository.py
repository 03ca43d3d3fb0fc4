"""The update repository: its roles, the proposals that people sign, and the publication (docs/decisions/0051).

A proposal is a folder with one new root.json or targets.json, and for a release its provenance. Signers add their
signatures offline, each to a copy if they like. `publish` joins the copies, checks the thresholds and writes: files
first, then metadata, the timestamp last. A visitor therefore sees the old state or the new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from installation.words import fail
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from releasing import package_rules, provenance

__all__ = [
    "DAYS",
    "LEAST_KEYS",
    "OFFLINE",
    "ROLES",
    "THRESHOLD",
    "UpdateRepository",
    "keys_of",
    "proposal_files",
    "read",
    "refuse",
    "require_threshold",
    "write",
]

ROLES = ("root", "targets", "snapshot", "timestamp")
OFFLINE = ("root", "targets")
DAYS = {"root": 365, "targets": 365, "snapshot": 120, "timestamp": 7}
"""Until metadata expires."""
RENEW_DAYS = {"root": 60, "targets": 60, "snapshot": 30}
"""`renew` warns if fewer are left."""
THRESHOLD = {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}
LEAST_KEYS = {"root": 3, "targets": 3, "snapshot": 1, "timestamp": 1}
_READABLE = JSONSerializer(compact=False)
_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True)
class UpdateRepository:
    """A repository in `folder`, which a web server may hand out as it is."""

    folder: Path

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def targets_folder(self) -> Path:
        return self.folder / "targets"

    def roots(self) -> list[Metadata[Root]]:
        """Returns all roots, oldest first."""
        found: list[Metadata[Root]] = []
        while (path := self.metadata / f"{len(found) + 1}.root.json").is_file():
            found.append(read(path, Root))
        return found

    def root(self) -> Metadata[Root]:
        roots = self.roots()
        if not roots:
            fail(f"{self.folder} has no root.json.", "publish the first root: docs/releasing.md.")
        return roots[-1]

    def current_targets(self) -> Metadata[Targets] | None:
        """Returns what is published, which may not be the newest file: snapshot.json names it."""
        snapshot = self.current_snapshot()
        if snapshot is None:
            return None
        version = snapshot.signed.meta["targets.json"].version
        return read(self.metadata / f"{version}.targets.json", Targets)

    def current_snapshot(self) -> Metadata[Snapshot] | None:
        timestamp = self.current_timestamp()
        if timestamp is None:
            return None
        return read(self.metadata / f"{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)

    def current_timestamp(self) -> Metadata[Timestamp] | None:
        path = self.metadata / "timestamp.json"
        return read(path, Timestamp) if path.is_file() else None

    # --- Proposals

    def propose_root(self, keys: Mapping[str, Sequence[Key]], now: datetime, out: Path) -> Path:
        """Writes the next root.json for signing. `keys`: all keys of each role; a role that is left out keeps its own.

        Raises `FailedError` if a role has too few keys or shares one with another role.
        """
        roots = self.roots()
        old = roots[-1].signed if roots else None
        chosen = {role: list(keys.get(role) or keys_of(old, role)) for role in ROLES}
        _require_separate(chosen)
        root = Root(
            version=(old.version if old else 0) + 1,
            expires=_expires("root", now),
            keys={key.keyid: key for each in chosen.values() for key in each},
            roles={role: Role([key.keyid for key in chosen[role]], THRESHOLD[role]) for role in ROLES},
            consistent_snapshot=True,
        )
        return _write_proposal(out, Metadata(root))

    def propose_targets(
        self, now: datetime, out: Path, *, add: Mapping[str, TargetFile] | None = None, withdraw: Iterable[str] = ()
    ) -> Path:
        """Writes the next targets.json for signing, with `add`, and without the versions in `withdraw`."""
        current = self.current_targets()
        files = dict(current.signed.targets) if current else {}
        for version in withdraw:
            gone = package_rules.versions_of(Targets(targets=files)).get(version, [])
            left = {path: each for path, each in files.items() if each not in gone}
            if len(left) == len(files):
                fail(f"{version} is not published.", "look at `show`.")
            files = left
        for path, target in (add or {}).items():
            if path in files and files[path] != target:
                fail(f"{path} is published with other bytes.", "raise the version. A published one never changes.")
            files[path] = target
        targets = Targets(
            version=(current.signed.version if current else 0) + 1, expires=_expires("targets", now), targets=files
        )
        refuse(package_rules.violations(targets))
        return _write_proposal(out, Metadata(targets))

    # --- Publication

    def publish(
        self,
        proposals: Sequence[Path],
        now: datetime,
        *,
        snapshot: CryptoSigner,
        timestamp: CryptoSigner,
        release: Path | None = None,
    ) -> None:
        """Checks signed proposals and makes them visible. `release`: the folder with the files that they add."""
        for folder in proposals:
            if not proposal_files(folder, "root") and not proposal_files(folder, "targets"):
                fail(f"{folder} holds no proposal.", "give the folder that `propose` or `propose-root` wrote.")
        roots = [*self.roots()]
        root = _joined(proposals, Root)
        if root is not None and not _is_published(roots, root):
            _require_next_root(roots, root)
            roots.append(root)
        if not roots:
            fail("The repository has no root.json, and no proposal has one.", "begin with `propose-root`.")
        current = self.current_targets()
        targets = _joined(proposals, Targets)
        if targets is not None:
            self._take_release(roots[-1].signed, current, targets, proposals, release, now)
        kept = targets or current
        if kept is None:
            fail("Nothing is released yet.", "publish the first root together with the first release.")
        # A new root may drop keys. Doorbells would refuse a list in force that no longer has its signatures.
        require_threshold(roots[-1].signed, "targets", kept, "sign and publish a new targets.json with this root.")
        if root is not None:
            # The root comes first: a visitor asks for the next number, whatever the timestamp says (TUF 5.3).
            write(self.metadata / f"{root.signed.version}.root.json", root.to_bytes(_READABLE))
        if targets is not None:
            write(self.metadata / f"{targets.signed.version}.targets.json", targets.to_bytes(_READABLE))
        self._write_snapshot(kept.signed.version, now, snapshot)
        self._write_timestamp(now, timestamp)

    def renew(self, now: datetime, *, timestamp: CryptoSigner, snapshot: CryptoSigner | None = None) -> list[str]:
        """Writes a new timestamp.json, and a new snapshot.json if `snapshot` is given and the old one expires soon.

        Returns a sentence for each role that expires soon.
        """
        current, old = self.current_targets(), self.current_snapshot()
        if current is None or old is None:
            fail("The repository has no snapshot.json.", "publish a release first.")
        if snapshot is not None and _days_left(old.signed, now) < RENEW_DAYS["snapshot"]:
            self._write_snapshot(current.signed.version, now, snapshot)
        self._write_timestamp(now, timestamp)
        return self.expiring(now)

    def _write_snapshot(self, targets_version: int, now: datetime, signer: CryptoSigner) -> None:
        # After an interrupted publication there may be a newer file than the timestamp names. It keeps its name.
        version = self._newest("snapshot") + 1
        meta = {"targets.json": MetaFile(targets_version)}
        made = Metadata(Snapshot(version=version, expires=_expires("snapshot", now), meta=meta))
        made.sign(signer)
        require_threshold(self.root().signed, "snapshot", made, "take the snapshot key that root.json names.")
        write(self.metadata / f"{version}.snapshot.json", made.to_bytes(_READABLE))

    def _write_timestamp(self, now: datetime, signer: CryptoSigner) -> None:
        before = self.current_timestamp()
        version = (before.signed.version if before else 0) + 1
        made = Metadata(
            Timestamp(
                version=version, expires=_expires("timestamp", now), snapshot_meta=MetaFile(self._newest("snapshot"))
            )
        )
        made.sign(signer)
        require_threshold(self.root().signed, "timestamp", made, "take the timestamp key that root.json names.")
        write(self.metadata / "timestamp.json", made.to_bytes(_READABLE))

    def _newest(self, role: str) -> int:
        return max((int(path.name.partition(".")[0]) for path in self.metadata.glob(f"*.{role}.json")), default=0)

    def expiring(self, now: datetime) -> list[str]:
        """Returns a sentence for each role that expires soon."""
        found = []
        held = {"root": self.root(), "targets": self.current_targets(), "snapshot": self.current_snapshot()}
        for role, metadata in held.items():
            if metadata is not None and (left := _days_left(metadata.signed, now)) < RENEW_DAYS[role]:
                found.append(f"{role}.json expires in {left} days.")
        return found

    def _take_release(
        self,
        root: Root,
        current: Metadata[Targets] | None,
        targets: Metadata[Targets],
        proposals: Sequence[Path],
        release: Path | None,
        now: datetime,
    ) -> None:
        """Checks a signed targets.json and copies its files. Each new version needs its signed provenance."""
        _require_next_targets(root, current, targets, now)
        known = package_rules.versions_of(current.signed) if current else {}
        envelopes = provenance.joined(proposals)
        for version in sorted(set(package_rules.versions_of(targets.signed)) - set(known)):
            if version not in envelopes:
                fail(f"The provenance of {version} is missing.", "give the whole folder of the proposal.")
            refuse(provenance.faults(envelopes[version], version, targets.signed, keys_of(root, "targets")))
        self._take_files(targets.signed, release)
        for version, envelope in envelopes.items():
            write(self.folder / "provenance" / provenance.envelope_name(version), envelope)

    def _take_files(self, targets: Targets, release: Path | None) -> None:
        for path, target in sorted(targets.targets.items()):
            kept = self.targets_folder / target.get_prefixed_paths()[0]
            # Its name begins with its hash, and it comes to its place whole.
            if kept.is_file():
                continue
            source = (release or Path()) / path
            if release is None or not source.is_file():
                fail(f"{path} is in targets.json and not in a release folder.", "give the folder with --release.")
            _require_bytes(source, target)
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(f".{kept.name}.part")
            part.unlink(missing_ok=True)
            shutil.copyfile(source, part)
            # A name without its bytes would be passed over above for ever.
            _sync(part)
            part.replace(kept)


def read(path: Path, kind: type[_Signed]) -> Metadata[_Signed]:
    """Reads metadata of one kind."""
    try:
        found: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except (OSError, DeserializationError) as error:
        fail(f"{path} cannot be read: {error}.", "take it from a copy of the repository.")
    if not isinstance(found.signed, kind):
        fail(f"{path} is no {kind.type}.json.", "give the right file.")
    return found


def keys_of(root: Root | None, role: str) -> list[Key]:
    return [root.keys[each] for each in root.roles[role].keyids] if root else []


def write(path: Path, data: bytes) -> None:
    """Writes the whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def proposal_files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"*.{kind}.json"))


def _write_proposal(out: Path, metadata: Metadata[Any]) -> Path:
    kind = metadata.signed.type
    if proposal_files(out, kind):
        fail(f"{out} holds another proposal.", "take a new folder for each.")
    made = out / f"{metadata.signed.version}.{kind}.json"
    write(made, metadata.to_bytes(_READABLE))
    return made


def _joined(proposals: Sequence[Path], kind: type[_Signed]) -> Metadata[_Signed] | None:
    """Returns one metadata with the signatures of all copies. The copies must agree."""
    found = [read(path, kind) for folder in proposals for path in proposal_files(folder, kind.type)]
    if not found:
        return None
    first, *others = found
    for each in others:
        if each.signed_bytes != first.signed_bytes:
            fail(f"Two proposals of {kind.type}.json differ.", "give the copies of one proposal.")
        first.signatures.update({**each.signatures, **first.signatures})
    return first


def _is_published(roots: Sequence[Metadata[Root]], root: Metadata[Root]) -> bool:
    """Returns whether a publication that was interrupted wrote this root already."""
    return bool(roots) and roots[-1].signed_bytes == root.signed_bytes


def _require_next_root(roots: Sequence[Metadata[Root]], root: Metadata[Root]) -> None:
    """A root needs two signatures of the keys before it, and two of its own keys."""
    if root.signed.version != len(roots) + 1:
        fail(f"This is root {root.signed.version}, and the next is {len(roots) + 1}.", "propose it again.")
    for judge in (*(each.signed for each in roots[-1:]), root.signed):
        require_threshold(judge, "root", root, "let another holder of a root key sign.")


def _require_next_targets(
    root: Root, current: Metadata[Targets] | None, targets: Metadata[Targets], now: datetime
) -> None:
    wanted = (current.signed.version if current else 0) + 1
    # The same list once more ends a publication that stopped after its timestamp, before the indexes for apt.
    if targets.signed.version not in (wanted, wanted - 1) or (
        targets.signed.version == wanted - 1 and (current is None or current.signed_bytes != targets.signed_bytes)
    ):
        fail(f"This is targets {targets.signed.version}, and the next is {wanted}.", "propose it again.")
    if targets.signed.is_expired(now):
        fail("This targets.json has expired.", "propose it again.")
    refuse(package_rules.violations(targets.signed))
    require_threshold(root, "targets", targets, "let another holder of a targets key sign.")


def require_threshold(root: Root, role: str, metadata: Metadata[Any], remedy: str) -> None:
    """Raises `FailedError` unless a threshold of the role's keys has signed the metadata."""
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError:
        signed = root.get_verification_result(role, metadata.signed_bytes, metadata.signatures).signed
        wanted = root.roles[role].threshold
        fail(f"{role}.json has {len(signed)} valid signatures, and root.json wants {wanted}.", remedy)
    except (RepositoryError, ValueError) as error:
        fail(f"{role}.json is refused: {error}.", remedy)


def _require_separate(chosen: Mapping[str, Sequence[Key]]) -> None:
    """Each role has enough keys, and no key has two roles."""
    for role, keys in chosen.items():
        if len({key.keyid for key in keys}) < LEAST_KEYS[role]:
            fail(
                f"{role} needs {LEAST_KEYS[role]} keys and has {len(keys)}.",
                "make them with `key`, each at its holder.",
            )
    known = [key.keyid for keys in chosen.values() for key in keys]
    # A thief of one key file must not speak for two roles.
    if len(set(known)) != len(known):
        fail("One key has two roles.", "make a separate key for each role.")


def _require_bytes(path: Path, target: TargetFile) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != target.hashes["sha256"] or path.stat().st_size != target.length:
        fail(f"{path} has other bytes than targets.json names.", "build the release again from its commit.")


def refuse(faults: Sequence[str]) -> None:
    """Raises `FailedError` with these sentences, if there are any."""
    if faults:
        fail(" ".join(faults), "mend the release, and propose it again.")


def _expires(role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + timedelta(days=DAYS[role])


def _days_left(signed: Root | Targets | Snapshot | Timestamp, now: datetime) -> int:
    return (signed.expires - now).days


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
