"""Everything an alert can say, and every word of it.

An alert leaves the house through somebody else's server, so its text is one of those below and nothing else: no
picture, no name, no place, nothing a requester wrote, and nothing that the part which raised it put into words.
What is not in the table is told as `UNNAMED`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["ALERTS", "TEST", "UNNAMED", "AlertDefinition", "AlertKind", "AlertPriority", "alert_named"]


class AlertKind(enum.Enum):
    """What the owner can switch on and off."""

    BUTTON = "button"
    VISITOR = "visitor"
    PERSON = "person"
    """A second opinion says so; then not `VISITOR` as well."""
    REQUEST = "request"
    TRUST = "trust"
    OWNERS = "owners"
    """Who the owners are, and what they have set."""
    TAMPER = "tamper"
    CAMERA = "camera"
    COVERED = "covered"
    PRIVACY = "privacy"
    STORAGE = "storage"
    HEAT = "heat"
    CLOCK = "clock"
    OFFLINE = "offline"


class AlertPriority(enum.IntEnum):
    """Who goes first when several wait for one channel."""

    BUTTON = 0
    SOON = 1
    LATER = 2


@dataclass(frozen=True, slots=True)
class AlertDefinition:
    """One thing that can be said.  `state`: it tells how something *is*, so only the newest of its kind matters."""

    kind: AlertKind
    text: str
    rank: AlertPriority = AlertPriority.LATER
    state: bool = False


ALERTS: Final[dict[str, AlertDefinition]] = {
    "button": AlertDefinition(AlertKind.BUTTON, "Somebody pressed the button.", AlertPriority.BUTTON),
    "visitor": AlertDefinition(AlertKind.VISITOR, "Something moved at the door."),
    "person": AlertDefinition(AlertKind.PERSON, "A person is at the door."),
    "request": AlertDefinition(AlertKind.REQUEST, "A request for footage is waiting for you.", AlertPriority.SOON),
    "trust": AlertDefinition(
        AlertKind.TRUST, "The list of those who may ask for footage has changed.", AlertPriority.SOON
    ),
    "new requester": AlertDefinition(
        AlertKind.TRUST, "Somebody new may ask you for footage: look who.", AlertPriority.SOON
    ),
    "owners": AlertDefinition(
        AlertKind.OWNERS, "The owners of this doorbell have changed: look who they are.", AlertPriority.SOON
    ),
    "settings": AlertDefinition(
        AlertKind.OWNERS, "An owner has changed the settings of this doorbell: look at them.", AlertPriority.SOON
    ),
    "alerts": AlertDefinition(
        AlertKind.OWNERS, "Another browser gets the alerts of this doorbell.", AlertPriority.SOON
    ),
    "alerts ended": AlertDefinition(
        AlertKind.OWNERS, "A browser gets no more alerts of this doorbell.", AlertPriority.SOON
    ),
    "tamper": AlertDefinition(AlertKind.TAMPER, "Somebody opened the doorbell's case.", AlertPriority.SOON),
    "camera": AlertDefinition(AlertKind.CAMERA, "The camera gives no pictures.", AlertPriority.SOON, state=True),
    "camera back": AlertDefinition(AlertKind.CAMERA, "The camera is back.", AlertPriority.SOON, state=True),
    "covered": AlertDefinition(
        AlertKind.COVERED, "The camera sees nothing: it may be covered.", AlertPriority.SOON, state=True
    ),
    "uncovered": AlertDefinition(AlertKind.COVERED, "The camera sees again.", AlertPriority.SOON, state=True),
    "camera moved": AlertDefinition(
        AlertKind.CAMERA, "The camera was moved or shaken: look at where it points.", AlertPriority.SOON
    ),
    "microphone": AlertDefinition(AlertKind.CAMERA, "The doorbell films and hears nothing."),
    "microphone back": AlertDefinition(AlertKind.CAMERA, "The doorbell hears again."),
    "privacy on": AlertDefinition(AlertKind.PRIVACY, "Privacy is on: nothing is recorded.", state=True),
    "privacy unread": AlertDefinition(
        AlertKind.PRIVACY,
        "The privacy switch cannot be read: nothing is recorded until it can.",
        AlertPriority.SOON,
        state=True,
    ),
    "privacy off": AlertDefinition(AlertKind.PRIVACY, "Privacy is off: the camera sees again.", state=True),
    "vault": AlertDefinition(AlertKind.STORAGE, "Stored footage needs your attention: see doorward status."),
    "storage": AlertDefinition(
        AlertKind.STORAGE, "Nothing is being stored: the disk is full or failing.", AlertPriority.SOON, state=True
    ),
    "other files": AlertDefinition(
        AlertKind.STORAGE, "Other files fill the doorbell's disk: see doorward status.", AlertPriority.SOON
    ),
    "storage back": AlertDefinition(AlertKind.STORAGE, "Footage is being stored again.", state=True),
    "board": AlertDefinition(
        AlertKind.HEAT, "The doorbell does less for now: it is too hot, or its power supply is too weak."
    ),
    "clock": AlertDefinition(
        AlertKind.CLOCK, "The doorbell's clock is not confirmed: times may be wrong. See doorward status.", state=True
    ),
    "clock back": AlertDefinition(AlertKind.CLOCK, "The doorbell's clock is right again.", state=True),
    "offline": AlertDefinition(
        AlertKind.OFFLINE, "The doorbell has not reached its broker for a long time.", state=True
    ),
    "online": AlertDefinition(AlertKind.OFFLINE, "The doorbell reaches its broker again.", state=True),
}
UNNAMED: Final = AlertDefinition(AlertKind.STORAGE, "The doorbell needs your attention: see doorward status.")
TEST: Final = "This is a test: alerts of this doorbell reach you here."


def alert_named(name: str) -> AlertDefinition:
    return ALERTS.get(name, UNNAMED)
