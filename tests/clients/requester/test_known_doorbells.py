"""A requester remembers doorbells: one in place of a known one is noticed, and of a new one nothing is claimed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.owner.keys import OwnerKeys, OwnerSeeds
from agent.clients.owner.known_devices import KnownDevice
from agent.clients.owner.stolen_notice import stolen_notice
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import DoorbellHistory, KnownDoorbell, KnownDoorbells
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.verification import CheckKind, Verification, examine
from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.media import Gop
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.identities import MldsaPublicKey, private_key_from_seed, public_key_of
from agent.wire.statements import Enrolment, NamedKey, StolenNotice, open_stolen, read_statement, sign_statement
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import verified
from tests.wire import samples

LATER_S = NOW_S + 86_400
KNOWN = json.loads((Path(__file__).parents[2] / "vectors/wire/known_doors.json").read_text())


def said_by(verification: Verification, kind: CheckKind) -> str:
    return next(check.said for check in verification.checks if check.kind is kind)


def remember(requester: Requester, verification: Verification, now_s: int = NOW_S) -> None:
    assert verification.disclosed is not None
    KnownDoorbells(requester.notes).remember(verification.disclosed.manifest, now_s)


def thief_with_the_key_of(house: House, gops: list[Gop]) -> House:
    """Everything a stolen doorbell holds, and owners of the thief's own."""
    stolen = filmed(gops)
    stolen.device, stolen.owner = house.device, private_key_from_seed(b"t" * 32)
    return stolen


def test_what_is_first_seen_is_called_so_and_nothing_more_is_claimed(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    answer = house.disclose(asked)
    verification = verified(requester, asked, answer)
    assert verification.ok
    assert "only its own key vouches for its first list" in said_by(verification, CheckKind.OWNERS)
    remember(requester, verification)
    assert "first seen with this answer" in said_by(examine(requester, answer.id), CheckKind.OWNERS)
    opened = open_disclosure(requester, answer.id, now_s=NOW_S)
    report = opened.report.read_text()
    assert "could name other owners" in report
    assert "a key that is not in the device" not in report


def test_later_answers_are_tied_to_the_owners_that_a_doorbell_showed_first(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    house.epoch = 3
    again = verified(requester, asked, house.disclose(asked))
    assert "it was first seen, on 2027-01-15" in said_by(again, CheckKind.OWNERS)
    remember(requester, again, LATER_S)
    (door,) = KnownDoorbells(requester.notes).all()
    assert (door.seen_s, len(door.enrolments)) == (NOW_S, 3)
    house.epoch = 2  # an answer that was approved before the third list and took long
    assert verified(requester, asked, house.disclose(asked)).ok


def test_who_has_left_approves_nothing_by_a_list_that_was_followed_before(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    house.lists_every_s, house.epoch = 1200, 3  # the third 40 minutes after the start, and the approval an hour
    remember(requester, verified(requester, asked, house.disclose(asked)))
    house.epoch = 2
    failed = verified(requester, asked, house.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.APPROVAL
    assert "under a list of owners that was no longer in force" in failed.said


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_a_thief_who_has_the_doorbells_key_cannot_give_consent_in_its_owners_place(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop], epoch: int
) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    thief = thief_with_the_key_of(house, gops)
    thief.epoch = epoch
    failed = verified(requester, asked, thief.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.OWNERS
    assert "shows other owners than before" in failed.said


def test_a_doorbell_that_is_forgotten_is_taken_for_a_new_one(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    KnownDoorbells(requester.notes).forget(house.device_id)
    assert verified(requester, asked, thief_with_the_key_of(house, gops).disclose(asked)).ok
    with pytest.raises(ConfigurationError, match="is unknown"):
        KnownDoorbells(requester.notes).forget(house.device_id)


@pytest.mark.parametrize("name", ["", "../" + "a" * 13, "a" * 15, "a" * 17, "A" * 16, "a" * 16 + "\n"])
def test_an_id_of_a_doorbell_is_no_path(requester: Requester, name: str) -> None:
    doors = KnownDoorbells(requester.notes)
    for act in (doors.find, doors.forget):
        with pytest.raises(ConfigurationError, match="is not a doorbell's id") as raised:
            act(name)
        assert raised.value.remedy == "Give 16 hex digits."


def test_a_damaged_memory_of_a_doorbell_says_so(requester: Requester, asked: SentRequest, house: House) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    (path,) = (requester.folder / "doors").glob("*.json")
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match=house.device_id):
        KnownDoorbells(requester.notes).all()


def test_a_doorbell_is_remembered_with_its_key_its_lists_and_its_first_answer(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    first = verified(requester, asked, house.disclose(asked))
    remember(requester, first)
    house.epoch = 2
    second = verified(requester, asked, house.disclose(asked))
    remember(requester, second, LATER_S)
    assert first.disclosed is not None
    assert second.disclosed is not None
    doors = KnownDoorbells(requester.notes)
    (requester.folder / "doors" / "notes of a person").touch()
    (door,) = doors.all()
    assert door == KnownDoorbell(
        v=1,
        key=public_key_of(house.device).text,
        enrolments=second.disclosed.manifest.enrolments,
        seen_s=NOW_S,
        first=first.disclosure,
        heads=tuple(each.disclosed.manifest.ledger.checkpoint for each in (first, second)),
    )
    assert door.id == house.device_id
    assert door.enrolled.epoch == 2
    assert doors.check(first.disclosed.manifest) == DoorbellHistory()
    assert doors.check(second.disclosed.manifest) == DoorbellHistory(NOW_S)
    doors.forget(house.device_id)
    assert doors.all() == ()
    with pytest.raises(ConfigurationError, match=f"The doorbell {house.device_id} is unknown"):
        doors.forget(house.device_id)


def test_an_approval_counts_up_to_ten_minutes_after_the_next_list_was_signed(tmp_path: Path) -> None:
    doors = KnownDoorbells(FolderNotes(tmp_path))
    manifest = msgspec.structs.replace(samples.disclosure_manifest(), device=KNOWN["device"])
    doors.remember(msgspec.structs.replace(manifest, enrolments=tuple(KNOWN["chain"][:2])), NOW_S)
    shown = msgspec.structs.replace(manifest, enrolments=tuple(KNOWN["chain"][:1]))
    payload = read_statement(KNOWN["chain"][1].encode()).payload
    next_ms = json.loads(payload)["owner_time_ms"]
    assert doors.check(shown, samples.approval(owner_time_ms=next_ms + 600_000)) == DoorbellHistory()
    with pytest.raises(OpenError, match="no longer in force"):
        doors.check(shown, samples.approval(owner_time_ms=next_ms + 600_001))


# -- stolen --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mira(tmp_path: Path, house: House) -> OwnerKeys:
    return owner_of(house, tmp_path / "mira")


def owner_of(house: House, folder: Path) -> OwnerKeys:
    """The owner of `house` on their own machine, who remembers the doorbell."""
    keys = OwnerKeys.create(folder, name="mira", seeds=OwnerSeeds(approval=house.owner.private_bytes_raw()))
    remember_at(keys, house)
    return keys


def remember_at(keys: OwnerKeys, house: House) -> None:
    enrolments = tuple(each.decode() for each in house.enrolments())
    keys.memory.remember(
        KnownDevice(
            key=public_key_of(house.device).text,
            mldsa=MldsaPublicKey.of(house.mldsa).text,
            enrolments=enrolments,
            checkpoint=checkpoint(house),
        )
    )


def checkpoint(house: House) -> str:

    return sign_checkpoint(Frontier().append(leaf_hash(b"one")), house.device, house.mldsa).decode()


def notice_of(keys: OwnerKeys, house: House, since_s: int | None = None) -> StolenNotice:
    data = stolen_notice(keys, house.device_id, since_s, clock=lambda: NOW_S * 1000)
    return strictjson.decode(data, StolenNotice, limit_bytes=1 << 26)


def test_answers_of_a_stolen_doorbell_do_not_verify_but_those_approved_before_do(
    requester: Requester, asked: SentRequest, house: House, mira: OwnerKeys
) -> None:
    before = house.disclose(asked)
    approved_s = house.start_ms // 1000 + 3600
    doors = KnownDoorbells(requester.notes)
    door, statement, by = doors.declare_stolen(notice_of(mira, house, approved_s + 1), NOW_S)
    assert (door.first, statement.since_s, by) == (None, approved_s + 1, "mira")
    verification = verified(requester, asked, before)
    assert verification.ok
    assert verification.door == DoorbellHistory(NOW_S, approved_s + 1)
    assert door == doors.find(house.device_id)
    assert "declared this doorbell stolen as of" in said_by(verification, CheckKind.APPROVAL)
    assert (
        "An owner declared it stolen as of then"
        in open_disclosure(requester, before.id, now_s=NOW_S).report.read_text()
    )
    doors.declare_stolen(notice_of(mira, house, approved_s), NOW_S)
    failed = verified(requester, asked, house.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.APPROVAL
    assert "declared this doorbell stolen" in failed.said


def test_a_notice_makes_the_owners_known_before_the_doorbell_ever_answered(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop], mira: OwnerKeys
) -> None:
    KnownDoorbells(requester.notes).declare_stolen(notice_of(mira, house), NOW_S)
    failed = verified(requester, asked, thief_with_the_key_of(house, gops).disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.OWNERS


def test_only_an_owner_of_the_newest_known_list_declares_a_doorbell_stolen(
    requester: Requester, house: House, mira: OwnerKeys
) -> None:
    doors = KnownDoorbells(requester.notes)
    honest = notice_of(mira, house)
    stranger = notice_of(mira, house)
    stolen = read_statement(stranger.stolen.encode())
    forged = sign_statement(stolen.payload_type, stolen.payload, private_key_from_seed(b"x" * 32)).decode()
    with pytest.raises(OpenError):
        doors.declare_stolen(StolenNotice(v=1, stolen=forged, enrolments=honest.enrolments), NOW_S)
    assert doors.all() == ()
    # Mira has left since, and this requester has seen the list that says so.
    gone = Enrolment(**{**as_values(open_stolen(honest)[1]), **left(honest)})
    longer = (*honest.enrolments, sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(gone), house.owner).decode())
    doors.declare_stolen(honest, NOW_S)
    path = requester.folder / "doors" / f"{house.device_id}.json"
    known = doors.find(house.device_id)
    assert known is not None

    path.write_bytes(strictjson.encode(msgspec.structs.replace(known, enrolments=longer, stolen=None)))
    with pytest.raises(OpenError, match="no longer an owner of the doorbell"):
        doors.declare_stolen(honest, NOW_S)


def as_values(enrolment: Enrolment) -> dict[str, object]:
    return {name: getattr(enrolment, name) for name in enrolment.__struct_fields__}


def left(notice: StolenNotice) -> dict[str, object]:
    payload = read_statement(notice.enrolments[-1].encode()).payload
    other = NamedKey.of("noor", private_key_from_seed(b"n" * 32))
    return {"epoch": 2, "previous": hashlib.sha256(payload).hexdigest(), "approvers": (other,)}


def test_an_owner_declares_stolen_what_their_machine_knows_and_what_is_theirs(house: House, mira: OwnerKeys) -> None:
    with pytest.raises(ConfigurationError, match="never met"):
        stolen_notice(mira, "00" * 8)
    house.owner = private_key_from_seed(b"n" * 32)
    remember_at(mira, house)
    with pytest.raises(ConfigurationError, match="no owner of the device"):
        stolen_notice(mira, house.device_id)


def test_a_notice_about_another_doorbell_than_its_owners_is_none(
    requester: Requester, house: House, mira: OwnerKeys
) -> None:
    other = House(house.start_ms, name="other")
    other.owner = house.owner
    swapped = StolenNotice(
        v=1, stolen=notice_of(mira, house).stolen, enrolments=tuple(each.decode() for each in other.enrolments())
    )
    with pytest.raises(FormatError, match="another device"):
        KnownDoorbells(requester.notes).declare_stolen(swapped, NOW_S)


@pytest.mark.parametrize("row", KNOWN["rows"], ids=range(len(KNOWN["rows"])))
def test_which_answers_of_a_known_doorbell_count_is_as_the_vectors_say(row: dict[str, Any], tmp_path: Path) -> None:
    doors = KnownDoorbells(FolderNotes(tmp_path))
    manifest = msgspec.structs.replace(samples.disclosure_manifest(), device=KNOWN["device"])
    doors.remember(msgspec.structs.replace(manifest, enrolments=tuple(KNOWN["chain"][: row["known"]])), NOW_S)
    shown = msgspec.structs.replace(manifest, enrolments=tuple(row["enrolments"]))
    approved = samples.approval(owner_time_ms=row["owner_time_ms"])
    try:
        doors.check(shown, approved)
        accepted = True
    except OpenError:
        accepted = False
    assert accepted == row["accepted"]
