"""Permissions of views: each view says its action, and finds objects only within the person's organisation.

    @needs(Action.SEE_CASES)
    def case_page(request: DeskRequest, pk: int) -> HttpResponse:
        case = get_in(request.organisation, Case, pk)

A person without the role gets 403. An object of another organisation gives 404, like one that does not exist.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from desk.people.models import Membership, Organisation, Person
from desk.people.roles import Action, Role, is_allowed

__all__ = [
    "ACTION_OF",
    "CHOSEN",
    "Action",
    "DeskRequest",
    "choose_organisation",
    "get_in",
    "is_allowed",
    "needs",
    "number_in",
    "roles_in",
]

P = ParamSpec("P")
M = TypeVar("M", bound=Model)
ACTION_OF: Final = "desk_action"
"""Attribute of a view with its action, for the test that walks all routes."""
_LONGEST_KEY: Final = 18
CHOSEN: Final = "desk_organisation"
"""Key of the session with the organisation that the person works in."""


class DeskRequest(HttpRequest):
    """A request of a signed-in person, in one organisation."""

    user: Person
    organisation: Organisation
    roles: frozenset[Role]

    def may(self, action: Action) -> bool:
        return is_allowed(self.roles, action)


def needs(
    action: Action,
) -> Callable[
    [Callable[Concatenate[DeskRequest, P], HttpResponseBase]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]
]:
    """Lets a person reach the view only if a role of theirs in the organisation may do `action`."""

    def decorate(
        view: Callable[Concatenate[DeskRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            organisation = choose_organisation(request, request.user)
            if organisation is None:
                return redirect("people:no-organisation")
            roles = roles_in(organisation, request.user)
            # Before the refusal, because its page shows them, too.
            request.organisation, request.roles = organisation, roles  # type: ignore[attr-defined]
            if not is_allowed(roles, action):
                raise PermissionDenied(action.value)
            request.may = functools.partial(is_allowed, roles)  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)  # type: ignore[arg-type]

        functools.update_wrapper(checked, view)
        setattr(checked, ACTION_OF, action)
        return checked

    return decorate


def choose_organisation(request: HttpRequest, person: Person) -> Organisation | None:
    """Returns the organisation that the person works in now: the chosen one, or the first."""
    theirs = Organisation.objects.filter(memberships__person=person).distinct()
    chosen = request.session.get(CHOSEN)
    return (theirs.filter(pk=chosen).first() if chosen else None) or theirs.first()


def roles_in(organisation: Organisation, person: Person) -> frozenset[Role]:
    found = Membership.objects.filter(organisation=organisation, person=person).values_list("role", flat=True)
    return frozenset(map(Role, found))


def number_in(text: str) -> int:
    """Returns the key of an object that a form or an address names. Raises `Http404` for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY):
        raise Http404
    return int(text)


def get_in(organisation: Organisation, model: type[M], pk: int, path: str = "organisation", **more: Any) -> M:
    """Returns the object with that key if it belongs to the organisation. Raises `Http404` otherwise.

    `path`: how the model leads to its organisation, for example "case__organisation" for an answer.
    """
    # The organisation is part of the query: a foreign object looks like one that does not exist.
    found = model._default_manager.filter(pk=pk, **{path: organisation}, **more).distinct().first()
    if found is None:
        raise Http404
    return found
