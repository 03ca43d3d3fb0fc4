"""`python -m tests.crash.takes_nothing KIND FOLDER`: a doorbell that starts on a disk that takes nothing.  Root's.

Run it in its own mount namespace.  A file system is mounted in FOLDER.  A first doorbell films and is killed.  The
file system takes no more writes.  A second doorbell starts on it and is looked at.  The file system takes everything
again.  Prints what was seen as one JSON document.  Each doorbell is a process, for one of them ended in SIGBUS.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import Configuration
from agent.config.settings import ClipsConfig, DeviceConfig, PageConfig
from agent.core.vault.fields import TimeSpan
from agent.core.vault.records import GapReason, GapRecord, SegmentRecord
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from tests.recorder.test_recorder_and_hardware import LiveCamera

__all__ = ["KINDS"]

KINDS = ("tmpfs read-only", "ext4 read-only", "tmpfs full", "ext4 full", "btrfs full")
_DISK_BYTES = 160 << 20
_PATIENCE_S = 40.0


def doorbell(disk: Path) -> Solo:
    clips = ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2, continuous=True)
    page = PageConfig(host="127.0.0.1", port=0, mdns=False)
    return Solo(
        Configuration(device=DeviceConfig(state_dir=disk / "state"), clips=clips, page=page), open_camera=LiveCamera
    )


def until(condition: Callable[[], object]) -> bool:
    ends_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > ends_s:
            return False
        time.sleep(0.05)
    return True


def before(disk: Path) -> None:
    """Film, and be killed."""
    StateFolder(disk / "state").initialise(private_key_from_seed(os.urandom(32)))
    solo = doorbell(disk)
    solo.start()
    with DeviceLink(disk / "state" / "control.sock") as link:
        enrol(link, OwnerKeys.create(disk.parent / "owner"))
    threading.Thread(target=solo.record, daemon=True).start()
    assert until(lambda: solo.recorder.status().segments >= 3)
    # A file, because threads of this doorbell log to standard output and their lines can run together.
    (disk.parent / "before.json").write_text(json.dumps(solo.vault.totals().segments))
    os.kill(os.getpid(), signal.SIGKILL)


def after(kind: str, disk: Path) -> None:
    """Start, be looked at, and film once the disk takes something again."""
    seen: dict[str, Any] = {}
    solo = doorbell(disk)
    solo.start()
    thread = threading.Thread(target=solo.record)
    thread.start()
    until(lambda: solo.recorder.delivering)
    films_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    try:
        seen["owners"] = solo.status()["owners"]
        seen["stored"] = solo.vault.totals().segments
        assert solo.page is not None
        with urllib.request.urlopen(
            f"https://127.0.0.1:{solo.page.port}/", context=ssl._create_unverified_context(), timeout=20
        ) as page:
            seen["page"] = page.status
        until(lambda: solo.recorder.status().state not in ("no camera", "watching"))
        if "full" in kind:
            seen["records meanwhile"] = until(lambda: solo.recorder.status().segments)
        if "read-only" in kind:
            until(lambda: solo.recorder._parts.writer.retry_buffer.waiting)
        state = solo.recorder.status()
        seen["state"], seen["detail"] = state.state, state.detail
        takes_everything(kind, disk)
        acknowledged = solo.recorder.status().segments
        seen["records again"] = until(lambda: solo.recorder.status().segments > acknowledged)
        seen["state then"] = solo.recorder.status().state
        if "read-only" in kind:
            until(lambda: gaps(solo))
        # A full disk takes the newest footage in the place of the oldest, so the hole ends with the first picture.
        seen["hole_s"] = hole_s(solo, films_us if "full" in kind else None)
        seen["decides again"] = until(lambda: solo.custodian._begun)
    finally:
        solo.stop()
        thread.join()
        solo.close()
    (disk.parent / "after.json").write_text(json.dumps(seen))


def gaps(solo: Solo) -> list[TimeSpan]:
    return [one.span for one in solo.vault._records() if isinstance(one, GapRecord) and one.reason is GapReason.STORAGE]


def hole_s(solo: Solo, since_us: int | None) -> float:
    """The longest time of this boot, or since then, between two records of footage for which nothing is said."""
    spans = [
        (one.span.start_us, one.span.end_us)
        for one in solo.vault._records()
        if isinstance(one, SegmentRecord | GapRecord)
    ]
    if since_us is not None:
        spans = [(start_us, end_us) for start_us, end_us in spans if end_us > since_us]
    said_us, longest_us = min(spans)[1] if since_us is None else since_us, 0
    for start_us, end_us in sorted(spans):
        longest_us = max(longest_us, start_us - said_us)
        said_us = max(said_us, end_us)
    return longest_us / 1e6


def mount(kind: str, folder: Path) -> Path:
    disk, system = folder / "disk", kind.split()[0]
    disk.mkdir()
    if system == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", disk], check=True)
        return disk
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    subprocess.run([f"mkfs.{system}", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    return disk


def takes_nothing(kind: str, disk: Path) -> None:
    if "read-only" in kind:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        return
    for size in (1 << 20, 1 << 12, 1 << 9):
        with (disk / f"foreign-{size}").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(os.urandom(size))
                    if size < 1 << 20:
                        os.fsync(file.fileno())
            except OSError:
                continue
    os.sync()


def takes_everything(kind: str, disk: Path) -> None:
    if "read-only" in kind:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        return
    for each in disk.glob("foreign-*"):
        each.unlink()


def main(kind: str, folder: Path) -> None:
    disk = mount(kind, folder)
    again = [sys.executable, "-m", "tests.crash.takes_nothing", kind, str(folder)]
    try:
        first = subprocess.run([*again, "before"], capture_output=True, text=True, check=False)
        assert first.returncode == -signal.SIGKILL, first.stderr[-2000:]
        takes_nothing(kind, disk)
        second = subprocess.run([*again, "after"], capture_output=True, text=True, check=False)
        assert second.returncode == 0, (second.returncode, second.stdout[-3000:], second.stderr[-3000:])
    finally:
        subprocess.run(["umount", disk], check=True)
    stored, seen = (json.loads((folder / f"{part}.json").read_text()) for part in ("before", "after"))
    print(json.dumps({"stored before": stored, **seen}))


if __name__ == "__main__":
    if sys.argv[3:] == ["before"]:
        before(Path(sys.argv[2]) / "disk")
    elif sys.argv[3:] == ["after"]:
        after(sys.argv[1], Path(sys.argv[2]) / "disk")
    else:
        main(sys.argv[1], Path(sys.argv[2]))
