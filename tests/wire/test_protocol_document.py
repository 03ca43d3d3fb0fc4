"""PROTOCOL.md names every field, word and bound of the code, so that a second implementation misses none."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from agent import wire
from agent.wire import area, area_opening, envelope, strictjson, topics, uploads
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.limits import HARD, RequestLimits
from agent.wire.statements import Scope
from agent.wire.strictjson import Message
from tests.wire import samples

DOCUMENT = (Path(wire.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")


def keys_in(value: Any) -> set[str]:
    """Every key of every object in `value`."""
    if isinstance(value, dict):
        return set(value) | {key for member in value.values() for key in keys_in(member)}
    if isinstance(value, list):
        return {key for member in value for key in keys_in(member)}
    return set()


@pytest.mark.parametrize("name", sorted(samples.EVERY_MESSAGE))
def test_every_key_that_is_written_is_in_the_document(name: str) -> None:
    for key in keys_in(json.loads(strictjson.encode(samples.EVERY_MESSAGE[name]))):
        assert f"`{key}`" in DOCUMENT or f'"{key}"' in DOCUMENT, key


@pytest.mark.parametrize("name", sorted(samples.EVERY_MESSAGE))
def test_every_payload_type_is_in_the_document(name: str) -> None:
    kind = getattr(samples.EVERY_MESSAGE[name], "PAYLOAD_TYPE", None)
    if kind is not None:
        assert f"`{kind.removeprefix('application/vnd.doorward.').removesuffix('+json')}`" in DOCUMENT


@pytest.mark.parametrize("word", [word.value for words in (Kind, Incident, OnwardKind, Scope) for word in words])
def test_every_word_of_our_vocabulary_is_in_the_document(word: str) -> None:
    assert f"`{word}`" in DOCUMENT


def test_the_bounds_are_those_of_the_document() -> None:
    words = " ".join(DOCUMENT.split())  # wherever a line breaks
    default = RequestLimits()
    for bound in (
        f"{HARD.window_min_s} – {HARD.window_max_s:_} s",
        f"{HARD.area_min_m2:_} – {HARD.area_max_m2:_} m²",
        f"now − {HARD.look_back_max_s // 86400} days",
        f"now + {HARD.life_max_s // 86400} days",
        f"≤ {HARD.retention_max_days:_} (ten years) |",
        f"| {HARD.requests_per_case} |",
        f"{HARD.requests_per_requester_per_day} / {HARD.requests_per_day}",
        f"{default.requests_per_requester_per_day} / {default.requests_per_day}",
        f"at most {strictjson.MAX_DEPTH} levels",
        f"{strictjson.REQUEST_LIMIT_BYTES:_} bytes",
        f"{envelope.REQUEST_ENVELOPE_LIMIT_BYTES:_} bytes",
        f"{topics.MAX_TOPIC_BYTES} bytes or 7 levels",
        f"3–{area.MAX_VERTICES} vertices",
        f"at most {area.MAX_EXTENT_M:_} m",
        f"disc of {area_opening.DISC_M} m",
        f"R = {area_opening.RADIUS:_} is",
        f"multiples of {area_opening.CENTRE_STEP_E7} (1e-5 degrees)",
        f"multiples of {area_opening.PLACE_STEP_E7},",
        f"±{area.MAX_LATITUDE:.0f}° latitude",
    ):
        assert bound.replace("_", " ") in words, bound
    assert len(fields(RequestLimits)) == 10


def test_the_notes_of_an_upload_are_in_the_document() -> None:
    for key in uploads.UploadNote.__struct_encode_fields__:
        assert f'"{key}"' in DOCUMENT


def abridged(value: Any) -> Any:
    """`value` with long texts cut to 16 characters and long lists to their first entry, each with a … for the rest."""
    if isinstance(value, str):
        return value if len(value) <= 44 else value[:16] + "…"
    if isinstance(value, dict):
        return {key: abridged(member) for key, member in value.items()}
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict | str):
        return [abridged(value[0]), "…"]
    return [abridged(member) for member in value] if isinstance(value, list) else value


def laid_out(value: Any, indent: str = "") -> str:
    """JSON in lines of at most 120 characters, one member a line if the whole does not fit."""
    whole = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (indent and len(indent) + len(whole) <= 104):
        return whole
    inner = indent + "  "
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {laid_out(member, inner)}" for key, member in value.items()]
    else:
        members = [laid_out(member, inner) for member in value]
    ends = "{}" if isinstance(value, dict) else "[]"
    return f"{ends[0]}\n" + ",\n".join(inner + member for member in members) + f"\n{indent}{ends[1]}"


def example(message: Message) -> str:
    """The payload of `message` as the document shows it."""
    return laid_out(abridged(json.loads(strictjson.encode(message))))


def test_the_document_has_an_example_of_every_kind_which_the_code_would_write() -> None:
    of_kind: dict[type[Message], list[str]] = {}
    for message in samples.EVERY_MESSAGE.values():
        of_kind.setdefault(type(message), []).append(example(message))
    for kind, examples in of_kind.items():
        assert any(f"```json\n{each}\n```" in DOCUMENT for each in examples), f"{kind.__name__}, such as\n{examples[0]}"
