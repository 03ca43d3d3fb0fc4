"""A disk after a power cut: what `power_cuts.py` keeps of QEMU's log of its writes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.install.power_cuts import ENTRY, FLUSH, MAGIC, SECTOR, SUPERBLOCK, survive

OLD = b"o" * SECTOR * 8


def logged(folder: Path, *writes: tuple[int, bytes] | None, rest: bytes = b"") -> Path:
    """Returns a log of these writes (sector, contents) and flushes (None). `rest`: a torn end."""
    made = SUPERBLOCK.pack(MAGIC, 1, 0, SECTOR).ljust(SECTOR, b"\0")
    for each in writes:
        sector, data = each or (0, b"")
        made += ENTRY.pack(sector, len(data) // SECTOR, 0 if each else FLUSH, 0).ljust(SECTOR, b"\0") + data
    log = folder / "log"
    log.write_bytes(made + rest)
    return log


def disk(folder: Path) -> Path:
    made = folder / "disk"
    made.write_bytes(OLD)
    return made


def test_a_write_is_lost_unless_a_flush_followed_it(tmp_path: Path) -> None:
    log = logged(tmp_path, (1, b"a" * SECTOR), None, (2, b"b" * SECTOR), (1, b"c" * SECTOR))
    assert survive(log, disk(tmp_path), None) == (SECTOR, 2 * SECTOR)
    assert (tmp_path / "disk").read_bytes() == OLD[:SECTOR] + b"a" * SECTOR + OLD[2 * SECTOR :]


def test_without_a_flush_everything_is_lost(tmp_path: Path) -> None:
    assert survive(logged(tmp_path, (1, b"a" * SECTOR)), disk(tmp_path), None) == (0, SECTOR)
    assert (tmp_path / "disk").read_bytes() == OLD


def test_a_half_of_the_later_writes_stays_in_any_order(tmp_path: Path) -> None:
    log = logged(tmp_path, None, *((sector, b"n" * SECTOR) for sector in range(8)))
    seen = set()
    for seed in range(20):
        target = disk(tmp_path)
        kept, lost = survive(log, target, random.Random(seed))
        assert kept + lost == 8 * SECTOR
        seen.add(tuple(target.read_bytes()[place] for place in range(0, 8 * SECTOR, SECTOR)))
    assert len(seen) > 10
    assert any(states[0] == ord("o") and states[7] == ord("n") for states in seen), "a later one without an earlier"


@pytest.mark.parametrize("rest", [b"\0" * SECTOR * 4, ENTRY.pack(3, 4, 0, 0).ljust(SECTOR, b"\0") + b"x" * SECTOR])
def test_a_torn_end_of_the_log_is_no_write(tmp_path: Path, rest: bytes) -> None:
    log = logged(tmp_path, (1, b"a" * SECTOR), None, rest=rest)
    assert survive(log, disk(tmp_path), random.Random(1)) == (SECTOR, 0)
