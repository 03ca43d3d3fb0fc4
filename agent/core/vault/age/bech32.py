"""Bech32, the checksummed text form of age recipients and identities, with BIP 173's limit on length lifted.

A string is all lower case or all upper case. The checksum is always that of the lower case. The bits that fill the last
5-bit symbol must be zero, so that a key has exactly one text.

Source: BIP 173; c2sp.org/age, "Conventions".
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.errors import FormatError

__all__ = ["decode", "encode"]

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_SYMBOLS = 6


def encode(prefix: str, data: bytes) -> str:
    """Returns `data` under the lower-case human-readable `prefix`, in lower case."""
    symbols = _five_bit_symbols(data)
    checksum = _polymod([*_expanded(prefix), *symbols, *[0] * _CHECKSUM_SYMBOLS]) ^ 1
    symbols += [(checksum >> 5 * (_CHECKSUM_SYMBOLS - 1 - i)) & 31 for i in range(_CHECKSUM_SYMBOLS)]
    return prefix + "1" + "".join(_ALPHABET[symbol] for symbol in symbols)


def decode(text: str) -> tuple[str, bytes]:
    """Returns (lower-case prefix, data) of a Bech32 `text`. Raises `FormatError`, which omits the text: it may be a
    secret."""
    lower = text.lower()
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
    return prefix, _bytes(symbols[:-_CHECKSUM_SYMBOLS])


def _polymod(symbols: Iterable[int]) -> int:
    """Returns the remainder of the BCH code, which is 1 for a whole string with a right checksum."""
    remainder = 1
    for symbol in symbols:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ symbol
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= generator
    return remainder


def _expanded(prefix: str) -> list[int]:
    """Returns the prefix as symbols (high bits, zero, low bits), so that the checksum covers it too."""
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _five_bit_symbols(data: bytes) -> list[int]:
    symbols: list[int] = []
    left = bits = 0
    for byte in data:
        left, bits = (left << 8 | byte) & 0xFFF, bits + 8
        while bits >= 5:
            bits -= 5
            symbols.append(left >> bits & 31)
    if bits:
        symbols.append(left << (5 - bits) & 31)
    return symbols


def _bytes(symbols: Iterable[int]) -> bytes:
    data = bytearray()
    left = bits = 0
    for symbol in symbols:
        left, bits = (left << 5 | symbol) & 0xFFF, bits + 5
        if bits >= 8:
            bits -= 8
            data.append(left >> bits & 0xFF)
    if bits >= 5 or left & ((1 << bits) - 1):
        raise FormatError("A key's text is not in its canonical form.")
    return bytes(data)
