"""Reads an AudioSpecificConfig: which AAC a stream is.

Source: ISO/IEC 14496-3, 1.6.2.1 (AudioSpecificConfig), 4.4.1 (GASpecificConfig), table 1.18 (rates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["AacConfig", "lc_config"]

_LC: Final = 2
_RATES_HZ: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
_CHANNELS: Final = (1, 2)
_FRAME_SAMPLES: Final = (1024, 960)
_MOST_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class AacConfig:
    """AAC-LC of one or two channels.  `data` is the AudioSpecificConfig itself."""

    data: bytes
    rate_hz: int
    channels: int
    frame_samples: int


def lc_config(data: bytes) -> AacConfig | None:
    """Parses `data`. Returns None if it is anything other than plain AAC-LC."""
    if not 2 <= len(data) <= _MOST_BYTES:
        return None
    bits = int.from_bytes(data[:2])
    kind, rate, channels, short = bits >> 11, bits >> 7 & 15, bits >> 3 & 15, bits >> 2 & 1
    if kind != _LC or rate >= len(_RATES_HZ) or channels not in _CHANNELS:
        return None
    return AacConfig(data, _RATES_HZ[rate], channels, _FRAME_SAMPLES[short])
