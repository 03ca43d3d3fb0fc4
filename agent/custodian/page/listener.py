"""Accepts the page's connections and bounds them, so that strangers can neither keep an owner out nor use up
descriptors.

- The number of connections is bounded (`most_connections`).  A newcomer is always accepted.  If a bound is exceeded, an
  older connection is closed: of the lowest rank, from the address with the most of that rank, the oldest first.  So a
  flood closes its own connections.
- Strangers have half of the room, and `PER_ADDRESS` connections from each address.  Browsers that were let in and have
  proven no owner's key count among them: otherwise a guest could fill the room, and each newcomer of the guest would
  close an owner's connection that has not come to its first request.  A connection that an owner's session has used is
  closed last.  New connections from an owner's address are exempt from the strangers' bounds.
- Every wait for a client ends: for the TLS handshake, for a request's head, for its body, and for a slow reader.
- One port serves TLS and plain HTTP: the first byte of a TLS connection is 0x16.  The guard lets plain HTTP reach only
  the files that installing the authority needs.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import resource
import socket
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["CONNECTION", "PER_ADDRESS", "ConnectionPriority", "PageHttpServer", "PageListener", "most_connections"]

CONNECTION: Final = "connection"
"""Key of the connection in a request's state, for `PageListener.set_priority`."""
MOST_CONNECTIONS: Final = 64
PER_ADDRESS: Final = 12
"""Strangers' connections from one address.  A browser opens six; two phones may share one VPN gateway."""
HANDSHAKE_S: Final = 10.0
HEAD_S: Final = 10.0
IDLE_S: Final = 30.0
ANONYMOUS_REQUEST_S: Final = 60.0
"""A stranger's whole request, answer included: 145 kB of program at 20 kbit/s."""
STALL_S: Final = 60.0
"""Limit for a request of a paired browser that makes no progress."""
HANDSHAKES: Final = 64
HANDSHAKES_PER_S: Final = 32.0
"""Strangers' TLS handshakes: each costs a signature, of the recorder's processor.  Those over the rate wait."""
EXPECTED_S: Final = 12 * 3600.0
EXPECTED_ADDRESSES: Final = 32
_SHUTDOWN_S: Final = 2.0
"""Limit for the other side's farewell on a closing TLS connection; asyncio's default is 30 s."""
_UNSENT_BYTES: Final = 64 << 10
"""The data that waits in a connection before its answer is paused."""
_SWEEP_S: Final = 1.0
_ACCEPT_AT_ONCE: Final = 16
_ACCEPT_EVERY_S: Final = 0.01
_PAUSE_S: Final = 1.0
_TURN_S: Final = 0.05
_TLS_HANDSHAKE: Final = b"\x16"
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ConnectionPriority(enum.IntEnum):
    """Order of closing if there are too many connections: the lowest first."""

    ANONYMOUS = 0
    PAIRED = 1
    """A browser that was let in and has proven no owner's key, for example a guest's."""
    EXPECTED = 2
    """Anyone at an address where an owner was in the last hours."""
    OWNER = 3


class _ConnectionPhase(enum.Enum):
    HANDSHAKE = enum.auto()
    HEAD = enum.auto()
    REQUEST = enum.auto()
    IDLE = enum.auto()


# A table, because members of an enumeration with the same limit would be one member.
_LIMITS_S: Final = {
    _ConnectionPhase.HANDSHAKE: HANDSHAKE_S,
    _ConnectionPhase.HEAD: HEAD_S,
    _ConnectionPhase.IDLE: IDLE_S,
}


def most_connections() -> int:
    """An eighth of the descriptors that this process may open, 8 to `MOST_CONNECTIONS`: recording needs the others."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The constant is -1, and an eighth of that would be no connections.
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(8, min(MOST_CONNECTIONS, soft // 8))


class _Connection:
    """One accepted socket, from `accept` to its end.

    Compared by identity, because a client may use one port towards each of the doorbell's addresses.
    """

    def __init__(self, address: str, rank: ConnectionPriority, now_s: float) -> None:
        self.address = address
        """The client's."""
        self.rank = rank
        self.phase = _ConnectionPhase.HANDSHAKE
        self.since_s = self.moved_s = now_s
        """When the phase began, and when the client last moved anything."""
        self.protocol: _HttpProtocol | None = None
        self.task: asyncio.Task[None] | None = None
        self.unsent_bytes = 0

    def enter(self, phase: _ConnectionPhase) -> None:
        self.phase = phase
        self.since_s = self.moved_s = time.monotonic()

    def is_overdue(self, now_s: float) -> bool:
        if self.phase is not _ConnectionPhase.REQUEST:
            return now_s - self.since_s > _LIMITS_S[self.phase]
        if self.rank is ConnectionPriority.ANONYMOUS and now_s - self.since_s > ANONYMOUS_REQUEST_S:
            return True
        # An answer that the doorbell still computes is no fault of the client. A long poll ends elsewhere.
        return self._waits_for_client(now_s) and now_s - self.moved_s > STALL_S

    def _waits_for_client(self, now_s: float) -> bool:
        assert self.protocol is not None  # noqa: S101 — a request came over it
        unsent = self.protocol.transport.get_write_buffer_size()
        # A slow reader that takes some bytes makes progress, and keeps its connection.
        if unsent != self.unsent_bytes:
            self.unsent_bytes, self.moved_s = unsent, now_s
        return unsent > 0 or bool(self.protocol.cycle.more_body)

    def end(self) -> None:
        """Closes at once, because the other side could delay a farewell."""
        if self.protocol is not None and self.protocol.transport is not None:
            # `close` would wait for the TLS farewell of a client that may never send it.
            self.protocol.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class _HttpProtocol(H11Protocol):
    """uvicorn's protocol. It lacks time limits for heads and bodies, so the listener's sweep enforces them."""

    def __init__(self, listener: PageListener, connection: _Connection, **settings: Any) -> None:
        super().__init__(**settings)
        # A copy: uvicorn hands the same dictionary to every connection.
        self.app_state = {**self.app_state, CONNECTION: connection}
        self._listener = listener
        self._connection = connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # TLS would hold half a megabyte for a slow reader, of each of the connections.
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        self._connection.protocol = self
        self._connection.enter(_ConnectionPhase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.forget(self._connection)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._connection.moved_s = time.monotonic()
        if self._connection.phase is _ConnectionPhase.IDLE:
            self._connection.enter(_ConnectionPhase.HEAD)
        super().data_received(data)
        self._note_request()

    def on_response_complete(self) -> None:
        self._connection.enter(_ConnectionPhase.IDLE)
        super().on_response_complete()
        self._note_request()  # a pipelined one

    def _note_request(self) -> None:
        is_in_request = self.cycle is not None and not self.cycle.response_complete
        if is_in_request and self._connection.phase is not _ConnectionPhase.REQUEST:
            self._connection.enter(_ConnectionPhase.REQUEST)


class PageListener:
    """Everything but `open`, `close` and the construction runs in the event loop's thread."""

    def __init__(self, listening: socket.socket, context: ssl.SSLContext, *, most: int | None = None) -> None:
        """`listening` stays the caller's to close."""
        self._socket = listening
        self._context = context
        self._most = most or most_connections()
        self._connections: set[_Connection] = set()
        self._expected: OrderedDict[str, float] = OrderedDict()
        self._tokens, self._filled_s = float(HANDSHAKES), time.monotonic()
        self._settings: Callable[[], dict[str, Any]] = dict
        self._sweep: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("page")

    def open(self, settings: Callable[[], dict[str, Any]]) -> None:
        """Begin to accept in the running loop.  `settings`: of uvicorn's protocol."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._accept)
        self._sweep = self._loop.call_later(_SWEEP_S, self._end_overdue)

    def close(self) -> None:
        """Stops accepting. Open connections stay, except those in their handshake. Idempotent."""
        if self._sweep is None:
            return
        self._sweep.cancel()
        self._sweep = None
        self._loop.remove_reader(self._socket)
        for connection in list(self._connections):
            if connection.protocol is None:
                connection.end()

    def set_priority(self, connection: object, rank: ConnectionPriority) -> None:
        """Note who speaks over `connection`: what a request has under `CONNECTION` in its state."""
        if not isinstance(connection, _Connection) or connection not in self._connections:
            return
        # A connection never falls: one request without a cookie must not open an owner's connection to eviction.
        connection.rank = max(connection.rank, rank)
        if rank is ConnectionPriority.OWNER:
            self._expected[connection.address] = time.monotonic() + EXPECTED_S
            self._expected.move_to_end(connection.address)
            if len(self._expected) > EXPECTED_ADDRESSES:
                self._expected.popitem(last=False)

    def forget(self, connection: _Connection) -> None:
        """The connection is closed."""
        self._connections.discard(connection)

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                accepted, peer = self._socket.accept()
            # The client may have gone between the kernel's word and `accept` (accept(2), ECONNABORTED).
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            accepted.setblocking(False)
            # asyncio only does this for a socket that names its protocol, and this one's listener names none. Without
            # it the body of an answer waits until the client acknowledges its head: 40 ms and more.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._admit(accepted, str(peer[0]))
        self._rest(_ACCEPT_EVERY_S)  # a flood waits in the kernel, while those who are in are served

    def _pause(self, error: OSError) -> None:
        """Closes strangers' connections if the descriptors have run out, and leaves the rest of the process a second to
        go first."""
        self._log.warning("page_cannot_accept", reason=error.strerror)
        if error.errno in _NO_ROOM:
            for connection in [each for each in self._connections if each.rank is ConnectionPriority.ANONYMOUS]:
                self._drop(connection)
        self._rest(_PAUSE_S)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._sweep is not None:
            self._loop.add_reader(self._socket, self._accept)

    def _admit(self, accepted: socket.socket, address: str) -> None:
        rank = (
            ConnectionPriority.EXPECTED
            if self._expected.get(address, 0.0) > time.monotonic()
            else ConnectionPriority.ANONYMOUS
        )
        newcomer = _Connection(address, rank, time.monotonic())
        self._make_room(newcomer)
        self._connections.add(newcomer)
        newcomer.task = self._loop.create_task(self._serve(accepted, newcomer))
        # A callback, because a task that is cancelled before its first step skips its `finally`.
        newcomer.task.add_done_callback(lambda _task: self._give_up(accepted, newcomer))

    def _give_up(self, accepted: socket.socket, connection: _Connection) -> None:
        """Closes a connection before it reaches HTTP."""
        if connection.protocol is None:
            self.forget(connection)
            accepted.close()

    def _take_token(self) -> bool:
        now_s = time.monotonic()
        self._tokens = min(HANDSHAKES, self._tokens + (now_s - self._filled_s) * HANDSHAKES_PER_S)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _make_room(self, newcomer: _Connection) -> None:
        """Close older connections until the newcomer fits each bound."""
        # Owners and their addresses do not count here, so a flood of strangers competes with strangers alone.
        others = [each for each in self._connections if each.rank < ConnectionPriority.EXPECTED]
        if newcomer.rank is ConnectionPriority.ANONYMOUS:
            here = [each for each in others if each.address == newcomer.address]
            if len(here) >= PER_ADDRESS:
                self._drop(_first_to_go(here))
            elif len(others) >= self._most // 2:
                self._drop(_first_to_go(others))
        if len(self._connections) >= self._most:
            self._drop(_first_to_go(self._connections))

    def _drop(self, connection: _Connection) -> None:
        self.forget(connection)
        connection.end()

    async def _serve(self, accepted: socket.socket, connection: _Connection) -> None:
        """Find out what it speaks, and hand it to HTTP."""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                tls = await self._speaks_tls(accepted)
                # Waits instead of closing: a browser that came in a flood is served late, not refused.
                while connection.rank is ConnectionPriority.ANONYMOUS and not self._take_token():
                    await asyncio.sleep(_TURN_S)
                await self._loop.connect_accepted_socket(
                    lambda: _HttpProtocol(self, connection, **self._settings()),
                    accepted,
                    ssl=self._context if tls else None,
                    ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                    ssl_shutdown_timeout=_SHUTDOWN_S if tls else None,
                )
        except (OSError, TimeoutError):
            pass  # the other side's concern: a scanner, or a browser that distrusts the certificate

    async def _speaks_tls(self, accepted: socket.socket) -> bool:
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(accepted, _release, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(accepted)
        # Only looked at, because the handshake must read this byte again. Nothing at all is left to TLS to refuse.
        return accepted.recv(1, socket.MSG_PEEK) in (_TLS_HANDSHAKE, b"")

    def _end_overdue(self) -> None:
        now_s = time.monotonic()
        for connection in list(self._connections):
            if connection.is_overdue(now_s):
                self._drop(connection)
        self._sweep = self._loop.call_later(_SWEEP_S, self._end_overdue)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _first_to_go(connections: Iterable[_Connection]) -> _Connection:
    found = list(connections)
    crowd = Counter((each.rank, each.address) for each in found)
    return min(found, key=lambda each: (each.rank, -crowd[each.rank, each.address], each.since_s))


class PageHttpServer(uvicorn.Server):
    """uvicorn behind a `PageListener`."""

    def __init__(self, config: uvicorn.Config, listener: PageListener) -> None:
        super().__init__(config)
        self._listener = listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 — uvicorn's signature
        # uvicorn's own `startup` would make its server accept from this socket, without any bound.
        await self.lifespan.startup()
        self.servers = []
        self._listener.open(
            lambda: {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        )
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._listener.close()
        await super().shutdown(sockets)
