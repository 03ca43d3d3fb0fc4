"""Every instant of a window gets one word, and "nothing happened" needs a `coverage` record."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from agent.core.vault.coverage import BootClocks, CoverageBuilder, CoverageState
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.records import (
    BootRecord,
    Chapter,
    ClockSync,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    GapRecord,
    Record,
    RecoveredRecord,
    SealedFile,
    SegmentRecord,
)
from agent.core.vault.segment import Begin
from tests.vaults import SECOND

T0 = 1_760_000_000_000
SEALED = SealedFile(size=10, header_size=5, sha256_header="0" * 64, sha256_payload="0" * 64)


def name(number: int) -> str:
    return segment_id(random.Random(number).randbytes(16))


def span(
    start_s: int, end_s: int, boot: int = 1, quality: ClockQuality = ClockQuality.SYNCED, shift_s: int = 0
) -> TimeSpan:
    """Seconds of one boot, which began `shift_s` after T0."""
    return TimeSpan(
        boot=f"{boot:032x}",
        start_us=start_s * 10**6,
        end_us=end_s * 10**6,
        utc_ms=T0 + (shift_s + start_s) * 1000,
        quality=quality,
    )


def stamp(at_s: int, boot: int = 1, quality: ClockQuality = ClockQuality.SYNCED, shift_s: int = 0) -> Stamp:
    one = span(at_s, at_s, boot, quality, shift_s)
    return Stamp(boot=one.boot, at_us=one.start_us, utc_ms=one.utc_ms, quality=quality)


def segment(number: int, where: TimeSpan) -> SegmentRecord:
    return SegmentRecord(
        id=name(number), event=name(0), ordinal=number, span=where, epoch=1, file=SEALED,
        key="0" * 64,
    )  # fmt: skip


def seen(records: list[Record], from_s: int, to_s: int, now_s: int = 10**6) -> list[tuple[int, int, CoverageState]]:
    boots = BootClocks()
    for record in records:
        boots.add(record)
    spans = CoverageBuilder(boots, T0 + from_s * 1000, T0 + to_s * 1000)
    for record in records:
        spans.add(record)
    return [
        ((one.start_ms - T0) // 1000, (one.end_ms - T0) // 1000, one.state)
        for one in spans.stretches(T0 + now_s * 1000)
    ]


BOOT = BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(0))


def test_a_day_at_the_door_reads_as_it_was() -> None:
    records: list[Record] = [
        BOOT,
        segment(1, span(100, 110)),
        CoverageRecord(span=span(0, 900)),
        GapRecord(reason=GapReason.PRIVACY, span=span(900, 1200)),
        CoverageRecord(span=span(1200, 2100)),
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(0, boot=2, shift_s=5000)),
        CoverageRecord(span=span(0, 900, boot=2, shift_s=5000)),
    ]
    assert seen(records, -50, 7000, now_s=6000) == [
        (-50, 0, CoverageState.DEVICE_OFF),
        (0, 100, CoverageState.NOTHING),
        (100, 110, CoverageState.FOOTAGE),
        (110, 900, CoverageState.NOTHING),
        (900, 1200, CoverageState.PRIVACY),
        (1200, 2100, CoverageState.NOTHING),
        (2100, 5000, CoverageState.DEVICE_OFF),
        (5000, 5900, CoverageState.NOTHING),
        (5900, 7000, CoverageState.NOT_YET),
    ]


def test_what_made_room_is_said_to_be_no_longer_kept() -> None:
    records: list[Record] = [
        BOOT,
        segment(1, span(100, 110)),
        segment(2, span(110, 120)),
        EvictionRecord(segments=(name(1),), reason=EvictionReason.BYTES, at=stamp(130)),
        CoverageRecord(span=span(0, 200)),
    ]
    assert seen(records, 90, 130) == [
        (90, 100, CoverageState.NOTHING),
        (100, 110, CoverageState.GONE),
        (110, 120, CoverageState.FOOTAGE),
        (120, 130, CoverageState.NOTHING),
    ]


def test_every_reason_for_a_gap_has_its_word() -> None:
    for reason in GapReason:
        ((_start, _end, state),) = seen([BOOT, GapRecord(reason=reason, span=span(0, 100))], 10, 20)
        assert state.value == reason.value


def test_nothing_happened_is_never_said_without_a_watching_camera() -> None:
    records: list[Record] = [BOOT, segment(1, span(100, 110)), segment(2, span(500, 510))]
    assert seen(records, 100, 510) == [
        (100, 110, CoverageState.FOOTAGE),
        (110, 500, CoverageState.DEVICE_OFF),
        (500, 510, CoverageState.FOOTAGE),
    ]


def test_a_boot_that_never_knew_the_time_may_have_been_anywhere_between() -> None:
    unknown = ClockQuality.UNKNOWN
    records: list[Record] = [
        BOOT,
        CoverageRecord(span=span(0, 100)),
        BootRecord(
            device="0" * 16,
            device_mldsa=SECOND.key,
            epoch=1,
            at=stamp(0, boot=2, quality=unknown, shift_s=-(10**8)),
        ),
        segment(1, span(5, 10, boot=2, quality=unknown, shift_s=-(10**8))),
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(0, boot=3, shift_s=1000)),
        CoverageRecord(span=span(0, 100, boot=3, shift_s=1000)),
    ]
    assert seen(records, 0, 1100) == [
        (0, 100, CoverageState.NOTHING),
        (100, 1000, CoverageState.CLOCK_UNKNOWN),
        (1000, 1100, CoverageState.NOTHING),
    ]
    assert seen(records[:4], 50, 200) == [(50, 100, CoverageState.NOTHING), (100, 200, CoverageState.CLOCK_UNKNOWN)]


def test_a_clock_sync_dates_what_its_boot_recorded_before() -> None:
    unknown = ClockQuality.UNKNOWN
    records: list[Record] = [
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(0, quality=unknown, shift_s=-(10**8))),
        segment(1, span(50, 60, quality=unknown, shift_s=-(10**8))),
        CoverageRecord(span=span(0, 100, quality=unknown, shift_s=-(10**8))),
        ClockSync(at=stamp(100)),
    ]
    assert seen(records, 40, 70) == [
        (40, 50, CoverageState.NOTHING),
        (50, 60, CoverageState.FOOTAGE),
        (60, 70, CoverageState.NOTHING),
    ]


def test_a_recovered_segment_counts_as_footage() -> None:
    begin = Begin(
        segment=name(1), event=name(0), ordinal=0, boot=f"{1:032x}", start_us=10**7, until_us=2 * 10**7,
        utc_ms=T0 + 10_000, quality=ClockQuality.SYNCED,
    )  # fmt: skip
    records: list[Record] = [BOOT, RecoveredRecord(begin=begin, complete=False, file=SEALED, at=stamp(50))]
    assert seen(records, 10, 20) == [(10, 20, CoverageState.FOOTAGE)]


spans = st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted)


@given(
    watched=st.lists(spans, max_size=4),
    gaps=st.lists(st.tuples(spans, st.sampled_from(GapReason)), max_size=4),
    segments=st.lists(st.tuples(spans, st.booleans()), max_size=5),
    window=spans,
)
def test_every_instant_has_the_first_word_that_is_true_of_it(
    watched: list[list[int]],
    gaps: list[tuple[list[int], GapReason]],
    segments: list[tuple[list[int], bool]],
    window: list[int],
) -> None:
    records: list[Record] = [BOOT, *(CoverageRecord(span=span(*one)) for one in watched)]
    records += [GapRecord(reason=reason, span=span(*one)) for one, reason in gaps]
    for number, (one, gone) in enumerate(segments):
        records.append(segment(number, span(*one)))
        if gone:
            records.append(EvictionRecord(segments=(name(number),), reason=EvictionReason.AGE, at=stamp(200)))
    records.append(ClockSync(at=stamp(200)))
    found = seen(records, *window)
    assert [end for _start, end, _state in found[:-1]] == [start for start, _end, _state in found[1:]]
    assert all(one[2] is not other[2] for one, other in itertools.pairwise(found))
    for at in range(*window):
        (said,) = (state for start, end, state in found if start <= at < end)
        true: set[CoverageState] = {
            CoverageState.FOOTAGE if not gone else CoverageState.GONE for one, gone in segments if one[0] <= at < one[1]
        }
        true |= {CoverageState(reason.value) for one, reason in gaps if one[0] <= at < one[1]}
        true |= {CoverageState.NOTHING for one in watched if one[0] <= at < one[1]}
        assert said is next((state for state in CoverageState if state in true), CoverageState.DEVICE_OFF)
    assert (not found) == (window[0] == window[1])


def test_a_boot_begins_with_its_first_record_wherever_its_clock_stood_then() -> None:
    records: list[Record] = [
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(100)),
        CoverageRecord(span=span(150, 200)),
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(50, boot=2, shift_s=1000)),
        CoverageRecord(span=span(50, 100, boot=2, shift_s=1000)),
    ]
    off, nothing = CoverageState.DEVICE_OFF, CoverageState.NOTHING
    assert seen(records, 0, 1100) == [
        (0, 150, off),
        (150, 200, nothing),
        (200, 1050, off),
        (1050, 1100, nothing),
    ]
    boots = BootClocks()
    for record in records:
        boots.add(record)
    found = [((one.start_ms - T0) // 1000, (one.end_ms - T0) // 1000) for one in boots.between(T0 + 2_000_000)]
    assert found[0][1] == 100, "off until its first record, of whichever kind"
    assert found[1:3] == [(200, 1050), (1100, 2000)]


def test_without_older_chapters_a_manifest_of_undated_boots_begins_with_its_first_dated_one() -> None:
    unknown = ClockQuality.UNKNOWN
    records: list[Record] = [
        Chapter(
            number=1,
            oldest=1,
            device="0" * 16,
            device_mldsa=SECOND.key,
            at=stamp(7, boot=9, quality=unknown),
        ),
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(30, boot=2, shift_s=500)),
        CoverageRecord(span=span(30, 100, boot=2, shift_s=500)),
        BootRecord(device="0" * 16, device_mldsa=SECOND.key, epoch=1, at=stamp(20, boot=3, shift_s=900)),
    ]
    boots = BootClocks()
    for record in records:
        boots.add(record)
    assert boots.begins_ms() == T0 + 530_000
    assert seen(records, 400, 560)[:2] == [
        (400, 530, CoverageState.FORGOTTEN),
        (530, 560, CoverageState.NOTHING),
    ]
    alone = BootClocks()
    alone.add(records[0])
    assert alone.begins_ms() == 2**53
    dated = BootClocks()
    dated.add(Chapter(number=1, oldest=1, device="0" * 16, device_mldsa=SECOND.key, at=stamp(7)))
    assert (dated.begins_ms(), BootClocks().begins_ms()) == (T0 + 7000, -(2**53))
