"""The masked pixels of a recording are exactly the cells that the detector ignores, for any drawing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.motion.zones import Zone, ZoneMap
from agent.recorder.capture.camera_picamera2.pictures import PrivacyRetouch
from agent.recorder.capture.delivery import PrivacyMask
from agent.wire.fields import ZoneKind

HEIGHT, WIDTH = 48, 64
Corners = tuple[tuple[float, float], ...]
LEFT: Corners = ((0.0, 0.0), (0.6, 0.0), (0.6, 1.0), (0.0, 1.0))
RIGHT: Corners = ((0.4, 0.0), (1.0, 0.0), (1.0, 1.0), (0.4, 1.0))
corner = st.tuples(st.floats(0, 1), st.floats(0, 1))
polygon = st.lists(corner, min_size=3, max_size=6).map(tuple)


def private(*polygons: Corners) -> ZoneMap:
    return ZoneMap(tuple(Zone(f"{number}", corners, ZoneKind.PRIVACY) for number, corners in enumerate(polygons)))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


@settings(max_examples=100)
@given(st.lists(polygon, min_size=1, max_size=4))
@example([LEFT, RIGHT])
@example([LEFT, LEFT])
def test_black_is_what_is_not_watched_and_nothing_else(polygons: list[Corners]) -> None:
    zones = private(*polygons)
    mask = zones.privacy_mask(HEIGHT, WIDTH)
    of_colour = mask.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).any(axis=(1, 3))
    luma, u, v = noise(HEIGHT, WIDTH), noise(HEIGHT // 2, WIDTH // 2), noise(HEIGHT // 2, WIDTH // 2)
    before = [plane.copy() for plane in (luma, u, v)]
    PrivacyMask(zones).black([luma, u, v])
    for plane, was, where, value in zip(
        (luma, u, v), before, (mask, of_colour, of_colour), (16, 128, 128), strict=True
    ):
        assert (plane[where] == value).all()
        assert (plane[~where] == was[~where]).all()


def test_masks_that_overlap_hide_what_both_of_them_cover() -> None:
    luma = noise(HEIGHT, WIDTH)
    PrivacyMask(private(LEFT, RIGHT)).black([luma])
    assert (luma == 16).all()


@pytest.mark.parametrize("name", ["NV12", "YUV420"])
def test_a_pi_camera_s_picture_is_blacked_in_every_plane_and_not_in_the_padding(name: str) -> None:
    stride = WIDTH + 32
    pixels = noise(HEIGHT * 3 // 2, stride)
    before = pixels.copy()
    PrivacyRetouch(private(LEFT, RIGHT), (False, False)).retouch(pixels, {"size": (WIDTH, HEIGHT), "format": name})
    assert (pixels[:HEIGHT, :WIDTH] == 16).all()
    assert (pixels[:HEIGHT, WIDTH:] == before[:HEIGHT, WIDTH:]).all()
    shape = (HEIGHT // 2, stride // 2, 2) if name == "NV12" else (2, HEIGHT // 2, stride // 2)
    old, new = before[HEIGHT:].reshape(shape), pixels[HEIGHT:].reshape(shape)
    of_picture, padding = (
        (np.s_[:, : WIDTH // 2], np.s_[:, WIDTH // 2 :])
        if name == "NV12"
        else (np.s_[:, :, : WIDTH // 2], np.s_[:, :, WIDTH // 2 :])
    )
    assert (new[of_picture] == 128).all()
    assert (new[padding] == old[padding]).all()
