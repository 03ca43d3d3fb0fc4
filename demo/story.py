"""The eight acts.  Each does its part for real, checks it, and says what happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from agent.clients.media.join import probe
from agent.clients.owner.decisions import approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import IdentityKind, OwnerKeys
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.clients.promise import promised
from agent.clients.requester import messages as requester_messages
from agent.clients.requester.messages import SignedMessage
from agent.clients.requester.opened_disclosure import OpenedDisclosure, open_disclosure
from agent.clients.requester.publisher import publish
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceiverEvent, ReceiverEventKind
from agent.clients.requester.request_builder import RequestDraft
from agent.clients.requester.verification import CheckOutcome
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import ListRequests
from agent.media.poster import poster_of_media
from agent.platform.system_clock import SystemClock
from agent.ports import Camera
from agent.recorder import translation
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.solo import Solo
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.messages import Contact, Onward
from demo.contact_sheet import SheetTile, TileState, contact_sheet
from demo.evidence import Loot, Published, published_by, steal
from demo.ringing import RingingCamera
from demo.stage import DOOR, Asker, Stage, toml_text
from demo.telling import Teller

T = TypeVar("T")

__all__ = ["Footage", "Outcome", "Story"]

_MINUTE_S = 60
_HOUR_S = 3600
_PATIENCE_S = 60.0
_RINGS_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Footage:
    """The camera's source. `path` is None for the drawn scene; `seconds` is None for a live camera."""

    words: str
    path: Path | None
    device: str | None
    seconds: float | None

    @property
    def configuration(self) -> str:
        if self.device is not None:
            return f'kind = "usb"\ndevice = {toml_text(self.device)}'
        if self.path is not None:
            return f'kind = "file"\npath = {toml_text(self.path)}\nrealtime = false'
        return 'kind = "scripted"\nrealtime = false'

    def camera(self) -> Camera:
        """Returns a camera for footage that is not live."""
        if self.path is not None:
            return FileCamera(self.path)
        return ScriptedCamera(duration_s=self.seconds) if self.seconds is not None else ScriptedCamera()


@dataclass(slots=True)
class Asked:
    """One of the four requests, and its outcome as the device and the broker report it."""

    title: str
    signed: SignedMessage
    outcome: str = "no trace"
    bytes_sent: int = 0


@dataclass(slots=True)
class Outcome:
    """Everything the summary tells."""

    failed: list[str] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    approved: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    disclosure: str = ""
    opened: OpenedDisclosure | None = None
    published: list[Published] = field(default_factory=list)
    loot: Loot | None = None
    picture: bytes = b""
    timings_s: dict[str, float] = field(default_factory=dict)


class Story:
    """One run of the demo. `play` returns the results; `outcome.failed` lists the claims that failed."""

    def __init__(self, teller: Teller, folder: Path, footage: Footage, kind: IdentityKind) -> None:
        self._tell = teller
        self._footage = footage
        self._kind = kind
        self._clock = SystemClock()
        self.stage = Stage(folder)
        self.outcome = Outcome()

    def play(self) -> Outcome:
        with ExitStack() as stack:
            self._timed("broker", lambda: self._start_broker(stack))
            self._timed("cast", self._meet_the_cast)
            self._timed("enrolment", lambda: self._enrol(stack))
            self._timed("recording", self._record)
            self._timed("requests", self._ask)
            review = self._timed("review", self._decide)
            self._timed("upload", lambda: self._upload(stack))
            self._listed(everything=True)
            self._solo.stop()
            self._timed("evidence", lambda: self._show(review))
            self._timed("thief", self._thief)
        return self.outcome

    # -- the acts ------------------------------------------------------------------------------------------------------

    def _start_broker(self, stack: ExitStack) -> None:
        self._tell.act("Start a private broker")
        stack.enter_context(self.stage.broker)
        self._tell.say("mosquitto runs on loopback: TLS 1.3, one certificate for each client, a closed access list.")

    def _meet_the_cast(self) -> None:
        self._tell.act("Create a device, its owner and two requesters")
        self._configuration, self.device = self.stage.device(self._footage.configuration)
        self.owner: OwnerKeys = self.stage.owner(self._kind)
        self.police = self.stage.asker("rijnstad-police", "Rijnstad Police", Kind.POLICE)
        self.stranger = self.stage.asker("quick-claims", "Quick Claims Insurance", Kind.INSURER)
        self._tell.say(f"The device {self.device.id} has one key, for signatures. It has no key that opens footage.")
        self._tell.say("The owner has an identity that opens footage, a key for approvals, and a recovery kit.")

    def _enrol(self, stack: ExitStack) -> None:
        structlog.configure(processors=[_swallow])
        self._solo = Solo(self._configuration, open_camera=self._camera if self._footage.seconds else None)
        stack.callback(self._solo.close)
        stack.callback(self._solo.stop)
        self._solo.start()
        self._link = stack.enter_context(DeviceLink(self.stage.state_dir / "control.sock"))
        enrolled = enrol(self._link, self.owner)
        self._check(
            set(enrolled.opened) >= {"owner-1", "recovery"},
            "the owner's identity and the recovery kit each opened a test file from the device",
        )
        add_trust_root(self._link, self.owner, self.police.root.text)
        offer_bundle(self._link, self.owner, self.police.bundle)
        self._tell.say("A new device trusts no requester. The owner now trusts one root, that of Rijnstad Police.")

    def _record(self) -> None:
        self._tell.act(f"Record: {self._footage.words}")
        if self._footage.seconds is None:
            self._record_live(30.0)
        else:
            self._record_played(self._footage.seconds)
        status = self._solo.status()
        recorder, vault = status["recorder"], status["vault"]
        if not recorder["segments"]:
            raise ConfigurationError(
                f"The device stored nothing of this footage ({self._footage.words}).",
                remedy="Use a video of at least one second. For example: make demo VIDEO=/path/to/my.mp4",
            )
        self.posters = sum(1 for entry in self._solo.vault.entries() if entry.poster is not None)
        self._tell.say(
            f"The doorbell rang. {_count(recorder['events'], 'event')}, stored with the seconds before: "
            f"{_count(vault['segments'], 'segment')} in {_count(self.posters, 'clip')}, each clip with a still "
            f"(poster), {vault['stored_bytes'] / 1e6:.1f} MB."
        )
        self._check(recorder["segments"] > 0, "each segment was sealed while it was written, to owner and recovery kit")

    def _camera(self) -> Camera:
        """Returns the footage with a visitor who rings soon after it begins."""
        after_s = min(_RINGS_AFTER_S, (self._footage.seconds or _RINGS_AFTER_S) / 2)
        self._ringing = RingingCamera(self._footage.camera(), seconds(after_s), self._solo.press_button)
        return self._ringing

    def _record_played(self, length_s: float) -> None:
        ended = threading.Event()
        faults: list[BaseException] = []
        self._from_ns = self._clock.now().boot_ns - seconds(length_s)

        def play() -> None:
            try:
                self._solo.record(BootNs(self._from_ns))
            except BaseException as error:  # noqa: BLE001 — raised again below, on the thread that tells
                faults.append(error)
            ended.set()

        thread = threading.Thread(target=play, name="camera-run")
        thread.start()
        with self._tell.progress("recording, as fast as this machine can", length_s) as bar:
            while not ended.wait(0.1):
                newest = max((entry.end_ms for entry in self._solo.vault.entries()), default=0)
                done_s = (newest - self._utc_ms(self._from_ns)) / 1000
                bar.update(bar.task_ids[0], completed=max(0.0, done_s))
        thread.join()
        if faults:
            raise faults[0]
        if self._ringing.lost:
            self._tell.say(f"The video ended early: {self._ringing.lost} The footage before that is stored.")

    def _record_live(self, length_s: float) -> None:
        probe_camera = translation.make_camera(self._configuration)
        probe_camera.open()  # report a missing camera now instead of after half a minute
        probe_camera.stop()
        self._from_ns = self._clock.now().boot_ns
        thread = threading.Thread(target=self._solo.record, name="camera-run")
        thread.start()
        with self._tell.progress("recording; move in front of the camera", length_s) as bar:
            for second in range(int(length_s)):
                bar.update(bar.task_ids[0], completed=second)
                if second == 5:
                    self._solo.press_button()
                time.sleep(1)
        self._solo.recorder.stop()
        thread.join()

    def _ask(self) -> None:
        self._tell.act("Send four requests for footage over MQTT, to every doorbell in an area")
        for asker in (self.police, self.stranger):
            asker.bus.start()
        try:
            here, elsewhere = _circle(0.0), _circle(0.02)
            self._send(self.police, "Rijnstad Police, this street", self._question("2026-1177", here))
            self._send(self.police, "Rijnstad Police, another neighbourhood", self._question("2026-1178", elsewhere))
            self._send(self.stranger, "an insurer the owner does not trust", self._question("QC-5", here))
            too_long = self._question("2026-1179", here, hours=13)
            self._send(self.police, "Rijnstad Police, 13 hours at once", too_long, checked=False)
        finally:
            self.stranger.bus.stop()
        heard = self._wait(lambda: sum(self._messages().values()) >= 2 and len(self._listed(everything=True)) >= 2)
        self._check(heard, "the device received all four and answered none, so outsiders do not learn what it has")
        waiting = self._listed()
        self._check(
            [request["id"] for request in waiting] == [self.outcome.requests[0].signed.id],
            "the device asks the owner about one of them and ignores the other three",
        )

    def _send(self, asker: Asker, title: str, question: RequestDraft, *, checked: bool = True) -> None:
        now_s = self._now_s()
        signed = requester_messages.make_request(asker.requester, question, now_s=now_s, checked=checked)
        publish(signed, asker.bus, now_s=now_s)
        self.outcome.requests.append(Asked(title, signed))
        self._tell.say(f"sent: {title}")

    def _decide(self) -> RequestReview:
        self._tell.act("The owner reviews the request and decides")
        review = RequestReview.fetch(self._link, self.owner, self.outcome.requests[0].signed.id)
        self._tell.say(
            f"{review.requester.name} ({review.requester.kind.value}), case {review.request.case}, "
            f"{review.request.incident.value}: {len(review.segments)} segments match"
            f"{'' if review.certain else ' (uncertain, because the clock is not synchronised)'}."
        )
        self._tell.say(promised(review.request, review.requester.name))
        self.media = {segment.id: review.open(segment.id).media for segment in review.segments}
        count = len(review.segments)
        chosen = tuple(segment.id for segment in review.segments[count // 4 : max(count // 4 + 1, count * 5 // 8)])
        self.outcome.matched = tuple(segment.id for segment in review.segments)
        self.outcome.approved = chosen
        self.outcome.disclosure = approve(self._link, self.owner, review, chosen) or ""  # one owner's yes is enough
        self._tell.say(
            f"The owner's client opened all of them. The owner shares {len(chosen)} and keeps {count - len(chosen)}. "
            "For each shared segment, the client opened the file key and wrapped it again, to this requester only."
        )
        return review

    def _upload(self, stack: ExitStack) -> None:
        self._tell.act("Upload, until the requester signs a receipt")
        done = threading.Event()
        news: list[ReceiverEvent] = []

        def tell(item: ReceiverEvent) -> None:
            news.append(item)
            if item.kind in (ReceiverEventKind.COMPLETE, ReceiverEventKind.REFUSED):
                done.set()

        stop = threading.Event()
        receiver = DisclosureReceiver(self.police.requester, self.police.bus, self._clock, tell=tell)
        thread = threading.Thread(target=receiver.run, args=(stop,), name="requester")
        stack.callback(self.police.bus.stop)
        thread.start()
        try:
            with self._tell.progress("receiving", 1.0) as bar:
                deadline = time.monotonic() + _PATIENCE_S
                while not done.wait(0.1) and time.monotonic() < deadline:
                    at = next((item for item in reversed(news) if item.expected_bytes), None)
                    if at is not None:
                        bar.update(bar.task_ids[0], completed=at.held_bytes, total=at.expected_bytes)
            sent = self._wait(lambda: self._state() == "sent")
        finally:
            stop.set()
            thread.join()
        self._check(sent, "the requester verified and opened everything; the device's ledger holds the signed receipt")
        self._tell.say("The requester checks the evidence again, offline, from the folder alone:")
        opened = open_disclosure(self.police.requester, self.outcome.disclosure, now_s=self._now_s())
        self.outcome.opened = opened
        for check in opened.verification.checks:
            self._check(check.outcome is CheckOutcome.PASSED, check.said)

    def _show(self, review: RequestReview) -> None:
        self._tell.act("Check what left the device")
        self.outcome.published = published_by(self.device.id, self.stage.broker.log())
        approved = set(self.outcome.approved)
        for asked, listed in self._outcomes():
            asked.outcome = listed
        for asked in self.outcome.requests:
            mine = asked is self.outcome.requests[0]
            asked.bytes_sent = sum(
                message.size_bytes
                for message in self.outcome.published
                if mine and f"/{self.outcome.disclosure}-" in message.topic
            )
            self._tell.say(f"{asked.bytes_sent:>10,} bytes   {asked.title}: {asked.outcome}")
        total = sum(message.size_bytes for message in self.outcome.published)
        self._check(
            total == self.outcome.requests[0].bytes_sent and total > 0,
            f"the broker's log has {len(self.outcome.published)} messages from the device, all of this disclosure",
        )
        opened = self.outcome.opened
        received = {item.item.part.id for item in opened.verification.segments} if opened else set()
        self._check(received == approved, "the requester has exactly the segments the owner chose")
        tiles = [
            SheetTile(
                poster_of_media(self.media[segment.id]),
                time.strftime("%H:%M:%S", time.gmtime(segment.start_ms / 1000)),
                f"{(segment.end_ms - segment.start_ms) / 1000:.0f} s",
                TileState.SHARED if segment.id in approved else TileState.KEPT,
            )
            for segment in review.segments
        ]
        self.outcome.picture = contact_sheet(
            "Shared and kept",
            f"{review.requester.name}, case {review.request.case}: {len(approved)} of {len(tiles)} segments",
            tiles,
        )
        if opened is not None and opened.merged is not None:
            film = probe(opened.merged)
            self._check(film.frames > 0, f"the requester's film plays: {film.frames} frames, {film.seconds:.0f} s")

    def _thief(self) -> None:
        self._tell.act("A thief takes the device's disk")
        self.outcome.loot = loot = steal(self.stage.state_dir)
        stolen = f"{_count(loot.segments, 'segment')} and {_count(loot.posters, 'poster')}"
        self._check(
            loot.nothing and loot.segments > 0,
            f"the thief tried {loot.files} files: of {stolen}, {len(loot.opened) or 'none'} opens",
        )
        self._check(
            len(self.media) == len(self.outcome.matched) > 0, "the owner's identity opened every matching segment"
        )

    # -- small helpers -------------------------------------------------------------------------------------------------

    def _question(self, case: str, area: Circle, *, hours: float = 0) -> RequestDraft:
        start_s = self._utc_ms(self._from_ns) // 1000
        end_s = self._now_s()
        return RequestDraft(
            area=area,
            from_s=end_s - int(hours * _HOUR_S) if hours else start_s - 15 * _MINUTE_S,
            to_s=end_s + 1,
            not_after_s=end_s + 7 * 24 * _HOUR_S,
            case=case,
            incident=Incident.VANDALISM,
            description="A parked car was damaged. Footage of the street may show when.",
            contact=Contact(name="Desk Rijnstad", email="desk@rijnstad.example"),
            retention_days=180,
            onward=Onward(to=(OnwardKind.COURT, OnwardKind.DEFENCE, OnwardKind.RECORDS), basis="Open Government Act"),
            language="en",
        )

    def _outcomes(self) -> list[tuple[Asked, str]]:
        answer = self._final
        states = {request["id"]: request["state"] for request in answer["requests"]}
        reasons = [blocked["reason"] for blocked in answer["blocked"]]
        found = []
        for asked in self.outcome.requests:
            if asked.signed.id in states:
                found.append((asked, states[asked.signed.id]))
            elif "13 hours" in asked.title:
                found.append((asked, f"blocked: {', '.join(reasons)}"))
            else:
                number = answer["counters"].get("untrusted", 0)
                found.append((asked, f"untrusted: no chosen root vouches for it ({number} counted)"))
        return found

    def _state(self) -> str:
        """Returns the state of the request that matched."""
        first = self.outcome.requests[0].signed.id
        return next((str(r["state"]) for r in self._listed(everything=True) if r["id"] == first), "")

    def _listed(self, *, everything: bool = False) -> list[dict[str, Any]]:
        self._final = self._link.document(ListRequests(all=True))
        return [r for r in self._final["requests"] if everything or r["state"] == "pending"]

    def _messages(self) -> dict[str, int]:
        counters: dict[str, int] = self._link.ask(ListRequests(all=True)).counters
        return counters

    def _wait(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.05)
        return False

    def _check(self, holds: bool, claim: str) -> None:
        self._tell.proof(holds, claim)
        if not holds:
            self.outcome.failed.append(claim)

    def _timed(self, name: str, act: Callable[[], T]) -> T:
        begun = time.monotonic()
        result = act()
        self.outcome.timings_s[name] = round(time.monotonic() - begun, 3)
        return result

    def _utc_ms(self, boot_ns: int) -> int:
        now = self._clock.now()
        return (now.utc_ns + boot_ns - now.boot_ns) // 1_000_000

    def _now_s(self) -> int:
        return self._clock.now().utc_ns // NS_PER_S


def _swallow(_logger: Any, _method: str, _event: Any) -> Any:
    """The device's log would tell the story twice."""
    raise structlog.DropEvent


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _circle(north_degrees: float) -> Circle:
    return Circle(lat=round(DOOR[0] + north_degrees, 4), lon=DOOR[1], radius_m=400)
