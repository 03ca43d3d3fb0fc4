"""Shrinking is exact: block means, nothing skipped, any stride."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.motion.pyramid import STEPS_PER_E, Pyramid, grid_size
from agent.errors import DeviceError


def shrunk(luma: np.ndarray) -> np.ndarray:
    height_px, width_px = luma.shape
    return Pyramid(height_px, width_px).shrink(luma, np.zeros(grid_size(height_px, width_px), np.uint8))


@pytest.mark.parametrize(
    ("frame", "grid"),
    [
        ((48, 64), (48, 64)),
        ((240, 320), (60, 80)),
        ((192, 256), (96, 128)),
        ((288, 384), (72, 96)),
        ((480, 640), (60, 80)),
    ],
)
def test_the_grid_is_about_80_by_60_whatever_the_camera(frame: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_size(*frame) == grid


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_no_grid_is_larger_than_160_by_120_nor_empty(height_px: int, width_px: int) -> None:
    rows, columns = grid_size(height_px, width_px)
    assert rows < 120
    assert columns < 160


def test_every_cell_is_the_mean_of_its_block() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (240, 320), np.uint8)
    halved = luma.astype(int).reshape(120, 2, 160, 2).sum(axis=(1, 3)) + 2 >> 2
    quartered = halved.reshape(60, 2, 80, 2).sum(axis=(1, 3)) + 2 >> 2
    steps = np.rint(STEPS_PER_E * np.log((quartered + 20) / 20))
    assert np.array_equal(shrunk(luma), steps)


def test_a_picture_as_small_as_the_grid_is_averaged_in_place() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (64, 96), np.uint8)
    wide = np.pad(luma.astype(int), ((1, 0), (1, 0)), "reflect")
    means = wide[:-1, :-1] + wide[:-1, 1:] + wide[1:, :-1] + wide[1:, 1:] + 2 >> 2
    assert np.array_equal(shrunk(luma), np.rint(STEPS_PER_E * np.log((means + 20) / 20)))


def test_an_odd_last_row_and_column_are_left_out() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (241, 321), np.uint8)
    assert np.array_equal(shrunk(luma), shrunk(luma[:240, :320]))


def test_doubled_light_adds_the_same_number_of_steps_wherever_it_is_bright() -> None:
    luma = np.repeat(np.arange(60, 120, dtype=np.uint8)[:, None], 80, axis=1)
    once = shrunk(luma).astype(int)
    twice = shrunk(2 * luma).astype(int)
    assert np.ptp(twice - once) <= 0.1 * STEPS_PER_E


@pytest.mark.parametrize("wrong", [np.zeros((240, 319), np.uint8), np.zeros((240, 320), np.uint16)])
def test_luma_of_another_shape_or_type_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DeviceError):
        Pyramid(240, 320).shrink(wrong, np.zeros((60, 80), np.uint8))
