"""The filter of the case list, as the address of the page states it, and the key from which the next page goes on.

An unknown value means "no filter", so that an old bookmark still opens. A page goes on after a key (the last row's)
instead of after a number of rows, so its cost does not grow with its place in the list.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import urlencode

__all__ = ["CaseFilter", "CaseState", "Footage", "parse_filter"]

_MOST_SEARCH_CHARACTERS: Final = 100
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class CaseState(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"
    HELD = "held"
    """Under legal hold, open or closed."""


class Footage(enum.Enum):
    """Cases by what needs attention in them."""

    NEW = "new"
    """Holds an answer without a verdict."""
    ENDING = "ending"
    """Footage of it is deleted within seven days."""
    QUARANTINED = "quarantined"
    NONE = "none"
    """No answer has come."""


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """The filter. Empty fields let all cases pass."""

    search: str = ""
    state: CaseState | None = None
    footage: Footage | None = None
    category: str = ""
    assigned: int | None = None
    after: int | None = None
    """Key of the last case of the page before."""

    @property
    def query(self) -> str:
        """Returns it as the query of an address. `parse_filter` reads it back."""
        values = {
            "q": self.search,
            "state": self.state.value if self.state else "",
            "footage": self.footage.value if self.footage else "",
            "category": self.category,
            "assigned": "" if self.assigned is None else str(self.assigned),
            "after": "" if self.after is None else str(self.after),
        }
        return urlencode({name: value for name, value in values.items() if value})

    def going_on(self, after: int) -> CaseFilter:
        return replace(self, after=after)

    @property
    def active(self) -> bool:
        """True if it leaves any case out."""
        return replace(self, after=None) != CaseFilter()


def parse_filter(values: Mapping[str, str]) -> CaseFilter:
    """Returns the filter in the query of an address."""
    return CaseFilter(
        search=_text(values.get("q", "")),
        state=_member(CaseState, values.get("state", "")),
        footage=_member(Footage, values.get("footage", "")),
        category=_text(values.get("category", "")),
        assigned=_number(values.get("assigned", "")),
        after=_number(values.get("after", "")),
    )


def _text(value: str) -> str:
    # A NUL ends a text in PostgreSQL, which refuses the whole query.
    return " ".join(value.replace("\0", "").split())[:_MOST_SEARCH_CHARACTERS].strip()


def _number(value: str) -> int | None:
    return int(value) if _NUMBER.fullmatch(value) else None


_Choice = TypeVar("_Choice", bound=enum.Enum)


def _member(choices: type[_Choice], value: str) -> _Choice | None:
    return next((each for each in choices if each.value == value), None)
