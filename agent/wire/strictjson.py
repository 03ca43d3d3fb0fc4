"""JSON that two parsers cannot read differently: one value for any accepted bytes, and a bound on each of them.

Accepted is RFC 8259 JSON in UTF-8 without a byte-order mark, within a size limit, at most `MAX_DEPTH` levels deep, with

- no duplicate and no unknown keys;
- integers of at most 2^53 − 1 in size (RFC 7493), written without fraction or exponent;
- fractions only as `lat`, `lon`: at most three digits, a point and one to seven digits (a centimetre), no exponent;
  never NaN;
- strings in Unicode normal form C and without lone surrogates, so that equal-looking names are equal.

Decoding ends in a frozen `msgspec.Struct`; behind it everything trusts the type.  Errors name the field and never quote
values: they are logged, and a request's text must not be.  `encode` is deterministic: sorted keys, no spaces, no
defaults.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final, Never, TypeVar

import msgspec

from agent.errors import DoorwardError, FormatError

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "REQUEST_LIMIT_BYTES", "Message", "decode", "encode"]

REQUEST_LIMIT_BYTES: Final = 8 * 1024
MAX_DEPTH: Final = 8
MAX_INTEGER: Final = 2**53 - 1
_COORDINATES: Final = frozenset({"lat", "lon"})
_FRACTION: Final = re.compile(r"-?(0|[1-9][0-9]{0,2})\.[0-9]{1,7}")
_INTEGER_DIGITS: Final = len(str(MAX_INTEGER)) + 1


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all that is said in JSON.  Subclasses check in `__post_init__` what types cannot (`FormatError`)."""


M = TypeVar("M", bound=Message)


def decode(
    data: bytes, kind: type[M], *, limit_bytes: int = REQUEST_LIMIT_BYTES, error: type[DoorwardError] = FormatError
) -> M:
    """`data` as a `kind`.  Raises `error` (a class of whose fault it is), naming the field."""
    name = kind.__name__
    if len(data) > limit_bytes:
        raise error(f"{name}: {len(data)} bytes, allowed are {limit_bytes}.")
    try:
        value = _parse(data)
        _check(value, "", 1)
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as cause:
        raise error(f"{name}: {_field_named(str(cause))}") from cause
    except FormatError as cause:
        raise error(f"{name}: {cause.message}", remedy=cause.remedy) from cause
    except RecursionError as cause:
        raise error(f"{name}: nested deeper than {MAX_DEPTH} levels.") from cause


def encode(message: Message) -> bytes:
    """The one spelling of `message`.  Raises `FormatError` when it would not decode to an equal value."""
    value = msgspec.to_builtins(message)
    data = _write(value).encode("utf-8")
    if decode(data, type(message), limit_bytes=len(data)) != message:
        raise FormatError(f"{type(message).__name__}: this value does not survive being written.")
    return data


def _parse(data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_object, parse_float=_fraction, parse_int=_integer, parse_constant=_constant
        )
    except UnicodeDecodeError as cause:
        raise FormatError(f"byte {cause.start} is not UTF-8.") from cause
    except json.JSONDecodeError as cause:
        raise FormatError(f"not JSON at character {cause.pos}.") from cause


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise FormatError("a key stands twice in one object.")
    return value


def _integer(text: str) -> int:
    # The length first: Python's own conversion of long digit strings is slow and raises ValueError.
    if len(text) > _INTEGER_DIGITS or abs(int(text)) > MAX_INTEGER:
        raise FormatError("an integer is beyond 2^53 - 1.")
    if text == "-0":
        raise FormatError("zero has no sign here.")
    return int(text)


def _fraction(text: str) -> float:
    if not _FRACTION.fullmatch(text):
        raise FormatError("a number with a fraction has at most three digits before and seven after the point.")
    return float(text)


def _constant(_text: str) -> Never:
    raise FormatError("NaN and Infinity are not numbers here.")


def _check(value: Any, key: str, depth: int) -> None:
    """What JSON grammar and types leave open, for `value` found under `key`."""
    if depth > MAX_DEPTH:
        raise FormatError(f"nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for name, member in value.items():
            _check_text(name, "a key")
            _check(member, name, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check(member, "", depth + 1)
    elif isinstance(value, float) and key not in _COORDINATES:
        raise FormatError("a number has a fraction, which only lat and lon may.")
    elif isinstance(value, str):
        _check_text(value, "a string")


def _check_text(text: str, what: str) -> None:
    if text.isascii():  # nothing to find, and most of what is read at start: the manifest
        return
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise FormatError(f"{what} holds half a surrogate pair.")
    if not unicodedata.is_normalized("NFC", text):
        raise FormatError(f"{what} is not in Unicode normal form C.")


def _field_named(complaint: str) -> str:
    """msgspec's message without what the sender wrote: it quotes enum values, tags and the names of unknown keys."""
    if complaint.startswith("Object contains unknown field"):
        place = complaint.rpartition(" - at ")[2]
        return "unknown key" + (f" at {place}." if place.startswith("`$") else ".")
    return re.sub(r"'[^']*'", "'…'", complaint)[:200] + "."


def _write(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(key)}:{_write(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_write(member) for member in value) + "]"
    if isinstance(value, float):
        return _write_fraction(value)
    return json.dumps(value, ensure_ascii=False)


def _write_fraction(value: float) -> str:
    text = f"{value:.7f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
