"""Opens a received part and holds it against its record, for disclosures and tips alike.

The bytes have been compared with what was announced, approved and recorded; here it is what comes out of them.
"""

from __future__ import annotations

import io

from agent.clients.media.confined import SandboxedMedia
from agent.clients.opening import HybridIdentity, VerifiedPrefix
from agent.clients.opening.committed import open_committed
from agent.core.disclosure import agree
from agent.core.vault.records import StoredRecord
from agent.core.vault.segment import Content, Context, split_media, split_poster
from agent.errors import FormatError
from agent.media.fmp4 import whole_fragments
from agent.wire.disclosures import PartKind

__all__ = ["open_part", "unopened"]


def open_part(
    record: StoredRecord, kind: PartKind, data: bytes, identity: HybridIdentity, *, device: str
) -> tuple[bytes, Context | None]:
    """The film, sound or JPEG in a part, and what it says of itself; None for a film whose end is missing.

    Such a film stops at its last whole GOP.  Each chunk is authenticated in its place, so what opens is the beginning
    of what was recorded.  A file that only lacks its final name is held against what it says of itself, like any other.

    Raises `OpenError` for a part that does not open with the key its record commits to, `FormatError` when inside and
    outside do not agree.
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


def unopened(media: SandboxedMedia, kind: PartKind, opened: bytes) -> str:
    """Why no player opens this film, sound or still; empty when it opens."""
    try:
        media.check(kind.value, opened)
    except FormatError as error:
        return error.message
    return ""
