"""The primitives under age, with the arguments that Doorward uses, against Project Wycheproof's vectors.

Source: github.com/C2SP/wycheproof, testvectors_v1, as scripts/public_vectors.py fetches them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.clients.opening.identities import _shared_secret
from agent.core.vault.age.header import hkdf
from agent.core.vault.age.recipients import X25519Recipient
from agent.errors import FormatError
from tests import public_vectors


@pytest.fixture
def wycheproof() -> Path:
    return public_vectors.folder("wycheproof")


def cases(path: Path, *binary: str) -> Iterator[dict[str, Any]]:
    """Each case, with its fields named in `binary` as bytes."""
    for group in json.loads(path.read_text())["testGroups"]:
        for case in group["tests"]:
            yield {**case, **{name: bytes.fromhex(case[name]) for name in binary if name in case}}


def test_chacha20_poly1305_opens_what_is_authentic_and_nothing_else(wycheproof: Path) -> None:
    fields = ("key", "iv", "aad", "msg", "ct", "tag")
    for case in cases(wycheproof / "chacha20_poly1305_test.json", *fields):
        aead = ChaCha20Poly1305(case["key"])
        sealed = case["ct"] + case["tag"]
        if case["result"] == "valid":
            assert aead.encrypt(case["iv"], case["msg"], case["aad"]) == sealed
            assert aead.decrypt(case["iv"], sealed, case["aad"]) == case["msg"]
        else:
            # A nonce of the wrong length cannot occur: chunk_nonce makes 12 bytes.
            with pytest.raises(InvalidTag if len(case["iv"]) == 12 else ValueError):
                aead.decrypt(case["iv"], sealed, case["aad"])


def test_our_hkdf_is_rfc_5869s(wycheproof: Path) -> None:
    for case in cases(wycheproof / "hkdf_sha256_test.json", "ikm", "salt", "info", "okm"):
        if case["result"] == "valid":
            # HKDF's output of one length is the beginning of its output of any greater one.
            length = min(32, case["size"])
            assert hkdf(case["ikm"], salt=case["salt"], info=case["info"])[:length] == case["okm"][:length]


def test_x25519_agrees_and_refuses_every_share_that_makes_a_secret_of_zeros(wycheproof: Path) -> None:
    for case in cases(wycheproof / "x25519_test.json", "public", "private", "shared"):
        secret = X25519PrivateKey.from_private_bytes(case["private"])
        if "ZeroSharedSecret" in case["flags"]:
            with pytest.raises(FormatError, match="low order"):
                _shared_secret(secret, case["public"])
        else:
            assert _shared_secret(secret, case["public"]) == case["shared"]


def test_no_recipient_is_a_low_order_point_or_a_second_name_of_a_key(wycheproof: Path) -> None:
    for case in cases(wycheproof / "x25519_test.json", "public"):
        if {"ZeroSharedSecret", "NonCanonicalPublic"} & set(case["flags"]):
            with pytest.raises(FormatError):
                X25519Recipient(case["public"])
        else:
            assert X25519Recipient(case["public"]).public == case["public"]


def test_ml_kem_768_from_a_seed_agrees(wycheproof: Path) -> None:
    for case in cases(wycheproof / "mlkem_768_test.json", "seed", "ek", "c", "K"):
        if case["result"] == "valid":
            key = MLKEM768PrivateKey.from_seed_bytes(case["seed"])
            assert key.public_key().public_bytes_raw() == case["ek"]
            assert key.decapsulate(case["c"]) == case["K"]
        else:
            with pytest.raises(ValueError, match="ML-KEM-768"):
                MLKEM768PrivateKey.from_seed_bytes(case["seed"]).decapsulate(case["c"])
