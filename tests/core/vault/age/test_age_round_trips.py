"""Every sealed file opens to its plaintext, however the plaintext arrives and whichever recipient opens it."""

from __future__ import annotations

import io
import itertools

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
    open_payload,
    open_stream,
    rewrap,
)
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import (
    CHUNK_BYTES,
    NONCE_BYTES,
    SEALED_CHUNK_BYTES,
    Sealer,
    make_header,
    seal_bytes,
    sealed_bytes,
)
from agent.errors import ConfigurationError, InternalError, OpenError

FILE_KEY = bytes(range(16))
NONCE = bytes(range(100, 116))
MATERIAL = bytes(i * 7 % 256 for i in range(256)) * (3 * CHUNK_BYTES // 256 + 1)

around_chunk_borders = st.builds(
    lambda chunks, offset: max(0, chunks * CHUNK_BYTES + offset), st.integers(0, 3), st.integers(-40, 40)
)


class Trickle(io.BytesIO):
    """A reader that returns less than was asked for, as pipes and sockets do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 10_007) if size is not None and size > 0 else size)


@given(length=around_chunk_borders, cuts=st.lists(st.integers(0, 3 * CHUNK_BYTES + 40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_length_in_any_pieces_opens_to_itself(classic: X25519Identity, length: int, cuts: list[int]) -> None:
    plaintext = MATERIAL[:length]
    sealer = Sealer(FILE_KEY, [classic.recipient()], nonce=NONCE)
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    pieces = [sealer.update(memoryview(plaintext)[a:b]) for a, b in itertools.pairwise(edges)]
    payload = b"".join(pieces) + sealer.finish()

    assert pieces[0].startswith(NONCE)
    assert all(len(piece) % SEALED_CHUNK_BYTES == 0 for piece in pieces[1:])
    assert len(payload) == sealed_bytes(length)
    sealed = sealer.header + payload
    assert open_bytes(sealed, [classic]) == plaintext
    assert b"".join(open_stream(Trickle(sealed), [classic])) == plaintext
    # The pieces in which the plaintext came leave no trace.
    assert payload == seal_bytes(plaintext, [classic.recipient()], file_key=FILE_KEY, nonce=NONCE)[len(sealer.header) :]


def test_every_recipient_opens_and_nobody_else(
    owner: HybridIdentity, recovery: HybridIdentity, stranger: HybridIdentity, classic: X25519Identity
) -> None:
    sealed = seal_bytes(b"a face", [owner.recipient(), recovery.recipient()], file_key=FILE_KEY, nonce=NONCE)
    assert open_bytes(sealed, [owner]) == open_bytes(sealed, [recovery]) == b"a face"
    assert open_bytes(sealed, [classic, stranger, recovery]) == b"a face"
    for identities in ([], [stranger], [classic], [PassphraseIdentity("guess")]):
        with pytest.raises(OpenError):
            open_bytes(sealed, identities)


def test_a_passphrase_seals_and_opens() -> None:
    recipient = PassphraseRecipient("three words here", salt=bytes(16), log2_work_factor=2)
    sealed = seal_bytes(b"an identity", [recipient], file_key=FILE_KEY, nonce=NONCE)
    assert open_bytes(sealed, [PassphraseIdentity("three words here")]) == b"an identity"
    with pytest.raises(OpenError):
        open_bytes(sealed, [PassphraseIdentity("three words there")])


def test_a_salt_wraps_no_second_file_key() -> None:
    recipient = PassphraseRecipient("three words here", salt=bytes(16), log2_work_factor=2)
    recipient.wrap(FILE_KEY)
    with pytest.raises(InternalError):
        recipient.wrap(bytes(16))


def test_two_headers_for_the_same_recipient_share_no_stanza(owner: HybridIdentity, classic: X25519Identity) -> None:
    for identity in (owner, classic):
        recipient = identity.recipient()
        first, second = (parse_header(make_header(FILE_KEY, [recipient]))[0] for _ in range(2))
        assert first.stanzas[0].arguments != second.stanzas[0].arguments
        assert first.stanzas[0].body != second.stanzas[0].body


def test_rewrapping_changes_who_opens_and_not_one_byte_of_the_payload(
    owner: HybridIdentity, stranger: HybridIdentity
) -> None:
    sealed = seal_bytes(MATERIAL[:70_000], [owner.recipient()], file_key=FILE_KEY, nonce=NONCE)
    border = split(sealed)
    header = rewrap(sealed[:border], [owner], [stranger.recipient()])

    assert open_file_key(header, [stranger]) == FILE_KEY
    assert open_bytes(header + sealed[border:], [stranger]) == MATERIAL[:70_000]
    assert open_payload(sealed[border:], FILE_KEY) == MATERIAL[:70_000]
    with pytest.raises(OpenError):
        open_bytes(header + sealed[border:], [owner])
    assert open_bytes(sealed, [owner]) == MATERIAL[:70_000]


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
def test_a_file_cut_anywhere_opens_to_its_last_whole_chunk(classic: X25519Identity, length: int) -> None:
    sealed = seal_bytes(MATERIAL[:length], [classic.recipient()], file_key=FILE_KEY, nonce=NONCE)
    first_chunk = split(sealed) + NONCE_BYTES
    for cut in sorted(
        {first_chunk - NONCE_BYTES, first_chunk, *range(first_chunk - 2, len(sealed) - 1, 9_973), len(sealed) - 1}
    ):
        prefix = VerifiedPrefix(Trickle(sealed[:cut]), [classic])
        plaintext = b"".join(prefix)
        whole = max(0, cut - first_chunk) // SEALED_CHUNK_BYTES
        assert plaintext == MATERIAL[: whole * CHUNK_BYTES]
        assert prefix.verified_bytes == (first_chunk + whole * SEALED_CHUNK_BYTES if whole else split(sealed))
        assert not prefix.complete

    prefix = VerifiedPrefix(io.BytesIO(sealed), [classic])
    assert b"".join(prefix) == MATERIAL[:length]
    assert prefix.complete
    assert prefix.verified_bytes == len(sealed)


def test_a_file_cut_exactly_between_two_chunks_keeps_the_first(classic: X25519Identity) -> None:
    sealed = seal_bytes(MATERIAL[: CHUNK_BYTES + 1], [classic.recipient()], file_key=FILE_KEY, nonce=NONCE)
    cut = split(sealed) + NONCE_BYTES + SEALED_CHUNK_BYTES
    prefix = VerifiedPrefix(io.BytesIO(sealed[:cut]), [classic])
    assert b"".join(prefix) == MATERIAL[:CHUNK_BYTES]
    assert (prefix.verified_bytes, prefix.complete) == (cut, False)


def test_a_finished_file_takes_no_more_bytes(classic: X25519Identity) -> None:
    sealer = Sealer(FILE_KEY, [classic.recipient()], nonce=NONCE)
    sealer.finish()
    with pytest.raises(InternalError):
        sealer.update(b"more")
    with pytest.raises(InternalError):
        sealer.finish()


def test_nothing_is_sealed_to_nobody_or_to_a_mix_that_is_weaker_than_it_looks(
    owner: HybridIdentity, classic: X25519Identity
) -> None:
    passphrase = PassphraseRecipient("three words here", salt=bytes(16), log2_work_factor=2)
    for recipients in ([], [owner.recipient(), classic.recipient()], [passphrase, classic.recipient()]):
        with pytest.raises(ConfigurationError):
            make_header(FILE_KEY, recipients)


def test_a_finished_sealer_keeps_neither_key_nor_plaintext(classic: X25519Identity) -> None:
    sealer = Sealer(FILE_KEY, [classic.recipient()], nonce=NONCE)
    sealer.update(b"private")
    sealer.finish()
    assert (sealer._aead, sealer._waiting, sealer._unsent_nonce) == (None, b"", b"")
