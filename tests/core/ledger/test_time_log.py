"""The log of beats: its leaves, its beats, and the request for a time stamp."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import merkle, time_log
from agent.core.ledger.checkpoint import Checkpoint, check_same_head, origin_of, time_origin_of
from agent.errors import FormatError, OpenError
from agent.wire.time_proofs import TimeOpening, TimeProof
from tests.wire import samples

DEVICE = samples.DEVICE_KEY
BLIND = bytes(range(32))
ENTRIES = [merkle.leaf_hash(bytes([n])) for n in range(9)]
PROOF = TimeProof(checkpoint="a note", cosignatures="a line\n")


def ledger(size: int) -> Checkpoint:
    return Checkpoint(origin_of(DEVICE), size, merkle.root_of(ENTRIES[:size]))


LEAVES = [time_log.beat_leaf_hash(BLIND, ledger(size)) for size in (3, 6, 6, 9)]
HEAD = Checkpoint(time_origin_of(DEVICE), 4, merkle.root_of(LEAVES))


def opening(beat: int = 1, size: int = 4, of: int = 6, **changed: object) -> TimeOpening:
    fields: dict[str, object] = {
        "v": 1,
        "device": DEVICE.text,
        "size": size,
        "consistency": tuple(node.hex() for node in merkle.consistency_proof(ENTRIES[:of], size)),
        "ledger": ledger(of).text,
        "blind": BLIND.hex(),
        "beat": beat,
        "path": tuple(node.hex() for node in merkle.inclusion_proof(LEAVES, beat)),
        "proof": PROOF,
    }
    return TimeOpening(**{**fields, **changed})  # type: ignore[arg-type]


def test_an_opening_leads_from_a_ledger_to_a_beat() -> None:
    assert time_log.require_opens(opening(), HEAD, ledger(4), DEVICE) == ledger(6)
    assert time_log.require_opens(opening(size=6), HEAD, ledger(6), DEVICE) == ledger(6)
    assert time_log.require_opens(opening(size=0), HEAD, ledger(0), DEVICE) == ledger(6)


@pytest.mark.parametrize(
    "changed",
    [
        {"blind": "00" * 32},
        {"beat": 2, "blind": "01" * 32},
        {"beat": 3},
        {"size": 5},
        {"device": samples.OWNER_KEY.text},
        {"ledger": ledger(7).text},
        {"ledger": HEAD.text},
        {"path": ()},
        {"consistency": ()},
    ],
)
def test_an_opening_of_anything_else_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(OpenError):
        time_log.require_opens(opening(**changed), HEAD, ledger(4), DEVICE)


def test_an_opening_is_not_of_another_devices_log() -> None:
    foreign = Checkpoint(time_origin_of(samples.OWNER_KEY), 4, HEAD.root)
    with pytest.raises(OpenError, match="another device"):
        time_log.require_opens(opening(), foreign, ledger(4), DEVICE)


def test_two_heads_of_one_size_are_a_split_view() -> None:
    other = Checkpoint(origin_of(DEVICE), 6, merkle.root_of(ENTRIES[3:9]))
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        check_same_head(ledger(6), other)
    check_same_head(ledger(6), ledger(6))
    check_same_head(ledger(6), ledger(7))
    check_same_head(HEAD, Checkpoint(time_origin_of(samples.OWNER_KEY), 4, ENTRIES[0]))


def test_leaves_of_one_head_look_unlike() -> None:
    assert time_log.beat_leaf_hash(b"\1" * 32, ledger(3)) != time_log.beat_leaf_hash(b"\2" * 32, ledger(3))
    with pytest.raises(FormatError, match="32 bytes"):
        time_log.beat_leaf_hash(b"\1" * 31, ledger(3))


@given(st.binary(min_size=8, max_size=8))
def test_every_request_for_a_stamp_has_the_same_length(nonce: bytes) -> None:
    assert len(time_log.stamp_request(b"a note", nonce)) == 69


def test_openssl_reads_the_request_for_a_stamp(tmp_path: Path) -> None:
    (tmp_path / "query").write_bytes(time_log.stamp_request(b"a note", b"\xff" * 8))
    said = subprocess.run(
        ["openssl", "ts", "-query", "-in", tmp_path / "query", "-text"], capture_output=True, text=True, check=True
    ).stdout
    assert "Version: 1" in said
    assert "Hash Algorithm: sha256" in said
    assert "Nonce: 0x7FFFFFFFFFFFFFFF" in said
    assert "Certificate required: yes" in said
    digest = hashlib.sha256(b"a note").hexdigest()
    rows = [line.split("-", 1)[1] for line in said.splitlines() if line.strip()[:4] in ("0000", "0010")]
    assert "".join(row.split("   ")[0].replace("-", " ") for row in rows).replace(" ", "").startswith(digest[:30])
    with pytest.raises(FormatError, match="8 bytes"):
        time_log.stamp_request(b"a note", b"\1" * 7)
