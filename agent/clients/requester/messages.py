"""Messages of a requester: requests, withdrawals, deletions and bulletins, each signed and stored before it is sent.

- Each request has a fresh reply identity, stored (0600) before the request is sent. A party who opens one answer cannot
  open another, and each answer finds its key.
- A number is used up before signing (`sequence_numbers`). A request that fails afterwards leaves a gap, which is
  harmless.
- A request is checked against the limits of devices before signing, so that an honest requester learns of a fault
  early. Security does not depend on it, because the device checks again.
- The newest message about a request counts: it replaces the older ones where they were published (`retained_slots`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.clients.opening import HybridIdentity
from agent.clients.requester.folder_index import is_id
from agent.clients.requester.identity import RELAYED_MARK, Requester, request_folder
from agent.clients.requester.notes import Notes
from agent.clients.requester.request_builder import RequestDraft, require_within_limits
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.clients.requester.roots import KnownRoots
from agent.errors import ConfigurationError, FormatError, RequestError, StorageError
from agent.wire import envelope, strictjson
from agent.wire.area import Area
from agent.wire.fields import clean_text
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.topics import BulletinTopic, RequestTopic, cells_of

__all__ = [
    "SignedMessage",
    "is_stored",
    "make_bulletin",
    "make_deletion",
    "make_request",
    "make_withdrawal",
    "mark_published",
    "signed",
]

_ID_BYTES: Final = 16
_SEED_BYTES: Final = 32
_BULLETINS: Final = "bulletins"
_BULLETIN: Final = "bulletin.dsse"
_MARK: Final = ".published"
_CELLS: Final = "cells"
_CELLS_LIMIT_BYTES: Final = 4096
_DELETION_STANDS_S: Final = 30 * 86_400
"""Seconds for which a deletion stays published, for doors that are off."""


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message for publication, retained, on each of `topics`, until `not_after_s`: the newest one about a request.

    `topics` is empty if newer messages have taken all its slots.
    """

    id: str
    envelope: bytes
    topics: tuple[str, ...]
    not_after_s: int
    published: str
    """Note that exists once the broker has the message. If brokers lack it, its first line is `not_after_s`, and they
    follow, one a line."""
    notes: Notes

    @property
    def kind(self) -> str:
        """Returns "request", "withdrawal", "deletion" or "bulletin"."""
        return self.published.rpartition("/")[2].removesuffix(_MARK)

    def mark_published(self, lacking: Iterable[str] = ()) -> None:
        """Notes that the broker has the message in all its cells, or all brokers have it but those `lacking` it."""
        names = sorted(lacking)
        lines = [str(self.not_after_s), *names] if names else []
        self.notes.write(self.published, "".join(f"{each}\n" for each in lines).encode("ascii"))


def make_request(
    requester: Requester,
    question: RequestDraft,
    *,
    now_s: int,
    trust_root: str | None = None,
    checked: bool = True,
    reply: str | None = None,
) -> SignedMessage:
    """Signs `question` and stores it with a fresh reply identity. `publisher` publishes it.

    `reply`: recipient of another person who asks through this requester. Then no key that opens the answers is stored.

    `checked=False` skips the limits, for tests of the device. Raises `RequestError` if every device would refuse the
    question, and `ConfigurationError` if no root is named.
    """
    identity = None if reply is not None else HybridIdentity(secrets.token_bytes(_SEED_BYTES))
    if reply is None:
        assert identity is not None  # noqa: S101 (made above)
        reply = str(identity.recipient())
    request = question.request(
        requester=requester.id,
        kind=requester.profile.kind,
        trust_root=_trust_root(requester, trust_root),
        id=secrets.token_hex(_ID_BYTES),
        reply=reply,
    )
    if checked:
        bounds = KnownRoots(requester).limits_for(request.trust_root, request.kind, request.area, now_s)
        require_within_limits(
            request, now_s, (asked.request for asked in requester.sent_requests_in_case(request.case)), bounds
        )
    # Only after the checks, so that a refused question uses up no number.
    request = _numbered(request, requester.next_number())
    data = requester.sign(FootageRequest.PAYLOAD_TYPE, request)
    _take_slots(requester, request, request.not_after_s)
    _store(requester, request, data, identity)
    return signed(requester, request.id)


def make_withdrawal(
    requester: Requester, request_id: str, reason: str | None = None, language: str | None = None
) -> SignedMessage:
    """Signs a withdrawal of a request. Published on its topics, it replaces the request.

    `language`: of the reason; by default that of the request's words.
    """
    request = requester.sent_request(request_id).request
    try:
        withdrawal = Withdrawal(
            v=1,
            request=request_id,
            requester=requester.id,
            trust_root=request.trust_root,
            seq=requester.next_number(),
            reason=clean_text(reason) if reason else None,
            language=(language or request.language) if reason else None,
        )
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error
    return _queue_message(requester, request_id, Withdrawal.PAYLOAD_TYPE, withdrawal)


def make_deletion(requester: Requester, request_id: str, now_s: int) -> SignedMessage:
    """Signs a statement that all answers to a request are deleted, with or without answers. Deletes its reply key."""
    asked = requester.sent_request(request_id)
    # First: the statement is then true at each moment at which a door could read it, and each remaining copy of an
    # answer stays sealed.
    asked.delete_reply_identity()
    request = asked.request
    deletion = Deletion(
        v=1,
        request=request_id,
        requester=requester.id,
        trust_root=request.trust_root,
        seq=requester.next_number(),
        deleted_s=now_s,
    )
    return _queue_message(requester, request_id, Deletion.PAYLOAD_TYPE, deletion)


def make_bulletin(
    requester: Requester,
    title: str,
    description: str,
    *,
    language: str,
    not_after_s: int,
    area: Area | None = None,
    cells: tuple[str, ...] = (),
    trust_root: str | None = None,
) -> SignedMessage:
    """Signs a safety message to the doors in `area`, or to all in `cells`, and stores it.

    Raises `RequestError` if a text is unfit for a bulletin, if the place is missing, or if no door counts in the area.
    """
    if area is not None and not area.opened_m2:
        raise RequestError(
            "No door would list this bulletin: its area is narrower than 120 m everywhere.",
            remedy="Draw it wider, or name cells instead.",
        )
    cells = cells if area is None else cells_of(area)
    if not cells:
        raise RequestError("A bulletin needs a place.", remedy="Give an area or cells.")
    try:
        bulletin = Bulletin(
            v=1,
            id=secrets.token_hex(_ID_BYTES),
            requester=requester.id,
            trust_root=_trust_root(requester, trust_root),
            seq=requester.next_number(),
            title=clean_text(title),
            description=clean_text(description),
            language=language,
            not_after_s=not_after_s,
            area=area,
        )
        data = requester.sign(Bulletin.PAYLOAD_TYPE, bulletin)
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error
    folder = f"{_BULLETINS}/{bulletin.id}"
    # Listed before it is stored: a kill in between leaves a name without a message, which is skipped.
    requester.register.add_unsent(bulletin.id)
    requester.notes.make_folder(folder)
    for cell in cells:
        TopicSlots(requester.notes).take(SlotKind.BULLETINS, cell, bulletin.id, not_after_s)
    requester.notes.write(f"{folder}/{_CELLS}", "\n".join(cells).encode("ascii"))
    requester.notes.write(f"{folder}/{_BULLETIN}", data)
    _list_again(requester, bulletin.id, lambda: requester.register.add_unsent(bulletin.id))
    return signed(requester, bulletin.id)


def mark_published(requester: Requester, message_id: str) -> str:
    """Returns the note that exists once the broker has the newest message under this id."""
    return _mark(_newest(requester, message_id))


def _mark(name: str) -> str:
    return name.removesuffix(".dsse") + _MARK


def is_stored(requester: Requester, message_id: str) -> bool:
    """Returns True if a message of that id exists. Another process may be storing it, or a crash prevented it."""
    return requester.notes.is_there(_newest(requester, message_id))


def signed(requester: Requester, message_id: str) -> SignedMessage:
    """Returns the message to publish under this id: for a request its deletion or withdrawal, if there is one."""
    newest = _newest(requester, message_id)
    if newest.endswith(f"/{_BULLETIN}"):
        return _signed_bulletin(requester, newest)
    asked = requester.sent_request(message_id)
    data = _stored(requester, newest)
    request = asked.request
    slots = TopicSlots(requester.notes)
    held = ((cell, slots.held(SlotKind.REQUESTS, cell, request.id)) for cell in cells_of(request.area))
    topics = tuple(str(RequestTopic(cell, requester.id, slot)) for cell, slot in held if slot is not None)
    not_after_s = request.not_after_s
    if newest.endswith("/deletion.dsse"):
        claimed = strictjson.decode(envelope.read_unverified(data).payload, Deletion)
        not_after_s = claimed.deleted_s + _DELETION_STANDS_S
    return SignedMessage(request.id, data, topics, not_after_s, _mark(newest), requester.notes)


def _stored(requester: Requester, name: str, limit_bytes: int = envelope.REQUEST_ENVELOPE_LIMIT_BYTES) -> bytes:
    """Returns a note that must be there. Raises `StorageError` if it is not."""
    data = requester.notes.read(name, limit_bytes)
    if data is None:
        raise StorageError(f"{requester.notes.place(name)} is missing.", remedy="Restore it from a backup.")
    return data


def _signed_bulletin(requester: Requester, name: str) -> SignedMessage:
    data = _stored(requester, name)
    try:
        opened = envelope.open_envelope(data, Bulletin.PAYLOAD_TYPE, {requester.key.id: requester.key})
        bulletin = strictjson.decode(opened.payload, Bulletin)
    except FormatError as error:
        raise ConfigurationError(
            f"{requester.notes.place(name)}: {error.message}", remedy="Restore it from a backup."
        ) from error
    slots = TopicSlots(requester.notes)
    cells_name = f"{_BULLETINS}/{bulletin.id}/{_CELLS}"
    cells = _stored(requester, cells_name, _CELLS_LIMIT_BYTES).decode("ascii", "replace").split()
    held = ((cell, slots.held(SlotKind.BULLETINS, cell, bulletin.id)) for cell in cells)
    topics = tuple(str(BulletinTopic(cell, requester.id, slot)) for cell, slot in held if slot is not None)
    return SignedMessage(bulletin.id, data, topics, bulletin.not_after_s, _mark(name), requester.notes)


def _newest(requester: Requester, message_id: str) -> str:
    bulletin = f"{_BULLETINS}/{message_id}/{_BULLETIN}"
    if is_id(message_id) and requester.notes.is_there(bulletin):
        return bulletin
    folder = request_folder(message_id)
    later = (f"{folder}/{name}" for name in ("deletion.dsse", "withdrawal.dsse"))
    return next((name for name in later if requester.notes.is_there(name)), f"{folder}/request.dsse")


def _queue_message(
    requester: Requester, request_id: str, payload_type: str, message: Withdrawal | Deletion
) -> SignedMessage:
    """Stores a later message about a request. Published on the request's topics, it replaces it."""
    name = f"{request_folder(request_id)}/{'withdrawal' if isinstance(message, Withdrawal) else 'deletion'}.dsse"
    ends_s = message.deleted_s + _DELETION_STANDS_S if isinstance(message, Deletion) else 0
    request = requester.sent_request(request_id).request
    _take_slots(requester, request, max(request.not_after_s, ends_s))
    # In this order, so that a 'receive' that removes the mark of its message keeps the mark of this one
    # (`publish_pending`).
    requester.notes.remove(_mark(name))
    requester.register.add_unsent(request_id)
    requester.notes.write(name, requester.sign(payload_type, message))
    _list_again(requester, request_id, lambda: requester.register.add_unsent(request_id))
    return signed(requester, request_id)


def _take_slots(requester: Requester, request: FootageRequest, until_s: int) -> None:
    """Takes the slots of a message that is still to be stored."""
    # Before it is stored, so that each stored message can be published.
    for cell in cells_of(request.area):
        TopicSlots(requester.notes).take(SlotKind.REQUESTS, cell, request.id, until_s)


def _trust_root(requester: Requester, trust_root: str | None) -> str:
    chosen = trust_root or requester.profile.trust_root
    if chosen is None:
        raise ConfigurationError(
            "A request must name the root that vouches for its requester.",
            remedy="Give the root's key id with --trust-root. 'keygen --root' prints it.",
        )
    return chosen


def _store(requester: Requester, request: FootageRequest, data: bytes, identity: HybridIdentity | None) -> None:
    """Stores both files or none. Without an identity, the request is relayed for the person who has it."""
    requester.register.add_request(request)
    if identity is None:
        files = {RELAYED_MARK: b"", "request.dsse": data}
        requester.notes.store_folder(request_folder(request.id), files)
    else:
        secret = f"# opens the answers to footage request {request.id}\n{identity.secret_text()}\n"
        requester.notes.store_folder(
            request_folder(request.id),
            {"reply.identity": secret.encode("ascii"), "request.dsse": data},
            secrets=frozenset({"reply.identity"}),
        )
    _list_again(requester, request.id, lambda: requester.register.add_request(request))


def _list_again(requester: Requester, message_id: str, add: Callable[[], None]) -> None:
    """Lists a message that is stored now, if another process has made the index again before the file was there."""
    if not requester.register.is_unsent(message_id) and not requester.notes.is_there(
        mark_published(requester, message_id)
    ):
        add()


def _numbered(request: FootageRequest, number: int) -> FootageRequest:
    return msgspec.structs.replace(request, seq=number)
