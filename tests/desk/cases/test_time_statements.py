"""The time that others confirmed, at the desk: what came, what it proves, what fails, and the owner's later file."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import translation
from msgspec.structs import replace

from agent.clients.requester.time_trust import read_time_trust, write_time_trust
from agent.clients.requester.verification import examine
from agent.core.ledger.checkpoint import Checkpoint, open_checkpoint, origin_of
from agent.core.ledger.merkle import Frontier
from agent.core.media import Gop
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.time_proofs import TimeProof, TimeStamp
from desk.cases.models import Answer
from desk.cases.time_statements import take_owner_proof
from desk.custody.models import Entry
from desk.export.case_content import gather
from desk.export.report import render_html
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.house import Changes
from tests.desk.agencies import Agency
from tests.desk.receiving.doors import ask, receive
from tests.time_services import Beats, LocalWitness

EARLY, LATE = LocalWitness(time_s=NOW_S - 4000), LocalWitness(time_s=NOW_S + 3600)
STRANGER = LocalWitness(name="witness.test/stranger", seed=b"\x09" * 32)
STAMP = TimeStamp(name="tsa", response=strictjson.encode_base64(b"\x30\x00"))


class Door:
    """A door with a log of beats, and its answer at the desk of `agency`."""

    def __init__(self, agency: Agency, gops: list[Gop], change: Callable[[TimeProof], TimeProof | None]) -> None:
        self.agency = agency
        self.requester, asked = ask(agency)
        write_time_trust(self.requester.notes, EARLY.verifier_key)
        house = filmed(gops)
        self.beats = Beats(house.device, house.mldsa)
        self.beats.add(Checkpoint(origin_of(self.beats.key), 0, Frontier().root))
        proof = change(self.beats.proof(0, [EARLY]))
        house.changes = Changes(manifest=lambda manifest: replace(manifest, time=proof))
        receive(agency, house, self.requester, asked)
        self.answer = Answer.objects.get()

    def later(self, witness: LocalWitness = LATE) -> bytes:
        """The owner's file, after one more beat that holds the ledger of the answer."""
        disclosed = examine(self.requester, self.answer.disclosure_id).disclosed
        assert disclosed is not None
        ledger = open_checkpoint(disclosed.manifest.ledger.checkpoint.encode(), self.beats.keys)
        beat = self.beats.add(ledger)
        return strictjson.encode(self.beats.opening(beat, ledger.size, self.beats.proof(beat, [witness])))

    @property
    def address(self) -> str:
        return f"/cases/{self.answer.case_id}/answers/{self.answer.pk}"

    def page(self, role: Role = Role.AUDITOR, language: str = "en") -> str:
        answer = self.agency.client(role).get(f"{self.address}/proof", headers={"accept-language": language})
        assert answer.status_code == 200
        return html.unescape(answer.content.decode())

    def send(self, data: bytes, role: Role = Role.ASKER) -> Any:
        return self.agency.client(role).post(
            f"{self.address}/time", {"file": SimpleUploadedFile("time.json", data)}, follow=True
        )

    def report(self, folder: Path, language: str = "en") -> str:
        content = gather(self.answer.case, folder, now_s=NOW_S)
        return render_html(content, language=language, now_s=NOW_S, made_by="Eva Officer")


@pytest.fixture
def door(agency: Agency, gops: list[Gop], request: pytest.FixtureRequest) -> Door:
    return Door(agency, gops, getattr(request, "param", lambda proof: proof))


def test_page_case_and_report_say_what_came_and_what_it_proves_in_both_languages(door: Door, tmp_path: Path) -> None:
    page = door.page()
    for said in (
        "The doorbell signed this answer after 15 Jan 2027, 06:53:20 UTC.",
        "witness.test/w1", "cosignature of a witness, 15 Jan 2027, 06:53:20 UTC", "Came with the answer",
        "Missing. The owner can make this file after the next confirmation",
        "No one confirms when a film was recorded",
    ):  # fmt: skip
        assert said in page
    case = door.agency.client(Role.VIEWER).get(f"/cases/{door.answer.case_id}").content.decode()
    assert "Time confirmed by others: The doorbell signed this answer after 15 Jan 2027, 06:53:20 UTC." in case
    dutch = door.page(language="nl")
    assert "De deurbel heeft dit antwoord na 15 Jan 2027, 06:53:20 UTC ondertekend." in dutch
    assert "medehandtekening van een getuige, 15 Jan 2027" in dutch
    assert "telt mee" in dutch
    report = door.report(tmp_path / "en")
    assert "The doorbell signed this answer after 15 Jan 2027, 06:53:20 UTC." in report
    assert 'witness.test/w1, cosignature of a witness, 15 Jan 2027, 06:53:20 UTC: <span class="good">counts' in report
    assert "Tijd door anderen" in door.report(tmp_path / "nl", "nl")


def test_the_owner_s_later_file_is_taken_logged_and_shown(door: Door) -> None:
    shown = door.send(door.later())
    assert "is kept with the answer" in shown.content.decode()
    page = door.page()
    assert "existed before 15 Jan 2027, 09:00:00 UTC." in page
    assert "Missing." not in page
    entry = Entry.objects.get(action="answer.time-confirmed")
    door.answer.refresh_from_db()
    assert door.answer.confirmed == {"from_s": NOW_S - 4000, "until_s": NOW_S + 3600}
    assert entry.detail == door.answer.confirmed | {"case": door.answer.case.number}
    # A file that says less does not replace it, and neither does one of another ledger.
    worse = door.later(LocalWitness(time_s=NOW_S + 7200))
    assert "already confirms an earlier time" in door.send(worse).content.decode()
    assert "existed before 15 Jan 2027, 09:00:00 UTC." in door.page()
    assert door.agency.client(Role.AUDITOR).post(f"{door.address}/time").status_code == 403


def test_a_file_of_an_authority_that_is_entered_later_is_not_replaced_by_a_later_file(door: Door) -> None:
    earlier = door.later(LocalWitness(STRANGER.name, STRANGER.seed, time_s=NOW_S + 600))
    unknown = door.later(LocalWitness("witness.test/w9", b"\x0b" * 32, time_s=NOW_S + 900))
    for data in (earlier, unknown, door.later(), earlier):
        assert "is kept with the answer" in door.send(data).content.decode()
    assert "existed before 15 Jan 2027, 09:00:00 UTC." in door.page()
    assert door.page().count("You do not trust this witness.") == 2
    write_time_trust(door.requester.notes, f"{EARLY.verifier_key}\n{STRANGER.verifier_key}")
    assert "existed before 15 Jan 2027, 08:10:00 UTC." in door.page()
    door.answer.refresh_from_db()
    assert door.answer.confirmed == {"from_s": NOW_S - 4000, "until_s": NOW_S + 600}


def test_a_file_of_another_ledger_and_one_that_is_no_proof_are_refused(door: Door) -> None:
    data = door.later()
    other = strictjson.decode(data, type(door.beats.opening(0, 0, door.beats.proof(0, [EARLY]))))
    for wrong in (b"{}", b"", strictjson.encode(replace(other, blind="00" * 32)), data[:-1], b"x" * 300_000):
        door.send(wrong)
        assert requester_of(door.agency.organisation).answer(door.answer.disclosure_id).time_openings() == ()
    with pytest.raises(OpenError, match="not of this ledger"):
        take_owner_proof(
            door.requester, door.answer, door.agency.people[Role.ASKER], strictjson.encode(replace(other, size=1))
        )
    assert not Entry.objects.filter(action="answer.time-confirmed").exists()
    Answer.objects.update(state="deleted")
    with pytest.raises(FormatError, match="is gone"):
        take_owner_proof(door.requester, door.answer, door.agency.people[Role.ASKER], data)
    assert door.send(data).status_code == 404


def _forged(proof: TimeProof) -> TimeProof:
    elsewhere = LocalWitness(time_s=EARLY.time_s).cosign("another text\n").decode()
    stranger = STRANGER.cosign(proof.checkpoint.partition("\n\n")[0] + "\n").decode()
    return replace(proof, cosignatures=elsewhere + stranger, stamps=(STAMP,))


@pytest.mark.parametrize("door", [_forged], indirect=True)
def test_what_is_forged_or_of_a_stranger_is_named_and_changes_no_verdict(door: Door, tmp_path: Path) -> None:
    page = door.page()
    assert "Each check holds." in page
    for said in (
        "No confirmation counts.", "Every date is by the clock of the doorbell or of its owner.",
        "A cosignature in the name of witness.test/w1 is not by that witness, or not of this ledger.",
        "You do not trust this witness.", "witness.test/stranger", "time stamp (RFC 3161)",
        "The stamp “tsa” was not checked: you trust no authority of time-stampers.",
    ):  # fmt: skip
        assert said in page
    assert page.count("does not count") == 3
    assert door.answer.confirmed == {}
    dutch = door.page(language="nl")
    assert "U vertrouwt deze getuige niet." in dutch
    assert "Een medehandtekening op naam van witness.test/w1" in dutch
    assert '<span lang="en">' not in dutch.partition('id="time"')[2]
    assert "is niet van die getuige" in door.report(tmp_path, "nl")


@pytest.mark.parametrize("door", [lambda _proof: None], indirect=True)
def test_without_a_confirmation_the_page_says_what_is_missing(door: Door) -> None:
    page = door.page()
    assert "No one else confirmed a time." in page
    assert "Missing. The doorbell asks no witness, or none had answered it." in page


@pytest.mark.parametrize(
    "door", [lambda proof: replace(proof, cosignatures=_old(proof))], indirect=True, ids=["a month before"]
)
def test_a_late_confirmation_counts_and_says_that_it_is_late(door: Door) -> None:
    door.send(door.later(LocalWitness(time_s=NOW_S + 10 * 86_400)))
    page = door.page()
    assert "Late: by the owner's clock the approval came more than a day after this confirmation." in page
    assert "Late: by the owner's clock the approval came more than a day before this confirmation." in page
    assert "does not count" not in page
    with translation.override("nl"):
        dutch = door.page(language="nl")
    assert "Laat: volgens de klok van de eigenaar kwam de goedkeuring meer dan een dag na deze bevestiging." in dutch
    assert "Laat: volgens de klok van de eigenaar kwam de goedkeuring meer dan een dag vóór deze bevestiging." in dutch


@pytest.mark.parametrize(
    "door", [lambda proof: replace(proof, cosignatures=_old(proof, days=-40))], indirect=True, ids=["40 days after"]
)
def test_a_clock_of_an_owner_that_is_behind_is_told_and_no_statement_says_it_is_ahead(door: Door) -> None:
    door.send(door.later(LocalWitness(time_s=NOW_S + 50 * 86_400)))
    page = door.page()
    assert "The owner's own clock said" in page
    assert "more than a day after this confirmation" not in page
    assert page.count("more than a day before this confirmation") == 1


def _old(proof: TimeProof, days: int = 30) -> str:
    return LocalWitness(time_s=NOW_S - days * 86_400).cosign(proof.checkpoint.partition("\n\n")[0] + "\n").decode()


def test_the_case_follows_those_whom_the_organisation_trusts_now(door: Door) -> None:
    write_time_trust(door.requester.notes, "")
    assert "You do not trust this witness." in door.page()
    door.answer.refresh_from_db()
    assert door.answer.confirmed == {}
    assert "Time confirmed by others" not in (
        door.agency.client(Role.VIEWER).get(f"/cases/{door.answer.case_id}").content.decode()
    )


def test_the_organisation_s_page_takes_those_who_may_confirm_times(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    assert client.post("/organisation/times", {"witnesses": EARLY.verifier_key}).status_code == 302
    notes = requester_of(agency.organisation).notes
    assert [each.name for each in read_time_trust(notes).witnesses] == [EARLY.name]
    assert Entry.objects.get(action="organisation.time-trust").object == EARLY.name
    assert EARLY.verifier_key in client.get("/organisation").content.decode()
    for wrong in ({"witnesses": "nonsense"}, {"authorities": SimpleUploadedFile("a.pem", b"nonsense")}):
        answer = client.post("/organisation/times", {"witnesses": EARLY.verifier_key} | wrong)
        assert "whom you trust for times cannot be read" in answer.content.decode()
        assert [each.name for each in read_time_trust(notes).witnesses] == [EARLY.name]
    assert Entry.objects.filter(action="organisation.time-trust").count() == 1
    client.post("/organisation/times", {"witnesses": ""})
    assert read_time_trust(notes).witnesses == ()
