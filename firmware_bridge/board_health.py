"""Reads the board's health. A value that the board does not report is None.

Sources: Raspberry Pi documentation, "get_throttled" (bits 0, 2, 16, 18); Documentation/ABI/testing/sysfs-devices-mmc
(life_time, in steps of ten per cent); Documentation/admin-guide/iostats.rst; proc(5); adjtimex(2); wireless(7).
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["BoardHealth", "read_health"]

_UNDER_VOLTAGE, _THROTTLED, _THROTTLED_BEFORE = 1 << 0, 1 << 2, 1 << 18
_SECTOR_BYTES = 512
_LONGEST_NUMBER: Final = 9
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class BoardHealth:
    """One reading."""

    temperature_c: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    throttled_since_boot: bool | None = None
    written_mb: int | None = None
    """To the card since boot."""
    wear_percent: int | None = None
    """Used life of the card in per cent, as eMMC and some industrial cards report it. For example, 110 means "beyond
    its life"."""
    cma_total_mb: int | None = None
    cma_free_mb: int | None = None
    clock_source: str | None = None
    """"rtc" with a battery clock, else "network"."""
    clock_synced: bool | None = None
    wifi_dbm: int | None = None

    @property
    def is_power_limited(self) -> bool:
        """The supply is too weak, or the firmware throttles, now."""
        return bool(self.under_voltage or self.throttled)


def read_health(root: Path = Path("/")) -> BoardHealth:
    """`root`: another one for tests."""
    flags = _throttled(root)
    memory = _table(root / "proc/meminfo")
    temperature = _number(root / "sys/class/thermal/thermal_zone0/temp")
    # The agent refuses a frame with a value out of range, and ends the connection.
    if temperature is not None and not -60_000 <= temperature <= 200_000:
        temperature = None
    card = _first(root / "sys/block", "mmcblk[0-9]*")
    return BoardHealth(
        temperature_c=None if temperature is None else temperature / 1000,
        under_voltage=_under_voltage(root) if flags is None else bool(flags & _UNDER_VOLTAGE),
        throttled=None if flags is None else bool(flags & _THROTTLED),
        throttled_since_boot=None if flags is None else bool(flags & _THROTTLED_BEFORE),
        written_mb=_written_mb(card),
        wear_percent=_wear(card),
        cma_total_mb=_mb(memory, "CmaTotal"),
        cma_free_mb=_mb(memory, "CmaFree"),
        clock_source="rtc" if _first(root / "sys/class/rtc", "rtc[0-9]*") else "network",
        clock_synced=_synced(),
        wifi_dbm=_wifi(root / "proc/net/wireless"),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, base: int = 10) -> int | None:
    text = _text(path) or ""
    try:
        return int(text, base) if len(text) <= _LONGEST_NUMBER else None
    except ValueError:
        return None


def _first(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.glob(pattern))), None) if folder.is_dir() else None


def _table(path: Path) -> dict[str, str]:
    lines = (_text(path) or "").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _mb(memory: dict[str, str], name: str) -> int | None:
    found = re.match(r"(\d{1,12}) kB", memory.get(name, ""))
    return int(found[1]) // 1024 if found else None


def _throttled(root: Path) -> int | None:
    """Reads the firmware's flags from its driver, because /dev/vcio would need more rights."""
    return _number(root / "sys/devices/platform/soc/soc:firmware/get_throttled", 16)


def _under_voltage(root: Path) -> bool | None:
    """The hwmon alarm, which every kernel of a Pi has."""
    for name in sorted((root / "sys/class/hwmon").glob("hwmon*/name")):
        if _text(name) == "rpi_volt":
            alarm = _number(name.parent / "in0_lcrit_alarm")
            return None if alarm is None else bool(alarm)
    return None


def _written_mb(card: Path | None) -> int | None:
    fields = (_text(card / "stat") or "").split() if card else []
    # The seventh field counts written sectors, of 512 bytes whatever the card's are.
    sectors = fields[6] if len(fields) > 6 else ""
    return int(sectors) * _SECTOR_BYTES // 1_000_000 if re.fullmatch(r"\d{1,12}", sectors) else None


def _wear(card: Path | None) -> int | None:
    """The worse of the two kinds of memory: 0x01 is up to ten per cent, 0x0a up to a hundred, 0x0b beyond."""
    words = (_text(card / "device/life_time") or "").split() if card else []
    steps = [int(word, 16) for word in words if re.fullmatch(r"0x0[0-9a-b]", word)]
    # 0x00 means "not defined" (JEDEC JESD84-B51).
    return max(steps) * 10 if any(steps) else None


def _synced() -> bool:
    libc = ctypes.CDLL(None)
    # A zeroed buffer has `modes` 0: the call only reads, which needs no right. It returns the state of the clock.
    return bool(0 <= libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) != _TIME_ERROR)


def _wifi(path: Path) -> int | None:
    # Two lines of titles come first.
    for line in (_text(path) or "").splitlines()[2:]:
        fields = line.split()
        if len(fields) > 3 and re.fullmatch(r"-\d{1,2}\.?", fields[3]):
            return int(fields[3].rstrip("."))
    return None
