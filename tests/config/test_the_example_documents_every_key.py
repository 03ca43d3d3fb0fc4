"""`config/doorward.toml` and the code say the same, in both directions."""

import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from agent.config import Configuration, load, parse

EXAMPLE = Path(__file__).parents[2] / "config" / "doorward.toml"
SWITCHED_ON = re.sub(r"(?m)^#: ", "", EXAMPLE.read_text())


def keys_of_the_code(section: type, prefix: str = "") -> set[str]:
    """Every key that `settings.py` knows, dotted."""
    found: set[str] = set()
    for field in msgspec.structs.fields(section):
        inner = section_of(field.type)
        name = f"{prefix}{field.encode_name}"
        found |= keys_of_the_code(inner, f"{name}.") if inner else {name}
    return found


def section_of(kind: Any) -> type | None:
    """The section inside `kind`: itself, `Section | None`, `tuple[Section, ...]`, `Annotated` of these."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    is_wrapper = isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Annotated, typing.Union, tuple)
    inner = [section_of(one) for one in typing.get_args(kind)] if is_wrapper else []
    return next((one for one in inner if one), None)


def keys_of_the_text(table: dict[str, Any], prefix: str = "") -> set[str]:
    """Every key that the text gives, dotted."""
    found: set[str] = set()
    for name, value in table.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        found |= keys_of_the_text(inner, f"{prefix}{name}.") if isinstance(inner, dict) else {f"{prefix}{name}"}
    return found


def test_the_example_gives_every_key_and_no_other() -> None:
    assert keys_of_the_text(tomllib.loads(SWITCHED_ON)) == keys_of_the_code(Configuration)


def test_the_example_as_it_stands_is_the_defaults() -> None:
    assert load(EXAMPLE) == Configuration()


def test_the_example_with_everything_switched_on_loads() -> None:
    configuration = parse(SWITCHED_ON, EXAMPLE)
    assert configuration.broker is not None
    assert configuration.motion.zones[0].name == "path to the door"


def test_the_optional_keys_show_their_defaults_too() -> None:
    shown = tomllib.loads(SWITCHED_ON)
    broker = parse(SWITCHED_ON, EXAMPLE).broker
    for field in msgspec.structs.fields(type(broker)):
        # A path without a default is an example.
        if field.default is not msgspec.NODEFAULT and field.default is not None:
            assert shown["broker"][field.name] == field.default


def test_every_key_has_a_comment_above_it_or_shares_one() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if not re.match(r"(#: )?\w+ = ", line):
            continue
        above = number - 1
        while re.match(r"(#: )?(\w+ = |\[)", lines[above]):
            above -= 1
        assert lines[above].startswith("# "), f"line {number + 1}: {line}"
