"""The power goes on a real ext4: what was acknowledged survives, and at most two seconds of tail are lost.

Thirty cuts here; `python -m tests.crash.power.cuts --points 1000` does more, and RESULTS.md has the last
result.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench.vault import wear
from tests.crash.power.cuts import SUPERBLOCK, cut_everywhere, put_image, surviving
from tests.crash.power.loop import mounted, why_not
from tests.lengths import LONG

POINTS = 1200 if os.environ.get("DOORWARD_THOROUGH") else 20

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_not()), reason=f"power cuts on a real ext4: {why_not()}"),
]


def test_no_promise_is_broken_by_a_power_cut_on_ext4() -> None:
    result = cut_everywhere(POINTS, seed=7)
    assert result.violations == []
    assert result.with_pending > POINTS // 5


@LONG
def test_a_card_is_sent_hardly_more_than_the_ciphertext() -> None:
    """Wear, counted below the file system: header, manifest, index and ext4's own journal are in it."""
    times, extra_bytes = wear(4, 20)
    assert 1 < times <= 1.05
    assert extra_bytes <= 80_000


def test_a_disk_that_is_still_mounted_writes_nothing_into_the_disk_of_the_next_cut(tmp_path: Path) -> None:
    """Otherwise ext4 finds a wrong checksum ("Bad message") in a disk that no power cut has made so."""
    image, files = tmp_path / "cut", tmp_path / "files"
    files.mkdir()
    with image.open("wb") as made:
        made.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    disk = image.read_bytes()
    with mounted(image, files):
        held = (files / "held").open("wb")
        held.write(b"written late")
    put_image(image, disk)
    held.close()  # here the file system of before is unmounted
    os.sync()
    assert image.read_bytes() == disk


def test_a_cut_tears_each_write_but_that_of_the_superblock() -> None:
    """A torn superblock is the fault of no vault: ext4 does not mount it, and e2fsck restores it before a boot does."""
    chance = random.Random(7)
    kept: dict[int, set[int]] = {SUPERBLOCK[0]: set(), 8192: set()}
    for _ in range(300):
        left = Counter[int]()
        for offset, data in surviving([(SUPERBLOCK[0], b"s" * SUPERBLOCK[1]), (8192, b"d" * 1024)], chance):
            left[SUPERBLOCK[0] if data.startswith(b"s") else 8192] += len(data)
            assert offset in (1024, 1536, 8192, 8704)
        for begin, sizes in kept.items():
            sizes.add(left[begin])
    assert kept == {SUPERBLOCK[0]: {0, SUPERBLOCK[1]}, 8192: {0, 512, 1024}}


def test_the_rig_notices_a_vault_that_never_syncs() -> None:
    result = cut_everywhere(12, seed=7, without=("sync", "sync_data", "sync_directory"))
    assert result.violations
