"""Sends a tip to one requester, without the sender's name.

The client seals words and footage to the `tips` recipient in the requester's trust bundle, so device and broker cannot
read them. Words alone identify no one. Footage identifies its device by the key that signed it at capture, and so links
it to all answers of that device (docs/security/limits.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.file_keys import POSTER, SEGMENT, ChosenFile, FileKeyWrapper, seal_text
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import disclosure_in, sign_and_submit
from agent.clients.owner.sync import DeviceChannel, sync, sync_after
from agent.clients.owner.trust_roots import trust_state
from agent.core.vault.age.recipients import HybridRecipient
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import TipText
from agent.wire.statements import Tip
from agent.wire.trust import RequesterEntry

__all__ = ["CannotTellError", "send_tip", "taker_names", "tip_recipients", "tip_taker"]

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
    differs from the one signed at capture. `CannotTellError` names each file that fails to open, with its reason. All
    of them come before the first signature.
    """
    root, entry = tip_taker(tip_recipients(link, keys), requester)
    met = sync(link, keys)
    reply = HybridRecipient.parse(entry.tips or "")
    wrapper = FileKeyWrapper(link, keys, met.key, reply)
    items = wrapper.wrap_each(SEGMENT, [ChosenFile(name, name) for name in segments])
    stills = wrapper.wrap_each(POSTER, [ChosenFile(name, name) for name in posters])
    if wrapper.reasons:
        rest = tuple(item.id for item, _ in items), tuple(item.id for item, _ in stills)
        raise CannotTellError(wrapper.reasons, *rest)
    answer = sign_and_submit(
        link,
        keys,
        met,
        Tip,
        now_ms=clock(),
        headers=[header for _, header in (*items, *stills)],
        # Random: the id is in topics, and any other could be linked to its sender.
        tip=secrets.token_hex(_SECRET_BYTES),
        trust_root=root,
        requester=entry.id,
        reply=entry.tips,
        message=None if text is None else _sealed(text, reply),
        segments=tuple(item for item, _ in items),
        posters=tuple(item for item, _ in stills),
    )
    sync_after(link, keys)
    return disclosure_in(answer)


def tip_taker(found: Sequence[tuple[str, RequesterEntry]], requester: str) -> tuple[str, RequesterEntry]:
    """Returns one of `tip_recipients`, and its root. `requester`: its name as `taker_names` gives it.

    Raises `ConfigurationError` if it takes no tips, or if two roots have a requester of this id.
    """
    name, _, root = requester.partition("@")
    named = [each for each in found if each[1].id == name and (not root or each[0] == root)]
    if len(named) > 1:
        ways = ", ".join(f"{name}@{each}" for each, _ in named)
        raise ConfigurationError(
            f"'{name}' means {len(named)} requesters of different trust roots, and the tip would reach only one.",
            remedy=f"Name the root, too. You can write: {ways}.",
        )
    if not named:
        listed = ", ".join(taker_names(found)) or "none that you trust"
        raise ConfigurationError(f"'{requester}' accepts no tips.", remedy=f"These accept tips: {listed}.")
    return named[0]


def taker_names(found: Sequence[tuple[str, RequesterEntry]]) -> list[str]:
    """Returns what each is called on the command line: its id, or `ID@ROOT` if two roots have a requester of this
    id."""
    ids = [entry.id for _, entry in found]
    return [f"{entry.id}@{root}" if ids.count(entry.id) > 1 else entry.id for root, entry in found]


def _sealed(text: str, reply: HybridRecipient) -> str:
    try:
        said = strictjson.encode(TipText(v=1, text=text))
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error
    return seal_text(said, reply)
