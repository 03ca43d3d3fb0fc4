"""`python -m tests.fleet_processes [COUNT]`: a fleet of fifty doorbells, each a process, from the ticket to the
replacement of a dead one.

One broker (mosquitto over TLS) and one installer. All doorbells enrol at once with one-time tickets by EST, connect and
report. An update goes in three waves; one doorbell does not run the new version, so the fleet stops, and goes on
without it. Then a whole doorbell (`doorward run`, with an owner, a camera and backups) dies and is replaced from its
backup. The last line of output has the times. The processes are tests/fleet_door.py.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from tests.cli.conftest import Seen
from tests.fleet_door import Door
from tests.fleets import EstSide, LightDoor
from tests.scenarios.test_a_fleet import Installer
from tests.update_repositories import Repository, package

__all__ = ["Fleet"]

OLD, NEW = "0.2.0", "0.2.1"
BROKEN = 3
"""The doorbell that fails to run the new version, in the second wave."""
AT_ONCE = 8
"""Looks for updates at a time. Real doorbells look within hours."""
PATIENCE_S = 900.0
ROOT = Path(__file__).resolve().parents[1]


def tool(*arguments: object) -> Seen:
    """Runs a command of `doorward` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(doorward, [str(argument) for argument in arguments])
    return Seen(status, out.getvalue(), err.getvalue())


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.5)


class Fleet:
    """Use as a context manager: at its end all processes are gone."""

    def __init__(self, folder: Path, count: int, side: EstSide, broker: PrivateBroker) -> None:
        self.folder, self.side, self.broker = folder, side, broker
        side.broker_port = broker.device_port
        self.installer = Installer(tool, folder / "installer")
        self.recipient = self.installer.join(side, broker)
        self.repository = Repository(folder / "upstream")
        self.repository.release(_release(folder / "release"), package(NEW, _architecture()))
        self.root = folder / "root.json"
        self.root.write_bytes(self.repository.first_root)
        self.doors = [self._door(number) for number in range(1, count + 1)]
        (folder / f"door-{BROKEN}" / f"breaks-{NEW}").touch()
        self.names = [each.folder.name for each in self.doors]

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.doors:
            each.stop()

    def _door(self, number: int) -> Door:
        light = LightDoor(self.folder / f"door-{number}", number)
        door = Door(light.root)
        door.put(OLD)
        return door

    def wave(self, name: str) -> int:
        number = self.names.index(name) + 1
        return 1 if number < BROKEN else 2 if number <= BROKEN + 4 else 3

    # --- The story

    def enrol(self) -> float:
        """One process each, all at once. Returns the seconds."""
        started = time.monotonic()
        processes = []
        for each in self.doors:
            ticket = each.folder / "doorward.enrol"
            ticket.write_bytes(self.side.ticket(each.folder.name))
            processes.append(_process("enrol", each.folder, ticket))
        for each, process in zip(self.doors, processes, strict=True):
            assert process.wait(PATIENCE_S) == 0, (each.folder / "log").read_text()[-2000:]
            with each.config.open("a") as config:
                config.write(f'[installer]\nname = "Jansen"\nrecipient = "{self.recipient}"\n')
        assert not self.side.tokens.has_open()
        return time.monotonic() - started

    def connect(self) -> float:
        """Until the installer has heard of each."""
        started = time.monotonic()
        for each in self.doors:
            each.start()
        until(lambda: self._states().keys() >= set(self.names), "all reports")
        assert {self._states()[name] for name in self.names} == {"ok"}, self._states()
        return time.monotonic() - started

    def update(self) -> tuple[float, float]:
        """Returns the seconds until the fleet stopped, and until the rest had the version."""
        self._write_fleet_file()
        started = time.monotonic()
        until(lambda: self._turn()["action"] == "stop", "the broken doorbell")
        stopped = self._turn()
        assert (stopped["wave"], stopped["reasons"]) == (2, [f"door-{BROKEN}: update {NEW} rolled back"]), stopped
        early = {name for name in self.names if self.wave(name) == 3 and self._version(name) != OLD}
        assert not early, f"{early} of the last wave have the version that failed"
        stopped_s = time.monotonic() - started
        until(lambda: self._turn("--ignore", f"door-{BROKEN}")["action"] == "done", "the rest")
        assert [name for name in self.names if self._version(name) != NEW] == [f"door-{BROKEN}"]
        broken = self.doors[BROKEN - 1]
        assert broken.lives.read_text() == OLD, "the version before runs there"
        return stopped_s, time.monotonic() - started

    def replace(self) -> float:
        """A whole doorbell dies, with its card. Returns the seconds until the installer hears the new board."""
        stick = self.folder / "stick"
        stick.mkdir()
        number = len(self.doors) + 1
        light = LightDoor(self.folder / "whole", number)
        light.enrol(self.side.ticket("whole"))
        with light.config.open("a") as config:
            config.write(f'[camera]\nkind = "scripted"\n[backup]\nfolder = "{stick}"\n')
            config.write(f'[installer]\nname = "Jansen"\nrecipient = "{self.recipient}"\n')
        owner, device = OwnerKeys.create(self.folder / "owner", name="owner-1"), light.device
        with _whole(light.config, light.state):
            with DeviceLink(StateFolder(light.state).control) as link:
                enrol(link, owner)
            assert tool("backup", "--config", light.config).status == 0
            until(lambda: device in self._heard(), "the first report of the whole doorbell")
        (kept,) = stick.iterdir()
        before = self._heard()[device]
        shutil.rmtree(light.root)
        started = time.monotonic()
        fresh = LightDoor(self.folder / "whole", number + 1)  # a new card, with another key
        opened = self.folder / "opened"
        opened.write_bytes(open_bytes(kept.read_bytes(), [owner.identity]))
        assert tool("restore", "--config", fresh.config, opened).status == 0
        with _whole(fresh.config, fresh.state):
            until(lambda: self._heard()[device]["at"] > before["at"], "a report of the new board")
        assert fresh.device == device
        return time.monotonic() - started

    # --- Parts

    def _states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.installer.status()["doorbells"]}

    def _heard(self) -> dict[str, Any]:
        return {each["device"]: each["report"] for each in self.installer.status()["doorbells"]}

    def _version(self, name: str) -> str:
        return self.doors[self.names.index(name)].version

    def _write_fleet_file(self) -> None:
        cameras = "".join(f'[[cameras]]\nname = "{name}"\nwave = {self.wave(name)}\n' for name in self.names)
        shutil.copy(self.side.pki.directory / "authorities/broker.pem", self.folder / "broker.pem")
        (self.folder / "fleet.toml").write_text(
            'version = 1\n[broker]\nhost = "127.0.0.1"\nca = "broker.pem"\n[installer]\nname = "Jansen"\n'
            f'recipient = "{self.recipient}"\n[updates]\nsource = "https://updates.example/doorward"\n{cameras}'
        )

    def _turn(self, *words: object) -> dict[str, Any]:
        """The installer's timer, and then each doorbell that can see the version, and lacks it, looks for updates."""
        www = self.folder / "www"
        seen = tool(
            "fleet", "update", "--folder", self.installer.folder, "--broker", self.installer.broker, "--json",
            "--fleet", self.folder / "fleet.toml", "--repository", self.repository.folder, "--out", www,
            "--root", self.root, *words,
        )  # fmt: skip
        waiting = []
        for name, door in zip(self.names, self.doors, strict=True):
            source = www / f"wave-{self.wave(name)}"
            tried = door.places.state / "update" / "state.json"
            if source.exists() and door.version == OLD and not (tried.exists() and '"outcome":{' in tried.read_text()):
                waiting.append((door.folder, source))
        while waiting:
            batch, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            processes = [_process("update", folder, source, self.root) for folder, source in batch]
            ended = [process.wait(PATIENCE_S) for process in processes]
            assert ended == [0] * len(batch), [
                (folder.name, code) for (folder, _), code in zip(batch, ended, strict=True)
            ]
        return dict(json.loads(seen.out))


def _process(*words: object) -> subprocess.Popen[bytes]:
    log = Path(str(words[1]), "log")
    with log.open("ab") as file:
        command = [sys.executable, "-m", "tests.fleet_door", *map(str, words)]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


@contextlib.contextmanager
def _whole(config: Path, state: Path) -> Iterator[None]:
    """`doorward run`; it is killed at the end, as by a power cut."""
    with config.with_name("log").open("ab") as log:
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _answers(state), "the whole doorbell")
        assert process.poll() is None, config.with_name("log").read_text()[-2000:]
        yield
    finally:
        process.kill()
        process.wait()


def _answers(state: Path) -> bool:
    with contextlib.suppress(DoorwardError, OSError), DeviceLink(StateFolder(state).control):
        return True
    return False


def _architecture() -> str:
    words = ["dpkg", "--print-architecture"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _release(folder: Path) -> bytes:
    """A package with what an installation keeps of a version, and little else."""
    tree = folder / "usr/lib/doorward"
    (tree / "agent").mkdir(parents=True)
    (tree / "agent/__init__.py").write_text(f'__version__ = "{NEW}"\n')
    (tree / "version").write_text(f"{NEW}\n")
    (folder / "DEBIAN").mkdir()
    fields = f"Package: doorward\nVersion: {NEW}\nArchitecture: {_architecture()}\nMaintainer: x\nDescription: y\n"
    (folder / "DEBIAN/control").write_text(fields)
    made = folder.with_suffix(".deb")
    words = ["dpkg-deb", "--root-owner-group", "-b", str(folder), str(made)]
    subprocess.run(words, check=True, capture_output=True)
    return made.read_bytes()


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else 50
    with (
        tempfile.TemporaryDirectory(prefix="doorward-fleet-", dir=os.environ.get("DOORWARD_FLEET_DIR")) as name,
        EstSide(Path(name, "broker")) as side,
        PrivateBroker(Path(name, "broker")) as broker,
        Fleet(Path(name), count, side, broker) as fleet,
    ):
        enrolled_s = fleet.enrol()
        print(f"{count} processes enrolled in {enrolled_s:.0f} s", flush=True)
        reported_s = fleet.connect()
        print(f"all were heard by the installer {reported_s:.0f} s after their start", flush=True)
        stopped_s, done_s = fleet.update()
        print(f"the update stopped after {stopped_s:.0f} s; the rest had it after {done_s:.0f} s", flush=True)
        replaced_s = fleet.replace()
    print(
        f"{count} doorbells: enrolled in {enrolled_s:.0f} s, heard after {reported_s:.0f} s, stopped by the broken one "
        f"after {stopped_s:.0f} s, the rest updated after {done_s:.0f} s, one replaced in {replaced_s:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
