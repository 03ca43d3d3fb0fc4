"""The gate: four kinds of message from trusted requesters come through, on their own topics, and nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DoorwardError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.fields import Kind
from agent.wire.inbound import verify_inbound
from agent.wire.topics import BulletinTopic, ReceiptTopic, RequestTopic, Topic, UploadTopic, UploadVerb
from agent.wire.trust import TrustStore
from tests.wire import samples

TRUST, _ = TrustStore().with_root(samples.ROOT_KEY).accept(samples.several(samples.bundle(), samples.ROOT))
REQUEST_TOPIC = RequestTopic("287-379", "harbour-police", 7)
RECEIPT_TOPIC = ReceiptTopic(samples.DEVICE_KEY.id, samples.receipt().disclosure)
BULLETIN_TOPIC = BulletinTopic("287-379", "harbour-police", 7)
TOPIC_OF: dict[str, Topic] = {
    "footage-request": REQUEST_TOPIC,
    "withdrawal": REQUEST_TOPIC,
    "receipt": RECEIPT_TOPIC,
    "bulletin": BULLETIN_TOPIC,
}


def signed(message: Any, by: Ed25519PrivateKey = samples.REQUESTER) -> bytes:
    return envelope.sign(message.PAYLOAD_TYPE, strictjson.encode(message), by)


@pytest.mark.parametrize("name", sorted(TOPIC_OF))
def test_each_kind_of_message_comes_through_on_its_topic_and_on_no_other(name: str) -> None:
    message = samples.EVERY_MESSAGE[name]
    inbound = verify_inbound(signed(message), TOPIC_OF[name], TRUST, samples.NOW_S)
    assert inbound.message == message
    assert inbound.requester.id == "harbour-police"
    assert inbound.payload == strictjson.encode(message)
    assert inbound.payload_sha256 == hashlib.sha256(inbound.payload).hexdigest()
    upload = UploadTopic("harbour-police", "0" * 16, "0" * 32, 0, UploadVerb.INIT)
    elsewhere: list[Topic] = [
        RequestTopic("287-379", "somebody-else", 7),
        ReceiptTopic(samples.DEVICE_KEY.id, "9" * 32),
        BulletinTopic("287-379", "somebody-else", 7),
        BulletinTopic("200-379", "harbour-police", 7),
        upload,
        *(topic for topic in TOPIC_OF.values() if topic != TOPIC_OF[name]),
    ]
    for topic in elsewhere:
        with pytest.raises(RequestError, match="topic"):
            verify_inbound(signed(message), topic, TRUST, samples.NOW_S)


@pytest.mark.parametrize("name", ["approval", "disclosure-manifest", "enrolment", "opt-out", "trust-bundle"])
def test_nothing_an_owner_a_root_or_a_device_says_is_taken_from_the_network(name: str) -> None:
    with pytest.raises(RequestError):
        verify_inbound(signed(samples.EVERY_MESSAGE[name]), REQUEST_TOPIC, TRUST, samples.NOW_S)


def test_an_unknown_key_a_wrong_name_and_a_wrong_root_are_one_error() -> None:
    attempts = [
        signed(samples.request(), by=samples.OWNER),
        signed(samples.request(requester="someone-else")),
        signed(samples.request(trust_root="0" * 16)),
    ]
    for data in attempts:
        with pytest.raises(OpenError) as caught:
            verify_inbound(data, REQUEST_TOPIC, TRUST, samples.NOW_S)
        assert str(caught.value) == envelope.NOT_SIGNED
    with pytest.raises(OpenError):
        verify_inbound(signed(samples.request()), REQUEST_TOPIC, TRUST, samples.NOW_S + 10**9)
    with pytest.raises(OpenError):
        verify_inbound(signed(samples.request()), REQUEST_TOPIC, TrustStore(), samples.NOW_S)


def test_a_device_without_the_time_of_day_still_hears_requests() -> None:
    assert verify_inbound(signed(samples.request()), REQUEST_TOPIC, TRUST, None).message == samples.request()


def test_a_requester_cannot_call_itself_another_kind() -> None:
    with pytest.raises(RequestError, match="kind"):
        verify_inbound(signed(samples.request(kind=Kind.FIRE)), REQUEST_TOPIC, TRUST, samples.NOW_S)


def test_a_payload_that_is_signed_but_no_message_is_the_requesters_error() -> None:
    data = envelope.sign(samples.request().PAYLOAD_TYPE, b"{}", samples.REQUESTER)
    with pytest.raises(RequestError, match="Footage request"):
        verify_inbound(data, REQUEST_TOPIC, TRUST, samples.NOW_S)


@given(st.binary(max_size=300))
def test_noise_is_the_requesters_error(noise: bytes) -> None:
    with pytest.raises(RequestError):
        verify_inbound(noise, REQUEST_TOPIC, TRUST, samples.NOW_S)


GOOD = signed(samples.request())


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_gets_no_other_request_through(at: int, change: int) -> None:
    mutated = GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :]
    try:
        inbound = verify_inbound(mutated, REQUEST_TOPIC, TRUST, samples.NOW_S)
    except DoorwardError:
        return
    assert inbound.message == samples.request()
