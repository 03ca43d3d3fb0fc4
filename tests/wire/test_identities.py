"""Keys: their text forms, and the public keys that must not exist."""

from __future__ import annotations

import contextlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DoorwardError, FormatError
from agent.wire import identities
from tests import public_vectors
from tests.wire import samples

P = 2**255 - 19
SMALL_ORDER_Y = {
    0,
    1,
    P - 1,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
}


def encoded(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


@given(st.binary(min_size=32, max_size=32))
def test_a_key_survives_its_text_forms(seed: bytes) -> None:
    private = identities.private_key_from_seed(seed)
    public = identities.public_key_of(private)
    assert identities.parse_public_key(public.text) == public
    assert identities.public_key_of(identities.load_private_key(identities.dump_private_key(private))) == public
    assert public.id == identities.key_id(public) == identities.key_id(public.raw)
    assert identities.key_id(private.public_key()) == public.id
    assert str(public) == public.text


def test_the_first_test_vector_of_rfc_8032_is_ours_too() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    private = identities.private_key_from_seed(seed)
    public = identities.public_key_of(private)
    assert public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert public.verifies(private.sign(b""), b"")


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", sorted(SMALL_ORDER_Y))
def test_a_key_of_small_order_is_refused(y: int, sign: int) -> None:
    with pytest.raises(FormatError):
        identities.PublicKey(encoded(y, sign))


def doubled_y(y: int) -> int:
    """The y of the doubled point: (y² + x²) / (2 + x² − y²) with x² from the curve's equation (RFC 8032, 5.1)."""
    d = -121665 * pow(121666, -1, P) % P
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    return (y * y + x_squared) * pow(2 + x_squared - y * y, -1, P) % P


def test_the_list_of_small_orders_is_complete_and_right() -> None:
    # Doubling three times gives the neutral point (y = 1) for exactly the points of order 1, 2, 4 and 8.
    assert all(doubled_y(doubled_y(doubled_y(y))) == 1 for y in SMALL_ORDER_Y)
    # Orders 1 and 2 have one y each, order 4 one (x = ±), order 8 two: five in all for the eight points.
    assert len(SMALL_ORDER_Y) == 5


@pytest.mark.parametrize("sign", [0, 1])
def test_a_second_spelling_of_a_key_is_refused(sign: int) -> None:
    for y in range(P, 2**255):
        with pytest.raises(FormatError):
            identities.PublicKey(encoded(y, sign))


def test_what_is_no_point_is_refused() -> None:
    with pytest.raises(FormatError):
        identities.PublicKey(encoded(2))


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError, match="32 bytes"):
        identities.PublicKey(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        samples.OWNER_KEY.text.removeprefix("ed25519:"),
        samples.OWNER_KEY.text + "=",
        samples.OWNER_KEY.text + "\n",
        samples.OWNER_KEY.text[:-1],
        "ED25519:" + samples.OWNER_KEY.text[8:],
        "ed25519:" + "é" * 43,
    ],
)
def test_a_public_key_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        identities.parse_public_key(text)


def test_the_last_character_of_a_key_has_no_spare_bits() -> None:
    text = samples.OWNER_KEY.text
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if last != text[-1]:
            with contextlib.suppress(FormatError):
                assert identities.parse_public_key(text[:-1] + last) != samples.OWNER_KEY


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(FormatError):
        identities.private_key_from_seed(bytes(31))


def test_a_private_key_that_is_none_or_of_another_kind_is_refused_without_quoting_it() -> None:
    pem = identities.dump_private_key(samples.OWNER)
    other = (
        X25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
    locked = samples.OWNER.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    for text in ("", "canary", pem.replace("MC4C", "MC5C"), pem[:60], other, locked):
        with pytest.raises(FormatError) as caught:
            identities.load_private_key(text)
        assert "canary" not in str(caught.value)


def test_the_public_ed25519_vectors_are_verified_as_they_say() -> None:
    file = public_vectors.folder("wycheproof") / "ed25519_test.json"
    for group in json.loads(file.read_text())["testGroups"]:
        raw = bytes.fromhex(group["publicKey"]["pk"])
        if any("SmallOrderPublicKey" in test["flags"] for test in group["tests"]):
            # RFC 8032 accepts one signature under such a key for every message, so the key itself is refused.
            with pytest.raises(FormatError, match="sound"):
                identities.PublicKey(raw)
            continue
        public = identities.PublicKey(raw)
        for test in group["tests"]:
            verified = public.verifies(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            assert test["result"] == "acceptable" or verified == (test["result"] == "valid"), test["comment"]


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_key_or_an_error(raw: bytes) -> None:
    try:
        public = identities.PublicKey(raw)
    except DoorwardError:
        return
    assert not public.verifies(bytes(64), b"message")
