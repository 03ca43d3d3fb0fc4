"""Opens a sealed file with the one key that its record commits to. Only owners' and requesters' clients import this.

Source: FORMAT.md, "Manifest", `key`; PROTOCOL.md, "Redacted items".
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.clients.opening import Identity, open_file_key, open_payload
from agent.core.vault.age.header import split
from agent.core.vault.commitment import key_commitment
from agent.core.vault.records import SegmentRecord, StoredRecord
from agent.core.vault.segment import Content
from agent.errors import OpenError
from agent.wire.statements import SealedItem

__all__ = ["commitment_in", "open_committed", "open_redacted"]


def commitment_in(record: StoredRecord, content: Content) -> str | None:
    """Returns the key commitment of this file in `record`. None if the record lacks it, for example of a file recovered
    after a crash."""
    if not isinstance(record, SegmentRecord):
        return None
    if content is Content.SEGMENT:
        return record.key
    beside = record.poster if content is Content.POSTER else record.sound
    return beside.key if beside is not None else None


def open_committed(record: StoredRecord, content: Content, data: bytes, identities: Sequence[Identity]) -> bytes:
    """Returns the plaintext of the age file `data`. Raises `OpenError` also if the file opens with another key than
    recorded."""
    length = split(data)
    file_key = open_file_key(data[:length], identities)
    if isinstance(record, SegmentRecord) and key_commitment(file_key) != commitment_in(record, content):
        raise OpenError(
            f"The {content.value} of {record.id} opens with another key than the one the device signed at capture."
        )
    return open_payload(data[length:], file_key)


def open_redacted(item: SealedItem, data: bytes, identities: Sequence[Identity]) -> bytes:
    """Returns the plaintext of the age file that an owner's client made for `item`.

    Raises `OpenError` also if it opens with another key than the owner signed.
    """
    length = split(data)
    file_key = open_file_key(data[:length], identities)
    if item.redacted is None or key_commitment(file_key) != item.redacted.key:
        raise OpenError(f"The redacted file of {item.id} opens with another key than the one the owner signed.")
    return open_payload(data[length:], file_key)
