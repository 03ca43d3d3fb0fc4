"""The contract of every network, the real ones and the one for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from agent.core.object_detection.boxes import FACES_PX, OBJECTS_PX, decode_faces, decode_objects
from agent.errors import DeviceError
from agent.ports import Network
from agent.recorder.detector_litert import FACES, OBJECTS, LiteRtNetwork
from tests.networks import FakeNetwork, bright_person, real_models


@dataclass(frozen=True)
class Kind:
    make: Callable[[], Network]
    side_px: int
    boxes: tuple[int, int]
    logits: tuple[int, int]


NETWORKS = {
    "fake": Kind(lambda: FakeNetwork(bright_person), OBJECTS_PX, (1917, 4), (1917, 24)),
    "objects": Kind(lambda: LiteRtNetwork(real_models(), OBJECTS), OBJECTS_PX, (1917, 4), (1917, 24)),
    "faces": Kind(lambda: LiteRtNetwork(real_models(), FACES), FACES_PX, (2304, 16), (2304, 1)),
}


@pytest.fixture(params=NETWORKS, scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    return NETWORKS[request.param]


@pytest.fixture(scope="module")
def network(kind: Kind) -> Network:
    return kind.make()


def picture(side_px: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, side_px, side_px, 3)).astype(np.float32)


def test_it_answers_one_row_for_each_anchor(kind: Kind, network: Network) -> None:
    boxes, logits = network.infer(picture(kind.side_px))
    assert (boxes.shape, boxes.dtype, logits.shape, logits.dtype) == (kind.boxes, np.float32, kind.logits, np.float32)
    decode = (
        decode_objects(boxes, logits, (4,), 0.5) if kind.side_px == OBJECTS_PX else decode_faces(boxes, logits, 0.5)
    )
    assert isinstance(decode, list)


def test_the_same_picture_gets_the_same_answer(kind: Kind, network: Network) -> None:
    first = network.infer(picture(kind.side_px))
    network.infer(picture(kind.side_px, seed=2))
    again = network.infer(picture(kind.side_px))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_answer_is_the_callers_to_keep(kind: Kind, network: Network) -> None:
    boxes, _logits = network.infer(picture(kind.side_px))
    kept = boxes.copy()
    network.infer(picture(kind.side_px, seed=2))
    assert np.array_equal(boxes, kept)
    boxes[:] = 7
    assert not np.array_equal(network.infer(picture(kind.side_px))[0], boxes)


def test_the_picture_is_only_read(kind: Kind, network: Network) -> None:
    given = picture(kind.side_px)
    kept = given.copy()
    network.infer(given)
    assert np.array_equal(given, kept)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 10, 10, 3), np.float32), np.zeros((300, 300, 3), np.float32), np.zeros((1, 300, 300, 3))]
)
def test_another_size_is_refused(network: Network, wrong: np.ndarray) -> None:
    with pytest.raises(DeviceError):
        network.infer(wrong)
