"""A house in memory: a device that records sealed segments, and an owner's client that approves some of them.

It does the work of recorder, owner's client and custodian with the same functions of `core`, and returns the parts of a
disclosure. Tests can change everything on the way (`Changes`), and so lie in every field.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.clients.media.redact import cover_film, mute_sound
from agent.clients.opening import HybridIdentity, rewrap
from agent.clients.requester.identity import SentRequest
from agent.core.disclosure import ReleasedItem, manifest_of, reply_stanza
from agent.core.ledger.merkle import leaf_hash
from agent.core.media import Gop, StreamDescription
from agent.core.timebase import ClockQuality
from agent.core.transfer import PartSize
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer, seal_bytes
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.following import clip_chain_start
from agent.core.vault.hash_chain import FIRST, chain_hash
from agent.core.vault.manifest import ChainHead, SignedRecord, sign_record
from agent.core.vault.records import FileDigest, PosterRecord, RecoveredRecord, SealedFile, SegmentRecord, SoundRecord
from agent.core.vault.redactions import Redaction
from agent.core.vault.segment import Begin, Content, Context, begin_stanza, context_box, poster_plaintext
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.poster import poster as poster_of
from agent.wire import envelope, strictjson
from agent.wire.disclosures import ClipRecords, ContactCard, DisclosureManifest, PartKind, SecondSignature
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from agent.wire.statements import (
    Approval,
    ClipClaim,
    Enrolment,
    NamedKey,
    NamedRecipient,
    Redacted,
    SealedItem,
    read_statement,
    sign_statement,
)
from tests.wire import samples

BOOT = "0b" * 16


@dataclass
class Stored:
    """One segment or poster as the vault keeps it."""

    kind: PartKind
    id: str
    data: bytes
    sealed: SealedFile
    record: SignedRecord
    content: bytes = b""
    """The sealed content without its context."""

    @property
    def header(self) -> bytes:
        return self.data[: self.sealed.header_size]

    @property
    def payload(self) -> bytes:
        return self.data[self.sealed.header_size :]


def unchanged(value: Any) -> Any:
    return value


@dataclass
class Changes:
    """A lie for each step; each gets the honest value and returns what is used instead."""

    context: Callable[[Context], Context] = unchanged
    poster: Callable[[Context], Context] = unchanged
    """The still's context."""
    image: Callable[[bytes], bytes] = unchanged
    media: Callable[[bytes], bytes] = unchanged
    """The pictures, before they are sealed."""
    record: Callable[[SegmentRecord], Any] = unchanged
    approval: Callable[[Approval], Approval] = unchanged
    enrolment: Callable[[Enrolment], Enrolment] = unchanged
    manifest: Callable[[DisclosureManifest], DisclosureManifest] = unchanged
    statements: Callable[[bytes], bytes] = unchanged
    """The signed manifest before it is sealed."""
    signed_approval: Callable[[bytes], bytes] = unchanged
    signed_enrolment: Callable[[bytes], bytes] = unchanged
    redacted: Callable[[Context], Context] = unchanged
    """The context in a redacted file."""
    covered: Callable[[bytes], bytes] = unchanged
    """The redacted film or sound, before it is sealed."""
    reply: Callable[[str], str] = unchanged
    """The recipient of part 0 and the new headers."""
    record_key: Ed25519PrivateKey | None = None
    manifest_key: Ed25519PrivateKey | None = None
    manifest_mldsa: MLDSA44PrivateKey | None = None
    approval_key: Ed25519PrivateKey | None = None
    enrolment_key: Ed25519PrivateKey | None = None


@dataclass
class Disclosure:
    """The content of the device's outbox."""

    id: str
    device: str
    parts: list[bytes]

    @property
    def sizes(self) -> tuple[PartSize, ...]:
        return tuple(PartSize(len(part), hashlib.sha256(part).hexdigest()) for part in self.parts)


_POSTERS: dict[bytes, bytes] = {}


def _poster(gop: Gop) -> bytes:
    """Returns the poster of this GOP's keyframe, which is made once: hundreds of tests film the same porch."""
    keyframe = gop.packets[0].data
    if keyframe not in _POSTERS:
        _POSTERS[keyframe] = poster_of([gop])
    return _POSTERS[keyframe]


@functools.cache
def _signed_once(payload: bytes, seed: bytes) -> bytes:
    """A list of owners is signed once and kept, so it has the same bytes in each answer (ML-DSA draws randomness)."""
    return sign_statement(Enrolment.PAYLOAD_TYPE, payload, private_key_from_seed(seed))


@dataclass
class House:
    """One door.  `start_ms`: UTC of its first frame."""

    start_ms: int
    quality: ClockQuality = ClockQuality.SYNCED
    changes: Changes = field(default_factory=Changes)
    name: str = "house"
    epoch: int = 1
    lists_every_s: int = 7200
    """When its owners signed each of their lists, from the start on."""

    def __post_init__(self) -> None:
        self.device = private_key_from_seed(hashlib.sha256(f"device of {self.name}".encode()).digest())
        self.mldsa = mldsa_key_from_seed(hashlib.sha256(f"second key of {self.name}".encode()).digest())
        self.owner = private_key_from_seed(hashlib.sha256(f"owner of {self.name}".encode()).digest())
        self.identity = HybridIdentity(hashlib.sha256(f"identity of {self.name}".encode()).digest())
        self.recovery = HybridIdentity(hashlib.sha256(f"recovery of {self.name}".encode()).digest())
        self.stored: list[Stored] = []
        self.tip = ChainHead()
        self.ordinal = 0
        self.entries = 4
        """Entries of its ledger before the next approval."""
        self.reached: dict[str, str] = {}
        """The hash behind the newest record of each clip."""

    @property
    def device_id(self) -> str:
        return public_key_of(self.device).id

    # Recording

    def record(
        self, description: StreamDescription, gops: Sequence[Gop], *, event: str | None = None, poster: bool = True,
        sound: bytes | None = None,
    ) -> list[Stored]:  # fmt: skip
        """One segment of these GOPs, and the clip's poster if it is the clip's first."""
        writer = FragmentedMp4Writer(description)
        media = self.changes.media(writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:])))
        segment = segment_id(secrets.token_bytes(16))
        event = event or segment_id(secrets.token_bytes(16))
        start_us, end_us = gops[0].start_ns // 1000, gops[-1].end_ns // 1000
        utc_ms = self.start_ms + (start_us - self._first_us(start_us)) // 1000
        span = TimeSpan(boot=BOOT, start_us=start_us, end_us=end_us, utc_ms=utc_ms, quality=self.quality)
        begin = Begin(
            segment=segment,
            event=event,
            ordinal=self.ordinal,
            boot=BOOT,
            start_us=start_us,
            until_us=start_us + 30_000_000,
            utc_ms=utc_ms,
            quality=self.quality,
        )
        context = self.changes.context(
            Context(
                kind=Content.SEGMENT,
                device=self.device_id,
                segment=segment,
                event=event,
                ordinal=self.ordinal,
                span=span,
                media_bytes=len(media),
            )
        )
        data, sealed, key = self._seal(media + context_box(context), begin)
        image = self.changes.image(_poster(gops[0]))
        own = msgspec.structs.replace(context, kind=Content.POSTER, media_bytes=len(image), redactions=None)
        still, sealed_still, still_key = self._seal(poster_plaintext(image, self.changes.poster(own)), None)
        heard = None
        if sound is not None:
            own = msgspec.structs.replace(context, kind=Content.SOUND, media_bytes=len(sound))
            heard = self._seal(sound + context_box(own), None)
        record = self.changes.record(
            SegmentRecord(
                id=segment,
                event=event,
                ordinal=self.ordinal,
                span=span,
                epoch=1,
                file=sealed,
                key=key,
                poster=PosterRecord(file=sealed_still, key=still_key) if poster else None,
                prev_in_clip=self.reached.get(event, FIRST),
                sound=heard and SoundRecord(file=heard[1], key=heard[2]),
            )
        )
        self.ordinal += 1
        signed = self._signed(record)
        if signed.record.prev_in_clip is not None:
            self.reached[event] = chain_hash(signed.record.prev_in_clip, signed.line)
        stored = [Stored(PartKind.SEGMENT, segment, data, sealed, signed, media)]
        if heard is not None:
            stored.append(Stored(PartKind.SOUND, segment, heard[0], heard[1], signed, sound or b""))
        if poster:
            stored.append(Stored(PartKind.POSTER, segment, still, sealed_still, signed, image))
        self.stored += stored
        return stored

    def power_cut(
        self, segment: Stored, kept_bytes: int, *, begun_late_ms: int = 0, later_us: int = 0, named: bool = True
    ) -> Stored:
        """The same segment as if power had failed: cut off, and recovered at the next start.

        `begun_late_ms`: how far the clock was ahead when it began; by its end it was right.  `named`: whether a whole
        file had got its final name; `later_us`: a lie of the device's about when it began.
        """
        data = segment.data[:kept_bytes]
        digest = FileDigest(segment.header)
        digest.update(data[segment.sealed.header_size :])
        record = segment.record.record
        begin = Begin(
            segment=record.id,
            event=record.event,
            ordinal=record.ordinal,
            boot=BOOT,
            start_us=record.span.start_us + later_us,
            until_us=record.span.start_us + 30_000_000,
            utc_ms=record.span.utc_ms + begun_late_ms,
            quality=record.span.quality,
        )
        at = Stamp(boot=BOOT, at_us=0, utc_ms=self.start_ms, quality=ClockQuality.UNKNOWN)
        recovered = RecoveredRecord(
            begin=begin, complete=named and kept_bytes >= len(segment.data), file=digest.sealed(), at=at
        )
        cut = Stored(PartKind.SEGMENT, segment.id, data, digest.sealed(), self._signed(recovered))
        self.stored[self.stored.index(segment)] = cut
        return cut

    def _first_us(self, start_us: int) -> int:
        first = next((each.record.record.span.start_us for each in self.stored), start_us)
        return min(first, start_us)

    def _seal(self, plaintext: bytes, begin: Begin | None) -> tuple[bytes, SealedFile, str]:
        file_key = secrets.token_bytes(16)
        sealer = Sealer(
            file_key,
            [self.identity.recipient(), self.recovery.recipient()],
            nonce=secrets.token_bytes(16),
            remarks=(begin_stanza(begin),) if begin else (),
        )
        payload = sealer.update(plaintext) + sealer.finish()
        digest = FileDigest(sealer.header)
        digest.update(payload)
        return sealer.header + payload, digest.sealed(), key_commitment(file_key)

    def _signed(self, record: SegmentRecord | RecoveredRecord) -> SignedRecord:
        signed = sign_record(record, self.tip, (self.changes.record_key or self.device).sign)
        self.tip = self.tip.after(signed)
        return signed

    # Approving and disclosing

    def enrolments(self) -> list[bytes]:
        """From epoch 1 to the one in force; a lie is about the last."""
        chain: list[bytes] = []
        for epoch in range(1, self.epoch + 1):
            last = epoch == self.epoch
            enrolment = Enrolment(
                v=1,
                device=public_key_of(self.device).text,
                owner_time_ms=self.start_ms + (epoch - 1) * self.lists_every_s * 1000,
                nonce="0e" * 16,
                epoch=epoch,
                recipients=(NamedRecipient(name="mira", recipient=str(self.identity.recipient())),),
                approvers=(NamedKey.of("mira", self.owner),),
                recovery=str(self.recovery.recipient()),
                device_mldsa=MldsaPublicKey.of(self.mldsa).sha256,
                previous=hashlib.sha256(read_statement(chain[-1]).payload).hexdigest() if chain else None,
            )
            key = (self.changes.enrolment_key if last else None) or self.owner
            said = self.changes.enrolment(enrolment) if last else enrolment
            signed = _signed_once(strictjson.encode(said), key.private_bytes_raw())
            chain.append(self.changes.signed_enrolment(signed) if last else signed)
        return chain

    def records_told(self, clip: ClipClaim) -> ClipRecords:
        """Hashes of a clip with that many segments, invented if there is no such clip."""
        records = [
            each.record
            for each in self.stored
            if each.kind is PartKind.SEGMENT
            and clip.from_ms <= each.record.record.span.start_ms
            and each.record.record.span.end_ms <= clip.to_ms
        ]
        made_up = [b"another record %d" % number for number in range(clip.segments - len(records))]
        leaves = tuple(leaf_hash(line).hex() for line in (*(signed.line for signed in records), *made_up))
        follows = None if made_up else clip_chain_start(records)
        return ClipRecords(from_ms=clip.from_ms, to_ms=clip.to_ms, leaves=leaves, prev_in_clip=follows)

    def disclose(
        self,
        asked: SentRequest,
        chosen: Iterable[Stored] | None = None,
        contact: ContactCard | None = None,
        told: tuple[ClipClaim, ...] = (),
        redactions: Mapping[tuple[PartKind, str], tuple[Redaction, ...]] = {},
    ) -> Disclosure:
        """The owner approves `chosen` (by default everything) for this request, some of it only as redacted."""
        chosen = list(self.stored if chosen is None else chosen)
        reply = parse_recipient(self.changes.reply(asked.request.reply))
        headers = [rewrap(each.header, [self.identity], [reply]) for each in chosen]
        made: dict[int, tuple[Redacted, bytes]] = {}
        for number, each in enumerate(chosen):
            if (each.kind, each.id) in redactions:
                said, headers[number], payload = self._redacted(each, redactions[each.kind, each.id], reply)
                made[number] = said, payload
        items = {
            kind: tuple(
                SealedItem(
                    id=each.id,
                    payload_sha256=each.sealed.sha256_payload,
                    header_sha256=hashlib.sha256(header).hexdigest(),
                    redacted=made[number][0] if number in made else None,
                )
                for number, (each, header) in enumerate(zip(chosen, headers, strict=True))
                if each.kind is kind
            )
            for kind in PartKind
        }
        card = None
        if contact is not None:
            card = strictjson.encode_base64(self._seal_to(reply, strictjson.encode(contact)))
        approval = self.changes.approval(
            Approval(
                v=1,
                device=public_key_of(self.device).text,
                owner_time_ms=self.start_ms + 3_600_000,
                nonce=secrets.token_hex(16),
                request=asked.payload_sha256,
                reply=asked.request.reply,
                segments=items[PartKind.SEGMENT],
                posters=items[PartKind.POSTER],
                sounds=items[PartKind.SOUND],
                contact=card,
                clips=told or None,
            )
        )
        signed_approval = sign_statement(
            Approval.PAYLOAD_TYPE, strictjson.encode(approval), self.changes.approval_key or self.owner
        )
        released = [
            ReleasedItem(
                each.kind, each.id, header, each.sealed, each.record, made[number][1] if number in made else None
            )
            for number, (each, header) in enumerate(zip(chosen, headers, strict=True))
        ]
        parts = [each.header + (each.redacted or one.payload) for each, one in zip(released, chosen, strict=True)]
        disclosure = secrets.token_hex(16)
        self.entries += 1
        manifest = self.changes.manifest(
            manifest_of(
                released,
                [hashlib.sha256(part).hexdigest() for part in parts],
                disclosure=disclosure,
                device=public_key_of(self.device).text,
                device_mldsa=MldsaPublicKey.of(self.mldsa),
                request_sha256=asked.payload_sha256,
                approval=self.changes.signed_approval(signed_approval),
                enrolments=self.enrolments(),
                ledger=samples.ledgered(
                    asked.request,
                    disclosure,
                    hashlib.sha256(strictjson.encode(approval)).hexdigest(),
                    self.device,
                    self.mldsa,
                    earlier=self.entries,
                ),
                second_signatures=dict.fromkeys((each.id for each in chosen), SecondSignature.COVERED),
                told=tuple(map(self.records_told, approval.clips or ())),
            )
        )
        statements = envelope.sign_hybrid(
            DisclosureManifest.PAYLOAD_TYPE,
            strictjson.encode(manifest),
            self.changes.manifest_key or self.device,
            self.changes.manifest_mldsa or self.mldsa,
        )
        first = self._seal_to(reply, self.changes.statements(statements))
        return Disclosure(disclosure, self.device_id, [first, *parts])

    def _redacted(self, stored: Stored, redactions: tuple[Redaction, ...], reply: Any) -> tuple[Redacted, bytes, bytes]:
        """Makes a captured file into a redacted one: the item, the new header and the new payload."""
        cover = cover_film if stored.kind is PartKind.SEGMENT else mute_sound
        record = stored.record.record
        media = self.changes.covered(cover(stored.content, redactions, record.span.duration_us // 1000))
        context = Context(
            kind=Content(stored.kind.value),
            device=self.device_id,
            segment=record.id,
            event=record.event,
            ordinal=record.ordinal,
            span=record.span,
            media_bytes=len(media),
            redactions=redactions,
        )
        file_key = secrets.token_bytes(16)
        plaintext = media + context_box(self.changes.redacted(context))
        data = seal_bytes(plaintext, [reply], file_key=file_key, nonce=secrets.token_bytes(16))
        payload = data[split(data) :]
        said = Redacted(payload_sha256=hashlib.sha256(payload).hexdigest(), key=key_commitment(file_key))
        return said, data[: split(data)], payload

    def _seal_to(self, reply: Any, plaintext: bytes) -> bytes:
        sealer = Sealer(
            secrets.token_bytes(16), [reply], nonce=secrets.token_bytes(16), remarks=(reply_stanza(str(reply)),)
        )
        return sealer.header + sealer.update(plaintext) + sealer.finish()
