"""`PYTHONPATH=. python -m tests.interop.rabbitmq`: a real RabbitMQ, with our rules and our certificates.

Debian 13's RabbitMQ runs from a separate root on loopback, with TLS 1.3, client certificates and the two ACL files
translated as `config/mosquitto/README.md` says. Each question is asked with the bus that a doorbell and a requester
use; the answers are printed for that document. Wants root, mmdebstrap and systemd-nspawn.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.requester.retained_messages import PublicationMonitor
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.mqtt import MqttBus
from agent.ports import Bus
from agent.wire.topics import requester_of
from tests.brokers import NOW, BrokerWithClients, is_device
from tests.install.container import ENVIRONMENT, base

PACKAGES = "rabbitmq-server,ca-certificates"
DEVICE, OTHER, POLICE = "a1" * 8, "b2" * 8, "springfield-police"
DESK_1, DESK_2 = f"{POLICE}.desk-1", f"{POLICE}.desk-2"
ROOT = "89" * 8 + ".root"
"""A trust root that publishes its list."""
CLIENTS = (DEVICE, OTHER, POLICE, DESK_1, DESK_2, ROOT)
REQUEST = f"doorward/v1/areas/283-375/requests/{POLICE}/0"
UP = f"doorward/v1/up/{POLICE}/{DEVICE}/{'0' * 32}-1/0"
CONFIGURATION = """\
listeners.tcp = none
mqtt.listeners.tcp = none
mqtt.listeners.ssl.default = 127.0.0.1:PORT
mqtt.ssl_cert_login = true
mqtt.allow_anonymous = false
ssl_cert_login_from = common_name
ssl_options.cacertfile = /doorward/clients.pem
ssl_options.certfile = /doorward/broker.pem
ssl_options.keyfile = /doorward/broker.key
ssl_options.versions.1 = tlsv1.3
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
load_definitions = /doorward/definitions.json
"""
DOCUMENT = Path("config/mosquitto/README.md")
SURROUNDINGS = {
    "RABBITMQ_NODENAME": "rabbit@localhost",
    "RABBITMQ_CONFIG_FILE": "/doorward/rabbitmq.conf",
    "RABBITMQ_ADVANCED_CONFIG_FILE": "/doorward/advanced.config",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "/doorward/plugins",
    "RABBITMQ_MNESIA_BASE": "/doorward/state",
    "RABBITMQ_LOG_BASE": "/doorward/log",
    "ERL_EPMD_ADDRESS": "127.0.0.1",
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
}
PATIENCE_S = 15.0


def rules(name: str) -> tuple[str, str]:
    """The rights of `name` to publish and receive, as RabbitMQ's patterns: the ACL files' lines, "/" being "."
    there. A worker has its requester's. A root has its slots."""
    if name == ROOT:
        own = rf"^doorward\.v1\.trust\.{name.removesuffix('.root')}\.[^.]+$"
        return own, own
    holder = name if is_device(name) else requester_of(name)
    text = Path("config/mosquitto", "devices.acl" if is_device(name) else "requesters.acl").read_text()
    found = {"write": ["(?!)"], "read": ["(?!)"]}
    for way, topic in re.findall(r"(?m)^pattern (read|write) (\S+)$", text):
        pattern = re.escape(topic.replace("%u", holder).replace("/", ".")).replace(r"\+", "[^.]+").replace(r"\#", ".*")
        found[way].append(pattern)
    return tuple(f"^({'|'.join(found[way])})$" for way in ("write", "read"))  # type: ignore[return-value]


def queue_rights(name: str) -> dict[str, str]:
    """Returns the rights to the queues of a client's own client ids, from the commands in `DOCUMENT`."""
    command = r"(?m)^rabbitmqctl set_permissions (DOORBELL|NAME) '(\S+)' '(\S+)' '(\S+)'$"
    found = {who: rights for who, *rights in re.findall(command, DOCUMENT.read_text())}
    who = "DOORBELL" if is_device(name) else "NAME"
    rights = [each.replace(who, re.escape(name)) for each in found[who]]
    return {"vhost": "/"} | dict(zip(("configure", "write", "read"), rights, strict=True))


def advanced() -> str:
    """Returns the operator's `advanced.config` from `DOCUMENT`: a client's id must be the name of its certificate."""
    (found,) = re.findall(r"(?m)^\[\{rabbitmq_mqtt, .+\}\]\.$", DOCUMENT.read_text())
    return f"{found}\n"


def definitions(names: tuple[str, ...]) -> str:
    topics = [(name, *rules(name)) for name in names]
    return json.dumps(
        {
            "vhosts": [{"name": "/"}],
            "users": [{"name": name, "password_hash": "", "tags": []} for name in names],
            "permissions": [{"user": name, **queue_rights(name)} for name in names],
            "topic_permissions": [
                {"user": name, "vhost": "/", "exchange": "amq.topic", "write": write, "read": read}
                for name, write, read in topics
            ],
        }
    )


class World(BrokerWithClients):
    """RabbitMQ where mosquitto would be: one listener for devices and requesters."""

    def __init__(self, directory: Path) -> None:
        self.pki = BrokerPki.create(directory, NOW)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.broker = SimpleNamespace(device_port=port, requester_port=port, stop=lambda: None)  # type: ignore[assignment]
        self._buses = []

    def stop_clients(self) -> None:
        for bus in self._buses:
            bus.stop()


@contextmanager
def rabbitmq() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="doorward-rabbitmq-") as folder:
        root = Path(folder, "root")
        root.mkdir()
        subprocess.run(["tar", "-xf", str(base("trixie", packages=PACKAGES)), "-C", str(root)], check=True)
        world = World(root / "doorward")
        for name in CLIENTS:
            world.settings(name)
        own = root / "doorward"
        authorities = [own / "authorities" / f"{role}.pem" for role in ("devices", "requesters")]
        (own / "clients.pem").write_text("".join(path.read_text() for path in authorities))
        (own / "definitions.json").write_text(definitions(CLIENTS))
        (own / "rabbitmq.conf").write_text(CONFIGURATION.replace("PORT", str(world.broker.device_port)))
        (own / "advanced.config").write_text(advanced())
        (own / "plugins").write_text("[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n")
        subprocess.run(["chroot", str(root), "chown", "-R", "rabbitmq:", "/doorward"], check=True)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        words = ["systemd-nspawn", "-q", "-D", str(root), "--as-pid2", "--pipe", "--register=no", "--keep-unit"]
        words += ["--machine=doorward-rabbitmq", "--", "/usr/bin/env", "-i", *ENVIRONMENT]
        words += [f"{name}={value}" for name, value in SURROUNDINGS.items()]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [*words, "/usr/lib/rabbitmq/bin/rabbitmq-server"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            _await(world.broker.device_port, process, Path(folder, "log"), root)
            yield world
        finally:
            world.close()
            process.terminate()
            process.wait(30)


def _await(port: int, process: subprocess.Popen[bytes], log: Path, root: Path) -> None:
    deadline = time.monotonic() + 900
    while True:
        with closing(socket.socket()) as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            own = "".join(path.read_text()[-3000:] for path in (root / "doorward" / "log").glob("*.log"))
            raise RuntimeError(log.read_text()[-3000:] + own)
        time.sleep(0.5)


# --- The questions, in this order; each answer is a sentence


@dataclass(frozen=True, slots=True)
class Asked:
    """One client of the broker, connected."""

    bus: Bus
    connected: BusConnected

    def events(self, seconds: float) -> list[BusEvent]:
        """Returns the events within that time."""
        found: list[BusEvent] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if event := self.bus.next_event(left):
                found.append(event)
        return found

    def until(self, *kinds: type[BusEvent]) -> BusEvent:
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            event = self.bus.next_event(left)
            if isinstance(event, kinds):
                return event
        raise TimeoutError(f"none of {kinds}")


def connect(world: World, name: str, *filters: str, host: str = "127.0.0.1", session_s: int = 0) -> Asked:
    bus = world.bus(name, host=host, session_s=session_s)
    bus.hurry(True)
    bus.start()
    deadline = time.monotonic() + 600
    while not isinstance(first := bus.next_event(PATIENCE_S), BusConnected):  # a node may listen before it is ready
        assert time.monotonic() < deadline, first
    asked = Asked(bus, first)
    for each in filters:
        bus.subscribe(each)
        asked.until(Subscribed)
    return asked


def link(world: World) -> str:
    device = connect(world, DEVICE)
    limits = f"window {device.connected.window}, largest packet {device.connected.packet_bytes} bytes"
    return f"TLS 1.3 and the certificate's name are taken; {limits}"


def request_while_on(world: World) -> str:
    device, police = connect(world, DEVICE, "doorward/v1/areas/#"), connect(world, POLICE)
    police.bus.publish(REQUEST, b"asked", token=1, retain=True, expiry_s=60)
    assert police.until(PublishAcknowledged, PublishRefused) == PublishAcknowledged(1, heard=True)
    assert device.until(MessageReceived) == MessageReceived(REQUEST, b"asked")
    return "arrives, and its requester is told that somebody listens"


def request_while_off(world: World) -> str:
    police = connect(world, POLICE)
    police.bus.publish(REQUEST, b"asked before", token=1, retain=True, expiry_s=60)
    police.until(PublishAcknowledged)
    reached = {}
    for how, each in (("by wildcards", "doorward/v1/areas/#"), ("by its whole topic", REQUEST)):
        device = connect(world, DEVICE, each)
        reached[how] = any(isinstance(one, MessageReceived) for one in device.events(3))
        device.bus.stop()
    police.bus.publish(REQUEST, b"", token=2, retain=True)
    police.until(PublishAcknowledged)
    device = connect(world, DEVICE, REQUEST)
    assert not any(isinstance(one, MessageReceived) for one in device.events(2)), "what was taken back is still there"
    told = ", ".join(f"{how} {'it arrives' if arrives else 'it never arrives'}" for how, arrives in reached.items())
    return f"subscribed to {told}; taken back, it is gone"


def upload(world: World) -> str:
    police, device = connect(world, POLICE, f"doorward/v1/up/{POLICE}/#"), connect(world, DEVICE)
    payload, properties = bytes(range(256)) * 256, (("sha256", "00ff"), ("sha256", "again"))
    device.bus.publish(UP, payload, token=7, properties=properties)
    assert device.until(PublishAcknowledged, PublishRefused) == PublishAcknowledged(7, heard=True)
    assert police.until(MessageReceived) == MessageReceived(UP, payload, properties=properties)
    police.bus.stop()
    time.sleep(2)
    device.bus.publish(UP, b"x", token=8)
    assert device.until(PublishAcknowledged, PublishRefused) == PublishAcknowledged(8, heard=False)
    return "64 KiB and their properties arrive as they were; with nobody there, the doorbell is told"


def forbidden(world: World) -> str:
    answers = set()
    others = REQUEST.replace(POLICE, "other-police")
    for name, topic in ((OTHER, UP), (DEVICE, REQUEST), (POLICE, UP), (POLICE, others)):
        client = connect(world, name)
        client.bus.publish(topic, b"x", token=1)
        answers.add(type(client.until(PublishAcknowledged, PublishRefused, BusDisconnected)).__name__)
        client.bus.stop()
    assert "Acknowledged" not in answers
    spy = connect(world, POLICE)
    spy.bus.subscribe("doorward/v1/areas/#")
    assert isinstance(
        spy.until(Subscribed, SubscriptionRefused, BusDisconnected), SubscriptionRefused | BusDisconnected
    )
    return f"four forbidden publications end in {' or '.join(sorted(answers))}; a requester cannot listen to requests"


def workers(world: World) -> str:
    up = f"doorward/v1/up/{POLICE}/#"
    one, two, device = connect(world, DESK_1, up), connect(world, DESK_2, up), connect(world, DEVICE)
    for client in (one, two):
        client.bus.publish(REQUEST, b"asked", token=1)
        assert isinstance(client.until(PublishAcknowledged, PublishRefused, BusDisconnected), PublishAcknowledged)
    device.bus.publish(UP, b"x", token=7)
    assert [client.until(MessageReceived) for client in (one, two)] == [MessageReceived(UP, b"x")] * 2
    assert not any(isinstance(event, BusDisconnected) for client in (one, two) for event in client.events(2))
    one.bus.publish(REQUEST.replace(POLICE, DESK_1), b"x", token=2)
    assert not isinstance(one.until(PublishAcknowledged, PublishRefused, BusDisconnected), PublishAcknowledged)
    return "two are connected at once with the requester's rights; a topic under a worker's own name is refused"


def refused_as(world: World, thief: str, client_id: str, **changes: Any) -> bool:
    """Returns whether the broker refuses a client that chooses this client id."""
    bus = MqttBus(replace(world.settings_of(thief, **changes), name=client_id))
    bus.hurry(True)
    bus.start()
    first = bus.next_event(PATIENCE_S)
    assert isinstance(first, BusConnected | BusDisconnected), first
    bus.stop()
    return isinstance(first, BusDisconnected)


def foreign_ids(world: World) -> str:
    """A doorbell's certificate with the client ids of others, of the second connection, and with none."""
    police = connect(world, POLICE)
    tried = (POLICE, DESK_1, DEVICE, f"{OTHER}.live.0123abcd", "")
    taken = [each for each in tried if not refused_as(world, OTHER, each)]
    assert not taken, f"accepted: {taken}"
    assert not any(isinstance(event, BusDisconnected) for event in police.events(2)), "its connection was ended"
    connect(world, OTHER)
    return "a client with another id than its certificate's name is refused, and the connection of that id stays"


def own_requests(world: World) -> str:
    """The check that a requester makes after each connection."""
    police: Any = SimpleNamespace(id=POLICE)
    for name in (POLICE, DESK_1):
        asked = connect(world, name, PublicationMonitor(police).topic_filter)
        assert not any(isinstance(event, BusDisconnected) for event in asked.events(2))
        asked.bus.stop()
    return "a requester and a worker may subscribe to their own requests"


QUESTIONS: dict[str, Callable[[World], str]] = {
    "link": link,
    "a request while the doorbell is on": request_while_on,
    "a request while it is off": request_while_off,
    "upload": upload,
    "what the rules forbid": forbidden,
    "workers of a requester": workers,
    "a requester checks its own requests": own_requests,
    "client ids of others": foreign_ids,
}


def main() -> int:
    failed = False
    with rabbitmq() as world:
        for name, ask in QUESTIONS.items():
            with ExitStack() as each:
                each.callback(world.stop_clients)
                try:
                    print(f"{name}: {ask(world)}", flush=True)
                except (AssertionError, TimeoutError) as error:
                    failed = True
                    print(f"{name}: FAILED: {error}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
