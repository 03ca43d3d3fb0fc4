"""Writes the test vectors of excerpts: `python -m tests.core.vault.make_excerpt_vectors`. FORMAT.md describes them.

They are made from the vectors of the vault. ML-DSA draws randomness, so the head stays as long as it verifies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.vault.excerpt import HEAD_TYPE, ExcerptBuilder
from agent.core.vault.manifest import ChainHead, RawLine, chapter_start, follow, parse_line, sign_record, split_lines
from agent.core.vault.records import CoverageRecord, RecoveredRecord, SegmentRecord
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.envelope import pae
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed
from tests.core.vault import make_vault_vectors
from tests.core.vault.make_vault_vectors import DEVICE, MLDSA, RECORDS, without

__all__ = ["PLACE", "excerpt", "vectors"]

PLACE = make_vault_vectors.PLACE.parent / "excerpt"
_KEY = private_key_from_seed(b"d" * 32)
_MLDSA = mldsa_key_from_seed(b"m" * 32)
_OTHER_MLDSA = mldsa_key_from_seed(b"o" * 32)
_EXPORTED_MS = 1_760_000_200_000
_FIRST, _LAST = (record.id for record in RECORDS if isinstance(record, SegmentRecord))
_RECOVERED = next(record.begin.segment for record in RECORDS if isinstance(record, RecoveredRecord))


@cache
def _second(encoding: bytes, key: MLDSA44PrivateKey = _MLDSA) -> bytes:
    """A second signature of the vectors, if it is of these bytes and verifies."""
    public = MldsaPublicKey.of(key)
    for path in sorted(PLACE.glob("bad/*")) + sorted(PLACE.glob("at_*")):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, FormatError, KeyError, TypeError):
                kept = strictjson.decode_base64(json.loads(line)["mldsa"])
                if public.verifies(kept, encoding):
                    return kept
    return key.sign(encoding)


def _other_second(encoding: bytes) -> bytes:
    return _second(encoding, _OTHER_MLDSA)


def excerpt(lines: Iterable[RawLine], chosen: Iterable[str]) -> list[bytes]:
    """Returns the lines of an excerpt with the records of the segments `chosen`, and with a head if it needs one."""
    steps = list(follow(lines))
    found = {
        step.signed.record.id: step.signed.line
        for step in steps
        if step.signed is not None and isinstance(step.signed.record, SegmentRecord | RecoveredRecord)
    }
    builder = ExcerptBuilder({name: found[name] for name in chosen})
    made = [line for step in steps for line in builder.add(step)]
    return made + list(builder.finish(_EXPORTED_MS, DEVICE, MLDSA, _KEY.sign, _second))


def _manifest(number: int) -> list[RawLine]:
    data = (make_vault_vectors.PLACE / f"manifest.{number}").read_bytes()
    return list(split_lines([data], chapter_start(number)))


def vectors() -> dict[str, bytes]:
    """Every vector: name → bytes."""
    at_capture = excerpt(_manifest(0), [_FIRST])
    both = excerpt(_manifest(0), [_FIRST, _RECOVERED, _LAST])
    carried = excerpt(_manifest(1), [_LAST])
    good = {"at_capture": at_capture, "carried": carried, "at_export": both}
    bad = _bad_chains(at_capture) | _bad_carried(carried) | _bad_heads(both)
    named = good | {f"bad/{name}": lines for name, lines in bad.items()}
    return {name: b"".join(line + b"\n" for line in lines) for name, lines in named.items()}


def _bad_chains(good: list[bytes]) -> dict[str, list[bytes]]:
    """Excerpts of one segment: its line, hashes of lines left out, and the `coverage` that covers it."""
    line, left_out, coverage = good
    segment = parse_line(line)
    hashes = json.loads(left_out)["omitted"]

    def leaving(*given: str) -> list[bytes]:
        return [line, json.dumps({"omitted": given}, separators=(",", ":")).encode(), coverage]

    def forged(**changes: object) -> bytes:
        values = {name: getattr(segment.record, name) for name in segment.record.__struct_fields__}
        at = ChainHead(0, segment.sequence, segment.previous)
        return sign_record(SegmentRecord(**(values | changes)), at, _KEY.sign).line  # type: ignore[arg-type]

    stranger = sign_record(segment.record, ChainHead(0, segment.sequence, segment.previous), _OTHER_ED.sign).line
    at = parse_line(coverage)
    other = sign_record(
        CoverageRecord(span=at.record.span),  # type: ignore[union-attr]
        ChainHead(0, at.sequence, at.previous), _KEY.sign, _other_second,
    ).line  # fmt: skip
    elsewhere = sign_record(at.record, ChainHead(0, at.sequence, "ab" * 32), _KEY.sign, _second).line
    return {
        "second_signature_missing": [line, left_out, without(coverage)],
        "second_signature_by_another_key": [line, left_out, other],
        "another_chain": [line, left_out, elsewhere],
        "cut": [line, left_out],
        "line_alone": [line],
        "line_forged": [forged(ordinal=7), left_out, coverage],
        "line_signed_by_a_stranger": [stranger, left_out, coverage],
        "line_behind_the_second_signature": [coverage, left_out, line],
        "lines_left_out_unsaid": [line, coverage],
        "hash_changed": leaving(*hashes[:-1], "0" * 64),
        "hash_dropped": leaving(*hashes[1:]),
        "hash_twice": leaving(*hashes, hashes[-1]),
        "hashes_swapped": leaving(*reversed(hashes)),
        "hash_too_short": leaving(*hashes[:-1], hashes[-1][:-1]),
        "no_hash": leaving(),
        "too_many_hashes": leaving(*hashes, *["0" * 64] * 200),
    }


def _bad_carried(good: list[bytes]) -> dict[str, list[bytes]]:
    chapter, place, line = good
    said = json.loads(place)["carried"]

    def placed(**changes: object) -> bytes:
        return json.dumps({"carried": said | changes}, separators=(",", ":"), sort_keys=True).encode()

    return {
        "carried_elsewhere": [chapter, placed(index=0), line],
        "carried_by_another_path": [chapter, placed(path=["0" * 64]), line],
        "carried_without_its_path": [chapter, placed(path=[]), line],
        "carried_beyond_the_end": [chapter, placed(index=2), line],
        "carried_by_no_chapter": [place, line],
        "carried_by_a_chapter_signed_once": [without(chapter), place, line],
        "carried_another_line": [chapter, place, excerpt(_manifest(0), [_FIRST])[0]],
        "carried_without_its_place": [chapter, line],
    }


def _bad_heads(good: list[bytes]) -> dict[str, list[bytes]]:
    *lines, head = good
    said = json.loads(head)
    payload = json.loads(strictjson.decode_base64(said["head"]))

    def signed(second: object = _second, **changes: object) -> bytes:
        data = json.dumps(payload | changes, separators=(",", ":"), sort_keys=True).encode()
        encoding = pae(HEAD_TYPE, data)
        made = {"head": data, "mldsa": second(encoding), "sig": _KEY.sign(encoding)}  # type: ignore[operator]
        return json.dumps(
            {name: strictjson.encode_base64(each) for name, each in made.items()}, separators=(",", ":")
        ).encode()

    once = json.dumps({name: said[name] for name in ("head", "sig")}, separators=(",", ":")).encode()
    return {
        "head_missing": lines,
        "head_signed_once": [*lines, once],
        "head_by_another_second_key": [*lines, signed(_other_second)],
        "head_of_another_number": [*lines, signed(seq=payload["seq"] + 1)],
        "head_of_other_lines": [*lines, signed(prev="cd" * 32)],
        "head_of_another_time": [
            *lines,
            head.replace(said["head"].encode(), strictjson.encode_base64(_later(payload)).encode()),
        ],
        "head_twice": [*lines, head, head],
        "line_behind_the_head": [*lines, head, lines[-1]],
        "head_alone": [head],
    }


def _later(payload: dict[str, int]) -> bytes:
    return json.dumps(payload | {"utc_ms": payload["utc_ms"] - 1}, separators=(",", ":"), sort_keys=True).encode()


_OTHER_ED = private_key_from_seed(b"s" * 32)


if __name__ == "__main__":
    for name, content in vectors().items():
        path: Path = PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
