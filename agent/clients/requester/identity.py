"""One requester: its profile, its signing key, and its sent requests. `messages` makes its messages.

requester.json     its profile                        signing.key       signs its messages, unless a `Signer` does
requests/ID/       one request, its reply identity, and later messages about it
index/             finds requests and answers; made again from the folder if it is missing
tips.identity      opens tips                         tips.recipient    for the trust bundle
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

import msgspec

from agent.clients.opening import HybridIdentity, parse_identity_file
from agent.clients.requester.answer_index import AnswerIndex, answer_table
from agent.clients.requester.claims import Claims, SoleReceiver
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.folder_index import FolderIndex, IndexedTable, RequesterIndex, is_id
from agent.clients.requester.keys import (
    FileSigner,
    Signer,
    load_key,
    make_key,
    sign_certificate,
    sign_message,
    sign_sums,
)
from agent.clients.requester.message_index import MESSAGE_TABLE, RequestRegister
from agent.clients.requester.notes import FolderNotes, Notes
from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.fields import KeyId, Kind, LanguageTag, RequesterId
from agent.wire.identities import PublicKey
from agent.wire.messages import FootageRequest, Onward, RetentionDays
from agent.wire.strictjson import Message

__all__ = [
    "RELAYED_MARK",
    "TIPS_RECIPIENT",
    "Requester",
    "RequesterProfile",
    "SentRequest",
    "indexed_tables",
    "is_id",
    "request_folder",
]

_SEED_BYTES: Final = 32
_PROFILE_LIMIT_BYTES: Final = 4096
_IDENTITY_LIMIT_BYTES: Final = 16 * 1024
_TIPS_IDENTITY: Final = "tips.identity"
_REPLY_IDENTITY: Final = "reply.identity"
RELAYED_MARK: Final = "relayed"
"""Note of a request that another person asked: their key opens the answers, and this folder lacks it."""
TIPS_RECIPIENT: Final = "tips.recipient"
"""File with the recipient for the trust bundle, so that owners can send tips."""


class RequesterProfile(Message, frozen=True):
    """`requester.json`. Id and kind must equal those in the root's bundle.

    The last three are for requests that do not say otherwise. A receipt of a tip has this `retention_days`, too.
    """

    FILE: ClassVar[str] = "requester.json"

    v: Literal[1]
    id: RequesterId
    kind: Kind
    trust_root: KeyId | None = None
    """Key id of the root under which it asks, unless a request names another."""
    key: KeyId | None = None
    """Id of the key if it is not in `signing.key`: only a signer with this key opens the folder."""
    retention_days: RetentionDays | None = None
    onward: Onward | None = None
    language: LanguageTag | None = None


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as we signed it, and the identity that opens its answers."""

    request: FootageRequest
    envelope: bytes
    payload: bytes
    notes: Notes

    @property
    def payload_sha256(self) -> str:
        """Returns the hash by which approvals and manifests name it."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def withdrawn(self) -> bool:
        """Returns True if the request was taken back, or its answers were stated to be deleted: refuse further
        answers."""
        return any(self.notes.is_there(self._at(name)) for name in ("withdrawal.dsse", "deletion.dsse"))

    @property
    def deleted(self) -> bool:
        """Returns True if its answers were stated to be deleted. Then its key is deleted, too."""
        return self.notes.is_there(self._at("deletion.dsse"))

    @property
    def relayed(self) -> bool:
        """Returns True if only the neighbour who asked has the key to the answers (decision 66)."""
        return self.notes.is_there(self._at(RELAYED_MARK))

    def reply_identity(self) -> HybridIdentity:
        """Raises `ConfigurationError` if the key is missing, damaged or readable by others."""
        found = _identity_in(self.notes, self._at(_REPLY_IDENTITY))
        if found is None and self.deleted:
            raise ConfigurationError(
                f"The key to the answers to request {self.request.id} was deleted with everything received for it.",
                remedy="Ask again if you still need an answer: doorward requester request.",
            )
        if found is None and self.relayed:
            raise ConfigurationError(
                f"Answers to request {self.request.id} open only with the key of the neighbour who asked.",
                remedy="The neighbour opens them with the link that their browser made.",
            )
        if found is None:
            raise ConfigurationError(
                f"{self.notes.place(self._at(_REPLY_IDENTITY))} is missing.", remedy="Restore it from a backup."
            )
        return found

    def delete_reply_identity(self) -> None:
        """Deletes the key to all answers, so that copies of them, in transit or elsewhere, stay sealed."""
        self.notes.remove(self._at(_REPLY_IDENTITY))

    def _at(self, name: str) -> str:
        return f"{request_folder(self.request.id)}/{name}"


class Requester:
    """The requester with this folder. Several threads and processes may use the same folder at once."""

    def __init__(
        self,
        folder: Path,
        profile: RequesterProfile,
        signer: Signer,
        index: RequesterIndex | None = None,
        parts: SealedParts | None = None,
        notes: Notes | None = None,
        claims: Claims | None = None,
    ) -> None:
        self.folder = folder
        self.profile = profile
        self.notes: Notes = notes if notes is not None else FolderNotes(folder)
        self.claims: Claims = claims if claims is not None else SoleReceiver()
        self._signer = signer
        self._sequence = SequenceCounter(self.notes)
        self._parts = sealed = parts if parts is not None else FolderParts(folder / "disclosures")
        tables = indexed_tables(sealed)
        self.index: RequesterIndex = index if index is not None else FolderIndex(folder, tables)
        self.register = RequestRegister(self.index)
        noted = self.notes
        # Without `self`: a requester that refers to itself would keep its index open until the next collection.
        self.answers = AnswerIndex(self.index, noted, lambda each: AnswerFolder(folder, each, sealed, noted))

    @classmethod
    def create(
        cls,
        folder: Path,
        requester_id: str,
        kind: Kind,
        trust_root: str | None = None,
        signer: Signer | None = None,
        *,
        retention_days: int | None = None,
        onward: Onward | None = None,
        language: str | None = None,
    ) -> Self:
        """Makes a new requester in `folder`, with a new key in `signing.key` unless a `signer` has the key.

        Raises `ConfigurationError` if the folder already has a requester.
        """
        if files.is_there(folder / RequesterProfile.FILE):
            raise ConfigurationError(f"{folder} already holds a requester.", remedy="Choose another folder.")
        try:
            profile = RequesterProfile(
                v=1,
                id=requester_id,
                kind=kind,
                trust_root=trust_root,
                key=None if signer is None else signer.public_key.id,
                retention_days=retention_days,
                onward=onward,
                language=language,
            )
            data = strictjson.encode(profile)
        except FormatError as error:
            raise ConfigurationError(
                error.message,
                remedy="An id is 1 to 32 of a-z, 0-9 and -, a key id 16 hex digits, a language en or nl-BE.",
            ) from error
        files.make_folder(folder)
        if signer is None:
            make_key(folder / "signing.key")
        identity = HybridIdentity(secrets.token_bytes(_SEED_BYTES))
        secret = f"# opens tips to {requester_id}\n{identity.secret_text()}\n"
        files.write(folder / _TIPS_IDENTITY, secret.encode("ascii"), secret=True)
        files.write(folder / TIPS_RECIPIENT, f"{identity.recipient()}\n".encode("ascii"))
        SequenceCounter(FolderNotes(folder)).create()
        # Written last: a folder without a profile shows that set-up was interrupted.
        files.write(folder / RequesterProfile.FILE, data)
        return cls.open(folder, signer)

    @classmethod
    def open(
        cls,
        folder: Path,
        signer: Signer | None = None,
        index: RequesterIndex | None = None,
        parts: SealedParts | None = None,
        notes: Notes | None = None,
        claims: Claims | None = None,
    ) -> Self:
        """Returns the requester in `folder`, which signs with `signer`, or with its `signing.key` if that is None.

        `index`, `parts`, `notes`, `claims`: by default a SQLite file in the folder, files of it, and one receiver.

        Raises `ConfigurationError` with the remedy, also if the folder was made for another key than the signer's.
        """
        path = folder / RequesterProfile.FILE
        if not files.is_file(path):
            raise ConfigurationError(
                f"{folder} is not a requester's folder.", remedy="Make one with 'doorward requester keygen'."
            )
        try:
            profile = strictjson.decode(files.read(path, _PROFILE_LIMIT_BYTES), RequesterProfile)
        except FormatError as error:
            raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
        return cls(folder, profile, _signer(folder, profile, signer), index, parts, notes, claims)

    def change_defaults(self, retention_days: int, language: str) -> None:
        """Changes the days and the language for requests that do not say otherwise. Receipts of tips have these days
        from now on."""
        self.profile = msgspec.structs.replace(self.profile, retention_days=retention_days, language=language)
        files.write(self.folder / RequesterProfile.FILE, strictjson.encode(self.profile))

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def key(self) -> PublicKey:
        return self._signer.public_key

    def next_number(self) -> int:
        """Returns a sequence number for the next signed message: durable, and given only once."""
        return self._sequence.next()

    def sign(self, payload_type: str, message: Message) -> bytes:
        """Returns the envelope of `message`. Raises the errors of the signer."""
        return sign_message(self._signer, payload_type, message)

    def sign_sums(self, sums: bytes) -> bytes:
        """Returns the signature of a list of hashes (`keys.sign_sums`). Raises the errors of the signer."""
        return sign_sums(self._signer, sums)

    def sign_certificate(self, body: bytes) -> bytes:
        """Returns the signature of the body of a certificate (`keys.sign_certificate`). Raises the errors of the
        signer."""
        return sign_certificate(self._signer, body)

    def tips_identity(self) -> HybridIdentity | None:
        """Returns the identity that opens tips, or None if the folder lacks it. Raises the errors of
        `SentRequest.reply_identity`."""
        return _identity_in(FolderNotes(self.folder), _TIPS_IDENTITY)  # a key of this machine, as the signing key

    def answer(self, disclosure: str) -> AnswerFolder:
        """Returns the answer of that id. Raises `ConfigurationError` if it is no id."""
        return self.answers.folder(disclosure)

    def room(self, held_bytes: int, spare_bytes: int) -> int:
        """Returns the bytes of parts that may still be stored (`SealedParts.room`)."""
        return self._parts.room(held_bytes, spare_bytes)

    # Sent requests

    def sent_request(self, request_id: str) -> SentRequest:
        """Returns the request of that id. Raises `ConfigurationError` if it is not ours."""
        name = f"{request_folder(request_id)}/request.dsse"
        data = self.notes.read(name, envelope.REQUEST_ENVELOPE_LIMIT_BYTES) if is_id(request_id) else None
        if data is None:
            raise ConfigurationError(
                f"There is no request {request_id} in {self.folder}.", remedy="Look into its folder requests/."
            )
        try:
            # Our own signature is verified, so that a damaged file is no request of ours.
            opened = envelope.open_envelope(data, FootageRequest.PAYLOAD_TYPE, {self.key.id: self.key})
            request = strictjson.decode(opened.payload, FootageRequest)
        except FormatError as error:
            raise ConfigurationError(
                f"{self.notes.place(name)}: {error.message}", remedy="Restore it from a backup."
            ) from error
        return SentRequest(request, data, opened.payload, self.notes)

    def sent_request_in(self, data: bytes) -> SentRequest:
        """Returns the request of which the envelope `data` is a copy. Raises `FormatError` if it differs."""
        claimed = strictjson.decode(envelope.read_unverified(data).payload, FootageRequest)
        asked = self.sent_request(claimed.id)
        # Only the request as we signed it counts, not a copy beside an answer.
        if asked.envelope != data:
            raise FormatError("The request stored with the disclosure differs from the signed one.")
        return asked

    def request_ids(self, beginning: str = "") -> list[str]:
        """Returns all our requests with that beginning of their id, in order."""
        listed = self.register.beginning_with(beginning)
        return [name for name in listed if self.has_request(name)]

    def has_request(self, request_id: str) -> bool:
        """Returns False for a request that a crash kept from being stored."""
        return self.notes.has_folder(request_folder(request_id))

    def is_relayed(self, request_id: str) -> bool:
        """Returns True if only the neighbour who asked has the key to the answers."""
        return self.notes.is_there(f"{request_folder(request_id)}/{RELAYED_MARK}")

    def reply_identity(self, request_id: str) -> HybridIdentity | None:
        """Returns the identity that opens answers to that request, or None if it was deleted. Raises the errors of
        `SentRequest.reply_identity`."""
        return _identity_in(self.notes, f"{request_folder(request_id)}/{_REPLY_IDENTITY}")

    def sent_requests_in_case(self, case: str) -> Iterator[SentRequest]:
        """Yields all requests of that case in this folder, in any order."""
        for request_id in self.register.in_case(case):
            if self.has_request(request_id):
                yield self.sent_request(request_id)

    def trust_roots(self) -> frozenset[str]:
        """Returns the key ids of all roots under which this folder has asked."""
        return self.register.roots() | ({self.profile.trust_root} if self.profile.trust_root else set())


def indexed_tables(parts: SealedParts) -> tuple[IndexedTable, ...]:
    """Returns the tables of a requester's index, with these parts of its answers."""
    return MESSAGE_TABLE, answer_table(parts)


def _signer(folder: Path, profile: RequesterProfile, signer: Signer | None) -> Signer:
    """Returns the signer for this folder. Raises `ConfigurationError` if its key is another one or elsewhere."""
    if signer is None and profile.key is not None:
        raise ConfigurationError(
            f"The key {profile.key} of {folder} is not in a file here.",
            remedy="Open it with the program that holds the key, for example the desk with its token.",
        )
    if signer is None:
        return FileSigner(load_key(folder / "signing.key"))
    if profile.key is not None and profile.key != signer.public_key.id:
        raise ConfigurationError(
            f"{folder} belongs to the key {profile.key}, and the signer has {signer.public_key.id}.",
            remedy="Choose the right key in the token.",
        )
    return signer


def request_folder(request_id: str) -> str:
    """Returns the folder of a request among the notes."""
    return f"requests/{request_id}"


def _identity_in(notes: Notes, name: str) -> HybridIdentity | None:
    data, place = notes.read(name, _IDENTITY_LIMIT_BYTES, secret=True), notes.place(name)
    if data is None:
        return None
    try:
        identities = parse_identity_file(data.decode("ascii", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{place}: {error.message}", remedy="Restore it from a backup.") from error
    if len(identities) != 1 or not isinstance(identities[0], HybridIdentity):
        raise ConfigurationError(f"{place} must hold exactly one hybrid identity.", remedy="Restore it from a backup.")
    return identities[0]
