"""Letters that name the doors of a case: A, B, C … in the order in which they answered. Their places are unknown.

The case page, a guest's page, the report and the certificates all use them, so that "door B" is one door everywhere.
A deleted answer keeps its letter.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from desk.cases.models import Answer, Case

__all__ = ["door_letters", "letters_for"]


def door_letters(case: Case) -> dict[str, str]:
    """Returns the letter of each door of the case, by `Answer.door`."""
    return letters_for(Answer.objects.filter(case=case).only("device", "disclosure_id"))


def letters_for(answers: Iterable[Answer]) -> dict[str, str]:
    """Returns the letters from all answers of a case."""
    doors = dict.fromkeys(each.door for each in sorted(answers, key=lambda each: each.pk))
    return {door: _letters(number) for number, door in enumerate(doors)}


def _letters(number: int) -> str:
    """Returns A for 0, Z for 25, AA for 26."""
    name = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        name = string.ascii_uppercase[letter] + name
        number -= 1
    return name
