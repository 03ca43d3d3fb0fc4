"""Only the networks that are known are loaded, and what is missing is said."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.errors import ConfigurationError, DeviceError
from agent.recorder import detector_litert
from agent.recorder.detector_litert import OBJECTS, SHA256, LiteRtNetwork, absent

ROOT = Path(__file__).parents[2]


def test_set_up_fetches_the_networks_that_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import fetch_models

    assert {model.name: model.sha256 for model in fetch_models.MODELS} == SHA256
    assert ROOT / "models" == detector_litert.MODELS
    sys.modules.pop("fetch_models")


def test_another_network_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / OBJECTS).write_bytes(b"TFL3" + bytes(1000))
    with pytest.raises(DeviceError, match="not the one that is known"):
        LiteRtNetwork(tmp_path, OBJECTS)


def test_a_missing_one_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        LiteRtNetwork(tmp_path, OBJECTS)
    assert "make models" in refused.value.remedy
    assert OBJECTS in absent(tmp_path) or "not installed" in absent(tmp_path)


def test_nothing_of_the_library_is_loaded_before_a_network_is() -> None:
    code = "import sys, agent.solo, agent.recorder.recorder_process; print([m for m in sys.modules if 'litert' in m])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['agent.recorder.detector_litert']"


def test_loading_them_says_nothing_of_its_own() -> None:
    if missing := absent():
        pytest.skip(missing)
    code = "from agent.recorder.detector_litert import open_detector; open_detector()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_what_is_more_than_information_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with detector_litert._no_mere_information():
        os.write(2, b"INFO: Created a delegate.\nERROR: It does not work.\n")
    os.write(2, b"INFO: afterwards\n")
    assert capfd.readouterr().err == "ERROR: It does not work.\nINFO: afterwards\n"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that has the known hash, and is no network."""
    (tmp_path / OBJECTS).write_bytes(b"no network")
    monkeypatch.setitem(SHA256, OBJECTS, hashlib.sha256(b"no network").hexdigest())
    return tmp_path


def test_without_the_library_the_remedy_is_told(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ConfigurationError, match="ai_edge_litert is not installed") as refused:
        LiteRtNetwork(known, OBJECTS)
    assert "make models" in refused.value.remedy
    monkeypatch.setattr(detector_litert.importlib.util, "find_spec", lambda _name: None)
    assert absent(known) == "ai_edge_litert is not installed."


@pytest.mark.skipif(bool(absent()), reason=absent())
def test_a_file_that_the_library_cannot_load_is_told(known: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be loaded"):
        LiteRtNetwork(known, OBJECTS)


@pytest.mark.skipif(bool(absent()), reason=absent())
def test_a_network_takes_a_square_of_its_own_size_and_a_failure_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = LiteRtNetwork(detector_litert.MODELS, OBJECTS)
    side = network._side_px
    boxes, logits = network.infer(np.zeros((1, side, side, 3), np.float32))
    assert boxes.shape[-1] == 4
    assert len(boxes) == len(logits)
    for wrong in (np.zeros((1, side, side + 1, 3), np.float32), np.zeros((1, side, side, 3), np.float64)):
        with pytest.raises(DeviceError, match=f"a square of {side} px"):
            network.infer(wrong)

    class Broken:
        def set_tensor(self, *_arguments: object) -> None:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "_interpreter", Broken())
    with pytest.raises(DeviceError, match="could not be run: out of memory"):
        network.infer(np.zeros((1, side, side, 3), np.float32))


def test_native_code_says_its_errors_without_its_information_and_no_file_stays_open(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def says(words: bytes, fault: Exception | None = None) -> None:
        with detector_litert._no_mere_information():
            os.write(2, words)
            if fault is not None:
                raise fault

    def open_files() -> list[Path]:
        return sorted(Path("/proc/self/fd").iterdir())

    before = open_files()
    for _ in range(2):
        says(b"INFO: made by XNNPACK\nERROR: it is broken\n")
    with pytest.raises(ZeroDivisionError):
        says(b"ERROR: before the fault\n", ZeroDivisionError())
    assert open_files() == before
    assert capfd.readouterr().err == "ERROR: it is broken\n" * 2 + "ERROR: before the fault\n"
