"""Any order of recording, holding, releasing, evicting, scrubbing, failing, crashing and starting keeps the invariants.

One state machine drives the real code twice: on the disk in memory, with crashes that lose and tear unsynced data, and
on a real one with SQLite's index, on which a crash is a process that ends in the middle of a call.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core.retention import RetentionLimits
from agent.core.timebase import ClockQuality
from agent.core.vault.coverage import CoverageState
from agent.core.vault.records import CONTINUOUS, GapReason
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault import SegmentWriter
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.identities import public_key_of
from tests.crash.vault_story import Story, check
from tests.fake_disk import FakeDisk, Survival
from tests.fake_index import FakeIndex
from tests.vaults import DEVICE_KEY, START_UTC_NS, SteppedClock, TestVault, box, event_id, make_vault

KEY = public_key_of(DEVICE_KEY)
THOROUGH = bool(os.environ.get("DOORWARD_THOROUGH"))

pytestmark = pytest.mark.timeout(3600 if THOROUGH else 600)
CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)
PIECE = box(b"mdat", b"d" * 20_000)
SOUND = box(b"mdat", b"heard")


class VaultMachine(RuleBasedStateMachine):
    """`story` holds the acknowledgements to the outside world; `boot` grows with every crash."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.clock = SteppedClock()
        self.open: SegmentWriter | None = None
        self.order: list[str] = []

    def begin_life(self) -> TestVault:
        raise NotImplementedError

    def crashed(self, chance: random.Random) -> TestVault:
        raise NotImplementedError

    @initialize()
    def first_start(self) -> None:
        self.tested = self.begin_life()

    @rule(fragments=st.integers(1, 4), between=st.booleans(), poster=st.booleans(), sound=st.booleans())
    def record(self, fragments: int, between: bool, poster: bool, sound: bool) -> None:
        writer = self._begin(CONTINUOUS if between else None)
        if poster:
            writer.poster(b"\xff\xd8\xff a jpeg")
        for _ in range(fragments):
            self._write(writer)
        if sound:
            writer.sound(SOUND)
        self._finish(writer)
        if sound:
            self.story.heard[writer.id] = SOUND

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        self.open = self._begin(None)

    @precondition(lambda self: self.open is not None)
    @rule()
    def go_on(self) -> None:
        assert self.open is not None
        self._write(self.open)

    @precondition(lambda self: self.open is not None)
    @rule(well=st.booleans())
    def end(self, well: bool) -> None:
        assert self.open is not None
        writer, self.open = self.open, None
        if well:
            self._finish(writer)
        else:
            writer.abandon()

    @rule(which=st.integers(0, 5))
    def hold(self, which: int) -> None:
        stored = [entry.id for entry in self.tested.vault.entries()]
        self.story.held.update(stored[which : which + 1])

    @rule(share=st.integers(1, 4))
    def evict(self, share: int) -> None:
        most = max(1, self.tested.vault.totals().stored_bytes * share // 4)
        report = self.tested.vault.enforce_retention(self.story.held, RetentionLimits(most_bytes=most))
        assert report.held_but_evicted == ()

    @rule(reason=st.sampled_from(GapReason))
    def gap(self, reason: GapReason) -> None:
        self.tested.vault.record_gap(reason, self.clock.now(), self.clock.advance(30))

    @rule()
    def watch(self) -> None:
        self.tested.vault.record_coverage(self.clock.now(), self.clock.advance(60))

    @rule()
    def scrub(self) -> None:
        for entry in self.tested.vault.entries():
            found = self.tested.vault.check(entry, KEY)
            assert found.missing + found.damaged == []

    @rule(quality=st.sampled_from(ClockQuality), years=st.sampled_from((-10, 0, 0, 10)))
    def clock_changes(self, quality: ClockQuality, years: int) -> None:
        self.tested.vault.start()  # an abandoned segment is recovered now, and not by what follows
        before = [entry.id for entry in self.tested.vault.entries()]
        self.clock.quality = quality
        self.clock.utc_offset_ns = START_UTC_NS + years * 31_557_600 * 10**9
        self.tested.vault.enforce_retention(self.story.held)
        assert [entry.id for entry in self.tested.vault.entries()] == before

    @rule()
    def start_again(self) -> None:
        self.tested.vault.start()

    @rule(seed=st.integers(0, 2**32))
    def crash(self, seed: int) -> None:
        self.open = None
        self.clock = SteppedClock(boot=self.clock.boot + 1, quality=self.clock.quality)
        self.tested = self.crashed(random.Random(seed))

    @invariant()
    def every_promise_is_kept(self) -> None:
        if not hasattr(self, "tested"):
            return
        stored = [entry.id for entry in self.tested.vault.entries()]
        assert set(self.story.media) - set(stored) <= self._tombstones(), "I1: an acknowledged segment is lost"
        assert not (self.story.held & self._tombstones()), "I3: a held segment was evicted"
        kept = [name for name in self.order if name in stored]
        assert kept == [name for name in stored if name in self.story.media], "the order has changed"

    def teardown(self) -> None:
        if hasattr(self, "tested"):
            if self.open is not None:
                self.open.abandon()
            self.tested.vault.start()
            self.story.dated = False
            check(self.tested, self.story)
            window = self.tested.vault.coverage(0, 2**45, 2**45)
            assert all(one.start_ms < one.end_ms for one in window)
            assert all(isinstance(one.state, CoverageState) for one in window)
            self.tested.close()

    def _begin(self, label: str | None) -> SegmentWriter:
        writer = self.tested.vault.begin(event_id(1), self.clock.now(), label=label)
        self.story.begun[writer.id] = b""
        return writer

    def _write(self, writer: SegmentWriter) -> None:
        self.clock.advance(1)
        # Before the call: what a crash leaves of it may be more than what it had returned for.
        self.story.begun[writer.id] += PIECE
        writer.write(PIECE)

    def _finish(self, writer: SegmentWriter) -> None:
        writer.finish(self.clock.now())
        self.story.media[writer.id] = self.story.begun[writer.id]
        self.order.append(writer.id)

    def _tombstones(self) -> set[str]:
        found: set[str] = set()
        for record in self.tested.vault._records():
            found.update(getattr(record, "segments", ()))
        return found


class OnDiskInMemory(VaultMachine):
    """Crashes lose what was not synced."""

    def begin_life(self) -> TestVault:
        self.index = FakeIndex()
        return make_vault(FakeDisk(), index=self.index, clock=self.clock)

    def crashed(self, chance: random.Random) -> TestVault:
        disk = self.tested.disk
        assert isinstance(disk, FakeDisk)
        after = disk.after_cut(chance.choice(tuple(Survival)), chance)
        self.index = FakeIndex(chance.choice(self.index.history))
        return make_vault(after, index=self.index, clock=self.clock, seed=self.clock.boot)

    @rule(
        call=st.integers(1, 12), calls=st.integers(1, 3), code=st.sampled_from((errno.EIO, errno.ENOSPC, errno.EROFS))
    )
    def fail(self, call: int, calls: int, code: int) -> None:
        """One segment and one eviction while the disk fails; nothing false is said, and it goes on."""
        disk = self.tested.disk
        assert isinstance(disk, FakeDisk)
        first = len(disk.calls) + call

        def before(number: int, name: str) -> None:
            if first <= number < first + calls:
                raise OSError(code, os.strerror(code))

        disk.before = before
        self.open = None if self.open is None else self.open.abandon()
        try:
            self.record(2, between=False, poster=True, sound=True)
            self.evict(2)
        except StorageError:
            pass
        disk.before = None
        self.tested.vault.start()


class OnRealDisk(VaultMachine):
    """A crash is a process that ended: the files stay, the index may have gone."""

    def begin_life(self) -> TestVault:
        self.place = Path(tempfile.mkdtemp(prefix="doorward-machine-"))
        return self._vault()

    @rule()
    def copy_index(self) -> None:
        self.tested.vault.keep_index_copy()

    def crashed(self, chance: random.Random) -> TestVault:
        """The index may be gone, and its copy with it or not."""
        self.tested.close()
        lost = chance.choice(("nothing", "nothing", "index", "both"))
        for path in self.place.glob("index.sqlite*"):
            if lost == "both" or (lost == "index" and not path.name.endswith(".copy")):
                path.unlink()
        return self._vault()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "place"):
            shutil.rmtree(self.place)

    def _vault(self) -> TestVault:
        index = SqliteIndex(self.place / "index.sqlite")
        return make_vault(RealDisk(), index=index, clock=self.clock, root=self.place / "vault", seed=self.clock.boot)


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(OnDiskInMemory, 2000 if THOROUGH else 40), (OnRealDisk, 300 if THOROUGH else 8)],
    ids=["in memory", "on disk"],
)
def test_any_interleaving_keeps_the_invariants(machine: type[VaultMachine], examples: int) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    case().runTest()
