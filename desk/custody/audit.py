"""Audit of a log: whether its rows are the ones that were written, in their order, and all of them.

Three witnesses are compared, each harder to change than the one before: the hash stored with each row, the newest
checkpoint that the desk signed, and the checkpoints that an auditor kept elsewhere. A person who can change the
database and use the desk's key can satisfy the first two. Only a kept checkpoint then shows the change.

Source: CUSTODY.md, "Audit".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.core.ledger import merkle
from agent.core.ledger.checkpoint import Checkpoint, open_desk_checkpoint
from agent.errors import FormatError
from agent.wire.identities import PublicKey
from desk.custody.entries import CustodyEntry, encode_entry, entry_hash

__all__ = ["AuditResult", "Finding", "FindingKind", "StoredRow", "audit_rows", "compare_with_kept"]


class FindingKind(enum.Enum):
    """Kind of a finding, named by the change that it shows."""

    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"
    UNSIGNED = "unsigned"
    """The newest checkpoint is missing, or the desk's key did not sign it."""
    ROLLED_BACK = "rolled-back"
    """The log is shorter than a checkpoint that an auditor kept."""
    FILE_CHANGED = "file-changed"
    FILE_MISSING = "file-missing"
    FILE_LEFT = "file-left"
    """Files are still there, although the log states their deletion."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `number` is the entry's, or None if it is about the whole log."""

    kind: FindingKind
    said: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as the database returns it. `entry` is None, with `problem`, if its fields do not make an entry."""

    number: int
    entry: CustodyEntry | None
    leaf: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AuditResult:
    size: int
    root: bytes
    findings: tuple[Finding, ...]
    roots: dict[int, bytes]
    """Root at each asked size that the log reaches."""

    @property
    def ok(self) -> bool:
        return not self.findings


def audit_rows(
    rows: Iterable[StoredRow], head: bytes, key: PublicKey, log: str, sizes: Sequence[int] = ()
) -> AuditResult:
    """Checks `rows`, in the order of the database's keys, against their stored hashes and the signed `head`.

    `sizes`: earlier sizes at which the caller needs the root.
    """
    wanted, roots = set(sizes), {0: merkle.EMPTY_ROOT}
    findings: list[Finding] = []
    frontier, expected, seen = merkle.Frontier(), 0, set[int]()
    for row in rows:
        findings += _place(row, expected, seen)
        # Rows are read in the order of the database's keys, so a row that was moved shows as a gap and a repetition.
        seen.add(row.number)
        expected = max(expected, row.number) + 1
        hashed, problem = _content(row, log)
        if problem:
            findings.append(Finding(FindingKind.CHANGED, f"Entry {row.number} was changed: {problem}", row.number))
        frontier = frontier.append(hashed)
        if frontier.size in wanted:
            roots[frontier.size] = frontier.root
    findings += _against_head(frontier, expected, head, key, log, explained=bool(findings))
    return AuditResult(frontier.size, frontier.root, tuple(findings), roots)


def compare_with_kept(result: AuditResult, kept: Checkpoint) -> list[Finding]:
    """Returns the findings from a checkpoint that an auditor kept. `result` must hold the root of its size."""
    if kept.size > result.size:
        return [
            Finding(
                FindingKind.ROLLED_BACK,
                f"The log has {result.size} entries, and had {kept.size} when your checkpoint was made. An old backup "
                "was put back, or the newest entries were removed.",
            )
        ]
    if result.roots.get(kept.size) != kept.root:
        return [
            Finding(
                FindingKind.REWRITTEN,
                f"The first {kept.size} entries differ from those of your checkpoint. The log was rewritten.",
            )
        ]
    return []


def _place(row: StoredRow, expected: int, seen: set[int]) -> list[Finding]:
    if row.number == expected:
        return []
    if row.number in seen or row.number < expected:
        return [
            Finding(FindingKind.REORDERED, f"Entry {row.number} is out of its order, or is there twice.", row.number)
        ]
    missing = f"Entry {expected} is" if row.number == expected + 1 else f"Entries {expected} to {row.number - 1} are"
    return [Finding(FindingKind.REMOVED, f"{missing} missing.", expected)]


def _content(row: StoredRow, log: str) -> tuple[bytes, str]:
    """Returns the hash of the row's content, and the reason if it is not the entry that was written."""
    if row.entry is None:
        return row.leaf, row.problem
    try:
        hashed = entry_hash(encode_entry(row.entry))
    except FormatError as error:
        return row.leaf, error.message
    if row.entry.organisation != log:
        return hashed, "it is of another organisation."
    return hashed, "" if hashed == row.leaf else "its content does not have its stored hash."


def _against_head(
    frontier: merkle.Frontier, reached: int, head: bytes, key: PublicKey, log: str, *, explained: bool
) -> list[Finding]:
    """Compares with the signed head. `reached`: one more than the highest number. `explained`: others were found."""
    try:
        signed = open_desk_checkpoint(head, key, log)
    except FormatError as error:
        if not head and not reached:
            return []  # a log before its first entry has no checkpoint yet
        return [Finding(FindingKind.UNSIGNED, f"The newest checkpoint does not verify: {error.message}")]
    if reached < signed.size:
        said = f"The log ends after {reached} entries, and the desk signed {signed.size}. The newest were removed."
        return [Finding(FindingKind.REMOVED, said, reached)]
    if reached > signed.size:
        said = f"The log has {reached} entries, and the desk signed {signed.size}. Entries were added."
        return [Finding(FindingKind.ADDED, said, signed.size)]
    # A finding about a row explains a wrong root already. A second one would look like another change.
    if frontier.root != signed.root and not explained:
        said = (
            "The entries do not have the root that the desk signed. Entries and their stored hashes were changed "
            "together, or entries were reordered."
        )
        return [Finding(FindingKind.REWRITTEN, said)]
    return []
