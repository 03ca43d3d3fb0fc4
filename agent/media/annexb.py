"""Takes H.264 access units apart: Annex-B start codes in, NAL units and length-prefixed samples out.

Encoders hand over Annex B (start codes, parameter sets in front of each keyframe); MP4 wants each NAL unit with its
length in front and the parameter sets once, in the `avcC` box.  Source: ISO/IEC 14496-10 annex B and 14496-15 §5.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import FormatError

__all__ = ["ParameterSets", "nal_units", "sample"]

_START_CODE = b"\x00\x00\x01"
_SPS, _PPS, _DELIMITER = 7, 8, 9
_KEPT_OUTSIDE = frozenset({_SPS, _PPS, _DELIMITER})
"""NAL unit types that do not go into an MP4 sample: `avcC` has the first two, sample borders replace the third."""

_PROFILES_WITH_CHROMA = frozenset({100, 110, 122, 144})
"""Profiles whose `avcC` ends with chroma format and bit depths (14496-15 §5.3.3.1.2)."""


def nal_units(access_unit: bytes) -> Iterator[bytes]:
    """Each NAL unit without its start code.  Bytes in front of the first start code are not H.264 and are skipped."""
    start = access_unit.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        following = access_unit.find(_START_CODE, start)
        # A NAL unit never ends in a zero byte; those before a start code are the longer start code or stuffing.
        unit = access_unit[start : following if following >= 0 else None].rstrip(b"\x00")
        if unit:
            yield unit
        start = following


def sample(access_unit: bytes) -> bytes:
    """The access unit as an MP4 sample: every NAL unit that carries picture data behind its 4-byte length."""
    kept = [unit for unit in nal_units(access_unit) if unit[0] & 0x1F not in _KEPT_OUTSIDE]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in kept)


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """What a decoder must know before the first picture: one sequence and one picture parameter set."""

    sequence: bytes
    picture: bytes

    @classmethod
    def of(cls, keyframe: bytes) -> ParameterSets:
        """Read them from in front of a keyframe.  Raises `FormatError` when they are not there."""
        found = {unit[0] & 0x1F: unit for unit in nal_units(keyframe)}
        sequence, picture = found.get(_SPS), found.get(_PPS)
        if sequence is None or picture is None or len(sequence) < 4:
            raise FormatError(
                "A keyframe came without its H.264 parameter sets.",
                remedy="Set the encoder to repeat SPS and PPS in front of every keyframe.",
            )
        return cls(sequence, picture)

    def avcc(self) -> bytes:
        """The `avcC` record.  Doorward's cameras deliver 8-bit 4:2:0, which is what the High profile fields say."""
        profile, compatibility, level = self.sequence[1:4]
        record = bytes((1, profile, compatibility, level, 0xFC | 3, 0xE0 | 1))
        record += len(self.sequence).to_bytes(2, "big") + self.sequence
        record += b"\x01" + len(self.picture).to_bytes(2, "big") + self.picture
        if profile in _PROFILES_WITH_CHROMA:
            record += bytes((0xFC | 1, 0xF8, 0xF8, 0))
        return record
