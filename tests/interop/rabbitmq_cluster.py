"""`PYTHONPATH=. python -m tests.interop.rabbitmq_cluster`: three RabbitMQ nodes behind HAProxy, killed node by node and
cut from each other.

Debian 13's RabbitMQ runs three times from one separate root, each node with its address of loopback, as
`tests.interop.rabbitmq` runs one. HAProxy passes TLS through to them. The answers are printed for
`config/mosquitto/README.md`. Wants root, mmdebstrap and HAProxy. It runs in a network namespace, so that the rules of
nftables that cut a node touch nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.requester.package_publisher import publish_package
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
)
from agent.mqtt import MqttBus, sessionless
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from agent.wire.topics import cell_filter
from tests.brokers import NOW
from tests.byte_counter import ByteCounter
from tests.install.container import ENVIRONMENT, base
from tests.interop.rabbitmq import (
    CLIENTS,
    CONFIGURATION,
    DESK_1,
    DESK_2,
    DEVICE,
    DOCUMENT,
    OTHER,
    PACKAGES,
    POLICE,
    REQUEST,
    ROOT,
    UP,
    Asked,
    World,
    connect,
    definitions,
    refused_as,
)
from tests.uplink.test_reading_at_a_reconnect import OVERHEAD_BYTES, Custody, until

__all__ = ["HOSTS", "NODES", "PORT", "PROXY", "Cluster", "bounded", "cluster"]

NODES = 3
PROXY = "127.0.2.10"
HOSTS = tuple(f"127.0.2.{number + 1}" for number in range(NODES))
PORT, DISTRIBUTION_PORT = 18_883, 25_672
"""The second is the first node's. Each has its own, as each has its own name at their common epmd."""
_START_S = 900.0
_LARGE_BYTES = 4_500
"""Bytes of a usual request."""
_LIST_BYTES = 43_000
"""A list of some 30 agencies, with the root files."""
INSIDE = "DOORWARD_RABBITMQ_NAMESPACE"
_TABLE = "inet doorward_cluster"
_CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
CLUSTERED = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_partition_handling = pause_minority
net_ticktime = 15
mqtt.durable_queue_type = quorum
mqtt.max_session_expiry_interval_seconds = 604800
"""
MOST_KEPT_BYTES = 49_152
"""Bytes that the cluster keeps for a doorbell that is away. The newest messages stay. A page has the rest of 64 KiB."""
_DAY = 144
"""Repetitions of a list, which is published every ten minutes."""
_BURST = 40
"""Chunks of 64 KiB that come before their requester takes one: more than a doorbell has room for."""


def node_name(number: int) -> str:
    return f"rabbit{number + 1}@node{number + 1}"


class Cluster:
    """`folder` gets the root. `pki` has a certificate for the addresses of the nodes and of HAProxy."""

    def __init__(self, folder: Path) -> None:
        """The folder of the broker's certificates, `own`, does not exist yet."""
        self.folder, self.root = folder, folder / "root"
        self.own = self.root / "doorward"
        self.root.mkdir(parents=True)
        subprocess.run(["tar", "-xf", str(base("trixie", packages=PACKAGES)), "-C", str(self.root)], check=True)
        self._nodes: list[subprocess.Popen[bytes] | None] = [None] * NODES
        self._others: list[subprocess.Popen[bytes]] = []

    def write(self, definitions_text: str) -> None:
        """Writes the configuration, once all clients have their certificates."""
        own = self.own
        authorities = [own / "authorities" / f"{role}.pem" for role in ("devices", "requesters")]
        (own / "clients.pem").write_text("".join(path.read_text() for path in authorities))
        (own / "definitions.json").write_text(definitions_text)
        (own / "plugins").write_text("[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n")
        names = "".join(
            f"cluster_formation.classic_config.nodes.{number + 1} = {node_name(number)}\n" for number in range(NODES)
        )
        for number, host in enumerate(HOSTS):
            text = CONFIGURATION.replace("127.0.0.1:PORT", f"{host}:{PORT}")
            node = own / f"node{number + 1}"
            node.mkdir()
            (node / "rabbitmq.conf").write_text(text + CLUSTERED + names)
        hosts = "".join(f"{host} node{number + 1}\n" for number, host in enumerate(HOSTS))
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
        cookie = self.root / "root/.erlang.cookie"
        cookie.write_text("doorward")
        cookie.chmod(0o400)
        servers = "".join(f"    server node{number + 1} {host}:{PORT} check inter 1s fall 2 rise 1\n"
                          for number, host in enumerate(HOSTS))  # fmt: skip
        (self.folder / "haproxy.cfg").write_text(
            "defaults\n    mode tcp\n    timeout connect 3s\n    timeout client 1h\n    timeout server 1h\n"
            "    retries 2\n    option redispatch\n"
            f"frontend mqtt\n    bind {PROXY}:{PORT}\n    default_backend nodes\n"
            f"backend nodes\n    balance leastconn\n{servers}"
        )

    def start(self) -> None:
        """Returns once all nodes listen."""
        epmd = ["chroot", self.root, "/usr/bin/env", "-i", *ENVIRONMENT, f"ERL_EPMD_ADDRESS={','.join(HOSTS)}", "epmd"]
        proxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        if proxy is None:
            raise SystemExit("HAProxy is missing: apt-get install haproxy")
        self._others = [
            self._spawn("epmd", epmd),
            self._spawn("haproxy", [proxy, "-db", "-f", self.folder / "haproxy.cfg"]),
        ]
        for number in range(NODES):
            self.start_node(number, wait=False)
        for number in range(NODES):
            self.await_node(number)

    def start_node(self, number: int, *, wait: bool = True) -> None:
        address = HOSTS[number].replace(".", ",")
        place = f"/doorward/node{number + 1}"
        surroundings = {
            "HOME": "/root",
            "RABBITMQ_NODENAME": node_name(number),
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "/doorward/plugins",
            "RABBITMQ_MNESIA_BASE": f"{place}/state",
            "RABBITMQ_LOG_BASE": f"{place}/log",
            "RABBITMQ_DIST_PORT": str(DISTRIBUTION_PORT + number),
            "ERL_EPMD_ADDRESS": ",".join(HOSTS),
            # From its own address, too, so that a cut can tell the nodes apart.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{{address}}} "
            f"-kernel inet_dist_connect_options [{{ip,{{{address}}}}}]",
        }
        # If this process of `unshare` is killed, the node dies with its PID namespace, as in a power cut.
        words = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root}/proc", "chroot", self.root]
        words += ["/usr/bin/env", "-i", *ENVIRONMENT, *(f"{name}={value}" for name, value in surroundings.items())]
        self._nodes[number] = self._spawn(f"node{number + 1}", [*words, "/usr/lib/rabbitmq/bin/rabbitmq-server"])
        if wait:
            self.await_node(number)

    def await_node(self, number: int) -> None:
        deadline_s = time.monotonic() + _START_S
        while not self.answers(number):
            process = self._nodes[number]
            if process is None or process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"node {number + 1}: {self.logs(number)}")
            time.sleep(0.5)

    def answers(self, number: int) -> bool:
        with closing(socket.socket()) as knocking:
            knocking.settimeout(1)
            return knocking.connect_ex((HOSTS[number], PORT)) == 0

    def logs(self, number: int) -> str:
        own = self.root / "doorward" / f"node{number + 1}" / "log"
        said = [self.folder / f"node{number + 1}.log", *own.glob("*.log")]
        return "".join(path.read_text(errors="replace")[-3000:] for path in said if path.exists())

    def kill_node(self, number: int) -> None:
        process, self._nodes[number] = self._nodes[number], None
        if process is not None:
            process.kill()
            process.wait()

    def cut_node(self, number: int) -> None:
        """Drops all packets between this node and the other nodes. Clients still reach all of them."""
        others = ", ".join(host for each, host in enumerate(HOSTS) if each != number)
        _nft(f"add table {_TABLE}")
        _nft(f"add chain {_TABLE} out {{ type filter hook output priority 0 ; }}")
        for one, other in (("saddr", "daddr"), ("daddr", "saddr")):
            _nft(f"add rule {_TABLE} out ip {one} {HOSTS[number]} ip {other} {{ {others} }} drop")

    def heal(self) -> None:
        _nft(f"delete table {_TABLE}")

    def running(self) -> list[str]:
        """Returns the nodes that the cluster says are running."""
        for number in range(NODES):
            if self._nodes[number] is not None:
                said = self.control(number, "cluster_status", "--formatter", "json")
                if said:
                    return sorted(json.loads(said)["running_nodes"])
        return []

    def control(self, number: int, *words: str) -> str:
        """Asks a node, and returns its answer, or "" if it fails."""
        program = ["chroot", self.root, "/usr/bin/env", "-i", *ENVIRONMENT, "HOME=/root", _CONTROL, "-n"]
        command = [str(word) for word in (*program, node_name(number), *words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        return done.stdout if done.returncode == 0 else ""

    def stop(self) -> None:
        for number in range(NODES):
            self.kill_node(number)
        for each in self._others:
            each.kill()
            each.wait()
        self._others = []

    def _spawn(self, name: str, words: list[object]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _nft(words: str) -> None:
    subprocess.run(["nft", words], check=True, capture_output=True)


class ClusterWorld(World):
    """Clients of a cluster. Each may choose a node by its host."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.pki = cluster, BrokerPki.create(cluster.own, NOW, (PROXY, *HOSTS, "127.0.0.1"))
        self.broker = SimpleNamespace(device_port=PORT, requester_port=PORT, stop=lambda: None)  # type: ignore[assignment]
        self._buses = []


def policies() -> list[dict[str, Any]]:
    """Returns the policies that an operator sets, from the commands in `DOCUMENT`."""
    command = r"(?m)^rabbitmqctl set_policy --apply-to (\S+)(?: --priority (\d+))? (\S+) '(\S+)' '(\{.+\})'$"
    return [
        {
            "vhost": "/", "name": name, "pattern": pattern, "apply-to": kind, "priority": int(priority or 0),
            "definition": json.loads(definition),
        }
        for kind, priority, name, pattern, definition in re.findall(command, DOCUMENT.read_text())
    ]  # fmt: skip


def bounded(definitions_text: str) -> str:
    """Adds the policies for what waits for clients."""
    return json.dumps(json.loads(definitions_text) | {"policies": policies()})


@contextmanager
def cluster() -> Iterator[ClusterWorld]:
    with tempfile.TemporaryDirectory(prefix="doorward-rabbitmq-") as folder:
        made = Cluster(Path(folder))
        world = ClusterWorld(made)
        for name in CLIENTS:
            world.settings(name)
        made.write(bounded(definitions(CLIENTS)))
        try:
            made.start()
            yield world
        finally:
            world.close()
            made.stop()


# --- The questions, in this order; each answer is a sentence


def _connect(world: ClusterWorld, name: str, host: str, *filters: str, session_s: int = 0) -> Asked:
    return connect(world, name, *filters, host=host, session_s=session_s)


def members(world: ClusterWorld) -> str:
    deadline_s = time.monotonic() + 120
    while len(running := world.cluster.running()) < NODES:
        assert time.monotonic() < deadline_s, running
        time.sleep(2)
    return f"{len(running)} nodes form it: {', '.join(running)}"


def across_nodes(world: ClusterWorld) -> str:
    device = _connect(world, DEVICE, HOSTS[1], "doorward/v1/areas/#")
    police = _connect(world, POLICE, HOSTS[0], f"doorward/v1/up/{POLICE}/#")
    police.bus.publish(REQUEST, b"asked", token=1, retain=True, expiry_s=60)
    assert police.until(PublishAcknowledged, PublishRefused) == PublishAcknowledged(1, heard=True)
    assert device.until(MessageReceived) == MessageReceived(REQUEST, b"asked")
    device.bus.publish(UP, b"x" * 65_536, token=7)
    assert device.until(PublishAcknowledged, PublishRefused) == PublishAcknowledged(7, heard=True)
    assert police.until(MessageReceived) == MessageReceived(UP, b"x" * 65_536)
    return "a request published at node 1 reaches a doorbell at node 2, and its upload comes back"


def burst(world: ClusterWorld) -> str:
    """Doorbells send faster than a requester takes. A dropped chunk would be asked for again 8 s later and more."""
    device = _connect(world, DEVICE, HOSTS[1])
    desk = _connect(world, DESK_1, HOSTS[0], f"doorward/v1/up/{POLICE}/#")
    answers = _upload(device, range(_BURST))
    came = _uploaded(desk)
    assert answers == [PublishAcknowledged(number, heard=True) for number in range(_BURST)], answers
    assert came == list(range(_BURST)), f"of {_BURST} acknowledged chunks these arrive: {came}"
    return f"{_BURST} chunks of 64 KiB wait for a requester that takes them late, and all arrive in order"


def beyond(world: ClusterWorld) -> str:
    """The documented policy with a bound that is quickly reached."""
    (policy,) = (each for each in policies() if each["name"] == "others")
    definition = json.dumps({**policy["definition"], "max-length-bytes": 1 << 20})
    words = (
        "set_policy",
        "--priority",
        "2",
        "--apply-to",
        "queues",
        "small",
        f"^mqtt-subscription-{DESK_2}",
        definition,
    )
    assert world.cluster.control(0, *words)
    try:
        device = _connect(world, DEVICE, HOSTS[1])
        desk = _connect(world, DESK_2, HOSTS[0], f"doorward/v1/up/{POLICE}/#")
        answers = _upload(device, range(_BURST))
        came = _uploaded(desk)
    finally:
        world.cluster.control(0, "clear_policy", "small")
    taken = [each.token for each in answers if isinstance(each, PublishAcknowledged)]
    refused = {each.code for each in answers if isinstance(each, PublishRefused)}
    assert came == taken, f"acknowledged {taken}, and these arrive: {came}"
    assert refused, "nothing is refused"
    return (
        f"of {_BURST} chunks of 64 KiB for a requester with room for 1 MiB {len(taken)} arrive, and the doorbell is "
        f"told that the others are refused ({', '.join(map(hex, sorted(refused)))})"
    )


def _upload(device: Asked, numbers: Iterable[int]) -> list[BusEvent]:
    """Publishes chunks of 64 KiB, one by one. Returns the broker's answers."""
    answers = []
    for number in numbers:
        assert device.bus.publish(UP, number.to_bytes(2) * 32_768, token=number)
        answers.append(device.until(PublishAcknowledged, PublishRefused))
    return answers


def _uploaded(desk: Asked) -> list[int]:
    """Returns the numbers of the chunks that arrive."""
    return [int.from_bytes(event.payload[:2]) for event in desk.events(5) if isinstance(event, MessageReceived)]


def retained(world: ClusterWorld) -> str:
    police = _connect(world, POLICE, HOSTS[0])
    police.bus.publish(REQUEST, b"asked before", token=1, retain=True, expiry_s=60)
    police.until(PublishAcknowledged)
    reached = []
    for number, host in enumerate(HOSTS):
        device = _connect(world, DEVICE, host, REQUEST)
        if any(isinstance(one, MessageReceived) for one in device.events(3)):
            reached.append(f"node {number + 1}")
        device.bus.stop()
    assert reached, "no node has it"
    return f"what node 1 retains, read by its whole topic, is at {', '.join(reached)}"


def session(world: ClusterWorld) -> str:
    """The doorbell leaves node 1, which then dies. The requester is at node 2. The doorbell returns at node 3."""
    everything = "doorward/v1/areas/#"
    _connect(world, DEVICE, HOSTS[0], everything, session_s=3600).bus.stop()
    police = _connect(world, POLICE, HOSTS[1])
    world.cluster.kill_node(0)
    asked = 30
    for number in range(asked):
        _publish(police, (b"%03d" % number).ljust(_LARGE_BYTES), REQUEST.removesuffix("0") + str(number))
    device = _connect(world, DEVICE, HOSTS[2], session_s=3600)
    heard = [int(event.payload[:3]) for event in device.events(10) if isinstance(event, MessageReceived)]
    device.bus.stop()
    world.cluster.start_node(0)
    newest = list(range(asked - len(heard), asked))
    assert heard, "nothing arrives"
    assert sorted(heard) == newest, f"others than the newest: {heard}"
    assert len(heard) * _LARGE_BYTES <= MOST_KEPT_BYTES, "more than the policy allows"
    return f"of {asked} requests the {len(heard)} newest arrive, {len(heard) * _LARGE_BYTES} bytes, at another node"


@contextmanager
def _doorbell(world: ClusterWorld, host: str, device: str, custody: Custody) -> Iterator[tuple[Uplink, ByteCounter]]:
    """A doorbell's uplink with a session at this node. Its bytes are counted."""
    counter = ByteCounter(PORT, host)
    settings = world.settings(device, host="127.0.0.1", port=counter.port, session_s=86_400)
    second = sessionless(settings)
    assert second is not None
    link = Uplink(
        MqttBus(settings), custody, None, SystemClock(), device=device, cell_filter=cell_filter("283-375"),  # type: ignore[arg-type]
        live=MqttBus(second),
    )  # fmt: skip
    thread = threading.Thread(target=link.run, name="uplink")
    thread.start()
    try:
        _listens(link)
        yield link, counter
    finally:
        link.stop()
        thread.join()
        counter.close()


def _listens(link: Uplink) -> None:
    until(lambda: link.status().link == "connected", "the doorbell to connect")
    time.sleep(2)  # subscriptions


def lists(world: ClusterWorld) -> str:
    """A root publishes at node 1, and no other node has what node 1 retains. The doorbell has a session at node 2, is
    away for a day, and returns at node 3. Repetitions must not push requests out of its queue."""
    root, custody, asked = ROOT.removesuffix(".root"), Custody(), 5
    before, after, later = (each * _LIST_BYTES for each in (b"1", b"2", b"3"))
    publisher, police = _connect(world, ROOT, HOSTS[0]), _connect(world, POLICE, HOSTS[0])
    requests = {(b"%d" % number).ljust(_LARGE_BYTES) for number in range(asked)}
    with _doorbell(world, HOSTS[1], DEVICE, custody):
        for each in (before, after):
            began_s = time.monotonic()
            publish_package(publisher.bus, root, each, 60)
            until(lambda each=each: custody.packages.whole(root) == each, "the list")  # type: ignore[misc]
            took_s = time.monotonic() - began_s
    for number, text in enumerate(sorted(requests)):
        _publish(police, text, REQUEST.removesuffix("0") + str(number), expiry_s=86_400)
    for _ in range(_DAY):
        publish_package(publisher.bus, root, later, 60)
    with _doorbell(world, HOSTS[2], DEVICE, custody) as (_, counter):
        time.sleep(10)
        read_bytes, heard = counter.came_bytes, len(requests & custody.heard)
        assert heard == asked, f"of {asked} requests that it missed, {heard} arrive"
        assert read_bytes <= (64 << 10) + 2 * OVERHEAD_BYTES, f"it reads {read_bytes} bytes"
        publish_package(publisher.bus, root, later, 60)
        until(lambda: custody.packages.whole(root) == later, "the list, with the next repetition")
    return (
        f"a list of {_LIST_BYTES} bytes, published at node 1, reaches a doorbell at node 2 within {took_s:.1f} s. "
        f"It is then away for {asked} requests and {_DAY} repetitions of a newer list, a day of them. At its return to "
        f"node 3 all {heard} requests arrive, in {read_bytes} bytes with two handshakes, and the list comes with the "
        "next repetition"
    )


def one_name_twice(world: ClusterWorld) -> str:
    first, second = _connect(world, POLICE, HOSTS[0]), None
    second = _connect(world, POLICE, HOSTS[1])
    ended = any(isinstance(event, BusDisconnected) for event in first.events(5))
    second.bus.stop()
    return f"a second connection with the same name at another node {'ends' if ended else 'does not end'} the first"


def foreign_ids(world: ClusterWorld) -> str:
    """A doorbell's certificate with the client id of another one that is away, and with that of a requester."""
    _connect(world, DEVICE, HOSTS[0], "doorward/v1/areas/#", session_s=3600).bus.stop()
    police = _connect(world, POLICE, HOSTS[1], f"doorward/v1/up/{POLICE}/#")
    _publish(police, b"asked while it is away")
    for session_s in (0, 3600):  # the first one would delete the session, the second one take its messages
        assert refused_as(world, OTHER, DEVICE, host=HOSTS[2], session_s=session_s), "it gets another's session"
    device = _connect(world, DEVICE, HOSTS[2], session_s=3600)
    assert _has(device, b"asked while it is away"), "the session has lost the request"
    assert not refused_as(world, OTHER, f"{OTHER}.live.0123abcd", host=HOSTS[2])
    refused_as(world, OTHER, POLICE, host=HOSTS[2])
    ended = any(isinstance(event, BusDisconnected) for event in police.events(5))
    device.bus.stop()
    return (
        "a doorbell with the client id of another one neither deletes its session nor gets its messages. "
        f"With the client id of a requester that is connected it {'ends' if ended else 'does not end'} that connection"
    )


def node_killed(world: ClusterWorld) -> str:
    """The doorbells and the requester are behind HAProxy. Each node dies once and comes back. One of the doorbells is
    an uplink with a session, so with two connections."""
    custody = Custody()
    with _doorbell(world, PROXY, OTHER, custody) as (link, _):
        return _node_killed(world, link, custody)


def _node_killed(world: ClusterWorld, link: Uplink, custody: Custody) -> str:
    up = f"doorward/v1/up/{POLICE}/#"
    devices = [_connect(world, DEVICE, PROXY, "doorward/v1/areas/#")]
    police, back_s, root = _connect(world, POLICE, PROXY, up), [], ROOT.removesuffix(".root")
    for each in (*devices, police):
        each.bus.subscribe("doorward/v1/areas/#" if each is not police else up)
    for number in range(NODES):
        world.cluster.kill_node(number)
        began_s = time.monotonic()
        for each in (*devices, police):
            lost = [event for event in each.events(3) if isinstance(event, BusDisconnected | BusConnected)]
            if lost and not isinstance(lost[-1], BusConnected):
                each.until(BusConnected)
        back_s.append(time.monotonic() - began_s)
        text, package = b"asked while node %d is dead" % (number + 1), b"%d" % number * _LIST_BYTES
        _publish(police, text)
        for each in devices:
            while each.until(MessageReceived) != MessageReceived(REQUEST, text):
                pass
        until(lambda text=text: text in custody.heard, "the request, at the doorbell with a session")  # type: ignore[misc]
        _listens(link)
        publisher = _connect(world, ROOT, PROXY)
        publish_package(publisher.bus, root, package, 60)
        until(lambda each=package: custody.packages.whole(root) == each, "the list")  # type: ignore[misc]
        publisher.bus.stop()
        world.cluster.start_node(number)
    return (
        f"after each kill of a node all clients are connected within {max(back_s):.0f} s. A request reaches them, and "
        "a list the doorbell with a session"
    )


def partition(world: ClusterWorld) -> str:
    """Node 1 is cut from nodes 2 and 3. At each side are a doorbell and a worker of the requester, at its own node."""
    up, areas = f"doorward/v1/up/{POLICE}/#", "doorward/v1/areas/#"
    sides = [
        (_connect(world, DEVICE, HOSTS[0], areas), _connect(world, DESK_1, HOSTS[0], up), HOSTS[0]),
        (_connect(world, OTHER, HOSTS[1], areas), _connect(world, DESK_2, HOSTS[1], up), HOSTS[1]),
    ]
    time.sleep(2)
    world.cluster.cut_node(0)
    try:
        began_s = time.monotonic()
        with ThreadPoolExecutor(2) as both:
            at_once = list(both.map(_tried, sides, range(2)))
        other, desk_2, _ = sides[1]
        served_s = 0.0
        while not (served_s and _passes(desk_2, other, REQUEST) and _passes(other, desk_2, UP.replace(DEVICE, OTHER))):
            served_s = time.monotonic() - began_s
            assert served_s < 120, "the other two nodes do not go on"
        while world.cluster.answers(0):
            assert time.monotonic() < began_s + 120, "the node that is cut takes clients on and on"
            time.sleep(0.2)
        paused_s = time.monotonic() - began_s
        for each in sides[0][:2]:
            each.bus.stop()  # the next ones have their names
        lonely = [_connect(world, name, PROXY, wanted) for name, wanted in ((DEVICE, areas), (DESK_1, up))]
        moved_s = time.monotonic() - began_s
        _exchange(lonely[0], lonely[1], DEVICE, b"moved", REQUEST)
        _exchange(sides[1][0], sides[1][1], OTHER, b"stayed", REQUEST.removesuffix("0") + "1")
    finally:
        world.cluster.heal()
    healed_s = time.monotonic()
    world.cluster.await_node(0)
    while len(world.cluster.running()) < NODES:
        assert time.monotonic() < healed_s + 240, "the nodes do not form a cluster again"
        time.sleep(1)
    joined_s = time.monotonic() - healed_s
    for each in lonely:
        each.bus.stop()
    device, desk = _connect(world, DEVICE, HOSTS[0], areas), _connect(world, DESK_1, HOSTS[0], up)
    _exchange(device, desk, DEVICE, b"healed", REQUEST)
    assert _has(sides[1][0], b"healed"), "the other side hears no request of the healed node"
    return (
        f"right after the cut: at the lonely node {at_once[0]}; at the other two {at_once[1]}. At the other two a "
        f"request and an upload arrive again {served_s:.0f} s after the cut. The lonely node pauses within "
        f"{paused_s:.0f} s, and its clients work at the others after {moved_s:.0f} s. {joined_s:.0f} s after the end "
        "of the cut all three are members, and a request and an upload pass between old and new sides"
    )


_Side = tuple[Asked, Asked, str]
"""A doorbell, a worker of the requester, and their node."""


def _passes(sender: Asked, hears: Asked, topic: str) -> bool:
    """Publishes a message, and returns whether it arrives in two seconds."""
    token, text = time.monotonic_ns(), b"%d" % time.monotonic_ns()
    retain = "/requests/" in topic
    sender.events(0.1)  # answers free the window
    return sender.bus.publish(topic, text, token=token, retain=retain, expiry_s=60 if retain else None) and _has(
        hears, text, 2
    )


def _tried(clients: _Side, side: int) -> str:
    """Publishes a request and an upload at one side, seconds after the cut. Returns what came of them."""
    device, desk, _ = clients
    said = []
    for name, sender, hears, topic, text in (
        ("a request", desk, device, f"{REQUEST.removesuffix('0')}{side + 8}", b"asked at side %d" % side),
        ("an upload", device, desk, UP.replace(DEVICE, (DEVICE, OTHER)[side]), b"part at side %d" % side),
    ):
        sender.bus.publish(topic, text, token=30, retain=sender is desk, expiry_s=60 if sender is desk else None)
        answer = next((e for e in sender.events(3) if isinstance(e, PublishAcknowledged | PublishRefused)), None)
        words = "acknowledged" if isinstance(answer, PublishAcknowledged) else "not acknowledged"
        said.append(f"{name} is {words} and {'arrives' if _has(hears, text, 3) else 'does not arrive'}")
    return ", ".join(said)


def _exchange(device: Asked, desk: Asked, name: str, text: bytes, topic: str) -> None:
    """A request of the desk reaches the doorbell, and an upload of the doorbell the desk."""
    _publish(desk, text, topic)
    assert _has(device, text), f"the request {text!r} does not reach the doorbell"
    _publish(device, b"answer " + text, UP.replace(DEVICE, name), retain=False)
    assert _has(desk, b"answer " + text), f"the upload for {text!r} does not reach the desk"


def _has(asked: Asked, text: bytes, wait_s: float = 20.0) -> bool:
    """Returns whether this message arrives in time."""
    ends_s = time.monotonic() + wait_s
    while time.monotonic() < ends_s:
        for event in asked.events(0.5):
            if isinstance(event, MessageReceived) and event.payload == text:
                return True
    return False


def _publish(
    police: Asked, text: bytes, topic: str = REQUEST, *, retain: bool = True, expiry_s: int | None = 60
) -> None:
    """Publishes until it is acknowledged, as a requester or a doorbell does."""
    for token in range(10, 20):
        if police.bus.publish(topic, text, token=token, retain=retain, expiry_s=expiry_s if retain else None):
            event = police.until(PublishAcknowledged, PublishRefused, BusDisconnected)
            if isinstance(event, PublishAcknowledged):
                return
        time.sleep(2)
    raise TimeoutError("the cluster acknowledges no publication")


QUESTIONS: dict[str, Callable[[ClusterWorld], str]] = {
    "members": members,
    "across nodes": across_nodes,
    "uploads before their requester takes them": burst,
    "uploads beyond the room of their requester": beyond,
    "retained messages": retained,
    "a doorbell with a session is away, and its node dies": session,
    "a list of a root": lists,
    "one name at two nodes": one_name_twice,
    "client ids of others": foreign_ids,
    "a node is killed": node_killed,
    "a node is cut from the other two": partition,
}


def main() -> int:
    if INSIDE not in os.environ:
        base("trixie", packages=PACKAGES)  # it needs the network
        command = 'ip link set lo up && exec "$@"'
        words = [sys.executable, "-m", "tests.interop.rabbitmq_cluster", *sys.argv[1:]]
        environment = os.environ | {INSIDE: "1"}
        return subprocess.run(
            ["unshare", "--net", "sh", "-c", command, "sh", *words], env=environment, check=False
        ).returncode
    failed = False
    chosen = sys.argv[1:] or list(QUESTIONS)
    with cluster() as world:
        for name in chosen:
            ask = QUESTIONS[name]
            with ExitStack() as each:
                each.callback(world.stop_clients)
                try:
                    print(f"{name}: {ask(world)}", flush=True)
                except (AssertionError, TimeoutError, RuntimeError) as error:
                    failed = True
                    print(f"{name}: FAILED: {error}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
