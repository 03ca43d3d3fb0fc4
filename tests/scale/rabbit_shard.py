"""A cluster of three RabbitMQ nodes behind HAProxy in the place of a broker: `python -m tests.scale.run --rabbitmq`.

`doorward broker` makes the certificates and the access lists, and RabbitMQ gets the same rules as permissions.
Doorbells have sessions, because a node does not give another node's retained messages to a doorbell that was away. A
kill takes one node.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agent.mqtt import BusSettings
from tests.interop.rabbitmq import queue_rights
from tests.interop.rabbitmq_cluster import NODES, PORT, PROXY, Cluster, bounded
from tests.scale.shards import Shard, command

__all__ = ["RabbitShard", "permissions"]

SESSION_S = 86_400
_NOTHING = "(?!)"


class RabbitShard(Shard):
    """One broker for its column of cells: a cluster."""

    takes_witness = keeps_for_wildcards = is_out_while_killed = False
    rest_s = 60.0
    """Without two of its three nodes a cluster serves no client. On two busy cores a node catches up for a minute."""

    def __init__(self, folder: Path, number: int, west: float) -> None:
        self.cluster = Cluster(folder)
        self.folder, self.number, self.west = self.cluster.own, number, west
        self.host, self.device_port, self.requester_port = PROXY, PORT, PORT
        self._digest = self._broker = None
        self._started, self._lock, self._turn, self._dead = False, threading.Lock(), 0, -1
        command(
            "broker", "init", "--dir", self.folder, "--host", PROXY, "--address", PROXY, "--user", "root",
            "--device-port", PORT, "--requester-port", PORT + 1,
        )  # fmt: skip

    def settings(self, device: str) -> BusSettings:
        return replace(super().settings(device), session_s=SESSION_S)

    def settle(self) -> None:
        """Gives the cluster the users and rights of all that have a certificate by now."""
        text = self._definitions()
        (self.folder / "definitions.json").write_text(text)
        if not self.cluster.control(0, "import_definitions", "/doorward/definitions.json"):
            raise SystemExit("RabbitMQ does not take the rights of its clients.")

    def start(self) -> None:
        """Starts all nodes at first, then the node that was killed."""
        if not self._started:
            self._started = True
            self.cluster.write(self._definitions())
            self.cluster.start()
        elif self._dead >= 0:
            self.cluster.start_node(self._dead)
            self._dead = -1

    def kill(self) -> None:
        """Ends one node, each in turn."""
        self._dead = self._turn % NODES
        self._turn += 1
        self.cluster.kill_node(self._dead)

    def stop(self) -> None:
        self.kill_digest()
        self.cluster.stop()

    def _definitions(self) -> str:
        names = sorted(path.stem for path in (self.folder / "clients").glob("*.pem"))
        lists = {name: (self.folder / f"{name}.acl").read_text() for name in ("devices", "requesters")}
        topics = []
        for name in names:
            is_device = re.fullmatch("[0-9a-f]{16}", name) is not None
            write, read = permissions(lists["devices" if is_device else "requesters"], name)
            topics.append({"user": name, "vhost": "/", "exchange": "amq.topic", "write": write, "read": read})
        users = [{"name": name, "password_hash": "", "tags": []} for name in names]
        rights = [{"user": name, **queue_rights(name)} for name in names]
        told = {"vhosts": [{"name": "/"}], "users": users, "permissions": rights, "topic_permissions": topics}
        return bounded(json.dumps(told))


def permissions(text: str, name: str) -> tuple[str, str]:
    """Returns the patterns of the topics that a client may write and read, from an access list of mosquitto.

    RabbitMQ has no rules that deny: a name with its own section has the rules of that section, and of the patterns
    those without a name that the section does not deny.
    """
    patterns = re.findall(r"(?m)^pattern (read|write) (\S+)$", text)
    section = re.search(rf"(?m)^user {re.escape(name)}\n((?:topic .*\n)+)", text)
    if section is None:
        return _joined(patterns, "write", name), _joined(patterns, "read", name)
    own = re.findall(r"(?m)^topic (readwrite|read|write) (\S+)$", section[1])
    denied = [_regular(topic) for topic in re.findall(r"(?m)^topic deny (\S+)$", section[1])]
    shared = [
        (way, topic)
        for way, topic in patterns
        if "%u" not in topic and not any(re.fullmatch(each, topic.replace("/", ".")) for each in denied)
    ]
    return _joined([*own, *shared], "write", name), _joined([*own, *shared], "read", name)


def _joined(rules: Iterable[tuple[str, str]], way: str, name: str) -> str:
    found = [_regular(topic.replace("%u", name)) for which, topic in rules if way in which]
    return f"^({'|'.join([_NOTHING, *found])})$"


def _regular(topic: str) -> str:
    """Returns a topic filter as a regular expression. RabbitMQ writes "." for "/"."""
    return re.escape(topic.replace("/", ".")).replace(r"\+", "[^.]+").replace(r"\#", ".*")
