"""Access levels of routes. The page starts only if every route has one.

    ANYONE     before any cookie: the way in, and the files that a browser fetches without one
    PAIRED     a browser that was let in with a printed code
    GLANCE     a browser that has proven its glance key, on the page or in a session of the link, or an owner
    UNCLAIMED  a paired browser while the doorbell has no owner; afterwards an owner
    OWNER      a browser that has proven, in this session, to hold an approval key of the present owners

`Caller.may` decides. `app` calls it for each route, and `PageOperations.answer_in_link` for each call in a session of
the link. Every level stops short of approving: an approval takes a statement signed with the approval key, from any
session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.page.sessions import Session
from agent.errors import InternalError
from agent.ipc.control_operations import AccessLevel

__all__ = ["AccessLevel", "Caller", "GuardedRoute", "require_access_levels"]

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an operation. `session` is None before pairing. `owner`: the caller holds a key of a present
    owner."""

    session: Session | None
    owner: bool
    claimed: bool
    """True if the doorbell has an owner."""
    link: bool = False
    """True in a session of the link, which an owner's key or a glance key has opened."""
    key: str = ""
    """The id of that key."""
    glance: GlanceHolder | None = None
    """The browser, if it has proven a glance key: by that key, or in this session of the page."""

    def may(self, access: AccessLevel) -> bool:
        if access is AccessLevel.ANYONE:
            return True
        # A link has no cookie and no pairing: its key decides. A glance key may call what a notification needs.
        if self.link:
            return self.owner or access is AccessLevel.GLANCE
        if self.session is None:
            return False
        if access is AccessLevel.PAIRED:
            return True
        if access is AccessLevel.GLANCE and self.glance is not None:
            return True
        # From the first owner on, a printed code alone opens nothing that sets a doorbell up.
        return self.owner or (access is AccessLevel.UNCLAIMED and not self.claimed)


class GuardedRoute(Route):
    """One path, one method, one access level."""

    def __init__(self, method: str, path: str, endpoint: Endpoint, access: AccessLevel, *, body_bytes: int = 0) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.access = access
        self.method = method
        self.body_bytes = body_bytes
        """The largest body it takes."""


def require_access_levels(routes: Iterable[BaseRoute]) -> list[GuardedRoute]:
    """Returns the routes. Raises `InternalError` if one of them lacks an access level."""
    guarded = []
    for route in routes:
        if not isinstance(route, GuardedRoute) or not isinstance(route.access, AccessLevel):
            raise InternalError(
                f"The route {getattr(route, 'path', route)!r} lacks an access level: the page stays closed."
            )
        guarded.append(route)
    return guarded
