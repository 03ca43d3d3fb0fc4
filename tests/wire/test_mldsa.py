"""ML-DSA-44: keys, and envelopes that both keys of a doorbell or of an owner sign."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DisclosureManifest
from agent.wire.identities import (
    MLDSA_KEY_CHARACTERS,
    MLDSA_SIGNATURE_BYTES,
    MldsaPublicKey,
    approval_mldsa_key,
    mldsa_key_from_seed,
    private_key_from_seed,
)
from agent.wire.statements import NamedKey, open_statement, sign_statement
from tests.clients.requester.evidence_folder import has_openssl_with_mldsa
from tests.web.test_the_program import node
from tests.wire import samples, vectors

TYPE = "application/vnd.doorward.test+json"
PAYLOAD = b'{"a":1}'
STRANGER = mldsa_key_from_seed(b"x" * 32)
GOOD = json.loads(envelope.sign_hybrid(TYPE, PAYLOAD, samples.DEVICE, samples.MLDSA))
OTHER = json.loads(envelope.sign_hybrid(TYPE, b'{"a":2}', samples.DEVICE, STRANGER))


def read(value: Any) -> bytes:
    claimed = envelope.read_hybrid(json.dumps(value).encode(), TYPE, limit_bytes=10_000)
    claimed.require(samples.DEVICE_KEY, samples.MLDSA_KEY)
    return claimed.payload


def test_a_seed_gives_the_key_of_the_vectors_and_other_lengths_are_refused() -> None:
    vector, _owner = json.loads((vectors.FOLDER / "wire" / "mldsa.json").read_text())
    key = mldsa_key_from_seed(bytes.fromhex(vector["seed"]))
    assert strictjson.encode_base64(MldsaPublicKey.of(key).raw) == vector["public"]
    assert (MldsaPublicKey.of(key).sha256, MldsaPublicKey.of(key).id) == (vector["sha256"], vector["sha256"][:16])
    for wrong in (31, 33):
        with pytest.raises(FormatError, match="32 bytes"):
            mldsa_key_from_seed(bytes(wrong))
    for wrong in (0, 1311, 1313):
        with pytest.raises(FormatError, match="1312 bytes"):
            MldsaPublicKey(bytes(wrong))


def test_a_key_verifies_its_own_signatures_and_takes_no_other_bytes_for_one() -> None:
    signature = samples.MLDSA.sign(b"words")
    assert samples.MLDSA_KEY.verifies(signature, b"words")
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    for wrong in (flipped, signature[:-1], signature + b"x", b"", samples.MLDSA.sign(b"words", b"context")):
        assert not samples.MLDSA_KEY.verifies(wrong, b"words")
    assert not samples.MLDSA_KEY.verifies(signature, b"other words")
    assert not MldsaPublicKey.of(STRANGER).verifies(signature, b"words")


def test_both_signatures_make_the_payload_readable() -> None:
    assert read(GOOD) == PAYLOAD


def test_an_envelope_of_another_kind_is_refused() -> None:
    with pytest.raises(FormatError, match=f"does not hold a {re.escape(TYPE)}"):
        read(GOOD | {"payloadType": "application/vnd.doorward.other+json"})


def test_an_owners_second_key_is_made_from_the_seed_of_the_first_and_is_another_for_each_owner() -> None:
    _device, vector = json.loads((vectors.FOLDER / "wire" / "mldsa.json").read_text())
    assert NamedKey.of("owner-1", samples.OWNER).mldsa == vector["public"]
    others = (samples.OWNER, samples.ROOT, samples.DEVICE)
    assert len({approval_mldsa_key(key).private_bytes_raw() for key in others}) == 3
    # The public key of Ed25519, and its scalar, which a quantum computer would find, are not what the seed is made of.
    seed = samples.OWNER.private_bytes_raw()
    scalar = hashlib.sha512(seed).digest()[:32]
    for known in (samples.OWNER_KEY.raw, scalar):
        assert approval_mldsa_key(private_key_from_seed(known)).private_bytes_raw().hex() != vector["seed"]


SPOILT: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "no second signature": (lambda s: s[:1], "ML-DSA-44 signature is missing"),
    "only the second signature": (lambda s: s[1:], "ML-DSA-44 signature is missing"),
    "the first signature twice": (lambda s: [s[0], s[0]], "64 bytes by Ed25519, then 2420"),
    "the other order": (lambda s: s[::-1], "64 bytes by Ed25519, then 2420"),
    "a third signature": (lambda s: [*s, s[1]], "signatures"),
    "none": (lambda _: [], "signatures"),
    "another's second signature": (lambda s: [s[0], OTHER["signatures"][1]], "ML-DSA-44 signature does not verify"),
    "another's under our key id": (
        lambda s: [s[0], {**s[1], "sig": OTHER["signatures"][1]["sig"]}],
        "ML-DSA-44 signature does not verify",
    ),
    "ours under another key id": (
        lambda s: [s[0], {**s[1], "keyid": OTHER["signatures"][1]["keyid"]}],
        "ML-DSA-44 signature does not verify",
    ),
    "a first signature over other bytes": (lambda s: [OTHER["signatures"][0], s[1]], "No trusted key"),
    "a short second signature": (
        lambda s: [s[0], {**s[1], "sig": strictjson.encode_base64(strictjson.decode_base64(s[1]["sig"])[:-3])}],
        "2420 by ML-DSA-44",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_an_envelope_with_other_signatures_is_refused_by_name(name: str) -> None:
    change, words = SPOILT[name]
    with pytest.raises(DoorwardError, match=words):
        read({**GOOD, "signatures": change(GOOD["signatures"])})


def test_each_signature_covers_payload_and_type() -> None:
    for change in (
        {"payload": strictjson.encode_base64(b'{"a":3}')},
        {"payloadType": "application/vnd.doorward.other+json"},
    ):
        value = {**GOOD, **change}
        claimed = envelope.read_hybrid(json.dumps(value).encode(), value["payloadType"], limit_bytes=10_000)
        (_, first), (_, second) = claimed.signatures
        signed = envelope.pae(claimed.payload_type, claimed.payload)
        assert not samples.DEVICE_KEY.verifies(first, signed)
        assert not samples.MLDSA_KEY.verifies(second, signed)
        with pytest.raises(OpenError):
            claimed.require(samples.DEVICE_KEY, samples.MLDSA_KEY)


def manifest_vector() -> tuple[bytes, bytes]:
    """The signed bytes and the second signature of the disclosure manifest of the vectors."""
    vector = json.loads((vectors.FOLDER / "wire" / "messages" / "disclosure-manifest.json").read_text(encoding="utf-8"))
    signature = strictjson.decode_base64(json.loads(vector["envelope"])["signatures"][1]["sig"])
    return envelope.pae(DisclosureManifest.PAYLOAD_TYPE, vector["payload"].encode()), signature


def test_a_javascript_implementation_reads_and_refuses_the_same_signatures(tmp_path: Path) -> None:
    """By @noble/post-quantum, which shares no code with OpenSSL. It makes the same key from the seed, too."""
    signed, signature = manifest_vector()
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "signature").write_bytes(signature)
    approver = NamedKey.of("owner-1", samples.OWNER)
    good = json.loads(sign_statement(TYPE, PAYLOAD, samples.OWNER))
    wrong = {name: {**good, "signatures": change(good["signatures"])} for name, (change, _) in SPOILT.items()}
    wrong["another payload"] = {**good, "payload": strictjson.encode_base64(b'{"a":3}')}
    wrong["another kind"] = {**good, "payloadType": "application/vnd.doorward.other+json"}
    statements = {name: json.dumps(value) for name, value in {"good": good, **wrong}.items()}
    asked = {"type": TYPE, "statements": statements, "approver": {"key": approver.key, "mldsa": approver.mldsa}}
    (tmp_path / "statements.json").write_text(json.dumps(asked))
    owner = samples.OWNER.private_bytes_raw().hex()
    found = node("mldsa.mjs", str(tmp_path), samples.MLDSA.private_bytes_raw().hex(), owner)
    assert found["key"] == samples.MLDSA_KEY.raw.hex()
    assert (found["verdict"], found["flipped"]) == (True, [False] * 40)
    assert samples.MLDSA_KEY.verifies(bytes.fromhex(found["signature"]), b"signed in JavaScript")
    assert found["approver"] == asked["approver"]
    assert found["read"] == {"good": True} | dict.fromkeys(wrong, False)
    sealed = str(found["sealed"]).encode()
    assert open_statement(sealed, TYPE, {samples.OWNER_KEY.id: approver.public_keys}).payload == PAYLOAD


@pytest.mark.skipif(not has_openssl_with_mldsa(), reason="openssl is not installed in a version with ML-DSA (3.5)")
def test_the_openssl_program_verifies_the_second_signature(tmp_path: Path) -> None:
    signed, signature = manifest_vector()
    pem = samples.MLDSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(signature)

    def accepts(words: bytes) -> bool:
        (tmp_path / "signed").write_bytes(words)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]
        command += ["-in", "signed", "-sigfile", "signature"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert accepts(signed)
    assert not accepts(signed + b" ")


def test_a_key_is_written_as_base64_and_read_back_and_a_refusal_names_both_lengths() -> None:
    key = MldsaPublicKey.of(mldsa_key_from_seed(bytes(32)))
    assert len(key.text) == MLDSA_KEY_CHARACTERS == 1752
    assert (strictjson.decode_base64(key.text), MldsaPublicKey.parse(key.text)) == (key.raw, key)
    assert (key.sha256, key.id) == (hashlib.sha256(key.raw).hexdigest(), hashlib.sha256(key.raw).hexdigest()[:16])
    with pytest.raises(FormatError) as short:
        MldsaPublicKey.parse(strictjson.encode_base64(key.raw[:-3]))
    assert short.value.message == "An ML-DSA-44 public key has 1312 bytes, this one has 1309."
    with pytest.raises(FormatError) as seed:
        mldsa_key_from_seed(bytes(31))
    assert seed.value.message == "An ML-DSA-44 seed has 32 bytes, this one has 31."
    signature = samples.MLDSA.sign(b"words")
    assert len(signature) == MLDSA_SIGNATURE_BYTES
    assert samples.MLDSA_KEY.verifies(signature, b"words") is True
    assert samples.MLDSA_KEY.verifies(signature, b"word") is False
