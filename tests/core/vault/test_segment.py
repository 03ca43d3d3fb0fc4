"""A segment describes itself to readers who open it and to the device after a crash, and a wrong description is
refused."""

from __future__ import annotations

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.opening import HybridIdentity, X25519Identity, open_bytes
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.age.header import parse_header
from agent.core.vault.age.sealing import Sealer
from agent.core.vault.fields import FileKind, TimeSpan, VaultFile, parse_name, segment_id, span_between
from agent.core.vault.records import FileDigest, digest
from agent.core.vault.segment import (
    BOX_TYPE,
    Begin,
    Content,
    Context,
    begin_in,
    begin_stanza,
    context_box,
    poster_plaintext,
    split_media,
    split_poster,
    split_trailing,
    trailing_box,
)
from agent.errors import FormatError, InternalError
from tests.core.vault.records_for_tests import begins, contexts, segment_ids

MEDIA = struct.pack(">I4s", 12, b"ftyp") + b"isom" + struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"


def context(media: bytes = MEDIA) -> Context:
    return Context(
        kind=Content.SEGMENT,
        device="0" * 16,
        segment=segment_id(bytes(16)),
        event=segment_id(bytes(16)),
        ordinal=0,
        span=TimeSpan(boot="0" * 32, start_us=1, end_us=2, utc_ms=3, quality=ClockQuality.HELD),
        media_bytes=len(media),
    )


@given(context=contexts, media=st.lists(st.binary(max_size=50), max_size=5))
def test_media_and_context_come_apart_as_they_were_joined(context: Context, media: list[bytes]) -> None:
    boxes = b"".join(struct.pack(">I4s", 8 + len(body), b"mdat") + body for body in media)
    fields = {name: getattr(context, name) for name in context.__struct_fields__}
    agreeing = Context(**{**fields, "media_bytes": len(boxes)})
    assert split_media(boxes + context_box(agreeing)) == (boxes, agreeing)


@given(context=contexts, image=st.binary(max_size=50))
def test_a_still_and_its_context_come_apart_as_they_were_joined(context: Context, image: bytes) -> None:
    jpeg = b"\xff\xd8" + image
    agreeing = msgspec.structs.replace(context, media_bytes=len(jpeg))
    assert split_poster(poster_plaintext(jpeg, agreeing)) == (jpeg, agreeing)


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda rest: b"\xff\xd8\xff\xfe" + rest))
def test_a_still_without_its_context_is_refused(plaintext: bytes) -> None:
    with pytest.raises(FormatError):
        split_poster(plaintext)


def test_a_picture_that_is_no_jpeg_is_sealed_as_no_poster() -> None:
    with pytest.raises(InternalError):
        poster_plaintext(b"\x89PNG", context())


def test_without_labels_the_context_is_spelled_as_it_always_was() -> None:
    assert b"seen" not in context_box(context())


def test_what_was_seen_is_said_once_each_and_in_order() -> None:
    fields = {name: getattr(context(), name) for name in context().__struct_fields__}
    for seen in ((ObjectLabel.PERSON, ObjectLabel.PERSON), (ObjectLabel.VEHICLE, ObjectLabel.PERSON)):
        with pytest.raises(FormatError):
            Context(**{**fields, "seen": seen})


def test_the_box_is_one_that_players_skip() -> None:
    box = context_box(context())
    assert struct.unpack(">I4s16s", box[:24]) == (len(box), b"uuid", BOX_TYPE)


@pytest.mark.parametrize(
    ("defect", "plaintext"),
    [
        ("empty", b""),
        ("no context", MEDIA),
        ("another uuid box", MEDIA + struct.pack(">I4s", 24, b"uuid") + bytes(16)),
        ("context not last", context_box(context(b"")) + MEDIA),
        ("bytes behind", MEDIA + context_box(context()) + b"\0"),
        ("cut in the context", (MEDIA + context_box(context()))[:-1]),
        ("cut in a box head", MEDIA + context_box(context()) + bytes(7)),
        ("box to the end of the file", struct.pack(">I4s", 0, b"mdat") + MEDIA + context_box(context())),
        ("box smaller than its head", struct.pack(">I4s", 7, b"mdat") + context_box(context())),
        ("large box smaller than its head", struct.pack(">I4sQ", 1, b"mdat", 15) + context_box(context())),
        ("media longer", MEDIA + struct.pack(">I4s", 8, b"free") + context_box(context())),
        ("context not JSON", MEDIA + struct.pack(">I4s", 26, b"uuid") + BOX_TYPE + b"{]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_segment_with_a_defect_is_refused(defect: str, plaintext: bytes) -> None:
    with pytest.raises(FormatError):
        split_media(plaintext)


@given(st.binary(max_size=100))
def test_nonsense_is_a_format_error_and_nothing_else(plaintext: bytes) -> None:
    with pytest.raises(FormatError):
        split_media(plaintext)


@given(begin=begins())
def test_the_beginning_stands_in_the_header_and_costs_nobody_the_key(begin: Begin) -> None:
    for owner in (X25519Identity(bytes(32)), HybridIdentity(bytes(32))):
        sealer = Sealer(bytes(16), [owner.recipient()], nonce=bytes(16), remarks=[begin_stanza(begin)])
        file = sealer.header + sealer.update(b"footage") + sealer.finish()
        header, length = parse_header(file)
        assert length == len(sealer.header)
        assert begin_in(header) == begin
        assert open_bytes(file, [owner]) == b"footage"


def test_a_header_without_one_beginning_is_not_ours() -> None:
    recipient = X25519Identity(bytes(32)).recipient()
    begin = Begin(
        segment=segment_id(bytes(16)), event=segment_id(bytes(16)), ordinal=0, boot="0" * 32, start_us=0, until_us=1,
        utc_ms=0, quality=ClockQuality.UNKNOWN,
    )  # fmt: skip
    for remarks in ([], [begin_stanza(begin)] * 2):
        sealer = Sealer(bytes(16), [recipient], nonce=bytes(16), remarks=remarks)
        with pytest.raises(FormatError):
            begin_in(parse_header(sealer.header)[0])


def test_a_segment_of_more_than_an_hour_cannot_be_written() -> None:
    with pytest.raises(FormatError):
        Context(
            kind=Content.SEGMENT, device="0" * 16, segment=segment_id(bytes(16)), event=segment_id(bytes(16)),
            ordinal=0, media_bytes=0,
            span=TimeSpan(boot="0" * 32, start_us=0, end_us=3_600_000_001, utc_ms=0, quality=ClockQuality.HELD),
        )  # fmt: skip
    with pytest.raises(FormatError):
        TimeSpan(boot="0" * 32, start_us=1, end_us=0, utc_ms=0, quality=ClockQuality.HELD)


@given(
    start_ns=st.integers(0, 10**15),
    duration_ns=st.integers(0, 10**11),
    step_ns=st.integers(-(10**18), 10**18),
    qualities=st.tuples(st.sampled_from(ClockQuality), st.sampled_from(ClockQuality)),
)
def test_a_stepped_clock_changes_no_duration(
    start_ns: int, duration_ns: int, step_ns: int, qualities: tuple[ClockQuality, ClockQuality]
) -> None:
    start = ClockReading(BootNs(start_ns), UtcNs(10**18), qualities[0])
    end = ClockReading(BootNs(start_ns + duration_ns), UtcNs(10**18 + duration_ns + step_ns), qualities[1])
    span = span_between("0" * 32, start, end)
    assert abs(span.duration_us * 1000 - duration_ns) < 1000
    assert 0 <= span.end_ms - span.start_ms - duration_ns // 10**6 <= 1
    assert span.quality in qualities
    assert not (span.quality is ClockQuality.UNKNOWN and set(qualities) != {ClockQuality.UNKNOWN})


@given(segment=segment_ids, kind=st.sampled_from(FileKind))
def test_a_file_s_name_is_its_whole_state(segment: str, kind: FileKind) -> None:
    file = VaultFile(segment, kind)
    assert parse_name(file.name) == file
    assert file.shard == segment[0]


@pytest.mark.parametrize(
    "name", ["", ".age", "a" * 26, "a" * 25 + ".age", "a" * 25 + "b.age", "A" * 26 + ".age", "a" * 26 + ".age\n",
             "a" * 26 + ".AGE", "a" * 26 + ".age.part", "../" + "a" * 23 + ".age"],
)  # fmt: skip
def test_a_name_the_vault_never_writes_means_nothing(name: str) -> None:
    assert parse_name(name) is None


def test_an_id_takes_sixteen_bytes() -> None:
    with pytest.raises(InternalError):
        segment_id(bytes(15))


@given(data=st.binary(min_size=1, max_size=200), header=st.integers(1, 200), piece=st.integers(1, 50))
def test_hashing_a_file_in_pieces_gives_what_writing_it_gave(data: bytes, header: int, piece: int) -> None:
    header = min(header, len(data))
    written = FileDigest(data[:header])
    written.update(data[header:])
    found = digest((data[at : at + piece] for at in range(0, len(data), piece)), header)
    assert found == written.sealed()
    assert found.sha256_header == hashlib.sha256(data[:header]).hexdigest()
    assert found.sha256_payload == hashlib.sha256(data[header:]).hexdigest()


def test_boxes_of_sixty_four_bits_are_skipped_and_an_impossible_size_is_named() -> None:
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + bytes(5)
    small = struct.pack(">I4s", 8, b"free")
    box = trailing_box(b"t" * 16, b"body")
    for before in (b"", large, small, large + small, small + large):
        assert split_trailing(before + box, b"t" * 16) == (before, b"body")
    with pytest.raises(FormatError, match="does not end in a context box"):
        split_trailing(small, b"t" * 16)
    for size, tail in ((1, b""), (0, b""), (7, b""), (1, struct.pack(">Q", 15))):
        with pytest.raises(FormatError) as refused:
            split_trailing(struct.pack(">I4s", size, b"free") + tail, b"t" * 16)
        assert str(refused.value) == "An MP4 box of this segment states an impossible size."
    for data, words in (
        (small + b"1234567", "An MP4 box of this segment is cut short."),
        (struct.pack(">I4s", 9, b"free"), "The last MP4 box of this segment is cut short."),
    ):
        with pytest.raises(FormatError) as refused:
            split_trailing(data, b"t" * 16)
        assert str(refused.value) == words
