"""Stamps and publishes the package of each root of several keys, and notes what each broker has.

A timestamp says for a week that nothing newer was signed. The desk makes a new one each day, and at once after a
signature. It publishes on the broker of `desk.toml`, or on all brokers of the root's list. A killed broker may have
lost the package. So the desk stays connected to each broker, and looks when one has come back, every 40 s for ten
minutes after a change, and then every ten. After a fault of a connected broker it pauses (`PackageKeeper`). A desk that
was put back from a backup leaves newer news of its root on the broker, and says so.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.utils import timezone

from agent.clients.requester.broker_files import broker_files
from agent.clients.requester.package_keeper import PackageKeeper
from agent.errors import ConfigurationError, DoorwardError
from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus
from agent.platform import files
from agent.ports import Bus
from agent.wire import envelope, strictjson
from agent.wire.broker_directory import BrokerAddress
from agent.wire.trust_package import PACKAGE_LIMIT_BYTES, ROOT_ENVELOPE_LIMIT_BYTES, TrustPackage, TrustTimestamp
from desk.people.models import Organisation
from desk.periodic import PeriodicThread
from desk.trust import bundles, shared_root
from desk.trust.models import Publication, RootDraft

__all__ = [
    "LATE",
    "NO_BROKER",
    "STAMP_DAYS",
    "LateBroker",
    "RootConnections",
    "brokers_of",
    "connection_of",
    "late_brokers",
    "package_sha256",
    "publish_due",
    "root_publisher",
    "stamped_until_s",
]

STAMP_EVERY_S: Final = 86_400
STAMP_DAYS: Final = 7
LATE: Final = timedelta(days=4)
"""A broker gets a package each day. People have three days left before its news ends and owners are warned."""
NO_BROKER: Final = ""
"""The row of a fault before any broker is tried: no package can be made."""
_EVERY_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_INBOUND_PACKET_BYTES: Final = 128 << 10
"""A chunk of a broker directory with its frame: the publisher may look for what a broker took before it hung up."""
_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LateBroker:
    """A broker with old news of a root. `since`: when it took its newest package, or None if it never took one."""

    address: BrokerAddress
    since: datetime | None


OpenBus = Callable[[Organisation, BrokerAddress], Bus]
_Place = tuple[int, str]
"""Organisation and address of a broker."""
_Reason = tuple[_Place, int, int]
"""A place to look at, with the connections and looks so far. Another return or look has other numbers."""


class RootConnections:
    """A connection to each broker of each root, until `stop`. Used by one thread."""

    def __init__(self, open_bus: OpenBus, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_bus, self._clock = open_bus, clock
        self._keepers: dict[_Place, PackageKeeper] = {}
        self._files: dict[_Place, tuple[Path | None, ...]] = {}
        """The files with which each connection signs in."""

    def keeper(self, organisation: Organisation, address: BrokerAddress) -> PackageKeeper:
        """Returns the connection. It is a new one if the root got a password or a certificate for this broker."""
        place = (organisation.pk, str(address))
        signs_in_with = broker_files(shared_root.files_of(organisation).folder, address.host).used
        # A connection keeps the files with which it began.
        if place in self._keepers and self._files.get(place) != signs_in_with:
            self._keepers.pop(place).stop()
        self._files[place] = signs_in_with
        if place not in self._keepers:
            self._keepers[place] = PackageKeeper(
                functools.partial(self._open_bus, organisation, address),
                shared_root.files_of(organisation).name_key,
                self._clock,
            )
        return self._keepers[place]

    def due(self) -> frozenset[_Reason]:
        """Returns the places of brokers that were connected again since the last look at them, or whose next look is
        due. The first look at a broker is that of a round."""
        return frozenset(
            (place, keeper.connections, keeper.looks)
            for place, keeper in self._keepers.items()
            if keeper.has_returned() or (keeper.looks and keeper.is_due())
        )

    def wait_s(self) -> float:
        """Returns the seconds until the first look is due, or the first pause after a fault ends. Infinite if none
        will."""
        waits = (wait_s for keeper in self._keepers.values() for wait_s in (keeper.look_s, keeper.pause_s))
        return min(filter(None, waits), default=math.inf)

    def keep_only(self, places: Container[_Place]) -> None:
        """Ends the connections to brokers that are no longer listed."""
        for place in [each for each in self._keepers if each not in places]:
            self._keepers.pop(place).stop()

    def stop(self) -> None:
        self.keep_only(())


class _RootPublisher(PeriodicThread):
    """A round each minute, and between them a look at each broker that comes back or is due."""

    def __init__(self, open_bus: OpenBus | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("root-publisher", self._publish, every_s=_EVERY_S)
        self._clock, self._woken = clock, threading.Event()
        """`_woken` is set by the connections' threads."""
        self._connections = RootConnections(open_bus or functools.partial(_open_bus, told=self._woken.set), clock)
        self._round_s = 0.0
        self._tried: frozenset[_Reason] = frozenset()
        """Reasons after which a look did not come about, because a key was away, for example. They wait for the round,
        or this thread would try again without a pause."""

    def stop(self) -> None:
        super().stop()
        self._woken.set()

    def _publish(self) -> None:
        # Before the look, so that news during it ends the next wait at once.
        self._woken.clear()
        is_round = self._clock() >= self._round_s
        if is_round:
            self._round_s, self._tried = self._clock() + _EVERY_S, frozenset()
        due = self._connections.due() - self._tried
        if is_round or due:
            places = frozenset(place for place, _, _ in due)
            publish_due(ends=self._stop, connections=self._connections, only=None if is_round else places)
            self._tried |= due
        if not self._connections.due() - self._tried:
            self._woken.wait(max(0.0, min(self._round_s - self._clock(), self._connections.wait_s())))

    def _pause_s(self, error: Exception | None, faults: int) -> float:
        return 0.0 if error is None else super()._pause_s(error, faults)

    def _end(self) -> None:
        self._connections.stop()


def root_publisher() -> PeriodicThread:
    """Returns the thread that keeps each root of this desk fresh on its brokers."""
    return _RootPublisher()


def publish_due(
    open_bus: OpenBus | None = None,
    now_s: int | None = None,
    ends: threading.Event | None = None,
    connections: RootConnections | None = None,
    only: Container[_Place] | None = None,
) -> None:
    """Stamps and publishes what is due, for each root of several keys.

    Brokers that were away at the last attempt come last. Once `ends` is set, no further broker is asked.

    `connections`: those that stay, and by which the round looks again at brokers that have the package. Without them
    each connection ends with the round. `only`: the round is for these brokers.
    """
    at_s = now_s or int(time.time())
    used = connections or RootConnections(open_bus or _open_bus)
    try:
        _publish_round(used, at_s, ends, only, looks=connections is not None)
    finally:
        if connections is None:
            used.stop()


def _publish_round(
    connections: RootConnections, at_s: int, ends: threading.Event | None, only: Container[_Place] | None,
    *, looks: bool,
) -> None:  # fmt: skip
    deliveries: list[_Delivery] = []
    is_whole = only is None
    for organisation in _shared_roots():
        try:
            deliveries += _deliveries_of(organisation, at_s, only)
        except DoorwardError as error:  # one root must not keep the others from being published
            is_whole = False
            _log.warning("root not published", organisation=organisation.requester_id, error=str(error))
    if is_whole:
        # Only after a whole round: an error with one root must not end its connections.
        connections.keep_only({each.place for each in deliveries})
    begun = _newest_lists()
    # A broker that is away takes half a minute. So those come after the brokers of all roots, and the round ends if a
    # root signs a newer list meanwhile: a revocation waits for one of them at most.
    for delivery in sorted(deliveries, key=lambda each: each.was_away):
        if (ends is not None and ends.is_set()) or (delivery.was_away and _newest_lists() != begun):
            return
        _deliver(delivery, connections, looks=looks)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A package for one broker. `was_away`: the last attempt at it failed."""

    organisation: Organisation
    address: BrokerAddress
    package: bytes
    was_away: bool

    @property
    def place(self) -> _Place:
        return (self.organisation.pk, str(self.address))


def _shared_roots() -> Iterable[Organisation]:
    rows = RootDraft.objects.filter(state="signed").values_list("organisation", flat=True).distinct()
    return Organisation.objects.filter(pk__in=list(rows))


def _newest_lists() -> dict[int, int | None]:
    """Returns the newest signed list of each root."""
    newest = {each.pk: bundles.newest_signed(each) for each in _shared_roots()}
    return {root: found.pk if found else None for root, found in newest.items()}


def _deliveries_of(organisation: Organisation, now_s: int, only: Container[_Place] | None = None) -> list[_Delivery]:
    """Stamps the newest list if that is due. Returns the package for each of its brokers, or for `only` these.

    Raises `ConfigurationError` if the list lacks signatures, and `StorageError`.
    """
    shared_root.delete_sealed_name_key(organisation)  # a kill after the last signature could have left it
    current = bundles.newest_signed(organisation)
    is_ready = current is not None and bool(current.payload) and not shared_root.missing_signatures(current)
    try:
        packages = _packages(organisation, now_s, only) if is_ready else []
    except DoorwardError as error:
        Publication.objects.update_or_create(
            organisation=organisation, broker=NO_BROKER, defaults={"problem": str(error)}
        )
        raise
    Publication.objects.filter(organisation=organisation, broker=NO_BROKER).delete()
    faulty = Publication.objects.filter(organisation=organisation).exclude(problem="")
    away = set(faulty.values_list("broker", flat=True))
    return [_Delivery(organisation, address, package, str(address) in away) for address, package in packages]


def _packages(
    organisation: Organisation, now_s: int, only: Container[_Place] | None
) -> list[tuple[BrokerAddress, bytes]]:
    """Returns the package for each broker. Makes a broker directory that is missing or damaged again."""
    _renew_package(organisation, now_s)
    folder, addresses = shared_root.files_of(organisation), brokers_of(organisation)
    if only is not None:
        addresses = tuple(each for each in addresses if (organisation.pk, str(each)) in only)
    try:
        return [(each, folder.package_for(each)) for each in addresses]
    except DoorwardError:
        shared_root.write_files(organisation)
        return [(each, folder.package_for(each)) for each in addresses]


def _deliver(delivery: _Delivery, connections: RootConnections, *, looks: bool) -> None:
    """Gives a broker the package if it lacks it, and notes the outcome. `looks`: also at one that had it."""
    organisation, address, package = delivery.organisation, delivery.address, delivery.package
    sha256 = hashlib.sha256(package).hexdigest()
    row, _ = Publication.objects.get_or_create(organisation=organisation, broker=str(address))
    is_known = row.sha256 == sha256
    keeper = connections.keeper(organisation, address)
    if keeper.is_paused(package) or (is_known and not (looks and keeper.is_due())):
        return
    try:
        directory = shared_root.files_of(organisation).directory()
        if keeper.keep(package, directory, _TIMEOUT_S, is_new=not is_known):
            row.published_at = timezone.now()
    except DoorwardError as error:
        row.problem = str(error)
    else:
        row.sha256, row.problem = sha256, ""
    if looks:
        with contextlib.suppress(DoorwardError):  # it is in the row already
            keeper.watch()
    row.save()


def brokers_of(organisation: Organisation) -> tuple[BrokerAddress, ...]:
    """Returns the brokers on which the root publishes: those of its newest list, or that of desk.toml."""
    current = bundles.newest_signed(organisation)
    listed = bundles.brokers_in(current.text) if current else ()
    if listed:
        return tuple(each.address for each in listed)
    broker = settings.DESK.broker
    return (BrokerAddress(broker.host, broker.port),) if broker.host else ()


def root_files_with_room(organisation: Organisation) -> int:
    """Returns for how many more root files each broker of the organisation has room beside the list."""
    return shared_root.files_of(organisation).root_files_with_room(brokers_of(organisation))


def late_brokers(organisation: Organisation, now: datetime) -> list[LateBroker]:
    """Returns the brokers of the root that have an old package or none.

    A broker without one is late after its first fault, and else four days after the list was signed.
    """
    current = bundles.newest_signed(organisation)
    if current is None or not current.payload:
        return []
    rows = {each.broker: each for each in Publication.objects.filter(organisation=organisation)}
    late, none = [], Publication()
    for address in brokers_of(organisation):
        row = rows.get(str(address), none)
        since = row.published_at or current.signed_at
        if (row.problem and row.published_at is None) or (since is not None and now - since >= LATE):
            late.append(LateBroker(address, row.published_at))
    return late


def connection_of(organisation: Organisation) -> tuple[Path, str]:
    """Returns the folder with the root's files for brokers, and the name in its certificates."""
    return shared_root.files_of(organisation).folder, f"{_root_id(organisation)}.root"


def stamped_until_s(organisation: Organisation) -> int:
    """Returns the end of the newest timestamp, UTC s. 0 without one."""
    stamp = _newest_stamp(organisation)
    return stamp.expires_s if stamp is not None else 0


def package_sha256(organisation: Organisation, broker: BrokerAddress) -> str:
    """Returns the SHA-256 of the newest package as that broker gets it. Empty without one, or if it or the broker
    directory cannot be read: the desk then makes them again."""
    folder = shared_root.files_of(organisation)
    if not files.is_file(folder.folder / "package.json"):
        return ""
    try:
        return hashlib.sha256(folder.package_for(broker)).hexdigest()
    except DoorwardError:
        return ""


def _renew_package(organisation: Organisation, now_s: int) -> None:
    """Stamps the package again if it is a day old or names an older list or root file."""
    folder, stamp = shared_root.files_of(organisation), _newest_stamp(organisation)
    current, root = bundles.newest_signed(organisation), shared_root.newest_root(organisation)
    if (
        stamp is not None
        and current is not None
        and root is not None
        # One from the future is made again, too: the clock of this machine was wrong then.
        and stamp.issued_s <= now_s < stamp.issued_s + STAMP_EVERY_S
        and (stamp.root_version, stamp.bundle_version) == (root.version, current.version)
    ):
        return
    shared_root.write_files(organisation)
    folder.stamp(
        shared_root.timestamp_signer(organisation), now_s, STAMP_DAYS,
        root_version=root.version if root is not None else 0,
        bundle_version=current.version if current is not None else 0,
    )  # fmt: skip


def _newest_stamp(organisation: Organisation) -> TrustTimestamp | None:
    """Returns the newest timestamp. None without one, or if it cannot be read: the desk then makes a new one."""
    folder = shared_root.files_of(organisation)
    if not files.is_file(folder.folder / "package.json"):
        return None
    try:
        package = strictjson.decode(folder.package(), TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
        opened = envelope.read_several(
            package.timestamp.encode(), TrustTimestamp.PAYLOAD_TYPE, limit_bytes=ROOT_ENVELOPE_LIMIT_BYTES
        )
        return strictjson.decode(opened.payload, TrustTimestamp)
    except DoorwardError:
        return None


def _root_id(organisation: Organisation) -> str:
    root_file = shared_root.root_file_of(organisation)
    return root_file.root if root_file is not None else ""


def _ignore() -> None:
    """Ignores the news."""


def _open_bus(organisation: Organisation, address: BrokerAddress, told: Callable[[], None] = _ignore) -> Bus:
    folder, name = connection_of(organisation)
    found = broker_files(folder, address.host)
    certificate, key = found.pair
    if not all(each is None or files.is_file(each) for each in (found.authority, certificate, key)):
        raise ConfigurationError(
            "The root has no certificate for this broker.",
            remedy="Send the signing request to its operator, and upload the answer.",
        )
    bus = MqttBus(
        BusSettings(
            host=address.host,
            port=address.port,
            name=name,
            authority=found.authority,
            certificate=certificate,
            key=key,
            password_file=found.password,
            inbound_packet_bytes=_INBOUND_PACKET_BYTES,
            keepalive_s=WATCHFUL_KEEPALIVE_S,
        ),
        told,
    )
    try:
        bus.start()
    except DoorwardError:
        bus.stop()
        raise
    return bus
