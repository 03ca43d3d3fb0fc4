"""The auditor's pages: filters, an entry with its proof, downloads that verify, and the comparison."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from agent.core.ledger.checkpoint import open_desk_checkpoint
from desk.custody import log
from desk.custody.keys import desk_key
from desk.custody.log_file import audit_log_file, check_extract, check_growth
from desk.custody.models import Checkpoint, Entry, LogHead
from desk.people.models import Organisation
from desk.people.roles import Role
from tests.desk.agencies import Agency

PAGES = ("/custody", "/custody/entries/0", "/custody/entries/0/extract", "/custody/log")


def filled(agency: Agency, count: int = 5) -> Organisation:
    for number in range(count):
        log.record(
            agency.organisation, agency.people[Role.VIEWER], "clip.played", f"clip {number}", case=f"17/{number}"
        )
    return agency.organisation


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.AUDITOR])
def test_only_an_auditor_reads_the_log(agency: Agency, role: Role) -> None:
    client = agency.client(role)
    assert {client.get(page).status_code for page in PAGES} == {403}
    assert {client.post(page).status_code for page in ("/custody/checkpoint", "/custody/compare")} == {403}


def test_an_auditor_sees_the_log_of_their_own_organisation_only(agency: Agency, other_agency: Agency) -> None:
    filled(agency)
    page = other_agency.client(Role.AUDITOR).get("/custody").content.decode()
    assert "clip 3" not in page
    assert other_agency.client(Role.AUDITOR).get("/custody/entries/4").status_code == 404


def test_the_list_is_filtered_and_paged(agency: Agency) -> None:
    filled(agency, 60)
    log.record(agency.organisation, "receiver", "answer.complete", "answer <b>1</b>", case="99")
    client = agency.client(Role.AUDITOR)
    page = client.get("/custody").content.decode()
    assert "answer &lt;b&gt;1&lt;/b&gt;" in page
    assert page.count("<tr>") == 1 + 50
    assert "Older entries" in page
    first = Entry.objects.get(object="clip 0").number

    for query, expected in (
        ("case=17/3", 1),
        ("actor=VIEWER", 50),
        ("actor=receiver", 0),
        ("action=clip", 50),
        ("action=answer", 0),
        ("action=clip&first=2020-01-01&last=2020-01-02", 0),
        ("action=clip&first=2020-01-01", 50),
        (f"before={first + 11}", 11),
        ("action=clip&before=x", 50),
        ("case=17/3&first=no-day", 1),
    ):
        assert client.get(f"/custody?{query}").content.decode().count("clip.played") == expected, query


def test_an_entry_is_shown_with_a_proof_that_another_program_checks(agency: Agency) -> None:
    organisation = filled(agency)
    client = agency.client(Role.AUDITOR)
    page = client.get("/custody/entries/3").content.decode()
    assert "The proof holds" in page
    data = client.get("/custody/entries/3/extract").content
    head, [entry] = check_extract(data, desk_key())
    assert (entry.number, entry.object) == (3, "clip 2")
    assert head.size == Entry.objects.filter(organisation=organisation).count()


def test_a_changed_entry_says_so_on_its_page(agency: Agency) -> None:
    filled(agency)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE custody_entry SET actor = 'Another' WHERE number = 3")
    assert "The proof does not hold" in agency.client(Role.AUDITOR).get("/custody/entries/3").content.decode()


def test_a_downloaded_log_and_checkpoint_verify_and_their_download_is_in_the_log(agency: Agency) -> None:
    organisation = filled(agency)
    client = agency.client(Role.AUDITOR)
    response = client.get("/custody/log")
    lines = response.getvalue().splitlines(keepends=True)
    head = log.newest_note(organisation)
    _, result = audit_log_file(lines, head, desk_key())
    assert result.ok
    assert b'"action":"log.downloaded"' in lines[-1]
    note = client.post("/custody/checkpoint")
    kept = Checkpoint.objects.get()
    assert open_desk_checkpoint(note.content, desk_key(), "rijnstad-police").size == kept.size == result.size + 1
    assert note["Content-Disposition"].startswith(f'attachment; filename="checkpoint-rijnstad-police-{kept.size}.txt"')


def upload(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("kept.txt", data)


def test_a_kept_checkpoint_is_compared_and_the_proof_downloaded(agency: Agency) -> None:
    organisation = filled(agency)
    client = agency.client(Role.AUDITOR)
    kept = client.post("/custody/checkpoint").content
    filled(agency)
    assert "Nothing was removed" in client.post("/custody/compare", {"checkpoint": upload(kept)}).content.decode()
    proof = client.post("/custody/compare", {"checkpoint": upload(kept), "proof": "1"}).content
    old, new = check_growth(proof, desk_key())
    assert (old.size < new.size, new.size) == (True, Entry.objects.filter(organisation=organisation).count())


def test_the_comparison_names_an_old_backup_a_rewritten_log_and_a_wrong_file(agency: Agency) -> None:
    organisation = filled(agency)
    client = agency.client(Role.AUDITOR)
    head = LogHead.objects.get(organisation=organisation)
    old = (head.frontier, head.note)
    filled(agency)
    kept = log.newest_note(organisation)
    head.refresh_from_db()
    new = (head.frontier, head.note)

    def said(data: bytes) -> str:
        return client.post("/custody/compare", {"checkpoint": upload(data)}).content.decode()

    assert "not a checkpoint of this log" in said(b"something else")
    head.frontier, head.note = old
    head.save()
    assert "an old backup was put back" in said(kept)
    head.frontier, head.note = new
    head.save()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE custody_entry SET leaf = %s, nodes = %s", [bytes(32), bytes(128)])
    filled(agency, 3)
    assert "it was rewritten" in said(kept)
    assert client.post("/custody/compare", {"checkpoint": upload(b"x" * 20_000)}).status_code == 400
    assert client.post("/custody/compare").status_code == 400


def test_an_auditor_who_reads_dutch_gets_dutch_pages(agency: Agency) -> None:
    filled(agency)
    client = agency.client(Role.AUDITOR)
    for page, words in (("/custody", "Controlepunt downloaden"), ("/custody/entries/2", "Het bewijs klopt")):
        assert words in client.get(page, headers={"accept-language": "nl"}).content.decode()
