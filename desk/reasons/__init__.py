"""Reasons of the doors' own code in the reader's language: why an answer was refused, or what is wrong with a file.

    error_words(error)                # for a form or a message
    {{ answer.reason|reason }}        # stored English words, in a template (`templatetags/reasons.py`)

`agent` says its reasons in English, with values in them, and the desk stores them so. `nl.json` has the translation of
each such sentence: `{}` stands for a value. Several sentences and a place before a colon are taken apart. Words without
a translation stay as they are. A test walks all sentences that a page of the desk can show.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Final

from django.utils.translation import get_language, gettext

from agent.errors import DoorwardError

__all__ = ["TRANSLATED", "error_words", "in_words"]

TRANSLATED: Final = "nl"
_CATALOG: Final = Path(__file__).with_name("nl.json")
_BREAK: Final = re.compile(r"(?<=[.!:])\s+")
_MOST_BREAKS: Final = 12
_UNKNOWN: Final = 50
"""Added to the length of words without a translation, so that known sentences are preferred."""


def error_words(error: DoorwardError) -> str:
    """Returns the message and the remedy in the reader's language."""
    return " ".join(in_words(part) for part in (error.message, error.remedy) if part)


def in_words(text: str) -> str:
    """Returns the text in the reader's language, as far as it has known sentences."""
    found = gettext(text) if text else ""
    if found != text or not (get_language() or "").startswith(TRANSLATED):
        return found
    return _translated(text)[1]


@functools.lru_cache(maxsize=4096)
def _translated(text: str) -> tuple[int, str]:
    """Returns the translation with the fewest characters that stay as they are, and their number."""
    best = min(_whole(text), (len(text) + _UNKNOWN, text))
    breaks = list(_BREAK.finditer(text))[:_MOST_BREAKS]
    for each in breaks:
        first = min(_whole(text[: each.start()]), (each.start() + _UNKNOWN, text[: each.start()]))
        if first[0] < best[0]:
            rest = _translated(text[each.end() :])
            best = min(best, (first[0] + rest[0], f"{first[1]} {rest[1]}"))
    return best


def _whole(text: str) -> tuple[int, str]:
    """Returns the translation of one sentence with the number of characters in its values."""
    exact = _sentences().get(text)
    if exact is not None:
        return 0, exact
    found = [(len(text) * 2 + _UNKNOWN, text)]
    for pattern, words in _patterns():
        matched = pattern.fullmatch(text)
        if matched:
            values = [_translated(value) if len(value) > 20 else (len(value), value) for value in matched.groups()]
            found.append((sum(cost for cost, _ in values), _filled(words, [value for _, value in values])))
    return min(found)


def _filled(words: str, values: list[str]) -> str:
    pieces = words.split("{}")
    return "".join(piece + value for piece, value in zip(pieces, [*values, ""], strict=True))


@functools.cache
def _sentences() -> dict[str, str]:
    found: dict[str, str] = json.loads(_CATALOG.read_text(encoding="utf-8"))
    return found


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(
        (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), words)
        for english, words in _sentences().items()
        if "{}" in english
    )
