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

from desk.people.permissions import choose_organisation, roles_in
from desk.people.roles import Action, Role, is_allowed

__all__ = ["ENTRIES", "NavigationEntry", "navigation"]


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One entry: its page, its words, and the action that the page needs."""

    page: str
    label: str | Promise
    action: Action


ENTRIES: Final = (
    NavigationEntry("people:start", _("Start"), Action.USE_DESK),
    NavigationEntry("asking:requests", _("Requests"), Action.SEE_REQUESTS),
    NavigationEntry("cases:cases", _("Cases"), Action.SEE_CASES),
    NavigationEntry("receiving:receiver", _("Receiving"), Action.SEE_CASES),
    NavigationEntry("tips:inbox", _("Tips"), Action.SEE_TIPS),
    NavigationEntry("custody:log", _("Custody log"), Action.AUDIT),
    NavigationEntry("trust:bundles", _("Trust"), Action.SEE_TRUST),
    NavigationEntry("people:people", _("People"), Action.MANAGE_PEOPLE),
    NavigationEntry("people:confirmations", _("Confirmations"), Action.SEE_CONFIRMATIONS),
    NavigationEntry("people:organisation", _("Organisation"), Action.MANAGE_ORGANISATION),
    NavigationEntry("people:signing-key", _("Signing key"), Action.UNLOCK_KEY),
    NavigationEntry("integrations:tokens", _("Integrations"), Action.MANAGE_INTEGRATIONS),
)
"""One entry for each app with pages. An app's page that does not exist yet is left out."""


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Adds `navigation` and `organisation` to the context of each page."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"navigation": [], "organisation": None, "public": settings.DESK.public}
    organisation = choose_organisation(request, user)
    roles = roles_in(organisation, user) if organisation else frozenset[Role]()
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
        yield {"address": address, "label": entry.label, "here": False}


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
