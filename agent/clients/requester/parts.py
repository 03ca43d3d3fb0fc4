"""Opens a received part and compares it with its record, for disclosures and tips alike.

The caller has compared the bytes with the announced, approved and recorded hashes. This module checks their content.
"""

from __future__ import annotations

import io

from agent.clients.media.confined import ConfinedMedia
from agent.clients.opening import HybridIdentity, VerifiedPrefix
from agent.clients.opening.committed import open_committed, open_redacted
from agent.core.disclosure import DisclosedItem, agree
from agent.core.vault.records import StoredRecord
from agent.core.vault.segment import Content, Context, split_media, split_poster
from agent.errors import FormatError
from agent.media.fmp4 import whole_fragments
from agent.wire.disclosures import PartKind

__all__ = ["open_part", "open_redacted_part", "require_redacted", "unopened"]


def open_part(
    record: StoredRecord, kind: PartKind, data: bytes, identity: HybridIdentity, *, device: str
) -> tuple[bytes, Context | None]:
    """Returns the film, sound or JPEG in a part, and its context record (None for a film that lost its end).

    That film stops at its last whole GOP. Each chunk is authenticated in its place, so the opened bytes
    are the beginning of the recording. A file that lacks only its final name is checked against its context like any
    other.

    Raises `OpenError` if a part fails to open with the key that its record commits to, and `FormatError` if content and
    record disagree.
    """
    content = Content(kind.value)
    if content is Content.SEGMENT and not record.complete:
        prefix = VerifiedPrefix(io.BytesIO(data), [identity])
        plaintext = b"".join(prefix)
        if not prefix.complete:
            return whole_fragments(plaintext), None
    else:
        plaintext = open_committed(record, content, data, [identity])
    opened, context = split_poster(plaintext) if content is Content.POSTER else split_media(plaintext)
    agree(record, context, device=device, content=content)
    return opened, context


def unopened(media: ConfinedMedia, kind: PartKind, opened: bytes) -> str:
    """Returns the reason why a player cannot open this film, sound or still. Empty if it opens."""
    try:
        media.check(kind.value, opened)
    except FormatError as error:
        return error.message
    return ""


def open_redacted_part(
    item: DisclosedItem, data: bytes, identity: HybridIdentity, *, device: str
) -> tuple[bytes, Context]:
    """Returns the film or sound that the owner's client redacted, and its context, which lists where and when.

    The owner signed the key and the sealed bytes, so the list is the owner's. Raises the errors of `open_part`.
    """
    content = Content(item.part.kind.value)
    opened, context = split_media(open_redacted(item.approved, data, [identity]))
    agree(item.record, context, device=device, content=content, redacted=True)
    return opened, context


def require_redacted(media: ConfinedMedia, kind: PartKind, opened: bytes, context: Context) -> None:
    """Raises `FormatError` if a place that the list names is uncovered, or a stretch not silent."""
    media.check_redacted(kind.value, opened, context.redactions or (), exact=context.exact)
