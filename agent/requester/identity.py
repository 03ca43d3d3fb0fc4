"""One requester: who it is, the key it signs with, and what it has asked.

- Every request has its own reply identity, made here and stored (0600) before the request can leave: whoever opens one
  answer can open no other, and an answer can never arrive for which the key is lost.
- A number is used up before it is signed (`sequence`); a request that fails afterwards leaves a gap, which is harmless.
- A request is held against the limits that every device enforces before it is signed, so that an honest requester
  learns early.  Nothing relies on that: the device checks for itself.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import files
from agent.core.vault.age.opening import HybridIdentity, parse_identity_file
from agent.errors import ConfigurationError, DoorwardError, FormatError, RequestError
from agent.requester.asking import Question, require_within_limits
from agent.requester.keys import load_key, make_key
from agent.requester.sequence import SequenceCounter
from agent.wire import envelope, strictjson, text
from agent.wire.area import Area
from agent.wire.fields import KeyId, Kind, RequesterId
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.strictjson import Message
from agent.wire.topics import BulletinTopic, RequestTopic, cells_of

__all__ = ["TIPS_RECIPIENT", "Asked", "Damaged", "Profile", "Requester", "SignedMessage", "is_id"]

_SEED_BYTES: Final = 32
_ID_BYTES: Final = 16
_PROFILE_LIMIT_BYTES: Final = 4096
_IDENTITY_LIMIT_BYTES: Final = 16 * 1024
_BULLETINS: Final = "bulletins"
_TIPS_IDENTITY: Final = "tips.identity"
TIPS_RECIPIENT: Final = "tips.recipient"
"""The file whose text stands in the trust bundle, so that owners can send tips."""
_DELETION_STANDS_S: Final = 30 * 86_400
"""How long a deletion is kept for doors that are off."""
_ID: Final = re.compile(r"[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a request or disclosure; nothing else becomes part of a path."""
    return _ID.fullmatch(text) is not None


Damaged = Callable[[str, DoorwardError], None]
"""Takes the id of a request whose files cannot be read, and why."""


class Profile(Message, frozen=True):
    """`requester.json`.  Id and kind are what the root's bundle must say as well."""

    FILE: ClassVar[str] = "requester.json"

    v: Literal[1]
    id: RequesterId
    kind: Kind
    audience: KeyId | None = None
    """Key id of the root under whose bundle it asks, unless a request names another."""


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """What is published, retained, on each of `topics`, until `not_after_s`: of a request the newest that was said."""

    id: str
    envelope: bytes
    topics: tuple[str, ...]
    not_after_s: int
    published: Path
    """Is there once the broker has it."""


@dataclass(frozen=True, slots=True)
class Asked:
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

    def reply_identity(self) -> HybridIdentity:
        """Raises `ConfigurationError` when the key is missing, damaged or readable by others."""
        return _identity_in(self.folder / "reply.identity")


class Requester:
    """The requester whose folder this is."""

    def __init__(self, folder: Path, profile: Profile, key: Ed25519PrivateKey) -> None:
        self.folder = folder
        self.profile = profile
        self._key = key
        self._sequence = SequenceCounter(folder)

    @classmethod
    def create(cls, folder: Path, requester_id: str, kind: Kind, audience: str | None = None) -> Self:
        """Make a new requester in `folder`.  Raises `ConfigurationError` when one is there already."""
        if (folder / Profile.FILE).exists():
            raise ConfigurationError(f"{folder} holds a requester already.", remedy="Choose another folder.")
        try:
            data = strictjson.encode(Profile(v=1, id=requester_id, kind=kind, audience=audience))
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
        files.write(folder / Profile.FILE, data)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The requester in `folder`.  Raises `ConfigurationError` with the remedy."""
        path = folder / Profile.FILE
        if not path.is_file():
            raise ConfigurationError(
                f"{folder} is no requester's folder.", remedy="Make one with 'doorward requester keygen'."
            )
        try:
            profile = strictjson.decode(files.read(path, _PROFILE_LIMIT_BYTES), Profile)
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
        """What opens tips; None in a folder made before there were any.  Raises as `Asked.reply_identity` does."""
        path = self.folder / _TIPS_IDENTITY
        return _identity_in(path) if path.exists() else None

    # What was asked

    def asked(self, request_id: str) -> Asked:
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
        return Asked(request, data, opened.payload, folder)

    def asked_in(self, data: bytes) -> Asked:
        """The request whose envelope `data` is a copy of.  Raises `FormatError` when it is not exactly that."""
        claimed = strictjson.decode(envelope.read_unverified(data).payload, FootageRequest)
        asked = self.asked(claimed.id)
        if asked.envelope != data:
            raise FormatError("The request kept beside the disclosure is not the one that was signed.")
        return asked

    def request_ids(self) -> Iterator[str]:
        """Every request of ours, in no order."""
        folder = self.folder / "requests"
        for found in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_id(found.name):
                yield found.name

    def all_asked(self, damaged: Damaged | None = None) -> Iterator[Asked]:
        """Every request of ours, in no order.  `damaged` is told of unreadable ones; without it they raise."""
        for request_id in self.request_ids():
            try:
                yield self.asked(request_id)
            except DoorwardError as error:
                if damaged is None:
                    raise
                damaged(request_id, error)

    def audiences(self, damaged: Damaged | None = None) -> frozenset[str]:
        """Key ids of every root under which this requester speaks, as far as this folder knows."""
        own = {self.profile.audience} if self.profile.audience else set()
        return frozenset(own | {asked.request.audience for asked in self.all_asked(damaged)})

    # Asking

    def make_request(
        self, question: Question, *, now_s: int, audience: str | None = None, checked: bool = True
    ) -> SignedMessage:
        """Sign `question` and store it with a fresh reply identity; it is not published yet.

        `checked=False` leaves the limits to the device, which is for tests: it drops what is over them.
        Raises `RequestError` for a question no device would consider, `ConfigurationError` without an audience.
        """
        identity = HybridIdentity(secrets.token_bytes(_SEED_BYTES))
        request = question.request(
            requester=self.id,
            kind=self.profile.kind,
            audience=self._audience(audience),
            id=secrets.token_hex(_ID_BYTES),
            reply=str(identity.recipient()),
        )
        if checked:
            earlier = sum(asked.request.case == request.case for asked in self.all_asked())
            require_within_limits(request, now_s, earlier)
        # Only now: a question that is refused uses up no number.
        request = _numbered(request, self.next_number())
        data = self.sign(FootageRequest.PAYLOAD_TYPE, request)
        self._store(request.id, data, identity)
        return self.signed(request.id)

    def withdraw(self, request_id: str, reason: str | None = None) -> SignedMessage:
        """Take a request back: published where the request stands, it replaces it."""
        request = self.asked(request_id).request
        try:
            withdrawal = Withdrawal(
                v=1,
                request=request_id,
                requester=self.id,
                audience=request.audience,
                seq=self.next_number(),
                reason=text.clean(reason) if reason else None,
            )
        except FormatError as error:
            raise RequestError(error.message, remedy=error.remedy) from error
        return self._say_later(request_id, Withdrawal.PAYLOAD_TYPE, withdrawal)

    def state_deleted(self, request_id: str, now_s: int) -> SignedMessage:
        """State that everything received for a request is deleted, whether or not there was anything."""
        request = self.asked(request_id).request
        deletion = Deletion(
            v=1,
            request=request_id,
            requester=self.id,
            audience=request.audience,
            seq=self.next_number(),
            deleted_s=now_s,
        )
        return self._say_later(request_id, Deletion.PAYLOAD_TYPE, deletion)

    def make_bulletin(
        self,
        title: str,
        description: str,
        *,
        not_after_s: int,
        area: Area | None = None,
        audience: str | None = None,
    ) -> SignedMessage:
        """Sign a safety message to every door that trusts the root, or to those in `area`; it is not published yet.

        Raises `RequestError` for text that no bulletin may have.
        """
        try:
            bulletin = Bulletin(
                v=1,
                id=secrets.token_hex(_ID_BYTES),
                requester=self.id,
                audience=self._audience(audience),
                seq=self.next_number(),
                title=text.clean(title),
                description=text.clean(description),
                not_after_s=not_after_s,
                area=area,
            )
            data = self.sign(Bulletin.PAYLOAD_TYPE, bulletin)
            envelope.read_unverified(data)  # which a door must be able to
        except FormatError as error:
            raise RequestError(error.message, remedy=error.remedy) from error
        folder = self.folder / _BULLETINS / bulletin.id
        files.make_folder(folder.parent)
        files.make_folder(folder)
        files.write(folder / "bulletin.dsse", data)
        return self.signed(bulletin.id)

    def message_ids(self) -> Iterator[str]:
        """Every request and bulletin of ours, in no order."""
        yield from self.request_ids()
        folder = self.folder / _BULLETINS
        for found in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_id(found.name):
                yield found.name

    def mark(self, message_id: str) -> Path:
        """What is there once the broker has the newest that is to be said under this id."""
        return self._newest(message_id).with_suffix(".published")

    def signed(self, message_id: str) -> SignedMessage:
        """What is to be published under this id: of a request its deletion or withdrawal, if there is one."""
        newest, mark = self._newest(message_id), self.mark(message_id)
        if newest.name == "bulletin.dsse":
            return self._signed_bulletin(newest, mark)
        asked = self.asked(message_id)
        data = files.read(newest, envelope.REQUEST_ENVELOPE_LIMIT_BYTES)
        request = asked.request
        topics = tuple(str(RequestTopic(cell, request.requester, request.id)) for cell in cells_of(request.area))
        not_after_s = request.not_after_s
        if newest.name == "deletion.dsse":
            claimed = strictjson.decode(envelope.read_unverified(data).payload, Deletion)
            not_after_s = claimed.deleted_s + _DELETION_STANDS_S
        return SignedMessage(request.id, data, topics, not_after_s, mark)

    def _signed_bulletin(self, path: Path, mark: Path) -> SignedMessage:
        data = files.read(path, envelope.REQUEST_ENVELOPE_LIMIT_BYTES)
        try:
            opened = envelope.open_envelope(data, Bulletin.PAYLOAD_TYPE, {self.key.id: self.key})
            bulletin = strictjson.decode(opened.payload, Bulletin)
        except FormatError as error:
            raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
        topic = str(BulletinTopic(bulletin.audience, self.id, bulletin.id))
        return SignedMessage(bulletin.id, data, (topic,), bulletin.not_after_s, mark)

    def _newest(self, message_id: str) -> Path:
        bulletin = self.folder / _BULLETINS / message_id / "bulletin.dsse"
        if is_id(message_id) and bulletin.is_file():
            return bulletin
        folder = self.folder / "requests" / message_id
        later = (folder / name for name in ("deletion.dsse", "withdrawal.dsse"))
        return next((path for path in later if path.is_file()), folder / "request.dsse")

    def _say_later(self, request_id: str, payload_type: str, message: Withdrawal | Deletion) -> SignedMessage:
        """Keep what is said of a request after it was made: published where it stood, it replaces it."""
        name = "withdrawal.dsse" if isinstance(message, Withdrawal) else "deletion.dsse"
        path = self.folder / "requests" / request_id / name
        path.with_suffix(".published").unlink(missing_ok=True)
        files.write(path, self.sign(payload_type, message))
        return self.signed(request_id)

    def _audience(self, audience: str | None) -> str:
        chosen = audience or self.profile.audience
        if chosen is None:
            raise ConfigurationError(
                "A request names the root that vouches for its requester.",
                remedy="Give the root's key id with --audience; the root's 'keygen --root' printed it.",
            )
        return chosen

    def _store(self, request_id: str, data: bytes, identity: HybridIdentity) -> None:
        """Both files or none."""
        folder = self.folder / "requests"
        files.make_folder(folder)
        unfinished = folder / f"{request_id}.making"
        files.make_folder(unfinished)
        try:
            secret = f"# opens the answers to footage request {request_id}\n{identity.secret_text()}\n"
            files.write(unfinished / "reply.identity", secret.encode("ascii"), secret=True)
            files.write(unfinished / "request.dsse", data)
            with files.storage_errors(folder):
                unfinished.rename(folder / request_id)
                files.sync_folder(folder)
        except DoorwardError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


def _identity_in(path: Path) -> HybridIdentity:
    files.require_private(path)
    try:
        identities = parse_identity_file(files.read(path, _IDENTITY_LIMIT_BYTES).decode("ascii", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error
    if len(identities) != 1 or not isinstance(identities[0], HybridIdentity):
        raise ConfigurationError(f"{path} holds no identity.", remedy="Restore it from a backup.")
    return identities[0]


def _numbered(request: FootageRequest, number: int) -> FootageRequest:
    return msgspec.structs.replace(request, seq=number)
