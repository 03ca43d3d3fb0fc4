"""The languages of everything a person reads: the owner's page, alerts, the kit, the door sign, refusals, the commands.

The texts themselves are data, one file for each language (`agent/web/texts`, `agent/sentences`). docs/languages.md says
how to add a language.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ENGLISH", "LANGUAGES", "Language", "LanguageCode", "in_decimals", "plural_form"]


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
    """`name`: as its speakers write it. `direction`: of its script, as HTML names it.

    `decimal`: the decimal mark beside the digits 0 to 9. Source: CLDR 46, number symbols of `latn`.
    """

    name: str
    direction: str = "ltr"
    decimal: str = "."


ENGLISH: Final = LanguageCode.EN.value
"""The language of the source. Readers of a language that is missing from the list get it, too."""

LANGUAGES: Final[Mapping[str, Language]] = {
    ENGLISH: Language("English"),
    "es": Language("Español", decimal=","),
    "de": Language("Deutsch", decimal=","),
    "fr": Language("Français", decimal=","),
    "nl": Language("Nederlands", decimal=","),
    "ar": Language("العربية", "rtl"),
}

_MEASURED: Final = re.compile(r"(?<![\w.,:])(\d+)\.(\d+)(?= (?:ms|s|h|kB|MB|GB|ko|Mo|Go|m|m²|km²)(?!\w))")
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


def in_decimals(text: str, language: str) -> str:
    """Returns the text with the language's decimal mark in each measured number: `70.5 s`, in German `70,5 s`.

    Only a number with a unit is one. A version, an address or a coordinate stays, because a reader types it.
    """
    mark = LANGUAGES[language].decimal
    return text if mark == "." else _MEASURED.sub(rf"\1{mark}\2", text)
