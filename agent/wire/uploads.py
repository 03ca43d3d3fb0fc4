"""Payloads of `init` and `fin`, which accompany the chunks of an upload.

`init` (of part 0, retained during the upload) gives part 0 and the number of parts. It also asks which parts the
requester holds, with a number that receipts repeat. `fin` (of any part) says that the whole part was sent. `abort` is
empty. All three are unsigned, because they only steer the transfer: the signed manifest in part 0 is the check on the
bytes. Source: PROTOCOL.md, "Upload"; the grammar is EMQX's file transfer over MQTT.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from agent.wire.disclosures import MAX_PARTS
from agent.wire.fields import Sequence, Sha256, Version1
from agent.wire.strictjson import Message

__all__ = ["UPLOAD_NOTE_LIMIT_BYTES", "UploadNote"]

UPLOAD_NOTE_LIMIT_BYTES: Final = 256


class UploadNote(Message, frozen=True):
    """One part by its length and hash, and the number of parts, part 0 included."""

    v: Version1
    parts: Annotated[int, Meta(ge=1, le=MAX_PARTS + 1)]
    size_bytes: Annotated[int, Meta(ge=1, le=2**40)]
    sha256: Sha256
    question: Sequence | None = None
    """Only in an init, which is also a question. Receipts repeat the number of the newest init that was read."""
