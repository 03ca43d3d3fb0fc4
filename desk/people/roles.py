"""Roles, actions, and the table of which role may do what.

This module has no I/O. `permissions` applies the table to views.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["GUARDED", "PERMISSIONS", "Action", "Role", "is_allowed"]


class Role(enum.StrEnum):
    """Role of a person in an organisation. A person may have several."""

    ADMIN = "admin"
    ASKER = "asker"
    SUPERVISOR = "supervisor"
    EVIDENCE_OFFICER = "evidence-officer"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    MODERATOR = "moderator"
    """Decides about what neighbours write (`desk.neighbourhood.moderation`)."""


class Action(enum.StrEnum):
    """Kind of act for which a view asks permission."""

    USE_DESK = "use-desk"
    """See the start page and the person's own settings."""
    MANAGE_PEOPLE = "manage-people"
    MANAGE_ORGANISATION = "manage-organisation"
    SEE_CONFIRMATIONS = "see-confirmations"
    """See which changes of roles and rules wait for a second person, and who made and confirmed earlier ones."""
    CONFIRM_CHANGES = "confirm-changes"
    SEE_REQUESTS = "see-requests"
    WRITE_REQUESTS = "write-requests"
    """Write a draft, change it and submit it."""
    APPROVE_REQUESTS = "approve-requests"
    WITHDRAW_REQUESTS = "withdraw-requests"
    SEE_CASES = "see-cases"
    """See the list of cases and what is known about their answers, without opening footage."""
    VIEW_FOOTAGE = "view-footage"
    WORK_ON_CASES = "work-on-cases"
    """Open a case, write notes and verdicts."""
    MANAGE_RETENTION = "manage-retention"
    """Set a legal hold, delete footage, release quarantined answers."""
    EXPORT = "export"
    SHARE = "share"
    """Make and revoke guest links."""
    SEE_TIPS = "see-tips"
    PUBLISH_BULLETINS = "publish-bulletins"
    MODERATE = "moderate"
    """Accept, reject and remove what neighbours wrote, and judge reports and appeals."""
    AUDIT = "audit"
    """Read the custody log and make checkpoints."""
    SEE_TRUST = "see-trust"
    SIGN_TRUST = "sign-trust"
    """Propose and sign trust bundles."""
    UNLOCK_KEY = "unlock-key"
    """Unlock the signing key after a start, if a passphrase seals it."""
    MANAGE_INTEGRATIONS = "manage-integrations"
    """Make keys of the programming interface, and web hooks."""


_EVERYONE: Final = frozenset(Role)
_WORKERS: Final = frozenset({Role.ASKER, Role.SUPERVISOR, Role.EVIDENCE_OFFICER})

PERMISSIONS: Final[Mapping[Action, frozenset[Role]]] = MappingProxyType(
    {
        Action.USE_DESK: _EVERYONE,
        Action.MANAGE_PEOPLE: frozenset({Role.ADMIN}),
        Action.MANAGE_ORGANISATION: frozenset({Role.ADMIN}),
        Action.SEE_CONFIRMATIONS: frozenset({Role.ADMIN, Role.SUPERVISOR, Role.AUDITOR}),
        Action.CONFIRM_CHANGES: frozenset({Role.ADMIN, Role.SUPERVISOR}),
        Action.SEE_REQUESTS: _WORKERS | {Role.VIEWER, Role.AUDITOR},
        Action.WRITE_REQUESTS: frozenset({Role.ASKER, Role.SUPERVISOR}),
        Action.APPROVE_REQUESTS: frozenset({Role.SUPERVISOR}),
        Action.WITHDRAW_REQUESTS: frozenset({Role.ASKER, Role.SUPERVISOR}),
        Action.SEE_CASES: _WORKERS | {Role.VIEWER, Role.AUDITOR},
        Action.VIEW_FOOTAGE: _WORKERS | {Role.VIEWER},
        Action.WORK_ON_CASES: _WORKERS,
        Action.MANAGE_RETENTION: frozenset({Role.SUPERVISOR, Role.EVIDENCE_OFFICER}),
        Action.EXPORT: frozenset({Role.SUPERVISOR, Role.EVIDENCE_OFFICER}),
        Action.SHARE: frozenset({Role.EVIDENCE_OFFICER}),
        Action.SEE_TIPS: _WORKERS,
        Action.PUBLISH_BULLETINS: frozenset({Role.SUPERVISOR}),
        Action.MODERATE: frozenset({Role.MODERATOR}),
        Action.AUDIT: frozenset({Role.AUDITOR}),
        Action.SEE_TRUST: frozenset({Role.ADMIN, Role.SUPERVISOR, Role.AUDITOR}),
        Action.SIGN_TRUST: frozenset({Role.ADMIN, Role.SUPERVISOR}),
        Action.UNLOCK_KEY: frozenset({Role.ADMIN, Role.EVIDENCE_OFFICER}),
        Action.MANAGE_INTEGRATIONS: frozenset({Role.ADMIN}),
    }
)
"""The admin of an organisation sees no footage and no custody log: managing people and judging them are two jobs."""

GUARDED: Final[frozenset[Role]] = frozenset().union(
    *(
        PERMISSIONS[action]
        for action in (
            Action.WRITE_REQUESTS,
            Action.APPROVE_REQUESTS,
            Action.MODERATE,
            Action.SIGN_TRUST,
            Action.MANAGE_PEOPLE,
            Action.CONFIRM_CHANGES,
        )
    )
)
"""Roles of a side of a rule of two persons. The role that asks is among them: a supervisor with an invented asker
would approve what they ask themselves. A second person confirms each of these roles (`confirmations`)."""


def is_allowed(roles: Iterable[Role], action: Action) -> bool:
    return not PERMISSIONS[action].isdisjoint(roles)
