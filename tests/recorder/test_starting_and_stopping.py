"""A start reads no more of the manifest than it must, and a long one ends when the process is to stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.vault import manifest
from agent.core.vault.manifest import SignedRecord, read_chain, records_about
from agent.core.vault.records import EvictionRecord, RecoveredRecord, SegmentRecord
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault_recovery import StartReport
from agent.vault.index_sqlite import SqliteIndex
from tests.vaults import TestVault, event_id, make_vault

STORED = 540


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[TestVault]:
    made = make_vault(RealDisk(), root=tmp_path / "vault", index=SqliteIndex(tmp_path / "index.sqlite"))
    yield made
    made.close()


def stock(tested: TestVault) -> list[str]:
    ids = [tested.record(b"") for _ in range(STORED)]
    tested.vault.erase(ids[:5])
    return ids


TAIL = 90
"""Lines of the last 64 KiB, in which a start looks for the newest second signature, and a few more."""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every line that is parsed."""
    lines: list[bytes] = []
    parse = manifest.parse_line

    def noting(line: bytes) -> SignedRecord:
        lines.append(line)
        return parse(line)

    for module in ("agent.core.vault.manifest", "agent.vault.manifest_reader"):
        monkeypatch.setattr(f"{module}.parse_line", noting)
    return lines


def test_a_segment_that_a_kill_cut_off_is_recovered_without_reading_the_manifest(
    tested: TestVault, parsed: list[bytes]
) -> None:
    stock(tested)
    tested.vault.record_coverage(tested.clock.now(), tested.clock.advance(900))
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(bytes(100_000))
    writer.abandon()
    parsed.clear()
    report = tested.vault.start()
    assert report.recovered == [writer.id]
    assert len(parsed) <= TAIL, f"{len(parsed)} of {STORED} lines were read"


def test_the_fate_of_a_file_that_came_back_is_found_without_parsing_the_other_lines(
    tested: TestVault, parsed: list[bytes], tmp_path: Path
) -> None:
    ids = stock(tested)
    gone = ids[2]
    kept = tested.vault.find(ids[9])
    assert kept is not None
    back = tmp_path / "vault" / "segments" / gone[0] / f"{gone}.age"
    back.write_bytes(tested.ciphertext(ids[9]))
    tested.vault.record_coverage(tested.clock.now(), tested.clock.advance(900))
    parsed.clear()
    report = tested.vault.start()
    assert report.removed == [back.name]
    assert not back.exists()
    assert len(parsed) <= TAIL


def test_what_is_found_about_segments_is_what_a_whole_reading_finds(tested: TestVault) -> None:
    ids = stock(tested)
    wanted = {ids[2], ids[9], event_id(7)}
    whole = [
        step.signed.record
        for step in read_chain(tested.log.lines())
        if step.signed
        and (
            (isinstance(step.signed.record, SegmentRecord | RecoveredRecord) and step.signed.record.id in wanted)
            or (isinstance(step.signed.record, EvictionRecord) and wanted & set(step.signed.record.segments))
        )
    ]
    assert len(whole) == 3
    assert list(records_about(tested.log.lines(), wanted)) == whole


def test_a_start_that_is_given_up_ends_at_once_and_the_next_one_goes_on_from_there(tested: TestVault) -> None:
    ids = stock(tested)
    tested.index.clear()
    tested.vault.give_up()
    with pytest.raises(StorageError, match="given up"):
        tested.vault.start()
    assert 0 < tested.vault.totals().segments < len(ids)
    tested.vault._given_up.clear()
    assert tested.vault.start() == StartReport()
    assert [entry.id for entry in tested.vault.entries()] == ids[5:]
