"""Builds the card's look-alike, `.cache/card/card.img`: Debian 13 for arm64, made by the card's own recipe.

The recipe's hooks, checks, files and package names are read from `scripts/card`. Debian's packages stand for those that
rpi-image-gen takes from Raspberry Pi. Kernel, initial RAM disk and kernel command line lie beside the image, for QEMU.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.install import card_household, imager_files
from tests.install.arm64 import register_emulator
from tests.install.container import ENVIRONMENT, ROOT, base, wheelhouse
from tests.releasing.card_files import CARD, packages, recipe

__all__ = ["CACHE", "FILM", "SIZES", "build", "configuration", "debian_packages", "run"]

CACHE = ROOT / ".cache" / "card"
LAYERS = ("doorward-card", "doorward-cloud-init")
"""Our layers of `scripts/card/config/doorward-card.yaml`. That of Debian's nightly updates is left out."""
BELOW = (
    "linux-image-arm64", "systemd", "systemd-sysv", "udev", "kmod", "python3-numpy", "ca-certificates", "iproute2",
    "network-manager", "wireless-regdb", "e2fsprogs",
)  # fmt: skip
"""What the tool's own layers bring, below ours."""
OF_RASPBERRY_PI = {"python3-picamera2"}
FILM = "/srv/camera/film.mp4"
SIZES = {"boot": "256M", "root": "2560M", "card": "4G"}
"""The image's partitions, and the card, which is larger."""
CONSOLE = "console=ttyAMA0 root=LABEL=ROOT rootwait net.ifnames=0 systemd.show_status=0 quiet\n"
CONFIGURATION = f"""\
[camera]
kind = "file"
path = "{FILM}"
realtime = false
"""
FSTAB = """\
LABEL=ROOT /              ext4 defaults,noatime 0 1
LABEL=BOOT /boot/firmware vfat defaults,noatime 0 2
camera     /srv/camera    9p   trans=virtio,version=9p2000.L,ro,nofail 0 0
"""
FACTS = """\
#!/bin/sh
# Says on the console what the test judges.
say() { printf '\\nFACT %s\\n' "$*" > /dev/console; }
unit() { systemctl show --value -p "$2" "$1"; }
# The words of our services and of both sides of the Wi-Fi, each with the seconds since power-on.
journalctl --boot --follow --lines=all --output=short-monotonic --no-pager --unit='doorward-*' \\
    --unit=doorward-join --unit=NetworkManager --unit=wpa_supplicant --unit=look-alike-household |
    while IFS= read -r line; do say log "$line"; done &
while :; do
    say machine "$(uname -m)"
    say host "$(cat /etc/hostname)"
    say user "$(id -un anna 2>/dev/null)"
    say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
    say limit "$(cat /sys/fs/cgroup/system.slice/doorward-custodian.service/memory.max 2>/dev/null)"
    say ssh "$(ss -Hltn 'sport = :22' | wc -l)"
    key=/var/lib/doorward/custodian/device.key
    say key "$(stat -c '%U %a' $key 2>/dev/null) $(sha256sum < $key | cut -c1-16)"
    say key-made "$(unit doorward-device-key InactiveEnterTimestampMonotonic)" \\
        "$(unit doorward-custodian ExecMainStartTimestampMonotonic)"
    say key-unit "$(unit doorward-device-key ConditionResult)"
    say cloud-init "$(unit cloud-init-main ConditionResult) $(test -e /run/cloud-init/result.json && echo done)"
    say size "$(df -BM --output=size / | tail -n 1)"
    say network "$(nmcli -t -f NAME,TYPE connection | tr '\\n' ' ')"
    say joined "$(nmcli -t -f NAME,DEVICE connection show --active | tr '\\n' ' ')"
    for role in custodian recorder uplink bridge; do
        say "role $role $(unit doorward-$role ActiveState) $(unit doorward-$role NRestarts)"
    done
    say segments "$(find /var/lib/doorward/vault -name '*.age' | wc -l)"
    say owned "$(test -e /etc/doorward/owned && echo yes)"
    say failed "$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | tr '\\n' ' ')"
    up=$(cut -d. -f1 /proc/uptime)
    first=$(find /var/lib/doorward/vault -name '*.age' -printf '%Cs\\n' | sort -n | head -n 1)
    [ -z "$first" ] || say sealed-at "$((first - $(date +%s) + up))"
    say up "$up"
    sleep 20
done
"""
FACTS_UNIT = """\
[Unit]
After=doorward.target
[Service]
ExecStart=/usr/local/sbin/look-alike-facts
[Install]
WantedBy=multi-user.target
"""


def build() -> Path:
    """Makes the image, unless nothing has changed. Returns its path."""
    image, stamp = CACHE / "card.img", CACHE / "stamp"
    if image.exists() and stamp.exists() and stamp.read_text() == _key():
        return image
    register_emulator()
    tar, wheels = base("trixie", "arm64", ",".join(debian_packages())), wheelhouse("arm64")
    CACHE.mkdir(parents=True, exist_ok=True)
    package = _package(wheels)
    # Outside of the repository: its linters would read a whole Debian meanwhile.
    with tempfile.TemporaryDirectory(prefix="doorward-card-") as folder:
        root = Path(folder, "root")
        root.mkdir()
        run("tar", "-xf", tar, "-C", root)
        _prepare(root)
        run("mount", "-t", "proc", "proc", root / "proc")
        try:
            _apply_recipe(root, package)
        finally:
            run("umount", root / "proc")
        for name, start in (("vmlinuz", "vmlinuz-"), ("initrd", "initrd.img-")):
            shutil.copyfile(max((root / "boot").glob(f"{start}*")), CACHE / name)
        _pack(root, Path(folder), image)
    stamp.write_text(_key())
    return image


def debian_packages() -> list[str]:
    """Returns the names of Debian's packages for the image, sorted."""
    ours = {name for layer in LAYERS for name in packages(layer)}
    return sorted({*BELOW, *ours, *card_household.PACKAGES} - OF_RASPBERRY_PI)


def configuration() -> str:
    """Returns the card's first configuration, with a film for its camera."""
    text = (CARD / "layer" / "doorward.toml").read_text()
    found, count = re.subn(r'(?m)^\[camera\]\nkind = "pi"\n', CONFIGURATION, text)
    assert count == 1, "the card's configuration has another camera than this test knows"
    return found


def run(*words: str | Path, **more: Any) -> None:
    subprocess.run([str(word) for word in words], check=True, **more)


def _package(wheels: Path) -> Path:
    words = [sys.executable, str(ROOT / "scripts" / "release.py"), "deb", "arm64", "--wheelhouse", str(wheels)]
    run(*words, "--out", CACHE)
    return next(CACHE.glob("doorward_*_arm64.deb"))


def _prepare(root: Path) -> None:
    """Writes the files that Debian's installer, the boot loader and Imager would have left."""
    (root / "etc/hostname").write_text("doorward\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 doorward\n")
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/machine-id").write_text("uninitialized\n")
    (root / "srv/camera").mkdir()
    boot = root / "boot/firmware"
    boot.mkdir(parents=True)
    for name in LAYERS:
        shutil.copytree(CARD / "layer" / f"{name}.rootfs-overlay", root, dirs_exist_ok=True)
    for name, text in imager_files.files().items():
        (boot / name).write_text(text)
    (boot / "cmdline.txt").write_text(CONSOLE)
    _service(root, "look-alike-facts", FACTS, FACTS_UNIT)
    _service(root, "look-alike-household", card_household.PROGRAM, card_household.UNIT)
    (root / card_household.WIFI_PLACE).write_text(card_household.wifi_of_the_router())


def _service(root: Path, name: str, program: str, unit: str) -> None:
    place = root / "usr/local/sbin" / name
    place.write_text(program)
    place.chmod(0o755)
    (root / f"etc/systemd/system/{name}.service").write_text(unit)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")


def _apply_recipe(root: Path, package: Path) -> None:
    first = CACHE / "doorward.toml"
    first.write_text(configuration())
    environment = dict(each.split("=", 1) for each in ENVIRONMENT)
    environment |= {
        "DEBIAN_FRONTEND": "noninteractive",
        "IGconf_doorward_deb": str(package),
        "IGconf_doorward_configuration": str(first),
    }
    layers = [recipe(layer) for layer in LAYERS]
    customize = [hook for those, _ in layers for hook in those]
    cleanup = [hook for _, those in layers for hook in those]
    for hook in (*customize, *cleanup):
        subprocess.run(["sh", "-c", hook, "sh", str(root)], env=environment, check=True)
    cmdline = root / "boot/firmware/cmdline.txt"
    cmdline.write_text(cmdline.read_text().rstrip("\n") + imager_files.CMDLINE + "\n")


def _pack(root: Path, work: Path, image: Path) -> None:
    """An image with a FAT and an ext4 partition, on a larger card."""
    boot, system, card = work / "boot.vfat", work / "root.ext4", work / "card.img"
    run("truncate", "-s", SIZES["boot"], boot)
    run("mkfs.vfat", "-n", "BOOT", boot)
    run("mcopy", "-s", "-i", boot, *sorted((root / "boot/firmware").iterdir()), "::")
    shutil.copyfile(root / "boot/firmware/cmdline.txt", CACHE / "cmdline.txt")
    for each in (root / "boot/firmware").iterdir():
        each.unlink()
    run("truncate", "-s", SIZES["root"], system)
    run("mke2fs", "-q", "-t", "ext4", "-L", "ROOT", "-d", root, system)
    run("truncate", "-s", SIZES["card"], card)
    layout = f"label: dos\nstart=8MiB, size={SIZES['boot']}iB, type=c, bootable\nsize={SIZES['root']}iB, type=83\n"
    run("sfdisk", "-q", card, input=layout.encode())
    for part, at_mib in ((boot, 8), (system, 8 + 256)):
        run("dd", f"if={part}", f"of={card}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none")
    run("cp", "--sparse=always", card, image)


def _key() -> str:
    """The walk itself is not part of it: only the image's content."""
    made_by = (Path(__file__), Path(card_household.__file__), Path(imager_files.__file__))
    total = hashlib.sha256(b"".join(path.read_bytes() for path in made_by))
    for folder in ("agent", "firmware_bridge", "config", "systemd", "requirements", "scripts"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts):
                total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()
