"""Injured configurations and what a refusal of one has to say: file, line and key, each of them true."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

VALUES = ["0", "-1", "1e999", "nan", "''", '"""', "[]", "[[1]]", "{}", "true", "1979-05-27", "9" * 30, "[1, 'a']", "x"]
VALUES += ["'/etc/shadow'", "'|reboot'", "'../../x'", "'$(reboot)'", "9" * 5000, "[" * 5000, "'{'", "\"tee:'|id'\""]
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
_PLACE = re.compile(
    r", line ([1-9]\d*), (the first key|[^\s:,]+)(?:, its line ([1-9]\d*), (the first key|[^\s:]+))?: \S"
)


def mutate(text: str, chance: random.Random) -> bytes:
    """One to three injuries of the kinds that editors, copies, bad disks and bad people make."""
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


def untrue(message: str, path: Path, data: bytes) -> str:
    """Returns the error in a refusal's place for the file `data` at `path`, empty if it is right."""
    place = _PLACE.match(message.removeprefix(str(path)))
    if not message.startswith(str(path)) or place is None:
        return "it does not begin with file, line and key"
    text = data.decode("utf-8", "replace")
    if wrong := _untrue_place(text, int(place[1]), place[2]):
        return wrong
    if place[3] is None:
        return ""
    return _untrue_place(json.loads(text)["configuration"], int(place[3]), place[4])


def _untrue_place(text: str, line: int, key: str) -> str:
    lines = text.split("\n")
    if line > len(lines):
        return f"there is no line {line}"
    above = "\n".join(lines[:line])
    if key == "the first key":
        named = re.search(r"(?m)^\s*(\[+\s*\w|[\w.]+\s*=|\"\w+\"\s*:)", above)
        return f"a key stands above line {line}: {named[0]!r}" if named else ""
    names = re.sub(r"\[\d+\]", "", key).split(".")
    if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", lines[line - 1]) for name in names):
        return ""
    # A missing key is named by the line of its table, or by the first line for the file's top level.
    begun = list(re.finditer(rf"(?<!\w){re.escape(names[-1])}(?!\w)", above))
    if not begun:
        return "" if line == 1 and len(names) <= 2 else f"'{key}' begins neither in line {line} nor above"
    # A construct over several lines is named by its beginning: a list, an open string, invalid TOML. A comment may
    # contain the key's word, so each place counts where it is.
    between = [re.sub(r"#.*", "", above[each.end() :].partition("=")[2]) for each in begun]
    is_open = any(each.count("[") > each.count("]") or "'''" in each or '"""' in each for each in between)
    begins = re.match(r"\s*(\[+\s*[\w.]+\s*\]+\s*$|\w+\s*=\s*[^\s=])", lines[line - 1])
    return f"line {line} begins another key than '{key}'" if begins and not is_open else ""
