"""Members of an organisation: their roles, invitations, and recovery after a lost passkey.

Rules: an organisation keeps an admin. An admin recovers only people who belong to this organisation alone, and never
an admin of the desk: a one-time link lets its holder act as the person everywhere. The same is asked again when the
link is used, because the person may have joined another organisation since. Roles of a rule of two persons wait for a
second person (`confirmations`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from agent.errors import RequestError
from desk.custody import log
from desk.people import confirmations
from desk.people.models import Membership, OneTimeLink, Organisation, Person
from desk.people.one_time_links import belongs_only_to, make_link
from desk.people.roles import Role

__all__ = ["Member", "invite", "members_of", "person_at", "recovery_link", "set_roles", "withdraw_invitation"]


@dataclass(frozen=True, slots=True)
class Member:
    """A person and their roles, in words."""

    person: Person
    roles: tuple[str, ...]


def members_of(organisation: Organisation) -> list[Member]:
    """Returns the people of the organisation by name."""
    found: dict[Person, list[str]] = {}
    rows = Membership.objects.filter(organisation=organisation).select_related("person")
    for row in rows.order_by("person__first_name", "person__email"):
        found.setdefault(row.person, []).append(str(row.get_role_display()))
    return [Member(person, tuple(roles)) for person, roles in found.items()]


def person_at(email: str) -> Person | None:
    return Person.objects.filter(email__iexact=email).first()


@transaction.atomic
def invite(organisation: Organisation, by: Person, email: str, roles: list[str]) -> str | None:
    """Returns the token of an invitation, or None if the person is in the organisation and has the roles at once."""
    email = email.lower()
    log.record(organisation, by, "person.invited", email, roles=", ".join(roles))
    person = person_at(email)
    # A person of another organisation gets a link and decides. An admin could otherwise add them unasked, and this
    # organisation's log would tell when they sign in.
    if person and Membership.objects.filter(organisation=organisation, person=person).exists():
        confirmations.give_roles(organisation, by, person, roles)
        return None
    # Only the newest link works, with the roles of now.
    OneTimeLink.objects.filter(organisation=organisation, email=email, used_at=None).delete()
    return make_link("invitation", organisation=organisation, email=email, roles=roles, made_by=by)


@transaction.atomic
def withdraw_invitation(link: OneTimeLink, by: Person) -> None:
    """Deletes an invitation that was not used."""
    if link.organisation:
        log.record(link.organisation, by, "person.invitation-withdrawn", link.email)
    link.delete()


@transaction.atomic
def set_roles(organisation: Organisation, by: Person, person: Person, roles: Iterable[str]) -> list[str]:
    """Gives the person exactly these roles; without roles, the person leaves. Raises `RequestError`.

    Returns the roles that wait for a second person.
    """
    wanted = set(roles)
    confirmations.needs_confirmation(organisation)  # before a role goes: two people were there
    # Locked, or two admins who remove each other at once would leave none.
    admins = Membership.objects.select_for_update(no_key=True).filter(organisation=organisation, role=Role.ADMIN)
    stays = Role.ADMIN in wanted and admins.filter(person=person).exists()
    if not stays and not admins.exclude(person=person).exists():
        raise RequestError(
            _("The organisation needs an admin."), remedy=_("Make another person an admin first, then try again.")
        )
    current = Membership.objects.filter(organisation=organisation, person=person)
    current.exclude(role__in=wanted).delete()
    confirmations.withdraw_of(organisation, by, person=person)
    waiting = confirmations.give_roles(organisation, by, person, wanted)
    if not stays:
        # A former admin knows the links that they made, also to the role of an admin.
        OneTimeLink.objects.filter(organisation=organisation, made_by=person, used_at=None).delete()
        confirmations.withdraw_of(organisation, by, made_by=person)
    given = ", ".join(sorted(wanted - set(waiting))) or "none"
    log.record(organisation, by, "person.roles", person.email, roles=given)
    return waiting


@transaction.atomic
def recovery_link(organisation: Organisation, by: Person, person: Person) -> str:
    """Returns the token of a link that lets the person sign in again. Raises `RequestError`.

    Guarded roles of the person wait for a second person from the use of the link on.
    """
    if person == by:
        raise RequestError(
            _("You are signed in."),
            remedy=_("Add another passkey, or change the password, on the page of your account."),
        )
    if not belongs_only_to(organisation, person):
        raise RequestError(
            _("This person also has rights outside your organisation."),
            remedy=_("Ask the operator of the desk, who runs: doorward-desk link ADDRESS"),
        )
    log.record(organisation, by, "person.recovery-link", person.email)
    OneTimeLink.objects.filter(person=person, used_at=None).update(used_at=timezone.now())
    return make_link("recovery", organisation=organisation, person=person, made_by=by)
