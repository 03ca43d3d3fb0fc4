"""The detector on drawn scenes: what must fire, what must not, and what it may cost."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.media import Light, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.sample import CONFIRMED_SCORE, MotionSample, MotionState
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.timebase import BootNs, seconds
from agent.errors import DeviceError
from agent.wire.fields import ZoneKind
from tests.lengths import LONG

Draw = Callable[..., np.ndarray]
Watch = Callable[..., list[MotionSample]]

EMPTY_FRAMES = 40
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def detector(zones: ZoneMap | None = None) -> Detector:
    return Detector(240, 320, 10.0, zones)


@pytest.fixture
def walk(scene: Draw, with_figure: Draw) -> list[np.ndarray]:
    """Four empty seconds, then a person crosses the picture in four."""
    wall = scene()
    return [wall] * EMPTY_FRAMES + [with_figure(wall, -0.1 + step * 0.03) for step in range(40)]


def fired(samples: list[MotionSample]) -> bool:
    return any(sample.moving for sample in samples)


def test_a_person_who_walks_by_fires_within_a_second(walk: list[np.ndarray], watch: Watch) -> None:
    samples = watch(detector(), walk)
    first = next(number for number, sample in enumerate(samples) if sample.moving)
    assert EMPTY_FRAMES < first <= EMPTY_FRAMES + 14


def test_the_first_two_seconds_only_learn(walk: list[np.ndarray], watch: Watch) -> None:
    samples = watch(detector(), walk[EMPTY_FRAMES:])
    assert {sample.state for sample in samples[:20]} == {MotionState.LEARNING}
    assert not fired(samples[:20])


def test_who_walks_while_the_scene_is_learned_is_told_when_it_is_known(
    scene: Draw, with_figure: Draw, watch: Watch
) -> None:
    wall = scene()
    leaves = [with_figure(wall, 0.3 + step * 0.05) for step in range(15)]
    samples = watch(detector(), leaves + [wall] * 45)
    assert [sample.moving for sample in samples[:21]] == [False] * 20 + [True]
    x0, _, x1, _ = samples[20].box or (0, 0, 0, 0)
    assert 0.2 < x0 < x1
    assert not any(sample.moving or sample.present for sample in samples[-3:])


def test_a_bird_while_the_scene_is_learned_is_not_told(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    """It goes as a walker does, alone in the picture, and is smaller than a person near the door."""
    wall = scene()
    flies = [with_figure(wall, 0.2 + step * 0.03, width=0.04, height=0.06) for step in range(15)]
    assert not fired(watch(detector(), flies + [wall] * 10))


def test_a_tree_in_a_gust_while_the_scene_is_learned_is_not_told(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    """Its leaves go as far as a walker does, but in many places."""
    wall = scene()

    def gust(step: int) -> np.ndarray:
        drawn = wall
        for leaf in range(8):
            drawn = with_figure(drawn, 0.1 * leaf + step * 0.02, y=0.1 * leaf, width=0.05, height=0.09)
        return drawn

    assert not fired(watch(detector(), [gust(step) for step in range(15)] + [wall] * 10))


def test_the_box_follows_the_person(walk: list[np.ndarray], watch: Watch) -> None:
    boxes = [sample.box for sample in watch(detector(), walk) if sample.box]
    assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in boxes)
    centres = [(x0 + x1) / 2 for x0, _, x1, _ in boxes]
    assert centres[-1] > centres[0] + 0.3


def test_moving_the_person_down_moves_the_box_down(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    tops = []
    for y in (0.1, 0.5):
        crossing = [with_figure(scene(), -0.1 + step * 0.03, y=y, height=0.4) for step in range(30)]
        boxes = [sample.box for sample in watch(detector(), [scene()] * EMPTY_FRAMES + crossing) if sample.box]
        tops.append(min(box[1] for box in boxes))
    assert tops[1] - tops[0] == pytest.approx(0.4, abs=0.06)


def test_only_confirmed_samples_reach_the_confirmed_score(walk: list[np.ndarray], watch: Watch) -> None:
    for sample in watch(detector(), walk):
        assert 0 <= sample.score <= 1
        assert sample.moving == (sample.score >= CONFIRMED_SCORE) == (sample.box is not None)


def test_a_constant_scene_never_fires(scene: Draw, watch: Watch) -> None:
    samples = watch(detector(), itertools.repeat(scene(), 600))
    assert not fired(samples)
    assert {sample.state for sample in samples[40:]} == {MotionState.QUIET}


@pytest.mark.parametrize("noise", [0.0, 4.0, 12.0])
def test_sensor_noise_alone_never_fires(noise: float, scene: Draw, watch: Watch) -> None:
    assert not fired(watch(detector(), itertools.repeat(scene(), 300), noise=noise))


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.4, 1.25), offset=st.floats(-20, 40), at=st.integers(25, 60))
def test_any_step_of_gain_and_offset_never_fires(
    gain: float, offset: float, at: int, scene: Draw, watch: Watch
) -> None:
    stepped = np.clip(scene() * gain + offset, 0, 255).astype(np.uint8)
    assert not fired(watch(detector(), [scene()] * at + [stepped] * 60))


def infrared(picture: np.ndarray, at_s: float) -> np.ndarray:
    """Half a second after the filter has left: half a second of black, then a lamp while the exposure hunts."""
    if at_s < 0.5:
        return picture * 0.1
    rows, columns = picture.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    tones = np.kron(np.random.default_rng(3).normal(0, 22, (12, 16)), np.ones((rows // 12, columns // 16)))
    lit = 25 + np.exp(-(x**2 + y**2)) * (0.55 * picture + tones)
    return np.clip(lit * (1 + 0.5 * math.exp((0.5 - at_s) / 0.6)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("size", "noise"), [((240, 320), 1.5), ((120, 160), 4.0)])
def test_an_infrared_filter_that_leaves_an_empty_scene_never_fires(
    size: tuple[int, int], noise: float, scene: Draw, watch: Watch
) -> None:
    frames = [scene(*size)] * 30 + [infrared(scene(*size), number / 5) for number in range(40)]
    samples = watch(Detector(*size, 5.0), frames, noise=noise, frames_per_s=5.0)
    assert not any(sample.moving or sample.present for sample in samples)


@pytest.mark.parametrize("every", [4, 10])
def test_a_person_is_told_under_a_light_that_blinks(every: int, scene: Draw, with_figure: Draw, watch: Watch) -> None:
    wall = [scene()] * 60 + [with_figure(scene(), -0.1 + step * 0.015) for step in range(80)]
    blinking = [np.clip(each * (1.3 if number // every % 2 else 0.9), 0, 255) for number, each in enumerate(wall)]
    samples = watch(detector(), blinking)
    assert not fired(samples[:60])
    assert fired(samples[60:110])


def test_slow_changes_of_light_never_fire(scene: Draw, watch: Watch) -> None:
    drift = [np.clip(scene() * (1 + 0.3 * math.sin(step / 25)), 0, 255) for step in range(300)]
    assert not fired(watch(detector(), drift))


def test_a_person_who_fills_the_picture_at_once_fires_within_a_second(
    scene: Draw, with_figure: Draw, watch: Watch
) -> None:
    close = [
        with_figure(scene(), 0.05 + 0.02 * math.sin(step), y=0.02 + 0.01 * (step % 3), width=0.9, height=0.9)
        for step in range(40)
    ]
    samples = watch(detector(), [scene()] * EMPTY_FRAMES + close)
    assert fired(samples[EMPTY_FRAMES : EMPTY_FRAMES + 10])
    assert any(sample.state is MotionState.LIGHT_CHANGE for sample in samples)


def test_a_person_who_filled_the_picture_leaves_no_ghost(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    close = [
        with_figure(scene(), 0.05 + 0.02 * math.sin(step), y=0.02 + 0.01 * (step % 3), width=0.9, height=0.9)
        for step in range(60)
    ]
    samples = watch(detector(), [scene()] * EMPTY_FRAMES + close + [scene()] * 40)
    assert fired(samples[:-40])
    assert not any(sample.moving or sample.present for sample in samples[-15:])


def test_a_lens_covered_at_once_and_then_still_does_not_fire(scene: Draw, watch: Watch) -> None:
    covered = np.full((240, 320), 12, np.uint8)
    assert not fired(watch(detector(), [scene()] * EMPTY_FRAMES + [covered] * 60))


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -1.0, 0.0, None])
def test_nonsense_in_the_metadata_says_nothing(nonsense: float | None, walk: list[np.ndarray], watch: Watch) -> None:
    told = watch(detector(), walk, light=lambda number: Light(nonsense if number % 2 else 100.0))
    assert told == watch(detector(), walk)


def test_a_person_is_seen_through_the_change_of_light_they_cause(walk: list[np.ndarray], watch: Watch) -> None:
    lit = [
        np.clip(picture * (0.6 if number < EMPTY_FRAMES + 5 else 1.0), 0, 255) for number, picture in enumerate(walk)
    ]
    assert fired(watch(detector(), lit)[EMPTY_FRAMES : EMPTY_FRAMES + 25])


def test_what_sways_in_place_is_learned_and_does_not_fire(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    swaying = [with_figure(scene(), 0.4 + 0.03 * math.sin(step * 0.5), width=0.1) for step in range(300)]
    assert not fired(watch(detector(), swaying))


def test_something_left_behind_becomes_scenery_within_seconds(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    samples = watch(detector(), [scene()] * EMPTY_FRAMES + [with_figure(scene(), 0.5, width=0.08, height=0.1)] * 100)
    assert samples[-1].state is MotionState.QUIET


@pytest.mark.parametrize("kind", [ZoneKind.EXCLUDE, ZoneKind.PRIVACY])
def test_nothing_fires_where_no_zone_watches(kind: ZoneKind, scene: Draw, with_figure: Draw, watch: Watch) -> None:
    zones = ZoneMap((Zone("the neighbours", LEFT_HALF, kind),))
    left = [with_figure(scene(), -0.1 + step * 0.01, width=0.1) for step in range(50)]
    right = [with_figure(scene(), 0.55 + step * 0.01, width=0.1) for step in range(40)]
    assert not fired(watch(detector(zones), [scene()] * EMPTY_FRAMES + left))
    assert fired(watch(detector(zones), [scene()] * EMPTY_FRAMES + right))


def test_a_larger_sensitivity_sees_fainter_things(scene: Draw, with_figure: Draw, watch: Watch) -> None:
    flat = np.full((240, 320), 120, np.uint8)
    faint = [(0.955 * flat + 0.045 * with_figure(flat, -0.1 + step * 0.03)).astype(np.float64) for step in range(40)]
    keen = ZoneMap((dataclasses.replace(Zone("all", ((0, 0), (1, 0), (1, 1), (0, 1))), sensitivity=3),))
    assert not fired(watch(detector(), [flat] * EMPTY_FRAMES + faint, noise=0.5))
    assert fired(watch(detector(keen), [flat] * EMPTY_FRAMES + faint, noise=0.5))


def test_a_person_smaller_than_half_of_the_smallest_that_counts_does_not_fire(
    walk: list[np.ndarray], with_figure: Callable[..., np.ndarray], watch: Watch
) -> None:
    def counts(pictures: list[np.ndarray], smallest_person: float) -> bool:
        everywhere = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
        return fired(watch(detector(ZoneMap((Zone("all", everywhere, smallest_person=smallest_person),))), pictures))

    empty = walk[:EMPTY_FRAMES]
    far = [with_figure(empty[0], 0.1 + step * 0.015, width=0.04, height=0.15) for step in range(40)]
    assert counts(walk, 0.5)
    assert counts(empty + far, 0)
    assert counts(empty + far, 0.15)
    assert not counts(empty + far, 0.7)


def test_a_hole_in_the_frames_keeps_the_scene(walk: list[np.ndarray], watch: Watch) -> None:
    """The scene was not learned with the person in it who came during the hole."""
    object_detector = detector()
    watch(object_detector, walk[:EMPTY_FRAMES])
    samples = watch(object_detector, walk[EMPTY_FRAMES + 15 :], start_s=600)
    assert MotionState.LEARNING not in {sample.state for sample in samples}
    assert fired(samples[:12])


def test_another_scene_after_a_hole_is_learned_without_an_alarm(scene: Draw, watch: Watch) -> None:
    object_detector = detector()
    watch(object_detector, [scene()] * EMPTY_FRAMES)
    samples = watch(object_detector, [scene(seed=2)] * EMPTY_FRAMES, start_s=600)
    assert not fired(samples)
    assert samples[-1].state is MotionState.QUIET


def test_time_going_backwards_starts_the_learning_again(walk: list[np.ndarray], watch: Watch) -> None:
    object_detector = detector()
    watch(object_detector, walk, start_s=100)
    samples = watch(object_detector, walk, start_s=0)
    assert samples[0].state is MotionState.LEARNING
    assert fired(samples)


@pytest.mark.parametrize("size", [(240, 320), (64, 96)])
def test_a_frame_of_another_size_is_refused_with_the_remedy(size: tuple[int, int]) -> None:
    with pytest.raises(DeviceError, match="doorward doctor"):
        Detector(*size, 10.0).step(LumaFrame(np.zeros((size[0], 90), np.uint8), BootNs(0)))


SIZES = [(48, 64), (49, 67), (48, 320), (176, 320), (240, 320), (368, 640)]


@pytest.mark.parametrize("size", [*SIZES, pytest.param((1080, 1920), marks=LONG)])
def test_any_frame_size_works(size: tuple[int, int], scene: Draw, with_figure: Draw, watch: Watch) -> None:
    wall = np.kron(scene(size[0] // 4 + 1, size[1] // 4 + 1), np.ones((4, 4), np.uint8))[: size[0], : size[1]]
    crossing = [with_figure(wall, -0.1 + step * 0.03) for step in range(25)]
    assert fired(watch(Detector(*size, 10.0), [wall] * 25 + crossing))


def test_a_picture_as_small_as_the_grid_sees_things_as_faint_as_a_larger_one(watch: Watch) -> None:
    def threshold(rows: int, columns: int) -> float:
        watch(one := Detector(rows, columns, 10.0), [np.full((rows, columns), 120, np.uint8)] * 60, noise=2.0)
        return float(np.median(one.thresholds))

    assert threshold(64, 96) <= threshold(128, 192)


def test_a_strip_of_a_picture_works_when_all_of_it_changes(scene: Draw, watch: Watch) -> None:
    strip = scene(48, 640)
    watch(Detector(48, 640, 10.0), [strip] * 30 + [strip // 2] * 30)


@pytest.mark.parametrize("frames_per_s", [5.0, 15.0, 30.0])
def test_any_frame_rate_works(frames_per_s: float, scene: Draw, with_figure: Draw, watch: Watch) -> None:
    crossing = [with_figure(scene(), -0.1 + 0.3 * step / frames_per_s) for step in range(round(4 * frames_per_s))]
    empty = [scene()] * round(4 * frames_per_s)
    object_detector = Detector(240, 320, frames_per_s)
    assert fired(watch(object_detector, empty + crossing, frames_per_s=frames_per_s))


def test_rows_may_have_any_stride(walk: list[np.ndarray], watch: Watch) -> None:
    padded = [np.pad(picture, ((0, 0), (0, 32))) for picture in walk]
    object_detector, other = detector(), detector()
    for number, (picture, wide) in enumerate(zip(walk, padded, strict=True)):
        sensor_ns = BootNs(seconds(number / 10))
        assert object_detector.step(LumaFrame(picture, sensor_ns)) == other.step(LumaFrame(wide[:, :320], sensor_ns))


def test_the_same_frames_give_the_same_samples(walk: list[np.ndarray], watch: Watch) -> None:
    assert watch(detector(), walk) == watch(detector(), walk)


def test_the_frame_is_only_read(walk: list[np.ndarray]) -> None:
    object_detector = detector()
    for number, picture in enumerate(walk):
        picture.flags.writeable = False
        object_detector.step(LumaFrame(picture, BootNs(seconds(number / 10))))


def test_the_quiet_path_allocates_no_picture_but_for_its_two_seldom_looks(scene: Draw) -> None:
    object_detector, picture = detector(), scene()
    frames = [LumaFrame(picture, BootNs(seconds(number / 10))) for number in range(200)]
    for frame in frames[:100]:
        object_detector.step(frame)
    tracemalloc.start()
    try:
        allocated = 0
        for frame in frames[100:]:
            tracemalloc.reset_peak()
            before_bytes, _ = tracemalloc.get_traced_memory()
            assert object_detector.step(frame).state is MotionState.QUIET
            allocated += tracemalloc.get_traced_memory()[1] - before_bytes > 2000
        assert allocated <= 5 + 7  # once in two seconds, and once in sixteen frames
    finally:
        tracemalloc.stop()
