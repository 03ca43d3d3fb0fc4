"""A board's health, read from files as a Pi has them; unreported values stay open."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.board_health import BoardHealth, read_health
from firmware_bridge.boards import BoardName, board_here

FILES = {
    "proc/meminfo": "MemTotal: 437556 kB\nCmaTotal:         262144 kB\nCmaFree:          131072 kB\n",
    "proc/net/wireless": "Inter-| sta-|\n face | tus |\n wlan0: 0000   54.  -56.  -256        0\n",
    "sys/class/thermal/thermal_zone0/temp": "61774\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/block/mmcblk0/stat": "    9 0 7 8  100 0 4000000 5 0 6 7\n",
    "sys/block/mmcblk0/device/life_time": "0x02 0x01\n",
    "sys/class/rtc/rtc0/name": "rpi-rtc\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_pis_files_are_read(root: Path) -> None:
    found = read_health(root)
    assert found == BoardHealth(
        temperature_c=61.774,
        under_voltage=True,
        throttled=True,
        throttled_since_boot=True,
        written_mb=2048,
        wear_percent=20,
        cma_total_mb=256,
        cma_free_mb=128,
        clock_source="rtc",
        clock_synced=found.clock_synced,
        wifi_dbm=-56,
    )
    assert found.is_power_limited


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["", "\0\xff garbage", "-", "9" * 400])
def test_damaged_files_are_unknown_and_nothing_fails(root: Path, name: str, damage: str) -> None:
    (root / name).write_bytes(damage.encode("latin1"))
    read_health(root)


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    found = read_health(tmp_path)
    assert (found.temperature_c, found.under_voltage, found.wear_percent, found.wifi_dbm) == (None, None, None, None)
    assert not found.is_power_limited


def test_the_supplys_alarm_is_heard_where_the_firmwares_flags_are_not_offered(root: Path) -> None:
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    hwmon = root / "sys/class/hwmon/hwmon1"
    hwmon.mkdir(parents=True)
    (hwmon / "name").write_text("rpi_volt\n")
    (hwmon / "in0_lcrit_alarm").write_text("1\n")
    assert read_health(root).under_voltage


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", BoardName.ZERO_2_W),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", BoardName.PI_3),
        ("Raspberry Pi 4 Model B Rev 1.4", BoardName.PI_4),
        ("Raspberry Pi 5 Model B Rev 1.0", BoardName.PI_5),
        ("Some Other Board", BoardName.OTHER),
    ],
)
def test_boards_are_known_by_their_device_tree(tmp_path: Path, model: str, name: BoardName) -> None:
    (tmp_path / "model").write_bytes(model.encode() + b"\0")
    assert board_here(tmp_path / "model").name is name
    assert board_here(tmp_path / "absent").name is BoardName.OTHER
