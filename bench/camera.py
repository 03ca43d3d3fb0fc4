"""Recording from libcamera: CPU and memory of Doorward beside bare picamera2 and `motion`, on the same frames.

`python -m bench.camera [SECONDS] [--record]`; the latter writes the table into CAMERA.md.  The camera is libcamera's
virtual pipeline showing real footage (tests/hardware), paced at 15 frames a second, at 720p and 1080p; the encoder is
x264 `superfast`, one thread, 4 Mbit/s, everywhere.

- *ours*: a whole device (`solo`): motion, pre-roll, sealing, the vault; a press every 5 s keeps it recording.  Once
  more *with sound*: a file's samples at a microphone's pace, resampled, encoded as AAC, sealed beside the pictures.
- *bare picamera2*: the same encoder into a file, with lores stream, motion and sealing left out: the camera's own cost.
- *motion* takes pictures from libcamera only if it was built with it; Debian's lacks it, so it reads the same footage
  through its own `netcam`, decodes it (which the others skip: their frames come decoded), and records the same way.

Each is a separate process, measured over /proc from its third second on.
"""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from bench.solo import cpu_s, memory_mb

ROOT = Path(__file__).resolve().parent.parent
HARDWARE = ROOT / "tests" / "hardware"
PYTHON = ROOT / ".cache" / "camera-venv" / "bin" / "python"
SHIM = ROOT / ".cache" / "virtual_camera.so"
FOOTAGE = ROOT / ".cache" / "vtest.avi"
RESULTS = ROOT / "bench" / "CAMERA.md"
_BEGIN, _END = "<!-- recording -->", "<!-- /recording -->"
SIZES = ((1280, 720), (1920, 1080))
PICTURES = 15
"""The virtual camera holds all of them in memory, unpacked, for each stream: part of what is measured, in every row."""
PIPELINE = """\
%YAML 1.1
---
"Virtual0":
  supported_formats:
  - {{width: {width}, height: {height}, frame_rates: [15, 30]}}
  - {{width: 320, height: 176, frame_rates: [15, 30]}}
  frames:
    path: "{frames}/"
  location: "CameraLocationFront"
  model: "imx708_virtual"
"""
OURS = """
import sys, threading, time, os
from pathlib import Path
from agent.recorder.capture.camera_picamera2 import PiCamera, PiMode
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.custodian.state_folder import StateFolder
from agent.config import Configuration
from agent.config.settings import DeviceConfig, ObjectDetectionConfig, ObjectDetectionUse
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.ipc.control_client import DeviceLink
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from tests.hardware.virtual_picamera2 import VirtualPicamera2
size, folder = (int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3])
StateFolder(folder).initialise(private_key_from_seed(os.urandom(32)))
camera = lambda: PiCamera(PiMode(size), make=VirtualPicamera2)
alone = ObjectDetectionConfig(use=ObjectDetectionUse.OFF)
microphone = (lambda: FileMicrophone(Path(sys.argv[5]), paced=True)) if len(sys.argv) > 5 else None
configuration = Configuration(device=DeviceConfig(state_dir=folder), object_detection=alone)
solo = Solo(configuration, open_camera=camera, open_microphone=microphone)
solo.start()
with DeviceLink(folder / "control.sock") as link:
    enrol(link, OwnerKeys.create(folder / "owner"))
threading.Thread(target=solo.record, daemon=True).start()
for _ in range(int(sys.argv[4])):
    solo.press_button()
    time.sleep(5)
os._exit(0)
"""
BARE = """
import sys, time
from picamera2.encoders import LibavH264Encoder
from picamera2.outputs import FileOutput
from tests.hardware.virtual_picamera2 import VirtualPicamera2
size = (int(sys.argv[1]), int(sys.argv[2]))
camera = VirtualPicamera2(0, frames_per_s=15)
camera.configure(camera.create_video_configuration(main={"size": size, "format": "YUV420"}, raw=None, buffer_count=4))
encoder = LibavH264Encoder(bitrate=4_000_000, iperiod=15, framerate=15, profile="high")
encoder.threads = 1
camera.start_recording(encoder, FileOutput(sys.argv[3] + ".h264"))
time.sleep(int(sys.argv[4]) * 5)
"""
MOTION = """\
daemon off
setup_mode off
log_level 3
netcam_url file://{film}
netcam_params capture_rate=15
width {width}
height {height}
framerate 15
minimum_frame_time 0
threshold 1500
emulate_motion on
pre_capture 75
movie_output on
movie_codec mp4
movie_bps 4000000
movie_max_time 60
picture_output off
webcontrol_port 0
stream_port 0
target_dir {folder}
"""


def make_film(folder: Path, size: tuple[int, int]) -> Path:
    """The same footage, as the pictures of the virtual camera and as a film for `motion`."""
    import av

    from tests.hardware.test_on_libcamera import save

    frames = folder / "frames"
    frames.mkdir()
    film = folder / "film.mp4"
    with av.open(str(FOOTAGE)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream("libx264", rate=15, options={"preset": "superfast", "bf": "0", "g": "15"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, picture in enumerate(source.decode(video=0)):
            large = picture.reformat(*size, "yuv420p")
            if number < PICTURES:
                save(picture.reformat(*size, "yuvj420p"), frames / f"{number}.jpg")
            large.pts = None
            target.mux(stream.encode(large))
        target.mux(stream.encode(None))
    (folder / "virtual.yaml").write_text(PIPELINE.format(width=size[0], height=size[1], frames=frames))
    return film


def make_sound(path: Path, seconds: int) -> Path:
    """Noise as a USB microphone gives it: 16 bit, 48 kHz, one channel."""
    samples = np.random.default_rng(1).normal(0, 3000, seconds * 48_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.tobytes())
    return path


def measured(command: list[str], environment: dict[str, str], seconds: float) -> tuple[float, float, float]:
    """(share of one core, PSS, RSS in MB)."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(4)
        began, before = time.monotonic(), cpu_s(process.pid)
        time.sleep(seconds - 4)
        share = (cpu_s(process.pid) - before) / (time.monotonic() - began)
        rss, pss = memory_mb(process.pid)
        return share, pss, rss
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def main(arguments: list[str]) -> int:
    if not PYTHON.exists() or not FOOTAGE.exists():
        print("Error: the Pi camera's test environment or the footage is missing.\n  What to do: make test")
        return 2
    seconds = next((float(each) for each in arguments if each != "--record"), 24.0)
    table = ["| recording at 15 fps | one core | PSS MB | RSS MB |", "|---|---:|---:|---:|"]
    print(*table, sep="\n")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            film = make_film(folder, size)
            environment = {
                **os.environ,
                "PYTHONPATH": f"{ROOT}:{HARDWARE / 'stubs'}:{sysconfig.get_path('purelib')}",
                "LD_PRELOAD": str(SHIM),
                "DOORWARD_VIRTUAL_CAMERA": str(folder / "virtual.yaml"),
                "LIBCAMERA_LOG_LEVELS": "*:ERROR",
            }
            width, height = map(str, size)
            rounds = str(int(seconds) // 5 + 2)
            sound = str(make_sound(folder / "noise.wav", int(seconds) + 10))
            ours: tuple[tuple[str, str, list[str]], ...] = (
                ("bare picamera2, the same encoder, nothing else", BARE, []),
                ("Doorward, a whole device (motion, pre-roll, seals, vault)", OURS, []),
                ("Doorward, the same with sound", OURS, [sound]),
            )
            rows = [
                (
                    label,
                    [str(PYTHON), "-c", code, width, height, str(folder / f"own{number}"), rounds, *more],
                    environment,
                )
                for number, (label, code, more) in enumerate(ours)
            ]
            if shutil.which("motion"):
                (folder / "motion.conf").write_text(
                    MOTION.format(film=film, width=width, height=height, folder=folder / "movies")
                )
                film_it = ["motion", "-c", str(folder / "motion.conf")]
                rows.append(("`motion` 4.7, the same footage over its `netcam`", film_it, dict(os.environ)))
            for title, command, surroundings in rows:
                label = title
                share, pss, rss = measured(command, surroundings, seconds)
                movies = sum(path.stat().st_size for path in (folder / "movies").glob("*"))
                if label.startswith("`motion`"):
                    label += f" ({movies / 1e6:.1f} MB of movies)"
                table.append(f"| {height}p: {label} | {share:.0%} | {pss:.0f} | {rss:.0f} |")
                print(table[-1], flush=True)
    if "--record" in arguments:
        record(table)
    return 0


def record(table: list[str]) -> None:
    before, _, rest = RESULTS.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    busy = f"{os.getloadavg()[2]:.1f} processes ran or waited on average meanwhile."
    said = [f"{datetime.datetime.now(datetime.UTC).date()}, {os.cpu_count()} cores; {busy}", "", *table]
    RESULTS.write_text(before + "\n".join([_BEGIN, *said, ""]) + end + after)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
