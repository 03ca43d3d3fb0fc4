"""DSSE: known bytes, one message for every failure to verify, and no mutation that passes."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.identities import public_key_of
from tests.wire import samples

TYPE = "application/vnd.doorward.test+json"
TRUSTED = {samples.OWNER_KEY.id: samples.OWNER_KEY}
GOOD = envelope.sign(TYPE, b'{"a":1}', samples.OWNER)


def spoiled(**changes: object) -> bytes:
    return json.dumps({**json.loads(GOOD), **changes}).encode()


def test_the_pre_authentication_encoding_is_the_specifications_example() -> None:
    encoded = envelope.pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_in_the_encoding_are_of_bytes() -> None:
    assert envelope.pae("é", "ü".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xbc"


@given(st.binary(max_size=200))
def test_any_payload_comes_back_with_its_signer(payload: bytes) -> None:
    data = envelope.sign(TYPE, payload, samples.OWNER)
    assert envelope.open_envelope(data, TYPE, TRUSTED) == envelope.VerifiedEnvelope(payload, samples.OWNER_KEY.id)


def test_spaces_around_the_envelope_change_nothing() -> None:
    assert envelope.open_envelope(b" " + GOOD + b"\n", TYPE, TRUSTED).payload == b'{"a":1}'


def test_every_failure_to_verify_is_one_message() -> None:
    parsed = json.loads(GOOD)
    signature = parsed["signatures"][0]
    other = public_key_of(samples.ROOT)
    wrong = strictjson.encode_base64(bytes(64))
    attempts = [
        (GOOD, {}),
        (GOOD, {other.id: other}),
        (GOOD, {samples.OWNER_KEY.id: other}),
        (spoiled(payload=strictjson.encode_base64(b'{"a":2}')), TRUSTED),
        (spoiled(signatures=[{**signature, "sig": wrong}]), TRUSTED),
        (spoiled(signatures=[{**signature, "keyid": other.id}]), {**TRUSTED, other.id: other}),
        (spoiled(signatures=[{**signature, "keyid": other.id}]), {other.id: samples.OWNER_KEY}),
    ]
    messages = set()
    for data, trusted in attempts:
        with pytest.raises(OpenError) as caught:
            envelope.open_envelope(data, TYPE, trusted)
        messages.add(str(caught.value))
    assert messages == {envelope.NOT_SIGNED}


def test_a_payload_of_one_type_is_not_one_of_another() -> None:
    with pytest.raises(FormatError):
        envelope.open_envelope(GOOD, "application/vnd.doorward.other+json", TRUSTED)
    with pytest.raises(OpenError):
        envelope.open_envelope(spoiled(payloadType="text/plain"), "text/plain", TRUSTED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        spoiled(signatures=[]),
        spoiled(signatures=json.loads(GOOD)["signatures"] * 2),
        spoiled(signatures=[{"keyid": samples.OWNER_KEY.id, "sig": strictjson.encode_base64(bytes(63))}]),
        spoiled(signatures=[{"keyid": samples.OWNER_KEY.id + "\n", "sig": strictjson.encode_base64(bytes(64))}]),
        spoiled(signatures=[{"keyid": "", "sig": strictjson.encode_base64(bytes(64))}]),
        spoiled(payload="e30"),
        spoiled(payload="eyJhIjoxfQ=="[:-2] + "R=="),
        spoiled(payload="e30=\n"),
        spoiled(payload=strictjson.encode_base64url(b"\xff\xfe\xfd")),
        spoiled(extra=1),
        GOOD[:-1],
        GOOD + GOOD,
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        envelope.open_envelope(data, TYPE, TRUSTED)


def test_an_envelope_over_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="allowed are"):
        envelope.open_envelope(GOOD, TYPE, TRUSTED, limit_bytes=len(GOOD) - 1)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_gets_another_payload_through(at: int, change: int) -> None:
    mutated = GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :]
    try:
        opened = envelope.open_envelope(mutated, TYPE, TRUSTED)
    except DoorwardError:
        return
    assert opened == envelope.VerifiedEnvelope(b'{"a":1}', samples.OWNER_KEY.id)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DoorwardError):
        envelope.open_envelope(noise, TYPE, TRUSTED)


def test_reading_unverified_says_who_claims_what() -> None:
    claimed = envelope.read_unverified(spoiled(payload=strictjson.encode_base64(b"forged")))
    assert (claimed.payload_type, claimed.payload, claimed.key_id) == (TYPE, b"forged", samples.OWNER_KEY.id)
    with pytest.raises(OpenError):
        envelope.verify(claimed, TRUSTED)


@given(st.binary(max_size=60))
def test_base64_has_one_spelling(data: bytes) -> None:
    assert strictjson.decode_base64(strictjson.encode_base64(data)) == data
    assert strictjson.decode_base64url(strictjson.encode_base64url(data)) == data


@given(st.text("AQgw+/-_= \n", max_size=12))
def test_base64_that_decodes_is_the_spelling_of_what_it_decodes_to(text: str) -> None:
    for decode, encode in (
        (strictjson.decode_base64, strictjson.encode_base64),
        (strictjson.decode_base64url, strictjson.encode_base64url),
    ):
        with contextlib.suppress(FormatError):
            assert encode(decode(text)) == text
