"""What travels beside the chunks of an upload: the payload of `init` and of `fin`.

`init` (of part 0, retained while the upload lasts) says what part 0 is and how many parts there are.  It also asks what
the requester holds already, with a number that receipts repeat.  `fin` (of any part) says that all of this part was
sent.  `abort` is empty.  None of them is signed: they steer the transfer, and the manifest in part 0 judges the bytes.
Source: PROTOCOL.md, "Upload"; the grammar is EMQX's file transfer over MQTT.
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
    """Only in an init, which is also a question: receipts repeat the number of the newest one that was read."""
