"""Builds the disk of a virtual machine: Debian with its own kernel, libcamera, gpio-sim, and what Doorward needs.

Cached in `.cache/vm/ARCHITECTURE`; built again if this file or a pin changes. The repository is on a second disk, which
each run packs, so that a changed line needs no new build.

Needs root, mmdebstrap, e2fsprogs and (for arm64) qemu-user-static with binfmt_misc; 75 s for amd64, 10 min for arm64.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "vm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd,systemd-sysv,udev,kmod,python3,python3-numpy,python3-libcamera,libcamera-ipa,python3-libgpiod,"
    "gcc,libc6-dev,linux-libc-dev"
)
FOR_A_PC = ",make,linux-headers-amd64,linux-source,xz-utils,libasound2-data"
"""To build gpio-sim, and to hear the kernel's own sound card."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
AARCH64 = (
    rb":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    rb":/usr/bin/qemu-aarch64-static:OCF"
)

UNIT = """\
[Unit]
Description=Doorward's tests in a machine
After=systemd-udevd.service
[Service]
Type=oneshot
Environment=PYTHONPATH=/repo:/opt/site:/repo/tests/hardware/stubs PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/local/sbin/doorward-test
TimeoutStartSec=infinity
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
"""
SCRIPT = """\
#!/bin/sh
# The repository comes on a disk of its own: virtio's on a PC, USB's on a Pi, where it takes its time.
for _ in $(seq 120); do
    for disk in /dev/vdb /dev/sda; do [ -b $disk ] && break 2; done
    sleep 1
done
mkdir -p /repo && tar -x -C /repo -f $disk
exec /usr/bin/python3 -m tests.hardware.vm.guest
"""


def run(command: Sequence[str | Path], **more: object) -> None:
    subprocess.run([str(word) for word in command], check=True, **more)  # type: ignore[call-overload]


def key(architecture: str) -> str:
    parts = (
        Path(__file__),
        HERE / "gpio-sim.Makefile",
        ROOT / "requirements/run.txt",
        ROOT / "requirements/camera.txt",
    )
    total = hashlib.sha256(architecture.encode())
    for part in parts:
        total.update(part.read_bytes())
    return total.hexdigest()


def build(architecture: str) -> Path:
    """The folder with `disk.img`, `vmlinuz` and `initrd`."""
    folder = CACHE / architecture
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == key(architecture):
        return folder
    print(f"Building the {architecture} machine in {folder} …", flush=True)
    clear(folder)
    folder.mkdir(parents=True)
    root = folder / "root"
    debian(architecture, root)
    wheels(architecture, root / "opt" / "site")
    (root / "etc/systemd/system/doorward-test.service").write_text(UNIT)
    script = root / "usr/local/sbin/doorward-test"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "doorward-test.service").symlink_to("/etc/systemd/system/doorward-test.service")
    if architecture == "amd64":
        gpio_sim(root)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(max((root / "boot").glob(f"{name}-*")), folder / name.removesuffix(".img"))
    run(["truncate", "-s", "3G", folder / "disk.img"])
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, folder / "disk.img"])
    shutil.rmtree(root)
    stamp.write_text(key(architecture))
    return folder


def clear(folder: Path) -> None:
    """Remove it, with what a build that was killed left mounted in it."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([each for each in mounted if Path(each).is_relative_to(folder)]):
        run(["umount", place])
    if folder.exists():
        shutil.rmtree(folder)


def debian(architecture: str, root: Path) -> None:
    packages = f"linux-image-{architecture},{PACKAGES}" + (FOR_A_PC if architecture == "amd64" else "")
    more = []
    if (
        architecture
        != subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    ):
        teach_kernel_aarch64()
        more = ["--skip=check/qemu", f"--arch={architecture}"]
    run(["mmdebstrap", "--variant=important", *more, f"--include={packages}", "trixie", root, MIRROR])


def teach_kernel_aarch64() -> None:
    """Have the kernel run arm64 programs by qemu-user, until the next boot of this machine."""
    if not (BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_bytes(AARCH64)


def wheels(architecture: str, target: Path) -> None:
    """For the machine's Python 3.13, by the pins that everybody uses."""
    machine = MACHINES[architecture]
    platforms = [f"--platform={age}_{machine}" for age in ("manylinux_2_28", "manylinux2014")]
    for pins in ("run", "camera"):
        run(
            [
                sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:",
                *platforms, "--python-version", "3.13", "--implementation", "cp", "--target", target, "--upgrade",
                "-r", ROOT / "requirements" / f"{pins}.txt",
            ]
        )  # fmt: skip


def gpio_sim(root: Path) -> None:
    source = max((root / "usr/src").glob("linux-source-*.tar.xz"))
    tree = source.name.removesuffix(".tar.xz")
    wanted = [f"{tree}/drivers/gpio", f"{tree}/kernel/irq"]
    run(["tar", "-x", "-C", root / "usr/src", "-f", source, *wanted])
    module = root / "usr/src/gpio-sim"
    module.mkdir()
    drivers, irq = root / "usr/src" / tree / "drivers/gpio", root / "usr/src" / tree / "kernel/irq"
    shutil.copyfile(drivers / "gpio-sim.c", module / "gpio-sim-main.c")
    for header in drivers.glob("*.h"):
        shutil.copyfile(header, module / header.name)
    # handle_simple_irq and irq_to_desc are not exported to modules; this one is, and does the same.
    text = (irq / "irq_sim.c").read_text()
    (module / "irq_sim.c").write_text(
        text.replace("handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq_safe(irqnum)")
    )
    shutil.copyfile(HERE / "gpio-sim.Makefile", module / "Makefile")
    kernel = max((root / "lib/modules").iterdir()).name
    build_folder = f"/lib/modules/{kernel}/build"
    run(["chroot", root, "make", "-s", "-C", build_folder, "M=/usr/src/gpio-sim", "modules"])
    target = root / "lib/modules" / kernel / "gpio-sim.ko"
    shutil.copyfile(module / "gpio-sim.ko", target)
    run(["chroot", root, "depmod", kernel])
    for leftover in (source, root / "usr/src" / tree, module):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


if __name__ == "__main__":
    for architecture in sys.argv[1:] or ["amd64"]:
        print(build(architecture))
