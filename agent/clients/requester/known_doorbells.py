"""Known doorbells: remembers each doorbell that has answered, as SSH remembers hosts, so that a substitute is noticed.

A disclosure carries all lists of the doorbell's owners, each signed by an owner of the one before. Only the device's
key vouches for the first list, so a thief who has that key can begin another chain with other owners. Therefore the
requester keeps the first chain that a doorbell showed, and later accepts only that chain or a continuation of it.

    doors/<device id>.json    the doorbell's key, the chain, when and with which disclosure it was first seen, and the
                              owner's notice of theft, if there is one, and the newest heads of its ledger

Source: PROTOCOL.md, section 8; docs/security/limits.md.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from agent.clients.requester.notes import Notes
from agent.core.ledger.checkpoint import (
    MAX_NOTE_BYTES,
    Checkpoint,
    check_same_head,
    open_time_checkpoint,
    parse_checkpoint,
)
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import DisclosureManifest
from agent.wire.fields import DeviceKeyText, HexId, UtcS
from agent.wire.identities import parse_public_key
from agent.wire.statements import (
    MAX_ENROLMENTS,
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Approval,
    Enrolment,
    Stolen,
    StolenNotice,
    open_chain,
    open_stolen,
    read_statement,
)
from agent.wire.strictjson import Message

__all__ = ["DoorbellHistory", "KnownDoorbell", "KnownDoorbells"]

_FOLDER: Final = "doors"
_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ID: Final = re.compile(r"[0-9a-f]{16}")
_MS_PER_S: Final = 1000
_MOST_HEADS: Final = 64
_CLOCKS_DIFFER_MS: Final = 600_000
"""Largest difference between two owners' clocks."""


class KnownDoorbell(Message, frozen=True):
    """One doorbell. `first` is None if it is known only from its owner's notice."""

    v: Literal[1]
    key: DeviceKeyText
    enrolments: Annotated[
        tuple[Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)], ...],
        Meta(min_length=1, max_length=MAX_ENROLMENTS),
    ]
    """Envelopes of the enrolments, from epoch 1 to the newest one seen."""
    seen_s: UtcS
    """Time of the first sighting, by this machine's clock."""
    first: HexId | None = None
    """The disclosure with which it was first seen."""
    stolen: StolenNotice | None = None
    heads: Annotated[tuple[Annotated[str, Meta(max_length=MAX_NOTE_BYTES)], ...], Meta(max_length=_MOST_HEADS)] = ()
    """Signed heads of its ledger and of its log of beats, as its newest answers showed them."""

    @property
    def id(self) -> str:
        return parse_public_key(self.key).id

    @property
    def enrolled(self) -> Enrolment:
        return open_chain([each.encode() for each in self.enrolments], self.key)


@dataclass(frozen=True, slots=True)
class DoorbellHistory:
    """History of the doorbell of a disclosure: first sighting, and a later theft.

    `seen_s` is None if this disclosure is the first from it. Then only its own key vouches for its first owners.
    """

    seen_s: int | None = None
    stolen_since_s: int | None = None


class KnownDoorbells:
    """The doorbells that a requester knows. Reading raises `ConfigurationError` for a damaged file."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def all(self) -> tuple[KnownDoorbell, ...]:
        found = (name.removesuffix(".json") for name in self._notes.names(_FOLDER) if name.endswith(".json"))
        return tuple(door for device_id in found if (door := self.find(device_id)) is not None)

    def find(self, device_id: str) -> KnownDoorbell | None:
        name = _name(device_id)
        data = self._notes.read(name, _LIMIT_BYTES)
        if data is None:
            return None
        try:
            return strictjson.decode(data, KnownDoorbell, limit_bytes=_LIMIT_BYTES)
        except FormatError as error:
            raise ConfigurationError(
                f"{self._notes.place(name)}: {error.message}",
                remedy="Restore it from a backup. It is the only record of this doorbell's owners.",
            ) from error

    def check(self, manifest: DisclosureManifest, approval: Approval | None = None) -> DoorbellHistory:
        """Compares a disclosure with verified signatures with the known history of its doorbell.

        Raises `OpenError` if the doorbell shows other owners than before. Also if, by the time in the owner's
        `approval`, the doorbell was stolen or its owners had already signed a later list than the one shown.
        """
        known = self.find(manifest.device_key.id)
        if known is None:
            return DoorbellHistory()
        _longer(known, manifest.enrolments)
        if approval is not None:
            _require_in_force(known, len(manifest.enrolments), approval)
        if known.stolen is None:
            return DoorbellHistory(_seen_before(known, manifest.disclosure))
        stolen, _, by = open_stolen(known.stolen)
        if approval is not None and approval.owner_time_ms >= stolen.since_s * _MS_PER_S:
            raise OpenError(
                f"The owner “{by}” declared this doorbell stolen before this answer was approved.",
                remedy="Do not rely on it.  Ask the owner.",
            )
        return DoorbellHistory(_seen_before(known, manifest.disclosure), stolen.since_s)

    def check_heads(self, manifest: DisclosureManifest) -> None:
        """Raises `OpenError` if an earlier answer showed another ledger of the same size: a split view."""
        known = self.find(manifest.device_key.id)
        for note in known.heads if known is not None else ():
            for shown in _heads_of(manifest):
                check_same_head(_head(note), _head(shown))

    def remember(self, manifest: DisclosureManifest, now_s: int) -> None:
        """Stores the doorbell of a disclosure that has passed all checks, or its longer chain."""
        known = self.find(manifest.device_key.id)
        if known is None:
            known = KnownDoorbell(
                v=1,
                key=manifest.device,
                enrolments=manifest.enrolments,
                seen_s=now_s,
                first=manifest.disclosure,
            )
        else:
            known = replace(known, enrolments=_longer(known, manifest.enrolments))
        heads = tuple(dict.fromkeys((*known.heads, *_heads_of(manifest))))
        self._write(replace(known, heads=heads[-_MOST_HEADS:]))

    def declare_stolen(self, notice: StolenNotice, now_s: int) -> tuple[KnownDoorbell, Stolen, str]:
        """Stores an owner's notice. Returns the doorbell, the statement, and the label of the owner who signed it.

        Raises `OpenError` unless an owner of the newest list signed it, of the lists known here and in the file.
        """
        stolen, enrolment, by = open_stolen(notice)
        known = self.find(enrolment.device_key.id)
        if known is None:
            known = KnownDoorbell(v=1, key=stolen.device, enrolments=notice.enrolments, seen_s=now_s)
        chain = _longer(known, notice.enrolments)
        signer = read_statement(notice.stolen.encode()).key_id
        known = replace(known, enrolments=chain, stolen=notice)
        # The notice brings its own lists. A former owner could leave out the later list that removed them.
        if signer not in known.enrolled.approver_keys:
            raise OpenError(
                f"“{by}” is no longer an owner of the doorbell {known.id}, by a later list of its owners.",
                remedy="Ask a current owner.",
            )
        self._write(known)
        return known, stolen, by

    def forget(self, device_id: str) -> None:
        """Removes the doorbell, so that its next answer counts as its first."""
        if self.find(device_id) is None:
            raise ConfigurationError(
                f"The doorbell {device_id} is unknown.", remedy="List the known ones: doorward requester doors."
            )
        self._notes.remove(_name(device_id))

    def _write(self, known: KnownDoorbell) -> None:
        self._notes.make_folder(_FOLDER)
        self._notes.write(_name(known.id), strictjson.encode(known))


def _heads_of(manifest: DisclosureManifest) -> tuple[str, ...]:
    """Returns the signed heads that an answer shows and that its doorbell has signed."""
    shown = [manifest.ledger.checkpoint]
    if manifest.time is not None:
        with contextlib.suppress(DoorwardError):  # a foreign head is told elsewhere (`time_confirmations`)
            open_time_checkpoint(manifest.time.checkpoint.encode(), manifest.device_keys)
            shown.append(manifest.time.checkpoint)
    return tuple(shown)


def _head(note: str) -> Checkpoint:
    """Returns the checkpoint in a note. Its signature was verified before."""
    return parse_checkpoint(note.partition("\n\n")[0] + "\n")


def _name(device_id: str) -> str:
    if _ID.fullmatch(device_id) is None:
        raise ConfigurationError(f"'{device_id}' is not a doorbell's id.", remedy="Give 16 hex digits.")
    return f"{_FOLDER}/{device_id}.json"


def _longer(known: KnownDoorbell, shown: Sequence[str]) -> tuple[str, ...]:
    """Returns the longer of two chains, if the longer one begins with the other. Raises `OpenError` if they fork."""
    same = min(len(known.enrolments), len(shown))
    # A thief with the device's key can begin another chain of owners, and cannot continue this one.
    if tuple(shown[:same]) != known.enrolments[:same]:
        raise OpenError(
            f"The doorbell {known.id} shows other owners than before.  One of the two lists is false: "
            "a person with the doorbell's key can make one.",
            remedy=f"Ask the household over another channel.  If the new list is theirs: doorward requester doors "
            f"--forget {known.id}.",
        )
    return max(known.enrolments, tuple(shown), key=len)


def _require_in_force(known: KnownDoorbell, shown: int, approval: Approval) -> None:
    """Raises unless the shown list was in force at the approval."""
    if shown >= len(known.enrolments):
        return
    data = known.enrolments[shown].encode()
    signed = read_statement(data)  # verified when it was taken
    following = strictjson.decode(signed.payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    # An answer may arrive late, after its list was replaced. Without this check a former owner could approve with the
    # doorbell's key. They now have to forge the time as well.
    if approval.owner_time_ms > following.owner_time_ms + _CLOCKS_DIFFER_MS:
        raise OpenError(
            "This answer was approved under a list of owners that was no longer in force.",
            remedy="Do not rely on it.  Ask the household over another channel.",
        )


def _seen_before(known: KnownDoorbell, disclosure: str) -> int | None:
    return None if known.first == disclosure else known.seen_s
