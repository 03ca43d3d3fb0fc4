"""Signs a proposal at its holder's machine, offline: shows what it changes, compares it with the holder's own build.

The machine needs the proposal's folder, the root.json in force, the key, and the holder's own build of a release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from installation.words import fail
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from releasing import package_rules, provenance
from releasing.key_files import HOLDER
from releasing.update_repository import keys_of, proposal_files, read, write

__all__ = ["changes", "sign"]

_READABLE = JSONSerializer(compact=False)


def sign(folder: Path, signer: CryptoSigner, root: Root | None, built: Path | None) -> list[str]:
    """Adds the holder's signature to everything in the proposal that the key may sign. Returns what was signed.

    `root`: the root in force; None before the first. `built`: the holder's own build, needed if a release is added.
    """
    if not proposal_files(folder, "root") and not proposal_files(folder, "targets"):
        fail(f"{folder} holds no proposal.", "give the folder that `propose` or `propose-root` wrote.")
    signed = []
    for path in proposal_files(folder, "root"):
        proposed = read(path, Root)
        known = {key.keyid for each in (root, proposed.signed) for key in keys_of(each, "root")}
        signed += _sign(path, proposed, signer, known)
        root = proposed.signed if root is None else root
    for path in proposal_files(folder, "targets"):
        targets = read(path, Targets)
        if root is None:
            fail("A targets.json is judged by a root.json.", "give the root in force with --root.")
        _refuse_foreign_build(folder, targets.signed, built)
        known = {key.keyid for each in (root, *_proposed(folder)) for key in keys_of(each, "targets")}
        signed += _sign(path, targets, signer, known)
        for statement in sorted(folder.glob("*.intoto.jsonl")) if signed else ():
            write(statement, provenance.sign(statement.read_bytes(), signer))
            signed.append(statement.name)
    if not signed:
        fail("This key has no role in this proposal.", "take your key of the role that the proposal changes.")
    return signed


def changes(folder: Path, root: Root | None, before: Targets | None) -> Iterator[str]:
    """Yields what a proposal changes, in sentences for the person who signs it."""
    for path in proposal_files(folder, "root"):
        yield from _changes_of_root(read(path, Root).signed, root)
    for path in proposal_files(folder, "targets"):
        yield from _changes_of_targets(read(path, Targets).signed, before)


def holder_of(key: Key) -> str:
    return f"{key.unrecognized_fields.get(HOLDER, '?')} ({key.keyid[:12]})"


def _changes_of_root(new: Root, old: Root | None) -> Iterator[str]:
    yield f"root {new.version}, good until {new.expires:%Y-%m-%d}"
    for role in new.roles:
        now = {key.keyid: key for key in keys_of(new, role)}
        was = {key.keyid: key for key in keys_of(old, role)}
        names = ", ".join(holder_of(key) for key in now.values())
        yield f"  {role}: {new.roles[role].threshold} of {len(now)}: {names}"
        for keyid in now.keys() - was.keys():
            yield f"    new: {holder_of(now[keyid])}"
        for keyid in was.keys() - now.keys():
            yield f"    no longer: {holder_of(was[keyid])}"


def _changes_of_targets(new: Targets, before: Targets | None) -> Iterator[str]:
    yield f"targets {new.version}, good until {new.expires:%Y-%m-%d}"
    old = before.targets if before else {}
    for path in sorted(old.keys() - new.targets.keys()):
        yield f"  withdrawn: {path}"
    for path in sorted(new.targets.keys() - old.keys()):
        target = new.targets[path]
        yield f"  new: {path}, {target.length} bytes, sha256 {target.hashes['sha256']}"
        for name, value in sorted(package_rules.custom_of(target).items()):
            if name in ("released", "rollout_hours", "security_below", "upgrade_from"):
                yield f"       {name}: {value}"


def _sign(path: Path, metadata: Metadata[Any], signer: CryptoSigner, known: set[str]) -> list[str]:
    if signer.public_key.keyid not in known:
        return []
    metadata.sign(signer, append=True)
    write(path, metadata.to_bytes(_READABLE))
    return [path.name]


def _proposed(folder: Path) -> list[Root]:
    return [read(path, Root).signed for path in proposal_files(folder, "root")]


def _refuse_foreign_build(folder: Path, targets: Targets, built: Path | None) -> None:
    """Compares each file that comes with this proposal with the holder's own."""
    adds = [path.name for path in folder.glob("*.intoto.jsonl")]
    if not adds:
        return
    if built is None:
        fail("This proposal adds a release, and your own build is missing.", "build the commit, then give --built.")
    own = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built.iterdir() if path.is_file()}
    versions = {name.removeprefix("doorward-").removesuffix(".intoto.jsonl") for name in adds}
    for path, target in sorted(targets.targets.items()):
        theirs, ours = target.hashes["sha256"], own.get(path, "none")
        if package_rules.custom_of(target).get("version") in versions and ours != theirs:
            fail(
                f"{path}: the proposal has {theirs[:16]}…, and your build {ours[:16]}…",
                "do not sign. Find out which of the two builds is not of the commit.",
            )
