"""JSON that can be read in one way only, and text that cannot pretend: PROTOCOL.md, sections 1 and 2."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

Check = Callable[[Any], Any]
"""Takes a value, refuses it or returns it as the reader wants it."""


class RefusedError(Exception):
    """Changes only a counter, and stays silent."""


def refuse_unless(holds: object, why: str) -> None:
    if not holds:
        raise RefusedError(why)


def parse(data: bytes, *, limit: int, points_in: tuple[str, ...] = ("lat", "lon")) -> Any:
    refuse_unless(len(data) <= limit, "too long")
    refuse_unless(not data.startswith(b"\xef\xbb\xbf"), "byte-order mark")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_Point,
            parse_constant=_nothing,
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError("not JSON") from error
    _walk(value, 1, "", points_in)
    return value


class _Point(str):
    """A number with a point or an exponent, as it is written."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    refuse_unless(len({key for key, _ in pairs}) == len(pairs), "a key twice")
    return dict(pairs)


def _integer(text: str) -> int:
    refuse_unless(len(text) <= 17 and text != "-0" and abs(int(text)) < 2**53, "integer")
    return int(text)


def _nothing(_text: str) -> None:
    raise RefusedError("NaN or Infinity")


def _walk(value: Any, level: int, key: str, points_in: tuple[str, ...]) -> None:
    refuse_unless(level <= 8, "too deep")
    if isinstance(value, _Point):
        refuse_unless(key in points_in and re.fullmatch(r"-?\d{1,3}\.\d{1,7}", value), "a fraction")
    elif isinstance(value, str):
        _check_string(value)
    elif isinstance(value, list):
        for each in value:
            _walk(each, level + 1, "", points_in)
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_string(name)
            _walk(each, level + 1, name, points_in)


def _check_string(value: str) -> None:
    refuse_unless(not any(0xD800 <= ord(each) <= 0xDFFF for each in value), "a lone surrogate")
    refuse_unless(unicodedata.is_normalized("NFC", value), "not in form C")


def fields(value: Any, must: Mapping[str, Check], may: Mapping[str, Check] | None = None) -> dict[str, Any]:
    """The object's fields, each as its check returned it; absent ones are not in it."""
    refuse_unless(isinstance(value, dict), "no object")
    known = {**must, **(may or {})}
    given = {
        key: each for key, each in value.items() if not (each is None and key in (may or {}) and key not in DEFAULTED)
    }
    refuse_unless(set(given) <= set(known) and set(must) <= set(given), "unknown or missing keys")
    return {key: known[key](each) for key, each in given.items()}


DEFAULTED = frozenset(
    (
        "segments", "posters", "sounds", "clips", "records", "parts", "stored", "incomplete", "roots_added",
        "roots_removed", "unopened", "limits", "revoked", "approvals_needed", "throttle", "update", "cosignatures",
        "stamps",
    )
)  # fmt: skip
"""Optional members that have a defined value if absent; `null` would be a second spelling."""

# --- types of section 1


def integer(least: int = -(2**53), most: int = 2**53) -> Check:
    def check(value: Any) -> Any:
        refuse_unless(type(value) is int and least <= value <= most, "integer")
        return value

    return check


def matching(grammar: str) -> Check:
    def check(value: Any) -> Any:
        refuse_unless(type(value) is str and re.fullmatch(grammar, value), "grammar")
        return value

    return check


def one_of(*words: object) -> Check:
    def check(value: Any) -> Any:
        refuse_unless(any(type(value) is type(word) and value == word for word in words), "word")
        return value

    return check


def many(item: Check, least: int, most: int) -> Check:
    def check(value: Any) -> Any:
        refuse_unless(type(value) is list and least <= len(value) <= most, "list")
        return [item(each) for each in value]

    return check


def degrees(value: Any) -> int:
    """In units of 1e-7."""
    refuse_unless(type(value) is int or isinstance(value, _Point), "degrees")
    exact = Fraction(str(value)) * 10**7
    refuse_unless(exact.denominator == 1, "more than seven decimals")
    return int(exact)


def binary(text: Any) -> bytes:
    refuse_unless(type(text) is str, "base64")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RefusedError("base64") from error
    refuse_unless(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data


def distinct(values: Sequence[Any]) -> None:
    refuse_unless(len(set(values)) == len(values), "something twice")


V1 = one_of(1)
HEX32, HEX64 = matching("[0-9a-f]{32}"), matching("[0-9a-f]{64}")
KEY_ID = matching("[0-9a-f]{16}")
LABEL = matching("(?!-)[a-z0-9-]{1,32}(?<!-)")
SEGMENT = matching("[a-z2-7]{26}")
_BECH32 = "[qpzry9x8gf2tvdw0s3jn54khce6mua7l]"
HYBRID = matching(f"age1pq1{_BECH32}{{1952}}")
RECIPIENT = matching(f"age1(pq1{_BECH32}{{1952}}|{_BECH32}{{58}})")
"""Only a sealer needs to check its checksum."""
SECONDS = integer(0, 253_402_300_799)
MILLISECONDS = integer(0, 253_402_300_799_999)

# --- clean text, section 2

_LINK = re.compile(
    r"[a-z][a-z0-9+.-]*://|\bwww\.|\b(mailto|tel|data|javascript):|\w[.․﹒。．｡][^\W\d_]{2}", re.IGNORECASE
)

_SHOWS_NOTHING = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
)  # fmt: skip


def text(longest: int) -> Check:
    def check(value: Any) -> Any:
        refuse_unless(type(value) is str and 1 <= len(value) <= longest, "length of text")
        refuse_unless(value == value.strip(" ") and "  " not in value, "spaces")
        marks = 0
        for each in value:
            category = unicodedata.category(each)
            refuse_unless(not any(first <= ord(each) <= last for first, last in _SHOWS_NOTHING), "shows nothing")
            refuse_unless(category not in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"), category)
            refuse_unless(category != "Zs" or each == " ", "another space")
            marks = marks + 1 if category in ("Mn", "Me") else 0
            refuse_unless(marks <= 4, "marks")
        refuse_unless(not _LINK.search(value), "a link")
        return value

    return check
