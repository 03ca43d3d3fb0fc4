"""Sources of segments: a running device, or (in `copied_vault`) the copied disk of a dead one.

A source only fetches. It verifies the signature of each record. Opening a file verifies its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.sealed_footage import OpenedPoster, OpenedSegment, open_captured, open_poster, open_sound
from agent.clients.owner.sync import DeviceChannel
from agent.core.timebase import ClockQuality
from agent.core.vault.manifest import SignedRecord, open_line
from agent.core.vault.records import RecoveredRecord, SegmentRecord
from agent.errors import NetworkError, OpenError
from agent.ipc.control_operations import GetPoster, GetSegment, GetSound, ListSegments
from agent.wire.fields import SegmentIdText
from agent.wire.identities import PublicKey

__all__ = ["DeviceVault", "FootageSource", "ListedSegment", "record_of"]

EVERYTHING_MS = 2**53 - 1
_ListedMs = Annotated[int, Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]
"""Times of `datetime`, from the year 1 to the year 9999."""


@dataclass(frozen=True, slots=True)
class ListedSegment:
    """One stored segment, as the source lists it.  Times in UTC ms.

    Id, event and time become the names of files, so an altered device gets no other characters in.
    """

    id: SegmentIdText
    event: SegmentIdText
    ordinal: int
    start_ms: _ListedMs
    end_ms: _ListedMs
    quality: ClockQuality
    size_bytes: int
    poster: bool
    whole: bool
    sound: bool = False


class FootageSource(Protocol):
    """Anything segments can be fetched from."""

    def listed(self, from_ms: int = 0, to_ms: int = EVERYTHING_MS) -> tuple[ListedSegment, ...]:
        """Segments that overlap [from_ms, to_ms), oldest first."""
        ...

    def open(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedSegment:
        """The segment, opened and checked."""
        ...

    def poster(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedPoster:
        """The still of the clip that begins with `segment`, opened and checked."""
        ...

    def sound(self, segment: str, identities: Sequence[AgeIdentity]) -> bytes:
        """Returns the sound of `segment`, opened and verified."""
        ...


class DeviceVault:
    """The vault of a device, through its control socket.  `device` must have been compared (`sync.sync`)."""

    def __init__(self, link: DeviceChannel, device: PublicKey) -> None:
        self._link = link
        self._device = device

    def listed(self, from_ms: int = 0, to_ms: int = EVERYTHING_MS) -> tuple[ListedSegment, ...]:
        found: dict[str, ListedSegment] = {}
        while True:
            answer = self._link.ask(ListSegments(from_ms, to_ms))
            try:
                page = [msgspec.convert(item, ListedSegment, from_attributes=True) for item in answer.segments]
            except msgspec.ValidationError as error:
                raise NetworkError("The device's list of segments cannot be read.") from error
            fresh = [item for item in page if item.id not in found]
            found |= {item.id: item for item in fresh}
            # A long list comes in pages. A page without new entries ends the list, so that a device cannot prolong it
            # forever.
            if not answer.more or not fresh:
                return tuple(found.values())
            from_ms = page[-1].start_ms

    def sealed(self, segment: str) -> bytes:
        """The age file, unchecked: for those who hold its record already."""
        return self._link.fetch(GetSegment(segment))[1]

    def sealed_poster(self, segment: str) -> bytes:
        return self._link.fetch(GetPoster(segment))[1]

    def sealed_sound(self, segment: str) -> bytes:
        return self._link.fetch(GetSound(segment))[1]

    def open(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedSegment:
        answer, data = self._link.fetch(GetSegment(segment))
        signed = record_of(answer.record, segment, self._device)
        return open_captured(signed, data, identities, device=self._device.id)

    def poster(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedPoster:
        answer, data = self._link.fetch(GetPoster(segment))
        signed = record_of(answer.record, segment, self._device)
        return open_poster(signed, data, identities, device=self._device.id)

    def sound(self, segment: str, identities: Sequence[AgeIdentity]) -> bytes:
        answer, data = self._link.fetch(GetSound(segment))
        signed = record_of(answer.record, segment, self._device)
        return open_sound(signed, data, identities, device=self._device.id)


def record_of(line: str, segment: str, device: PublicKey) -> SignedRecord:
    """The record in the manifest line, if `device` signed it and it is about `segment`.  Raises `OpenError`."""
    signed = open_line(line.encode(), device)
    if not isinstance(signed.record, SegmentRecord | RecoveredRecord) or signed.record.id != segment:
        raise OpenError(f"The device's record for segment {segment} is about something else.")
    return signed
