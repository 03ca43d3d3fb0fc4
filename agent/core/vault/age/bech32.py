"""Bech32, the checksummed text form of age recipients and identities, with BIP 173's limit on length lifted.

A string is all lower case or all upper case. The checksum is always that of the lower case. The bits that fill the last
5-bit symbol must be zero, so that a key has exactly one text.

Source: BIP 173; c2sp.org/age, "Conventions".
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from agent.errors import FormatError

__all__ = ["decode", "encode"]

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_SYMBOLS = 6
_TO_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""From symbols to the digits that `int` reads in base 32."""
_FROM_RFC_4648 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET)


def encode(prefix: str, data: bytes) -> str:
    """Returns `data` under the lower-case human-readable `prefix`, in lower case."""
    # RFC 4648 fills the last symbol with zero bits, too. Only its alphabet differs.
    text = base64.b32encode(data).rstrip(b"=").decode().translate(_FROM_RFC_4648)
    symbols = [_VALUES[symbol] for symbol in text]
    checksum = _polymod([*_expanded(prefix), *symbols, *[0] * _CHECKSUM_SYMBOLS]) ^ 1
    ending = ((checksum >> 5 * (_CHECKSUM_SYMBOLS - 1 - i)) & 31 for i in range(_CHECKSUM_SYMBOLS))
    return prefix + "1" + text + "".join(_ALPHABET[symbol] for symbol in ending)


def decode(text: str) -> tuple[str, bytes]:
    """Returns (lower-case prefix, data) of a Bech32 `text`. Raises `FormatError`, which omits the text: it may be a
    secret."""
    lower = text.lower()
    # ASCII first: `lower` maps some letters outside of it, for example the Kelvin sign, to ASCII ones.
    if not text.isascii() or text not in (lower, text.upper()):
        raise FormatError("A key's text mixes upper and lower case or holds characters that no key has.")
    prefix, separator, encoded = lower.rpartition("1")
    if not separator or not prefix or len(encoded) < _CHECKSUM_SYMBOLS or not all(33 <= ord(c) <= 126 for c in prefix):
        raise FormatError("This text is too short to be a key, or is not one at all.")
    try:
        symbols = [_VALUES[symbol] for symbol in encoded]
    except KeyError as error:
        raise FormatError("A key's text holds a character that no key has.") from error
    if _polymod([*_expanded(prefix), *symbols]) != 1:
        raise FormatError("A key's text has a typing error: its checksum does not fit.")
    return prefix, _bytes(encoded[:-_CHECKSUM_SYMBOLS])


def _feedback() -> tuple[int, ...]:
    """Returns what the top five bits of a remainder add to the next one."""
    table = [0]
    for generator in _GENERATOR:
        table += [each ^ generator for each in table]
    return tuple(table)


_FEEDBACK = _feedback()
"""A hybrid recipient has two thousand symbols. Testing each bit at each of them would take five times as long."""


def _polymod(symbols: Iterable[int]) -> int:
    """Returns the remainder of the BCH code, which is 1 for a whole string with a right checksum."""
    remainder = 1
    for symbol in symbols:
        remainder = (remainder & 0x1FFFFFF) << 5 ^ symbol ^ _FEEDBACK[remainder >> 25]
    return remainder


def _expanded(prefix: str) -> list[int]:
    """Returns the prefix as symbols (high bits, zero, low bits), so that the checksum covers it too."""
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _bytes(text: str) -> bytes:
    """Returns the bytes that these symbols hold."""
    size, spare = divmod(5 * len(text), 8)
    value = int(text.translate(_TO_DIGITS) or "0", 32)
    if spare >= 5 or value & ((1 << spare) - 1):
        raise FormatError("A key's text is not in its canonical form.")
    return (value >> spare).to_bytes(size)
