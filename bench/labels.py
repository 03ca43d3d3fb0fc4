"""Object detection: time and memory of an inference beside the bare network, and what it gets right.

`python -m bench labels [cost|recording|labels …]` runs all three parts or those named.

- cost: the same pictures (real footage, or noise without it) through each way of running the object network, each in a
  separate process, by thread time; memory is what loading and one inference add to the process.
- recording: how late a thread with something to do every 10 ms gets its turn, while another thread examines frames as
  it does while a person is at the door, with and without every core busy with other processes.
- labels: the footage of `labels_footage.json`, examined as a doorbell examines it, by label and by side, separated by
  source: the footage on which thresholds were chosen, held-out footage, and footage that was fresh when this network
  was chosen. Three ways of examining a frame.
  FOOTAGE names the folder of the repositories' files: FOOTAGE/OWNER+NAME/PATH. A listed file that is missing is left
  out and counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agent.core.events import EventBegins, EventMachine, EventSettings
from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.sample import MotionSample
from agent.core.motion.zones import ZoneMap
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import Box, LabelVotes, MovedRegions
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs

ROOT = Path(__file__).resolve().parent.parent
FOOTAGE = ROOT / ".cache" / "vtest.avi"
CLIPS = ROOT.parent / "shared" / "clips"
RECIPES = Path(__file__).resolve().parent / "labels_footage.json"
LABELLED_S = 30.0
"""Later events of a film have no labels."""
EXAMINED_EVERY_NS = 700 * NS_PER_MS
"""About what one core of a Zero 2 W manages."""
MOST_EXAMINED = 12
"""Frames of an event that are examined."""
OURS = "colour, surroundings (ours)"
MODEL = ROOT / "models" / "objects.onnx"
PICTURES = 40
TICK_S = 0.010
WATCHED_S = 8.0
PAUSE = 3.0
"""`recorder.object_detection` pauses this many times as long as an inference took."""


def pictures() -> list[np.ndarray]:
    """(360, 480, 3) uint8 each."""
    import cv2

    if FOOTAGE.exists():
        film, found = cv2.VideoCapture(str(FOOTAGE)), []
        for number in range(PICTURES * 15):
            read, picture = film.read()
            if read and number % 15 == 0:
                found.append(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (480, 360)))
        return found
    chance = np.random.default_rng(1)
    return [chance.integers(0, 255, (360, 480, 3)).astype(np.uint8) for _ in range(PICTURES)]


MOVED = (0.3, 0.2, 0.6, 0.8)
"""Where something moved, for the cost."""


def ours() -> Callable[[np.ndarray], object]:
    from agent.recorder.detector_opencv import open_detector

    object_detector = open_detector()
    return lambda picture: object_detector.detect(picture, MOVED)


def bare() -> Callable[[np.ndarray], object]:
    import cv2

    cv2.setNumThreads(1)
    network = cv2.dnn.readNetFromONNX(str(MODEL))
    given = np.zeros((1, 3, 320, 320), np.float32)

    def run(_picture: np.ndarray) -> None:
        network.setInput(given)
        network.forward()

    return run


def coloured_copy() -> Callable[[np.ndarray], object]:
    """The camera's share of an inference: a coloured copy of a frame of 1280 × 720."""
    import av

    from agent.recorder.capture.delivery import coloured

    frame = av.VideoFrame.from_ndarray(np.zeros((1080, 1280), np.uint8), format="yuv420p")
    return lambda _picture: coloured(frame)


WAYS = {
    "ours": ours,
    "the bare network, one empty picture": bare,
    "the coloured copy of a frame of 1280 × 720": coloured_copy,
}


def resident_kib() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def weigh(way: str) -> None:
    """One process's measurement, as JSON on standard output."""
    import cv2

    cv2.setNumThreads(1)
    shown = pictures()
    before_kib = resident_kib()
    run = WAYS[way]()
    run(shown[0])
    resident_mib = (resident_kib() - before_kib) / 1024
    spent_ms = []
    for picture in shown:
        begun_ns = time.thread_time_ns()
        run(picture)
        spent_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
    print(json.dumps({"ms": statistics.median(spent_ms), "mib": resident_mib}))


def cost() -> None:
    print("| way | ms of one core, one inference | MiB added |\n|---|---:|---:|")
    for way in WAYS:
        command = [sys.executable, "-m", "bench.labels", "--weigh", way]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {way} | - | failed: {done.stderr.strip().splitlines()[-1][:60]} |")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {way} | {found['ms']:.1f} | {found['mib']:.0f} |", flush=True)


def lateness_ms(work: Callable[[threading.Event], None] | None) -> tuple[float, float]:
    """(99th percentile, most) of how late a thread is that wants its turn every 10 ms, beside `work` in another."""
    stopping, late = threading.Event(), []
    worker = threading.Thread(target=work, args=(stopping,)) if work else None
    if worker:
        worker.start()
    due = time.perf_counter()
    ends = due + WATCHED_S
    while due < ends:
        due += TICK_S
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append((time.perf_counter() - due) * 1e3)
        due = max(due, time.perf_counter() - TICK_S)
    stopping.set()
    if worker:
        worker.join()
    return float(np.percentile(late, 99)), max(late)


def recording() -> None:
    import cv2

    from agent.recorder.detector_opencv import open_detector
    from agent.recorder.io_priority import work_behind

    cv2.setNumThreads(1)
    object_detector, shown = open_detector(), pictures()

    def look(stopping: threading.Event) -> None:
        work_behind()
        number = 0
        while not stopping.is_set():
            begun_s = time.monotonic()
            object_detector.detect(shown[number % len(shown)], MOVED)
            stopping.wait(PAUSE * (time.monotonic() - begun_s))
            number += 1

    print("| other processes | without inference, ms late: 99 % / most | during inference |\n|---|---:|---:|")
    for name, count in (("none of ours", 0), ("one on every core", os.cpu_count() or 1)):
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            quiet, looking = lateness_ms(None), lateness_ms(look)
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        print(f"| {name} | {quiet[0]:.1f} / {quiet[1]:.1f} | {looking[0]:.1f} / {looking[1]:.1f} |", flush=True)


class _Way:
    """One way of examining a frame, with the same networks, and the votes of the event."""

    def __init__(self, object_detector: ObjectDetector, *, in_colour: bool, surroundings: bool) -> None:
        self._object_detector = object_detector
        self._in_colour, self._surroundings = in_colour, surroundings
        self.votes = LabelVotes()

    def examine(self, at_ns: BootNs, picture: np.ndarray, moved: Box | None) -> None:
        import cv2

        if not self._in_colour:
            height = round(320 * picture.shape[0] / picture.shape[1])
            small = cv2.resize(picture, (320, height), interpolation=cv2.INTER_AREA)
            picture = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self._object_detector.detect(picture, moved if self._surroundings else None)
        self.votes.add(at_ns, found, moved)


def labels() -> None:
    """Prints, by side and label, how many events had the label and were called by it, were not, or wrongly were."""
    from agent.recorder.detector_opencv import open_detector

    object_detector = open_detector()
    ways = {
        "luma, whole picture": _Way(object_detector, in_colour=False, surroundings=False),
        "colour, whole picture": _Way(object_detector, in_colour=True, surroundings=False),
        OURS: _Way(object_detector, in_colour=True, surroundings=True),
    }
    recipes = json.loads(RECIPES.read_text())
    found = [(recipe, path) for recipe in recipes if (path := _footage(recipe)).exists()]
    print(f"{len(found)} of {len(recipes)} films are here.\n", flush=True)
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    events: Counter[str] = Counter()
    mistakes: list[str] = []
    for recipe, path in found:
        for number, said in enumerate(_labels_of(path, ways), start=1):
            events[recipe["side"]] += 1
            for way, named in said.items():
                wrong = _count(counts, recipe["side"], _of_event(recipe, number), way, named)
                if wrong and way == OURS:
                    mistakes.append(f"| {recipe['side']} | {path.name} | {number} | {wrong} |")
    print("| side | way | label | events with it | called so | missed | called so wrongly | recall | precision |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for (side, way, label), count in sorted(counts.items(), reverse=True):
        print(f"| {side} | {way} | {label} | {_row(count)} |")
    print(f"\nEvents: {dict(events)}.\n\n| side | film | event | mistakes of ours |\n|---|---|---:|---|")
    print("\n".join(mistakes))


def _footage(recipe: dict[str, Any]) -> Path:
    if "file" in recipe:
        file = str(recipe["file"])
        return (ROOT.parent if file.startswith("shared/") else ROOT) / file
    folder = Path(os.environ.get("FOOTAGE", ".cache/footage")) / str(recipe["repository"]).replace("/", "+")
    return folder / str(recipe.get("path") or recipe["frames"])


def _labels_of(path: Path, ways: dict[str, _Way]) -> list[dict[str, tuple[str, ...]]]:
    """The labels of each event of a film by each way. Frames in a folder play at 25 a second."""
    if path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            return _labels_of(_film_of(path, Path(folder) / "film.mp4"), ways)
    machine = EventMachine(EventSettings(pre_roll_s=0, post_roll_s=3, merge_gap_s=3, longest_clip_s=3600))
    found: list[dict[str, tuple[str, ...]]] = []
    moved, next_ns, examined = MovedRegions(), 0, 0
    for frame, sample in _played(path):
        effects = machine.on_motion(sample)
        if any(isinstance(effect, EventBegins) for effect in effects):
            moved, next_ns, examined = MovedRegions(), 0, 0
            for way in ways.values():
                way.votes = LabelVotes()
            found.append({})
        if machine.recorded_event is None:
            continue
        moved.add(frame.sensor_ns, sample.box, present=sample.present)
        if frame.sensor_ns < next_ns or examined == MOST_EXAMINED or frame.picture is None:
            continue
        next_ns, examined, picture = frame.sensor_ns + EXAMINED_EVERY_NS, examined + 1, frame.picture()
        for name, way in ways.items():
            way.examine(frame.sensor_ns, picture, moved.box)
            found[-1][name] = tuple(label.value for label in way.votes.shown)
    return [each for each in found if each]


def _played(path: Path) -> Iterator[tuple[LumaFrame, MotionSample]]:
    """The first 30 s of a film through the motion detector, without the cost of encoding it."""
    from agent.recorder import motion_kernel
    from agent.recorder.capture.camera_file import _Footage, _opened, _probe
    from agent.recorder.capture.delivery import coloured, describe

    times, container = _probe(path), _opened(path)
    stream = container.streams.video[0]
    rate = float(stream.average_rate or 25)
    gives = describe(stream.width, stream.height, rate, widest_px=1280, live=False)
    width, height = gives.luma_width_px, gives.luma_height_px
    make_passes = motion_kernel.load().make_passes
    detector = Detector(height, width, rate, ZoneMap(), make_passes=make_passes)
    with _Footage(container, rate, times) as footage:
        for picture, at_ns in footage.pictures():
            if at_ns > LABELLED_S * NS_PER_S:
                return
            luma = picture.reformat(width, height, "gray", interpolation="AREA").to_ndarray()
            frame = LumaFrame(np.asarray(luma, np.uint8), BootNs(at_ns), picture=partial(coloured, picture))
            yield frame, detector.step(frame)


def _film_of(frames: Path, film: Path) -> Path:
    import av
    import cv2

    files = sorted(frames.iterdir())
    height, width = (side // 2 * 2 for side in np.asarray(cv2.imread(str(files[0])), np.uint8).shape[:2])
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for file in files:
            picture = np.asarray(cv2.imread(str(file)), np.uint8)[:height, :width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")))
        container.mux(stream.encode(None))
    return film


def _of_event(recipe: dict[str, Any], number: int) -> dict[str, Any]:
    """Returns the labels of an event of a film. `by_event` names the events that differ from the film's others."""
    of_event: dict[str, Any] = recipe.get("by_event", {}).get(str(number), recipe)
    return of_event


def _count(
    counts: dict[tuple[str, str, str], Counter[str]], side: str, seen: dict[str, Any], way: str, said: tuple[str, ...]
) -> str:
    shows, may = set(seen["shows"]), set(seen["may_show"])
    invented, missed = set(said) - shows - may, shows - set(said)
    for label in shows | set(said) - may:
        count = counts.setdefault((side, way, label), Counter())
        count["with"] += label in shows
        count["called"] += label in shows and label in said
        count["invented"] += label in invented
    words = [f"missed: {', '.join(sorted(missed))}"] if missed else []
    words += [f"invented: {', '.join(sorted(invented))}"] if invented else []
    return "; ".join(words)


def _row(count: Counter[str]) -> str:
    shown, called, invented = count["with"], count["called"], count["invented"]
    recall = f"{called / shown:.2f}" if shown else "-"
    precision = f"{called / (called + invented):.2f}" if called + invented else "-"
    return f"{shown} | {called} | {shown - called} | {invented} | {recall} | {precision}"


PARTS: dict[str, Callable[[], Any]] = {"cost": cost, "recording": recording, "labels": labels}


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--weigh"]:
        weigh(arguments[1])
        return 0
    if not MODEL.exists():
        print("The network is not here: make models")
        return 1
    for name in arguments or PARTS:
        print(f"\n### {name}\n", flush=True)
        PARTS[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
