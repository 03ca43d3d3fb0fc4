"""Excerpts of a manifest: FORMAT.md, "Excerpts"."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.second_reader.envelope import encoding, verified, verified_mldsa
from tests.second_reader.json_once import HEX64, V1, binary, fields, integer, many, parse, refuse_unless
from tests.second_reader.vault import record

_PLACE = integer(0, 2**40 - 1)


def _leaf(line: bytes) -> bytes:
    return hashlib.sha256(b"\0" + line).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root of a tree of `size` leaves (RFC 6962), from one leaf and its path, the lowest sibling first."""
    if size == 1:
        refuse_unless(not path and index == 0, "path")
        return leaf
    refuse_unless(bool(path) and index < size, "path")
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return _node(_root(leaf, index, half, path[:-1]), path[-1])
    return _node(path[-1], _root(leaf, index - half, size - half, path[:-1]))


def read_excerpt(data: bytes, device: bytes, mldsa: bytes) -> list[tuple[dict[str, Any], str]]:
    """The records of segments, each with `capture` or `export`: when the second signature behind it was made."""
    lines = data.split(b"\n")
    refuse_unless(lines.pop() == b"", "cut off")
    found: list[tuple[dict[str, Any], str]] = []
    waiting: list[dict[str, Any]] = []
    chain, newest, root, place = (0, b""), -1, b"", None
    for line in lines:
        value = parse(line, limit=16_384, points_in=())
        refuse_unless(chain[0] >= 0, "behind the head")
        if place is not None:
            said = _own(line, device, mldsa)
            path = [bytes.fromhex(each) for each in place["path"]]
            refuse_unless(root and _root(_leaf(line), place["index"], place["lines"], path) == root, "carried")
            found, place = [*found, (said["record"], "capture")], None
        elif "carried" in value:
            refuse_unless(not waiting, "a line waits")
            place = fields(value, {"carried": _carried})["carried"]
        elif "omitted" in value:
            refuse_unless(waiting, "no line waits")
            for each in fields(value, {"omitted": many(HEX64, 1, 200)})["omitted"]:
                chain = chain[0] + 1, _node(chain[1], bytes.fromhex(each))
        elif "head" in value:
            refuse_unless(waiting, "no line waits")
            _check_head(value, chain, device, mldsa)
            found += [(each, "export") for each in waiting]
            waiting, chain = [], (-1, b"")
        else:
            said = _own(line, device, mldsa)
            before = (said["seq"], bytes.fromhex(said["prev"]))
            refuse_unless(before == chain if waiting else said["seq"] > newest, "does not follow")
            newest, chain = said["seq"], (said["seq"] + 1, _node(before[1], _leaf(line)))
            waiting.append(said["record"])
            if said["mldsa"] is not None:
                found += [(each, "capture") for each in waiting]
                waiting, root = [], bytes.fromhex(said["record"].get("carried", {}).get("root", ""))
    refuse_unless(not waiting and place is None, "no second signature follows")
    return [(each, when) for each, when in found if each["kind"] in ("segment", "recovered")]


def _carried(value: Any) -> dict[str, Any]:
    return fields(value, {"index": _PLACE, "lines": _PLACE, "path": many(HEX64, 0, 40)})


def _own(line: bytes, device: bytes, mldsa: bytes) -> dict[str, Any]:
    said = record(line, device)
    refuse_unless(said["record"].get("device_mldsa", mldsa) == mldsa, "another second key")
    refuse_unless(said["mldsa"] is None or verified_mldsa(mldsa, said["mldsa"], said["signed"]), "second signature")
    return said


def _check_head(value: Any, chain: tuple[int, bytes], device: bytes, mldsa: bytes) -> None:
    outer = fields(value, {"head": binary, "mldsa": binary, "sig": binary})
    signed = encoding("application/vnd.doorward.manifest-head+json", outer["head"])
    refuse_unless(verified(device, outer["sig"], signed) and verified_mldsa(mldsa, outer["mldsa"], signed), "head")
    keys = {"prev": HEX64, "seq": integer(0), "utc_ms": integer(-(2**45), 2**45)}
    head = fields(parse(outer["head"], limit=16_384, points_in=()), keys, {"v": V1})
    refuse_unless((head["seq"], bytes.fromhex(head["prev"])) == chain, "head of other lines")
