"""Weighs every dependency: size on disk, time to import, memory that stays.

`python -m bench.weights` prints the table of docs/decisions/0002-dependencies.md for this machine.
`python -m bench.weights NAME=MODULE …` weighs other packages that are installed here, for comparing candidates.

Each import is measured in fresh interpreters, the median of five.  Memory is the growth of the process's private and
shared resident pages (VmRSS) over an interpreter that has only started.  A package's own dependencies count as its
weight, as they do in a process: numpy is in opencv's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

RUNS = 5

MODULES = {
    "apprise": "apprise.plugins.ntfy",
    "av": "av",
    "click": "click",
    "cryptography": "cryptography.hazmat.primitives.hpke, cryptography.x509",
    "jinja2": "jinja2",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "paho-mqtt": "paho.mqtt.client",
    "rich": "rich.console, rich.progress",
    "structlog": "structlog",
}

_PROBE = """
import sys, time
def resident_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
before, began = resident_kib(), time.perf_counter()
import {module}
print(resident_kib() - before, time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """`disk_bytes` is the package alone; memory and time include what it imports."""

    name: str
    version: str
    disk_bytes: int
    resident_kib: float
    import_ms: float


def weigh(name: str, module: str) -> Weight:
    """Raises `PackageNotFoundError` when the package is not installed here."""
    samples = [_import_once(module) for _ in range(RUNS)]
    package = metadata.distribution(name)
    return Weight(
        name,
        package.version,
        sum(_size(file) for file in package.files or ()),
        statistics.median(resident for resident, _ in samples),
        statistics.median(took for _, took in samples) * 1000,
    )


def _import_once(module: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    resident, took = done.stdout.split()
    return float(resident), float(took)


def _size(file: metadata.PackagePath) -> int:
    """0 for what pip lists and a later clean-up removed."""
    path = file.locate()
    try:
        return int(path.stat().st_size)  # type: ignore[attr-defined, unused-ignore]
    except FileNotFoundError:
        return 0


def main(arguments: list[str]) -> None:
    chosen = dict(argument.split("=", 1) for argument in arguments) or MODULES
    print("| package | version | on disk | resident | import |")
    print("|---|---|---:|---:|---:|")
    for name, module in chosen.items():
        w = weigh(name, module)
        disk, resident = f"{w.disk_bytes / 1e6:.1f} MB", f"{w.resident_kib / 1024:.1f} MiB"
        print(f"| {w.name} | {w.version} | {disk} | {resident} | {w.import_ms:.0f} ms |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
