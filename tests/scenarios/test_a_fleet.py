"""A fleet of light doorbells on a real broker with real TLS: fifty enrol with one-time tokens, connect and report.

A light doorbell has its keys, its files, the real uplink and the real reports of health, and neither camera nor vault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import load
from agent.core.bus import BusConnected
from agent.core.timebase import ClockQuality, ClockReading
from agent.core.updates import UpdateSource
from agent.custodian.health_reports import HealthReporter
from agent.custodian.state_folder import StateFolder
from agent.errors import NetworkError
from agent.ipc.control_client import DeviceLink
from agent.mqtt import BusSettings, MqttBus
from agent.platform.system_clock import SystemClock, SystemEntropy
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.solo import Solo
from agent.updater.fetching import Staging
from agent.updater.machine import Machine
from agent.uplink import uplink
from agent.uplink.uplink import Uplink
from tests.cli.conftest import Seen
from tests.fleets import EstSide, LightDoor
from tests.lengths import only
from tests.update_repositories import Repository, deb, package

pytestmark = pytest.mark.broker


def bus_of(door: LightDoor) -> MqttBus:
    broker = load(door.config).broker
    assert broker is not None
    return MqttBus(BusSettings(broker.host, broker.port, door.device, broker.ca, broker.certificate, broker.key))


def enrol_patiently(door: LightDoor, ticket: bytes) -> None:
    """As the unit does it: a doorbell that finds no free place at the server asks again."""
    while True:
        with contextlib.suppress(NetworkError):
            door.enrol(ticket)
            return
        time.sleep(0.2)


def at_once(doors: list[LightDoor], tickets: dict[int, bytes]) -> None:
    threads = [threading.Thread(target=enrol_patiently, args=(door, tickets[door.number])) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", only([6], [6, 50]))
def test_doorbells_enrol_at_once_and_each_reaches_the_broker(number: int, tmp_path: Path) -> None:
    """One has its power cut half-way, one shows a ticket that another has used."""
    with EstSide(tmp_path / "broker") as side, PrivateBroker(tmp_path / "broker") as broker:
        side.broker_port = broker.device_port
        doors = [LightDoor(tmp_path / f"door-{each}", each) for each in range(1, number + 1)]
        tickets = {door.number: side.ticket(f"door-{door.number}") for door in doors}
        started = time.monotonic()
        at_once(doors, tickets)
        print(f"{number} doorbells enrolled in {time.monotonic() - started:.1f} s")
        doors[0].config.write_text(doors[0].config.read_text().partition("[broker]")[0])
        (doors[0].tls / "device.pem").unlink()
        enrol_patiently(doors[0], tickets[1])
        assert sorted({device for _, device in side.enrolled}) == sorted(door.device for door in doors)
        assert not side.tokens.has_open()
        buses = [bus_of(door) for door in doors]
        try:
            for bus in buses:
                bus.start()
            for bus in buses:
                assert isinstance(bus.next_event(60.0), BusConnected)
            print(f"{number} doorbells connected after {time.monotonic() - started:.1f} s")
        finally:
            for bus in buses:
                bus.stop()


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Callable[..., Seen]:
    """As `tests.cli.conftest.tool`."""

    def call(*arguments: object) -> Seen:
        status = run(doorward, [str(argument) for argument in arguments])
        return Seen(status, *capsys.readouterr())

    return call


@dataclass
class RunningDoor:
    """A light doorbell that is connected and reports its health soon after. Its updates are verified for real."""

    door: LightDoor
    recipient: str
    status: dict[str, Any] = field(default_factory=lambda: {"recorder": {"state": "watching"}, "owners": ["owner-1"]})
    version: str = "0.2.0"
    outcome: tuple[str, str] | None = None
    breaks: bool = False

    def start(self) -> None:
        self.uplink = Uplink(
            bus_of(self.door), Custody(), None, SystemClock(),  # type: ignore[arg-type]
            device=self.door.device, cell_filter=None, uniform=lambda low, _high: low / 10, health=self.report,
        )  # fmt: skip
        self.thread = threading.Thread(target=self.uplink.run, name=f"uplink-{self.door.number}")
        self.thread.start()

    def report(self) -> bytes:
        key = StateFolder(self.door.state).device_key()
        return HealthReporter(
            key, load(self.door.config), self.recipient, SyncedClock(), SystemEntropy(), lambda: self.status,
            lambda: self.outcome, self.version,
        ).report()  # fmt: skip

    def look_for_updates(self, source: Path, root: bytes) -> None:
        """As updater and root do: verify, and take what is newer. A version that breaks is rolled back."""
        if not source.exists():
            return
        machine = Machine(self.version, "amd64", "13")
        wanted = UpdateSource(v=1, source=str(source.resolve()), root=root.decode())  # as a web server follows links
        found = Staging(self.door.root / "updater").fetch(wanted, machine, SyncedClock().now())
        if found is not None and self.breaks:
            self.outcome = (found.version, "rolled back")
        elif found is not None:
            self.version, self.outcome = found.version, (found.version, "installed")

    def stop(self) -> None:
        self.uplink.stop()
        self.thread.join()


class SyncedClock(SystemClock):
    """Synchronised, whatever this machine is."""

    def now(self) -> ClockReading:
        return dataclasses.replace(super().now(), quality=ClockQuality.SYNCED)


class Custody:
    """A custodian that hears nothing of interest."""

    def on_message(self, _topic: str, _data: bytes) -> None:
        return None

    def outgoing(self) -> list[object]:
        return []


@dataclass
class Installer:
    """`doorward fleet` with its keys and its certificate, as the commands make them."""

    tool: Callable[..., Any]
    folder: Path
    broker: str = ""

    def join(self, side: EstSide, broker: PrivateBroker) -> str:
        made = json.loads(self.tool("fleet", "init", "--folder", self.folder, "--json").out)
        named = self.tool(
            "broker", "add-installer", made["id"], "--csr", made["csr"], "--dir", side.pki.directory, "--json"
        )
        for name, path in (("authority.pem", "ca"), ("certificate.pem", "certificate")):
            (self.folder / "tls" / name).write_bytes(Path(json.loads(named.out)[path]).read_bytes())
        broker.reload()
        self.broker = f"127.0.0.1:{broker.requester_port}"
        return str(made["recipient"])

    def status(self, *words: object) -> dict[str, Any]:
        seen = self.tool("fleet", "status", "--folder", self.folder, "--broker", self.broker, "--json", *words)
        # The doorbell runs in this process, and its log may be among the lines, for example "owner_told".
        return {"exit": seen.status, **json.loads(seen.out[seen.out.index("{\n") :])}

    def states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.status()["doorbells"]}


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"


@pytest.mark.parametrize("number", only([4], [4, 50]))
def test_an_installer_sees_the_health_of_all_doorbells_and_which_one_is_broken(
    number: int, tmp_path: Path, tool: Callable[..., Any]
) -> None:
    with EstSide(tmp_path / "broker") as side, PrivateBroker(tmp_path / "broker", witness=True) as broker:
        side.broker_port = broker.device_port
        installer = Installer(tool, tmp_path / "installer")
        recipient = installer.join(side, broker)
        doors = [LightDoor(tmp_path / f"door-{each}", each) for each in range(1, number + 1)]
        at_once(doors, {door.number: side.ticket(f"door-{door.number}") for door in doors})
        running = [RunningDoor(door, recipient) for door in doors]
        started = time.monotonic()
        try:
            for each in running:
                each.start()
            everyone = {f"door-{door.number}" for door in doors}
            until(lambda: set(installer.states()) == everyone, "all reports")
            reported_s = time.monotonic() - started
            assert set(installer.states().values()) == {"ok"}
            assert installer.status()["exit"] == 0
            running[1].status = {"recorder": {"state": "no camera"}, "owners": ["owner-1"]}
            running[1].stop()
            running[1].start()
            until(lambda: installer.states()["door-2"] == "fault", "the broken doorbell")
            broken_s = time.monotonic() - started
            seen = installer.status("--html", tmp_path / "fleet.html")
            assert seen["exit"] == 1
            assert [each["faults"] for each in seen["doorbells"] if each["name"] == "door-2"] == [["camera"]]
            assert "door-2" in (tmp_path / "fleet.html").read_text()
        finally:
            for each in running:
                each.stop()
        lengths = {
            line.rpartition("(")[2]
            for line in broker.log().splitlines()
            if "PUBLISH from" in line and "/health/" in line
        }
        assert len(lengths) == 1, "each report is as long as every other"
        print(f"{number} doorbells reported after {reported_s:.1f} s; the broken one was seen after {broken_s:.1f} s")


@pytest.mark.parametrize("number", only([5], [5, 50]))
def test_an_update_goes_wave_by_wave_and_a_broken_doorbell_stops_it(
    number: int, tmp_path: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real signatures: each doorbell verifies its wave's copy. One breaks, and the later wave stays as it is."""
    monkeypatch.setattr(uplink, "_REPORT_S", (10.0, 10.0))
    repository = Repository(tmp_path / "upstream")
    repository.release(deb("0.2.1"), package("0.2.1"))
    (tmp_path / "root.json").write_bytes(repository.first_root)
    with EstSide(tmp_path / "broker") as side, PrivateBroker(tmp_path / "broker") as broker:
        side.broker_port = broker.device_port
        installer = Installer(tool, tmp_path / "installer")
        recipient = installer.join(side, broker)
        doors = [LightDoor(tmp_path / f"door-{each}", each) for each in range(1, number + 1)]
        at_once(doors, {door.number: side.ticket(f"door-{door.number}") for door in doors})
        wave_of = {f"door-{door.number}": 1 if door.number <= 2 else 2 if door.number <= 4 else 3 for door in doors}
        (tmp_path / "fleet.toml").write_text(fleet_file(recipient, wave_of))
        shutil.copy(side.pki.directory / "authorities" / "broker.pem", tmp_path / "broker.pem")
        running = {f"door-{door.number}": RunningDoor(door, recipient) for door in doors}
        running["door-3"].breaks = True

        def turn(*words: object) -> dict[str, Any]:
            """The installer's timer, and then each doorbell looks for updates."""
            seen = tool(
                "fleet", "update", "--folder", installer.folder, "--broker", installer.broker, "--json",
                "--fleet", tmp_path / "fleet.toml", "--repository", repository.folder, "--out", tmp_path / "www",
                "--root", tmp_path / "root.json", *words,
            )  # fmt: skip
            for name, each in running.items():
                each.look_for_updates(tmp_path / "www" / f"wave-{wave_of[name]}", repository.first_root)
            return {"exit": seen.status, **json.loads(seen.out)}

        def updated() -> set[int]:
            return {wave_of[name] for name, each in running.items() if each.version == "0.2.1"}

        try:
            for each in running.values():
                each.start()
            until(lambda: set(installer.states()) == running.keys(), "all reports")
            started = time.monotonic()
            first = turn()
            assert (first["action"], first["published"], updated()) == ("wait", [1], {1})
            until(lambda: turn()["action"] == "stop", "the broken doorbell")
            stopped = turn()
            assert (stopped["exit"], stopped["wave"], stopped["reasons"]) == (
                1,
                2,
                ["door-3: update 0.2.1 rolled back"],
            )
            assert updated() == {1, 2}, "the last wave stays as it is"
            stopped_s = time.monotonic() - started
            until(lambda: turn("--ignore", "door-3")["action"] == "done", "the rest without the broken one")
            assert {name for name, each in running.items() if each.version != "0.2.1"} == {"door-3"}
            done_s = time.monotonic() - started
        finally:
            for each in running.values():
                each.stop()
        print(f"{number} doorbells in three waves: stopped after {stopped_s:.1f} s, the rest done after {done_s:.1f} s")


def fleet_file(recipient: str, wave_of: dict[str, int]) -> str:
    cameras = "".join(f'[[cameras]]\nname = "{name}"\nwave = {wave}\n' for name, wave in wave_of.items())
    return (
        f'version = 1\n[broker]\nhost = "127.0.0.1"\nca = "broker.pem"\n[installer]\nname = "Jansen"\n'
        f'recipient = "{recipient}"\n[updates]\nsource = "https://updates.example/doorward"\n{cameras}'
    )


def test_a_dead_doorbell_comes_back_from_its_own_backup_with_the_same_name_at_the_broker(
    tmp_path: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes in one, a real broker, an owner's keys: dead at one moment, and heard by the installer again."""
    monkeypatch.setattr(uplink, "_FIRST_REPORT_S", (0.0, 0.1))
    stick = tmp_path / "stick"
    stick.mkdir()
    with EstSide(tmp_path / "broker") as side, PrivateBroker(tmp_path / "broker") as broker:
        side.broker_port = broker.device_port
        installer = Installer(tool, tmp_path / "installer")
        recipient = installer.join(side, broker)
        door = LightDoor(tmp_path / "door", 1)
        door.enrol(side.ticket("door-1"))
        with door.config.open("a") as config:
            config.write(f'[camera]\nkind = "scripted"\n[backup]\nfolder = "{stick}"\n')
            config.write(f'[installer]\nname = "Jansen"\nrecipient = "{recipient}"\n')
        owner, device = OwnerKeys.create(tmp_path / "owner", name="owner-1"), door.device
        with running(door.config):
            with DeviceLink(StateFolder(door.state).control) as link:
                enrol(link, owner)
            assert tool("backup", "--config", door.config).status == 0
            until(lambda: device in heard(installer), "the first report")
        (kept,) = stick.iterdir()
        before = heard(installer)[device]
        shutil.rmtree(door.root)
        started = time.monotonic()
        fresh = LightDoor(tmp_path / "door", 2)  # a new card, with another key
        (tmp_path / "opened").write_bytes(open_bytes(kept.read_bytes(), [owner.identity]))
        assert tool("restore", "--config", fresh.config, tmp_path / "opened").status == 0
        with running(fresh.config) as solo:
            until(lambda: heard(installer)[device]["at"] > before["at"], "a report of the new board")
            assert solo.status()["owners"] == ["owner-1"]
            replaced_s = time.monotonic() - started
        assert fresh.device == device
        assert heard(installer)[device]["name"] == "door-1"
        print(f"replaced after {replaced_s:.1f} s")


def heard(installer: Installer) -> dict[str, Any]:
    """The newest report of each doorbell, by its id."""
    return {each["device"]: each["report"] for each in installer.status()["doorbells"]}


@contextlib.contextmanager
def running(config: Path) -> Iterator[Solo]:
    solo = Solo(load(config), open_camera=lambda: ScriptedCamera(duration_s=1.0, size_px=(320, 240)))
    solo.start()
    try:
        yield solo
    finally:
        solo.stop()
        solo.close()
