"""Keeps a root's package on brokers: one connection to each that stays, so that the return of a broker is seen at once.

A broker that is killed loses what it acknowledged since it last wrote to its disk (mosquitto: `autosave_interval`). A
doorbell that connects then would miss a revocation. So `PackageKeeper` looks after each new connection, and publishes
what is missing. It also looks if the connection broke while it published, because the first chunks may be lost.

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
    is_published,
    publish_package,
    require_newest,
    retained_package,
)
from agent.clients.requester.root_folder import RootFolder
from agent.core.bus import BusConnected, BusDisconnected
from agent.errors import ConfigurationError, DoorwardError, NetworkError
from agent.ports import Bus
from agent.wire import strictjson
from agent.wire.broker_directory import DIRECTORY_LIMIT_BYTES, BrokerAddress, BrokerDirectory
from agent.wire.topics import trust_filter
from agent.wire.trust_keys import TrustKey

__all__ = ["KeptPackage", "PackageKeeper", "RootKeeping"]

_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 600.0
"""From one look at a broker to the next, although nothing happened: its operator may have emptied it."""
_AGAIN_S: Final = 5.0
"""After a fault. Each try waits for the broker for half a minute already."""
_STEP_S: Final = 1.0
_MOST_EVENTS: Final = 1_000


class PackageKeeper:
    """The package of one root on one broker. Used by one thread.

    `open_bus` returns a started connection, and raises `ConfigurationError` if a file is missing. It is called again
    after a fault.
    """

    def __init__(self, open_bus: Callable[[], Bus], name_key: TrustKey) -> None:
        self._open_bus = open_bus
        self._name_key, self._root = name_key, name_key.id
        self._bus: Bus | None = None
        self._is_up = False
        self._fault: NetworkError | None = None
        """Why it is not connected now. None: it is, or nothing has come of the first attempt."""
        self._connections = self._looked_at = 0
        """Connections so far, and the one to which the last look belongs."""

    def watch(self) -> None:
        """Opens a connection if there is none. `has_returned` then sees the broker. Raises what `open_bus` raises."""
        if self._bus is None:
            self._bus = self._open_bus()
            self._bus.hurry(True)

    def has_returned(self) -> bool:
        """Returns True if the broker was connected again since the last look. Takes the events that wait."""
        for _ in range(_MOST_EVENTS):  # a broker may send on and on
            event = self._bus.next_event(0.0) if self._bus is not None else None
            if event is None:
                break
            self._on_event(event)
        return self._connections > self._looked_at

    def keep(self, package: bytes, directory: bytes | None, timeout_s: float, *, is_new: bool) -> int:
        """Publishes the package if the broker lacks it. Returns the number of chunks that it published.

        `is_new`: the broker cannot have it. Call it again if `has_returned` says so afterwards. After an error, `watch`
        shows when the broker is back.

        Raises `DoorwardError` as `publish_package`, `is_published` and `require_newest` do, and what `open_bus` raises.
        """
        self.watch()
        self.has_returned()
        bus = self._bus
        assert bus is not None  # noqa: S101 (`watch` has just opened it)
        if self._fault is not None:  # it is seen when it returns, and others must not wait for it
            raise self._fault
        self._looked_at = self._connections + (not self._is_up)
        try:
            is_there = not is_new and is_published(bus, self._root, package, timeout_s, self._on_event)
            bus.unsubscribe(trust_filter(self._root))
            if is_there:
                return 0
            require_newest(self._name_key, package, retained_package(bus, self._root, timeout_s, self._on_event))
            return publish_package(bus, self._root, package, timeout_s, directory, self._on_event)
        except DoorwardError:
            self.stop()  # chunks may be in flight
            raise

    def stop(self) -> None:
        bus, self._bus = self._bus, None
        self._is_up, self._fault = False, None
        self._connections = self._looked_at = 0
        if bus is not None:
            bus.stop()

    def _on_event(self, event: object) -> None:
        match event:
            case BusConnected():
                self._is_up, self._fault = True, None
                self._connections += 1
            case BusDisconnected(error=error):
                self._is_up, self._fault = False, error


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
        """Blocks. Raises `ConfigurationError` if the root has no package, or if no broker is known."""
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
        data = self._root.directory()
        if data is None:
            raise ConfigurationError("The root's list names no brokers.", remedy="Give --broker HOST:PORT.")
        listed = strictjson.decode(data, BrokerDirectory, limit_bytes=DIRECTORY_LIMIT_BYTES)
        return frozenset(each.address for each in listed.brokers)

    def _follow(self, wanted: frozenset[BrokerAddress], newest: bytes) -> None:
        gone = [self._threads.pop(each) for each in self._threads.keys() - wanted]
        for each in gone:
            each.stop()
        for each in gone:
            each.join()
        for address in sorted(wanted - self._threads.keys()):
            self._threads[address] = _BrokerThread(self._root, address, self._open_bus, self._tell)
        for each in self._threads.values():
            each.follow(newest)


class _BrokerThread:
    """Keeps the package at one broker."""

    def __init__(
        self,
        root: RootFolder,
        address: BrokerAddress,
        open_bus: Callable[[BrokerAddress, Callable[[], None]], Bus],
        tell: Callable[[KeptPackage], None],
    ) -> None:
        self._root, self._address, self._tell = root, address, tell
        self._news, self._ends = threading.Event(), threading.Event()
        self._newest = b""
        """The whole package. This broker gets its part."""
        self._keeper = PackageKeeper(lambda: open_bus(address, self._news.set), root.name_key)
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
        kept = b""
        """The newest package at the last look."""
        look_s, fault = 0.0, ""
        try:
            while not self._ends.is_set():
                if self._newest and (self._newest != kept or self._keeper.has_returned() or time.monotonic() >= look_s):
                    newest = self._newest
                    try:
                        self._look(is_new=kept not in (b"", newest))
                        kept, look_s, fault = newest, time.monotonic() + _LOOK_S, ""
                    except DoorwardError as error:
                        if str(error) != fault:
                            self._tell(KeptPackage(self._address, fault=error))
                        look_s, fault = 0.0, str(error)
                        with contextlib.suppress(DoorwardError):
                            self._keeper.watch()
                        self._news.wait(_AGAIN_S)
                        self._news.clear()
                        continue
                    if self._keeper.has_returned():
                        continue
                self._news.wait(_STEP_S)
                self._news.clear()
        finally:
            self._keeper.stop()

    def _look(self, *, is_new: bool) -> None:
        package = self._root.package_for(self._address)
        chunks = self._keeper.keep(package, self._root.directory(), _TIMEOUT_S, is_new=is_new)
        self._tell(KeptPackage(self._address, hashlib.sha256(package).hexdigest(), chunks))
