"""A signed film is proven picture by picture, and no manipulation of its pictures goes unnoticed."""

from __future__ import annotations

import random

import pytest

from agent.core.media import VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_S
from agent.errors import FormatError
from agent.media.capture_signature import (
    CaptureFault,
    SigningChain,
    is_slice,
    next_statement,
    onvif_time,
    verify_capture,
)
from agent.media.fmp4 import codec_of, film_units, gop_units
from agent.media.onvif_sei import gop_document, is_certificate_sei, is_media_sei, parse_sei, signed_sei
from agent.recorder.capture_signing import CaptureSigner
from tests.cameras import assembled, filmed_by_camera
from tests.capture_films import (
    CAPTURE,
    DEVICE,
    STRANGER,
    UTC_NS,
    gops_in,
    messages_that_count,
    packets_of,
    signed_film,
    trusted,
    verified,
    written,
)

BOTH = pytest.mark.parametrize("codec", list(VideoCodec))
GOPS = 6
FLIPS = 30
MANIPULATIONS: dict[str, set[CaptureFault]] = {
    "a GOP dropped": {CaptureFault.MISSING},
    "a GOP twice": {CaptureFault.REPEATED},
    "two GOPs exchanged": {CaptureFault.MISSING, CaptureFault.REPEATED},
    "a message dropped": {CaptureFault.UNSIGNED, CaptureFault.MISSING},
    "messages exchanged": {CaptureFault.CHANGED, CaptureFault.MISSING, CaptureFault.REPEATED},
    "a picture dropped": {CaptureFault.CHANGED},
    "a picture twice": {CaptureFault.CHANGED},
    "two pictures exchanged": {CaptureFault.CHANGED},
    "a picture of another GOP": {CaptureFault.CHANGED},
    "a GOP of another film": {CaptureFault.REPEATED, CaptureFault.MISSING},
    "a GOP of another film with the same number": {CaptureFault.CHANGED},
    "a stranger's certificate": {CaptureFault.SIGNATURE, CaptureFault.NO_KEY},
    "no certificate": {CaptureFault.NO_KEY},
    "pictures behind the end": set(),
}
"""Each manipulation of a film, and what our check says of it."""


def mdat(*units: bytes) -> bytes:
    data = b"".join(len(each).to_bytes(4) + each for each in units)
    return (8 + len(data)).to_bytes(4) + b"mdat" + data


def test_units_of_one_byte_and_more_are_read_and_an_empty_or_cut_one_is_refused() -> None:
    assert list(film_units(mdat(b"ab", b"c"))) == [b"ab", b"c"]
    assert list(film_units(mdat(b"c"))) == [b"c"]
    for broken in (mdat(b"ab", b"", b"c"), mdat(b"")[:-1] + b"\2", mdat(b"ab")[:8] + b"\0\0\0\3ab"):
        with pytest.raises(FormatError, match="A picture of this film is cut short"):
            list(film_units(broken))


@BOTH
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_picture_of_a_recording_is_proven_in_each_segment_and_in_all_together(
    codec: VideoCodec, b_frames: int
) -> None:
    film = signed_film(codec, b_frames=b_frames)
    assert codec_of(film.segments[0]) is codec
    whole = verified(film.units, codec)
    assert (whole.signed, whole.unsigned, whole.findings) == (GOPS, 0, ())
    assert whole.is_whole
    assert whole.start == onvif_time(UTC_NS // 1000)
    assert whole.end - whole.start == pytest.approx(2 * 10**7, abs=20)  # of 100 ns: pictures are dated to the µs
    for segment in film.segments:
        assert verified(list(film_units(segment)), codec).is_whole
    # Segments that an owner chose, from the middle to the end.
    assert verified([unit for each in film.segments[1:] for unit in film_units(each)], codec).is_whole


def test_the_pictures_stay_as_they_were_and_messages_take_two_percent_at_most() -> None:
    """In segments of five seconds, at 430 kbit/s."""
    codec = VideoCodec.H264
    description, packets = filmed_by_camera(codec, frames=75)
    gops = assembled(packets, GopAssembler(NS_PER_S // 15))
    units = [
        unit for each in written(description, gops, CaptureSigner(CAPTURE, DEVICE.id), 5) for unit in film_units(each)
    ]
    plain = [unit for gop in gops for packet in gop_units(gop, codec) for unit in packet]
    assert [unit for unit in units if not is_media_sei(unit, codec)] == plain
    added = sum(len(unit) + 4 for unit in units if is_media_sei(unit, codec))
    assert added <= 0.02 * sum(gop.size_bytes for gop in gops)
    # Each message stands behind the last slice of its GOP, so each fragment of the film carries its own.
    assert all(is_media_sei(each[-1], codec) and is_slice(each[-2], codec) for each in gops_in(units, codec))


@pytest.mark.parametrize("pictures", [1, 2, 5, 10, 15, 30, 60])
def test_messages_of_a_second_take_two_percent_at_most_from_155_kbit_on(pictures: int) -> None:
    """In segments of five seconds, whether hashes are listed or not (decision 120)."""
    (certificate,) = {len(unit) + 4 for unit in signed_film().units if is_certificate_sei(unit, VideoCodec.H264)}
    listed = 100 * (200 + 32 * pictures)
    counts = []
    least = 155_000 // 8
    for size_bytes in (least, *(max(least, each) for each in (3200 * pictures, listed - 1, listed)), 8 * listed):
        others = [b"\x41\x9a" + bytes(size_bytes // (8 * pictures))] * (pictures - 1)
        units = [b"\x65\x88" + bytes(size_bytes - sum(map(len, others)) - 2), *others]
        times = onvif_time(UTC_NS // 1000), onvif_time(UTC_NS // 1000 + 1_000_000)
        statement, _ = next_statement(SigningChain(1, bytes([7]) * 32), units, VideoCodec.H264, times, ends=True)
        message = len(signed_sei(gop_document(statement, VideoCodec.H264), b"\1" * 72)) + 4
        assert message + certificate / 5 <= 0.02 * size_bytes + 2, size_bytes
        counts.append(len(statement.hashes))
    assert {counts[0], counts[-1]} == {0, pictures}


@BOTH
def test_a_single_bit_changed_in_any_slice_is_found_in_its_gop(codec: VideoCodec) -> None:
    film = signed_film(codec)
    chance = random.Random(20)
    slices = [at for at, unit in enumerate(film.units) if is_slice(unit, codec)]
    gop_of = [sum(is_media_sei(each, codec) and not is_certificate_sei(each, codec) for each in film.units[:at]) + 1
              for at in range(len(film.units))]  # fmt: skip
    for at in chance.choices(slices, k=FLIPS):
        units = list(film.units)
        changed = bytearray(units[at])
        bit = chance.randrange(16, 8 * len(changed))  # the header of a unit is the next test's
        changed[bit // 8] ^= 1 << bit % 8
        units[at] = bytes(changed)
        found = verified(units, codec)
        assert not found.is_whole
        assert gop_of[at] in {each.gop for each in found.findings}
        assert {each.fault for each in found.findings} <= {CaptureFault.CHANGED, CaptureFault.UNSIGNED}


@BOTH
def test_a_single_bit_changed_in_a_message_or_in_the_header_of_a_slice_is_noticed(codec: VideoCodec) -> None:
    film = signed_film(codec)
    chance = random.Random(21)
    for number in range(2 * FLIPS):
        units = list(film.units)
        if number % 2:
            at = chance.choice([at for at, unit in enumerate(units) if is_slice(unit, codec)])
            bit = chance.randrange(16)
        else:
            at = chance.choice(messages_that_count(units, codec))
            bit = chance.randrange(8 * (len(units[at]) - 4))  # the last bytes may only fill the signature's field up
        changed = bytearray(units[at])
        changed[bit // 8] ^= 1 << bit % 8
        units[at] = bytes(changed)
        assert not verified(units, codec).is_whole, (at, bit)


@BOTH
@pytest.mark.parametrize(("name", "faults"), MANIPULATIONS.items())
def test_each_structural_manipulation_is_noticed(codec: VideoCodec, name: str, faults: set[CaptureFault]) -> None:
    found = verified(manipulated(name, codec), codec)
    assert not found.is_whole
    assert {each.fault for each in found.findings} == faults


def manipulated(name: str, codec: VideoCodec) -> list[bytes]:
    film = signed_film(codec)
    gops = [list(each) for each in gops_in(film.units, codec)]
    other = gops_in(signed_film(codec, b_frames=2).units, codec)
    match name:
        case "a GOP dropped":
            del gops[3]
        case "a GOP twice":
            gops.insert(3, gops[3])
        case "two GOPs exchanged":
            gops[1], gops[3] = gops[3], gops[1]
        case "a message dropped":
            del gops[3][-1]
        case "messages exchanged":
            gops[1][-1], gops[3][-1] = gops[3][-1], gops[1][-1]
        case "a picture dropped":
            del gops[3][-4]
        case "a picture twice":
            gops[3].insert(-4, gops[3][-4])
        case "two pictures exchanged":
            gops[3][-4], gops[3][-3] = gops[3][-3], gops[3][-4]
        case "a picture of another GOP":
            gops[3][-4] = gops[1][-4]
        case "a GOP of another film":
            gops[3] = other[1]  # by the same key: its number is 2
        case "a GOP of another film with the same number":
            gops[3] = other[3]  # numbers begin at 1 at each start, so only the hash of the GOP before tells
        case "a stranger's certificate":
            strange = [unit for unit in signed_film(codec, capture=STRANGER).units if is_certificate_sei(unit, codec)]
            gops = [[strange[0] if is_certificate_sei(unit, codec) else unit for unit in each] for each in gops]
        case "no certificate":
            gops = [[unit for unit in each if not is_certificate_sei(unit, codec)] for each in gops]
        case "pictures behind the end":
            gops.append(gops[-1][:-1])
    return [unit for each in gops for unit in each]


@BOTH
def test_a_film_without_messages_is_unsigned_and_not_wrong(codec: VideoCodec) -> None:
    found = verified([unit for unit in signed_film(codec).units if not is_media_sei(unit, codec)], codec)
    assert (found.messages, found.signed, found.findings, found.chain) == (0, 0, (), None)
    assert found.unsigned
    assert not found.is_whole


def test_a_gop_signed_by_another_key_under_this_ones_certificate_is_noticed() -> None:
    own, strange = signed_film(), signed_film(capture=STRANGER)
    units = [a if is_certificate_sei(a, own.codec) else b for a, b in zip(own.units, strange.units, strict=True)]
    assert {each.fault for each in verified(units, own.codec).findings} == {CaptureFault.SIGNATURE}
    assert verify_capture(strange.units, own.codec, trusted).signed == 0


def test_a_film_that_was_encoded_again_keeps_no_proof() -> None:
    """The messages of the one film beside the pictures of another, picture for picture."""
    film, again = signed_film(), signed_film(b_frames=2)
    pictures = iter(unit for unit in again.units if is_slice(unit, film.codec))
    units = [next(pictures) if is_slice(unit, film.codec) else unit for unit in film.units]
    found = verified(units, film.codec)
    assert found.signed == 0
    assert {each.fault for each in found.findings} == {CaptureFault.CHANGED}


def test_parts_of_a_long_gop_are_signed_one_by_one() -> None:
    description, packets = filmed_by_camera(frames=90, gop=90)
    parts = assembled(packets, GopAssembler(NS_PER_S // 15))
    assert len(parts) > 1
    (film,) = written(description, parts, CaptureSigner(CAPTURE, DEVICE.id), in_segment=100)
    units = list(film_units(film))
    statements = [parse_sei(unit, VideoCodec.H264).statement for unit in units if is_media_sei(unit, VideoCodec.H264)]
    assert [each.partial for each in statements if each] == [True] * (len(parts) - 1) + [False]
    assert verified(units, VideoCodec.H264).is_whole
    # A part that is left out breaks the chain.
    gops = gops_in(units, VideoCodec.H264)
    del gops[1]
    assert not verified([unit for each in gops for unit in each], VideoCodec.H264).is_whole


def test_hashes_are_listed_only_while_the_message_stays_below_one_percent_of_its_gop() -> None:
    counts = []
    for size_bytes in (23_199, 23_200):
        units = [b"\x65\x88" + bytes(size_bytes - 2), b"\x41\x9a" + bytes(3198)]
        statement, _ = next_statement(SigningChain(), units, VideoCodec.H264, (0, 0), ends=True)
        counts.append(len(statement.hashes))
    assert counts == [0, 2]


def test_a_gop_without_a_keyframe_that_decodes_alone_cannot_be_signed() -> None:
    for units in ([], [b"\x41\x9a"], [b"\x67\x42"]):
        with pytest.raises(FormatError, match="IDR"):
            next_statement(SigningChain(), units, VideoCodec.H264, (0, 0), ends=True)


def test_the_counter_goes_round_after_four_thousand_million_gops() -> None:
    description, gops = packets_of(VideoCodec.H264)
    signer = CaptureSigner(CAPTURE, DEVICE.id, SigningChain(2**32 - 2))
    units = [unit for each in written(description, gops, signer) for unit in film_units(each)]
    assert verified(units, VideoCodec.H264).is_whole


def test_films_of_our_writer_are_read_and_others_refused() -> None:
    film = signed_film().segments[0]
    for wrong in (film[:-3], film[:-9], film + b"\0\0", b"x" * 7):
        with pytest.raises(FormatError):
            list(film_units(wrong))
    mdat = film.index(b"mdat") + 4
    for size in (0, 1 << 31):
        with pytest.raises(FormatError, match="cut short"):
            list(film_units(film[:mdat] + size.to_bytes(4) + film[mdat + 4 :]))
    with pytest.raises(FormatError):
        codec_of(film.replace(b"avc1", b"mp4v"))
