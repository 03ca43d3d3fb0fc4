"""The contract of every network, the real one and the one for tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.core.object_detection.boxes import OBJECTS_PX, decode
from agent.errors import DeviceError
from agent.ports import Network
from agent.recorder.detector_opencv import OpenCvNetwork
from tests.networks import FakeNetwork, bright_person, real_models

NETWORKS: dict[str, Callable[[], Network]] = {
    "fake": lambda: FakeNetwork(bright_person),
    "objects": lambda: OpenCvNetwork(real_models()),
}


@pytest.fixture(params=NETWORKS, scope="module")
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]()


def picture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (OBJECTS_PX, OBJECTS_PX, 3), np.uint8)


def test_it_answers_one_row_for_each_cell(network: Network) -> None:
    answer = network.infer(picture())
    assert (answer.shape, answer.dtype) == ((2100, 85), np.float32)
    assert isinstance(decode(answer, (0,), 0.5), list)


def test_the_same_picture_gets_the_same_answer(network: Network) -> None:
    first = network.infer(picture())
    network.infer(picture(seed=2))
    again = network.infer(picture())
    assert np.array_equal(first, again)


def test_an_answer_is_the_callers_to_keep(network: Network) -> None:
    answer = network.infer(picture())
    kept = answer.copy()
    network.infer(picture(seed=2))
    assert np.array_equal(answer, kept)
    answer[:] = 7
    assert not np.array_equal(network.infer(picture()), answer)


def test_the_picture_is_only_read(network: Network) -> None:
    given = picture()
    kept = given.copy()
    network.infer(given)
    assert np.array_equal(given, kept)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((10, 10, 3), np.uint8), np.zeros((1, 320, 320, 3), np.uint8), np.zeros((320, 320, 3), np.float32)],
)
def test_another_size_is_refused(network: Network, wrong: np.ndarray) -> None:
    with pytest.raises(DeviceError):
        network.infer(wrong)
