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
from pathlib import Path
from typing import Final

from django.utils.translation import get_language, gettext

from agent.errors import DoorwardError
from agent.sentences import Catalogue

__all__ = ["TRANSLATED", "error_words", "in_words"]

TRANSLATED: Final = "nl"
_CATALOG: Final = Path(__file__).with_name("nl.json")


def error_words(error: DoorwardError) -> str:
    """Returns the message and the remedy in the reader's language."""
    return " ".join(in_words(part) for part in (error.message, error.remedy) if part)


def in_words(text: str) -> str:
    """Returns the text in the reader's language, as far as it has known sentences."""
    found = gettext(text) if text else ""
    if found != text or not (get_language() or "").startswith(TRANSLATED):
        return found
    return _catalogue().say(text)


@functools.cache
def _catalogue() -> Catalogue:
    return Catalogue(json.loads(_CATALOG.read_text(encoding="utf-8")))
