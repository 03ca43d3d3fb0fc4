"""The languages of everything a person reads: the owner's page, alerts, the kit, the door sign, refusals, the commands.

The texts themselves are data, one file for each language (`agent/web/texts`, `agent/sentences`). docs/languages.md says
how to add a language.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ENGLISH", "LANGUAGES", "Language", "LanguageCode"]


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
"""The language of the source. Readers of a language that is not in the list get it, too."""

LANGUAGES: Final[Mapping[str, Language]] = {
    ENGLISH: Language("English"),
    "es": Language("Español"),
    "de": Language("Deutsch"),
    "fr": Language("Français"),
    "nl": Language("Nederlands"),
    "ar": Language("العربية", "rtl"),
}
