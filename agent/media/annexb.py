"""Access units of H.264 and HEVC: Annex-B start codes in, NAL units and length-prefixed samples out.

Encoders deliver Annex B (start codes, parameter sets in front of each keyframe). MP4 needs the length in front of each
NAL unit, and the parameter sets once, in the box `avcC` or `hvcC`. The `hvcC` record of HEVC repeats some fields of the
sequence parameter set, which are therefore read here.

Source: ISO/IEC 14496-10 and 23008-2, annex B, 14496-15 §5.3, §8.3 and §8.3.3.1 (`HEVCDecoderConfigurationRecord`),
23008-2 §7.3.2.2 and §7.3.3 (SPS), §9.2 (Exp-Golomb).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.media import VideoCodec
from agent.errors import FormatError

__all__ = [
    "ParameterSets",
    "has_parameters",
    "has_picture",
    "hvcc_record",
    "nal_type",
    "nal_units",
    "sample",
    "sample_of",
    "sample_units",
]

_SPS: Final = 33
_HEADER_BYTES: Final = 2
_PROFILE_BYTES: Final = 12
"""general_profile_space up to general_level_idc."""
_MOST_ZEROS: Final = 32


def hvcc_record(sets: Mapping[int, Sequence[bytes]]) -> bytes:
    """Returns the record. `sets`: units in front of a keyframe, by NAL unit type. Raises `FormatError`."""
    rbsp = sets[_SPS][0][_HEADER_BYTES:].replace(b"\0\0\3", b"\0\0")  # without emulation prevention
    bits = _BitReader(rbsp)
    bits.take(4)
    sub_layers = bits.take(3)
    nested = bits.take(1)
    profile = rbsp[1 : 1 + _PROFILE_BYTES]
    bits.take(8 * _PROFILE_BYTES)
    _skip_sub_layers(bits, sub_layers)
    bits.golomb()  # sps_seq_parameter_set_id
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb(), bits.golomb()  # width and height
    if bits.take(1):
        for _ in range(4):
            bits.golomb()  # the conformance window
    luma_depth, chroma_depth = bits.golomb(), bits.golomb()
    if chroma > 3 or luma_depth > 7 or chroma_depth > 7:
        raise _malformed()
    record = b"\x01" + profile + b"\xf0\x00\xfc"
    record += bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0, 0))
    record += bytes(((sub_layers + 1) << 3 | nested << 2 | 3, len(sets)))
    for kind, units in sets.items():
        record += bytes((0x80 | kind,)) + len(units).to_bytes(2, "big")  # array_completeness: all are here
        record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
    return record


def _skip_sub_layers(bits: _BitReader, count: int) -> None:
    present = [(bits.take(1), bits.take(1)) for _ in range(count)]
    if count:
        bits.take(2 * (8 - count))
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)


class _BitReader:
    """Reads a bit string from its first bit on.  Raises `FormatError` at its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise _malformed()
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """Returns an unsigned Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise _malformed()
        return (1 << zeros) - 1 + self.take(zeros)


def _malformed() -> FormatError:
    return FormatError("The camera's H.265 parameters are invalid.", remedy="Set the camera's encoding to H.264.")


_START_CODE = b"\x00\x00\x01"

_SETS: Final = {VideoCodec.H264: (7, 8), VideoCodec.HEVC: (32, 33, 34)}
"""NAL unit types that a decoder must have before the first picture: (VPS,) SPS and PPS."""
_DELIMITER: Final = {VideoCodec.H264: 9, VideoCodec.HEVC: 35}
_PICTURES: Final = {VideoCodec.H264: range(1, 6), VideoCodec.HEVC: range(32)}
"""NAL unit types that carry picture data."""
_PROFILES_WITH_CHROMA = frozenset({100, 110, 122, 144, 244})
"""Profiles with an `avcC` that ends with chroma format and bit depths (14496-15 §5.3.3.1.2). 244 is that of films
without loss, which an owner's client makes."""


def nal_units(access_unit: bytes) -> Iterator[bytes]:
    """Yields each NAL unit without its start code. Skips bytes in front of the first start code."""
    start = access_unit.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        following = access_unit.find(_START_CODE, start)
        # A NAL unit never ends in a zero byte. Zeros before a start code are the longer start code or stuffing.
        unit = access_unit[start : following if following >= 0 else None].rstrip(b"\x00")
        if unit:
            yield unit
        start = following


def nal_type(unit: bytes, codec: VideoCodec) -> int:
    return unit[0] & 0x1F if codec is VideoCodec.H264 else unit[0] >> 1 & 0x3F


def has_picture(access_unit: bytes, codec: VideoCodec) -> bool:
    return any(nal_type(unit, codec) in _PICTURES[codec] for unit in nal_units(access_unit))


def has_parameters(access_unit: bytes, codec: VideoCodec) -> bool:
    """Returns True if it holds all parameter sets that a decoder needs."""
    return {nal_type(unit, codec) for unit in nal_units(access_unit)}.issuperset(_SETS[codec])


def sample_units(access_unit: bytes, codec: VideoCodec = VideoCodec.H264) -> list[bytes]:
    """Returns the NAL units that an MP4 sample holds: pictures, and messages beside them.

    Parameter sets go into the sample entry, and the borders of samples replace delimiters.
    """
    outside = {*_SETS[codec], _DELIMITER[codec]}
    return [unit for unit in nal_units(access_unit) if nal_type(unit, codec) not in outside]


def sample_of(units: Iterable[bytes]) -> bytes:
    """Returns the MP4 sample of these NAL units: each one behind its 4-byte length."""
    return b"".join(part for unit in units for part in (len(unit).to_bytes(4, "big"), unit))


def sample(access_unit: bytes, codec: VideoCodec = VideoCodec.H264) -> bytes:
    """Returns the access unit as an MP4 sample."""
    return sample_of(sample_units(access_unit, codec))


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Parameter sets that a decoder needs before the first picture: for each kind in `_SETS`, all units that came."""

    codec: VideoCodec
    units: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, keyframe: bytes, codec: VideoCodec = VideoCodec.H264) -> ParameterSets:
        """Reads them from in front of a keyframe. Raises `FormatError` if one is missing."""
        # A dict keeps the order and drops repeated units.
        found: dict[int, dict[bytes, None]] = {kind: {} for kind in _SETS[codec]}
        for unit in nal_units(keyframe):
            found.get(nal_type(unit, codec), {})[unit] = None
        units = tuple(tuple(each) for each in found.values())
        if not all(units) or any(len(unit) < 4 for unit in units[-2]):
            raise FormatError(
                f"A keyframe came without its {_NAMES[codec]} parameter sets.",
                remedy="Set the encoder to repeat SPS and PPS in front of every keyframe.",
            )
        return cls(codec, units)

    @property
    def box_kind(self) -> bytes:
        return b"avcC" if self.codec is VideoCodec.H264 else b"hvcC"

    def record(self) -> bytes:
        """Returns the body of the box `avcC` or `hvcC`. Raises `FormatError` if the HEVC parameters are invalid."""
        if self.codec is VideoCodec.HEVC:
            return hvcc_record(dict(zip(_SETS[self.codec], self.units, strict=True)))
        return self._avcc()

    def _avcc(self) -> bytes:
        """Returns `avcC`. The High profile fields say 8-bit 4:2:0, the only format that Doorward's cameras deliver."""
        sequences, pictures = self.units
        profile, compatibility, level = sequences[0][1:4]
        record = bytes((1, profile, compatibility, level, 0xFC | 3, 0xE0 | len(sequences)))
        record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sequences)
        record += bytes((len(pictures),)) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in pictures)
        if profile in _PROFILES_WITH_CHROMA:
            record += bytes((0xFC | 1, 0xF8, 0xF8, 0))
        return record


_NAMES: Final = {VideoCodec.H264: "H.264", VideoCodec.HEVC: "H.265"}
