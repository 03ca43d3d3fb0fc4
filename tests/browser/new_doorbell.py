"""A doorbell as it comes out of the box, for the browser tests: no owner, no network, no shell; and root's part beside it.

The camera is a film that the test exchanges. `doorward join-network` runs as systemd would start it, with an `nmcli`
that knows the networks of the test and says what NetworkManager says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.config import load
from agent.custodian.state_folder import StateFolder
from agent.ports import CameraEnd
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from tests.ports import free_port

CONFIGURATION = """\
[device]
name = "doorward"
state_dir = "{folder}/state"
[camera]
kind = "file"
path = "{folder}/camera.mp4"
realtime = false
[page]
host = "127.0.0.1"
port = {port}
addresses = ["127.0.0.1"]
mdns = false
setup_by_camera = true
"""
NMCLI = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
if sys.argv[1:3] == ["connection", "load"]:
    (folder / "loaded").write_text(pathlib.Path(sys.argv[3]).read_text())
if "up" in sys.argv:
    lines = dict(line.split("=", 1) for line in (folder / "loaded").read_text().splitlines() if "=" in line)
    ssid = bytes(int(part) for part in lines["ssid"].split(";") if part).decode()
    psk = lines.get("psk", "").replace("\\\\s", " ").replace("\\\\\\\\", "\\\\")
    networks = json.loads((folder / "air.json").read_text())
    if ssid not in networks:
        print("Error: Connection activation failed: The Wi-Fi network could not be found", file=sys.stderr)
        sys.exit(4)
    if networks[ssid] != psk:
        print("Error: Connection activation failed: Secrets were required, but not provided.", file=sys.stderr)
        sys.exit(4)
"""
SYSTEMCTL = """\
#!/bin/sh
touch {folder}/restart
"""


class NewDoorbell:
    """`film` is what its camera sees, `networks` the Wi-Fi around it. Use as a context manager."""

    def __init__(self, folder: Path, networks: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.film = folder / "camera.mp4"
        self.run = folder / "run"
        for each in ("setup", "network"):
            (self.run / each).mkdir(parents=True)
        (folder / "etc").mkdir()
        (folder / "connections").mkdir()
        self.configuration = folder / "etc" / "doorward.toml"
        self.configuration.write_text(CONFIGURATION.format(folder=folder, port=self.port))
        StateFolder(folder / "state").initialise(private_key_from_seed(os.urandom(32)))
        self._programs()
        self.put_in_the_air(networks)
        self._leaving = threading.Event()
        self._threads: list[threading.Thread] = []
        self.joins: list[str] = []
        """The answers of root's command, one for each time."""

    def put_in_the_air(self, networks: dict[str, str]) -> None:
        (self.folder / "air.json").write_text(json.dumps(networks))

    def __enter__(self) -> NewDoorbell:
        self._power_on()
        root = threading.Thread(target=self._root, name="root")
        root.start()
        self._threads.append(root)
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join()
        self._power_off()

    @property
    def state(self) -> str:
        found = self.solo._recording.set_up
        return found.state.value if found is not None else "none"

    @property
    def authority(self) -> bytes:
        assert self.solo.page is not None
        return self.solo.page.certificates.authority_der

    def until(self, done: Callable[[], bool], what: str, patience_s: float = 60.0) -> None:
        ends_s = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < ends_s, f"waited in vain for {what}; state {self.state}; {self.joins}"
            time.sleep(0.05)

    def _power_on(self) -> None:
        self.solo = Solo(load(self.configuration), runtime=self.run)
        self.solo.start()
        self.ends: list[CameraEnd] = []
        self._recording = threading.Thread(target=lambda: self.ends.append(self.solo.record()), name="camera loop")
        self._recording.start()

    def _power_off(self) -> None:
        self.solo.stop()
        self._recording.join()
        self.solo.close()

    def _root(self) -> None:
        """doorward-join.path and .service."""
        wishes = (self.run / "setup" / "code", self.run / "setup" / "owned")
        while not self._leaving.wait(0.1):
            if any(each.exists() for each in wishes):
                self._join()
            if (self.folder / "restart").exists():
                (self.folder / "restart").unlink()
                self._power_off()
                self._power_on()

    def _join(self) -> None:
        options = {"--run": "run", "--etc": "etc", "--connections": "connections"}
        words = [str(word) for option, name in options.items() for word in (option, self.folder / name)]
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "agent.cli", "join-network", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        self.joins.append(f"{done.stdout}{done.stderr}")

    def _programs(self) -> None:
        (self.folder / "bin").mkdir()
        for name, text in (("nmcli", NMCLI), ("systemctl", SYSTEMCTL), ("iw", "#!/bin/sh\n")):
            path = self.folder / "bin" / name
            path.write_text(
                text.replace("{python}", sys.executable)
                .replace("{folder!r}", repr(str(self.folder)))
                .replace("{folder}", str(self.folder))
            )
            path.chmod(0o755)
