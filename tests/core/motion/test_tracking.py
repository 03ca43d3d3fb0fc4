"""Paths grow on new ground only, and counts tell what lingers from what passes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.tracking import Tracks
from agent.core.motion.zones import ZoneMap

ROWS, COLUMNS = 20, 60
SETTINGS = MotionSettings(fresh_after_s=5, path_fade_s=0.9, scenery_after_s=1.5)


class Tracked:
    """Tracks on separate grids that are fed masks."""

    def __init__(self) -> None:
        self.grids = Grids(ZoneMap().rasterise(ROWS, COLUMNS))
        self.grids.quick_threshold[:] = 10
        self.tracks = Tracks(self.grids, PurePasses(self.grids, ROWS, COLUMNS), 10.0, SETTINGS)

    def advance(self, picture: np.ndarray, mask: np.ndarray, frame_number: int) -> int:
        self.grids.frame[:] = picture
        self.grids.differing[:] = mask
        return self.tracks.advance(frame_number)

    def settled(self) -> np.ndarray:
        return self.grids.unchanged > self.tracks.settled_frames


def tracks() -> Tracked:
    return Tracked()


def block(x: int, width: int = 4) -> np.ndarray:
    """255 in a block of four rows that begins at column `x`."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[8:12, max(0, x) : max(0, x + width)] = 255
    return mask


def advance(tracked: Tracked, masks: list[np.ndarray], first_frame: int = 100) -> list[int]:
    """The longest path after each frame; the picture is the mask itself, so what moves also changes."""
    return [tracked.advance(mask, mask, first_frame + number) for number, mask in enumerate(masks)]


def test_a_path_gains_a_cell_a_frame_while_it_advances() -> None:
    longest = advance(tracks(), [block(x) for x in range(20)])
    assert longest[-1] >= 0.8 * len(longest)
    assert all(after - before in (-1, 0, 1) for before, after in itertools.pairwise(longest))


def test_a_path_that_jumps_further_than_its_reach_begins_anew() -> None:
    assert max(advance(tracks(), [block(10 * (step % 5)) for step in range(20)])) <= 2


def test_a_large_thing_may_be_faster_than_its_reach() -> None:
    longest = advance(tracks(), [block(5 * step, width=16) for step in range(6)])
    assert longest[-1] >= 9
    small = advance(tracks(), [block(5 * step, width=3) for step in range(6)])
    assert max(small) <= 2


def test_a_large_thing_that_flickers_in_its_place_is_not_fast() -> None:
    """For example the steps of an escalator, which a codec renews all at once."""
    random = np.random.default_rng(1)
    stairs = np.zeros((ROWS, COLUMNS), np.uint8)
    stairs[2:18, 20:40] = 255
    flickers = [np.where(random.random(stairs.shape) < 0.85, stairs, np.uint8(0)) for _ in range(6)]
    assert max(advance(tracks(), flickers)) <= 4


def test_swaying_over_the_same_ground_runs_dry() -> None:
    longest = advance(tracks(), [block(20 + [0, 1, 2, 3, 2, 1][step % 6]) for step in range(60)])
    assert max(longest) <= 5
    assert longest[-1] == 0


def test_ground_is_new_again_after_it_was_clear_for_long_enough() -> None:
    tracked = tracks()
    advance(tracked, [block(x) for x in range(10)])
    tracked.tracks.clear()
    assert max(advance(tracked, [block(x) for x in range(10)], first_frame=120)) <= 2
    tracked.tracks.clear()
    assert max(advance(tracked, [block(x) for x in range(10)], first_frame=200)) >= 8


@pytest.mark.parametrize(("clear_frames", "grows"), [(40, False), (60, True)])
def test_a_slow_camera_takes_ground_for_new_after_as_many_frames_as_one_of_ten(clear_frames: int, grows: bool) -> None:
    tracked = tracks()
    tracked.tracks.tune(5.0)
    advance(tracked, [block(x) for x in range(10)])
    tracked.tracks.clear()
    longest = advance(tracked, [block(x) for x in range(10)], first_frame=110 + clear_frames)
    assert (max(longest) >= 7) is grows


def test_dwell_counts_frames_in_succession_and_starts_again() -> None:
    tracked = tracks()
    advance(tracked, [block(5), block(5), block(30), block(5)])
    assert tracked.grids.dwell[9, 6] == 1
    advance(tracked, [block(5)], first_frame=104)
    assert tracked.grids.dwell[9, 6] == 2


@pytest.mark.parametrize(("frames", "settled"), [(14, False), (18, True)])
def test_what_differs_without_changing_is_settled_after_its_time(frames: int, settled: bool) -> None:
    tracked = tracks()
    advance(tracked, [block(5)] * frames)
    assert bool(tracked.settled()[9, 6]) is settled


def test_what_keeps_changing_never_settles() -> None:
    tracked, mask = tracks(), block(5)
    for number in range(60):
        tracked.advance(np.full_like(mask, 100 + 50 * (number % 2)), mask, number)
    assert not tracked.settled().any()
