"""Sends a tip to one requester, without the sender's name.

The client seals words and footage to the `tips` recipient in the requester's trust bundle, so device and broker cannot
read them. Words alone identify no one. Footage identifies its device by the key that signed it at capture, and so links
it to all answers of that device (docs/security/limits.md).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence

from agent.clients.opening import rewrap
from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sealed_footage import open_captured, open_poster
from agent.clients.owner.segment_sources import record_of
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, field, sync
from agent.clients.owner.trust_roots import trust_state
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.records import RecoveredRecord, SegmentRecord
from agent.errors import ConfigurationError, FormatError, OpenError, RequestError
from agent.wire import base64, strictjson
from agent.wire.disclosures import TipText
from agent.wire.identities import PublicKey
from agent.wire.statements import SealedItem, Tip
from agent.wire.trust import RequesterEntry

__all__ = ["CannotTellError", "send_tip", "tip_recipients"]

_SECRET_BYTES = 16


class CannotTellError(OpenError):
    """Some of the footage cannot be shared. The client signed nothing. `segments` and `posters`: the rest of the
    tip."""

    def __init__(self, reasons: Sequence[str], segments: tuple[str, ...], posters: tuple[str, ...]) -> None:
        super().__init__(" ".join(reasons), remedy="Send the tip without it.")
        self.segments = segments
        self.posters = posters


def tip_recipients(link: DeviceChannel, keys: OwnerKeys) -> tuple[tuple[str, RequesterEntry], ...]:
    """Returns the trusted requesters that accept tips: (key id of the root, entry of its bundle)."""
    store = trust_state(link, keys).store
    return tuple(
        (root, entry)
        for root, bundle in store.bundles.items()
        for entry in bundle.requesters
        if entry.tips is not None and any(not key.revoked for key in entry.keys)
    )


def send_tip(
    link: DeviceChannel,
    keys: OwnerKeys,
    requester: str,
    text: str | None,
    *,
    segments: Sequence[str] = (),
    posters: Sequence[str] = (),
    clock: Clock = wall_ms,
) -> str:
    """Submits the tip to the device and returns its id. `segments`, `posters`: ids; a poster by its first segment.

    Raises `ConfigurationError` if the requester refuses tips or the text is invalid. Raises `OpenError` if a file
    differs from the one signed at capture. `CannotTellError` names each file that does not open, with its reason. All
    of them come before the first signature.
    """
    root, entry = _taker(tip_recipients(link, keys), requester)
    met = sync(link, keys)
    reply = HybridRecipient.parse(entry.tips or "")
    reasons: list[str] = []
    items = _those_that_open(segments, lambda name: _handed_over(link, keys, name, reply, met.key), "Segment", reasons)
    stills = _those_that_open(
        posters, lambda name: _poster_handed_over(link, keys, name, reply, met.key), "The poster of segment", reasons
    )
    if reasons:
        raise CannotTellError(reasons, tuple(item.id for item, _ in items), tuple(item.id for item, _ in stills))
    answer = sign_and_submit(
        link,
        keys,
        met,
        Tip,
        now_ms=clock(),
        headers=[header for _, header in (*items, *stills)],
        tip=secrets.token_hex(_SECRET_BYTES),
        trust_root=root,
        requester=entry.id,
        reply=entry.tips,
        message=None if text is None else _sealed(text, reply),
        segments=tuple(item for item, _ in items),
        posters=tuple(item for item, _ in stills),
    )
    sync(link, keys)
    return field(answer, "disclosure", str)


def _taker(found: Sequence[tuple[str, RequesterEntry]], requester: str) -> tuple[str, RequesterEntry]:
    named = [each for each in found if each[1].id == requester]
    if len(named) != 1:
        listed = ", ".join(entry.id for _, entry in found) or "nobody you trust"
        raise ConfigurationError(f"'{requester}' accepts no tips.", remedy=f"These accept tips: {listed}.")
    return named[0]


def _those_that_open(
    names: Sequence[str], hand_over: Callable[[str], tuple[SealedItem, bytes]], what: str, reasons: list[str]
) -> list[tuple[SealedItem, bytes]]:
    """Returns the result of `hand_over` for each name. Adds the reason of each failure to `reasons`."""
    made = []
    for name in names:
        try:
            made.append(hand_over(name))
        except (FormatError, RequestError) as error:
            reasons.append(f"{what} {name} cannot be shared: {error.message}")
    return made


def _handed_over(
    link: DeviceChannel, keys: OwnerKeys, name: str, reply: HybridRecipient, device: PublicKey
) -> tuple[SealedItem, bytes]:
    answer, data = link.fetch("segment", id=name)
    signed = record_of(field(answer, "record", str), name, device)
    open_captured(signed, data, keys.identities, device=device.id)
    assert isinstance(signed.record, SegmentRecord | RecoveredRecord)  # noqa: S101 (`open_captured` has refused others)
    return _wrapped(keys, name, signed.record.file.sha256_payload, data, reply)


def _poster_handed_over(
    link: DeviceChannel, keys: OwnerKeys, name: str, reply: HybridRecipient, device: PublicKey
) -> tuple[SealedItem, bytes]:
    answer, data = link.fetch("poster", id=name)
    signed = record_of(field(answer, "record", str), name, device)
    open_poster(signed, data, keys.identities, device=device.id)
    assert isinstance(signed.record, SegmentRecord | RecoveredRecord)  # noqa: S101 (`open_poster` has refused others)
    assert signed.record.poster_file is not None  # noqa: S101 (`open_poster` has refused it)
    return _wrapped(keys, name, signed.record.poster_file.sha256_payload, data, reply)


def _wrapped(
    keys: OwnerKeys, name: str, payload_sha256: str, data: bytes, reply: HybridRecipient
) -> tuple[SealedItem, bytes]:
    header = rewrap(data[: split(data)], keys.identities, [reply])
    item = SealedItem(id=name, payload_sha256=payload_sha256, header_sha256=hashlib.sha256(header).hexdigest())
    return item, header


def _sealed(text: str, reply: HybridRecipient) -> str:
    try:
        said = strictjson.encode(TipText(v=1, text=text))
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error
    file_key, nonce = secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_SECRET_BYTES)
    return base64.encode(seal_bytes(said, [reply], file_key=file_key, nonce=nonce))
