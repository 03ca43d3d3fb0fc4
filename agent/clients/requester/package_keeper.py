"""Keeps a root's package on brokers: one connection to each that stays, so that the return of a broker is seen at once.

A broker that is killed loses what it acknowledged since it last wrote to its disk (mosquitto: `autosave_interval`). A
doorbell that connects then would miss a revocation. So `PackageKeeper` looks after each new connection, and publishes
what is missing. It also looks if the connection broke while it published, because the first chunks may be lost. It says
when the next look is due although nothing happened: ten seconds after a change, every 40 s for ten minutes, and then
every ten.

A fault that stays must not send the package again and again, because a service bills or bans a client that does. So a
connected broker gets a growing pause after each fault, up to five minutes, or ten if it hangs up, and ten minutes after
a refusal. A new package ends the pause. A broker that hangs up also gets no message again that it has acknowledged.

    with StopSignals(keeping.stop):
        keeping.run()
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.clients.requester.package_publisher import (
    HANGS_UP,
    INDEX,
    is_published,
    publish_package,
    require_newest,
    retained_directory,
    retained_package,
)
from agent.clients.requester.root_folder import RootFolder
from agent.core.bus import BusConnected, BusDisconnected, PublishAcknowledged, PublishLost, PublishRefused
from agent.errors import ConfigurationError, DoorwardError, NetworkError
from agent.ports import Bus
from agent.wire.broker_directory import BrokerAddress
from agent.wire.topics import BrokersTopic, TrustIndexTopic, TrustTopic, trust_filter
from agent.wire.trust_keys import TrustKey
from agent.wire.trust_package import index_of, split_directory, split_package

__all__ = ["BrokerWatch", "KeptPackage", "PackageKeeper", "RootKeeping"]

_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 600.0
"""From one look at a broker to the next, although nothing happened: its operator may have emptied it."""
_REPEAT_S: Final = 40.0
"""The same after a change of the package, from the begin of one look to that of the next. A cluster of RabbitMQ keeps
no list for a doorbell that was away, for example because its node had died. So the doorbell hears of a revocation
within a minute of its return. A broker that has the package gets no second copy."""
_REPEAT_SOON_S: Final = 10.0
"""The same for the first such look. While a cluster notices that a node has died, a list that one node takes reaches no
doorbell of the others, and a look there may take `_TIMEOUT_S`."""
_REPEAT_FOR_S: Final = 570.0
"""From a change on, in which each look is followed by such a look. The last one comes after ten minutes: a node of a
busy cluster needs minutes to start, and a list is the most urgent while it is new."""
_AGAIN_S: Final = 5.0
"""After a fault. Each try waits for the broker for half a minute already."""
_MOST_PAUSE_S: Final = 300.0
"""The pause doubles with each fault of a connected broker, up to this. A broker that works again waits no longer."""
_STEP_S: Final = 1.0
_WAIT_S: Final = 0.2
_MOST_EVENTS: Final = 1_000


class PackageKeeper:
    """The package of one root on one broker. Used by one thread.

    `open_bus` returns a started connection, and raises `ConfigurationError` if a file is missing. It is called again
    after a fault. `clock`: seconds, of any clock that only goes forward.
    """

    def __init__(
        self, open_bus: Callable[[], Bus], name_key: TrustKey, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_bus, self._clock = open_bus, clock
        self._name_key, self._root = name_key, name_key.id
        self._bus: Bus | None = None
        self._is_up = False
        self._fault: NetworkError | None = None
        """Why it is not connected now. None while it is connected, and before the first attempt has ended."""
        self._connections = self._looked_at = 0
        """Connections so far, and the one to which the last look belongs."""
        self._refused_slot = 0
        self._taken: dict[str, bytes] = {}
        """Messages that the broker acknowledged in attempts that failed, for `publish_package`."""
        self._cut_off = 0
        """Connections that ended during the last attempt."""
        self._refused: tuple[str, ConfigurationError] | None = None
        """The topic that ended the last publication, and why. The next one begins with it."""
        self._faults, self._pause_ends_s = 0, 0.0
        self._failed = b""
        """The package of the last fault."""
        self._looks, self._look_s, self._repeat_until_s = 0, 0.0, 0.0
        """Looks so far without a fault; when the next one is due, and until when the looks are close."""

    @property
    def connections(self) -> int:
        """Connections so far."""
        return self._connections

    @property
    def looks(self) -> int:
        """Looks so far that ended without a fault."""
        return self._looks

    @property
    def look_s(self) -> float:
        """Seconds until the next look is due, although the broker has not returned. 0: it is."""
        return max(0.0, self._look_s - self._clock())

    @property
    def pause_s(self) -> float:
        """Seconds until the pause after a fault of the connected broker ends. 0: there is none."""
        return max(0.0, self._pause_ends_s - self._clock())

    def is_paused(self, package: bytes) -> bool:
        """Returns True if the last fault was with this package and its pause has not ended."""
        return package == self._failed and self.pause_s > 0.0

    def watch(self) -> None:
        """Opens a connection if there is none. `has_returned` then sees the broker. Raises what `open_bus` raises."""
        if self._bus is None:
            self._bus = self._open_bus()
            self._bus.hurry(True)

    def has_returned(self) -> bool:
        """Returns True if the broker is connected again since the last look, and no pause runs. Takes the events that
        wait."""
        for _ in range(_MOST_EVENTS):  # a broker may send on and on
            event = self._bus.next_event(0.0) if self._bus is not None else None
            if event is None:
                break
            self._on_event(event)
        return self._is_up and self._connections > self._looked_at and not self.pause_s

    def is_due(self) -> bool:
        """Returns True if the broker has returned or the next look is due, and no pause runs. Takes the events that
        wait."""
        return self.has_returned() or not (self.look_s or self.pause_s)

    def keep(self, package: bytes, directory: bytes | None, timeout_s: float, *, is_new: bool) -> int:
        """Publishes the package if the broker lacks it. Returns the number of chunks that it published.

        `is_new`: the broker cannot have it. Call it again if `has_returned` says so afterwards. After an error, `watch`
        shows when the broker is back, and `is_paused` until when to wait.

        Raises `DoorwardError` as `publish_package`, `is_published` and `require_newest` do, and what `open_bus` raises.
        """
        if is_new:
            self._repeat_until_s = self._clock() + _REPEAT_FOR_S
        began_s = self._clock()
        self.watch()
        self.has_returned()
        bus = self._bus
        assert bus is not None  # noqa: S101 (`watch` has just opened it)
        if self._fault is not None:  # it is seen when it returns, and others must not wait for it
            raise self._fault
        self._cut_off = 0
        self._looked_at = self._connections + (not self._is_up)
        connections_before = self._connections - self._is_up
        try:
            is_there = not is_new and is_published(bus, self._root, package, timeout_s, self._on_event)
            # Otherwise the broker sends each chunk back that is published now.
            bus.unsubscribe(trust_filter(self._root))
            chunks = 0
            if not is_there:
                # A folder from a backup must not put an older list over a newer one: revoked keys would count again.
                require_newest(self._name_key, package, retained_package(bus, self._root, timeout_s, self._on_event))
                chunks = self._publish(bus, package, directory, timeout_s)
        except DoorwardError as error:
            self._pause(error, package, was_connected=self._connections > connections_before)
            self.stop()  # chunks may be in flight
            raise
        self._faults, self._pause_ends_s, self._refused = 0, 0.0, None
        repeat_s = _REPEAT_SOON_S if is_new else _REPEAT_S
        due_s = began_s + (repeat_s if began_s < self._repeat_until_s else _LOOK_S)
        self._look_s = max(due_s, self._clock() + _AGAIN_S)
        self._looks += 1
        return chunks

    def stop(self) -> None:
        bus, self._bus = self._bus, None
        self._is_up, self._fault = False, None
        self._looked_at = self._connections
        if bus is not None:
            bus.stop()

    def _publish(self, bus: Bus, package: bytes, directory: bytes | None, timeout_s: float) -> int:
        """Publishes the package and its directory. A topic that was refused goes first: as long as the broker refuses
        it, the directory of up to 1 MiB does not go to all connected requesters again."""
        pieces = split_directory(directory) if directory is not None else []
        listed = {str(BrokersTopic(self._root, slot)): data for slot, data in enumerate(pieces)}
        wanted = listed | {str(TrustTopic(self._root, slot)): data for slot, data in enumerate(split_package(package))}
        wanted[str(TrustIndexTopic(self._root))] = index_of(package)
        if self._refused is not None and self._refused[0] in wanted:
            topic, refusal = self._refused
            self._try(bus, topic, wanted[topic], refusal, timeout_s)
        self._refused_slot = 0
        is_continued = bool(self._taken)
        try:
            chunks = self._send(bus, package, directory, timeout_s)
            if is_continued and not self._has_all(bus, package, directory, timeout_s):
                self._taken.clear()  # it died since
                chunks = self._send(bus, package, directory, timeout_s)
        except ConfigurationError as error:
            is_listed = all(self._taken.get(each) == hashlib.sha256(data).digest() for each, data in listed.items())
            self._refused = (self._topic_of(self._refused_slot, is_listed=is_listed), error)
            raise
        self._taken.clear()
        return chunks

    def _topic_of(self, slot: int, *, is_listed: bool) -> str:
        """`is_listed`: the broker has the whole directory, so the slot is one of the package."""
        if not is_listed:
            return str(BrokersTopic(self._root, slot))
        return str(TrustIndexTopic(self._root) if slot == INDEX else TrustTopic(self._root, slot))

    def _send(self, bus: Bus, package: bytes, directory: bytes | None, timeout_s: float) -> int:
        return publish_package(bus, self._root, package, timeout_s, directory, self._on_event, self._taken)

    def _has_all(self, bus: Bus, package: bytes, directory: bytes | None, timeout_s: float) -> bool:
        """Returns whether the broker still has what it acknowledged over earlier connections."""
        has_package = is_published(bus, self._root, package, timeout_s, self._on_event)
        bus.unsubscribe(trust_filter(self._root))
        return has_package and directory in (None, retained_directory(bus, self._root, timeout_s, self._on_event))

    def _try(self, bus: Bus, topic: str, data: bytes, refusal: ConfigurationError, timeout_s: float) -> None:
        """Publishes one message. Raises a `refusal` again if it is refused, and `NetworkError` without an answer."""
        ends_s, is_in_flight, from_s = self._clock() + timeout_s, False, 0.0
        while (now_s := self._clock()) <= ends_s:
            is_in_flight = is_in_flight or (now_s >= from_s and bus.publish(topic, data, token=0, retain=True))
            event = bus.next_event(_WAIT_S)
            if event is not None:
                self._on_event(event)
            match event:
                case PublishAcknowledged():
                    return
                case PublishRefused() as refused if refused.may_pass:
                    is_in_flight, from_s = False, now_s + _AGAIN_S
                case PublishRefused():
                    raise ConfigurationError(refusal.message, remedy=refusal.remedy)
                case PublishLost():
                    is_in_flight = False
        fault = self._fault or ""
        raise NetworkError(f"The broker has not taken the package. {fault}".strip(), remedy="Publish it again.")

    def _pause(self, error: DoorwardError, package: bytes, *, was_connected: bool) -> None:
        """Notes a fault and how long to pause.

        A broker that was away the whole time gets no pause, so it is tried as soon as it is back.
        """
        self._failed, pause_s = package, 0.0
        if isinstance(error, ConfigurationError):  # another try changes nothing: a person must act
            pause_s = _LOOK_S
        elif was_connected:
            self._faults += 1
            most_s = _LOOK_S if self._cut_off >= HANGS_UP else _MOST_PAUSE_S
            pause_s = min(most_s, _AGAIN_S * 2.0 ** min(self._faults - 1, 16))
        self._pause_ends_s = self._clock() + pause_s

    def _on_event(self, event: object) -> None:
        match event:
            case BusConnected():
                self._is_up, self._fault = True, None
                self._connections += 1
            case BusDisconnected(error=error):
                self._cut_off += self._is_up
                self._is_up, self._fault = False, error
            case PublishRefused(token=slot):
                self._refused_slot = slot


@dataclass(frozen=True, slots=True)
class KeptPackage:
    """The outcome of one look at a broker. `chunks`: how many were published. `fault`: why there is none.
    `broker`: None if the root's folder is at fault."""

    broker: BrokerAddress | None
    sha256: str = ""
    chunks: int = 0
    fault: DoorwardError | None = None


class RootKeeping:
    """Keeps the package of a root's folder on brokers, until `stop`.

    `brokers`: those of a person's choice, or none for those of the root's list, also of later ones. `open_bus` returns
    a started connection that calls its second argument after new events. `tell` gets each look, and each fault that
    differs from the one before, from several threads.
    """

    def __init__(
        self,
        root: RootFolder,
        brokers: tuple[BrokerAddress, ...],
        open_bus: Callable[[BrokerAddress, Callable[[], None]], Bus],
        tell: Callable[[KeptPackage], None],
    ) -> None:
        self._root, self._brokers, self._open_bus, self._tell = root, brokers, open_bus, tell
        self._stop = threading.Event()
        self._threads: dict[BrokerAddress, _BrokerThread] = {}

    def run(self) -> None:
        """Blocks. Raises `ConfigurationError` if the root has no package, or if no broker is known.

        An unexpected error in the thread of a broker ends it with that error, so that a supervisor starts it again.
        Otherwise this broker would get no revocation, and nothing would show it.
        """
        newest, fault = self._root.package(), ""
        wanted = self._wanted()
        try:
            while True:
                self._follow(wanted, newest)
                if self._stop.wait(_STEP_S):
                    return
                try:
                    package = self._root.package()
                    if package != newest:
                        newest, wanted, fault = package, self._wanted(), ""
                except DoorwardError as error:  # the package in force stays where it is
                    if str(error) != fault:
                        self._tell(KeptPackage(None, fault=error))
                    fault = str(error)
        finally:
            self._follow(frozenset(), newest)

    def stop(self) -> None:
        self._stop.set()

    def _wanted(self) -> frozenset[BrokerAddress]:
        if self._brokers:
            return frozenset(self._brokers)
        listed = frozenset(self._root.brokers())
        if not listed:
            raise ConfigurationError("The root's list names no brokers.", remedy="Give --broker HOST:PORT.")
        return listed

    def _follow(self, wanted: frozenset[BrokerAddress], newest: bytes) -> None:
        for each in self._threads.values():
            if each.error is not None and wanted:
                raise each.error
        gone = [self._threads.pop(each) for each in self._threads.keys() - wanted]
        for each in gone:
            each.stop()
        for each in gone:
            each.join()
        for address in sorted(wanted - self._threads.keys()):
            self._threads[address] = _BrokerThread(self._root, address, self._open_bus, self._tell)
        for each in self._threads.values():
            each.follow(newest)


class BrokerWatch:
    """Decides when to look at one broker, and looks. `tell` gets each look, and each fault that differs from the one
    before. Used by one thread."""

    def __init__(
        self,
        root: RootFolder,
        address: BrokerAddress,
        open_bus: Callable[[], Bus],
        tell: Callable[[KeptPackage], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._address, self._tell, self._clock = root, address, tell, clock
        self._keeper = PackageKeeper(open_bus, root.name_key, clock)
        self._tried = self._kept = b""
        """The newest package at the last look, and at the last one without a fault."""
        self._look_s, self._fault = 0.0, ""

    def step(self, newest: bytes) -> float:
        """Looks if that is due. Returns the most seconds until the next call. `newest`: the whole package, or empty."""
        is_due = newest != self._tried or self._clock() >= self._look_s
        if not newest or not (self._keeper.has_returned() or is_due):
            return _STEP_S
        is_new, self._tried = self._kept not in (b"", newest), newest
        try:
            self._look(is_new=is_new)
        except DoorwardError as error:
            if str(error) != self._fault:
                self._tell(KeptPackage(self._address, fault=error))
            self._fault = str(error)
            self._look_s = self._clock() + max(_AGAIN_S, self._keeper.pause_s)
            with contextlib.suppress(DoorwardError):  # it was told
                self._keeper.watch()
            return _STEP_S
        self._kept, self._fault = newest, ""
        self._look_s = self._clock() + self._keeper.look_s
        return 0.0 if self._keeper.has_returned() else _STEP_S

    def stop(self) -> None:
        self._keeper.stop()

    def _look(self, *, is_new: bool) -> None:
        package = self._root.package_for(self._address)
        chunks = self._keeper.keep(package, self._root.directory(), _TIMEOUT_S, is_new=is_new)
        self._tell(KeptPackage(self._address, hashlib.sha256(package).hexdigest(), chunks))


class _BrokerThread:
    """Keeps the package at one broker. `error`: the unexpected error that ended it."""

    def __init__(
        self,
        root: RootFolder,
        address: BrokerAddress,
        open_bus: Callable[[BrokerAddress, Callable[[], None]], Bus],
        tell: Callable[[KeptPackage], None],
    ) -> None:
        self._news, self._ends = threading.Event(), threading.Event()
        self._newest = b""
        """The whole package. This broker gets its part."""
        self.error: BaseException | None = None
        self._watch = BrokerWatch(root, address, lambda: open_bus(address, self._news.set), tell)
        self._thread = threading.Thread(target=self._run, name=f"keeper-{address}")
        self._thread.start()

    def follow(self, newest: bytes) -> None:
        if newest != self._newest:
            self._newest = newest
            self._news.set()

    def stop(self) -> None:
        self._ends.set()
        self._news.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self._news.wait(self._watch.step(self._newest))
                self._news.clear()
        except BaseException as error:  # noqa: BLE001 (`RootKeeping.run` raises it)
            self.error = error
        finally:
            self._watch.stop()
