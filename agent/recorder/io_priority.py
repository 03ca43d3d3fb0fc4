"""Lowers the calling thread's priority for disk and processor.

A disk scheduler without classes (`none`, as on many cards) ignores the priority; then only the caller's pauses help.

Source: ioprio_set(2), setpriority(2) ("in the current Linux/NPTL implementation the nice value is per thread").
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from contextlib import suppress
from typing import Final

__all__ = ["work_behind", "work_idly"]

_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "armv6l": 314, "riscv64": 30}
_WHO_THREAD: Final = 1
_CLASS_IDLE: Final = 3 << 13
_LEAST_URGENT: Final = 19
_LESS_URGENT: Final = 10


def work_idly() -> bool:
    """Returns whether the disk's scheduler accepted the priority. Errors are ignored."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_URGENT)
    number = _IOPRIO_SET.get(platform.machine())
    # A 32-bit program on a 64-bit kernel would call another function by that number.
    if number is None or ctypes.sizeof(ctypes.c_void_p) != (4 if platform.machine().startswith("armv") else 8):
        return False
    return bool(ctypes.CDLL(None).syscall(number, _WHO_THREAD, 0, _CLASS_IDLE) == 0)


def work_behind() -> None:
    """Gives the calling thread about a tenth of what others get of a busy core; never raises.

    For a thread that computes in Python now and then. It holds the interpreter's lock meanwhile, and at the lowest
    priority it could keep that lock from the recording threads for long.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LESS_URGENT)
