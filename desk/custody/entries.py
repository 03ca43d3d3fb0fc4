"""Entries of the custody log, and the bytes that the Merkle tree hashes.

An entry says who did what to which object, when, and with what detail. Its leaf is a line that names the format, then
the entry as canonical JSON. The line keeps an entry of a desk from passing for an entry of a doorbell's ledger, which
uses the same hashes.

Source: CUSTODY.md, "Entries".
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from agent.core.ledger.merkle import leaf_hash
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.fields import Count, RequesterId, UtcMs, Version1

__all__ = [
    "ENTRY_LIMIT_BYTES",
    "FORMAT",
    "CustodyEntry",
    "decode_entry",
    "encode_entry",
    "entry_hash",
    "plain_detail",
    "plain_text",
]

FORMAT: Final = "doorward-desk-custody/1"
ENTRY_LIMIT_BYTES: Final = 64 * 1024
_DOMAIN: Final = FORMAT.encode() + b"\n"
_MS_PER_S: Final = 1000
_MOST_NESTED: Final = strictjson.MAX_DEPTH - 3


class CustodyEntry(strictjson.Message, frozen=True, kw_only=True):
    """One act. `number` is its position in the log of the organisation, from 0 without gaps."""

    v: Version1
    organisation: RequesterId
    number: Count
    at_ms: UtcMs
    """UTC, by the clock of the desk."""
    actor: Annotated[str, Meta(max_length=160)]
    """Name and address of the person at that time, or the name of a process."""
    action: Annotated[str, Meta(min_length=1, max_length=40)]
    object: Annotated[str, Meta(max_length=120)]
    detail: dict[str, Any]


def encode_entry(entry: CustodyEntry) -> bytes:
    """Returns the canonical JSON of `entry`. Raises `FormatError`."""
    try:
        data = strictjson.encode(entry)
    except (UnicodeEncodeError, TypeError, OverflowError) as cause:  # a changed row can hold any JSON
        raise FormatError("This custody entry holds what JSON cannot say in one way.") from cause
    if len(data) > ENTRY_LIMIT_BYTES:
        raise FormatError(f"A custody entry has at most {ENTRY_LIMIT_BYTES} bytes. This one has {len(data)}.")
    return data


def decode_entry(data: bytes) -> CustodyEntry:
    """Returns the entry with exactly these bytes. Raises `FormatError` for any other spelling."""
    entry = strictjson.decode(data, CustodyEntry, limit_bytes=ENTRY_LIMIT_BYTES)
    if strictjson.encode(entry) != data:
        raise FormatError("This custody entry is not in canonical form.")
    return entry


def entry_hash(data: bytes) -> bytes:
    """Returns the leaf hash of an entry, given as its canonical JSON."""
    return leaf_hash(_DOMAIN + data)


def plain_text(value: str, limit: int) -> str:
    """Returns `value` in Unicode normal form C without lone surrogates and NUL, and cut to `limit` characters."""
    whole = value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")  # PostgreSQL refuses NUL
    return unicodedata.normalize("NFC", whole)[:limit]


def plain_detail(value: Any, depth: int = 0) -> Any:
    """Returns `value` as text, whole numbers, booleans, lists and objects with text keys, which JSON writes in one way.

    A time becomes UTC milliseconds. A fraction, a value that is nested too deep, and any other value become their text.
    """
    if depth > _MOST_NESTED:
        return plain_text(str(value), ENTRY_LIMIT_BYTES)
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return plain_detail(value.value, depth)
        case int():
            return value if abs(value) <= strictjson.MAX_INTEGER else str(value)
        case datetime():
            return round(value.timestamp() * _MS_PER_S)
        case Mapping():
            return {plain_text(str(key), 120): plain_detail(each, depth + 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            return [plain_detail(each, depth + 1) for each in ordered]
        case _:
            return plain_text(str(value), ENTRY_LIMIT_BYTES)
