"""Assembles incoming disclosures on the disk, each until it is complete, refused or dropped.

- An incoming disclosure is an unproven claim until its part 0 opens with the reply key of one of our requests and
  verifies. Before that only part 0 is accepted, for a few disclosures at a time, so that a stranger can fill neither
  disk nor memory. Otherwise it is dropped silently, because a receipt must name a request.
- Each doorbell has a quota (`disk_usage`). Announced bytes count from the first byte on.
- `complete` is sent after all parts were verified and opened once, and after that fact is durable. If the same
  disclosure arrives again, it is acknowledged again and not written.
- A restart needs only the folder: it finds the whole parts and asks for the rest.
- An answer to a relayed request (`SentRequest.relayed`) is stored unopened, within a separate limit. The neighbour
  with the key verifies it. Decision 66.

Source: PROTOCOL.md, "Upload". `core.transfer` decides about bytes, `core.disclosure` about their content.
"""

from __future__ import annotations

import shutil
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from agent.clients.opening import open_bytes
from agent.clients.requester.answer_index import HeldDisclosure
from agent.clients.requester.checks import ranges_of, unexpected_errors
from agent.clients.requester.disclosure_folder import ANSWERS, AnswerFolder, DisclosureOrigin
from agent.clients.requester.grades import summary_of
from agent.clients.requester.identity import Requester, SentRequest, is_id
from agent.clients.requester.incoming_tips import is_tip, manifest_in, open_tip
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.transfer_queue import UploadScheduler
from agent.clients.requester.upload_share import UploadShare
from agent.clients.requester.verification import examine
from agent.core.disclosure import read_manifest, reply_tag_in
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.core.transfer import (
    AllReceived,
    ManifestReceived,
    OpenTransfers,
    PartSize,
    SealPart,
    SendReceipt,
    TransferProgress,
    UploadReceiver,
    WritePart,
)
from agent.errors import (
    ConfigurationError,
    DoorwardError,
    FormatError,
    InternalError,
    NetworkError,
    OpenError,
    StorageError,
)
from agent.platform import files
from agent.ports import Clock
from agent.wire.disclosures import ReceiptState, TipManifest
from agent.wire.topics import ANONYMOUS
from agent.wire.uploads import UploadNote

__all__ = ["AddressedRequest", "IncomingDisclosures"]

_MOST_REMEMBERED: Final = 4096
_BEYOND_LIMITS: Final = "It exceeds this machine's limits or its own announcement."
_LEAVE_NS: Final = 300 * NS_PER_S
"""Time without a word after which a receiver leaves an upload to the others. Longer than a doorbell waits to ask."""
_SWEEP_NS: Final = NS_PER_S // 4
"""Time of each second for answers of receivers that died."""
_SILENT_NS: Final = 60 * NS_PER_S
"""Time without a word after which an arriving disclosure makes room for another one."""


@dataclass(frozen=True, slots=True)
class AddressedRequest:
    """Facts for a receipt: the request that the disclosure answers (for a tip its own id), the root, and the days
    that the request promised (for a tip those of the profile)."""

    request: str
    trust_root: str
    retention_days: int | None


Reply = Callable[[str, str, TransferProgress, AddressedRequest | None], None]
"""Sends a receipt. Takes the device, its disclosure, the progress, and the request if it is known."""


class IncomingDisclosures:
    """The disclosures of one requester. All methods raise `StorageError` if the disk fails."""

    def __init__(
        self,
        requester: Requester,
        clock: Clock,
        limits: ReceivingLimits,
        tell: Callable[[ReceiverEvent], None],
        reply: Reply,
        share: UploadShare,
    ) -> None:
        self._requester = requester
        self._clock = clock
        self._limits = limits
        self._watcher = tell
        self._reply = reply
        self._share = share
        self._reception = OpenTransfers(limits.transfer)
        self._unread: OrderedDict[str, str] = OrderedDict()
        """Disclosure → device, oldest first, of those with an unopened part 0."""
        self._unreadable: OrderedDict[str, None] = OrderedDict()
        self._told_no_place: OrderedDict[str, None] = OrderedDict()
        """Unfinished disclosures of doorbells that send too many at once. They were told once."""
        self._requests: dict[str, SentRequest] = {}
        """Disclosure → the request that it answers, once known."""
        self._tips: dict[str, TipManifest] = {}
        """By id, once read."""
        self._heard_ns: dict[str, int] = {}
        """Disclosure → boot time of its last message."""
        self._waiting_for_room: set[str] = set()
        self._to_sweep: deque[str] = deque()
        """Answers of receivers that may have died."""
        self._turns = UploadScheduler(limits.at_once)
        self._answering_later: dict[str, UploadReceiver] = {}
        """Disclosures with a progress receipt that was put off."""
        self._told_damaged: set[str] = set()
        self._holdings = requester.answers
        self._not_kept: set[str] = set()
        """Refused disclosures. They are deleted from the disk once the receipt is sent."""

    # Messages from devices

    def sweep(self) -> None:
        """Cleans up after a crash. Receivers that share uploads leave most of it to `sweep_on`."""
        self._holdings.reconcile()
        if not self._share.shared:
            for disclosure in self._holdings.receiving():
                self._sweep(disclosure)
            return
        for name in files.names_in(self._requester.folder / ANSWERS):
            if is_id(name):
                self._folder(name).leave()
        # Later, one at a time: with a thousand answers under way this takes minutes of calls to the store, and each
        # that fails would begin it again.
        self._to_sweep.extend(self._holdings.receiving(live=True))

    def sweep_on(self) -> None:
        """Cleans up answers of receivers that died, for a moment. Until then their announced size counts."""
        ends_ns = self._clock.now().boot_ns + _SWEEP_NS
        while self._to_sweep and self._clock.now().boot_ns < ends_ns:
            disclosure = self._to_sweep.popleft()
            if disclosure not in self._reception and self._share.claim(disclosure):
                self._sweep(disclosure)
                if self._folder(disclosure).state is not ReceiptState.PARTIAL:
                    # Its receiver died before it told the end.
                    self._tell(ReceiverEvent(ReceiverEventKind.TAKEN_OVER, disclosure))
                self._share.leave(disclosure)

    def _sweep(self, disclosure: str) -> None:
        """Removes an answer of which no part is here."""
        folder = self._folder(disclosure)
        # An answer that was read stays, also if the store lists no part of it at a bad moment: its parts may be
        # acknowledged.
        if folder.request() is not None or 0 in folder.sealed() or folder.outcome() is not None:
            folder.drop_unsealed()
        else:
            folder.remove()
        self._holdings.ended(disclosure)

    def leave_all(self) -> None:
        """Leaves all uploads to other receivers, because no message of them may come any more."""
        for disclosure in self._reception.ids():
            self._leave(disclosure)

    def leave_silent(self) -> None:
        """Leaves uploads to other receivers whose devices say nothing any more."""
        now_ns = self._clock.now().boot_ns
        for disclosure in self._reception.ids():
            if now_ns - self._heard_ns[disclosure] > _LEAVE_NS:
                self._leave(disclosure)

    def _leave(self, disclosure: str) -> None:
        if disclosure in self._unread:
            self._forget(disclosure)
        else:
            self._close(disclosure)
            self._holdings.ended(disclosure)

    def may_wait(self, disclosure: str) -> bool:
        """Returns True for an upload that is not open while others send."""
        return disclosure not in self._reception and self._turns.are_taken(self._clock.now().boot_ns)

    def init(self, device: str, disclosure: str, note: UploadNote) -> None:
        """Handles an init: the announcement of a disclosure, and the question how much of it is here."""
        if disclosure in self._unreadable or self._is_still_crowded_out(device, disclosure):
            return
        if not self._share.claim(disclosure, device):
            return
        with self._unless_deleted(disclosure, device):
            self._init(device, disclosure, note)
        # It was not opened, and another receiver may have room for it.
        if disclosure not in self._reception:
            self._share.leave(disclosure)

    def _init(self, device: str, disclosure: str, note: UploadNote) -> None:
        if not self._is_open(device, disclosure, note):
            return
        manifest = PartSize(note.size_bytes, note.sha256)
        assembly = self._reception.init(device, disclosure, manifest, note.parts, note.question)
        if assembly is not None:
            self._heard_ns[disclosure] = self._clock.now().boot_ns
            if disclosure in self._waiting_for_room:  # one that waits for its turn gets it from `_take_turns`
                self._read_manifest(disclosure, assembly)
            self._pump(disclosure, assembly)
            self._take_turns()

    def chunk(self, device: str, disclosure: str, part: int, offset: int, data: bytes, sha256: str) -> None:
        if (assembly := self._reception.find(device, disclosure)) is not None:
            self._heard_ns[disclosure] = self._clock.now().boot_ns
            self._turns.moves(disclosure, self._clock.now().boot_ns)
            assembly.chunk(part, offset, data, sha256)
            with self._unless_deleted(disclosure, device):
                self._pump(disclosure, assembly)
            self._take_turns()

    def fin(self, device: str, disclosure: str, part: int, note: UploadNote | None = None) -> None:
        """Handles a fin: the device has sent all of a part, which `note` describes."""
        if (assembly := self._reception.find(device, disclosure)) is not None:
            assembly.fin(part, None if note is None else PartSize(note.size_bytes, note.sha256))
            with self._unless_deleted(disclosure, device):
                self._pump(disclosure, assembly)
            self._take_turns()

    def abort(self, device: str, disclosure: str) -> None:
        """Handles an abort: the owner took it back during the transfer. Arrived parts stay, unopened and unverified."""
        if self._reception.find(device, disclosure) is None:
            return
        if disclosure in self._unread:
            self._forget(disclosure)
        else:
            self._holdings.ended(disclosure)
        asked = self._requests.get(disclosure)
        request = "" if asked is None else asked.request.id
        self._close(disclosure)
        self._tell(ReceiverEvent(ReceiverEventKind.STOPPED, disclosure, request, device=device))
        self._take_turns()

    @property
    def deadline_ns(self) -> BootNs | None:
        """Returns the time at which `answer_what_is_due` has work, or None."""
        deadlines = [assembly.deadline_ns for assembly in self._answering_later.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def answer_what_is_due(self) -> None:
        """Sends the progress receipts that were put off."""
        for disclosure, assembly in list(self._answering_later.items()):
            with self._unless_deleted(disclosure):
                self._pump(disclosure, assembly)

    @contextmanager
    def _unless_deleted(self, disclosure: str, device: str = "") -> Iterator[None]:
        """Drops a disclosure after another process has deleted its folder (`deletion`)."""
        try:
            yield
        except StorageError:
            if disclosure not in self._reception or self._folder(disclosure).is_known():
                raise
            asked = self._requests.get(disclosure)
            request = "" if asked is None else asked.request.id
            self._forget(disclosure)
            self._remember_unreadable(disclosure)
            self._tell(ReceiverEvent(ReceiverEventKind.STOPPED, disclosure, request, device=device))

    # New disclosures

    def _is_open(self, device: str, disclosure: str, note: UploadNote) -> bool:
        """Returns True if it is open, if needed again from the disk or as a new one."""
        if disclosure in self._reception:
            return True
        origin = self._folder(disclosure).origin()
        if origin is None:
            return self._create(device, disclosure, note)
        if origin.device != device:
            return False  # otherwise data of another device would replace what is stored, and be dropped with it
        if (origin.manifest, origin.parts) != (PartSize(note.size_bytes, note.sha256), note.parts):
            return False  # it would stay open, because an announcement of something else is never answered
        state = self._folder(disclosure).state
        if state is ReceiptState.PARTIAL and not self._has_place(device, disclosure):
            return False
        return self._reopen(disclosure, origin, state)

    def _create(self, device: str, disclosure: str, note: UploadNote) -> bool:
        """Makes room on the disk for a disclosure from an unknown sender, within the limits."""
        folder = self._folder(disclosure)
        of_device = [each for each, owner in self._unread.items() if owner == device]
        # New ids give a device no further place: its own oldest one goes.
        if len(of_device) >= self._limits.unread_per_device:
            self._forget(of_device[0])
        if self._room() < note.size_bytes or not self._has_unread_place(device):
            return False
        if not self._has_place(device, disclosure):
            return False
        if self._too_many(device):
            self._holdings.reconcile(device)
            if self._is_full:
                self._holdings.reconcile()
            if self._too_many(device):
                self._tell(
                    ReceiverEvent(
                        ReceiverEventKind.NO_ROOM,
                        disclosure,
                        detail="Move old folders out of disclosures/.",
                        device=device,
                    )
                )
                return False
        # Listed before its folder exists. After a kill between both, `sweep` finds the row and clears it.
        self._holdings.put(disclosure, HeldDisclosure(device, "", note.size_bytes, 1, live=True), self._now_ms)
        folder.create(
            DisclosureOrigin(
                v=1,
                device=device,
                parts=note.parts,
                size_bytes=note.size_bytes,
                sha256=note.sha256,
                begun_ms=self._now_ms,
            )
        )
        self._unread[disclosure] = device
        return True

    def _has_unread_place(self, device: str) -> bool:
        """Returns whether one more of this device may arrive unread. If all places are in use, the oldest of the device
        with the most makes room for a device that has fewer."""
        if len(self._unread) < self._limits.unread:
            return True
        places = Counter(self._unread.values())
        # A few certificates must not keep all places.
        greedy = max(places, key=places.__getitem__, default=device)
        # Two more than this device, because with one more the two would take the place from each other in turn.
        if places[greedy] < places[device] + 2:
            return False
        self._forget(next(each for each, owner in self._unread.items() if owner == greedy))
        return True

    def _has_place(self, device: str, disclosure: str) -> bool:
        """Returns whether one more of this device may arrive. A silent one makes room if all places are in use."""
        there = self._reception.of_device(device)
        if len(there) >= self._limits.open_per_device and not self._leave_a_silent_one(there):
            if disclosure not in self._told_no_place:  # it asks again every two minutes, for hours if it must
                self._told_no_place[disclosure] = None
                _keep_newest(self._told_no_place)
                reason = "Its doorbell sends too many at once."
                self._tell(ReceiverEvent(ReceiverEventKind.NO_ROOM, disclosure, detail=reason, device=device))
            return False
        self._told_no_place.pop(disclosure, None)
        return not self._reception.is_full or self._leave_a_silent_one(self._reception.ids())

    def _is_still_crowded_out(self, device: str, disclosure: str) -> bool:
        """Returns True for an unfinished disclosure that found no place of its doorbell before and finds none now."""
        # Neither database nor store is asked. After an outage, doorbells ask about all their answers again and again,
        # and each question would take a claim and several notes.
        if disclosure not in self._told_no_place or disclosure in self._reception:
            return False
        there = self._reception.of_device(device)
        return len(there) >= self._limits.open_per_device and self._silent_one(there) is None

    def _leave_a_silent_one(self, there: list[str]) -> bool:
        """Leaves one of these that is silent: a doorbell that was reset never ends its uploads. Its parts stay on the
        disk, and it can go on later."""
        silent = self._silent_one(there)
        if silent is not None:
            self._leave(silent)
        return silent is not None

    def _silent_one(self, there: list[str]) -> str | None:
        """Returns the one of these that has been silent longest, if for a minute."""
        longest = min(there, key=self._heard_ns.__getitem__)
        return longest if self._clock.now().boot_ns - self._heard_ns[longest] >= _SILENT_NS else None

    def _too_many(self, device: str) -> bool:
        """Returns True if there are too many answers of this device, or in all."""
        most = self._limits.tips if device == ANONYMOUS else self._limits.per_device
        return self._holdings.of_door(device).disclosures >= most or self._is_full

    @property
    def _is_full(self) -> bool:
        return len(self._holdings) >= self._limits.disclosures

    def _reopen(self, disclosure: str, origin: DisclosureOrigin, state: ReceiptState) -> bool:
        """Loads a disclosure that is on the disk. Returns False if there is no place for it."""
        folder = self._folder(disclosure)
        if self._share.shared:
            folder.clear()
        request = folder.request()
        if self._share.shared and request is not None:
            self._tell(ReceiverEvent(ReceiverEventKind.TAKEN_OVER, disclosure, device=origin.device))
        assembly = UploadReceiver(
            origin.manifest, origin.parts, self._limits.transfer, sealed=folder.sealed(), state=state
        )
        if request is not None and state is not ReceiptState.PARTIAL:
            try:
                self._requests[disclosure] = self._requester.sent_request_in(request)
            except DoorwardError as error:
                self.damaged(disclosure, error)
        if is_tip(folder) and state is not ReceiptState.PARTIAL:
            with suppress(DoorwardError):
                self._tips[disclosure] = manifest_in(self._requester, folder)[0]
        return self._reception.reopen(origin.device, disclosure, assembly)

    # Later messages

    def _pump(self, disclosure: str, assembly: UploadReceiver) -> None:
        folder = self._folder(disclosure)
        while (effect := assembly.next_effect(self._clock.now().boot_ns)) is not None:
            match effect:
                case WritePart(part, offset, data):
                    folder.write(part, offset, data)
                case SealPart(part, size):
                    assembly.sealed(part, folder.seal(part, size))
                    self._progress(disclosure, assembly)
                case ManifestReceived():
                    self._read_manifest(disclosure, assembly)
                case AllReceived():
                    self._finish(disclosure, assembly)
                case SendReceipt(held):
                    self._answer(disclosure, held)
        if assembly.deadline_ns is not None and disclosure in self._reception:
            self._answering_later[disclosure] = assembly
        else:
            self._answering_later.pop(disclosure, None)

    def _read_manifest(self, disclosure: str, assembly: UploadReceiver) -> None:
        """Reads a complete part 0: finds the request that it answers, and checks that it does."""
        folder = self._folder(disclosure)
        self._unread.pop(disclosure, None)
        self._waiting_for_room.discard(disclosure)
        if is_tip(folder):
            self._read_tip(disclosure, assembly)
            return
        data = folder.read_part(0, self._limits.transfer.manifest_bytes)
        # By a tag in clear, so that a stranger's bytes cost no attempt with each of our reply keys.
        answered = tuple(self._answered_by(data))
        if (relayed := self._relayed(answered)) is not None:
            self._begin_relayed(disclosure, assembly, relayed)
            return
        found = self._opened(data, answered)
        if found is None:
            self._drop(disclosure)
            return
        asked, statements = found
        try:
            with unexpected_errors():
                disclosed = read_manifest(statements, asked.request, asked.payload_sha256)
            origin = folder.origin()
            named = disclosed.manifest.disclosure, disclosed.manifest.device_key.id
            # A copy of another device's signed manifest, or of another answer's, must not count here.
            if origin is None or named != (disclosure, origin.device):
                raise FormatError("The manifest names another disclosure than its topic.")  # noqa: TRY301
        except (FormatError, InternalError) as error:
            self._refuse(disclosure, assembly, asked, error.message)
            return
        if asked.withdrawn:
            self._refuse(disclosure, assembly, asked, "The request was withdrawn.")
            return
        if not self._turns.may_begin(disclosure, self._clock.now().boot_ns):
            return  # silence makes the device wait until its turn
        sizes = tuple(PartSize(part.size_bytes, part.sha256) for part in disclosed.manifest.parts)
        device, key = disclosed.manifest.device_key.id, asked.request.id
        holding = HeldDisclosure(device, key, _sum((assembly.manifest, *sizes)), len(sizes) + 1, live=True)
        # An earlier attempt of this device may never end, and would count against its quota.
        for older in self._holdings.live(device, key):
            if older != disclosure and self._share.claim(older):  # another receiver ends what it has claimed
                self._forget(older)
                self._remember_unreadable(older)
        if reason := self._over_quota(disclosure, holding):
            self._refuse(disclosure, assembly, asked, reason)
            return
        # While the rest waits for room, only part 0 counts against the quota.
        self._holdings.put(disclosure, replace(holding, size_bytes=assembly.manifest.size_bytes, parts=1))
        if not self._has_room(disclosure, holding, asked.request.id):
            return
        self._holdings.put(disclosure, holding)
        # Durable before any part is taken: after a restart the folder shows which request it answers.
        folder.adopt(asked.envelope)
        self._requests[disclosure] = asked
        assembly.expect(sizes)
        if assembly.state is ReceiptState.REFUSED:
            self._refuse(disclosure, assembly, asked, _BEYOND_LIMITS)
        else:
            self._tell(self._news(ReceiverEventKind.BEGUN, disclosure, assembly))

    def _relayed(self, answered: Iterable[str]) -> SentRequest | None:
        """Returns the first of these requests of which only a neighbour's key opens the answers."""
        for request_id in answered:
            if self._requester.is_relayed(request_id):
                try:
                    return self._requester.sent_request(request_id)
                except ConfigurationError as error:
                    self.damaged(request_id, error)
        return None

    def _begin_relayed(self, disclosure: str, assembly: UploadReceiver, asked: SentRequest) -> None:
        """Takes the parts of an answer that this requester cannot open."""
        folder, device = self._folder(disclosure), self._device_of(disclosure)
        if asked.withdrawn:
            self._refuse(disclosure, assembly, asked, "The request was withdrawn.")
            return
        if not self._turns.may_begin(disclosure, self._clock.now().boot_ns):
            return
        origin = folder.origin()
        parts = origin.parts if origin is not None else 1
        holding = HeldDisclosure(device, asked.request.id, self._limits.relayed_bytes, parts, live=True)
        for older in self._holdings.live(device, asked.request.id):
            if older != disclosure and self._share.claim(older):
                self._forget(older)
                self._remember_unreadable(older)
        if reason := self._over_quota(disclosure, holding):
            self._refuse(disclosure, assembly, asked, reason)
            return
        if not self._has_room(disclosure, holding, asked.request.id):
            return
        self._holdings.put(disclosure, holding)
        folder.adopt(asked.envelope)
        self._requests[disclosure] = asked
        assembly.expect_unread(self._limits.relayed_bytes)
        if assembly.state is ReceiptState.REFUSED:
            self._refuse(disclosure, assembly, asked, _BEYOND_LIMITS)
        else:
            self._tell(self._news(ReceiverEventKind.BEGUN, disclosure, assembly))

    def _finish_relayed(self, disclosure: str, assembly: UploadReceiver, asked: SentRequest) -> None:
        """Ends an answer that this requester cannot open. All its parts have the announced hashes."""
        folder = self._folder(disclosure)
        size_bytes, parts = folder.parts_bytes(), len(folder.sealed())
        self._holdings.put(
            disclosure, HeldDisclosure(self._device_of(disclosure), asked.request.id, size_bytes, parts, live=True)
        )
        folder.end(ReceiptState.COMPLETE, ended_ms=self._now_ms)
        self._holdings.ended(disclosure)
        assembly.complete()
        event = self._news(ReceiverEventKind.COMPLETE, disclosure, assembly)
        self._tell(replace(event, held_bytes=size_bytes, expected_bytes=size_bytes))

    def _read_tip(self, disclosure: str, assembly: UploadReceiver) -> None:
        """Reads a complete part 0 of a tip. Drops a bad one silently, because its sender is unknown."""
        folder = self._folder(disclosure)
        try:
            with unexpected_errors():
                manifest, items = manifest_in(self._requester, folder)
        except NetworkError:
            raise
        except DoorwardError:
            self._drop(disclosure)
            return
        sizes = tuple(PartSize(item.part.size_bytes, item.part.sha256) for item in items)
        holding = HeldDisclosure(ANONYMOUS, "", _sum((assembly.manifest, *sizes)), len(sizes) + 1, live=True)
        if not self._has_room(disclosure, holding):
            return
        self._holdings.put(disclosure, holding)
        self._tips[disclosure] = manifest
        assembly.expect(sizes)
        if assembly.state is ReceiptState.REFUSED:
            self._refuse_tip(disclosure, assembly, _BEYOND_LIMITS)

    def _over_quota(self, disclosure: str, holding: HeldDisclosure) -> str:
        """Returns why this is more than one doorbell may send for one request. Empty if it is within the quota."""
        reason = self._beyond(disclosure, holding)
        if reason:
            self._holdings.reconcile(holding.device)  # people may have moved folders away
            reason = self._beyond(disclosure, holding)
        return reason

    def _beyond(self, disclosure: str, holding: HeldDisclosure) -> str:
        kept = self._holdings.of(holding.device, holding.request, but=disclosure)
        most = self._limits.transfer
        if kept.disclosures >= self._limits.per_device_and_request:
            return f"This doorbell has already answered this request {kept.disclosures} times."
        if kept.disclosures and kept.size_bytes + holding.size_bytes > most.total_bytes:
            return "With this doorbell's earlier answers to this request it exceeds this machine's size limit."
        if kept.disclosures and kept.parts + holding.parts > most.parts:
            return "With this doorbell's earlier answers to this request it has too many parts for this machine."
        return ""

    def _has_room(self, disclosure: str, holding: HeldDisclosure, request: str = "") -> bool:
        """Returns True if it fits. Otherwise it waits until its doorbell asks again."""
        detail = self._in_the_way(disclosure, holding)
        if detail:
            self._holdings.reconcile(holding.device)
            detail = self._in_the_way(disclosure, holding)
        if detail:
            self._waiting_for_room.add(disclosure)
            self._tell(ReceiverEvent(ReceiverEventKind.NO_ROOM, disclosure, request, detail=detail))
        return not detail

    def _in_the_way(self, disclosure: str, holding: HeldDisclosure) -> str:
        room = self._room()
        if room < holding.size_bytes:
            return "The disk is too full."
        of_door = self._holdings.of_door(holding.device, but=disclosure).size_bytes + holding.size_bytes
        if of_door > self._limits.share * (room + self._holdings.total(but=disclosure).size_bytes):
            return "Its doorbell has used up its share of the disk. Move old folders out of disclosures/."
        return ""

    def _refuse_tip(self, disclosure: str, assembly: UploadReceiver, reason: str) -> None:
        self._folder(disclosure).end(ReceiptState.REFUSED, reason, ended_ms=self._now_ms)
        self._holdings.ended(disclosure)
        assembly.refuse()

    def _finish_tip(self, disclosure: str, assembly: UploadReceiver) -> None:
        try:
            with unexpected_errors():
                opened = open_tip(self._requester, disclosure)
        except NetworkError:
            raise
        except DoorwardError as error:
            self._refuse_tip(disclosure, assembly, error.message)
            return
        unopened = ranges_of(number for number, each in enumerate(opened.files, start=1) if each.unopened)
        self._folder(disclosure).end(ReceiptState.COMPLETE, unopened=unopened, ended_ms=self._now_ms)
        self._holdings.ended(disclosure)
        assembly.complete()
        self._tell(ReceiverEvent(ReceiverEventKind.TIP, disclosure))

    def _named(self, disclosure: str) -> AddressedRequest | None:
        asked, tip = self._requests.get(disclosure), self._tips.get(disclosure)
        if asked is not None:
            return AddressedRequest(asked.request.id, asked.request.trust_root, asked.request.retention_days)
        days = self._requester.profile.retention_days
        return None if tip is None else AddressedRequest(disclosure, tip.trust_root, days)

    def _answered_by(self, manifest: bytes) -> Iterable[str]:
        """Returns the ids of the requests to which this sealed part 0 may belong, by the tag of its reply key."""
        try:
            with unexpected_errors():
                tag = reply_tag_in(manifest)
        except (FormatError, InternalError):
            return ()
        return self._requester.register.with_reply_key(tag, self._clock.now().utc_ns // NS_PER_S)

    def _opened(self, data: bytes, answered: Iterable[str]) -> tuple[SentRequest, bytes] | None:
        """Returns the plaintext of part 0, and the request with the reply key that opens it."""
        for request_id in answered:
            try:
                identity = self._requester.reply_identity(request_id)
                if identity is not None:
                    with unexpected_errors():
                        opened = open_bytes(data, [identity])
                    return self._requester.sent_request(request_id), opened
            except OpenError:
                continue
            except ConfigurationError as error:
                self.damaged(request_id, error)
            except (FormatError, InternalError):
                return None
        return None

    def _finish(self, disclosure: str, assembly: UploadReceiver) -> None:
        """Verifies and opens all parts once, after they have arrived."""
        if disclosure in self._tips:
            self._finish_tip(disclosure, assembly)
            return
        folder, asked = self._folder(disclosure), self._requests[disclosure]
        if asked.relayed:
            self._finish_relayed(disclosure, assembly, asked)
            return
        verification = examine(self._requester, disclosure)
        if verification.failed is not None:
            self._refuse(disclosure, assembly, asked, verification.failed.said)
            return
        try:
            with unexpected_errors():
                summary = summary_of(verification)
        except InternalError as error:
            self._refuse(disclosure, assembly, asked, error.message)
            return
        if verification.disclosed is not None:
            KnownDoorbells(self._requester.notes).remember(
                verification.disclosed.manifest, self._clock.now().utc_ns // NS_PER_S
            )
        # Durable before the receipt says so, because the device sends nothing again after that receipt.
        folder.end(ReceiptState.COMPLETE, "", verification.unopened_ranges, self._now_ms, summary)
        self._holdings.ended(disclosure)
        assembly.complete()
        unopened = len(verification.unopened)
        detail = f"{unopened} of its {len(verification.items)} files cannot be opened." if unopened else ""
        event = self._news(ReceiverEventKind.COMPLETE, disclosure, assembly)
        self._tell(replace(event, detail=detail, answer=summary, verification=verification))

    def _refuse(self, disclosure: str, assembly: UploadReceiver, asked: SentRequest, reason: str) -> None:
        folder = self._folder(disclosure)
        folder.adopt(asked.envelope)
        folder.end(ReceiptState.REFUSED, reason, ended_ms=self._now_ms)
        device, key = self._device_of(disclosure), asked.request.id
        # A device that sends bad answers again and again must not fill the disk with refused ones.
        if self._holdings.of(device, key, but=disclosure).disclosures >= self._limits.per_device_and_request:
            self._not_kept.add(disclosure)
        self._holdings.ended(disclosure)
        self._requests[disclosure] = asked
        assembly.refuse()
        self._tell(ReceiverEvent(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=reason))

    def _answer(self, disclosure: str, held: TransferProgress) -> None:
        named = self._named(disclosure)
        origin = self._folder(disclosure).origin()
        if origin is not None and (held.state is ReceiptState.PARTIAL or named is not None):
            self._reply(origin.device, disclosure, held, named)
        if held.state is ReceiptState.REFUSED and named is None:
            # Part 0 is larger than the limit, so its request stays unknown: send no receipt and keep no file.
            self._forget(disclosure)
            self._remember_unreadable(disclosure)
        elif held.state is not ReceiptState.PARTIAL:
            if self._folder(disclosure).outcome() is None:
                reason = "Its parts differ from their announced hashes."
                self._folder(disclosure).end(held.state, reason, ended_ms=self._now_ms)
                self._holdings.ended(disclosure)
            self._close(disclosure)  # a repeated question is answered from the disk
            if disclosure in self._not_kept:
                self._not_kept.discard(disclosure)
                self._forget(disclosure)
                self._remember_unreadable(disclosure)

    # Bookkeeping

    def _tell(self, event: ReceiverEvent) -> None:
        """Passes on the event with its time and its sender."""
        device = event.device or (self._device_of(event.disclosure) if event.disclosure else "")
        self._watcher(replace(event, device=device, at_ms=self._now_ms))

    @property
    def _now_ms(self) -> int:
        return self._clock.now().utc_ns // NS_PER_MS

    def _drop(self, disclosure: str) -> None:
        """Forgets a disclosure that opens with none of our keys."""
        device = self._device_of(disclosure)
        self._forget(disclosure)
        self._remember_unreadable(disclosure)
        self._tell(ReceiverEvent(ReceiverEventKind.DROPPED, disclosure, device=device))

    def damaged(self, request_id: str, error: DoorwardError) -> None:
        """Reports that one of our own requests cannot be read: its answers will be lost, other requests are
        unaffected."""
        if request_id not in self._told_damaged:
            self._told_damaged.add(request_id)
            self._tell(ReceiverEvent(ReceiverEventKind.DAMAGED, request=request_id, detail=str(error)))

    def _device_of(self, disclosure: str) -> str:
        origin = self._folder(disclosure).origin()
        return origin.device if origin is not None else ""

    def _folder(self, disclosure: str) -> AnswerFolder:
        return self._requester.answer(disclosure)

    def _room(self) -> int:
        """Returns the bytes that may still be announced, after the ones that arriving disclosures will write."""
        with files.storage_errors(self._requester.folder):
            spare_bytes = shutil.disk_usage(self._requester.folder).free - self._limits.free_bytes
        room_bytes = self._requester.room(self._holdings.total().size_bytes, spare_bytes)
        return room_bytes - self._reception.outstanding_bytes

    def _close(self, disclosure: str) -> None:
        """Removes it from memory and keeps it on the disk. Leaves it to other receivers."""
        self._reception.close(disclosure)
        self._heard_ns.pop(disclosure, None)
        self._answering_later.pop(disclosure, None)
        self._requests.pop(disclosure, None)
        self._tips.pop(disclosure, None)
        self._waiting_for_room.discard(disclosure)
        self._turns.ends(disclosure)
        if self._share.shared:
            self._folder(disclosure).leave()
        self._share.leave(disclosure)

    def _take_turns(self) -> None:
        """Starts disclosures that waited, as others have ended."""
        while (disclosure := self._turns.next(self._clock.now().boot_ns)) is not None:
            origin = self._folder(disclosure).origin()
            assembly = None if origin is None else self._reception.find(origin.device, disclosure)
            if assembly is None:
                self._turns.ends(disclosure)
                continue
            self._read_manifest(disclosure, assembly)
            self._pump(disclosure, assembly)

    def _forget(self, disclosure: str) -> None:
        """Removes it from memory and from the disk."""
        self._unread.pop(disclosure, None)
        try:
            self._holdings.remove(disclosure)
            self._folder(disclosure).remove()
        finally:
            self._close(disclosure)  # last: another receiver may claim it from here on

    def _remember_unreadable(self, disclosure: str) -> None:
        self._unreadable[disclosure] = None
        _keep_newest(self._unreadable)

    def _progress(self, disclosure: str, assembly: UploadReceiver) -> None:
        if disclosure in self._requests:
            self._tell(self._news(ReceiverEventKind.PROGRESS, disclosure, assembly))

    def _news(self, kind: ReceiverEventKind, disclosure: str, assembly: UploadReceiver) -> ReceiverEvent:
        request = self._requests[disclosure].request.id
        return ReceiverEvent(kind, disclosure, request, assembly.held_bytes, assembly.expected_bytes or 0)


def _keep_newest(disclosures: OrderedDict[str, None]) -> None:
    while len(disclosures) > _MOST_REMEMBERED:
        disclosures.popitem(last=False)


def _sum(sizes: Iterable[PartSize]) -> int:
    return sum(size.size_bytes for size in sizes)
