"""Runs a private mosquitto on loopback, from `config/mosquitto/`, for the demo and the tests.

Rules: it listens on loopback only, on free ports. It is ready if mosquitto reports that it runs. It ends only the
process that it started. If the broker fails to start, the error quotes the broker's log. It is never the broker of an
installation.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import re
import shutil
import signal
import socket
import string
import subprocess
import time
from pathlib import Path
from types import TracebackType

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.relay import RelayListeners, add_relay
from agent.errors import ConfigurationError, NetworkError

__all__ = ["PrivateBroker"]

HOST = "127.0.0.1"
_TEMPLATE = Path(__file__).with_name("mosquitto") / "doorward.conf.template"
_SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
_LENT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT = 15_000
_RUNNING = re.compile(r"mosquitto version \S+ running")
_START_S = 60.0
_STOP_S = 30.0


class PrivateBroker:
    """A context manager around one mosquitto process.

    `BrokerPki` created `directory`. `host`, `device_port` and `requester_port` are its addresses. They stay the same if
    the broker is stopped and started again. Its log is `<directory>/mosquitto.log`.
    """

    def __init__(self, directory: Path, *, witness: bool = False, relay: bool = False) -> None:
        """`witness`: log every message with its sender, topic and size. `relay`: with the listeners of a relay, on
        `link_port` and `web_port`."""
        self.host = HOST
        self._witness = witness
        self.directory = directory.resolve()
        self.log_path = self.directory / "mosquitto.log"
        self._relay = relay
        self.device_port, self.requester_port, self.link_port, self.web_port = _free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the broker and waits until it runs.

        Raises `ConfigurationError` if mosquitto is missing, `NetworkError` if it fails to start.
        """
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SEARCH_PATH)
        if program is None:
            raise ConfigurationError("mosquitto is not installed.", remedy="Install it: apt install mosquitto")
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        with self.log_path.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 (no shell, a fixed program, our own file)
                [program, "-c", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._await_running(begin)

    def stop(self) -> None:
        """End it in good order: it saves retained messages first.  Idempotent."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reload(self) -> None:
        """Make it read its ACLs again (SIGHUP)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return None if self._process is None else self._process.pid

    def log(self) -> str:
        """Returns its output until now."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def _configuration(self) -> str:
        configuration = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
            user=pwd.getpwuid(
                os.getuid()
            ).pw_name,  # as root it would change to the user "mosquitto", who cannot read our keys
            directory=self.directory,
            address=self.host,
            device_port=self.device_port,
            requester_port=self.requester_port,
        )
        if self._relay:
            configuration += add_relay(
                BrokerPki(self.directory), RelayListeners(self.host, self.link_port, self.web_port)
            )
        return configuration + ("\nlog_type debug\n" if self._witness else "")

    def _await_running(self, log_offset: int) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            said = self.log_path.read_bytes()[log_offset:].decode("utf-8", errors="replace")
            if _RUNNING.search(said):
                return
            if self._process is not None and self._process.poll() is not None:
                self._process = None
                raise NetworkError(
                    f"mosquitto did not start: {_last_error(said)}", remedy=f"Read its log: {self.log_path}."
                )
            time.sleep(0.01)
        self.kill()
        raise NetworkError(
            f"mosquitto did not start within {_START_S:.0f} s.", remedy=f"Read its log: {self.log_path}."
        )


def _last_error(said: str) -> str:
    lines = [line for line in said.splitlines() if "Error" in line] or said.splitlines() or ["it said nothing"]
    return lines[-1]


def _free_ports(count: int) -> list[int]:
    """Returns different free ports on loopback, outside the kernel's ephemeral range."""
    found: list[int] = []
    # The kernel could give an ephemeral port to a client's connection before the broker starts, or while it is stopped.
    # A client of the stopped broker could even get the same port at both ends and connect to itself.
    lent_from = _lent_from()
    while len(found) < count:
        wanted = random.SystemRandom().randrange(_FIRST_PORT, lent_from) if lent_from > 2 * _FIRST_PORT else 0
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried, contextlib.suppress(OSError):
            tried.bind((HOST, wanted))
            if (port := tried.getsockname()[1]) not in found:
                found.append(port)
    return found


def _lent_from() -> int:
    """Returns the lowest port of the kernel's ephemeral range."""
    with contextlib.suppress(OSError, ValueError):
        return int(_LENT.read_text().split()[0])
    return 32_768  # elsewhere they begin higher
