"""A broker in this process that enforces a `ServiceProfile`, and the rights that config/mosquitto/README.md lists.

One listener for all clients, as managed services have. It passes messages on, retains them, and keeps them for the
sessions of clients that are away, all without expiry. A test ends a session by removing it from `sessions`. A limit is
enforced in the manner of the service as far as its pages say so, else in the strictest one that MQTT 5 has: the
connection ends, or the request is refused with "quota exceeded". Both are counted.
`test_the_peer_notices_each_limit_that_our_clients_never_break` breaks each of them.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import struct
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from agent.clients.broker.broker_pki import DIGEST_CLIENT
from tests.mqtt.mqtt_peer import (
    CONNECT,
    DISCONNECT,
    PATIENCE_S,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    connack,
    packet,
    puback,
    publish,
)
from tests.mqtt.service_profiles import ServiceProfile

_README = Path(__file__).parents[2] / "config" / "mosquitto" / "README.md"
_UNSUBSCRIBE = 0xA0
_NO_SUBSCRIBERS, _NOT_AUTHORISED, _BAD_PASSWORD = 0x10, 0x87, 0x86
_BAD_NAME, _BAD_TOPIC, _TOO_MANY, _TOO_LARGE, _QUOTA = 0x85, 0x90, 0x93, 0x95, 0x97
_SECOND = re.compile(r"\.live\.[0-9a-f]{8}")
"""The end of the client id of a doorbell's second connection, after its id."""
_ACK_AFTER_S = 0.01
"""A publication stays unacknowledged for this long, so that a receive maximum can be exceeded."""


def matches(topic_filter: str, topic: str) -> bool:
    """Also for a filter in place of the topic: whether all its topics match."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or (level != levels[place] and (level != "+" or levels[place] == "#")):
            return False
    return len(wanted) == len(levels)


def policies() -> dict[str, dict[str, tuple[str, ...]]]:
    """The rules that the README gives for a managed broker: role → receive or publish → filters."""
    text = _README.read_text("utf-8").split("Write these rules as policies.", 1)[1].split("```")[1]
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    role = ""
    for line in filter(None, text.splitlines()):
        word, verb, *rules = re.split(r" {2,}", line)
        role = word or role
        filters: list[str] = []
        for rule in [each for each in rules if each.startswith("doorward/")]:
            numbers = re.fullmatch(r"(.*)/(\d+) … (\d+)", rule)
            slots = range(int(numbers[2]), int(numbers[3]) + 1) if numbers else ()
            filters += [f"{numbers[1]}/{slot}" for slot in slots] if numbers else [rule]
        of_role = found.setdefault(role, {})
        of_role[verb] = of_role.get(verb, ()) + tuple(filters)
    return found


def role_of(name: str) -> tuple[str, str]:
    """Role and the id that stands for `${cn}`."""
    if name == DIGEST_CLIENT:
        return "digest", name
    for ending, role in ((".fleet", "installer"), (".root", "root")):
        if name.endswith(ending):
            return role, name.removesuffix(ending)
    return ("device", name) if re.fullmatch(r"[0-9a-f]{16}", name) else ("requester", name.split(".")[0])


@dataclass
class _Client:
    sock: ssl.SSLSocket
    name: str = ""
    known: str = ""
    """The name of its certificate or password."""
    session_s: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    filters: dict[str, int] = field(default_factory=dict)
    """Filter → quality of service."""
    owed: deque[tuple[float, bytes]] = field(default_factory=deque)
    published: deque[float] = field(default_factory=deque)
    subscribed: deque[float] = field(default_factory=deque)
    number: int = 0


@dataclass
class Session:
    """The session of a client that is away. `kept`: topic, payload and properties of messages with QoS 1."""

    session_s: int
    filters: dict[str, int]
    kept: list[tuple[str, bytes, bytes]] = field(default_factory=list)


class ServiceBroker:
    """`passwords`: user name → password, for a service without client certificates."""

    def __init__(self, directory: Path, profile: ServiceProfile, passwords: dict[str, str] | None = None) -> None:
        self.profile = profile
        self._passwords = {} if passwords is None else passwords
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "broker.pem", directory / "broker.key")
        if profile.client_certificates:
            for role in ("devices", "requesters"):
                self._context.load_verify_locations(directory / "authorities" / f"{role}.pem")
            self._context.verify_mode = ssl.CERT_REQUIRED
        self.rights = policies()
        """Those of the README, which a test may change."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._clients: list[_Client] = []
        self.retained: dict[str, tuple[bytes, bytes]] = {}
        """Topic → payload and properties."""
        self.sessions: dict[str, Session] = {}
        """Client id → what waits for a client that is away."""
        self.ended: Counter[str] = Counter()
        """Why connections were ended: the name of a limit → how often."""
        self.refused: Counter[str] = Counter()
        """The same, for what was refused and the connection lives."""
        self.taken: Counter[str] = Counter()
        """Publications that were accepted, by client."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="service-broker")

    def __enter__(self) -> ServiceBroker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for client in self._clients:
            client.sock.close()
        self._listener.close()
        self._selector.close()

    def hears(self, topic: str) -> bool:
        """Returns whether a client subscribes to the topic."""
        return any(matches(each, topic) for client in tuple(self._clients) for each in tuple(client.filters))

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.005):
                if key.data is None:
                    self._accept()
                elif key.data in self._clients:
                    self._read(key.data)
            now_s = time.monotonic()
            for client in tuple(self._clients):
                while client.owed and client.owed[0][0] <= now_s:
                    self._send(client, client.owed.popleft()[1])

    def _accept(self) -> None:
        plain, _ = self._listener.accept()
        plain.settimeout(PATIENCE_S)
        try:
            sock = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        client = _Client(sock)
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _read(self, client: _Client) -> None:
        client.sock.setblocking(False)
        try:
            while data := client.sock.recv(65_536):
                client.buffer += data
            self._forget(client)
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self._forget(client)
        while client in self._clients and (found := _take_packet(client.buffer)) is not None:
            self._on_packet(client, *found)

    def _on_packet(self, client: _Client, first: int, body: bytes) -> None:
        kind = first & 0xF0
        limit = self.profile.packet_bytes
        if limit is not None and len(body) + 5 > limit:
            self._end(client, _TOO_LARGE, "packet size")
        elif kind == CONNECT:
            self._on_connect(client, body)
        elif kind == PUBLISH:
            self._on_publish(client, first, body)
        elif kind == SUBSCRIBE:
            self._on_subscribe(client, body)
        elif kind == _UNSUBSCRIBE:
            self._on_unsubscribe(client, body)
        elif kind == PINGREQ:
            self._send(client, packet(0xD0, b""))
        elif kind == DISCONNECT:
            self._forget(client)
        else:
            assert kind == PUBACK

    def _on_connect(self, client: _Client, body: bytes) -> None:
        flags, keepalive_s = body[7], int.from_bytes(body[8:10])
        rest = body[10:]
        size, rest = _number(rest)
        texts, wanted_s = _texts(rest[size:]), _session_of(rest[:size])
        name, profile = texts[0], self.profile
        known = name
        if profile.client_certificates:
            subject = dict(pair for (pair,) in client.sock.getpeercert()["subject"])  # type: ignore[index,misc,union-attr]
            known = subject["commonName"]
            if flags & 0x80 and texts[1] != known:
                self._refuse(client, _BAD_PASSWORD, "user name")
                return
        elif flags & 0xC0 != 0xC0 or self._passwords.get(texts[1]) != texts[2]:
            self._refuse(client, _BAD_PASSWORD, "password")
            return
        else:
            known = texts[1]
        is_second = role_of(known)[0] == "device" and _SECOND.fullmatch(name.removeprefix(known)) is not None
        is_allowed = known == name or (is_second and (flags & 0x80 or not profile.second_by_user))
        if not is_allowed or len(name.encode()) > (profile.client_id_bytes or 65_535):
            self._refuse(client, _BAD_NAME, "client id")
            return
        for other in [each for each in self._clients if each.name == name]:
            self._end(other, 0x8E, "taken over")
        client.name, client.known = name, known
        client.session_s = min(wanted_s, profile.session_s or wanted_s)
        session = self.sessions.pop(name, None)
        if flags & 0x02:
            session = None
        told = b"\x24\x01"
        if client.session_s != wanted_s:
            told += b"\x11" + struct.pack("!I", client.session_s)
        if profile.packet_bytes is not None:
            told += b"\x27" + struct.pack("!I", profile.packet_bytes)
        if profile.receive_maximum is not None:
            told += b"\x21" + struct.pack("!H", profile.receive_maximum)
        if profile.keepalive_s is not None and not profile.keepalive_s[0] <= keepalive_s <= profile.keepalive_s[1]:
            low, high = profile.keepalive_s
            told += b"\x13" + struct.pack("!H", min(high, max(low, keepalive_s)))
            self.refused["keep-alive"] += 1
        self._send(client, connack(0, told, session=session is not None))
        if session is not None:
            client.filters = session.filters
            for each in session.kept:
                self._deliver(client, *each)

    def _on_publish(self, client: _Client, first: int, body: bytes) -> None:
        (topic,), rest = _texts(body, 1), body[2 + int.from_bytes(body[:2]) :]
        packet_id, rest = int.from_bytes(rest[:2]), rest[2:]
        size, rest = _number(rest)
        properties, payload = rest[:size], rest[size:]
        profile, is_retained = self.profile, bool(first & 1)
        if len(client.owed) >= (profile.receive_maximum or 65_535):
            self._end(client, _TOO_MANY, "receive maximum")
        elif len(payload) > (profile.payload_bytes or len(payload)):
            self._end(client, _TOO_LARGE, "payload size")
        elif self._is_bad(topic):
            self._end(client, _BAD_TOPIC, "topic")
        elif _is_too_often(client.published, profile.publishes_per_s):
            self._answer(client, packet_id, _QUOTA, "publications a second")
        elif is_retained and len(payload) > (profile.retained_bytes or len(payload)):
            self._answer(client, packet_id, _QUOTA, "retained size")
        elif not self._may(client, "publish", topic):
            self._answer(client, packet_id, _NOT_AUTHORISED, "right to publish")
        else:
            self.taken[client.name] += 1
            if is_retained:
                self.retained.pop(topic, None)
                if payload:
                    self.retained[topic] = payload, properties
            heard = [each for each in self._clients if any(matches(one, topic) for one in each.filters)]
            for each in heard:
                qos = max(qos for one, qos in each.filters.items() if matches(one, topic))
                self._deliver(each, topic, payload, properties, qos)
            for session in self.sessions.values():
                if any(qos and matches(one, topic) for one, qos in session.filters.items()):
                    session.kept.append((topic, payload, properties))
            self._answer(client, packet_id, 0 if heard else _NO_SUBSCRIBERS)

    def _on_subscribe(self, client: _Client, body: bytes) -> None:
        packet_id, rest = int.from_bytes(body[:2]), body[2:]
        size, rest = _number(rest)
        rest, codes, told = rest[size:], bytearray(), []
        is_often = _is_too_often(client.subscribed, self.profile.subscribes_per_s)
        while rest:
            length = int.from_bytes(rest[:2])
            topic_filter, options, rest = rest[2 : 2 + length].decode(), rest[2 + length], rest[3 + length :]
            code, why = min(1, options & 3), ""
            if not self._may(client, "receive", topic_filter):
                code, why = _NOT_AUTHORISED, "right to receive"
            elif self._is_bad(topic_filter):
                code, why = 0x8F, "filter"
            elif is_often:
                code, why = _QUOTA, "subscriptions a second"
            elif len(client.filters.keys() | {topic_filter}) > (self.profile.subscriptions or 65_535):
                code, why = _QUOTA, "subscriptions"
            else:
                client.filters[topic_filter] = code
                told += [] if options & 0x20 else self._retained_for(topic_filter)
            codes.append(code)
            self.refused.update([why] if why else [])
        if len(codes) > (self.profile.filters_in_subscribe or 65_535):
            self._end(client, 0x82, "filters in a SUBSCRIBE")
            return
        self._send(client, packet(0x90, struct.pack("!HB", packet_id, 0) + bytes(codes)))
        for topic in told:
            self._deliver(client, topic, *self.retained[topic])

    def _on_unsubscribe(self, client: _Client, body: bytes) -> None:
        packet_id, rest = int.from_bytes(body[:2]), body[2:]
        size, rest = _number(rest)
        filters = _texts(rest[size:])
        _is_too_often(client.subscribed, self.profile.subscribes_per_s)  # it counts, and is never refused here
        for each in filters:
            client.filters.pop(each, None)
        self._send(client, packet(0xB0, struct.pack("!HB", packet_id, 0) + bytes(len(filters))))

    def _retained_for(self, topic_filter: str) -> list[str]:
        if not self.profile.retained_by_wildcard and ("+" in topic_filter or "#" in topic_filter):
            return []
        return [topic for topic in self.retained if matches(topic_filter, topic)]

    # Limits

    def _is_bad(self, topic: str) -> bool:
        levels, size = topic.count("/") + 1, len(topic.encode())
        return levels > (self.profile.topic_levels or levels) or size > (self.profile.topic_bytes or size)

    def _may(self, client: _Client, verb: str, topic: str) -> bool:
        role, own = role_of(client.known)
        rules = self.rights[role].get(verb, ())
        return any(matches(rule.replace("${cn}", own).replace("<key id>", own), topic) for rule in rules)

    # Sending

    def _deliver(self, client: _Client, topic: str, payload: bytes, properties: bytes, qos: int = 1) -> None:
        client.number = client.number % 65_535 + 1
        self._send(client, publish(topic, payload, client.number if qos else 0, properties))

    def _answer(self, client: _Client, packet_id: int, code: int, refused: str = "") -> None:
        self.refused.update([refused] if refused else [])
        client.owed.append((time.monotonic() + _ACK_AFTER_S, puback(packet_id, code)))

    def _refuse(self, client: _Client, code: int, why: str) -> None:
        self.ended[why] += 1
        self._send(client, connack(code))
        self._forget(client)

    def _end(self, client: _Client, code: int, why: str) -> None:
        self.ended[why] += 1
        self._send(client, packet(DISCONNECT, bytes([code, 0])))
        self._forget(client)

    def _send(self, client: _Client, data: bytes) -> None:
        client.sock.settimeout(PATIENCE_S)
        try:
            client.sock.sendall(data)
        except OSError:
            self._forget(client)

    def _forget(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            if client.session_s and all(each.name != client.name for each in self._clients):
                self.sessions[client.name] = Session(client.session_s, client.filters)
            self._selector.unregister(client.sock)
            with contextlib.suppress(OSError):
                client.sock.close()


def _is_too_often(times: deque[float], most: int | None) -> bool:
    """Counts one more of the last second, unless it is one too many."""
    now_s = time.monotonic()
    while times and times[0] <= now_s - 1.0:
        times.popleft()
    if most is not None and len(times) >= most:
        return True
    times.append(now_s)
    return False


def _number(data: bytes) -> tuple[int, bytes]:
    """A variable byte integer, and what follows it."""
    value = shift = 0
    for place, digit in enumerate(data):
        value |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return value, data[place + 1 :]
    raise ValueError("It does not end.")


def _session_of(properties: bytes) -> int:
    """Returns the session expiry interval of a CONNECT in seconds. Our client sends no other properties than these."""
    sizes, place, found = {0x11: 4, 0x21: 2, 0x22: 2, 0x27: 4}, 0, 0
    while place < len(properties):
        kind, size = properties[place], sizes[properties[place]]
        if kind == 0x11:
            found = int.from_bytes(properties[place + 1 : place + 1 + size])
        place += 1 + size
    return found


def _texts(data: bytes, most: int = 1000) -> list[str]:
    found: list[str] = []
    while data and len(found) < most:
        length = int.from_bytes(data[:2])
        found.append(data[2 : 2 + length].decode())
        data = data[2 + length :]
    return found


def _take_packet(buffer: bytearray) -> tuple[int, bytes] | None:
    """The first whole packet, which leaves the buffer."""
    try:
        length, rest = _number(bytes(buffer[1:6]))
    except ValueError:
        return None
    head = 1 + len(buffer[1:6]) - len(rest)
    if len(buffer) < head + length:
        return None
    first, body = buffer[0], bytes(buffer[head : head + length])
    del buffer[: head + length]
    return first, body
