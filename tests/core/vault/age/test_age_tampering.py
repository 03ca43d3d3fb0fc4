"""A sealed file that was changed in any way raises a FormatError (or OpenError, its child)."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clients.opening import (
    HybridIdentity,
    PassphraseIdentity,
    VerifiedPrefix,
    X25519Identity,
    open_bytes,
    open_file_key,
    open_stream,
)
from agent.clients.opening.armor import dearmor
from agent.core.vault.age.header import LONGEST_HEADER_BYTES, Header, header_mac, parse_header, read_header, split
from agent.core.vault.age.sealing import CHUNK_BYTES, NONCE_BYTES, SEALED_CHUNK_BYTES, seal_bytes
from agent.errors import FormatError, OpenError
from tests.damage import with_another_end

FILE_KEY = bytes(range(16))
NONCE = bytes(range(100, 116))


@pytest.fixture(scope="module")
def small(classic: X25519Identity) -> bytes:
    return seal_bytes(b"a face at the door", [classic.recipient()], file_key=FILE_KEY, nonce=NONCE)


@pytest.fixture(scope="module")
def long(owner: HybridIdentity, recovery: HybridIdentity) -> bytes:
    recipients = [owner.recipient(), recovery.recipient()]
    return seal_bytes(bytes(2 * CHUNK_BYTES + 100), recipients, file_key=FILE_KEY, nonce=NONCE)


def assert_does_not_open(data: bytes, identity: HybridIdentity | X25519Identity) -> None:
    with pytest.raises(FormatError):
        open_bytes(data, [identity])
    with pytest.raises(FormatError):
        list(open_stream(io.BytesIO(data), [identity]))


def test_any_flipped_bit_keeps_a_small_file_shut(small: bytes, classic: X25519Identity) -> None:
    for position in range(len(small)):
        for bit in range(8):
            damaged = bytearray(small)
            damaged[position] ^= 1 << bit
            with pytest.raises(FormatError):
                open_bytes(bytes(damaged), [classic])


def test_any_flipped_byte_of_a_hybrid_header_keeps_the_file_shut(long: bytes, owner: HybridIdentity) -> None:
    # Also in the stanza of the other recipient: the MAC binds them all.
    for position in range(split(long)):
        damaged = bytearray(long)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(FormatError):
            open_bytes(bytes(damaged), [owner])


@given(st.data())
@settings(deadline=None)
def test_a_flipped_bit_in_the_payload_is_found_and_the_chunks_before_it_stand(
    long: bytes, owner: HybridIdentity, data: st.DataObject
) -> None:
    start = split(long)
    position = data.draw(st.integers(start, len(long) - 1))
    damaged = bytearray(long)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    assert_does_not_open(bytes(damaged), owner)

    prefix = VerifiedPrefix(io.BytesIO(bytes(damaged)), [owner])
    good = max(0, position - start - NONCE_BYTES) // SEALED_CHUNK_BYTES
    assert b"".join(prefix) == bytes(good * CHUNK_BYTES)
    assert not prefix.complete


def test_a_file_truncated_at_any_byte_stays_shut(small: bytes, classic: X25519Identity) -> None:
    for length in range(len(small)):
        assert_does_not_open(small[:length], classic)


def test_an_appended_byte_keeps_a_file_shut(
    small: bytes, long: bytes, classic: X25519Identity, owner: HybridIdentity
) -> None:
    assert_does_not_open(small + b"\x00", classic)
    assert_does_not_open(long + b"\x00", owner)
    with pytest.raises(FormatError):
        open_file_key(small[: split(small)] + b"\x00", [classic])


def test_swapped_dropped_or_repeated_chunks_keep_a_file_shut(long: bytes, owner: HybridIdentity) -> None:
    start = split(long) + NONCE_BYTES
    head, chunks = long[:start], long[start:]
    first, second, last = (
        chunks[:SEALED_CHUNK_BYTES],
        chunks[SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES],
        chunks[-116:],
    )
    assert first + second + last == chunks
    for damaged in (second + first + last, first + last, first + second, first + second + second + last, b"", last):
        assert_does_not_open(head + damaged, owner)


def test_a_payload_under_another_files_header_stays_shut(small: bytes, classic: X25519Identity) -> None:
    other = seal_bytes(b"another face", [classic.recipient()], file_key=bytes(16), nonce=NONCE)
    assert_does_not_open(other[: split(other)] + small[split(small) :], classic)


def test_a_stanza_added_by_a_stranger_keeps_the_file_shut(
    small: bytes, classic: X25519Identity, owner: HybridIdentity
) -> None:
    header, length = parse_header(small)
    theirs = owner.recipient().wrap(bytes(16))
    forged = Header((*header.stanzas, theirs), header_mac(bytes(16), (*header.stanzas, theirs)))
    assert_does_not_open(forged.serialise() + small[length:], classic)


def test_a_header_without_an_end_is_not_read_into_memory() -> None:
    endless = b"age-encryption.org/v1\n" + b"-> grease\n\n" * LONGEST_HEADER_BYTES
    reader = io.BytesIO(endless)
    with pytest.raises(FormatError):
        read_header(reader)
    assert reader.tell() <= 2 * LONGEST_HEADER_BYTES
    with pytest.raises(FormatError):
        parse_header(endless)


header_like_lines = st.lists(
    st.sampled_from(
        [
            b"age-encryption.org/v1", b"-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc", b"-> scrypt a 1",
            b"hjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE", b"", b"A" * 64, b"--- ", b"---", b"->", b"-> a  b",
            b"\xff", b"\r",
            b"--- WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg", b"-> mlkem768x25519 AAAA", b"-> grease",
        ]
    ),
    max_size=8,
)  # fmt: skip


@given(
    st.one_of(
        st.binary(max_size=200),
        header_like_lines.map(b"\n".join),
        header_like_lines.map(lambda lines: b"\n".join([*lines, b""])),
    )
)
@settings(max_examples=settings().max_examples * 4, deadline=None)
def test_nonsense_is_a_format_error_and_never_another(
    classic: X25519Identity, owner: HybridIdentity, data: bytes
) -> None:
    identities = [classic, owner, PassphraseIdentity("x", max_log2_work_factor=4)]
    for attempt in (
        lambda: open_bytes(data, identities),
        lambda: list(open_stream(io.BytesIO(data), identities)),
        lambda: list(VerifiedPrefix(io.BytesIO(data), identities)),
        lambda: dearmor(data),
    ):
        with pytest.raises(FormatError):
            attempt()


@given(header_like_lines.map(lambda lines: b"\n".join([b"age-encryption.org/v1", *lines, b""])))
@settings(max_examples=settings().max_examples * 4, deadline=None)
def test_a_header_that_parses_has_exactly_one_spelling(data: bytes) -> None:
    try:
        header, length = parse_header(data)
    except FormatError:
        return
    assert header.serialise() == data[:length]


def test_every_failure_to_open_reads_the_same(small: bytes, classic: X25519Identity, stranger: HybridIdentity) -> None:
    header, length = parse_header(small)
    damaged_mac = Header(header.stanzas, bytes(32)).serialise() + small[length:]
    damaged_tag = with_another_end(small)
    messages = set()
    for data, identity in ((small, stranger), (damaged_mac, classic), (damaged_tag, classic)):
        with pytest.raises(OpenError) as caught:
            open_bytes(data, [identity])
        messages.add(str(caught.value))
    assert len(messages) == 1
