"""An honest device in this process, made of pieces of `core` and `wire`, and the places where a test makes it lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.core.consent import Event, RequestState, next_transition
from agent.core.disclosure import ReleasedItem, release, release_tip
from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.entries import EntryKind, encode_entry, entry
from agent.core.ledger.merkle import Frontier, consistency_proof, leaf_hash
from agent.core.requests import Terms
from agent.core.timebase import NS_PER_MS, BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer, seal_bytes
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import FileKind, Stamp, TimeSpan, VaultFile, segment_id
from agent.core.vault.hash_chain import RecordTime
from agent.core.vault.manifest import ChainHead as ManifestTip
from agent.core.vault.manifest import LineSigner, SignedRecord, sign_record
from agent.core.vault.records import BootRecord, PosterRecord, RecoveredRecord, SegmentRecord, SoundRecord, digest
from agent.core.vault.segment import Begin, Content, Context, begin_stanza, context_box, poster_plaintext
from agent.errors import FormatError, RequestError
from agent.ipc.rpc import Request, read_answer, request_frame
from agent.wire import envelope, strictjson
from agent.wire.control import Frame, encode_approval
from agent.wire.disclosures import PartKind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.statements import (
    STATEMENT_LIMIT_BYTES,
    Approval,
    CoApproval,
    Denial,
    Enrolment,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    Release,
    Revocation,
    Scope,
    Settings,
    Tip,
    TrustChange,
    UpdateChoice,
    UpdateReversal,
    open_enrolment,
    read_statement,
)
from agent.wire.trust import TrustStore, claimed_root
from tests.wire.samples import MLDSA, MLDSA_KEY

BOOT = "b0" * 16
BOOT_US = 50_000_000
JPEG = b"\xff\xd8\xff\xe0 a poster"


@dataclass
class Stored:
    """One file of the vault and its record."""

    sealed: bytes
    signed: SignedRecord
    poster: bytes | None = None
    sound: bytes | None = None


@dataclass
class Asked:
    """A request as the device keeps it."""

    envelope: bytes
    state: RequestState
    segments: tuple[str, ...]
    disclosure: str | None = None
    first: tuple[bytes, Approval, str, dict[str, bytes]] | None = None
    """The approval of one of two owners: envelope, content, hash, and its headers."""
    waits_s: int | None = None
    receipt: bytes | None = None
    deletion: bytes | None = None

    @property
    def payload(self) -> bytes:
        return envelope.read_unverified(self.envelope).payload

    @property
    def payload_sha256(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def request(self) -> FootageRequest:
        return strictjson.decode(self.payload, FootageRequest)

    @property
    def terms(self) -> Terms:
        return Terms.of(self.request)


AnswerT = TypeVar("AnswerT")
Lie = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]


@dataclass
class FakeDevice:
    """Answers as `custodian.control_handler` does.  `lies[op]` changes an answer; `now_ms` moves when the test moves
    it."""

    now_ms: int
    seed: bytes = b"d" * 32
    lies: dict[str, Lie] = field(default_factory=dict)
    asked_ops: list[str] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    requests: dict[str, Asked] = field(default_factory=dict)
    leaves: list[bytes] = field(default_factory=list)
    time: Callable[[int, int], bytes] = lambda _size, _beat: b""
    """Gives the proof of time for a number of entries, by a beat or by the first that has it."""
    lines: list[bytes] = field(default_factory=list)
    statements: list[Any] = field(default_factory=list)
    released: tuple[ReleasedItem, ...] = ()
    outbox: dict[tuple[PartKind, str], bytes] = field(default_factory=dict)
    trust: TrustStore = field(default_factory=TrustStore)
    trust_changes: list[bytes] = field(default_factory=list)
    bundles: dict[str, bytes] = field(default_factory=dict)
    heard: dict[str, bytes] = field(default_factory=dict)
    cell: str | None = None
    agreed_in: dict[str, str] = field(default_factory=dict)
    tips: list[dict[str, str]] = field(default_factory=list)
    yes: dict[str, tuple[bytes, bytes | None, tuple[bytes, ...]]] = field(default_factory=dict)
    """By disclosure: the approval or tip and the co-approval, in their envelopes, and the records of what they name."""
    posted: list[bytes] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    standing: dict[tuple[Scope, str, str], int | None] = field(default_factory=dict)
    settings: str | None = None
    settings_sha256: str | None = None
    """An owner's settings: the envelope, and the hash of its payload."""

    def __post_init__(self) -> None:
        self.private = private_key_from_seed(self.seed)
        self.key = public_key_of(self.private)
        self.enrolments: list[bytes] = []
        self.proposed: tuple[bytes, dict[str, tuple[str, bytes]]] | None = None
        self.tip = ManifestTip()
        self._drawn = 0
        self.key_of_last = ""
        """The commitment of the file key that was sealed with last."""
        self.write(EntryKind.BOOT)
        stamp = Stamp(boot=BOOT, at_us=BOOT_US, utc_ms=self.now_ms, quality=ClockQuality.SYNCED)
        self._newest_second: RecordTime | None = None
        self._record(BootRecord(device=self.key.id, device_mldsa=MLDSA_KEY.text, epoch=1, at=stamp))

    # -- what happens on the device ------------------------------------------------------------------------------------

    def token(self, size: int = 16) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(self.seed + self._drawn.to_bytes(4, "big")).digest(size)

    def write(self, kind: EntryKind, **fields: Any) -> None:
        at = ClockReading(BootNs(BOOT_US * 1000), UtcNs(self.now_ms * NS_PER_MS), ClockQuality.SYNCED)
        self.leaves.append(encode_entry(entry(kind, BOOT, at, **fields)))

    @property
    def enrolled(self) -> bytes | None:
        """The list in force, as it was signed."""
        return self.enrolments[-1] if self.enrolments else None

    @enrolled.setter
    def enrolled(self, data: bytes | None) -> None:
        """Takes a list from wherever it comes, in place of all of its epoch and later ones."""
        epoch = 0 if data is None else _epoch(data)
        self.enrolments = [each for each in self.enrolments if _epoch(each) < epoch] + ([] if data is None else [data])

    @property
    def enrolment(self) -> Enrolment:
        assert self.enrolled is not None
        return strictjson.decode(_payload(self.enrolled), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)

    def record(
        self,
        media: bytes,
        start_ms: int,
        *,
        event: int = 0,
        poster: bool = False,
        sound: bytes | None = None,
        quality: ClockQuality = ClockQuality.SYNCED,
        length_ms: int = 2000,
    ) -> str:
        """Seal one segment as the recorder does; its id."""
        begin = self._begin(start_ms, event, quality, length_ms)
        span = TimeSpan(
            boot=BOOT, start_us=begin.start_us, end_us=begin.start_us + length_ms * 1000, utc_ms=start_ms,
            quality=quality,
        )  # fmt: skip
        context = Context(
            kind=Content.SEGMENT, device=self.key.id, segment=begin.segment, event=begin.event, ordinal=begin.ordinal,
            span=span, media_bytes=len(media),
        )  # fmt: skip
        sealed, size = self._seal(media + context_box(context), begin)
        key = self.key_of_last
        image = heard = stilled = sounded = None
        if poster:
            own = msgspec.structs.replace(context, kind=Content.POSTER, media_bytes=len(JPEG))
            image = self._seal(poster_plaintext(JPEG, own), None)
            stilled = PosterRecord(file=digest((image[0],), image[1]), key=self.key_of_last)
        if sound is not None:
            own = msgspec.structs.replace(context, kind=Content.SOUND, media_bytes=len(sound))
            heard = self._seal(sound + context_box(own), None)
            sounded = SoundRecord(file=digest((heard[0],), heard[1]), key=self.key_of_last)
        segment = SegmentRecord(
            id=begin.segment, event=begin.event, ordinal=begin.ordinal, span=span, epoch=1,
            file=digest((sealed,), size), key=key, poster=stilled, sound=sounded,
        )  # fmt: skip
        self.stored[segment.id] = Stored(sealed, self._record(segment), image and image[0], heard and heard[0])
        return segment.id

    def cut_short(self, media: bytes, start_ms: int, kept: float, *, recorded: bool = True) -> str:
        """A segment that a power cut ended after the share `kept` of its bytes."""
        begin = self._begin(start_ms, 9, ClockQuality.SYNCED, 30_000)
        sealed, size = self._seal(media, begin)
        sealed = sealed[: int(len(sealed) * kept)]
        stamp = Stamp(boot=BOOT, at_us=BOOT_US, utc_ms=self.now_ms, quality=ClockQuality.SYNCED)
        record = RecoveredRecord(begin=begin, complete=False, file=digest((sealed,), size), at=stamp)
        signed = self._record(record) if recorded else sign_record(record, self.tip, self.private.sign)
        self.stored[begin.segment] = Stored(sealed, signed)
        return begin.segment

    def ask_for(self, data: bytes, segments: Sequence[str]) -> str:
        """A request that came in and matched."""
        asked = Asked(data, RequestState.PENDING, tuple(segments))
        request = asked.request
        self.position: dict[str, float] | None = None
        self.requests[request.id] = asked
        self.write(EntryKind.RECEIVED, request=request.id, requester=request.requester, subject=asked.payload_sha256)
        return request.id

    def copy_to(self, folder: Path, *, part: str | None = None) -> Path:
        """The state directory as a thief finds it; `part`: a segment that still has its unfinished name."""
        for name, stored in self.stored.items():
            whole = not isinstance(stored.signed.record, RecoveredRecord)
            kind = FileKind.PART if name == part else FileKind.SEGMENT if whole else FileKind.CUT
            for file, data in (
                (VaultFile(name, kind), stored.sealed),
                (VaultFile(name, FileKind.POSTER), stored.poster),
                (VaultFile(name, FileKind.SOUND), stored.sound),
            ):
                if data is not None:
                    path = folder / "vault" / "segments" / file.shard / file.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
        (folder / "vault" / "manifest.0").write_bytes(b"".join(line + b"\n" for line in self.lines))
        return folder

    def _begin(self, start_ms: int, event: int, quality: ClockQuality, length_ms: int) -> Begin:
        start_us = BOOT_US + (start_ms - self.now_ms) * 1000 + 10**12
        return Begin(
            segment=segment_id(self.token()), event=segment_id(hashlib.sha256(b"%d" % event).digest()[:16]),
            ordinal=len(self.stored), boot=BOOT, start_us=start_us, until_us=start_us + length_ms * 1000,
            utc_ms=start_ms, quality=quality,
        )  # fmt: skip

    def _seal(self, plaintext: bytes, begin: Begin | None) -> tuple[bytes, int]:
        named = (*(item.recipient for item in self.enrolment.recipients), self.enrolment.recovery)
        recipients = [parse_recipient(text) for text in named]
        remarks = (begin_stanza(begin),) if begin else ()
        file_key = self.token()
        self.key_of_last = key_commitment(file_key)
        sealer = Sealer(file_key, recipients, nonce=self.token(), remarks=remarks)
        return sealer.header + sealer.update(plaintext) + sealer.finish(), len(sealer.header)

    def sealed(self, data: bytes) -> str:
        """As the device keeps and shows what requesters wrote."""
        return strictjson.encode_base64(self._seal(data, None)[0])

    def _record(self, record: Any) -> SignedRecord:
        signer = LineSigner(self.private.sign, MLDSA.sign, self._newest_second)
        signed = signer.sign(record, self.tip)
        signer.wrote(signed)
        self._newest_second = signer.newest
        self.tip = self.tip.after(signed)
        self.lines.append(signed.line)
        return signed

    # -- what the control socket answers -------------------------------------------------------------------------------

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self.fetch(request, body=body)[0]

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        """Answers as `DeviceLink` does, so that a lie in the answer's shape meets the same check."""
        answer = self.answer(request_frame(request, body))
        return read_answer(type(request), msgspec.json.decode(msgspec.json.encode(answer.head))), answer.body

    def answer(self, frame: Frame) -> Frame:
        """Answers a frame of the control socket."""
        arguments = {name: value for name, value in frame.head.items() if name != "op"}
        result, body = self._answered(frame.head["op"], frame.body, **arguments)
        return Frame({"ok": True, "result": result}, body)

    def _answered(self, op: str, body: bytes, **arguments: Any) -> tuple[Any, bytes]:
        self.asked_ops.append(op)
        answer = getattr(self, f"on_{op}")(body=body, **arguments)
        result, data = ({}, answer) if isinstance(answer, bytes) else (answer, b"")
        if op == "shared":
            kept = self.yes.get(arguments["disclosure"])
            result, data = {"kept": bool(kept)}, self._seal(encode_approval(*kept), None)[0] if kept else b""
        if op in ("segment", "poster", "sound"):
            result = {"record": self.stored[arguments["id"]].signed.line.decode()}
        return self.lies[op](result, data) if op in self.lies else (result, data)

    def on_device(self, body: bytes) -> dict[str, Any]:
        return {
            "device": self.key.text, "device_id": self.key.id, "device_mldsa": MLDSA_KEY.text,
            "epoch": self.enrolment.epoch if self.enrolled else 0,
            "enrolled": self.enrolled is not None, "pending": self.proposed is not None, "broker_name": self.key.id,
        }  # fmt: skip

    def on_enrolment(self, body: bytes) -> dict[str, Any]:
        return {"envelope": self.enrolled and self.enrolled.decode()}

    def on_nonce(self, body: bytes) -> dict[str, Any]:
        return {"nonce": self.token().hex()}

    def on_enrolments(self, body: bytes, after: int) -> bytes:
        return b"\n".join(self.enrolments[after:])

    def on_enrol(self, body: bytes, envelope: str) -> dict[str, Any]:
        data = envelope.encode()
        wanted = open_enrolment(data, self.enrolled and _payload(self.enrolled))
        known = set(_named(self.enrolment).values()) if self.enrolled else set()
        tests = {name: (text, self.token(32)) for name, text in _named(wanted).items() if text not in known}
        self.proposed = (data, tests)
        return {
            "epoch": wanted.epoch,
            "tests": [{"name": name, "recipient": text} for name, (text, _) in tests.items()],
        }

    def on_enrol_test(self, body: bytes, name: str) -> bytes:
        assert self.proposed is not None
        text, token = self.proposed[1][name]
        return seal_bytes(token, [parse_recipient(text)], file_key=self.token(), nonce=self.token())

    def on_enrol_confirm(self, body: bytes, tokens: dict[str, str]) -> dict[str, Any]:
        assert self.proposed is not None
        data, tests = self.proposed
        epoch = _epoch(data)
        for name, token in tokens.items():
            if tests.pop(name)[1].hex() != token:
                raise RequestError("wrong token")
        if tests:
            return {"epoch": epoch, "waiting": sorted(tests)}
        self.enrolments, self.proposed = [*self.enrolments, data], None
        subject = hashlib.sha256(_payload(data)).hexdigest()
        self.write(EntryKind.RECIPIENTS_CHANGED, subject=subject, version=epoch)
        return {"epoch": epoch}

    def on_status(self, body: bytes) -> dict[str, Any]:
        counts = dict.fromkeys(("frames", "frames_dropped", "packets_dropped", "events", "segments"), 0)
        return {
            "device": "door", "device_id": self.key.id, "owners": ["anna"], "clock": "synced",
            "recorder": {"state": "watching", "detail": "", "analysis_ms_per_frame": 1.5, **counts},
            "vault": {"segments": len(self.stored), "stored_bytes": 1},
            "link": {"link": "off", "remedy": "no [broker] configured"},
        }  # fmt: skip

    def on_requests(self, body: bytes, all: bool = False) -> dict[str, Any]:
        shown = [
            {
                "id": name, "state": asked.state.value, "requester": asked.request.requester,
                "requester_name": "what the device says", "segments": len(asked.segments), "trusted": True,
                "kind": asked.request.kind.value, "from": asked.request.from_s, "to": asked.request.to_s,
                "not_after": asked.request.not_after_s, "certain": True, "disclosure": asked.disclosure,
                "incident": asked.request.incident.value, "received_ms": self.now_ms, "root": asked.request.trust_root,
            }
            for name, asked in self.requests.items()
            if all or asked.state in (RequestState.PENDING, RequestState.PARTIALLY_APPROVED)
        ]  # fmt: skip
        standing = [
            {"scope": scope.value, "value": value, "until_s": until_s, "trust_root": root or None}
            for (scope, value, root), until_s in self.standing.items()
        ]
        return {
            "requests": shown, "blocked": [], "counters": {},
            "opt_outs": [each for each in standing if each["scope"] != "hours"],
            "quiet_hours": [each for each in standing if each["scope"] == "hours"],
        }  # fmt: skip

    def on_gaps(self, body: bytes, id: str) -> dict[str, Any]:
        assert id in self.requests
        return {"gaps": self.gaps}

    def on_place(self, **_: Any) -> dict[str, Any]:
        return {"position": self.position}

    def on_request(self, body: bytes, id: str) -> dict[str, Any]:
        asked = self.requests.get(id)
        if asked is None:
            raise RequestError(f"There is no request {id}.")
        stored = [name for name in asked.segments if name in self.stored]
        return {
            "sealed": self.sealed(asked.envelope), "payload_sha256": asked.payload_sha256, "state": asked.state.value,
            "certain": True, "segments": stored, "disclosure": asked.disclosure,
            "records": [self.stored[name].signed.line.decode() for name in stored],
            "first": asked.first and asked.first[0].decode(), "waits_s": asked.waits_s,
            "receipt": asked.receipt and self.sealed(asked.receipt),
            "deletion": asked.deletion and self.sealed(asked.deletion),
        }  # fmt: skip

    def on_tips(self, body: bytes) -> dict[str, Any]:
        return {"tips": self.tips}

    def on_shared(self, body: bytes, disclosure: str) -> dict[str, Any]:
        return {"kept": disclosure in self.yes}

    def on_bulletins(self, body: bytes) -> dict[str, Any]:
        return {"bulletins": [self.sealed(data) for data in self.posted]}

    def on_segment(self, body: bytes, id: str) -> bytes:
        return self.stored[id].sealed

    def on_poster(self, body: bytes, id: str) -> bytes:
        poster = self.stored[id].poster
        if poster is None:
            raise RequestError("no poster")
        return poster

    def on_sound(self, body: bytes, id: str) -> bytes:
        sound = self.stored[id].sound
        if sound is None:
            raise RequestError("no sound")
        return sound

    def on_list(self, body: bytes, from_ms: int, to_ms: int) -> dict[str, Any]:
        found = []
        for name, stored in self.stored.items():
            record = stored.signed.record
            assert isinstance(record, SegmentRecord | RecoveredRecord)
            if record.span.start_ms < to_ms and record.span.end_ms > from_ms:
                found.append(
                    {
                        "id": name, "event": record.event, "ordinal": record.ordinal,
                        "start_ms": record.span.start_ms, "end_ms": record.span.end_ms,
                        "quality": record.quality.value, "size_bytes": len(stored.sealed),
                        "poster": stored.poster is not None, "whole": record.complete,
                        "sound": stored.sound is not None,
                    }
                )  # fmt: skip
        return {"segments": found, "more": False}

    def on_statement(self, body: bytes, envelope: str, sizes: list[int]) -> dict[str, Any]:
        statement, subject = self._open_statement(envelope.encode())
        self.statements.append(statement)
        match statement:
            case Approval():
                return self._approve(envelope.encode(), statement, subject, body, sizes)
            case CoApproval():
                asked = self._named(statement.request)
                assert asked.first is not None
                data, first, first_sha256, headers = asked.first
                assert statement.approval == first_sha256
                return self._share(asked, first, first_sha256, headers, data, envelope.encode())
            case Denial():
                return {"state": self._advance(self._named(statement.request), Event.DENIED)}
            case Revocation():
                asked = next(each for each in self.requests.values() if each.disclosure == statement.disclosure)
                return {"state": self._advance(asked, Event.REVOKED, disclosure=statement.disclosure)}
            case OptOut():
                standing = (statement.scope, statement.value or "", statement.trust_root or "")
                self.standing[standing] = statement.until_s
                self.write(EntryKind.OPT_OUT, subject=subject)
            case OptIn():
                self.standing.pop((statement.scope, statement.value or "", statement.trust_root or ""), None)
                self.write(EntryKind.OPT_IN, subject=subject)
            case Hold():
                self.write(EntryKind.HELD, subject=subject, segments=len(statement.segments))
            case Release():
                self.write(EntryKind.RELEASED, subject=subject, segments=len(statement.segments))
            case Erasure():
                self.write(EntryKind.ERASED, subject=subject, segments=len(statement.segments))
                for name in statement.segments:
                    del self.stored[name]
            case Settings():
                if statement.previous != self.settings_sha256:
                    raise RequestError("Another owner has changed the settings meanwhile.")
                self.settings, self.settings_sha256 = envelope, subject
                self.write(EntryKind.CONFIGURATION_CHANGED, subject=subject)
            case UpdateChoice():
                self.write(EntryKind.UPDATE_CHOSEN, subject=subject)
            case UpdateReversal():
                self.write(EntryKind.UPDATE_REVERSED, subject=subject)
            case Tip():
                self.released = release_tip(
                    statement, _headers(body, sizes), {n: s.signed for n, s in self.stored.items()}, self.key.text
                )
                self.outbox = {
                    (item.kind, item.id): item.header + self._bytes_of(item)[item.stored.header_size :]
                    for item in self.released
                }
                self.tips.append({"id": statement.tip, "requester": statement.requester, "state": "approved"})
                lines = tuple({item.record.line: None for item in self.released})
                self.yes[statement.tip] = envelope.encode(), None, lines
                named = {"request": statement.tip, "requester": statement.requester, "disclosure": statement.tip}
                self.write(EntryKind.TIP, subject=subject, segments=len(statement.segments), **named)
                return {"state": "approved", "disclosure": statement.tip, "request": None}
            case TrustChange():
                for text in statement.roots_added:
                    self.trust = self.trust.with_root(_key(text))
                for text in statement.roots_removed:
                    self.trust = self.trust.without_root(_key(text).id)
                    self.bundles.pop(_key(text).id, None)
                self.trust_changes.append(envelope.encode())
                self.write(EntryKind.TRUST_CHANGED, subject=subject)
        return {}

    def on_settings(self, body: bytes) -> dict[str, Any]:
        return {"envelope": self.settings, "sha256": self.settings_sha256}

    def on_update(self, body: bytes) -> dict[str, Any]:
        """Without [updates]. A test shows an offer as a lie."""
        return {"running": "0.2.0", "looks": False, "automatic": False, "chosen": False}

    def on_trust(self, body: bytes) -> dict[str, Any]:
        return {
            "roots": [root.text for root in self.trust.roots.values()],
            "bundles": [data.decode() for data in self.bundles.values()],
            "heard": [data.decode() for data in self.heard.values()],
            "cell": self.cell,
            "agreed_in": self.agreed_in,
        }

    def on_trust_changes(self, body: bytes) -> bytes:
        return b"\n".join(self.trust_changes)

    def on_trust_bundle(self, body: bytes, cell: str | None) -> dict[str, Any]:
        if cell != self.cell:
            raise RequestError("The doorbell was moved meanwhile.")
        self.trust, change = self.trust.accept(body)
        self.bundles[claimed_root(body)] = body
        self.heard.pop(claimed_root(body), None)
        self.write(EntryKind.TRUST_CHANGED, subject=hashlib.sha256(body).hexdigest(), version=1)
        return {"added": change.added, "removed": change.removed, "changed": change.changed}

    def on_checkpoint(self, body: bytes, old_size: int) -> dict[str, Any]:
        hashes = [leaf_hash(leaf) for leaf in self.leaves]
        if old_size > len(hashes):
            raise RequestError("This ledger is shorter.")
        frontier = Frontier()
        for each in hashes:
            frontier = frontier.append(each)
        proof = consistency_proof(hashes, old_size) if old_size else ()
        note = sign_checkpoint(frontier, self.private, MLDSA)
        return {"checkpoint": note.decode(), "proof": [each.hex() for each in proof]}

    def on_time_opening(self, body: bytes, size: int, beat: int) -> bytes:
        return self.time(size, beat)

    def on_ledger(self, body: bytes, start: int, end: int) -> dict[str, Any]:
        return {"entries": [leaf.decode() for leaf in self.leaves[start:end]]}

    def _open_statement(self, data: bytes) -> tuple[Any, str]:
        claimed = read_statement(data)
        opened = claimed.verify(self.enrolment.signers)
        kinds = (
            Tip, Approval, CoApproval, Denial, OptOut, OptIn, Revocation, TrustChange, Hold, Release, Erasure, Settings,
            UpdateChoice, UpdateReversal,
        )  # fmt: skip
        kind = next(kind for kind in kinds if claimed.payload_type == kind.PAYLOAD_TYPE)
        statement = strictjson.decode(opened.payload, kind, limit_bytes=STATEMENT_LIMIT_BYTES)
        if statement.device != self.key.text:
            raise FormatError("another device")
        return statement, hashlib.sha256(opened.payload).hexdigest()

    def _approve(self, data: bytes, approval: Approval, subject: str, body: bytes, sizes: list[int]) -> dict[str, Any]:
        asked = self._named(approval.request)
        next_transition(asked.state, Event.APPROVED)
        headers = _headers(body, sizes)
        if self.enrolment.approvals_needed == 2:
            by = self.enrolment.name_of(_key_id(data))
            asked.first = data, approval, subject, headers
            state = self._advance(
                asked, Event.PARTIALLY_APPROVED, subject=subject, segments=len(approval.segments), reason=by
            )
            return {"state": state, "disclosure": None, "request": asked.request.id}
        return self._share(asked, approval, subject, headers, data)

    def _share(
        self, asked: Asked, approval: Approval, subject: str, headers: dict[str, bytes], data: bytes,
        second: bytes | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        records = {name: stored.signed for name, stored in self.stored.items()}
        self.released = release(approval, headers, asked, records, self.key.text)
        self.outbox = {
            (item.kind, item.id): item.header + (item.redacted or self._bytes_of(item)[item.stored.header_size :])
            for item in self.released
        }
        asked.disclosure = self.token().hex()
        self.yes[asked.disclosure] = data, second, tuple({item.record.line: None for item in self.released})
        state = self._advance(
            asked, Event.APPROVED, disclosure=asked.disclosure, subject=subject, segments=len(approval.segments)
        )
        return {"state": state, "disclosure": asked.disclosure, "request": asked.request.id}

    def _bytes_of(self, item: ReleasedItem) -> bytes:
        stored = self.stored[item.id]
        kept = {PartKind.SEGMENT: stored.sealed, PartKind.POSTER: stored.poster, PartKind.SOUND: stored.sound}
        data = kept[item.kind]
        assert data is not None
        return data

    def _named(self, payload_sha256: str) -> Asked:
        return next(each for each in self.requests.values() if each.payload_sha256 == payload_sha256)

    def _advance(self, asked: Asked, cause: Event, **fields: Any) -> str:
        line = next_transition(asked.state, cause)
        self.write(line.entry, request=asked.request.id, requester=asked.request.requester, **fields)
        asked.state = line.next_state
        return line.next_state.value


def _epoch(data: bytes) -> int:
    return strictjson.decode(_payload(data), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES).epoch


def _headers(body: bytes, sizes: list[int]) -> dict[str, bytes]:
    """By their SHA-256."""
    found, at = {}, 0
    for size in sizes:
        header = body[at : at + size]
        found[hashlib.sha256(header).hexdigest()] = header
        at += size
    return found


def _key_id(data: bytes) -> str:
    return read_statement(data).key_id


def _payload(data: bytes) -> bytes:
    return read_statement(data).payload


def _named(enrolment: Enrolment) -> dict[str, str]:
    return {item.name: item.recipient for item in enrolment.recipients} | {"recovery": enrolment.recovery}


def _key(text: str) -> Any:
    from agent.wire.trust_keys import parse_trust_key

    return parse_trust_key(text)
