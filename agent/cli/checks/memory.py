"""Checks that the configured doorbell fits into the board's memory, and says which smaller one would.

The parts and their sizes are measured in docs/decisions/0007-four-roles-on-a-zero-2-w.md and bench/LABELS.md, on
x86-64. The system's own share is an estimate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.cli.checks.finding import Finding, bad, fine
from agent.config import Configuration
from agent.config.settings import CameraKind, Encoder
from agent.recorder.detection_setup import why_unavailable
from firmware_bridge.boards import Board, board_named

__all__ = ["check_memory", "needed_mb"]

_SYSTEM_MB: Final = 90
"""Raspberry Pi OS Lite without a desktop: kernel, systemd, journal, network. An estimate."""
_ROLES_MB: Final = 200
"""All roles while they film 640 × 360 with an encoder in software, with libraries and files: below this they thrash."""
_MEASURED_PX: Final = 640 * 360
_PX_OF_SCRATCH: Final = 1_000_000
_ENCODER_MB: Final = 35
"""x264 for each million pixels."""
_DECODER_MB: Final = 12
"""A network camera's stream, for each million pixels: about 100 MB at 3840 × 2160."""
_DETECTION_MB: Final = 20
_PAGE_MB: Final = 25
_BYTES_PER_PX: Final = 1.5
_DEFAULT_PRE_ROLL: Final = 16_000_000
_SMALLER_SIZES: Final = ((1920, 1080), (1280, 720), (960, 540), (640, 360))
_MEMINFO: Final = Path("/proc/meminfo")


def needed_mb(configuration: Configuration, board: Board, *, detects: bool) -> int:
    """Returns the memory that the doorbell and its system need, in MB. `detects`: object detection is installed."""
    camera = configuration.camera
    px = camera.size[0] * camera.size[1]
    needed = _SYSTEM_MB + _ROLES_MB + max(0, configuration.clips.pre_roll_max_bytes - _DEFAULT_PRE_ROLL) / 1e6
    hardware = camera.kind is CameraKind.PI and board.hardware_h264 and camera.encoder is not Encoder.SOFTWARE
    if camera.kind is CameraKind.RTSP:
        needed += _DECODER_MB * px / _PX_OF_SCRATCH
    elif not hardware:
        needed += _ENCODER_MB * max(0, px - _MEASURED_PX) / _PX_OF_SCRATCH
    if camera.kind is CameraKind.PI:
        needed += board.camera_buffers * px * _BYTES_PER_PX / 1e6
    needed += _DETECTION_MB if detects else 0
    needed += _PAGE_MB if configuration.page is not None else 0
    return round(needed)


def check_memory(configuration: Configuration, meminfo: Path = _MEMINFO) -> Iterator[Finding]:
    """Refuses a configuration that does not fit, with the largest one that does."""
    has_mb = _total_mb(meminfo)
    if has_mb is None:
        return
    board = board_named(configuration.board.profile)
    detects = not why_unavailable(configuration)
    needs_mb = needed_mb(configuration, board, detects=detects)
    if needs_mb <= has_mb:
        yield fine("memory", f"The doorbell and its system need about {needs_mb} MB of {has_mb} MB.")
        return
    message = f"The doorbell and its system need about {needs_mb} MB, and there are {has_mb} MB."
    yield bad("memory", message, _what_fits(configuration, board, has_mb, detects=detects))


def _what_fits(configuration: Configuration, board: Board, has_mb: int, *, detects: bool) -> str:
    """The smallest change that fits: a smaller picture with labels, before a picture without them."""
    sizes = [size for size in _SMALLER_SIZES if size[0] < configuration.camera.size[0]]
    for keeps in (True, False) if detects else (False,):
        for size in (configuration.camera.size, *sizes):
            smaller = replace(configuration.camera, size=size)
            if needed_mb(replace(configuration, camera=smaller), board, detects=keeps) > has_mb:
                continue
            changes = [f"camera.size = [{size[0]}, {size[1]}]"] if size != configuration.camera.size else []
            changes += [] if keeps or not detects else ['object_detection.use = "off"']
            return f"This fits: {' and '.join(changes)}."
    return "Take a board with more memory, or run all roles in one process (`doorward run`), which needs 50 MB less."


def _total_mb(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    # The kernel counts KiB, and the parts above are in MB.
    return int(found[1]) * 1024 // 1_000_000 if found else None
