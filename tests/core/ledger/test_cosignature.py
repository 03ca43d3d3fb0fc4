"""Cosignatures: what a witness says of a checkpoint, and what counts as its word."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import cosignature, merkle
from agent.core.ledger.checkpoint import MAX_NOTE_BYTES, MAX_SIGNATURES, open_time_checkpoint, sign_time_checkpoint
from agent.errors import FormatError, OpenError
from agent.wire.witness_keys import parse_witness
from tests.time_services import LocalWitness
from tests.wire import samples

ONE = LocalWitness()
OTHER = LocalWitness(name="witness.test/w2", seed=b"\x08" * 32, time_s=1_800_000_060)
NOTE = sign_time_checkpoint(merkle.Frontier().append(merkle.leaf_hash(b"a")), samples.DEVICE, samples.MLDSA)
TEXT = open_time_checkpoint(NOTE, samples.DEVICE_KEYS).text
KNOWN = parse_witness(ONE.verifier_key)


def lines(*witnesses: LocalWitness, text: str = TEXT) -> str:
    return "".join(each.cosign(text).decode() for each in witnesses)


def test_the_example_of_the_specification_is_read() -> None:
    """https://c2sp.org/tlog-cosignature prints a note; its witness' key is unknown, so the line is no one's."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    line = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ"
        "qhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    assert cosignature.find_cosignatures(text, line, [KNOWN]) == ()
    assert cosignature.cosigned_message(text, 1679315147) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_a_cosignature_names_its_witness_and_its_time() -> None:
    found = cosignature.find_cosignatures(TEXT, lines(OTHER, ONE), [KNOWN])
    assert [(each.witness, each.time_s, each.line) for each in found] == [(KNOWN, ONE.time_s, lines(ONE)[:-1])]


def test_a_forged_cosignature_is_told_apart_from_an_unknown_one() -> None:
    with pytest.raises(OpenError, match=r"in the name of witness\.test/w1 is not by that witness"):
        cosignature.find_cosignatures(TEXT, lines(ONE, text=TEXT.replace("\n1\n", "\n2\n")), [KNOWN])
    short = f"— {ONE.name} {lines(ONE).split()[2][:80]}\n"
    with pytest.raises(OpenError, match="is not by that witness"):
        cosignature.find_cosignatures(TEXT, short, [KNOWN])


def test_a_line_of_another_form_is_named_as_one() -> None:
    with pytest.raises(FormatError, match="malformed"):
        cosignature.find_cosignatures(TEXT, lines(ONE) + "no signature\n", [KNOWN])


def test_as_many_signatures_and_bytes_as_allowed_are_read_and_no_more() -> None:
    assert len(cosignature.find_cosignatures(TEXT, lines(ONE) * MAX_SIGNATURES, [KNOWN])) == MAX_SIGNATURES
    with pytest.raises(FormatError, match="not the signature lines"):
        cosignature.find_cosignatures(TEXT, lines(ONE) * (MAX_SIGNATURES + 1), [KNOWN])
    line = f"— a {'A' * 4092}\n"
    short = f"— a {'A' * (MAX_NOTE_BYTES - 3 * len(line.encode()) - 7)}\n"
    assert len((line * 3 + short).encode()) == MAX_NOTE_BYTES
    assert cosignature.find_cosignatures(TEXT, line * 3 + short, [KNOWN]) == ()
    with pytest.raises(FormatError, match="not the signature lines"):
        cosignature.find_cosignatures(TEXT, line * 3 + short.replace(" a ", " ab "), [KNOWN])


def test_a_time_after_the_year_9999_is_no_time() -> None:
    """No calendar shows it, so a report about it would fail."""
    late = LocalWitness(time_s=253_402_300_800)
    with pytest.raises(OpenError):
        cosignature.find_cosignatures(TEXT, lines(late), [KNOWN])
    last = LocalWitness(time_s=253_402_300_799)
    assert cosignature.find_cosignatures(TEXT, lines(last), [KNOWN])[0].time_s == last.time_s


@given(st.integers(0, 75), st.integers(1, 255))
def test_no_byte_of_a_cosignature_can_change(at: int, flip: int) -> None:
    data = bytearray(base64.b64decode(lines(ONE).split()[2]))
    data[at] ^= flip
    line = f"— {ONE.name} {base64.b64encode(data).decode()}\n"
    try:
        assert cosignature.find_cosignatures(TEXT, line, [KNOWN]) == ()  # the hash of its key is another
        assert at < 4
    except OpenError:
        assert at >= 4


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    text = noise.decode("utf-8", "replace")
    with contextlib.suppress(FormatError):
        assert cosignature.find_cosignatures(TEXT, text, [KNOWN]) == ()


def test_a_body_is_what_the_specification_prints() -> None:
    body = cosignature.add_checkpoint_body(2, [b"\1" * 32, b"\2" * 32], NOTE)
    assert body == (
        b"old 2\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\n" + NOTE
    )
    assert cosignature.add_checkpoint_body(0, [], NOTE) == b"old 0\n\n" + NOTE
    with pytest.raises(FormatError, match="at most 63"):
        cosignature.add_checkpoint_body(1, [b"\1" * 32] * 64, NOTE)


@pytest.mark.parametrize(("answer", "size"), [(b"0\n", 0), (b"17\n", 17)])
def test_a_conflict_names_a_size(answer: bytes, size: int) -> None:
    assert cosignature.conflict_size(answer) == size


@pytest.mark.parametrize("answer", [b"", b"17", b"017\n", b"-1\n", b"1\n2\n", b"9" * 17 + b"\n"])
def test_a_conflict_without_a_size_is_refused(answer: bytes) -> None:
    with pytest.raises(FormatError, match="named no size"):
        cosignature.conflict_size(answer)
