"""One requester: who it is, the key it signs with, and what it has asked.  What it says is made in `saying`.

requester.json     who it is                          signing.key       what it signs with
requests/ID/       one request, its reply identity, and what was said of it later
register/          finds requests without reading all of them
tips.identity      opens tips                         tips.recipient    for the trust bundle
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.opening import HybridIdentity, parse_identity_file
from agent.clients.requester.keys import load_key, make_key
from agent.clients.requester.message_index import RequestRegister
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.fields import KeyId, Kind, RequesterId
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.strictjson import Message

__all__ = ["TIPS_RECIPIENT", "Requester", "RequesterProfile", "SentRequest", "is_id"]

_SEED_BYTES: Final = 32
_PROFILE_LIMIT_BYTES: Final = 4096
_IDENTITY_LIMIT_BYTES: Final = 16 * 1024
_TIPS_IDENTITY: Final = "tips.identity"
_REPLY_IDENTITY: Final = "reply.identity"
TIPS_RECIPIENT: Final = "tips.recipient"
"""The file whose text stands in the trust bundle, so that owners can send tips."""
_ID: Final = re.compile(r"[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a request or disclosure; nothing else becomes part of a path."""
    return _ID.fullmatch(text) is not None


class RequesterProfile(Message, frozen=True):
    """`requester.json`.  Id and kind are what the root's bundle must say as well."""

    FILE: ClassVar[str] = "requester.json"

    v: Literal[1]
    id: RequesterId
    kind: Kind
    trust_root: KeyId | None = None
    """Key id of the root under whose bundle it asks, unless a request names another."""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request of ours as it was signed, and the identity that opens its answers."""

    request: FootageRequest
    envelope: bytes
    payload: bytes
    folder: Path

    @property
    def payload_sha256(self) -> str:
        """What approvals and manifests call it."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def withdrawn(self) -> bool:
        """No answer to it is wanted any more: it was taken back, or everything was stated to be deleted."""
        return any((self.folder / name).exists() for name in ("withdrawal.dsse", "deletion.dsse"))

    @property
    def deleted(self) -> bool:
        """Everything received for it was stated to be deleted, and the key to it is."""
        return (self.folder / "deletion.dsse").exists()

    def reply_identity(self) -> HybridIdentity:
        """Raises `ConfigurationError` when the key is missing, damaged or readable by others."""
        path = self.folder / _REPLY_IDENTITY
        if self.deleted and not path.exists():
            raise ConfigurationError(
                f"The key to the answers to request {self.request.id} was deleted with everything received for it.",
                remedy="Ask again if you still need an answer: doorward requester request.",
            )
        return _identity_in(path)

    def delete_reply_identity(self) -> None:
        """Delete the key to every answer, so that copies of what was sent, on the way or elsewhere, stay sealed."""
        with files.storage_errors(self.folder):
            (self.folder / _REPLY_IDENTITY).unlink(missing_ok=True)
            files.sync_folder(self.folder)


class Requester:
    """The requester whose folder this is."""

    def __init__(self, folder: Path, profile: RequesterProfile, key: Ed25519PrivateKey) -> None:
        self.folder = folder
        self.profile = profile
        self._key = key
        self._sequence = SequenceCounter(folder)
        self.register = RequestRegister(folder)

    @classmethod
    def create(cls, folder: Path, requester_id: str, kind: Kind, trust_root: str | None = None) -> Self:
        """Make a new requester in `folder`.  Raises `ConfigurationError` when one is there already."""
        if (folder / RequesterProfile.FILE).exists():
            raise ConfigurationError(f"{folder} holds a requester already.", remedy="Choose another folder.")
        try:
            data = strictjson.encode(RequesterProfile(v=1, id=requester_id, kind=kind, trust_root=trust_root))
        except FormatError as error:
            raise ConfigurationError(
                error.message, remedy="An id is 1 to 32 of a-z, 0-9 and -; a root's key id is 16 hex digits."
            ) from error
        files.make_folder(folder)
        make_key(folder / "signing.key")
        identity = HybridIdentity(secrets.token_bytes(_SEED_BYTES))
        secret = f"# opens tips to {requester_id}\n{identity.secret_text()}\n"
        files.write(folder / _TIPS_IDENTITY, secret.encode("ascii"), secret=True)
        files.write(folder / TIPS_RECIPIENT, f"{identity.recipient()}\n".encode("ascii"))
        SequenceCounter(folder).create()
        # Last: a folder without a profile was never set up to its end, and says so.
        files.write(folder / RequesterProfile.FILE, data)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The requester in `folder`.  Raises `ConfigurationError` with the remedy."""
        path = folder / RequesterProfile.FILE
        if not path.is_file():
            raise ConfigurationError(
                f"{folder} is no requester's folder.", remedy="Make one with 'doorward requester keygen'."
            )
        try:
            profile = strictjson.decode(files.read(path, _PROFILE_LIMIT_BYTES), RequesterProfile)
        except FormatError as error:
            raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
        return cls(folder, profile, load_key(folder / "signing.key"))

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def key(self) -> PublicKey:
        return public_key_of(self._key)

    def next_number(self) -> int:
        """A sequence number for a message about to be signed: durable, never given twice."""
        return self._sequence.next()

    def sign(self, payload_type: str, message: Message) -> bytes:
        """The envelope of `message`."""
        return envelope.sign(payload_type, strictjson.encode(message), self._key)

    def tips_identity(self) -> HybridIdentity | None:
        """What opens tips; None in a folder made before there were any.  Raises as `SentRequest.reply_identity`
        does."""
        path = self.folder / _TIPS_IDENTITY
        return _identity_in(path) if path.exists() else None

    # What was asked

    def sent_request(self, request_id: str) -> SentRequest:
        """The request of that id.  Raises `ConfigurationError` when it is not ours."""
        folder = self.folder / "requests" / request_id
        if not is_id(request_id) or not (folder / "request.dsse").is_file():
            raise ConfigurationError(
                f"There is no request {request_id} in {self.folder}.", remedy="Look into its folder requests/."
            )
        data = files.read(folder / "request.dsse", envelope.REQUEST_ENVELOPE_LIMIT_BYTES)
        try:
            opened = envelope.open_envelope(data, FootageRequest.PAYLOAD_TYPE, {self.key.id: self.key})
            request = strictjson.decode(opened.payload, FootageRequest)
        except FormatError as error:
            raise ConfigurationError(
                f"{folder / 'request.dsse'}: {error.message}", remedy="Restore it from a backup."
            ) from error
        return SentRequest(request, data, opened.payload, folder)

    def sent_request_in(self, data: bytes) -> SentRequest:
        """The request whose envelope `data` is a copy of.  Raises `FormatError` when it is not exactly that."""
        claimed = strictjson.decode(envelope.read_unverified(data).payload, FootageRequest)
        asked = self.sent_request(claimed.id)
        if asked.envelope != data:
            raise FormatError("The request kept beside the disclosure is not the one that was signed.")
        return asked

    def request_ids(self) -> Iterator[str]:
        """Every request of ours, in no order."""
        folder = self.folder / "requests"
        for found in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_id(found.name):
                yield found.name

    def reply_identity(self, request_id: str) -> HybridIdentity | None:
        """The identity that opens answers to that request; None when it is not here any more.  Raises as
        `SentRequest`'s."""
        path = self.folder / "requests" / request_id / _REPLY_IDENTITY
        return _identity_in(path) if path.exists() else None

    def sent_requests_in_case(self, case: str) -> Iterator[SentRequest]:
        """Every request of that case that is here, in no order."""
        for request_id in self.register.in_case(case):
            if (self.folder / "requests" / request_id).is_dir():
                yield self.sent_request(request_id)

    def trust_roots(self) -> frozenset[str]:
        """Key ids of every root under which this requester speaks, as far as this folder knows."""
        return self.register.roots() | ({self.profile.trust_root} if self.profile.trust_root else set())


def _identity_in(path: Path) -> HybridIdentity:
    files.require_private(path)
    try:
        identities = parse_identity_file(files.read(path, _IDENTITY_LIMIT_BYTES).decode("ascii", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
    if len(identities) != 1 or not isinstance(identities[0], HybridIdentity):
        raise ConfigurationError(f"{path} holds no identity.", remedy="Restore it from a backup.")
    return identities[0]
