"""Updates: what a release says about a package, which one this doorbell takes, and the files between its processes.

The updater fetches, root verifies and installs, the custodian asks the owner (docs/updates.md). Nothing here verifies:
`agent.updater` does, with python-tuf, before any of these values is believed. Source: docs/decisions/0051.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.errors import FormatError
from agent.wire.fields import HexId, Sha256, UtcMs, Version1
from agent.wire.strictjson import Message, PreparedMeta, form

__all__ = [
    "MAX_PACKAGE_BYTES",
    "MAX_STATE_BYTES",
    "MOST_WITHDRAWN",
    "FetchReport",
    "Offer",
    "Package",
    "PinnedOwners",
    "RefusedReversal",
    "ReleaseVersion",
    "ReversalRefusal",
    "UpdateOutcome",
    "UpdateResult",
    "UpdateSource",
    "UpdateState",
    "UpdateTrouble",
    "UpdateWish",
    "mends",
    "newest_for",
    "numbers",
    "rollout_delay_ms",
]

MAX_PACKAGE_BYTES: Final = 1 << 30
MAX_NOTES_BYTES: Final = 4096
MAX_STATE_BYTES: Final = 64 * 1024
MOST_WITHDRAWN: Final = 16
"""Versions that root remembers as withdrawn. The oldest is forgotten first."""
_HOUR_MS: Final = 3_600_000
_ROLLOUT_STEPS: Final = 1 << 32

ReleaseVersion = Annotated[str, form(r"^(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}\Z", "three numbers like 0.2.1")]
Date = Annotated[str, form(r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z", "a date like 2026-12-01")]
_Language = Annotated[str, Meta(min_length=2, max_length=16)]
_Notes = Annotated[dict[_Language, Annotated[str, Meta(max_length=MAX_NOTES_BYTES)]], Meta(max_length=32)]


class UpdateTrouble(enum.Enum):
    """Why the newest check for updates found nothing out."""

    NETWORK = "network"
    """The server cannot be reached, answers with an error, or is too slow."""
    EXPIRED = "expired"
    """The signed news is too old: newer news is held back, or its makers have stopped."""
    REFUSED = "refused"
    """Signature, version, size or hash is wrong: an attack, or a damaged copy."""
    CLOCK = "clock"
    """Without the time of day, old news cannot be told from new."""
    DISK = "disk"


class UpdateResult(enum.Enum):
    """The end of an installation."""

    INSTALLED = "installed"
    ROLLED_BACK = "rolled back"
    """The new version failed here: in its self-test, with the camera, or on trial. The version before runs."""
    TAKEN_BACK = "taken back"
    """It ran, and a person with root, or an owner, went back to the version before. No automatic update installs it
    again."""
    REFUSED = "refused"
    """Nothing was changed, and this says nothing of the version. For example, the disk was full."""
    INTERRUPTED = "interrupted"
    """It has begun. If it stays so, the power went, and the version before runs."""


class ReversalRefusal(enum.Enum):
    """Why root did not go back to the version before, although a statement says so."""

    OWNERS = "owners"
    """Its signature is of no owner that root believes."""
    TIME = "time"
    """Root does not know the time, or the statement is older than an hour."""
    CHANGED = "changed"
    """It was signed for another version or another moment."""
    FAULT = "fault"
    """The version before has a known vulnerability."""
    FAILED = "failed"
    """It was tried, and the present version runs on."""


class Package(msgspec.Struct, metaclass=PreparedMeta, frozen=True, kw_only=True):
    """The `custom` of one package in targets.json. Fields that this version does not know are left alone."""

    kind: str
    version: ReleaseVersion
    architecture: str
    released: Date
    debian: tuple[str, ...] = ()
    security_below: ReleaseVersion | None = None
    upgrade_from: ReleaseVersion | None = None
    rollout_hours: Annotated[int, Meta(ge=0, le=168)] = 0
    notes: _Notes = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(len(text.encode()) for text in self.notes.values()) > MAX_NOTES_BYTES:
            raise FormatError(f"notes: more than {MAX_NOTES_BYTES} bytes.")

    @property
    def name(self) -> str:
        return f"doorward_{self.version}_{self.architecture}.deb"

    def fits(self, running: str, architecture: str, debian: str) -> bool:
        """Returns whether a doorbell that runs `running` can change to this package in one step."""
        return (
            self.kind == "package"
            and self.architecture == architecture
            and debian in self.debian
            # Never backwards by an update: an old release with a known vulnerability would be an attacker's choice.
            and numbers(self.version) > numbers(running)
            and (self.upgrade_from is None or numbers(running) >= numbers(self.upgrade_from))
        )


class Offer(Message, frozen=True, forbid_unknown_fields=False):
    """A package that root has verified and keeps. `sha256` and `length` are those of its bytes.

    `security`: the running version has a known vulnerability that this version does not have.
    """

    version: ReleaseVersion
    sha256: Sha256
    length: Annotated[int, Meta(ge=1, le=MAX_PACKAGE_BYTES)]
    released: Date
    security: bool = False
    rollout_hours: Annotated[int, Meta(ge=0, le=168)] = 0
    notes: _Notes = msgspec.field(default_factory=dict)


class UpdateOutcome(Message, frozen=True, forbid_unknown_fields=False):
    """The end of the newest installation. `wish` is the id of the wish that led to it, or empty.

    `reversal`: SHA-256 of the owner's statement if it led to "taken back". None if a person with root went back.
    """

    version: ReleaseVersion
    result: UpdateResult
    at_ms: UtcMs
    wish: str = ""
    reversal: Sha256 | None = None


class RefusedReversal(Message, frozen=True, forbid_unknown_fields=False):
    """A way back that root did not carry out. `statement`: SHA-256 of the owner's."""

    reason: ReversalRefusal
    statement: Sha256


class UpdateState(Message, frozen=True, forbid_unknown_fields=False):
    """`state.json`: written by root, read by the custodian and by `doorward update`.

    `checked_ms` is the time of the newest check that ended well, `trouble` the reason why a later one did not. Fields
    that this version does not know are left alone: after a way back, the version before reads what a newer one wrote.
    """

    v: Version1
    running: ReleaseVersion
    checked_ms: UtcMs | None = None
    trouble: UpdateTrouble | None = None
    offer: Offer | None = None
    outcome: UpdateOutcome | None = None
    change: HexId | None = None
    """Drawn by root for each change of the running version. An owner's way back names it, so it counts once."""
    floor: ReleaseVersion | None = None
    """Versions below it have a known vulnerability, as verified releases say. No owner's way back goes below it."""
    withdrawn: Annotated[tuple[ReleaseVersion, ...], Meta(max_length=MOST_WITHDRAWN)] = ()
    """Versions that were begun here and failed, or that were left again, the newest try last. Only a later yes of an
    owner, or a person with root, installs them again."""
    refused: RefusedReversal | None = None
    """The newest one of the running version, so that its owner hears of it."""
    owners: Sha256 | None = None
    """SHA-256 of the payload of the newest list of owners that root believes."""

    def bars(self, wish: UpdateWish) -> bool:
        """Returns whether the version of this wish was withdrawn after the wish was made."""
        return wish.version in self.withdrawn and (wish.change is None or wish.change != self.change)


class UpdateWish(Message, frozen=True):
    """`wish.json`: written by the custodian, read by root. Install exactly this package; `id` is new for each wish.

    `change`: that of root's state at the time of the wish. A wish for a withdrawn version counts only until root's next
    change, so a yes from before the version failed does not install it again.
    """

    v: Version1
    id: HexId
    version: ReleaseVersion
    sha256: Sha256
    change: HexId | None = None


class PinnedOwners(Message, frozen=True):
    """`owners.json`, root's: the owners that root believes.

    `newest` is the SHA-256 of the payload of the list with the number `epoch`. It fixes every list before, too, because
    each list has the hash of the one before.
    """

    v: Version1
    epoch: Annotated[int, Meta(ge=1)]
    newest: Sha256


class UpdateSource(Message, frozen=True):
    """`updates.json`: written by `doorward apply`, read by the updater and by root.

    `source` is an address or a folder, `root` the text of the first root.json.
    """

    v: Version1
    source: Annotated[str, Meta(min_length=1, max_length=500)]
    root: Annotated[str, Meta(max_length=64 * 1024)]


class FetchReport(Message, frozen=True):
    """`report.json`: written by the updater when a check ends. Root believes nothing of it but the reason."""

    v: Version1
    trouble: UpdateTrouble | None = None


def numbers(version: str) -> tuple[int, ...]:
    """Returns a version as numbers, to compare: 0.10.0 is newer than 0.9.9."""
    return tuple(int(part) for part in version.split("."))


def mends(version: str, running: str, floor: str | None) -> bool:
    """Returns whether `version` is a security update of `running`: versions below `floor` have a known vulnerability,
    and it is not one of them."""
    return floor is not None and numbers(running) < numbers(floor) <= numbers(version)


def newest_for(packages: Iterable[Package], running: str, architecture: str, debian: str) -> Package | None:
    """Returns the newest package that a doorbell can take, or None. `debian`: "12" or "13"."""
    fitting = [each for each in packages if each.fits(running, architecture, debian)]
    return max(fitting, key=lambda each: numbers(each.version), default=None)


def rollout_delay_ms(device: str, offer: Offer) -> int:
    """Returns how long after its release a doorbell that updates automatically waits. Fixed for device and version."""
    # With the version, so that the same doorbells are not always the first. A restart draws no new delay.
    digest = hashlib.sha256(f"{device} {offer.version}".encode()).digest()
    return int.from_bytes(digest[:4], "big") * offer.rollout_hours * _HOUR_MS // _ROLLOUT_STEPS
