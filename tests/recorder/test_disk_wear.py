"""The status reports the wear that the kernel counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.recorder.timed_disk import wear

WRITTEN_BYTES = 8 << 20


WRITER = f"""
import errno, json, mmap, os, tempfile
from agent.recorder.timed_disk import wear

page_aligned = mmap.mmap(-1, {WRITTEN_BYTES})
with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
    try:
        past_the_cache = os.open(file.name, os.O_WRONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        print("null")
        raise SystemExit
    before = wear(0)
    if os.write(past_the_cache, page_aligned) != {WRITTEN_BYTES}:
        raise SystemExit("cut short")
    print(json.dumps([before, wear(1800)]))
"""
"""Writes to /var/tmp, because the other tests' folder may be in memory.

It writes past the page cache. Linux counts a whole cached folio, up to 2 MiB, each time one of its bytes becomes
dirty, so it counts a folio twice if it writes the folio back while the file is still being written.
"""


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel counts nothing here")
def test_what_is_written_to_a_disk_is_counted_and_told_for_an_hour_of_footage() -> None:
    """In a separate process: the kernel counts for a whole process, and other threads of this one write as well."""
    told = subprocess.run([sys.executable, "-B", "-c", WRITER], stdout=subprocess.PIPE, check=True).stdout
    if json.loads(told) is None:
        pytest.skip("the file system of /var/tmp takes no writes past the cache")
    before, after = json.loads(told)
    if after["written_bytes"] == before["written_bytes"]:
        pytest.skip("/var/tmp is in memory, and no disk wears out")
    beside_the_file_bytes = after["written_bytes"] - before["written_bytes"] - WRITTEN_BYTES
    assert 0 <= beside_the_file_bytes < WRITTEN_BYTES // 100
    assert after["bytes_per_recorded_hour"] == 2 * after["written_bytes"]


def test_before_anything_is_recorded_there_is_no_rate() -> None:
    assert wear(0)["bytes_per_recorded_hour"] is None


def test_bytes_that_were_taken_back_before_they_reached_the_disk_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "rchar: 99\nwrite_bytes: 5000\ncancelled_write_bytes: 1400\n"
    monkeypatch.setattr(Path, "read_text", lambda _path: said)
    assert wear(36) == {"written_bytes": 3600, "recorded_s": 36, "bytes_per_recorded_hour": 360_000}
    said = "write_bytes: 5\ncancelled_write_bytes: 1400\n"
    assert wear(0) == {"written_bytes": 0, "recorded_s": 0, "bytes_per_recorded_hour": None}


def test_a_kernel_that_counts_nothing_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_path: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert wear(3600)["written_bytes"] == 0
    monkeypatch.setattr(Path, "read_text", lambda _path: "rchar: 99\n")
    assert wear(3600)["bytes_per_recorded_hour"] == 0
