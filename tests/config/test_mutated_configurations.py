"""Whatever happens to a configuration file, it loads or names file, line and key; nothing else ever comes out."""

import random
import re
from pathlib import Path

import pytest

from agent.config import load
from agent.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "config" / "doorward.toml"
SWITCHED_ON = re.sub(r"(?m)^#: ", "", EXAMPLE.read_text())
VALUES = ["0", "-1", "1e999", "nan", "''", '"""', "[]", "[[1]]", "{}", "true", "1979-05-27", "9" * 30, "[1, 'a']", "x"]
JUNK = [
    "\x00",
    "\xff",
    "[",
    "]",
    '"',
    "=",
    "\n",
    "[a.b]\n",
    "[[motion]]\n",
    "[broker.host]\n",
    "'''",
    "{",
    "#",
]


def mutate(text: str, chance: random.Random) -> bytes:
    """One to three injuries of the kinds that editors, copies and bad disks make."""
    for _ in range(chance.randint(1, 3)):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        where = chance.randrange(len(text) + 1)
        kind = chance.randrange(8)
        if kind == 0:
            lines[at] = re.sub(r"=.*", lambda _: "= " + chance.choice(VALUES), lines[at])
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif kind == 3:
            lines[at] = re.sub(r"^(\w)(\w)", r"\2\1", lines[at])
        elif kind == 4:
            lines = lines[:at]
        text = "\n".join(lines) if kind < 5 else text
        if kind == 5:
            text = text[:where] + chance.choice(JUNK) + text[where:]
        elif kind == 6:
            text = text[:where] + text[where + chance.randint(1, 40) :]
        elif kind == 7:
            text = text[:where]
    data = text.encode("utf-8")
    return data if chance.random() < 0.9 else data[: len(data) // 2] + b"\xfe" + data[len(data) // 2 :]


def refusal(path: Path) -> ConfigurationError | None:
    try:
        load(path)
    except ConfigurationError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_configuration_loads_or_names_file_line_and_key(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = tmp_path / "doorward.toml"
    named = re.compile(rf"{re.escape(str(path))}, line [1-9]\d*, \S+.*: \S")
    refused = 0
    for _ in range(100):
        path.write_bytes(mutate(SWITCHED_ON, chance))
        if error := refusal(path):
            refused += 1
            assert named.match(error.message), error.message
            assert error.remedy
    assert refused > 30, "mutations that break nothing test nothing"
