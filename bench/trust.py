"""Time from a root's signature to the refusal of a stolen key, beside a bare message: `python -m bench trust`.

A real mosquitto with our configuration and access lists. Each light doorbell has the real link, the real reading
(`uplink.trust_reading`) and judging of packages (`custodian.trust_news`), on a journal in memory and without camera and
vault. Two people sign a bundle that revokes an agency's key, the online key stamps it, and the package is published.
The clock starts before the first signature. A doorbell is done once a request by that key is refused.

In the same run bytes of the same length, which are no package and which no doorbell judges, take the same way: the
limit. The goal is 99
% of connected doorbells within 60 s, without an owner.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.clients.requester.keys import FileSigner
from agent.clients.requester.package_publisher import publish_package
from agent.clients.requester.root_folder import RootFolder
from agent.core.bus import BusConnected, MessageReceived, Subscribed
from agent.core.timebase import BootNs
from agent.custodian.custodian import Custodian
from agent.custodian.trust_store import TrustManager
from agent.mqtt import MqttBus
from agent.platform.certificates import signing_request
from agent.uplink.trust_reading import TrustReading
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import TrustChange
from agent.wire.topics import TRUST_FILTER
from agent.wire.trust_keys import TrustKey, trust_key_of_private
from agent.wire.trust_package import TRUST_SLOTS
from tests.brokers import NOW, BrokerWithClients, broker_with_clients
from tests.custodians import NAMES, POLICE, Door, stated
from tests.vaults import SteppedClock
from tests.wire import samples

DOORBELLS = 50
"""Unless the command line says otherwise. They share one processor, so the last ones wait for the first."""
REQUESTERS = 60
"""On the root's list, so that the package has a usual size."""
GOAL_S = 60.0
PATIENCE_S = 300.0
_STAY_S = 120.0
"""Between two lists. A doorbell has saved up room for a whole one by then."""
PEOPLE = tuple(private_key_from_seed(bytes([number]) * 32) for number in range(1, 4))
ONLINE = private_key_from_seed(bytes([7]) * 32)
_ENTRY = """
[[requesters]]
id = "{id}"
name = "{name}"
kind = "police"
regions = [{{ south = 53.0, west = 9.0, north = 54.0, east = 11.0 }}]
[[requesters.keys]]
key = "{key}"
from = 2020-01-01
until = 2037-12-31
revoked = {revoked}
"""


class LightDoorbell:
    """A doorbell's link and its judging of packages, with its own thread."""

    def __init__(self, world: BrokerWithClients, number: int, root: TrustKey) -> None:
        self._bus = world.bus(f"{number:016x}")
        self._door = Door(clock=SteppedClock(utc_offset_ns=time.time_ns()))
        self._door.enrol()
        self._door.obey(TrustChange(**stated(), roots_added=(root.text,)))
        self._root = root.id
        self._reading = TrustReading(self._bus, random.SystemRandom().uniform)
        self._later_ns = 0
        self.bare_s: float | None = None
        self.refused_s: float | None = None
        self.subscribed = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def custodian(self) -> Custodian:
        return self._door.custodian

    def trusts(self) -> bool:
        """Returns True if a request by the agency's key would be judged."""
        key = public_key_of(POLICE)
        return self._trust.store.resolve(self._root, NAMES[key.id], key.id, None) is not None

    def agree(self) -> None:
        """An owner's yes to the package that the doorbell has heard."""
        self._trust.accept(self._trust.heard()[0])

    def waits(self) -> bool:
        return bool(self._trust.heard())

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()
        self._door.close()

    @property
    def _trust(self) -> TrustManager:
        return self._door.custodian.custodian_state.trust

    def _run(self) -> None:
        self._bus.start()
        self._bus.subscribe(TRUST_FILTER)
        while not self._stopping:
            match self._bus.next_event(0.2):
                case BusConnected():
                    self._reading.connected(self._now())
                case Subscribed(topic_filter=topic_filter):
                    self.subscribed.set()
                    self._reading.subscribed(topic_filter, self._now())
                case MessageReceived(topic=topic, payload=payload):
                    self._hand_over(self._reading.take(topic, payload, self._now()) or ())
            self._hand_over(self._reading.turn(self._now()))

    def _hand_over(self, chunks: tuple[tuple[str, bytes], ...]) -> None:
        if not chunks:
            return
        did, self.bare_s = self.trusts(), time.monotonic()
        for chunk in chunks:
            self.custodian.on_message(*chunk)
        if did and not self.trusts():
            self.refused_s = time.monotonic()

    def stay(self, duration_s: float) -> None:
        """Lets its clock go on, so that it has been connected for a while."""
        self._later_ns += int(duration_s * 1e9)

    def _now(self) -> BootNs:
        return BootNs(time.monotonic_ns() + self._later_ns)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DOORBELLS
    with tempfile.TemporaryDirectory() as folder, broker_with_clients(Path(folder) / "broker") as world:
        root = RootFolder(Path(folder) / "root")
        first = root.found(
            samples.root_file(
                keys=tuple(trust_key_of_private(key).text for key in PEOPLE),
                timestamp_keys=(trust_key_of_private(ONLINE).text,),
                issued_s=int(time.time()),
                expires_s=int(time.time()) + 365 * 86_400,
            )
        )
        for key in PEOPLE[:2]:
            root.sign(first, FileSigner(key))
        name = root.name_key
        files = world.pki.client(f"{name.id}.root")
        world.pki.add_root(name.id, NOW, request=signing_request(files.key, f"{name.id}.root"), slots=TRUST_SLOTS)
        for number in range(count):
            world.settings(f"{number:016x}")
        world.broker.reload()
        bus = world.bus(f"{name.id}.root")
        bus.start()
        doorbells = [LightDoorbell(world, number, name) for number in range(count)]
        try:
            return _measure(root, bus, doorbells)
        finally:
            for each in doorbells:
                each.stop()


def _measure(root: RootFolder, bus: MqttBus, doorbells: list[LightDoorbell]) -> int:
    for each in doorbells:
        assert each.subscribed.wait(PATIENCE_S)
    publish_package(bus, root.name_key.id, _signed(root, 1, revoked=False), PATIENCE_S)
    _until(lambda: all(each.waits() for each in doorbells))
    for each in doorbells:
        each.agree()
        assert each.trusts()
        each.stay(_STAY_S)
    size = len(root.package())
    begun_s = time.monotonic()
    publish_package(bus, root.name_key.id, random.randbytes(size), PATIENCE_S)
    _until(lambda: all((each.bare_s or 0.0) > begun_s for each in doorbells))
    bare = sorted((each.bare_s or 0.0) - begun_s for each in doorbells)
    for each in doorbells:
        each.stay(_STAY_S)
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    package = _signed(root, 2, revoked=True)
    signed_s = time.monotonic() - begun_s
    publish_package(bus, root.name_key.id, package, PATIENCE_S)
    _until(lambda: all(each.refused_s is not None for each in doorbells))
    cpu_s = time.process_time() - begun_cpu_s
    refused = sorted((each.refused_s or 0.0) - begun_s for each in doorbells)
    print(f"{len(doorbells)} light doorbells on one mosquitto, package of {size} bytes, {REQUESTERS} requesters")
    print(f"{'':34}{'median':>9}{'99 %':>9}{'last':>9}")
    for what, found in (("bytes of that length", bare), ("signature to refusal of the key", refused)):
        print(f"{what:34}{statistics.median(found):8.2f}s{found[int(len(found) * 0.99)]:8.2f}s{found[-1]:8.2f}s")
    print(f"of which two signatures, a timestamp and the checks before publishing: {signed_s:.2f} s")
    print(f"processor time of all doorbells and the root together: {cpu_s:.2f} s")
    print(f"goal: 99 % within {GOAL_S:.0f} s, without an owner: {'met' if refused[-1] <= GOAL_S else 'MISSED'}")
    return 0 if refused[-1] <= GOAL_S else 1


def _signed(root: RootFolder, version: int, *, revoked: bool) -> bytes:
    """Returns the package of a new version, signed by two people and stamped."""
    key = public_key_of(POLICE)
    entries = [_ENTRY.format(id=NAMES[key.id], name="Harbour Police", key=key.text, revoked=str(revoked).lower())]
    for number in range(REQUESTERS - 1):
        other = public_key_of(private_key_from_seed(number.to_bytes(32, "big"))).text
        entries.append(_ENTRY.format(id=f"agency-{number}", name=f"Agency {number}", key=other, revoked="false"))
    source = root.folder.parent / f"list-{version}.toml"
    source.write_text(f"version = {version}\n{''.join(entries)}", encoding="utf-8")
    payload = root.propose(source, int(time.time()))
    for key_of in PEOPLE[:2]:
        root.sign(payload, FileSigner(key_of))
    return root.stamp(FileSigner(ONLINE), int(time.time()), 7)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The doorbells did not hear it.")
        time.sleep(0.01)


if __name__ == "__main__":
    raise SystemExit(main())
