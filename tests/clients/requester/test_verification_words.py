"""The sentences of a verification: each check says what it saw, and why it fails, in whole sentences."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.clients.requester.checks import Check, CheckedValue, CheckKind, CheckOutcome, VerifiedItem
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import DoorbellHistory, KnownDoorbells
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.verification import Verification, examine
from agent.core.media import Gop
from agent.errors import NetworkError
from agent.wire.disclosures import PartKind, ReceiptState
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_known_doorbells import mira, notice_of, remember, said_by
from tests.clients.requester.test_redacted_answers import FACE, films
from tests.clients.requester.test_two_owners import seconded, two_owners
from tests.clients.requester.test_verification import lay_down, verified
from tests.damage import with_another_end

__all__ = ["mira"]

NO_FILM = b"\0\0\0\x08free"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_of(verification: Verification, kind: CheckKind) -> Check:
    return next(each for each in verification.checks if each.kind is kind)


def ok(verification: Verification) -> Verification:
    assert verification.ok, verification.failed
    return verification


# -- checks that hold --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [2, 3])
def test_later_lists_of_owners_are_said_to_follow_and_each_is_shown(
    requester: Requester, asked: SentRequest, gops: list[Gop], epoch: int
) -> None:
    verification = ok(verified(requester, asked, filmed(gops, epoch=epoch).disclose(asked)))
    assert verification.disclosed is not None
    assert check_of(verification, CheckKind.OWNERS) == Check(
        CheckKind.OWNERS,
        CheckOutcome.PASSED,
        f"The device names “mira” as its owners (list no. {epoch}). Each list was signed by an owner of the one before "
        "it. This doorbell was first seen with this answer: only its own key vouches for its first list, and a thief "
        "with that key could name other owners.",
        tuple(
            CheckedValue(f"List of owners no. {number} (SHA-256 of the statement)", sha(each))
            for number, each in enumerate(verification.disclosed.manifest.enrolments, start=1)
        ),
    )
    assert len(check_of(verification, CheckKind.OWNERS).proofs) == epoch


def test_owners_of_a_doorbell_that_was_seen_before_are_tied_to_the_first_list(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    verification = ok(verified(requester, asked, house.disclose(asked)))
    assert said_by(verification, CheckKind.OWNERS) == (
        "The device names “mira” as its owners (list no. 1). The lists begin with the one that this doorbell showed "
        f"when it was first seen, on {datetime.fromtimestamp(NOW_S, UTC):%Y-%m-%d %H:%M} UTC: a different chain of "
        "owners would fail."
    )
    assert verification.door == DoorbellHistory(seen_s=NOW_S)


def test_an_approval_from_before_a_theft_says_when_the_theft_was_declared(
    requester: Requester, asked: SentRequest, house: House, mira: OwnerKeys
) -> None:
    stolen_s = house.start_ms // 1000 + 3601
    KnownDoorbells(requester.notes).declare_stolen(notice_of(mira, house, stolen_s), NOW_S)
    verification = ok(verified(requester, asked, house.disclose(asked)))
    assert said_by(verification, CheckKind.APPROVAL) == (
        "“mira”, an owner in that list, signed the approval. It names this request, this reply key and each file. An "
        f"owner declared this doorbell stolen as of {datetime.fromtimestamp(stolen_s, UTC):%Y-%m-%d %H:%M} UTC; by the "
        "approver's own clock the approval is from before."
    )


def test_an_approval_by_two_owners_names_both_and_shows_both_statements(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(enrolment=two_owners, manifest=seconded()))
    verification = ok(verified(requester, asked, house.disclose(asked)))
    assert verification.disclosed is not None
    manifest = verification.disclosed.manifest
    key = next(each.key for each in verification.disclosed.enrolment.approvers if each.name == "mira")
    assert check_of(verification, CheckKind.APPROVAL) == Check(
        CheckKind.APPROVAL,
        CheckOutcome.PASSED,
        "“mira”, an owner in that list, signed the approval. It names this request, this reply key and each file. It "
        "takes two owners: “ben” signed that they approve the same.",
        (
            CheckedValue("Owner's public key", key),
            CheckedValue("Approval (SHA-256 of the statement)", sha(manifest.approval)),
            CheckedValue("Second owner's approval (SHA-256 of the statement)", sha(manifest.co_approval or "")),
        ),
    )
    assert said_by(verification, CheckKind.OWNERS).startswith("The device names “ben”, “mira” as its owners")


@pytest.mark.parametrize(
    ("count", "parts", "footage"),
    [
        (1, " 1 file of them is redacted", " 1 redacted file opens"),
        (2, " 2 files of them are redacted", " 2 redacted files open"),
    ],
)
def test_redacted_files_are_counted_and_said_to_be_made_by_the_owner(
    requester: Requester, asked: SentRequest, house: House, count: int, parts: str, footage: str
) -> None:
    chosen = films(house)
    covers = {(each.kind, each.id): (FACE,) for each in chosen[:count]}
    verification = ok(verified(requester, asked, house.disclose(asked, chosen, redactions=covers)))
    assert said_by(verification, CheckKind.PARTS) == (
        "3 files: length and hash as the device announced, new header as the owner made it, sealed content as it was "
        f"recorded.{parts}: made and signed by the owner in place of a recorded file, whose record is shown."
    )
    assert said_by(verification, CheckKind.FOOTAGE) == (
        "Each file opens with the key that the device committed to at capture, and its own context is what the device "
        f"signed then.{footage} with the key that the owner signed. Each states the place and time of its record, and "
        "is covered or silent where its list says so."
    )


@pytest.mark.parametrize(
    ("broken", "said"),
    [(1, " 1 file of 3 does not open as what it should be."), (2, " 2 files of 3 do not open as what it should be.")],
)
def test_files_that_do_not_open_are_counted_and_the_others_are_kept(
    requester: Requester, asked: SentRequest, gops: list[Gop], broken: int, said: str
) -> None:
    left = iter([True] * broken + [False] * (3 - broken))
    house = filmed(gops, Changes(media=lambda film: NO_FILM if next(left) else film))
    disclosure = house.disclose(asked, films(house))
    lay_down(requester, asked, disclosure)
    kept: list[tuple[VerifiedItem, bytes]] = []
    verification = ok(examine(requester, disclosure.id, lambda item, data: kept.append((item, data))))
    assert said_by(verification, CheckKind.FOOTAGE).endswith(f"signed then.{said}")
    assert [bool(each.unopened) for each in verification.items] == [True] * broken + [False] * (3 - broken)
    assert kept == [(item, stored.content) for item, stored in zip(verification.items, films(house), strict=True)], (
        "the reader gets each file with its result"
    )
    assert [each.opened_bytes for each in verification.items] == [len(each.content) for each in films(house)]


def test_an_answer_of_which_no_file_opens_names_the_first_reason(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(media=lambda _: NO_FILM))
    verification = verified(requester, asked, house.disclose(asked, films(house)))
    assert verification.failed is not None
    said = verification.failed.said
    assert re.fullmatch(r"No file opens\. The first: .+", said)
    only_failed(verification, CheckKind.FOOTAGE, said, 10)


def test_more_unopened_files_than_a_receipt_lists_are_counted(
    requester: Requester, asked: SentRequest, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = iter([True, False, True])
    house = filmed(gops, Changes(media=lambda film: NO_FILM if next(broken) else film))
    disclosure = house.disclose(asked, films(house))
    monkeypatch.setattr("agent.clients.requester.verification.MOST_UNOPENED_RANGES", 2)
    ok(verified(requester, asked, disclosure))
    monkeypatch.setattr("agent.clients.requester.verification.MOST_UNOPENED_RANGES", 1)
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.said == "2 of 3 files do not open, more than a receipt can list."


def test_interrupted_files_are_counted_in_the_plural(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    whole = [house.record(DESCRIPTION, gops, poster=False)[0] for _ in range(2)]
    cut = [house.power_cut(each, len(each.data) * 2 // 3) for each in whole]
    disclosure, opened = house.disclose(asked, cut), []
    lay_down(requester, asked, disclosure)
    verification = ok(examine(requester, disclosure.id, lambda _, data: opened.append(data)))
    for data, film in zip(opened, whole, strict=True):
        assert len(data) > len(film.content) // 3, "several chunks of the file"
        assert film.content.startswith(data)
    assert said_by(verification, CheckKind.FOOTAGE).endswith(
        " 2 files had been interrupted by a power failure. The device signed their sealed bytes after the restart."
    )
    assert [each.context for each in verification.items] == [None, None]


# -- checks that fail --------------------------------------------------------------------------------------------------


def only_failed(verification: Verification, kind: CheckKind, said: str, passed: int) -> None:
    """The check fails with this sentence after `passed` others, and the rest is not reached."""
    kinds = list(CheckKind)
    assert kinds.index(kind) == passed
    assert [each.kind for each in verification.checks] == kinds
    outcomes = [CheckOutcome.PASSED] * passed + [CheckOutcome.FAILED]
    outcomes += [CheckOutcome.NOT_REACHED] * (len(kinds) - len(outcomes))
    assert [each.outcome for each in verification.checks] == outcomes
    assert verification.checks[passed].said == said
    assert all(check == Check(check.kind, CheckOutcome.NOT_REACHED) for check in verification.checks[passed + 1 :])
    hidden = (verification.disclosed, verification.items, verification.contact, verification.statements)
    assert hidden == (None, (), None, b"")
    assert (verification.receipt, verification.door) == (None, DoorbellHistory())


def part(requester: Requester, disclosure: Disclosure, number: int) -> Path:
    return requester.folder / "disclosures" / disclosure.id / f"{number}.age"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("no folder", "This folder has no such disclosure, or no part of it has arrived."),
        ("no part 0", "This folder has no such disclosure, or no part of it has arrived."),
        ("refused", "This disclosure was refused when it arrived."),
        ("no request", "The request that this disclosure answers is still unknown."),
        ("two missing", "2 of 6 parts have not arrived."),
        ("other part 0", "Part 0 differs from the received one."),
        ("longer part 0", "Part 0 differs from the received one."),
        ("refused after part 0", "5 of 6 parts have not arrived."),
        ("other request", "The request stored with the disclosure differs from the signed one."),
    ],
)
def test_an_answer_that_has_not_arrived_as_announced_says_what_is_wrong(
    requester: Requester, asked: SentRequest, house: House, damage: str, said: str
) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    first = part(requester, disclosure, 0)
    match damage:
        case "no folder":
            folder.delete()
        case "no part 0":
            first.unlink()
        case "refused" | "no request":
            (folder.path / "request.dsse").unlink()
            if damage == "refused":
                folder.end(ReceiptState.REFUSED, "Too large.")
        case "refused after part 0":
            for number in range(1, 6):
                part(requester, disclosure, number).unlink()
            folder.end(ReceiptState.REFUSED, "Too large.")
        case "two missing":
            part(requester, disclosure, 2).unlink()
            part(requester, disclosure, 5).unlink()
        case "other part 0":
            first.write_bytes(with_another_end(first.read_bytes()))
        case "longer part 0":
            first.write_bytes(first.read_bytes() + b"x")
        case _:
            folder.adopt(asked.envelope + b" ")
    verification = examine(requester, disclosure.id)
    only_failed(verification, CheckKind.ARRIVED, said, 0)
    assert (verification.request, verification.request_sha256) == (None, "")


def test_a_reply_key_of_another_request_opens_nothing(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    path = requester.folder / "requests" / asked.request.id / "reply.identity"
    path.write_text(House(0, name="elsewhere").identity.secret_text())
    verification = examine(requester, disclosure.id)
    said = "The identity stored for this request differs from the one it names."
    only_failed(verification, CheckKind.SEALED, said, 1)
    assert (verification.request, verification.request_sha256) == (asked.request, asked.payload_sha256)
    assert verification.checks[0].said == "All 6 parts are here."


@pytest.mark.parametrize("other", ["disclosure", "device"])
def test_a_manifest_of_another_answer_or_device_is_named(
    requester: Requester, asked: SentRequest, house: House, other: str
) -> None:
    disclosure = house.disclose(asked)
    if other == "disclosure":
        disclosure.id = "0d" * 16
    else:
        disclosure.device = "ab" * 8
    only_failed(verified(requester, asked, disclosure), CheckKind.DEVICE, "The manifest names another disclosure.", 2)


def test_parts_beside_the_signed_list_are_named(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    part(requester, disclosure, 6).write_bytes(b"more")
    said = "The arrived parts differ from the signed list."
    only_failed(examine(requester, disclosure.id), CheckKind.PARTS, said, 9)


def test_a_check_that_fails_shows_the_values_it_has_seen_before(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[2] = with_another_end(disclosure.parts[2])
    failed = verified(requester, asked, disclosure).failed
    assert failed is not None
    assert failed.kind is CheckKind.PARTS
    (seen,) = failed.proofs
    assert seen.value == disclosure.sizes[1].sha256
    assert seen.label.startswith("Part 1, segment ")


def test_a_store_of_parts_that_is_away_says_nothing_about_an_answer(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise NetworkError("The store does not answer.")

    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    monkeypatch.setattr(FolderParts, "pieces", away)
    with pytest.raises(NetworkError, match="does not answer"):
        examine(requester, disclosure.id)


def test_bytes_that_a_disk_returns_only_the_first_time_are_noticed(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    reads: dict[int, int] = {}
    whole = FolderParts.pieces

    def pieces(self: FolderParts, name: str, number: int) -> object:
        reads[number] = reads.get(number, 0) + 1
        data = b"".join(whole(self, name, number))
        yield with_another_end(data) if (number, reads[number]) == (2, 2) else data

    monkeypatch.setattr(FolderParts, "pieces", pieces)
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.kind is CheckKind.FOOTAGE
    assert "not the one the device announced" in failed.said


def test_a_still_and_a_film_are_named_by_their_kind_in_the_proofs(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    verification = ok(verified(requester, asked, house.disclose(asked)))
    names = {PartKind.SEGMENT: "Video", PartKind.POSTER: "Picture", PartKind.SOUND: "Sound"}
    assert check_of(verification, CheckKind.FOOTAGE).proofs == tuple(
        CheckedValue(f"{names[each.item.part.kind]} {each.item.part.id} (SHA-256)", each.opened_sha256)
        for each in verification.items
    )
    said = check_of(verification, CheckKind.FOOTAGE).said
    assert "power failure" not in said
    assert "redacted" not in said
