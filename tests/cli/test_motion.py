"""`doorward motion` shows the detector's result on a scene with known truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.lengths import LONG
from tests.networks import real_models

FRAMES_PER_S = 10
DURATION_S = 12
VISIT_S = (5.0, 8.0)


def film(path: Path, codec: str) -> Path:
    """Twelve seconds of a still wall. A person in a loud coat crosses it between 5 and 8 s."""
    chance = np.random.default_rng(3)
    wall = np.kron(chance.integers(110, 170, (30, 40)), np.ones((8, 8))).astype(np.uint8)
    coat = np.kron(chance.integers(0, 255, (20, 8)), np.ones((8, 8))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FRAMES_PER_S)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(FRAMES_PER_S * DURATION_S):
            grey = wall.copy()
            at_s = number / FRAMES_PER_S
            if VISIT_S[0] <= at_s <= VISIT_S[1]:
                left = int((at_s - VISIT_S[0]) / (VISIT_S[1] - VISIT_S[0]) * 250)
                grey[60:220, left : left + 64] = coat
            picture = av.VideoFrame.from_ndarray(np.stack([grey] * 3, axis=-1), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("footage") / "visit.mp4", "libx264")


def test_a_visit_is_shown_as_one_event_with_its_cost(visit: Path, tool: Callable[..., Any]) -> None:
    seen = tool("motion", visit, "--json")
    [report] = json.loads(seen.out)["files"]
    [event] = report["events"]
    assert seen.status == 0
    assert abs(event["start_s"] - VISIT_S[0]) < 1
    assert abs(event["end_s"] - VISIT_S[1]) < 2
    assert event["score"] >= 0.5
    assert report["frames"] == FRAMES_PER_S * DURATION_S
    assert report["cpu_ms_per_frame"] > 0


def test_the_text_has_a_line_for_each_event(visit: Path, tool: Callable[..., Any]) -> None:
    seen = tool("motion", visit)
    assert "120 frames" in seen.out
    assert "event   1" in seen.out
    assert seen.err == ""


def test_labels_turn_events_into_a_score(visit: Path, tmp_path: Path, tool: Callable[..., Any]) -> None:
    labels = tmp_path / "labels.json"
    truth = {"file": visit.name, "duration_s": DURATION_S, "events_s": [VISIT_S]}
    labels.write_text(json.dumps({"visit": truth, "other": truth | {"file": "other.mp4", "events_s": []}}))
    assert json.loads(tool("motion", visit, "--labels", labels, "--json").out)["labels"]["f1"] == 1
    assert "1 seen, 0 missed, 0 false" in tool("motion", visit, "--labels", labels).out


def test_an_exclude_zone_over_the_visit_silences_it(visit: Path, tmp_path: Path, tool: Callable[..., Any]) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text(
        '[[motion.zones]]\nname = "street"\nkind = "exclude"\ncorners = [[0, 0.1], [1, 0.1], [1, 1], [0, 1]]\n'
    )
    assert "nothing moved" in tool("motion", visit, "--config", path).out


def test_a_video_that_ends_in_the_middle_is_shown_to_there_and_called_that(
    tmp_path: Path, tool: Callable[..., Any]
) -> None:
    whole = film(tmp_path / "whole.avi", "mpeg4")
    half = tmp_path / "half.avi"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    seen = tool("motion", half)
    assert seen.status == 1
    assert "Note: The video" in seen.out


@pytest.mark.parametrize("content", [b"", b"words", b"\0" * 5000])
def test_what_is_not_a_video_is_refused_in_words(content: bytes, tmp_path: Path, tool: Callable[..., Any]) -> None:
    path = tmp_path / "not.mp4"
    path.write_bytes(content)
    seen = tool("motion", path)
    assert seen.status == 2
    assert "is not a video that can be played" in seen.err


def test_labels_that_are_none_are_refused_in_words(visit: Path, tmp_path: Path, tool: Callable[..., Any]) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('{"visit": {"events_s": "soon"}}')
    seen = tool("motion", visit, "--labels", labels)
    assert seen.status == 4
    assert f"{labels}: The label of 'visit' is wrong" in seen.err
    labels.write_text("# Something else")
    assert f"{labels}: The labels are not JSON.\n" in tool("motion", visit, "--labels", labels).err


def test_a_folder_is_its_videos_and_the_picture_shows_each(
    visit: Path, tmp_path: Path, tool: Callable[..., Any]
) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    for name in ("a.mp4", "b.MP4", "notes.txt"):
        (folder / name).write_bytes(visit.read_bytes())
    drawn = tmp_path / "seen.png"
    seen = tool("motion", folder, "--picture", drawn, "--json")
    assert [Path(each["file"]).name for each in json.loads(seen.out)["files"]] == ["a.mp4", "b.MP4"]
    picture = cv2.imread(str(drawn))
    assert picture is not None
    assert picture.shape[1] == 1280
    assert len({tuple(pixel) for pixel in picture[::7, ::7].reshape(-1, 3).tolist()}) > 50


def test_a_folder_without_videos_is_said_to_have_none(tmp_path: Path, tool: Callable[..., Any]) -> None:
    seen = tool("motion", tmp_path)
    assert seen.status == 2
    assert "no video in" in seen.err


@pytest.mark.footage
@pytest.mark.parametrize(
    ("name", "labels"), [pytest.param("intelcar.mp4", [], marks=LONG), ("suburb.mp4", ["vehicle"])]
)
def test_with_objects_each_event_says_what_is_in_it(
    shared: Path, name: str, labels: list[str], tool: Callable[..., Any]
) -> None:
    """A car from straight above, as in intelcar.mp4, has no label: the network misses it (bench/LABELS.md), and takes
    it for nothing else."""
    real_models()
    [report] = json.loads(tool("motion", "--objects", "--json", shared / "clips" / name).out)["files"]
    assert report["events"]
    assert report["events"][0]["labels"] == labels


def test_without_networks_objects_say_how_to_get_them(visit: Path, tmp_path: Path, tool: Callable[..., Any]) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text('[object_detection]\nmodels = "nowhere"\n')
    seen = tool("motion", "--objects", "--config", path, visit)
    assert seen.status != 0
    assert "make models" in seen.err
