"""Connections that stay silent or stop half-way: the owner still gets in, and recording goes on."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.custodian.page import listener as module
from agent.custodian.page import server
from agent.custodian.page.listener import PER_ADDRESS, most_connections
from agent.errors import NetworkError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetPageAuthority, GetStatus, MakePageCode
from tests.custodian.page.door import CONFIGURATION, Client, Door, a_door
from tests.lengths import LONG

FLOOD = 64
IDLE_FLOOD = 1100
HALF_A_HEAD = b"GET /pair HTTP/1.1\r\nHost: front-door.local\r\nX-"
PATIENCE_S = 90.0


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Flood:
    """Sockets that stay open, from the addresses that it is given in turn."""

    def __init__(self, port: int, addresses: tuple[str, ...]) -> None:
        self._port = port
        self._addresses = addresses
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self.sockets: list[socket.socket] = []

    def connect(self, number: int) -> None:
        """Open connections that say nothing."""
        for _ in range(number):
            source = self._addresses[len(self.sockets) % len(self._addresses)]
            self.sockets.append(socket.create_connection(("127.0.0.1", self._port), 20, (source, 0)))

    def send_half(self, number: int) -> None:
        """Open connections over TLS that send half a head."""
        for _ in range(number):
            self.connect(1)
            try:
                spoken = self._context.wrap_socket(self.sockets.pop())
                self.sockets.append(spoken)
                spoken.sendall(HALF_A_HEAD)
            except OSError:
                continue  # closed to make room

    def connect_from(self, port: int, to: tuple[str, int]) -> None:
        """Open a connection from this port, also when it has one to another address, and send half a head."""
        spoken = socket.socket()
        self.sockets.append(spoken)
        spoken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        spoken.bind((self._addresses[0], port))
        spoken.settimeout(20)
        spoken.connect(to)
        with suppress(OSError):  # closed to make room
            spoken.sendall(HALF_A_HEAD)

    def still_open(self) -> int:
        return sum(_is_open(each) for each in self.sockets)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def _is_open(each: socket.socket) -> bool:
    each.settimeout(0.001)
    try:
        return bool(each.recv(1))
    except (TimeoutError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


@contextmanager
def a_flood(port: int, *addresses: str) -> Iterator[Flood]:
    flood = Flood(port, addresses)
    try:
        yield flood
    finally:
        flood.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.fixture(scope="module")
def cookie(door: Door) -> str:
    return door.owner(door.claim())


def test_a_browser_without_tls_1_3_is_refused(door: Door) -> None:
    context = ssl.create_default_context(cadata=door.page.certificates.authority_der)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context.maximum_version = version
        with socket.create_connection(("127.0.0.1", door.port), timeout=30) as plain:
            if version is ssl.TLSVersion.TLSv1_3:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
                continue
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the listener's clock forward."""
    ahead = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0]))

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move


def answers(door: Client, cookie: str, address: str = "127.0.0.1") -> bool:
    """Returns True if the owner's session works: a browser tries a second time if a connection breaks."""
    door.address = address
    try:
        return door.op("status", cookie).status == 200
    except OSError:
        return door.op("status", cookie).status == 200
    finally:
        door.address = "127.0.0.1"


@pytest.mark.parametrize("addresses", [("127.0.0.9",), tuple(f"127.0.1.{n}" for n in range(1, 65)), ("127.0.0.1",)],
                         ids=["one address", "64 addresses", "the owner's own address"])  # fmt: skip
def test_64_half_sent_requests_keep_no_owner_out(door: Door, cookie: str, addresses: tuple[str, ...]) -> None:
    with a_flood(door.port, *addresses) as flood:
        flood.send_half(FLOOD)
        for _ in range(5):
            assert answers(door, cookie)
            assert answers(door, cookie, "127.0.0.77")
        assert door.ask("GET", "/pair").status == 200


def test_strangers_hold_half_of_the_room_and_a_dozen_connections_from_one_address(door: Door) -> None:
    with a_flood(door.port, "127.0.0.9") as flood:
        flood.send_half(FLOOD)
        until(lambda: flood.still_open() <= PER_ADDRESS)
    with a_flood(door.port, *(f"127.0.2.{n}" for n in range(1, 65))) as flood:
        flood.send_half(FLOOD)
        until(lambda: flood.still_open() <= most_connections() // 2)
        assert flood.still_open() > PER_ADDRESS


def test_a_client_that_uses_each_port_towards_each_of_the_doorbells_addresses_is_bounded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address and port of a client do not name a connection: the doorbell's own address belongs to it."""
    everywhere = CONFIGURATION.replace('host = "127.0.0.1"', 'host = "0.0.0.0"')
    monkeypatch.setattr("tests.custodian.page.door.CONFIGURATION", everywhere)
    with a_door(tmp_path / "door") as door, a_flood(door.port, "127.0.0.9") as flood:
        for port in range(22_000, 22_020):
            for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
                flood.connect_from(port, (address, door.port))
        until(lambda: flood.still_open() <= PER_ADDRESS, 2 * module.HEAD_S)
        until(lambda: flood.still_open() == 0, 3 * module.HEAD_S)


def test_a_connection_over_which_an_owner_spoke_is_kept_while_strangers_come(door: Door, cookie: str) -> None:
    with ExitStack() as stack:
        context = ssl.create_default_context(cadata=door.page.certificates.authority_der)
        owners = stack.enter_context(
            context.wrap_socket(socket.create_connection(("127.0.0.1", door.port), 20), server_hostname="127.0.0.1")
        )
        request = f"GET /requests HTTP/1.1\r\nHost: {door.host}\r\nCookie: __Host-doorward={cookie}\r\n\r\n".encode()
        owners.sendall(request)
        assert b"200 OK" in owners.recv(4096)
        flood = stack.enter_context(a_flood(door.port, "127.0.0.9", "127.0.0.10", "127.0.0.1"))
        flood.send_half(2 * FLOOD)
        owners.settimeout(20)
        while b"</html>" not in owners.recv(65536):
            pass
        owners.sendall(request)
        assert b"200 OK" in owners.recv(4096)


@pytest.mark.parametrize(
    ("sent", "after_s"),
    [
        (b"", module.HEAD_S),
        (HALF_A_HEAD, module.HEAD_S),
        (b"POST /pair HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\n"
         b"Content-Type: application/vnd.doorward.frame\r\nContent-Length: 500\r\n\r\nhalf",
         module.ANONYMOUS_REQUEST_S),
        # The part of a second request that came with the first counts as nothing until more of it comes.
        (b"GET /static/icon.svg HTTP/1.1\r\nHost: {host}\r\n\r\nGET /st", module.IDLE_S),
    ],
    ids=["nothing", "half a head", "half a body", "half of a second head"],
)  # fmt: skip
def test_a_client_that_sends_half_is_not_waited_for(
    door: Door, later: Callable[[float], None], sent: bytes, after_s: float
) -> None:
    with a_flood(door.port, "127.0.0.9") as flood:
        flood.connect(1)
        spoken = flood.sockets[0] = flood._context.wrap_socket(flood.sockets[0])
        spoken.sendall(sent.replace(b"{host}", door.host.encode()))
        until(lambda: [c for c in door.page._connections._connections if c.address == "127.0.0.9"])
        time.sleep(0.3)  # the half has to arrive before the clock moves
        later(after_s + 1)
        assert_closed(spoken)


def assert_closed(spoken: socket.socket) -> None:
    spoken.settimeout(PATIENCE_S)
    try:
        while spoken.recv(65536):
            pass
    except TimeoutError:
        pytest.fail("the page still waits for it")
    except OSError:  # a reset, or TLS cut short
        pass


def test_a_client_that_sends_half_of_a_later_head_is_waited_for_no_longer_than_for_its_first(
    door: Door, later: Callable[[float], None]
) -> None:
    with a_flood(door.port, "127.0.0.9") as flood:
        flood.connect(1)
        spoken = flood.sockets[0] = flood._context.wrap_socket(flood.sockets[0])
        spoken.settimeout(PATIENCE_S)
        spoken.sendall(f"GET /static/icon.svg HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode())
        answer = b""
        while b"</svg>" not in answer:
            answer += spoken.recv(65536)
        (connection,) = (c for c in door.page._connections._connections if c.address == "127.0.0.9")
        spoken.sendall(HALF_A_HEAD)
        until(lambda: connection.phase is module._ConnectionPhase.HEAD)
        later(module.HEAD_S + 1)
        assert_closed(spoken)


def test_the_body_of_an_answer_does_not_wait_until_the_client_acknowledges_its_head(door: Door) -> None:
    with a_flood(door.port, "127.0.0.9") as flood:
        flood.send_half(1)
        found: list[socket.socket] = []

        def is_served() -> bool:
            served = [each.protocol for each in door.page._connections._connections if each.address == "127.0.0.9"]
            found[:] = [each.transport.get_extra_info("socket") for each in served if each and each.transport]
            return bool(found)

        until(is_served)
        assert found[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_handshake_that_does_not_begin_is_not_waited_for(door: Door, later: Callable[[float], None]) -> None:
    with a_flood(door.port, "127.0.0.9") as flood:
        flood.connect(3)
        later(0.0)
        until(lambda: flood.still_open() == 0 or later(1.0))


def test_a_process_with_few_descriptors_gives_the_page_an_eighth_of_them() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert most_connections() == 25
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1024), hard))
        assert most_connections() == 64
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


RECORDING = CONFIGURATION.replace('kind = "usb"\ndevice = "/dev/video-that-is-not-there"',
                                  'kind = "scripted"\nsize = [320, 240]\nfps = 10').replace(
    "[page]", "[clips]\ncontinuous = true\n[vault]\ncontinuous_max_bytes = 100_000_000\n[page]")  # fmt: skip


@contextmanager
def a_recording_process(folder: Path) -> Iterator[tuple[Client, OwnerKeys, DeviceLink]]:
    """`doorward run` with 1 024 descriptors, as systemd and a login shell give it."""
    from agent.custodian.state_folder import StateFolder
    from agent.wire.identities import private_key_from_seed

    state, file = folder / "device", folder / "doorward.toml"
    StateFolder(state).initialise(private_key_from_seed(os.urandom(32)))
    file.write_text(RECORDING.format(state=state))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(file)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        until((state / "control.sock").exists)
        with DeviceLink(state / "control.sock") as link:
            keys = OwnerKeys.create(folder / "owner", name="owner-1")
            enrol(link, keys)
            page, authority = link.fetch(GetPageAuthority())
            port = int(page.url.rpartition(":")[2].strip("/"))
            yield Client(port, authority, lambda: link.ask(MakePageCode()).code), keys, link
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this test opens more than a thousand sockets")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


MANY = tuple(f"127.0.{a}.{b}" for a in range(3, 13) for b in range(1, 101))


@pytest.mark.parametrize(
    "addresses", [("127.0.0.9",), pytest.param(MANY, marks=LONG)], ids=["one address", "1000 addresses"]
)
@pytest.mark.usefixtures("many_descriptors")
def test_1100_idle_connections_stop_no_recording_and_keep_no_owner_out(
    tmp_path: Path, addresses: tuple[str, ...]
) -> None:
    with a_recording_process(tmp_path) as (client, keys, link):
        cookie = client.owner(keys)
        until(lambda: segments(link) > 0)
        with a_flood(client.port, *addresses) as flood:
            flood.connect(IDLE_FLOOD)
            before = segments(link)
            for _ in range(5):
                assert answers(client, cookie)
            until(lambda: segments(link) >= before + 2)
            assert answers(client, cookie)
            client.address = "127.0.0.78"
            assert client.ask("GET", "/pair").status == 200
    logged = (tmp_path / "log").read_text()
    assert "Too many open files" not in logged
    assert "Traceback" not in logged


def segments(link: DeviceLink) -> int:
    return link.ask(GetStatus()).vault.segments


def test_a_page_that_takes_a_while_to_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = server.PageHttpServer.run

    def run_later(*asked: Any, **more: Any) -> None:
        time.sleep(0.5)
        run(*asked, **more)

    with a_door(tmp_path) as door:
        door.page.stop()
        monkeypatch.setattr(server.PageHttpServer, "run", run_later)
        door.page.start()
        again = Client(door.page.port, door.page.certificates.authority_der, lambda: "")
        assert again.ask("GET", "/pair").status == 200


def test_a_page_that_does_not_start_says_so_and_starts_when_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_door(tmp_path) as door:
        door.page.stop()
        with monkeypatch.context() as broken:
            broken.setattr(server, "_START_S", 0.05)
            broken.setattr(server.PageHttpServer, "run", lambda *_, **__: None)
            with pytest.raises(NetworkError, match="does not start"):
                door.page.start()
            door.page.stop()
        door.page.start()
        assert list(tmp_path.rglob("page.sqlite")), "under this name its browsers are known after an upgrade"
        again = Client(door.page.port, door.page.certificates.authority_der, lambda: "")
        assert again.ask("GET", "/pair").status == 200
