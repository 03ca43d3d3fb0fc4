"""Web push against the vectors of its RFCs."""

import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from agent.core.webpush import PADDED_BYTES, Subscription, encrypt, padded, point_of, subscription, vapid
from agent.errors import FormatError
from agent.wire.strictjson import decode_base64url, encode_base64url

# RFC 8291, appendix A
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
BROWSER = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
# RFC 8292, section 2.4
TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6"
    "Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHz"
    "voD1oA"
)
TOKEN_KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
ENDPOINT = "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"


def key(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(decode_base64url(text), "big"), ec.SECP256R1())


def verify(header: str) -> dict[str, object]:
    """The claims.  Raises `InvalidSignature`."""
    token, _, public = header.removeprefix("vapid t=").partition(", k=")
    signed, _, signature = token.rpartition(".")
    raw = decode_base64url(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode_base64url(public))
    point.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    claims: dict[str, object] = json.loads(decode_base64url(signed.partition(".")[2]))
    return claims


def test_the_example_of_rfc_8291_is_encrypted_to_the_last_byte() -> None:
    to = subscription(ENDPOINT, BROWSER, AUTH)
    body = encrypt(b"When I grow up, I want to be a watermelon", to, salt=decode_base64url(SALT), ephemeral=key(SENDER))
    assert encode_base64url(body) == BODY


def test_the_example_of_rfc_8292_verifies_and_ours_says_the_same() -> None:
    theirs = verify(f"vapid t={TOKEN}, k={TOKEN_KEY}")
    ours = verify(vapid(ENDPOINT, "mailto:push@example.com", 1453523768, key(SENDER)))
    assert ours == theirs == {"aud": "https://push.example.net", "exp": 1453523768, "sub": "mailto:push@example.com"}


def test_a_token_of_another_key_does_not_verify() -> None:
    header = vapid(ENDPOINT, "mailto:push@example.com", 1, key(SENDER)).partition(", k=")[0]
    with pytest.raises(InvalidSignature):
        verify(f"{header}, k={BROWSER}")


def test_a_visitor_and_a_request_are_one_length() -> None:
    to = subscription(ENDPOINT, BROWSER, AUTH)
    sizes = {
        len(encrypt(padded(text), to, salt=b"s" * 16, ephemeral=key(SENDER)))
        for text in (b"{}", b'{"body":"Something moved at the door."}', b"x" * PADDED_BYTES)
    }
    assert sizes == {PADDED_BYTES + 16 + 5 + 65 + 17}
    with pytest.raises(FormatError):
        padded(b"x" * (PADDED_BYTES + 1))


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=30))
def test_what_is_no_subscription_is_refused_in_words(endpoint: str, p256dh: str, auth: str) -> None:
    with pytest.raises(FormatError):
        subscription(endpoint, p256dh, auth)


@pytest.mark.parametrize(
    ("endpoint", "p256dh", "auth"),
    [
        ("http://push.example.net/a", BROWSER, AUTH),
        ("https://push.example.net/a b", BROWSER, AUTH),
        (ENDPOINT, encode_base64url(b"\x04" + b"\x01" * 64), AUTH),
        (ENDPOINT, encode_base64url(b"\x04" * 64), AUTH),
        (ENDPOINT, BROWSER, encode_base64url(b"x" * 15)),
    ],
)
def test_other_addresses_points_and_secrets_are_refused(endpoint: str, p256dh: str, auth: str) -> None:
    with pytest.raises(FormatError):
        subscription(endpoint, p256dh, auth)


@pytest.mark.parametrize(
    "place", ["", ":443", "a@push.example.net", *(f"push.example.net:{port}" for port in ("0", "65536", "x")), "[::1"]
)
def test_an_address_without_a_host_or_with_a_port_that_cannot_be_is_refused(place: str) -> None:
    with pytest.raises(FormatError, match="an https address"):
        subscription(f"https://{place}/a", BROWSER, AUTH)


@pytest.mark.parametrize("place", ["push.example.net", "push.example.net:1", "192.0.2.1:65535", "[2001:db8::1]:443"])
def test_each_address_with_a_host_and_a_port_that_can_be_is_taken(place: str) -> None:
    for path in ("", "/a?b=c"):
        assert subscription(f"https://{place}{path}", BROWSER, AUTH).endpoint == f"https://{place}{path}"


def test_a_subscription_shows_its_service_and_not_its_address() -> None:
    shown = repr(Subscription(ENDPOINT, point_of(key(SENDER)), b"secret-of-sixteen"))
    assert shown == "Subscription('https://push.example.net')"


def test_the_longest_address_is_a_thousand_letters() -> None:
    endpoint = "https://push.example.net/".ljust(1000, "a")
    assert subscription(endpoint, BROWSER, AUTH).endpoint == endpoint
    with pytest.raises(FormatError, match="an https address"):
        subscription(endpoint + "a", BROWSER, AUTH)


def test_a_token_names_the_service_the_sender_and_its_end_and_how_it_is_signed() -> None:
    header = vapid(ENDPOINT, "mailto:push@example.com", 1_453_523_768, key(SENDER))
    head, claims, _ = header.removeprefix("vapid t=").partition(", k=")[0].split(".")
    assert json.loads(decode_base64url(head)) == {"typ": "JWT", "alg": "ES256"}
    assert json.loads(decode_base64url(claims)) == {
        "aud": "https://push.example.net", "exp": 1_453_523_768, "sub": "mailto:push@example.com",
    }  # fmt: skip
    assert header.endswith(f", k={encode_base64url(point_of(key(SENDER)))}")
