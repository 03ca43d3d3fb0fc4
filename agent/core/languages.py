"""The languages of everything a person reads: the owner's page, alerts, the kit, the door sign, refusals, the commands.

The texts themselves are data, one file for each language (`agent/web/texts`, `agent/sentences`). docs/languages.md says
how to add a language.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ENGLISH", "LANGUAGES", "Language", "LanguageCode", "plural_form"]


class LanguageCode(enum.Enum):
    """The code of each language, as the configuration and HTML write it."""

    EN = "en"
    ES = "es"
    DE = "de"
    FR = "fr"
    NL = "nl"
    AR = "ar"


@dataclass(frozen=True, slots=True)
class Language:
    """`name`: as its speakers write it. `direction`: of its script, as HTML names it."""

    name: str
    direction: str = "ltr"


ENGLISH: Final = LanguageCode.EN.value
"""The language of the source. Readers of a language that is missing from the list get it, too."""

LANGUAGES: Final[Mapping[str, Language]] = {
    ENGLISH: Language("English"),
    "es": Language("Español"),
    "de": Language("Deutsch"),
    "fr": Language("Français"),
    "nl": Language("Nederlands"),
    "ar": Language("العربية", "rtl"),
}

_FROM_ZERO: Final = ("zero", "one", "two")
_COUNTS_NOTHING_AS_ONE: Final = frozenset({LanguageCode.FR.value})


def plural_form(number: int, language: str) -> str:
    """Returns the form of a whole number: `one`, `other`, and in Arabic four more. Source: CLDR 46, plural rules."""
    if language == LanguageCode.AR.value:
        rest = number % 100
        if number < len(_FROM_ZERO):
            return _FROM_ZERO[number]
        return "few" if 3 <= rest <= 10 else "many" if rest >= 11 else "other"
    return "one" if number == 1 or (number == 0 and language in _COUNTS_NOTHING_AS_ONE) else "other"
