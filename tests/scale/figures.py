"""Memory and processor time of a process, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_s", "memory_bytes"]


def memory_bytes(pid: int | None) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024


def cpu_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
