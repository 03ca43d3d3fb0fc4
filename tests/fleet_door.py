"""One doorbell of a fleet, each part a process: `python -m tests.fleet_door run|enrol|update FOLDER …`.

A door has a folder with its keys, its configuration and its versions. `run` is the real uplink with real reports of
health, as the version that `opt/doorward/current` names. `enrol TICKET` is `doorward link enrol`. `update SOURCE ROOT
SHA256` is a look for updates and an owner's yes: the real updater, root's step, signatures, dpkg-deb and the choice of
versions; the environment of a version is not built. A doorbell with a file `breaks-VERSION` does not run that version.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from agent.cli.broker_link import enrol_doorbell
from agent.config import Configuration, load
from agent.core.bus import BusEvent
from agent.core.timebase import ClockQuality, ClockReading
from agent.core.updates import UpdateResult, UpdateSource, UpdateWish
from agent.custodian.health_reports import HealthReporter
from agent.custodian.state_folder import StateFolder
from agent.errors import NetworkError
from agent.mqtt import BusSettings, MqttBus
from agent.platform.system_clock import SystemClock, SystemEntropy
from agent.updater.fetching import Staging
from agent.updater.machine import Machine, output_of
from agent.updater.release_store import ReleaseStore
from agent.updater.root_step import RootStep
from agent.uplink import uplink
from agent.uplink.uplink import Uplink
from agent.wire import strictjson
from agent.wire.identities import public_key_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.places import Places  # noqa: E402
from installation.versions import Versions  # noqa: E402

REPORT_S = 20.0
TRIAL_S = 300.0
"""On a machine with fifty starting processes a start takes long."""


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


class Door:
    """The files of one doorbell."""

    _process: subprocess.Popen[bytes] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "doorward.toml"
        self.tls = folder / "tls"
        self.places = Places(folder / "disk")
        self.versions = Versions(self.places)
        self.pid = folder / "pid"
        self.lives = folder / "connected"
        """Holds the version that connected to the broker last."""

    @property
    def version(self) -> str:
        return str(self.versions.current())

    def put(self, version: str) -> None:
        """The version of the card."""
        for each in (self.places.state / "update", self.places.runtime / "update", self.places.versions):
            each.mkdir(parents=True, exist_ok=True)
        source = self.folder / "card"
        (source / "agent").mkdir(parents=True)
        (source / "agent/__init__.py").write_text(f'__version__ = "{version}"\n')
        self.versions.begin(version, source)
        self.versions.complete(version)
        self.versions.switch(version)

    def configuration(self) -> Configuration:
        return load(self.config)

    # --- Run

    def start(self) -> None:
        """Starts the process of the current version, and ends the one before."""
        self.stop()
        self.lives.unlink(missing_ok=True)
        words = [sys.executable, "-m", "tests.fleet_door", "run", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.pid.write_text(str(process.pid))
        self._process = process

    def stop(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(self.pid.read_text()), signal.SIGKILL)
        self.pid.unlink(missing_ok=True)
        if self._process is not None:  # an update, which is another program, may have ended it
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(self) -> None:
        """Until the process is killed."""
        version = self.version
        if (self.folder / f"breaks-{version}").exists():
            raise SystemExit(9)
        known = self.configuration()
        broker, installer = known.broker, known.installer
        assert broker is not None
        assert installer is not None
        key = StateFolder(known.device.state_dir).device_key()
        device = public_key_of(key).id
        uplink._REPORT_S = (REPORT_S, REPORT_S)  # type: ignore[misc]
        bus = _Bus(BusSettings(broker.host, broker.port, device, broker.ca, broker.certificate, broker.key))
        bus.connected = lambda: self.lives.write_text(version)
        status = {"recorder": {"state": "watching"}, "owners": ["owner-1"]}
        reporter = HealthReporter(
            key, known, installer.recipient, SyncedClock(), SystemEntropy(), lambda: status, self._outcome, version
        )
        Uplink(
            bus, Custody(), None, SystemClock(),  # type: ignore[arg-type]
            device=device, cell_filter=None, uniform=lambda low, _high: low / 10, health=reporter.report,
        ).run()  # fmt: skip

    def _outcome(self) -> tuple[str, str] | None:
        outcome = self._store(b"").state.outcome
        return None if outcome is None else (outcome.version, outcome.result.value)

    # --- Enrol

    def enrol(self, ticket: Path) -> None:
        """As the unit does it: a doorbell that finds no free place at the server asks again."""
        while True:
            with contextlib.suppress(NetworkError):
                enrol_doorbell(self.config, self.tls, ticket)
                return
            time.sleep(0.5)

    # --- Update

    def _store(self, root: bytes) -> ReleaseStore:
        architecture = output_of(["dpkg", "--print-architecture"]).strip()
        return ReleaseStore(self.places.state / "update", root, Machine(self.version, architecture, "13"))

    def update(self, source: Path, root: bytes) -> None:
        store, staging = self._store(root), self.places.state / "updater"
        wanted = UpdateSource(v=1, source=str(source.resolve()), root=root.decode())
        Staging(staging).fetch(wanted, Machine(self.version, "amd64", "13"), SyncedClock().now())
        wishes = self.places.runtime / "update"
        step = RootStep(store, staging, wishes, self.places.opt, SyncedClock().now, self._install)
        step.run()
        offer = store.state.offer
        if offer is not None:
            wish = UpdateWish(
                v=1, id=os.urandom(16).hex(), version=offer.version, sha256=offer.sha256, change=store.state.change
            )
            (wishes / "wish.json").write_bytes(strictjson.encode(wish))
            step.run()

    def _install(self, tree: Path) -> UpdateResult:
        """The order of scripts/installation: begin, complete, trial, switch, restart, and back if it does not run."""
        version, before = output_of(["cat", str(tree / "version")]).strip(), self.version
        self.versions.sweep()
        self.versions.begin(version, tree)
        self.versions.complete(version)
        self.versions.begin_trial(version)
        self.versions.switch(version)
        self.start()
        if not self._runs_well(version):
            self.versions.roll_back()
            self.versions.end_trial()
            self.start()
            assert self.version == before
            return UpdateResult.ROLLED_BACK
        self.versions.end_trial()
        return UpdateResult.INSTALLED

    def _runs_well(self, version: str) -> bool:
        ends_s = time.monotonic() + TRIAL_S
        pid = Path("/proc", self.pid.read_text())
        while time.monotonic() < ends_s:
            if self.lives.exists() and self.lives.read_text() == version:
                return True
            with contextlib.suppress(OSError):
                state = (pid / "stat").read_text().rpartition(")")[2].split()[0]
                if state == "Z":
                    return False
            if not pid.exists():
                return False
            time.sleep(0.2)
        return False


class _Bus(MqttBus):
    """The real bus. It says when it is connected."""

    connected = staticmethod(lambda: None)

    def next_event(self, timeout_s: float) -> BusEvent | None:
        event = super().next_event(timeout_s)
        if type(event).__name__ == "BusConnected":
            self.connected()
        return event


def main(words: list[str]) -> int:
    door = Door(Path(words[1]))
    if words[0] == "run":
        threading.excepthook = lambda _: os._exit(9)
        door.run()
    elif words[0] == "enrol":
        door.enrol(Path(words[2]))
    else:
        door.update(Path(words[2]), Path(words[3]).read_bytes())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
