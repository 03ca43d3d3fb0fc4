"""The RTSP server of `rtsp_server.py`, run beside a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["serving"]

SERVER = Path(__file__).with_name("rtsp_server.py")


@contextmanager
def serving(*films: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on loopback; skips visibly where Debian's is not installed."""
    with subprocess.Popen(
        ["/usr/bin/python3", str(SERVER), *map(str, films)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            port = (server.stdout.readline() if server.stdout else "").strip()
            if not port:
                pytest.skip(
                    "no RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base "
                    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
                )
            yield f"rtsp://127.0.0.1:{port}", server
        finally:
            server.kill()
