"""One changed bit, anywhere in anything that is signed or proven, is detected by anyone who holds it.

Every bit of every one of these is changed by `make prove-consent`; a run without it changes a few thousand of them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.core.disclosure import (
    check_part,
    claimed_clip_records,
    claimed_clips,
    enrolled,
    read_approval,
    read_co_approval,
    read_manifest,
    require_claims_match,
    require_ledgered,
)
from agent.core.ledger.checkpoint import open_checkpoint
from agent.core.ledger.merkle import HASH_BYTES, check_consistency, consistency_proof, leaf_hash, root_of
from agent.core.vault.manifest import ChainHead, open_line, sign_record, verify_chain
from agent.errors import DoorwardError
from agent.wire import strictjson
from agent.wire.disclosures import ClipRecords, LedgerProof
from agent.wire.inbound import verify_inbound
from agent.wire.messages import Deletion
from agent.wire.statements import CoApproval
from agent.wire.trust import TrustStore
from tests import custodians
from tests.custodians import DEVICE, NOW_S, POLICE, REPLY_IDENTITY, ROOT, Door, sha256_of, signed, stated, topic_of
from tests.properties.amounts import WHOLE
from tests.properties.consent_model import SECOND
from tests.wire import samples

Check = Callable[[bytes], object]
"""Raises `DoorwardError` when something is wrong with the bytes."""

IN_A_RUN = 200
"""Bits of each thing that every run changes."""
DEVICE_KEY = samples.DEVICE_KEY
EVERYTHING = (
    "request",
    "withdrawal",
    "deletion",
    "bulletin",
    "trust bundle",
    "approval as it is handed in",
    "second approval as it is handed in",
    "disclosure manifest",
    "approval in a disclosure",
    "second approval in a disclosure",
    "enrolment in a disclosure",
    "capture record",
    "clip of which a part is shown",
    "vault manifest",
    "part of a disclosure",
    "inclusion proof",
    "consistency proof",
    "checkpoint",
    "receipt",
)


@pytest.fixture(scope="module")
def things() -> Iterator[dict[str, tuple[bytes, Check]]]:
    """Each as it leaves its maker, and what its reader does with it."""
    door = Door.enrolled()
    door.enrol(**custodians.two_owners(door, SECOND))
    asked, waiting = door.ask(), door.ask()
    first, headers = custodians.approval(door, asked)
    yes = signed(first, custodians.APPROVER)
    door.custodian.control._statements.accept(yes, headers)
    said = {**stated(), "request": sha256_of(asked), "approval": hashlib.sha256(strictjson.encode(first)).hexdigest()}
    disclosure = door.obey(CoApproval(**said), by=SECOND).disclosure or ""
    parts = door.outbox.objects[disclosure]
    opened = open_bytes(parts[0], [REPLY_IDENTITY])
    read = read_manifest(opened, asked, sha256_of(asked))
    manifest, owners = read.manifest, read.enrolment
    assert read.co_approver == "bo"
    first, headers = custodians.approval(door, waiting)
    door.custodian.control._statements.accept(signed(first, custodians.APPROVER), headers)
    said = {**stated(), "request": sha256_of(waiting), "approval": hashlib.sha256(strictjson.encode(first)).hexdigest()}
    again = signed(CoApproval(**said), SECOND)
    third = door.ask()
    handed_in, new_headers = custodians.approval(door, third)

    def told(data: bytes) -> str:
        return data.decode("latin-1")

    def with_proof(data: bytes) -> None:
        proof = strictjson.decode(data, LedgerProof, limit_bytes=1 << 20)
        require_ledgered(msgspec.structs.replace(manifest, ledger=proof), asked)

    matched = door.stored(asked).segments
    last = next(item for item in read.items if item.part.id == matched[-1])
    captured = {name: door.vault.record(name) for name in matched}
    clips = claimed_clips(captured, matched)
    clip_told = claimed_clip_records(captured, matched, clips)[0]

    def with_clip(data: bytes) -> None:
        changed = strictjson.decode(data, ClipRecords, limit_bytes=1 << 20)
        approval = msgspec.structs.replace(read.approval, clips=clips)
        # Only the last of three is shown: of the others the hashes alone, fixed by its signature at capture.
        require_claims_match(msgspec.structs.replace(manifest, clips=(changed,)), approval, (last,))

    def take(data: bytes, *headers: bytes) -> None:
        door.custodian.control._statements.accept(data, headers)

    trust = TrustStore().with_root(samples.ROOT_KEY)
    named = {"v": 1, "request": asked.id, "requester": asked.requester, "trust_root": asked.trust_root, "seq": 99}
    messages = {
        "request": asked,
        "withdrawal": custodians.withdrawal(asked),
        "deletion": Deletion(**named, deleted_s=NOW_S),
        "bulletin": samples.EVERY_MESSAGE["bulletin"],
        "receipt": custodians.complete(door, asked, disclosure),
    }
    lines = _chain(door)
    found: dict[str, tuple[bytes, Check]] = {
        name: (signed(message, POLICE), partial(verify_inbound, topic=topic_of(message), trust=TRUST, at_s=NOW_S))
        for name, message in messages.items()
    }
    found |= {
        "trust bundle": (signed(custodians.bundle(), ROOT), trust.accept),
        "approval as it is handed in": (
            signed(handed_in, custodians.APPROVER),
            lambda data: take(data, *new_headers),
        ),
        "second approval as it is handed in": (again, take),
        "disclosure manifest": (opened, lambda data: read_manifest(data, asked, sha256_of(asked))),
        "approval in a disclosure": (
            yes,
            lambda data: read_approval(msgspec.structs.replace(manifest, approval=told(data)), owners),
        ),
        "second approval in a disclosure": (
            (manifest.co_approval or "").encode(),
            lambda data: read_co_approval(msgspec.structs.replace(manifest, co_approval=told(data)), owners, asked),
        ),
        "enrolment in a disclosure": (
            manifest.enrolments[-1].encode(),
            lambda data: enrolled(
                msgspec.structs.replace(manifest, enrolments=(*manifest.enrolments[:-1], told(data)))
            ),
        ),
        "capture record": (manifest.records[0].encode(), lambda data: open_line(data, DEVICE_KEY)),
        "clip of which a part is shown": (strictjson.encode(clip_told), with_clip),
        "vault manifest": (lines, _verify_chain),
        "part of a disclosure": (parts[1], lambda data: check_part(read.items[0], data)),
        "inclusion proof": (strictjson.encode(manifest.ledger), with_proof),
        "consistency proof": (_consistency(), _check_consistency),
        "checkpoint": (manifest.ledger.checkpoint.encode(), lambda data: open_checkpoint(data, custodians.DEVICE_KEYS)),
    }
    yield found
    door.close()


TRUST, _ = TrustStore().with_root(samples.ROOT_KEY).accept(signed(custodians.bundle(), ROOT))


def _chain(door: Door) -> bytes:
    tip, lines = ChainHead(), []
    for paper in door.vault.kept.values():
        line = sign_record(paper.record.record, tip, DEVICE.sign, custodians.MLDSA.sign)
        tip = tip.after(line)
        lines.append(line.line + b"\n")
    return b"".join(lines)


def _verify_chain(data: bytes) -> None:
    if faults := verify_chain(data.splitlines(keepends=True), DEVICE_KEY, custodians.MLDSA_KEY):
        raise DoorwardError(str(faults[0]))


OLD, NEW = 6, 13
"""Sizes are no part of the proof: the checkpoints around it sign them."""


def _consistency() -> bytes:
    """The old root, the new one, and the proof between them."""
    hashes = [leaf_hash(bytes([number])) for number in range(NEW)]
    return b"".join([root_of(hashes[:OLD]), root_of(hashes), *consistency_proof(hashes, OLD)])


def _check_consistency(data: bytes) -> None:
    old, new, *proof = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    check_consistency(OLD, old, NEW, new, proof)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", EVERYTHING)
def test_a_changed_bit_is_detected_in_a(name: str, things: dict[str, tuple[bytes, Check]]) -> None:
    data, check = things[name]
    bits = range(len(data) * 8)
    drawn: Any = bits if WHOLE else random.Random(name).sample(bits, min(IN_A_RUN, len(bits)))
    for bit in drawn:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            check(bytes(changed))
        except DoorwardError:
            continue
        raise AssertionError(f"bit {bit} of {len(bits)}: {bytes(changed[max(0, bit // 8 - 20) : bit // 8 + 20])!r}")
    print(f"{len(drawn)} of {len(bits)} bits")
    check(data)


def test_that_is_more_than_a_hundred_thousand_bits(things: dict[str, tuple[bytes, Check]]) -> None:
    assert tuple(sorted(things)) == tuple(sorted(EVERYTHING))
    assert sum(len(data) * 8 for data, _ in things.values()) >= 100_000
