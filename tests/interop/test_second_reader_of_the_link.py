"""LINK.md is enough: ends written from it alone make and read every vector, and talk to ours."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

from agent.wire.identities import public_key_of
from agent.wire.link.handshake import ClientHandshake, DeviceHandshake, has_knock
from agent.wire.link.session import LinkSession, SessionEnded
from tests.second_reader import link
from tests.second_reader.link import Records, RefusedError

VECTORS = Path(__file__).parents[1] / "vectors" / "link"
SESSIONS = json.loads((VECTORS / "sessions.json").read_text(encoding="utf-8"))
REFUSED = json.loads((VECTORS / "refused.json").read_text(encoding="utf-8"))


def given(session: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(session[name])


def signer(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def client_end(session: dict[str, Any], answer: bytes) -> tuple[bytes, bytes, bytes]:
    device = link.raw(signer(given(session, "device_seed")))
    own, said = signer(given(session, "client_seed")), given(session, "hello")
    return link.finish_client(
        own, device, given(session, "client_x25519"), given(session, "client_mlkem_seed"), said, answer
    )


def device_end(session: dict[str, Any]) -> Any:
    kem = (given(session, "mlkem_shared_secret"), given(session, "answer")[33:1121])
    own = signer(given(session, "device_seed"))
    return link.answer_device(own, given(session, "device_x25519"), kem, given(session, "hello"))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: each["name"])
def test_it_makes_every_message_and_record_of_the_vectors(session: dict[str, Any]) -> None:
    secret = given(session, "secret")
    assert link.address(secret) == session["address"]
    hello = link.hello(secret, given(session, "client_x25519"), given(session, "client_mlkem_seed"))
    assert hello == given(session, "hello")
    link.require_hello(hello, secret)
    answer, finish = device_end(session)
    assert answer == given(session, "answer")
    proof, to_device, to_client = client_end(session, answer)
    assert proof == given(session, "proof")
    assert finish(proof) == (link.raw(signer(given(session, "client_seed"))), to_device, to_client)
    for name, key in (("to_device", to_device), ("to_client", to_client)):
        writer, reader = Records(key), Records(key)
        for each in session[name]:
            content, record = bytes.fromhex(each["content"]), bytes.fromhex(each["record"])
            assert writer.write(each["counter"], content) == record
            assert reader.read(record) == (each["counter"], content)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_it_refuses_what_the_vectors_say(case: dict[str, Any]) -> None:
    session = SESSIONS[0]
    message = bytearray(given(session, case["message"]))
    if "length" in case:
        message = message[:-1] if case["length"] < 0 else message + b"\0"
    else:
        message[case["flip_lowest_bit_of_byte"]] ^= 1
    readers: dict[str, Callable[[bytes], object]] = {
        "hello": lambda data: link.require_hello(data, given(session, "secret")),
        "answer": lambda data: client_end(session, data),
        "proof": device_end(session)[1],
    }
    with pytest.raises(RefusedError):
        readers[case["message"]](bytes(message))


DEVICE, CLIENT = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
SECRET = b"\3" * 32


def agree_with_ours(ours: LinkSession, to_us: bytes, from_us: bytes) -> None:
    """A record in each direction."""
    ours.send(1, b"of ours", last=True)
    frame = ours.next_frame()
    assert frame is not None
    assert Records(from_us).read(frame) == (0, b"\2\0\0\0\1of ours")
    assert ours.receive(Records(to_us).write(0, b"\5\1")) == SessionEnded(ours.ended)  # type: ignore[arg-type]


def test_its_client_opens_a_session_with_our_device() -> None:
    x25519, seed = secrets.token_bytes(32), secrets.token_bytes(64)
    hello = link.hello(SECRET, x25519, seed)
    assert has_knock(hello, SECRET)
    ours = DeviceHandshake(hello, public_key_of(DEVICE), DEVICE.sign, x25519=secrets.token_bytes(32))
    proof, to_device, to_client = link.finish_client(CLIENT, link.raw(DEVICE), x25519, seed, hello, ours.answer)
    key, session = ours.finish(proof)
    assert key.raw == link.raw(CLIENT)
    agree_with_ours(session, to_device, to_client)


def test_its_device_opens_a_session_with_our_client() -> None:
    ours = ClientHandshake(
        SECRET,
        public_key_of(DEVICE),
        public_key_of(CLIENT),
        CLIENT.sign,
        x25519=secrets.token_bytes(32),
        mlkem=secrets.token_bytes(64),
    )
    link.require_hello(ours.hello, SECRET)
    kem = MLKEM768PublicKey.from_public_bytes(ours.hello[34:1218]).encapsulate()
    answer, finish = link.answer_device(DEVICE, secrets.token_bytes(32), kem, ours.hello)
    proof, session = ours.finish(answer)
    key, to_device, to_client = finish(proof)
    assert key == link.raw(CLIENT)
    agree_with_ours(session, to_client, to_device)
