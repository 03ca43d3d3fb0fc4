"""The log as a file that an auditor downloads and checks offline, and extracts of it with proofs.

A log file is text. Its first line names format, log and key. Each later line is one entry, spelled as it was hashed.
An extract is one JSON object with some entries, the proof for each, and the checkpoint to which the proofs lead.

Source: CUSTODY.md, "Files".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

from agent.core.ledger import merkle
from agent.core.ledger.checkpoint import Checkpoint, open_desk_checkpoint
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.fields import KeyText, RequesterId
from agent.wire.identities import PublicKey, parse_public_key
from desk.custody.audit import AuditResult, StoredRow, audit_rows
from desk.custody.entries import ENTRY_LIMIT_BYTES, CustodyEntry, decode_entry, encode_entry, entry_hash

__all__ = [
    "ExtractedEntry",
    "LogHeader",
    "audit_log_file",
    "check_extract",
    "check_growth",
    "make_extract",
    "make_growth",
    "read_header",
    "write_log",
]

_EXTRACT_FORMAT: Final = "doorward-desk-custody-extract/1"
_GROWTH_FORMAT: Final = "doorward-desk-custody-growth/1"
_LINE_LIMIT_BYTES: Final = ENTRY_LIMIT_BYTES + 1


class LogHeader(strictjson.Message, frozen=True, kw_only=True):
    """The first line of a log file."""

    format: Literal["doorward-desk-custody/1"]
    log: RequesterId
    key: KeyText
    """Public key of the desk. An auditor compares it with the one that the desk's start-up printed."""


ExtractedEntry = tuple[int, bytes, Sequence[bytes]]
"""Number, canonical bytes, and path of an entry."""


def write_log(header: LogHeader, entries: Iterable[CustodyEntry]) -> Iterator[bytes]:
    """Yields the lines of the file."""
    yield strictjson.encode(header) + b"\n"
    for each in entries:
        yield encode_entry(each) + b"\n"


def read_header(line: bytes) -> LogHeader:
    """Raises `FormatError` if the line does not begin a log file."""
    return strictjson.decode(line.removesuffix(b"\n"), LogHeader)


def audit_log_file(
    lines: Iterable[bytes], checkpoint: bytes, key: PublicKey | None = None, sizes: Sequence[int] = ()
) -> tuple[LogHeader, AuditResult]:
    """Audits a log file with the checkpoint that was downloaded with it. `key`: a key known from elsewhere.

    Raises `FormatError` if the first line is malformed, or names another key than `key`.
    """
    iterator = iter(lines)
    header = read_header(next(iterator, b""))
    named = parse_public_key(header.key)
    if key is not None and named != key:
        raise OpenError("This log names another key than the given one.", remedy="Ask the desk which key is its own.")
    return header, audit_rows(_rows(iterator), checkpoint, named, header.log, sizes)


def _rows(lines: Iterable[bytes]) -> Iterator[StoredRow]:
    for number, line in enumerate(lines):
        data = line.removesuffix(b"\n")
        hashed = entry_hash(data)
        try:
            entry = _entry_in(line)
        except FormatError as error:
            yield StoredRow(number, None, hashed, error.message)
            continue
        # The number in the entry counts: a removed or moved line shows as a gap.
        yield StoredRow(entry.number, entry, hashed)


def _entry_in(line: bytes) -> CustodyEntry:
    if len(line) > _LINE_LIMIT_BYTES or not line.endswith(b"\n"):
        raise FormatError("the line is too long, or the file ends within it.")
    return decode_entry(line.removesuffix(b"\n"))


def make_extract(header: LogHeader, checkpoint: bytes, entries: Iterable[ExtractedEntry]) -> bytes:
    """Returns the JSON file with `entries`, each with the path that leads to `checkpoint`."""
    document = {
        "format": _EXTRACT_FORMAT,
        "log": header.log,
        "key": header.key,
        "checkpoint": checkpoint.decode("utf-8"),
        "entries": [
            {"number": number, "entry": data.decode("utf-8"), "path": [node.hex() for node in path]}
            for number, data, path in entries
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def check_extract(data: bytes, key: PublicKey) -> tuple[Checkpoint, list[CustodyEntry]]:
    """Returns the checkpoint and the entries of an extract after checking each proof. Raises `FormatError`."""
    try:
        document: dict[str, Any] = json.loads(data)
        if document["format"] != _EXTRACT_FORMAT or document["key"] != key.text:
            raise FormatError("This is not an extract of that desk's log.")
        log = str(document["log"])
        head = open_desk_checkpoint(str(document["checkpoint"]).encode("utf-8"), key, log)
        return head, [_proven(each, head, log) for each in document["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise FormatError("This is not an extract of a custody log.") from cause


def _proven(each: dict[str, Any], head: Checkpoint, log: str) -> CustodyEntry:
    data = str(each["entry"]).encode("utf-8")
    entry = decode_entry(data)
    # The proof binds the entry's bytes to a number. The words around it must not announce another one.
    if entry.number != each["number"] or entry.organisation != log:
        raise FormatError(f"Entry {entry.number} is not the one that the extract announces.")
    path = [bytes.fromhex(node) for node in each["path"]]
    merkle.check_inclusion(entry_hash(data), entry.number, head.size, head.root, path)
    return entry


def make_growth(header: LogHeader, old: bytes, new: bytes, proof: Sequence[bytes]) -> bytes:
    """Returns the JSON file that shows that the log of checkpoint `new` begins with the log of checkpoint `old`."""
    document = {
        "format": _GROWTH_FORMAT,
        "log": header.log,
        "key": header.key,
        "old": old.decode("utf-8"),
        "new": new.decode("utf-8"),
        "proof": [node.hex() for node in proof],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def check_growth(data: bytes, key: PublicKey) -> tuple[Checkpoint, Checkpoint]:
    """Returns both checkpoints of such a file after checking its proof. Raises `FormatError`."""
    try:
        document: dict[str, Any] = json.loads(data)
        if document["format"] != _GROWTH_FORMAT or document["key"] != key.text:
            raise FormatError("This does not compare two checkpoints of that desk.")
        old, new = (
            open_desk_checkpoint(str(document[name]).encode("utf-8"), key, str(document["log"]))
            for name in ("old", "new")
        )
        proof = [bytes.fromhex(node) for node in document["proof"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise FormatError("This does not compare two checkpoints of a custody log.") from cause
    merkle.check_consistency(old.size, old.root, new.size, new.root, proof)
    return old, new
