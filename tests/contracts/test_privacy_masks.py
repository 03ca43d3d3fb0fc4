"""The mask that blacks the recording and the one the detector goes by agree, though they are drawn differently."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.encoding import PrivacyMask
from agent.core.motion.zones import Zone, ZoneKind, ZoneMap

SIZE = (240, 320)
corner = st.tuples(st.floats(0, 1), st.floats(0, 1))


def recorded_black(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    white = av.VideoFrame.from_ndarray(np.full((SIZE[0] * 3 // 2, SIZE[1]), 235, np.uint8), format="yuv420p")
    masked = PrivacyMask([corners], SIZE[1], SIZE[0]).applied(white)
    return masked.to_ndarray(format="yuv420p")[: SIZE[0]] == 16


def unwatched(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    return ZoneMap((Zone("private", corners, ZoneKind.PRIVACY),)).privacy_mask(*SIZE)


@settings(max_examples=60, deadline=None)
@given(st.tuples(corner, corner, corner))
def test_recording_and_detector_agree_on_a_private_triangle_but_for_its_rim(
    corners: tuple[tuple[float, float], ...],
) -> None:
    black, mask = recorded_black(corners), unwatched(corners)
    # One draws outlines through rounded corners, the other asks for pixel centres: they may part by a pixel of rim.
    assert not (_shrunk(mask) & ~black).any()
    assert not (_shrunk(black) & ~mask).any()


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """Without a rim of two pixels."""
    inner = mask
    for _ in range(2):
        padded = np.pad(inner, 1, constant_values=True)
        inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_nothing_that_the_detector_leaves_out_as_private_is_recorded(share: float) -> None:
    corners = ((0.0, 0.0), (share, 0.0), (share, 1.0), (0.0, 1.0))
    assert not (unwatched(corners) & ~recorded_black(corners)).any()
