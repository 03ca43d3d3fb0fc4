"""`python -m tests.install.power_cuts`: the power goes at ten moments of an update, and unsynced writes are lost.

The small system of `quick_kills.py`, with its real updater, root's step, signatures, dpkg-deb and installer, runs in a
virtual machine on ext4. A moment is a number of bytes that the update has written, so that it is the same on a busy
host. QEMU is killed, so the guest's cache is gone. Its disk has a cache that forgets, too: QEMU logs each write and
each flush, and the disk of the next boot gets the writes before the last flush, and after every other cut a random
half of the later ones. Then exactly one whole version runs, without help, and the next try succeeds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hardware.vm.build import build
from tests.hardware.vm.run import Machine
from tests.install.quick_kills import NEW, OLD, Prepared
from tests.install.run import POWER_CUTS, write_row

SUITE = "trixie"
SIZE = "1500M"
MAGIC = 0x6A736677736872
FLUSH, DISCARD = 1, 4
SECTOR = 512
SUPERBLOCK = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
BOOT_S, UPDATE_S, CHECK_S = 600.0, 900.0, 1800.0
"""Limits in seconds of the emulator's processor time."""


@dataclass(frozen=True)
class Write:
    """An entry of QEMU's log (its driver blklogwrites, in the format of Linux' dm-log-writes)."""

    at: int
    data_at: int
    length: int
    is_flush: bool


def entries(log: Path) -> Iterator[Write]:
    """Yields all entries, also those after the number that the log's head has, which is behind after a kill."""
    size = log.stat().st_size
    with log.open("rb") as file:
        magic, _, _, sector_bytes = SUPERBLOCK.unpack(file.read(SUPERBLOCK.size))
        assert (magic, sector_bytes) == (MAGIC, SECTOR), (magic, sector_bytes)
        place = SECTOR
        while place + SECTOR <= size:
            file.seek(place)
            sector, sectors, flags, _ = ENTRY.unpack(file.read(ENTRY.size))
            assert not flags & DISCARD, "the disk discards nothing"
            length = sectors * SECTOR
            if not sectors and not flags & FLUSH:
                return  # a hole: the kill came before it was written
            if place + SECTOR + length > size:
                return
            yield Write(sector * SECTOR, place + SECTOR, length, bool(flags & FLUSH))
            place += SECTOR + length


def survive(log: Path, disk: Path, rng: random.Random | None) -> tuple[int, int]:
    """Writes onto `disk`, as it was before, what a disk with a volatile cache keeps of a log.

    `rng`: keeps a random half of the writes after the last flush; none of them without it. Returns how many bytes were
    kept and lost.
    """
    all_of_them = list(entries(log))
    last = max((number for number, each in enumerate(all_of_them) if each.is_flush), default=-1)
    kept = lost = 0
    with log.open("rb") as file, disk.open("r+b") as target:
        for number, each in enumerate(all_of_them):
            if number > last and (rng is None or rng.random() < 0.5):
                lost += each.length
                continue
            file.seek(each.data_at)
            target.seek(each.at)
            target.write(file.read(each.length))
            kept += each.length
    return kept, lost


class Cuts:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._machine = build("amd64")
        self._base = folder / "base.img"
        prepared = Prepared(SUITE, folder / "prepared")
        (prepared.lower / "srv/digests.json").write_text(json.dumps(prepared.digests))
        (prepared.lower / "srv/kills/vm_init").chmod(0o755)
        self._make_disk(prepared)
        self._rng = random.Random(int(os.environ.get("DOORWARD_UPDATE_SEED", "19")))
        self.seconds = 0.0
        self.written = 0
        """Bytes that a whole update adds to the log: what a cut has to count, because seconds change with the load."""

    def _make_disk(self, prepared: Prepared) -> None:
        """Puts both layers of the small system on one file system."""
        merged, work = self._folder / "merged", self._folder / "work"
        merged.mkdir()
        work.mkdir()
        script = (
            f"mount -t overlay -o 'lowerdir={prepared.installed}:{prepared.lower}' o '{merged}' && "
            f"truncate -s {SIZE} '{self._base}' && mke2fs -q -t ext4 -d '{merged}' '{self._base}'"
        )
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True)
        shutil.rmtree(prepared.folder)

    def measure(self) -> None:
        """An update that is not cut. Its log, replayed, is its disk: so the log has every write."""
        disk, log = self._copy("whole"), self._folder / "whole.log"
        machine = self._boot("update", disk, log)
        self._begun(machine)
        began_s, before = time.monotonic(), log.stat().st_size
        assert machine.wait(lambda lines: "done" in lines, UPDATE_S), machine.lines[-20:]
        assert "updated" in machine.lines, machine.lines[-20:]
        self.seconds, self.written = time.monotonic() - began_s, log.stat().st_size - before
        machine.cut_power()
        replayed = self._copy("replayed")
        with log.open("rb") as file, replayed.open("r+b") as target:
            for each in entries(log):
                file.seek(each.data_at)
                target.seek(each.at)
                target.write(file.read(each.length))
        subprocess.run(["cmp", str(disk), str(replayed)], check=True)
        for path in (disk, log, replayed):
            path.unlink()

    def cut(self, number: int, count: int) -> tuple[str, int]:
        """Returns the version that ran after a cut, and the bytes that QEMU had and the disk lost."""
        disk, log = self._copy("cut"), self._folder / "cut.log"
        machine = self._boot("update", disk, log)
        self._begun(machine)
        if number + 1 < count:
            goal = log.stat().st_size + self.written * (number + 1) / count
            deadline_s = time.monotonic() + UPDATE_S
            while log.stat().st_size < goal and "done" not in machine.lines:
                assert time.monotonic() < deadline_s, f"it never wrote {goal:.0f} bytes"
                time.sleep(0.001)
        else:  # after the end, before the guest's kernel writes back
            assert machine.wait(lambda lines: "done" in lines, UPDATE_S), machine.lines[-20:]
        machine.cut_power()
        disk.unlink()
        survived = self._copy("survived")
        _, lost = survive(log, survived, self._rng if number % 2 else None)
        log.unlink()
        after = self._boot("check", survived)
        after.wait(lambda lines: "done" in lines, CHECK_S)
        after.cut_power()
        survived.unlink()
        said = dict(line.split(" ", 1) for line in after.lines if line.startswith(("runs ", "again ", "bad ")))
        assert said.get("runs") in (OLD, NEW), "\n".join(after.lines[-30:])
        assert said.get("again") == NEW, "\n".join(after.lines[-30:])
        return said["runs"], lost

    def _begun(self, machine: Machine) -> None:
        assert machine.wait(lambda lines: "begin" in lines, BOOT_S), "\n".join(machine.lines[-30:])

    def _copy(self, name: str) -> Path:
        target = self._folder / f"{name}.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(self._base), str(target)], check=True)
        return target

    def _boot(self, task: str, disk: Path, log: Path | None = None) -> Machine:
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        command += ["-m", "1024", "-nographic", "-no-reboot", "-nic", "none", "-monitor", "none"]
        command += ["-kernel", f"{self._machine}/vmlinuz", "-initrd", f"{self._machine}/initrd"]
        words = f"root=/dev/vda rw console=ttyS0 quiet panic=-1 init=/srv/kills/vm_init doorward={task}"
        command += ["-append", words, "-blockdev", f"driver=file,filename={disk},node-name=disk"]
        node = "disk"
        if log is not None:
            log.touch()
            command += ["-blockdev", f"driver=file,filename={log},node-name=log"]
            command += ["-blockdev", "driver=blklogwrites,file=disk,log=log,node-name=logged"]
            node = "logged"
        command += ["-device", f"virtio-blk-pci,drive={node},write-cache=on,discard=off,write-zeroes=off"]
        serial, told = self._folder / f"{task}.serial", self._folder / f"{task}.out"
        return Machine(task, [*command, "-serial", f"file:{serial}", "-serial", f"file:{told}"], told)


def main(arguments: list[str]) -> int:
    count = int(os.environ.get("DOORWARD_POWER_CUTS", "10"))
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="doorward-power-", dir=os.environ.get("DOORWARD_INSTALL_DIR")) as name:
        cuts = Cuts(Path(name))
        cuts.measure()
        print(
            f"an update takes {cuts.seconds:.0f} s and writes {cuts.written / 1e6:.0f} MB, each of them in the log",
            flush=True,
        )
        found: Counter[str] = Counter()
        losses, failed = [], 0
        for number in range(count):
            try:
                version, lost = cuts.cut(number, count)
                found["new" if version == NEW else "old"] += 1
                losses.append(lost)
                said = f"{version} runs, and {lost} bytes of the disk's own cache were lost"
            except AssertionError as error:
                failed += 1
                said = f"FAILED: {error}"
            print(f"    cut {number + 1} of {count}: {said}", flush=True)
    told = (
        f"{count} cuts of a machine's power over {cuts.written / 1e6:.0f} MB that an update writes, unsynced writes "
        f"lost, in its disk's own cache {max(losses, default=0) / 1e6:.1f} MB at most: "
        f"{f'not after {failed}' if failed else 'one whole version after each, and the next update succeeds'}; "
        f"old {found['old']}, new {found['new']}"
    )
    print(told)
    if count > 1 and len(found) < 2:  # every moment was on the same side of the change
        print("FAILED: only one of both versions ever ran after a cut, so the moments show little.")
        return 1
    if not failed and "--record" in arguments:
        write_row(SUITE, (POWER_CUTS, told, time.monotonic() - began_s))
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
