"""Vaults for tests: seeded randomness, a clock that moves only when told, and an owner who can open what was sealed."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from agent.clients.opening import X25519Identity
from agent.core.device_secret import DeviceSecret
from agent.core.retention import ChapterLimits, RetentionLimits
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs, seconds
from agent.core.vault.fields import segment_id
from agent.core.vault.manifest import SecondSigner
from agent.ports import Disk, Index
from agent.recorder.vault import SealingContext, Vault
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from agent.wire.identities import MldsaPublicKey, private_key_from_seed, public_key_of
from tests.fake_index import FakeIndex

__all__ = [
    "DEVICE_KEY",
    "DEVICE_MLDSA",
    "DEVICE_MLDSA_KEY",
    "DEVICE_SECRET",
    "JPEG",
    "OWNER",
    "ROOT",
    "SEALING",
    "SECOND",
    "SteppedClock",
    "TestVault",
    "box",
    "event_id",
    "make_vault",
]

OWNER = X25519Identity(bytes(range(32)))
"""X25519 alone: a tenth of a hybrid header, and the vault does not look inside."""
DEVICE_KEY = private_key_from_seed(b"d" * 32)
DEVICE_SECRET = b"m" * 32
DEVICE_MLDSA = DeviceSecret(DEVICE_SECRET).mldsa_key()
DEVICE_MLDSA_KEY = MldsaPublicKey.of(DEVICE_MLDSA)
SECOND = SecondSigner(DEVICE_MLDSA_KEY.text, cache(DEVICE_MLDSA.sign))
"""ML-DSA draws randomness. A story that is played again has the same lines, as with Ed25519, and signs them once."""
SEALING = SealingContext((OWNER.recipient(),), 1, public_key_of(DEVICE_KEY).id, DEVICE_KEY.sign, SECOND)
ROOT = Path("/state/vault")
START_UTC_NS = 1_760_000_000 * 10**9


@dataclass
class SteppedClock:
    """The `Clock` port."""

    boot: int = 1
    boot_ns: int = seconds(100)
    quality: ClockQuality = ClockQuality.SYNCED
    utc_offset_ns: int = START_UTC_NS

    @property
    def boot_id(self) -> str:
        return f"{self.boot:032x}"

    def now(self) -> ClockReading:
        return ClockReading(BootNs(self.boot_ns), UtcNs(self.utc_offset_ns + self.boot_ns), self.quality)

    def advance(self, duration_s: float) -> ClockReading:
        self.boot_ns += seconds(duration_s)
        return self.now()


class SeededEntropy:
    """The `Entropy` port."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)


JPEG = b"\xff\xd8\xff a still"


@dataclass
class TestVault:
    """A vault with all it stands on."""

    __test__ = False

    vault: Vault
    disk: Disk
    index: Index
    clock: SteppedClock
    store: DiskSegmentStore
    log: DiskManifestLog
    acknowledged: list[str] = field(default_factory=list)

    def record(
        self, *pieces: bytes, poster: bytes | None = None, event: str | None = None, sound: bytes | None = None
    ) -> str:
        """Record one segment of media `pieces`, a second each; its id."""
        writer = self.vault.begin(event or event_id(0), self.clock.now())
        if poster is not None:
            writer.poster(poster)
        for piece in pieces or (box(b"moof", b"x" * 3000),):
            self.clock.advance(1)
            writer.write(piece)
        if sound is not None:
            writer.sound(sound)
        segment = writer.finish(self.clock.now())
        self.acknowledged.append(segment.id)
        return segment.id

    def ciphertext(self, segment: str) -> bytes:
        entry = self.vault.find(segment)
        assert entry is not None
        return self.vault.read(segment, 0, entry.size_bytes)

    def close(self) -> None:
        self.log.close()
        self.index.close()


def make_vault(
    disk: Disk, *, index: Index | None = None, clock: SteppedClock | None = None, root: Path = ROOT, seed: int = 0,
    limits: RetentionLimits | None = None, start: bool = True, sealing: SealingContext = SEALING,
    chapters: ChapterLimits | None = None, slice_s: float | None = None,
    on_unreadable: Callable[[Sequence[str]], None] | None = None,
) -> TestVault:  # fmt: skip
    store, log = DiskSegmentStore(disk, root), DiskManifestLog(disk, root)
    clock = clock or SteppedClock()
    index = index if index is not None else FakeIndex()
    vault = Vault(
        store,
        log,
        index,
        clock=clock,
        entropy=SeededEntropy(seed),
        sealing=sealing,
        limits=limits or RetentionLimits(most_bytes=1 << 40),
        chapters=chapters,
        slice_s=slice_s,
        on_unreadable=on_unreadable,
    )
    made = TestVault(vault, disk, index, clock, store, log)
    if start:
        vault.start()
    return made


def box(kind: bytes, body: bytes) -> bytes:
    """One MP4 box."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def event_id(number: int) -> str:
    return segment_id(hashlib.sha256(b"event %d" % number).digest()[:16])
