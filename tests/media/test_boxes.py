"""The boxes of our films and sounds, byte for byte: other tests show that players play them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.media import EncodedPacket, Gop, SoundDescription, SoundPacket, StreamDescription, VideoCodec
from agent.core.timebase import BootNs
from agent.errors import FormatError, InternalError
from agent.media.annexb import ParameterSets, has_parameters, has_picture, nal_type, nal_units, sample
from agent.media.fmp4 import FragmentedMp4Writer, at_tick, fragments_of, header_of, tick_of, whole_fragments
from agent.media.sound import live_sound, sound_mp4

CODE = b"\0\0\0\1"
SPS, PPS, KEY, OTHER = b"\x67\x64\0\x28\xac", b"\x68\xee\x3c\x80", b"\x65\x88\x84\x33", b"\x41\x9a\x02"
DELIMITER = b"\x09\xf0"
MS = 1_000_000
FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"edts", b"moof", b"traf"}
DESCRIPTION = StreamDescription(320, 180, 10, 320, 176, False)
SOUND = SoundDescription(rate_hz=48_000, config=b"\x11\x88", live=True)


def tree(data: bytes, depth: int = 0) -> Iterator[str]:
    """Each box in a line: its kind and its bytes in hex, or its boxes below it."""
    while data:
        size, kind = struct.unpack_from(">I4s", data)
        assert 8 <= size <= len(data)
        body, data = data[8:size], data[size:]
        if kind in FOLDERS:
            yield "  " * depth + kind.decode()
            yield from tree(body, depth + 1)
        else:
            yield f"{'  ' * depth}{kind.decode()} {body.hex()}"


def shown(data: bytes) -> str:
    return "\n".join(tree(data)) + "\n"


def unit(*units: bytes) -> bytes:
    return b"".join(CODE + each for each in units)


def gop(*times_ms: float, end_ms: float, begins: bool = True) -> Gop:
    """A GOP with pictures at these times, in the order of decoding."""
    first = unit(DELIMITER, SPS, PPS, KEY) if begins else unit(DELIMITER, OTHER)
    packets = tuple(
        EncodedPacket(unit(DELIMITER, OTHER) if number else first, begins and not number, BootNs(round(at * MS)))
        for number, at in enumerate(times_ms)
    )
    return Gop(packets, BootNs(round(end_ms * MS)), begins=begins)


EXPECTED = dict(
    part.split("\n", 1) for part in ("\n" + Path(__file__).with_name("boxes.txt").read_text()).split("\n# ")[1:]
)
"""Each box of these films and sounds, as `tree` shows it."""


def expected(name: str) -> str:
    return EXPECTED[name].rstrip("\n") + "\n"


def test_a_film_is_these_boxes_and_each_gop_is_one_fragment_more() -> None:
    writer = FragmentedMp4Writer(DESCRIPTION)
    begin = writer.begin(gop(1000, 1100, 1200.5, end_ms=1300))
    assert shown(begin) == expected("a film and its first GOP")
    assert shown(writer.add(gop(1300, 1450, end_ms=1500))) == expected("its second GOP")
    assert writer.finish() == b""


def test_pictures_that_are_shown_later_than_decoded_say_by_how_much() -> None:
    writer = FragmentedMp4Writer(DESCRIPTION)
    assert shown(writer.begin(gop(1000, 1200, 1100, end_ms=1300))) == expected("a film with a B-frame")


def heard(*numbers: int) -> list[SoundPacket]:
    return [SoundPacket(b"aac%d" % number, BootNs(1000 * MS + number * 21_333_333)) for number in numbers]


def test_a_sound_is_these_boxes_of_the_packets_that_begin_within_its_segment() -> None:
    start_ns, end_ns = 1000 * MS + 1, 1000 * MS + 3 * 21_333_333
    found = sound_mp4(SOUND, heard(0, 1, 2, 3), start_ns, end_ns)
    assert found is not None
    assert shown(found) == expected("a sound")
    assert sound_mp4(SOUND, heard(0, 3), start_ns, end_ns) is None
    again = sound_mp4(SOUND, heard(0, 1), 1000 * MS, end_ns)
    assert again is not None
    assert tick_of(again) == 0, "a packet at the very start is inside"


def test_live_sound_begins_with_its_first_packet_and_without_one_it_is_its_header() -> None:
    whole = sound_mp4(SOUND, heard(1, 2), 1000 * MS + 21_333_333, 2000 * MS)
    assert live_sound(SOUND, heard(1, 2)) == whole
    assert live_sound(SOUND, []) == header_of(whole or b"")


def test_packets_never_stand_at_one_sample() -> None:
    one, two = heard(0, 0)
    film = live_sound(SOUND, [one, two, replace(two, heard_ns=BootNs(1000 * MS + 30_000_000))])
    run = film[film.index(b"trun") + 16 :]
    assert [struct.unpack_from(">I", run, at)[0] for at in (0, 12, 24)] == [1, 1439, 1024]


def test_a_fragment_is_moved_and_numbered_and_nothing_else_of_it_changes() -> None:
    film = FragmentedMp4Writer(DESCRIPTION).begin(gop(1000, 1100, end_ms=1200))
    fragments = fragments_of(film)
    assert header_of(film) + fragments == film
    assert (fragments[4:8], tick_of(film)) == (b"moof", 0)
    moved = at_tick(fragments, 2**40 + 7, 513)
    assert tick_of(header_of(film) + moved) == 2**40 + 7
    lines = shown(fragments).replace("mfhd 0000000000000001", "mfhd 0000000000000201")
    assert shown(moved) == lines.replace("tfdt 010000000000000000000000", "tfdt 010000000000010000000007")
    for spoilt in (fragments.replace(b"mfhd", b"mfhx"), fragments.replace(b"tfdt", b"tfdx"), b""):
        with pytest.raises(FormatError, match="not a fragment of our writer"):
            at_tick(spoilt, 1, 1)
    with pytest.raises(FormatError, match="not a fragment of our writer"):
        tick_of(film.replace(b"tfdt", b"tfdx"))
    with pytest.raises(FormatError, match="not a fragment of our writer"):
        tick_of(film[: film.index(b"tfdt") + 15])


def mp4_box(kind: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(body) if size is None else size, kind) + body


@pytest.mark.parametrize(
    ("behind", "whole"),
    [
        (b"", True), (b"1234567", True), (mp4_box(b"uuid", b"context"), True), (mp4_box(b"moof", b"x"), True),
        (mp4_box(b"moof") + mp4_box(b"mdat", b"torn", 13), True), (mp4_box(b"mdat", size=7), True),
        (mp4_box(b"moof") + mp4_box(b"mdat", b"more"), False),
    ],
)  # fmt: skip
def test_a_torn_film_is_whole_up_to_its_last_whole_fragment(behind: bytes, whole: bool) -> None:
    film = mp4_box(b"ftyp") + mp4_box(b"moof") + mp4_box(b"mdat", b"pictures")
    assert whole_fragments(film + behind) == (film if whole else film + behind)


def test_what_holds_no_whole_fragment_is_refused_in_words() -> None:
    for media in (b"", bytes(8), mp4_box(b"moof"), mp4_box(b"mdat", b"x", 10)):
        with pytest.raises(FormatError) as refused:
            whole_fragments(media)
        assert str(refused.value) == "This segment was cut off before its first second was whole."
    for media in (b"", mp4_box(b"ftyp"), mp4_box(b"ftyp", size=7) + mp4_box(b"moof"), mp4_box(b"mdat")):
        with pytest.raises(FormatError) as refused:
            header_of(media)
        assert str(refused.value) == "This MP4 has no fragment."
    assert header_of(mp4_box(b"moof")) == b""


def test_the_writer_takes_gops_in_their_order_and_refuses_another_format() -> None:
    writer = FragmentedMp4Writer(DESCRIPTION)
    for misuse in (lambda: writer.add(gop(1000, end_ms=1100)), writer.finish):
        with pytest.raises(InternalError):
            misuse()
    with pytest.raises(InternalError):
        writer.begin(gop(1000, end_ms=1100, begins=False))
    writer.begin(gop(1000, 1100, end_ms=1200))
    with pytest.raises(InternalError):
        writer.begin(gop(1200, end_ms=1300))
    for start_ms in (1000, 1100):
        with pytest.raises(InternalError):
            writer.add(gop(start_ms, end_ms=1300))
    writer.add(gop(1100.000001, end_ms=1200, begins=False))
    other = gop(1300, end_ms=1400)
    changed = replace(other, packets=(replace(other.packets[0], data=unit(SPS + b"x", PPS, KEY)),))
    with pytest.raises(FormatError, match="changed its picture format"):
        writer.add(changed)


# -- access units ------------------------------------------------------------------------------------------------------


def test_units_are_found_by_their_start_codes_and_told_by_their_type() -> None:
    h264, hevc = VideoCodec.H264, VideoCodec.HEVC
    data = b"in front" + b"\0\0\1" + SPS + CODE + PPS + b"\0\0\0" + b"\0\0\1" + CODE + KEY + b"\0"
    assert list(nal_units(data)) == [SPS, PPS, KEY]
    assert [nal_type(each, h264) for each in (SPS, PPS, KEY, OTHER, DELIMITER)] == [7, 8, 5, 1, 9]
    assert [nal_type(bytes((number << 1, 1)), hevc) for number in (0, 31, 32, 35, 63)] == [0, 31, 32, 35, 63]
    assert nal_type(b"\x81", hevc) == 0
    for number, picture in ((0, False), (1, True), (5, True), (6, False)):
        assert has_picture(unit(bytes((number, 1))), h264) is picture
    for number, picture in ((0, True), (31, True), (32, False)):
        assert has_picture(unit(bytes((number << 1, 1))), hevc) is picture
    assert has_parameters(unit(SPS, PPS, KEY), h264)
    assert not has_parameters(unit(SPS, KEY), h264)
    assert not has_parameters(unit(SPS, PPS, KEY), hevc)
    assert sample(unit(DELIMITER, SPS, b"\x06sei", PPS, KEY)) == b"\0\0\0\4\x06sei\0\0\0\4" + KEY


def test_parameter_sets_are_kept_once_each_in_their_order() -> None:
    other = b"\x67\x42\0\x1e\xff"
    found = ParameterSets.of(unit(SPS, other, PPS, SPS, PPS, KEY))
    assert (found.units, found.box_kind) == (((SPS, other), (PPS,)), b"avcC")
    assert found.record() == (
        b"\x01\x64\x00\x28\xff\xe2" + b"\0\5" + SPS + b"\0\5" + other + b"\x01\0\4" + PPS + b"\xfd\xf8\xf8\0"
    )
    assert ParameterSets.of(unit(other, PPS, KEY)).record() == (
        b"\x01\x42\x00\x1e\xff\xe1" + b"\0\5" + other + b"\x01\0\4" + PPS
    ), "a baseline profile has no chroma fields"
    for keyframe in (unit(SPS, KEY), unit(PPS, KEY), unit(SPS[:3], PPS, KEY)):
        with pytest.raises(FormatError) as refused:
            ParameterSets.of(keyframe)
        assert str(refused.value) == (
            "A keyframe came without its H.264 parameter sets. "
            "Set the encoder to repeat SPS and PPS in front of every keyframe."
        )


class Bits:
    """Writes a bit string, as a sequence parameter set of HEVC has it."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, count: int) -> Bits:
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            digits = f"{value + 1:b}"
            self.text += "0" * (len(digits) - 1) + digits
        return self

    def data(self) -> bytes:
        whole = self.text.ljust(-(-len(self.text) // 8) * 8, "0")
        return int("1" + whole, 2).to_bytes(len(whole) // 8 + 1, "big")[1:]


def sequence(
    sub_layers: int = 0, nested: int = 1, chroma: int = 1, luma: int = 0, depth: int = 0, window: bool = True
) -> bytes:
    """Its profile is 12 bytes from 0x21 on, with bytes that need emulation prevention."""
    bits = Bits().put(0, 4).put(sub_layers, 3).put(nested, 1)
    for byte in PROFILE:
        bits.put(byte, 8)
    for number in range(sub_layers):
        bits.put(1, 1).put(number % 2, 1)
    bits.put(0, 2 * (8 - sub_layers) if sub_layers else 0)
    for number in range(sub_layers):
        bits.put((1 << 88) - 1, 88).put(0xAB if number % 2 else 0, 8 if number % 2 else 0)
    bits.golomb(3, chroma).put(0, 1 if chroma == 3 else 0).golomb(320, 180).put(int(window), 1)
    bits.golomb(*(1, 2, 3, 4) if window else ()).golomb(luma, depth).put(1, 1)
    return b"\x42\x01" + bits.data().replace(b"\0\0\1", b"\0\0\3\1").replace(b"\0\0\0", b"\0\0\3\0")


PROFILE = bytes((0x21, 0x60, 0, 0, 1, 0xB0, 1, 2, 3, 4, 5, 0x5D))
VIDEO, PICTURE = b"\x40\x01video", b"\x44\x01pic"


@pytest.mark.parametrize(
    ("changes", "formats", "layers"),
    [
        ({}, (0xFD, 0xF8, 0xF8), 0x0F),
        ({"nested": 0, "window": False}, (0xFD, 0xF8, 0xF8), 0x0B),
        ({"sub_layers": 2}, (0xFD, 0xF8, 0xF8), 0x1F),
        ({"sub_layers": 6, "chroma": 3, "luma": 7, "depth": 6}, (0xFF, 0xFF, 0xFE), 0x3F),
        ({"chroma": 0, "luma": 2, "depth": 7}, (0xFC, 0xFA, 0xFF), 0x0F),
    ],
)
def test_the_record_of_hevc_repeats_what_its_parameter_sets_say(
    changes: dict[str, int], formats: tuple[int, ...], layers: int
) -> None:
    sps = sequence(**changes)  # type: ignore[arg-type]
    found = ParameterSets.of(unit(VIDEO, sps, PICTURE, PICTURE + b"2", b"\x26\x01key"), VideoCodec.HEVC)
    sets = b"\xa0\0\1\0\7" + VIDEO + b"\xa1\0\1" + len(sps).to_bytes(2) + sps
    sets += b"\xa2\0\2\0\5" + PICTURE + b"\0\6" + PICTURE + b"2"
    assert found.box_kind == b"hvcC"
    assert found.record() == b"\x01" + PROFILE + b"\xf0\0\xfc" + bytes((*formats, 0, 0, layers, 3)) + sets


@pytest.mark.parametrize("changes", [{"chroma": 4}, {"luma": 8}, {"depth": 8}])
def test_formats_that_no_decoder_has_are_refused_with_what_to_set(changes: dict[str, int]) -> None:
    found = ParameterSets.of(unit(VIDEO, sequence(**changes), PICTURE, b"\x26\x01key"), VideoCodec.HEVC)  # type: ignore[arg-type]
    with pytest.raises(FormatError) as refused:
        found.record()
    assert str(refused.value) == "The camera's H.265 parameters are invalid. Set the camera's encoding to H.264."


@pytest.mark.parametrize("sps", [sequence()[:-3], sequence()[:6], b"\x42\x01" + b"\x01" * 13 + b"\0\0\3" * 30 + b"\1"])
def test_hevc_parameters_that_end_early_or_hold_an_endless_number_are_refused(sps: bytes) -> None:
    with pytest.raises(FormatError, match=r"H\.265 parameters are invalid"):
        ParameterSets.of(unit(VIDEO, sps, PICTURE, b"\x26\x01key"), VideoCodec.HEVC).record()
