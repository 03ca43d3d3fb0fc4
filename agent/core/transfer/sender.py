"""The device's half of a transfer: decides which bytes to send next, and when to ask which bytes have arrived.

    ASKING  ── receipt ──▶  SENDING  ── all sent, quiet for a while ──▶  ASKING …
       └────────────── complete / refused / stop, from anywhere ──────────▶  ENDED

The sender trusts a list of missing bytes only if it answers a question that was asked with no chunk in flight. The
answer repeats the number of the question. For example, chunks for a slow requester wait at the broker: an older receipt
calls them missing, and they would be sent twice. Parts that a receipt calls *held* are always trusted.
"""

from __future__ import annotations

import enum
from collections import deque

from agent.core.bus import LinkFault, PublishAcknowledged, PublishLost, PublishRefused, PublishResult
from agent.core.timebase import BootNs, seconds
from agent.core.transfer.values import (
    DEFAULT_CHUNK_BYTES,
    LARGEST_CHUNK_BYTES,
    SMALLEST_CHUNK_BYTES,
    ByteRanges,
    ClearInit,
    Finished,
    MarkBegun,
    PartSize,
    Send,
    SendAbort,
    SendChunk,
    SenderEffect,
    SendFin,
    SendInit,
    TransferOutcome,
    TransferProgress,
)
from agent.wire.disclosures import ReceiptState

__all__ = ["UploadSender"]

QUIET_NS = seconds(3)
"""Ask after this time if everything is sent and the receipt is overdue."""
FIRST_ASK_NS = seconds(8)
LONGEST_ASK_NS = seconds(120)
_OVERHEAD_BYTES = 1024
"""Bytes that a packet needs beside its chunk: topic and properties."""
_WINDOW = 16
_GROW_AFTER = 16
"""Consecutive acknowledged chunks before larger ones are tried. Doubles after each failed attempt."""
_TOO_LARGE = 0x95


class _SenderState(enum.Enum):
    ASKING = enum.auto()
    SENDING = enum.auto()
    ENDED = enum.auto()


class UploadSender:
    """Sends `parts` (part 0 first). `begun`: as made durable. `first_token` starts this sender's bus tokens.

    Chunks start at `DEFAULT_CHUNK_BYTES` and grow up to `chunk_bytes` while the link holds. Larger chunks cost both
    ends and the broker less, smaller ones get through if a link dies often. `window_bytes` bounds the chunks in flight.
    The bus has a separate window and may refuse any send: call `put_back`. The sender starts without a link: call
    `connected` once there is one. `first_question` is chosen at random, so that a receipt for a sender before a restart
    answers none of this one's questions.
    """

    def __init__(
        self,
        parts: tuple[PartSize, ...],
        *,
        begun: bool = False,
        first_token: int = 0,
        chunk_bytes: int = LARGEST_CHUNK_BYTES,
        window_bytes: int = 1 << 20,
        first_question: int = 0,
    ) -> None:
        self._parts = parts
        self._begun = begun
        self._wanted_chunk = max(SMALLEST_CHUNK_BYTES, min(chunk_bytes, LARGEST_CHUNK_BYTES))
        self._chunk_bytes = min(self._wanted_chunk, DEFAULT_CHUNK_BYTES)
        self._grow_after = _GROW_AFTER
        self._packet_chunk = LARGEST_CHUNK_BYTES
        self._smooth = 0
        self._window_bytes = window_bytes
        self._window = _WINDOW
        self._token = first_token
        self._question = first_question
        self._state = _SenderState.ASKING
        self._online = False
        self._pending: dict[int, ByteRanges] = {}
        self._held: set[int] = set()
        self._in_flight: dict[int, Send] = {}
        self._bytes_in_flight = 0
        self._queue: deque[Send | Finished] = deque()
        self._asked = False
        self._first_init: int | None = None
        """Token of the first init that the bus took. None: the broker has not heard of this answer from this sender."""
        self._ask_again_ns: BootNs | None = None
        self._patience_ns = FIRST_ASK_NS

    # State

    @property
    def begun(self) -> bool:
        """Returns whether a chunk may have left. Until then, a revocation leaves only what the init told: that an
        answer waited, its number of parts, and the size and hash of part 0."""
        return self._begun

    @property
    def ended(self) -> bool:
        return self._state is _SenderState.ENDED and not self._queue

    @property
    def chunk_bytes(self) -> int:
        return min(self._chunk_bytes, self._packet_chunk)

    @property
    def held_bytes(self) -> int:
        """Returns the bytes of whole parts that the requester has reported as durable."""
        return sum(self._parts[part].size_bytes for part in self._held)

    @property
    def total_bytes(self) -> int:
        return sum(part.size_bytes for part in self._parts)

    @property
    def deadline_ns(self) -> BootNs | None:
        """Returns when `next_effect` may have an effect even without input."""
        return self._ask_again_ns if self._online and self._state is not _SenderState.ENDED else None

    # Inputs

    def connected(self, packet_bytes: int, window: int = _WINDOW) -> None:
        """Handles a new link. Its broker takes packets of this size, and `window` of them unacknowledged.

        The sender asks again for everything it believed before.
        """
        self._online = True
        self._packet_chunk = max(1, min(LARGEST_CHUNK_BYTES, packet_bytes - _OVERHEAD_BYTES))
        self._window = window
        self._patience_ns = FIRST_ASK_NS
        self._ask()

    def disconnected(self, fault: LinkFault) -> None:
        """Handles the end of the link. Chunks in flight have been settled as lost. After a silent death chunks get
        smaller."""
        self._online = False
        # Only after a silent death: a refusal or a broker that shuts down says nothing about the size of chunks.
        if fault in (LinkFault.STALLED, LinkFault.LOST) and self._state is _SenderState.SENDING:
            self._shrink()

    def settled(self, event: PublishResult, now: BootNs) -> None:
        """Handles the broker's answer to one of this sender's publications. Ignores tokens of others."""
        send = self._forget(event.token)
        if send is None:
            return
        match event:
            case PublishAcknowledged(heard=heard):
                self._acknowledged(send, heard, now)
            case PublishRefused(code=code):
                self._requeue(send)
                if code == _TOO_LARGE and self.chunk_bytes > SMALLEST_CHUNK_BYTES:
                    self._chunk_bytes = self.chunk_bytes
                    self._shrink()
                    # The broker refuses packets of this size, so larger chunks are not tried again.
                    self._wanted_chunk = self._chunk_bytes
                else:
                    self._pause_sending(now)
            case PublishLost():
                self._requeue(send)

    def put_back(self, token: int) -> None:
        """Takes back a send that the bus refused, and offers it again."""
        send = self._forget(token)
        if token == self._first_init:
            self._first_init = None
        if isinstance(send, SendAbort | ClearInit):
            self._queue.appendleft(send)
        elif send is not None:
            self._requeue(send)

    def receipt(self, held: TransferProgress, now: BootNs) -> None:
        """Handles a receipt. The caller has checked its signature, requester, disclosure and sequence.

        A receipt for another manifest concerns another object and is ignored.
        """
        if self._state is _SenderState.ENDED or held.manifest_sha256 not in (None, self._parts[0].sha256):
            return
        if held.state is ReceiptState.REFUSED:
            self._end(TransferOutcome.REFUSED)
        elif held.state is ReceiptState.COMPLETE:
            # COMPLETE without the manifest's hash names no object, so it must not end this transfer.
            if held.manifest_sha256 is not None:
                self._held = set(range(len(self._parts)))
                self._end(TransferOutcome.DELIVERED)
        else:
            self._on_partial_receipt(held, now)

    def stop(self) -> None:
        """Stops after a revocation, withdrawal or expiry: all further chunks stay here. Idempotent.

        Without a link it finishes after the next connection, which clears the question that the broker retains.
        """
        if self._state is not _SenderState.ENDED:
            self._end(TransferOutcome.STOPPED)

    # Output

    def next_effect(self, now: BootNs) -> SenderEffect | None:
        """Returns the next effect, in order. Call `put_back` before the next call if the bus refused a send."""
        if self._online and self._ask_again_ns is not None and now >= self._ask_again_ns:
            self._ask()
        if self._queue:
            return self._from_queue()
        if self._state is _SenderState.ENDED or not self._online:
            return None
        if self._state is _SenderState.ASKING:
            return self._next_question(now)
        effect = self._next_send()
        if effect is not None:
            self._ask_again_ns = None
        elif not self._in_flight and self._ask_again_ns is None:
            self._ask_again_ns = BootNs(now + QUIET_NS)
        return effect

    # Asking

    def _ask(self) -> None:
        if self._state is not _SenderState.ENDED:
            self._state = _SenderState.ASKING
            self._asked = False
            self._ask_again_ns = None

    def _next_question(self, now: BootNs) -> SenderEffect | None:
        if self._asked or self._in_flight:
            return None  # in the middle of traffic the answer would be out of date
        self._asked = True
        self._schedule_question(now)
        self._question += 1
        init = SendInit(self._new_token(), len(self._parts), self._parts[0], self._question)
        if self._first_init is None:
            self._first_init = init.token
        return self._send(init)

    def _pause_sending(self, now: BootNs) -> None:
        """Pauses sending until a receipt comes, or it is time to ask again."""
        if self._state is _SenderState.ASKING and self._asked and self._ask_again_ns is not None:
            return  # a window of refused chunks is one refusal, and must not double the pause for each of them
        if self._state is not _SenderState.ENDED:
            self._state = _SenderState.ASKING
            self._asked = True
            self._schedule_question(now)

    def _schedule_question(self, now: BootNs) -> None:
        self._ask_again_ns = BootNs(now + self._patience_ns)
        self._patience_ns = min(self._patience_ns * 2, LONGEST_ASK_NS)

    def _on_partial_receipt(self, held: TransferProgress, now: BootNs) -> None:
        stored = {part for first, last in held.stored for part in range(first, min(last + 1, len(self._parts)))}
        if self._state is _SenderState.ASKING:
            self._held |= stored
            if held.question not in (None, self._question):
                # The requester still works through chunks sent before the question, so its answer is still to come.
                self._ask_again_ns = BootNs(now + self._patience_ns)
            elif self._asked and not self._bytes_in_flight:
                # Replaced, and not added: the answer to a question counts also against parts that were reported before.
                self._held = stored
                self._plan(held, stored)
                self._state = _SenderState.SENDING
                self._ask_again_ns = None
                self._patience_ns = FIRST_ASK_NS
        else:
            self._held |= stored
            for part in stored:
                self._pending.pop(part, None)
            if self._ask_again_ns is not None:
                self._ask_again_ns = BootNs(now + QUIET_NS)

    def _plan(self, held: TransferProgress, stored: set[int]) -> None:
        """Plans the bytes that the receipt misses: the listed spans, and all of the parts it omits."""
        listed = {part: ByteRanges(spans) for part, spans in held.incomplete}
        self._pending = {}
        for part, size in enumerate(self._parts):
            if part not in stored:
                spans = listed.get(part) or ByteRanges([(0, size.size_bytes)])
                # A receipt may list bytes beyond the part. They would be asked of a file that does not have them.
                spans.remove(size.size_bytes, max(size.size_bytes, *(end for _, end in spans)))
                self._pending[part] = spans

    # Sending

    def _next_send(self) -> SenderEffect | None:
        part = self._open_part()
        if part is None:
            return None
        spans = self._pending[part]
        if not spans:
            if self._is_in_flight(part):
                return self._chunk_of_later_part(part)
            del self._pending[part]
            return self._send(SendFin(self._new_token(), part, self._parts[part]))
        return self._next_chunk(part)

    def _chunk_of_later_part(self, part: int) -> SenderEffect | None:
        """Returns a chunk of the next part. It may follow while the last chunks of the part before are on their way."""
        later = next((other for other, spans in self._pending.items() if other > part and spans), None)
        if later is None or not self._may_send(later):
            return None
        return self._next_chunk(later)

    def _next_chunk(self, part: int) -> SenderEffect | None:
        if len(self._in_flight) >= self._window:
            return None  # the bus would refuse, after the bytes were read and hashed in vain
        start, end = self._pending[part].first(self.chunk_bytes)
        if self._bytes_in_flight and self._bytes_in_flight + end - start > self._window_bytes:
            return None
        if not self._begun:
            # Durable first: after a crash, footage that may have left must not be reported as revoked in time.
            self._begun = True
            return MarkBegun()
        self._pending[part].remove(start, end)
        self._bytes_in_flight += end - start
        return self._send(SendChunk(self._new_token(), part, start, end - start))

    def _open_part(self) -> int | None:
        part = min(self._pending, default=None)
        return part if part is not None and self._may_send(part) else None

    def _may_send(self, part: int) -> bool:
        # Footage waits until the requester holds the manifest and so knows what the parts are.
        return part == 0 or 0 in self._held

    def _is_in_flight(self, part: int) -> bool:
        return any(isinstance(send, SendChunk) and send.part == part for send in self._in_flight.values())

    def _acknowledged(self, send: Send, heard: bool, now: BootNs) -> None:
        if isinstance(send, SendChunk):
            self._smooth += 1
            if self._smooth >= self._grow_after:
                self._smooth = 0
                self._chunk_bytes = min(self._wanted_chunk, self._chunk_bytes * 2)
        if not heard and isinstance(send, SendChunk | SendFin):
            # The requester is away: the retained init waits for it, and this sender for its receipt.
            self._pause_sending(now)

    def _requeue(self, send: Send) -> None:
        match send:
            case SendChunk(_, part, offset, length):
                if part not in self._held and self._state is not _SenderState.ENDED:
                    self._pending.setdefault(part, ByteRanges()).add(offset, offset + length)
            case SendFin(_, part, _):
                if part not in self._held and self._state is not _SenderState.ENDED:
                    self._pending.setdefault(part, ByteRanges())
            case SendInit():
                self._asked = False
            case SendAbort() | ClearInit():
                pass  # a courtesy: the init also expires

    # Bookkeeping

    def _shrink(self) -> None:
        self._chunk_bytes = max(SMALLEST_CHUNK_BYTES, self._chunk_bytes // 2)
        self._grow_after *= 2
        self._smooth = 0

    def _end(self, outcome: TransferOutcome) -> None:
        self._state = _SenderState.ENDED
        self._ask_again_ns = None
        # Only an answer of which the broker heard is cleared: an empty message would name the answer and its requester.
        if self._begun or self._first_init is not None:
            if outcome is TransferOutcome.STOPPED and self._begun:
                self._queue.append(SendAbort(self._new_token()))
            self._queue.append(ClearInit(self._new_token()))
        self._queue.append(Finished(outcome, self._begun))

    def _from_queue(self) -> SenderEffect | None:
        if not self._online and not isinstance(self._queue[0], Finished):
            # Kept until the next connection. A requester that comes back meanwhile would otherwise read for as long as
            # the broker retains the init that an answer waits, although its owner has taken it back.
            return None
        effect = self._queue.popleft()
        return effect if isinstance(effect, Finished) else self._send(effect)

    def _send(self, send: Send) -> Send:
        self._in_flight[send.token] = send
        return send

    def _forget(self, token: int) -> Send | None:
        send = self._in_flight.pop(token, None)
        if isinstance(send, SendChunk):
            self._bytes_in_flight -= send.length
        return send

    def _new_token(self) -> int:
        self._token += 1
        return self._token
