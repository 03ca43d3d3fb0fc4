"""Connections of many doorbells in one thread: `agent.mqtt`'s connection, window, back-off and inbound queue.

`LightBus` is the `Bus` port of one doorbell, without the thread of `MqttBus`: a `Switchboard` moves all of them. A few
threads open connections, because a TLS handshake waits. A light doorbell acknowledges each message as it comes, without
the beat of a doorbell.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    PublishResult,
    Subscribed,
    SubscriptionRefused,
)
from agent.mqtt import BusSettings, tls
from agent.mqtt.connection import Connection, ConnectionEvent
from agent.mqtt.faults import LinkError
from agent.mqtt.outbound_client import InboundPublish, OutboundPublish
from agent.mqtt.pacing import Backoff, InboundQueue, InFlightWindow, RefusedFilters

__all__ = ["LightBus", "Switchboard"]

OPENERS = 2
"""Handshakes at once with one broker. Each costs processor time, so more would not be faster on two cores, and each
takes Python's lock from the thread that hears. Each broker has its own, because those of a broker that is cut off wait
for ten seconds each."""
_BUSES_OF_A_SOCKET = 100
_TICK_S = 15.0
"""Keep-alive needs a look at a quarter of its 60 s."""
_STABLE_AFTER_S = 10.0
"""As in `MqttBus`."""
_READY_AT_ONCE = 256
_POLL_S = 0.1
_AGAIN_S = 0.02
"""The longest wait for news, so that a quiet process does not look as if it stood still."""
_SLICE_S = 0.05
"""For connections that were opened meanwhile, in each round. In a storm there are hundreds, and the doorbells that are
connected would wait for all of them."""
LATE_S = 0.5
"""If what came had to wait longer than this, the process had more to do than it can."""


class Switchboard:
    """Runs all that its doorbells do in one thread. Call `do` from any thread, the rest from the switchboard's."""

    def __init__(self, uniform: Callable[[float, float], float] | None = None) -> None:
        self.uniform = uniform or random.SystemRandom().uniform
        self._epoll = select.epoll()
        self._by_fd: dict[int, LightBus] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._epoll.register(self._wake_reader.fileno(), select.EPOLLIN)
        self._quiet: list[tuple[socket.socket, socket.socket]] = []
        self._buses = 0
        self._openers: dict[str, ThreadPoolExecutor] = {}
        """By host and port of a broker."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="switchboard")
        self.failures: list[BaseException] = []
        """Bugs: a run with one of them proves nothing."""
        self.late: list[tuple[float, float]] = []
        """Begin and end of each time in which something that came had to wait for over `LATE_S`. The thread measures
        it itself: all that came before a round has been done once a round ends that leaves nothing."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake()
        self._thread.join()
        for each in self._openers.values():
            each.shutdown(cancel_futures=True)
        while True:  # connections that were opened meanwhile
            try:
                self._asked.get_nowait()()
            except queue.Empty:
                break
        for bus in list(self._by_fd.values()):
            bus.stop()
        self._epoll.close()
        for each in (self._wake_reader, self._wake_writer, *(one for pair in self._quiet for one in pair)):
            each.close()

    def quiet(self) -> socket.socket:
        """Returns a socket that is never readable, because a connection wants one that could wake it.

        The kernel lets at most 500 epolls below another one watch the same file (`path_limits` in fs/eventpoll.c).
        """
        if self._buses % _BUSES_OF_A_SOCKET == 0:
            self._quiet.append(socket.socketpair())
        self._buses += 1
        return self._quiet[-1][0]

    def do(self, act: Callable[[], None]) -> None:
        """Lets the switchboard's thread act. From any thread."""
        self._asked.put(act)
        self._wake()

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + max(0.0, delay_s), next(self._numbers), act))

    def open(self, bus: LightBus) -> None:
        """From the switchboard's thread."""
        if not self._stopping:
            place = f"{bus.settings.host}:{bus.settings.port}"
            if place not in self._openers:
                self._openers[place] = ThreadPoolExecutor(OPENERS, f"opener {place}")
            self._openers[place].submit(self._open, bus)

    def watch(self, bus: LightBus, connection: Connection) -> int:
        # The connection's selector knows when it has work. An epoll may watch another one (epoll(7)).
        number = connection._selector.fileno()  # type: ignore[attr-defined]
        self._by_fd[number] = bus
        self._epoll.register(number, select.EPOLLIN)
        return int(number)

    def forget(self, number: int) -> None:
        del self._by_fd[number]
        with suppress(OSError, ValueError):
            self._epoll.unregister(number)

    def _open(self, bus: LightBus) -> None:
        """In a separate thread, because a handshake waits."""
        connection: Connection | None = None
        try:
            connection = _LightConnection(bus.settings, tls.make_context(bus.settings))
            connection.open(bus.quiet)
        except LinkError as error:
            if connection is not None:
                connection.close()
            self.do(lambda error=error: bus.failed(error))  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001 (a bug ends the run, not one thread in silence)
            self.failures.append(error)
        else:
            self.do(lambda: bus.opened(connection))

    def _run(self) -> None:
        done_s = time.monotonic()  # all that came before has been done
        while not self._stopping:
            begins_s = time.monotonic()
            wait_s = min(_POLL_S, self._timers[0][0] - begins_s) if self._timers else _POLL_S
            ready = self._epoll.poll(0.0 if self._asked.qsize() else max(0.0, wait_s), _READY_AT_ONCE)
            for number, _ in ready:
                if number == self._wake_reader.fileno():
                    with suppress(BlockingIOError):
                        self._wake_reader.recv(4096)
                elif number in self._by_fd:
                    self._act(self._by_fd[number].move)
            self._do_asked()
            now_s = time.monotonic()
            while self._timers and self._timers[0][0] <= now_s:
                self._act(heapq.heappop(self._timers)[2])
            if len(ready) < _READY_AT_ONCE:
                now_s = time.monotonic()
                if now_s - done_s > LATE_S:
                    self.late.append((done_s, now_s))
                done_s = begins_s

    def _do_asked(self) -> None:
        """At least one, and more for `_SLICE_S`. The rest waits for the next round, which does not wait for news."""
        ends_s = time.monotonic() + _SLICE_S
        with suppress(queue.Empty):
            while True:
                self._act(self._asked.get_nowait())
                if time.monotonic() >= ends_s:
                    return

    def _act(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 (as above)
            self.failures.append(error)

    def _wake(self) -> None:
        with suppress(OSError):
            self._wake_writer.send(b"\0")


class _LightConnection(Connection):
    """Leaves out the look for why a broker hung up before its CONNACK. That look waits for up to 12 s while a network
    is cut, which costs a doorbell nothing. Here all doorbells of the process would wait with it."""

    def _probe(self) -> LinkError | None:
        return None


class LightBus:
    """See `agent.ports.Bus`. `on_news` runs after new events, in the switchboard's thread."""

    def __init__(self, settings: BusSettings, board: Switchboard, on_news: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self.on_news = on_news
        self.quiet = board.quiet()
        self._board = board
        self._connection: Connection | None = None
        self._watched = -1
        self._is_up = False
        self._events: deque[BusEvent] = deque()
        self._inbound = InboundQueue(settings)
        self._window = InFlightWindow(settings.window_messages, settings.window_bytes)
        self._unsettled: set[int] = set()
        self._filters: dict[str, bool] = {}
        self._pending = self._stopped = self._acknowledged_any = False
        self._backoff = Backoff(board.uniform)
        self._refused_filters = RefusedFilters(board.uniform)
        self._opened_s = 0.0
        self.dropped = self.crowded_out = 0
        self.taken = 0
        """Events that were handed out."""

    # The port

    def start(self) -> None:
        self._board.open(self)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        if self._connection is None or not self._is_up or not self._window.admits(len(payload)):
            return False
        self._window.add(token, len(payload))
        self._unsettled.add(token)
        self._connection.publish(OutboundPublish(token, topic, payload, retain, expiry_s, properties))
        self._board.after(0, self.move)  # paho may not have sent all of it
        return True

    def lane(self, topic: str) -> str:
        return ""

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        self._filters[topic_filter] = retained
        if self._connection is not None and self._is_up:
            self._connection.subscribe(topic_filter, retained=retained)
            self._send_rest(self._connection)

    def read_retained(self, topic_filter: str) -> None:
        if self._connection is not None and self._is_up:
            self._connection.subscribe(topic_filter, retained=True)
            self._send_rest(self._connection)

    def unsubscribe(self, topic_filter: str) -> None:
        self._filters.pop(topic_filter, None)
        self._refused_filters.forget(topic_filter)
        if self._connection is not None and self._is_up:
            self._connection.unsubscribe(topic_filter)
            self._send_rest(self._connection)

    def hurry(self, pending: bool) -> None:
        self._pending = pending

    def next_event(self, timeout_s: float) -> BusEvent | None:
        if self._events:
            event = self._events.popleft()
            self.taken += 1
            if isinstance(event, PublishResult):
                self._window.remove(event.token)
            return event
        message = self._inbound.take(time.monotonic())
        self.taken += message is not None
        return message

    def stop(self) -> None:
        self._stopped = True
        self._close()
        self._lose()

    # For the doorbell

    def wait_s(self) -> float | None:
        """Returns the seconds until `next_event` has something. None: nothing waits."""
        return 0.0 if self._events else self._inbound.wait_s(time.monotonic())

    # For the switchboard

    def opened(self, connection: Connection) -> None:
        if self._stopped:
            connection.close()
            return
        self._connection = connection
        self._opened_s = time.monotonic()
        self._watched = self._board.watch(self, connection)
        self.move()
        self._tick(self._opened_s)

    def move(self) -> None:
        """Moves packets until the line is quiet."""
        connection = self._connection
        if connection is None:
            return
        try:
            while happened := connection.step(0):
                for each in happened:
                    self._tell(each, connection)
                # Acknowledgements of what was just told leave with the next step.
            if (sock := connection._client.socket()) is not None and sock.pending():  # type: ignore[union-attr]
                self._board.after(0, self.move)
            else:
                self._send_rest(connection)
        except LinkError as error:
            self.failed(error)
            return
        if self._events or len(self._inbound_wait()):
            self.on_news()

    def _send_rest(self, connection: Connection) -> None:
        """Looks again at a line that took no more, for example in a cut: its selector waits for no room to write."""
        if connection._client.want_write():
            self._board.after(_AGAIN_S, self.move)

    def failed(self, error: LinkError) -> None:
        self._close()
        if self._stopped:
            return
        if self._acknowledged_any or (self._opened_s and time.monotonic() - self._opened_s >= _STABLE_AFTER_S):
            self._backoff.reset()
        self._acknowledged_any, self._opened_s = False, 0.0
        pause_s = self._backoff.next_s(error.fault, pending=self._pending)
        self._lose()
        self._events.append(BusDisconnected(error.fault, error, pause_s))
        self._board.after(pause_s, lambda: None if self._stopped else self._board.open(self))
        self.on_news()

    def _inbound_wait(self) -> tuple[float, ...]:
        wait_s = self._inbound.wait_s(time.monotonic())
        return () if wait_s is None else (wait_s,)

    def _tell(self, happening: ConnectionEvent, connection: Connection) -> None:
        match happening:
            case InboundPublish(message, packet_id):
                self.crowded_out += self._inbound.put(message)
                connection.acknowledge(packet_id)
            case BusConnected(_, window):
                self._is_up = True
                self._window.messages = window
                for topic_filter, retained in self._filters.items():
                    connection.subscribe(topic_filter, retained=retained)
                self._events.append(happening)
            case PublishAcknowledged(token) | PublishRefused(token):
                self._acknowledged_any = True
                self._unsettled.discard(token)
                self._events.append(happening)
            case Subscribed(topic_filter):
                self._refused_filters.forget(topic_filter)
                self._events.append(happening)
            case SubscriptionRefused(topic_filter) if happening.may_pass and topic_filter in self._filters:
                pause_s = self._refused_filters.refused(topic_filter, time.monotonic())
                self._board.after(pause_s, self._ask_again)
                self._events.append(happening)
            case _:
                self._events.append(happening)

    def _ask_again(self) -> None:
        connection = self._connection
        for topic_filter in self._refused_filters.take_due(time.monotonic()):
            if connection is not None:
                connection.subscribe(topic_filter, retained=self._filters[topic_filter])
        self.move()

    def _tick(self, opened_s: float) -> None:
        """Looks at keep-alive and deadlines of this connection."""
        if self._connection is None or self._opened_s != opened_s:
            return
        self.move()
        quiet = self._is_up and not self._unsettled
        self._board.after(_TICK_S if quiet else _TICK_S / 3, lambda: self._tick(opened_s))

    def _close(self) -> None:
        if self._connection is None:
            return
        self._board.forget(self._watched)
        self.dropped += self._connection.dropped
        self._connection.close()
        self._connection, self._is_up = None, False

    def _lose(self) -> None:
        self._is_up = False
        self._refused_filters.clear()
        self._events.extend(PublishLost(token) for token in sorted(self._unsettled))
        self._unsettled.clear()
