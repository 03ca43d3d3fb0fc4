"""States of a request at the desk, from its first words to the deletion of its answers. No I/O.

    draft ──submit──▶ submitted ──approve──▶ approved ──sign──▶ signed ──publish──▶ published
      ▲                   │                                        │                    │
      └──────return───────┘        withdraw, expire and delete end a request from most states

- With the rule of two persons, the approver has the role of a supervisor and is not the author. Without the rule the
  author may approve, which is then one click.
- An approver approves exactly the words that were shown: `fingerprint` of the content goes along.
- Only the desk itself signs, publishes, lets expire and deletes.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from agent.errors import RequestError
from desk.people.roles import Role

__all__ = ["ENDED", "Actor", "Progress", "State", "Step", "allowed_steps", "fingerprint", "take_step"]


class State(enum.StrEnum):
    """State of a request. The values are those of `models.Draft.state`."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    SIGNED = "signed"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    DELETED = "deleted"


class Step(enum.StrEnum):
    """A step in the life of a request."""

    EDIT = "edit"
    SUBMIT = "submit"
    RETURN = "return"
    APPROVE = "approve"
    SIGN = "sign"
    PUBLISH = "publish"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    DELETE = "delete"


ENDED: Final = frozenset({State.WITHDRAWN, State.EXPIRED, State.DELETED})
"""States in which doors have stopped answering."""

_TRANSITIONS: Final[Mapping[tuple[State, Step], State]] = MappingProxyType(
    {
        (State.DRAFT, Step.EDIT): State.DRAFT,
        (State.DRAFT, Step.SUBMIT): State.SUBMITTED,
        (State.SUBMITTED, Step.RETURN): State.DRAFT,
        (State.SUBMITTED, Step.APPROVE): State.APPROVED,
        (State.APPROVED, Step.SIGN): State.SIGNED,
        (State.SIGNED, Step.PUBLISH): State.PUBLISHED,
        # Before it is signed, a withdrawal throws the draft away. Afterwards it is a signed message to the doors.
        (State.DRAFT, Step.WITHDRAW): State.WITHDRAWN,
        (State.SUBMITTED, Step.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Step.WITHDRAW): State.WITHDRAWN,
        (State.SIGNED, Step.WITHDRAW): State.WITHDRAWN,
        (State.PUBLISHED, Step.WITHDRAW): State.WITHDRAWN,
        (State.SIGNED, Step.EXPIRE): State.EXPIRED,
        (State.PUBLISHED, Step.EXPIRE): State.EXPIRED,
        (State.SIGNED, Step.DELETE): State.DELETED,
        (State.PUBLISHED, Step.DELETE): State.DELETED,
        (State.WITHDRAWN, Step.DELETE): State.DELETED,
        (State.EXPIRED, Step.DELETE): State.DELETED,
    }
)
_OF_THE_DESK: Final = frozenset({Step.SIGN, Step.PUBLISH, Step.EXPIRE, Step.DELETE})
_WRITERS: Final = frozenset({Role.ASKER, Role.SUPERVISOR})


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with their roles in the organisation. If `person` is None, the desk itself acts."""

    person: int | None
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Progress:
    """A request's state, who wrote its words last, who approved it, the words that were submitted, and whether a
    signed request exists."""

    state: State
    author: int
    approver: int | None = None
    submitted: str = ""
    signed: bool = False


def take_step(
    progress: Progress, step: Step, actor: Actor, *, two_person_rule: bool = True, content: str = ""
) -> Progress:
    """Returns the progress after `step`. `content`: the fingerprint of the words that the actor saw.

    `two_person_rule` counts for the steps approve and sign only.

    Raises `RequestError` with the reason if the step is not possible now or not for this person.
    """
    following = _TRANSITIONS.get((progress.state, step))
    # A draft that was thrown away has no answers: a signed statement about their deletion would name no request.
    if following is None or (step is Step.DELETE and not progress.signed):
        raise RequestError(
            f"A request that is {progress.state.value} cannot take the step '{step.value}'.",
            remedy="Load the page again: another person may have changed it.",
        )
    _require_right(progress, step, actor, two_person_rule)
    match step:
        case Step.EDIT if actor.person is not None:
            return replace(progress, author=actor.person)
        case Step.SUBMIT:
            return replace(progress, state=following, submitted=content)
        case Step.RETURN:
            return replace(progress, state=following, submitted="", approver=None)
        case Step.APPROVE:
            # The words may have changed between the page that was read and the click.
            if content != progress.submitted:
                raise RequestError(
                    "The request has changed since it was shown to you.", remedy="Read it again, then approve it."
                )
            return replace(progress, state=following, approver=actor.person)
        case Step.SIGN:
            return replace(progress, state=following, signed=True)
    return replace(progress, state=following)


def allowed_steps(progress: Progress, actor: Actor, *, two_person_rule: bool) -> frozenset[Step]:
    """Returns the steps for which a page shows a button to this person."""
    return frozenset(step for step in Step if _is_allowed(progress, step, actor, two_person_rule))


def fingerprint(content: Mapping[str, object]) -> str:
    """Returns a hash that differs if any word, number or place of the content differs."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()


def _is_allowed(progress: Progress, step: Step, actor: Actor, two_person_rule: bool) -> bool:
    try:
        take_step(progress, step, actor, two_person_rule=two_person_rule, content=progress.submitted)
    except RequestError:
        return False
    return True


def _require_right(progress: Progress, step: Step, actor: Actor, two_person_rule: bool) -> None:
    if step in _OF_THE_DESK:
        if actor.person is not None:
            raise RequestError("Only the desk itself takes this step.")
        if step is Step.SIGN and two_person_rule and progress.approver in (None, progress.author):
            # It was approved while the organisation was without the rule.
            raise RequestError("Its author approved this request.", remedy="Withdraw it, and make it again.")
        return
    if actor.person is None or _WRITERS.isdisjoint(actor.roles):
        raise RequestError("Your role does not allow this step.", remedy="Ask a colleague who may write requests.")
    if step is Step.SUBMIT and actor.person != progress.author:
        # Otherwise a supervisor could submit the words of another person and have the other person approve them.
        raise RequestError("Only the author submits a request.", remedy="Save it under your name first.")
    if step is Step.APPROVE and two_person_rule:
        if Role.SUPERVISOR not in actor.roles:
            raise RequestError("A supervisor approves requests.", remedy="Ask a supervisor of your organisation.")
        if actor.person == progress.author:
            raise RequestError("A second person approves a request.", remedy="Ask another supervisor to approve it.")
