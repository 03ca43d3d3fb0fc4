"""`make test-card`: a card's look-alike, built, started in QEMU, and set up by a phone to its first sealed clip.

The real card needs the archive of Raspberry Pi. The look-alike is Debian 13 for arm64 with Debian's kernel. The same
recipe makes it: the hooks and files of `scripts/card`, our package with its installer, and the files that Raspberry Pi
Imager writes. QEMU starts it from two partitions on an emulated board (`virt`), without KVM. Differences from a card:
the kernel, the boot loader, a film instead of a camera, a network cable, and no updates of Debian's packages.

    python -m tests.install.look_alike build      # only the image, .cache/card/card.img (root, ten minutes)
    python -m tests.install.look_alike            # build it if need be, start it, and go through the set-up (root)

The phone is Chromium on this machine. Both run in a network namespace that they alone have. The result goes into
RESULTS.md.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.install import imager_files
from tests.install.arm64 import register_emulator
from tests.install.container import ENVIRONMENT, ROOT, base, wheelhouse
from tests.install.run import RESULTS
from tests.releasing.card_files import CARD, recipe

CACHE = ROOT / ".cache" / "card"
PACKAGES = (
    "linux-image-arm64,systemd,systemd-sysv,dbus,udev,kmod,python3,python3-venv,python3-numpy,ca-certificates,util-linux,"
    "passwd,iproute2,libbpf1,network-manager,netplan.io,cloud-init,cloud-guest-utils,e2fsprogs,avahi-daemon"
)
"""Debian's part of what the layers ask for."""
FILM = "/srv/camera/film.mp4"
SIZES = {"boot": "256M", "root": "2560M", "card": "4G"}
"""The image's partitions, and the card, which is larger."""
CONSOLE = "console=ttyAMA0 root=LABEL=ROOT rootwait net.ifnames=0 systemd.show_status=0 quiet\n"
PORT = 8443
PATIENCE_S = 2400.0
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
while :; do
    say machine "$(uname -m)"
    say host "$(cat /etc/hostname)"
    say user "$(id -un anna 2>/dev/null)"
    say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
    say limit "$(cat /sys/fs/cgroup/system.slice/doorward-custodian.service/memory.max 2>/dev/null)"
    say ssh "$(ss -Hltn 'sport = :22' | wc -l)"
    key=/var/lib/doorward/custodian/device.key
    say key "$(stat -c '%U %a' $key 2>/dev/null) $(sha256sum < $key | cut -c1-16)"
    say key-made "$(unit doorward-device-key InactiveEnterTimestampMonotonic)" \
        "$(unit doorward-custodian ExecMainStartTimestampMonotonic)"
    say key-unit "$(unit doorward-device-key ConditionResult)"
    say cloud-init "$(unit cloud-init-main ConditionResult) $(test -e /run/cloud-init/result.json && echo done)"
    say size "$(df -BM --output=size / | tail -n 1)"
    say network "$(nmcli -t -f NAME,TYPE connection | tr '\\n' ' ')"
    for role in custodian recorder uplink bridge; do
        say "role $role $(unit doorward-$role ActiveState) $(unit doorward-$role NRestarts)"
    done
    say segments "$(find /var/lib/doorward/vault -name '*.age' | wc -l)"
    say owned "$(test -e /etc/doorward/owned && echo yes)"
    say failed "$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | tr '\\n' ' ')"
    say up "$(cut -d' ' -f1 /proc/uptime)"
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


# --- The image


def build() -> Path:
    """Makes the image, unless nothing has changed. Returns its path."""
    image, stamp = CACHE / "card.img", CACHE / "stamp"
    if image.exists() and stamp.exists() and stamp.read_text() == _key():
        return image
    register_emulator()
    tar, wheels = base("trixie", "arm64", PACKAGES), wheelhouse("arm64")
    CACHE.mkdir(parents=True, exist_ok=True)
    package = _package(wheels)
    # Outside of the repository: its linters would read a whole Debian meanwhile.
    with tempfile.TemporaryDirectory(prefix="doorward-card-") as folder:
        root = Path(folder, "root")
        root.mkdir()
        _run("tar", "-xf", tar, "-C", root)
        _prepare(root)
        _run("mount", "-t", "proc", "proc", root / "proc")
        try:
            _apply_recipe(root, package)
        finally:
            _run("umount", root / "proc")
        for name, start in (("vmlinuz", "vmlinuz-"), ("initrd", "initrd.img-")):
            shutil.copyfile(max((root / "boot").glob(f"{start}*")), CACHE / name)
        _pack(root, Path(folder), image)
    stamp.write_text(_key())
    return image


def configuration() -> str:
    """Returns the card's first configuration, with a film for its camera."""
    text = (CARD / "layer" / "doorward.toml").read_text()
    found, count = re.subn(r'(?m)^\[camera\]\nkind = "pi"\n', CONFIGURATION, text)
    assert count == 1, "the card's configuration has another camera than this test knows"
    return found


def _package(wheels: Path) -> Path:
    words = [sys.executable, str(ROOT / "scripts" / "release.py"), "deb", "arm64", "--wheelhouse", str(wheels)]
    _run(*words, "--out", CACHE)
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
    for name in ("doorward-card", "doorward-cloud-init"):
        shutil.copytree(CARD / "layer" / f"{name}.rootfs-overlay", root, dirs_exist_ok=True)
    for name, text in imager_files.files().items():
        (boot / name).write_text(text)
    (boot / "cmdline.txt").write_text(CONSOLE)
    facts = root / "usr/local/sbin/look-alike-facts"
    facts.write_text(FACTS)
    facts.chmod(0o755)
    (root / "etc/systemd/system/look-alike-facts.service").write_text(FACTS_UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "look-alike-facts.service").symlink_to("/etc/systemd/system/look-alike-facts.service")


def _apply_recipe(root: Path, package: Path) -> None:
    first = CACHE / "doorward.toml"
    first.write_text(configuration())
    environment = dict(each.split("=", 1) for each in ENVIRONMENT)
    environment |= {
        "DEBIAN_FRONTEND": "noninteractive",
        "IGconf_doorward_deb": str(package),
        "IGconf_doorward_configuration": str(first),
    }
    customize, cleanup = recipe("doorward-card")
    for hook in (*customize, *cleanup):
        subprocess.run(["sh", "-c", hook, "sh", str(root)], env=environment, check=True)
    cmdline = root / "boot/firmware/cmdline.txt"
    cmdline.write_text(cmdline.read_text().rstrip("\n") + imager_files.CMDLINE + "\n")


def _pack(root: Path, work: Path, image: Path) -> None:
    """An image with a FAT and an ext4 partition, on a larger card."""
    boot, system, card = work / "boot.vfat", work / "root.ext4", work / "card.img"
    _run("truncate", "-s", SIZES["boot"], boot)
    _run("mkfs.vfat", "-n", "BOOT", boot)
    _run("mcopy", "-s", "-i", boot, *sorted((root / "boot/firmware").iterdir()), "::")
    shutil.copyfile(root / "boot/firmware/cmdline.txt", CACHE / "cmdline.txt")
    for each in (root / "boot/firmware").iterdir():
        each.unlink()
    _run("truncate", "-s", SIZES["root"], system)
    _run("mke2fs", "-q", "-t", "ext4", "-L", "ROOT", "-d", root, system)
    _run("truncate", "-s", SIZES["card"], card)
    layout = f"label: dos\nstart=8MiB, size={SIZES['boot']}iB, type=c, bootable\nsize={SIZES['root']}iB, type=83\n"
    _run("sfdisk", "-q", card, input=layout.encode())
    for part, at_mib in ((boot, 8), (system, 8 + 256)):
        _run("dd", f"if={part}", f"of={card}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none")
    _run("cp", "--sparse=always", card, image)


def _key() -> str:
    total = hashlib.sha256(Path(__file__).read_bytes())
    for folder in ("agent", "firmware_bridge", "config", "systemd", "requirements", "scripts"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts):
                total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()


def _run(*words: str | Path, **more: Any) -> None:
    subprocess.run([str(word) for word in words], check=True, **more)


# --- The machine


class Machine:
    """One start of the card. `facts`: what it said last, by name."""

    def __init__(self, card: Path, camera: Path, log: Path) -> None:
        log.write_bytes(b"")
        self.log = log
        words = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi", "-smp", "2"]
        words += ["-m", "1024", "-nographic", "-no-reboot", "-monitor", "none", "-serial", f"file:{log}"]
        words += ["-kernel", f"{CACHE}/vmlinuz", "-initrd", f"{CACHE}/initrd"]
        words += ["-append", (CACHE / "cmdline.txt").read_text().strip()]
        words += ["-drive", f"file={card},if=virtio,format=raw,cache=writeback"]
        words += ["-netdev", f"user,id=cable,restrict=on,hostfwd=tcp:127.0.0.1:{PORT}-:{PORT}"]
        words += ["-device", "virtio-net-pci,netdev=cable", "-device", "virtio-rng-pci"]
        words += ["-virtfs", f"local,path={camera},mount_tag=camera,security_model=none,readonly=on"]
        self.began_s = time.monotonic()
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    @property
    def facts(self) -> Mapping[str, str]:
        return facts_of(self.log.read_text(errors="replace"))

    def until(self, condition: Callable[[Mapping[str, str]], bool], what: str) -> float:
        """Waits, and returns the seconds since the start."""
        while not condition(self.facts):
            ended = self._process.poll() is not None
            if ended or time.monotonic() - self.began_s > PATIENCE_S:
                end = "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])
                raise AssertionError(f"{'it ended before' if ended else 'in vain:'} {what}: {dict(self.facts)}\n{end}")
            time.sleep(1)
        return time.monotonic() - self.began_s

    def cut_power(self) -> None:
        self._process.kill()
        self._process.wait()


def facts_of(log: str) -> dict[str, str]:
    """Returns the last word on each fact. A role's name is part of the fact's."""
    found = {}
    for name, rest in re.findall(r"(?m)^FACT (role \S+|\S+)[ \t]*(.*?)\r?$", log):
        found[name] = rest.strip()
    return found


@contextlib.contextmanager
def started(card: Path, camera: Path, log: Path) -> Iterator[Machine]:
    machine = Machine(card, camera, log)
    try:
        yield machine
    finally:
        machine.cut_power()


def roles_run(facts: Mapping[str, str]) -> bool:
    """All but the uplink and the bridge, which have nothing to do without a broker and a panel."""
    return all(facts.get(f"role {name}", "").startswith("active") for name in ("custodian", "recorder"))


def walk(image: Path) -> list[tuple[str, str, float]]:
    """Starts a copy of the card twice. Returns rows: what, seen, seconds."""
    from tests.setup_films import hallway, make_film

    rows: list[tuple[str, str, float]] = []
    with tempfile.TemporaryDirectory(prefix="doorward-card-", dir=CACHE) as folder:
        card, camera = Path(folder, "card.img"), Path(folder, "camera")
        camera.mkdir()
        Path(folder).chmod(0o755)
        _run("cp", "--sparse=always", image, card)
        make_film(camera / "film.mp4", [hallway()])
        with started(card, camera, CACHE / "first-start.log") as machine:
            up_s = machine.until(lambda facts: roles_run(facts) and "up" in facts, "the custodian and the recorder")
            rows.append(
                ("first start: all roles run", _seen(machine.facts, "up", "role custodian", "role recorder"), up_s)
            )
            began_s = time.monotonic()
            found = _by_phone(camera / "film.mp4", Path(folder))
            rows.append(("by the phone: " + "; ".join(found["steps"]), f"the first clip plays, {found['shown']}",
                         time.monotonic() - began_s))  # fmt: skip
            machine.until(lambda facts: facts.get("owned") == "yes", "root to know of the owner")
            at_s = machine.until(lambda facts: "done" in facts.get("cloud-init", ""), "the end of cloud-init")
            machine.until(lambda facts: facts.get("segments", "0") != "0", "a sealed segment")
            first = dict(machine.facts)
            rows += [(what, seen, at_s) for what, seen in judge_first(first)]
        with started(card, camera, CACHE / "second-start.log") as machine:
            up_s = machine.until(lambda facts: roles_run(facts) and "failed" in facts and "up" in facts, "the roles")
            rows += [(what, seen, up_s) for what, seen in judge_second(first, machine.facts)]
    return rows


def judge_first(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Checks what the first start must have done. Returns what was seen."""
    owner, mode, _ = facts["key"].split()
    assert (owner, mode) == ("doorward-custodian", "600"), facts
    made, started_at = map(int, facts["key-made"].split())
    assert 0 < made <= started_at, facts
    assert "memory" in facts["controllers"].split(), facts
    assert facts["limit"] == str(160 << 20), facts
    assert facts["ssh"] == "0", "Imager asked for SSH"
    assert facts["host"] == imager_files.HOST, facts
    assert facts["user"] == imager_files.USER, facts
    assert imager_files.WIFI in facts["network"], facts
    size_mb = int(facts["size"].rstrip("M"))
    assert size_mb > 3000, facts
    return [
        ("the device's key", f"made at the first start, {owner}, {mode}, before the custodian"),
        ("the memory controller", f"on; the custodian's limit is {facts['limit']} bytes"),
        ("SSH, which Imager switched on", "nothing listens"),
        ("Imager's host name, user, Wi-Fi", f"{facts['host']}, {facts['user']}, {facts['network'].strip()}"),
        ("the system grew to the card", f"{size_mb} MB of an image of {SIZES['root']}"),
        ("units that failed", facts["failed"] or "none"),
    ]


def judge_second(first: Mapping[str, str], facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Checks the start after a cut of the power, with an owner."""
    assert facts["key"] == first["key"], "another key"
    assert facts["key-unit"] == "no", facts
    assert facts["cloud-init"].startswith("no"), "a doorbell with an owner ran cloud-init"
    assert int(facts["segments"]) >= 1, facts
    return [
        ("second start, after a cut of the power", f"the same key; {facts['segments']} segments are there"),
        ("cloud-init with an owner", "not started"),
    ]


def _seen(facts: Mapping[str, str], *names: str) -> str:
    return ", ".join(f"{name} {facts.get(name, '')}" for name in names)


def _by_phone(film: Path, folder: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.install.card_phone", str(film), str(folder), str(CACHE)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    if done.returncode:
        raise AssertionError(f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.partition("PHONE ")[2]))


def write_results(rows: list[tuple[str, str, float]]) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    section = f"## A card's look-alike: trixie, arm64, QEMU (TCG), {today}\n\n| step | seen | s |\n|---|---|---|\n"
    section += "".join(f"| {what} | {seen.replace('|', '/')} | {seconds:.0f} |\n" for what, seen, seconds in rows)
    text = re.sub(r"\n## A card's look-alike.*?(?=\n## |\Z)", "", RESULTS.read_text(), flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section)


def main(arguments: list[str]) -> int:
    if arguments == ["walk"]:
        rows = walk(CACHE / "card.img")
        for what, seen, seconds in rows:
            print(f"{seconds:6.0f} s  {what}: {seen}", flush=True)
        write_results(rows)
        print(f"A card's look-alike: {len(rows)} rows hold.")
        return 0
    print(f"{build()} is built.", flush=True)
    if arguments == ["build"]:
        return 0
    # In a separate network the doorbell's port is free, and no packet leaves this machine.
    script = 'ip link set lo up && exec "$@"'
    words = ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-m", "tests.install.look_alike", "walk"]
    return subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
