"""Object detection: time and memory of an inference beside the bare interpreter and cv2.dnn, and its correct labels.

`python -m bench opinion [cost|recording|labels …]` runs all three parts or those named.

- cost: the same pictures (luma of real footage, or noise if there is none) through each way of running the object
  network, each in a separate process, by thread time; memory is the growth of the process by loading and one inference.
- recording: how late a thread with something to do every 10 ms gets its turn, while another thread of the same process
  runs inference as it does while a person is at the door, with and without every core busy with other processes.
- labels: every clip of ../shared/clips and vtest.avi, as `doorward motion --opinion` plays them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FOOTAGE = ROOT / ".cache" / "vtest.avi"
CLIPS = ROOT.parent / "shared" / "clips"
MODEL = ROOT / "models" / "objects.tflite"
PICTURES = 40
TICK_S = 0.010
WATCHED_S = 8.0
PAUSE = 3.0
"""`recorder.object_detection` rests this many times as long as a look took."""

_TRUTH = {
    "doorbell.mkv": "person", "hallmonitor.mp4": "person", "intelcar.mp4": "vehicle", "office.mp4": "person",
    "onebyone.mp4": "person", "roadtop.avi": "vehicle", "suburb.mp4": "vehicle", "tree.avi": "",
    "wavingtrees.mp4": "person", "vtest.avi": "person",
}  # fmt: skip
"""The thing that moves in every event of each clip, from the clip's labels."""


def pictures() -> list[np.ndarray]:
    """(240, 320) uint8 each."""
    import cv2

    if FOOTAGE.exists():
        film, found = cv2.VideoCapture(str(FOOTAGE)), []
        for number in range(PICTURES * 15):
            read, picture = film.read()
            if read and number % 15 == 0:
                found.append(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (320, 240)))
        return found
    chance = np.random.default_rng(1)
    return [chance.integers(0, 255, (240, 320)).astype(np.uint8) for _ in range(PICTURES)]


def ours() -> Callable[[np.ndarray], object]:
    from agent.recorder.detector_litert import open_detector

    return open_detector().detect


def ours_without_faces() -> Callable[[np.ndarray], object]:
    from agent.core.object_detection.detector import ObjectDetector
    from agent.recorder.detector_litert import MODELS, OBJECTS, LiteRtNetwork

    return ObjectDetector(LiteRtNetwork(MODELS, OBJECTS).infer).detect


def bare() -> Callable[[np.ndarray], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(MODEL), num_threads=1)
    interpreter.allocate_tensors()
    slot = interpreter.get_input_details()[0]["index"]
    given = np.zeros((1, 300, 300, 3), np.float32)

    def run(_luma: np.ndarray) -> None:
        interpreter.set_tensor(slot, given)
        interpreter.invoke()

    return run


def by_opencv() -> Callable[[np.ndarray], object]:
    import cv2

    cv2.setNumThreads(1)
    network = cv2.dnn.readNetFromTFLite(str(MODEL))
    names = network.getUnconnectedOutLayersNames()
    given = np.zeros((1, 3, 300, 300), np.float32)

    def run(_luma: np.ndarray) -> int:
        network.setInput(given)
        return len(network.forward(names))

    return run


WAYS = {
    "ours, faces where no person was found": ours,
    "ours, objects only": ours_without_faces,
    "the bare interpreter, one empty picture": bare,
    "cv2.dnn, one empty picture": by_opencv,
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
    answer = run(shown[0])
    resident_mib = (resident_kib() - before_kib) / 1024
    spent_ms = []
    for luma in shown:
        begun_ns = time.thread_time_ns()
        run(luma)
        spent_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
    outputs = answer if isinstance(answer, int) else 2
    print(json.dumps({"ms": statistics.median(spent_ms), "mib": resident_mib, "outputs": outputs}))


def cost() -> None:
    print("| way | ms of one core a look | MiB added | outputs |\n|---|---:|---:|---:|")
    for way in WAYS:
        command = [sys.executable, "-m", "bench.opinion", "--weigh", way]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {way} | - | - | failed: {done.stderr.strip().splitlines()[-1][:60]} |")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {way} | {found['ms']:.1f} | {found['mib']:.0f} | {found['outputs']} |", flush=True)


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

    from agent.recorder.detector_litert import open_detector
    from agent.recorder.io_priority import work_behind

    cv2.setNumThreads(1)
    object_detector, shown = open_detector(), pictures()

    def look(stopping: threading.Event) -> None:
        work_behind()
        number = 0
        while not stopping.is_set():
            begun_s = time.monotonic()
            object_detector.detect(shown[number % len(shown)])
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


def labels() -> None:
    files = [path for path in (*sorted(CLIPS.glob("*.*")), FOOTAGE) if path.name in _TRUTH and path.exists()]
    print("| footage | its events show | events | right | wrong |\n|---|---|---:|---:|---|")
    right = events = 0
    for file in files:
        command = [sys.executable, "-m", "agent.cli", "motion", "--opinion", "--json", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        [report] = json.loads(done.stdout)["files"]
        expected = [_TRUTH[file.name]] if _TRUTH[file.name] else []
        said = [event.get("labels", []) for event in report["events"]]
        good = sum(each == expected for each in said)
        wrong = "; ".join(", ".join(each) or "nothing" for each in said if each != expected)
        print(f"| {file.name} | {_TRUTH[file.name] or 'nothing'} | {len(said)} | {good} | {wrong} |", flush=True)
        right, events = right + good, events + len(said)
    print(f"| all | | {events} | {right} | |")


PARTS: dict[str, Callable[[], Any]] = {"cost": cost, "recording": recording, "labels": labels}


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--weigh"]:
        weigh(arguments[1])
        return 0
    if not MODEL.exists():
        print("The networks are not here: make models")
        return 1
    for name in arguments or PARTS:
        print(f"\n### {name}\n", flush=True)
        PARTS[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
