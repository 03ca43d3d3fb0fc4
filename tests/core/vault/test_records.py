"""Records and spans as values: each property of both kinds of segment, and times to the microsecond."""

from __future__ import annotations

import pytest

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.fields import LONGEST_SEGMENT_US, Stamp, TimeSpan, bounded, segment_id, span_between, stamp
from agent.core.vault.records import Chapter, PosterRecord, RecoveredRecord, SealedFile, SegmentRecord, SoundRecord
from agent.core.vault.segment import Begin
from agent.errors import FormatError
from tests.vaults import SECOND

UNKNOWN, HELD, SYNCED = ClockQuality.UNKNOWN, ClockQuality.HELD, ClockQuality.SYNCED
BOOT, SHA = "b" * 32, "0" * 64
NAME, EVENT = segment_id(bytes(16)), segment_id(b"e" * 16)
PICTURES, STILL, SOUND = (
    SealedFile(size=size, header_size=5, sha256_header=SHA, sha256_payload=SHA) for size in (10, 11, 12)
)


def span(start_us: int, end_us: int, utc_ms: int = 5000, quality: ClockQuality = SYNCED) -> TimeSpan:
    return TimeSpan(boot=BOOT, start_us=start_us, end_us=end_us, utc_ms=utc_ms, quality=quality)


def segment(**more: object) -> SegmentRecord:
    values = {"id": NAME, "event": EVENT, "ordinal": 3, "span": span(0, 2), "epoch": 1, "file": PICTURES, "key": SHA}
    return SegmentRecord(**{**values, **more})  # type: ignore[arg-type]


def begin(**more: object) -> Begin:
    values = {"boot": BOOT, "start_us": 7, "until_us": 9, "utc_ms": 5000, "quality": SYNCED}
    return Begin(**{"segment": NAME, "event": EVENT, "ordinal": 3, **values, **more})  # type: ignore[arg-type]


def recovered(**more: object) -> RecoveredRecord:
    at = Stamp(boot=BOOT, at_us=0, utc_ms=0, quality=SYNCED)
    return RecoveredRecord(**{"begin": begin(), "complete": False, "file": PICTURES, "at": at, **more})  # type: ignore[arg-type]


def seen(record: SegmentRecord | RecoveredRecord) -> tuple[object, ...]:
    ids = record.id, record.event, record.ordinal, record.label_text
    return *ids, record.span, record.quality, record.complete, record.poster_file, record.sound_file


def test_a_segment_is_whole_and_has_what_its_record_names() -> None:
    assert seen(segment()) == (NAME, EVENT, 3, "", span(0, 2), SYNCED, True, None, None)
    poster, sound = PosterRecord(file=STILL, key=SHA), SoundRecord(file=SOUND, key=SHA)
    labelled = segment(poster=poster, sound=sound, label="ring")
    assert seen(labelled) == (NAME, EVENT, 3, "ring", span(0, 2), SYNCED, True, STILL, SOUND)


def test_a_recovered_file_says_what_its_beginning_said_and_never_vouches_for_its_time() -> None:
    assert seen(recovered()) == (NAME, EVENT, 3, "", span(7, 9), UNKNOWN, False, None, None)
    files = {"poster_file": STILL, "sound_file": SOUND}
    labelled = recovered(begin=begin(label="ring"), complete=True, **files)
    assert seen(labelled) == (NAME, EVENT, 3, "ring", span(7, 9), UNKNOWN, True, STILL, SOUND)


def test_a_sealed_file_is_at_least_its_header() -> None:
    assert SealedFile(size=5, header_size=5, sha256_header=SHA, sha256_payload=SHA)
    with pytest.raises(FormatError) as refused:
        SealedFile(size=5, header_size=6, sha256_header=SHA, sha256_payload=SHA)
    assert str(refused.value) == "A sealed file is shorter than its header."


@pytest.mark.parametrize(("start_us", "end_us", "lasts_ms"), [(5, 5, 0), (5, 6, 1), (5, 1005, 1), (5, 1006, 2)])
def test_a_span_ends_on_the_next_millisecond(start_us: int, end_us: int, lasts_ms: int) -> None:
    found = span(start_us, end_us)
    assert (found.start_ms, found.end_ms, found.duration_us) == (5000, 5000 + lasts_ms, end_us - start_us)
    with pytest.raises(FormatError) as refused:
        span(end_us, start_us - 1)
    assert str(refused.value) == "A span ends before it starts."


def test_the_longest_segment_is_an_hour() -> None:
    longest = span(1, 1 + LONGEST_SEGMENT_US)
    assert bounded(longest) is longest
    with pytest.raises(FormatError) as refused:
        bounded(span(1, 2 + LONGEST_SEGMENT_US))
    assert str(refused.value) == "A segment of 3600000001 µs is longer than the format allows."
    for make in (lambda: segment(span=span(0, 2 + LONGEST_SEGMENT_US)), lambda: begin(until_us=8 + LONGEST_SEGMENT_US)):
        with pytest.raises(FormatError):
            make()


def reading(boot_us: int, utc_ms: int, quality: ClockQuality) -> ClockReading:
    """The boot's clock in µs and 999 ns more, and UTC in ms and .999 ms more."""
    return ClockReading(BootNs(boot_us * 1000 + 999), UtcNs(utc_ms * 10**6 + 999_999), quality)


def test_a_stamp_counts_whole_microseconds_and_milliseconds_and_dates_others_of_its_boot() -> None:
    found = stamp(BOOT, reading(7_000, 5_000, HELD))
    assert found == Stamp(boot=BOOT, at_us=7_000, utc_ms=5_000, quality=HELD)
    assert [found.utc_of_ms(each) for each in (6_999, 7_000, 7_999, 8_000, 17_000)] == [
        4_999,
        5_000,
        5_000,
        5_001,
        5_010,
    ]


@pytest.mark.parametrize(
    ("first", "then", "utc_ms", "quality"),
    [
        (UNKNOWN, UNKNOWN, 5_000, UNKNOWN),
        (HELD, UNKNOWN, 5_000, HELD),
        (SYNCED, HELD, 5_000, SYNCED),
        (SYNCED, SYNCED, 5_000, SYNCED),
        (UNKNOWN, HELD, 88_998, HELD),
        (HELD, SYNCED, 88_998, SYNCED),
    ],
)
def test_a_span_is_dated_by_the_better_of_its_two_readings(
    first: ClockQuality, then: ClockQuality, utc_ms: int, quality: ClockQuality
) -> None:
    """The clock was set to a later time between the two, which lie 1 002 ms apart on the boot's clock."""
    found = span_between(BOOT, reading(7_000, 5_000, first), reading(1_009_000, 90_000, then))
    assert found == span(7_000, 1_009_000, utc_ms, quality)


@pytest.mark.parametrize(("number", "oldest", "sound"), [(1, 0, True), (1, 1, True), (0, 0, False), (1, 2, False)])
def test_a_chapter_needs_none_after_itself_and_the_first_file_has_no_record(
    number: int, oldest: int, sound: bool
) -> None:
    def make() -> Chapter:
        at = Stamp(boot=BOOT, at_us=0, utc_ms=0, quality=SYNCED)
        return Chapter(number=number, oldest=oldest, device="0" * 16, device_mldsa=SECOND.key, at=at)

    if sound:
        assert make().oldest == oldest
        return
    with pytest.raises(FormatError, match="A chapter must have a number above 0"):
        make()
