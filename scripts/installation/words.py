"""The installer's messages, and its way to run a program: a failure gives a sentence and a remedy.

The installer runs on the system's Python, before anything is installed. The translations are those of the commands
(`agent.sentences`), which lie beside it in the tree and need the standard library only.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

__all__ = ["FailedError", "UnfitError", "fail", "in_words", "legible", "run", "say", "tell_failure"]

sys.path.append(str(Path(__file__).resolve().parents[2]))
_LANGUAGE = "DOORWARD_LANGUAGE"


class FailedError(Exception):
    """A failed step. The message and the remedy are for a person.

    `status`: how the program that failed ended, if one was run: its exit status, or minus the signal.
    """

    def __init__(self, message: str, remedy: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.status = status


class UnfitError(FailedError):
    """A version does not work on this machine: another try ends in the same way."""


def legible(text: str) -> str:
    """Removes terminal control characters, because the text may come from a compromised role."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def in_words(text: str, *, typed: bool = False) -> str:
    """Returns the text in the language of the terminal, or of DOORWARD_LANGUAGE. English if it has no translation.

    `typed`: a word that a person types, so it has no marks of direction.
    """
    try:
        from agent.core.languages import LANGUAGES
        from agent.sentences import in_language, in_terminal, reader_language
    except ImportError:  # a damaged tree: the message matters more than its language
        return text
    chosen = os.environ.get(_LANGUAGE, "")
    language = chosen if chosen in LANGUAGES else reader_language(os.environ)
    return in_language(text, language) if typed else in_terminal(text, language)


def say(text: str) -> None:
    # The translation first: it may hold marks of direction, and a stranger's text must not.
    print(f"  {in_words(legible(text))}", flush=True)


def tell_failure(message: str, remedy: str) -> None:
    """Prints what failed and what to do."""
    said = f"{in_words('Error:')} {in_words(legible(message))}\n  {in_words('What to do:')} {in_words(legible(remedy))}"
    print(f"\n{said}", file=sys.stderr)


def fail(message: str, remedy: str) -> NoReturn:
    raise FailedError(message, remedy)


def run(words: list[str], failure: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program without a shell. Raises `FailedError` with the end of the program's output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        print(legible((done.stdout + done.stderr)[-2000:]), file=sys.stderr)
        remedy = f"read the lines above; the command was:  {shlex.join(words)}"
        raise FailedError(f"{failure}.", remedy, done.returncode)
    return done
