"""An owner away from home: a session of the link over a real relay, and what the relay saw of it."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.cli.checks.broker import check_relay
from agent.cli.checks.finding import CheckStatus
from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.broker.relay import set_account
from agent.clients.owner.device_settings import change_settings
from agent.core.bus import BusConnected, MessageReceived
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_operations import GetStatus, ListEvents
from agent.mqtt import BusSettings, MqttBus
from agent.uplink import relay_connection
from agent.uplink.relay_connection import RelayConnection, relay_settings
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.link.schedule import address_of
from agent.wire.link.topics import link_filter
from tests.brokers import NOW
from tests.custodian.page.door import Door
from tests.link_clients import LinkClient
from tests.relays import LinkChannel, RelayBrowser, RelayCarrier

pytestmark = pytest.mark.broker

PATIENCE_S = 60.0
CANARY = "Canarybird"


class Proxy:
    """A way to the relay that counts bytes, and can hold them back, or pass a number of them on each second."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.bytes = self.packets = 0
        self.held = threading.Event()
        self.bytes_per_s = 0.0
        """0: no limit."""
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._closed = True
        self.held.clear()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def cut(self) -> None:
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pass_on, args=(source, target)))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4096 if self.bytes_per_s else 65536):
                while self.held.is_set() and not self._closed:
                    time.sleep(0.01)
                self.bytes += len(data)
                self.packets += 1
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class World:
    """A relay, a doorbell behind a proxy with an owner, and a witness that hears every frame."""

    def __init__(self, folder: Path) -> None:
        self.pki = BrokerPki.create(folder / "relay", NOW)
        self.broker = PrivateBroker(folder / "relay", relay=True)
        seed = secrets.token_bytes(32)
        StateFolder(folder / "door" / "device").initialise(private_key_from_seed(seed))
        device = public_key_of(private_key_from_seed(seed))
        self.account = device.id
        self.broker.start()
        self.password = set_account(self.pki, self.account)
        self.broker.stop()
        self.broker.start()
        self.proxy = Proxy((self.broker.host, self.broker.link_port))
        self.files = self.pki.add_device(device.id, NOW)
        self.door = Door(folder / "door", sections=self.section())
        self.keys = self.door.claim()
        self.saw: list[bytes] = []
        self.browsers: list[RelayBrowser] = []

    def section(self) -> str:
        return (
            f'[remote]\nhost = "127.0.0.1"\nport = {self.proxy.port}\nca = "{self.files.authority}"\n'
            f'certificate = "{self.files.certificate}"\nkey = "{self.files.key}"\n'
            f'url = "wss://127.0.0.1:{self.broker.web_port}"\npassword = "{self.password}"\nkeepalive_s = 30\n'
        )

    def link_address(self) -> dict[str, object]:
        return dict(self.door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"])

    def browser(self) -> RelayBrowser:
        self.browsers.append(RelayBrowser(self.broker, self.account, self.password))
        return self.browsers[-1]

    def session(self) -> LinkClient:
        """Begins a session; the doorbell may not have subscribed yet."""
        secret = bytes.fromhex(str(self.link_address()["secret"]))
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            carrier = RelayCarrier(self.browser(), self.account, address_of(secret))
            try:
                return LinkClient(carrier, secret, self.door.solo.device, self.keys.approval)
            except ValueError:  # no answer
                assert time.monotonic() < deadline_s

    def relay_status(self) -> str:
        return str(self.door.solo.status()["link"]["relay"])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}"
            time.sleep(0.05)

    def close(self) -> None:
        for each in self.browsers:
            each.close()
        self.door.close()
        self.proxy.close()
        self.broker.stop()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)
    found = World(tmp_path)
    try:
        found.until(lambda: found.relay_status() == "connected", "the relay")
        time.sleep(0.5)  # it looks for the address of its new owner
        yield found
    finally:
        found.close()


def test_an_owner_away_from_home_reads_today_s_events_and_signs_a_decision_and_the_relay_reads_neither(
    world: World,
) -> None:
    witness = world.browser()
    witness.subscribe("doorward/v1/link/#")
    settings = BusSettings(
        world.broker.host,
        world.broker.link_port,
        secrets.token_hex(8),
        world.files.authority,
        world.files.certificate,
        world.files.key,
        inbound_beat_s=0.0,
        inbound_packet_bytes=1 << 20,
    )
    beside = MqttBus(settings)
    beside.hurry(True)
    beside.start()
    try:
        assert isinstance(beside.next_event(PATIENCE_S), BusConnected)
        for each in world.door.solo.link.addresses():  # type: ignore[union-attr]
            beside.subscribe(link_filter(world.account, each))
        channel = LinkChannel(world.session())
        assert channel.ask(ListEvents(from_ms=0, to_ms=10**13)).events == ()
        change_settings(channel, world.keys, {"name": CANARY})
        assert channel.ask(GetStatus()).device == CANARY
        frames = [payload for _topic, payload in iter(witness.take, None)]
        while (event := beside.next_event(0.5)) is not None:
            if isinstance(event, MessageReceived):
                frames.append(event.payload)
    finally:
        beside.stop()
    assert len(frames) > 10
    seen = b"".join(frames)
    for word in (CANARY, "front-door", "owner-1", '"op"', "payload", "events", world.keys.approver.text):
        assert word.encode() not in seen
    assert {len(each) for each in frames} <= {1250, 1233, 145, 256, 1024, 4096, 15360}


def test_owners_clients_get_the_relay_and_its_account_and_status_shows_neither(world: World) -> None:
    relay = world.link_address()["relay"]
    assert relay == {
        "url": f"wss://127.0.0.1:{world.broker.web_port}",
        "account": world.account,
        "password": world.password,
    }
    assert world.password not in str(world.door.solo.status())


def test_a_cut_ends_the_session_and_a_new_one_works(world: World) -> None:
    client = world.session()
    assert client.ask("status").head["ok"] is True
    world.proxy.cut()
    world.until(lambda: world.relay_status() != "connected", "the cut")
    world.until(lambda: world.relay_status() == "connected", "the relay again")
    client.start("status")
    world.until(lambda: client.hear(0.1) or client.ended is not None, "the end of the session")
    assert client.ended == "over"
    assert world.session().ask("status").head["ok"] is True


def test_a_relay_that_answers_nothing_delays_nothing_at_home(world: World) -> None:
    client = world.session()
    world.proxy.held.set()
    client.start("status")
    begun_s = time.monotonic()
    cookie = world.door.owner(world.keys)
    for _ in range(5):
        assert world.door.op("status", cookie).status == 200
    assert time.monotonic() - begun_s < PATIENCE_S
    world.proxy.held.clear()
    world.until(lambda: client.hear(0.1) or bool(client.whole), "the answer, late")


def test_a_relay_away_is_said_in_words_and_found_again(world: World) -> None:
    world.broker.kill()
    world.until(lambda: world.relay_status() not in ("connected", "connecting"), "the loss")
    assert world.door.solo.status()["link"]["relay_remedy"]
    assert world.door.op("status", world.door.owner(world.keys)).status == 200
    world.broker.start()
    world.until(lambda: world.relay_status() == "connected", "the relay")
    assert world.session().ask("status").head["ok"] is True


def test_the_page_may_connect_to_its_own_relay_and_to_nothing_else(world: World) -> None:
    cookie = world.door.owner(world.keys)
    for path in ("/pair", "/static/worker.js", "/nothing"):
        policy = world.door.ask("GET", path, cookie=cookie).headers["content-security-policy"]
        sources = next(each for each in policy.split("; ") if each.startswith("connect-src"))
        assert sources == f"connect-src 'self' wss://127.0.0.1:{world.broker.web_port}"


def test_the_doctor_reaches_the_relay_and_says_what_is_wrong_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = world.door.solo._owned.file
    found = list(check_relay(configuration, NOW))
    assert [each.health for each in found] == [CheckStatus.FINE] * 2 + [CheckStatus.POOR], found
    assert "accepts our certificate" in found[0].message
    assert "does not trust the certificate" in found[2].message
    monkeypatch.setenv("SSL_CERT_FILE", str(world.broker.directory / "authorities" / "broker.pem"))
    for chosen in ("http/1.1", None):
        monkeypatch.setattr(ssl.SSLSocket, "selected_alpn_protocol", lambda _link, chosen=chosen: chosen)
        found = list(check_relay(configuration, NOW))
        assert [each.health for each in found] == [CheckStatus.FINE] * 4, found
        assert "this machine trusts" in found[2].message
    monkeypatch.setattr(ssl.SSLSocket, "selected_alpn_protocol", lambda _link: "h2")
    *others, http2 = check_relay(configuration, NOW)
    assert others == found
    assert (http2.health, "Firefox cannot use" in http2.message) == (CheckStatus.POOR, True)
    assert list(check_relay(msgspec.structs.replace(configuration, remote=None), NOW)) == []
    assert configuration.remote is not None
    without = msgspec.structs.replace(configuration.remote, key=Path("/nonexistent"))
    (fault,) = check_relay(msgspec.structs.replace(configuration, remote=without), NOW)
    assert (fault.health, fault.subject) == (CheckStatus.BAD, "relay")
    world.broker.stop()
    world.proxy.cut()
    away = [each for each in check_relay(configuration, NOW) if each.health is CheckStatus.BAD]
    assert away
    assert away[0].remedy
    assert "cannot be reached from here" in list(check_relay(configuration, NOW))[-1].message


def test_the_doctor_notices_that_the_address_for_browsers_is_another_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(world.broker.directory / "authorities" / "broker.pem"))
    configuration = world.door.solo._owned.file
    assert configuration.remote is not None
    other = msgspec.structs.replace(configuration.remote, url=f"wss://127.0.0.1:{world.broker.link_port}")
    found = list(check_relay(msgspec.structs.replace(configuration, remote=other), NOW))
    assert found[-1].health in (CheckStatus.BAD, CheckStatus.POOR)
    assert found[-1].subject == "relay for browsers"


def test_without_sessions_the_relay_gets_pings_only_at_most_a_kilobyte_a_minute(world: World) -> None:
    keepalive_s, watched_s = 10, 24
    proxy = Proxy((world.broker.host, world.broker.link_port))
    settings = BusSettings(
        "127.0.0.1",
        proxy.port,
        secrets.token_hex(8),
        world.files.authority,
        world.files.certificate,
        world.files.key,
        keepalive_s=keepalive_s,
    )
    link = world.door.solo.link
    assert link is not None
    relay = RelayConnection(MqttBus(relay_settings(settings)), link, world.account, link.addresses)
    relay.start()
    try:
        world.until(lambda: relay.status().relay == "connected", "the relay")
        time.sleep(1.0)
        before, packets = proxy.bytes, proxy.packets
        world.door.solo.notify("button", "The button was pressed.")
        time.sleep(watched_s)
        sent, crossed = proxy.bytes - before, proxy.packets - packets
    finally:
        relay.stop()
        proxy.close()
    assert crossed > 0, "it pings"
    on_the_wire = sent + crossed * 2 * 52  # with the headers of each packet and of its acknowledgement
    pings_a_minute = 60 / 30  # at the shortest keep-alive of the configuration
    assert on_the_wire / (watched_s // keepalive_s) * pings_a_minute <= 1000


def test_a_relay_that_repeats_and_invents_frames_changes_nothing_and_the_session_goes_on(world: World) -> None:
    witness, client = world.browser(), world.session()
    root = f"doorward/v1/link/{world.account}/{address_of(bytes.fromhex(str(world.link_address()['secret'])))}"
    carrier = client.carrier
    sent: list[bytes] = []
    send = carrier.send

    def noting(session: str, *frames: bytes) -> None:
        sent.extend(frames)
        send(session, *frames)

    carrier.send = noting  # type: ignore[method-assign]
    channel = LinkChannel(client)
    change_settings(channel, world.keys, {"name": CANARY})
    before = world.door.solo.status()["owners"], channel.ask(GetStatus()).device
    for frame in (*sent, *(bytes([0x10]) + secrets.token_bytes(255) for _ in range(20)), secrets.token_bytes(1250)):
        assert witness.publish(f"{root}/{client.id}/in", frame)
    assert channel.ask(GetStatus()).device == CANARY, "it goes on"
    assert (world.door.solo.status()["owners"], channel.ask(GetStatus()).device) == before


def test_a_relay_with_another_certificate_is_refused_in_words_and_the_home_goes_on(world: World) -> None:
    world.broker.stop()
    other = BrokerPki.create(world.broker.directory.with_name("other"), NOW)
    for name in ("broker.pem", "broker.key"):
        (world.broker.directory / name).write_bytes((other.directory / name).read_bytes())
    world.broker.start()
    world.until(lambda: world.relay_status() == "broker not trusted", "the refusal")
    assert world.door.solo.status()["link"]["relay_remedy"]
    assert world.door.op("status", world.door.owner(world.keys)).status == 200
