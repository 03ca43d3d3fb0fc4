"""Turns a TOML file into a `Configuration`, or into one error that names file, line, key and remedy.

Rules: nothing is guessed or skipped. An unknown key, a wrong type, a value out of range or a contradiction refuses the
whole file. Relative paths are relative to the file. `~` is the home of the user who runs it.
"""

from __future__ import annotations

import difflib
import enum
import functools
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from agent.config.places import KeyPath, Places
from agent.config.settings import Configuration, CrossFieldError, cross_field_errors
from agent.errors import ConfigurationError

__all__ = ["convert", "explain_refusal", "load", "not_utf8", "parse", "placed", "read_text", "shown"]

_Kind = TypeVar("_Kind")
CheckFields = Callable[[_Kind], Iterator[CrossFieldError]]

_MAX_BYTES = 1 << 20
_PATH_IN_MESSAGE = re.compile(r" - at `(?P<path>[^`]*)`$")
_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_NESTED = re.compile(r"(?:[\[{]\s*){50}")
_UNKNOWN_USER = re.compile(r"`?(~.*) names the home of an unknown user")
_TWICE = re.compile(r"Cannot overwrite a value|Cannot declare .* twice")
_ENDLESS = re.compile(r"\d[\d_]{4000}")
"""A number longer than Python turns into one (`sys.int_info.default_max_str_digits`)."""


_UNITS: Final = {
    "_bytes": "The unit is bytes: 20 GB is 20_000_000_000.",
    "_kbps": "The unit is kbit/s.",
    "_minutes": "The unit is minutes.",
    "_days": "The unit is days.",
    "_hours": "The unit is hours.",
    "_m": "The unit is metres.",
    "_s": "The unit is seconds.",
}
_ALIKE: Final = 0.65
"""Similarity of a key that was probably meant: `fsp` is 0.67 like `fps`, and `second` only 0.62 like `encoder`."""
_ABSENT = "Give its path with --config, or copy config/doorward.toml there."


def load(path: Path) -> Configuration:
    """Read and check the file.  Raises `ConfigurationError`."""
    return parse(read_text(path), path)


def read_text(path: Path, absent: str = _ABSENT) -> str:
    """Returns the file's text, within bounds. Raises `ConfigurationError`, with the remedy `absent` if there is no
    file."""
    try:
        with path.open("rb") as file:
            # One byte more than allowed, to tell a file of that size from a longer one. A file in /proc has no size to
            # ask for.
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Use sudo, or run this as its owner." if isinstance(error, PermissionError) else absent
        raise ConfigurationError(f"The configuration {path} cannot be read: {reason}.", remedy=remedy) from error
    if len(data) > _MAX_BYTES:
        before = data[:_MAX_BYTES].decode(errors="replace")
        line = before.count("\n") + 1
        remedy = "Check that it is the right file."
        raise placed(path, line, Places(before).key(line), "the file exceeds 1 MiB here.", remedy)
    try:
        # Editors on Windows write a byte order mark, which TOML does not know.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        line = before.count("\n") + 1
        raise not_utf8(path, line, Places(before).key(line)) from error


def parse(text: str, source: Path) -> Configuration:
    """The configuration in `text`.  `source` names it in errors and is what relative paths are relative to."""
    return convert(text, source, Configuration, cross_field_errors)


def convert(text: str, source: Path, kind: type[_Kind], contradicting: CheckFields[_Kind]) -> _Kind:
    """`text` as a `kind` of ours, or the first thing that is wrong with it.  Raises `ConfigurationError`."""
    places = Places(text)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = _line_of(error, text)
        # tomllib names the second place. A person looks for the first one as well.
        if _TWICE.match(str(error)) and places.line(places.key(line)) < line:
            key = places.key(line)
            message = f"this key appears twice, first in line {places.line(key)}."
            raise placed(source, line, key, message, "Keep one of the two.") from error
        remedy = "Compare the line with config/doorward.toml: put text in quotes, a list in [ ], a comment after #."
        raise placed(source, line, places.key(line), f"this is not TOML: {_reason(error)}.", remedy) from error
    try:
        converted = msgspec.convert(tables, kind, dec_hook=lambda wanted, value: _path(wanted, value, source))
    except msgspec.ValidationError as error:
        key, message, remedy = explain_refusal(str(error), tables, kind)
        raise placed(source, places.line(key), key, message, remedy) from error
    # One at a time: the remedy of the first may end the others.
    problem = next(contradicting(converted), None)
    if problem:
        raise placed(source, places.line(problem.key), problem.key, problem.message, problem.remedy)
    return converted


def shown(section: msgspec.Struct) -> dict[str, Any]:
    """Returns the values of a section for display. A secret is replaced by a mark that it exists."""
    return {name: _shown(getattr(section, name), kind) for name, kind in _hints(type(section)).items()}


def holds_secret(section: msgspec.Struct) -> bool:
    """Returns True if a secret key of the section has a value."""
    for name, kind in _hints(type(section)).items():
        value = getattr(section, name)
        inner = value if isinstance(value, tuple) else (value,)
        if any(isinstance(each, msgspec.Struct) and holds_secret(each) for each in inner):
            return True
        if isinstance(value, str) and value and _bears_secret(kind):
            return True
    return False


def _shown(value: Any, kind: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return shown(value)
    if isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value):
        return [shown(each) for each in value]
    return "(not shown)" if value and _bears_secret(kind) else msgspec.to_builtins(value, enc_hook=str)


def not_utf8(source: Path, line: int, key: KeyPath) -> ConfigurationError:
    return placed(source, line, key, "this line is not UTF-8.", "Save the file as UTF-8.")


def placed(source: Path, line: int, key: KeyPath, message: str, remedy: str) -> ConfigurationError:
    """Returns the error for a refused file. An empty `key` means that no key begins at or above `line`."""
    return ConfigurationError(f"{source}, line {line}, {_dotted(key) or 'the first key'}: {message}", remedy=remedy)


def _dotted(key: KeyPath) -> str:
    """("motion", "zones", 0, "name") → `motion.zones[1].name`: people count from one."""
    return "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in key).lstrip(".")


def _path(kind: type, value: object, source: Path) -> object:
    if kind is not Path:
        raise NotImplementedError(kind)
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"Expected `path`, got `{type(value).__name__}`")
    try:
        return source.parent / Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value} names the home of an unknown user") from error


# --- Words for what tomllib and msgspec found


def _line_of(error: Exception, text: str) -> int:
    """Returns the line that tomllib names. If Python's own limits stopped it, returns the start of that value, or else
    the end."""
    if at := re.search(r"at line (\d+)", str(error)):
        return int(at[1])
    if begins := _NESTED.search(text) if isinstance(error, RecursionError) else _ENDLESS.search(text):
        return text.count("\n", 0, begins.start()) + 1
    return max(1, len(text.rstrip("\n").split("\n")))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets are nested too deep"
    words = re.sub(r" \(at (line \d+, column \d+|end of document)\)$", "", str(error))
    return words[:1].lower() + words[1:].rstrip(".")


def explain_refusal(said: str, tables: dict[str, Any], whole: Any) -> tuple[KeyPath, str, str]:
    """Turns msgspec's message into (key, message, remedy) for the operator."""
    where = _PATH_IN_MESSAGE.search(said)
    steps = _PATH_STEP.findall(where["path"]) if where else []
    key: KeyPath = tuple(int(index) if index else name for name, index in steps)
    said = _PATH_IN_MESSAGE.sub("", said)
    if unknown := _UNKNOWN.fullmatch(said):
        return (*key, unknown[1]), "this key is unknown.", _suggestion(unknown[1], _type_at(key, whole))
    if missing := _MISSING.fullmatch(said):
        absent = (*key, missing[1])
        return absent, "this key is missing.", f"Add it; it is {_wanted(_type_at(absent, whole))}."
    if user := _UNKNOWN_USER.match(said):
        return key, f"'{user[1]}' names the home of a user who does not exist here.", "Give the whole path."
    value, kind = _value_at(tables, key), _type_at(key, whole)
    # `[[camera]]` in place of `[camera]` is a list for TOML, and the words for a list would mislead.
    if isinstance(value, list) and _is_section(kind):
        return key, "this section can be there once only.", f"Write [{_dotted(key)}], with single brackets."
    # An error goes to logs and to people who help, so it must not quote a password.
    shown = "this value" if _is_secret(value, kind) or not isinstance(value, str | int | float) else _short(value)
    return key, f"{shown} does not fit.", f"Give {_wanted(kind)}.{_unit(key, kind)}"


def _is_section(kind: Any) -> bool:
    kind = _bare(kind)
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _unit(key: KeyPath, kind: Any) -> str:
    """Returns a sentence about the unit of a number, by the end of its key. For example, `pre_roll_s` is in seconds."""
    if not key or _bare(kind) not in (int, float):
        return ""
    words = next((words for end, words in _UNITS.items() if str(key[-1]).endswith(end)), "")
    return f" {words}" if words else ""


def _is_secret(value: object, kind: Any) -> bool:
    """Returns whether `value` may hold a password: because of the expected type, or because it is an address."""
    # By its look as well: a password may stand in an address, under a key that holds none by its type.
    return _bears_secret(kind) or (isinstance(value, str) and ("://" in value or "@" in value))


@functools.cache
def _bears_secret(kind: Any) -> bool:
    kind = _bare(kind, keep_meta=True)
    if any((meta.extra or {}).get("secret") for meta in _metas(kind)):
        return True
    kind = _bare(kind)
    inner = typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inner = tuple(_hints(kind).values())
    return any(_bears_secret(each) for each in inner if each is not ...)


def _suggestion(name: str, section: Any) -> str:
    known = [field.name for field in msgspec.structs.fields(section)]
    close = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    return f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known)}."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _value_at(tables: Any, key: KeyPath) -> object:
    for step in key:
        try:
            tables = tables[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tables


def _type_at(key: KeyPath, kind: Any) -> Any:
    """The annotation that `kind` gives the key."""
    for step in key:
        kind = _bare(kind)
        if isinstance(step, int):
            items = typing.get_args(kind)
            kind = items[0] if items[-1] is ... else items[step]
        else:
            kind = _hints(kind)[step]
    return _bare(kind, keep_meta=True)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _bare(kind: Any, *, keep_meta: bool = False) -> Any:
    """Returns `kind` stripped of `| None`, and of its ranges unless `keep_meta`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if not keep_meta and typing.get_origin(kind) is typing.Annotated:
        return typing.get_args(kind)[0]
    return kind


def _metas(kind: Any) -> list[msgspec.Meta]:
    return [extra for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, msgspec.Meta)]


def _wanted(kind: Any) -> str:
    """Returns a description of the expected value. For example, "a whole number from 1 to 60"."""
    meta = next(iter(_metas(kind)), msgspec.Meta())
    kind = _bare(kind)
    if meta.description:
        return meta.description
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f'"{choice.value}"' for choice in kind)
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "a table with " + ", ".join(field.name for field in msgspec.structs.fields(kind))
    if typing.get_origin(kind) is tuple:
        return _wanted_list(typing.get_args(kind), meta)
    words = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path in quotes"}
    if kind is str:
        return f"text in quotes, {meta.min_length or 0} to {meta.max_length} printable characters"
    upper = meta.le if meta.le is not None else meta.lt
    return words[kind] + (f" from {meta.ge} to {upper}" if upper is not None else "")


def _wanted_list(items: tuple[Any, ...], meta: msgspec.Meta) -> str:
    if items[-1] is not ...:
        return "[" + ", ".join(_wanted(item) for item in items) + "]"
    least = f"{meta.min_length} to " if meta.min_length else "at most "
    return f"a list of {least}{meta.max_length}, each {_wanted(items[0])}"
