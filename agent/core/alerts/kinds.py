"""The complete list of alerts and their sentences.

An alert leaves the house through a third party's server. For this reason its text comes from the table below: a fixed
sentence without name, place or a requester's words. A picture goes only to a browser that an owner signed for, and is
sealed to it (`recorder.alert_pictures`). News that the table does not list is sent as `UNNAMED`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["ALERTS", "TEST", "UNNAMED", "AlertDefinition", "AlertKind", "AlertPriority", "alert_named"]


class AlertKind(enum.Enum):
    """The kinds of alert that an owner can switch on and off."""

    BUTTON = "button"
    VISITOR = "visitor"
    PERSON = "person"
    """Object detection found a person. This alert replaces `VISITOR` for the same event."""
    REQUEST = "request"
    TRUST = "trust"
    OWNERS = "owners"
    """Changes of the list of owners and of the settings."""
    TAMPER = "tamper"
    CAMERA = "camera"
    COVERED = "covered"
    PRIVACY = "privacy"
    STORAGE = "storage"
    HEAT = "heat"
    CLOCK = "clock"
    OFFLINE = "offline"
    UPDATE = "update"


class AlertPriority(enum.IntEnum):
    """The order in which alerts for one channel leave."""

    BUTTON = 0
    SOON = 1
    LATER = 2


_PAGES: Final = {
    AlertKind.BUTTON: "/live",
    AlertKind.VISITOR: "/timeline",
    AlertKind.PERSON: "/timeline",
    AlertKind.REQUEST: "/requests",
}


@dataclass(frozen=True, slots=True)
class AlertDefinition:
    """One thing that can be said.  `state`: it tells how something *is*, so only the newest of its kind matters.

    `delayed`: it follows from a message of the network, so it waits before it leaves the house (`notice_delay`).
    """

    kind: AlertKind
    text: str
    rank: AlertPriority = AlertPriority.LATER
    state: bool = False
    delayed: bool = False

    @property
    def page(self) -> str:
        """The path on the owner's page that the alert leads to. It says no more than the sentence does."""
        return _PAGES.get(self.kind, "/settings")


ALERTS: Final[dict[str, AlertDefinition]] = {
    "button": AlertDefinition(AlertKind.BUTTON, "The doorbell rang.", AlertPriority.BUTTON),
    "visitor": AlertDefinition(AlertKind.VISITOR, "Something moved at the door."),
    "unsure": AlertDefinition(AlertKind.VISITOR, "Something moved at the door, unsure what."),
    "person": AlertDefinition(AlertKind.PERSON, "A person is at the door."),
    "request": AlertDefinition(
        AlertKind.REQUEST, "A request for footage is waiting for you.", AlertPriority.SOON, delayed=True
    ),
    "trust": AlertDefinition(AlertKind.TRUST, "The list of trusted requesters has changed.", AlertPriority.SOON),
    "new requester": AlertDefinition(
        AlertKind.TRUST, "A new requester may ask you for footage. Review it.", AlertPriority.SOON
    ),
    "trust news": AlertDefinition(
        AlertKind.TRUST, "A trust root has changed its list. Review it.", AlertPriority.SOON, delayed=True
    ),
    "trust keys": AlertDefinition(
        AlertKind.TRUST,
        "A trust root has changed the keys that sign its lists. Review it.",
        AlertPriority.SOON,
        delayed=True,
    ),
    "trust silent": AlertDefinition(
        AlertKind.TRUST,
        "A trust root has sent no news for too long. Revocations may be missing. Review it.",
        AlertPriority.SOON,
        delayed=True,
    ),
    "owners": AlertDefinition(
        AlertKind.OWNERS, "The owners of this doorbell have changed. Review the list.", AlertPriority.SOON
    ),
    "settings": AlertDefinition(
        AlertKind.OWNERS, "An owner has changed the settings of this doorbell. Review them.", AlertPriority.SOON
    ),
    "restored": AlertDefinition(
        AlertKind.OWNERS,
        "The doorbell was restored from a backup. Review owners, browsers, settings and trusted requesters.",
        AlertPriority.SOON,
    ),
    "button held": AlertDefinition(
        AlertKind.OWNERS,
        "The button was held for a long time. A browser with your keys or recovery kit may come in now.",
        AlertPriority.SOON,
    ),
    "kit used": AlertDefinition(
        AlertKind.OWNERS,
        "The recovery kit was used to come in. If this was not you, replace it now.",
        AlertPriority.SOON,
    ),
    "alerts": AlertDefinition(
        AlertKind.OWNERS, "One more browser receives the alerts of this doorbell.", AlertPriority.SOON
    ),
    "alerts ended": AlertDefinition(
        AlertKind.OWNERS, "A browser stopped receiving the alerts of this doorbell.", AlertPriority.SOON
    ),
    "tamper": AlertDefinition(AlertKind.TAMPER, "The doorbell's case was opened.", AlertPriority.SOON),
    "program": AlertDefinition(
        AlertKind.TAMPER, "The doorbell's program was changed. Run doorward status.", AlertPriority.SOON
    ),
    "camera": AlertDefinition(AlertKind.CAMERA, "The camera delivers no pictures.", AlertPriority.SOON, state=True),
    "camera back": AlertDefinition(AlertKind.CAMERA, "The camera works again.", AlertPriority.SOON, state=True),
    "covered": AlertDefinition(
        AlertKind.COVERED, "The camera may be covered: its picture is dark or blank.", AlertPriority.SOON, state=True
    ),
    "uncovered": AlertDefinition(AlertKind.COVERED, "The camera sees again.", AlertPriority.SOON, state=True),
    "camera moved": AlertDefinition(
        AlertKind.CAMERA, "The camera was moved or shaken. Check its view.", AlertPriority.SOON
    ),
    "microphone": AlertDefinition(AlertKind.CAMERA, "The microphone fails: video is recorded without sound."),
    "microphone back": AlertDefinition(AlertKind.CAMERA, "The microphone works again."),
    "privacy on": AlertDefinition(AlertKind.PRIVACY, "Privacy is on. Recording is stopped.", state=True),
    "privacy unread": AlertDefinition(
        AlertKind.PRIVACY,
        "The privacy switch cannot be read. Recording is stopped until it can.",
        AlertPriority.SOON,
        state=True,
    ),
    "privacy off": AlertDefinition(AlertKind.PRIVACY, "Privacy is off. The camera works again.", state=True),
    "vault": AlertDefinition(AlertKind.STORAGE, "Stored footage needs your attention. Run doorward status."),
    "storage": AlertDefinition(
        AlertKind.STORAGE, "Footage is not being stored: the disk is full or failing.", AlertPriority.SOON, state=True
    ),
    "recorder": AlertDefinition(
        AlertKind.STORAGE,
        "Footage is not being stored: the recorder does not run. Run doorward status.",
        AlertPriority.SOON,
        state=True,
    ),
    "other files": AlertDefinition(
        AlertKind.STORAGE, "Other files fill the doorbell's disk. Run doorward status.", AlertPriority.SOON
    ),
    "storage back": AlertDefinition(AlertKind.STORAGE, "Footage is being stored again.", state=True),
    "board": AlertDefinition(
        AlertKind.HEAT, "The doorbell reduced its work: it is too hot, or its power supply is too weak."
    ),
    "clock": AlertDefinition(
        AlertKind.CLOCK,
        "The doorbell's clock is not synchronised. Times may be wrong. Run doorward status.",
        state=True,
    ),
    "clock back": AlertDefinition(AlertKind.CLOCK, "The doorbell's clock is synchronised again.", state=True),
    "update": AlertDefinition(AlertKind.UPDATE, "An update of the doorbell is ready. Choose when to install it."),
    "security update": AlertDefinition(
        AlertKind.UPDATE, "A security update of the doorbell is ready. Install it soon.", AlertPriority.SOON
    ),
    "updated": AlertDefinition(AlertKind.UPDATE, "The doorbell runs a new version."),
    "update failed": AlertDefinition(
        AlertKind.UPDATE, "An update of the doorbell failed. The version before runs.", AlertPriority.SOON
    ),
    "no way back": AlertDefinition(
        AlertKind.UPDATE,
        "The doorbell did not go back to the version before. The page says why, at Updates.",
        AlertPriority.SOON,
    ),
    "update news old": AlertDefinition(
        AlertKind.UPDATE, "The doorbell hears no recent news of updates. Run doorward update.", AlertPriority.SOON
    ),
    "page": AlertDefinition(AlertKind.OFFLINE, "The doorbell's page cannot be opened. Run doorward status."),
    "offline": AlertDefinition(
        AlertKind.OFFLINE, "The doorbell has had no connection to its broker for a long time.", state=True
    ),
    "online": AlertDefinition(AlertKind.OFFLINE, "The doorbell is connected to its broker again.", state=True),
}
UNNAMED: Final = AlertDefinition(AlertKind.STORAGE, "The doorbell needs your attention. Run doorward status.")
TEST: Final = "This is a test. Alerts of this doorbell arrive here."


def alert_named(name: str) -> AlertDefinition:
    return ALERTS.get(name, UNNAMED)
