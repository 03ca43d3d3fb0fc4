"""Checkpoints: what the device signs, what others accept, and what no change of a single byte gets past."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import checkpoint, merkle
from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import base64
from agent.wire.identities import private_key_from_seed, public_key_of

DEVICE_PRIVATE = private_key_from_seed(bytes(range(32)))
DEVICE = public_key_of(DEVICE_PRIVATE)
HASHES = [merkle.leaf_hash(bytes([number])) for number in range(9)]


def frontier(size: int) -> merkle.Frontier:
    grown = merkle.Frontier()
    for hashed in HASHES[:size]:
        grown = grown.append(hashed)
    return grown


NOTE = checkpoint.sign_checkpoint(frontier(5), DEVICE_PRIVATE)


def test_a_signed_checkpoint_opens_to_what_was_signed() -> None:
    opened = checkpoint.open_checkpoint(NOTE, DEVICE)
    assert opened == checkpoint.Checkpoint(f"doorward/{DEVICE.id}", 5, frontier(5).root)


def test_an_empty_ledger_has_a_checkpoint_too() -> None:
    opened = checkpoint.open_checkpoint(checkpoint.sign_checkpoint(merkle.Frontier(), DEVICE_PRIVATE), DEVICE)
    assert (opened.size, opened.root) == (0, merkle.EMPTY_ROOT)


def test_the_same_head_is_always_the_same_bytes() -> None:
    assert checkpoint.sign_checkpoint(frontier(5), DEVICE_PRIVATE) == NOTE


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_no_changed_byte_survives(at: int, change: int) -> None:
    mutated = NOTE[:at] + bytes([NOTE[at] ^ change]) + NOTE[at + 1 :]
    with pytest.raises(DoorwardError):
        checkpoint.open_checkpoint(mutated, DEVICE)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DoorwardError):
        checkpoint.open_checkpoint(noise, DEVICE)


def test_another_device_cannot_sign_for_this_one() -> None:
    other = private_key_from_seed(bytes(32))
    with pytest.raises(OpenError):
        checkpoint.open_checkpoint(checkpoint.sign_checkpoint(frontier(5), other), DEVICE)


def test_a_witness_may_sign_below() -> None:
    line = f"— witness.example/w1 {base64.encode(bytes(4 + 72))}\n".encode()
    assert checkpoint.open_checkpoint(NOTE + line, DEVICE) == checkpoint.open_checkpoint(NOTE, DEVICE)
    assert checkpoint.open_checkpoint(NOTE + line * (checkpoint.MAX_SIGNATURES - 1), DEVICE).size == 5
    with pytest.raises(FormatError, match="signature lines"):
        checkpoint.open_checkpoint(NOTE + line * checkpoint.MAX_SIGNATURES, DEVICE)


def test_two_signatures_of_the_device_are_one_too_many() -> None:
    own = NOTE.rpartition(b"\n\n")[2]
    with pytest.raises(OpenError):
        checkpoint.open_checkpoint(NOTE + own, DEVICE)


def test_extension_lines_are_refused() -> None:
    text, _, signatures = NOTE.rpartition(b"\n\n")
    with pytest.raises(FormatError, match="three lines"):
        checkpoint.open_checkpoint(text + b"\nmore\n\n" + signatures, DEVICE)


@pytest.mark.parametrize("size", [b"05", b"-1", b"+5", b" 5", b"", b"5.0", b"1" * 20])
def test_a_size_has_one_spelling(size: bytes) -> None:
    with pytest.raises(FormatError, match="three lines"):
        checkpoint.open_checkpoint(NOTE.replace(b"\n5\n", b"\n%b\n" % size), DEVICE)


def test_what_is_no_note_says_so() -> None:
    for note in (b"", b"no note", NOTE.replace(b"\n\n", b"\n")):
        with pytest.raises(FormatError, match="not a signed note"):
            checkpoint.open_checkpoint(note, DEVICE)


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
        checkpoint.open_checkpoint(longest + b"\0", DEVICE)
    with pytest.raises(FormatError, match="signature lines"):
        checkpoint.open_checkpoint(longest, DEVICE)


def test_the_verifier_key_is_the_one_other_tools_take() -> None:
    name, key_hash, key = checkpoint.verifier_key(DEVICE).split("+", 2)
    assert name == f"doorward/{DEVICE.id}"
    assert base64.decode(key) == b"\x01" + DEVICE.raw
    assert base64.decode(NOTE.decode().split()[-1])[:4].hex() == key_hash


def test_the_signature_of_a_note_is_over_its_first_three_lines() -> None:
    text = NOTE[: NOTE.index(b"\n\n") + 1]
    assert text.count(b"\n") == 3
    assert checkpoint.checkpoint_signature(NOTE, DEVICE) == DEVICE_PRIVATE.sign(text)


def test_a_ledger_that_grew_continues_and_one_rolled_back_does_not() -> None:
    three = checkpoint.open_checkpoint(checkpoint.sign_checkpoint(frontier(3), DEVICE_PRIVATE), DEVICE)
    five = checkpoint.open_checkpoint(NOTE, DEVICE)
    checkpoint.check_progress(three, five, merkle.consistency_proof(HASHES[:5], 3))
    checkpoint.check_progress(five, five, ())
    with pytest.raises(OpenError, match="rolled back or rewritten"):
        checkpoint.check_progress(five, three, ())


def test_the_checkpoint_of_another_ledger_is_no_progress() -> None:
    other = private_key_from_seed(bytes(32))
    theirs = checkpoint.open_checkpoint(checkpoint.sign_checkpoint(frontier(5), other), public_key_of(other))
    with pytest.raises(OpenError, match="two different ledgers"):
        checkpoint.check_progress(checkpoint.open_checkpoint(NOTE, DEVICE), theirs, ())


def test_a_desks_log_has_its_own_origin_and_passes_for_no_other() -> None:
    note = checkpoint.sign_checkpoint(frontier(5), DEVICE_PRIVATE, "rijnstad-police")
    opened = checkpoint.open_checkpoint(note, DEVICE, "rijnstad-police")
    assert opened == checkpoint.Checkpoint(f"doorward-desk/{DEVICE.id}/rijnstad-police", 5, frontier(5).root)
    assert checkpoint.verifier_key(DEVICE, "rijnstad-police").startswith(f"{opened.origin}+")
    for log, holder in (("another-police", "desk"), ("", "device")):
        with pytest.raises(OpenError, match=f"not signed by the {holder}'s key"):
            checkpoint.open_checkpoint(note, DEVICE, log)
    with pytest.raises(OpenError, match="not signed by the desk's key"):
        checkpoint.open_checkpoint(NOTE, DEVICE, "rijnstad-police")
