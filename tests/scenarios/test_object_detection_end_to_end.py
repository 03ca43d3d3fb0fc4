"""Detected objects are sealed, their owner reads them, and an event is never deleted for them.

With a network that sees the objects that the test names and, if they are installed (`make models`), the real ones on
real footage.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.segment_sources import EVERYTHING_MS, DeviceVault
from agent.clients.owner.sync import sync
from agent.config import Configuration
from agent.config.settings import ClipsConfig, DeviceConfig
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import ObjectLabel
from agent.core.vault.manifest import read_chain
from agent.core.vault.records import EvictionRecord
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.ports import Camera
from agent.recorder import detection_setup, object_detection
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.recorder.capture.delivery import EncodingSettings
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from tests.networks import FakeNetwork, everywhere, real_eye, real_models

CLIPS = ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2)


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer waits until each frame has been examined, as the detector says itself, on a machine of any speed.

    A film plays as fast as it can. The writer waits some seconds for a segment's labels, and the detector has a low
    priority, so on a busy machine the film would be over first. tests/recorder/test_detection_setup.py shows the
    priority.
    """
    monkeypatch.setattr(object_detection, "_FOOTAGE_WAITS_S", 3600.0)
    monkeypatch.setattr(detection_setup, "work_behind", lambda: None)


def a_visit() -> Camera:
    """A person comes at 4 s and has gone at 9 s; nothing happens before 4 s and after."""
    return ScriptedCamera([Visit(4.0)], duration_s=16, size_px=(320, 240), frames_per_s=10)


def seeing(sight: ObjectLabel) -> Callable[[], ObjectDetector]:
    return lambda: ObjectDetector(FakeNetwork(everywhere(sight)).infer)


class Owner:
    def __init__(self, solo: Solo, folder: Path) -> None:
        self.solo = solo
        self.keys = OwnerKeys.create(folder / "owner")
        self._socket = folder / "state" / "control.sock"
        with DeviceLink(self._socket) as link:
            enrol(link, self.keys)

    def reads(self) -> list[tuple[tuple[ObjectLabel, ...] | None, tuple[ObjectLabel, ...] | None]]:
        """(segment's, its poster's) of everything stored, in order."""
        with DeviceLink(self._socket) as link:
            source = DeviceVault(link, sync(link, self.keys).key)
            found = []
            for item in source.listed(0, EVERYTHING_MS):
                context = source.open(item.id, (self.keys.identity,)).context
                assert context is not None
                still = source.poster(item.id, (self.keys.identity,)).context.seen if item.poster else None
                found.append((context.seen, still))
        return found


@contextmanager
def doorbell(folder: Path, camera: Callable[[], Camera], **more: Any) -> Iterator[Owner]:
    StateFolder(folder / "state").initialise(private_key_from_seed(os.urandom(32)))
    solo = Solo(Configuration(device=DeviceConfig(state_dir=folder / "state"), clips=CLIPS), open_camera=camera, **more)
    try:
        solo.start()
        yield Owner(solo, folder)
    finally:
        solo.stop()
        solo.close()


def test_what_was_seen_is_sealed_in_segment_and_poster_and_its_owner_reads_it(tmp_path: Path) -> None:
    with doorbell(tmp_path, a_visit, open_detector=seeing(ObjectLabel.PERSON)) as owner:
        owner.solo.record()
        read = owner.reads()
        assert (ObjectLabel.PERSON,) in [segment for segment, _still in read]
        assert [still for _segment, still in read if still is not None] == [(ObjectLabel.PERSON,)]
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert {"manifest.0"} <= {path.name for path in files}
    assert any(path.name.startswith("index") and path.suffix == ".sqlite" for path in files)
    assert any(path.suffix == ".age" for path in files)
    assert [path for path in files if b"person" in path.read_bytes()] == []


def test_the_owner_is_shown_it_where_they_open_their_footage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with doorbell(tmp_path, a_visit, open_detector=seeing(ObjectLabel.ANIMAL)) as owner:
        owner.solo.record()
        socket = str(tmp_path / "state" / "control.sock")
        where = ["--keys", str(tmp_path / "owner"), "--device", socket, "--from", "1970-01-01", "--out", str(tmp_path)]
        capsys.readouterr()
        assert run(doorward, ["owner", "open", *where]) == 0
        assert "segments  animal\n" in capsys.readouterr().out
        assert run(doorward, ["owner", "open", "--json", *where]) == 0
        assert json.loads(capsys.readouterr().out)["clips"][0]["seen"] == ["animal"]
        config = tmp_path / "doorward.toml"
        config.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n')
        assert run(doorward, ["status", "--config", str(config)]) == 0
        assert re.search(r"detection +[0-9]+ inferences, [0-9]+ ms each\n", capsys.readouterr().out)


def test_a_clip_in_which_nothing_is_certain_is_called_unsure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> ObjectDetector:
        return ObjectDetector(FakeNetwork(lambda _pixels: []).infer)

    with doorbell(tmp_path, a_visit, open_detector=none) as owner:
        owner.solo.record()
        assert {segment for segment, _still in owner.reads()} <= {(), None}
        socket = str(tmp_path / "state" / "control.sock")
        where = ["--keys", str(tmp_path / "owner"), "--device", socket, "--from", "1970-01-01", "--out", str(tmp_path)]
        capsys.readouterr()
        assert run(doorward, ["owner", "open", *where]) == 0
        assert "segments  unsure what\n" in capsys.readouterr().out
        assert run(doorward, ["owner", "open", "--json", *where]) == 0
        assert json.loads(capsys.readouterr().out)["clips"][0]["seen"] == []


@pytest.mark.parametrize("sight", [None, ObjectLabel.VEHICLE])
def test_an_event_stays_whatever_was_seen(tmp_path: Path, sight: ObjectLabel | None) -> None:
    def open_detector() -> ObjectDetector:
        return ObjectDetector(FakeNetwork(everywhere(sight) if sight else lambda _pixels: []).infer)

    with doorbell(tmp_path, a_visit, open_detector=open_detector) as owner:
        owner.solo.record()
        assert owner.solo.recorder.status().object_detection.inferences >= 4
        assert len(owner.reads()) >= 3
    lines = (tmp_path / "state" / "vault" / "manifest.0").read_bytes().splitlines(keepends=True)
    assert not [step for step in read_chain(lines) if step.signed and isinstance(step.signed.record, EvictionRecord)]


def test_a_board_that_is_warm_keeps_everything_and_looks_at_nothing(tmp_path: Path) -> None:
    with doorbell(tmp_path, a_visit, open_detector=seeing(ObjectLabel.VEHICLE)) as owner:
        owner.solo.recorder.set_throttle_level(1)
        owner.solo.record()
        status = owner.solo.recorder.status()
        assert (status.object_detection.state, status.object_detection.inferences) == ("paused", 0)
        assert {segment for segment, _still in owner.reads()} == {None}


# --- The real networks


@pytest.fixture(scope="module")
def object_detector() -> ObjectDetector:
    return real_eye()


def luma_of(film: Path, every_s: float, until_s: float) -> Iterator[Any]:
    """Yields the frames of a film that the analysis gets now and then, decoded as the file camera does."""
    with av.open(str(film)) as container:
        due_s = 0.0
        for picture in container.decode(video=0):
            if picture.time is None or picture.time > until_s:
                return
            if picture.time >= due_s:
                due_s += every_s
                height = 320 * picture.height // picture.width // 2 * 2
                yield picture.reformat(320, height, "gray", interpolation="AREA").to_ndarray()


@pytest.mark.footage
def test_people_are_found_in_real_footage(object_detector: ObjectDetector, footage: Path) -> None:
    looks = [object_detector.detect(luma) for luma in luma_of(footage, 4, 79)]
    with_people = [any(detection.label is ObjectLabel.PERSON for detection in look) for look in looks]
    assert len(looks) >= 19
    assert sum(with_people) >= len(looks) - 1


@pytest.mark.footage
def test_nobody_is_found_in_an_empty_room(object_detector: ObjectDetector, shared: Path) -> None:
    looks = [object_detector.detect(luma) for luma in luma_of(shared / "clips" / "office.mp4", 2, 22)]
    assert len(looks) >= 10
    assert not [detection for look in looks for detection in look if detection.label is ObjectLabel.PERSON]


@pytest.mark.footage
def test_a_man_at_a_real_door_is_named_in_what_is_sealed(tmp_path: Path, shared: Path) -> None:
    real_models()
    film = shared / "clips" / "doorbell.mkv"
    with doorbell(tmp_path, lambda: FileCamera(film, settings=EncodingSettings(preset="ultrafast"))) as owner:
        owner.solo.record()
        assert (ObjectLabel.PERSON,) in [segment for segment, _still in owner.reads()]
