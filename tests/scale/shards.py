"""Broker shards, each set up by `doorward broker` as an operator does: mosquitto and its digest service as processes.

Each shard has its own address on loopback, so that its network can be cut.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.broker.private_broker import _free_ports
from agent.mqtt import BusSettings
from agent.wire.trust_package import TRUST_SLOTS

__all__ = ["RefusedError", "Shard", "command", "spoken"]

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0


class RefusedError(Exception):
    """A command failed."""


def command(*words: object) -> str:
    """Runs `doorward` here, and returns its output. Raises `RefusedError`."""
    said, failed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
        status = run(doorward, [str(word) for word in words])
    if status != 0:
        raise RefusedError(f"doorward {' '.join(map(str, words))}: {failed.getvalue()}{said.getvalue()}")
    return said.getvalue()


def spoken(*words: object) -> dict[str, Any]:
    return dict(json.loads(command(*words, "--json")))


class Shard:
    """One broker. `west`: the west edge of its column of cells; two shards with the same one share them."""

    takes_witness = True
    keeps_for_wildcards = True
    """A doorbell that connects gets the root's package, which is retained. Otherwise it gets the next publication."""
    is_out_while_killed = True
    """A kill ends it for all its clients."""
    rest_s = 0.0
    """Seconds from the end of a fault of this shard until the next may begin. With 0, a kill and a cut may overlap."""

    def __init__(self, folder: Path, number: int, west: float) -> None:
        self.folder, self.number, self.west = folder, number, west
        self.host = f"127.0.1.{number + 1}"
        self.device_port, self.requester_port, self.witness_port = _free_ports(3)
        self._broker: subprocess.Popen[bytes] | None = None
        self._digest: subprocess.Popen[bytes] | None = None
        command(
            "broker", "init", "--dir", folder, "--host", self.host, "--address", self.host, "--user", _user(),
            "--device-port", self.device_port, "--requester-port", self.requester_port,
        )  # fmt: skip

    def __str__(self) -> str:
        return f"shard {self.number}"

    def let_witness_in(self) -> None:
        """Adds a listener without access list, for the witness of the run alone."""
        with (self.folder / "mosquitto.conf").open("a") as configuration:
            configuration.write(f"\nlistener {self.witness_port} {self.host}\nallow_anonymous true\n")

    def settle(self) -> None:
        """Runs once all clients have their certificates."""

    @property
    def pid(self) -> int:
        """The process of the broker, or 0 if it is not one."""
        return 0 if self._broker is None else self._broker.pid

    @property
    def directory_entry(self) -> str:
        """Returns its lines in the list of a trust root."""
        area = f"south = 52, west = {self.west}, north = 52.5, east = {self.west + 0.5}"
        return f'[[brokers]]\nhost = "{self.host}"\nport = {self.requester_port}\nareas = [{{ {area} }}]\n'

    def settings(self, device: str) -> BusSettings:
        """Adds the doorbell, and returns how it connects."""
        made = spoken("broker", "add-device", device, "--dir", self.folder)
        return BusSettings(
            self.host, self.device_port, device, Path(made["ca"]), Path(made["certificate"]), Path(made["key"])
        )

    def certify(self, name: str, request: Path, tls: Path) -> None:
        """Signs the request of a requester or worker, and puts the answer into its folder for this broker."""
        made = spoken("broker", "add-requester", name, "--csr", request, "--dir", self.folder)
        self._hand_out(made, tls)

    def admit_root(self, root: str, request: Path, tls: Path) -> None:
        made = spoken("broker", "add-root", root, "--csr", request, "--slots", TRUST_SLOTS, "--dir", self.folder)
        self._hand_out(made, tls)

    def _hand_out(self, made: dict[str, Any], tls: Path) -> None:
        tls.mkdir(parents=True, exist_ok=True)
        shutil.copy(made["ca"], tls / "authority.pem")
        shutil.copy(made["certificate"], tls / "certificate.pem")

    def start(self) -> None:
        log_path = self.folder / "mosquitto.log"
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
        with log_path.open("ab") as log:
            begins = log.tell()
            self._broker = subprocess.Popen([program, "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log)
        deadline_s = time.monotonic() + _START_S
        while b" running" not in log_path.read_bytes()[begins:]:
            if self._broker.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"{self} does not start: {log_path.read_text()[-2000:]}")
            time.sleep(0.02)

    def start_digest(self) -> None:
        with (self.folder / "digest.log").open("ab") as log:
            words = ("broker", "digest", "--dir", self.folder, "--host", self.host, "--port", str(self.requester_port))
            self._digest = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.cli", *words],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """Ends the broker as a power cut does. Its digest service stays, and connects again."""
        _kill(self._broker)
        self._broker = None

    def kill_digest(self) -> None:
        _kill(self._digest)
        self._digest = None

    def stop(self) -> None:
        self.kill_digest()
        self.kill()


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
