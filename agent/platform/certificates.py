"""X.509 extensions of the certificates that Doorward makes: the page's authority and a private broker's."""

from __future__ import annotations

from cryptography import x509

__all__ = ["key_usage"]


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Returns the usage of an authority's key, or of a key that only signs TLS handshakes (RFC 5280, 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
