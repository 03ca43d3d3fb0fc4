"""The steps between a new organisation and its first request: which are done, and what to do for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from agent.clients.requester.roots import KnownRoots
from agent.errors import DoorwardError
from desk.people.broker_certificates import BrokerCertificate
from desk.people.models import Membership, Organisation
from desk.people.organisations import broker_certificates, folder_of, requester_of
from desk.people.roles import PERMISSIONS, Action
from desk.reasons import error_words
from desk.sealed_keys import is_locked

__all__ = ["SetUpStep", "missing", "steps"]


@dataclass(frozen=True, slots=True)
class SetUpStep:
    """One step, in words."""

    name: str
    done: bool
    words: str
    """The present state, or the next thing to do."""
    address: str = ""
    """The page on which it is done. Empty for the page Organisation, which lists the steps."""


def missing(organisation: Organisation) -> list[SetUpStep]:
    return [step for step in steps(organisation) if not step.done]


def steps(organisation: Organisation) -> list[SetUpStep]:
    """Returns all steps in the order in which a new organisation takes them."""
    now = datetime.now(UTC)
    return [
        _keys(organisation),
        _trust(organisation),
        _broker(organisation, now),
        *_certificates(organisation, now),
        *_people(organisation),
    ]


def _keys(organisation: Organisation) -> SetUpStep:
    name = _("Signing key")
    try:
        key = requester_of(organisation).key
    except DoorwardError as error:
        return SetUpStep(name, False, error_words(error))
    if is_locked(folder_of(organisation)):
        locked = _("It is locked. Requests and answers wait until it is unlocked.")
        return SetUpStep(name, False, locked, reverse("people:signing-key"))
    return SetUpStep(name, True, _("Key id %(id)s.") % {"id": key.id})


def _trust(organisation: Organisation) -> SetUpStep:
    name = _("Trust root")
    todo = _("Send the lines below to the root that vouches for you, and import the bundle that it returns.")
    try:
        known = KnownRoots(requester_of(organisation)).ids()
    except DoorwardError as error:
        return SetUpStep(name, False, error_words(error))
    if organisation.trust_root not in known:
        return SetUpStep(name, False, todo)
    return SetUpStep(name, True, _("Root %(id)s vouches for you.") % {"id": organisation.trust_root})


def _broker(organisation: Organisation, now: datetime) -> SetUpStep:
    broker = settings.DESK.broker
    if broker.host:
        return SetUpStep(_("Broker"), True, f"{broker.host}:{broker.port}")
    try:
        listed = KnownRoots(requester_of(organisation)).own_brokers(int(now.timestamp()))
    except DoorwardError as error:
        return SetUpStep(_("Broker"), False, error_words(error))
    if listed is None:
        todo = _("The operator of the desk writes its name into desk.toml, [broker] host.")
        return SetUpStep(_("Broker"), False, todo)
    return SetUpStep(_("Broker"), True, ", ".join(map(str, listed[1])))


def _certificates(organisation: Organisation, now: datetime) -> Iterator[SetUpStep]:
    """Yields one step for each broker with an own certificate, and one for all others."""
    steps_by_file = {each.host if each.is_own else "": each for each in broker_certificates(organisation)}
    for host, each in steps_by_file.items():
        name = _("Certificate for %(host)s") % {"host": host} if host else _("Certificate for the broker")
        yield _certificate(name, each, now)


def _certificate(name: str, certificate: BrokerCertificate, now: datetime) -> SetUpStep:
    if certificate.is_damaged:
        return SetUpStep(name, False, _("The file is damaged. Upload the certificate again."))
    if certificate.by_password:
        return SetUpStep(name, True, _("It signs in with a password."))
    if certificate.until is None:
        todo = _("Send the signing request below to the operator of the broker, and upload the certificate.")
        return SetUpStep(name, False, todo)
    words = _("Works until %(day)s.") % {"day": certificate.until.date().isoformat()}
    if certificate.ends_soon(now):
        return SetUpStep(name, False, words + " " + _("Send a new signing request to the operator of the broker."))
    return SetUpStep(name, True, words)


def _people(organisation: Organisation) -> Iterator[SetUpStep]:
    askers = _people_who_may(organisation, Action.WRITE_REQUESTS)
    people = reverse("people:people")
    yield SetUpStep(_("A person who asks"), bool(askers), _names(len(askers)), people)
    if organisation.two_person_rule:
        approvers = _people_who_may(organisation, Action.APPROVE_REQUESTS)
        # The same person does not do both.
        done = bool(approvers) and len(askers | approvers) > 1
        words = _names(len(approvers))
        if done and len(_people_who_may(organisation, Action.CONFIRM_CHANGES)) < 2:
            words += " " + _("Until a second admin or supervisor is here, the admin changes roles alone.")
        yield SetUpStep(_("Another person who approves"), done, words, people)


def _people_who_may(organisation: Organisation, action: Action) -> set[int]:
    found = Membership.objects.filter(organisation=organisation, role__in=[role.value for role in PERMISSIONS[action]])
    return set(found.values_list("person_id", flat=True))


def _names(count: int) -> str:
    if not count:
        return _("Invite a colleague, or give yourself the role, on the page People.")
    return _("%(count)d in your organisation.") % {"count": count}
