"""Only the network that is known is loaded, and a missing one is said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.errors import ConfigurationError, DeviceError
from agent.recorder import detector_opencv
from agent.recorder.detector_opencv import OBJECTS, SHA256, OpenCvNetwork, absent

ROOT = Path(__file__).parents[2]


def test_set_up_fetches_the_network_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import fetch_models

    assert {fetch_models.MODEL.name: fetch_models.MODEL.sha256} == SHA256
    assert ROOT / "models" == detector_opencv.MODELS
    sys.modules.pop("fetch_models")


def test_another_network_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / OBJECTS).write_bytes(b"ONNX" + bytes(1000))
    with pytest.raises(DeviceError, match="not the one that is known"):
        OpenCvNetwork(tmp_path)


def test_a_missing_one_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        OpenCvNetwork(tmp_path)
    assert "make models" in refused.value.remedy
    assert absent(tmp_path) == f"Object detection lacks {OBJECTS} in {tmp_path}."


def test_loading_it_says_nothing_of_its_own() -> None:
    if missing := absent():
        pytest.skip(missing)
    code = "from agent.recorder.detector_opencv import open_detector; open_detector()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_file_that_opencv_cannot_load_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / OBJECTS).write_bytes(b"no network")
    monkeypatch.setitem(SHA256, OBJECTS, hashlib.sha256(b"no network").hexdigest())
    with pytest.raises(DeviceError, match="cannot be loaded"):
        OpenCvNetwork(tmp_path)


@pytest.mark.skipif(bool(absent()), reason=absent())
def test_a_network_takes_a_square_of_its_own_size_and_a_failure_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = OpenCvNetwork(detector_opencv.MODELS)
    for wrong in (np.zeros((320, 321, 3), np.uint8), np.zeros((320, 320, 3), np.float32)):
        with pytest.raises(DeviceError, match="a square of 320 px"):
            network.infer(wrong)

    class Broken:
        def setInput(self, *_arguments: object) -> None:
            raise cv2.error("out of memory")

    monkeypatch.setattr(network, "_net", Broken())
    with pytest.raises(DeviceError, match="could not be run: out of memory"):
        network.infer(np.zeros((320, 320, 3), np.uint8))


@pytest.mark.skipif(bool(absent()), reason=absent())
def test_a_network_leaves_the_other_cores_to_the_recording() -> None:
    cv2.setNumThreads(2)
    try:
        OpenCvNetwork(detector_opencv.MODELS)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(-1)
