"""The retention clock: when an answer is deleted, when the signed deletion is published, and what a legal hold stops.

- An answer is kept for the number of days that the signed request states, counted from its arrival. A person may choose
  an earlier day. No choice makes it later: the owner said yes to the stated number of days.
- A legal hold stops deletion in a case. It does not move a due date: a hold that ends after it lets deletion follow.
- The signed deletion speaks for all answers to a request. It follows once each of them is deleted and no door may
  answer any more. Without an answer it follows when an answer on the last day would have been deleted.

Times are seconds since 1970. Nothing here reads a clock or deletes anything: `plan` says what to do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = [
    "DAY_S",
    "AnswerClock",
    "Countdown",
    "CountdownState",
    "DeleteAnswer",
    "PublishDeletion",
    "RequestClock",
    "Step",
    "countdown",
    "due_s",
    "latest_choice_s",
    "plan",
    "publication_due_s",
]

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class AnswerClock:
    """The dates of one answer. `keep_until_s` is a person's choice, if there is one."""

    answer: int
    received_s: int
    keep_until_s: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class RequestClock:
    """The dates of one request and of its answers. `not_after_s`: the last second at which a door may answer."""

    request: str
    not_after_s: int
    retention_days: int
    answers: tuple[AnswerClock, ...] = ()
    deletion_signed: bool = False


class CountdownState(enum.Enum):
    RUNNING = "running"
    DUE = "due"
    HELD = "held"
    """A legal hold stops the deletion."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Countdown:
    """The state of one answer's clock. `left_s` is 0 from the due date on."""

    state: CountdownState
    due_s: int
    left_s: int

    @property
    def left_days(self) -> int:
        """Returns the days that have begun: 1 on the last day."""
        return -(-self.left_s // DAY_S)


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """Delete the sealed parts of this answer and each copy of its footage."""

    answer: int


@dataclass(frozen=True, slots=True)
class PublishDeletion:
    """Delete the request's reply key, and publish the signed deletion."""

    request: str


Step = DeleteAnswer | PublishDeletion


def latest_choice_s(received_s: int, retention_days: int) -> int:
    """Returns the last second until which an answer may be kept: the promise in the signed request."""
    return received_s + retention_days * DAY_S


def due_s(answer: AnswerClock, retention_days: int) -> int:
    """Returns the second at which the answer is deleted."""
    latest_s = latest_choice_s(answer.received_s, retention_days)
    # A choice is earlier or has no effect, because the owner said yes to the stated number of days.
    return latest_s if answer.keep_until_s is None else min(latest_s, answer.keep_until_s)


def countdown(answer: AnswerClock, retention_days: int, *, hold: bool, now_s: int) -> Countdown:
    """Returns the state of the clock at `now_s`."""
    due = due_s(answer, retention_days)
    left_s = max(0, due - now_s)
    if answer.deleted:
        return Countdown(CountdownState.DELETED, due, 0)
    if hold:
        return Countdown(CountdownState.HELD, due, left_s)
    return Countdown(CountdownState.RUNNING if left_s else CountdownState.DUE, due, left_s)


def publication_due_s(request: RequestClock) -> int:
    """Returns the earliest second at which the deletion of all answers may be stated."""
    if not request.answers:
        return latest_choice_s(request.not_after_s, request.retention_days)
    return max(request.not_after_s, *(due_s(each, request.retention_days) for each in request.answers))


def plan(requests: Iterable[RequestClock], *, hold: bool, now_s: int) -> tuple[Step, ...]:
    """Returns the steps that are due in one case, each statement after the deletions that it states."""
    if hold:
        return ()
    steps: list[Step] = []
    for request in requests:
        due = [
            each.answer for each in request.answers if not each.deleted and due_s(each, request.retention_days) <= now_s
        ]
        steps += map(DeleteAnswer, due)
        kept = [each for each in request.answers if not each.deleted and each.answer not in due]
        # The statement speaks for all answers, so it waits for the last of them and for the last day of asking.
        if not kept and not request.deletion_signed and publication_due_s(request) <= now_s:
            steps.append(PublishDeletion(request.request))
    return tuple(steps)
