"""`python -m tests.crash.takes_nothing_apart KIND FOLDER`: as `takes_nothing`, each role a process.  Root's.

Recorder, uplink and custodian have their folders on the disk, as in an installation. (The fourth role keeps its only
file beside its socket, in memory.) An owner's browser looks through the page, because the control socket is a file on
that disk. Prints what was seen as one JSON document.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetPageAuthority, GetStatus, MakePageCode
from agent.wire.identities import private_key_from_seed
from tests.crash.takes_nothing import mount, takes_everything, takes_nothing, until
from tests.custodian.page.door import Client, cookie_of

CONFIGURATION = """\
[device]
name = "front-door"
state_dir = "{state}"
[camera]
kind = "scripted"
size = [160, 120]
fps = 5
[clips]
pre_roll_s = 1.0
post_roll_s = 1.0
merge_gap_s = 1.0
segment_s = 2.0
continuous = true
[page]
host = "127.0.0.1"
port = {port}
addresses = ["127.0.0.1"]
mdns = false
"""
ROLES = ("custodian", "uplink", "recorder")


class Doorbell:
    """The roles on `disk`. Their sockets, the configuration and the log are elsewhere."""

    def __init__(self, disk: Path) -> None:
        self._state, self._beside = disk / "state", disk.parent
        self.processes: list[subprocess.Popen[bytes]] = []
        for name in ("custodian", "recorder", "vault", "outbox"):
            (self._state / name).mkdir(parents=True, mode=0o700)
        StateFolder(self._state).initialise(private_key_from_seed(os.urandom(32)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self._beside / "doorward.toml").write_text(CONFIGURATION.format(state=self._state, port=self.port))

    @contextmanager
    def runs(self, end: signal.Signals) -> Iterator[None]:
        """The roles run as long as the block, and each ends with this signal."""
        words = ["--runtime-dir", str(self._beside / "run"), "--config", str(self._beside / "doorward.toml")]
        words += ["--outbox", str(self._state / "outbox")]
        with (self._beside / "log").open("ab") as log:
            for role in ROLES:
                (self._beside / "run" / role).mkdir(parents=True, exist_ok=True)
                command = [sys.executable, "-m", "agent.cli", "run", "--role", role, *words]
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        try:
            yield
        finally:
            for process in reversed(self.processes):  # the recorder first: the custodian signs its last segment
                process.send_signal(end)
                process.wait(60)

    def link(self) -> DeviceLink:
        return DeviceLink(StateFolder(self._state).control)

    def answers(self) -> bool:
        """Returns whether the owner's client reaches it."""
        try:
            with self.link() as link:
                return bool(link.document(GetStatus()))
        except DoorwardError:
            return False


def main(kind: str, folder: Path) -> None:
    disk = mount(kind, folder)
    seen: dict[str, Any] = {}
    try:
        doorbell, owner = Doorbell(disk), OwnerKeys.create(folder / "owner")
        with doorbell.runs(signal.SIGKILL):
            assert until(doorbell.answers)
            with doorbell.link() as link:
                enrol(link, owner)
                _, authority = link.fetch(GetPageAuthority())
                browser = Client(doorbell.port, authority, lambda: link.ask(MakePageCode()).code)
                paired = browser.pair()
                assert until(lambda: link.document(GetStatus())["vault"]["segments"] >= 3)
                seen["stored before"] = link.document(GetStatus())["vault"]["segments"]
        takes_nothing(kind, disk)
        doorbell.processes.clear()
        with doorbell.runs(signal.SIGTERM):
            look(kind, disk, doorbell, browser, paired, owner, seen)
    finally:
        subprocess.run(["umount", disk], check=True)
    seen["ended"] = [process.returncode for process in doorbell.processes]
    print(json.dumps(seen))


def look(
    kind: str, disk: Path, doorbell: Doorbell, browser: Client, paired: str, owner: OwnerKeys, seen: dict[str, Any]
) -> None:
    def serves() -> bool:
        try:
            return browser.ask("GET", "/install").status == 200
        except OSError:
            return False

    seen["serves"] = until(serves)
    proved = browser.prove(paired, owner.approval)
    seen["lets its owner in"] = proved.status
    cookie = cookie_of(proved)

    def status() -> Any:
        return browser.op("status", cookie).frame.head["result"]

    seen["owners"], seen["stored"] = status()["owners"], status()["vault"]["segments"]
    full = "full" in kind
    wanted = ("watching", "recording") if full else ("not recording",)
    until(lambda: status()["recorder"].get("state") in wanted)
    if kind != "btrfs full":  # it says that there is space
        until(lambda: status()["recorder"].get("detail"))  # with the first segment that needs room
    recorder = status()["recorder"]
    seen["state"], seen["detail"] = recorder.get("state"), recorder.get("detail")
    seen["records meanwhile"] = full and until(lambda: status()["recorder"].get("segments"))
    try:
        doorbell.link().close()
    except DoorwardError as error:
        seen["an owner's client is told"] = error.remedy
    takes_everything(kind, disk)
    acknowledged = status()["recorder"].get("segments")
    seen["records again"] = until(lambda: status()["recorder"].get("segments", 0) > acknowledged)
    seen["answers the owner's client again"] = until(doorbell.answers)
    seen["roles that ended"] = [process.args for process in doorbell.processes if process.poll() is not None]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
