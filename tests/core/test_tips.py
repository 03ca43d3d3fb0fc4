"""Tips: what an owner's statement names may leave and nothing else; and what came is held against its capture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.core.disclosure import ReleasedItem, check_tip_part, read_tip, release_tip, tip_manifest_of
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.vault.records import SegmentRecord
from agent.errors import FormatError, OpenError, RequestError
from agent.wire import strictjson
from agent.wire.disclosures import TipManifest, tip_records_encoding
from agent.wire.identities import public_key_of
from agent.wire.statements import Tip
from tests import custodians
from tests.core.test_disclosure import (
    DEVICE_TEXT,
    STRANGER,
    Case,
    case,
    first_record,
    forged_record,
    record_of_no_segment,
    sent,
    spare_record,
)
from tests.custodians import Door
from tests.damage import with_another_end

__all__ = ["case", "sent"]

NAME = "ab" * 16


def tip_of(case: Case, **changes: Any) -> Tip:
    values = {
        **custodians.stated(),
        "tip": NAME,
        "trust_root": case.asked.trust_root,
        "requester": case.asked.requester,
        "reply": case.asked.reply,
        "segments": case.approval.segments,
        "posters": case.approval.posters,
    }
    return Tip(**{**values, **changes})


@pytest.fixture(scope="module")
def released(case: Case) -> tuple[ReleasedItem, ...]:
    return release_tip(tip_of(case), case.headers, case.records, DEVICE_TEXT)


@pytest.fixture(scope="module")
def parts(released: tuple[ReleasedItem, ...]) -> list[bytes]:
    door = Door.enrolled()  # its paper vault has the same segments
    stored = [door.vault.kept[item.id].poster if item.kind.value == "poster" else door.vault.kept[item.id].file
              for item in released]  # fmt: skip
    door.close()
    return [item.header + (data or b"")[item.stored.header_size :] for item, data in zip(released, stored, strict=True)]


@pytest.fixture(scope="module")
def manifest(case: Case, released: tuple[ReleasedItem, ...], parts: list[bytes]) -> TipManifest:
    hashes = [hashlib.sha256(part).hexdigest() for part in parts]
    return tip_manifest_of(released, hashes, tip_of(case), custodians.MLDSA_KEY, custodians.MLDSA.sign)


def read(manifest: TipManifest, **changes: Any) -> Any:
    return read_tip(strictjson.encode(msgspec.structs.replace(manifest, **changes)), NAME)


# -- what may leave ----------------------------------------------------------------------------------------------------


def test_what_the_owner_names_may_leave_segments_first(case: Case, released: tuple[ReleasedItem, ...]) -> None:
    names = [(item.kind.value, item.id) for item in released]
    assert names == [("segment", item.id) for item in case.approval.segments] + [
        ("poster", item.id) for item in case.approval.posters
    ]


REFUSED: dict[str, Callable[[Case], object]] = {
    "for another device": lambda c: release_tip(
        tip_of(c, device=public_key_of(STRANGER).text), c.headers, c.records, DEVICE_TEXT
    ),
    "no longer in the vault": lambda c: release_tip(tip_of(c), c.headers, {}, DEVICE_TEXT),
    "header of segment .* is missing": lambda c: release_tip(tip_of(c), {}, c.records, DEVICE_TEXT),
    "names bytes that differ": lambda c: release_tip(
        tip_of(c, segments=c.with_first(payload_sha256="00" * 32).segments), c.headers, c.records, DEVICE_TEXT
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_tip_that_disagrees_in_one_thing_releases_nothing(case: Case, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        REFUSED[why](case)


def test_words_alone_name_no_device(case: Case) -> None:
    words = tip_of(case, segments=(), posters=(), message=strictjson.encode_base64(b"sealed"))
    manifest = tip_manifest_of((), (), words, custodians.MLDSA_KEY, lambda _records: pytest.fail("nothing to sign"))
    assert (manifest.device, manifest.records, manifest.parts) == (None, (), ())
    assert (manifest.device_mldsa, manifest.records_mldsa) == (None, None)
    assert read_tip(strictjson.encode(manifest), NAME) == (manifest, ())


def test_a_tip_is_known_by_standing_for_itself() -> None:
    part = OutboxPart(0, "", 1, "00" * 32)
    assert OutboxRecord(NAME, NAME, "harbour-police", (part,)).anonymous
    assert not OutboxRecord(NAME, "cd" * 16, "harbour-police", (part,)).anonymous


# -- what came ---------------------------------------------------------------------------------------------------------


def test_an_honest_tip_verifies_down_to_its_bytes(manifest: TipManifest, parts: list[bytes]) -> None:
    found, items = read(manifest)
    assert found == manifest
    assert [item.part for item in items] == list(manifest.parts)
    for item, data in zip(items, parts, strict=True):
        check_tip_part(item, data)


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_part_with_a_changed_byte_is_not_the_part(manifest: TipManifest, parts: list[bytes], at: int) -> None:
    item, data = read(manifest)[1][0], bytearray(parts[0])
    data[at] ^= 1
    for wrong in (bytes(data), parts[0][:-1], parts[0] + b"\0", parts[1]):
        with pytest.raises(OpenError, match="announced"):
            check_tip_part(item, wrong)


def test_a_part_that_was_announced_but_not_captured_is_refused(manifest: TipManifest, parts: list[bytes]) -> None:
    other = with_another_end(parts[0])
    forged = msgspec.structs.replace(manifest.parts[0], sha256=hashlib.sha256(other).hexdigest())
    item = read(manifest, parts=(forged, *manifest.parts[1:]))[1][0]
    with pytest.raises(OpenError, match="capture"):
        check_tip_part(item, other)


def test_a_tip_under_another_name_or_with_other_records_is_refused(
    manifest: TipManifest, case: Case, sent: Any
) -> None:
    with pytest.raises(FormatError, match="differs from the id it was sent under"):
        read_tip(strictjson.encode(manifest), "cd" * 16)
    for records, why in (
        (manifest.records[1:], "those of its footage"),
        ((*manifest.records, spare_record(sent)), "those of its footage"),
        ((*manifest.records, manifest.records[0]), "the same record twice"),
        ((*manifest.records, record_of_no_segment()), "not of a segment"),
    ):
        with pytest.raises(FormatError, match=why):
            read(manifest, **signed_twice(records))
        with pytest.raises(FormatError, match="ML-DSA-44"):
            read(manifest, records=records)
    with pytest.raises(OpenError):
        read(manifest, **signed_twice((forged_record(sent), *manifest.records[1:])))


def signed_twice(records: tuple[str, ...]) -> dict[str, Any]:
    """Other records, as a doorbell could sign them."""
    signature = custodians.MLDSA.sign(tip_records_encoding(records))
    return {"records": records, "records_mldsa": strictjson.encode_base64(signature)}


def test_a_still_that_was_never_recorded_is_refused(manifest: TipManifest, case: Case) -> None:
    without = next(name for name in case.stored.segments if not _has_poster(case, name))
    poster = next(part for part in manifest.parts if part.kind.value == "poster")
    parts = (*manifest.parts, msgspec.structs.replace(poster, id=without))
    with pytest.raises(FormatError, match="was not recorded"):
        read(manifest, parts=parts)


def _has_poster(case: Case, name: str) -> bool:
    record = case.records[name].record
    assert isinstance(record, SegmentRecord)
    return record.poster is not None


def test_a_tip_without_footage_has_nobodys_name_and_with_it_has_one(manifest: TipManifest, case: Case) -> None:
    assert first_record(case).poster is not None
    for changes in ({"device": None}, {"parts": ()}):
        with pytest.raises(FormatError, match="device"):
            read(manifest, **changes)
