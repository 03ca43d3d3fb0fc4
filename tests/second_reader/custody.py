"""Logs, extracts and growth proofs of a desk: CUSTODY.md."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from tests.second_reader import ledger
from tests.second_reader.envelope import key_id, public_key, verified
from tests.second_reader.json_once import parse, refuse_unless

_TEXTS = {"actor": (0, 160), "action": (1, 40), "object": (0, 120)}


def entry(data: bytes) -> dict[str, Any]:
    value = parse(data, limit=65_536, points_in=())
    fields = {"v", "organisation", "number", "at_ms", "actor", "action", "object", "detail"}
    refuse_unless(isinstance(value, dict) and set(value) == fields and value["v"] == 1, "fields")
    refuse_unless(isinstance(value["detail"], dict), "detail")
    for name in ("number", "at_ms"):
        refuse_unless(type(value[name]) is int and value[name] >= 0, name)
    for name, (least, most) in _TEXTS.items():
        refuse_unless(isinstance(value[name], str) and least <= len(value[name]) <= most, name)
    spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    refuse_unless(spelled == data, "another spelling")
    return value


def leaf(data: bytes) -> bytes:
    return ledger.leaf(b"doorward-desk-custody/1\n" + data)


def checkpoint(note: str, key: bytes, log: str) -> tuple[int, bytes]:
    """Size and root that the desk signed for that log."""
    name = f"doorward-desk/{key_id(key)}/{log}"
    found = re.fullmatch(r"([^\n]+)\n(0|[1-9]\d*)\n([^\n]+)\n\n— ([^ \n]+) ([^ \n]+)\n", note)
    refuse_unless(found is not None and found[1] == found[4] == name, "a note of this log")
    assert found is not None
    signature = base64.b64decode(found[5], validate=True)
    refuse_unless(signature[:4] == hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4], "key hash")
    signed = note.partition("\n\n")[0] + "\n"
    refuse_unless(verified(key, signature[4:], signed.encode()), "signature")
    root = base64.b64decode(found[3], validate=True)
    refuse_unless(len(root) == 32, "root")
    return int(found[2]), root


def log_file(data: bytes, note: str, kept: str) -> list[dict[str, Any]]:
    """The entries, after everything is checked: order, root, and the checkpoint that an auditor kept."""
    first, *lines = data.removesuffix(b"\n").split(b"\n")
    header = parse(first, limit=1024, points_in=())
    refuse_unless(header["format"] == "doorward-desk-custody/1" and set(header) == {"format", "log", "key"}, "header")
    key = public_key(header["key"])
    entries = [entry(line) for line in lines]
    refuse_unless([each["number"] for each in entries] == list(range(len(entries))), "order")
    refuse_unless({each["organisation"] for each in entries} <= {header["log"]}, "another organisation")
    leaves = [leaf(line) for line in lines]
    refuse_unless(checkpoint(note, key, header["log"]) == (len(lines), _root(leaves)), "root")
    size, root = checkpoint(kept, key, header["log"])
    refuse_unless(size <= len(lines) and _root(leaves[:size]) == root, "kept")
    return entries


def extract(data: bytes) -> list[dict[str, Any]]:
    value = json.loads(data)
    refuse_unless(value["format"] == "doorward-desk-custody-extract/1", "format")
    size, root = checkpoint(value["checkpoint"], public_key(value["key"]), value["log"])
    for each in value["entries"]:
        path = [bytes.fromhex(node) for node in each["path"]]
        ledger.check_inclusion(leaf(each["entry"].encode()), each["number"], size, path, root)
        refuse_unless(entry(each["entry"].encode())["number"] == each["number"], "number")
    return [json.loads(each["entry"]) for each in value["entries"]]


def growth(data: bytes) -> tuple[int, int]:
    """Both sizes, after the proof that the later log begins with the earlier one."""
    value = json.loads(data)
    refuse_unless(value["format"] == "doorward-desk-custody-growth/1", "format")
    old, new = (checkpoint(value[name], public_key(value["key"]), value["log"]) for name in ("old", "new"))
    ledger.check_consistency(old[0], new[0], [bytes.fromhex(each) for each in value["proof"]], old[1], new[1])
    return old[0], new[0]


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:half]) + _root(leaves[half:])).digest()
