"""A picture of any shape goes into the square and comes back; what a network answers is decoded as it meant it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.object_detection.boxes import OBJECTS_PX, decode, object_cells, suppress
from agent.core.object_detection.detector import CLASSES, ObjectDetector
from agent.core.object_detection.labels import Box, ObjectLabel, overlap
from agent.core.object_detection.letterbox import fit, surroundings
from agent.errors import FormatError
from tests.networks import FakeNetwork, bright_person, fake_eye

shares = st.floats(0, 0.8)
sizes = st.floats(0.05, 0.9)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(shares), draw(shares)
    return x0, y0, min(1.0, x0 + draw(sizes)), min(1.0, y0 + draw(sizes))


@given(height_px=st.integers(1, 400), width_px=st.integers(1, 400), side_px=st.sampled_from([192, 320]))
def test_every_shape_fits_with_its_proportions_and_comes_back_whole(
    height_px: int, width_px: int, side_px: int
) -> None:
    pixels, placing = fit(np.full((height_px, width_px), 255, np.uint8), side_px)
    assert pixels.shape == (side_px, side_px, 3)
    assert pixels.dtype == np.uint8
    assert max(placing.width, placing.height) == 1
    assert abs(placing.width * height_px - placing.height * width_px) <= max(height_px, width_px) / side_px
    whole = (placing.left, placing.top, placing.left + placing.width, placing.top + placing.height)
    assert placing.back(whole) == pytest.approx((0, 0, 1, 1))
    assert float(np.mean(pixels == 255)) == pytest.approx(placing.width * placing.height)


def test_luma_fills_three_channels_and_the_bands_are_grey() -> None:
    pixels, _placing = fit(np.array([[0, 255]] * 1, np.uint8).repeat(100, axis=0).repeat(100, axis=1), 320)
    assert (*pixels[160, 10], *pixels[160, 310], *pixels[5, 5]) == (0, 0, 0, 255, 255, 255, 128, 128, 128)


def test_what_lies_in_a_band_alone_is_no_box_of_the_picture() -> None:
    _pixels, placing = fit(np.zeros((100, 300), np.uint8), 300)
    assert placing.back((0.1, 0.0, 0.9, 0.2)) is None


@given(
    moved=boxes(),
    width_px=st.integers(32, 640).map(lambda each: each // 2 * 2),
    height_px=st.integers(32, 640).map(lambda each: each // 2 * 2),
)
def test_the_surroundings_of_what_moved_hold_it_and_lie_in_the_picture(
    moved: Box, width_px: int, height_px: int
) -> None:
    x0, y0, x1, y1 = region = surroundings(moved, width_px, height_px)
    assert 0 <= x0 < x1 <= 1 + 1e-9
    assert 0 <= y0 < y1 <= 1 + 1e-9
    assert x0 <= moved[0] + 1e-9
    assert moved[2] <= x1 + 1e-9
    assert y0 <= moved[1] + 1e-9
    assert moved[3] <= y1 + 1e-9
    across_px, down_px = (x1 - x0) * width_px, (y1 - y0) * height_px
    assert across_px == pytest.approx(down_px) or max(across_px / width_px, down_px / height_px) == pytest.approx(1)
    assert x1 - x0 >= 0.3 - 1e-9
    _pixels, placing = fit(np.zeros((height_px, width_px, 3), np.uint8), 300, region)
    whole = (placing.left, placing.top, placing.left + placing.width, placing.top + placing.height)
    assert placing.back(whole) == pytest.approx(region)


def test_colour_reaches_the_network_in_the_order_red_green_blue() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 255, 51
    pixels, _placing = fit(picture, 320)
    assert tuple(pixels[160, 160]) == (255, 51, 0)


def test_a_small_visitor_fills_the_square_of_the_network() -> None:
    """A person of 24 px in a picture of 640 px was 11 px in the square.  Their surroundings are enlarged."""
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[100:148, 300:324] = 255
    moved = (300 / 640, 100 / 360, 324 / 640, 148 / 360)
    [found] = ObjectDetector(FakeNetwork(bright_person).infer).detect(picture, moved)
    assert found.box == pytest.approx(moved, abs=0.02)
    pixels, _placing = fit(picture, OBJECTS_PX, surroundings(moved, 640, 360))
    assert int((pixels[..., 0] > 240).sum()) > 24 * 48


def test_there_is_a_cell_for_every_answer_of_the_network() -> None:
    cells = object_cells()
    assert cells.shape == (2100, 3)
    assert [tuple(cells[each]) for each in (0, 41, 1600, 2099)] == [
        (0, 0, np.float32(8 / 320)), (1, 1, np.float32(8 / 320)), (0, 0, np.float32(16 / 320)),
        (9, 9, np.float32(32 / 320)),
    ]  # fmt: skip
    corners = (cells[:, :2] + 1) * cells[:, 2:]
    assert corners.max() == pytest.approx(1)


@given(box=boxes(), score=st.floats(0.3, 0.99))
def test_a_box_is_decoded_as_it_was_meant(box: Box, score: float) -> None:
    answer = FakeNetwork(lambda _pixels: [(ObjectLabel.VEHICLE, (0, 0, 0.1, 0.1), 0), (ObjectLabel.PERSON, box, score)])
    rows = answer.infer(np.zeros((OBJECTS_PX, OBJECTS_PX, 3), np.uint8))
    [(found, its_score)] = decode(rows, CLASSES[ObjectLabel.PERSON], 0.25)
    assert found == pytest.approx(box, abs=1e-4)
    assert its_score == pytest.approx(score, abs=1e-4)
    assert decode(rows, CLASSES[ObjectLabel.VEHICLE], 0.25) == []


def test_a_score_is_the_certainty_times_the_best_of_its_classes() -> None:
    rows = np.zeros((2100, 85), np.float32)
    rows[7, 4], rows[7, 5 + 2], rows[7, 5 + 7] = 0.5, 0.6, 0.8
    [(_box, score)] = decode(rows, CLASSES[ObjectLabel.VEHICLE], 0.35)
    assert score == pytest.approx(0.4)
    assert decode(rows, CLASSES[ObjectLabel.VEHICLE], 0.41) == []


def test_answers_that_are_no_numbers_are_no_sightings() -> None:
    assert decode(np.full((2100, 85), np.nan, np.float32), (0,), 0.3) == []
    rows = np.ones((2100, 85), np.float32)
    rows[:, :4] = np.inf
    assert decode(rows, (0,), 0.3) == []


def test_a_network_of_another_shape_is_not_decoded() -> None:
    for shape in ((2099, 85), (2100, 84), (1, 2100, 85)):
        with pytest.raises(FormatError):
            decode(np.zeros(shape, np.float32), (0,), 0.3)


@given(st.lists(st.tuples(boxes(), st.floats(0, 1)), max_size=12), st.floats(0.1, 0.9))
def test_of_boxes_on_top_of_each_other_the_best_stays(found: list[tuple[Box, float]], most: float) -> None:
    kept = suppress(found, most)
    assert sorted(kept, key=lambda each: -each[1]) == kept
    assert all(overlap(a[0], b[0]) <= most for at, a in enumerate(kept) for b in kept[:at])
    for box, score in found:
        assert any((box, score) == each or (each[1] >= score and overlap(box, each[0]) > most) for each in kept)


def test_the_eye_finds_a_person_where_they_are_in_the_picture() -> None:
    luma = np.full((240, 320), 90, np.uint8)
    luma[100:220, 200:260] = 255
    [found] = fake_eye().detect(luma)
    assert found.label is ObjectLabel.PERSON
    assert found.box == pytest.approx((200 / 320, 100 / 240, 260 / 320, 220 / 240), abs=0.02)
