"""The `hvcC` record of HEVC parameter sets, which repeats some fields of the sequence parameter set.

Source: ISO/IEC 14496-15 §8.3.3.1 (`HEVCDecoderConfigurationRecord`), 23008-2 §7.3.2.2 and §7.3.3 (SPS), §9.2
(Exp-Golomb).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agent.errors import FormatError

__all__ = ["hvcc_record"]

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
