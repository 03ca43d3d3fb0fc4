"""`python -m bench roles`: memory (PSS) and CPU of each role while it records, receives and waits.

The three roles of an installation as separate processes, a real broker, real footage at its own speed. PSS is the
memory that the end of a process would free: shared pages count by their share (proc(5), smaps_rollup). The bridge has a
simulated panel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.wire.fields import Kind
from tests.scenarios.street import ROOT, Asker, a_street, until
from tests.scenarios.test_roles_apart import ROLES, Apart

__all__ = ["main"]

MEASURED_S = 40.0
LIMIT_MB = 230.0
"""For all roles together on a board of 512 MB, of which 426 MB are left to Linux."""
CAMERA = 'kind = "file"\npath = "{path}"\nrealtime = true\nsize = [1280, 720]'


def main() -> int:
    footage = ROOT / ".cache" / "vtest.avi"
    camera = CAMERA.format(path=footage) if footage.exists() else 'kind = "scripted"\nsize = [1280, 720]\nfps = 15'
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name:
        folder = Path(name)
        for role in ("custodian", "recorder"):
            (folder / "device" / role).mkdir(parents=True, mode=0o700)
        with a_street(folder) as street:
            apart = Apart(street, folder, camera)
            try:
                for role in ROLES:
                    apart.start(role)
                until(street._answers, "the custodian")
                street.enrol_and_trust(Asker(street, "police", Kind.POLICE))
                until(lambda: apart.status()["recorder"]["state"] == "recording", "recording")  # type: ignore[index]
                pids = {role: process.pid for role, process in apart.processes.items()}
                with _bridge(folder) as bridge:
                    return _measure({**pids, "bridge": bridge.pid}, footage.exists())
            finally:
                for role in list(apart.processes):
                    apart.processes.pop(role).kill()


def _bridge(folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "panel.toml"
    path.write_text(f'[panel]\nbackend = "simulated"\nsocket = "{folder / "bridge.sock"}"\n')
    words = [sys.executable, "-m", "firmware_bridge", "--config", str(path), "run"]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)


def _measure(pids: dict[str, int], real: bool) -> int:
    before = {role: _cpu_s(pid) for role, pid in pids.items()}
    started = time.monotonic()
    peaks = dict.fromkeys(pids, 0.0)
    while time.monotonic() - started < MEASURED_S:
        for role, pid in pids.items():
            peaks[role] = max(peaks[role], _pss_mb(pid))
        time.sleep(1.0)
    passed_s = time.monotonic() - started
    print(f"{'real footage' if real else 'a drawn scene, drawing included'}, {passed_s:.0f} s\n")
    print("role        PSS, MB    CPU, % of a core")
    for role, pid in pids.items():
        print(f"{role:10} {peaks[role]:8.1f} {(_cpu_s(pid) - before[role]) / passed_s * 100:10.1f}")
    total = sum(peaks.values())
    print(f"{'together':10} {total:8.1f}   limit {LIMIT_MB:.0f}")
    os.kill(pids["bridge"], 15)
    return 0 if total <= LIMIT_MB else 1


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    raise SystemExit(main())
