"""The entries of the navigation: those pages that a person's roles may open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation
from desk.people.permissions import choose_organisation, roles_in
from desk.people.roles import Action, Role, is_allowed

__all__ = ["ENTRIES", "NavigationEntry", "navigation"]


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One entry: its page, its words, and the action that the page needs."""

    page: str
    label: str | Promise
    action: Action
    words: str | Promise = ""
    """A sentence about the page, for the start page."""


ENTRIES: Final = (
    NavigationEntry("people:start", _("Start"), Action.USE_DESK),
    NavigationEntry(
        "asking:requests",
        _("Requests"),
        Action.SEE_REQUESTS,
        _("Ask the doors of an area, approve, and see what is open."),
    ),
    NavigationEntry(
        "cases:cases",
        _("Cases"),
        Action.SEE_CASES,
        _("Watch answers, write notes, export, and see what is deleted when."),
    ),
    NavigationEntry(
        "receiving:receiver",
        _("Receiving"),
        Action.SEE_CASES,
        _("Answers on their way, and what the receiver reports."),
    ),
    NavigationEntry(
        "tips:inbox", _("Tips"), Action.SEE_TIPS, _("What people told you unasked, and bulletins to doors.")
    ),
    NavigationEntry(
        "neighbourhood:moderation", _("Neighbours"), Action.MODERATE, _("Decide what neighbours ask and write.")
    ),
    NavigationEntry("custody:log", _("Custody log"), Action.AUDIT, _("Who did what, with a proof.")),
    NavigationEntry("trust:bundles", _("Trust"), Action.SEE_TRUST, _("Organisations that a root vouches for.")),
    NavigationEntry("people:people", _("People"), Action.MANAGE_PEOPLE, _("Invite colleagues and give roles.")),
    NavigationEntry(
        "people:confirmations", _("Confirmations"), Action.SEE_CONFIRMATIONS, _("Changes that need a second person.")
    ),
    NavigationEntry(
        "people:organisation",
        _("Organisation"),
        Action.MANAGE_ORGANISATION,
        _("Rules, trust root and the certificate for the broker."),
    ),
    NavigationEntry(
        "people:signing-key", _("Signing key"), Action.UNLOCK_KEY, _("The key that signs requests, and its passphrase.")
    ),
    NavigationEntry(
        "integrations:tokens", _("Integrations"), Action.MANAGE_INTEGRATIONS, _("Programs that read from the desk.")
    ),
)
"""One entry for each app with pages. An app's page that does not exist yet is left out."""


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Adds `navigation` and `organisation` to the context of each page."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"navigation": [], "organisation": None, "public": settings.DESK.public}
    organisation: Organisation | None = getattr(request, "organisation", None)
    if organisation is not None:  # `needs` has looked both up for this view
        roles: frozenset[Role] = request.roles  # type: ignore[attr-defined]
    else:
        organisation = choose_organisation(request, user)
        roles = roles_in(organisation, user) if organisation else frozenset()
    return {
        "navigation": _mark_present(list(_entries(roles)), request.path),
        "organisation": organisation,
        "roles": roles,
    }


def _entries(roles: frozenset[Role]) -> Iterator[dict[str, Any]]:
    for entry in ENTRIES:
        if not is_allowed(roles, entry.action):
            continue
        try:
            address = reverse(entry.page)
        except NoReverseMatch:
            continue
        yield {"address": address, "label": entry.label, "words": entry.words, "here": False}


def _mark_present(entries: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Marks the entry of the present page: the longest address that the path begins with."""
    above = [
        each
        for each in entries
        if path == each["address"] or (each["address"] != "/" and path.startswith(each["address"]))
    ]
    for entry in sorted(above, key=lambda each: len(each["address"]))[-1:]:
        entry["here"] = True
    return entries
