"""The device's capture key, which signs GOPs by ONVIF Media Signing for the recorder.

A key for this use alone, derived from the device's secret: P-256, because validators of ONVIF accept ECDSA and RSA, and
not Ed25519. The device's own key certifies it. It signs nothing but documents of ONVIF Media Signing, so a taken
recorder gets no other signature from it, and cannot take it away.

Source: FIPS 186-5, A.2.1 (a key from more random bits than it has); RFC 6979 (signatures without random numbers);
docs/decisions/0065.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from agent.core.device_secret import DeviceSecret
from agent.errors import RequestError
from agent.wire.capture_certificate import leaf_certificate
from agent.wire.capture_document import is_document

__all__ = ["CaptureKey"]

_USE: Final = b"doorward capture v1"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256's base point (FIPS 186-5; SP 800-186, 3.2.1.3)."""


@dataclass(frozen=True, slots=True)
class CaptureKey:
    """Implements `recorder.capture_signing.CaptureAuthority`."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    leaf: bytes

    @classmethod
    def of_device(cls, secret: DeviceSecret, device: Ed25519PrivateKey) -> Self:
        """Derives the key. Twice its bits leave no bias worth mentioning when they are reduced."""
        wide = int.from_bytes(secret.key(_USE + b" 1") + secret.key(_USE + b" 2"))
        # FIPS 186-5, A.2.1, reduces more bits than the order has, so the bias is negligible. Zero is no private key.
        key = ec.derive_private_key(1 + wide % (_ORDER - 1), ec.SECP256R1())
        return cls(key, leaf_certificate(device, key.public_key()))

    def certificate(self) -> bytes:
        """Returns the key's certificate in PEM, issued by the device's key."""
        return self.leaf

    def sign(self, document: bytes) -> bytes:
        """Returns the signature in DER. Raises `RequestError` for anything but a document of ONVIF Media Signing."""
        if not is_document(document):
            raise RequestError("The capture key signs documents of ONVIF Media Signing only.")
        # RFC 6979: a weak random number would reveal the key from two signatures, and a GOP is signed every second or
        # two.
        return self.private_key.sign(document, ec.ECDSA(SHA256(), deterministic_signing=True))
