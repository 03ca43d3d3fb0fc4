"""Twenty thousand messages, each wrong in a thing or two: the page's readers take exactly those that Python takes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DoorwardError
from agent.wire import strictjson
from tests.interop.test_a_second_reader import at, changed, places
from tests.properties.amounts import amount
from tests.web.test_the_program import node
from tests.wire import samples

pytestmark = pytest.mark.interop

KINDS = (
    "footage-request", "bulletin", "deletion", "receipt", "enrolment", "approval", "settings", "trust-bundle", "tip",
    "co-approval", "trust-change", "trust-root", "trust-timestamp",
)  # fmt: skip
MESSAGES = amount(5_000, 20_000)
NAMES = ("constructor", "toString", "hasOwnProperty", "__proto__", "valueOf", "note", "v", "shape", "lat")
TEXTS = (
    "Ada", " Ada", "A  b", "a\u00a0b", "a\u202eb", "a\u200db", "\u00e9", "see bit.ly", "www.x", "https://x", "tel:1",
    "x" * 65, "x" * 101, "x" * 501, "\U0001f600", "\ue000", "q" + "\u0323" * 5, "a\u2028b", "Stra\u00dfe", "STRASSE",
    "0", "+31 20 1234567", "12 34", "2200-0700", "YQ==", "YR==", "YQ=", "YQ", "____", "police", "all", "hours",
    "constructor", "circle", "ed25519:" + "A" * 43, "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    samples.DEVICE_KEY.text, samples.OWNER_KEY.text, samples.RECIPIENT, samples.X25519_RECIPIENT, "ab" * 32, "cd" * 16,
)  # fmt: skip
NUMBERS = (
    -1, 0, 1, 2, 7, 10, 59, 60, 144, 1000, 1440, 1768, 5000, 5001, 10_000, 36_526, 253_402_300_800, 2**40 + 1,
    2**53 - 1, 2**53, -180, 180, 90, 80.1, -79.99999, 53.5461, 9.9661, 53.54612345, 0.5, -0.0,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [0, 0], [[0, 5]], [[0, 5], [6, 6]], [[9, 3]], ["x"])


def kind_of(name: str) -> str:
    """The payload type's name of a sample; empty for what is in none."""
    signed_as = str(getattr(type(samples.EVERY_MESSAGE[name]), "PAYLOAD_TYPE", ""))
    return signed_as.removeprefix("application/vnd.doorward.").removesuffix("+json")


SAMPLES = {name: json.loads(strictjson.encode(value)) for name, value in samples.EVERY_MESSAGE.items()}
READ = [name for name in SAMPLES if kind_of(name) in KINDS]


def mutated(value: Any, chance: random.Random) -> Any:
    """`value` with one to three things in it removed, doubled, moved, added or made strange."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        found = list(places(copy))
        path = chance.choice(found)
        inside, key = at(copy, path[:-1]), path[-1]
        match chance.randrange(8):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, list):
                inside.insert(chance.randrange(len(inside) + 1), json.loads(json.dumps(inside[key])))
            case 2 if isinstance(inside, dict):
                inside[chance.choice(NAMES)] = json.loads(json.dumps(chance.choice((*TEXTS, *NUMBERS, *OTHERS))))
            case 3 if isinstance(inside, list):
                chance.shuffle(inside)
            case 4 if isinstance(inside[key], int | float) and not isinstance(inside[key], bool):
                inside[key] = chance.choice((inside[key] + chance.choice((-1, 1)), round(inside[key] + 0.001, 7)))
            case 5 if isinstance(inside[key], str) and inside[key]:
                cut = chance.randrange(len(inside[key]))
                inside[key] = (
                    inside[key][:cut] + chance.choice(("", "  ", "A", "\u0301", ".", "\n", "0")) + inside[key][cut:]
                )
            case 6:
                inside[key] = json.loads(json.dumps(at(copy, chance.choice(found))))
            case _:
                inside[key] = json.loads(json.dumps(chance.choice((*TEXTS, *NUMBERS, *OTHERS))))
    return copy


def messages() -> Iterator[tuple[str, str]]:
    chance = random.Random(13)
    for name in READ:
        for _, value in changed(SAMPLES[name]):
            yield kind_of(name), json.dumps(value, ensure_ascii=False)
    while True:
        name = chance.choice(READ)
        yield kind_of(name), json.dumps(mutated(SAMPLES[name], chance), ensure_ascii=False)


def refused(kind: type[strictjson.Message], text: str) -> bool:
    try:
        strictjson.decode(text.encode("utf-8", "surrogatepass"), kind, limit_bytes=48 << 20)
    except DoorwardError:
        return True
    return False


def test_the_page_takes_no_message_that_python_refuses_and_refuses_none_that_it_takes(tmp_path: Path) -> None:
    types = {kind_of(name): type(samples.EVERY_MESSAGE[name]) for name in READ}
    asked = [message for message, _ in zip(messages(), range(MESSAGES), strict=False)]
    asked += [(kind_of(name), strictjson.encode(samples.EVERY_MESSAGE[name]).decode()) for name in READ]
    (tmp_path / "messages").write_text("".join(f"{kind}\t{json.dumps(text)}\n" for kind, text in asked), "utf-8")
    theirs = str(node("judged.mjs", str(tmp_path / "messages"))["verdicts"])
    ours = "".join(str(int(refused(types[kind], text))) for kind, text in asked)
    differ = [
        (kind, "only the page takes it" if a < b else "only Python takes it", text[:600])
        for (kind, text), a, b in zip(asked, theirs, ours, strict=True)
        if a != b
    ]
    assert differ[:8] == [], f"{len(differ)} of {len(asked)}"
    assert 0.05 < ours.count("0") / len(ours) < 0.95
