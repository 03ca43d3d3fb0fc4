"""`doorward requester trust-root` on a real mosquitto: founded, signed, published, and heard by a doorbell."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.cli.requester import trust_root
from agent.clients.cli.requester.trust_root import _connection
from agent.clients.requester import root_folder
from agent.clients.requester.keys import load_key
from agent.clients.requester.package_keeper import KeptPackage, PackageKeeper, RootKeeping
from agent.clients.requester.package_publisher import is_published, publish_package
from agent.clients.requester.root_folder import RootFolder
from agent.core.bus import BusConnected, MessageReceived, PublishAcknowledged, PublishRefused, Subscribed
from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import ConfigurationError, NetworkError
from agent.mqtt import MqttBus
from agent.platform.certificates import signing_request
from agent.uplink.uplink import Uplink
from agent.wire.broker_directory import BrokerAddress
from agent.wire.identities import public_key_of
from agent.wire.statements import TrustChange
from agent.wire.topics import TRUST_FILTER, BrokersTopic, TrustIndexTopic, TrustTopic, brokers_filter
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import trust_key_of_private
from agent.wire.trust_package import split_directory
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.custodian.test_owners_and_trust import trust
from tests.custodians import NAMES, POLICE, Door, stated
from tests.uplink.test_link_over_a_relay import Proxy
from tests.uplink.test_uplink import RunningClock
from tests.wire import samples

pytestmark = pytest.mark.broker

DEVICE = samples.DEVICE_KEY.id
PATIENCE_S = 60.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path / "broker") as world:
        yield world


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Association:
    """People who run a root, and their terminal."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.people = [folder / f"person-{number}.key" for number in range(3)]
        self.online = folder / "online.key"
        for key in (*self.people, self.online):
            self.type("keygen", "--root", "--key", str(key))
        self.root = folder / "root"

    def type(self, *words: str) -> dict[str, Any]:
        self._capsys.readouterr()
        assert run(doorward, ["requester", *words, "--json"]) == 0, self._capsys.readouterr().err
        return dict(json.loads(self._capsys.readouterr().out))

    def keys(self, *files: Path) -> list[str]:
        named = [("--key", trust_key_of_private(load_key(file)).text) for file in files]
        online = trust_key_of_private(load_key(self.online)).text
        return [*(word for pair in named for word in pair), "--timestamp-key", online]

    def found(self) -> str:
        """Founds the root with the keys of all people. Two of them sign. Returns the root's id."""
        made = self.type("trust-root", "found", "--folder", str(self.root), *self.keys(*self.people))
        self.sign(made["to_sign"], *self.people[:2])
        return str(made["root_id"])

    def sign(self, payload: str, *files: Path) -> None:
        for file in files:
            self.type("trust-root", "sign", payload, "--root-key", str(file))

    def list(self, version: int, revoked: bool = False) -> None:
        key = public_key_of(POLICE)
        text = f"""
version = {version}
[[requesters]]
id = "{NAMES[key.id]}"
name = "Harbour Police"
kind = "police"
regions = [{{ south = 53.0, west = 9.0, north = 54.0, east = 11.0 }}]
[[requesters.keys]]
key = "{key.text}"
from = 2020-01-01
until = 2037-12-31
revoked = {str(revoked).lower()}
"""
        source = self.folder / f"list-{version}.toml"
        source.write_text(text, encoding="utf-8")
        made = self.type("trust-root", "list", str(source), "--folder", str(self.root))
        self.sign(made["to_sign"], *self.people[:2])

    def publish_missing(self, port: int) -> int:
        """Returns how many slots were published."""
        words = ("--folder", str(self.root), "--broker", f"127.0.0.1:{port}", "--missing")
        return int(self.type("trust-root", "publish", *words)["chunks"])

    def publish(self, port: int) -> dict[str, Any]:
        self.type("trust-root", "stamp", "--folder", str(self.root), "--timestamp-key", str(self.online))
        return self.type("trust-root", "publish", "--folder", str(self.root), "--broker", f"127.0.0.1:{port}")


def admitted(association: Association, world: BrokerWithClients, slots: int = 4) -> None:
    """The broker's side signs the root's certificate, and reads its access list again."""
    asked = association.type("trust-root", "csr", "--folder", str(association.root))
    root = asked["name"].removesuffix(".root")
    words = [
        "broker",
        "add-root",
        root,
        "--csr",
        asked["csr"],
        "--slots",
        str(slots),
        "--dir",
        str(world.pki.directory),
    ]
    assert run(doorward, words) == 0
    made = world.pki.client(asked["name"])
    for name, source in (("authority.pem", made.authority), ("certificate.pem", made.certificate)):
        (association.root / "tls" / name).write_bytes(source.read_bytes())


class House:
    """A doorbell on a real line."""

    def __init__(self, world: BrokerWithClients, folder: Path) -> None:
        self.door = Door.enrolled(journal=SqliteJournal(folder / "journal.sqlite"))
        self.uplink = Uplink(
            world.bus(DEVICE), self.door.custodian, self.door.outbox, RunningClock(), device=DEVICE, cell_filter=None
        )  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self.uplink.run)
        self._thread.start()

    def stop(self) -> None:
        self.uplink.stop()
        self._thread.join()
        self.door.close()


def test_a_stolen_key_is_refused_at_a_doorbell_soon_after_two_people_signed_and_no_owner_did_anything(
    world: BrokerWithClients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    association = Association(tmp_path, capsys)
    association.found()
    admitted(association, world)
    association.list(1)
    # The broker reads the access list when it reloads. Here it has not started anything of the root yet.
    world.broker.reload()
    house = House(world, tmp_path)
    try:
        root = RootFolder(association.root).name_key
        house.door.obey(TrustChange(**stated(), roots_added=(root.text,)))
        association.publish(world.broker.requester_port)
        until(lambda: len(trust(house.door).heard()) == 1, "the doorbell hears of the root's list")
        asked = {"trust_root": root.id}
        assert house.door.state(house.door.ask(**asked)) is None
        house.door.clock.utc_offset_ns = (int(time.time()) - 200) * 10**9
        trust(house.door).accept(trust(house.door).heard()[0])
        assert resolves(house.door, root.id)
        association.list(2, revoked=True)
        association.publish(world.broker.requester_port)
        until(lambda: not resolves(house.door, root.id), "the revocation has arrived")
        assert house.door.entries()[-1]["reason"] == "tightened"
        assert association.publish_missing(world.broker.requester_port) == 0
        world.broker.kill()
        world.broker.start()
        assert association.publish_missing(world.broker.requester_port) == 4, "the broker had lost it"
    finally:
        house.stop()


def test_a_folder_from_a_backup_brings_nothing_back_and_goes_on_above_what_doorbells_saw(
    world: BrokerWithClients, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of docs/desk.md, "Back up a trust root". An hour passes between two looks at the clock, so the stamp of
    the restored folder is newer than the broker's, as after a night with the timer of docs/install.md."""
    hours = itertools.count()
    monkeypatch.setattr(trust_root, "now_s", lambda: int(time.time()) + 3600 * next(hours))
    association, port = Association(tmp_path, capsys), world.broker.requester_port
    words = ("--folder", str(association.root))
    keys = association.keys(*association.people)
    association.sign(association.type("trust-root", "found", *words, *keys)["to_sign"], *association.people[:2])
    admitted(association, world)
    world.broker.reload()
    association.list(1)
    association.publish(port)
    shutil.copytree(association.root, tmp_path / "backup")
    association.list(2, revoked=True)
    association.publish(port)
    chosen = TrustStore().with_root(RootFolder(association.root).name_key)
    newest = RootFolder(association.root).package()
    seen, _ = chosen.accept(newest)

    shutil.rmtree(association.root)
    shutil.copytree(tmp_path / "backup", association.root)
    association.type("trust-root", "stamp", *words, "--timestamp-key", str(association.online))
    publish = ["requester", "trust-root", "publish", *words, "--broker", f"127.0.0.1:{port}"]
    for more in ([], ["--missing"]):
        assert run(doorward, [*publish, *more]) != 0
        assert "list 2 is there, and list 1 here" in capsys.readouterr().err
    fetched = association.type("trust-root", "fetch", *words, "--broker", f"127.0.0.1:{port}")
    assert (fetched["version"], fetched["sections_lacking"]) == (2, 0)
    assert RootFolder(association.root).package() == newest
    assert run(doorward, ["requester", "trust-root", "list", str(tmp_path / "list-2.toml"), *words]) != 0
    assert "not higher than 2" in capsys.readouterr().err
    association.list(3, revoked=True)
    association.publish(port)
    for door in (seen, chosen):
        took, _ = door.accept(RootFolder(association.root).package(), int(time.time()) + 3600 * next(hours))
        (bundle,) = took.bundles.values()
        assert (bundle.version, bundle.requesters[0].keys[0].revoked) == (3, True)

    shutil.rmtree(association.root)
    shutil.copytree(tmp_path / "backup", association.root)
    association.list(3)
    association.type("trust-root", "stamp", *words, "--timestamp-key", str(association.online))
    fetch = ["requester", "trust-root", "fetch", *words, "--broker", f"127.0.0.1:{port}"]
    for refused, said in ((publish, "another list 3 of this root"), (fetch, "has bundle-3.json with other content")):
        assert run(doorward, refused) != 0
        assert said in capsys.readouterr().err
    assert association.type(*fetch[1:], "--replace")["version"] == 3
    association.list(4, revoked=True)
    assert association.publish(port)["chunks"] == 4

    shutil.rmtree(association.root)
    shutil.copytree(tmp_path / "backup", association.root)
    assert association.type(*publish[1:], "--replace")["chunks"] == 4, "a person may, if a thief signed the newer one"


def test_what_a_killed_broker_had_acknowledged_is_back_before_a_doorbell_connects_again(
    world: BrokerWithClients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """mosquitto writes to its disk every minute. It is killed seconds after it acknowledged a list, and comes back."""
    association = Association(tmp_path, capsys)
    root_id = association.found()
    admitted(association, world)
    association.list(1)
    world.broker.reload()
    port = world.broker.requester_port
    association.publish(port)
    world.broker.kill()
    world.broker.start()
    folder = RootFolder(association.root)
    assert not seen_by_a_doorbell(world, root_id, folder.package()), "an acknowledged list is gone"

    told: SimpleQueue[KeptPackage] = SimpleQueue()

    def open_bus(address: BrokerAddress, news: Callable[[], None]) -> MqttBus:
        bus = MqttBus(replace(_connection(folder, address), keepalive_s=5), news)
        bus.start()
        return bus

    keeping = RootKeeping(folder, (BrokerAddress("127.0.0.1", port),), open_bus, told.put)
    thread = threading.Thread(target=keeping.run)
    thread.start()
    try:
        first = told.get(timeout=PATIENCE_S)
        assert (first.chunks, first.fault) == (4, None)
        assert seen_by_a_doorbell(world, root_id, folder.package())
        world.broker.kill()
        world.broker.start()
        assert told.get(timeout=PATIENCE_S).chunks == 4, "it saw the broker come back, and looked"
        assert seen_by_a_doorbell(world, root_id, folder.package())
        before = folder.package()
        association.list(2, revoked=True)
        association.type(
            "trust-root", "stamp", "--folder", str(association.root), "--timestamp-key", str(association.online)
        )
        assert folder.package() != before
        second = told.get(timeout=PATIENCE_S)
        assert (second.chunks, second.sha256) == (4, hashlib.sha256(folder.package()).hexdigest())
        assert seen_by_a_doorbell(world, root_id, folder.package()), "a new stamp needs no command"
    finally:
        keeping.stop()
        thread.join()


def seen_by_a_doorbell(world: BrokerWithClients, root: str, package: bytes) -> bool:
    bus = world.bus(DEVICE)
    bus.start()
    try:
        return is_published(bus, root, package, PATIENCE_S)
    finally:
        bus.stop()


def resolves(door: Door, root: str) -> bool:
    key = public_key_of(POLICE)
    return trust(door).store.resolve(root, NAMES[key.id], key.id, None) is not None


def test_only_the_root_publishes_in_its_slots_and_it_publishes_nothing_else(
    world: BrokerWithClients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = ["c3" * 8, "d4" * 8]
    for root, slots in zip(roots, (11, 1), strict=True):
        files = world.pki.client(f"{root}.root")
        world.pki.add_root(root, time_of(), request=signing_request(files.key, f"{root}.root"), slots=slots)
    with pytest.raises(ConfigurationError, match="0 of 12 slots left"):
        world.pki.add_root("e5" * 8, time_of(), request=signing_request(tmp_path / "key.pem", "x"), slots=1)
    with pytest.raises(ConfigurationError, match="not a root's id"):
        world.pki.add_root("police", time_of(), request=b"")
    world.broker.reload()
    first, second = (world.bus(f"{root}.root") for root in roots)
    police, device = world.bus("springfield-police"), world.bus(DEVICE, inbound_beat_s=0.0)
    for bus in (first, second, police, device):
        bus.hurry(True)
        bus.start()
        assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
    device.subscribe(TRUST_FILTER)
    assert isinstance(device.next_event(PATIENCE_S), Subscribed)
    allowed = [(first, str(TrustTopic(roots[0], slot))) for slot in range(11)]
    allowed.append((second, str(TrustTopic(roots[1], 0))))
    indexes = [str(TrustIndexTopic(root)) for root in roots]
    forbidden = [
        (first, str(TrustTopic(roots[0], 11))),
        (second, str(TrustTopic(roots[1], 1))),
        (first, str(TrustTopic(roots[1], 0))),
        (first, indexes[1]),
        (police, str(TrustTopic(roots[0], 0))),
        (police, indexes[0]),
        (device, str(TrustTopic(roots[0], 0))),
        (device, indexes[0]),
    ]
    for number, (bus, topic) in enumerate([*allowed, (first, indexes[0]), (second, indexes[1])]):
        assert isinstance(said(bus, topic, number), PublishAcknowledged)
    for index in indexes:
        event = device.next_event(PATIENCE_S)
        assert isinstance(event, MessageReceived)
        assert event.topic == index, "a doorbell asks for a slot when it lacks the piece"
    for number, (bus, topic) in enumerate(forbidden, 20):
        assert isinstance(said(bus, topic, number), PublishRefused)
    for number, topic in enumerate(
        (
            "doorward/v1/areas/283-375/requests/springfield-police/0",
            f"doorward/v1/areas/283-375/requests/{roots[0]}.root/0",
            f"doorward/v1/receipts/{DEVICE}/{'cd' * 16}",
            f"doorward/v1/up/springfield-police/{DEVICE}/{'cd' * 16}-0/init",
        ),
        30,
    ):
        assert isinstance(said(first, topic, number), PublishRefused)
    assert device.next_event(0.3) is None
    # A package that needs more slots than its root has is refused by name, and a shorter one clears what it may.
    with pytest.raises(ConfigurationError, match="refuses slot 1"):
        publish_package(second, roots[1], b"x" * 20_000, PATIENCE_S)
    assert publish_package(first, roots[0], b"x" * 20_000, PATIENCE_S) == 2


class CutOff:
    """A root's connection to a real broker. It ends at each message to one topic, as at a service that hangs up."""

    def __init__(self, bus: MqttBus, way: Proxy, topic: str) -> None:
        self._bus, self._way, self.topic = bus, way, topic

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        if topic == self.topic:
            self._way.cut()
        return self._bus.publish(topic, payload, token=token, retain=retain)


@pytest.mark.at_length("make test-long")
def test_requesters_get_a_directory_once_from_a_broker_that_hangs_up_at_the_list(world: BrokerWithClients) -> None:
    key = samples.ROOT_KEY
    name, package, directory = f"{key.id}.root", b"x" * 20_000, b"d" * 300_000
    files = world.pki.client(name)
    world.pki.add_root(key.id, time_of(), request=signing_request(files.key, name), slots=4)
    world.broker.reload()
    police = world.bus("springfield-police")
    police.start()
    police.subscribe(brokers_filter(key.id))
    way = Proxy(("127.0.0.1", world.broker.requester_port))
    refused = str(TrustTopic(key.id, 1))
    try:

        def open_bus() -> Any:
            bus = world.bus(name, port=way.port)
            bus.start()
            return CutOff(bus, way, refused)

        keeper = PackageKeeper(open_bus, key)
        for _ in range(3):
            with pytest.raises(NetworkError, match="ends the connection instead of taking"):
                keeper.keep(package, directory, 8.0, is_new=True)
        refused = "none"
        assert keeper.keep(package, directory, PATIENCE_S, is_new=True) == 2
        keeper.stop()
        pieces = len(split_directory(directory))
        got = [
            event.topic for event in iter(lambda: police.next_event(2.0), None) if isinstance(event, MessageReceived)
        ]
        assert sorted(got) == [str(BrokersTopic(key.id, slot)) for slot in range(pieces)]
    finally:
        way.close()


def test_a_broker_that_was_killed_lacks_a_package_that_it_had_acknowledged(world: BrokerWithClients) -> None:
    root, package = "c3" * 8, b"x" * 20_000
    files = world.pki.client(f"{root}.root")
    made = world.pki.add_root(root, time_of(), request=signing_request(files.key, f"{root}.root"), slots=2)
    world.broker.reload()
    bus = world.bus(made.name, inbound_beat_s=0.0)
    bus.start()
    publish_package(bus, root, package, PATIENCE_S)
    assert is_published(bus, root, package, PATIENCE_S)
    assert not is_published(bus, root, b"y" * 20_000, PATIENCE_S)
    world.broker.kill()
    world.broker.start()
    assert not is_published(bus, root, package, PATIENCE_S)
    publish_package(bus, root, package, PATIENCE_S)
    assert is_published(bus, root, package, PATIENCE_S)


def said(bus: Any, topic: str, token: int, data: bytes = b"x") -> object:
    assert bus.publish(topic, data, token=token)
    while True:
        event = bus.next_event(PATIENCE_S)
        assert event is not None
        if not isinstance(event, MessageReceived):
            return event


def time_of() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_a_broker_that_is_away_is_named(world: BrokerWithClients) -> None:
    root = "c3" * 8
    files = world.pki.client(f"{root}.root")
    world.pki.add_root(root, time_of(), request=signing_request(files.key, f"{root}.root"))
    bus = world.bus(f"{root}.root")
    world.broker.stop()
    bus.start()
    with pytest.raises(NetworkError, match="has not taken the package"):
        publish_package(bus, root, b"x", 1.0)


def test_a_change_of_keys_says_for_how_many_more_a_broker_has_room_before_anyone_signs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    association = Association(tmp_path, capsys)
    words = ["--folder", str(association.root)]
    keys = [*words, *association.keys(*association.people)]
    association.sign(association.type("trust-root", "found", *keys)["to_sign"], *association.people[:2])
    association.list(1)
    association.type("trust-root", "stamp", *words, "--timestamp-key", str(association.online))
    package = RootFolder(association.root).package()
    (root_file,) = json.loads(package)["roots"]
    for room, said in ((5, ""), (4, "have 3 more sets"), (2, "have 1 more"), (1, "WARNING"), (-3, "WARNING")):
        monkeypatch.setattr(root_folder, "PUBLISHED_LIMIT_BYTES", len(package) + int(room * len(root_file)))
        waits = association.type("trust-root", "rotate", *keys)
        assert waits["sets_left"] == max(0, room)
        assert run(doorward, ["requester", "trust-root", "rotate", *keys]) == 0
        err = capsys.readouterr().err
        assert said in err, "the one that waits for signatures counts, too"
        assert bool(err) == bool(said)
        for number in (2, 3):
            Path(waits["to_sign"]).with_name(f"root-{number}.json").unlink()
    (association.root / "package.json").write_text("{}")
    assert association.type("trust-root", "rotate", *keys)["sets_left"] == 15, "a stolen key must go in any case"
    (association.root / "root-15.json").write_text("{}")
    assert association.type("trust-root", "rotate", *keys)["sets_left"] == 1, "a package has sixteen"


def test_passwords_are_listed_with_those_of_brokers_that_left_the_list_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*words: str) -> tuple[int, str]:
        status = run(doorward, ["requester", "trust-root", "passwords", "--folder", str(tmp_path), *words])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    assert said() == (0, "No password is stored.\n")
    for host in ("left.example.org", "near.example.org"):
        (tmp_path / "tls" / host).mkdir(parents=True)
        (tmp_path / "tls" / host / "broker.password").write_text("sekret\n")
    assert said()[1].count("not in the root's list") == 2, "nothing is stamped yet"
    monkeypatch.setattr(RootFolder, "brokers", lambda _root: [BrokerAddress("near.example.org", 8884)])
    assert said() == (0, "left.example.org  not in the root's list\nnear.example.org  in the root's list\n")
    assert said("--remove", "../tls")[0] == 2
    status, shown = said("--remove", "left.example.org")
    assert (status, "sekret" in shown) == (0, False)
    assert shown.endswith("near.example.org  in the root's list\n")
    assert json.loads(said("--json")[1]) == {
        "passwords": [{"broker": "near.example.org", "listed": True}], "removed": None,
    }  # fmt: skip


def test_commands_say_what_comes_next_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    association = Association(tmp_path, capsys)
    words = ["--folder", str(association.root)]
    found = ["requester", "trust-root", "found", *words, *association.keys(*association.people)]
    assert run(doorward, found) == 0
    assert "Owners who trust this root add:  ed25519:" in capsys.readouterr().out
    first = association.root / "root-1.json"
    assert run(doorward, ["requester", "trust-root", "sign", str(first), "--root-key", str(association.people[0])]) == 0
    assert "Your signature is in" in capsys.readouterr().out
    association.sign(str(first), association.people[1])
    association.list(1)
    source = tmp_path / "list-2.toml"
    source.write_text((tmp_path / "list-1.toml").read_text().replace("version = 1", "version = 2"), encoding="utf-8")
    assert run(doorward, ["requester", "trust-root", "list", str(source), *words]) == 0
    assert "waits for signatures" in capsys.readouterr().out
    (association.root / "bundle-2.json").unlink()
    assert run(doorward, ["requester", "trust-root", "keep", *words]) == 2
    assert "package.json is missing" in capsys.readouterr().err
    assert run(doorward, ["requester", "trust-root", "stamp", *words, "--timestamp-key", str(association.online)]) == 0
    assert "Publish it, or give it to owners as a file." in capsys.readouterr().out
    assert run(doorward, ["requester", "trust-root", "publish", *words, "--broker", "127.0.0.1:1"]) == 2
    assert "authority.pem is missing" in capsys.readouterr().err
    assert run(doorward, ["requester", "trust-root", "keep", *words]) == 2
    assert "The root's list names no brokers" in capsys.readouterr().err
    assert run(doorward, ["requester", "trust-root", "csr", *words]) == 0
    assert "doorward broker add-root" in capsys.readouterr().out
    rotated = ["requester", "trust-root", "rotate", *words, *association.keys(*association.people[:2])]
    assert run(doorward, rotated) == 0
    assert "So must the threshold of the keys before." in capsys.readouterr().out
    assert association.type("trust-root", "rotate", *words, *association.keys(*association.people))["to_sign"]
    weak = ["requester", "trust-root", "rotate", *words, *association.keys(association.people[0]), "--threshold", "2"]
    assert run(doorward, weak) == 2
    assert "more than there are keys" in capsys.readouterr().err
