"""The log in a database: numbers without gaps, entries that share the fate of their act, and audits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from django.db import connection, transaction

from agent.clients.requester.identity import Requester
from agent.core.ledger.checkpoint import open_desk_checkpoint
from desk.custody import log
from desk.custody.answers import sealed_files
from desk.custody.audit import audit_rows
from desk.custody.command import audit
from desk.custody.keys import desk_key
from desk.custody.log_file import check_extract
from desk.custody.models import Entry, LogHead
from desk.people.models import Organisation
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.desk.kept import change_part, lose, lose_part, store

DISCLOSURE = "5f" * 16


def numbers(organisation: Organisation) -> list[int]:
    return list(Entry.objects.filter(organisation=organisation).order_by("pk").values_list("number", flat=True))


def filled(agency: Agency, count: int = 9) -> Organisation:
    for number in range(count):
        log.record(agency.organisation, agency.people[Role.VIEWER], "clip.played", f"clip {number}", case="2026-17")
    return agency.organisation


def arrived(organisation: Organisation) -> None:
    detail = sealed_files(organisation, DISCLOSURE)
    log.record(organisation, "receiver", "answer.received", f"answer {DISCLOSURE}", case="2026-17", **detail)


def run_audit(*arguments: str) -> Result:
    return CliRunner().invoke(audit, arguments)


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_an_entry_says_who_did_what_and_an_extract_proves_it(agency: Agency) -> None:
    organisation = filled(agency)
    row = Entry.objects.filter(case_number="2026-17").latest("number")
    assert (row.actor, row.action) == ("viewer <viewer@rijnstad-police.example>", "clip.played")
    head, entries = check_extract(log.extract(organisation, [row]), desk_key())
    assert [each.object for each in entries] == ["clip 8"]
    assert head.size == Entry.objects.count()


@pytest.mark.parametrize(
    "name",
    ["Chief <chief@rijnstad-police.example>", "Chief <chief@rijnstad-police.example>" + "\u2800" * 113, "C" * 150],
)
def test_a_name_that_a_person_chose_neither_hides_nor_imitates_an_address(agency: Agency, name: str) -> None:
    person = agency.people[Role.VIEWER]
    person.first_name = name  # the page removes invisible marks; a name from before stays
    person.save()
    actor = log.record(agency.organisation, person, "clip.played", "clip 1").actor
    assert len(actor) <= 160
    assert actor.endswith(f" <{person.email}>")
    assert actor.count("<") == 1


def test_an_act_that_fails_takes_its_entry_with_it(agency: Agency) -> None:
    before = numbers(agency.organisation)

    def act() -> None:
        with transaction.atomic():
            log.record(agency.organisation, "receiver", "case.deleted", "case 1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act()
    assert numbers(agency.organisation) == before
    filled(agency, 1)
    assert run_audit().exit_code == 0


def test_writers_at_the_same_time_get_consecutive_numbers(agency: Agency) -> None:
    start, before = threading.Barrier(6), len(numbers(agency.organisation))

    def write(writer: int) -> None:
        start.wait()
        for number in range(8):
            with transaction.atomic():
                log.record(agency.organisation, f"writer {writer}", "clip.played", f"clip {number}")
        connection.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(agency.organisation) == list(range(before + 48))
    assert run_audit().exit_code == 0


def test_an_entry_of_the_desk_between_head_and_rows_is_no_finding_and_a_row_without_a_head_is_one(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(agency, 2)
    stored, busy = log.stored_rows, [3]

    def meanwhile(organisation: Organisation) -> Iterator[log.StoredRow]:
        if busy[0]:
            busy[0] -= 1
            log.record(organisation, "receiver", "answer.received", "answer x")
        return stored(organisation)

    monkeypatch.setattr(log, "stored_rows", meanwhile)
    done = run_audit()
    assert (done.exit_code, busy) == (0, [0]), done.output
    head = LogHead.objects.get(organisation=agency.organisation)
    log.record(agency.organisation, "receiver", "answer.received", "answer y")
    head.save()  # the row of an intruder who cannot sign
    done = run_audit()
    assert (done.exit_code, "Entries were added" in done.output) == (1, True)


def test_each_organisation_has_its_own_log(agency: Agency, other_agency: Agency) -> None:
    filled(agency, 3)
    log.record(other_agency.organisation, "receiver", "answer.quarantined", "answer")
    for each in (agency, other_agency):
        assert numbers(each.organisation) == list(range(len(numbers(each.organisation))))
        note = log.newest_note(each.organisation)
        assert open_desk_checkpoint(note, desk_key(), each.organisation.requester_id).size == len(
            numbers(each.organisation)
        )
    assert run_audit().output.count("✓") == 2
    assert run_audit("--organisation", "rijnstad-police").output.count("✓") == 1


def test_an_entry_is_found_by_the_case_in_its_detail_or_in_its_object(agency: Agency) -> None:
    for object_, detail in (("case 2026-17", {}), ("answer x", {"case": "2026-17"}), ("answer y", {"case": 5})):
        log.record(agency.organisation, "receiver", "note.written", object_, **detail)
    assert list(Entry.objects.exclude(case_number="").values_list("case_number", flat=True)) == ["2026-17"] * 2 + ["5"]
    log.record(agency.organisation, "receiver", "answer.deleted", "answer of no id")
    assert run_audit().exit_code == 0


def test_a_detail_that_is_too_long_does_not_stop_the_act(agency: Agency) -> None:
    row = log.record(agency.organisation, "x" * 400, "a" * 90, "o" * 400, case="17", much="x" * 100_000)
    assert (row.detail, len(row.actor), len(row.action), len(row.object)) == ({"case": "17", "cut": True}, 160, 40, 120)
    assert run_audit().exit_code == 0


def _remove(_requester: Requester) -> None:
    sql("DELETE FROM custody_entry WHERE number = 4")


def _remove_the_newest(_requester: Requester) -> None:
    sql("DELETE FROM custody_entry WHERE number = (SELECT max(number) FROM custody_entry)")


def _change(_requester: Requester) -> None:
    sql("UPDATE custody_entry SET actor = 'Another' WHERE number = 4")


def _move_to_another_case(_requester: Requester) -> None:
    sql("UPDATE custody_entry SET case_number = '' WHERE number = 4")


def _reorder(_requester: Requester) -> None:
    for old, new in ((4, 99), (5, 4), (99, 5)):
        sql("UPDATE custody_entry SET number = %s WHERE number = %s", new, old)


def _change_with_its_hash(_requester: Requester) -> None:
    row = Entry.objects.get(number=4)
    row.actor = "Another"
    rewritten = audit_rows([log.StoredRow(4, log.entry_of(row), b"")], b"", desk_key(), "rijnstad-police")
    row.leaf = rewritten.root  # the root over one leaf is its hash
    row.save()


def _swap_a_file(requester: Requester) -> None:
    change_part(requester, DISCLOSURE, 1, lambda _data: b"another film")


def _remove_a_file(requester: Requester) -> None:
    lose_part(requester, DISCLOSURE, 1)


PLANTS: dict[str, tuple[Callable[[Requester], None], str]] = {
    "a row removed": (_remove, "removed: Entry 4 is missing."),
    "the newest row removed": (_remove_the_newest, "removed: The log ends after"),
    "a row changed": (_change, "changed: Entry 4 was changed"),
    "a row moved to another case": (_move_to_another_case, "changed: Entry 4 was changed: its case differs"),
    "rows reordered": (_reorder, "reordered: Entry 4 is out of its order"),
    "a row and its hash changed": (_change_with_its_hash, "rewritten: "),
    "a sealed file swapped": (_swap_a_file, "file-changed: Answer 5f5f"),
    "a sealed file removed": (_remove_a_file, "file-missing: Answer 5f5f"),
}


@pytest.mark.parametrize(("plant", "said"), PLANTS.values(), ids=PLANTS)
def test_the_audit_names_each_planted_change(agency: Agency, plant: Callable[[Requester], None], said: str) -> None:
    organisation = filled(agency)
    requester = requester_of(organisation)
    store(requester, DISCLOSURE, b"0", b"1")
    requester.answer(DISCLOSURE).adopt(b"request")
    arrived(organisation)
    result = run_audit()
    assert (result.exit_code, "✗" in result.output) == (0, False)
    plant(requester)
    result = run_audit()
    assert result.exit_code == 1
    assert said in result.output


def test_files_that_the_log_states_as_deleted_must_be_gone(agency: Agency) -> None:
    organisation = agency.organisation
    requester = requester_of(organisation)
    store(requester, DISCLOSURE, b"sealed")
    arrived(organisation)
    log.record(organisation, "retention", "answer.deleted", f"answer {DISCLOSURE}", case="2026-17")
    assert "file-left" in run_audit().output
    lose(requester, DISCLOSURE)
    assert run_audit().exit_code == 0
    assert run_audit("--no-files").exit_code == 0


def test_an_old_backup_is_whole_and_signed_and_only_the_kept_checkpoint_shows_it(
    agency: Agency, tmp_path: Path
) -> None:
    organisation = filled(agency, 4)
    entries, head = list(Entry.objects.all()), LogHead.objects.get(organisation=organisation)
    filled(agency, 5)
    kept = tmp_path / "kept.txt"
    kept.write_bytes(log.newest_note(organisation))
    filled(agency, 2)
    assert run_audit("--checkpoint", str(kept)).exit_code == 0

    Entry.objects.all().delete()
    Entry.objects.bulk_create(entries)
    LogHead.objects.filter(organisation=organisation).update(frontier=head.frontier, note=head.note)
    assert run_audit().exit_code == 0
    result = run_audit("--checkpoint", str(kept))
    assert result.exit_code == 1
    assert "rolled-back: " in result.output
    # The desk goes on from the backup, until its log is longer than the checkpoint again.
    filled(agency, 9)
    result = run_audit("--checkpoint", str(kept))
    assert result.exit_code == 1
    assert "rewritten: " in result.output


def test_a_log_of_which_nothing_is_left_is_noticed(agency: Agency) -> None:
    organisation = filled(agency, 3)
    Entry.objects.filter(organisation=organisation).delete()
    LogHead.objects.filter(organisation=organisation).delete()
    result = run_audit("--no-files")
    assert result.exit_code == 1
    assert "removed: The log is empty." in result.output


def test_an_old_backup_of_the_database_alone_is_shown_by_an_answer_that_arrived_since(agency: Agency) -> None:
    organisation = filled(agency, 4)
    head, size = LogHead.objects.get(organisation=organisation), Entry.objects.count()
    arrived(organisation)
    Entry.objects.filter(number__gte=size).delete()
    LogHead.objects.filter(organisation=organisation).update(frontier=head.frontier, note=head.note)
    result = run_audit()
    assert result.exit_code == 1
    assert f"rolled-back: Answer {DISCLOSURE}" in result.output


def test_a_desk_with_another_key_is_noticed(agency: Agency, data: Path, tmp_path: Path) -> None:
    organisation = filled(agency, 1)
    kept, key = tmp_path / "kept.txt", desk_key()
    kept.write_bytes(log.newest_note(organisation))
    (data / "custody" / "signing.key").unlink()
    from desk.custody import keys

    keys._load.cache_clear()
    filled(agency, 1)
    result = run_audit("--checkpoint", str(kept), "--key", key.text)
    assert (result.exit_code, result.output.count("unsigned: ")) == (1, 2)
    keys._load.cache_clear()


def test_a_downloaded_log_is_audited_without_the_desk(agency: Agency, tmp_path: Path) -> None:
    organisation = filled(agency)
    paths = [str(tmp_path / name) for name in ("log.jsonl", "head.txt", "kept.txt")]
    Path(paths[2]).write_bytes(log.newest_note(organisation))
    filled(agency, 1)
    from desk.custody.log_file import write_log

    rows = (log.entry_of(row) for row in Entry.objects.order_by("number"))
    Path(paths[0]).write_bytes(b"".join(write_log(log.header_of(organisation), rows)))
    Path(paths[1]).write_bytes(log.newest_note(organisation))
    offline = ("--log", paths[0], "--head", paths[1], "--checkpoint", paths[2], "--key", desk_key().text)
    assert run_audit(*offline).exit_code == 0
    Path(paths[0]).write_bytes(Path(paths[0]).read_bytes().replace(b"clip 3", b"clip 9"))
    assert run_audit(*offline).exit_code == 1


def test_a_log_that_was_renamed_or_removed_does_not_pass_beside_its_kept_checkpoint(
    agency: Agency, other_agency: Agency, tmp_path: Path
) -> None:
    """The checkpoint is of a log that is not there any more, so it is compared with nothing."""
    kept, theirs = tmp_path / "kept.txt", tmp_path / "theirs.txt"
    kept.write_bytes(log.newest_note(filled(agency)))
    theirs.write_bytes(log.newest_note(other_agency.organisation))
    both = ("--checkpoint", str(kept), "--checkpoint", str(theirs))
    assert run_audit(*both).exit_code == 0
    assert run_audit(*both, "--organisation", "waterland-police").exit_code == 0, "of another organisation of this desk"

    Entry.objects.filter(organisation=agency.organisation).delete()
    LogHead.objects.filter(organisation=agency.organisation).delete()
    Organisation.objects.filter(pk=agency.organisation.pk).update(requester_id="rijnstad-police-2")
    agency.organisation.refresh_from_db()
    filled(agency)
    assert run_audit("--no-files").exit_code == 0
    for arguments in (both, (*both, "--organisation", "waterland-police")):
        result = run_audit("--no-files", *arguments)
        assert result.exit_code == 1
        assert "removed: kept.txt: this is a checkpoint of the log “rijnstad-police”" in result.output
        assert "theirs.txt" not in result.output


def test_a_downloaded_log_of_another_name_does_not_pass_beside_a_kept_checkpoint(
    agency: Agency, other_agency: Agency, tmp_path: Path
) -> None:
    from desk.custody.log_file import write_log

    organisation, kept = other_agency.organisation, tmp_path / "kept.txt"
    kept.write_bytes(log.newest_note(filled(agency)))
    rows = (log.entry_of(row) for row in Entry.objects.filter(organisation=organisation).order_by("number"))
    (tmp_path / "log.jsonl").write_bytes(b"".join(write_log(log.header_of(organisation), rows)))
    (tmp_path / "head.txt").write_bytes(log.newest_note(organisation))
    offline = ("--log", str(tmp_path / "log.jsonl"), "--head", str(tmp_path / "head.txt"))
    assert run_audit(*offline).exit_code == 0
    for damaged in (kept.read_bytes(), b"", b"no checkpoint"):
        kept.write_bytes(damaged)
        result = run_audit(*offline, "--checkpoint", str(kept))
        assert result.exit_code == 1
        assert "removed: kept.txt" in result.output


def test_an_audit_that_cannot_run_says_what_to_do(agency: Agency, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    for arguments in (["--organisation", "nobody"], ["--log", str(tmp_path / "log")]):
        result = run_audit(*arguments)
        assert result.exception is not None
        assert "Give" in str(result.exception)
