"""Hypothesis strategies for everything a manifest can say."""

from __future__ import annotations

from hypothesis import strategies as st

from agent.core.object_detection.labels import ObjectLabel, sorted_labels
from agent.core.timebase import ClockQuality
from agent.core.vault.fields import LONGEST_SEGMENT_US, Stamp, TimeSpan, segment_id
from agent.core.vault.records import (
    MOST_CARRIED_BYTES,
    BootRecord,
    Carried,
    Chapter,
    ClockSync,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    GapRecord,
    PosterRecord,
    RecoveredRecord,
    RingRecord,
    SealedFile,
    SegmentRecord,
    SoundGapReason,
    SoundRecord,
)
from agent.core.vault.segment import Begin, Content, Context
from tests.vaults import SECOND

__all__ = ["begins", "chapter_records", "contexts", "records", "segment_ids"]

_count = st.integers(0, 2**40)
_utc_ms = st.integers(-(2**45), 2**45)
_sha256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
_boot = st.binary(min_size=16, max_size=16).map(bytes.hex)
_device = st.binary(min_size=8, max_size=8).map(bytes.hex)
_mldsa = st.sampled_from([SECOND.key])
_quality = st.sampled_from(ClockQuality)
_label = st.none() | st.sampled_from(["button", "Türe", "门", '"\\', "x" * 64])
segment_ids = st.binary(min_size=16, max_size=16).map(segment_id)
_stamps = st.builds(Stamp, boot=_boot, at_us=_count, utc_ms=_utc_ms, quality=_quality)


@st.composite
def _spans(draw: st.DrawFn, longest_us: int = LONGEST_SEGMENT_US) -> TimeSpan:
    start_us = draw(_count)
    return TimeSpan(
        boot=draw(_boot),
        start_us=start_us,
        end_us=start_us + draw(st.integers(0, longest_us)),
        utc_ms=draw(_utc_ms),
        quality=draw(_quality),
    )


@st.composite
def begins(draw: st.DrawFn) -> Begin:
    span = draw(_spans())
    return Begin(
        segment=draw(segment_ids),
        event=draw(segment_ids),
        ordinal=draw(_count),
        boot=span.boot,
        start_us=span.start_us,
        until_us=span.end_us,
        utc_ms=span.utc_ms,
        quality=span.quality,
        label=draw(_label),
    )


@st.composite
def _sealed(draw: st.DrawFn) -> SealedFile:
    header_size = draw(st.integers(1, 2**20))
    return SealedFile(
        size=header_size + draw(_count),
        header_size=header_size,
        sha256_header=draw(_sha256),
        sha256_payload=draw(_sha256),
    )


contexts = st.builds(
    Context,
    kind=st.sampled_from(Content),
    device=_device,
    segment=segment_ids,
    event=segment_ids,
    ordinal=_count,
    span=_spans(),
    media_bytes=_count,
    label=_label,
    seen=st.none() | st.sets(st.sampled_from(ObjectLabel)).map(sorted_labels),
)
_segments = st.builds(
    SegmentRecord,
    id=segment_ids,
    event=segment_ids,
    ordinal=_count,
    span=_spans(),
    epoch=_count,
    file=_sealed(),
    key=_sha256,
    poster=st.none() | st.builds(PosterRecord, file=_sealed(), key=_sha256),
    label=_label,
    sound=st.none() | st.builds(SoundRecord, file=_sealed(), key=_sha256),
    silence=st.none() | st.sampled_from(SoundGapReason),
)
records = st.one_of(
    _segments,
    st.builds(
        RecoveredRecord,
        begin=begins(),
        complete=st.booleans(),
        file=_sealed(),
        poster_file=st.none() | _sealed(),
        sound_file=st.none() | _sealed(),
        at=_stamps,
    ),
    st.builds(
        EvictionRecord,
        segments=st.lists(segment_ids, min_size=1, max_size=64).map(tuple),
        reason=st.sampled_from(EvictionReason),
        at=_stamps,
    ),
    st.builds(GapRecord, reason=st.sampled_from(GapReason), span=_spans(2**45)),
    st.builds(BootRecord, device=_device, device_mldsa=_mldsa, epoch=_count, at=_stamps),
    st.builds(CoverageRecord, span=_spans()),
    st.builds(RingRecord, at=_stamps),
    st.builds(ClockSync, at=_stamps),
)
chapter_records = st.builds(
    Chapter,
    number=st.integers(1000, 2**20 - 1),
    oldest=st.integers(0, 1000),
    device=_device,
    device_mldsa=_mldsa,
    at=_stamps,
    carried=st.none() | st.builds(Carried, size=st.integers(1, MOST_CARRIED_BYTES), root=_sha256),
)
