"""FORMAT.md is enough for capture signatures: a reader and writer from that page alone agrees with ours, both ways."""

from __future__ import annotations

import itertools
import random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

from agent import __version__
from agent.core.media import VideoCodec
from agent.media.onvif_sei import is_media_sei
from tests.capture_films import CAPTURE, DEVICE, ROOT, STRANGER, VECTORS, signed_film, verified
from tests.media.test_capture_signature import MANIPULATIONS, manipulated
from tests.second_reader import capture
from tests.second_reader.json_once import RefusedError

FILMS = pytest.mark.parametrize(
    ("codec", "name"), [(codec, f"{codec.value}{end}") for codec in VideoCodec for end in ("", "-b")]
)
BOTH = pytest.mark.parametrize("codec", list(VideoCodec))
FLIPS = 120


def films(name: str) -> list[bytes]:
    return [(VECTORS / f"{name}-{number}.mp4").read_bytes() for number in range(3)]


def disagreement(units: list[bytes], codec: VideoCodec) -> str:
    """The verdicts of ours and of the second reader, if they differ."""
    ours, second = verified(units, codec), capture.judge(units, codec is VideoCodec.HEVC, DEVICE.raw)
    said = ours.signed, {each.gop for each in ours.findings}, ours.unsigned, ours.messages
    read = second.proven, second.faulty, second.behind, second.messages
    return "" if said == read and ours.is_whole == second.whole else f"ours: {said}, the second reader: {read}"


@FILMS
def test_it_proves_each_film_of_the_vectors_alone_and_in_a_row(codec: VideoCodec, name: str) -> None:
    whole = []
    for film in films(name):
        hevc, units = capture.units_of(film)
        assert hevc is (codec is VideoCodec.HEVC)
        found = capture.judge(units, hevc, DEVICE.raw)
        assert (found.whole, found.proven) == (True, 2)
        whole += units
    assert capture.judge(whole, hevc, DEVICE.raw).proven == 6
    assert not capture.judge(whole[::-1], hevc, DEVICE.raw).whole


@FILMS
def test_it_writes_the_messages_of_each_film_again_byte_by_byte(codec: VideoCodec, name: str) -> None:
    hevc = codec is VideoCodec.HEVC
    linked = bytes(32)
    for counter, units in enumerate(gops_of(name), start=1):
        [read] = [
            message
            for message in (capture.read_message(unit, hevc) for unit in units if capture.is_message(unit, hevc))
            if message.general
        ]
        slices, _ = capture.slice_hashes(units, hevc)
        times = read.general["start"], read.general["end"]
        size = sum(len(unit) for unit in units if not capture.is_message(unit, hevc))
        listed = size >= 100 * (200 + 32 * len(slices))
        to_sign = capture.gop_to_sign(slices, linked, counter, times, listed=listed, hevc=hevc)
        assert capture.message_of(to_sign, signed(to_sign)) == units[-1]
        linked = slices[0]
        certificate = [unit for unit in units[:-1] if capture.is_message(unit, hevc)]
        if counter % 2:
            to_sign = capture.certificate_to_sign(CAPTURE.certificate(), __version__, DEVICE.raw, hevc=hevc)
            assert certificate == [capture.message_of(to_sign, signed(to_sign))]


def signed(to_sign: bytes) -> bytes:
    return CAPTURE.private_key.sign(to_sign, ECDSA(hashes.SHA256(), deterministic_signing=True))


def gops_of(name: str) -> list[list[bytes]]:
    """The units of each GOP, its message last."""
    found: list[list[bytes]] = [[]]
    for film in films(name):
        hevc, units = capture.units_of(film)
        for unit in units:
            found[-1].append(unit)
            if capture.is_message(unit, hevc) and capture.read_message(unit, hevc).general:
                found.append([])
    return found[:-1]


@BOTH
def test_ours_proves_a_film_whose_messages_the_second_writer_made(codec: VideoCodec) -> None:
    """With listed hashes, a time before 1970, and a counter that goes round."""
    hevc = codec is VideoCodec.HEVC
    to_sign = capture.certificate_to_sign(CAPTURE.certificate(), "9", DEVICE.raw, hevc=hevc)
    made, linked = [capture.message_of(to_sign, signed(to_sign))], bytes(32)
    for number, units in enumerate(gops_of(codec.value)):
        pictures = [unit for unit in units if not capture.is_message(unit, hevc)]
        slices, _ = capture.slice_hashes(pictures, hevc)
        counter = (2**32 - 2 + number) % 2**32
        to_sign = capture.gop_to_sign(slices, linked, counter, (number, number + 1), listed=True, hevc=hevc)
        made += [*pictures, capture.message_of(to_sign, signed(to_sign))]
        linked = slices[0]
    ours = verified(made, codec)
    assert (ours.is_whole, ours.signed, ours.start, ours.end) == (True, 6, 0, 6)
    assert disagreement(made, codec) == ""


def test_it_writes_the_certificate_of_the_authority_and_of_no_other() -> None:
    assert capture.authority(DEVICE.raw, CAPTURE.certificate()) == ROOT == (VECTORS / "root.pem").read_bytes()
    with pytest.raises(RefusedError):
        capture.authority(DEVICE.raw, STRANGER.certificate())


@BOTH
@pytest.mark.parametrize("name", MANIPULATIONS)
def test_both_find_the_same_gops_of_a_manipulated_film_unproven(codec: VideoCodec, name: str) -> None:
    units = manipulated(name, codec)
    assert not capture.judge(units, codec is VideoCodec.HEVC, DEVICE.raw).whole
    assert disagreement(units, codec) == ""


@BOTH
def test_both_judge_each_changed_bit_alike(codec: VideoCodec) -> None:
    chance, whole = random.Random(65), signed_film(codec).units
    messages = [at for at, unit in enumerate(whole) if is_media_sei(unit, codec)]
    found = {}
    for number in range(FLIPS):
        at = chance.choice(messages if number % 4 else range(len(whole)))
        bit = chance.randrange(8 * len(whole[at]))
        if number % 5 == 0:
            bit %= 8 * 24  # header, sizes and UUID, which are few bytes
        changed = bytearray(whole[at])
        changed[bit // 8] ^= 1 << bit % 8
        found[at, bit] = disagreement([*whole[:at], bytes(changed), *whole[at + 1 :]], codec)
    assert {place: said for place, said in found.items() if said} == {}


def test_both_refuse_messages_that_this_doorbell_s_key_signed_and_that_are_malformed() -> None:
    """A taken recorder can have anything signed that begins as a message does."""
    units = gops_of("h264")[0]
    slices, _ = capture.slice_hashes(units, hevc=False)
    good = capture.gop_to_sign(slices, bytes(32), 1, (5, 6), listed=True, hevc=False)
    fields = capture.read_message(good_message(good), hevc=False).fields
    gop, single = fields[1], fields[2]
    wrong: dict[str, tuple[int, list[tuple[int, bytes]]]] = {
        "another version of the GOP's field": (0x40, [(1, b"\1" + gop[1:]), (2, single)]),
        "a part that is neither 0 nor 1": (0x40, [(1, gop[:4] + b"\2" + gop[5:]), (2, single)]),
        "another number of slices": (0x40, [(1, gop[:26] + bytes([len(slices) + 1]) + gop[27:]), (2, single)]),
        "a longer field of the GOP": (0x40, [(1, gop + b"\0"), (2, single)]),
        "another version of the hashes": (0x40, [(1, gop), (2, b"\2" + single[1:])]),
        "half a hash": (0x40, [(1, gop), (2, single[:-16])]),
        "an unknown tag": (0x40, [(1, gop), (7, b"\1")]),
        "a tag twice": (0x40, [(1, gop), (2, single), (2, single)]),
        "two texts of a maker": (0x40, [(1, gop), (5, b"\1\1a\1b")]),
        "a text that is cut short": (0x40, [(1, gop), (5, b"\1\1a\1b\2c")]),
        "a certificate as well": (0xC0, [(1, gop), (2, single)]),
        "nothing": (0x40, []),
    }
    assert judged_alike(units, good_message(good))
    for name, (flags, content) in wrong.items():
        made = b"".join(capture.written(tag, value) for tag, value in content)
        assert not judged_alike(units, good_message(capture.beginning_of(made, flags, False))), name
    made = b"".join(capture.written(*each) for each in ((1, gop), (2, single)))
    plain = capture.beginning_of(made, 0, False)
    assert judged_alike(units, good_message(plain, capture.stripped(plain)))  # without the flag, as 0x40 says
    for to_sign, what in ((plain, plain), (good, capture.stripped(good))):
        assert not judged_alike(units, good_message(to_sign, what))
    longer = capture.beginning_of(capture.written(1, gop), 0x40, False, behind=4)
    unit = capture.stripped(good_message(longer))[:-1] + capture.written(2, b"\1") + b"\x80"
    assert not judged_alike(units, capture.prevented(unit)), "a field behind the signature"


def test_both_refuse_a_signed_message_whose_unsigned_bytes_are_changed() -> None:
    """The bytes behind the signature are unsigned."""
    units = gops_of("h264")[0]
    slices, _ = capture.slice_hashes(units, hevc=False)
    starts = (capture.gop_to_sign(slices, bytes(32), 1, (n, n), listed=True, hevc=False) for n in range(100))
    to_sign = next(each for each in starts if len(signed(each)) == 70)
    whole = good_message(to_sign)
    assert judged_alike(units, whole)
    assert whole.endswith(b"\1\1\x80")
    useless = whole[:-3] + b"\0\0\3\x80"  # an emulation prevention that prevents nothing
    for unit in (whole[:-1], whole[:-1] + b"\0", whole + b"\x80", useless):
        assert not judged_alike(units, unit)


def good_message(to_sign: bytes, what: bytes = b"") -> bytes:
    return capture.message_of(to_sign, signed(what or to_sign))


def judged_alike(units: list[bytes], message: bytes) -> bool:
    """The verdict of both on a GOP with another message."""
    film = [*units[:-1], message]
    assert disagreement(film, VideoCodec.H264) == ""
    return verified(film, VideoCodec.H264).is_whole


@BOTH
def test_both_judge_units_left_out_doubled_and_moved_alike(codec: VideoCodec) -> None:
    chance, whole = random.Random(66), signed_film(codec).units
    for one, other in itertools.islice(iter(lambda: chance.sample(range(len(whole)), 2), None), 40):
        assert disagreement([*whole[:one], *whole[one + 1 :]], codec) == ""
        assert disagreement([*whole[:one], whole[other], *whole[one:]], codec) == ""
