"""Rain is brighter than what it hides, for one frame. A walker is left."""

from __future__ import annotations

import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grids
from agent.core.motion.passes import COUNT_JUMPS, DRY, KEEP
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.preparing import NoiseReduction
from agent.core.motion.zones import ZoneMap

ROWS, COLUMNS = 60, 80
DROPS = ((3, 4), (9, 9), (40, 70))


def frame(*places: tuple[int, int], luma: int = 170) -> Luma:
    picture = np.full((ROWS, COLUMNS), 110, np.uint8)
    for place in places:
        picture[place] = luma
    # Four pixels to a cell: a picture as small as the grid would be averaged.
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def after(plan: int, *frames: Luma) -> tuple[Cells, int]:
    """The analysed grid, and how many cells jump, if the last frame is treated as planned and all are kept."""
    grids = Grids(ZoneMap().rasterise(ROWS, COLUMNS))
    passes = PurePasses(grids, 2 * ROWS, 2 * COLUMNS)
    for luma in frames[:-1]:
        passes.look(luma, KEEP, 0)
    passes.look(frames[-1], plan | KEEP, 12)
    return grids.frame, passes.jumping_cells


def test_drops_jump() -> None:
    assert after(COUNT_JUMPS, frame(), frame(*DROPS), frame())[1] == 3


def test_what_stays_or_is_dark_does_not_jump() -> None:
    assert after(COUNT_JUMPS, frame(), frame(*DROPS), frame(*DROPS))[1] == 0
    assert after(COUNT_JUMPS, frame(), frame(*DROPS, luma=50), frame())[1] == 0


def test_in_rain_a_drop_is_looked_through() -> None:
    assert np.array_equal(after(DRY, frame(), frame(), frame(*DROPS))[0], after(DRY, frame(), frame())[0])


def test_in_rain_what_stays_for_a_second_frame_is_seen_and_what_is_dark_at_once() -> None:
    bright, dark = frame(*DROPS), frame(*DROPS, luma=50)
    assert np.array_equal(after(DRY, frame(), bright, bright)[0], after(0, bright)[0])
    assert np.array_equal(after(DRY, frame(), frame(), dark)[0], after(0, dark)[0])


def test_rain_begins_with_a_twenty_fifth_of_the_picture_and_ends_when_almost_nothing_jumps() -> None:
    clearing = NoiseReduction()
    for share, rains in ((0.039, False), (0.06, True), (0.006, True), (0.0, True)):
        clearing.heard(COUNT_JUMPS, share)
        assert clearing.rains == rains
    for _ in range(8):
        clearing.heard(COUNT_JUMPS, 0.0)
    assert not clearing.rains
