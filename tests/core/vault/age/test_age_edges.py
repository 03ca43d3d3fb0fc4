"""The edges of the age formats, each with its exact words: headers, stanzas, texts of keys, passphrases."""

from __future__ import annotations

import hashlib

import pytest

from agent.clients.opening import X25519Identity
from agent.clients.opening.armor import armor
from agent.core.vault.age import recipients
from agent.core.vault.age.header import LONGEST_HEADER_BYTES, Stanza, parse_header, parse_stanzas, split
from agent.core.vault.age.recipients import scrypt_wrap_key
from agent.core.vault.age.sealing import Sealer, seal_bytes
from agent.errors import FormatError, InternalError

SEALED = seal_bytes(b"content", [X25519Identity(b"x" * 32).recipient()], file_key=b"k" * 16, nonce=b"n" * 16)
HEADER = SEALED[: split(SEALED)]
CUT = "The header of this age file is cut off or longer than any sound one."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "This is not an age file."),
        (b"%PDF-1.7\n", "This is not an age file."),
        (b"age-encryption.org", CUT),
        (b"age-encryption.org/v9\nno end", CUT),
        (HEADER[:-1], CUT),
        (HEADER.replace(b"/v1", b"/v2"), "This age file is of a version other than v1. Update Doorward, or use `age`."),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "This age file is armored (text). Take the armor off first."),
        (armor(SEALED), "This age file is armored (text). Take the armor off first."),
        (b"--- a first line\n--- another\n", "This is not an age file."),
        (HEADER.replace(b"\n--- ", b"\n---- "), "The MAC line of an age header is malformed."),
        (b"age-encryption.org/v1\n" + b"x" * LONGEST_HEADER_BYTES + b"\n", CUT),
    ],
)
def test_what_is_no_header_is_refused_in_words_that_say_what_it_is(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_header(data)
    assert str(refused.value) == words


def test_a_header_of_the_longest_length_is_read() -> None:
    line = b"-> x " + b"y" * 56 + b"\n\n"
    begin, end = b"age-encryption.org/v1\n", HEADER[HEADER.index(b"--- ") :]
    room = LONGEST_HEADER_BYTES - len(begin) - len(end)
    filler = line * (room // len(line) - 1)
    last = b"-> x " + b"y" * (room - len(filler) - 7) + b"\n\n"
    data = begin + filler + last + end
    assert (len(data), parse_header(data + b"payload")[1]) == (LONGEST_HEADER_BYTES, LONGEST_HEADER_BYTES)
    longer = begin + filler + last.replace(b"y\n\n", b"yy\n\n") + end
    with pytest.raises(FormatError):
        parse_header(longer)


@pytest.mark.parametrize(("size", "lines"), [(0, [0]), (47, [63]), (48, [64, 0]), (49, [64, 2]), (96, [64, 64, 0])])
def test_a_stanza_ends_with_a_line_that_is_not_full(size: int, lines: list[int]) -> None:
    stanza = Stanza("kind", ("one", "two"), bytes(size))
    first, *body, nothing = stanza.serialise().split("\n")
    assert (first, [len(line) for line in body], nothing) == ("-> kind one two", lines, "")
    assert list(parse_stanzas([first, *body])) == [stanza]


def test_a_nonce_and_a_file_key_have_sixteen_bytes() -> None:
    recipients = [X25519Identity(b"x" * 32).recipient()]
    for key, nonce, words in (
        (bytes(16), bytes(15), "The nonce of a payload is 16 bytes."),
        (bytes(16), bytes(17), "The nonce of a payload is 16 bytes."),
        (bytes(15), bytes(16), "A file key is 16 bytes."),
    ):
        with pytest.raises(InternalError) as refused:
            Sealer(key, recipients, nonce=nonce)
        assert refused.value.message == words


def test_a_passphrase_outside_utf_8_is_used_as_its_bytes() -> None:
    salt = bytes(range(16))
    for passphrase, data in (("open sesame", b"open sesame"), ("\udcff\udcfe", b"\xff\xfe"), ("ü", b"\xc3\xbc")):
        expected = hashlib.scrypt(data, salt=b"age-encryption.org/v1/scrypt" + salt, n=4, r=8, p=1, dklen=32)
        assert scrypt_wrap_key(passphrase, salt, 2) == expected


def with_checksum(prefix: str, symbols: list[int]) -> str:
    """A Bech32 text of any symbols, also of those that hold no whole bytes."""
    checksum = recipients._polymod([*recipients._expanded(prefix), *symbols, *[0] * 6]) ^ 1
    ending = [checksum >> 5 * (5 - number) & 31 for number in range(6)]
    return f"{prefix}1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[each] for each in (*symbols, *ending))


@pytest.mark.parametrize("prefix", ["age", "!", "~", "!~1"])
@pytest.mark.parametrize("data", [b"", bytes(5), b"\0\0\0\0\x17", b"\xff" * 33, b"\0"])
def test_a_text_of_any_prefix_and_of_bytes_with_any_end_is_read_as_it_was_written(prefix: str, data: bytes) -> None:
    text = recipients.bech32_encode(prefix, data)
    assert recipients.bech32_decode(text) == (prefix, data)
    bits = "".join(f"{byte:08b}" for byte in data)
    assert text == with_checksum(prefix, [int(bits[at : at + 5].ljust(5, "0"), 2) for at in range(0, len(bits), 5)])


@pytest.mark.parametrize("symbols", [[0], [1], [0, 1], [0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 6])
def test_a_text_with_spare_bits_is_not_canonical(symbols: list[int]) -> None:
    with pytest.raises(FormatError) as refused:
        recipients.bech32_decode(with_checksum("age", symbols))
    assert str(refused.value) == "A key's text is not in its canonical form."
