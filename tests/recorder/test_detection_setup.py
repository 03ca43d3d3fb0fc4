"""Object detection is on if it is wanted and the network is there; else it says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.config import Configuration
from agent.config.settings import ObjectDetectionConfig, ObjectDetectionUse
from agent.recorder import detection_setup, detector_opencv
from agent.recorder.detection_setup import make_object_detection, why_unavailable
from firmware_bridge.boards import BoardName
from firmware_bridge.settings import BoardConfig
from tests.networks import fake_eye
from tests.recorder.test_object_detection import Owner, until


def configured(use: ObjectDetectionUse, models: Path | None = None, board: BoardName = BoardName.PI_5) -> Configuration:
    return Configuration(
        object_detection=ObjectDetectionConfig(use=use, models=models), board=BoardConfig(profile=board)
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a file of the network's name."""
    for name in detector_opencv.SHA256:
        (tmp_path / name).write_bytes(b"no network")
    return tmp_path


def test_it_is_off_if_it_is_switched_off(models: Path) -> None:
    wanted = configured(ObjectDetectionUse.OFF, models)
    assert why_unavailable(wanted) == "It is switched off."
    with capture_logs() as lines:
        status = make_object_detection(wanted, Owner()).status()
    assert (status.state, status.detail, lines) == ("off", "It is switched off.", [])


@pytest.mark.parametrize("board", [BoardName.ZERO_2_W, BoardName.PI_3, BoardName.PI_5])
def test_every_board_has_it_if_it_is_installed(models: Path, board: BoardName) -> None:
    for use in (ObjectDetectionUse.AUTO, ObjectDetectionUse.ON):
        assert why_unavailable(configured(use, models, board)) == ""


def test_a_missing_network_is_named_with_its_folder(models: Path) -> None:
    empty = models / "empty"
    assert str(empty) in why_unavailable(configured(ObjectDetectionUse.AUTO, empty))
    (models / detector_opencv.OBJECTS).unlink()
    assert detector_opencv.OBJECTS in why_unavailable(configured(ObjectDetectionUse.AUTO, models))


def test_the_usual_folder_is_taken_if_none_is_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection_setup, "MODELS", models)
    opened: list[Path] = []
    monkeypatch.setattr(detection_setup, "open_detector", lambda folder: opened.append(folder) or fake_eye())
    assert why_unavailable(configured(ObjectDetectionUse.AUTO)) == ""
    for folder in (None, models / "empty"):
        monkeypatch.setattr(detection_setup, "absent", lambda _folder: "")
        detection = make_object_detection(configured(ObjectDetectionUse.AUTO, folder), Owner())
        assert opened == [], "nothing is loaded before the start"
        detection.start()
        until(lambda: opened)
        detection.stop()
        assert opened == [folder or models]
        opened.clear()


@pytest.mark.parametrize(("use", "warns"), [(ObjectDetectionUse.ON, True), (ObjectDetectionUse.AUTO, False)])
def test_who_asked_for_it_is_warned_if_it_cannot_be(tmp_path: Path, use: ObjectDetectionUse, warns: bool) -> None:
    with capture_logs() as lines:
        status = make_object_detection(configured(use, tmp_path), Owner()).status()
    assert status.state == "off"
    assert status.detail != ""
    assert [line["event"] for line in lines] == ["no_object_detection"] * warns


def test_detection_works_behind_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped: list[int] = []
    monkeypatch.setattr(detection_setup, "work_behind", lambda: stepped.append(1))
    detection = make_object_detection(configured(ObjectDetectionUse.OFF), Owner(), fake_eye)
    assert detection.status().state == "running", "networks that are handed in count as installed"
    detection.start()
    until(lambda: stepped)
    detection.stop()
