"""Provenance: an in-toto statement with SLSA's predicate that names every file of a release and what it was made from.

The statement holds nothing of the machine or the hour. Two people who build a commit therefore sign the same bytes, and
the envelope says that both made these files. Source: in-toto attestation 1.0, SLSA provenance 1.0, DSSE 1.0.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from installation.words import fail
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Targets

__all__ = ["PAYLOAD_TYPE", "envelope_name", "faults", "joined", "payload_of", "sign", "statement", "unsigned"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://doorward.invalid/release/v1"
"""A name, not an address: docs/releasing.md describes this way of building."""
BUILDER = "https://doorward.invalid/maintainer"
"""A person with a targets key, on their own machine. No hosted builder is part of it."""
THRESHOLD = 2
_NAME = re.compile(r"doorward-([0-9.]+)\.intoto\.jsonl")


def statement(version: str, commit: str, files: Mapping[str, str], inputs: Mapping[str, str]) -> bytes:
    """Returns the statement. `files` and `inputs`: name → SHA-256 of what was made, and of its pins."""
    made = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": version, "commit": commit},
                "internalParameters": {},
                "resolvedDependencies": [
                    {"name": "commit", "digest": {"gitCommit": commit}},
                    *({"name": name, "digest": {"sha256": digest}} for name, digest in sorted(inputs.items())),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }
    # Sorted: two people sign, and both must have made the same bytes.
    return (json.dumps(made, indent=1, sort_keys=True) + "\n").encode()


def envelope_name(version: str) -> str:
    return f"doorward-{version}.intoto.jsonl"


def unsigned(payload: bytes) -> bytes:
    return _line(Envelope(payload, PAYLOAD_TYPE, {}))


def payload_of(envelope: bytes) -> bytes:
    """Returns the statement in an envelope. Raises `FailedError` if it is of another type."""
    read = _read(envelope)
    if read.payload_type != PAYLOAD_TYPE:
        fail(f"The provenance is {read.payload_type!r}.", "give the folder that `propose` wrote.")
    return bytes(read.payload)


def sign(envelope: bytes, signer: CryptoSigner) -> bytes:
    read = _read(envelope)
    read.sign(signer)
    return _line(read)


def joined(proposals: Sequence[Path]) -> dict[str, bytes]:
    """Returns the envelope of each version with the signatures of all copies."""
    found: dict[str, Envelope] = {}
    for folder in proposals:
        for path in sorted(folder.glob("*.intoto.jsonl")):
            version = _NAME.fullmatch(path.name)
            if version is None:
                fail(f"{path} has another name than a provenance.", "give the folder that `propose` wrote.")
            each = _read(path.read_bytes())
            first = found.setdefault(version[1], each)
            if each.payload != first.payload:
                fail(f"Two copies of {path.name} differ.", "give the copies of one proposal.")
            first.signatures.update({**each.signatures, **first.signatures})
    return {version: _line(each) for version, each in found.items()}


def faults(envelope: bytes, version: str, targets: Targets, keys: Sequence[Key]) -> list[str]:
    """Returns a sentence for each reason to refuse the provenance of `version`."""
    read = _read(envelope)
    try:
        read.verify(list(keys), THRESHOLD)
    except (VerificationError, ValueError):
        return [f"The provenance of {version} lacks {THRESHOLD} valid signatures of targets keys."]
    said: dict[str, Any] = json.loads(read.payload)
    if read.payload_type != PAYLOAD_TYPE or said.get("_type") != STATEMENT or said.get("predicateType") != PREDICATE:
        return [f"The provenance of {version} is no in-toto statement with SLSA's predicate."]
    named = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    released = {
        path: target.hashes["sha256"]
        for path, target in targets.targets.items()
        if (target.custom or {}).get("version") == version and (target.custom or {}).get("kind") not in _ABOUT
    }
    return [] if named == released else [f"The provenance of {version} names other files than targets.json."]


_ABOUT = ("provenance", "sums")
"""These two name the others, so the statement cannot name them."""


def _read(data: bytes) -> Envelope:
    try:
        return Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fail(f"This is no DSSE envelope: {error}.", "give the folder that `propose` wrote.")


def _line(envelope: Envelope) -> bytes:
    return (json.dumps(envelope.to_dict(), sort_keys=True) + "\n").encode()
