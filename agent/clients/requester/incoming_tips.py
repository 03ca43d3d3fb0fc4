"""Received tips: messages that an owner sent to this requester anonymously and unasked.

A tip is opened with the folder's tips key. Its words are unproven. Its footage is checked against the records that a
device signed at capture. So a camera recorded it, and the id of that camera is all that is known about it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agent.clients.media.confined import ConfinedMedia
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester.checks import MOST_FIRST_PART_BYTES, MOST_PART_BYTES, MOST_UNOPENED_RANGES, ranges_of
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.parts import open_part, unopened
from agent.core.disclosure import TipItem, check_tip_part, read_tip
from agent.core.transfer import PartSize
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import PartKind, ReceiptState, TipManifest, TipText
from agent.wire.identities import MldsaPublicKey, parse_public_key
from agent.wire.topics import ANONYMOUS

__all__ = ["OpenedTip", "TipFile", "is_tip", "manifest_in", "open_tip", "store_sealed_tip"]


@dataclass(frozen=True, slots=True)
class TipFile:
    """Footage in a tip: the opened media or JPEG, and its time of recording by the device (UTC ms)."""

    kind: PartKind
    id: str
    start_ms: int
    data: bytes
    unopened: str = ""
    """Reason why a player cannot open it. Empty if it opens."""


@dataclass(frozen=True, slots=True)
class OpenedTip:
    """An opened tip. `device` is the key id of the camera that recorded the footage, or None if there is no footage.

    `device_mldsa` is the hash of its second key. It was compared only if this requester knows the camera.
    """

    tip: str
    text: str | None
    device: str | None
    files: tuple[TipFile, ...]
    device_mldsa: str | None = None


def is_tip(answer: AnswerFolder) -> bool:
    origin = answer.origin()
    return origin is not None and origin.device == ANONYMOUS


def manifest_in(requester: Requester, answer: AnswerFolder) -> tuple[TipManifest, tuple[TipItem, ...]]:
    """Returns the verified content of part 0 of a tip. Raises `OpenError` or `FormatError`.

    If the doorbell has answered this requester before, its second key is the one that its owners signed.
    """
    data = open_bytes(answer.read_part(0, MOST_FIRST_PART_BYTES), [_key(requester)])
    manifest, items = read_tip(data, answer.disclosure)
    if manifest.device is not None:
        known = KnownDoorbells(requester.notes).find(parse_public_key(manifest.device).id)
        # A forger of Ed25519 could make records of a known camera, and sign them with an own second key.
        if known is not None and known.enrolled.device_mldsa != _mldsa_of(manifest):
            raise OpenError("The owners of this doorbell signed another ML-DSA-44 key than the one in this tip.")
    return manifest, items


def _mldsa_of(manifest: TipManifest) -> str | None:
    """Returns the hash of the device's second key."""
    return None if manifest.device_mldsa is None else MldsaPublicKey.parse(manifest.device_mldsa).sha256


def open_tip(requester: Requester, tip: str) -> OpenedTip:
    """Returns the tip with each part checked and opened. Raises `OpenError` or `FormatError` if a check fails."""
    answer = requester.answer(tip)
    identity = _key(requester)
    manifest, items = manifest_in(requester, answer)
    if answer.sealed() != frozenset(range(len(items) + 1)):
        raise OpenError("This tip has not arrived completely.", remedy="Continue to receive.")
    device = None if manifest.device is None else parse_public_key(manifest.device).id
    text = None
    if manifest.message is not None:
        text = strictjson.decode(open_bytes(strictjson.decode_base64(manifest.message), [identity]), TipText).text
    with ConfinedMedia() as media:
        found = tuple(
            _opened(answer, number, item, identity, device or "", media) for number, item in enumerate(items, start=1)
        )
    lost = [each for each in found if each.unopened]
    if lost and len(lost) == len(found) and text is None:
        raise FormatError(f"No file of this tip opens. The first: {lost[0].unopened}")
    if len(ranges_of(number for number, each in enumerate(found, start=1) if each.unopened)) > MOST_UNOPENED_RANGES:
        raise FormatError(f"{len(lost)} of {len(found)} files of this tip do not open.")
    return OpenedTip(tip, text, device, found, _mldsa_of(manifest))


def store_sealed_tip(requester: Requester, tip: str, sealed: bytes, at_ms: int) -> None:
    """Stores part 0 of a tip with words only that came by another way than the broker. Nothing of it is opened.

    The same tip again changes nothing. `at_ms`: the time that counts as its arrival (UTC).
    """
    answer = requester.answer(tip)
    if answer.outcome() is None:
        size = PartSize(len(sealed), hashlib.sha256(sealed).hexdigest())
        answer.create(
            DisclosureOrigin(
                v=1, device=ANONYMOUS, parts=1, size_bytes=size.size_bytes, sha256=size.sha256, begun_ms=at_ms
            )
        )
        answer.write(0, 0, sealed)
        answer.seal(0, size)
        answer.end(ReceiptState.COMPLETE, ended_ms=at_ms)
    requester.answers.ended(tip)


def _opened(
    answer: AnswerFolder, number: int, item: TipItem, identity: HybridIdentity, device: str, media: ConfinedMedia
) -> TipFile:
    data = answer.read_part(number, MOST_PART_BYTES)
    check_tip_part(item, data)
    opened, _context = open_part(item.record, item.part.kind, data, identity, device=device)
    return TipFile(
        item.part.kind, item.part.id, item.record.span.start_ms, opened, unopened(media, item.part.kind, opened)
    )


def _key(requester: Requester) -> HybridIdentity:
    identity = requester.tips_identity()
    if identity is None:
        raise ConfigurationError(
            f"{requester.folder} has no key for tips.", remedy="Folders made by 'doorward requester keygen' have one."
        )
    return identity
