"""With continuous recording the time between two clips is covered, and a clip is whole on its own."""

from __future__ import annotations

import pytest

from agent.core.events import ClipBegins, ClipEnds, EventBegins, EventKind
from agent.core.media import EncodedPacket
from agent.core.retention import ProtectedIds
from agent.core.timebase import BootNs, seconds
from agent.errors import FormatError
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from tests.fake_disk import FakeDisk
from tests.recorder.test_retry_buffer import DESCRIPTION, FakeMedia
from tests.vaults import SeededEntropy, TestVault, make_vault


class Nobody:
    def notify(self, kind: str, text: str, once: str = "") -> None:
        pass


def no_picture(*_arguments: object, **_named: object) -> bytes:
    raise FormatError("These packets are no pictures.")


def filmed(monkeypatch: pytest.MonkeyPatch, *, continuous: bool) -> TestVault:
    """A minute, a GOP a second; an event is noticed at 30 s, from 25 s to 40 s."""
    monkeypatch.setattr("agent.recorder.retry_buffer.FragmentedMp4Writer", FakeMedia)
    monkeypatch.setattr("agent.recorder.clip_writer.poster", no_picture)
    tested = make_vault(FakeDisk())
    start = tested.clock.boot_ns
    queue: BoundedQueue[object] = BoundedQueue(1 << 30)
    for second in range(60):
        if second == 30:
            at = BootNs(start + seconds(30))
            queue.force(EventBegins(1, EventKind.MOTION, at))
            queue.force(ClipBegins(1, EventKind.MOTION, BootNs(start + seconds(25))))
            queue.force(ClipEnds(1, BootNs(start + seconds(40))))
        queue.put(EncodedPacket(bytes(1000), True, BootNs(start + seconds(second))))
    queue.close()
    tested.clock.advance(60)
    settings = WriterSettings(5.0, 5.0, 10**7, continuous=continuous)
    writer = ClipWriter(tested.vault, tested.clock, SeededEntropy(3), Nobody(), settings, ProtectedIds)
    writer.run(queue, DESCRIPTION)
    assert writer.fault == ""
    return tested


def spans(tested: TestVault, *, continuous: bool) -> list[tuple[int, int]]:
    first = 100
    return [
        (entry.start_us // 10**6 - first, entry.start_us // 10**6 - first + (entry.end_ms - entry.start_ms) // 1000)
        for entry in tested.vault.entries()
        if entry.continuous is continuous
    ]


def test_nothing_between_two_clips_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = filmed(monkeypatch, continuous=True)
    both = spans(tested, continuous=True) + spans(tested, continuous=False)
    # The last GOP has one frame, and so no whole second.
    assert {second for first, last in both for second in range(first, last)} == set(range(59))
    assert spans(tested, continuous=False) == [(25, 30), (30, 35), (35, 40)]
    assert tested.vault.totals().continuous_bytes > 0


def test_by_default_only_the_clip_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = filmed(monkeypatch, continuous=False)
    assert spans(tested, continuous=True) == []
    assert spans(tested, continuous=False) == [(25, 30), (30, 35), (35, 40)]
