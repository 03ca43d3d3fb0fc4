"""The reader's language of a command: what it prints, asks and explains.

    say(f"{out} is written.  Read it before you send it.")
    confirm("Is it yours?", err=True)

The code says its sentences in English, with their values. This module translates each line before it is printed
(`agent.sentences`, decision 56). Texts of other people are printed without it: a request's words stay as written.

`speak` chooses the language once for each command. Until then it is English: a server that uses the same modules has
no reader at a terminal.

In a language that is written from right to left, each line is isolated as a whole, and each value, path and command in
it, too. So a terminal with bidirectional text keeps them in their order (Unicode 16, UAX #9, section 2.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from agent.core.languages import ENGLISH, LanguageCode, in_decimals
from agent.sentences import in_language, in_terminal, plural, speak, spoken

__all__ = ["confirm", "counted", "in_words", "listed", "measured", "prompt", "say", "speak", "spoken", "translate_help"]

_LAYOUT: Final = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_COMMAS: Final = {LanguageCode.AR.value: "، "}
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_VERBATIM: Final = "\b"
"""Click's mark of a paragraph that keeps its lines."""
_EXTRA: Final = re.compile(r"(.*?)(?:(?:  |\A)\[([^\[\]]*)\])?", re.DOTALL)
"""An option's help, and click's remarks behind it: `[default: 20; required]`."""


def in_words(text: str) -> str:
    """Returns the text in the reader's language, line by line. Spaces around a line stay."""
    language = spoken()
    if language == ENGLISH:
        return text
    return "\n".join(_line(each, language) for each in text.split("\n"))


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Prints the text in the reader's language."""
    click.echo(in_words(text), err=err, nl=nl)


def confirm(question: str, *, err: bool = False) -> None:
    """Asks until the answer is yes or no, in the reader's language or as y or n. Raises `click.Abort` at no.

    Enter means no.
    """
    if spoken() == ENGLISH:
        click.confirm(question, abort=True, err=err)
        return
    yes, no = in_language("yes", spoken()), in_language("no", spoken())
    shown = f"{in_words(question)} [{yes[0]}/{no[0].upper()}]"
    while True:
        answer = str(click.prompt(shown, default="", show_default=False, err=err)).strip().casefold()
        if answer in ("yes", "y", yes, yes[0]):
            return
        if answer in ("", "no", "n", no, no[0]):
            raise click.Abort
        say("Error: invalid input", err=err)


def prompt(question: str, **options: Any) -> str:
    """As `click.prompt`, in the reader's language."""
    return str(click.prompt(in_words(question), **options))


def counted(number: int, noun: str) -> str:
    """`1 segment`, `2 segments`, in the plural form of the reader's language."""
    return plural(number, noun, spoken())


def measured(value: float, digits: int, unit: str) -> str:
    """`70.5 s`, in German `70,5 s`. A sentence needs it not: `in_words` writes each number with a unit so."""
    return in_decimals(f"{value:.{digits}f} {unit}", spoken())


def listed(words: Sequence[str]) -> str:
    """`this`, `this and that`, `this, that and those`. The words are in the reader's language already."""
    *first, last = words
    return f"{_COMMAS.get(spoken(), ', ').join(first)} {in_words('and')} {last}" if first else last


# --- Help


def translate_help(text: str) -> str:
    """Returns a command's description in the reader's language, by paragraphs."""
    if spoken() == ENGLISH:
        return text
    return "\n\n".join(map(_paragraph, _PARAGRAPH.split(text)))


def _paragraph(text: str) -> str:
    if text.lstrip().startswith(_VERBATIM):
        return text
    return in_words(" ".join(text.split()))


class HelpFormatter(click.HelpFormatter):
    """Writes a command's help in the reader's language."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """As click's. Words in capitals stay, because the description names them."""
        super().write_usage(prog, args, in_words("Usage:") + " " if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        """As click's, for `Options` and `Commands`."""
        super().write_heading(in_words(heading))

    def write_text(self, text: str) -> None:
        """As click's, by paragraphs."""
        super().write_text(translate_help(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """As click's, for options and commands."""
        super().write_dl([(name, _option(words)) for name, words in rows], col_max, col_spacing)


def _option(words: str) -> str:
    found = _EXTRA.fullmatch(words)
    assert found is not None  # noqa: S101 (every text matches)
    said, extra = found[1], found[2]
    if spoken() == ENGLISH or extra is None or said.endswith("["):
        return in_words(" ".join(words.split())) if spoken() != ENGLISH else words
    remarks = "; ".join(in_words(each) for each in extra.split("; "))
    return "  ".join(filter(None, (in_words(" ".join(said.split())), f"[{remarks}]")))


def _line(text: str, language: str) -> str:
    found = _LAYOUT.fullmatch(text)
    assert found is not None  # noqa: S101 (every text matches)
    before, words, after = found.groups()
    return f"{before}{in_terminal(words, language)}{after}" if words else text
