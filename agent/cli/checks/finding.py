"""One thing that the doctor looked at, and what is to be done about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["CheckStatus", "Finding", "bad", "fine", "poor"]


class CheckStatus(enum.Enum):
    """The severity of a finding."""

    FINE = "fine"
    POOR = "poor"
    """It works, and will bite some day."""
    BAD = "bad"
    """Doorward cannot do its job."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` names the thing in a word or two. `remedy` is empty only if no action is needed."""

    subject: str
    health: CheckStatus
    message: str
    remedy: str = ""


def fine(subject: str, message: str) -> Finding:
    return Finding(subject, CheckStatus.FINE, message)


def poor(subject: str, message: str, remedy: str) -> Finding:
    return Finding(subject, CheckStatus.POOR, message, remedy)


def bad(subject: str, message: str, remedy: str) -> Finding:
    return Finding(subject, CheckStatus.BAD, message, remedy)
