"""A visitor who stands still is held; what they leave behind is not."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.events import ClipBegins, EventBegins, EventEnds, EventMachine, EventSettings
from agent.core.media import LumaFrame
from agent.core.motion.background import Background
from agent.core.motion.detector import Detector
from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.presence import PresenceTracker
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import NS_PER_S, BootNs, seconds
from bench.motion import doorsteps, scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip
from tests.lengths import one_in


def samples_of(clip: Clip) -> list[MotionSample]:
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    frames = (LumaFrame(luma, BootNs(seconds(at / FRAMES_PER_S))) for at, luma in enumerate(clip.luma))
    return [detector.step(frame) for frame in frames]


@pytest.fixture(scope="module", params=one_in(4, (1, 213, 2000, 3002)))
def standing(request: pytest.FixtureRequest) -> tuple[Clip, list[MotionSample]]:
    """The last three were lost once: an arm beside the body, a first look at the turn of a sway, a coat that faded."""
    clip = scenes.draw("standing", request.param)
    return clip, samples_of(clip)


def test_a_visitor_who_stands_for_forty_seconds_is_one_event_from_coming_to_leaving(
    standing: tuple[Clip, list[MotionSample]],
) -> None:
    clip, samples = standing
    machine = EventMachine(EventSettings(post_roll_s=1, merge_gap_s=2))
    effects = [effect for sample in samples for effect in machine.on_motion(sample)]
    begun = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventBegins)]
    ended = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventEnds)]
    (truth,) = clip.events
    assert begun == [pytest.approx(truth.start_s, abs=1)]
    assert ended == [pytest.approx(truth.end_s, abs=2)]


def test_who_stands_still_is_present_without_moving(standing: tuple[Clip, list[MotionSample]]) -> None:
    clip, samples = standing
    (truth,) = clip.events
    middle = [sample for sample in samples if truth.start_s + 10 < sample.sensor_ns / NS_PER_S < truth.end_s - 10]
    assert all(sample.present for sample in middle)
    assert sum(sample.moving for sample in middle) < len(middle) / 5


@pytest.fixture(scope="module")
def reader() -> tuple[doorsteps.Film, list[MotionSample]]:
    """A visitor stands and reads, and ten seconds of the stream are missing."""
    film = doorsteps.film("hole", 1, doorsteps.Props())
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    frames = zip(film.luma, film.times_s, strict=True)
    return film, [detector.step(LumaFrame(luma, BootNs(seconds(float(at_s))))) for luma, at_s in frames]


def test_who_stands_is_held_through_a_hole_of_ten_seconds(
    reader: tuple[doorsteps.Film, list[MotionSample]],
) -> None:
    film, samples = reader
    (truth,), (hole,) = film.events, film.holes_s
    during = [sample for sample in samples if truth.start_s + 2 < sample.sensor_ns / NS_PER_S < truth.end_s - 2]
    assert all(sample.moving or sample.present for sample in during)
    after = [sample for sample in during if 0 <= sample.sensor_ns / NS_PER_S - hole.end_s < 8]
    assert any(sample.moving for sample in after), "no event would begin again"
    assert not samples[-1].present


def test_a_visitors_own_fidgets_do_not_hide_them() -> None:
    """Cells learn noise while a visitor stands on them. The body is not compared with that noise."""
    film = doorsteps.film("restart", 2, doorsteps.Props())
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    held = []
    for luma, at_s in zip(film.luma, film.times_s, strict=True):
        sample = detector.step(LumaFrame(luma, BootNs(seconds(float(at_s)))))
        if sample.present and not sample.moving:
            detector._grids.cell_noise[:] = 40.0
        if film.events[0].start_s + 2 < at_s < film.events[0].end_s - 5:
            held.append(sample.moving or sample.present)
    assert all(held)


def test_a_parcel_left_at_the_door_is_no_visitor() -> None:
    clip = scenes.draw("parcel", 2)
    (truth,) = clip.events
    after = [sample for sample in samples_of(clip) if sample.sensor_ns / NS_PER_S > truth.end_s + 4]
    assert len(after) > 10
    assert not any(sample.present or sample.moving for sample in after)


def test_an_event_lasts_five_minutes_for_a_visitor_who_never_goes() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=30, longest_clip_s=3600))
    here = [
        MotionSample(
            BootNs(at_s * NS_PER_S), at_s == 0, 0.5 if at_s == 0 else 0.0, None, MotionState.QUIET, present=True
        )
        for at_s in range(600)
    ]
    effects = [effect for sample in here for effect in machine.on_motion(sample)]
    ends = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventEnds)]
    assert ends == [300]
    assert sum(isinstance(effect, ClipBegins) for effect in effects) == 1


def test_presence_alone_begins_no_event() -> None:
    machine = EventMachine()
    assert machine.on_motion(MotionSample(BootNs(0), False, 0.0, None, MotionState.QUIET, present=True)) == ()


def looked_at(scene: np.ndarray, visitor: np.ndarray, later: list[np.ndarray], tenths: int = 5) -> float:
    """For how many seconds a visitor is held after the last motion, while the place looks like `later` in turns."""
    grids = Grids(ZoneMap().rasterise(60, 80))
    passes = PurePasses(grids, 60, 80)
    background = Background(grids, passes, 10.0, MotionSettings())
    presence = PresenceTracker(grids, passes, MotionSettings())
    grids.seen[:], grids.threshold[:] = scene, 10
    grids.frame[:] = visitor
    presence.confirm((30, 10, 50, 40), BootNs(0), background)
    for tenth in range(1, 300):
        grids.frame[:] = later[tenth // tenths % len(later)]
        if not presence.lasts(background, BootNs(seconds(tenth / 10))):
            return tenth / 10
    return 30.0


LEAVES = np.random.default_rng(7).integers(60, 160, (60, 80)).astype(np.uint8)


def in_a_coat(scene: np.ndarray, tone: int) -> list[np.ndarray]:
    """A visitor in a coat of one tone, twice: an arm has moved."""
    poses = [scene.copy(), scene.copy()]
    for pose, arm in zip(poses, (26, 30), strict=True):
        pose[10:40, 30:50] = tone
        pose[arm : arm + 4, 34:46] = tone + 40
    return poses


def test_leaves_that_moved_where_a_visitor_was_do_not_hold_the_visitor() -> None:
    """They differ from the scene of before, and they live. They have the structure of leaves, as before."""
    moved = [np.roll(LEAVES, by, axis=1) for by in (2, 3, 5)]
    assert looked_at(LEAVES, in_a_coat(LEAVES, 180)[0], moved) < 3.5


def test_the_place_that_a_car_has_left_does_not_hold_the_visitor() -> None:
    """A street without structure is there where the car hid it, and its noise changes."""
    street = np.full((60, 80), 100, np.uint8)
    car = street.copy()
    car[10:40, 30:50] = LEAVES[10:40, 30:50]
    noisy = [street + np.random.default_rng(seed).integers(0, 5, street.shape).astype(np.uint8) for seed in (1, 2)]
    assert looked_at(car, in_a_coat(car, 180)[0], noisy) < 3.5


def test_dust_that_lets_the_scene_through_does_not_hold_the_visitor() -> None:
    """It hides nothing: the leaves behind it are paler, and all of them are there. It moves, and it has an outline."""
    dusty = []
    for across in (32, 34):
        cloud = LEAVES.astype(np.float32)
        cloud[10:40, across : across + 16] = 0.7 * cloud[10:40, across : across + 16] + 70
        dusty.append(cloud.astype(np.uint8))
    assert looked_at(LEAVES, in_a_coat(LEAVES, 180)[0], dusty) < 3.5


@pytest.mark.parametrize("tone", [20, 110, 200])
@pytest.mark.parametrize("scene", [LEAVES, np.full_like(LEAVES, 90)], ids=["leaves", "a wall"])
def test_a_visitor_in_a_plain_coat_is_held_before_leaves_and_before_a_wall(scene: np.ndarray, tone: int) -> None:
    """A coat has less structure than leaves. Its outline is still there."""
    poses = in_a_coat(scene, tone)
    assert looked_at(scene, poses[0], poses) == 30


def test_a_visitor_who_keeps_still_after_moving_shows_within_three_seconds_that_they_live() -> None:
    """Otherwise a parcel, which is confirmed now and then while a path fades on it, would be held as a visitor."""
    parcel = in_a_coat(np.full_like(LEAVES, 90), 200)[0]
    assert 2 < looked_at(np.full_like(LEAVES, 90), parcel, [parcel]) < 3


def test_one_flicker_of_a_codec_holds_a_parcel_for_a_fourth_of_the_patience() -> None:
    """Many looks in succession show a person who shifts their weight. A key frame shows in one."""
    wall = np.full_like(LEAVES, 90)
    parcel, flickers = in_a_coat(wall, 200)
    once = [parcel] * 15 + [flickers] + [parcel] * 284
    assert 5 < looked_at(wall, parcel, once, tenths=1) < 7


def test_a_visitor_who_shifts_their_weight_for_a_second_in_seven_is_held() -> None:
    wall = np.full_like(LEAVES, 90)
    here, there = in_a_coat(wall, 200)
    assert looked_at(wall, here, [here, there, here, there] + [here] * 10) == 30


@pytest.mark.parametrize(("moved", "least_s", "most_s"), [((34, 26, 46, 34), 12, 14), ((30, 10, 56, 40), 3, 4)])
def test_a_visitor_who_moves_in_their_place_is_held_as_before_and_one_who_walks_on_must_show_life(
    moved: tuple[int, int, int, int], least_s: float, most_s: float
) -> None:
    """A reader at night who turned a page was let go 2.5 s later, for the rest of five minutes."""
    wall = np.full_like(LEAVES, 90)
    poses = in_a_coat(wall, 200)
    grids = Grids(ZoneMap().rasterise(60, 80))
    background = Background(grids, PurePasses(grids, 60, 80), 10.0, MotionSettings())
    presence = PresenceTracker(grids, PurePasses(grids, 60, 80), MotionSettings())
    grids.seen[:], grids.threshold[:] = wall, 10
    grids.frame[:] = poses[0]
    presence.confirm((30, 10, 50, 40), BootNs(0), background)
    for tenth in range(1, 101):
        grids.frame[:] = poses[tenth // 5 % 2]
        assert presence.lasts(background, BootNs(seconds(tenth / 10)))
    presence.confirm(moved, BootNs(seconds(10.7)), background)
    held_s = next(t / 10 for t in range(8, 200) if not presence.lasts(background, BootNs(seconds(10 + t / 10))))
    assert least_s < held_s < most_s


def test_a_filter_that_switches_there_and_back_does_not_lose_the_visitor() -> None:
    """In other light all around the visitor differs from the scene. Compared with that, they would seem gone after."""
    grids = Grids(ZoneMap().rasterise(60, 80))
    passes = PurePasses(grids, 60, 80)
    background = Background(grids, passes, 10.0, MotionSettings())
    presence = PresenceTracker(grids, passes, MotionSettings())
    by_day, by_infrared = np.full((60, 80), 100, np.uint8), np.indices((60, 80)).sum(0).astype(np.uint8) % 4 * 30 + 60
    grids.seen[:], grids.threshold[:] = 100, 10
    for picture in (by_day, by_infrared):
        picture[20:50, 36:44] = 200
    grids.frame[:] = by_day
    presence.confirm((36, 20, 44, 50), BootNs(0), background)
    for tenth in range(1, 90):
        grids.frame[:] = by_infrared if 20 < tenth < 60 else by_day
        grids.frame[20:50, 36:44] += tenth % 2 * 20
        assert presence.lasts(background, BootNs(seconds(tenth / 10))), f"lost after {tenth / 10} s"


def test_a_body_that_seems_to_grow_look_by_look_is_still_the_visitor_after_it() -> None:
    """Each look takes in a ring of what infrared light has changed, up to ten times the visitor."""
    grids = Grids(ZoneMap().rasterise(60, 80))
    passes = PurePasses(grids, 60, 80)
    background = Background(grids, passes, 10.0, MotionSettings())
    presence = PresenceTracker(grids, passes, MotionSettings())
    grids.seen[:], grids.threshold[:] = 100, 10
    distance = np.abs(np.indices((60, 80)) - np.array([35, 40])[:, None, None]).max(0)
    checks = np.indices((60, 80)).sum(0) % 2 * 60
    grids.frame[:] = np.where(distance < 6, 200, 100)
    presence.confirm((34, 29, 46, 41), BootNs(0), background)
    for tenth in range(1, 120):
        grids.frame[:] = np.where(distance < 6, 200, 100)
        if 10 < tenth < 60:
            grids.frame[:] += np.where((distance >= 6) & (distance < 6 + tenth // 3), checks, 0).astype(np.uint8)
        grids.frame[32:38, 37:43] += tenth % 2 * 20
        assert presence.lasts(background, BootNs(seconds(tenth / 10))), f"lost after {tenth / 10} s"


def test_a_visitor_who_moved_just_now_has_not_gone() -> None:
    grids = Grids(ZoneMap().rasterise(60, 80))
    passes = PurePasses(grids, 60, 80)
    background = Background(grids, passes, 10.0, MotionSettings())
    presence = PresenceTracker(grids, passes, MotionSettings())
    grids.seen[:], grids.threshold[:], grids.frame[:] = 100, 10, 100
    grids.frame[10:40, 30:50] = 200
    presence.confirm((30, 10, 50, 40), BootNs(0), background)
    grids.frame[:] = 100
    assert presence.lasts(background, BootNs(seconds(0.4)))
    assert not presence.lasts(background, BootNs(seconds(1.2)))


@pytest.mark.parametrize("seed", range(12))
def test_a_fidget_is_a_change_beyond_the_mean_of_the_window_to_the_last_cell(seed: int) -> None:
    """The pictures are compared in integers, so that two machines agree on a cell at the very limit."""
    random = np.random.default_rng(seed)
    grids = Grids(ZoneMap().rasterise(60, 80))
    grids.then[:] = random.integers(0, 256, (60, 80))
    grids.frame[:] = np.clip(grids.then + random.integers(-3, 9, (60, 80)), 0, 255)
    grids.scene[:], grids.scene_threshold[:] = random.integers(0, 256, (60, 80)), 60
    x0, y0 = random.integers(0, 30, 2).tolist()
    window = (x0, y0, x0 + 7 + seed, y0 + 9)
    limit = float(random.integers(4, 20)) / 4
    _, fidgeting, _ = PurePasses(grids, 60, 80).find_body(window, window, 1.0, limit)
    here = np.s_[window[1] : window[3], window[0] : window[2]]
    change = grids.frame[here].astype(int) - grids.then[here]
    beyond = np.abs(change * change.size - change.sum()) > int(limit * change.size)
    assert fidgeting == np.count_nonzero(beyond & (grids.body[here] > 0)) > 0
