"""A picture of any shape goes into the square and comes back; what a network answers is decoded as it meant it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.object_detection.boxes import decode_faces, decode_objects, object_anchors, overlap, suppress
from agent.core.object_detection.detector import CLASSES, ObjectDetector
from agent.core.object_detection.labels import Box, ObjectLabel
from agent.core.object_detection.letterbox import fit, surroundings
from agent.errors import FormatError
from tests.networks import FakeNetwork, Seen, bright_person, encoded, fake_eye, nearest_anchor

shares = st.floats(0, 0.8)
sizes = st.floats(0.05, 0.9)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(shares), draw(shares)
    return x0, y0, min(1.0, x0 + draw(sizes)), min(1.0, y0 + draw(sizes))


@given(height_px=st.integers(1, 400), width_px=st.integers(1, 400), side_px=st.sampled_from([192, 300]))
def test_every_shape_fits_with_its_proportions_and_comes_back_whole(
    height_px: int, width_px: int, side_px: int
) -> None:
    pixels, placing = fit(np.full((height_px, width_px), 255, np.uint8), side_px)
    assert pixels.shape == (1, side_px, side_px, 3)
    assert pixels.dtype == np.float32
    assert max(placing.width, placing.height) == 1
    assert abs(placing.width * height_px - placing.height * width_px) <= max(height_px, width_px) / side_px
    whole = (placing.left, placing.top, placing.left + placing.width, placing.top + placing.height)
    assert placing.back(whole) == pytest.approx((0, 0, 1, 1))
    assert float(np.mean(pixels > 0.99)) == pytest.approx(placing.width * placing.height)


def test_black_is_minus_one_white_is_one_and_the_bands_are_grey() -> None:
    pixels, _placing = fit(np.array([[0, 255]] * 1, np.uint8).repeat(100, axis=0).repeat(100, axis=1), 300)
    assert (pixels[0, 150, 10, 0], pixels[0, 150, 290, 2], pixels[0, 5, 5, 1]) == (-1, 1, 0)


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
    pixels, _placing = fit(picture, 300)
    assert pixels[0, 150, 150] == pytest.approx((1.0, -0.6, -1.0))


def test_a_small_visitor_fills_the_square_of_the_network() -> None:
    """A person of 24 px in a picture of 640 px was 11 px in the square.  Their surroundings are enlarged."""
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[100:148, 300:324] = 255
    moved = (300 / 640, 100 / 360, 324 / 640, 148 / 360)
    [found] = ObjectDetector(FakeNetwork(bright_person).infer).detect(picture, moved)
    assert found.box == pytest.approx(moved, abs=0.02)
    pixels, _placing = fit(picture, 300, surroundings(moved, 640, 360))
    assert float((pixels[0, ..., 0] > 0.9).sum()) > 24 * 48


def test_there_is_an_anchor_for_every_answer_of_the_network() -> None:
    anchors = object_anchors()
    assert anchors.shape == (1917, 4)
    assert np.all(anchors[:, :2] > 0)
    assert np.all(anchors[:, :2] < 1)
    assert np.all(anchors[:, 2:] > 0)


@given(box=boxes(), score=st.floats(0.3, 0.99))
def test_a_box_is_decoded_as_it_was_meant(box: Box, score: float) -> None:
    answer, logits = FakeNetwork(lambda _pixels: [(ObjectLabel.PERSON, box, score)]).infer(
        np.zeros((1, 300, 300, 3), np.float32)
    )
    [(found, its_score)] = decode_objects(answer, logits, CLASSES[ObjectLabel.PERSON], 0.25)
    assert found == pytest.approx(box, abs=1e-4)
    assert its_score == pytest.approx(score, abs=1e-4)
    assert decode_objects(answer, logits, CLASSES[ObjectLabel.VEHICLE], 0.25) == []


def test_answers_that_are_no_numbers_are_no_sightings() -> None:
    logits = np.full((1917, 24), np.nan, np.float32)
    answer = np.full((1917, 4), np.nan, np.float32)
    assert decode_objects(answer, logits, (4,), 0.3) == []
    logits[:, 4], answer[:] = 9, np.inf
    assert decode_objects(answer, logits, (4,), 0.3) == []
    assert decode_faces(np.full((2304, 16), np.nan, np.float32), np.full((2304, 1), 9, np.float32), 0.5) == []


def test_a_network_of_another_shape_is_not_decoded() -> None:
    with pytest.raises(FormatError):
        decode_objects(np.zeros((10, 4), np.float32), np.zeros((10, 24), np.float32), (4,), 0.3)
    with pytest.raises(FormatError):
        decode_faces(np.zeros((2304, 4), np.float32), np.zeros((2304, 1), np.float32), 0.3)


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


def test_near_faces_are_looked_for_only_when_no_person_was_found() -> None:
    asked = []

    def faces(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(pixels.shape)
        boxes = np.zeros((2304, 16), np.float32)
        logits = np.full((2304, 1), -9, np.float32)
        boxes[1000, 2:4] = 60
        logits[1000] = 5
        return boxes, logits

    def nothing(_pixels: np.ndarray) -> Seen:
        return []

    luma = np.full((240, 320), 90, np.uint8)
    [face] = ObjectDetector(FakeNetwork(nothing).infer, faces).detect(luma)
    assert (face.label, len(asked)) == (ObjectLabel.PERSON, 1)
    luma[100:220, 200:260] = 255
    sees = fake_eye()
    person = ObjectDetector(sees._objects, faces)
    assert len(person.detect(luma)) == 1
    assert len(asked) == 1


def test_an_encoded_box_is_near_its_anchor() -> None:
    box = (0.4, 0.4, 0.6, 0.6)
    assert np.all(np.abs(encoded(box, nearest_anchor(box))) < 10)
