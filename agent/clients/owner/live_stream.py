"""The live picture: the newest GOPs, fetched sealed from the custodian and opened here.

- A live GOP proves nothing, because everyone who knows the owner's public key can seal a media key to it. It must name
  this device and be later than the GOP before. If it is older than `_STALE_MS` by the device's clock, it is not shown
  as live.
- A viewer with a slow link gets small pictures. Where they begin and end, a GOP may overlap the one before.
- Only the pictures are played. The page plays the sound of live view.
- A player receives one stream: one header, then one fragment for each GOP, in the order of the boot clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.clients.opening import open_bytes
from agent.clients.opening.live_frames import FrameOpener
from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import AgeIdentity, OwnerKeys
from agent.clients.owner.sync import DeviceChannel, sync
from agent.core.live import read_key, split_live, split_part
from agent.core.timebase import ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.errors import OpenError
from agent.ipc.control_operations import GetLiveGops
from agent.media.fmp4 import TICKS_PER_S, at_tick, fragments_of, header_of, tick_of

__all__ = ["LiveGop", "LiveOpener", "Stream", "watch"]

_US: int = 10**6
_STALE_MS = 30_000


@dataclass(frozen=True, slots=True)
class LiveGop:
    """An opened part. `media` plays alone; if the part `continues` a GOP, after the earlier parts of that GOP. `small`:
    its pictures are small, because the link is slow."""

    media: bytes
    span: TimeSpan
    continues: bool = False
    small: bool = False

    @property
    def seconds(self) -> float:
        return self.span.duration_us / _US


def watch(link: DeviceChannel, keys: OwnerKeys, *, clock: Clock = wall_ms) -> Iterator[tuple[LiveGop, ...]]:
    """Yields the new GOPs for ever; an empty tuple while the device has nothing new.

    Raises `OpenError` if a GOP is from another device, out of order, or too old.
    """
    met, opener = sync(link, keys), LiveOpener(keys.identities)
    number, boot, until_us, complete = 0, "", 0, False
    small = changes = False
    while True:
        answer, body = link.fetch(GetLiveGops(number, small))
        changes |= answer.small is not small
        small = answer.small
        if len(answer.numbers) != len(answer.sizes):
            raise OpenError("The device's answer is malformed.", remedy="Do not use this device.")
        found = []
        for sealed in _cut(body, answer.sizes):
            gop = _opened(opener.open(sealed), met.key.id, small=small)
            overlap_us = until_us - gop.span.start_us if gop.span.boot == boot else 0
            if changes and not gop.continues and overlap_us < _STALE_MS * 1000:
                changes = False
            # A recorded part that is sent again would show an empty street while someone is at the door.
            elif overlap_us > 0:
                if not gop.continues and gop.span.end_us == until_us:
                    continue  # the newest GOP again, with the key of a viewer who has joined
                raise OpenError("The device repeats an old live picture.", remedy="Inspect the device.")
            # Only a synchronised clock can be compared with this machine's.
            if gop.span.quality is ClockQuality.SYNCED and clock() - gop.span.end_ms > _STALE_MS:
                raise OpenError("The device's live picture is too old.", remedy="Compare its clock with yours.")
            follows = gop.span.boot == boot and gop.span.start_us == until_us
            if gop.continues and not (follows and complete):
                complete = False  # frames before the next keyframe do not decode
            else:
                complete = True
                found.append(gop)
            boot, until_us = gop.span.boot, gop.span.end_us
        number = max((number, *answer.numbers))
        yield tuple(found)


def _cut(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    if sum(sizes) != len(body):
        raise OpenError("The device's answer is incomplete.", remedy="Try again.")
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size


class LiveOpener:
    """Opens the parts of live view in their order. A part that begins a GOP may bring another media key."""

    def __init__(self, identities: Sequence[AgeIdentity]) -> None:
        self._identities = identities
        self._file = b""
        self._key: FrameOpener | None = None

    def open(self, part: bytes) -> bytes:
        """Returns the plaintext. Raises `FormatError` or `OpenError`."""
        key_file, frame = split_part(part)
        if key_file and key_file != self._file:
            self._key = None
            found = read_key(open_bytes(key_file, self._identities))
            self._key, self._file = FrameOpener(found.base_key, found.kid), key_file
        if self._key is None:
            raise OpenError("The live picture came without its key.", remedy="Watch again.")
        return self._key.open(frame)


def _opened(plaintext: bytes, device: str, *, small: bool) -> LiveGop:
    media, _sound, context = split_live(plaintext)
    if context.device != device:
        raise OpenError("The live picture comes from another device.", remedy="Inspect the device.")
    return LiveGop(media, context.span, context.continues, small)


class Stream:
    """Puts GOPs one behind the other, as bytes that a player reads from a pipe."""

    def __init__(self) -> None:
        self._header = b""
        self._first_us = self._gop_us = 0
        self._count = 0

    def add(self, gop: LiveGop) -> bytes:
        """The bytes to write next.  Another picture format, or another boot of the device, begins with a new header."""
        header = self._header if gop.continues else header_of(gop.media)
        begins = header != self._header or gop.span.start_us < self._first_us
        if begins:
            self._header, self._first_us = header, gop.span.start_us
        if not gop.continues:
            self._gop_us = gop.span.start_us
        tick = (self._gop_us - self._first_us) * TICKS_PER_S // _US + tick_of(gop.media)
        self._count += 1
        return (header if begins else b"") + at_tick(fragments_of(gop.media), tick, self._count)
