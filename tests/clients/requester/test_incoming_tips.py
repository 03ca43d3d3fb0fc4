"""Tips are opened with the folder's key and checked against the capture."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.opening import rewrap
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester
from agent.clients.requester.incoming_tips import (
    OpenedTip,
    TipFile,
    is_tip,
    manifest_in,
    open_tip,
    store_sealed_tip,
)
from agent.clients.requester.known_doorbells import KnownDoorbell, KnownDoorbells
from agent.core.media import Gop
from agent.core.transfer import PartSize
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.fields import segment_id
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.disclosures import Part, PartKind, ReceiptState, TipManifest, TipText, tip_records_encoding
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, public_key_of
from agent.wire.topics import ANONYMOUS
from tests.cli.conftest import tool as tool
from tests.clients.requester.conftest import ROOT_ID, filmed
from tests.clients.requester.house import Changes, House, Stored
from tests.damage import with_another_end

TIP = "7" * 32


def sealed(requester: Requester, data: bytes) -> bytes:
    identity = requester.tips_identity()
    assert identity is not None
    return seal_bytes(data, [identity.recipient()], file_key=b"f" * 16, nonce=b"n" * 16)


def laid(requester: Requester, manifest: TipManifest, parts: Sequence[bytes] = (), named: str = TIP) -> AnswerFolder:
    """A tip on the disk, as the receiver leaves it."""
    first = sealed(requester, strictjson.encode(manifest))
    folder = requester.answer(named)
    folder.create(
        DisclosureOrigin(
            v=1, device=ANONYMOUS, parts=len(parts) + 1, size_bytes=len(first), sha256=hashlib.sha256(first).hexdigest()
        )
    )
    for number, part in enumerate((first, *parts)):
        folder.write(number, 0, part)
        assert folder.seal(number, PartSize(len(part), hashlib.sha256(part).hexdigest()))
    folder.end(ReceiptState.COMPLETE)
    requester.answers.ended(named)
    return folder


def words(requester: Requester, text: str = "A white van.") -> TipManifest:
    said = strictjson.encode_base64(sealed(requester, strictjson.encode(TipText(v=1, text=text))))
    return TipManifest(v=1, tip=TIP, trust_root=ROOT_ID, message=said)


def shown(requester: Requester, house: House, *chosen: Stored) -> tuple[TipManifest, list[bytes]]:
    recipient = parse_recipient(str((requester.tips_identity() or house.identity).recipient()))
    parts = [rewrap(each.header, [house.identity], [recipient]) + each.payload for each in chosen]
    lines = {each.record.line.decode(): None for each in chosen}
    manifest = TipManifest(
        v=1,
        tip=TIP,
        trust_root=ROOT_ID,
        device=public_key_of(house.device).text,
        device_mldsa=MldsaPublicKey.of(house.mldsa).text,
        records_mldsa=strictjson.encode_base64(house.mldsa.sign(tip_records_encoding(tuple(lines)))),
        records=tuple(lines),
        parts=tuple(
            Part(kind=each.kind, id=each.id, size_bytes=len(part), sha256=hashlib.sha256(part).hexdigest())
            for each, part in zip(chosen, parts, strict=True)
        ),
    )
    return manifest, parts


def one_of(house: House, kind: PartKind) -> Stored:
    return next(each for each in house.stored if each.kind is kind)


def test_words_are_read_and_name_no_camera(requester: Requester) -> None:
    folder = laid(requester, words(requester))
    assert is_tip(folder)
    assert requester.answers.tips() == [TIP]
    opened = open_tip(requester, TIP)
    assert (opened.text, opened.device, opened.files) == ("A white van.", None, ())


def test_words_that_came_by_another_way_are_a_tip_like_any_other_and_once(requester: Requester) -> None:
    data = sealed(requester, strictjson.encode(words(requester)))
    assert requester.answers.tips() == [], "an index that is there already learns of it"
    for at_ms in (5000, 9000):
        store_sealed_tip(requester, TIP, data, at_ms)
    assert requester.answers.tips() == [TIP]
    opened = open_tip(requester, TIP)
    assert (opened.text, opened.device, opened.files) == ("A white van.", None, ())
    folder = AnswerFolder(requester.folder, TIP)
    assert folder.origin() == DisclosureOrigin(
        v=1, device=ANONYMOUS, parts=1, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), begun_ms=5000
    )
    outcome = folder.outcome()
    assert outcome is not None
    assert (outcome.state, outcome.ended_ms) == ("complete", 5000)


def test_footage_is_what_a_camera_signed(requester: Requester, house: House) -> None:
    segment, poster = one_of(house, PartKind.SEGMENT), one_of(house, PartKind.POSTER)
    laid(requester, *shown(requester, house, segment, poster))
    opened = open_tip(requester, TIP)
    assert opened.device == house.device_id
    assert [each.kind for each in opened.files] == [PartKind.SEGMENT, PartKind.POSTER]
    assert [each.data for each in opened.files] == [segment.content, poster.content]


def test_a_still_of_another_segment_is_no_tip(requester: Requester, gops: list[Gop]) -> None:
    """An altered doorbell can put an old still under a new record; inside, it still says which segment it is of."""
    lying = filmed(gops, Changes(poster=lambda c: msgspec.structs.replace(c, segment=segment_id(bytes(16)))))
    laid(requester, *shown(requester, lying, one_of(lying, PartKind.POSTER)))
    with pytest.raises(FormatError, match=r"poster of segment .* differs from the record signed"):
        open_tip(requester, TIP)


@pytest.mark.parametrize("name", ["part", "record", "device", "missing", "other name", "more records"])
def test_footage_that_was_changed_on_the_way_is_no_footage(requester: Requester, house: House, name: str) -> None:
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    match name:
        case "part":
            parts[0] = with_another_end(parts[0])
        case "record":
            manifest = msgspec.structs.replace(manifest, records=(manifest.records[0].replace("sig", "sgi", 1),))
        case "device":
            manifest = msgspec.structs.replace(manifest, device=public_key_of(house.owner).text)
        case "missing":
            parts = []
        case "other name":
            manifest = msgspec.structs.replace(manifest, tip="8" * 32)
        case "more records":
            more = [each.record.line.decode() for each in house.stored if each.id != manifest.parts[0].id][:1]
            manifest = msgspec.structs.replace(manifest, records=(*manifest.records, *more))
    laid(requester, manifest, parts)
    with pytest.raises((OpenError, FormatError)):
        open_tip(requester, TIP)


def test_a_manifest_names_a_device_exactly_where_there_is_footage(requester: Requester, house: House) -> None:
    manifest, _ = shown(requester, house, one_of(house, PartKind.SEGMENT))
    for wrong in (
        {"device": None},
        {"parts": (), "records": ()},
        {"device_mldsa": None},
        {"records_mldsa": None},
    ):
        with pytest.raises(FormatError, match="device"):
            strictjson.decode(strictjson.encode(msgspec.structs.replace(manifest, **wrong)), TipManifest)


def test_a_forger_of_ed25519_sends_no_footage_of_a_doorbell_that_is_known(requester: Requester, house: House) -> None:
    """The forger signs records with the first key, and has a separate second key."""
    theirs = mldsa_key_from_seed(b"t" * 32)
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    signature = strictjson.encode_base64(theirs.sign(tip_records_encoding(manifest.records)))
    laid(requester, msgspec.structs.replace(manifest, records_mldsa=signature), parts)
    assert refused(requester, OpenError)[0].startswith("The ML-DSA-44 signature of the records in this tip")
    shutil.rmtree(AnswerFolder(requester.folder, TIP).path)
    forged = msgspec.structs.replace(manifest, device_mldsa=MldsaPublicKey.of(theirs).text, records_mldsa=signature)
    laid(requester, forged, parts)
    assert open_tip(requester, TIP).device_mldsa == MldsaPublicKey.of(theirs).sha256, "told for a comparison"
    lists = tuple(each.decode() for each in house.enrolments())
    known = KnownDoorbell(v=1, key=public_key_of(house.device).text, enrolments=lists, seen_s=1)
    KnownDoorbells(requester.notes)._write(known)
    assert refused(requester, OpenError)[0].startswith("The owners of this doorbell signed another")


def test_a_folder_without_a_key_for_tips_says_so(requester: Requester) -> None:
    laid(requester, words(requester))
    (requester.folder / "tips.identity").unlink()
    with pytest.raises(ConfigurationError, match="no key for tips"):
        open_tip(requester, TIP)


def test_tips_are_listed_and_written_and_no_disclosures(
    requester: Requester, house: House, tool: Callable[..., Any], tmp_path: Path
) -> None:
    assert "There are no tips." in tool("requester", "tips", "--folder", requester.folder).out
    laid(requester, *shown(requester, house, one_of(house, PartKind.SEGMENT), one_of(house, PartKind.POSTER)))
    said = tool("requester", "tips", "--folder", requester.folder, TIP[:4], "--out", tmp_path / "seen")
    assert f"camera {house.device_id}" in said.out
    assert (tmp_path / "seen" / TIP / "segment-001.mp4").stat().st_size > 0
    assert (tmp_path / "seen" / TIP / "poster-002.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert "No disclosure has arrived yet" in tool("requester", "verify", "--folder", requester.folder).err
    assert tool("requester", "tips", "--folder", requester.folder, "f").status == 2


# -- whole values and whole errors -------------------------------------------------------------------------------------

NO_FILM = b"\0\0\0\x08free"


def with_words(requester: Requester, manifest: TipManifest) -> TipManifest:
    return msgspec.structs.replace(manifest, message=words(requester, "A white van.").message)


def refused(requester: Requester, kind: type[DoorwardError] = FormatError) -> tuple[str, str]:
    with pytest.raises(kind) as raised:
        open_tip(requester, TIP)
    return raised.value.message, raised.value.remedy


def test_an_opened_tip_has_its_words_its_camera_and_each_file(requester: Requester, house: House) -> None:
    segment, poster = one_of(house, PartKind.SEGMENT), one_of(house, PartKind.POSTER)
    bare, parts = shown(requester, house, segment, poster)
    manifest = with_words(requester, bare)
    folder = laid(requester, manifest, parts)
    assert open_tip(requester, TIP) == OpenedTip(
        TIP,
        "A white van.",
        house.device_id,
        tuple(
            TipFile(each.kind, each.id, each.record.record.span.start_ms, each.content) for each in (segment, poster)
        ),
        MldsaPublicKey.of(house.mldsa).sha256,
    )
    found, items = manifest_in(requester, folder)
    assert found == manifest
    assert [item.part for item in items] == list(manifest.parts)


def test_a_film_of_a_tip_that_does_not_open_is_named_beside_the_others(requester: Requester, gops: list[Gop]) -> None:
    broken = iter([True, False, False])
    house = filmed(gops, Changes(media=lambda film: NO_FILM if next(broken) else film))
    first, second = [each for each in house.stored if each.kind is PartKind.SEGMENT][:2]
    laid(requester, *shown(requester, house, first, second))
    lost, good = open_tip(requester, TIP).files
    assert (lost.data, bool(lost.unopened)) == (NO_FILM, True)
    assert (good.data, good.unopened) == (second.content, "")


@pytest.mark.parametrize("said", [True, False])
def test_a_tip_of_which_no_file_opens_counts_only_with_words(requester: Requester, gops: list[Gop], said: bool) -> None:
    house = filmed(gops, Changes(media=lambda _: NO_FILM))
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    laid(requester, with_words(requester, manifest) if said else manifest, parts)
    if said:
        opened = open_tip(requester, TIP)
        assert opened.text == "A white van."
        assert opened.files[0].unopened
    else:
        assert refused(requester)[0].startswith("No file of this tip opens. The first: ")


def test_more_files_of_a_tip_that_do_not_open_than_a_receipt_lists_are_counted(
    requester: Requester, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = iter([True, False, True])
    house = filmed(gops, Changes(media=lambda film: NO_FILM if next(broken) else film))
    laid(requester, *shown(requester, house, *(each for each in house.stored if each.kind is PartKind.SEGMENT)))
    monkeypatch.setattr("agent.clients.requester.incoming_tips.MOST_UNOPENED_RANGES", 2)
    assert len(open_tip(requester, TIP).files) == 3
    monkeypatch.setattr("agent.clients.requester.incoming_tips.MOST_UNOPENED_RANGES", 1)
    assert refused(requester)[0] == "2 of 3 files of this tip do not open."


@pytest.mark.parametrize("change", ["one less", "one more"])
def test_a_tip_with_other_parts_than_it_lists_has_not_arrived(requester: Requester, house: House, change: str) -> None:
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    laid(requester, manifest, [] if change == "one less" else [*parts, b"more"])
    assert refused(requester, OpenError) == ("This tip has not arrived completely.", "Continue to receive.")


def test_a_part_of_other_bytes_is_refused_before_it_is_opened(
    requester: Requester, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, parts = shown(requester, house, one_of(house, PartKind.SEGMENT))
    laid(requester, manifest, [with_another_end(parts[0])])
    monkeypatch.setattr("agent.clients.requester.incoming_tips.open_part", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(OpenError):
        open_tip(requester, TIP)


def test_a_part_of_another_camera_s_record_is_refused(requester: Requester, gops: list[Gop]) -> None:
    lying = filmed(gops, Changes(context=lambda c: msgspec.structs.replace(c, device="00" * 8)))
    laid(requester, *shown(requester, lying, one_of(lying, PartKind.SEGMENT)))
    assert "differs from the record signed" in refused(requester)[0]


def test_a_folder_without_a_key_for_tips_is_named_with_the_remedy(requester: Requester) -> None:
    laid(requester, words(requester))
    (requester.folder / "tips.identity").unlink()
    assert refused(requester, ConfigurationError) == (
        f"{requester.folder} has no key for tips.",
        "Folders made by 'doorward requester keygen' have one.",
    )


def test_only_a_disclosure_of_no_device_is_a_tip(requester: Requester) -> None:
    folder = requester.answer("8" * 32)
    assert not is_tip(folder)
    folder.create(DisclosureOrigin(v=1, device="ab" * 8, parts=1, size_bytes=1, sha256="5e" * 32))
    assert not is_tip(folder)


def test_a_tip_that_came_by_another_way_is_stored_once_and_listed_again(requester: Requester) -> None:
    data = sealed(requester, strictjson.encode(words(requester)))
    store_sealed_tip(requester, TIP, data, 5000)
    folder = requester.folder / "disclosures" / TIP
    stored = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert stored["0.age"][0] == data
    assert stored.keys() == {"0.age", "origin.json", "outcome.json"}
    requester.answers.remove(TIP)
    store_sealed_tip(requester, TIP, data, 9000)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == stored
    listed = requester.answers.get(TIP)
    assert listed is not None
    assert (listed.state, listed.begun_ms, listed.ended_ms) == (AnswerState.COMPLETE, 5000, 5000)
