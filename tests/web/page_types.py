"""The types and bounds of the page's messages, made from the device's own: `agent/web/src/wire/generated.d.ts`.

`operations.js` beside it has the largest frame of each operation (`agent.ipc.control_operations`), and `bounds.js` the
bounds of signed messages.

`python -m tests.web.page_types` writes the file again, and so does `python -m tests.wire.vectors`.  The type check of
the JavaScript holds the page's readers against it (`agent/web/src/wire/agreement.ts`), so it fails if a field of a
message is renamed here and not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agent.clients.owner.keys import OwnerCard
from agent.core.ledger.entries import LedgerEntry
from agent.core.vault import manifest
from agent.core.vault.manifest import _SignedLine, _SignedPayload
from agent.core.vault.records import RecoveredRecord, SegmentRecord
from agent.core.vault.segment import Begin, Context
from agent.ipc.control_operations import OPERATIONS, Operation
from agent.ipc.rpc import answer_type
from agent.wire import disclosures, envelope, limits, messages, statements, strictjson, trust, trust_package
from tests.wire import samples

FOLDER = Path(__file__).resolve().parents[2] / "agent" / "web" / "src" / "wire"
TARGET = FOLDER / "generated.d.ts"
BOUNDS = FOLDER / "operations.js"
BOUNDS_HEAD = """\
// Made by `make page-types` from agent/ipc/control_operations.py.  Do not edit.

/** The largest frame that the doorbell accepts for each operation, in bytes. */
export const BODY_BYTES = Object.freeze({
"""
MESSAGE_BOUNDS = FOLDER / "bounds.js"
MESSAGE_BOUNDS_HEAD = """\
// Made by `make page-types` from the bounds of agent/wire and agent/core.  Do not edit.

"""
MESSAGE_BOUND = {
    "BUNDLE_ENVELOPE_LIMIT": trust.BUNDLE_ENVELOPE_LIMIT_BYTES,
    "BUNDLE_LIMIT": trust.BUNDLE_LIMIT_BYTES,
    "CLOCK_SLACK_S": limits.CLOCK_SLACK_S,
    "LONGEST_LINE": manifest.LONGEST_LINE_BYTES,
    "MAX_BASIS_CHARACTERS": messages.MAX_BASIS_CHARACTERS,
    "MAX_CASE_CHARACTERS": messages.MAX_CASE_CHARACTERS,
    "MAX_CLIPS": statements.MAX_CLIPS,
    "MAX_CONTACT_CHARACTERS": statements.MAX_CONTACT_CHARACTERS,
    "MAX_DEPTH": strictjson.MAX_DEPTH,
    "MAX_DESCRIPTION_CHARACTERS": messages.MAX_DESCRIPTION_CHARACTERS,
    "MAX_GAPS": statements.MAX_GAPS,
    "MAX_NAME_CHARACTERS": messages.MAX_NAME_CHARACTERS,
    "MAX_PARTS": disclosures.MAX_PARTS,
    "MAX_SEGMENTS": statements.MAX_SEGMENTS,
    "MAX_SETTING_CHARACTERS": statements.MAX_SETTING_CHARACTERS,
    "MAX_SIGNATURES": envelope.MAX_SIGNATURES,
    "MAX_TIP_CHARACTERS": disclosures.MAX_TIP_CHARACTERS,
    "MAX_TIMESTAMP_LIFE_S": trust_package.MAX_TIMESTAMP_LIFE_S,
    "MAX_TITLE_CHARACTERS": messages.MAX_TITLE_CHARACTERS,
    "PACKAGE_LIMIT": trust_package.PACKAGE_LIMIT_BYTES,
    "ROOT_ENVELOPE_LIMIT": trust_package.ROOT_ENVELOPE_LIMIT_BYTES,
    "STATEMENT_ENVELOPE_LIMIT": statements.STATEMENT_ENVELOPE_LIMIT_BYTES,
    "STATEMENT_LIMIT": statements.STATEMENT_LIMIT_BYTES,
}
"""Name in JavaScript: the bound of the device."""
FIELDS: tuple[tuple[type[msgspec.Struct], str], ...] = (
    (statements.Enrolment, "approvers"),
    (statements.Enrolment, "epoch"),
    (statements.Enrolment, "recipients"),
    (messages.FootageRequest, "retention_days"),
    (statements.PrivateHoursSetting, "days"),
    (statements.QuietHoursSetting, "begins_minute"),
    (statements.Settings, "max_age_days"),
    (statements.Settings, "max_bytes"),
    (statements.Settings, "private"),
    (statements.Settings, "sensitivity_percent"),
    (statements.Settings, "smallest_person"),
    (statements.Settings, "zones"),
    (disclosures.PartMissing, "missing"),
    (disclosures.Receipt, "retention_days"),
    (disclosures.Receipt, "stored"),
    (statements.TrustChange, "roots_added"),
    (trust.RequesterEntry, "keys"),
    (trust.RequesterEntry, "regions"),
    (trust_package.RootFile, "keys"),
    (trust_package.RootFile, "threshold"),
    (trust_package.RootFile, "timestamp_keys"),
    (trust.TrustBundle, "sections"),
    (trust_package.TrustPackage, "roots"),
    (trust_package.TrustPackage, "sections"),
    (statements.ZoneSetting, "corners"),
)
"""Fields of messages: `RANGES` has the least and the greatest number, or the shortest and the longest list."""
HEAD = """\
// Made by `make page-types` from the messages of agent/wire and the records of agent/core.  Do not edit.
//
// `null` in an optional member means absent.  The page's readers take it out of signed messages (schema.js, `object`).
"""
RANGES_HEAD = """
/**
 * The least and the greatest value of a field, or the shortest and the longest list.
 *
 * @satisfies {Record<string, [number, number]>}
 */
export const RANGES = {
"""
RECORDS = (
    RecoveredRecord, Begin, Context, LedgerEntry, OwnerCard, SegmentRecord, trust_package.TrustPackage,
    trust.TrustSection, _SignedLine,
)  # fmt: skip
LONGEST = 120


def source() -> str:
    """The file as it must be."""
    kinds = {type(value) for value in samples.EVERY_MESSAGE.values()} | set(RECORDS)
    _, components = msgspec.json.schema_components(sorted(kinds, key=lambda kind: kind.__name__))
    # The payload of a manifest line holds a union of records, of which the page reads two only.
    assert {field.name for field in msgspec.structs.fields(_SignedPayload)} == {"v", "seq", "prev", "record"}
    declared = {_name_of(name): schema for name, schema in components.items()}
    return HEAD + "".join(_declaration(name, declared[name]) for name in sorted(declared)) + _operations(set(declared))


def bounds() -> str:
    """The file with the largest frame of each operation that a browser can reach."""
    lines = [f"  {name}: {operation.body_bytes},\n" for name, operation in _reachable().items()]
    return BOUNDS_HEAD + "".join(lines) + "});\n"


def message_bounds() -> str:
    """The file with the bounds of signed messages."""
    bounds = "".join(f"export const {name} = {bound};\n" for name, bound in MESSAGE_BOUND.items())
    ranges = "".join(f'  "{kind.__name__}.{name}": {_range_of(kind, name)},\n' for kind, name in FIELDS)
    return MESSAGE_BOUNDS_HEAD + bounds + RANGES_HEAD + ranges + "};\n"


def _range_of(kind: type[msgspec.Struct], name: str) -> list[int]:
    """The bounds of a field as its annotation gives them. Only whole numbers and lists have both."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    [kinds] = [field.type for field in info.fields if field.name == name]
    options = kinds.types if isinstance(kinds, msgspec.inspect.UnionType) else (kinds,)
    [only] = [each for each in options if not isinstance(each, msgspec.inspect.NoneType)]
    if isinstance(only, msgspec.inspect.IntType):
        least, most = only.ge, only.le if only.le is not None else (only.lt or 0) - 1
    else:
        assert isinstance(only, msgspec.inspect.VarTupleType), kind
        least, most = only.min_length or 0, only.max_length
    assert least is not None, (kind, name)
    assert most is not None, (kind, name)
    return [least, most]


def _reachable() -> dict[str, Operation]:
    return {name: operation for name, operation in OPERATIONS.items() if operation.access is not None}


def _operations(others: set[str]) -> str:
    """Requests and answers of the operations.  A reader of theirs sees `null` where the device has no value."""
    reachable = _reachable()
    kinds = {kind for each in reachable.values() for kind in (each.request, answer_type(each.request))}
    kinds = {kind for kind in kinds if isinstance(kind, type)}  # the page's facts are an object of any members
    _, components = msgspec.json.schema_components(sorted(kinds, key=lambda kind: kind.__name__))
    declared = {_name_of(name): schema for name, schema in components.items()}
    for each in reachable.values():
        # The page names the operation in the address of its route.
        del declared[each.request.__name__]["properties"]["op"]
    assert set(declared) & others <= {"Scope"}, "an answer and a signed message have one name"
    text = "".join(_declaration(name, declared[name], nulls=True) for name in sorted(set(declared) - others))
    rows = [
        f"  {name}: {{ request: {each.request.__name__}; answer: {_answer_name(each)} }};\n"
        for name, each in reachable.items()
    ]
    return text + "\n/** By name. */\nexport interface ControlOperations {\n" + "".join(rows) + "}\n"


def _answer_name(operation: Operation) -> str:
    kind = answer_type(operation.request)
    return kind.__name__ if isinstance(kind, type) else "any"


def _name_of(name: str) -> str:
    """`Span` for a class, and `SpansSpan` for one of two classes of that name: the module comes first then."""
    *modules, kind = name.removeprefix("_").split(".")
    return (modules[-1].capitalize() if modules else "") + kind


def _declaration(name: str, schema: dict[str, Any], *, nulls: bool = False) -> str:
    if schema.get("type") != "object":
        line = f"export type {name} = {_type_of(schema)};"
        if len(line) > LONGEST:
            line = line.replace(" = ", " = | ", 1).replace(" | ", "\n  | ")
        return f"\n{line}\n"
    required = schema.get("required", [])
    lines = [
        f"  {member}{'' if member in required else '?'}: {_type_of(each, nulls=nulls)};"
        for member, each in schema["properties"].items()
    ]
    assert all(len(line) <= LONGEST for line in lines), name
    return f"\nexport interface {name} {{\n" + "\n".join(lines) + "\n}\n"


def _type_of(schema: dict[str, Any], *, nulls: bool = False) -> str:
    """The TypeScript for one JSON Schema; bounds and patterns are left to the readers."""
    if "$ref" in schema:
        return _name_of(str(schema["$ref"]).rsplit("/", 1)[-1])
    if "enum" in schema:
        return " | ".join(_literal(each) for each in schema["enum"])
    if "const" in schema:
        return _literal(schema["const"])
    if "anyOf" in schema:
        return " | ".join(
            _type_of(each, nulls=nulls) for each in schema["anyOf"] if nulls or each.get("type") != "null"
        )
    match schema.get("type"):
        case "array":
            if "prefixItems" in schema:
                return f"[{', '.join(_type_of(each, nulls=nulls) for each in schema['prefixItems'])}]"
            item = _type_of(schema["items"], nulls=nulls)
            return f"({item})[]" if " | " in item else f"{item}[]"
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null" as plain:
            return plain
        case "object":
            values = schema.get("additionalProperties", {})
            return f"Record<string, {_type_of(values, nulls=nulls) if isinstance(values, dict) else 'unknown'}>"
        case None:
            return "unknown"
    raise AssertionError(f"no TypeScript for {schema}")


def _literal(value: object) -> str:
    return msgspec.json.encode(value).decode()


def write() -> None:
    TARGET.write_text(source(), encoding="utf-8")
    BOUNDS.write_text(bounds(), encoding="utf-8")
    MESSAGE_BOUNDS.write_text(message_bounds(), encoding="utf-8")


if __name__ == "__main__":
    write()
