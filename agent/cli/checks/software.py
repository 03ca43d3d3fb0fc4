"""Is everything there that Doorward runs on, in a version it can use?"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from agent import __version__
from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.recorder import motion_kernel

__all__ = ["check_software"]

_PACKAGES = ("av", "cryptography", "msgspec", "numpy", "opencv-python-headless", "paho-mqtt", "structlog")
_AT_LEAST = {"cryptography": 50, "paho-mqtt": 2}
_REMEDY = "Run `make setup` in the repository."
_KERNEL_REMEDY = (
    "The answers are the same, at several times the CPU time.  "
    "Install a C compiler (apt-get install gcc libc6-dev), then run the set-up or the installer again."
)


def check_software() -> Iterator[Finding]:
    """Versions of Doorward, Python and the libraries."""
    yield fine(
        "software",
        f"Doorward {__version__} on Python {platform.python_version()} ({sys.executable}), {platform.machine()}.",
    )
    found: list[str] = []
    for package in _PACKAGES:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield bad("libraries", f"{package} is not installed.", _REMEDY)
            continue
        if int(version.partition(".")[0]) < _AT_LEAST.get(package, 0):
            yield bad("libraries", f"{package} {version} is older than {_AT_LEAST[package]}.", _REMEDY)
        found.append(f"{package} {version}")
    yield fine("libraries", ", ".join(found) + ".")
    kernel = motion_kernel.load()
    if kernel.native:
        yield fine("motion detector", "Runs its native kernel, compiled from the source beside it.")
    else:
        yield poor("motion detector", f"Runs on {kernel.told}.", _KERNEL_REMEDY)
