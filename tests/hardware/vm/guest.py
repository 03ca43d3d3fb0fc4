"""Runs inside the machine, as a service of its systemd; writes its findings to the second serial line.

The kernel's command line tells what to do (`doorward=panel`, `record`, `verify`, `pi3`).  A line is `ok NAME …`,
`bad NAME …`, `acknowledged ID` or `done`; the host reads them and judges.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
STATE = Path("/var/lib/doorward")
OUT = Path("/dev/ttyS1")
CONFIGFS = Path("/sys/kernel/config/gpio-sim")
LINES = {"button": 1, "pir": 2, "privacy": 3, "recording_led": 4, "chime": 5, "status_led": 6, "live_led": 7}
DEBOUNCE_S = 0.02
"""The panel's own setting where none is given."""
BRIDGE = """\
[panel]
backend = "gpiod"
chip = "{chip}"
socket = "/run/bridge.sock"
button = 1
pir = 2
privacy = 3
recording_led = 4
chime = 5
status_led = 6
live_led = 7
start = false
[board]
{board}
"""


def say(line: str) -> None:
    """Writes to the second serial line of a PC; on a Pi, with another kind of second line, on the console as well."""
    for place in (OUT, Path("/dev/console")):
        if place.exists():
            with contextlib.suppress(OSError), place.open("a") as serial:
                serial.write(f"\n{line}\n")


def check(name: str, holds: object, seen: object = "") -> None:
    say(f"{'ok' if holds else 'bad'} {name} {seen}".rstrip())


def until(condition: Callable[[], bool], patience_s: float = 600) -> bool:
    """An emulated machine on a busy one can be a hundred times slower than it is on a quiet one."""
    ends_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > ends_s:
            return False
        time.sleep(0.01)
    return True


# --- A panel of the kernel's own making


class SimulatedChip:
    """gpio-sim: lines with the whole kernel behind them, pulled from sysfs."""

    def __init__(self) -> None:
        subprocess.run(["modprobe", "gpio-sim"], check=True)
        bank = CONFIGFS / "door" / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("8")
        (CONFIGFS / "door" / "live").write_text("1")
        device = (CONFIGFS / "door" / "dev_name").read_text().strip()
        chip = (bank / "chip_name").read_text().strip()
        self.path = f"/dev/{chip}"
        self._lines = Path(f"/sys/devices/platform/{device}/{chip}")

    def pull(self, line: str, high: bool) -> None:
        (self._lines / f"sim_gpio{LINES[line]}" / "pull").write_text("pull-up" if high else "pull-down")

    def value(self, line: str) -> bool:
        return (self._lines / f"sim_gpio{LINES[line]}" / "value").read_text().strip() == "1"


class Listener:
    """An agent that only listens, and says what it is told to."""

    def __init__(self) -> None:
        from firmware_bridge import frames

        self.frames = frames
        self.heard: list[object] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect("/run/bridge.sock")
        self.send(frames.Hello(v=frames.VERSION, peer=frames.Peer.AGENT))
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, frame: object) -> None:
        self._socket.send(self.frames.encode(frame))  # type: ignore[arg-type]

    def of(self, kind: type) -> list[object]:
        return [frame for frame in self.heard if isinstance(frame, kind)]

    def _listen(self) -> None:
        while packet := self.frames.receive(self._socket):
            self.heard.append(self.frames.decode_from_bridge(packet))


def start_bridge(board: str, chip: str) -> subprocess.Popen[bytes]:
    file = Path("/run/doorward.toml")
    file.write_text(BRIDGE.format(chip=chip, board=board))
    child = subprocess.Popen([sys.executable, "-m", "firmware_bridge", "--config", str(file), "run"])
    assert until(Path("/run/bridge.sock").exists), "the bridge did not come up"
    return child


def bounce(chip: SimulatedChip) -> float:
    """Four bounces, then down. Returns the longest time that any of them stood."""
    longest_s, before_s = 0.0, time.monotonic()
    for high in (False, True, False, True, False, True, False):
        at_s = time.monotonic()
        chip.pull("button", high)
        longest_s, before_s = max(longest_s, time.monotonic() - before_s), at_s
        time.sleep(0.002)
    return longest_s


def panel() -> None:
    """The real kernel's lines, edges and debounce, through gpiod; then a watchdog that no one feeds."""
    subprocess.run(["modprobe", "softdog"], check=True)
    chip = SimulatedChip()
    bridge = start_bridge('watchdog = "/dev/watchdog"', chip.path)
    agent = Listener()
    frames = agent.frames
    until(lambda: bool(agent.of(frames.Welcome)))
    check("welcome", agent.of(frames.Welcome), agent.heard[:1])

    def presses() -> int:
        return len(agent.of(frames.Pressed))

    for _ in range(100):  # until the host let four bounces be as short as bounces are
        before, longest_s = presses(), bounce(chip)
        until(lambda known=before: presses() > known, 30)  # type: ignore[misc]
        time.sleep(0.2)
        chip.pull("button", True)
        time.sleep(0.3)
        if longest_s < DEBOUNCE_S:
            break
    check(
        "four_bounces_a_press_a_release_are_one_press",
        longest_s < DEBOUNCE_S and presses() == before + 1,
        f"{presses() - before}, no bounce longer than {1000 * longest_s:.0f} ms",
    )

    chip.pull("pir", True)
    check("pir", until(lambda: len(agent.of(frames.PirPulse)) == 1, 30))
    chip.pull("pir", False)

    def turned() -> list[bool]:
        return [frame.on for frame in agent.of(frames.PrivacySwitch)]  # type: ignore[attr-defined]

    # The line is pulled up and the contact opens: what no one has closed, a cut wire included, is privacy.
    check("an_open_privacy_wire_is_private", agent.of(frames.Welcome)[0].privacy)  # type: ignore[attr-defined]
    chip.pull("privacy", False)
    check("privacy_off", until(lambda: turned() == [False], 5), turned())
    chip.pull("privacy", True)
    check("privacy_on", until(lambda: turned() == [False, True], 5), turned())

    followed = []
    for delivering in (True, False, True, False):
        agent.send(frames.Heartbeat(delivering=delivering, healthy=True))
        followed.append(until(lambda wanted=delivering: chip.value("recording_led") == wanted, 2))  # type: ignore[misc]
    check("recording_led_follows_the_frames", all(followed), followed)

    agent.send(frames.Heartbeat(delivering=True, healthy=True, live=True))
    time.sleep(1)
    check("no_live_led_with_the_privacy_switch_on", not chip.value("live_led"))
    chip.pull("privacy", False)
    check("live_led_while_a_person_watches", until(lambda: chip.value("live_led"), 5))
    chip.pull("privacy", True)
    check("the_privacy_switch_puts_the_live_led_out", until(lambda: not chip.value("live_led"), 5))

    say("killing the bridge: the watchdog must now reset this machine")
    os.sync()
    bridge.kill()
    time.sleep(120)
    check("watchdog_reset", False)


# --- A device that records, until the power goes


CAMERA = """\
%YAML 1.1
---
"Virtual0":
  supported_formats:
  - {width: 640, height: 360, frame_rates: [15, 30]}
  - {width: 320, height: 176, frame_rates: [15, 30]}
  frames:
    path: "/run/frames/"
  location: "CameraLocationFront"
  model: "imx708_virtual"
"""


def virtual_camera() -> None:
    """Pictures for the pipeline, at its own fixed place: this is a machine of our own."""
    import cv2
    import numpy as np

    frames = Path("/run/frames")
    frames.mkdir(exist_ok=True)
    ground = np.random.default_rng(1).integers(80, 120, (360, 640, 3), np.uint8)
    for number in range(30):
        picture = ground + np.random.default_rng(number).integers(0, 4, ground.shape, np.uint8)
        picture[120:300, 20 * number : 20 * number + 60] = (60, 90, 200)
        cv2.imwrite(str(frames / f"{number}.jpg"), picture)
    place = Path("/usr/share/libcamera/pipeline/virtual/virtual.yaml")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(CAMERA)


@contextlib.contextmanager
def device(stall_s: float = 15.0, *, hears: bool = True) -> Iterator[object]:
    """A whole device before it records. `hears`: with a microphone, the kernel's own card without a socket."""
    from agent.clients.owner.enrolment import enrol
    from agent.clients.owner.keys import OwnerKeys
    from agent.config import Configuration
    from agent.config.settings import CameraConfig, DeviceConfig, SoundConfig
    from agent.custodian.state_folder import StateFolder
    from agent.ipc.control_client import DeviceLink
    from agent.recorder.capture.camera_picamera2 import PiCamera, PiMode
    from agent.solo import Solo
    from agent.wire.identities import private_key_from_seed
    from tests.hardware.virtual_picamera2 import VirtualPicamera2

    virtual_camera()
    if hears:
        subprocess.run(["modprobe", "snd-dummy"], check=True)
        assert until(Path("/dev/snd/pcmC0D0c").exists, 60), "the kernel's sound card did not come up"
    fresh = not STATE.exists() or not any(STATE.iterdir())
    if fresh:
        StateFolder(STATE).initialise(private_key_from_seed(os.urandom(32)))
    mode = PiMode(size_px=(640, 360), buffers=4, bitrate_kbps=1000)
    solo = Solo(
        Configuration(
            device=DeviceConfig(state_dir=STATE),
            camera=CameraConfig(stall_s=stall_s),
            sound=SoundConfig(device="plughw:0") if hears else None,
        ),
        open_camera=lambda: PiCamera(mode, make=VirtualPicamera2),
    )
    solo.start()
    if fresh:
        with DeviceLink(STATE / "control.sock") as link:
            enrol(link, OwnerKeys.create(Path("/root/owner")))
    try:
        yield solo
    finally:
        solo.stop()
        solo.close()


@contextlib.contextmanager
def recording(solo: object) -> Iterator[None]:
    thread = threading.Thread(target=solo.record)  # type: ignore[attr-defined]
    thread.start()
    try:
        yield
    finally:
        solo.stop()  # type: ignore[attr-defined]
        thread.join()


def record(seconds: float = 100_000, segments: int | None = None, stall_s: float = 15.0, *, hears: bool = True) -> None:
    """Ring and record, naming each segment once it is acknowledged; the host then cuts the power.

    Ends after this many `segments`, if that is said, or `seconds`.
    """
    from agent.core.vault.fields import SegmentId

    with device(stall_s, hears=hears) as solo, recording(solo):
        named: set[SegmentId] = set()
        ends_s = time.monotonic() + seconds
        began_s, before = time.monotonic(), 0
        while time.monotonic() < ends_s and (segments is None or len(named) < segments):
            solo.press_button()  # type: ignore[attr-defined]
            time.sleep(0.5)
            for entry in solo.vault.entries():  # type: ignore[attr-defined]
                if entry.id not in named:
                    named.add(entry.id)
                    if entry.sound is not None:
                        say(f"heard {entry.id}")
                    say(f"acknowledged {entry.id}")
            status = solo.recorder.status()  # type: ignore[attr-defined]
            if before == 0 and status.frames > 0:
                began_s, before = time.monotonic(), status.frames
        check("frames_a_second", status.frames > 0, f"{(status.frames - before) / (time.monotonic() - began_s):.1f}")
        check("state", status.state in ("recording", "watching"), f"{status.state}. {status.detail}".rstrip(". "))


def verify() -> None:
    """After the power cut: start as always, and say what is there."""
    with device() as solo:
        for entry in solo.vault.entries():  # type: ignore[attr-defined]
            say(f"stored {entry.id}")
            if entry.sound is not None:
                say(f"sounds {entry.id}")
        report = solo.vault.verify(solo.device)  # type: ignore[attr-defined]
        say(f"{'whole' if report.sound else 'broken'} {report}"[:600])


def pi3() -> None:
    """The board's own names, chip and watchdog, and a recording on it."""
    from firmware_bridge.boards import BoardName, board_here

    model = Path("/proc/device-tree/model").read_text().rstrip("\0")
    check("model", "Raspberry Pi 3" in model, model)
    check("profile", board_here().name is BoardName.PI_3, board_here())
    chips = [place.read_text() for place in Path("/sys/bus/gpio/devices").glob("*/of_node/compatible")]
    check("gpio_chip", any("bcm2835" in name for name in chips), [name.strip("\0") for name in chips])
    bridge = start_bridge("", "/dev/gpiochip0")
    agent = Listener()
    frames = agent.frames
    agent.send(frames.Heartbeat(delivering=True, healthy=True))
    check("bridge_on_the_boards_chip", until(lambda: bool(agent.of(frames.BoardState))), agent.heard[:2])
    bridge.send_signal(signal.SIGTERM)
    bridge.wait()
    watchdog = [p.read_text().strip() for p in Path("/sys/class/watchdog").glob("*/identity")]
    check("watchdog", any("Broadcom" in name or "BCM" in name for name in watchdog), watchdog)
    record(1500, segments=3, stall_s=90.0, hears=False)


def borrow_dma_heaps() -> None:
    """Debian's arm64 kernel has no dma-heaps (a Pi's has): there the tests' own shim answers for them."""
    if any(Path("/dev/dma_heap").glob("*")) or "LD_PRELOAD" in os.environ:
        return
    shim = Path("/var/lib/virtual_camera.so")  # not in /run, which Debian's initramfs mounts noexec
    source = REPO / "tests" / "hardware" / "virtual_camera.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(source)], check=True)
    command = [sys.executable, "-m", "tests.hardware.vm.guest"]
    os.execve(sys.executable, command, {**os.environ, "LD_PRELOAD": str(shim)})


def main() -> None:
    borrow_dma_heaps()
    words = dict(word.partition("=")[::2] for word in Path("/proc/cmdline").read_text().split())
    wanted = words.get("doorward", "panel")
    say(f"begin {wanted} {os.uname().release} {os.uname().machine}")
    if Path("/dev/vdc").exists():
        STATE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "/dev/vdc", str(STATE)], check=True)
        shutil.rmtree(STATE / "lost+found", ignore_errors=True)
    try:
        {"panel": panel, "record": record, "verify": verify, "pi3": pi3}[wanted]()
    except BaseException:  # noqa: BLE001 — told on the serial line, which is all that the host sees
        for line in traceback.format_exc().splitlines():
            say(f"# {line}")
        say("bad exception")
    say("done")
    os.sync()
    subprocess.run(["systemctl", "poweroff", "--force"], check=False)


if __name__ == "__main__":
    main()
