"""Trust packages named after what is wrong with them, for every reader: `tests/vectors/wire/packages.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from agent.wire import strictjson
from agent.wire.envelope import pae, with_signatures
from agent.wire.identities import MLDSA_KEY_BYTES, SIGNATURE_BYTES, public_key_of
from agent.wire.trust import NamedSection, TrustBundle
from agent.wire.trust_keys import sign_as_root
from agent.wire.trust_package import RootFile, TrustPackage
from tests.wire import samples

ONE, TWO, THREE = samples.ROOT_SIGNERS
STOLEN = THREE
NEW = samples.private_key("root-4")
THIEF = samples.private_key("thief")
NEWER = samples.bundle(version=4, requesters=())
LATER = samples.bundle(version=9)
FIRST = samples.several(samples.root_file(), samples.ROOT, ONE, TWO)
ROTATED = samples.root_file(version=2, keys=tuple(samples.pair_text(each) for each in (ONE, TWO, NEW)))
SECOND = samples.several(ROTATED, ONE, TWO)
SEEN = samples.package(NEWER, version=5)
"""The package that the reader of `after_seen` has accepted: bundle 4, timestamp 5, root file 1."""
IN_FORCE = samples.private_key("root-5"), samples.private_key("root-6")
NEXT = samples.private_key("root-7"), samples.private_key("root-8")


def _root_file(version: int, *keys: Any) -> RootFile:
    texts = tuple(samples.pair_text(each) for each in keys)
    return samples.root_file(version=version, keys=texts, threshold=len(keys))


REPLACED = _root_file(2, *IN_FORCE)
"""Root file 2 retires all keys of root file 1, and root file 3 those of root file 2."""
REPLACED_AGAIN = _root_file(3, *NEXT)
SECOND_OF_ALL_NEW = samples.several(REPLACED, ONE, TWO, *IN_FORCE)
THIRD = samples.several(REPLACED_AGAIN, *IN_FORCE, *NEXT)
TWO_FILES: dict[str, Any] = {"roots": (FIRST, SECOND_OF_ALL_NEW), "root": REPLACED, "signers": IN_FORCE}
THREE_FILES: dict[str, Any] = {
    "roots": (FIRST, SECOND_OF_ALL_NEW, THIRD), "root": REPLACED_AGAIN, "signers": NEXT,
}  # fmt: skip
AFTER_ROTATION = samples.package(NEWER, version=5, **TWO_FILES)
"""The package that the reader of `after_rotation` has accepted: as `SEEN`, with root file 2."""


def by_name_key(files: int) -> dict[str, Any]:
    """For `samples.package`: the root files of a thief of the name key."""
    signers = [(samples.ROOT, THIEF), *[(THIEF,)] * (files - 1)]
    return _chain((), enumerate(signers, start=1))


def by_keys_of_the_first_file(files: int) -> dict[str, Any]:
    """For `samples.package`: the public root file 1, and others of a thief who has two of the keys in it."""
    signers = [(ONE, TWO, THIEF), *[(THIEF,)] * (files - 2)]
    return _chain((FIRST,), enumerate(signers, start=2))


def _chain(before: tuple[bytes, ...], others: Iterable[tuple[int, tuple[Any, ...]]]) -> dict[str, Any]:
    made = [(_root_file(number, THIEF), signers) for number, signers in others]
    roots = (*before, *(samples.several(each, *signers) for each, signers in made))
    return {"roots": roots, "root": made[-1][0], "signers": (THIEF,)}


def vectors() -> dict[str, Any]:
    return {
        "now_s": samples.NOW_S,
        "root": samples.ROOT_KEY.text,
        "seen": SEEN.decode(),
        "first": {name: _row(*each) for name, each in first().items()},
        "after_seen": {name: _row(*each) for name, each in after_seen().items()},
        "rotated": AFTER_ROTATION.decode(),
        "after_rotation": {name: _row(*each) for name, each in after_rotation().items()},
        "of_one_id": [
            {"root": root, "bundle": data.decode(), "verdict": verdict} for root, data, verdict in of_one_id()
        ],
        "taken_over": {name: dict(zip(TAKEN_OVER, row, strict=True)) for name, row in taken_over().items()},
        "sections": {
            name: {**_row(data, verdict), "cell": cell, "requesters": list(names)}
            for name, (data, cell, verdict, names) in sections().items()
        },
    }


def _row(data: bytes, verdict: str) -> dict[str, str]:
    return {"package": data.decode(), "verdict": verdict}


@cache  # they take a tenth of a second, and each row is a test
def first() -> dict[str, tuple[bytes, str]]:
    """For a reader that knows the name key only."""
    rotated = {"roots": (FIRST, SECOND), "root": ROTATED}
    thiefs_root = samples.root_file(keys=(samples.pair_text(THIEF),), threshold=1)
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
        "bundle by Ed25519 alone": (_changed(bundle=_first_halves(_package().bundle)), "unsigned"),
        "timestamp by Ed25519 alone": (_changed(timestamp=_first_halves(_package().timestamp)), "unsigned"),
        "root file by Ed25519 alone": (_changed(roots=[_first_halves(FIRST.decode())]), "unsigned"),
        "everything by Ed25519 alone": (
            _changed(
                roots=[_first_halves(FIRST.decode())], bundle=_first_halves(_package().bundle),
                timestamp=_first_halves(_package().timestamp),
            ), "unsigned",
        ),
        "a chain from before there were pairs": (_before_pairs(), "unsigned"),
        "keys from before there were pairs": (_with_keys(*(each.partition("+")[0] for each in _KEYS)), "malformed"),
        "second halves of the root file on the bundle": (
            _changed(bundle=_exchanged(_package().bundle, FIRST.decode())), "unsigned",
        ),
        "second halves of two people exchanged": (_changed(bundle=_exchanged_between_people()), "unsigned"),
        "second half by a thief's key": (_changed(bundle=_thiefs_second_half(_package().bundle)), "unsigned"),
        "no half by ML-DSA but its key": (_changed(bundle=_cut_out(_package().bundle)), "malformed"),
        "one pair twice": (_with_keys(_KEYS[0], _KEYS[0], _KEYS[1]), "malformed"),
        "one second key in two pairs": (_with_keys(*_KEYS, _guise(THIEF, ONE)), "malformed"),
        "one first key in two pairs": (_with_keys(*_KEYS, _guise(ONE, THIEF)), "malformed"),
        "the timestamp's second key in a pair that lists": (
            _with_keys(*_KEYS, _guise(THIEF, samples.TIMESTAMP)), "malformed",
        ),
        "rotated to another second half of a key": (_rotated_half(), "unsigned"),
        "the name key with another second half in root file 1": (
            _with_keys(*_KEYS, _guise(samples.ROOT, THIEF)), "unsigned",
        ),
        "one more field": (_changed(more=1), "malformed"),
    }  # fmt: skip


@cache
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
            samples.several(samples.bundle(version=9), samples.ROOT),
            "older",
        ),
        "root file 3 without having seen root file 2": (samples.package(NEWER, version=1, **THREE_FILES), "accepted"),
        "another root file 1 by the name key": (samples.package(LATER, version=9, **by_name_key(1)), "forked"),
        "root files 1 to 3 by the name key": (samples.package(LATER, version=9, **by_name_key(3)), "forked"),
        # A reader that has not seen root file 2 takes any that the keys of root file 1 signed.
        "root file 2 by stolen keys of root file 1": (
            samples.package(LATER, version=9, **by_keys_of_the_first_file(2)), "accepted",
        ),
    }  # fmt: skip


@cache
def after_rotation() -> dict[str, tuple[bytes, str]]:
    """For a reader that has accepted `rotated`."""
    again = samples.several(REPLACED, ONE, STOLEN, *IN_FORCE)
    equivocal = _root_file(2, *NEXT)
    other = (FIRST, samples.several(equivocal, ONE, TWO, *NEXT))
    return {
        "seen again": (AFTER_ROTATION, "accepted"),
        "renewed timestamp": (samples.package(NEWER, version=6, **TWO_FILES), "accepted"),
        "next bundle": (samples.package(LATER, version=6, **TWO_FILES), "accepted"),
        "root file 3": (samples.package(LATER, version=1, **THREE_FILES), "accepted"),
        "root file 2 with other signatures": (
            samples.package(LATER, version=6, **{**TWO_FILES, "roots": (FIRST, again)}), "accepted",
        ),
        "bundle by retired keys": (
            samples.package(LATER, version=6, **{**TWO_FILES, "signers": (ONE, TWO)}), "unsigned",
        ),
        "root file 1 alone": (samples.package(LATER, version=9), "older"),
        "root file 1 alone by the name key": (samples.package(LATER, version=9, **by_name_key(1)), "older"),
        "root files 1 and 2 by the name key": (samples.package(LATER, version=9, **by_name_key(2)), "forked"),
        "root files 1 to 3 by the name key": (samples.package(LATER, version=9, **by_name_key(3)), "forked"),
        "root file 2 by retired keys": (
            samples.package(LATER, version=9, **by_keys_of_the_first_file(2)), "forked",
        ),
        "root files 2 and 3 by retired keys": (
            samples.package(LATER, version=9, **by_keys_of_the_first_file(3)), "forked",
        ),
        "another root file 2 by the root": (
            samples.package(LATER, version=9, roots=other, root=equivocal, signers=NEXT), "forked",
        ),
    }  # fmt: skip


FORGED = replace(samples.ROOT_KEY, mldsa_sha256=samples.pair(THIEF).mldsa_sha256)
"""The pair of a forger of Ed25519: the name key, and a second key of the forger."""


def by_forged_pair(listed: TrustBundle) -> bytes:
    """A bundle alone. Its signature is in the vectors under the hash of the pair, because the id is the root's."""
    payload = strictjson.encode(listed)
    signature = forged_signature(pae(TrustBundle.PAYLOAD_TYPE, payload))
    return with_signatures(TrustBundle.PAYLOAD_TYPE, payload, {FORGED.id: signature})


def forged_signature(signed: bytes) -> bytes:
    found = samples.root_signatures()
    name = "-".join(hashlib.sha256(each).hexdigest()[:16] for each in (FORGED.text.encode(), signed))
    if name not in found:
        found[name] = strictjson.encode_base64(
            samples.ROOT.sign(signed) + sign_as_root(THIEF, signed)[SIGNATURE_BYTES:]
        )
    return strictjson.decode_base64(found[name])


TAKEN_OVER = ("chosen", "known", "new", "disputed")


def taken_over() -> dict[str, tuple[list[str], ...]]:
    """Roots that a household chose and that an owner knows. Then those to take over, and those that are disputed."""
    true, forged = samples.ROOT_KEY.text, FORGED.text
    one, two = (samples.pair_text(each) for each in (ONE, TWO))
    return {
        "none": ([], [], [], []),
        "all known": ([true, one], [one, true], [], []),
        "one more": ([true, one], [true], [one], []),
        "the owner knows the false pair": ([one, true, two], [forged], [one, two], [true]),
        "the household chose the false pair": ([forged, one], [true], [one], [forged]),
        "the household shows both": ([true, one, forged], [], [one], [true, forged]),
        "the household shows both, and one is known": ([true, forged, one], [true], [one], [forged]),
        "the same root twice": ([one, one], [], [one, one], []),
        "another root is disputed among the known ones": ([one], [true, forged], [one], []),
    }


def of_one_id() -> list[tuple[str, bytes, str]]:
    """One reader after the other, each with the memory of the one before: the root that is chosen in place of the one
    before, a bundle alone, and the verdict. The two roots have the same id."""
    true, forged, highest = samples.ROOT_KEY.text, FORGED.text, (1 << 53) - 1
    return [
        (forged, samples.several(samples.bundle(), samples.ROOT), "unsigned"),
        (forged, by_forged_pair(samples.bundle(version=highest)), "accepted"),
        (true, by_forged_pair(samples.bundle(version=highest)), "unsigned"),
        (true, samples.several(NEWER, samples.ROOT), "accepted"),
        (true, samples.several(samples.bundle(), samples.ROOT), "older"),
        (forged, by_forged_pair(LATER), "older"),
        (true, samples.several(NEWER, samples.ROOT), "accepted"),
    ]


COUNTRY = samples.local(1, 50.0, 5.0, 56.0, 14.0)
NORTH = samples.section(
    "287-379", "288-379", samples.local(2, 53.51, 9.51, 53.99, 9.99), samples.local(3, 54.1, 9.51, 54.4, 9.99)
)
BORDER = samples.section("286-379", "287-379", samples.local(4, 53.3, 9.6, 53.7, 9.9))
SOUTH = samples.section("286-379", "286-379", samples.local(5, 53.1, 9.6, 53.4, 9.9))


def sectioned(*parts: tuple[Any, bytes], **changes: Any) -> TrustBundle:
    return samples.bundle(requesters=(COUNTRY,), sections=tuple(name for name, _ in parts), **changes)


LONG = sectioned(SOUTH, BORDER, NORTH)


@cache
def sections() -> dict[str, tuple[bytes, str | None, str, tuple[str, ...]]]:
    """For a reader in a cell that knows the name key only: the package, the cell, the verdict, and who may ask there.

    `lacking`: a doorbell in the cell must refuse it. The names are what it would show.
    """
    south, border, north = (data for _, data in (SOUTH, BORDER, NORTH))
    older = samples.section("287-379", "288-379", samples.local(2, 53.51, 9.51, 53.99, 9.99))
    twice = samples.section("286-379", "286-379", samples.local(6, 53.1, 9.6, 53.4, 9.9, name="town 4"))
    empty = b'{"requesters":[],"v":1}'
    named_empty = NamedSection(cells=NORTH[0].cells, sha256=hashlib.sha256(empty).hexdigest()), empty

    def row(
        cell: str | None, verdict: str, names: str, *parts: bytes, listed: TrustBundle = LONG
    ) -> tuple[bytes, str | None, str, tuple[str, ...]]:
        return samples.package(listed, sections=parts), cell, verdict, tuple(f"local-{each}" for each in names.split())

    return {
        "all, to a reader without a cell": row(None, "accepted", "1 5 4 2 3", south, border, north),
        "all, in the north": row("287-379", "accepted", "1 4 2", south, border, north),
        "all, further north": row("288-379", "accepted", "1 3", south, border, north),
        "all, in the south": row("286-379", "accepted", "1 5 4", south, border, north),
        "all, where no section reaches": row("10-10", "accepted", "1", south, border, north),
        "those of the north, in the north": row("287-379", "accepted", "1 4 2", border, north),
        "those of the north, in the south": row("286-379", "lacking", "1 4", border, north),
        "none, in the north": row("287-379", "lacking", "1"),
        "none, where no section reaches": row("10-10", "accepted", "1"),
        "without that of the border": row("287-379", "lacking", "1 2", south, north),
        "an older section in its place": row("287-379", "mixed", "", south, border, older[1]),
        "an older section beside it": row("287-379", "mixed", "", south, border, north, older[1]),
        "a section twice": row("287-379", "mixed", "", south, border, border, north),
        "in another order": row("287-379", "mixed", "", border, south, north),
        "with a bundle that names none": row("287-379", "mixed", "", north, listed=sectioned()),
        "a name in two of them": row(
            "287-379", "malformed", "", twice[1], border, listed=sectioned(twice, BORDER)
        ),
        "a section without requesters": row("287-379", "malformed", "", empty, listed=sectioned(named_empty)),
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
    return _changed(timestamp=samples.signed_by_roots(kind, payload, samples.TIMESTAMP).decode())


def _turned_round() -> bytes:
    bundle = json.loads(_package().bundle)
    bundle["signatures"].reverse()
    return _changed(bundle=json.dumps(bundle, separators=(",", ":")))


_KEYS = tuple(samples.pair_text(each) for each in samples.ROOT_SIGNERS)


def _guise(first: Any, second: Any) -> str:
    """A pair of the first half of one key and the second half of another."""
    return "+".join((samples.pair_text(first).partition("+")[0], samples.pair_text(second).partition("+")[2]))


def _edited(envelope: str, change: Any) -> str:
    """The envelope with each signature as `change(key id, bytes)` returns it."""
    value = json.loads(envelope)
    for each in value["signatures"]:
        each["sig"] = strictjson.encode_base64(change(each["keyid"], strictjson.decode_base64(each["sig"])))
    return json.dumps(value, separators=(",", ":"))


def _signatures(envelope: str) -> dict[str, bytes]:
    return {each["keyid"]: strictjson.decode_base64(each["sig"]) for each in json.loads(envelope)["signatures"]}


def _first_halves(envelope: str) -> str:
    return _edited(envelope, lambda _, made: made[:SIGNATURE_BYTES])


def _exchanged(envelope: str, other: str) -> str:
    return _edited(envelope, lambda name, made: made[:SIGNATURE_BYTES] + _signatures(other)[name][SIGNATURE_BYTES:])


def _exchanged_between_people() -> str:
    bundle = _package().bundle
    one, two = (public_key_of(each).id for each in (ONE, TWO))
    found, turn = _signatures(bundle), {one: two, two: one}
    return _edited(bundle, lambda name, made: made[:SIGNATURE_BYTES] + found[turn[name]][SIGNATURE_BYTES:])


def _thiefs_second_half(bundle: str) -> str:
    thiefs = _signatures(samples.several(samples.bundle(), THIEF).decode())[public_key_of(THIEF).id]
    return _edited(bundle, lambda _, made: made[:SIGNATURE_BYTES] + thiefs[SIGNATURE_BYTES:])


def _cut_out(bundle: str) -> str:
    return _edited(bundle, lambda _, made: made[:SIGNATURE_BYTES] + made[-MLDSA_KEY_BYTES:])


def _with_keys(*keys: str) -> bytes:
    """A package with these keys in root file 1, which the name key, ONE, TWO and a thief of Ed25519 signed."""
    value = {**json.loads(strictjson.encode(samples.root_file())), "keys": list(keys)}
    payload = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    root = samples.signed_by_roots(RootFile.PAYLOAD_TYPE, payload, samples.ROOT, ONE, TWO).decode()
    return _changed(roots=[root], timestamp=_stamp_of(payload))


def _stamp_of(payload: bytes) -> str:
    made = samples.timestamp(samples.root_file(), samples.bundle(), root_sha256=hashlib.sha256(payload).hexdigest())
    return samples.several(made, samples.TIMESTAMP).decode()


def _before_pairs() -> bytes:
    """As roots published before their keys were pairs: Ed25519 keys, and signatures of 64 bytes."""
    value = json.loads(strictjson.encode(samples.root_file()))
    for name in ("keys", "timestamp_keys"):
        value[name] = [each.partition("+")[0] for each in value[name]]
    payload = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    root = samples.signed_by_roots(RootFile.PAYLOAD_TYPE, payload, samples.ROOT, ONE, TWO).decode()
    first = _package()
    return _changed(
        roots=[_first_halves(root)],
        bundle=_first_halves(first.bundle),
        timestamp=_first_halves(_stamp_of(payload)),
    )


def _rotated_half() -> bytes:
    """Root file 2 names another second half for ONE, who signs with the old one."""
    second = samples.root_file(version=2, keys=(_guise(ONE, THIEF), *_KEYS[1:]))
    return samples.package(roots=(FIRST, samples.several(second, ONE, TWO)), root=second, signers=(TWO, THREE))
