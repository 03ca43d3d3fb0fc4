"""Changes that need a second person: roles of a rule of two persons, and the end of that rule.

Rules:

- A guarded role (`roles.GUARDED`) takes effect after a second admin or supervisor has confirmed it. That person had the
  right before the change was made, did not make it, and is not the person of the change.
- A new person, and one who comes by a recovery link, signs in first and reads out a code. The maker of a link
  could use it for an invented person, so the link alone gives no guarded role.
- Until a second admin or supervisor is there, an admin acts alone, and each such change is listed as made alone.
- The operator of the desk confirms if no person can: `doorward-desk confirm`.

Each step is an entry in the custody log.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from agent.errors import RequestError
from desk.custody import log
from desk.people.models import GuardedChange, Membership, Organisation, Person
from desk.people.roles import GUARDED, PERMISSIONS, Action

__all__ = [
    "OPERATOR",
    "CodeShown",
    "asks_for_code",
    "code_of",
    "codes_for",
    "confirm",
    "give_roles",
    "hold_back_roles",
    "may_confirm",
    "needs_confirmation",
    "propose_one_person",
    "refuse",
    "waiting_roles",
    "withdraw_of",
]

OPERATOR: Final = "operator"
"""Name of the operator of the desk in the custody log. The operator has a shell on its computer."""
_MOST_WRONG_CODES: Final = 5
_DIGITS: Final = 6
_CONFIRMING: Final = tuple(role.value for role in PERMISSIONS[Action.CONFIRM_CHANGES])
_STALE: Final = "The change does not wait any more."
_LOAD_AGAIN: Final = "Load the page again."


@dataclass(frozen=True, slots=True)
class CodeShown:
    """A code that a person reads out to the colleague who confirms their roles."""

    organisation: str
    roles: tuple[str, ...]
    code: str


def needs_confirmation(organisation: Organisation) -> bool:
    """Returns True from the moment on at which two people could confirm. Holds the row of the organisation."""
    held = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    if held.confirms_since is None:
        confirming = Membership.objects.filter(organisation=held, role__in=_CONFIRMING)
        if confirming.values("person").distinct().count() < 2:
            return False
        held.confirms_since = timezone.now()
        held.save(update_fields=["confirms_since"])
        organisation.confirms_since = held.confirms_since  # a form may save that object later
        log.record(organisation, "desk", "organisation.confirms", organisation.requester_id)
    return True


@transaction.atomic
def give_roles(
    organisation: Organisation, by: Person | None, person: Person, roles: Iterable[str], kind: str = "roles"
) -> list[str]:
    """Gives the person the roles, and returns those that wait for a second person."""
    wanted = set(roles) - set(_roles_of(organisation, person))
    guarded = sorted(wanted & GUARDED)
    waits = bool(guarded) and needs_confirmation(organisation)
    _add(organisation, person, wanted - GUARDED if waits else wanted)
    if guarded:
        change = GuardedChange.objects.create(
            organisation=organisation,
            kind=kind,
            person=person,
            roles=guarded,
            made_by=by,
            state="waits" if waits else "alone",
        )
        _log(change, by or OPERATOR, "change.proposed" if waits else "change.made-alone")
    if not waits:
        needs_confirmation(organisation)  # the second person may have come just now
    return guarded if waits else []


@transaction.atomic
def hold_back_roles(organisation: Organisation, by: Person | None, person: Person) -> None:
    """Takes the guarded roles of a person who came by an admin's recovery link, until a second person confirms them."""
    guarded = GUARDED & set(_roles_of(organisation, person))
    if not guarded:
        return
    if needs_confirmation(organisation):
        Membership.objects.filter(organisation=organisation, person=person, role__in=guarded).delete()
        give_roles(organisation, by, person, guarded, "recovery")
    else:
        made = {"organisation": organisation, "kind": "recovery", "person": person, "made_by": by, "state": "alone"}
        _log(GuardedChange.objects.create(roles=sorted(guarded), **made), by or OPERATOR, "change.made-alone")


@transaction.atomic
def propose_one_person(organisation: Organisation, by: Person) -> bool:
    """Proposes that one person alone asks and approves. Returns False if the rule may end at once."""
    if not needs_confirmation(organisation):
        change = GuardedChange.objects.create(organisation=organisation, kind="rule-off", made_by=by, state="alone")
        _log(change, by, "change.made-alone")
        return False
    waiting = GuardedChange.objects.filter(organisation=organisation, kind="rule-off", state="waits")
    if not waiting.exists():
        _log(
            GuardedChange.objects.create(organisation=organisation, kind="rule-off", made_by=by), by, "change.proposed"
        )
    return True


def confirm(change: GuardedChange, by: Person | None, code: str = "") -> None:
    """Lets the change take effect. `by`: None for the operator of the desk. Raises `RequestError`."""
    wrong = False
    with transaction.atomic():
        # Only itself: PostgreSQL locks no row that may be absent.
        rows = GuardedChange.objects.select_for_update(of=("self",), no_key=True)
        change = rows.select_related("organisation", "person").get(pk=change.pk)
        if change.state != "waits":
            raise RequestError(_(_STALE), remedy=_(_LOAD_AGAIN))
        if by is not None and not may_confirm(change, by):
            raise RequestError(
                _("Another admin or supervisor confirms it, who had the role before the change was made."),
                remedy=_("Ask a colleague. If there is none, ask the operator: doorward-desk confirm"),
            )
        if (
            by is not None
            and asks_for_code(change)
            and not hmac.compare_digest(code.encode(), code_of(change).encode())
        ):
            wrong = True
            # Counted and committed before the error is raised: a rolled back try would be free.
            change.wrong_codes += 1
            change.state = "refused" if change.wrong_codes >= _MOST_WRONG_CODES else "waits"
            change.save()
            _log(change, by, "change.wrong-code", tries=change.wrong_codes)
        else:
            _take_effect(change, by)
    if wrong:
        raise RequestError(
            _("The code is wrong."),
            remedy=_("Ask the person, not the colleague who proposed it. After five wrong codes it is refused."),
        )


def _take_effect(change: GuardedChange, by: Person | None) -> None:
    organisation, person = change.organisation, change.person
    if person is None:
        organisation.two_person_rule = False
        organisation.save(update_fields=["two_person_rule"])
    else:
        _add(organisation, person, change.roles)
    _decide(change, by or OPERATOR, "confirmed")


@transaction.atomic
def refuse(change: GuardedChange, by: Person) -> None:
    """Ends a change that waits: refused by a second person, or withdrawn by the person who made it."""
    change = GuardedChange.objects.select_for_update(no_key=True).get(pk=change.pk)
    if change.state != "waits":
        raise RequestError(_(_STALE), remedy=_(_LOAD_AGAIN))
    _decide(change, by, "withdrawn" if change.made_by_id == by.pk else "refused")


@transaction.atomic
def withdraw_of(
    organisation: Organisation, by: Person, *, person: Person | None = None, made_by: Person | None = None
) -> None:
    """Withdraws what waits for a person, or what a former admin has proposed."""
    waiting = GuardedChange.objects.filter(organisation=organisation, state="waits")
    waiting = waiting.filter(person=person) if person else waiting.filter(made_by=made_by)
    for change in waiting:
        _decide(change, by, "withdrawn")


def may_confirm(change: GuardedChange, person: Person) -> bool:
    """Returns True for a second person who had the right before the change was made."""
    # Neither the maker nor the person of the change is a second person.
    if person.pk in (change.made_by_id, change.person_id):
        return False
    return Membership.objects.filter(
        # A maker could otherwise give the right to a helper afterwards, who then confirms.
        organisation=change.organisation_id,
        person=person,
        role__in=_CONFIRMING,
        since__lte=change.made_at,
    ).exists()


def asks_for_code(change: GuardedChange) -> bool:
    """Returns True if the person of the change has to be asked. The end of the rule has none."""
    return change.person_id is not None


def code_of(change: GuardedChange) -> str:
    """Returns the code that the person of the change reads on their start page. The database does not hold it."""
    text = f"guarded change {change.pk} of person {change.person_id}"
    digest = hmac.digest(settings.SECRET_KEY.encode(), text.encode(), "sha256")
    return f"{int.from_bytes(digest[:8], 'big') % 10**_DIGITS:0{_DIGITS}}"


def codes_for(person: Person) -> list[CodeShown]:
    """Returns the codes that the person reads out, for each change that waits for a colleague."""
    names = dict(Membership.ROLES)
    waiting = GuardedChange.objects.filter(person=person, state="waits").select_related("organisation")
    return [
        CodeShown(change.organisation.name, tuple(str(names[role]) for role in change.roles), code_of(change))
        for change in waiting
    ]


def waiting_roles(organisation: Organisation, person: Person) -> list[str]:
    """Returns the roles of the person that a second person has not confirmed yet."""
    waiting = GuardedChange.objects.filter(organisation=organisation, person=person, state="waits")
    return [role for roles in waiting.values_list("roles", flat=True) for role in roles]


def _roles_of(organisation: Organisation, person: Person) -> Iterable[str]:
    return Membership.objects.filter(organisation=organisation, person=person).values_list("role", flat=True)


def _add(organisation: Organisation, person: Person, roles: Iterable[str]) -> None:
    for role in roles:
        Membership.objects.get_or_create(organisation=organisation, person=person, role=role)


def _decide(change: GuardedChange, by: Person | str, state: str) -> None:
    change.state, change.decided_by, change.decided_at = state, log.name_of(by), timezone.now()
    change.save()
    _log(change, by, f"change.{state}")


def _log(change: GuardedChange, by: Person | str, action: str, **more: int) -> None:
    about = {"person": change.person.email} if change.person else {}
    maker = change.made_by.email if change.made_by else OPERATOR
    log.record(
        change.organisation,
        by,
        action,
        f"change {change.pk}",
        kind=change.kind,
        roles=", ".join(change.roles),
        proposed_by=maker,
        **about,
        **more,
    )
