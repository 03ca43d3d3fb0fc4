"""`python -m tests.install.slots`: a card with a read-only system in two slots, booted; its row in RESULTS.md.

rpi-image-gen's `image-rota` makes such a card with our layers of `scripts/card`. Here those layers' hooks, overlays and
units make it from Debian 13 for amd64. The tool's own changes of an image are repeated in small (`_split`, after its
commit 262d4df: image/gpt/ab_userdata/pre-image.sh, slot-post-process.sh, slot-perst-generator), with folders in the
place of partitions. systemd-nspawn mounts a slot's folder as the root, for reading only, and systemd in it binds /var
and our folders from the persistent one. Not shown so: partitions, the boot loader's try of a slot, growing, a board.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.install.container import CACHE, ENVIRONMENT, ROOT, SMALL, Container, copy_source, wheelhouse
from tests.install.story import Story
from tests.install.update_server import CLIENTS, UpdateServer
from tests.install.way_back import OWNER
from tests.releasing.card_files import CARD, recipe

__all__ = ["SLOTS", "slots"]

SLOTS = "a read-only system in two slots"
"""The row."""
SUITE = "trixie"
"""The recipe's."""
A, B = "system_a", "system_b"
OURS = ("opt/doorward", "etc/doorward", "var/lib/doorward")
FILM = "/srv/camera/film.avi"
LACKS = "doorward-backup"
"""A timer and its service, which the older Doorward of an image does not have."""
OLDER = "0.0.9"
CONFIGURATION = f"""\
[device]
name = "front-door"
position = {{ latitude = 52.0902, longitude = 5.1115 }}
time_zone = "Europe/Amsterdam"
[camera]
kind = "file"
path = "{FILM}"
[panel]
backend = "simulated"
socket = "/run/doorward/bridge/bridge.sock"
start = false
agent_user = "doorward-recorder"
[page]
host = "127.0.0.1"
addresses = ["127.0.0.1"]
mdns = false
setup_by_camera = true
"""
VAR = """\
[Unit]
Requires=persistent.mount
After=persistent.mount
Before=local-fs.target
[Mount]
What=/persistent/slots/{slot}/var
Where=/var
Type=none
Options=bind
"""
FSTAB = """\
/persistent/home         /home             none  bind,x-systemd.requires-mounts-for=/persistent/home  0  0
/persistent/log/journal  /var/log/journal  none  bind,x-systemd.requires-mounts-for=/persistent/log/journal  0  0
"""
ENABLE = '#!/bin/sh\nroot=$1; shift\nexec chroot "$root" systemctl enable --quiet "$@"\n'
"""In the place of the tool's program of this name."""
FOOTAGE = CACHE.parent / "vtest.avi"
"""People who walk about (tests/footage.py)."""
CERTIFICATE = ROOT / "tests/vectors/ledger/authority.pem"


def slots(suite: str) -> str:
    if suite != SUITE:
        return "not shown: the card's recipe is for Debian 13"
    with Card() as card:
        return _Walk(card).walk()


class Card(Container):
    """Boots a slot of a card. `root` is its folder, seen from outside."""

    def __init__(self) -> None:
        super().__init__(SUITE, SMALL)
        self.images = {A: self.root, B: self._folder / "b"}
        self._slot = A
        self._shared = {name: self._folder / name for name in ("persistent", "bootfs", "root-home")}

    def unpack(self, root: Path) -> None:
        super().unpack(root)
        for folder in self._shared.values():
            folder.mkdir()
        self._make(root, ROOT)
        subprocess.run(["cp", "-a", str(root), str(self.images[B])], check=True)
        _renumber(self.images[B])
        self._split(A)
        self._split(B)
        # Root's home stays writable here: the tests' own tools are there.
        copy_source(self.place("root/src"))
        shutil.copytree(wheelhouse(), self.place("root/src/wheelhouse"))
        copy_source(self.place("root/repo"), tests=True)
        if (ROOT / "models").is_dir():  # a release has the network of object detection
            shutil.copytree(ROOT / "models", self.place("root/src/models"))

    def write_older(self) -> None:
        """Writes an image of an older Doorward, which lacks a timer of ours, into slot B."""
        source, image = self._folder / "older", self._folder / "older-b"
        copy_source(source)
        for path in (source / "systemd").glob(f"{LACKS}.*"):
            path.unlink()
        path = source / "agent/__init__.py"
        path.write_text(re.sub(r'(?m)^__version__ = ".*"$', f'__version__ = "{OLDER}"', path.read_text()))
        image.mkdir()
        super().unpack(image)
        self._make(image, source)
        shutil.rmtree(source)
        shutil.rmtree(self.images[B])
        self.images[B] = image
        self._split(B)

    def start(self, slot: str) -> None:
        """Cuts the power and starts a slot."""
        self.cut()
        self._slot, self.root = slot, self.images[slot]
        self.boot()

    def boot(self) -> None:
        binds = zip(("/persistent", "/bootfs", "/root"), self._shared.values(), strict=True)
        self.more_words = ["--read-only", *(f"--bind={folder}:{where}" for where, folder in binds)]
        self.more_words += ["--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        super().boot()

    def place(self, path: str) -> Path:
        if path.startswith(OURS):
            return self._shared["persistent"] / "doorward" / path
        for start, name in (("root/", "root-home"), ("bootfs/", "bootfs")):
            if path.startswith(start):
                return self._shared[name] / path.removeprefix(start)
        return self.root / path

    def _make(self, root: Path, source: Path) -> None:
        """Turns a Debian into what the layers make of it, with the package of a source tree."""
        for name in ("doorward-card", "doorward-slots"):
            shutil.copytree(CARD / "layer" / f"{name}.rootfs-overlay", root, dirs_exist_ok=True)
        for folder in ("boot/firmware", "bootfs", "srv/camera", "persistent"):
            (root / folder).mkdir(parents=True)
        (root / "boot/firmware/cmdline.txt").write_text("console=tty1 rootwait\n")
        shutil.copyfile(FOOTAGE, root / FILM[1:])
        work = self._folder / "work"
        work.mkdir()
        (work / "enable-units").write_text(ENABLE)
        (work / "enable-units").chmod(0o755)
        (work / "doorward.toml").write_text(CONFIGURATION)
        environment = dict(each.split("=", 1) for each in ENVIRONMENT)
        environment |= {
            "DEBIAN_FRONTEND": "noninteractive",
            "BDEBSTRAP_HOOKS": str(work),
            "IGconf_doorward_deb": str(_package(source, work)),
            "IGconf_doorward_configuration": str(work / "doorward.toml"),
        }
        card, ours = recipe("doorward-card"), recipe("doorward-slots")
        subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
        try:
            for hook in (*card[0], *ours[0], *card[1], *ours[1]):
                subprocess.run(["sh", "-c", hook, "sh", str(root)], env=environment, check=True, capture_output=True)
        finally:
            subprocess.run(["umount", str(root / "proc")], check=True)
        shutil.rmtree(work)
        grow = root / "etc/systemd/system/doorward-grow.service"
        grow.unlink()
        grow.symlink_to("/dev/null")  # there is no partition to grow

    def _split(self, slot: str) -> None:
        """Empties /var of an image, and puts it into the slot's folder of the persistent partition."""
        root, persistent = self.images[slot], self._shared["persistent"]
        for name in (f"slots/{slot}", "home", "log/journal"):
            (persistent / name).mkdir(parents=True, exist_ok=True)
        kept = persistent / "slots" / slot / "var"
        shutil.rmtree(kept, ignore_errors=True)
        subprocess.run(["cp", "-a", str(root / "var"), str(kept)], check=True)
        shutil.rmtree(root / "var")
        for name in ("var", "var/tmp", "var/log", "var/cache", "var/spool"):
            (root / name).mkdir()
        (root / "etc/fstab").write_text(FSTAB)
        (root / "etc/systemd/system/var.mount").write_text(VAR.format(slot=slot))
        (root / "etc/machine-id").write_text("")


class _Walk:
    """The events of the card, and the checks after each."""

    def __init__(self, card: Card) -> None:
        self._card, self._story = card, Story(card)
        self._device = ""
        self._segments = 0

    def walk(self) -> str:
        card, story = self._card, self._story
        story._until(lambda: story._status()["recorder"]["state"] != "", "the doorbell of nobody")
        self._device = story._status()["device_id"]
        self._is_read_only()
        story._inside("own")
        first = story._inside("record", "1")["seconds"]
        card.start(A)
        story._until(story._films, "the doorbell after a cut of the power")
        story._inside("record", "2")
        self._same()
        films = self._opened()
        before = story._installed()
        with UpdateServer(story) as server:
            updated = self._update(server)
            refused = self._refusals(server)
            card.start(B)
            numbers = self._numbers()
            assert numbers != self._numbers(A), "slot B has the numbers of slot A"
            self._runs(updated)
            card.write_older()
            card.start(B)
            self._runs(f"{OLDER}-")
            card.start(A)
            self._runs(updated)
            assert self._opened() > films
            said = card.run("doorward", "update", "back", "--yes").stdout
            assert "0.2.1 was taken back" in said, said
            assert story._installed() == before
            self._runs(before)
        self._bundle()
        return (
            f"the root for reading only, as the doctor says; first sealed segment of a film {first} s after the owner "
            f"enrolled; {films} films opened by the owner after a cut of the power, the vault verifies; 0.2.1 from a "
            f"file, kept after a cut; one that does not run went back; one that needs a unit which the slot lacks was "
            f"refused ({refused}); slot B with other numbers of users ran 0.2.1 with the same key, owner and footage; "
            f"in a slot B with an older image, whose {OLDER} lacks a timer, {OLDER} ran, and in slot A 0.2.1 again; "
            f"root's way back; a bundle on the first partition was taken"
        )

    def _is_read_only(self) -> None:
        for place in ("/usr/x", "/etc/x", "/var/lib/../../opt/x"):
            said = self._card.run("touch", place, check=False).stderr
            assert "Read-only file system" in said, (place, said)
        report = json.loads(self._card.run("doorward", "doctor", "--json", check=False).stdout)
        [found] = [each for each in report["findings"] if each["subject"] == "system"]
        assert (found["health"], "The system is read-only." in found["message"]) == ("fine", True), found
        failed = self._card.run("systemctl", "--failed", "--plain", "--no-legend").stdout
        assert failed == "", failed

    def _same(self) -> None:
        """The device's key, its owner and its footage are there, and its own users own them."""
        status = self._story._status()
        assert (status["device_id"], status["owners"]) == (self._device, ["owner-1"]), status
        assert status["vault"]["segments"] >= self._segments, (status["vault"], self._segments)
        self._segments = status["vault"]["segments"]
        verified = self._card.run("doorward", "vault", "verify", check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        owner = self._card.run("stat", "-c", "%U", "/var/lib/doorward/custodian/device.key").stdout
        assert owner == "doorward-custodian\n", owner

    def _runs(self, version: str) -> None:
        """`version`: its name, or the beginning. It films, and nothing is lost."""
        story = self._story
        assert story._installed().startswith(version), (story._installed(), version)
        story._until(story._films, f"{version} to film")
        story._inside("record", "1")
        self._same()
        failed = self._card.run("systemctl", "--failed", "--plain", "--no-legend").stdout
        assert failed == "", failed

    def _opened(self) -> int:
        """Returns how many films the owner has opened, on a computer of theirs."""
        self._card.run("systemctl", "stop", "doorward-recorder")  # the last film ends
        self._card.run("rm", "-rf", "/root/clips")
        words = (
            *CLIENTS.split(),
            "owner",
            "open",
            "--keys",
            OWNER,
            "--from",
            "2020-01-01T00:00",
            "--out",
            "/root/clips",
        )
        done = self._card.run(*words, "--json", check=False)
        assert done.returncode in (0, 1), done.stderr  # 1: a film ended with the power
        self._card.run("systemctl", "start", "doorward-recorder")
        return len(json.loads(done.stdout)["clips"])

    def _update(self, server: UpdateServer) -> str:
        """Installs 0.2.1, cuts the power, and returns the name of the version."""
        story = self._story
        server.publish("0.2.1")
        done = story._from(server.write_file())
        assert done.returncode == 0, done.stdout + done.stderr
        updated = story._installed()
        assert updated.startswith("0.2.1-"), done.stdout + done.stderr
        self._card.start(A)
        self._runs(updated)
        return updated

    def _refusals(self, server: UpdateServer) -> str:
        """Returns what was said of a version that the slot cannot take."""
        card, story = self._card, self._story
        updated = story._installed()
        server.publish("0.2.2", runs=False)
        done = story._from(server.write_file())
        assert (done.returncode, "0.2.2" in done.stderr) == (1, True), done.stdout + done.stderr
        self._runs(updated)
        link = card.images[A] / f"etc/systemd/system/{LACKS}.service"
        target = link.readlink()
        link.unlink()
        server.publish("0.2.3")
        done = story._from(server.write_file())
        link.symlink_to(target)
        assert done.returncode == 1, done.stdout + done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        found = re.search(r"(needs \S+, which is not there, and its folder is read-only\.) What to do: (.+?\)\.)", said)
        assert found, said
        self._runs(updated)
        return f"{found[1]} {found[2].strip()}".replace("|", "/")

    def _numbers(self, slot: str = B) -> str:
        return "".join(re.findall(r"(?m)^doorward-.*$", (self._card.images[slot] / "etc/passwd").read_text()))

    def _bundle(self) -> None:
        """An installer's bundle on the first partition, taken at the next start by the unit that runs first."""
        run = self._card.run
        run("mkdir", "/root/fleet")
        run("cp", "/root/src/config/fleet.example.toml", "/root/fleet/fleet.toml")
        text = self._card.place("root/fleet/fleet.toml").read_text()
        assert 'ca = "broker.pem"' in text
        shutil.copyfile(CERTIFICATE, self._card.place("root/fleet/broker.pem"))
        run("doorward", "provision", "/root/fleet/fleet.toml", "--out", "/root/fleet/out")
        bundle = self._card.place("bootfs/doorward.bundle")
        shutil.copyfile(self._card.place("root/fleet/out/mill-lane-1.bundle"), bundle)
        self._card.start(A)
        assert not bundle.exists(), run("journalctl", "-u", "doorward-first-boot", "-o", "cat", "--no-pager").stdout
        assert 'name = "mill-lane-1"' in self._card.place("etc/doorward/doorward.toml").read_text()
        assert run("systemctl", "show", "--value", "-p", "Result", "doorward-first-boot").stdout == "success\n"


def _renumber(image: Path) -> None:
    """Gives the recorder's and the custodian's users and groups each other's numbers, as another Debian may."""
    names = "doorward-recorder", "doorward-custodian"
    for file in ("passwd", "group"):
        path = image / "etc" / file
        lines = [line.split(":") for line in path.read_text().splitlines()]
        one, two = ((next(words for words in lines if words[0] == name))[2] for name in names)
        for words in lines:
            if words[0] in names:
                other = two if words[2] == one else one
                # In passwd the fourth word is the group's number.
                words[2:4] = [other, other if file == "passwd" else words[3]]
        path.write_text("".join(":".join(words) + "\n" for words in lines))


def _package(source: Path, out: Path) -> Path:
    """Builds the package of a tree, for this machine. Returns its path."""
    words = [sys.executable, str(source / "scripts/release.py"), "deb", "amd64", "--wheelhouse", str(wheelhouse())]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1780000000"}
    subprocess.run([*words, "--out", str(out)], check=True, env=environment, stdout=subprocess.DEVNULL)
    return next(out.glob("doorward_*_amd64.deb"))


if __name__ == "__main__":
    from tests.install.run import write_row

    began_s = time.monotonic()
    said = slots(SUITE)
    print(said)
    write_row(SUITE, (SLOTS, said, time.monotonic() - began_s))
