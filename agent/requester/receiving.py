"""Receives disclosures: feeds `core.transfer` from the bus and the disk, and answers with signed receipts.

- Every disclosure that comes in is somebody's claim until its part 0 opens with the reply key of a request of ours and
  verifies.  Before that only part 0 is taken, and few of those at once, so that a stranger can fill neither disk nor
  memory.  What does not open is dropped in silence: there is no request to name in a receipt.
- A receipt says only what is on the disk.  `complete` is said after everything was verified and opened once, and after
  that fact is durable; the same disclosure delivered again is answered again and written never.
- A restart needs nothing but the folder: sealed parts are found, the rest is asked for.

Driven from one thread: `run`, or `step` by step.  Source: PROTOCOL.md, "Upload" and "Receipt".
"""

from __future__ import annotations

import enum
import functools
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent.core.bus import Acknowledged, BusEvent, Connected, Disconnected, Received, Refused
from agent.core.disclosure import read_manifest
from agent.core.timebase import NS_PER_S
from agent.core.transfer import (
    AllHeld,
    Answer,
    Held,
    HeldState,
    ManifestHeld,
    PartSize,
    ReceiverLimits,
    Reception,
    SealPart,
    Write,
)
from agent.core.transfer import Receiver as Assembly
from agent.core.transfer.receipts import receipt_of
from agent.core.vault.age.opening import open_bytes
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.ports import Bus, Clock
from agent.requester import files
from agent.requester.answers import AnswerFolder, Origin, answers
from agent.requester.identity import Asked, Requester
from agent.requester.publishing import Outgoing, connection_lock, publish_pending
from agent.requester.verifying import MOST_PART_BYTES, examine
from agent.wire import strictjson
from agent.wire.disclosures import Receipt
from agent.wire.topics import ChunkVerb, ReceiptTopic, UploadTopic, Verb, parse_topic
from agent.wire.uploads import UPLOAD_NOTE_LIMIT_BYTES, UploadNote

__all__ = ["News", "NewsKind", "Receiver", "ReceivingLimits"]

_STEP_S: Final = 0.5
_LOOK_FOR_REQUESTS_NS: Final = NS_PER_S
_MOST_UNREADABLE: Final = 4096


@dataclass(frozen=True, slots=True)
class ReceivingLimits:
    """What strangers and devices may ask of this machine."""

    transfer: ReceiverLimits = field(
        default_factory=lambda: ReceiverLimits(manifest_bytes=32 << 20, part_bytes=MOST_PART_BYTES)
    )
    unread: int = 64
    """Disclosures whose part 0 is on its way, in all …"""
    unread_per_device: int = 4
    """… and of one device; beyond it the device's oldest is dropped."""
    disclosures: int = 10_000
    """Folders below `disclosures/`.  Move old ones away to make room."""
    free_bytes: int = 1 << 30
    """What stays free on the disk: a disclosure that would not fit waits."""


class NewsKind(enum.Enum):
    """What happened, for whoever watches."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    BEGUN = "begun"
    """Part 0 opened and verified: this is an answer to one of our requests."""
    PROGRESS = "progress"
    COMPLETE = "complete"
    REFUSED = "refused"
    DROPPED = "dropped"
    """It opens with none of our keys."""
    NO_ROOM = "no room"
    NOT_PUBLISHED = "not published"
    """The broker refused one of our requests."""
    DAMAGED = "damaged"
    """The files of one of our requests cannot be read."""
    STOPPED = "stopped"
    """The device sends no more of it."""


@dataclass(frozen=True, slots=True)
class News:
    kind: NewsKind
    disclosure: str = ""
    request: str = ""
    held_bytes: int = 0
    expected_bytes: int = 0
    detail: str = ""


def _ignore(_news: News) -> None:
    """Nobody watches."""


def _count_not(_disclosures: int) -> None:
    """Nobody counts."""


class Receiver:
    """The receiving service of one requester over `bus`, which is started and stopped by whoever made it.

    Nobody else may take the bus's events meanwhile.  Requests signed but not yet published are published on the way.
    `answered` is told how many disclosures are complete and their receipts with the broker.
    """

    def __init__(
        self,
        requester: Requester,
        bus: Bus,
        clock: Clock,
        limits: ReceivingLimits | None = None,
        *,
        tell: Callable[[News], None] = _ignore,
        answered: Callable[[int], None] = _count_not,
        retention_days: int | None = None,
    ) -> None:
        self._requester = requester
        self._bus = bus
        self._clock = clock
        self._limits = limits or ReceivingLimits()
        self._tell = tell
        self._answered = answered
        self._complete: set[str] = set()
        self._retention_days = retention_days
        self._outgoing = Outgoing(bus)
        self._reception = Reception(self._limits.transfer)
        self._unread: OrderedDict[str, str] = OrderedDict()
        """Disclosure → device, oldest first, of those whose part 0 has not been opened."""
        self._unreadable: OrderedDict[str, None] = OrderedDict()
        self._requests: dict[str, Asked] = {}
        """Disclosure → the request it answers, once known."""
        self._waiting_for_room: set[str] = set()
        self._not_taken: set[str] = set()
        self._told_damaged: set[str] = set()
        self._looked_ns = -_LOOK_FOR_REQUESTS_NS
        self.dropped = 0
        """Messages that were none, or not wanted."""

    def run(self, stop: threading.Event) -> None:
        """Receive until `stop` is set.  Raises `StorageError` when the disk fails: start again, nothing is lost."""
        with connection_lock(self._requester):
            self.start()
            while not stop.is_set():
                self.step(_STEP_S)

    def start(self) -> None:
        """Tidy what a crash left, and subscribe."""
        for folder in answers(self._requester.folder):
            if 0 in folder.sealed() or folder.outcome() is not None:
                folder.drop_unsealed()
            else:
                folder.remove()
        self._bus.subscribe(f"doorward/v1/up/{self._requester.id}/#")

    def step(self, timeout_s: float) -> BusEvent | None:
        """Take one event, waiting at most `timeout_s`, and do all that follows from it."""
        self._publish_requests()
        self._outgoing.pump()
        event = self._bus.next_event(timeout_s)
        match event:
            case Received():
                self._received(event)
            case Connected():
                self._tell(News(NewsKind.CONNECTED))
            case Disconnected(error=error):
                self._tell(News(NewsKind.DISCONNECTED, detail=str(error)))
            case None:
                pass
            case _:
                self._outgoing.settled(event)
        self._outgoing.pump()
        return event

    # What comes in

    def _received(self, message: Received) -> None:
        try:
            topic = parse_topic(message.topic)
        except FormatError:
            self.dropped += 1
            return
        if not isinstance(topic, UploadTopic) or topic.requester != self._requester.id:
            self.dropped += 1
            return
        match topic.verb:
            case ChunkVerb(offset, sha256):
                if (assembly := self._reception.find(topic.device, topic.disclosure)) is not None:
                    assembly.chunk(topic.part, offset, message.payload, sha256)
                    self._pump(topic.disclosure, assembly)
            case Verb.FIN:
                if (assembly := self._reception.find(topic.device, topic.disclosure)) is not None:
                    assembly.fin(topic.part)
                    self._pump(topic.disclosure, assembly)
            case Verb.INIT if topic.part == 0 and message.payload:
                self._init(topic.device, topic.disclosure, message.payload)
            case Verb.ABORT if self._reception.find(topic.device, topic.disclosure) is not None:
                self._stopped(topic.disclosure)
            case _:
                pass

    def _init(self, device: str, disclosure: str, payload: bytes) -> None:
        """What the device has for us, or its question how much of it is here."""
        try:
            note = strictjson.decode(payload, UploadNote, limit_bytes=UPLOAD_NOTE_LIMIT_BYTES)
        except FormatError:
            self.dropped += 1
            return
        manifest = PartSize(note.size_bytes, note.sha256)
        if disclosure in self._unreadable:
            self.dropped += 1
            return
        known = disclosure in self._reception or self._reopened(device, disclosure)
        if not known and not self._begun(device, disclosure, note):
            self.dropped += 1
            return
        assembly = self._reception.init(device, disclosure, manifest, note.parts)
        if assembly is not None:
            if disclosure in self._waiting_for_room:
                self._read_manifest(disclosure, assembly)
            self._pump(disclosure, assembly)

    def _begun(self, device: str, disclosure: str, note: UploadNote) -> bool:
        """Make room on the disk for one more stranger, within the limits."""
        folder = self._folder(disclosure)
        of_device = [each for each, owner in self._unread.items() if owner == device]
        if len(of_device) >= self._limits.unread_per_device:
            self._forget(of_device[0])
        if len(self._unread) >= self._limits.unread or self._room() < note.size_bytes:
            return False
        if sum(1 for _ in answers(self._requester.folder)) >= self._limits.disclosures:
            self._tell(News(NewsKind.NO_ROOM, disclosure, detail="Move old folders out of disclosures/."))
            return False
        folder.create(Origin(v=1, device=device, parts=note.parts, size_bytes=note.size_bytes, sha256=note.sha256))
        self._unread[disclosure] = device
        return True

    def _reopened(self, device: str, disclosure: str) -> bool:
        """Take up a disclosure of this device that lies on the disk."""
        folder = self._folder(disclosure)
        origin = folder.origin()
        if origin is None or origin.device != device:
            return origin is not None  # another device's: the reception drops it
        assembly = Assembly(
            origin.manifest, origin.parts, self._limits.transfer, sealed=folder.sealed(), state=folder.state
        )
        request = folder.request()
        if request is not None and folder.state is not HeldState.PARTIAL:
            self._requests[disclosure] = self._requester.asked_in(request)
        self._reception.reopen(device, disclosure, assembly)
        return True

    def _stopped(self, disclosure: str) -> None:
        """The owner took it back while it was on its way.  What has arrived stays, unopened and unverified."""
        if disclosure in self._unread:
            self._forget(disclosure)
        self._close(disclosure)
        self._tell(News(NewsKind.STOPPED, disclosure))

    # What follows

    def _pump(self, disclosure: str, assembly: Assembly) -> None:
        folder = self._folder(disclosure)
        while (effect := assembly.next_effect()) is not None:
            match effect:
                case Write(part, offset, data):
                    folder.write(part, offset, data)
                case SealPart(part, size):
                    assembly.sealed(part, folder.seal(part, size))
                    self._progress(disclosure, assembly)
                case ManifestHeld():
                    self._read_manifest(disclosure, assembly)
                case AllHeld():
                    self._finish(disclosure, assembly)
                case Answer(held):
                    self._answer(disclosure, held)

    def _read_manifest(self, disclosure: str, assembly: Assembly) -> None:
        """Part 0 is here: find out whose answer it is, and whether it is one."""
        folder = self._folder(disclosure)
        self._unread.pop(disclosure, None)
        self._waiting_for_room.discard(disclosure)
        found = self._opened(folder)
        if found is None:
            self._forget(disclosure)
            self._remember_unreadable(disclosure)
            self._tell(News(NewsKind.DROPPED, disclosure))
            return
        asked, statements = found
        try:
            disclosed = read_manifest(statements, asked.request, asked.payload_sha256)
            origin = folder.origin()
            if origin is None or (disclosed.manifest.disclosure, disclosed.manifest.device_key.id) != (
                disclosure,
                origin.device,
            ):
                raise FormatError("It came under another name than the one it was signed with.")  # noqa: TRY301
        except FormatError as error:
            self._refuse(disclosure, assembly, asked, error.message)
            return
        if asked.withdrawn:
            self._refuse(disclosure, assembly, asked, "The request was withdrawn.")
            return
        sizes = tuple(PartSize(part.size_bytes, part.sha256) for part in disclosed.manifest.parts)
        if self._room() < sum(size.size_bytes for size in sizes):
            self._waiting_for_room.add(disclosure)  # until the device asks again
            self._tell(News(NewsKind.NO_ROOM, disclosure, asked.request.id, detail="The disk is too full for it."))
            return
        folder.adopt(asked.envelope)
        self._requests[disclosure] = asked
        assembly.expect(sizes)
        if assembly.state is HeldState.REFUSED:
            self._refuse(disclosure, assembly, asked, "It is larger than this machine takes, or announced otherwise.")
        else:
            self._tell(self._news(NewsKind.BEGUN, disclosure, assembly))

    def _opened(self, folder: AnswerFolder) -> tuple[Asked, bytes] | None:
        """The request whose reply key opens part 0, and what is inside."""
        data = files.read(folder.part(0), self._limits.transfer.manifest_bytes)
        for asked in self._requester.all_asked(self._damaged):
            try:
                return asked, open_bytes(data, [asked.reply_identity()])
            except OpenError:
                continue
            except ConfigurationError as error:
                self._damaged(asked.request.id, error)
            except FormatError:
                return None
        return None

    def _finish(self, disclosure: str, assembly: Assembly) -> None:
        """Everything is here: verify and open all of it, once."""
        folder, asked = self._folder(disclosure), self._requests[disclosure]
        verification = examine(self._requester, disclosure)
        if verification.failed is not None:
            self._refuse(disclosure, assembly, asked, verification.failed.said)
            return
        folder.end(HeldState.COMPLETE)
        assembly.complete()
        self._tell(self._news(NewsKind.COMPLETE, disclosure, assembly))

    def _refuse(self, disclosure: str, assembly: Assembly, asked: Asked, reason: str) -> None:
        folder = self._folder(disclosure)
        folder.adopt(asked.envelope)
        folder.end(HeldState.REFUSED, reason)
        self._requests[disclosure] = asked
        assembly.refuse()
        self._tell(News(NewsKind.REFUSED, disclosure, asked.request.id, detail=reason))

    def _answer(self, disclosure: str, held: Held) -> None:
        asked = self._requests.get(disclosure)
        if held.state is HeldState.PARTIAL or asked is not None:
            for audience in (asked.request.audience,) if asked else self._requester.audiences(self._damaged):
                receipt = self._receipt(disclosure, held, asked, audience)
                data = self._requester.sign(Receipt.PAYLOAD_TYPE, receipt)
                self._outgoing.put(
                    str(ReceiptTopic(disclosure)),
                    data,
                    slot=f"{disclosure} {audience}",
                    done=functools.partial(self._receipt_sent, disclosure, held.state),
                )
        if held.state is HeldState.REFUSED and asked is None:
            # Larger than anything we would take, before it said what it answers: nothing to say, nothing to keep.
            self._forget(disclosure)
            self._remember_unreadable(disclosure)
        elif held.state is not HeldState.PARTIAL:
            if self._folder(disclosure).outcome() is None:
                self._folder(disclosure).end(held.state, "Its parts did not have the hashes that were announced.")
            self._close(disclosure)  # answered from the disk if it is asked again

    def _receipt_sent(self, disclosure: str, state: HeldState, answer: Acknowledged | Refused) -> None:
        if state is HeldState.COMPLETE and isinstance(answer, Acknowledged):
            self._complete.add(disclosure)
            self._answered(len(self._complete))

    def _receipt(self, disclosure: str, held: Held, asked: Asked | None, audience: str) -> Receipt:
        return receipt_of(
            held,
            disclosure=disclosure,
            request=asked.request.id if asked else None,
            requester=self._requester.id,
            audience=audience,
            seq=self._requester.next_number(),
            time_s=self._now_s,
            retention_days=self._retention_days if held.state is HeldState.COMPLETE else None,
        )

    # Bookkeeping

    @property
    def _now_s(self) -> int:
        return self._clock.now().utc_ns // NS_PER_S

    def _folder(self, disclosure: str) -> AnswerFolder:
        return AnswerFolder(self._requester.folder, disclosure)

    def _room(self) -> int:
        """Bytes that may still be written."""
        with files.storage_errors(self._requester.folder):
            return shutil.disk_usage(self._requester.folder).free - self._limits.free_bytes

    def _close(self, disclosure: str) -> None:
        """Out of memory, not off the disk."""
        self._reception.close(disclosure)
        self._requests.pop(disclosure, None)
        self._waiting_for_room.discard(disclosure)

    def _forget(self, disclosure: str) -> None:
        """Off the disk as well: nothing of it was ours."""
        self._close(disclosure)
        self._unread.pop(disclosure, None)
        self._folder(disclosure).remove()

    def _remember_unreadable(self, disclosure: str) -> None:
        self._unreadable[disclosure] = None
        while len(self._unreadable) > _MOST_UNREADABLE:
            self._unreadable.popitem(last=False)

    def _progress(self, disclosure: str, assembly: Assembly) -> None:
        if disclosure in self._requests:
            self._tell(self._news(NewsKind.PROGRESS, disclosure, assembly))

    def _news(self, kind: NewsKind, disclosure: str, assembly: Assembly) -> News:
        request = self._requests[disclosure].request.id
        return News(kind, disclosure, request, assembly.held_bytes, assembly.expected_bytes or 0)

    def _damaged(self, request_id: str, error: DoorwardError) -> None:
        """One of our own requests cannot be read: its answers will be lost, the others' not."""
        if request_id not in self._told_damaged:
            self._told_damaged.add(request_id)
            self._tell(News(NewsKind.DAMAGED, request=request_id, detail=str(error)))

    def _publish_requests(self) -> None:
        """Once a second: a request may have been signed by another process meanwhile."""
        now_ns = self._clock.now().boot_ns
        if now_ns - self._looked_ns >= _LOOK_FOR_REQUESTS_NS:
            self._looked_ns = now_ns
            publish_pending(self._requester, self._outgoing, self._now_s, self._not_published, self._not_taken)

    def _not_published(self, request_id: str, error: DoorwardError) -> None:
        self._not_taken.add(request_id)  # until the next start: asking again at once would not help
        self._tell(News(NewsKind.NOT_PUBLISHED, request=request_id, detail=str(error)))
