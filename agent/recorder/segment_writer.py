"""Writes one segment: seals its media as it comes, keeps it durable, and has it acknowledged at the end.

The steps are FORMAT.md's procedures C (create) and F (finish).  The file key is in memory from the constructor to
`finish` or `abandon`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import ClockReading, seconds
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.age.sealing import Sealer
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import FileKind, TimeSpan, VaultFile, span_between
from agent.core.vault.manifest import SecondSigner, Signer
from agent.core.vault.records import FileDigest, PosterRecord, SealedFile, SegmentRecord, SoundGapReason, SoundRecord
from agent.core.vault.segment import Begin, Content, Context, begin_stanza, context_box, poster_plaintext
from agent.errors import DoorwardError, InternalError, StorageError
from agent.ports import Clock, Entropy, SegmentFile, SegmentStore

__all__ = ["SealingContext", "SegmentWriter"]

_SYNC_NS: Final = seconds(2)
"""The most footage that a power cut may take from a segment being written, apart from age's open 64 KiB chunk."""
_SECRET_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SealingContext:
    """The recipients of segments (`epoch` numbers the list), the device's id, and its two signatures."""

    recipients: tuple[Recipient, ...]
    epoch: int
    device: str
    sign: Signer
    second: SecondSigner


@dataclass(frozen=True, slots=True)
class SegmentCallbacks:
    """Functions of the vault: `judge` a reading of the clock, `commit` a record, and learn that a segment `failed`."""

    judge: Callable[[ClockReading], ClockReading]
    commit: Callable[[SegmentRecord], None]
    failed: Callable[[Begin], None]


class SegmentWriter:
    """Made by `Vault.begin`. An error ends the writer; the vault's next start-up keeps and records the written part."""

    def __init__(
        self, begin: Begin, start: ClockReading, sealing: SealingContext, store: SegmentStore, clock: Clock,
        entropy: Entropy,
        callbacks: SegmentCallbacks,
    ) -> None:  # fmt: skip
        self._begin = begin
        self._start = start
        self._sealing = sealing
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._callbacks = callbacks
        self._media_size = 0
        self._image: bytes | None = None
        self._seen_around: tuple[ObjectLabel, ...] | None = None
        self._track: bytes | None = None
        self._silence: SoundGapReason | None = None
        self._companions: list[tuple[FileKind, FileKind, bytes]] = []
        """Sealed files beside the segment: the kind while it is written, its final one, and its bytes."""
        self._synced_ns = self._written_ns = self._rested_ns = clock.now().boot_ns
        self._sync_took_ns = 0
        # One key for each file: a second file under the same key and nonce would give both plaintexts away.
        file_key = entropy.token(_SECRET_BYTES)
        # ChaCha20-Poly1305 does not commit to its key. Without this hash in the record, one payload could open to two
        # films.
        self._key = key_commitment(file_key)
        self._sealer: Sealer | None = self._new_sealer(file_key, begin)
        self._digest = FileDigest(self._sealer.header)
        self._file: SegmentFile | None = None
        with self._abandon_on_error():
            # No sync: an empty file needs no recovery (FORMAT.md, procedure C).
            self._file = store.create(VaultFile(self.id, FileKind.PART))  # C1
            self._file.append(self._sealer.header)  # C2

    @property
    def id(self) -> str:
        return self._begin.segment

    def write(self, media: bytes) -> None:
        """Appends whole fragments of media. They are durable within two seconds if it is called at least once a
        second."""
        payload = self._require_open().update(media)
        self._media_size += len(media)
        with self._abandon_on_error():
            self._append(payload)
            self._sync_when_due()

    def poster(self, image: bytes, seen: tuple[ObjectLabel, ...] | None = None) -> None:
        """Takes the clip's still (JPEG), which is stored with this segment, the clip's first.

        `seen`: the labels that object detection gave around it.
        """
        self._require_open()
        self._image, self._seen_around = image, seen

    def sound(self, track: bytes | None, silence: SoundGapReason | None = None) -> None:
        """Takes the sound (a separate fragmented MP4), which is stored with this segment, or why some of it is
        missing."""
        self._require_open()
        self._track, self._silence = track, silence

    def finish(self, end: ClockReading, seen: tuple[ObjectLabel, ...] | None = None) -> SegmentRecord:
        """Ends the segment at `end`. On return it is acknowledged: no later crash or power cut loses it.

        `seen`: the labels of its pictures, which only an owner can read.
        """
        sealer = self._require_open()
        with self._abandon_on_error():
            span = span_between(self._begin.boot, self._start, self._callbacks.judge(end))
            context = self._context(span, seen)
            # The context comes last: only now are the end of the segment and the length of its film known.
            self._append(sealer.update(context_box(context)) + sealer.finish())
            self._sealer = None
            record = self._record(span, self._sealed_poster(context), self._sealed_sound(context))
            self._publish()
            self._callbacks.commit(record)  # F4, F5
        return record

    def abandon(self) -> None:
        """Gives up. The vault's next start-up keeps and records the written part. Idempotent."""
        if self._sealer is not None:
            self._abandon()

    def _context(self, span: TimeSpan, seen: tuple[ObjectLabel, ...] | None) -> Context:
        return Context(
            kind=Content.SEGMENT,
            device=self._sealing.device,
            segment=self.id,
            event=self._begin.event,
            ordinal=self._begin.ordinal,
            span=span,
            media_bytes=self._media_size,
            label=self._begin.label,
            seen=seen,
        )

    def _sealed_poster(self, context: Context) -> PosterRecord | None:
        """The still says of itself what the pictures say of themselves, so that neither passes for another's."""
        if self._image is None:
            return None
        own = msgspec.structs.replace(
            context, kind=Content.POSTER, media_bytes=len(self._image), seen=self._seen_around
        )
        file, key = self._seal(FileKind.POSTER_PART, FileKind.POSTER, poster_plaintext(self._image, own))
        return PosterRecord(file=file, key=key)

    def _sealed_sound(self, context: Context) -> SoundRecord | None:
        """Seals the sound in the same way. It has no labels."""
        if self._track is None:
            return None
        own = msgspec.structs.replace(context, kind=Content.SOUND, media_bytes=len(self._track), seen=None)
        file, key = self._seal(FileKind.SOUND_PART, FileKind.SOUND, self._track + context_box(own))
        return SoundRecord(file=file, key=key)

    def _record(self, span: TimeSpan, poster: PosterRecord | None, sound: SoundRecord | None) -> SegmentRecord:
        return SegmentRecord(
            id=self.id,
            event=self._begin.event,
            ordinal=self._begin.ordinal,
            span=span,
            epoch=self._sealing.epoch,
            file=self._digest.sealed(),
            key=self._key,
            poster=poster,
            label=self._begin.label,
            sound=sound,
            silence=self._silence,
        )

    def _new_sealer(self, file_key: bytes, begin: Begin | None) -> Sealer:
        return Sealer(
            file_key,
            self._sealing.recipients,
            nonce=self._entropy.token(_SECRET_BYTES),
            remarks=(begin_stanza(begin),) if begin else (),
        )

    def _seal(self, part: FileKind, final: FileKind, plaintext: bytes) -> tuple[SealedFile, str]:
        """Returns the file's description for the record, and the commitment of its key."""
        file_key = self._entropy.token(_SECRET_BYTES)
        sealer = self._new_sealer(file_key, None)
        payload = sealer.update(plaintext) + sealer.finish()
        digest = FileDigest(sealer.header)
        digest.update(payload)
        self._companions.append((part, final, sealer.header + payload))
        return digest.sealed(), key_commitment(file_key)

    def _append(self, payload: bytes) -> None:
        self._digest.update(payload)
        self._open_file().append(payload)

    def _sync_when_due(self) -> None:
        now_ns = self._clock.now().boot_ns
        pause_ns, self._written_ns = now_ns - self._written_ns, now_ns
        # Due if the next write, expected after the same pause, would be too late. A slow card gets at least half of its
        # time for writing: if it cannot sync every two seconds, it syncs as often as it can.
        due = now_ns + pause_ns - self._synced_ns > _SYNC_NS
        if due and now_ns - self._rested_ns >= 2 * self._sync_took_ns:
            self._open_file().sync()  # C3
            self._synced_ns, self._rested_ns = now_ns, self._clock.now().boot_ns
            self._sync_took_ns = self._rested_ns - now_ns

    def _publish(self) -> None:
        # Synced before the rename: otherwise a power cut could leave the final name without the bytes.
        self._open_file().finish()  # F1
        changes = [(VaultFile(self.id, FileKind.PART), VaultFile(self.id, FileKind.SEGMENT))]
        for part, final, sealed in self._companions:
            changes.append((VaultFile(self.id, part), VaultFile(self.id, final)))
            self._write_companion(VaultFile(self.id, part), sealed)  # F2
        # All names, then one sync of the directory. The record (F4) must not be durable before the names are.
        self._store.rename(changes)  # F3

    def _write_companion(self, place: VaultFile, sealed: bytes) -> None:
        file = self._store.create(place)
        try:
            file.append(sealed)
            file.finish()
        except StorageError:
            # Closed here: the descriptor of a companion would otherwise stay open, because `_abandon` knows only the
            # segment's file.
            file.abandon()
            raise

    @contextmanager
    def _abandon_on_error(self) -> Iterator[None]:
        try:
            yield
        except DoorwardError:
            self._abandon()
            raise

    def _abandon(self) -> None:
        self._sealer = None
        if self._file is not None:
            self._file.abandon()
        self._callbacks.failed(self._begin)

    def _require_open(self) -> Sealer:
        if self._sealer is None:
            raise InternalError("A segment was continued after its end.")
        return self._sealer

    def _open_file(self) -> SegmentFile:
        if self._file is None:
            raise InternalError("A segment was continued before its beginning.")
        return self._file
