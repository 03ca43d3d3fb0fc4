"""Everything an alert can say, and every word of it.

An alert leaves the house through somebody else's server, so its text is one of those below and nothing else: no
picture, no name, no place, nothing a requester wrote, and nothing that the part which raised it put into words.
What is not in the table is told as `UNNAMED`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["NEWS", "TEST", "UNNAMED", "AlertKind", "News", "Rank", "news_of"]


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


class Rank(enum.IntEnum):
    """Who goes first when several wait for one channel."""

    BUTTON = 0
    SOON = 1
    LATER = 2


@dataclass(frozen=True, slots=True)
class News:
    """One thing that can be said.  `state`: it tells how something *is*, so only the newest of its kind matters."""

    kind: AlertKind
    text: str
    rank: Rank = Rank.LATER
    state: bool = False


NEWS: Final[dict[str, News]] = {
    "button": News(AlertKind.BUTTON, "Somebody pressed the button.", Rank.BUTTON),
    "visitor": News(AlertKind.VISITOR, "Something moved at the door."),
    "person": News(AlertKind.PERSON, "A person is at the door."),
    "request": News(AlertKind.REQUEST, "A request for footage is waiting for you.", Rank.SOON),
    "trust": News(AlertKind.TRUST, "The list of those who may ask for footage has changed.", Rank.SOON),
    "new requester": News(AlertKind.TRUST, "Somebody new may ask you for footage: look who.", Rank.SOON),
    "owners": News(AlertKind.OWNERS, "The owners of this doorbell have changed: look who they are.", Rank.SOON),
    "settings": News(AlertKind.OWNERS, "An owner has changed the settings of this doorbell: look at them.", Rank.SOON),
    "alerts": News(AlertKind.OWNERS, "Another browser gets the alerts of this doorbell.", Rank.SOON),
    "alerts ended": News(AlertKind.OWNERS, "A browser gets no more alerts of this doorbell.", Rank.SOON),
    "tamper": News(AlertKind.TAMPER, "Somebody opened the doorbell's case.", Rank.SOON),
    "camera": News(AlertKind.CAMERA, "The camera gives no pictures.", Rank.SOON, state=True),
    "camera back": News(AlertKind.CAMERA, "The camera is back.", Rank.SOON, state=True),
    "covered": News(AlertKind.COVERED, "The camera sees nothing: it may be covered.", Rank.SOON, state=True),
    "uncovered": News(AlertKind.COVERED, "The camera sees again.", Rank.SOON, state=True),
    "camera moved": News(AlertKind.CAMERA, "The camera was moved or shaken: look at where it points.", Rank.SOON),
    "microphone": News(AlertKind.CAMERA, "The doorbell films and hears nothing."),
    "microphone back": News(AlertKind.CAMERA, "The doorbell hears again."),
    "privacy on": News(AlertKind.PRIVACY, "Privacy is on: nothing is recorded.", state=True),
    "privacy unread": News(
        AlertKind.PRIVACY, "The privacy switch cannot be read: nothing is recorded until it can.", Rank.SOON, state=True
    ),
    "privacy off": News(AlertKind.PRIVACY, "Privacy is off: the camera sees again.", state=True),
    "vault": News(AlertKind.STORAGE, "Stored footage needs your attention: see doorward status."),
    "storage": News(AlertKind.STORAGE, "Nothing is being stored: the disk is full or failing.", Rank.SOON, state=True),
    "other files": News(AlertKind.STORAGE, "Other files fill the doorbell's disk: see doorward status.", Rank.SOON),
    "storage back": News(AlertKind.STORAGE, "Footage is being stored again.", state=True),
    "board": News(AlertKind.HEAT, "The doorbell does less for now: it is too hot, or its power supply is too weak."),
    "clock": News(
        AlertKind.CLOCK, "The doorbell's clock is not confirmed: times may be wrong. See doorward status.", state=True
    ),
    "clock back": News(AlertKind.CLOCK, "The doorbell's clock is right again.", state=True),
    "offline": News(AlertKind.OFFLINE, "The doorbell has not reached its broker for a long time.", state=True),
    "online": News(AlertKind.OFFLINE, "The doorbell reaches its broker again.", state=True),
}
UNNAMED: Final = News(AlertKind.STORAGE, "The doorbell needs your attention: see doorward status.")
TEST: Final = "This is a test: alerts of this doorbell reach you here."


def news_of(name: str) -> News:
    return NEWS.get(name, UNNAMED)
