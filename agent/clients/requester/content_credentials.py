"""Content Credentials (C2PA) on copies of opened films, for newsrooms, platforms and their readers.

A film of one segment says "captured", and "edited" if its owner covered a place in it. A film of a clip says "placed"
for each of its segments, which it names as ingredients with their own credentials, and "trimmed" if a signature tells
of another segment of the clip, which it does not show. The film of all clips says so likewise. A sound says the same
as its film. A still says "captured" if the doorbell made it, and "opened" and "converted" if it is the first picture of
a film. Each holds the doorbell's signed records and the hashes of request, yes and answer as the assertion
`org.doorward.disclosure`. The originals stay: credentials change the bytes of a file.

The requester's key issues a certificate for a key that lives as long as one call, in the confined process that parses
the films. So the signer of the credentials is the requester, and no trust list knows them. The package c2pa-python is
needed (`doorward-clients[c2pa]`).

Source: C2PA specification 2.2, "Actions", "Ingredient", "Claim signature"; docs/decisions/0067.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent import __version__
from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester.clips import Continuity, DisclosedClip
from agent.clients.requester.identity import Requester
from agent.clients.requester.redaction_list import redaction_documents
from agent.clients.requester.verification import Verification, VerifiedItem
from agent.core.ledger.merkle import leaf_hash
from agent.core.timebase import ClockQuality, utc_date
from agent.core.vault.following import prev_in_clip_of
from agent.core.vault.hash_chain import FIRST
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.platform.certificates import key_usage
from agent.wire.disclosures import PartKind
from agent.wire.fields import clean_text
from agent.wire.identities import SIGNATURE_BYTES, PublicKey

__all__ = ["FOLDER", "CredentialedClip", "has_c2pa", "keep_left_out", "require_c2pa", "write_credentials"]

FOLDER: Final = "c2pa"
_LEFT_OUT: Final = "LEFT-OUT.txt"
_LEFT_OUT_LIMIT_BYTES: Final = 1 << 24
_MP4: Final = "video/mp4"
_SOUND: Final = "audio/mp4"
_MOST_PARTS: Final = 256
"""The credentials of each part are stored in the film's own: about 20 kB each."""
_JPEG: Final = "image/jpeg"
_CAPTURED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
_TRIMMED: Final = "c2pa.trimmed"
_COMPOSED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
# RFC 5280, section 4.1.2.5: this means that the certificate has no good date of expiry.
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_ED25519: Final = bytes.fromhex("300506032b6570")


@dataclass(frozen=True, slots=True)
class CredentialedClip:
    """A clip, the films of its segments, and its joined film if there is one.

    `sounds`: one for each segment, None for one without shared sound. `picture`: its still.
    """

    clip: DisclosedClip
    segments: Sequence[Path]
    joined: Path | None
    sounds: Sequence[Path | None] = ()
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """The copy of a captured film or sound, which others name as their ingredient."""

    item: VerifiedItem
    path: Path | None
    """None if the file takes no credentials."""
    kind: str
    relationship: str = "componentOf"


def has_c2pa() -> bool:
    """Returns whether the package is here. The confined process imports it, and this one does not."""
    return importlib.util.find_spec("c2pa") is not None


def require_c2pa() -> None:
    """Raises `ConfigurationError` if the package is missing."""
    if not has_c2pa():
        raise ConfigurationError(
            "Content Credentials need the package c2pa-python.",
            remedy="Install it: pip install 'doorward-clients[c2pa]'",
        )


def write_credentials(
    folder: Path,
    requester: Requester,
    verification: Verification,
    clips: Sequence[CredentialedClip],
    media: ConfinedMedia,
    merged: Path | None = None,
) -> list[Path]:
    """Writes copies of the films, sounds and stills with credentials into the new folder `folder`.

    `merged`: the film of all clips. Returns the paths of the copies. LEFT-OUT.txt names each file without a copy: a
    film of over 256 films and sounds; a file that takes no credentials, for example because a hostile doorbell put two
    into it; and what was made of one.

    Raises `ConfigurationError` without the package or if the key cannot sign now, and `StorageError`.
    """
    require_c2pa()
    files.make_folder(folder)
    writer = _Writer(folder, verification, _credential(requester), media)
    parts: list[_Part] = []
    trimmed = any(each.item.part.kind is PartKind.SEGMENT for each in verification.unopened)
    for each in clips:
        own = writer.captured(each)
        if own:
            actions = _joined(verification, each.clip, len(own))
            trimmed = trimmed or actions[-1]["action"] == _TRIMMED
            if each.joined is not None:
                writer.sign(each.joined, _MP4, actions, own)
        if each.picture is not None:
            writer.still(each.clip, each.picture, own)
        parts += own
    if merged is not None and parts:
        said = "Other segments were recorded and are not shown."
        cut: list[dict[str, Any]] = [{"action": _TRIMMED, "description": said}] if trimmed else []
        writer.sign(merged, _MP4, [_composed(), *_placed(len(parts)), *cut], parts)
    writer.name_the_left_out()
    return writer.written


def keep_left_out(folder: Path, names: Collection[str]) -> Path | None:
    """Removes the lines of LEFT-OUT.txt in `folder` that tell of files with other names. Returns its path, or None if
    no line is left. Raises `StorageError`."""
    path = folder / _LEFT_OUT
    data = files.read_if_there(path, _LEFT_OUT_LIMIT_BYTES) or b""
    kept = [line for line in data.splitlines(keepends=True) if line.partition(b": ")[0].decode("utf-8") in names]
    if not kept:
        return None
    files.write(path, b"".join(kept))
    return path


@dataclass
class _Writer:
    """Writes copies into `folder`."""

    folder: Path
    verification: Verification
    credential: tuple[str, str]
    media: ConfinedMedia
    written: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """The reason for each file without a copy."""

    def name_the_left_out(self) -> None:
        """Writes LEFT-OUT.txt if a file has no copy."""
        if self.left_out:
            # c2pa-rs gives the reason in words that a hostile film may have a part in.
            lines = [f"{name}: {clean_text(reason)}\n" for name, reason in self.left_out.items()]
            files.write(self.folder / _LEFT_OUT, "".join(lines).encode("utf-8"))

    def captured(self, clip: CredentialedClip) -> list[_Part]:
        """Writes the copies of the films and sounds of a clip's segments."""
        segments = clip.clip.segments
        sounds = clip.sounds or [None] * len(segments)
        shown = [(each.verified, path, _MP4) for each, path in zip(segments, clip.segments, strict=True)]
        shown += [
            (each.sound, path, _SOUND)
            for each, path in zip(segments, sounds, strict=True)
            if each.sound is not None and path is not None
        ]
        return [_Part(item, self._sign(path, kind, _captured(item), [item]), kind) for item, path, kind in shown]

    def still(self, clip: DisclosedClip, picture: Path, parts: Sequence[_Part]) -> None:
        """Writes the copy of a clip's still: of the doorbell's, or of the first picture of its first film."""
        if clip.poster is not None:
            self._sign(picture, _JPEG, _captured(clip.poster), [clip.poster])
        elif parts:
            actions: list[dict[str, Any]] = [
                {"action": "c2pa.opened", "parameters": {"ingredientIds": [_label(0)]}},
                {"action": "c2pa.converted", "description": "The first picture of the film."},
            ]
            self.sign(picture, _JPEG, actions, [replace(parts[0], relationship="parentOf")])

    def sign(self, path: Path, kind: str, actions: list[dict[str, Any]], parts: Sequence[_Part]) -> None:
        """Writes the copy of a file that was made of `parts`, unless they are too many or one has no copy."""
        if len(parts) > _MOST_PARTS:
            self.left_out[path.name] = f"It was made of more than {_MOST_PARTS} files."
        elif any(part.path is None for part in parts):
            self.left_out[path.name] = "It was made of a file without credentials."
        else:
            self._sign(path, kind, actions, [part.item for part in parts], parts)

    def _sign(
        self,
        path: Path,
        kind: str,
        actions: list[dict[str, Any]],
        items: Sequence[VerifiedItem],
        parts: Sequence[_Part] = (),
    ) -> Path | None:
        manifest = _manifest(path.name, kind, actions, _proof(self.verification, items))
        told = [
            {"path": str(part.path), "format": part.kind, "relationship": part.relationship, "label": _label(number)}
            for number, part in enumerate(parts)
        ]
        copy = self.folder / path.name
        try:
            self.media.sign_copy(path, copy, manifest, told, self.credential)
        except FormatError as error:  # one doorbell's film must not keep the others from having some
            self.left_out[path.name] = error.message
            copy.unlink(missing_ok=True)
            return None
        self.written.append(copy)
        return copy


def _captured(item: VerifiedItem) -> list[dict[str, Any]]:
    """Returns the actions of one segment's film or sound, or of a still."""
    action: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": _CAPTURED}
    # A date by a clock that was never set would look like a proof.
    if item.item.record.quality is not ClockQuality.UNKNOWN:
        action["when"] = f"{utc_date(item.span.start_ms):%Y-%m-%dT%H:%M:%SZ}"
    if not item.redactions:
        return [action]
    description = "The owner covered places in the recorded film before sharing it. All of it was encoded again."
    if item.is_exact:
        description += " By the owner's word, each pixel outside of the covers is as recorded."
    edited = {
        "action": "c2pa.edited",
        "description": description,
        "parameters": {"org.doorward.redactions": redaction_documents(item)},
    }
    return [action, edited]


def _joined(verification: Verification, clip: DisclosedClip, count: int) -> list[dict[str, Any]]:
    """Returns the actions of a clip's film of `count` segments."""
    actions = [_composed(), *_placed(count)]
    if _is_trimmed(verification, clip):
        said = "Other segments of this clip were recorded and are not shown."
        actions.append({"action": _TRIMMED, "description": said})
    return actions


def _is_trimmed(verification: Verification, clip: DisclosedClip) -> bool:
    """Returns True if a signature tells of a segment of this clip that its film does not show.

    For example, the segment came and fails to open, or its owner named the whole clip and shared a part. Without such
    words no signature can tell what was recorded after the last segment.
    """
    disclosed = verification.disclosed
    assert disclosed is not None  # noqa: S101 (the caller has verified it)
    shown = {each.verified.item.captured.line for each in clip.segments}
    came = {each.item.captured.line for each in verification.items if each.item.record.event == clip.event}
    leaves = {leaf_hash(line).hex() for line in shown}
    named = any(leaves & {*told.leaves} and not leaves >= {*told.leaves} for told in disclosed.manifest.clips)
    first = prev_in_clip_of(clip.segments[0].verified.item.captured)
    return clip.continuity is Continuity.BROKEN or first not in (FIRST, None) or came != shown or named


def _composed() -> dict[str, Any]:
    return {"action": "c2pa.created", "digitalSourceType": _COMPOSED}


def _placed(count: int) -> list[dict[str, Any]]:
    return [{"action": "c2pa.placed", "parameters": {"ingredientIds": [_label(n)]}} for n in range(count)]


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
        "files": [
            {
                "record": item.item.captured.line.decode("utf-8"),
                "sha256_sealed": item.item.approved.sent_payload_sha256,
                "sha256_opened": item.opened_sha256,
            }
            for item in items
        ],
    }


def _manifest(title: str, kind: str, actions: list[dict[str, Any]], proof: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "Doorward", "version": __version__}],
        "title": title,
        "format": kind,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": "org.doorward.disclosure", "data": proof},
        ],
    }


def _label(number: int) -> str:
    return f"part-{number + 1}"


def _credential(requester: Requester) -> tuple[str, str]:
    """Returns certificates in PEM, the leaf first, and the leaf's key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate(requester, _name(requester, "requester"), Ed25519PublicKey.from_public_bytes(requester.key.raw))
    leaf = _certificate(requester, _name(requester, "content credentials"), key.public_key())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return leaf + root, pem.decode("ascii")


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
    # A BIT STRING without unused bits holds the signature, and a SEQUENCE of 256 to 65 535 bytes holds all (X.690).
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
