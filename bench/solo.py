"""A whole device in one process: memory while recording and uploading nothing, start-up time, CPU of watching.

`python -m bench.solo [VIDEO]` runs `doorward run` on real footage at its own pace, with an owner enrolled, and reads
/proc.  Beside it stand what cannot be avoided: a Python process that has merely imported the libraries, and one that
only decodes and encodes the same footage with the same settings.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetDevice
from agent.wire.identities import private_key_from_seed

ROOT = Path(__file__).resolve().parent.parent
WATCH_S = 40.0
FOOTAGE = (ROOT / ".cache" / "vtest.avi", Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi"))
IMPORTS = "import av, cryptography, cv2, msgspec, numpy, paho.mqtt.client, sqlite3, ssl, structlog"
ENCODE_ONLY = """
import sys, threading
from pathlib import Path
from agent.recorder.capture.camera_file import FileCamera
from agent.core.timebase import BootNs
done = threading.Event()
class Sink:
    def packet(self, packet): pass
    def luma(self, frame): pass
    def ended(self, end, detail): done.set()
camera = FileCamera(Path(sys.argv[1]), paced=True)
camera.open(); camera.start(Sink(), BootNs(1)); done.wait(); camera.stop()
"""


def memory_mb(pid: int) -> tuple[float, float]:
    """(resident, proportional) set size in MB."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0]) / 1000
    return found["Rss"], found["Pss"]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def imports_only() -> tuple[float, float, float]:
    begun = time.monotonic()
    process = start("-c", f"{IMPORTS}\nimport signal, os\nos.kill(os.getpid(), signal.SIGSTOP)")
    os.waitpid(process.pid, os.WUNTRACED)
    took_s = time.monotonic() - begun
    found = memory_mb(process.pid)
    process.kill()
    process.wait()
    return (*found, took_s)


def watched(process: subprocess.Popen[bytes]) -> tuple[float, float, float]:
    """(RSS, PSS, share of one core) of a process that has just begun to watch, at the end of `WATCH_S`."""
    time.sleep(3)
    begun_s, began = cpu_s(process.pid), time.monotonic()
    time.sleep(WATCH_S - 3)
    share = (cpu_s(process.pid) - begun_s) / (time.monotonic() - began)
    return (*memory_mb(process.pid), share)


def solo(footage: Path, folder: Path) -> tuple[float, tuple[float, float, float]]:
    state = folder / "state"
    StateFolder(state).initialise(private_key_from_seed(os.urandom(32)))
    configuration = folder / "doorward.toml"
    configuration.write_text(
        f'[device]\nstate_dir = "{state}"\n[object_detection]\nuse = "off"\n'
        f'[camera]\nkind = "file"\npath = "{footage}"\n'
    )
    begun = time.monotonic()
    process = start("-m", "agent.cli", "run", "--config", str(configuration))
    while True:
        try:
            link = DeviceLink(state / "control.sock")
            break
        except DoorwardError:
            time.sleep(0.005)
    with link:
        link.ask(GetDevice())
        took_s = time.monotonic() - begun
        enrol(link, OwnerKeys.create(folder / "owner"))
    try:
        return took_s, watched(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def main(arguments: list[str]) -> int:
    footage = Path(arguments[0]) if arguments else next((path for path in FOOTAGE if path.exists()), None)
    if footage is None:
        print("Error: there is no footage.\n  What to do: python -m bench.solo VIDEO")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        took_s, (rss, pss, share) = solo(footage.resolve(), Path(folder))
    encoder = start("-c", ENCODE_ONLY, str(footage.resolve()))
    encode_rss, encode_pss, encode_share = watched(encoder)
    encoder.kill()
    encoder.wait()
    import_rss, import_pss, import_s = imports_only()
    print(f"| process, after {WATCH_S:.0f} s of {footage.name} | RSS MB | PSS MB | one core | until it answers |")
    print("|---|---|---|---|---|")
    print(f"| `doorward run` (solo), recording | {rss:.0f} | {pss:.0f} | {share:.0%} | {took_s:.2f} s |")
    print(
        f"| decode and encode the same, nothing else | {encode_rss:.0f} | {encode_pss:.0f} | {encode_share:.0%} | - |"
    )
    print(f"| the libraries imported, nothing else | {import_rss:.0f} | {import_pss:.0f} | - | {import_s:.2f} s |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
