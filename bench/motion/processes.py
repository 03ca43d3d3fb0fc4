"""Runs peers that are programs of their own on the very frames the others see: Debian's `motion`, and DVR-Scan.

* `motion` gets its frames through `motion_camera.c`, a shared library that answers for `/dev/video0`.  It says
  itself which frames it takes for motion, by the pictures it writes.  Its clock follows the frames, unless its cost is
  measured.
* DVR-Scan reads a lossless file and prints the events it found.  It lives in the benchmark's own environment.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from agent.core.motion_accuracy.scoring import SCORED_EVENTS, Interval, merged
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip

__all__ = [
    "DVR_SCAN_BEST",
    "MOTION_BEST",
    "MOTION_HALF_PERCENT",
    "MOTION_QUARTER_PERCENT",
    "dvr_scan",
    "motion",
    "motion_cost_ms",
    "motion_instructions",
]

_EPOCH_S = 1_700_000_000
_SOURCE = Path(__file__).with_name("motion_camera.c")

MOTION_BEST: Mapping[str, str] = {
    "threshold": "500",
    "despeckle_filter": "EedDl",
    "minimum_motion_frames": "2",
    "lightswitch_percent": "40",
}
"""The best of 16 settings tried on the real clips and a tuning seed; the default is threshold 1500 alone."""

_PIXELS = HEIGHT_PX * WIDTH_PX
MOTION_HALF_PERCENT: Mapping[str, str] = {"threshold": str(round(0.0049 * _PIXELS))}
"""Its default of 1500 pixels is this share of the 640×480 that it is made for, and 1.95 % of our pictures."""
MOTION_QUARTER_PERCENT: Mapping[str, str] = {"threshold": str(round(0.0024 * _PIXELS)), "minimum_motion_frames": "3"}

DVR_SCAN_BEST = ("--threshold", "0.6", "--min-event-length", "0.4s")


@cache
def _camera() -> str:
    built = Path(tempfile.mkdtemp(prefix="bench-motion-")) / "motion_camera.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(built), str(_SOURCE), "-ldl"], check=True)
    return str(built)


def motion(clip: Clip, settings: Mapping[str, str] | None = None) -> tuple[Interval, ...]:
    """The events that Debian's `motion` makes of the clip, its frames joined over the same gap as everybody's."""
    with tempfile.TemporaryDirectory(prefix="bench-motion-") as folder:
        place = Path(folder)
        environment = _prepare(place, clip.luma, len(clip.luma), paced=False)
        configured = {"picture_output": "on", "picture_filename": "%s-%q", "target_dir": folder, **(settings or {})}
        _run(place, environment, configured, ())
        moving = sorted(
            int(path.stem.split("-")[0]) - _EPOCH_S + int(path.stem.split("-")[1]) / FRAMES_PER_S
            for path in place.glob("*-*.jpg")
        )
    return merged(moving, gap_s=SCORED_EVENTS.merge_gap_s)


def motion_cost_ms(luma: npt.NDArray[np.uint8], warm_up: int, measured: int) -> float:
    """Mean CPU milliseconds a frame of motion's detecting thread, with frames a tenth of a second apart."""
    with tempfile.TemporaryDirectory(prefix="bench-motion-") as folder:
        place = Path(folder)
        environment = _prepare(place, luma, warm_up + measured, paced=True)
        _run(place, environment, {"picture_output": "off", "target_dir": folder}, ())
        spent_ns = [int(line) for line in (place / "cost").read_text().split()]
    return statistics.fmean(spent_ns[-measured:]) / 1e6


def motion_instructions(luma: npt.NDArray[np.uint8], fewer: int, more: int) -> float:
    """Millions of instructions a frame: what `more` frames cost beyond `fewer`."""
    counts = []
    for frames in (fewer, more):
        with tempfile.TemporaryDirectory(prefix="bench-motion-") as folder:
            place = Path(folder)
            environment = _prepare(place, luma, frames, paced=False)
            grind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={place / 'out'}")
            told = _run(place, environment, {"picture_output": "off", "target_dir": folder}, grind)
            text = told + (place / "out").read_text() if (place / "out").exists() else told
            counts.append(int(re.findall(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[-1]))
    return (counts[1] - counts[0]) / (more - fewer) / 1e6


def _prepare(place: Path, luma: npt.NDArray[np.uint8], count: int, *, paced: bool) -> dict[str, str]:
    grey = np.full(HEIGHT_PX * WIDTH_PX // 2, 128, np.uint8).tobytes()
    with (place / "frames").open("wb") as file:
        for frame in luma:
            file.write(frame.tobytes() + grey)
    return {
        **os.environ,
        "LD_PRELOAD": _camera(),
        "BENCH_FRAMES": str(place / "frames"),
        "BENCH_SIZE": f"{WIDTH_PX}x{HEIGHT_PX}",
        "BENCH_FPS": str(round(FRAMES_PER_S)),
        "BENCH_COUNT": str(count),
        "BENCH_PACED": "1" if paced else "0",
        "BENCH_COST": str(place / "cost"),
    }


def _run(place: Path, environment: dict[str, str], settings: Mapping[str, str], before: Sequence[str]) -> str:
    configured = {
        "video_device": "/dev/video0", "width": str(WIDTH_PX), "height": str(HEIGHT_PX),
        "framerate": str(round(FRAMES_PER_S)), "movie_output": "off", "webcontrol_port": "0", "stream_port": "0",
        "daemon": "off", "text_left": "", "text_right": "", "event_gap": "2", "log_level": "4", **settings,
    }  # fmt: skip
    configuration = place / "motion.conf"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in configured.items()))
    command = [*before, "motion", "-n", "-c", str(configuration), "-p", str(place / "pid")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False).stderr


def dvr_scan(clip: Clip, python: Path, settings: Sequence[str] = ()) -> tuple[Interval, ...]:
    """The events that DVR-Scan prints.  `python` is the interpreter of the environment it is installed in."""
    with tempfile.TemporaryDirectory(prefix="bench-motion-") as folder:
        video = Path(folder) / "clip.mkv"
        _write_lossless(video, clip.luma)
        command = [str(python), "-m", "dvr_scan", "-i", str(video), "-so", "-q", *settings]
        told = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=folder).stdout
    instants = [3600 * int(h) + 60 * int(m) + float(s) for h, m, s in re.findall(r"(\d+):(\d+):(\d+\.\d+)", told)]
    # DVR-Scan adds 1.5 s before and 2 s after what it saw; that is taken off again, as no one else's is counted.
    return tuple(Interval(begin + 1.5, end - 2) for begin, end in zip(instants[::2], instants[1::2], strict=True))


def _write_lossless(path: Path, luma: npt.NDArray[np.uint8]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=round(FRAMES_PER_S))
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "gray"
        for frame in luma:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
