"""The languages of everything a person reads: the owner's page, alerts, the kit, the door sign, refusals, the commands.

The texts themselves are data, one file for each language (`agent/web/texts`). docs/languages.md says how to add a
language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ENGLISH", "LANGUAGES", "Language"]

ENGLISH: Final = "en"
"""The language of the source, and of a reader whose language is not in the list."""


@dataclass(frozen=True, slots=True)
class Language:
    """`name`: as its speakers write it. `direction`: of its script, as HTML names it."""

    name: str
    direction: str = "ltr"


LANGUAGES: Final[Mapping[str, Language]] = {
    ENGLISH: Language("English"),
    "es": Language("Español"),
    "de": Language("Deutsch"),
    "nl": Language("Nederlands"),
    "fr": Language("Français"),
    "ar": Language("العربية", "rtl"),
}
