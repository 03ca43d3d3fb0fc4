"""The shape and the bounds of every message are part of the protocol: none changes but on purpose."""

from __future__ import annotations

import json

import pytest

from agent.wire import strictjson
from tests.wire import samples, vectors


@pytest.mark.parametrize("name", sorted(vectors.schemas()))
def test_a_message_has_the_shape_it_is_known_by(name: str) -> None:
    written = json.loads((vectors.FOLDER / "wire" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(vectors.schemas()[name])) == written


def test_the_wire_has_the_bounds_it_is_known_by() -> None:
    assert vectors.bounds() == json.loads((vectors.FOLDER / "wire" / "bounds.json").read_text(encoding="utf-8"))


def parts_of(value: object) -> list[strictjson.Message]:
    """The message and every message within it."""
    found: list[strictjson.Message] = []
    if isinstance(value, tuple | list):
        return [part for each in value for part in parts_of(each)]
    if isinstance(value, strictjson.Message):
        found.append(value)
        found += [part for name in value.__struct_fields__ for part in parts_of(getattr(value, name))]
    return found


def test_no_message_and_nothing_in_one_can_be_changed_once_it_is_made() -> None:
    every = {type(part) for value in samples.EVERY_MESSAGE.values() for part in parts_of(value)}
    assert len(every) > 20
    for kind in every:
        assert kind.__struct_config__.frozen, kind.__name__
        assert kind.__struct_config__.forbid_unknown_fields, kind.__name__
