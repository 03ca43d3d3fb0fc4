"""`make test-card`: a card's look-alike, built, started in QEMU, and set up by a phone to its first sealed clip.

The real card needs the archive of Raspberry Pi. The look-alike is Debian 13 for arm64 with Debian's kernel
(`card_image`). The same recipe makes it: the hooks and files of `scripts/card`, our package with its installer, and the
files that Raspberry Pi Imager writes. QEMU starts it from two partitions on an emulated board (`virt`), without KVM.
The doorbell's only network is a simulated radio in a household inside the machine (`card_household`). Differences from
a card: the kernel, the boot loader, the radio, a film instead of a camera, and no updates of Debian's packages.

    python -m tests.install.look_alike build      # only the image, .cache/card/card.img (root, ten minutes)
    python -m tests.install.look_alike            # build it if need be, start it, and go through the set-up (root)

The phone is Chromium on this machine (`card_phone`). Both run in a network namespace that they alone have. The result
goes into RESULTS.md.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.install import imager_files
from tests.install.card_image import CACHE, SIZES, build, run
from tests.install.container import ROOT
from tests.install.run import RESULTS

PORT = 8443
PATIENCE_S = 5400.0
CONNECTION = "doorward:wlan0"
"""NetworkManager's connection of a set-up code, on the doorbell's radio."""
_LOG = re.compile(r"(?m)^FACT log \[ *([\d.]+)\] \S+ \S+: (.*?)\r?$")
_JOIN = re.compile(r"Set-up code \S+: ([a-z-]+)\.")


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


@dataclass(frozen=True)
class Join:
    """Root's answer to a set-up code. `at_s`: seconds since power-on, by the machine's own clock."""

    at_s: float
    state: str
    words: str
    """NetworkManager's own, if it could not join."""


def joins_of(log: str) -> list[Join]:
    """Returns root's answer to each set-up code, in their order."""
    found, words = [], ""
    for at, text in _LOG.findall(log):
        if text.startswith("Error: "):
            words = text.removeprefix("Error: ")
        if join := _JOIN.fullmatch(text):
            found.append(Join(float(at), join[1], words))
            words = ""
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
        run("cp", "--sparse=always", image, card)
        make_film(camera / "film.mp4", [hallway()])
        with started(card, camera, CACHE / "first-start.log") as machine:
            up_s = machine.until(lambda facts: roles_run(facts) and "up" in facts, "the custodian and the recorder")
            rows.append(
                ("first start: all roles run", _seen(machine.facts, "up", "role custodian", "role recorder"), up_s)
            )
            rows += _by_phone(camera / "film.mp4", Path(folder), machine.log)
            machine.until(lambda facts: facts.get("owned") == "yes", "root to know of the owner")
            at_s = machine.until(lambda facts: "done" in facts.get("cloud-init", ""), "the end of cloud-init")
            machine.until(lambda facts: "sealed-at" in facts, "a sealed segment")
            first = dict(machine.facts)
            rows += [(what, seen, at_s) for what, seen in judge_first(first)]
        with started(card, camera, CACHE / "second-start.log") as machine:
            up_s = machine.until(_is_back, "the roles and the Wi-Fi")
            rows += [(what, seen, up_s) for what, seen in judge_second(first, machine.facts)]
    return rows


def _is_back(facts: Mapping[str, str]) -> bool:
    return roles_run(facts) and CONNECTION in facts.get("joined", "") and "up" in facts


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
    assert CONNECTION in facts["joined"], facts
    size_mb = int(facts["size"].rstrip("M"))
    assert size_mb > 3000, facts
    return [
        ("the device's key", f"made at the first start, {owner}, {mode}, before the custodian"),
        ("the memory controller", f"on; the custodian's limit is {facts['limit']} bytes"),
        ("SSH, which Imager switched on", "nothing listens"),
        ("Imager's host name, user, Wi-Fi", f"{facts['host']}, {facts['user']}, {facts['network'].strip()}"),
        ("the system grew to the card", f"{size_mb} MB of an image of {SIZES['root']}"),
        ("the first sealed segment", f"{facts['sealed-at']} s after power-on, by the machine's clock"),
        ("units that failed", facts["failed"] or "none"),
    ]


def judge_second(first: Mapping[str, str], facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Checks the start after a cut of the power, with an owner."""
    assert facts["key"] == first["key"], "another key"
    assert facts["key-unit"] == "no", facts
    assert facts["cloud-init"].startswith("no"), "a doorbell with an owner ran cloud-init"
    assert int(facts["segments"]) >= 1, facts
    assert CONNECTION in facts["joined"], "the Wi-Fi of the set-up code is forgotten"
    return [
        ("second start, after a cut of the power", f"the same key; {facts['segments']} segments are there"),
        ("the Wi-Fi of the set-up code", f"joined again: {facts['joined']}"),
        ("cloud-init with an owner", "not started"),
    ]


def _seen(facts: Mapping[str, str], *names: str) -> str:
    return ", ".join(f"{name} {facts.get(name, '')}" for name in names)


def _by_phone(film: Path, folder: Path, log: Path) -> list[tuple[str, str, float]]:
    words = [sys.executable, "-m", "tests.install.card_phone", str(film), str(folder), str(CACHE), str(log)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    if done.returncode:
        raise AssertionError(f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.partition("PHONE ")[2])
    rows = [(f"an old phone, {place}", f"“{told}”", seconds) for place, told, seconds in found["old"]]
    rows += [(f"a try: {what}", seen, seconds) for what, seen, seconds in found["tries"]]
    right = f"{found['joined']}; the first clip plays, {found['shown']}"
    return [*rows, ("the right code: " + "; ".join(found["steps"]), right, found["seconds"])]


def write_results(rows: list[tuple[str, str, float]]) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    section = f"## A card's look-alike: trixie, arm64, QEMU (TCG), {today}\n\n| step | seen | s |\n|---|---|---|\n"
    section += "".join(f"| {what} | {seen.replace('|', '/')} | {seconds:.0f} |\n" for what, seen, seconds in rows)
    text = re.sub(r"\n## A card's look-alike.*?(?=\n## |\Z)", "", RESULTS.read_text(), flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section + "\n" + NOTE)


NOTE = """\
The pictures of the phone and both consoles stay in `.cache/card`. The radios are the kernel's mac80211_hwsim, and the
answers to a code are NetworkManager's own. The unit `cloud-final` fails because `ssh.service`, which Imager starts, is
missing on purpose.
"""


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
