"""The page's list of the vault: events and gaps as the manifest has them; unreadable lines are left out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import Stamp, segment_id
from agent.core.vault.manifest import ChainHead, RawLine, chapter_start, sign_record, split_lines
from agent.core.vault.records import RecoveredRecord, SealedFile
from agent.core.vault.segment import Begin
from agent.custodian import timeline as module
from agent.custodian.timeline import Timeline
from agent.wire.identities import private_key_from_seed

EVER = (0, 2**53)
MINUTE_MS = 60_000
BOOT_US = 7_654_321
"""When a record begins, on the boot clock."""


class Log:
    """A manifest of unsigned lines: the list ignores signatures."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, kind: str, seq: int = 0, **fields: Any) -> None:
        payload = json.dumps({"record": {"kind": kind, **fields}, "seq": seq}).encode()
        self.data += json.dumps({"payload": base64.b64encode(payload).decode(), "sig": ""}).encode() + b"\n"

    def segment(
        self, name: str, event: str, start_ms: int, *, label: str = "motion", poster: bool = False, seq: int = 0
    ) -> None:
        span = {"start_us": BOOT_US, "end_us": BOOT_US + 5_000_000, "utc_ms": start_ms}
        self.add("segment", seq, id=name, event=event, span=span, label=label, **({"poster": {}} if poster else {}))

    def gap(self, start_ms: int, length_ms: int, reason: str = "privacy switch") -> None:
        self.add(
            "gap", reason=reason, span={"start_us": BOOT_US, "end_us": BOOT_US + length_ms * 1000, "utc_ms": start_ms}
        )

    def watching(self, from_minute: int, to_minute: int, quality: str = "synced") -> None:
        length_us = (to_minute - from_minute) * MINUTE_MS * 1000
        on_boot_clock = {"start_us": BOOT_US, "end_us": BOOT_US + length_us}
        span = {**on_boot_clock, "utc_ms": from_minute * MINUTE_MS, "quality": quality}
        self.add("coverage", span=span)

    def chapters(self) -> tuple[int, ...]:
        return (0,)

    def end(self) -> int:
        return len(self.data)

    def raw_lines(self, position: int = 0) -> Iterator[RawLine]:
        return split_lines([bytes(self.data[position:])], position)


def a_timeline() -> tuple[Log, Timeline]:
    log = Log()
    return log, Timeline(log)  # type: ignore[arg-type]


def spans(timeline: Timeline) -> list[tuple[int, int, str]]:
    return [(gap["start_ms"], gap["end_ms"], gap["reason"]) for gap in timeline.gaps(*EVER)]


def test_events_are_told_newest_first_and_called_after_the_strongest_that_happened_in_them() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000, poster=True)
    log.segment("b", "one", 6_000, label="button")
    log.segment("c", "one", 11_000)
    log.segment("d", "two", 60_000, label="pir")
    newest, oldest = timeline.events(*EVER)
    assert (newest["event"], newest["kind"]) == ("two", "pir")
    assert oldest == {
        "event": "one", "start_ms": 1_000, "end_ms": 16_000, "kind": "button", "poster": "a",
        "segments": ["a", "b", "c"],
    }  # fmt: skip
    assert timeline.events(16_000, 60_000) == []


def test_what_was_evicted_is_gone_and_an_event_with_it_when_nothing_of_it_is_left() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000)
    log.segment("b", "one", 6_000)
    log.segment("c", "two", 60_000)
    assert len(timeline.events(*EVER)) == 2
    log.add("evicted", segments=["a", "c"], reason="space", at={})
    (left,) = timeline.events(*EVER)
    assert left["segments"] == ["b"]


def test_a_gap_is_told_once_with_its_end_as_soon_as_that_is_known() -> None:
    log, timeline = a_timeline()
    log.gap(1_000, 0)
    assert spans(timeline) == [(1_000, 1_000, "privacy switch")]
    log.gap(1_000, 5_000)
    assert spans(timeline) == [(1_000, 6_000, "privacy switch")]
    # Another one that begins where this one ended, and one that a power cut left open.
    log.gap(6_000, 0, "camera lost")
    log.gap(90_000, 0, "camera lost")
    log.gap(90_000, 7_000, "camera covered")
    assert spans(timeline)[:3] == [
        (90_000, 97_000, "camera covered"),
        (90_000, 90_000, "camera lost"),
        (6_000, 6_000, "camera lost"),
    ]


def test_a_boot_is_a_gap_from_the_last_record_unless_it_comes_within_a_minute() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000)
    log.add("boot", at={"utc_ms": 1_000 + MINUTE_MS})
    log.add("boot", at={"utc_ms": 1_000 + 10 * MINUTE_MS})
    assert [gap["reason"] for gap in timeline.gaps(*EVER)] == ["off"]


def test_time_of_which_no_record_speaks_is_a_gap_also_where_doorward_alone_was_stopped() -> None:
    log, timeline = a_timeline()
    log.watching(0, 15)
    log.segment("a", "one", 14 * MINUTE_MS)
    # Stopped and started again an hour later, in the same boot.  An event comes before the first quarter is written.
    log.segment("b", "two", 80 * MINUTE_MS)
    assert spans(timeline) == [], "whether it watched before that event is not written down yet"
    log.watching(75, 90)
    assert spans(timeline) == [(15 * MINUTE_MS, 75 * MINUTE_MS, "off")]
    log.watching(90, 105)
    log.gap(105 * MINUTE_MS, 10 * MINUTE_MS)
    log.watching(115, 130)
    assert spans(timeline) == [
        (105 * MINUTE_MS, 115 * MINUTE_MS, "privacy switch"),
        (15 * MINUTE_MS, 75 * MINUTE_MS, "off"),
    ]


def test_what_was_evicted_leaves_no_gap_and_a_clock_that_was_not_set_says_nothing() -> None:
    log, timeline = a_timeline()
    log.watching(100, 115)
    log.watching(0, 5, quality="unknown")
    log.add("boot", at={"utc_ms": 7 * MINUTE_MS, "quality": "unknown"})
    log.watching(115, 130)
    log.segment("a", "one", 120 * MINUTE_MS)
    log.add("evicted", segments=["a"], reason="space", at={})
    assert spans(timeline) == []


def test_a_damaged_line_costs_itself_and_a_line_being_written_waits_for_its_end() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000)
    log.data += b'{"payload": "no base64"}\nnot json\n'
    log.segment("b", "two", 60_000)
    whole, log.data = log.data, log.data[:-5]
    assert [event["event"] for event in timeline.events(*EVER)] == ["one"]
    log.data = whole
    assert [event["event"] for event in timeline.events(*EVER)] == ["two", "one"]


def test_a_manifest_that_was_cut_is_read_anew_and_nothing_of_it_stays() -> None:
    log, timeline = a_timeline()
    for number in range(3):
        log.segment(f"s{number}", f"e{number}", number * 10_000)
        log.gap(number * 10_000, 1_000)
        log.add("ring", at={"utc_ms": number, "quality": "synced"})
        log.watching(number * 10, number * 10 + 1)
    assert len(timeline.events(*EVER)) == len(timeline.rings(*EVER)) == 3
    log.data = bytearray()
    log.segment("a", "one", 1_000)
    assert [event["event"] for event in timeline.events(*EVER)] == ["one"]
    assert (timeline.rings(*EVER), spans(timeline)) == ([], [])


def test_the_list_is_bounded() -> None:
    log, timeline = a_timeline()
    for number in range(module.MOST_EVENTS + 5):
        log.segment(f"s{number}", f"e{number}", number * 10_000)
    found = timeline.events(*EVER)
    assert len(found) == module.MOST_EVENTS
    assert found[-1]["event"] == "e5"


def recovered(log: Log, name: str, event: str, start_ms: int, *, poster: bool = False) -> None:
    """The record of a segment that a power cut left, as the recorder writes it at its next start."""
    file = SealedFile(size=9, header_size=4, sha256_header="5e" * 32, sha256_payload="5e" * 32)
    begin = Begin(
        segment=name, event=event, ordinal=0, boot="0b" * 16, start_us=10**6, until_us=31 * 10**6, utc_ms=start_ms,
        quality=ClockQuality.SYNCED, label="button",
    )  # fmt: skip
    at = Stamp(boot="0c" * 16, at_us=0, utc_ms=start_ms + 10 * MINUTE_MS, quality=ClockQuality.SYNCED)
    record = RecoveredRecord(begin=begin, complete=False, file=file, poster_file=file if poster else None, at=at)
    log.data += sign_record(record, ChainHead(), private_key_from_seed(b"d" * 32).sign).line + b"\n"


def test_what_a_power_cut_left_of_an_event_is_listed_with_it_and_its_end_stays_open() -> None:
    log, timeline = a_timeline()
    first, second, event = (segment_id(bytes([number]) * 16) for number in range(3))
    log.watching(0, 1)
    log.segment(first, event, MINUTE_MS)
    recovered(log, second, event, MINUTE_MS + 5000, poster=True)
    log.add("boot", at={"utc_ms": 10 * MINUTE_MS, "quality": "synced"})
    (found,) = timeline.events(*EVER)
    assert found == {
        "event": event,
        "start_ms": MINUTE_MS,
        "end_ms": MINUTE_MS + 35_000,
        "kind": "button",
        "poster": second,
        "segments": [first, second],
    }
    assert spans(timeline) == [(MINUTE_MS + 5000, 10 * MINUTE_MS, "off")]
    log.add("evicted", segments=[first, second])
    assert timeline.events(*EVER) == []


def test_segments_that_were_carried_into_a_newer_chapter_are_listed_once_and_speak_of_no_time_around_them() -> None:
    log, timeline = a_timeline()
    names = [segment_id(bytes([number]) * 16) for number in range(4)]
    carried = Log()
    carried.segment(names[0], names[3], MINUTE_MS)
    recovered(carried, names[1], names[3], MINUTE_MS + 5000)
    carried.gap(0, 1000)
    carried.segment(names[2], names[3], MINUTE_MS + 40_000)
    carried.segment(names[2], names[3], MINUTE_MS + 40_000)
    log.add("chapter", carried={"size": len(carried.data)}, at={"utc_ms": 0, "quality": "synced"})
    log.data += carried.data
    log.watching(20, 21)
    (found,) = timeline.events(*EVER)
    assert found["segments"] == names[:3]
    assert spans(timeline) == []


def test_events_are_ordered_by_their_first_records_and_not_by_where_a_chapter_carried_them_to() -> None:
    log, timeline = a_timeline()
    log.segment("a", "newest", 1_000, seq=9)
    log.segment("b", "oldest", 2_000, seq=4)
    log.segment("c", "between", 3_000, seq=5)
    log.segment("d", "oldest", 4_000, seq=3)
    assert [event["event"] for event in timeline.events(*EVER)] == ["newest", "between", "oldest"]
    log.segment("e", "oldest", 5_000, seq=10)
    assert [event["event"] for event in timeline.events(*EVER)] == ["newest", "between", "oldest"]


def test_the_events_with_the_oldest_first_records_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 2)
    log, timeline = a_timeline()
    for name, seq in (("a", 9), ("b", 3), ("c", 5)):
        log.segment(name, name, 1_000, seq=seq)
    assert [event["event"] for event in timeline.events(*EVER)] == ["a", "c"]


def test_an_event_ends_with_the_millisecond_in_which_its_last_segment_ends() -> None:
    log, timeline = a_timeline()
    log.add("segment", id="a", event="one", span={"start_us": 10, "end_us": 2_011, "utc_ms": 1_000})
    assert [event["end_ms"] for event in timeline.events(*EVER)] == [1_003]


def test_an_event_without_its_poster_is_shown_with_another_or_none() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000)
    log.segment("b", "one", 6_000, poster=True)
    log.segment("c", "one", 11_000, poster=True)
    assert [event["poster"] for event in timeline.events(*EVER)] == ["b"]
    log.add("evicted", segments=["a", "unknown"], reason="space", at={})
    assert [event["poster"] for event in timeline.events(*EVER)] == ["b"]
    log.add("evicted", segments=["b"], reason="space", at={})
    assert [event["poster"] for event in timeline.events(*EVER)] == [None]
    assert [event["segments"] for event in timeline.events(*EVER)] == [["c"]]


def test_gaps_are_told_by_their_beginning_also_if_one_lies_within_another() -> None:
    log, timeline = a_timeline()
    log.gap(1_000, 90_000)
    log.gap(5_000, 1_000, "camera lost")
    log.gap(3_000, 1_000, "camera covered")
    assert [gap[:2] for gap in spans(timeline)] == [(5_000, 6_000), (3_000, 4_000), (1_000, 91_000)]


def test_a_gap_that_only_touches_the_asked_time_is_not_told() -> None:
    log, timeline = a_timeline()
    log.gap(10_000, 5_000)
    told = [{"start_ms": 10_000, "end_ms": 15_000, "reason": "privacy switch"}]
    assert timeline.gaps(15_000, 20_000) == timeline.gaps(0, 10_000) == []
    assert timeline.gaps(14_999, 20_000) == timeline.gaps(0, 10_001) == told


def test_a_minute_without_a_record_is_a_restart_and_a_longer_time_is_told() -> None:
    log, timeline = a_timeline()
    log.watching(0, 15)
    log.watching(16, 30)
    span = {"start_us": 0, "end_us": MINUTE_MS * 1000, "utc_ms": 31 * MINUTE_MS + 1, "quality": "synced"}
    log.add("coverage", span=span)
    assert spans(timeline) == [(30 * MINUTE_MS, 31 * MINUTE_MS + 1, "off")]


def test_a_record_that_comes_late_closes_the_gap_that_it_speaks_of() -> None:
    log, timeline = a_timeline()
    for minutes in ((0, 10), (20, 30), (40, 50)):
        log.watching(*minutes)
    assert [gap[:2] for gap in spans(timeline)] == [(30 * MINUTE_MS, 40 * MINUTE_MS), (10 * MINUTE_MS, 20 * MINUTE_MS)]
    log.watching(10, 20)
    assert [gap[:2] for gap in spans(timeline)] == [(30 * MINUTE_MS, 40 * MINUTE_MS)]
    log.watching(5, 60)
    assert spans(timeline) == []
    log.watching(-20, -10)
    log.watching(-40, -30)
    before = [(-10 * MINUTE_MS, 0, "off"), (-30 * MINUTE_MS, -20 * MINUTE_MS, "off")]
    assert [(gap["start_ms"], gap["end_ms"], gap["reason"]) for gap in timeline.gaps(-(2**53), 2**53)] == before


def test_a_record_that_overlaps_the_one_before_it_makes_its_time_longer() -> None:
    log, timeline = a_timeline()
    for minutes in ((0, 10), (20, 30), (25, 35), (50, 51)):
        log.watching(*minutes)
    assert [gap[:2] for gap in spans(timeline)] == [(35 * MINUTE_MS, 50 * MINUTE_MS), (10 * MINUTE_MS, 20 * MINUTE_MS)]


def test_a_clock_that_was_not_set_does_not_end_the_time_of_which_nothing_is_known() -> None:
    log, timeline = a_timeline()
    log.watching(0, 15)
    log.segment("a", "one", 80 * MINUTE_MS)
    log.add("boot", at={"utc_ms": 90 * MINUTE_MS, "quality": "unknown"})
    log.watching(95, 100, quality="unknown")
    assert spans(timeline) == []
    log.watching(81, 96)
    log.watching(50, 60)
    off = [(60 * MINUTE_MS, 80 * MINUTE_MS, "off"), (15 * MINUTE_MS, 50 * MINUTE_MS, "off")]
    assert spans(timeline) == off, "an older record takes nothing back"


def test_only_the_newest_gaps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GAPS", 3)
    log, timeline = a_timeline()
    for hour in range(5):
        log.gap(hour * 60 * MINUTE_MS, 1_000)
    log.watching(300, 301)
    told = spans(timeline)
    assert [start for start, _, reason in told if reason == "privacy switch"] == [
        240 * MINUTE_MS,
        180 * MINUTE_MS,
        120 * MINUTE_MS,
    ]
    assert [start for start, _, reason in told if reason == "off"] == [
        240 * MINUTE_MS + 1_000,
        180 * MINUTE_MS + 1_000,
    ]


class Chapters(Log):
    """A manifest of two chapters."""

    def __init__(self, first: Log, second: Log) -> None:
        super().__init__()
        self.both = (first, second)

    def end(self) -> int:
        return chapter_start(1) + len(self.both[1].data)

    def raw_lines(self, position: int = 0) -> Iterator[RawLine]:
        for number, each in enumerate(self.both):
            begin, end = chapter_start(number), chapter_start(number) + len(each.data)
            if position < end:
                start = max(position, begin)
                yield from split_lines([bytes(each.data[start - begin :])], start)


def test_a_chapter_whose_last_line_was_cut_off_is_continued_by_the_next_and_one_that_was_deleted_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = Log(), Log()
    first.segment("a", "one", 1_000, seq=1)
    first.data += b'{"payload": "cut of'
    second.segment("b", "two", 60_000, seq=2)
    timeline = Timeline(Chapters(first, second))  # type: ignore[arg-type]
    assert [event["event"] for event in timeline.events(*EVER)] == ["two", "one"]
    second.segment("c", "three", 120_000, seq=3)
    assert [event["event"] for event in timeline.events(*EVER)] == ["three", "two", "one"]
    monkeypatch.setattr(module, "oldest_chapter", lambda _log: 1)
    assert [event["event"] for event in timeline.events(*EVER)] == ["three", "two", "one"], "its evictions are recorded"
    fresh = Timeline(Chapters(first, second))  # type: ignore[arg-type]
    assert [event["event"] for event in fresh.events(*EVER)] == ["three", "two"]
    behind = Timeline(Chapters(first, Log()))  # type: ignore[arg-type]
    behind._offset = chapter_start(1) - 1
    behind._log.both = (first, second)  # type: ignore[attr-defined]
    assert [event["event"] for event in behind.events(*EVER)] == ["three", "two"], (
        "a chapter that it has not read is gone"
    )


def test_rings_are_told_newest_first_also_without_footage() -> None:
    log, timeline = a_timeline()
    log.segment("a", "one", 1_000)
    for utc_ms in (3_000, 90_000):
        log.add("ring", at={"at_us": 0, "utc_ms": utc_ms, "quality": "synced"})
    assert timeline.rings(*EVER) == [90_000, 3_000]
    assert timeline.rings(3_000, 90_000) == [3_000]


def test_the_oldest_rings_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RINGS", 3)
    log, timeline = a_timeline()
    for utc_ms in range(5):
        log.add("ring", at={"at_us": 0, "utc_ms": utc_ms, "quality": "synced"})
    assert timeline.rings(*EVER) == [4, 3, 2]
