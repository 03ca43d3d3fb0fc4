"""Sentences of the doorbell's programs in a reader's language: alerts, refusals, the output of commands.

    in_language("The doorbell rang.", "de")        # "Es hat geklingelt."

The programs say their sentences in English, with values in them. `<language>.json` has the translations of the
doorbell's sentences, which the page loads too, and `commands-<language>.json` those of commands and printed pages. `{}`
stands for a value. A text of several sentences, and a place before a colon, are taken apart. Words without a
translation stay as they are. docs/languages.md says how to add a language.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.core.languages import ENGLISH, LANGUAGES

__all__ = ["Catalogue", "in_language", "reader_language"]

_BREAK: Final = re.compile(r"(?<=[.!:])\s+")
_MOST_BREAKS: Final = 12
_UNKNOWN: Final = 50
"""Added to the length of words without a translation, so that known sentences are preferred."""
_LONG: Final = 20
"""A value of more characters may be a sentence too."""


_LOCALE: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
_CODE: Final = re.compile(r"([a-z]{2})(?:[_.@]|\Z)")


class Catalogue:
    """`sentences`: English to the other language."""

    def __init__(self, sentences: dict[str, str]) -> None:
        self._sentences = sentences
        self._patterns = tuple(
            (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), words)
            for english, words in sentences.items()
            if "{}" in english
        )
        self._translated = functools.lru_cache(maxsize=1024)(self._find)

    def say(self, text: str) -> str:
        """Returns the text in the other language, as far as it has known sentences."""
        return self._translated(text)[1] if text else text

    def _find(self, text: str) -> tuple[int, str]:
        """Returns the translation with the fewest characters that stay as they are, and their number."""
        best = min(self._whole(text), (len(text) + _UNKNOWN, text))
        for each in list(_BREAK.finditer(text))[:_MOST_BREAKS]:
            first = min(self._whole(text[: each.start()]), (each.start() + _UNKNOWN, text[: each.start()]))
            if first[0] < best[0]:
                rest = self._translated(text[each.end() :])
                best = min(best, (first[0] + rest[0], f"{first[1]} {rest[1]}"))
        return best

    def _whole(self, text: str) -> tuple[int, str]:
        """Returns the translation of one sentence with the number of characters in its values."""
        exact = self._sentences.get(text)
        if exact is not None:
            return 0, exact
        found = [(len(text) * 2 + _UNKNOWN, text)]
        for pattern, words in self._patterns:
            if matched := pattern.fullmatch(text):
                values = [
                    self._translated(each) if len(each) > _LONG else (len(each), each) for each in matched.groups()
                ]
                found.append((sum(cost for cost, _ in values), _filled(words, [value for _, value in values])))
        return min(found)


def in_language(text: str, language: str) -> str:
    """Returns the text in the language; in English, and in a language that is not in the list, unchanged."""
    return text if language == ENGLISH or language not in LANGUAGES else _catalogue(language).say(text)


def reader_language(environment: Mapping[str, str]) -> str:
    """Returns the language of a terminal's reader, from the variables that gettext reads; English if we lack it."""
    locale = next((environment[name] for name in _LOCALE if environment.get(name)), "")
    # As in gettext, LANGUAGE counts only beside a locale with a language.
    wanted = [*environment.get("LANGUAGE", "").split(":"), locale] if _CODE.match(locale) else []
    codes = (found[1] for each in wanted if (found := _CODE.match(each)))
    return next((code for code in codes if code in LANGUAGES), ENGLISH)


@functools.cache
def _catalogue(language: str) -> Catalogue:
    found: dict[str, str] = {}
    for name in (f"{language}.json", f"commands-{language}.json"):
        found |= json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return Catalogue(found)


def _filled(words: str, values: list[str]) -> str:
    pieces = words.split("{}")
    return "".join(piece + value for piece, value in zip(pieces, [*values, ""], strict=True))
