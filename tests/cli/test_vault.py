"""`doorward vault`: what is stored, why the rest is empty, and what is damaged, in words and in JSON."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click import unstyle

from agent.cli import status_rows, vault
from agent.core.vault.excerpt import Cover, read_excerpt
from agent.core.vault.fields import stamp
from agent.core.vault.manifest import ChainHead, open_line, parse_line, sign_record
from agent.core.vault.records import GapReason, RingRecord, SegmentRecord
from agent.custodian.state_folder import StateFolder
from agent.platform.disk import RealDisk
from agent.recorder import io_priority
from agent.vault import verification
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.reader import VaultReader
from agent.wire.identities import MldsaPublicKey, parse_public_key, public_key_of
from tests.cli.conftest import Seen
from tests.core.vault.make_vault_vectors import without
from tests.damage import with_another_end
from tests.vaults import DEVICE_KEY, DEVICE_MLDSA_KEY, DEVICE_SECRET, TestVault, box, event_id, make_vault

Run = Callable[..., Seen]


@pytest.fixture
def stored(tmp_path: Path) -> TestVault:
    """An evening: two visits, the privacy switch between them, a camera that watched throughout."""
    folder = StateFolder(tmp_path / "state")
    folder.initialise(DEVICE_KEY, DEVICE_SECRET)
    made = make_vault(RealDisk(), index=SqliteIndex(folder.index), root=folder.vault)
    began = made.clock.now()
    made.clock.advance(60)
    made.record(*[box(b"mdat", bytes(1000))] * 5, poster=b"\xff\xd8\xff jpeg", sound=box(b"mdat", b"heard"))
    made.vault.record_coverage(began, made.clock.advance(600))
    made.vault.record_gap(GapReason.PRIVACY, made.clock.now(), made.clock.advance(1800))
    began = made.clock.now()
    made.record(*[box(b"mdat", bytes(1000))] * 5, event=event_id(2))
    made.vault.record_coverage(began, made.clock.advance(300))
    made.close()
    (tmp_path / "doorward.toml").write_text('[device]\nstate_dir = "state"\n')
    return made


@pytest.fixture
def run(tmp_path: Path, tool: Callable[..., Seen]) -> Run:
    def call(*arguments: str, status: int = 0) -> Seen:
        seen = tool("vault", *arguments, "--config", tmp_path / "doorward.toml")
        assert seen.status == status, seen.err
        return seen

    return call


def document(found: Seen) -> Any:
    return json.loads(found.out)


def segment_file(tmp_path: Path, number: int) -> Path:
    lines = (tmp_path / "state" / "vault" / "manifest.0").read_bytes().splitlines()
    records = [open_line(line, public_key_of(DEVICE_KEY)).record for line in lines]
    name = [record.id for record in records if isinstance(record, SegmentRecord)][number]
    return tmp_path / "state" / "vault" / "segments" / name[0] / f"{name}.age"


def test_a_window_is_told_as_a_time_line(stored: TestVault, run: Run) -> None:
    said = run("list", "--window", "2025-10-09T08:50/2025-10-09T09:50").out
    lines = [re.sub(r"\s+", " ", line).strip() for line in said.splitlines()]
    assert lines[0] == "2025-10-09 UTC"
    words = [" ".join(line.split()[5:]) for line in lines[1:]]
    assert [word for word in words if word] == [
        "device off",
        "nothing happened",
        "footage, 1 segment",
        "nothing happened",
        "privacy switch",
        "footage, 1 segment",
        "nothing happened",
        "not known yet",
    ]


def test_the_time_line_has_no_holes_and_the_words_of_the_documentation(stored: TestVault, run: Run) -> None:
    found = document(run("list", "--window", "2025-10-09T08:50/2025-10-09T09:50", "--json"))
    stretches = found["stretches"]
    assert (stretches[0]["start_ms"], stretches[-1]["end_ms"]) == tuple(found["window"].values())
    assert all(one["end_ms"] == other["start_ms"] for one, other in itertools.pairwise(stretches))


@pytest.mark.parametrize("window", ["now", "2025-10-09T10:00/2025-10-09T09:00", "a/b"])
def test_a_window_that_is_none_is_refused_with_the_remedy(stored: TestVault, run: Run, window: str) -> None:
    seen = run("list", "--window", window, status=2)
    assert "--window" in seen.err
    assert "Write" in seen.err


def test_a_copy_takes_the_same_windows_as_a_list_and_nothing_else(stored: TestVault, run: Run, tmp_path: Path) -> None:
    seen = run("export", str(tmp_path / "out"), "--window", "2026-11-26T06:47", status=2)
    assert "Write FROM/TO, both in UTC." in seen.err
    assert not (tmp_path / "out").exists()
    window = "2025-10-09T08:50/2025-10-09T09:10"
    copied = document(run("export", str(tmp_path / "out"), "--window", window, "--json"))
    assert copied["segments"] == 1


def test_stats_count_what_is_stored(stored: TestVault, run: Run) -> None:
    assert document(run("stats", "--json"))["segments"] == 2
    assert run("stats").out.startswith("2 segments, ")


def test_verify_and_scrub_find_a_flipped_bit_and_nothing_else(
    stored: TestVault, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A scrub lowers the priority of its process for good, which would include all later tests.
    stepped_back: list[bool] = []
    monkeypatch.setattr(io_priority, "work_idly", lambda: stepped_back.append(True))
    assert document(run("verify", "--json"))["sound"]
    assert document(run("scrub", "--json"))["sound"]
    path = segment_file(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    for command in ("verify", "scrub"):
        assert document(run(command, "--json", status=1))["damaged"] == [path.name]
        assert path.name in run(command, status=1).out
    assert len(stepped_back) == 3


def test_verify_tells_how_many_records_no_second_signature_covers(stored: TestVault, run: Run, tmp_path: Path) -> None:
    assert "second signature" not in run("verify").out
    path = tmp_path / "state" / "vault" / "manifest.0"
    whole = path.read_bytes()
    *others, last = whole.splitlines(keepends=True)
    newest = parse_line(last.removesuffix(b"\n"))
    at = stamp(newest.record.span.boot, stored.clock.now())  # type: ignore[union-attr]
    ring = sign_record(RingRecord(at=at), ChainHead(0, newest.sequence + 1, newest.chain_hash), DEVICE_KEY.sign)
    path.write_bytes(whole + ring.line + b"\n")
    assert "1 record without a second signature yet" in run("verify").out
    path.write_bytes(b"".join(others) + without(last))
    assert "3 records without a second signature on or behind it." in run("verify", status=1).out


def test_verify_and_scrub_name_a_manifest_line_that_cannot_be_read_and_none_of_its_files(
    stored: TestVault, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io_priority, "work_idly", lambda: True)
    read = RealDisk.read
    entry = next(stored.vault.entries())
    stored.close()

    def lost(disk: RealDisk, path: Path, offset: int, size_bytes: int) -> bytes:
        if path.name == "manifest.0" and offset == entry.line_offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(disk, path, offset, size_bytes)

    monkeypatch.setattr(RealDisk, "read", lost)
    for command in ("verify", "scrub"):
        found = document(run(command, "--json", status=1))
        assert (found["sound"], found["damaged"], found["missing"]) == (False, [], [])
        (fault,) = found["manifest_faults"]
        assert fault.startswith(f"manifest.0, byte {entry.line_offset}: The record of segment {entry.id} cannot be")
        assert fault in run(command, status=1).out


@pytest.mark.parametrize(
    ("damaged", "segments", "fault", "words"),
    [
        (["manifest.0, byte 812"], 3, "", "damage in 1 place: doorward vault verify"),
        (["a", "b"], 3, "", "damage in 2 places: doorward vault verify"),
        ([], 0, "Too many open files.", "Too many open files."),
        ([], 3, "", "3 segments read again, 0.0 MB, no damage"),
    ],
)
def test_the_status_of_the_scrub_has_the_damage_or_the_fault(
    damaged: list[str], segments: int, fault: str, words: str
) -> None:
    scrub = {"damaged": damaged, "segments": segments, "read_bytes": 9, "fault": fault}
    (row,) = status_rows._care_rows({"recorder": {"state": "recording", "scrub": scrub}})
    assert (row[0], unstyle(row[1])) == ("scrub", words)


def test_what_a_running_doorbell_records_and_evicts_during_a_verification_is_no_fault(
    stored: TestVault, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command reads a copy of the recorder's index, and reading takes seconds to hours."""
    folder = StateFolder(tmp_path / "state")
    recorder = make_vault(RealDisk(), index=SqliteIndex(folder.index), root=folder.vault, seed=9)
    reads = verification.check_entry
    evicted, stays = [entry.id for entry in recorder.vault.entries()]

    def meanwhile(*arguments: Any) -> Any:
        if recorder.vault.find(evicted) is not None:
            recorder.record(box(b"mdat", bytes(1000)), poster=b"\xff\xd8\xff jpeg")
            recorder.vault.erase([evicted])
        return reads(*arguments)

    monkeypatch.setattr(verification, "check_entry", meanwhile)
    try:
        found = document(run("verify", "--json"))
    finally:
        recorder.close()
    assert (found["missing"], found["damaged"], found["unknown"]) == ([], [], [])
    assert found["segments"] >= 1
    assert stays


def test_repair_builds_the_index_anew_and_recovers_what_no_record_names(
    stored: TestVault, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "state" / "vault" / "segments" / "a" / "holiday.mp4").write_bytes(b"x")
    (tmp_path / "state" / "vault" / "manifest.0").write_bytes(b"")
    found = document(run("repair", "--json"))
    assert (found["segments"], len(found["recovered"]), found["quarantined"]) == (2, 2, ["holiday.mp4"])
    assert document(run("stats", "--json"))["aside"] == {"files": 1, "bytes": 1}
    assert "2 segments in the new index; 0 recovered" in run("repair").out


def test_export_copies_ciphertext_and_the_records_that_vouch_for_it(
    stored: TestVault, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert document(run("export", str(out), "--json"))["segments"] == 2
    key = parse_public_key((out / "device.pub").read_text().strip())
    mldsa = MldsaPublicKey.parse((out / "device.mldsa.pub").read_text().strip())
    found = read_excerpt((out / "records").read_bytes().splitlines(), key, mldsa)
    assert (found.faults, [each.cover for each in found.records]) == ([], [Cover.CAPTURE] * 2)
    for each in found.records:
        assert (out / f"{each.signed.record.id}.age").is_file()  # type: ignore[union-attr]
    assert segment_file(tmp_path, 0).read_bytes() == (out / segment_file(tmp_path, 0).name).read_bytes()
    assert [len(list(out.glob(f"*.{kind}.age"))) for kind in ("poster", "sound")] == [1, 1]
    run("export", str(out), status=2)


def test_an_export_is_verified_without_the_device(
    stored: TestVault, run: Run, tmp_path: Path, tool: Callable[..., Seen]
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    run("export", str(out), "--window", "2025-10-09T08:55/2025-10-09T08:58")
    said = tool("vault", "verify", "--export", out)
    assert said.status == 0
    assert "1 segment, 0.0 MB read: all unchanged since they were signed." in said.out
    assert "1 record with a second signature from the time of recording." in said.out
    assert public_key_of(DEVICE_KEY).id in said.out
    assert hashlib.sha256(DEVICE_MLDSA_KEY.raw).hexdigest() in said.out
    changes: dict[str, tuple[str, Callable[[Path], object]]] = {
        "damaged": ("*.poster.age", lambda path: path.write_bytes(with_another_end(path.read_bytes()))),
        "missing": ("*.sound.age", lambda path: path.unlink()),
        "unknown": ("records", lambda path: path.with_name("more").write_bytes(b"")),
        "manifest_faults": ("records", lambda path: path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")),
    }
    for word, (name, change) in changes.items():
        shutil.copytree(out, other)
        change(next(other.glob(name)))
        found = tool("vault", "verify", "--export", other, "--json")
        assert (found.status, [key for key in changes if document(found)[key]]) == (1, [word])
        shutil.rmtree(other)
    for path in out.glob("*.age"):
        path.unlink()
    (out / "records").write_bytes(b"")
    nothing = tool("vault", "verify", "--export", out)
    assert (nothing.status, "The folder holds no record of footage, so nothing was verified." in nothing.out) == (
        1,
        True,
    )
    assert "unchanged" not in nothing.out


def test_an_export_keeps_records_of_segments_that_are_evicted_while_it_copies(
    stored: TestVault, run: Run, tmp_path: Path, tool: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With them the chapter of their lines may go."""
    copy = vault._copy

    def copy_and_clean(*arguments: Any) -> None:
        copy(*arguments)
        monkeypatch.setattr(VaultReader, "steps", lambda _reader: iter(()))

    monkeypatch.setattr(vault, "_copy", copy_and_clean)
    run("export", str(tmp_path / "out"))
    found = tool("vault", "verify", "--export", tmp_path / "out", "--json")
    assert (found.status, document(found)["segments"]) == (0, 2)


def test_the_newest_record_has_its_second_signature_from_the_export(
    stored: TestVault, run: Run, tmp_path: Path, tool: Callable[..., Seen]
) -> None:
    """Its next `coverage` is not written yet."""
    path = tmp_path / "state" / "vault" / "manifest.0"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    out = tmp_path / "out"
    run("export", str(out))
    found = tool("vault", "verify", "--export", out, "--json")
    said = document(found)
    assert (found.status, said["signed_twice_at_capture"], said["signed_twice_at_export"]) == (0, 1, 1)
    assert "1 record with a second signature from the export, " in tool("vault", "verify", "--export", out).out
    whole = (out / "records").read_bytes().splitlines(keepends=True)
    (out / "records").write_bytes(b"".join(whole[:-1]))
    cut = tool("vault", "verify", "--export", out)
    assert (cut.status, "1 record without a second signature on or behind it." in cut.out) == (1, True)


@pytest.mark.parametrize(
    ("owners", "state", "shown"),
    [
        ([], "no camera", "waits for an owner"),
        (["Ann"], "no camera", "no camera (starting)"),
        ([], "privacy", "privacy (starting)"),
    ],
)
def test_a_camera_that_is_not_opened_before_there_is_an_owner_is_not_said_to_be_missing(
    owners: list[str], state: str, shown: str
) -> None:
    assert status_rows._camera_words({"owners": owners, "recorder": {"state": state, "detail": "starting"}}) == shown
