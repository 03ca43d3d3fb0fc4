"""Time without footage: a gap that survives a power cut, one message at each end, and a lens that shows nothing."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.motion.lens import LensState
from agent.core.timebase import BootNs, ClockReading
from agent.core.vault.records import GapReason
from agent.errors import StorageError
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.coverage_recorder import GapRecorder, LensAlerts
from tests.vaults import SteppedClock


class Vault:
    """Notes gaps and rings, in seconds of the boot clock."""

    def __init__(self) -> None:
        self.gaps: list[tuple[GapReason, float, float]] = []
        self.rings: list[float] = []
        self.is_full = False

    def record_gap(self, reason: GapReason, start: ClockReading, end: ClockReading) -> None:
        if self.is_full:
            raise StorageError("The disk is full.", remedy="Free space.")
        self.gaps.append((reason, start.boot_ns / 1e9, end.boot_ns / 1e9))

    def record_ring(self, at: ClockReading) -> None:
        if self.is_full:
            raise StorageError("The disk is full.", remedy="Free space.")
        self.rings.append(at.boot_ns / 1e9)


class Owner:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, text))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _text in self.told]


class House:
    """A clock at 100 s, and a recorder of gaps."""

    def __init__(self) -> None:
        self.clock, self.owner = SteppedClock(), Owner()
        self.vault: Any = Vault()
        self.gaps = GapRecorder(self.vault, self.clock, self.owner)


@pytest.fixture
def house() -> House:
    return House()


def test_an_outage_is_a_gap_at_once_and_a_longer_one_at_its_end(house: House) -> None:
    house.gaps.begin(GapReason.CAMERA_LOST, "The camera is gone.")
    assert house.vault.gaps == [(GapReason.CAMERA_LOST, 100, 100)]
    house.clock.advance(30)
    house.gaps.end()
    house.gaps.end()
    assert house.vault.gaps[1:] == [(GapReason.CAMERA_LOST, 100, 130)]
    assert house.owner.told == [("camera", "The camera is gone."), ("camera back", "The camera works again.")]


def test_an_outage_that_began_earlier_is_a_gap_from_then_on(house: House) -> None:
    since = house.clock.now()
    house.clock.advance(15)
    house.gaps.begin(GapReason.CAMERA_LOST, "It stalled.", since=since)
    house.clock.advance(5)
    house.gaps.end()
    assert [(start, end) for _reason, start, end in house.vault.gaps] == [(100, 115), (100, 120)]


@pytest.mark.parametrize(
    ("reason", "begins", "ends"),
    [
        (GapReason.CAMERA_LOST, "camera", "camera back"),
        (GapReason.COVERED, "covered", "uncovered"),
        (GapReason.PRIVACY, "privacy on", "privacy off"),
    ],
)
def test_each_reason_is_told_by_its_own_kind(house: House, reason: GapReason, begins: str, ends: str) -> None:
    house.gaps.begin(reason, "Why.")
    house.gaps.end()
    assert house.owner.kinds == [begins, ends]


def test_the_end_of_the_process_ends_a_gap_and_tells_nobody(house: House) -> None:
    house.gaps.begin(GapReason.CAMERA_LOST, "It is gone.")
    house.clock.advance(3)
    house.gaps.end(tell=False)
    assert house.vault.gaps[-1] == (GapReason.CAMERA_LOST, 100, 103)
    assert house.owner.kinds == ["camera"]


def test_another_reason_ends_the_gap_before_it_and_tells_of_no_camera_that_is_back(house: House) -> None:
    """A thief covers the lens and pulls the cable: "the camera sees again" between the two would be false."""
    house.gaps.begin(GapReason.CAMERA_LOST, "It is gone.")
    house.clock.advance(10)
    house.gaps.begin(GapReason.PRIVACY, "The switch is on.")
    assert house.vault.gaps == [
        (GapReason.CAMERA_LOST, 100, 100),
        (GapReason.CAMERA_LOST, 100, 110),
        (GapReason.PRIVACY, 110, 110),
    ]
    assert house.owner.kinds == ["camera", "privacy on"]


def test_the_same_reason_again_is_the_same_gap_and_told_only_if_there_is_other_news(house: House) -> None:
    house.gaps.begin(GapReason.PRIVACY, "It was not read.", news="privacy unread")
    house.clock.advance(10)
    house.gaps.begin(GapReason.PRIVACY, "It was not read.", news="privacy unread")
    house.gaps.begin(GapReason.PRIVACY, "It is on.", news="privacy on")
    house.gaps.begin(GapReason.PRIVACY, "It is on.")
    house.clock.advance(10)
    house.gaps.end()
    assert house.owner.kinds == ["privacy unread", "privacy on", "privacy off"]
    assert house.vault.gaps == [(GapReason.PRIVACY, 100, 100), (GapReason.PRIVACY, 100, 120)]


def test_a_ring_that_no_camera_showed_has_its_own_time(house: House) -> None:
    house.gaps.rang(BootNs(90 * 10**9))
    assert house.vault.rings == [90]


def test_a_disk_that_takes_no_gap_and_no_ring_stops_nothing_and_the_owner_is_told_all_the_same(house: House) -> None:
    house.vault.is_full = True
    with capture_logs() as lines:
        house.gaps.begin(GapReason.COVERED, "It is dark.")
        house.gaps.rang(BootNs(1))
        house.gaps.end()
    assert house.owner.kinds == ["covered", "uncovered"]
    assert [line["event"] for line in lines if "not_recorded" in line["event"]] == [
        "gap_not_recorded",
        "ring_not_recorded",
        "gap_not_recorded",
    ]


# -- the lens ----------------------------------------------------------------------------------------------------------


def test_a_covered_lens_is_a_gap_until_it_is_clear_and_is_told_once(house: House) -> None:
    lens, stream = LensAlerts(house.gaps, house.owner), CameraQueues(live=True)
    lens.report(stream)
    assert house.owner.told == []
    stream.lens = LensState.COVERED
    for _ in range(3):
        lens.report(stream)
    assert house.owner.told == [("covered", "The picture shows nothing: is the lens covered?")]
    house.clock.advance(7)
    stream.lens = LensState.CLEAR
    lens.report(stream)
    lens.report(stream)
    assert house.owner.kinds == ["covered", "uncovered"]
    assert house.vault.gaps == [(GapReason.COVERED, 100, 100), (GapReason.COVERED, 100, 107)]


@pytest.mark.parametrize("state", [LensState.MOVED, LensState.SHAKEN])
def test_a_camera_that_was_moved_is_told_and_is_no_gap(house: House, state: LensState) -> None:
    lens, stream = LensAlerts(house.gaps, house.owner), CameraQueues(live=True)
    stream.lens = state
    lens.report(stream)
    lens.report(stream)
    stream.lens = LensState.CLEAR
    lens.report(stream)
    assert house.owner.told == [("camera moved", f"The camera has been {state.value}: look at where it points.")]
    assert house.vault.gaps == []


def test_another_stream_is_looked_at_anew(house: House) -> None:
    lens = LensAlerts(house.gaps, house.owner)
    for _ in range(2):
        stream = CameraQueues(live=True)
        stream.lens = LensState.MOVED
        lens.report(stream)
    assert house.owner.kinds == ["camera moved"] * 2
