"""Clean text: words from a stranger that an owner will read, in a form that cannot imitate something else.

Clean text is in normal form C, has only single inner spaces, and holds no control, format (bidi overrides, zero-width),
private, line-breaking or other invisible characters, no pile of combining marks and no link-like words. The device
applies `fault`. The requester's client offers `clean` before it signs.

The price: emoji sequences and scripts that need joiners lose them (U+200C and U+200D are format characters), and a
variation selector does not choose the coloured form of an emoji. Source: Unicode Standard Annex #9 and Technical Report
#36 (bidirectional spoofing).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from agent.errors import FormatError

__all__ = ["check", "clean", "fault"]

_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_UNSEEN: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Invisible marks, letters and symbols. Within "evil.com" they would hide a link from the rule while the reader still
sees it (Unicode's property Default_Ignorable_Code_Point, and the empty Braille cell)."""
_MOST_MARKS_IN_A_ROW: Final = 4
# A scheme, "www.", or a word, a full stop of any form and two letters: "3.5" and "a.m." pass, "bit.ly" does not.
_LINK: Final = re.compile(
    r"[a-z][a-z0-9+-]*://|\bwww\.|\b(mailto|tel|data|javascript):|\w[.․﹒。．｡][^\W\d_]{2}", re.IGNORECASE
)


def fault(text: str) -> str | None:
    """Returns the fault in `text` as the end of a sentence, or None."""
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normal form C"
    if text != text.strip() or "  " in text:
        return "has spaces at an end or two in a row"
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _FORBIDDEN_CATEGORIES or character in _UNSEEN or (category == "Zs" and character != " "):
            return f"holds the character U+{ord(character):04X}"
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MOST_MARKS_IN_A_ROW:
            return "piles up combining marks"
    if _LINK.search(text):
        return "holds what looks like a link"
    return None


def check(field: str, text: str, most_characters: int, *, least_characters: int = 1) -> None:
    """Raises `FormatError` naming `field` if `text` is unclean or its length is out of bounds."""
    if not least_characters <= len(text) <= most_characters:
        raise FormatError(f"{field}: {len(text)} characters, allowed are {least_characters} to {most_characters}.")
    found = fault(text)
    if found is not None:
        raise FormatError(f"{field}: the text {found}.", remedy="Use plain words, no links, single spaces.")


def clean(text: str) -> str:
    """Returns `text` with each fault repaired that can be repaired without changing its words. Links stay, and stay a
    fault."""
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Zs", "Zl", "Zp") or character in "\t\n\r":
            kept.append(" ")
        elif category not in _FORBIDDEN_CATEGORIES and character not in _UNSEEN:
            kept.append(character)
    # Removing a character may join a base and its mark, so normalise at the end.
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
