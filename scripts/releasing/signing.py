"""Signs a proposal at its holder's machine, offline: shows what it changes, compares it with the holder's own build.

The machine needs the proposal's folder, root.json and targets.json in force, the key, and the holder's own build of a
release. The machine that wrote the proposal may be taken over, so nothing in the folder decides what is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from installation.words import fail
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from releasing import build, package_rules, provenance
from releasing.key_files import HOLDER
from releasing.update_repository import (
    LEAST_KEYS,
    THRESHOLD,
    keys_of,
    proposal_files,
    read,
    refuse,
    require_threshold,
    write,
)

__all__ = ["changes", "sign", "signed_before"]

_READABLE = JSONSerializer(compact=False)


def sign(
    folder: Path, signer: CryptoSigner, root: Root | None, built: Path | None, before: Targets | None
) -> list[str]:
    """Adds the holder's signature to everything in the proposal that the key may sign. Returns what was signed.

    `root`, `before`: root.json and targets.json in force (`signed_before`); None before the first. `built`: the
    holder's own build, needed if a file is added. Raises `FailedError`, and then has signed nothing.
    """
    if not proposal_files(folder, "root") and not proposal_files(folder, "targets"):
        fail(f"{folder} holds no proposal.", "give the folder that `propose` or `propose-root` wrote.")
    signed = []
    for path in proposal_files(folder, "root"):
        proposed = read(path, Root)
        # The proposal states its own thresholds. A machine that was taken over could write one signature of one key.
        refuse(_faults_of_root(proposed.signed))
        # The keys of both roots: the old ones give their consent, and a new key shows that its holder has it (TUF 5.3).
        known = {key.keyid for each in (root, proposed.signed) for key in keys_of(each, "root")}
        signed += _sign(path, proposed, signer, known)
        root = proposed.signed if root is None else root
    for path in proposal_files(folder, "targets"):
        targets = read(path, Targets)
        if root is None:
            fail("A targets.json is judged by a root.json.", "give the root in force with --root.")
        refuse(package_rules.violations(targets.signed))
        _refuse_foreign_build(folder, targets.signed, before, built)
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


def signed_before(before: Metadata[Targets], root: Root) -> Targets:
    """Returns the targets.json in force. Raises `FailedError` unless a threshold of holders has signed it."""
    # A forged list in force would make a foreign file look old, and it would stay uncompared.
    require_threshold(root, "targets", before, "give the targets.json in force with --before.")
    return before.signed


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
    for path in _added(new, before):
        target = new.targets[path]
        if path in old:
            yield f"  CHANGED: {path}"
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


def _added(new: Targets, before: Targets | None) -> list[str]:
    """Returns the files that are new, or that differ from the list in force in their bytes or their `custom`."""
    known = before.targets if before else {}
    # The whole entry counts: `custom` decides which doorbells take a file, and when.
    return [path for path, target in sorted(new.targets.items()) if known.get(path) != target]


def _faults_of_root(root: Root) -> list[str]:
    """Returns a sentence for each role for which fewer signatures or keys are enough than the project wants."""
    found = []
    for role, held in root.roles.items():
        if role not in THRESHOLD or held.threshold < THRESHOLD[role]:
            found.append(f"{role} needs {THRESHOLD.get(role, 0)} signatures, and this root wants {held.threshold}.")
        elif len(set(held.keyids)) < LEAST_KEYS[role]:
            found.append(f"{role} needs {LEAST_KEYS[role]} keys, and this root has {len(held.keyids)}.")
    return found if root.consistent_snapshot else [*found, "It has no consistent snapshots."]


def _refuse_foreign_build(folder: Path, targets: Targets, before: Targets | None, built: Path | None) -> None:
    """Compares each file that is new in the proposal, and its provenance, with the holder's own build."""
    added, statements = _added(targets, before), sorted(folder.glob("*.intoto.jsonl"))
    if not added and not statements:
        return
    if built is None:
        named = ", ".join(added or [each.name for each in statements])
        fail(
            f"The proposal adds {named}, and your own build is missing.",
            "build the commit, then give --built. Give the list in force with --before.",
        )
    own = _own_build(built)
    for path in added:
        if path not in own:
            fail(f"{path} is not in your build.", "do not sign. Give the list in force with --before.")
        theirs, ours = targets.targets[path], own[path]
        if theirs != ours:
            fail(
                f"{path}: the proposal has {_in_words(theirs)}, and your build {_in_words(ours)}",
                "do not sign. Find out which of the two builds is not of the commit.",
            )
    for envelope in statements:
        mine = built / f"{envelope.name.removesuffix('.intoto.jsonl')}.statement.json"
        if not mine.is_file() or provenance.payload_of(envelope.read_bytes()) != mine.read_bytes():
            fail(f"{envelope.name} says something else than your build.", "do not sign. Build the same commit.")


def _own_build(built: Path) -> dict[str, TargetFile]:
    """Returns the files that the holder's own build would list in targets.json."""
    told = build.description_of(built)["files"]
    try:
        return {name: build.target_of(built / name, custom) for name, custom in told.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f"{built} is no build of a release: {error}.", "give the folder that `make release` wrote.")


def _in_words(target: TargetFile) -> str:
    said = json.dumps(package_rules.custom_of(target), sort_keys=True)
    return f"{target.length} bytes, sha256 {target.hashes['sha256'][:16]}…, {said}"
