"""A home's broker as people have it: mosquitto on loopback with a user and a password, logging who does what."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from agent.clients.broker.private_broker import _free_ports

USER, PASSWORD = "doorbell", "a-password-of-the-home"
_SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class HomeBroker:
    """A context manager; `log()` is what mosquitto said, every packet included."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SEARCH_PATH)
        if program is None:
            pytest.skip("mosquitto is not installed")
        self._program = program
        self._folder = folder
        (self.port,) = _free_ports(1)
        passwords = folder / "passwords"
        passwords.write_text(f"{USER}:{PASSWORD}\n")
        passwords.chmod(0o600)
        subprocess.run(
            [shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd", "-U", str(passwords)], check=True
        )
        self._log = folder / "home-broker.log"
        (folder / "home-broker.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n"
            f"log_type all\npersistence false\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HomeBroker:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._folder / "home-broker.conf")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        return self._log.read_text(errors="replace")
