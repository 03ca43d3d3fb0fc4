"""Keeps hard words out of documents, docstrings, comments, messages, configuration and the page's English texts.

It also finds sentences of documents, docstrings and comments that open with What or Who instead of their subject.
`python scripts/plain_words.py` prints each place, the word, and the plain words to write instead. Exit status 0 only if
there are none. `make lint` runs it. `python scripts/plain_words.py rates` prints how often turns of phrase occur that
make technical English hard or easy to read, beside what this repository allows (`RATES`).
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent

PLAIN: Final = {
    "nobody": "name the actor: 'the device does not', 'no owner has'",
    "somebody": "name the actor: 'an owner', 'a person at the door'",
    "anybody": "name the actor: 'every requester', 'any user'",
    "whoever": "a noun: 'a requester who', 'the user who'",
    "whomever": "a noun: 'the recipient that'",
    "anew": "'again', or 're-': 're-read'",
    "thereof": "repeat the noun: 'of the segment'",
    "thereafter": "'afterwards'",
    "so long": "'this many seconds', 'for this long'",
    "so many": "'this many'",
    "so much": "'this much'",
    "of its own": "'its own', 'a separate'",
    "of their own": "'their own', 'a separate'",
    "by itself": "'automatically', 'alone', 'on its own'",
    "by themselves": "'automatically', 'alone', 'on their own'",
    "belongs into": "say what to do: 'put it into'",
    "belong into": "say what to do: 'put them into'",
    "all the same": "'nevertheless', 'still'",
}
"""Words that make a sentence hard to read, each with its plain replacement."""

SUBJECT: Final = "start with the subject, a noun: 'The recorder', 'An owner', 'Segments over the limit'"
_OPENING: Final = re.compile(
    r"(?:\A|\x00\n|\n\n|\n[-*] +|(?<=[.:;])\s+)(What|Whatever|Whoever|Of|Who|Whom|Whose)\b(?![^.\x00]*\?)"
)
"""A sentence of a document or a comment that opens without its subject.  A question may."""
_BANNED: Final = re.compile(
    r"\b(" + "|".join(re.escape(words).replace(r"\ ", r"\s+") for words in PLAIN) + r")\b(?!(?<=own)\s+[a-z])",
    re.IGNORECASE,
)
"""Bans `a test of its own.` and allows `the path of its own page`, a possessive before its noun."""
_SUSPECT: Final = re.compile(_BANNED.pattern.replace(r"\s+", r"[\s#/*]+"), re.IGNORECASE)
"""The same in a whole file, with the marks of comments between words.  Saves parsing most files."""
_WORD: Final = re.compile(r"[A-Za-z']+")
_OPENS: Final = re.compile(r"\b(What|Whatever|Whoever|Of|Who|Whom|Whose)\b")
_HASH: Final = {
    ".toml", ".cfg", ".service", ".conf", ".acl", ".sh", ".timer", ".path", ".socket", ".in", ".template", ".yaml",
}  # fmt: skip
_SLASHES: Final = {".js", ".mjs", ".ts", ".c", ".css"}
_BUILT: Final = ("agent/web/static/", "desk/static/", "tests/vectors/")
_ABOUT_WORDS: Final = ("scripts/plain_words.py",)
_SAYS: Final = ("agent/", "desk/", "firmware_bridge/", "scripts/", "bench/", "demo/")
"""Folders in whose Python files a text with a space is a message: an error, a remedy, help or a line of a table."""
_LATER: Final = ()
RATES: Final = {
    "whoever, whomever, whom, whose": (r"\bwho(?:ever|mever|m|se)\b", 0.3, "at most"),
    "so long, so many, so much": (r"\bso (?:long|many|much|few|often|far)\b", 0.15, "at most"),
    "of its own, of their own": (r"\bof (?:its|their|our) own\b", 0.15, "at most"),
    "not, no, never, nothing, without": (r"\b(?:not|no|never|nothing|none|without|neither|nor)\b", 16.0, "at most"),
    "for example": (r"\b(?:e\.g\.|for example|for instance)", 0.25, "at least"),
    "if": (r"\bif\b", 3.0, "at least"),
}
"""Words in 1 000 words of documents, docstrings and comments: a pattern, and the most or the least that is allowed.

Six projects of the field (age, h11, python-tuf, sigstore-python, gpiozero, moonfire-nvr) have, in this order, 0.1,
0.05, 0.05, 9.0, 0.7 and 6.5.
"""


def _python(source: str, *, messages: bool) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if id(node) in documents or (messages and " " in node.value):
            yield from enumerate(node.value.splitlines(), node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


def _markdown(source: str) -> Iterator[tuple[int, str]]:
    is_code = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def _comments(source: str, *marks: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith(marks):
            yield number, line.lstrip(" /*#;:")


def _help(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        if ": " in line and " ## " in line:
            yield number, line.split(" ## ", 1)[1]


def _values(source: str) -> Iterator[tuple[int, str]]:
    json.loads(source)
    for number, line in enumerate(source.splitlines(), 1):
        if '": "' in line:
            yield number, line.split('": ', 1)[1]


def prose(name: str, source: str, *, messages: bool = True) -> list[tuple[int, str]]:
    """Returns the lines of a file that people read as sentences, with their numbers."""
    suffix = Path(name).suffix
    if suffix == ".py":
        return sorted(_python(source, messages=messages and name.startswith(_SAYS)))
    if suffix == ".md":
        return list(_markdown(source))
    if name.endswith("texts/en.json"):
        return list(_values(source))
    if suffix in _SLASHES:
        return list(_comments(source, "//", "/*", "*"))
    if suffix in _HASH:
        return list(_comments(source, "#", ";"))
    if Path(name).name == "Makefile":
        return sorted([*_comments(source, "#"), *_help(source)])
    if suffix == ".html":
        return list(enumerate(source.splitlines(), 1))
    return []


def _joined(lines: list[tuple[int, str]]) -> tuple[str, list[tuple[int, int]]]:
    """Returns the lines as one text, and where each begins in it with its number."""
    text, starts, last = "", [], 0
    for number, line in lines:
        if last:
            text += (
                "\n" if number == last + 1 else "\n\x00\n"
            )  # a phrase may go on in the next line, but not across code
        starts.append((len(text), number))
        text += re.sub(r"`[^`]*`", "`code`", line).strip()
        last = number
    return text, starts


def _places(pattern: re.Pattern[str], lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    text, starts = _joined(lines)
    for match in pattern.finditer(text):
        yield max(number for start, number in starts if start <= match.start(1)), " ".join(match[1].split())


def faults(name: str, source: str) -> list[str]:
    """Returns each hard word of a file: its place, the word, and the plain words to write instead."""
    found = []
    if _SUSPECT.search(source):
        for number, words in _places(_BANNED, prose(name, source)):
            found.append(f"{name}:{number}: '{words.lower()}': write {PLAIN[words.lower()]}")
    if _OPENS.search(source) and not name.endswith((".json", ".html")):
        for number, word in _places(_OPENING, prose(name, source, messages=False)):
            found.append(f"{name}:{number}: '{word}' opens a sentence: {SUBJECT}")
    return found


def sources(*patterns: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of each file of the repository that people read."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith((*_BUILT, *_LATER, *_ABOUT_WORDS)) and (ROOT / name).is_file():
            with contextlib.suppress(UnicodeDecodeError):  # pictures, films and sealed files
                yield name, (ROOT / name).read_text(encoding="utf-8")


def all_faults() -> list[str]:
    """Returns the banned words of all files of the repository that people read."""
    return [fault for name, source in sources() for fault in faults(name, source)]


def rates(texts: Iterable[str]) -> dict[str, float]:
    """Returns how often each turn of phrase of `RATES` occurs in 1 000 words of all `texts` together."""
    words, found = 0, dict.fromkeys(RATES, 0)
    for text in texts:
        words += len(_WORD.findall(text))
        for phrase, (pattern, _, _) in RATES.items():
            found[phrase] += len(re.findall(pattern, text, re.IGNORECASE))
    return {phrase: count * 1000 / max(words, 1) for phrase, count in found.items()}


def prose_of(*patterns: str) -> Iterator[str]:
    """Yields the sentences of each file that matches, without inline code."""
    for name, source in sources(*patterns):
        yield re.sub(r"`[^`\n]*`", "X", "\n".join(line for _, line in prose(name, source, messages=False)))


def beyond(found: Mapping[str, float]) -> list[str]:
    """Returns a line for each rate that is beyond its bound."""
    return [
        f"{phrase}: {found[phrase]:.2f} in 1 000 words, allowed are {word} {bound}"
        for phrase, (_, bound, word) in RATES.items()
        if (found[phrase] > bound if word == "at most" else found[phrase] < bound)
    ]


def main(arguments: list[str]) -> int | str:
    if arguments != ["rates"]:
        return "\n".join(all_faults()) or 0
    found = rates(prose_of())
    for phrase, rate in found.items():
        print(f"{phrase:34} {rate:6.2f}   {RATES[phrase][2]} {RATES[phrase][1]}")
    return "\n".join(beyond(found)) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
