"""Which connection goes first, who counts as a stranger, and for how long a client is waited for: to the last one."""

from __future__ import annotations

import asyncio
import datetime
import errno
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from agent.custodian.page import listener as module
from agent.custodian.page.certificate_authority import PageCertificates
from agent.custodian.page.listener import (
    CONNECTION,
    PER_ADDRESS,
    ConnectionPriority,
    PageHttpServer,
    PageListener,
    _Connection,
    _ConnectionPhase,
    _first_to_go,
    _HttpProtocol,
    most_connections,
)

ANONYMOUS, PAIRED, EXPECTED, OWNER = ConnectionPriority


class Loop:
    """Notes what the listener asks of its event loop."""

    def __init__(self) -> None:
        self.reads: list[object] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0

    def add_reader(self, found: object, _do: object) -> None:
        self.reads.append(found)

    def remove_reader(self, found: object) -> None:
        self.reads.remove(found)

    def call_later(self, seconds: float, do: Callable[[], None]) -> Any:
        self.later.append((seconds, do))
        return SimpleNamespace(cancel=self._cancel)

    def _cancel(self) -> None:
        self.cancelled += 1

    def create_task(self, work: Any) -> Any:
        work.close()
        return SimpleNamespace(cancel=lambda: None, add_done_callback=lambda _done: None)


class Listening:
    """A listening socket: what it is asked to accept."""

    def __init__(self) -> None:
        self.coming: list[object] = []
        self.accepted: list[Any] = []

    def setblocking(self, blocks: bool) -> None:
        assert blocks is False

    def accept(self) -> tuple[Any, tuple[str, int]]:
        if not self.coming:
            raise BlockingIOError
        first = self.coming.pop(0)
        if isinstance(first, OSError):
            raise first
        self.accepted.append(mock.Mock())
        return self.accepted[-1], (str(first), 1)


class Stand:
    """A listener in the event loop `loop`, on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 64) -> None:
        self.now_s = 1000.0
        self.loop = Loop()
        self.socket = Listening()
        self.closed: list[_Connection] = []
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: self.loop))

        def end(connection: _Connection) -> None:
            self.closed.append(connection)

        monkeypatch.setattr(_Connection, "end", end)
        self.listener = PageListener(self.socket, ssl.create_default_context(), most=most)  # type: ignore[arg-type]
        self.listener.open(dict)

    def hold(self, address: str, rank: ConnectionPriority = ANONYMOUS, number: int = 1) -> list[_Connection]:
        """Connections that are open, each a second older than the next."""
        made = [_Connection(address, rank, self.now_s - 900 + each) for each in range(number)]
        self.listener._connections |= set(made)
        return made

    def come(self, *addresses: object) -> None:
        self.socket.coming += addresses
        self.listener._accept()


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_the_first_to_go_is_a_stranger_of_the_most_crowded_address_and_the_oldest_of_those() -> None:
    found = [
        _Connection(address, rank, since_s)
        for address, rank, since_s in (
            ("a", ANONYMOUS, 1.0), ("b", ANONYMOUS, 3.0), ("b", ANONYMOUS, 2.0), ("c", EXPECTED, 0.0),
            ("c", EXPECTED, 0.5), ("c", EXPECTED, 0.7), ("d", OWNER, 0.0),
        )
    ]  # fmt: skip
    order = []
    while found:
        order.append(_first_to_go(found))
        found.remove(order[-1])
    assert [(each.address, each.since_s) for each in order] == [
        ("b", 2.0), ("a", 1.0), ("b", 3.0), ("c", 0.0), ("c", 0.5), ("c", 0.7), ("d", 0.0),
    ]  # fmt: skip


def test_a_stranger_has_a_dozen_connections_from_one_address_and_the_next_closes_the_oldest(stand: Stand) -> None:
    held = stand.hold("a", number=PER_ADDRESS - 1)
    stand.come("a")
    assert stand.closed == []
    stand.come("a")
    assert stand.closed == held[:1]
    assert len(stand.listener._connections) == PER_ADDRESS


def test_strangers_have_half_of_the_room_and_an_owners_address_is_exempt(stand: Stand) -> None:
    for number in range(31):
        stand.hold(f"address {number}")
    stand.come("b")
    assert stand.closed == []
    stand.come("c")
    assert len(stand.closed) == 1
    (owners,) = stand.hold("owner", OWNER)
    stand.listener.set_priority(owners, OWNER)
    stand.come(*["owner"] * (PER_ADDRESS + 1))
    assert len(stand.closed) == 1
    assert sum(each.rank is EXPECTED for each in stand.listener._connections) == PER_ADDRESS + 1


def test_a_guest_who_was_let_in_cannot_close_the_connection_of_an_owner_who_comes(stand: Stand) -> None:
    """A guest's browser makes connection after connection, and asks over each of them with its cookie."""
    (owner,) = stand.hold("owner")
    for _ in range(100):
        stand.come("guest")
        stand.listener._accept()
        (newest,) = [each for each in stand.listener._connections if each.rank is ANONYMOUS and each is not owner]
        stand.listener.set_priority(newest, PAIRED)
        stand.now_s += 0.1
    assert owner in stand.listener._connections
    assert sum(each.rank is PAIRED for each in stand.listener._connections) == PER_ADDRESS


def test_nobody_comes_in_beyond_the_room_without_another_going(stand: Stand) -> None:
    stand.hold("owner", EXPECTED, 62)
    (stranger,) = stand.hold("a")
    stand.come("b")
    assert (stand.closed, len(stand.listener._connections)) == ([], 64)
    stand.come("c")
    assert (stand.closed, len(stand.listener._connections)) == ([stranger], 64)


def test_an_address_counts_as_an_owners_for_twelve_hours_and_thirty_two_of_them_are_remembered(stand: Stand) -> None:
    def rank_of(address: str) -> ConnectionPriority:
        before = set(stand.listener._connections)
        stand.come(address)
        (new,) = stand.listener._connections - before
        return new.rank

    (one,) = stand.hold("a")
    stand.listener.set_priority(one, PAIRED)
    assert (one.rank, rank_of("a")) == (PAIRED, ANONYMOUS), "a paired browser makes no owner's address"
    stand.listener.set_priority(one, OWNER)
    stand.listener.set_priority(one, ANONYMOUS)
    assert (one.rank, rank_of("a")) == (OWNER, EXPECTED), "a rank only rises"
    stand.now_s += module.EXPECTED_S - 0.001
    assert rank_of("a") is EXPECTED
    stand.now_s += 0.001
    assert rank_of("a") is ANONYMOUS
    stand.listener.set_priority(one, OWNER)
    for number in range(module.EXPECTED_ADDRESSES - 1):
        stand.listener.set_priority(stand.hold(f"owner {number}", OWNER)[0], OWNER)
    stand.listener.set_priority(one, OWNER)
    assert rank_of("owner 0") is EXPECTED
    stand.listener.set_priority(stand.hold("one more", OWNER)[0], OWNER)
    assert rank_of("owner 0") is ANONYMOUS, "the one that spoke the longest ago is forgotten"
    assert rank_of("a") is rank_of("one more") is EXPECTED


def test_what_is_no_open_connection_gets_no_rank(stand: Stand) -> None:
    gone = _Connection("a", ANONYMOUS, 0.0)
    for each in (gone, None, "a"):
        stand.listener.set_priority(each, OWNER)
    assert gone.rank is ANONYMOUS
    assert stand.listener._expected == {}


def test_strangers_begin_sixty_four_handshakes_at_once_and_thirty_two_in_a_second(stand: Stand) -> None:
    def begun() -> int:
        return sum(stand.listener._take_token() for _ in range(200))

    assert begun() == 64
    stand.now_s += 1.0
    assert begun() == 32
    stand.now_s += 1000.0
    assert begun() == 64


def test_an_answer_waits_neither_for_its_own_head_nor_in_the_event_loop(stand: Stand) -> None:
    stand.come("a")
    (accepted,) = stand.socket.accepted
    accepted.setblocking.assert_called_once_with(False)
    accepted.setsockopt.assert_called_once_with(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def test_after_sixteen_newcomers_those_who_are_in_are_served_first(stand: Stand) -> None:
    stand.come(*(f"address {number}" for number in range(15)))
    assert stand.loop.reads == [stand.socket]
    stand.come(*(f"other {number}" for number in range(16)))
    assert stand.loop.reads == []
    (_sweep, (after_s, resume)) = stand.loop.later
    assert after_s == 0.01
    resume()
    assert stand.loop.reads == [stand.socket]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_when_descriptors_run_out_strangers_go_and_the_page_rests_for_a_second(stand: Stand, number: int) -> None:
    strangers, owners = stand.hold("a", number=3), stand.hold("b", EXPECTED) + stand.hold("c", OWNER)
    stand.come(OSError(number, "no"))
    assert set(stand.closed) == set(strangers)
    assert stand.listener._connections == set(owners)
    assert stand.loop.reads == []
    (_sweep, (after_s, resume)) = stand.loop.later
    assert after_s == 1.0
    resume()
    assert stand.loop.reads == [stand.socket]


def test_another_fault_of_the_listening_socket_costs_nobody_the_connection(stand: Stand) -> None:
    stand.hold("a")
    stand.come(OSError(errno.EPROTO, "no"))
    assert stand.closed == []
    assert stand.loop.later[-1][0] == 1.0


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError(), ConnectionAbortedError()])
def test_a_newcomer_that_has_gone_again_makes_no_pause(stand: Stand, error: OSError) -> None:
    stand.come(error)
    assert stand.loop.reads == [stand.socket]


def test_a_listener_that_is_closed_ends_handshakes_and_does_not_accept_again(stand: Stand) -> None:
    (silent,), (spoken,) = stand.hold("a"), stand.hold("b")
    spoken.protocol = SimpleNamespace()  # type: ignore[assignment]
    stand.come(*(f"other {number}" for number in range(15)), OSError(errno.EPROTO, "no"))
    stand.loop.reads.append(stand.socket)
    stand.listener.close()
    assert silent in stand.closed
    assert spoken not in stand.closed
    assert (stand.loop.reads, stand.loop.cancelled) == ([], 1)
    stand.loop.later[-1][1]()
    assert stand.loop.reads == []
    stand.listener.close()
    assert stand.loop.cancelled == 1


def test_the_listener_looks_each_second_for_clients_that_keep_it_waiting(stand: Stand) -> None:
    (old,), (new,) = stand.hold("a"), stand.hold("b")
    new.enter(_ConnectionPhase.HEAD)
    (after_s, look), stand.loop.later = stand.loop.later[0], []
    assert after_s == 1.0
    look()
    assert stand.closed == [old]
    assert stand.listener._connections == {new}
    assert stand.loop.later == [(1.0, look)]


# -- one connection ----------------------------------------------------------------------------------------------------


def speaking(rank: ConnectionPriority, *, unsent: int = 0, more_body: bool = False) -> _Connection:
    """A connection with a request, of 1 000 s."""
    made = _Connection("a", rank, 1000.0)
    made.phase = _ConnectionPhase.REQUEST
    transport = SimpleNamespace(get_write_buffer_size=lambda: made.protocol.test_unsent)  # type: ignore[union-attr]
    made.protocol = SimpleNamespace(  # type: ignore[assignment]
        transport=transport, cycle=SimpleNamespace(more_body=more_body), test_unsent=unsent
    )
    if unsent:
        made.unsent_bytes = unsent
    return made


@pytest.mark.parametrize(
    ("phase", "limit_s"),
    [(_ConnectionPhase.HANDSHAKE, 10.0), (_ConnectionPhase.HEAD, 10.0), (_ConnectionPhase.IDLE, 30.0)],
)
def test_each_wait_for_a_client_has_its_limit(phase: _ConnectionPhase, limit_s: float) -> None:
    waiting = _Connection("a", OWNER, 1000.0)
    assert waiting.phase is _ConnectionPhase.HANDSHAKE
    waiting.phase = phase
    assert not waiting.is_overdue(1000.0 + limit_s)
    assert waiting.is_overdue(1000.001 + limit_s)


def test_a_strangers_request_ends_after_a_minute_and_an_owners_only_if_the_owner_stalls() -> None:
    assert not speaking(ANONYMOUS).is_overdue(1060.0)
    assert speaking(ANONYMOUS).is_overdue(1060.001)
    for rank in (EXPECTED, OWNER):
        assert not speaking(rank).is_overdue(5000.0), "the answer is still being computed"
        for stalled in (speaking(rank, unsent=1), speaking(rank, more_body=True)):
            assert not stalled.is_overdue(1060.0)
            assert stalled.is_overdue(1060.001)


def test_a_reader_that_takes_something_is_waited_for_again() -> None:
    reading = speaking(OWNER, unsent=900)
    reading.protocol.test_unsent = 800  # type: ignore[union-attr]
    assert not reading.is_overdue(1100.0)
    assert not reading.is_overdue(1160.0)
    assert reading.is_overdue(1160.001)


def test_a_connection_without_http_is_ended_by_its_task_and_another_at_once() -> None:
    ended: list[str] = []
    fresh = _Connection("a", ANONYMOUS, 0.0)
    fresh.end()
    fresh.task = SimpleNamespace(cancel=lambda: ended.append("cancelled"))  # type: ignore[assignment]
    fresh.end()
    fresh.protocol = SimpleNamespace(transport=None)  # type: ignore[assignment]
    fresh.end()
    fresh.protocol = SimpleNamespace(transport=SimpleNamespace(abort=lambda: ended.append("aborted")))  # type: ignore[assignment]
    fresh.end()
    assert ended == ["cancelled", "cancelled", "aborted"]


@pytest.mark.parametrize(("descriptors", "connections"), [(64, 8), (72, 9), (10, 8), (512, 64), (520, 64), (-1, 64)])
def test_the_room_is_an_eighth_of_the_descriptors_within_bounds(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    assert resource.RLIM_INFINITY == -1
    monkeypatch.setattr(module.resource, "getrlimit", lambda _kind: (descriptors, descriptors))
    assert most_connections() == connections


def test_what_waits_for_a_first_byte_is_released_once() -> None:
    loop = asyncio.new_event_loop()
    waiting = loop.create_future()
    module._release(waiting)
    module._release(waiting)
    assert waiting.done()
    loop.close()


# -- HTTP over one connection ------------------------------------------------------------------------------------------


class Transport(asyncio.Transport):
    """Notes what HTTP does to its connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.2", 5), "sockname": ("10.0.0.1", 8443), "sslcontext": "TLS"})
        self.did: list[object] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.did.append(("limits", high, low))

    def write(self, data: Any) -> None:
        if data:
            self.did.append(bytes(data).partition(b"\r\n")[0])

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.did.append("close")

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Http:
    """HTTP over one connection of `stand`, to a page that answers each request when it is told."""

    def __init__(self, stand: Stand) -> None:
        self.asked: list[Any] = []
        self.may_answer = asyncio.Semaphore(0)
        plain: dict[str, Any] = {"http": "h11", "ws": "none", "log_config": None, "interface": "asgi3"}
        config = uvicorn.Config(self._answer, proxy_headers=False, **plain)
        config.load()
        self.stand, self.transport = stand, Transport()
        (self.connection,) = stand.hold("10.0.0.2")
        self.state = {"of": "the server"}
        settings = {"config": config, "server_state": ServerState(), "app_state": self.state}
        self.protocol = _HttpProtocol(stand.listener, self.connection, **settings)

    async def _answer(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked.append((scope["path"], scope["state"]))
        await self.may_answer.acquire()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def answer(self) -> None:
        self.may_answer.release()
        for _ in range(5):
            await asyncio.sleep(0)

    def phase(self) -> tuple[_ConnectionPhase, float, float]:
        return self.connection.phase, self.connection.since_s, self.connection.moved_s

    def receive(self, data: bytes) -> tuple[_ConnectionPhase, float, float]:
        """One second later."""
        self.stand.now_s += 1
        self.protocol.data_received(data)
        return self.phase()


HANDSHAKE, HEAD, REQUEST, IDLE = _ConnectionPhase


def test_each_phase_of_a_connection_begins_with_what_the_client_sends(stand: Stand) -> None:
    async def story() -> None:
        http = Http(stand)
        assert http.phase() == (HANDSHAKE, 100.0, 100.0)
        http.protocol.connection_made(http.transport)
        assert http.transport.did == [("limits", 65536, None)]
        assert http.connection.protocol is http.protocol
        assert http.phase() == (HEAD, 1000.0, 1000.0)
        assert http.receive(b"POST /a HTTP/1.1\r\nHost: d") == (HEAD, 1000.0, 1001.0), "a head is waited for as a whole"
        assert http.receive(b"\r\nContent-Length: 4\r\n\r\nab") == (REQUEST, 1002.0, 1002.0)
        assert http.receive(b"c") == (REQUEST, 1002.0, 1003.0), "so is a request, but a body that moves is noted"
        assert http.receive(b"d") == (REQUEST, 1002.0, 1004.0)
        await http.answer()
        assert http.phase() == (IDLE, 1004.0, 1004.0)
        assert http.receive(b"GET ") == (HEAD, 1005.0, 1005.0)
        assert http.receive(b"/b ") == (HEAD, 1005.0, 1006.0)
        assert http.receive(b"HTTP/1.1\r\nHost: d\r\n\r\n") == (REQUEST, 1007.0, 1007.0)
        assert http.receive(b"GET /c HTTP/1.1\r\nHost: d\r\n\r\nGET /d") == (REQUEST, 1007.0, 1008.0)
        await http.answer()
        assert http.phase() == (REQUEST, 1008.0, 1008.0), "the next one came with the one before"
        await http.answer()
        assert http.phase() == (IDLE, 1008.0, 1008.0), "half of a head, until more of it comes"
        assert http.asked == [(path, {"of": "the server", CONNECTION: http.connection}) for path in ("/a", "/b", "/c")]
        assert http.state == {"of": "the server"}
        assert http.connection in stand.listener._connections
        http.protocol.connection_lost(None)
        assert http.connection not in stand.listener._connections
        assert http.transport.did[1:] == [*[b"HTTP/1.1 204 No Content"] * 3, "close"]

    asyncio.run(story())


# -- from a socket to HTTP ---------------------------------------------------------------------------------------------


async def says_what_it_hears(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": scope["scheme"].ljust(4)[:4].encode()})


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Listened:
    """A listener in a real event loop, at a real port of this machine."""

    def __init__(self, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.listener = PageListener(self.socket, context)
        plain: dict[str, Any] = {"http": "h11", "ws": "none", "log_config": None, "interface": "asgi3"}
        config = uvicorn.Config(says_what_it_hears, proxy_headers=False, **plain)
        config.load()
        self.listener.open(lambda: {"config": config, "server_state": ServerState(), "app_state": {}})
        self.connected: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        connect = loop.connect_accepted_socket

        async def noted(factory: Any, accepted: socket.socket, **settings: Any) -> Any:
            self.connected.append(settings)
            return await connect(factory, accepted, **settings)

        monkeypatch.setattr(loop, "connect_accepted_socket", noted)

    async def call(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.socket.getsockname(), ssl=context)

    async def until_gone(self) -> None:
        async with asyncio.timeout(10):
            while self.listener._connections:
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.listener.close()
        self.socket.close()


def test_one_port_serves_tls_and_plain_http_and_a_stranger_is_forgotten_when_it_goes(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def story() -> None:
        here = Listened(tls, monkeypatch)
        reader, writer = await here.call()
        writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert (await reader.readuntil(b"http")).startswith(b"HTTP/1.1 200 OK")
        await leave(writer)
        assert here.connected == [{"ssl": None, "ssl_handshake_timeout": None, "ssl_shutdown_timeout": None}]
        reader, writer = await here.call(trusting)
        writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\nhttp")).startswith(b"HTTP/1.1 200 OK")
        await leave(writer)
        assert here.connected[1:] == [{"ssl": tls, "ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 2.0}]
        await here.until_gone()
        _, writer = await here.call()
        await leave(writer)
        while not here.connected[2:]:
            await asyncio.sleep(0.001)
        assert here.connected[2]["ssl"] is tls, "nothing at all counts as a handshake that broke off"
        await here.until_gone()
        reader, writer = await here.call()
        writer.write(b"\x16 and no handshake")
        assert (await reader.read())[:1] in (b"", b"\x15")
        await leave(writer)
        await here.until_gone()
        here.close()

    asyncio.run(story())


def test_a_client_that_says_nothing_is_closed_when_its_time_is_over(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.01)

    async def story() -> None:
        here = Listened(tls, monkeypatch)
        reader, writer = await here.call()
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        assert (here.connected, here.listener._connections) == ([], set())
        await leave(writer)
        here.close()

    asyncio.run(story())


def test_a_stranger_waits_for_its_turn_and_an_owners_address_does_not(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TURN_S", 0.001)

    async def story() -> None:
        here = Listened(tls, monkeypatch)
        turns = [False, False, True]
        monkeypatch.setattr(here.listener, "_take_token", lambda: turns.pop(0))
        for _ in range(2):
            reader, writer = await here.call()
            writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"http")).startswith(b"HTTP/1.1 200 OK")
            assert turns == []
            (connection,) = here.listener._connections
            here.listener.set_priority(connection, OWNER)
            await leave(writer)
            await here.until_gone()
        here.close()

    asyncio.run(story())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    now = datetime.datetime.now(datetime.UTC)
    folder = tmp_path_factory.mktemp("certificates")
    return PageCertificates(folder, "front-door.local", ("127.0.0.1",), now).context()


def test_the_server_accepts_through_the_listener_until_it_shuts_down() -> None:
    did: list[Any] = []
    listener: Any = SimpleNamespace(open=did.append, close=lambda: did.append("closed"))

    async def story() -> None:
        config = uvicorn.Config(says_what_it_hears, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        config.load()
        server = PageHttpServer(config, listener)
        server.lifespan = config.lifespan_class(config)
        begin, started = server.lifespan.startup, list[bool]()

        async def startup() -> None:
            started.append(server.started)
            await begin()

        server.lifespan.startup = startup  # type: ignore[method-assign]
        await server.startup()
        (settings,) = did
        assert settings() == {"config": config, "server_state": server.server_state, "app_state": server.lifespan.state}
        assert (server.servers, server.started, started) == ([], True, [False])
        connection: Any = mock.Mock(shutdown=lambda: did.append("shut down"))
        server.server_state.connections.add(connection)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            closing = asyncio.create_task(server.shutdown([listening]))
            await asyncio.sleep(0)
            server.server_state.connections.clear()
            await closing
            assert listening.fileno() == -1
        assert did[1:] == ["closed", "shut down"]

    asyncio.run(story())
