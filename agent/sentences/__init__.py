"""Sentences of the doorbell's programs in a reader's language: alerts, refusals, the output of commands.

    in_language("The doorbell rang.", "de")        # "Es hat geklingelt."
    plural(3, "segment", "de")                     # "3 Segmente"

The programs say their sentences in English, with values in them. `<language>.json` has the translations of the
doorbell's sentences, which the page loads too, and `commands-<language>.json` those of commands and printed pages. `{}`
stands for a value. A text of several sentences, and a place before a colon, are taken apart. Words without a
translation stay as they are. `counts.json` has the plural forms of nouns. docs/languages.md says how to add a language.
"""

from __future__ import annotations

import contextvars
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.core.languages import ENGLISH, LANGUAGES, in_decimals, plural_form

__all__ = [
    "Catalogue",
    "in_language",
    "in_terminal",
    "knows",
    "plural",
    "reader_language",
    "speak",
    "spoken",
]

_BREAK: Final = re.compile(r"(?<=[.!?:])\s+")
_MOST_BREAKS: Final = 12
_UNKNOWN: Final = 50
"""Added to the length of words without a translation, so that known sentences are preferred."""
_LONG: Final = 20
"""A value of more characters may be a sentence too."""


_RIGHT_TO_LEFT: Final = "rtl"
_WHOLE: Final = "\N{RIGHT-TO-LEFT ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
_VALUE: Final = "\N{FIRST STRONG ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
_LATIN: Final = "\N{LEFT-TO-RIGHT ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
_TYPED: Final = re.compile(r"[-/\[<]{0,2}[A-Za-z](?:[ -~]*[A-Za-z0-9/>\]-])?")
"""Commands, options and paths in a sentence of another script: a reader types or compares them."""
_STOP: Final = re.compile(r"\{\}(?=[.:])")
_SPOKEN: contextvars.ContextVar[str] = contextvars.ContextVar("spoken", default=ENGLISH)
_LOCALE: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
_CODE: Final = re.compile(r"([a-z]{2})(?:[_.@]|\Z)")


class _Pattern:
    """An English sentence with values. Its expression is compiled when its fixed ends are found in a text."""

    def __init__(self, english: str, words: str) -> None:
        self._pieces = english.split("{}")
        self.words = words

    def values(self, text: str) -> tuple[str, ...] | None:
        """Returns the values in the text; None if it is another sentence."""
        # Cheap, and rules out nearly all of a thousand patterns before one is compiled.
        if not text.startswith(self._pieces[0]) or not text.endswith(self._pieces[-1]):
            return None
        found = _expression(tuple(self._pieces)).fullmatch(text)
        return None if found is None else found.groups()


@functools.cache
def _expression(pieces: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(.+?)".join(map(re.escape, pieces)), re.DOTALL)


class Catalogue:
    """`sentences`: English to the other language. `isolated`: mark the direction of values for a terminal."""

    def __init__(self, sentences: dict[str, str], *, isolated: bool = False) -> None:
        self._isolated = isolated
        self._sentences = {english: self._marked(words) for english, words in sentences.items()}
        self._patterns = tuple(
            _Pattern(english, words) for english, words in self._sentences.items() if "{}" in english
        )
        self._translated = functools.lru_cache(maxsize=1024)(self._find)

    def say(self, text: str) -> str:
        """Returns the text in the other language, as far as it has known sentences."""
        return self._translated(text)[1] if text else text

    def knows(self, text: str) -> bool:
        """Returns whether every sentence of the text is known."""
        return self._translated(text)[0] < _UNKNOWN

    def _find(self, text: str) -> tuple[int, str]:
        """Returns the translation with the fewest characters that stay as they are, and their number."""
        best = min(self._whole(text), (len(text) + _UNKNOWN, text))
        # A bound: each break is tried with each continuation.
        for each in list(_BREAK.finditer(text))[:_MOST_BREAKS]:
            first = min(self._whole(text[: each.start()]), (each.start() + _UNKNOWN, text[: each.start()]))
            if first[0] < best[0]:
                rest = self._translated(text[each.end() :])
                known = rest[1] if rest[0] < _UNKNOWN else self._as_written(rest[1], text[each.end() :])
                best = min(best, (first[0] + rest[0], f"{first[1]} {known}"))
        return best

    def _whole(self, text: str) -> tuple[int, str]:
        """Returns the translation of one sentence with the number of characters in its values."""
        exact = self._sentences.get(text)
        if exact is not None:
            return 0, exact
        found = [(len(text) * 2 + _UNKNOWN, text)]
        for pattern in self._patterns:
            matched = pattern.values(text)
            if matched is not None:
                values = [self._value(each) for each in matched]
                said = [_VALUE.format(value) if self._isolated else value for _, value in values]
                found.append((sum(cost for cost, _ in values), _filled(pattern.words, said)))
        return min(found)

    def _value(self, value: str) -> tuple[int, str]:
        """Returns a value, translated if it may be a sentence. A long path has no space, and is none.

        Words of others, for example of a parser, are a value like any other: the sentence around them is known.
        """
        # A short value may look like a sentence by chance, for example the name of a doorbell.
        if len(value) > _LONG and " " in value and (found := self._translated(value))[1] != value:
            return found
        return len(value), value

    def _as_written(self, said: str, text: str) -> str:
        """Isolates a command or a path behind a sentence, for example behind `To deny it:`."""
        return _LATIN.format(said) if self._isolated and said == text else said

    def _marked(self, words: str) -> str:
        """Isolates what is in Latin script between the values.

        A stop behind a value gets a space: a path before it could be misread by an eye that goes the other way.
        """
        if not self._isolated:
            return words
        words = _STOP.sub("{} ", words)
        return "{}".join(_TYPED.sub(lambda found: _LATIN.format(found[0]), each) for each in words.split("{}"))


def in_language(text: str, language: str) -> str:
    """Returns the text in the language; in English, and in a language that is not in the list, unchanged."""
    if language == ENGLISH or language not in LANGUAGES:
        return text
    return in_decimals(_catalogue(language).say(text), language)


def in_terminal(text: str, language: str) -> str:
    """Returns one line as `in_language`, with marks of direction if the language is written from right to left.

    The marks are isolates (Unicode 16, UAX #9): of the line as a whole, of each value, and of what is in Latin script.
    """
    if language == ENGLISH or language not in LANGUAGES or LANGUAGES[language].direction != _RIGHT_TO_LEFT:
        return in_language(text, language)
    said = _catalogue(language, isolated=True).say(text)
    return text if said == text else _WHOLE.format(said)


def plural(number: int, noun: str, language: str) -> str:
    """Returns `1 segment`, `2 segments` in the language. Raises `KeyError` for a noun that `counts.json` lacks."""
    if language == ENGLISH:
        return f"{number} {noun}" + ("" if number == 1 else "s")
    forms = _counts()[noun][language]
    return forms.get(plural_form(number, language), forms["other"]).replace("{}", str(number))


@functools.cache
def _counts() -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = json.loads(
        Path(__file__).with_name("counts.json").read_text(encoding="utf-8")
    )
    return found


def speak(language: str) -> None:
    """Chooses the language of everything that this command prints from now on; a code of `LANGUAGES`.

    Until then it is English: a server that uses the same modules has no reader at a terminal.
    """
    _SPOKEN.set(language)


def spoken() -> str:
    """Returns the code of the reader's language."""
    return _SPOKEN.get()


def knows(text: str, language: str) -> bool:
    """Returns whether every sentence of the text has a translation. Mark a value in it by one character."""
    return _catalogue(language).knows(text)


def reader_language(environment: Mapping[str, str]) -> str:
    """Returns the language of a terminal's reader, from the variables that gettext reads; English if we lack it."""
    locale = next((environment[name] for name in _LOCALE if environment.get(name)), "")
    # As in gettext, LANGUAGE counts only beside a locale with a language.
    wanted = [*environment.get("LANGUAGE", "").split(":"), locale] if _CODE.match(locale) else []
    codes = (found[1] for each in wanted if (found := _CODE.match(each)))
    return next((code for code in codes if code in LANGUAGES), ENGLISH)


@functools.cache
def _catalogue(language: str, *, isolated: bool = False) -> Catalogue:
    found: dict[str, str] = {}
    for name in (f"{language}.json", f"commands-{language}.json"):
        found |= json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return Catalogue(found, isolated=isolated)


def _filled(words: str, values: list[str]) -> str:
    pieces = words.split("{}")
    return "".join(piece + value for piece, value in zip(pieces, [*values, ""], strict=True))
