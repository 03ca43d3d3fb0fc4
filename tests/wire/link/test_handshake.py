"""The handshake of the link: two ends that know each other's keys agree, and no other end gets in."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import FormatError, OpenError
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.link import handshake
from agent.wire.link.handshake import ClientHandshake, DeviceHandshake, has_knock
from agent.wire.link.schedule import address_of, knock_of
from agent.wire.link.session import LinkSession

DEVICE, CLIENT, OTHER = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2, 3))
SECRET = b"\7" * 32


def client_of(
    device: Ed25519PrivateKey = DEVICE, key: Ed25519PrivateKey = CLIENT, signer: object = None
) -> ClientHandshake:
    return ClientHandshake(
        SECRET,
        public_key_of(device),
        public_key_of(key),
        signer or key.sign,  # type: ignore[arg-type]
        x25519=secrets.token_bytes(32),
        mlkem=secrets.token_bytes(64),
    )


def answered(hello: bytes, key: Ed25519PrivateKey = DEVICE, signer: object = None) -> DeviceHandshake:
    return DeviceHandshake(hello, public_key_of(key), signer or key.sign, x25519=secrets.token_bytes(32))  # type: ignore[arg-type]


def opened() -> tuple[LinkSession, LinkSession]:
    client = client_of()
    device = answered(client.hello)
    proof, at_client = client.finish(device.answer)
    key, at_device = device.finish(proof)
    assert key == public_key_of(CLIENT)
    return at_client, at_device


def test_both_ends_agree_and_the_device_knows_the_clients_key() -> None:
    for one, other in (opened(), opened()[::-1]):
        one.send(1, b"hello", last=True)
        frame = one.next_frame()
        assert frame is not None
        heard = other.receive(frame)
        assert (heard.data, heard.last) == (b"hello", True)  # type: ignore[union-attr]


def test_two_handshakes_of_the_same_ends_share_no_key() -> None:
    (one, _), (_, other) = opened(), opened()
    one.ping()
    frame = one.next_frame()
    assert frame is not None
    other.receive(frame)
    assert other.received == 0


def test_only_who_knows_the_secret_can_knock() -> None:
    hello = client_of().hello
    assert has_knock(hello, SECRET)
    assert not has_knock(hello, b"\6" * 32)
    assert not has_knock(b"\2" + hello[1:-32] + knock_of(SECRET, b"\2" + hello[1:-32]), SECRET)
    assert not has_knock(hello[:-33] + knock_of(SECRET, hello[:-33]), SECRET)


def test_the_address_reveals_nothing_of_the_knock() -> None:
    assert len(address_of(SECRET)) == 32
    assert address_of(SECRET) != address_of(b"\6" * 32)
    assert address_of(SECRET) not in knock_of(SECRET, b"").hex()


def test_another_device_cannot_answer_in_its_place() -> None:
    client = client_of()
    with pytest.raises(OpenError):
        client.finish(answered(client.hello, OTHER).answer)
    with pytest.raises(OpenError, match="not authentic"):
        client.finish(answered(client.hello, DEVICE, OTHER.sign).answer)


def test_another_client_cannot_prove_in_its_place() -> None:
    client = client_of(signer=OTHER.sign)
    device = answered(client.hello)
    proof, _session = client.finish(device.answer)
    with pytest.raises(OpenError):
        device.finish(proof)


def test_the_relay_that_swaps_the_ephemeral_keys_for_its_own_is_noticed() -> None:
    """A machine in the middle, who knows the secret too."""
    client, middle = client_of(), client_of(key=OTHER)
    device = answered(middle.hello)
    with pytest.raises(OpenError):
        client.finish(device.answer)
    forged = answered(client.hello, OTHER)
    with pytest.raises(OpenError):
        client.finish(forged.answer)


def test_messages_of_two_handshakes_do_not_mix() -> None:
    one, other = client_of(), client_of()
    at_one, at_other = answered(one.hello), answered(other.hello)
    with pytest.raises(OpenError):
        one.finish(at_other.answer)
    proof, _session = one.finish(at_one.answer)
    with pytest.raises(OpenError):
        at_other.finish(proof)


def test_a_message_in_the_place_of_another_is_refused() -> None:
    client = client_of()
    device = answered(client.hello)
    proof, _session = client.finish(device.answer)
    for message in (client.hello, proof, b"", bytes(1233)):
        with pytest.raises(FormatError):
            client.finish(message)
    for message in (client.hello, device.answer, b"", bytes(145)):
        with pytest.raises(FormatError):
            device.finish(message)


def test_key_shares_that_give_a_known_secret_are_refused() -> None:
    client = client_of()
    weak = client.hello[:2] + bytes(32) + client.hello[34:]
    with pytest.raises(OpenError):
        answered(weak)
    no_kem = client.hello[:34] + b"\xff" * 1184 + client.hello[-32:]
    with pytest.raises(OpenError):
        answered(no_kem)
    device = answered(client.hello)
    with pytest.raises(OpenError):
        client.finish(device.answer[:1] + bytes(32) + device.answer[33:])


def test_a_client_without_a_sound_key_is_refused() -> None:
    """It has agreed on the keys, so it can seal what it likes."""
    client = client_of()
    device = answered(client.hello)
    client.finish(device.answer)
    sealed = ChaCha20Poly1305(device._keys.seal_of(b"client")).encrypt(bytes(12), bytes(128), None)
    with pytest.raises(FormatError):
        device.finish(b"\3" + sealed)


def test_a_signature_without_the_mac_binds_no_identity() -> None:
    """A relay that passes a signature on in its own name (identity misbinding): the MAC has the signer's key in it."""
    client = client_of()
    device = answered(client.hello)
    proof, _session = client.finish(device.answer)
    plain = ChaCha20Poly1305(device._keys.seal_of(b"client")).decrypt(bytes(12), proof[1:], None)
    signature = OTHER.sign(b"anything")
    for changed in (
        public_key_of(OTHER).raw + plain[32:],
        plain[:32] + signature + plain[96:],
        plain[:96] + bytes(32),
    ):
        sealed = ChaCha20Poly1305(device._keys.seal_of(b"client")).encrypt(bytes(12), changed, None)
        with pytest.raises(OpenError):
            device.finish(b"\3" + sealed)


def test_what_is_signed_here_is_no_statement_and_no_other_ends() -> None:
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return CLIENT.sign(message)

    client = client_of(signer=sign)
    client.finish(answered(client.hello).answer)
    assert signed[0].startswith(b"DSSEv1 36 application/vnd.doorward.link-client 32 ")
    assert handshake._SIGNED_BY[b"device"] != handshake._SIGNED_BY[b"client"]


@pytest.mark.parametrize(
    "changed", [lambda message: message[:-1], lambda message: message + b"\0", lambda message: b"\0" + message[1:]]
)
def test_a_message_of_another_length_or_kind_is_refused_before_its_seal_is_tried(
    changed: Callable[[bytes], bytes],
) -> None:
    client = client_of()
    device = answered(client.hello)
    with pytest.raises(FormatError) as refused:
        client.finish(changed(device.answer))
    assert str(refused.value) == "This is not an answer of a handshake."
    proof, _session = client.finish(device.answer)
    with pytest.raises(FormatError) as refused:
        device.finish(changed(proof))
    assert str(refused.value) == "This is not the proof of a handshake."
    assert not has_knock(changed(client.hello), SECRET)
