"""Only the networks that are known are loaded, and what is missing is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
