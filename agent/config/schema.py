"""JSON Schemas of `doorward.toml` and of a fleet file, for editors, made from the same types that read them.

A schema cannot express rules about two keys. Run `doorward config check` or `doorward provision --check` for those.
"""

from __future__ import annotations

import functools
import inspect
import json
import operator
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from agent.config.fleet import Fleet
from agent.config.settings import Configuration

__all__ = ["configuration_schema", "fleet_schema"]


def configuration_schema() -> str:
    return _schema(Configuration, "Doorward's configuration")


def fleet_schema() -> str:
    return _schema(Fleet, "A fleet of Doorward doorbells")


def _schema(kind: type, title: str) -> str:
    made = msgspec.json.schema(_plain(kind))
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    text = json.dumps(head | made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.replace("\\\\Z", "$")  # the end, as ECMA-262 writes it (JSON Schema, 6.4)


def _plain(kind: Any) -> Any:
    """`kind` with text for each path, because a schema's defaults must be JSON."""
    if kind is Path:
        return str
    if isinstance(kind, types.UnionType):
        return functools.reduce(operator.or_, map(_plain, typing.get_args(kind)))
    if typing.get_origin(kind) is typing.Annotated:
        return typing.Annotated[(_plain(typing.get_args(kind)[0]), *kind.__metadata__)]
    if typing.get_origin(kind) is tuple:
        return tuple[tuple(each if each is ... else _plain(each) for each in typing.get_args(kind))]  # type: ignore[misc]
    return _plain_struct(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else kind


@functools.cache
def _plain_struct(kind: type[msgspec.Struct]) -> Any:
    """One class for each, because a schema names its definitions after them."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: list[Any] = []
    for each in msgspec.structs.fields(kind):
        wanted = _plain(hints[each.name])
        if each.required:
            fields.append((each.name, wanted))
        # msgspec shares no mutable default, so a section has a factory.
        elif each.default is msgspec.NODEFAULT:
            fields.append((each.name, wanted, msgspec.field(default_factory=wanted)))
        else:
            default = str(each.default) if isinstance(each.default, Path) else each.default
            fields.append((each.name, wanted, msgspec.field(default=default)))
    # Before Python 3.13, the compiler leaves the indentation of further lines in.
    told = {"__doc__": kind.__doc__ and inspect.cleandoc(kind.__doc__)}
    return msgspec.defstruct(kind.__name__, fields, kw_only=True, forbid_unknown_fields=True, namespace=told)
