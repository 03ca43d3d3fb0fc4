"""RabbitMQ's permissions give each client of a run the rights of mosquitto's access list, and no more. Its policies
give each client the room that it needs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.broker.broker_pki import DIGEST_CLIENT, BrokerPki
from agent.clients.broker.digest_service import _LIVE
from agent.clients.requester.retained_messages import PublicationMonitor
from agent.uplink.cell_reading import BURST_BYTES
from agent.wire.cell_digest import MAX_PAGE_BYTES
from agent.wire.topics import TRUST_FILTER, TRUST_PIECES_FILTER, TrustTopic, cell_filter
from tests.brokers import NOW, add_requester
from tests.interop.rabbitmq import advanced, queue_rights
from tests.interop.rabbitmq_cluster import MOST_KEPT_BYTES, policies
from tests.scale.rabbit_shard import permissions

DEVICE, OTHER, POLICE, WORKER = "a1" * 8, "b2" * 8, "rijnstad-police", "rijnstad-police.w1"
UP = f"doorward.v1.up.{POLICE}.{DEVICE}.{'0' * 32}-1.0"
REQUEST, RECEIPT = "doorward.v1.areas.283-375.requests.{}.0", f"doorward.v1.receipts.{DEVICE}.{'0' * 32}"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BrokerPki:
    pki = BrokerPki.create(tmp_path_factory.mktemp("pki"), NOW)
    add_requester(pki, WORKER)
    pki.add_digest(NOW)
    return pki


def may(pki: BrokerPki, name: str, way: str, topic: str) -> bool:
    text = (pki.directory / ("devices.acl" if name in (DEVICE, OTHER) else "requesters.acl")).read_text()
    write, read = permissions(text, name)
    return re.search(write if way == "write" else read, topic) is not None


@pytest.mark.parametrize(
    ("name", "way", "topic"),
    [
        (DEVICE, "write", UP),
        (DEVICE, "read", RECEIPT),
        (DEVICE, "read", REQUEST.format(POLICE)),
        (POLICE, "write", REQUEST.format(POLICE)),
        (POLICE, "write", RECEIPT),
        (WORKER, "write", REQUEST.format(POLICE)),
        (WORKER, "read", UP),
        (WORKER, "write", RECEIPT),
    ],
)
def test_what_the_access_list_allows_is_allowed(pki: BrokerPki, name: str, way: str, topic: str) -> None:
    assert may(pki, name, way, topic)


@pytest.mark.parametrize(
    ("name", "way", "topic"),
    [
        (OTHER, "write", UP),
        (OTHER, "read", RECEIPT),
        (DEVICE, "write", REQUEST.format(POLICE)),
        (DEVICE, "read", UP),
        (POLICE, "write", UP),
        (POLICE, "write", REQUEST.format("other-police")),
        (POLICE, "read", UP.replace(POLICE, "other-police")),
        (WORKER, "write", REQUEST.format(WORKER)),
        (WORKER, "write", REQUEST.format("other-police")),
    ],
)
def test_what_the_access_list_forbids_is_forbidden(pki: BrokerPki, name: str, way: str, topic: str) -> None:
    assert not may(pki, name, way, topic)


def test_a_client_may_subscribe_with_each_filter_that_it_uses(pki: BrokerPki) -> None:
    """RabbitMQ asks for the right to read the filter itself, and ends the connection of a client without it."""
    police: Any = SimpleNamespace(id=POLICE)
    used = {
        DEVICE: [
            cell_filter("283-375"),
            TRUST_FILTER,
            TRUST_PIECES_FILTER,
            str(TrustTopic("c3" * 8, 0)),
            f"doorward/v1/receipts/{DEVICE}/+",
            "doorward/v1/areas/283-375/digest/0",
        ],
        WORKER: [PublicationMonitor(police).topic_filter, f"doorward/v1/up/{POLICE}/#", TRUST_FILTER],
        DIGEST_CLIENT: list(_LIVE),
    }
    for name, filters in used.items():
        for each in filters:
            assert may(pki, name, "read", each.replace("/", ".").replace("+", "*")), f"{name} subscribes to {each}"
    assert may(pki, DIGEST_CLIENT, "write", "doorward.v1.areas.283-375.digest.0")
    assert not may(pki, DIGEST_CLIENT, "read", UP)


def policy_of(client: str) -> dict[str, Any]:
    """Returns the policy for what waits for a client: of those that fit, the one with the highest priority."""
    fitting = [each for each in policies() if re.search(each["pattern"], f"mqtt-subscription-{client}qos1")]
    return max(fitting, key=lambda each: int(each["priority"]))


@pytest.mark.parametrize("client", [POLICE, WORKER, DIGEST_CLIENT, f"{DEVICE}.root", "a1" * 9])
def test_footage_for_a_requester_has_as_much_room_as_at_mosquitto_and_its_doorbell_is_told_of_the_end(
    client: str,
) -> None:
    """With the bound of a doorbell, acknowledged parts were dropped, and a run received 3 parts a second."""
    template = Path("config/mosquitto/doorward.conf.template").read_text()
    most = re.search(r"(?m)^max_queued_bytes (\d+)$", template)
    assert most is not None
    assert policy_of(client)["definition"] == {"max-length-bytes": int(most[1]), "overflow": "reject-publish"}


def test_the_newest_48_kib_wait_for_a_doorbell() -> None:
    """With a page of a digest, 64 KiB are read at a connection."""
    assert MOST_KEPT_BYTES + MAX_PAGE_BYTES <= BURST_BYTES
    assert policy_of(DEVICE)["definition"] == {"max-length-bytes": MOST_KEPT_BYTES, "overflow": "drop-head"}


@pytest.mark.parametrize("name", [DEVICE, POLICE, WORKER, DIGEST_CLIENT, f"{DEVICE}.root"])
def test_a_client_has_the_queues_of_its_own_client_ids_alone(name: str) -> None:
    """RabbitMQ names a queue after the client id, which each client chooses."""
    rights, live = queue_rights(name), f"{name}.live.0123abcd"
    own = [
        f"mqtt-subscription-{each}qos{qos}" for each in (name, *([live] if name == DEVICE else [])) for qos in (0, 1)
    ]
    for each in own:
        assert all(re.search(rights[way], each) for way in ("configure", "write", "read")), each
    assert re.search(rights["write"], "amq.topic")
    assert re.search(rights["read"], "amq.topic")
    others = {OTHER, POLICE, WORKER, "rijnstad-policeX", f"{OTHER}.live.0123abcd", f"{DEVICE}.live.x", f"x{DEVICE}"}
    for client in (others | {live}) - {name} - ({live} if name == DEVICE else set()):
        queue = f"mqtt-subscription-{client}qos1"
        assert not any(re.search(rights[way], queue) for way in ("configure", "write", "read")), client
    assert not re.search(rights["configure"], "amq.topic")


def test_the_operators_line_takes_the_client_id_from_the_certificates_name() -> None:
    assert advanced() == "[{rabbitmq_mqtt, [{ssl_cert_client_id_from, common_name}]}].\n"
