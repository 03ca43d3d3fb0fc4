"""Checkpoints: what the device signs, what others accept, and what no change of a single byte gets past."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import checkpoint, merkle
from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.envelope import HybridKey, pae
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of

DEVICE_PRIVATE = private_key_from_seed(bytes(range(32)))
DEVICE = public_key_of(DEVICE_PRIVATE)
MLDSA = mldsa_key_from_seed(bytes(range(32)))
BOTH = HybridKey(DEVICE, MldsaPublicKey.of(MLDSA))
OTHER = private_key_from_seed(bytes(32))
OTHER_MLDSA = mldsa_key_from_seed(bytes(32))
HASHES = [merkle.leaf_hash(bytes([number])) for number in range(9)]


def frontier(size: int) -> merkle.Frontier:
    grown = merkle.Frontier()
    for hashed in HASHES[:size]:
        grown = grown.append(hashed)
    return grown


def signed(size: int, key: Any = DEVICE_PRIVATE, mldsa: Any = MLDSA) -> bytes:
    return checkpoint.sign_checkpoint(frontier(size), key, mldsa)


NOTE = signed(5)
TEXT, FIRST, SECOND = (NOTE[: NOTE.index(b"\n\n") + 2], *NOTE.splitlines(keepends=True)[4:])


def test_a_signed_checkpoint_opens_to_what_was_signed() -> None:
    opened = checkpoint.open_checkpoint(NOTE, BOTH)
    assert opened == checkpoint.Checkpoint(f"doorward/{DEVICE.id}", 5, frontier(5).root)


def test_an_empty_ledger_has_a_checkpoint_too() -> None:
    opened = checkpoint.open_checkpoint(signed(0), BOTH)
    assert (opened.size, opened.root) == (0, merkle.EMPTY_ROOT)


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_no_changed_byte_survives(at: int, change: int) -> None:
    mutated = NOTE[:at] + bytes([NOTE[at] ^ change]) + NOTE[at + 1 :]
    with pytest.raises(DoorwardError):
        checkpoint.open_checkpoint(mutated, BOTH)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DoorwardError):
        checkpoint.open_checkpoint(noise, BOTH)


def test_another_device_cannot_sign_for_this_one() -> None:
    with pytest.raises(OpenError, match="device's key"):
        checkpoint.open_checkpoint(signed(5, OTHER, OTHER_MLDSA), BOTH)


def forged() -> dict[str, bytes]:
    """Notes by one who can sign with the device's Ed25519 key, has earlier notes of it, and other ML-DSA-44 keys."""
    name = f"doorward/{DEVICE.id}"
    data = strictjson.decode_base64(SECOND.decode().split()[2])

    def line(key_hash: bytes, rest: bytes, by: str = name) -> bytes:
        return f"— {by} {strictjson.encode_base64(key_hash + rest)}\n".encode()

    six, three = signed(6), signed(3)
    beats = checkpoint.sign_time_checkpoint(frontier(5), DEVICE_PRIVATE, MLDSA)
    dated = MLDSA.sign(OPENED.mldsa_message.replace(name.encode() + bytes(8), name.encode() + b"\0" * 7 + b"\1", 1))
    bare = MLDSA.sign(TEXT[:-1])
    dsse = MLDSA.sign(pae("application/vnd.doorward.disclosure-manifest+json", OPENED.mldsa_message))
    as_ed25519 = line(strictjson.decode_base64(FIRST.decode().split()[2])[:4], data[12:])
    of_beats = strictjson.decode_base64(beats.split()[-1].decode())[4:]
    strange = bytes(8) + OTHER_MLDSA.sign(OPENED.mldsa_message)
    return {
        "none": TEXT + FIRST,
        "that of a shorter ledger": TEXT + FIRST + three.splitlines(keepends=True)[5],
        "that of a longer ledger": TEXT + FIRST + six.splitlines(keepends=True)[5],
        "that of the log of beats": TEXT + FIRST + beats.splitlines(keepends=True)[5],
        "that of the log of beats, renamed": TEXT + FIRST + line(data[:4], of_beats),
        "a stranger's": TEXT + FIRST + signed(5, DEVICE_PRIVATE, OTHER_MLDSA).splitlines(keepends=True)[5],
        "a stranger's, as the device's": TEXT + FIRST + line(data[:4], strange),
        "with a time": TEXT + FIRST + line(data[:4], b"\0" * 7 + b"\1" + dated),
        "with a time that is not signed": TEXT + FIRST + line(data[:4], b"\0" * 7 + b"\1" + data[12:]),
        "of the text": TEXT + FIRST + line(data[:4], bytes(8) + bare),
        "of an envelope": TEXT + FIRST + line(data[:4], bytes(8) + dsse),
        "too short": TEXT + FIRST + line(data[:4], data[4:-1]),
        "too long": TEXT + FIRST + line(data[:4], data[4:] + b"\0"),
        "without its time": TEXT + FIRST + line(data[:4], data[12:]),
        "twice": NOTE + SECOND,
        "two of them": TEXT + FIRST + SECOND + signed(5).splitlines(keepends=True)[5],
        "by another name": TEXT + FIRST + line(data[:4], data[4:], "doorward/other"),
        "as the first kind": TEXT + FIRST + as_ed25519,
    }


OPENED = checkpoint.open_checkpoint(NOTE, BOTH)
FORGED = forged()


@pytest.mark.parametrize("second", FORGED)
def test_a_forger_of_ed25519_cannot_sign_a_head(second: str) -> None:
    missing = {"none", "that of the log of beats", "a stranger's", "by another name"}
    words = "signature is missing" if second in missing else "signature does not verify"
    said = "not signed by the device's key" if second == "as the first kind" else f"The ML-DSA-44 {words}"
    with pytest.raises(OpenError, match=said):
        checkpoint.open_checkpoint(FORGED[second], BOTH)


def test_a_forger_of_mldsa_cannot_sign_a_head() -> None:
    for note in (TEXT + SECOND, signed(5, OTHER), TEXT + signed(3).splitlines(keepends=True)[4] + SECOND):
        with pytest.raises(OpenError, match="not signed by the device's key"):
            checkpoint.open_checkpoint(note, BOTH)


def test_the_second_signature_is_that_of_the_specification() -> None:
    """c2sp.org/tlog-cosignature, "ML-DSA-44 signed message", written out by hand for a checkpoint."""
    name = f"doorward/{DEVICE.id}".encode()
    said = b"subtree/v1\n\x00" + b"\x19" + name + bytes(8) + b"\x19" + name + bytes(8) + bytes(7) + b"\x05"
    assert OPENED.mldsa_message == said + frontier(5).root
    data = strictjson.decode_base64(SECOND.decode().split()[2])
    assert data[:4] == hashlib.sha256(name + b"\n\x06" + BOTH.mldsa.raw).digest()[:4]
    assert data[4:12] == bytes(8)
    assert BOTH.mldsa.verifies(data[12:], said + frontier(5).root)


def test_both_logs_of_a_device_have_their_own_heads() -> None:
    beats = checkpoint.sign_time_checkpoint(frontier(5), DEVICE_PRIVATE, MLDSA)
    assert checkpoint.open_time_checkpoint(beats, BOTH).root == frontier(5).root
    for note, read in ((beats, checkpoint.open_checkpoint), (NOTE, checkpoint.open_time_checkpoint)):
        with pytest.raises(OpenError):
            read(note, BOTH)


def test_a_witness_may_sign_below() -> None:
    line = f"— witness.example/w1 {strictjson.encode_base64(bytes(4 + 72))}\n".encode()
    assert checkpoint.open_checkpoint(NOTE + line, BOTH) == checkpoint.open_checkpoint(NOTE, BOTH)
    assert checkpoint.open_checkpoint(NOTE + line * (checkpoint.MAX_SIGNATURES - 2), BOTH).size == 5
    with pytest.raises(FormatError, match="signature lines"):
        checkpoint.open_checkpoint(NOTE + line * checkpoint.MAX_SIGNATURES, BOTH)


def test_two_signatures_of_the_device_are_one_too_many() -> None:
    for own in (FIRST, SECOND):
        with pytest.raises(OpenError):
            checkpoint.open_checkpoint(NOTE + own, BOTH)


def test_extension_lines_are_refused() -> None:
    text, _, signatures = NOTE.rpartition(b"\n\n")
    with pytest.raises(FormatError, match="three lines"):
        checkpoint.open_checkpoint(text + b"\nmore\n\n" + signatures, BOTH)


@pytest.mark.parametrize("size", [b"05", b"-1", b"+5", b" 5", b"", b"5.0", b"1" * 20])
def test_a_size_has_one_spelling(size: bytes) -> None:
    with pytest.raises(FormatError, match="three lines"):
        checkpoint.open_checkpoint(NOTE.replace(b"\n5\n", b"\n%b\n" % size), BOTH)


def test_what_is_no_note_says_so() -> None:
    for note in (b"", b"no note", NOTE.replace(b"\n\n", b"\n")):
        with pytest.raises(FormatError, match="not a signed note"):
            checkpoint.open_checkpoint(note, BOTH)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("doorward/x", 5, HASHES[0]),
        (f"doorward/{DEVICE.id}", -1, HASHES[0]),
        (f"doorward/{DEVICE.id}", 5, HASHES[0][:-1]),
        (f"doorward/{DEVICE.id}", 5, HASHES[0] + b"\0"),
    ],
)
def test_a_checkpoint_that_is_none_cannot_be_made(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(FormatError, match="not a checkpoint"):
        checkpoint.Checkpoint(origin, size, root)


def test_a_note_too_long_is_refused_before_it_is_read() -> None:
    longest = NOTE + bytes(checkpoint.MAX_NOTE_BYTES - len(NOTE))
    with pytest.raises(FormatError, match="at most"):
        checkpoint.open_checkpoint(longest + b"\0", BOTH)
    with pytest.raises(FormatError, match="signature lines"):
        checkpoint.open_checkpoint(longest, BOTH)


def test_the_verifier_key_is_the_one_other_tools_take() -> None:
    name, key_hash, key = checkpoint.verifier_key(DEVICE).split("+", 2)
    assert name == f"doorward/{DEVICE.id}"
    assert strictjson.decode_base64(key) == b"\x01" + DEVICE.raw
    assert strictjson.decode_base64(FIRST.decode().split()[2])[:4].hex() == key_hash
    name, key_hash, key = checkpoint.mldsa_verifier_key(BOTH).split("+", 2)
    assert (name, strictjson.decode_base64(key)) == (f"doorward/{DEVICE.id}", b"\x06" + BOTH.mldsa.raw)
    assert strictjson.decode_base64(SECOND.decode().split()[2])[:4].hex() == key_hash


def test_the_signature_of_a_note_is_over_its_first_three_lines() -> None:
    text = NOTE[: NOTE.index(b"\n\n") + 1]
    assert text.count(b"\n") == 3
    first, second = checkpoint.checkpoint_signatures(NOTE, BOTH)
    assert first == DEVICE_PRIVATE.sign(text)
    assert BOTH.mldsa.verifies(second, OPENED.mldsa_message)


def test_a_ledger_that_grew_continues_and_one_rolled_back_does_not() -> None:
    three = checkpoint.open_checkpoint(signed(3), BOTH)
    five = checkpoint.open_checkpoint(NOTE, BOTH)
    checkpoint.check_progress(three, five, merkle.consistency_proof(HASHES[:5], 3))
    checkpoint.check_progress(five, five, ())
    with pytest.raises(OpenError, match="rolled back or rewritten"):
        checkpoint.check_progress(five, three, ())


def test_the_checkpoint_of_another_ledger_is_no_progress() -> None:
    keys = HybridKey(public_key_of(OTHER), BOTH.mldsa)
    theirs = checkpoint.open_checkpoint(signed(5, OTHER), keys)
    with pytest.raises(OpenError, match="two different ledgers"):
        checkpoint.check_progress(checkpoint.open_checkpoint(NOTE, BOTH), theirs, ())


def test_a_desks_log_has_its_own_origin_and_passes_for_no_other() -> None:
    note = checkpoint.sign_desk_checkpoint(frontier(5), DEVICE_PRIVATE, "rijnstad-police")
    opened = checkpoint.open_desk_checkpoint(note, DEVICE, "rijnstad-police")
    assert opened == checkpoint.Checkpoint(f"doorward-desk/{DEVICE.id}/rijnstad-police", 5, frontier(5).root)
    assert checkpoint.verifier_key(DEVICE, "rijnstad-police").startswith(f"{opened.origin}+")
    with pytest.raises(OpenError, match="not signed by the desk's key"):
        checkpoint.open_desk_checkpoint(note, DEVICE, "another-police")
    with pytest.raises(OpenError, match="not signed by the device's key"):
        checkpoint.open_checkpoint(note, BOTH)
    with pytest.raises(OpenError, match="not signed by the desk's key"):
        checkpoint.open_desk_checkpoint(NOTE, DEVICE, "rijnstad-police")
