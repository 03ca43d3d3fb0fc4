"""The promises of a request in an owner's language: for how long its requester keeps footage, and who may get it.

    promised(request, "Rijnstad Police", "nl")     # before the yes
    days_in_words(1095)                            # "1095 days (about 3 years)"

The sentences are those of the owner's page (`agent/web/texts`), so that command line, page and desk say the same. The
requester's report repeats them in English.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import agent
from agent.core.languages import ENGLISH, plural_form
from agent.wire.fields import Kind, OnwardKind
from agent.wire.lookalikes import lookalikes
from agent.wire.messages import FootageRequest, Onward

__all__ = [
    "days_in_words",
    "kept_in_words",
    "lookalikes_in_words",
    "namesake_in_words",
    "no_calling_back",
    "onward_in_words",
    "page_texts",
    "parties_in_words",
    "promise_sentences",
    "promised",
]

_TEXTS: Final = Path(agent.__file__).parent / "web" / "texts"
_PLACE: Final = re.compile(r"\{(\w+)\}")
_DAYS_PER_YEAR: Final = 365


@functools.cache
def page_texts(language: str) -> Mapping[str, str]:
    """Returns the texts of the owner's page in one of `LANGUAGES`."""
    found: dict[str, str] = json.loads((_TEXTS / f"{language}.json").read_text(encoding="utf-8"))
    return found


def days_in_words(days: int, language: str = ENGLISH) -> str:
    """Returns `90 days`. From two years on it is in years, too: `1095 days (about 3 years)`."""
    if days >= 2 * _DAYS_PER_YEAR:
        return _say(language, "promise.years", days=str(days), years=str(round(days / _DAYS_PER_YEAR)))
    return _say(language, f"promise.days.{plural_form(days, language)}", n=str(days))


def kept_in_words(request: FootageRequest, language: str = ENGLISH) -> str:
    """Returns for how long the requester keeps footage, without a full stop."""
    return _say(language, "promise.kept.text", days=days_in_words(request.retention_days, language)).removesuffix(".")


def onward_in_words(onward: Onward, language: str = ENGLISH) -> str:
    """Returns the parties, without the law or policy."""
    return parties_in_words(onward.to, language) or page_texts(language)["promise.passed.none"]


def parties_in_words(kinds: Iterable[OnwardKind], language: str) -> str:
    """Returns the parties in the order of `OnwardKind`: those that make footage public come last."""
    named = frozenset(kinds)
    return "; ".join(page_texts(language)[f"onward.{kind.value}"] for kind in OnwardKind if kind in named)


def promised(request: FootageRequest, requester: str, language: str = ENGLISH) -> str:
    """Returns one sentence about each promise. `requester`: its name by its root."""
    sentences = promise_sentences(
        requester, request.retention_days, request.onward.to, language, is_neighbour=request.kind is Kind.NEIGHBOUR
    )
    return " ".join(sentences)


def promise_sentences(
    requester: str, days: int, kinds: Iterable[OnwardKind], language: str, *, is_neighbour: bool
) -> tuple[str, ...]:
    """Returns what an owner reads before the yes. It begins with the letters of the requester's name that can look like
    others, if there are any.

    `is_neighbour`: a neighbour has the key and not the requester, so what the requester deletes is not what the
    neighbour has (decision 66).
    """
    parties = parties_in_words(kinds, language)
    return (
        *filter(None, (lookalikes_in_words(requester, language),)),
        _say(language, "promise.keeps", who=requester, days=days_in_words(days, language)),
        _say(language, "promise.onward", parties=parties) if parties else _say(language, "promise.none"),
        *((_say(language, "promise.neighbour"),) if is_neighbour else ()),
    )


def lookalikes_in_words(name: str, language: str = ENGLISH) -> str:
    """Returns a sentence on the letters of a name that can look like others. Empty if there are none."""
    letters = ", ".join(f"{each} (U+{ord(each):04X})" for each in lookalikes(name))
    return _say(language, "promise.lookalikes", who=name, letters=letters) if letters else ""


def namesake_in_words(name: str, root: str, language: str = ENGLISH) -> str:
    """Returns a sentence that another trust root lists a requester of this name, too. `root`: the id of this one's."""
    return _say(language, "promise.namesake", who=name, root=root)


def no_calling_back(language: str) -> str:
    """Returns the sentence that a promise cannot be enforced."""
    return _say(language, "request.may")


def _say(language: str, key: str, **values: str) -> str:
    # In one pass: a requester's name may hold a place in braces.
    return _PLACE.sub(lambda found: values[found[1]], page_texts(language)[key])
