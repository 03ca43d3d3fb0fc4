"""The seams between deciding and doing: what a service may ask of the outside world.

Each port is the smallest Protocol its service needs.  Every implementation, the fakes in `tests/` included, passes the
port's contract suite in `tests/contracts/`.  Nothing here does anything.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from agent.core.requests import History

if TYPE_CHECKING:  # a role loads only what it uses: the uplink runs without arrays and the vault
    import numpy as np
    import numpy.typing as npt

    from agent.core.alerts.alert_messages import (
        AlertMessage,
        AlertPicture,
        ChannelAddress,
        DeferredAlert,
        DelayedAlert,
        QueuedAlert,
    )
    from agent.core.bus import BusEvent
    from agent.core.consent import RequestState
    from agent.core.home_news import HomeState
    from agent.core.media import EncodedPacket, LumaFrame, SoundDescription, SoundPacket, StreamDescription
    from agent.core.object_detection.arrays import Numbers, Pixels
    from agent.core.requests import (
        ActiveOptOut,
        BlockedRequest,
        MatchedRequest,
        OutboxPart,
        OutboxRecord,
        StoredRequest,
    )
    from agent.core.timebase import BootNs, ClockReading
    from agent.core.vault.entries import NumberedClockSync, Totals, VaultEntry
    from agent.core.vault.fields import SegmentId, VaultFile
    from agent.core.vault.manifest import ChainHead, RawLine
    from agent.ipc.protocol import LinkFrame
    from agent.wire.disclosures import Receipt
    from agent.wire.statements import Scope

__all__ = [
    "AlertMailer",
    "AlertQueue",
    "AlertSender",
    "Bus",
    "Camera",
    "CameraEnd",
    "CameraSink",
    "Clock",
    "CustodyPort",
    "Disk",
    "DiskFile",
    "Entropy",
    "HomeBus",
    "HomeStateSource",
    "Index",
    "Journal",
    "LinkPort",
    "ManifestLog",
    "MaskedArea",
    "Microphone",
    "Network",
    "Notifier",
    "Outbox",
    "OutboxDraft",
    "PictureNotifier",
    "SegmentFile",
    "SegmentStore",
    "SoundSink",
    "Speaker",
]


class Clock(Protocol):
    """Both clocks, read at once."""

    @property
    def boot_id(self) -> str:
        """32 hex digits, different after every boot."""
        ...

    def now(self) -> ClockReading: ...


class Entropy(Protocol):
    """Unpredictable bytes, from the operating system in production and from a seed in tests."""

    def token(self, size_bytes: int) -> bytes: ...


class CameraEnd(enum.Enum):
    """Why a camera stopped delivering."""

    STOPPED = "stopped"
    """`stop()` was called."""
    END_OF_FOOTAGE = "end of footage"
    """A file ran out."""
    LOST = "camera lost"
    """Unplugged, stalled, or its file is damaged from here on."""


class CameraSink(Protocol):
    """Receives a camera's deliveries, on the camera's thread. Calls return quickly for live cameras; for files they may
    block."""

    def packet(self, packet: EncodedPacket) -> None: ...

    def luma(self, frame: LumaFrame) -> None: ...

    def ended(self, end: CameraEnd, detail: str) -> None:
        """Called exactly once, last.  `detail` is for the log and the owner: what happened and what to check."""
        ...


class MaskedArea(Protocol):
    """The private areas of a picture (`core.motion.zones.ZoneMap`)."""

    @property
    def has_privacy(self) -> bool: ...

    def privacy_mask(self, height_px: int, width_px: int) -> npt.NDArray[np.bool_]:
        """(H, W), true where the picture is to be black."""
        ...


class Camera(Protocol):
    """One source of encoded packets and of small luma frames, both with the sensor's time."""

    def open(self) -> StreamDescription:
        """Open the device and say what it gives.  Raises `DeviceError` with the remedy."""
        ...

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        """Deliver to `sink` from a thread of the camera's own until `stop()` or the end.

        `first_ns` is the boot-clock time of the first frame for sources that have no clock (files, scripts);
        live cameras ignore it.
        """
        ...

    def request_keyframe(self) -> None:
        """Ask for a keyframe soon.  Sources that cannot, ignore it."""
        ...

    def mask(self, zones: MaskedArea) -> bool:
        """Black what of `zones` is private, and nothing else, from the next picture on, which is to be a keyframe.

        From any thread, while the camera delivers.  False: this camera has to be opened again for it.
        """
        ...

    def stop(self) -> None:
        """Stop, join the thread, close the device.  Idempotent."""
        ...


class SoundSink(Protocol):
    """The receiver of a microphone, called on the microphone's thread. For a live one, `sound` returns at once."""

    def sound(self, packet: SoundPacket) -> None: ...

    def ended(self, end: CameraEnd, detail: str) -> None:
        """Called exactly once, last.  `detail` is for the log and the owner."""
        ...


class Microphone(Protocol):
    """One source of encoded sound, dated on the clock that dates the pictures.  Its life is a `Camera`'s."""

    def open(self) -> SoundDescription:
        """Open the device and say what it gives.  Raises `DeviceError` with the remedy."""
        ...

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        """Delivers from a separate thread until `stop()` or the end; `first_ns` as for `Camera.start`."""
        ...

    def stop(self) -> None:
        """Stop, join the thread, close the device.  Idempotent."""
        ...


class Speaker(Protocol):
    """One sink of sound: 48 kHz, one channel, 16 bits a sample.  Belongs to one thread at a time."""

    def open(self) -> None:
        """Raises `DeviceError` with the remedy."""
        ...

    def play(self, samples: bytes) -> None:
        """Returns once the device has taken the samples, which may wait until older ones were heard.  Raises
        `DeviceError` if the device is gone."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


class Network(Protocol):
    """A trained network: pixels in, numbers out. `core.object_detection` interprets the numbers.

    Belongs to one thread. The same pixels give the same numbers on one machine.
    """

    def infer(self, pixels: Pixels) -> Numbers:
        """One row for each cell, for one square picture. The array is the caller's to keep.

        `pixels` is only read.  Raises `DeviceError` for pixels of another size and when the network cannot be run.
        """
        ...


class Bus(Protocol):
    """One client's connection to a message broker, kept up by a separate thread.

    `publish`, `subscribe` and `hurry` return at once and may be called from any thread; one thread takes the events.
    """

    @property
    def dropped(self) -> int:
        """Inbound messages dropped since the start: malformed, or more than the broker may send at once.

        It depends on what came, and never on how long messages are processed."""
        ...

    def start(self) -> None:
        """Begin to connect, and to reconnect for ever with growing, jittered pauses.  Called once.

        Raises `ConfigurationError` when our own certificate or key cannot be used.
        """
        ...

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        """Hands over one message (QoS 1).  Returns true if it was taken: then exactly one event reports how it ended.

        Returns False if it was refused: the link is down, or the window (unacknowledged messages and bytes) is full.
        Ask again after the next `BusConnected` or `PublishResult`. `token` is any number that is not in flight. An
        empty retained payload clears a retained message.
        """
        ...

    def lane(self, topic: str) -> str:
        """Returns the lane of a topic. Messages of one lane wait for the same brokers, so a refusal of one holds for
        the others. A bus with one broker has one lane."""
        ...

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        """Subscribes on this and every later connection.  The answer is `Subscribed` or `SubscriptionRefused`.

        `retained`: the broker sends what it retains first. A later call for the same filter replaces the earlier one.
        """
        ...

    def read_retained(self, topic_filter: str) -> None:
        """Asks for what the broker retains, on this connection only. `unsubscribe` ends it. The answer is that of
        `subscribe`, and the messages, in any order. While the link is down nothing is asked. If the connection has a
        session and ends before, the broker keeps what comes."""
        ...

    def unsubscribe(self, topic_filter: str) -> None:
        """Ends the subscription.  Messages already on their way may still arrive."""
        ...

    def hurry(self, pending: bool) -> None:
        """Says whether work is pending: then pauses between reconnections stay within 4 s instead of 5 min."""
        ...

    def next_event(self, timeout_s: float) -> BusEvent | None:
        """Returns the oldest waiting event, or None after `timeout_s`.

        Inbound messages are acknowledged to the broker as they are taken here, so a slow taker slows the broker down; a
        device's bus acknowledges them before, at beats that tell nothing, and hands them out fairly between senders.
        """
        ...

    def stop(self) -> None:
        """Disconnects, joins the thread, and reports what is in flight as `PublishLost`.  Idempotent."""
        ...


class Journal(History, Protocol):
    """The custodian's durable truth.  Everything inside one `transaction()` is durable together or did not happen."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, value: bytes) -> None: ...
    def remove(self, name: str) -> None: ...
    def named(self, prefix: str) -> dict[str, bytes]:
        """Returns values with names that start with `prefix`, by the rest of the name."""
        ...

    def append_leaf(self, position: int, entry: bytes) -> None: ...
    def leaves(self, start: int = 0, end: int | None = None) -> list[bytes]: ...
    def add_request(self, request: MatchedRequest) -> None: ...
    def set_state(self, request: str, state: RequestState, disclosure: str | None = None) -> None: ...
    def request(self, request: str) -> MatchedRequest | None: ...
    def request_of(self, disclosure: str) -> MatchedRequest | None: ...
    def find_given_request(self, whose: tuple[str, str], request: str) -> MatchedRequest | None:
        """By the id that this (root, requester) gave it."""
        ...

    def match_count(self, request: str) -> int: ...
    def requests(self, *states: RequestState) -> list[StoredRequest]:
        """All of them, or those in `states`, oldest first."""
        ...

    def request_named(self, payload_sha256: str) -> MatchedRequest | None:
        """By the hash of its payload, which is how owners' statements name it."""
        ...

    def overdue(self, now_s: int, *states: RequestState) -> list[StoredRequest]:
        """Returns those in `states` that had expired before `now_s`, oldest first."""
        ...

    def held_segments(self, most: int) -> frozenset[str]:
        """Returns segments of every request that waits for its owner, at most this many, earliest requests first."""
        ...

    def use_sequence(self, numbers: str, seq: int, *, flush: bool = True) -> None:
        """Without `flush`, outside a transaction, a power cut may lose it. This keeps strangers from wearing out the
        card."""
        ...

    def use_nonce(self, nonce: str) -> bool:
        """False if it was used before."""
        ...

    def count(self, name: str) -> None:
        """Adds one. A power cut may lose the last few counts, so that strangers cannot wear out the card."""
        ...

    def counters(self) -> dict[str, int]: ...
    def add_blocked(self, blocked: BlockedRequest, keep: int) -> bool:
        """False if it was listed before.  The list keeps the newest `keep`."""
        ...

    def blocked(self) -> list[BlockedRequest]:
        """Newest first."""
        ...

    def add_opt_out(self, opt_out: ActiveOptOut) -> None: ...
    def remove_opt_out(self, scope: Scope, value: str, root: str) -> None: ...
    def opt_outs(self) -> tuple[ActiveOptOut, ...]: ...
    def add_outbox(self, record: OutboxRecord) -> None: ...
    def outbox(self) -> list[OutboxRecord]: ...
    def remove_outbox(self, disclosure: str) -> None: ...
    def close(self) -> None: ...


class OutboxDraft(Protocol):
    """An outbox object being written.  Leaving its `with` block without `commit` removes it."""

    def __enter__(self) -> OutboxDraft: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
    def write(self, number: int, segment: str, pieces: Iterable[bytes]) -> OutboxPart:
        """Part `number`, durable when this returns.  Raises `StorageError`."""
        ...

    def commit(self) -> None:
        """It is whole, and durable.  It counts once the journal names it."""
        ...


class Outbox(Protocol):
    """The bytes of approved disclosures, each written once and whole before the journal names it."""

    def begin(self, disclosure: str) -> OutboxDraft: ...
    def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes: ...
    def show_to_uplink(self, disclosure: str) -> None:
        """Lets the uplink's user read it, from now on. Idempotent."""
        ...

    def has(self, disclosure: str) -> bool:
        """Returns whether it is here."""
        ...

    def remove(self, disclosure: str) -> None: ...
    def sweep(self, known: frozenset[str]) -> None:
        """Remove what no journal row names."""
        ...


class Notifier(Protocol):
    """Tells the owner, in neutral words, that something waits for them.  Returns at once, whatever the network does."""

    def notify(self, kind: str, text: str, once: str = "") -> None:
        """`kind` names the news (`core.alerts.kinds`), `text` is for the log. For one `once`, only the first is
        told."""
        ...


class PictureNotifier(Protocol):
    """A `Notifier` that also takes pictures, each sealed to one browser that shows alerts."""

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None: ...


class AlertQueue(Protocol):
    """Alerts until their channels have taken them.  Durable when a call returns; raises `StorageError`."""

    def add(
        self,
        alerts: Sequence[QueuedAlert],
        deferred: Sequence[DeferredAlert],
        once: str = "",
        delayed: Sequence[DelayedAlert] = (),
    ) -> bool:
        """Adds all of it or nothing. Returns False, and adds nothing, if `once` was added before."""
        ...

    def delayed(self) -> tuple[DelayedAlert, ...]: ...

    def pass_time(self, passed_ms: int) -> None:
        """Reduces the remaining delay by this much."""
        ...

    def release_delayed(
        self, delayed: Sequence[DelayedAlert], alerts: Sequence[QueuedAlert], deferred: Sequence[DeferredAlert]
    ) -> None:
        """Put those in the place of these."""
        ...

    def waiting(self, channel: str, most: int) -> tuple[QueuedAlert, ...]:
        """The next of a channel, by rank and age."""
        ...

    def deferred(self, channel: str, why: str) -> tuple[DeferredAlert, ...]: ...

    def release(self, deferred: Sequence[DeferredAlert], alert: QueuedAlert) -> None:
        """Put one alert in the place of all of these."""
        ...

    def remove(self, alerts: Sequence[int]) -> None:
        """They were taken."""
        ...

    def date(self, now_ms: int) -> None:
        """Dates news that came while the clock was unknown to now."""
        ...

    def retain(self, channels: Sequence[str], after_ms: int) -> int:
        """Drop what is older, or for channels that are no more; how many alerts that were."""
        ...

    def counts(self) -> dict[str, int]:
        """Returns how many wait, by channel."""
        ...

    def close(self) -> None: ...


class AlertSender(Protocol):
    """Takes messages to one of the owner's channels."""

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        """Returns after the channel has accepted it, otherwise raises `NetworkError`. Its errors leave out the URL,
        which holds secrets. `at_ms`: UTC of the newest alert, 0 if unknown."""
        ...


class HomeBus(Protocol):
    """A connection to the owner's broker that only publishes, kept up by a separate thread. Never raises."""

    def start(self, will: tuple[str, bytes] | None = None) -> None:
        """`will`: topic and payload the broker shall retain when we are gone without a word."""
        ...

    @property
    def connection(self) -> int | None:
        """The number of the present connection, None while there is none."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publishes (QoS 1) and waits for the broker's answer a few seconds. While disconnected, it does nothing."""
        ...

    def stop(self) -> None: ...


class DiskFile(Protocol):
    """A file open for appending.  Every method raises `OSError`, after which only `close` may be called."""

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        ...

    def sync_data(self) -> None:
        """fdatasync: the bytes up to now survive a power cut, if the file's name does."""
        ...

    def sync(self) -> None:
        """fsync: `sync_data` and what the file system knows of the file."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """Every call the vault makes to a file system, so that a test can stop after each one.  All raise `OSError`."""

    def make_directory(self, path: Path) -> None:
        """With its parents; nothing happens when it exists."""
        ...

    def names(self, path: Path) -> list[str]:
        """Returns the names in a directory, in any order."""
        ...

    def create(self, path: Path) -> DiskFile:
        """A new file; `FileExistsError` if there is one."""
        ...

    def append_to(self, path: Path) -> DiskFile:
        """The file at `path`, made when missing."""
        ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cut the file off, and fsync it."""
        ...

    def sync_directory(self, path: Path) -> None:
        """fsync of a directory: names made, changed and removed in it until now survive a power cut."""
        ...

    def size(self, path: Path) -> int | None:
        """Returns the size in bytes; None if the file is missing."""
        ...

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """Fewer bytes than asked for only at the end of the file."""
        ...

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        """The file from `offset` on, from the medium rather than from memory where the system can tell them apart."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Returns the bytes that an unprivileged process may still write there."""
        ...


class SegmentFile(Protocol):
    """A segment or poster being written.  After a `StorageError` only `abandon` may be called: no sync is retried."""

    def append(self, data: bytes) -> None: ...

    def sync(self) -> None:
        """Makes appended data survive a power cut."""
        ...

    def finish(self) -> None:
        """The file is complete, durable and closed; it still bears its `.part` name."""
        ...

    def abandon(self) -> None:
        """Close and leave it lying: start-up will find it.  Idempotent, never raises."""
        ...


class SegmentStore(Protocol):
    """The vault's files, named by meaning.  Everything raises `StorageError` with the remedy."""

    def prepare(self) -> None:
        """Make the directories, durably.  Idempotent."""
        ...

    def create(self, file: VaultFile) -> SegmentFile: ...

    def rename(self, changes: Sequence[tuple[VaultFile, VaultFile]]) -> None:
        """Give files of one shard new names, in order, and make the names durable."""
        ...

    def confirm(self, file: VaultFile) -> None:
        """Makes a file and its name durable, because it was found in an unknown state."""
        ...

    def remove(self, files: Sequence[VaultFile]) -> None:
        """Unlink what of `files` is there.  Not made durable: what comes back, the next start removes again."""
        ...

    def settle_removals(self) -> None:
        """Make durable that removed files are gone."""
        ...

    def quarantine(self, shard: str, name: str) -> None:
        """Moves a foreign file into `aside/`, durably, under a free name."""
        ...

    def names(self, shard: str) -> list[str]:
        """Every name in one shard, known or not, sorted."""
        ...

    def size(self, file: VaultFile) -> int | None:
        """In bytes; None when it is missing."""
        ...

    def read(self, file: VaultFile, offset: int, size_bytes: int) -> bytes:
        """Fewer bytes than asked for only at the end of the file."""
        ...

    def chunks(self, file: VaultFile) -> Iterator[bytes]:
        """The whole file, from the medium."""
        ...

    def free_bytes(self) -> int: ...

    def quarantined(self) -> tuple[int, int]:
        """Returns the number of quarantined files, and their bytes."""
        ...


class ManifestLog(Protocol):
    """The manifest's lines, in chapters: only the end of the newest ever changes, and whole old ones are removed.

    A position is the number of a chapter and an offset in its file (`core.vault.manifest.chapter_start`).  Everything
    raises `StorageError` with the remedy.  After a failed `append` every further one fails until `recover`, because the
    file may then hold anything.
    """

    def recover(self) -> None:
        """Open the newest chapter (made when there is none) and make durable what it holds now."""
        ...

    def append(self, line: bytes) -> None:
        """Add `line` and its line feed; on return they are durable."""
        ...

    def cut(self, position: int) -> None:
        """Drop everything of its chapter from `position` on, durably."""
        ...

    def chapters(self) -> tuple[int, ...]:
        """The numbers of the chapters that are there, ascending."""
        ...

    def end(self) -> int:
        """The position behind the last byte; 0 for an empty file."""
        ...

    def sizes(self) -> dict[int, int]:
        """The bytes of each chapter, by number."""
        ...

    def read(self, position: int, size_bytes: int) -> bytes:
        """Returns fewer bytes than requested only at the end of a chapter; nothing of a missing chapter."""
        ...

    def raw_lines(self, position: int = 0) -> Iterator[RawLine]:
        """The lines from `position` on, from the medium, chapter after chapter, in bounded memory."""
        ...

    def lines(self, position: int = 0) -> Iterator[bytes]:
        """The same lines, each with its line feed, the last of a chapter perhaps without."""
        ...

    def prepare_chapter(self, chapter: int, lines: Iterable[bytes]) -> None:
        """Write a new chapter's first lines aside, durably.  A failure changes nothing of the manifest."""
        ...

    def begin_chapter(self, chapter: int) -> None:
        """Make a prepared chapter the newest, all of it or nothing; durable on return."""
        ...

    def remove_chapters(self, chapters: Iterable[int]) -> None:
        """Unlink them.  Not durable: those that come back are removed by the next start."""
        ...

    def spend_reserve(self) -> None:
        """Give the disk back the little space set aside for tombstones, so that a full disk can be relieved."""
        ...

    def keep_reserve(self) -> None:
        """Set that space aside (again), if there is room.  Never raises."""
        ...

    def missing_reserve_bytes(self) -> int:
        """Bytes that the reserve lacks: free space that is not usable."""
        ...


class Index(Protocol):
    """A cache of the manifest: which segments are stored, quick to ask.  Losing it loses nothing.

    Everything raises `StorageError` with the remedy.  Safe to ask from any thread.
    """

    @property
    def is_damaged(self) -> bool:
        """It has turned out to be damaged: every call but `clear` fails."""
        ...

    def chain_head(self) -> ChainHead:
        """The end of the manifest when `apply` was last called; `ChainHead()` when the index is empty."""
        ...

    def clear(self) -> None:
        """Forgets everything, also the copy, and makes the cache again if it is damaged."""
        ...

    def keep_copy(self) -> None:
        """Stores the cache a second time. A lost one is then read on from that copy instead of from the beginning."""
        ...

    def restore_copy(self) -> bool:
        """Puts the copy in the place of the cache, and returns whether there was one. A copy is used once."""
        ...

    def apply(
        self,
        added: Sequence[VaultEntry],
        removed: Sequence[SegmentId],
        tip: ChainHead,
        syncs: Sequence[NumberedClockSync] = (),
    ) -> None:
        """Removes, then adds, then dates by the `syncs`: all or nothing. Removed entries may be absent."""
        ...

    def get(self, segment: SegmentId) -> VaultEntry | None: ...

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        """Segments with `start_ms < to_ms` and `end_ms > from_ms`, by start and then by sequence."""
        ...

    def oldest(self, *, continuous: bool | None = None, after: int = -1) -> Iterator[VaultEntry]:
        """Every segment with a sequence above `after`, by sequence, or only the continuous ones, or only the others.

        The index may be changed while it is read, which then shows or does not.
        """
        ...

    def scrubbed(self) -> int:
        """Returns the last value of `set_scrubbed`, or -1 if there is none since the cache was made."""
        ...

    def set_scrubbed(self, sequence: int) -> None: ...

    def recorded_in(self, first: int, end: int) -> tuple[VaultEntry, ...]:
        """Returns every segment with a line at a position in [first, end), by position."""
        ...

    def boots(self) -> frozenset[str]:
        """The boots in which the stored segments were recorded."""
        ...

    def line_bytes(self) -> dict[int, int]:
        """Returns the bytes of the lines of stored segments in each chapter of the manifest, line feeds included."""
        ...

    def undated(self, boot: str) -> bool:
        """Returns True if a segment of `boot` has a date that a clock sync could improve."""
        ...

    def newest(self) -> VaultEntry | None: ...

    def shard(self, shard: str) -> tuple[VaultEntry, ...]:
        """Returns every segment with an id that starts with `shard`."""
        ...

    def totals(self) -> Totals: ...

    def close(self) -> None: ...


class AlertMailer(Protocol):
    """Source of alerts: the custodian's alerts, or the way to it through a socket."""

    def channels(self) -> tuple[ChannelAddress, ...]: ...
    def collect(self, wait_s: float) -> tuple[AlertMessage, ...]: ...
    def acknowledge(self, parcel: AlertMessage, fault: str = "") -> None: ...


class HomeStateSource(Protocol):
    """Source of the states that the uplink's half publishes."""

    def collect(self, presses: int, wait_s: float) -> HomeState: ...


class LinkPort(Protocol):
    """The doorbell's end of the link (LINK.md), for a carrier of its frames."""

    def deliver(self, frames: Sequence[LinkFrame]) -> None: ...
    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]: ...


class CustodyPort(Protocol):
    """The operations of the custodian that the uplink may call."""

    def on_message(self, topic: str, data: bytes) -> Receipt | None: ...
    def outgoing(self) -> list[tuple[OutboxRecord, bool]]: ...
    def begin_sending(self, disclosure: str) -> bool: ...
