"""Measures how much this process has written to disks, because writes wear a card out.

The kernel counts pages as they become dirty, so file system journals are left out; FORMAT.md, "Figures", says how
much they add. Where a file system caches files in large folios (ext4 since Linux 6.16), the kernel counts a whole
folio for one changed byte, so the figure may be too high. On a system that lacks these counters the answer is 0.

Source: proc_pid_io(5), `write_bytes` and `cancelled_write_bytes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["wear"]

_HOUR_S = 3600


def wear(recorded_s: float) -> dict[str, Any]:
    """For `doorward status`: bytes written since the process began, and per hour of footage recorded by it."""
    written = max(0, _written_bytes())
    return {
        "written_bytes": written,
        "recorded_s": round(recorded_s),
        "bytes_per_recorded_hour": round(written / recorded_s * _HOUR_S) if recorded_s else None,
    }


def _written_bytes() -> int:
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    found = dict(line.split(": ") for line in lines)
    return int(found.get("write_bytes", 0)) - int(found.get("cancelled_write_bytes", 0))
