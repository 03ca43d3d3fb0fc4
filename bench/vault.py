"""The vault: seal-and-commit beside its limits, matching in a large index, start-up of 10 000 segments.

`python -m bench.vault [DIRECTORY] [--large]` writes about 1 GB below DIRECTORY (default: the temporary one) and
removes it; --large starts with 100 000 segments as well, and needs 2 GB and minutes; `--only-wear` (root) measures
only what reaches the disk.  Each figure stands beside what it
cannot beat, measured in the same run, in turns, the median of five:

- ChaCha20-Poly1305 on 64 KiB chunks: what age's payload costs at least;
- SHA-256 over the same bytes: what the manifest's one hash costs at least (of the payload);
- plain write + fsync + rename + fsync of the directory, one file a segment: what durable storage costs at least;
- `find | wc` and one SHA-256 pass over all files: what looking at everything costs at least.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.clients.opening import HybridIdentity
from agent.core.retention import RetentionLimits
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault import manifest
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import segment_id
from agent.core.vault.manifest import ChainHead, SecondSigner
from agent.platform.disk import RealDisk
from agent.recorder.vault import SealingContext, Vault
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of

SEGMENT_BYTES = 2_500_000
GOP_BYTES = 500_000
SEGMENTS_OF_COVERAGE = 30
"""Segments of 30 s in a quarter of an hour of continuous recording."""
SEGMENTS_OF_A_DAY = 96 * SEGMENTS_OF_COVERAGE
SEGMENTS = 16
RUNS = 5
MB = 1_000_000
CHUNK_BYTES = 65_536
START_MS = 1_760_000_000_000


class RealClock:
    boot_id = "0" * 32

    def now(self) -> ClockReading:
        return ClockReading(BootNs(time.monotonic_ns()), UtcNs(time.time_ns()), ClockQuality.SYNCED)


class RealEntropy:
    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)


def open_vault(place: Path, recipients: tuple[HybridRecipient, ...]) -> tuple[Vault, SqliteIndex, DiskManifestLog]:
    key = private_key_from_seed(bytes(32))
    log, index = DiskManifestLog(RealDisk(), place / "vault"), SqliteIndex(place / "index.sqlite")
    vault = Vault(
        DiskSegmentStore(RealDisk(), place / "vault"),
        log,
        index,
        clock=RealClock(),
        entropy=RealEntropy(),
        sealing=SealingContext(recipients, 1, public_key_of(key).id, key.sign, _second()),
        limits=RetentionLimits(1 << 50),
    )
    return vault, index, log


def three_owners() -> tuple[HybridRecipient, ...]:
    return tuple(HybridIdentity(bytes([number]) * 32).recipient() for number in range(3))


def record(vault: Vault, pieces: list[bytes]) -> None:
    start = RealClock().now()
    writer = vault.begin(segment_id(bytes(16)), start)
    for piece in pieces:
        writer.write(piece)
    writer.finish(RealClock().now())


def measure_sealing(place: Path) -> None:
    pieces = [os.urandom(GOP_BYTES) for _ in range(SEGMENT_BYTES // GOP_BYTES)]
    chunks = [os.urandom(CHUNK_BYTES) for _ in range(SEGMENT_BYTES // CHUNK_BYTES)]
    aead, nonce = ChaCha20Poly1305(bytes(32)), bytes(12)
    vault, index, log = open_vault(place / "sealing", three_owners())
    vault.start()
    numbers = iter(range(1 << 30))
    plain = place / "plain"
    plain.mkdir()

    def seal_and_commit() -> None:
        record(vault, pieces)

    def encrypt() -> None:
        for chunk in chunks:
            aead.encrypt(nonce, chunk, None)

    def hash_once() -> None:
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)

    def write_plainly() -> None:
        name = plain / str(next(numbers))
        file = RealDisk().create(name.with_suffix(".part"))
        for piece in pieces:
            file.write(piece)
        file.sync()
        file.close()
        RealDisk().rename(name.with_suffix(".part"), name)
        RealDisk().sync_directory(plain)

    steps: dict[str, Callable[[], None]] = {
        "seal and commit (3 hybrid recipients)": seal_and_commit,
        "  limit: ChaCha20-Poly1305 alone": encrypt,
        "  limit: SHA-256 alone": hash_once,
        "  limit: plain write + fsync + rename + fsync": write_plainly,
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(RUNS):
        for name, step in steps.items():
            began, used = time.perf_counter(), time.process_time()
            for _ in range(SEGMENTS):
                step()
            times[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
    print(f"{SEGMENTS} segments of {SEGMENT_BYTES / MB} MB, median of {RUNS}:")
    print(f"  {'':46}{'MB/s':>8}{'CPU-ms a segment':>18}")
    for name in steps:
        speed = SEGMENTS * SEGMENT_BYTES / MB / statistics.median(times[name])
        print(f"  {name:46}{speed:8.0f}{1000 * statistics.median(cpu[name]) / SEGMENTS:18.1f}")
    entry = next(vault.entries())
    print(
        f"  bytes stored beyond the media, a segment: {entry.size_bytes - SEGMENT_BYTES} + {entry.line_size} (manifest)"
    )
    index.close()
    log.close()


def many_entries(count: int) -> Iterator[VaultEntry]:
    chance = random.Random(0)
    for number in range(count):
        identifier = segment_id(chance.randbytes(16))
        start_ms = START_MS + number * 5000
        yield VaultEntry(
            number, identifier, identifier, "0" * 32, number, start_ms, start_ms + 5000, ClockQuality.SYNCED,
            SEGMENT_BYTES, 0, True, True, number * 1500, 1500,
        )  # fmt: skip


def measure_matching(place: Path) -> None:
    print("\nsegments overlapping a window, continuous segments of 5 s:")
    print(f"  {'index':>10}{'window':>9}{'found':>8}{'median ms':>11}{'worst of 200':>14}{'file MB':>9}")
    for count in (100_000, 1_000_000):
        index = SqliteIndex(place / f"index{count}.sqlite")
        batch: list[VaultEntry] = []
        for entry in many_entries(count):
            batch.append(entry)
            if len(batch) == 20_000:
                index.apply(batch, (), ChainHead())
                batch.clear()
        chance = random.Random(1)
        for minutes in (0, 15, 120):
            times: list[float] = []
            for _ in range(200):
                # Minutes 0: far from any segment, as most requests are.
                base = START_MS + chance.randrange(count) * 5000 if minutes else START_MS - 10**9
                began = time.perf_counter()
                found = index.overlapping(base, base + (minutes or 120) * 60_000)
                times.append(1000 * (time.perf_counter() - began))
            size = sum(path.stat().st_size for path in place.glob(f"index{count}.sqlite*")) / MB
            window = f"{minutes} min" if minutes else "no match"
            print(f"  {count:10}{window:>9}{len(found):8}{statistics.median(times):11.3f}{max(times):14.3f}{size:9.0f}")
        index.close()


def fill(vault: Vault, count: int) -> None:
    pieces = [os.urandom(1000)]
    for _ in range(count):
        record(vault, pieces)


def start_alone(place: Path, *, cold: bool) -> tuple[float, float]:
    """Start-up in a separate process: seconds, and the most memory it took, in MB."""
    command = [sys.executable, "-m", "bench.vault", "--start", str(place), "cold" if cold else "warm"]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(peak)


def start_here(place: Path, *, cold: bool) -> None:
    """Runs in the process of `start_alone`."""
    vault, index, log = open_vault(place, (HybridIdentity(bytes(32)).recipient(),))
    if cold:
        index.clear()
    began = time.perf_counter()
    vault.start()
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    index.close()
    log.close()


def measure_start(place: Path, largest: int) -> None:
    """`find | wc` and a plain SHA-256 pass over all files stand beside it: what looking at all costs at least."""
    print("\nstart-up, each in a separate process (small segments: their number counts):")
    times = f"{'warm s':>8}{'killed s':>10}{'cold s':>8}{'find|wc s':>11}{'SHA-256 s':>11}"
    print(f"  {'segments':>9}{times}{'MB warm':>9}{'MB cold':>9}")
    vault, index, log = open_vault(place / "start", (HybridIdentity(bytes(32)).recipient(),))
    vault.start()
    stored = 0
    for count in (1_000, 10_000, 100_000):
        if count > largest:
            break
        fill(vault, count - stored)
        stored = count
        index.close()  # one process at a time has it
        warm = start_alone(place / "start", cold=False)
        writer = vault.begin(segment_id(bytes(16)), RealClock().now())
        writer.write(os.urandom(3 * CHUNK_BYTES))
        writer.abandon()  # what a kill leaves
        index.close()
        killed = start_alone(place / "start", cold=False)
        cold = start_alone(place / "start", cold=True)
        began = time.perf_counter()
        names = sum(len(files) for _, _, files in os.walk(place / "start" / "vault"))
        walked = time.perf_counter() - began
        began = time.perf_counter()
        for path in (place / "start" / "vault").rglob("*"):
            if path.is_file():
                hashlib.sha256(path.read_bytes())
        hashed = time.perf_counter() - began
        assert names >= count
        times = f"{warm[0]:8.2f}{killed[0]:10.2f}{cold[0]:8.2f}{walked:11.2f}{hashed:11.2f}"
        print(f"  {count:9}{times}{warm[1]:9.0f}{cold[1]:9.0f}")
        vault.start()
    index.close()
    log.close()


def measure_scrub(place: Path) -> None:
    vault, index, log = open_vault(place / "scrub", three_owners())
    vault.start()
    pieces = [os.urandom(GOP_BYTES) for _ in range(SEGMENT_BYTES // GOP_BYTES)]
    for _ in range(SEGMENTS):
        record(vault, pieces)
    began, used = time.perf_counter(), time.process_time()
    read_bytes = sum(vault.check(entry, None).read_bytes for entry in vault.entries())
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(
        f"\nscrub, without its pauses: {read_bytes / MB / seconds:.0f} MB/s,"
        f" {1000 * cpu / SEGMENTS:.1f} CPU-ms a segment"
    )
    index.close()
    log.close()


def measure_coverage(place: Path) -> None:
    vault, index, log = open_vault(place / "coverage", (HybridIdentity(bytes(32)).recipient(),))
    vault.start()
    fill(vault, 2_000)
    began = time.perf_counter()
    vault.coverage(0, 2**45, 2**45)
    print(f"a time line of a manifest of 2 000 lines: {time.perf_counter() - began:.2f} s")
    index.close()
    log.close()


def measure_wear() -> None:
    """Bytes that reach the disk below an ext4, its journal included, by the log of tests/crash/power."""
    from tests.crash.power.loop import why_not

    if reason := why_not():
        print(f"\nwear: not measured here: {reason}")
        return
    print(f"\nwear, a segment of {SEGMENT_BYTES / MB} MB in five pieces, synced every 2 s, on ext4 with its journal:")
    twice = f"with second signatures, and `coverage` every {SEGMENTS_OF_COVERAGE} segments"
    for name, signed in (("signed once", "once"), (twice, "twice")):
        times, extra = wear(30, 60, signed)
        day = extra * SEGMENTS_OF_A_DAY
        print(f"  {name}: {times:.3f} times its ciphertext, {extra / 1000:.1f} kB extra, {day / MB:.0f} MB a day")


def wear(few: int, many: int, signed: str = "twice") -> tuple[float, float]:
    """Bytes sent to the disk, as a multiple of the ciphertext and as bytes beyond it for each segment.

    `signed`: "once" leaves the second signatures out, and the `coverage` that carries them.
    """
    from tests.crash.power.cuts import written_by

    (first, first_sealed), (last, last_sealed) = (
        written_by([sys.executable, "-m", "bench.vault", "--wear", signed, str(count)], image_bytes=256 << 20)
        for count in (few, many)
    )
    # The difference: setting up directories, reserve and journal happens once.
    written, ciphertext = last - first, last_sealed - first_sealed
    return written / ciphertext, (written - ciphertext) / (many - few)


class SteppedClock(RealClock):
    """A second passes with every look, so that segments are synced as they would be at a camera."""

    def __init__(self) -> None:
        self._now_ns = 10**12

    def now(self) -> ClockReading:
        self._now_ns += 10**9 // 4
        return ClockReading(BootNs(self._now_ns), UtcNs(START_MS * 10**6 + self._now_ns), ClockQuality.SYNCED)


def _second() -> SecondSigner:
    key = mldsa_key_from_seed(bytes(32))
    return SecondSigner(MldsaPublicKey.of(key).text, key.sign)


def wear_here(place: Path, segments: int, *, once: bool) -> None:
    """Runs on the logged disk of `measure_wear`; prints the bytes of ciphertext."""
    clock = SteppedClock()
    if once:
        manifest.needs_second_signature = lambda *_: False  # type: ignore[attr-defined]
    key = private_key_from_seed(bytes(32))
    log, index = DiskManifestLog(RealDisk(), place / "vault"), SqliteIndex(place / "index.sqlite")
    sealing = SealingContext(three_owners(), 1, public_key_of(key).id, key.sign, _second())
    store = DiskSegmentStore(RealDisk(), place / "vault")
    vault = Vault(
        store, log, index, clock=clock, entropy=RealEntropy(), sealing=sealing, limits=RetentionLimits(1 << 50)
    )
    vault.start()
    began = clock.now()
    for number in range(1, segments + 1):
        writer = vault.begin(segment_id(bytes(16)), clock.now())
        for _ in range(SEGMENT_BYTES // GOP_BYTES):
            for _ in range(3):
                clock.now()
            writer.write(os.urandom(GOP_BYTES))
        writer.finish(clock.now())
        vault.enforce_retention(())
        if number % SEGMENTS_OF_COVERAGE == 0 and not once:
            ended = clock.now()
            vault.record_coverage(began, ended)
            began = ended
    print(vault.totals().stored_bytes)
    index.close()
    log.close()


def main() -> int:
    match sys.argv[1:]:
        case ["--start", place, kind]:
            start_here(Path(place), cold=kind == "cold")
            return 0
        case ["--wear", signed, segments, place]:
            wear_here(Path(place), int(segments), once=signed == "once")
            return 0
        case ["--only-wear"]:
            measure_wear()
            return 0
        case _:
            pass
    largest = 100_000 if "--large" in sys.argv else 10_000
    where = next((argument for argument in sys.argv[1:] if not argument.startswith("--")), None)
    made = Path(tempfile.mkdtemp(prefix="doorward-bench-", dir=where))
    try:
        for folder in ("sealing", "start", "scrub", "coverage"):
            (made / folder).mkdir()
        measure_start(made, largest)
        measure_sealing(made)
        measure_scrub(made)
        measure_coverage(made)
        measure_matching(made)
        measure_wear()
    finally:
        shutil.rmtree(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
