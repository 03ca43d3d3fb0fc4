"""Content Credentials (C2PA) on copies of opened films, for newsrooms, platforms and their readers.

A film of one segment says "captured", and "edited" if its owner covered a place in it. A film of a clip says "placed"
for each of its segments, which it names as ingredients with their own credentials, and "trimmed" if other segments of
the clip were recorded and are not shown. Each holds the doorbell's signed records and the hashes of request, yes and
answer as the assertion `org.doorward.disclosure`. The originals stay: credentials change the bytes of a file.

The requester's key issues a certificate for a key that lives as long as one call: so the signer of the credentials is
the requester, and no trust list knows them. The package c2pa-python is needed (`doorward-clients[c2pa]`).

Source: C2PA specification 2.2, "Actions", "Ingredient", "Claim signature"; docs/decisions/0067.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent import __version__
from agent.clients.requester.clips import Continuity, DisclosedClip
from agent.clients.requester.identity import Requester
from agent.clients.requester.redaction_list import redaction_documents
from agent.clients.requester.verification import Verification, VerifiedItem
from agent.core.timebase import ClockQuality, utc_date
from agent.core.vault.following import FIRST, prev_in_clip_of
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.platform.certificates import key_usage
from agent.wire.identities import SIGNATURE_BYTES, PublicKey

__all__ = ["FOLDER", "CredentialedClip", "require_c2pa", "write_credentials"]

FOLDER: Final = "c2pa"
_MP4: Final = "video/mp4"
_OFFLINE: Final = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""A film may name an address for its credentials. c2pa-rs would ask there, and tell a stranger who opens the film."""
_CAPTURED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
_COMPOSED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_ED25519: Final = bytes.fromhex("300506032b6570")
_HALF_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class CredentialedClip:
    """A clip, the films of its segments, and its joined film if there is one."""

    clip: DisclosedClip
    segments: Sequence[Path]
    joined: Path | None


def require_c2pa() -> None:
    """Raises `ConfigurationError` if the package is missing."""
    try:
        import c2pa  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "Content Credentials need the package c2pa-python.",
            remedy="Install it: pip install 'doorward-clients[c2pa]'",
        ) from error


def write_credentials(
    folder: Path, requester: Requester, verification: Verification, clips: Sequence[CredentialedClip]
) -> list[Path]:
    """Writes copies of the films with credentials into the new folder `folder`, and returns their paths.

    Raises `ConfigurationError` without the package, and `FormatError` if a film takes no credentials.
    """
    require_c2pa()
    files.make_folder(folder)
    chain, sign = _credential(requester)
    written: list[Path] = []
    for each in clips:
        made = []
        for segment, film in zip(each.clip.segments, each.segments, strict=True):
            manifest = _manifest(film.name, _captured(segment.verified), _proof(verification, [segment.verified]))
            made.append(_signed(film, folder / film.name, manifest, [], (chain, sign)))
        written += made
        if each.joined is not None and made:
            shown = [segment.verified for segment in each.clip.segments]
            manifest = _manifest(each.joined.name, _joined(each.clip, len(made)), _proof(verification, shown))
            written.append(_signed(each.joined, folder / each.joined.name, manifest, made, (chain, sign)))
    return written


def _captured(item: VerifiedItem) -> list[dict[str, Any]]:
    """Returns the actions of one segment's film."""
    action: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": _CAPTURED}
    if item.item.record.quality is not ClockQuality.UNKNOWN:
        action["when"] = f"{utc_date(item.span.start_ms):%Y-%m-%dT%H:%M:%SZ}"
    if not item.redactions:
        return [action]
    edited = {
        "action": "c2pa.edited",
        "description": "The owner covered places in the recorded film before sharing it. All of it was encoded again.",
        "parameters": {"org.doorward.redactions": redaction_documents(item)},
    }
    return [action, edited]


def _joined(clip: DisclosedClip, count: int) -> list[dict[str, Any]]:
    """Returns the actions of a clip's film of `count` segments."""
    placed: list[dict[str, Any]] = [
        {"action": "c2pa.placed", "parameters": {"ingredientIds": [_label(n)]}} for n in range(count)
    ]
    actions = [{"action": "c2pa.created", "digitalSourceType": _COMPOSED}, *placed]
    first = prev_in_clip_of(clip.segments[0].verified.item.captured)
    if clip.continuity is Continuity.BROKEN or first not in (FIRST, None):
        said = "Other segments of this clip were recorded and are not shown."
        actions.append({"action": "c2pa.trimmed", "description": said})
    return actions


def _proof(verification: Verification, items: Sequence[VerifiedItem]) -> dict[str, Any]:
    """Returns the assertion: hashes of the statements, and the doorbell's signed records word for word."""
    disclosed = verification.disclosed
    assert disclosed is not None  # noqa: S101 (the caller has verified it)
    return {
        "disclosure": verification.disclosure,
        "request_sha256": verification.request_sha256,
        "approval_sha256": hashlib.sha256(disclosed.manifest.approval.encode()).hexdigest(),
        "answer_sha256": hashlib.sha256(verification.statements).hexdigest(),
        "device": disclosed.manifest.device,
        "films": [
            {
                "record": item.item.captured.line.decode("utf-8"),
                "sha256_sealed": item.item.approved.sent_payload_sha256,
                "sha256_film": item.opened_sha256,
            }
            for item in items
        ],
    }


def _manifest(title: str, actions: list[dict[str, Any]], proof: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "Doorward", "version": __version__}],
        "title": title,
        "format": _MP4,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": "org.doorward.disclosure", "data": proof},
        ],
    }


def _label(number: int) -> str:
    return f"segment-{number + 1}"


def _signed(
    film: Path,
    target: Path,
    manifest: dict[str, Any],
    ingredients: Sequence[Path],
    credential: tuple[str, Callable[[bytes], bytes]],
) -> Path:
    import c2pa

    chain, sign = credential
    with files.storage_errors(target):
        try:
            builder = c2pa.Builder(json.dumps(manifest), context=c2pa.Context.from_dict(_OFFLINE))
            for number, path in enumerate(ingredients):
                said = {"title": path.name, "relationship": "componentOf", "label": _label(number)}
                with path.open("rb") as part:
                    builder.add_ingredient(said, _MP4, part)
            signer = c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ES256, chain)
            with film.open("rb") as source, target.open("w+b") as out:
                builder.sign(signer, _MP4, source, out)
        except c2pa.C2paError as error:
            raise FormatError(f"{film.name} takes no Content Credentials: {error}") from error
    return target


def _credential(requester: Requester) -> tuple[str, Callable[[bytes], bytes]]:
    """Returns certificates in PEM, the leaf first, and the function that signs as it: r and s, 32 bytes each."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name(requester, "requester")
    root = _certificate(requester, issuer, Ed25519PublicKey.from_public_bytes(requester.key.raw))
    leaf = _certificate(requester, _name(requester, "content credentials"), key.public_key())

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_HALF_BYTES) + s.to_bytes(_HALF_BYTES)

    return leaf + root, sign


def _certificate(requester: Requester, subject: x509.Name, key: Ed25519PublicKey | ec.EllipticCurvePublicKey) -> str:
    """Returns a certificate in PEM by the requester's key: an authority for that key itself, a signer for another."""
    authority = isinstance(key, Ed25519PublicKey)
    issuer = Ed25519PublicKey.from_public_bytes(requester.key.raw)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(requester, "requester"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(key_usage(signs_certificates=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )
    if not authority:
        # C2PA names it for signers. c2pa-rs 0.91 refuses the usage of RFC 9336, "document signing".
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    # The library gives the bytes to be signed only with a signature, so any key of the same kind signs here.
    body = builder.sign(Ed25519PrivateKey.from_private_bytes(bytes(32)), None).tbs_certificate_bytes
    content = body + _ED25519 + bytes((3, SIGNATURE_BYTES + 1, 0)) + requester.sign_certificate(body)
    der = b"\x30\x82" + len(content).to_bytes(2) + content
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii")


def _name(requester: Requester, common: str) -> x509.Name:
    key: PublicKey = requester.key
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, requester.id),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{key.id} {common}"),
        ]
    )
