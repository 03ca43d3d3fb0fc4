"""Trust packages named after what is wrong with them, for every reader: `tests/vectors/wire/packages.json`."""

from __future__ import annotations

import json
from typing import Any

from agent.wire import envelope, strictjson
from agent.wire.identities import public_key_of
from agent.wire.trust import TrustBundle
from agent.wire.trust_package import TrustPackage
from tests.wire import samples

ONE, TWO, THREE = samples.ROOT_SIGNERS
STOLEN = THREE
NEW = samples.private_key("root-4")
THIEF = samples.private_key("thief")
NEWER = samples.bundle(version=4, requesters=())
FIRST = samples.several(samples.root_file(), samples.ROOT, ONE, TWO)
ROTATED = samples.root_file(version=2, keys=tuple(public_key_of(each).text for each in (ONE, TWO, NEW)))
SECOND = samples.several(ROTATED, ONE, TWO)
SEEN = samples.package(NEWER, version=5)
"""The package that the reader of `after_seen` has accepted: bundle 4, timestamp 5, root file 1."""


def vectors() -> dict[str, Any]:
    return {
        "now_s": samples.NOW_S,
        "root": samples.ROOT_KEY.text,
        "seen": SEEN.decode(),
        "first": {name: _row(*each) for name, each in first().items()},
        "after_seen": {name: _row(*each) for name, each in after_seen().items()},
    }


def _row(data: bytes, verdict: str) -> dict[str, str]:
    return {"package": data.decode(), "verdict": verdict}


def first() -> dict[str, tuple[bytes, str]]:
    """For a reader that knows the name key only."""
    rotated = {"roots": (FIRST, SECOND), "root": ROTATED}
    thiefs_root = samples.root_file(keys=(public_key_of(THIEF).text,), threshold=1)
    return {
        "whole": (samples.package(), "accepted"),
        "signed by all three": (samples.package(signers=samples.ROOT_SIGNERS), "accepted"),
        "rotated": (samples.package(**rotated), "accepted"),
        "rotated and signed by the new key": (samples.package(**rotated, signers=(ONE, NEW)), "accepted"),
        "signed by one of three": (samples.package(signers=(STOLEN,)), "unsigned"),
        "signed by one of three and a thief": (samples.package(signers=(STOLEN, THIEF)), "unsigned"),
        "signed by two and a thief": (samples.package(signers=(ONE, TWO, THIEF)), "unsigned"),
        "signed by the name key": (samples.package(signers=(samples.ROOT,)), "unsigned"),
        "signed by timestamp keys": (samples.package(signers=(samples.TIMESTAMP,)), "unsigned"),
        "signed by a key that was rotated out": (samples.package(**rotated, signers=(ONE, STOLEN)), "unsigned"),
        "rotated by one stolen key": (
            samples.package(roots=(FIRST, samples.several(ROTATED, STOLEN, NEW)), root=ROTATED, signers=(ONE, NEW)),
            "unsigned",
        ),
        "rotated by old keys alone": (
            samples.package(roots=(FIRST, samples.several(ROTATED, ONE, STOLEN)), root=ROTATED), "unsigned",
        ),
        "rotated without the file between": (samples.package(roots=(SECOND,), root=ROTATED), "malformed"),
        "the files of a thief": (
            samples.package(
                roots=(samples.several(thiefs_root, THIEF),), root=thiefs_root, signers=(THIEF,)
            ),
            "unsigned",
        ),
        "for another root": (samples.package(samples.bundle(root="0" * 16)), "malformed"),
        "timestamp by a root key": (samples.package(stamper=ONE), "unsigned"),
        "timestamp by a thief": (samples.package(stamper=THIEF), "unsigned"),
        "timestamp of another bundle": (samples.package(named=NEWER), "mixed"),
        "timestamp of another root file": (samples.package(root_sha256="ab" * 32), "mixed"),
        "timestamp of another root": (_other_root(), "mixed"),
        "timestamp with another version of the bundle": (samples.package(bundle_version=9), "malformed"),
        "ended": (samples.package(issued_s=samples.NOW_S - 100, expires_s=samples.NOW_S - 1), "ended"),
        "root file that has ended": (_ended_root(), "ended"),
        "timestamp for a century": (_century(), "malformed"),
        "no root file": (_changed(roots=[]), "malformed"),
        "endless root files": (_changed(roots=[FIRST.decode()] * 17), "malformed"),
        "signatures in another order": (_turned_round(), "malformed"),
        "one more field": (_changed(more=1), "malformed"),
    }  # fmt: skip


def after_seen() -> dict[str, tuple[bytes, str]]:
    """For a reader that has accepted `seen`."""
    return {
        "seen again": (SEEN, "accepted"),
        "renewed timestamp": (samples.package(NEWER, version=6), "accepted"),
        "next bundle": (samples.package(samples.bundle(version=5), version=6), "accepted"),
        "rotation begins timestamps anew": (
            samples.package(NEWER, version=1, roots=(FIRST, SECOND), root=ROTATED), "accepted",
        ),
        "rolled back bundle": (samples.package(version=6), "older"),
        "another bundle of that version": (samples.package(samples.bundle(version=4), version=6), "older"),
        "rolled back timestamp": (samples.package(NEWER, version=4), "older"),
        "old timestamp with the next bundle": (samples.package(samples.bundle(version=5), version=4), "older"),
        "by the name key alone": (
            envelope.sign(
                TrustBundle.PAYLOAD_TYPE, strictjson.encode(samples.bundle(version=9)), samples.ROOT
            ),
            "older",
        ),
    }  # fmt: skip


def _package() -> TrustPackage:
    return strictjson.decode(samples.package(), TrustPackage, limit_bytes=1 << 20)


def _changed(**fields: Any) -> bytes:
    value = {**json.loads(samples.package()), **fields}
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _other_root() -> bytes:
    stamp = samples.several(samples.timestamp(samples.root_file(), samples.bundle(), root="0" * 16), samples.TIMESTAMP)
    return _changed(timestamp=stamp.decode())


def _ended_root() -> bytes:
    root = samples.root_file(expires_s=samples.NOW_S - 1)
    return samples.package(root=root)


def _century() -> bytes:
    """Written by hand: our writer refuses it."""
    stamp = json.loads(strictjson.encode(samples.timestamp(samples.root_file(), samples.bundle())))
    payload = json.dumps({**stamp, "expires_s": 4_000_000_000}, separators=(",", ":"), sort_keys=True).encode()
    kind = samples.EVERY_MESSAGE["trust-timestamp"].PAYLOAD_TYPE  # type: ignore[attr-defined]
    return _changed(timestamp=envelope.sign(kind, payload, samples.TIMESTAMP).decode())


def _turned_round() -> bytes:
    bundle = json.loads(_package().bundle)
    bundle["signatures"].reverse()
    return _changed(bundle=json.dumps(bundle, separators=(",", ":")))
