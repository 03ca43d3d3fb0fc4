"""Strict JSON, and base64 in it: bytes that all parsers read as the same value, with a bound on each value.

Accepted is RFC 8259 JSON in UTF-8 without a byte-order mark, within a size limit, at most `MAX_DEPTH` levels deep, with

- no duplicate and no unknown keys;
- integers of at most 2^53 − 1 in size (RFC 7493), written without fraction or exponent;
- fractions only as `lat` and `lon`: at most three digits, a point and one to seven digits (a centimetre);
- strings in Unicode normal form C, so that equal-looking names are equal, and without lone surrogates.

For example, `{"lat":52.5}` is accepted, `{"lat":5.25e1}` and `{"lat":52.5,"lat":52.5}` are refused.

Decoding returns a frozen `msgspec.Struct`, and later code trusts its types. Errors name the field and leave its value
out, because errors are logged and a request's text must not be. `encode` is deterministic: sorted keys, without spaces
or defaults.

Base64 has exactly one spelling for any bytes (RFC 4648, the strict reading of section 3). Python's decoder accepts
non-zero trailing bits and, outside `validate`, junk between characters. A second spelling of a signature would be a
second message with the same meaning, so only the canonical form is accepted.

`PreparedMeta` prepares a message type for decoding when its class is made. msgspec 0.22 examines a type when it is
first decoded, and shows the half-examined type to other threads meanwhile. If two threads decode a type for the first
time at once, the process ends with a segmentation fault. A class is made while its module is imported, so no other
thread has it yet.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final, Never, TypeVar

import msgspec

from agent.errors import DoorwardError, FormatError

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "REQUEST_LIMIT_BYTES",
    "Message",
    "PreparedMeta",
    "decode",
    "decode_base64",
    "decode_base64url",
    "encode",
    "encode_base64",
    "encode_base64url",
    "form",
    "prepare",
]


class PreparedMeta(msgspec.StructMeta):
    """Metaclass of each struct that several threads may decode. Types that a field names must stand above it."""

    def __init__(self, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **_options: Any) -> None:
        super().__init__(name, bases, namespace)
        prepare(self)


def prepare(kind: Any) -> None:
    """Examines a type and all types in it. Call it while no other thread has the type."""
    msgspec.json.Decoder(kind)


def encode_base64(data: bytes) -> str:
    """Returns base64 in the standard alphabet, padded."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Returns the bytes that `encode_base64` writes as exactly `text`. Raises `FormatError` otherwise."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as cause:
        raise FormatError("This is not base64.") from cause
    if encode_base64(data) != text:
        raise FormatError("This base64 is not in its canonical form.")
    return data


def encode_base64url(data: bytes) -> str:
    """Returns base64 in the URL-safe alphabet, unpadded."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode_base64url(text: str) -> bytes:
    """Returns the bytes that `encode_base64url` writes as exactly `text`. Raises `FormatError` otherwise."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as cause:
        raise FormatError("This is not URL-safe base64.") from cause
    if encode_base64url(data) != text:
        raise FormatError("This URL-safe base64 is not in its canonical form.")
    return data


REQUEST_LIMIT_BYTES: Final = 8 * 1024
MAX_DEPTH: Final = 8
MAX_INTEGER: Final = 2**53 - 1
_COORDINATES: Final = frozenset({"lat", "lon"})
_FRACTION: Final = re.compile(r"-?(0|[1-9][0-9]{0,2})\.[0-9]{1,7}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a pair. Python reads a whole pair as one character."""
_INTEGER_DIGITS: Final = len(str(MAX_INTEGER)) + 1
_FORMS: Final[dict[str, str]] = {}
"""The words given to `form` for each pattern, by the pattern as msgspec quotes it."""
_TYPES: Final = {
    "array": "a list", "bool": "true or false", "float": "a number", "int": "a whole number", "null": "nothing",
    "object": "an object", "str": "a text",
}  # fmt: skip
_BOUNDS: Final = {"<=": "at most", ">=": "at least"}


class Message(
    msgspec.Struct, metaclass=PreparedMeta, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of all JSON messages. Subclasses check in `__post_init__` what types cannot express (`FormatError`)."""


M = TypeVar("M", bound=Message)


def form(pattern: str, words: str) -> msgspec.Meta:
    """Returns the grammar of a text field, with the words that an error uses for it."""
    _FORMS[repr(pattern)] = words
    return msgspec.Meta(pattern=pattern)


def decode(
    data: bytes, kind: type[M], *, limit_bytes: int = REQUEST_LIMIT_BYTES, error: type[DoorwardError] = FormatError
) -> M:
    """Returns `data` as a `kind`. Raises `error` (its class names the party at fault), naming the field."""
    name = _name(kind)
    if len(data) > limit_bytes:
        raise error(f"{name}: {len(data)} bytes, allowed are {limit_bytes}.")
    try:
        value = _parse(data)
        _check(value, "", 1)
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as cause:
        raise error(f"{name}: {_in_words(str(cause))}") from cause
    except FormatError as cause:
        raise error(f"{name}: {cause.message}", remedy=cause.remedy) from cause
    except RecursionError as cause:
        raise error(f"{name}: nested deeper than {MAX_DEPTH} levels.") from cause


def encode(message: Message) -> bytes:
    """Returns the canonical bytes of `message`. Raises `FormatError` if they would decode to a different value."""
    value = msgspec.to_builtins(message)
    data = _write(value).encode("utf-8")
    if decode(data, type(message), limit_bytes=len(data)) != message:
        raise FormatError(f"{_name(type(message))}: this value does not survive being written.")
    return data


def _parse(data: bytes) -> Any:
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise FormatError(f"it is not text: byte {cause.start} is not UTF-8.") from cause
    except json.JSONDecodeError as cause:
        raise FormatError(f"it is not JSON, at character {cause.pos}.") from cause


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    # Parsers differ in which of two equal keys counts. Signer and reader would see different messages.
    if len(value) != len(pairs):
        raise FormatError("a key stands twice in one object.")
    return value


def _integer(text: str) -> int:
    # The length first: Python converts long digit strings slowly and raises ValueError.
    if len(text) > _INTEGER_DIGITS or abs(int(text)) > MAX_INTEGER:
        raise FormatError("an integer is beyond 2^53 - 1.")
    # It equals 0, so it would be a second spelling of the same value.
    if text == "-0":
        raise FormatError("zero has no sign here.")
    return int(text)


def _fraction(text: str) -> float:
    if not _FRACTION.fullmatch(text):
        raise FormatError("a number with a fraction has at most three digits before and seven after the point.")
    return float(text)


def _constant(_text: str) -> Never:
    raise FormatError("NaN and Infinity are not numbers here.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_fraction, parse_int=_integer, parse_constant=_constant
)
"""`json.loads` would build one for each message."""


def _check(value: Any, key: str, depth: int) -> None:
    """Checks the rules beyond JSON grammar and types, for `value` found under `key`."""
    if depth > MAX_DEPTH:
        raise FormatError(f"nested deeper than {MAX_DEPTH} levels.")
    kind = type(value)  # the parser makes no subclasses, and this comparison is the fast one
    if kind is str:
        if not value.isascii():  # most texts are ASCII, for example all of a manifest
            _check_text(value, "a string")
    elif kind is dict:
        for name, member in value.items():
            if not name.isascii():
                _check_text(name, "a key")
            _check(member, name, depth + 1)
    elif kind is list:
        for member in value:
            _check(member, "", depth + 1)
    elif kind is float and key not in _COORDINATES:
        raise FormatError("a number has a fraction, which only lat and lon may.")


def _check_text(text: str, what: str) -> None:
    if _SURROGATE.search(text):
        raise FormatError(f"{what} holds half a surrogate pair.")
    if not unicodedata.is_normalized("NFC", text):
        raise FormatError(f"{what} is not in Unicode normal form C.")


def _name(kind: type[Message]) -> str:
    """Returns a class name in words: `FootageRequest` becomes "Footage request"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.lstrip("_")).capitalize()


def _in_words(complaint: str) -> str:
    """Returns msgspec's complaint as a sentence about a field, for example `contact.email: it must be an e-mail
    address.`

    Quotes nothing from the sender. msgspec itself quotes enum values, tags and the names of unknown keys.
    """
    said, _, place = complaint.partition(" - at ")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", said)
    path = re.findall(r"\w+", place.rpartition("`$")[2])
    names = [str(int(name) + 1) if name.isdecimal() else name for name in path] + ([missing[1]] if missing else [])
    return f"{'.'.join(names)}: {_said(said)}." if names else f"{_said(said)}."


def _said(complaint: str) -> str:
    for pattern, words in _WORDS:
        found = re.fullmatch(pattern, complaint, re.DOTALL)
        if found:
            return words(*found.groups())
    return "its value is unknown"


def _type(name: str) -> str:
    return " or ".join(_TYPES.get(each, each) for each in name.split(" | "))


_WORDS: Final[tuple[tuple[str, Callable[..., str]], ...]] = (
    ("Object missing required field.*", lambda: "it is missing"),
    ("Object contains unknown field.*", lambda: "it has an unknown key"),
    ("Expected `str` matching regex (.+)", lambda pattern: f"it must be {_FORMS.get(pattern, 'written otherwise')}"),
    ("Expected `str` of length (<=|>=) (.+)", lambda bound, most: f"it must have {_BOUNDS[bound]} {most} characters"),
    ("Expected `array` of length (<=|>=) (.+)", lambda bound, most: f"it must have {_BOUNDS[bound]} {most} entries"),
    ("Expected `array` of length (.+), got .+", lambda length: f"a list of {length} is wanted"),
    ("Expected `(?:int|float)` (<=|>=) (.+?)(?:\\.0)?", lambda bound, most: f"it must be {_BOUNDS[bound]} {most}"),
    ("Expected `(.+)`, got `(.+)`", lambda wanted, got: f"{_type(wanted)} is wanted, not {_type(got)}"),
)
"""msgspec's complaints, and their sentences."""


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


def _write(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(key)}:{_write(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_write(member) for member in value) + "]"
    if isinstance(value, float):
        return _write_fraction(value)
    return _ENCODER.encode(value)


def _write_fraction(value: float) -> str:
    text = f"{value:.7f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
