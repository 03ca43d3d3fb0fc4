"""Tickets and the proof in a doorbell's signing request: each is read as written, and nothing else is."""

from __future__ import annotations

import pytest

from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.broker_enrolment import BrokerTicket, device_proof, proven_device, read_ticket, token_id
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.config.audited import CERTIFICATE

DEVICE, OTHER = private_key_from_seed(b"\1" * 32), private_key_from_seed(b"\2" * 32)
TICKET = BrokerTicket(
    v=1, host="broker.example", port=8887, broker_port=8883, authority=CERTIFICATE, token=f"dwt_{'A' * 27}"
)  # fmt: skip
TLS_KEY = b"a key"


def test_a_ticket_is_read_as_it_was_written() -> None:
    assert read_ticket(strictjson.encode(TICKET) + b"\n") == TICKET


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("token", b'"dwt_short-and-secret"', "token"),
        ("authority", b'"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n"', "authority"),
        ("host", b'"broker example"', "host"),
        ("port", b"0", "port"),
        ("v", b"2", "v"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_shown(key: str, value: bytes, place: str) -> None:
    good = strictjson.encode(
        BrokerTicket(v=1, host="h", port=1, broker_port=2, authority=CERTIFICATE, token=TICKET.token)
    )
    parts = {"v": b"1", "host": b'"h"', "port": b"1", "token": f'"{TICKET.token}"'.encode()}
    before = parts.get(key, strictjson.encode(TICKET).partition(b'"authority":')[2].partition(b',"broker_port"')[0])
    data = good.replace(b'"%s":%s' % (key.encode(), before), b'"%s":%s' % (key.encode(), value))
    assert data != good
    with pytest.raises(FormatError, match=place) as caught:
        read_ticket(data)
    assert "secret" not in str(caught.value)
    assert "doorward broker add-tokens" in caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 5000, b" " * (40 * 1024 + 1)])
def test_anything_else_is_refused_as_a_ticket(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_ticket(data)


def test_a_device_proves_its_key_for_one_tls_key() -> None:
    proof = device_proof(DEVICE, TLS_KEY)
    assert len(proof) <= 255  # RFC 2985: the longest challenge password
    assert proven_device(proof, TLS_KEY) == public_key_of(DEVICE)
    with pytest.raises(OpenError):
        proven_device(proof, b"another key")


def test_no_device_proves_the_key_of_another() -> None:
    mine, signature = device_proof(OTHER, TLS_KEY).split(".")
    theirs, _ = device_proof(DEVICE, TLS_KEY).split(".")
    with pytest.raises(OpenError):
        proven_device(f"{theirs}.{signature}", TLS_KEY)
    assert proven_device(f"{mine}.{signature}", TLS_KEY).id == public_key_of(OTHER).id


@pytest.mark.parametrize("proof", ["", ".", "a.b", "AAAA", "A" * 43 + ".", device_proof(DEVICE, TLS_KEY) + "A"])
def test_a_malformed_proof_is_refused(proof: str) -> None:
    with pytest.raises(FormatError):
        proven_device(proof, TLS_KEY)


def test_the_name_of_a_token_does_not_tell_it() -> None:
    assert TICKET.token not in token_id(TICKET.token)
    assert token_id(TICKET.token) != token_id(f"dwt_{'B' * 27}")
