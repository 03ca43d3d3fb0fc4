"""Can the vault be written, is there room, and does the disk really store what it acknowledges in time?"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration

__all__ = ["check_disk"]

_PROBE_BYTES = 1 << 20
_SLOW_S = 1.0


def check_disk(configuration: Configuration) -> Iterator[Finding]:
    """Writes, syncs and removes a file in the vault's folder. Compares free space with the configuration."""
    state_dir = configuration.device.state_dir
    folder = _nearest(state_dir)
    if not folder.is_dir():
        yield bad("disk", f"{folder} is not a folder.", "Set device.state_dir to a folder, or move that file away.")
        return
    try:
        took_s = _write_and_sync(folder)
    except OSError as error:
        yield _unwritable(state_dir, folder, error)
        return
    if took_s > _SLOW_S:
        message = f"Storing 1 MiB in {folder} took {took_s:.1f} s."
        yield poor("disk", message, "The card is slow, worn or busy. Try another card of class A1 or better.")
    elif state_dir.exists():
        yield fine("disk", f"{state_dir} can be written; 1 MiB is on the disk after {took_s * 1000:.0f} ms.")
    else:
        yield fine("disk", f"{state_dir} does not exist yet, but can be created; 1 MiB takes {took_s * 1000:.0f} ms.")
    yield _room(folder, configuration)


def _nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _write_and_sync(folder: Path) -> float:
    """Seconds until a megabyte is durable."""
    began = time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(os.urandom(_PROBE_BYTES))
        probe.flush()
        # Without it only the cache would be measured. A worn card shows here.
        os.fsync(probe.fileno())
    return time.monotonic() - began


def _unwritable(state_dir: Path, folder: Path, error: OSError) -> Finding:
    remedies = {
        errno.EROFS: "The disk is mounted read-only, often after a fault. Read `dmesg`, check it, and mount it again.",
        errno.ENOSPC: "The disk is full. Free some space, or set device.state_dir to another disk.",
        errno.EDQUOT: "This user's quota is used up. Raise it, or set device.state_dir to another disk.",
        errno.EIO: "The disk fails. Save its data and replace it.",
    }
    permission = f"sudo chown {os.getuid()} {folder}, or set device.state_dir to your own folder."
    remedy = remedies.get(error.errno or 0, permission)
    return bad("disk", f"{state_dir} cannot be written: {error.strerror or error}.", remedy)


def _room(folder: Path, configuration: Configuration) -> Finding:
    vault = configuration.vault
    disk = shutil.disk_usage(folder)
    floor_bytes = round(disk.total * vault.free_floor)
    room_bytes = min(vault.max_bytes, disk.free - floor_bytes)
    if room_bytes <= 0:
        return bad(
            "room",
            f"{disk.free / 1e9:.1f} GB are free, under the floor of {floor_bytes / 1e9:.1f} GB: footage is not stored.",
            "Free some space, or lower vault.free_floor.",
        )
    # 125 bytes for each kilobit.
    hours = room_bytes / (configuration.camera.bitrate_kbps * 125) / 3600
    message = f"Room for {room_bytes / 1e9:.1f} GB of segments: {hours:.0f} h of motion at the full bitrate."
    if hours < 1:
        return poor("room", message, "Free some space, or set device.state_dir to a larger disk.")
    return fine("room", message)
