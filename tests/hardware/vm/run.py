"""Boots the machines and judges what they say: `python -m tests.hardware.vm.run vm|pi3`.

vm   1. panel: gpio-sim through gpiod, and a watchdog that resets the machine when the bridge is killed
     2. record: picamera2 on a real kernel's dma-bufs; the machine is killed in the middle (SIGKILL: the power is gone)
     3. verify: the same disk again; everything that was acknowledged must be there and whole.  2 and 3 several times.
pi3  QEMU's Raspberry Pi 3 B with Debian's arm64 kernel: its GPIO chip, its watchdog, and a recording

The last result and its date go into tests/hardware/RESULTS.md.
"""

from __future__ import annotations

import compileall
import contextlib
import datetime
import os
import py_compile
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.hardware.vm.build import CACHE, ROOT, build

RESULTS = ROOT / "tests" / "hardware" / "RESULTS.md"
ARCHITECTURES = {"vm": "amd64", "pi3": "arm64"}
CUTS = 3
PI_PATIENCE_S = 1800.0
STANDING_STILL = 4
"""This many times the patience by the clock, and a machine that has not even used it up hangs."""
LEFT_OUT = ("__pycache__", "node_modules")
PACKED = ("agent", "firmware_bridge", "tests/hardware")


class Machine:
    """One boot. `lines` is its output until now."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.log = log
        log.write_bytes(b"")
        self.began_s = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.name = name

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.log.read_text(errors="replace").splitlines()]

    def wait(self, until: Callable[[list[str]], bool], patience_s: float) -> bool:
        """False when the patience or the machine ended first.

        `patience_s`: of the emulator's own processor time.  On a busy machine that passes slowly, and so does
        everything inside.
        """
        while not until(self.lines):
            if self._process.poll() is not None:
                return until(self.lines)
            if self.worked_s > patience_s or time.monotonic() - self.began_s > STANDING_STILL * patience_s:
                return False
            time.sleep(0.1)
        return True

    @property
    def worked_s(self) -> float:
        """Returns the processor time spent on it; 0 after its end."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def ended(self, patience_s: float) -> bool:
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def cut_power(self) -> None:
        self._process.kill()
        self._process.wait()


def pack(target: Path) -> None:
    """The repository as the second disk."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(target, "w") as archive:
        for name in PACKED:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        # Compiled here, not there: where this Python is another, it is done there after all.
        compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        archive.add(folder, arcname=".")
    with target.open("ab") as file:
        file.write(b"\0" * (-target.stat().st_size % (1 << 20)))


def pc(folder: Path, task: str, work: Path, state: Path) -> Machine:
    log, serial = work / f"{task}.out", work / f"{task}.serial"
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"]
    command += ["-nographic", "-no-reboot", "-nic", "none", "-monitor", "none"]
    command += ["-kernel", f"{folder}/vmlinuz", "-initrd", f"{folder}/initrd"]
    command += ["-append", f"root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 panic=-1 doorward={task}"]
    command += ["-drive", f"file={folder}/disk.img,if=virtio,format=raw,snapshot=on"]
    command += ["-drive", f"file={work}/repo.tar,if=virtio,format=raw,readonly=on"]
    # Writes reach the file when the guest flushes them, and not only then: a killed machine keeps what it was promised.
    command += ["-drive", f"file={state},if=virtio,format=raw,cache=none"]
    command += ["-serial", f"file:{serial}", "-serial", f"file:{log}"]
    return Machine(task, command, log)


def pi(folder: Path, task: str, work: Path) -> Machine:
    log, serial = work / f"{task}.out", work / f"{task}.serial"
    disk = work / "sd.img"
    subprocess.run(["cp", "--sparse=always", f"{folder}/disk.img", str(disk)], check=True)
    subprocess.run(
        ["qemu-img", "resize", "-q", "-f", "raw", str(disk), "4G"], check=True
    )  # an SD card is a power of two
    command = ["qemu-system-aarch64", "-M", "raspi3b", "-m", "1024", "-nographic"]
    # Its clock counts its own instructions, 4 ns each, and skips what it would sleep: however busy the host is, nothing
    # in the guest is late.
    command += ["-icount", "shift=2,sleep=off"]
    command += ["-no-reboot", "-monitor", "none", "-kernel", f"{folder}/vmlinuz", "-initrd", f"{folder}/initrd"]
    command += ["-dtb", f"{work}/pi3.dtb"]
    command += [
        "-append",
        "root=/dev/mmcblk0 rw console=ttyAMA0,115200 rootwait quiet systemd.show_status=0 "
        f"systemd.default_timeout_start_sec=900 doorward={task}",
    ]
    command += ["-drive", f"file={disk},if=sd,format=raw"]
    command += [
        "-drive",
        f"file={work}/repo.tar,if=none,id=repo,format=raw,readonly=on",
        "-device",
        "usb-storage,drive=repo",
    ]
    command += ["-serial", f"file:{log}", "-serial", f"file:{serial}"]
    return Machine(task, command, log)


def vm() -> list[tuple[str, bool, str]]:
    folder, work = build(ARCHITECTURES["vm"]), fresh("vm")
    state = work / "state.img"
    blank(state)
    found = judge_panel(pc(folder, "panel", work, state))
    blank(state)
    stored: set[str] = set()
    for cut in range(1, CUTS + 1):
        machine = pc(folder, "record", work, state)
        wanted = len(stored) + random.randrange(1, 4)
        counted = machine.wait(lambda lines, least=wanted: len(named(lines, "acknowledged")) >= least, 400)  # type: ignore[misc]
        time.sleep(random.random())
        machine.cut_power()
        acknowledged, heard = named(machine.lines, "acknowledged"), named(machine.lines, "heard")
        check = pc(folder, "verify", work, state)
        check.wait(lambda lines: any(line.startswith(("whole", "broken", "bad")) for line in lines), 300)
        check.ended(60)
        check.cut_power()
        words = next((line for line in check.lines if line.startswith("whole ")), "\n".join(check.lines[-5:]))
        new, stored = acknowledged - stored, named(check.lines, "stored")
        sounds = named(check.lines, "sounds")
        kept = acknowledged <= stored and new & heard and heard <= sounds and words.startswith("whole ")
        found.append((f"power cut {cut}: nothing acknowledged is lost", bool(counted and kept),
                      f"{len(acknowledged)} acknowledged ({len(new)} new), {len(heard)} with sound; stored "
                      f"{len(stored)}, {len(sounds)} with sound; {words[:160]}"))  # fmt: skip
    return found


def judge_panel(machine: Machine) -> list[tuple[str, bool, str]]:
    armed = machine.wait(lambda lines: any("watchdog must now" in line for line in lines), 400)
    began_s = time.monotonic()
    reset = armed and machine.ended(100)
    took_s = time.monotonic() - began_s
    machine.cut_power()
    found = outcomes(machine.lines)
    found.append(
        (
            "softdog resets the machine when the bridge is killed",
            reset and not any(n == "watchdog_reset" for n, _, _ in found),
            f"{took_s:.0f} s",
        )
    )
    return [one for one in found if one[0] != "watchdog_reset"]


def pi3() -> list[tuple[str, bool, str]]:
    folder, work = build(ARCHITECTURES["pi3"]), fresh("pi3")
    device_tree(work / "pi3.dtb")
    machine = pi(folder, "pi3", work)
    done = machine.wait(lambda lines: "done" in lines, PI_PATIENCE_S)
    machine.cut_power()
    found = outcomes(machine.lines)
    found.append(("ran to its end", done, f"{time.monotonic() - machine.began_s:.0f} s"))
    found.append(
        (
            "segments acknowledged",
            bool(named(machine.lines, "acknowledged")),
            str(len(named(machine.lines, "acknowledged"))),
        )
    )
    return found


def device_tree(target: Path) -> None:
    """The board's device tree, out of Debian's arm64 kernel package."""
    image = CACHE / "arm64" / "disk.img"
    listing = subprocess.run(
        ["debugfs", "-R", "ls -p /usr/lib", str(image)], capture_output=True, text=True, check=True
    ).stdout
    kernel = re.findall(r"/(linux-image-[^/]+)/", listing)[0]
    path = f"/usr/lib/{kernel}/broadcom/bcm2837-rpi-3-b.dtb"
    subprocess.run(["debugfs", "-R", f"dump {path} {target}", str(image)], capture_output=True, check=True)


def outcomes(lines: list[str]) -> list[tuple[str, bool, str]]:
    found = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in ("ok", "bad"):
            name, _, seen = rest.partition(" ")
            found.append((name, word == "ok", seen))
    return found


def named(lines: list[str], word: str) -> set[str]:
    return {
        line.split()[1]
        for line in lines
        if line.startswith(f"{word} ") and re.fullmatch(r"[a-z2-7]{26}", line.split()[1])
    }


def fresh(name: str) -> Path:
    work = CACHE / f"run-{name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pack(work / "repo.tar")
    return work


def blank(state: Path) -> None:
    state.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", "512M", str(state)], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", str(state)], check=True)


def write_results(kind: str, found: list[tuple[str, bool, str]], took_s: float) -> None:
    """Replace this kind's section."""
    begin, end = f"<!-- {kind} -->", f"<!-- /{kind} -->"
    rows = [
        f"| {name.replace('_', ' ')} | {'yes' if holds else '**no**'} | {seen.replace('|', '/')[:160]} |"
        for name, holds, seen in found
    ]
    today = datetime.datetime.now(datetime.UTC).date()
    section = "\n".join(
        [
            begin,
            f"`make test-{kind}`, {today}, {took_s:.0f} s without the build.",
            "",
            "| what | holds | seen |",
            "|---|---|---|",
            *rows,
            end,
        ]
    )
    text = RESULTS.read_text()
    RESULTS.write_text(text[: text.index(begin)] + section + text[text.index(end) + len(end) :])


def main(arguments: list[str]) -> int:
    kind = arguments[0] if arguments else "vm"
    build(ARCHITECTURES[kind])
    began_s = time.monotonic()
    found = {"vm": vm, "pi3": pi3}[kind]()
    for name, holds, seen in found:
        print(f"  {'ok ' if holds else 'BAD'} {name.replace('_', ' ')}  {seen}", flush=True)
    write_results(kind, found, time.monotonic() - began_s)
    return 0 if found and all(holds for _, holds, _ in found) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
