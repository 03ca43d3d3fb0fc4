"""Covers of heads and of whole vehicles: where the network finds them, and how far the covers reach."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.clients.media.face_covers import Suggestion
from agent.clients.media.object_network import REGIONS, FoundObjects, ObjectNetwork, head_of
from agent.clients.media.pinned_file import OBJECTS_SHA256
from agent.clients.media.suggest import heads_in, is_colourless, suggest_covers
from agent.core.object_detection.arrays import Numbers
from agent.core.object_detection.boxes import CLASSES_FROM, OBJECTS_PX, object_cells
from agent.core.vault.redactions import Redaction, RedactionKind, covered_pixels, place_at
from agent.errors import ConfigurationError
from tests.faces import film_of

ROOT = Path(__file__).parents[3]
WIDTH, HEIGHT, PER_S = 320, 192, 10
CAR, PERSON = 2, 0


class Network:
    """Answers as the network does: an object of a class in one cell for each dark rectangle of its square."""

    def __init__(self, kind: int, score: float) -> None:
        self._kind, self._score = kind, score
        self._square = np.zeros(0)

    def setInput(self, blob: Numbers) -> None:
        self._square = blob[0].mean(axis=0)

    def forward(self) -> Numbers:
        cells = object_cells()
        rows = np.zeros((1, len(cells), CLASSES_FROM + 80), np.float32)
        down, across = np.nonzero(self._square < 40)
        if down.size:
            left, right, top, bottom = across.min(), across.max() + 1, down.min(), down.max() + 1
            finest = np.where(cells[:, 2] * OBJECTS_PX == 8, 0, np.inf)
            place = int(np.argmin(abs(cells[:, 0] * 8 - left) + abs(cells[:, 1] * 8 - top) + finest))
            column, line = cells[place, :2]
            rows[0, place, :4] = [
                (left + right) / 16 - column, (top + bottom) / 16 - line,
                np.log((right - left) / 8), np.log((bottom - top) / 8),
            ]  # fmt: skip
            rows[0, place, 4], rows[0, place, CLASSES_FROM + self._kind] = self._score, 1
        return rows


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int, float], Path]:
    def made(kind: int, score: float) -> Path:
        monkeypatch.setattr("agent.clients.media.object_network.read_pinned", lambda _path, _sha256: b"a network")
        monkeypatch.setattr(cv2.dnn, "readNetFromONNX", lambda _data: Network(kind, score))
        return tmp_path

    return made


def picture(left: int, top: int, right: int, bottom: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    made = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    made[top:bottom, left:right] = 0
    return made


def test_it_is_the_network_of_the_doorbell_and_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import fetch_models

    assert fetch_models.MODEL.sha256 == OBJECTS_SHA256
    sys.modules.pop("fetch_models")
    (tmp_path / "objects.onnx").write_bytes(b"another")
    with pytest.raises(ConfigurationError, match="not the file that is known"):
        ObjectNetwork(tmp_path / "objects.onnx")


def hidden_at(covers: list[Suggestion], at_ms: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    for each in covers:
        if each.from_ms <= at_ms <= each.until_ms:
            cover = Redaction(each.kind, each.from_ms, each.until_ms, each.places)
            left, top, right, bottom = covered_pixels(place_at(cover, at_ms), WIDTH, HEIGHT)
            hidden[top:bottom, left:right] = True
    return hidden


@pytest.mark.parametrize(("kind", "of"), [(CAR, "vehicles"), (PERSON, "people")])
def test_an_object_has_its_place_in_the_picture_and_one_kind(
    network: Callable[[int, float], Path], kind: int, of: str
) -> None:
    found = ObjectNetwork(network(kind, 0.2)).find(picture(32, 48, 128, 96))
    ((score, box), *_others) = getattr(found, of)
    assert score == pytest.approx(0.2)
    assert box == pytest.approx((0.1, 0.25, 0.4, 0.5), abs=0.03)
    assert (found.vehicles, found.people)[kind == CAR] == ()
    assert ObjectNetwork(network(kind, 0.1)).find(picture(32, 48, 128, 96)) == FoundObjects()


def test_each_place_of_the_picture_is_in_three_parts_but_for_the_rim() -> None:
    assert len(REGIONS) == 10
    for x, y in ((0.3, 0.3), (0.5, 0.5), (0.7, 0.6)):
        assert sum(left <= x <= right and top <= y <= bottom for left, top, right, bottom in REGIONS) >= 3


def test_a_vehicle_is_covered_whole_in_each_picture_and_not_much_more(network: Callable[[int, float], Path]) -> None:
    path = network(CAR, 0.2)
    boxes = [(30 + 4 * at, 60, 110 + 4 * at, 140) for at in range(3)]
    film = film_of([picture(*box) for box in boxes], PER_S)
    covers = suggest_covers([(film, 300)], vehicles=path)
    assert {each.kind for each in covers} == {RedactionKind.AREA}
    assert max(each.score for each in covers) == pytest.approx(0.2), "an owner reads how sure the network is"
    for number, (left, top, right, bottom) in enumerate(boxes):
        hidden = hidden_at(covers, 100 * number)
        assert hidden[top:bottom, left:right].mean() >= 0.98
        # Whole macroblocks of 16 pixels, and what may move until the next look.
        assert hidden.sum() <= 2.6 * (right - left) * (bottom - top)
    assert suggest_covers([(film, 300)], people=path) == []


def test_the_head_of_a_body_without_a_face_is_covered_and_its_legs_are_seen(
    network: Callable[[int, float], Path],
) -> None:
    path = network(PERSON, 0.2)
    boxes = [(100 + 4 * at, 24, 140 + 4 * at, 168) for at in range(3)]
    film = film_of([picture(*box) for box in boxes], PER_S)
    covers = suggest_covers([(film, 300)], people=path)
    assert {each.kind for each in covers} == {RedactionKind.FACE}
    for number, (left, top, right, bottom) in enumerate(boxes):
        hidden = hidden_at(covers, 100 * number)
        assert hidden[top : top + (bottom - top) // 4, left:right].mean() >= 0.98
        assert not hidden[top + (bottom - top) * 2 // 3 :].any()
    assert suggest_covers([(film, 300)], people=path, vehicles=path) == covers
    assert suggest_covers([(film, 300)], vehicles=path) == []


def test_a_part_that_cuts_off_a_body_finds_no_head_in_its_middle(network: Callable[[int, float], Path]) -> None:
    """Without this, a part below the head would have a cover over the waist."""
    box = 16, 8, 304, 184
    tops = [each[1] for _score, each in ObjectNetwork(network(PERSON, 0.2)).find(picture(*box)).people]
    assert tops
    assert max(tops) < 0.1
    low = ObjectNetwork(network(PERSON, 0.2)).find(picture(120, 110, 160, 180)).people
    assert low[0][1] == pytest.approx((120 / WIDTH, 110 / HEIGHT, 160 / WIDTH, 180 / HEIGHT), abs=0.03)


def test_the_head_is_in_the_upper_third_of_a_standing_body_and_lower_in_a_wide_one() -> None:
    assert head_of((0.4, 0.2, 0.5, 0.8), 300, 300) == pytest.approx((0.4, 0.2, 0.5, 0.4))
    assert head_of((0.2, 0.2, 0.7, 0.8), 300, 300) == pytest.approx((0.2, 0.2, 0.7, 0.575))
    assert head_of((0.2, 0.2, 0.7, 0.8), 200, 400) == pytest.approx((0.2, 0.2, 0.7, 0.4))
    assert head_of((0.1, 0.5, 0.9, 0.8), 300, 300) == pytest.approx((0.1, 0.5, 0.9, 0.8))


BODY = (0.4, 0.2, 0.6, 0.8)
"""Its head is in (0.4, 0.2, 0.6, 0.4)."""
FACE = (0.47, 0.22, 0.53, 0.3)


@pytest.mark.parametrize(
    ("score", "face", "covered"),
    [
        (0.8, FACE, False),
        (0.79, FACE, True),
        (0.9, (0.43, 0.22, 0.46, 0.3), True),  # at the rim: perhaps a person in front
        (0.9, (0.54, 0.22, 0.6, 0.3), True),
        (0.9, (0.47, 0.3, 0.53, 0.38), True),  # at the lower end: perhaps a child in front
        (0.9, (0.47, 0.1, 0.53, 0.18), True),
        (0.9, (0.49, 0.24, 0.52, 0.28), True),  # small: perhaps on a shirt
    ],
)
def test_by_day_a_body_with_a_sure_face_in_its_place_needs_no_cover_of_its_head(
    score: float, face: tuple[float, float, float, float], covered: bool
) -> None:
    by_day = np.full((HEIGHT, HEIGHT, 3), (90, 100, 110), np.uint8)
    found = FoundObjects(people=((0.5, BODY),))
    faces = [(0.9, (0.0, 0.0, 0.1, 0.1)), (score, face)]
    assert bool(heads_in(by_day, found, faces)) is covered
    by_infrared = np.full((HEIGHT, HEIGHT, 3), 100, np.uint8)
    assert heads_in(by_infrared, found, faces) == [(0.5, pytest.approx((0.4, 0.2, 0.6, 0.4)))]


@pytest.mark.parametrize(("blue", "colourless"), [(100, True), (103, True), (96, False), (104, False)])
def test_a_picture_is_colourless_if_its_channels_are_alike(blue: int, colourless: bool) -> None:
    assert is_colourless(np.full((HEIGHT, WIDTH, 3), (blue, 100, 100), np.uint8)) is colourless
