"""The installer's messages, and its way to run a program: a failure gives a sentence and a remedy."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import NoReturn

__all__ = ["FailedError", "fail", "legible", "run", "say"]


class FailedError(Exception):
    """A failed step. The message and the remedy are for a person."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def legible(text: str) -> str:
    """Removes terminal control characters, because the text may come from a compromised role."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def say(text: str) -> None:
    print(f"  {legible(text)}", flush=True)


def fail(message: str, remedy: str) -> NoReturn:
    raise FailedError(message, remedy)


def run(words: list[str], failure: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program without a shell. Raises `FailedError` with the end of the program's output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        print(legible((done.stdout + done.stderr)[-2000:]), file=sys.stderr)
        fail(f"{failure}.", f"read the lines above; the command was:  {shlex.join(words)}")
    return done
