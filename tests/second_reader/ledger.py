"""Entries, proofs and checkpoints: LEDGER.md."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tests.second_reader.envelope import key_id, public_key, verified, verified_mldsa
from tests.second_reader.json_once import (
    HEX32,
    HEX64,
    LABEL,
    MILLISECONDS,
    V1,
    fields,
    integer,
    matching,
    one_of,
    parse,
    refuse_unless,
)

MUST_AND_MAY = {
    "received": ("request requester subject", ""),
    "blocked": ("requester reason", "request subject"),
    "no-match": ("request requester", ""),
    "matched": ("request requester segments", "reason"),
    "first-approval": ("request requester subject segments", "reason"),
    "approved": ("request requester disclosure subject segments", "reason"),
    "denied": ("request requester", "reason subject"),
    "expired": ("request requester", ""),
    "opted-out": ("request requester", "reason subject"),
    "withdrawn": ("request requester", "disclosure subject"),
    "sealed": ("request requester disclosure subject segments size_bytes", ""),
    "sending": ("request requester disclosure", "subject segments size_bytes"),
    "sent": ("request requester disclosure size_bytes", "segments"),
    "revoked": ("request requester disclosure", "reason subject"),
    "stopped": ("request requester disclosure", "subject segments size_bytes reason"),
    "receipt": ("request requester disclosure subject", "segments size_bytes reason"),
    "deleted": ("request requester subject", ""),
    "held": ("subject segments", "reason"),
    "released": ("subject segments", "reason"),
    "erased": ("subject segments", "reason"),
    "tip": ("request requester disclosure subject segments", "reason"),
    "opt-out": ("subject", "reason"),
    "opt-in": ("subject", "reason"),
    "trust-changed": ("subject", "version reason"),
    "recipients-changed": ("subject version", ""),
    "configuration-changed": ("subject", "reason"),
    "alerts-changed": ("subject", "reason"),
    "update-chosen": ("", "subject reason"),
    "update-reversed": ("", "subject reason"),
    "time-confirmed": ("subject version", ""),
    "padding": ("subject", ""),
    "boot": ("", "reason"),
    "storage-fault": ("reason", ""),
}
_FIELDS = {
    "request": HEX32, "requester": LABEL, "disclosure": HEX32, "subject": HEX64, "segments": integer(0),
    "size_bytes": integer(0), "version": integer(1), "reason": matching("[a-z0-9 -]{1,48}"),
}  # fmt: skip


def entry(data: bytes) -> dict[str, Any]:
    value = parse(data, limit=2048, points_in=())
    kind = value.get("kind") if isinstance(value, dict) else None
    refuse_unless(kind in MUST_AND_MAY, "kind")
    must, may = ({name: _FIELDS[name] for name in names.split()} for names in MUST_AND_MAY[str(kind)])
    always = {
        "v": V1, "kind": one_of(kind), "boot": HEX32, "boot_us": integer(0), "utc_ms": MILLISECONDS,
        "clock": one_of("synced", "held", "unknown"),
    }  # fmt: skip
    found = fields(value, {**always, **must}, may)
    spelled = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    refuse_unless(spelled == data, "another spelling")
    return found


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaves) < 2:
        return leaf(leaves[0]) if leaves else hashlib.sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return _node(root(leaves[:half]), root(leaves[half:]))


def check_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], wanted: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    refuse_unless(0 <= index < size, "index")
    at, last, found = index, size - 1, leaf_hash
    for each in path:
        refuse_unless(last, "a path too long")
        if at & 1 or at == last:
            found = _node(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = _node(found, each)
        at, last = at >> 1, last >> 1
    refuse_unless(last == 0 and found == wanted, "not in this tree")


def check_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """RFC 9162, 2.1.4.2."""
    if old in (0, new):
        refuse_unless(not path and (old == 0 or old_root == new_root), "not empty")
        return
    steps = [*([old_root] if old & (old - 1) == 0 else []), *path]
    refuse_unless(steps, "no path")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = steps[0]
    for each in steps[1:]:
        refuse_unless(last, "a path too long")
        if at & 1 or at == last:
            before, after = _node(each, before), _node(each, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = _node(after, each)
        at, last = at >> 1, last >> 1
    refuse_unless(before == old_root and after == new_root and last == 0, "not consistent")


def checkpoint(note: str, device: bytes, second: bytes, log: str = "") -> tuple[int, bytes]:
    """Size and root that both keys of the device signed: `second` is its ML-DSA-44 key. `log`: "/time" for beats."""
    refuse_unless(len(note.encode()) <= 16_384, "too long")
    text, _, signatures = note.partition("\n\n")
    name = f"doorward/{key_id(device)}{log}"
    lines = text.split("\n")
    refuse_unless(len(lines) == 3 and lines[0] == name, "three lines")
    refuse_unless(lines[1].isascii() and lines[1].isdigit() and str(int(lines[1])) == lines[1], "size")
    signed = signatures.removesuffix("\n").split("\n")
    refuse_unless(1 <= len(signed) <= 16 and signatures.endswith("\n"), "signature lines")
    hashes = [hashlib.sha256(name.encode() + b"\n" + kind).digest()[:4] for kind in (b"\1" + device, b"\6" + second)]
    own: list[list[bytes]] = [[], []]
    for line in signed:
        refuse_unless(line.startswith("— ") and line.count(" ") == 2, "signature line")
        _, who, blob = line.split(" ")
        raw = base64.b64decode(blob, validate=True)
        if who == name and raw[:4] in hashes:
            own[hashes.index(raw[:4])].append(raw[4:])
    refuse_unless([len(each) for each in own] == [1, 1], "one line of each kind")
    (first,), (other,) = own
    head = base64.b64decode(lines[2], validate=True)
    refuse_unless(len(head) == 32, "root")
    refuse_unless(verified(device, first, f"{text}\n".encode()), "signature")
    named = bytes([len(name)]) + name.encode()
    cosigned = b"subtree/v1\n\0" + named + bytes(8) + named + bytes(8) + int(lines[1]).to_bytes(8, "big") + head
    refuse_unless(other[:8] == bytes(8) and verified_mldsa(second, other[8:], cosigned), "second signature")
    return int(lines[1]), head


def witness(verifier_key: str) -> tuple[str, bytes]:
    """Name and key of a witness (c2sp.org/tlog-cosignature, type 04)."""
    name, key_hash, blob = verifier_key.split("+", 2)
    raw = base64.b64decode(blob, validate=True)
    refuse_unless(raw[0] == 4 and len(raw) == 33, "kind of key")
    refuse_unless(hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key_hash, "hash of the key")
    return name, raw[1:]


def cosigned_s(note: str, lines: str, name: str, key: bytes) -> list[int]:
    """The times, UTC s, at which the witness says that it saw the head in `note`."""
    text = note.partition("\n\n")[0] + "\n"
    own_hash = hashlib.sha256(name.encode() + b"\n\x04" + key).digest()[:4]
    found = []
    for line in lines.splitlines():
        _, who, blob = line.split(" ")
        raw = base64.b64decode(blob, validate=True)
        if (who, raw[:4]) == (name, own_hash):
            time_s = int.from_bytes(raw[4:12], "big")
            refuse_unless(verified(key, raw[12:], f"cosignature/v1\ntime {time_s}\n{text}".encode()), "cosignature")
            found.append(time_s)
    return found


def stamp_request(note: str, nonce: bytes) -> bytes:
    """TimeStampReq of RFC 3161 with SHA-256, a nonce and certReq, built value by value."""

    def der(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    sha256 = der(0x30, der(6, bytes.fromhex("608648016503040201")) + der(5, b""))
    imprint = der(0x30, sha256 + der(4, hashlib.sha256(note.encode()).digest()))
    number = (int.from_bytes(nonce, "big") & (1 << 62) - 1 | 1 << 62).to_bytes(8, "big")
    return der(0x30, der(2, b"\1") + imprint + der(2, number) + der(1, b"\xff"))


def opened(opening: dict[str, Any], second: bytes, size: int, root_of_size: bytes) -> None:
    """Refuses a TimeOpening unless its beat holds a ledger that begins with the one of `size` entries."""
    device = public_key(opening["device"])
    beats, beats_root = checkpoint(opening["proof"]["checkpoint"], device, second, "/time")
    origin, later, later_root = opening["ledger"].removesuffix("\n").split("\n")
    refuse_unless(origin == f"doorward/{key_id(device)}" and opening["size"] == size, "another ledger")
    beat = b"doorward-time/1\n" + bytes.fromhex(opening["blind"]) + opening["ledger"].encode()
    path = [bytes.fromhex(each) for each in opening["path"]]
    check_inclusion(leaf(beat), opening["beat"], beats, path, beats_root)
    proof = [bytes.fromhex(each) for each in opening["consistency"]]
    check_consistency(size, int(later), proof, root_of_size, base64.b64decode(later_root, validate=True))
