"""An audit names each change of a log: removed, changed, reordered, added, rewritten, rolled back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger.checkpoint import Checkpoint, open_desk_checkpoint, sign_desk_checkpoint
from agent.core.ledger.merkle import Frontier
from agent.wire.identities import private_key_from_seed
from desk.custody.audit import AuditResult, FindingKind, StoredRow, audit_rows, compare_with_kept
from desk.custody.entries import CustodyEntry, encode_entry, entry_hash
from tests.desk.custody.logs import KEY, LOG, MemoryLog, entry, grown


def audited(log: MemoryLog, head: bytes | None = None, *sizes: int) -> AuditResult:
    return audit_rows(log.rows, log.note if head is None else head, KEY, LOG, sizes)


def kinds(result: AuditResult) -> list[tuple[FindingKind, int | None]]:
    return [(each.kind, each.number) for each in result.findings]


def kept(log: MemoryLog) -> Checkpoint:
    return open_desk_checkpoint(log.note, KEY, LOG)


def changed(row: StoredRow, *, hide: bool, **fields: object) -> StoredRow:
    """The row with other content. `hide`: its stored hash is changed to match."""
    assert row.entry is not None
    other: CustodyEntry = msgspec.structs.replace(row.entry, **fields)
    leaf = entry_hash(encode_entry(other)) if hide else row.leaf
    return StoredRow(other.number, other, leaf)


@given(st.integers(0, 40))
def test_a_log_as_it_was_written_has_no_findings(size: int) -> None:
    log = grown(size)
    result = audited(log)
    assert (result.ok, result.size, result.root) == (True, size, log.frontier.root)


def test_a_log_before_its_first_entry_needs_no_checkpoint_and_a_later_one_does() -> None:
    assert audited(grown(0), b"").ok
    assert kinds(audited(grown(1), b"")) == [(FindingKind.UNSIGNED, None)]


@given(st.integers(0, 8))
def test_a_removed_row_is_named(at: int) -> None:
    log = grown(9)
    note = log.note
    del log.rows[at]
    assert kinds(audited(log, note)) == [(FindingKind.REMOVED, at)]


def test_several_rows_removed_together_are_one_finding() -> None:
    log = grown(9)
    note = log.note
    del log.rows[3:6]
    [finding] = audited(log, note).findings
    assert finding.said == "Entries 3 to 5 are missing."


def test_rows_removed_in_the_middle_and_at_the_end_are_two_findings() -> None:
    log = grown(9)
    note = log.note
    del log.rows[8], log.rows[2]
    assert kinds(audited(log, note)) == [(FindingKind.REMOVED, 2), (FindingKind.REMOVED, 8)]


@pytest.mark.parametrize(
    "fields",
    [{"actor": "Another"}, {"action": "clip.viewed"}, {"object": "clip 9"}, {"at_ms": 5}, {"detail": {"case": "2"}}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_changed_row_is_named_and_if_its_hash_was_changed_too_the_log_is_rewritten(fields: dict[str, object]) -> None:
    log = grown(9)
    note, before = log.note, log.rows[4]
    log.rows[4] = changed(before, hide=False, **fields)
    assert kinds(audited(log, note)) == [(FindingKind.CHANGED, 4)]
    log.rows[4] = changed(before, hide=True, **fields)
    assert kinds(audited(log, note)) == [(FindingKind.REWRITTEN, None)]


def test_a_row_that_is_no_entry_or_of_another_organisation_was_changed() -> None:
    log = grown(3)
    note, before = log.note, log.rows[1]
    for row in (
        StoredRow(1, None, before.leaf, "it is not JSON."),
        changed(before, hide=True, organisation="another-police"),
        changed(before, hide=False, detail={"half": "\ud800"}),
    ):
        log.rows[1] = row
        assert kinds(audited(log, note))[0] == (FindingKind.CHANGED, 1)


def test_reordered_rows_are_noticed_whether_their_numbers_move_with_them_or_not() -> None:
    log = grown(9)
    note = log.note
    log.rows[2], log.rows[5] = log.rows[5], log.rows[2]
    assert FindingKind.REORDERED in {each.kind for each in audited(log, note).findings}

    log = grown(9)
    log.rows[2], log.rows[5] = (changed(log.rows[a], hide=False, number=b) for a, b in ((5, 2), (2, 5)))
    assert kinds(audited(log, note)) == [(FindingKind.CHANGED, 2), (FindingKind.CHANGED, 5)]

    log = grown(9)
    log.rows[2], log.rows[5] = (changed(log.rows[a], hide=True, number=b) for a, b in ((5, 2), (2, 5)))
    assert kinds(audited(log, note)) == [(FindingKind.REWRITTEN, None)]


def test_a_row_that_is_there_twice_is_noticed() -> None:
    log = grown(4)
    note = log.note
    log.rows.insert(2, log.rows[1])
    assert (FindingKind.REORDERED, 1) in kinds(audited(log, note))


def test_an_added_row_is_named() -> None:
    log = grown(4)
    note = log.note
    log.add(entry(4))
    assert kinds(audited(log, note)) == [(FindingKind.ADDED, 4)]


def test_a_head_that_another_key_signed_is_unsigned() -> None:
    log = grown(4)
    forged = sign_desk_checkpoint(log.frontier, private_key_from_seed(bytes(32)), LOG)
    assert kinds(audited(log, forged)) == [(FindingKind.UNSIGNED, None)]


@given(st.integers(0, 20), st.integers(0, 20))
def test_a_kept_checkpoint_holds_for_the_log_that_grew_and_shows_an_old_backup(then: int, now: int) -> None:
    """The old backup is whole and signed, so only the kept checkpoint shows it."""
    result = audited(grown(now), None, then)
    assert result.ok
    found = [each.kind for each in compare_with_kept(result, kept(grown(then)))]
    assert found == ([] if then <= now else [FindingKind.ROLLED_BACK])


def test_a_kept_checkpoint_shows_a_log_that_its_own_desk_rewrote_and_signed_again() -> None:
    before = kept(grown(6))
    log = MemoryLog()
    for number in range(9):
        log.add(entry(number, actor="Another" if number == 3 else "Mira"))
    result = audited(log, None, 6)
    assert result.ok
    assert [each.kind for each in compare_with_kept(result, before)] == [FindingKind.REWRITTEN]


def test_the_empty_checkpoint_holds_for_every_log() -> None:
    empty = open_desk_checkpoint(sign_desk_checkpoint(Frontier(), KEYED, LOG), KEY, LOG)
    assert not compare_with_kept(audited(grown(3), None, 0), empty)


KEYED = private_key_from_seed(bytes(range(32)))
