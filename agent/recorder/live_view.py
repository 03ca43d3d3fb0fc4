"""Live view: the newest GOPs, sealed in the recorder while an owner looks, and kept for a moment by the custodian.

    writer thread ── GOP ──▶ LiveEncoder (recorder): the newest few, unsealed, in memory
                                 │ while an owner looks: each one sealed to the owners
                                 ▼ the recorder's call to the custodian
                             LiveBuffer (custodian): the newest few, ciphertext ──▶ owners

- Live view gives no access to the camera: its GOPs come from the stream that is filmed anyway. A viewer decides only
  what is *sealed*, and cannot start, stop or turn the camera.
- Only sealed data leaves the recorder, and the custodian has no key. Only the answers to the control socket and an
  owner's page go further, and they stay in memory.
- Both sides are bounded by number and bytes. GOPs are deleted seconds after they came, so the privacy switch leaves an
  empty buffer behind.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from agent.core.live import LiveContext, live_plaintext, pieces_of
from agent.core.media import Gop, StreamDescription, VideoCodec
from agent.core.timebase import BootNs
from agent.core.vault.spans import span_between
from agent.errors import DoorwardError, FormatError
from agent.media.fmp4 import FragmentedMp4Writer, header_of
from agent.ports import Clock
from agent.recorder.vault import Vault

__all__ = ["LiveEncoder", "LiveViewSink", "NewestPicture"]

_MOST_BYTES: Final = 8 << 20
"""Limit of the current GOP, which is kept for an owner who begins to look in the middle of it."""
_ASK_S: Final = 2.0
_AWAY_S: Final = 5.0


class LiveViewSink(Protocol):
    """The custodian's side, as the recorder sees it."""

    def wait_for_viewer(self, patience_s: float) -> bool:
        """Waits at most this long for a viewer and returns whether there is one. Raises `NetworkError` without a
        custodian."""
        ...

    def put(self, number: int, piece: int, pieces: int, data: bytes) -> bool:
        """Takes a piece of a sealed GOP. Returns whether an owner still looks."""
        ...


@dataclass(frozen=True, slots=True)
class _LiveGop:
    number: int
    gop: Gop
    description: StreamDescription


@dataclass(frozen=True, slots=True)
class NewestPicture:
    """The parts of the newest GOP. `end_ns`: on the boot clock. `live`: a camera's, not a file's."""

    parts: tuple[Gop, ...]
    codec: VideoCodec
    end_ns: int
    live: bool


class LiveEncoder:
    """`push` from the writer's thread; `run` is a separate thread."""

    def __init__(self, vault: Vault, clock: Clock, device: str) -> None:
        self._vault = vault
        self._clock = clock
        self._device = device
        self._log = structlog.get_logger("live")
        self._newest: deque[_LiveGop] = deque()
        """The parts of the newest GOP; without the oldest parts if they are too large."""
        self._newest_bytes = 0
        self._media: FragmentedMp4Writer | None = None
        self._header = b""
        self._changed = threading.Condition()
        self._number = 0
        self._stopping = False
        self.sealed = 0

    def push(self, gop: Gop, description: StreamDescription) -> None:
        """Takes a filmed GOP. It is cheap while there is no viewer."""
        with self._changed:
            self._number += 1
            if gop.begins:
                self._newest.clear()
                self._newest_bytes = 0
            self._newest.append(_LiveGop(self._number, gop, description))
            self._newest_bytes += gop.size_bytes
            while len(self._newest) > 1 and self._newest_bytes > _MOST_BYTES:
                self._newest_bytes -= self._newest.popleft().gop.size_bytes
            self._changed.notify_all()

    def newest_picture(self) -> NewestPicture | None:
        """Returns the newest GOP from its keyframe on, for a picture of now; None while the camera is off."""
        with self._changed:
            parts = tuple(self._newest)
        if not parts or not parts[0].gop.begins:
            return None
        gops = tuple(each.gop for each in parts)
        description = parts[0].description
        return NewestPicture(gops, description.codec, gops[-1].end_ns, description.live)

    def forget(self) -> None:
        """Deletes all GOPs, because the camera is off."""
        with self._changed:
            self._newest.clear()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self, desk: LiveViewSink) -> None:
        """Until `stop`."""
        told = 0
        while not self._stopping:
            try:
                looked_at = desk.wait_for_viewer(_ASK_S)
                while looked_at and not self._stopping:
                    filmed = self._next(told)
                    if filmed is None:
                        looked_at = desk.wait_for_viewer(0.0)
                        continue
                    told = filmed.number
                    looked_at = self._hand_over(filmed, desk)
            except DoorwardError as error:
                self._log.info("not_shown_live", error=error.message)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _AWAY_S)

    def _next(self, told: int) -> _LiveGop | None:
        """Returns what follows number `told`, of its GOP or the newest one, if it has come."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._number > told, _ASK_S)
            return next(
                (each for each in self._newest if each.number == told + 1 or (each.gop.begins and each.number > told)),
                None,
            )

    def _hand_over(self, filmed: _LiveGop, desk: LiveViewSink) -> bool:
        try:
            sealed = self._sealed(filmed)
        except FormatError:
            return True  # a segment of these pictures would fail too
        pieces = pieces_of(sealed)
        looked_at = True
        for number, piece in enumerate(pieces):
            looked_at = desk.put(filmed.number, number, len(pieces), piece)
        self.sealed += 1
        return looked_at

    def _sealed(self, filmed: _LiveGop) -> bytes:
        gop = filmed.gop
        media = self._media_of(filmed)
        now = self._clock.now()
        span = span_between(self._clock.boot_id, now.at(gop.start_ns), now.at(BootNs(gop.end_ns)))
        context = LiveContext(device=self._device, span=span, continues=not gop.begins)
        return self._vault.seal_without_storing(live_plaintext(media, context))

    def _media_of(self, filmed: _LiveGop) -> bytes:
        """Returns a separate film; for a part that continues a GOP, one that plays after the parts before it."""
        if filmed.gop.begins:
            self._media = FragmentedMp4Writer(filmed.description)
            media = self._media.begin(filmed.gop)
            self._header = header_of(media)
            return media
        if self._media is None:
            raise FormatError("This part of a GOP came without its beginning.")
        return self._header + self._media.add(filmed.gop)
