"""The promises of a request in plain English: for how long its requester keeps footage, and who may get it.

The owner's command line says it before the yes, and the requester's report repeats it. The owner's page has its own
words in each of its languages (`agent/web/texts`).
"""

from __future__ import annotations

from typing import Final

from agent.wire.fields import Kind, OnwardKind
from agent.wire.messages import FootageRequest, Onward

__all__ = ["NO_CALLING_BACK", "days_in_words", "kept_in_words", "onward_in_words", "promised"]

NO_CALLING_BACK: Final = "You cannot call back footage that was sent, and their signature does not make them keep this."
_NEIGHBOUR: Final = "A neighbour asks: only their key opens what you share, and nothing makes them delete it."
"""An owner reads it before the yes, because the neighbour and not the requester has the key (decision 66)."""
_DAYS_PER_YEAR: Final = 365
_ONWARD: Final = {
    OnwardKind.COURT: "courts and prosecutors",
    OnwardKind.DEFENCE: "the accused and their lawyers",
    OnwardKind.PARTIES: "people and insurers who are parties to the case",
    OnwardKind.AGENCIES: "other authorities",
    OnwardKind.ABROAD: "authorities of other countries",
    OnwardKind.CONTRACTORS: "companies that store or examine it for them",
    OnwardKind.RECORDS: "anyone who asks for it under a public records law",
    OnwardKind.APPEAL: "the public, to find people or witnesses",
}
"""In the order in which an owner reads them: those that make it public come last."""


def days_in_words(days: int) -> str:
    """Returns `90 days`, or `1095 days (about 3 years)`."""
    years = f" (about {round(days / _DAYS_PER_YEAR)} years)" if days >= 2 * _DAYS_PER_YEAR else ""
    return f"{days} day{'' if days == 1 else 's'}{years}"


def kept_in_words(request: FootageRequest) -> str:
    return f"{days_in_words(request.retention_days)} from its arrival, unless a law or a court requires longer"


def onward_in_words(onward: Onward) -> str:
    """Returns the parties, without the law or policy."""
    return "; ".join(said for kind, said in _ONWARD.items() if kind in onward.to) or "no one"


def promised(request: FootageRequest, requester: str) -> str:
    """Returns one sentence about each promise. `requester`: its name by its root."""
    passed = onward_in_words(request.onward)
    if request.onward.to:
        passed = f"law or policy may make it pass your footage on to {passed}"
    else:
        passed = "it passes your footage on to no one"
    said = f"{requester} states: it keeps what you share for {kept_in_words(request)}; {passed}."
    return f"{said} {_NEIGHBOUR}" if request.kind is Kind.NEIGHBOUR else said
