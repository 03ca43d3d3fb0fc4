"""`doorward-desk`: one command makes a desk and serves it, over TLS, on loopback."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from desk.config import DeskConfig, Web
from tests.once import made_once
from tests.ports import free_port

COMMAND = (sys.executable, "-P", "-m", "desk.cli")
ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], cwd=folder, env=environment(), capture_output=True, text=True)


def environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DJANGO_SETTINGS_MODULE", "DOORWARD_DESK_CONFIG")
    }
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Manager:
    """A socket that hears what systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(60)

    def hears(self, word: str) -> str:
        """Waits for a message with this word."""
        while True:
            said = self._socket.recv(4096).decode()
            if word in said:
                return said

    def close(self) -> None:
        self._socket.close()
        Path(self.address).unlink()


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, str]]:
    """A desk in `folder`: its port, and what it printed before it listened. It tells a manager when it is ready."""
    port = free_port()
    configuration = folder / "desk.toml"
    configuration.write_text(re.sub(r"(?m)^port = \d+", f"port = {port}", configuration.read_text(), count=1))
    manager = Manager(folder)
    process = subprocess.Popen(
        [*COMMAND, "serve"], cwd=folder, env=environment() | {"NOTIFY_SOCKET": manager.address},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while "/link/" not in said and "(stop:" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        assert manager.hears("READY=1") == f"READY=1\nSTATUS=Serves https://localhost:{port}."
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == 0, "ready means that it can be reached"
        assert (folder / "data" / "desk.sqlite3").is_file(), "and that it has its database"
        manager.hears("WATCHDOG=1")
        yield port, said
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # a second one cuts nothing short: the receivers must be told to stop
        process.send_signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        manager.close()
        if process.stdout:
            process.stdout.close()


def get(port: int, path: str, authority: Path) -> tuple[int, dict[str, str], str]:
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def empty_desk(factory: pytest.TempPathFactory) -> Path:
    """A desk that `init` has made, to copy."""

    def make(folder: Path) -> None:
        done = run("init", str(folder), folder=folder.parent)
        assert done.returncode == 0, done.stderr

    return made_once(factory, "empty-desk", make)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("desk") / "desk"
    shutil.copytree(empty_desk(tmp_path_factory), made)
    return made


def test_init_makes_a_private_data_folder_and_refuses_to_do_it_twice(folder: Path) -> None:
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "data" / "secret.key").stat().st_mode) == 0o600
    again = run("init", str(folder), folder=folder.parent)
    assert again.returncode == 2
    assert "What to do" in again.stderr


def test_the_desk_serves_by_tls_and_prints_the_first_admins_link(folder: Path) -> None:
    authority = folder / "data" / "tls" / "authority.pem"
    with served(folder) as (port, said):
        path = re.search(r"(/link/\S+)", said)
        assert path is not None
        status, headers, page = get(port, path[1], authority)
        assert status == 200
        assert "Become the admin" in page
        assert "unsafe" not in headers["content-security-policy"]
        assert get(port, "/static/desk/desk.css", authority)[0] == 200
        assert get(port, "/static/../settings.py", authority)[0] == 404
        assert get(port, "/static/%2e%2e/%2e%2e/desk.toml", authority)[0] == 404
        assert get(port, "/cases/1", authority)[0] in (302, 404)


def test_serving_without_a_desk_says_what_to_do(tmp_path: Path) -> None:
    done = run("serve", folder=tmp_path)
    assert done.returncode == 2
    assert "doorward-desk init" in done.stderr


def test_the_operator_makes_a_link_for_a_person_who_lost_their_passkey(folder: Path) -> None:
    unknown = run("link", "nemo@example.org", folder=folder)
    assert unknown.returncode == 2
    assert "No person has the address" in unknown.stderr
    assert unknown.stdout == "", "no link is promised"


def test_a_port_that_is_taken_is_named_with_the_setting_before_anything_is_said() -> None:
    from desk import server

    said: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Web(port=other.getsockname()[1])
        with pytest.raises(ConfigurationError, match=f"127.0.0.1, port {taken.port}: Address already in use") as raised:
            server.run(DeskConfig(web=taken), said.append)
    assert "[web] host and port" in str(raised.value.remedy)
    assert said == []
    server._require_free(taken)


def test_the_launcher_of_the_repository_starts_the_desk(tmp_path: Path) -> None:
    launcher = Path(sys.executable).with_name("doorward-desk")
    done = subprocess.run([launcher, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("doorward-desk, version")
