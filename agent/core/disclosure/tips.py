"""The requester's half of a tip: footage or text that an owner sends anonymously and unrequested.

A tip claims less than a disclosure (it lacks request, approval and owner), so there is less to check. Footage in a tip
is still checked against the records that its device signed at capture, and signed again, by ML-DSA-44, for the tip. The
caller compares the second key with what it knows of the device. Text is unproven.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agent.core.disclosure.releasing import stored_file
from agent.core.vault.age.header import split
from agent.core.vault.manifest import SignedRecord, open_line
from agent.core.vault.records import RecoveredRecord, SegmentRecord, StoredRecord
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import DISCLOSURE_LIMIT_BYTES, Part, TipManifest, tip_records_encoding
from agent.wire.identities import MldsaPublicKey, parse_public_key

__all__ = ["TipItem", "check_tip_part", "read_tip"]


@dataclass(frozen=True, slots=True)
class TipItem:
    """A part of a tip, and the record of its capture. `payload_sha256`: of the sealed content, from the record."""

    part: Part
    record: StoredRecord
    payload_sha256: str


def read_tip(data: bytes, tip: str) -> tuple[TipManifest, tuple[TipItem, ...]]:
    """Returns the opened part 0 of the tip with that id, its records verified. Raises `OpenError` or `FormatError`."""
    manifest = strictjson.decode(data, TipManifest, limit_bytes=DISCLOSURE_LIMIT_BYTES)
    # The id is outside, in the topic. A broker could deliver one tip under the name of another.
    if manifest.tip != tip:
        raise FormatError("The id in this tip differs from the id it was sent under.")
    captured: dict[str, SignedRecord] = {}
    if manifest.device is not None:
        device = parse_public_key(manifest.device)
        _require_second_signature(manifest)
        for line in manifest.records:
            signed = open_line(line.encode(), device)
            # The same record twice would let one part be counted as two.
            if not isinstance(signed.record, SegmentRecord | RecoveredRecord) or signed.record.id in captured:
                raise FormatError("This tip carries a record that is not of a segment, or the same record twice.")
            captured[signed.record.id] = signed
    # In both directions: no footage without its record, and no record of footage that the owner kept back.
    if captured.keys() != {part.id for part in manifest.parts}:
        raise FormatError("The records in this tip are not those of its footage.")
    return manifest, tuple(_item(part, captured[part.id]) for part in manifest.parts)


def _require_second_signature(manifest: TipManifest) -> None:
    signature = strictjson.decode_base64(manifest.records_mldsa or "")
    signed = tip_records_encoding(manifest.records)
    if not MldsaPublicKey.parse(manifest.device_mldsa or "").verifies(signature, signed):
        raise OpenError("The ML-DSA-44 signature of the records in this tip is not by the key in it.")


def _item(part: Part, signed: SignedRecord) -> TipItem:
    stored, record = stored_file(part.kind, signed), signed.record
    if stored is None or not isinstance(record, SegmentRecord | RecoveredRecord):
        raise FormatError(f"{part.kind.value} {part.id} of this tip was not recorded.")
    return TipItem(part, record, stored.sha256_payload)


def check_tip_part(item: TipItem, data: bytes) -> None:
    """Raises `OpenError` unless `data` is this part, byte for byte, with the content that was signed at capture."""
    if len(data) != item.part.size_bytes or hashlib.sha256(data).hexdigest() != item.part.sha256:
        raise OpenError(f"Part {item.part.id} is not the one that was announced.")
    if hashlib.sha256(memoryview(data)[split(data) :]).hexdigest() != item.payload_sha256:
        raise OpenError(f"Part {item.part.id} is not the content that was signed at capture.")
