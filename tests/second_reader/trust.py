"""Trust packages, judged as a device or an owner's client judges them: PROTOCOL.md, section 7."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.second_reader import directory
from tests.second_reader.envelope import UnsignedError, encoding, key_id, root_pair, signed_by_pair, signed_by_roots
from tests.second_reader.json_once import (
    HEX64,
    KEY_ID,
    SECONDS,
    V1,
    RefusedError,
    binary,
    distinct,
    fields,
    integer,
    many,
    matching,
    parse,
    refuse_unless,
)
from tests.second_reader.requests import distinct_requesters, requester_entry, trust_bundle, trust_bundle_entries

Pair = tuple[bytes, bytes]
ANY_TEXT = matching(r"(?s).*")
DAY_S = 86_400
ROOT_LIMIT = 96 << 10


class MixedError(RefusedError):
    """The timestamp names another root file or bundle."""


class Seen(NamedTuple):
    """The newest of a root."""

    root_file: int
    timestamp: int
    bundle: int
    sha256: str
    root_files: tuple[str, ...]
    """Hash of the payload of each, of which the last one has to be the same later."""


Memory = Mapping[Pair, Seen]
"""By the whole pair, of roots that were chosen earlier, too."""


def root_file(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {
            "v": V1, "root": KEY_ID, "version": integer(1), "issued_s": SECONDS, "expires_s": SECONDS,
            "keys": many(root_pair, 1, 8), "threshold": integer(1, 8), "timestamp_keys": many(root_pair, 1, 4),
        },
    )  # fmt: skip
    for half in (0, 1):
        distinct([pair[half] for pair in (*found["keys"], *found["timestamp_keys"])])
    refuse_unless(found["threshold"] <= len(found["keys"]), "threshold")
    refuse_unless(found["issued_s"] < found["expires_s"], "it ends before it begins")
    return found


def timestamp(value: Any) -> dict[str, Any]:
    found = fields(
        value,
        {
            "v": V1, "root": KEY_ID, "version": integer(1), "issued_s": SECONDS, "expires_s": SECONDS,
            "root_version": integer(1), "root_sha256": HEX64, "bundle_version": integer(1), "bundle_sha256": HEX64,
        },
    )  # fmt: skip
    refuse_unless(found["issued_s"] < found["expires_s"] <= found["issued_s"] + 31 * DAY_S, "life")
    return found


def judge(data: bytes, name_key: Pair, memory: Memory, *, now_s: int) -> tuple[str, Memory]:
    """The verdict for an owner who agrees, and the memory afterwards."""
    try:
        this, ends_s = _opened(data, name_key)
    except UnsignedError:
        return "unsigned", memory
    except MixedError:
        return "mixed", memory
    except RefusedError:
        return "malformed", memory
    seen = memory.get(name_key)
    if seen is not None:
        is_older = this.bundle <= seen.bundle and (this.bundle, this.sha256) != (seen.bundle, seen.sha256)
        if is_older or (this.root_file, this.timestamp) < (seen.root_file, seen.timestamp):
            return "older", memory
        known = len(seen.root_files)
        if known and this.root_files[known - 1] != seen.root_files[-1]:
            return "forked", memory
    return ("ended", memory) if now_s > ends_s else ("accepted", {**memory, name_key: this})


def listed(data: bytes, name_key: Pair, cell: str | None) -> tuple[str, list[str]]:
    """The verdict for a doorbell in the cell, and the requesters that may ask there."""
    try:
        _opened(data, name_key)
        whole = parse(data, limit=2 << 20)
        bundle = trust_bundle_entries(
            parse(_several(whole["bundle"].encode(), "trust-bundle", 3 << 19, None)[0], limit=1 << 20)
        )
    except MixedError:
        return "mixed", []
    except RefusedError:
        return "malformed", []
    names, here = [each["id"] for each in bundle["requesters"]], directory.cell(cell) if cell else None
    given = {hashlib.sha256(text.encode()).hexdigest(): text for text in whole.get("sections", [])}
    lacks = False
    for section in bundle.get("sections", []):
        text = given.get(section["sha256"])
        low, high = section["cells"]["south_west"], section["cells"]["north_east"]
        if text is None:
            lacks |= here is not None and low[0] <= here[0] <= high[0] and low[1] <= here[1] <= high[1]
            continue
        names += [
            each["id"]
            for each in _section(text.encode())
            if here is None or any(_lies_in(region, here) for region in each["regions"])
        ]
    return "lacking" if lacks else "accepted", names


def _section(data: bytes) -> list[dict[str, Any]]:
    found = fields(parse(data, limit=1 << 20), {"v": V1, "requesters": many(requester_entry, 1, 1024)})
    return list(found["requesters"])


def _lies_in(region: Mapping[str, tuple[int, int]], cell: tuple[int, int]) -> bool:
    """A part of it: rows and columns of its corners enclose the cell. Places are in 1e-7 degrees."""
    low, high = (
        (min((lat + 90 * 10**7) // 5_000_000, 359), min((lon + 180 * 10**7) // 5_000_000, 719))
        for lat, lon in (region["south_west"], region["north_east"])
    )
    return low[0] <= cell[0] <= high[0] and low[1] <= cell[1] <= high[1]


def _opened(data: bytes, name_key: Pair) -> tuple[Seen, int]:
    if not data.startswith(b'{"bundle":'):
        bundle = trust_bundle(data, name_key)
        payload = parse(data, limit=3 << 19)["payload"]
        return Seen(0, 0, bundle["version"], hashlib.sha256(binary(payload)).hexdigest(), ()), 1 << 60
    whole = fields(
        parse(data, limit=2 << 20),
        {"v": V1, "roots": many(ANY_TEXT, 1, 16), "bundle": ANY_TEXT, "timestamp": ANY_TEXT},
        {"sections": many(ANY_TEXT, 0, 128)},
    )
    root, root_sha256s = _newest_root([each.encode() for each in whole["roots"]], name_key)
    keys = _by_id(root["keys"])
    payload, signers = _several(whole["bundle"].encode(), "trust-bundle", 3 << 19, keys)
    if len(signers & keys.keys()) < root["threshold"]:
        raise UnsignedError
    stamped, _ = _several(whole["timestamp"].encode(), "trust-timestamp", ROOT_LIMIT, _by_id(root["timestamp_keys"]))
    stamp = timestamp(parse(stamped, limit=4096))
    sha256 = hashlib.sha256(payload).hexdigest()
    named = [stamp[name] for name in ("root", "root_version", "root_sha256", "bundle_sha256")]
    if named != [root["root"], root["version"], root_sha256s[-1], sha256]:
        raise MixedError("another root file or bundle")
    bundle = trust_bundle_entries(parse(payload, limit=1 << 20))
    refuse_unless(bundle["root"] == root["root"] and bundle["version"] == stamp["bundle_version"], "another version")
    given = [hashlib.sha256(text.encode()).hexdigest() for text in whole.get("sections", [])]
    if given != [each["sha256"] for each in bundle.get("sections", []) if each["sha256"] in given]:
        raise MixedError("other sections")
    others = [each for text in whole.get("sections", []) for each in _section(text.encode())]
    distinct_requesters([*bundle["requesters"], *others])
    ends_s = min(root["expires_s"], stamp["expires_s"])
    return Seen(root["version"], stamp["version"], bundle["version"], sha256, tuple(root_sha256s)), ends_s


def _newest_root(envelopes: list[bytes], name_key: Pair) -> tuple[dict[str, Any], list[str]]:
    before: dict[str, Any] | None = None
    sha256s: list[str] = []
    for data in envelopes:
        # The keys are in the payload, so it is read before the signatures are verified.
        claimed = root_file(parse(_several(data, "trust-root", ROOT_LIMIT, None)[0], limit=4096))
        if claimed["root"] != key_id(name_key[0]):
            raise UnsignedError
        refuse_unless(claimed["version"] == (before["version"] if before else 0) + 1, "the versions count from 1")
        old, own = _by_id(before["keys"] if before else [name_key]), _by_id(claimed["keys"])
        _several(data, "trust-root", ROOT_LIMIT, {**own, **old})  # a pair of both files is the same in both
        payload, signers = _several(data, "trust-root", ROOT_LIMIT, {**old, **own})
        if len(signers & own.keys()) < claimed["threshold"]:
            raise UnsignedError
        if len(signers & old.keys()) < (before["threshold"] if before else 1):
            raise UnsignedError
        before = claimed
        sha256s.append(hashlib.sha256(payload).hexdigest())
    assert before is not None
    return before, sha256s


def _by_id(pairs: Iterable[Pair]) -> dict[str, Pair]:
    return {key_id(pair[0]): pair for pair in pairs}


def _several(data: bytes, name: str, limit: int, keys: Mapping[str, Pair] | None) -> tuple[bytes, set[str]]:
    """The payload, and who signed it: each signature must be by one of `keys`. None: only the form is judged."""
    payload, signatures = signed_by_roots(data, name, limit)
    signed = encoding(f"application/vnd.doorward.{name}+json", payload)
    for key_name, signature in signatures.items() if keys is not None else ():
        pair = (keys or {}).get(key_name)
        if pair is None or not signed_by_pair(pair, signature, signed):
            raise UnsignedError
    return payload, set(signatures)
