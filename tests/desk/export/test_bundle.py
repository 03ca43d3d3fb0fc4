"""The folder of an export verifies with stock tools and the second reader, and holds what was chosen only."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.clients.media.join import probe
from agent.clients.requester.identity import Requester
from agent.core.media import Gop
from agent.errors import ConfigurationError
from desk.custody.keys import desk_key
from desk.custody.log_file import check_extract
from desk.export.bundle import ExportOptions, build_export, top_name
from desk.export.case_content import sealed_bytes
from desk.people.organisations import requester_of
from desk.sealed_keys import SealedSigner
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.credentials_readers import credentials_are_valid, read_with_c2pa_ts
from tests.desk.agencies import Agency
from tests.desk.export.stock_tools import INTEROP, node_with_age, open_with_age, run, verify_export
from tests.desk.export.street import Street, make_case
from tests.desk.kept import change_part, spoil


def exported(street: Street, folder: Path, **options: object) -> Path:
    folder.mkdir(exist_ok=True)
    chosen = ExportOptions("en", "Eva Officer", NOW_S, **options)  # type: ignore[arg-type]
    build_export(street.case, folder, chosen)
    return folder


def test_stock_tools_and_the_second_reader_verify_an_export_without_a_manual_step(
    street: Street, tmp_path: Path
) -> None:
    folder = exported(street, tmp_path / "out", with_keys=True)
    assert verify_export(folder) == sorted(row.disclosure_id for row in street.answers)
    films = [*(folder / "answers").glob("*/segments/*.mp4")]
    assert all(probe(path).frames for path in films)


@pytest.mark.interop
def test_another_age_implementation_opens_the_parts_with_the_exported_key(street: Street, tmp_path: Path) -> None:
    """npm age-encryption, because Debian's age is older than hybrid keys."""
    node_with_age()
    open_with_age(exported(street, tmp_path / "out", with_keys=True), tmp_path / "opened")


@pytest.mark.interop
def test_the_command_at_the_end_of_the_report_gives_the_hash_beside_it(street: Street, tmp_path: Path) -> None:
    """The command is run as it is printed, with npm age-encryption in the place of age 1.3."""
    node = node_with_age()
    folder = exported(street, tmp_path / "out", with_keys=True)
    text = (folder / "report.html").read_text()
    found = re.search(r"age -d -i (\S+) (\S+) \| head --bytes=(\d+) \| sha256sum<br>([0-9a-f]{64})", text)
    assert found is not None
    key, part, size, expected = found.groups()
    opened = tmp_path / "opened"
    run(node, "open.mjs", str(folder / key), str(folder / part), str(opened), cwd=INTEROP)
    assert hashlib.sha256(opened.read_bytes()[: int(size)]).hexdigest() == expected
    bundle = re.search(r"cd (\S+/by-hand)<br>(openssl [^<]+)<", text)
    assert bundle is not None
    assert b"Verified Successfully" in run(*bundle[2].split(), cwd=folder / bundle[1])
    assert "age 1.3 or newer" in (folder / key).read_text()


def test_an_age_that_is_too_old_refuses_the_key_and_the_report_says_so(street: Street, tmp_path: Path) -> None:
    age = shutil.which("age")
    if age is None:
        pytest.skip("stock age is not installed: apt-get install age")
    folder = exported(street, tmp_path / "out", with_keys=True)
    key, part = next((folder / "keys").iterdir()), next((folder / "answers").glob("*/bundle/parts/1.age"))
    done = subprocess.run([age, "-d", "-i", key, part], capture_output=True, check=False)
    version = subprocess.run([age, "--version"], capture_output=True, check=True, text=True).stdout
    old = tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 3)
    assert (done.returncode != 0) == old, done.stderr
    assert "age 1.3 or newer" in (folder / "report.html").read_text()


@pytest.mark.interop
def test_copies_with_credentials_are_valid_in_two_readers_and_the_evidence_stays(
    street: Street, tmp_path: Path
) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    folder = exported(street, tmp_path / "out", with_credentials=True)
    copies = sorted(folder.glob("answers/*/c2pa/*"))
    opened = [path for name in ("segments", "clips", "pictures") for path in folder.glob(f"answers/*/{name}/*")]
    assert sorted(path.name for path in copies) == sorted(["all.mp4", "all.mp4", *(path.name for path in opened)])
    assert [path for path in copies if not credentials_are_valid(path)] == []
    assert [found for found in read_with_c2pa_ts(copies) if not found["valid"]] == []
    run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=folder)
    rows = list(csv.DictReader(io.StringIO((folder / "files.csv").read_bytes().decode("utf-8-sig"))))
    for row in rows:
        if row["kind"] == "segment":
            path = folder / "answers" / row["answer"] / "segments" / f"segment-{int(row['number']):03}.mp4"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["SHA-256 opened"]


def test_a_locked_key_signs_no_credentials_and_the_person_reads_why(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    lock(requester_of(street.case.organisation), monkeypatch)
    with pytest.raises(ConfigurationError, match="locked"):
        exported(street, tmp_path / "out", with_credentials=True)
    folder = exported(street, tmp_path / "other")
    assert not list(folder.glob("answers/*/c2pa"))


def lock(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a start of the desk, before a person has unlocked the key."""
    signer = SealedSigner(requester.folder, requester.key)
    monkeypatch.setattr(Requester, "sign_certificate", lambda _requester, body: signer.sign(body))


def test_a_report_of_chosen_clips_names_no_file_that_it_does_not_bring(street: Street, tmp_path: Path) -> None:
    folder = exported(street, tmp_path / "out", scope={(street.answers[0].disclosure_id, 2)}, with_custody=False)
    text = (folder / "report.html").read_text()
    assert "age -d" not in text
    assert "by-hand" not in text


def test_the_custody_extract_proves_the_acts_of_this_case_only(street: Street, agency: Agency, tmp_path: Path) -> None:
    other = make_case(agency, "2027-0115", "Another")
    other.ask()
    folder = exported(street, tmp_path / "out")
    _head, entries = check_extract((folder / "custody-extract.json").read_bytes(), desk_key())
    assert [each.action for each in entries] == ["request.approved", "answer.received", "answer.received"]
    assert {each.detail["case"] for each in entries} == {street.case.number}
    assert not (folder / "keys").exists()


def test_an_export_of_chosen_clips_holds_nothing_else(street: Street, tmp_path: Path) -> None:
    chosen, other = street.answers
    unrelated = street.ask(description="Words of another request in this case.")
    folder = exported(street, tmp_path / "out", scope={(chosen.disclosure_id, 2)}, with_custody=False)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    below = f"answers/{chosen.disclosure_id}"
    assert names == {
        "SHA256SUMS", "files.csv", "report.html", "report.pdf",
        f"{below}/clips/clip-02.mp4", f"{below}/pictures/clip-02.jpg", f"{below}/segments/segment-003.mp4",
    }  # fmt: skip
    text = (folder / "report.html").read_text()
    assert "chosen clips only" in text
    assert other.disclosure_id not in text
    assert chosen.request_id in text
    assert unrelated.request.id not in text
    assert "Custody of the case" not in text
    assert sealed_bytes(street.case, {(chosen.disclosure_id, 2)}) < sealed_bytes(street.case)


def test_the_table_lists_each_file_with_its_hashes(street: Street, tmp_path: Path) -> None:
    folder = exported(street, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((folder / "files.csv").read_bytes().decode("utf-8-sig"))))
    assert len(rows) == 2 * 5
    for row in rows:
        if row["kind"] == "segment":
            path = folder / "answers" / row["answer"] / "segments" / f"segment-{int(row['number']):03}.mp4"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row["SHA-256 opened"]


def test_an_answer_that_no_longer_verifies_is_named_and_the_others_go_on(
    agency: Agency, gops: list[Gop], tmp_path: Path
) -> None:
    street = make_case(agency, "2027-0116", "")
    asked = street.ask()
    good = street.answer(asked, filmed(gops, name="good"))
    bad = street.answer(asked, filmed(gops, name="bad"))
    quarantined = street.answer(asked, filmed(gops, name="lies"))
    quarantined.state, quarantined.reason = "quarantined", "It was sealed to another <b>key</b>."
    quarantined.save()
    change_part(requester_of(agency.organisation), bad.disclosure_id, 1, spoil)
    folder = exported(street, tmp_path / "out")
    text = (folder / "report.html").read_text()
    assert "does not verify" in text
    assert "another &lt;b&gt;key&lt;/b&gt;" in text
    assert (folder / "answers" / good.disclosure_id / "all.mp4").is_file()
    assert not (folder / "answers" / bad.disclosure_id / "all.mp4").exists()
    assert not (folder / "answers" / quarantined.disclosure_id).exists()


@pytest.mark.parametrize(
    ("number", "name"),
    [("2027-0114", "case-2027-0114"), ("../../etc", "case-etc"), ("A/B 7", "case-A-B-7"), ("…", "case-export")],
)
def test_a_case_number_becomes_a_plain_name(number: str, name: str) -> None:
    assert top_name(number) == name
