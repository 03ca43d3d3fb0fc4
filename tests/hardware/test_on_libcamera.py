"""Runs `camera_checks.py` on real picamera2 and Debian's real libcamera: every frame goes the way it goes on a Pi.

libcamera's binding belongs to the system's own Python, so these checks run in that one, in a separate process, and each
is a test here by its own name. `scripts/set_up.py` prepares their needs in `.cache`; a missing one is reported.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import pytest

from agent.recorder.capture.camera_scripted import PorchScene, Visit
from tests.lengths import only

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKS = HERE / "camera_checks.py"
PYTHON = ROOT / ".cache" / "camera-venv" / "bin" / "python"
SHIM = ROOT / ".cache" / "virtual_camera.so"
PICTURES = 90
NAMES = [
    node.name
    for node in ast.parse(CHECKS.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
STALLS = "test_a_camera_that_stalls_is_noticed_told_restarted_and_leaves_a_gap"
LACKS = "test_a_camera_that_cannot_be_had_is_told_in_words_that_help_and_films_once_it_can"
AT_LENGTH = (
    "test_the_main_job_on_this_camera_from_a_press_to_a_requesters_film",
    f"{STALLS}[freeze]",
    f"{STALLS}[encoder]",
    f"{LACKS}[memory]",
    f"{LACKS}[format]",
)
"""Checks that `make test-long` runs. `make test` runs the others of each kind, and the way from a press to sealed
segments."""
PIPELINE = """\
%YAML 1.1
---
"Virtual0":
  supported_formats:
  - {{width: 1280, height: 720, frame_rates: [15, 30]}}
  - {{width: 640, height: 360, frame_rates: [15, 30]}}
  - {{width: 480, height: 272, frame_rates: [15, 30]}}
  - {{width: 320, height: 176, frame_rates: [15, 30]}}
  frames:
    path: "{frames}/"
  location: "CameraLocationFront"
  model: "imx708_virtual"
"""


def reel(folder: Path, footage: Path | None, pictures: int = PICTURES) -> None:
    """The virtual sensor's view: real footage if it is there, otherwise the drawn porch. `0.jpg`, `1.jpg` …"""
    folder.mkdir()
    if footage is not None:
        with av.open(str(footage)) as container:
            for number, picture in zip(range(pictures), container.decode(video=0), strict=False):
                save(picture.reformat(640, 360, "yuvj420p"), folder / f"{number}.jpg")
        return
    scene = PorchScene(640, 360, [Visit(1.0)], seed=3)
    for number in range(pictures):
        drawn = av.VideoFrame.from_ndarray(scene.picture(number * 10**9 // 15, number), format="bgr24")
        save(drawn.reformat(640, 360, "yuvj420p"), folder / f"{number}.jpg")


def save(picture: av.VideoFrame, path: Path) -> None:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = picture.width, picture.height, "yuvj420p"
    codec.options = {"qmin": "2", "qmax": "3"}
    codec.time_base = picture.time_base = Fraction(1, 15)
    picture.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in (*codec.encode(picture), *codec.encode(None))))


@cache
def why_not() -> str:
    """Why these checks cannot run here; empty if they can."""
    if not PYTHON.exists() or not SHIM.exists():
        return "the camera's environment is not prepared: make test does it"
    version = subprocess.run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    if version.stdout.split() != [str(part) for part in sys.version_info[:2]]:
        return f"libcamera's binding is for the system's Python, {version.stdout.strip()}, and this is another one"
    return ""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, str]:
    """Each check's name → passed, failed or skipped; and under "" everything that was said."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("libcamera")
    try:
        footage: Path | None = request.getfixturevalue("footage")
    except pytest.skip.Exception:
        footage = None
    reel(folder / "frames", footage)
    (folder / "virtual.yaml").write_text(PIPELINE.format(frames=folder / "frames"))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{HERE / 'stubs'}:{sysconfig.get_path('purelib')}",
        "LD_PRELOAD": str(SHIM),
        "DOORWARD_VIRTUAL_CAMERA": str(folder / "virtual.yaml"),
        "LIBCAMERA_LOG_LEVELS": "*:ERROR",
    }
    later = [] if os.environ.get("DOORWARD_LONG") == "all" else AT_LENGTH
    left_out = [f"--deselect={CHECKS.relative_to(ROOT)}::{name}" for name in later]
    options = [*left_out, "-v", "--rootdir", str(ROOT), "-p", "no:cacheprovider", "--tb=short", "--timeout=60"]
    command = [PYTHON, "-m", "pytest", str(CHECKS), *options, "-o", "filterwarnings=default"]  # picamera2's, not ours
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    said = done.stdout + done.stderr
    found = {"": said}
    for name, case, outcome in re.findall(r"::(test_\w+)(\S*) (PASSED|FAILED|ERROR|SKIPPED)", said):
        found[name + case] = outcome
        if found.get(name, "PASSED") == "PASSED":  # the worst of one that ran several times
            found[name] = outcome
    return found


@pytest.mark.timeout(910)  # a check that hangs is ended after 60 s, alone
@pytest.mark.parametrize("name", only({*NAMES} - {*AT_LENGTH}, dict.fromkeys([*NAMES, *AT_LENGTH])))
def test_on_libcamera(outcomes: dict[str, str], name: str) -> None:
    outcome = outcomes.get(name, "did not run")
    if outcome == "SKIPPED":
        pytest.skip("this machine's libcamera has no virtual pipeline")
    assert outcome == "PASSED", outcomes[""][-6000:]
