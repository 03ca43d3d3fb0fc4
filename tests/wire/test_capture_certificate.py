"""The certificate of a capture key is the device's, for everybody who knows the device's key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import FormatError
from agent.wire.capture_certificate import (
    _OCTETS,
    _ROOT_SIGNATURE,
    camera_verifier,
    capture_verifier,
    certificate_sha256,
    leaf_certificate,
    root_certificate,
)
from agent.wire.identities import SIGNATURE_BYTES, private_key_from_seed, public_key_of

DEVICE = private_key_from_seed(b"d" * 32)
STRANGER = private_key_from_seed(b"x" * 32)
CAPTURE = ec.derive_private_key(7, ec.SECP256R1())
LEAF = leaf_certificate(DEVICE, CAPTURE.public_key())
ROOT = root_certificate(public_key_of(DEVICE), LEAF)


def test_the_device_issues_it_and_its_own_certificate_is_written_from_its_key() -> None:
    leaf, root = x509.load_pem_x509_certificate(LEAF), x509.load_pem_x509_certificate(ROOT)
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert root.public_key().public_bytes_raw() == public_key_of(DEVICE).raw  # type: ignore[union-attr]
    assert leaf.public_key() == CAPTURE.public_key()
    assert leaf_certificate(DEVICE, CAPTURE.public_key()) == LEAF  # nothing in it is drawn or dated


def test_it_names_the_device_and_nothing_of_its_house() -> None:
    leaf = x509.load_pem_x509_certificate(LEAF)
    assert leaf.issuer.rfc4514_string() == f"CN={public_key_of(DEVICE).id},O=Doorward"
    assert leaf.subject.rfc4514_string() == f"CN={public_key_of(DEVICE).id} capture,O=Doorward"
    assert (leaf.not_valid_before_utc.year, leaf.not_valid_after_utc.year) == (2020, 9999)


def test_openssl_accepts_the_chain_by_its_strict_rules(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "root.pem").write_bytes(ROOT)
    (tmp_path / "leaf.pem").write_bytes(LEAF)
    command = [openssl, "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "root.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_key_verifies_what_it_signed_and_nothing_else() -> None:
    verifies = capture_verifier(public_key_of(DEVICE), LEAF + b"\n# a chain may have more behind the leaf\n")
    signature = CAPTURE.sign(b"document", ec.ECDSA(hashes.SHA256()))
    assert verifies(b"document", signature)
    assert not verifies(b"Document", signature)
    assert not verifies(b"document", signature[:-1])
    assert not verifies(b"document", b"")


def test_a_cameras_key_is_taken_from_any_leaf_and_one_of_no_curve_is_told() -> None:
    camera = ec.derive_private_key(9, ec.SECP256R1())
    chain = leaf_certificate(STRANGER, camera.public_key())
    verifies, signature = camera_verifier(chain), camera.sign(b"document", ec.ECDSA(hashes.SHA256()))
    assert verifies is not None
    assert verifies(b"document", signature)
    assert not verifies(b"Document", signature)
    assert camera_verifier(root_certificate(public_key_of(STRANGER), chain)) is None, "its key is Ed25519"
    assert certificate_sha256(chain) == x509.load_pem_x509_certificate(chain).fingerprint(hashes.SHA256()).hex()
    for read in (camera_verifier, certificate_sha256):
        with pytest.raises(FormatError):
            read(b"no certificate")


@pytest.mark.parametrize(
    "chain",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        LEAF.replace(b"M", b"N", 1),
        LEAF[:200],
        LEAF + bytes(1 << 14),
        leaf_certificate(STRANGER, CAPTURE.public_key()),
        leaf_certificate(DEVICE, ec.derive_private_key(7, ec.SECP384R1()).public_key()),
    ],
)
def test_another_s_certificate_a_damaged_one_and_another_curve_are_refused(chain: bytes) -> None:
    with pytest.raises(FormatError, match="not issued by the doorbell"):
        capture_verifier(public_key_of(DEVICE), chain)


def test_a_root_is_written_only_for_a_leaf_that_holds_its_signature() -> None:
    bare = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .serial_number(1)
        .not_valid_before(x509.load_pem_x509_certificate(LEAF).not_valid_before_utc)
        .not_valid_after(x509.load_pem_x509_certificate(LEAF).not_valid_after_utc)
        .public_key(CAPTURE.public_key())
    )
    other = x509.UnrecognizedExtension(_ROOT_SIGNATURE, _OCTETS + bytes(SIGNATURE_BYTES))
    short = x509.UnrecognizedExtension(_ROOT_SIGNATURE, b"\x04\x00")
    leaves = [
        made.sign(DEVICE, None).public_bytes(Encoding.PEM)
        for made in (bare, bare.add_extension(other, critical=False), bare.add_extension(short, critical=False))
    ]
    for leaf in (*leaves, leaf_certificate(STRANGER, CAPTURE.public_key())):
        with pytest.raises(FormatError, match="not issued by the doorbell"):
            root_certificate(public_key_of(DEVICE), leaf)
