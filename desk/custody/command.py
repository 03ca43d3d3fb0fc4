"""`doorward-desk audit`: whether a custody log and the sealed files are as they were written."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import click

from agent.core.ledger.checkpoint import MAX_NOTE_BYTES, Checkpoint, open_desk_checkpoint
from agent.errors import ConfigurationError, OpenError
from agent.platform import files
from agent.wire.identities import PublicKey, parse_public_key
from desk.custody import log
from desk.custody.answers import audit_files
from desk.custody.audit import AuditResult, Finding, FindingKind, audit_rows, compare_with_kept
from desk.custody.keys import desk_key
from desk.custody.log_file import audit_log_file, read_header
from desk.people.models import Organisation

__all__ = ["audit"]

_HEADER_LIMIT_BYTES: Final = 4096
_FOUND: Final = 1
_TRIES: Final = 10
"""A busy desk adds entries all the time. A row that it did not sign is found each time."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--organisation", help="Short name of the organisation (default: all of them).")
@click.option("--checkpoint", "kept", multiple=True, type=_FILE, help="A checkpoint that an auditor kept.")
@click.option("--log", "log_file", type=_FILE, help="Audit this downloaded log instead of the desk's database.")
@click.option("--head", type=_FILE, help="The checkpoint that was downloaded with --log.")
@click.option("--key", help="Public key of the desk, as its auditor's page shows it (ed25519:…).")
@click.option("--no-files", is_flag=True, help="Leave out the sealed files. Reading them takes a minute for 10 GB.")
def audit(
    organisation: str | None,
    kept: tuple[Path, ...],
    log_file: Path | None,
    head: Path | None,
    key: str | None,
    no_files: bool,
) -> None:
    """Check the custody log: each row, the signed head, the sealed files, and checkpoints that an auditor kept.

    Exit status 0 if all is as it was written, 1 if anything was removed, changed, reordered or put back.
    """
    known = parse_public_key(key) if key else None
    if log_file is not None:
        if head is None:
            raise ConfigurationError("--log needs --head.", remedy="Give the checkpoint that was downloaded with it.")
        ok = _audit_file(log_file, head, known, kept)
    else:
        chosen = _organisations(organisation)
        outcomes = [_audit_desk(each, known, kept, files_too=not no_files) for each in chosen]
        foreign = _foreign(kept, set(Organisation.objects.values_list("requester_id", flat=True)))
        _print(foreign)
        ok = all(outcomes) and not foreign
    sys.exit(0 if ok else _FOUND)


def _audit_file(path: Path, head: Path, known: PublicKey | None, kept: Sequence[Path]) -> bool:
    with files.storage_errors(path), path.open("rb") as file:
        header = read_header(file.readline(_HEADER_LIMIT_BYTES))
        # `audit_log_file` begins with the header's line, too.
        file.seek(0)
        key = known or parse_public_key(header.key)
        checkpoints, findings = _kept(kept, key, header.log)
        findings += _foreign(kept, {header.log})
        sizes = [each.size for each in checkpoints.values()]
        _, result = audit_log_file(file, files.read(head, MAX_NOTE_BYTES), known, sizes)
    return _report(header.log, key, result, [*findings, *_compared(result, checkpoints)])


def _audit_desk(organisation: Organisation, known: PublicKey | None, kept: Sequence[Path], *, files_too: bool) -> bool:
    name, key = organisation.requester_id, desk_key()
    checkpoints, findings = _kept(kept, key, name)
    if known is not None and known != key:
        findings.append(Finding(FindingKind.UNSIGNED, "The desk signs with another key than the given one."))
    sizes = [each.size for each in checkpoints.values()]
    result = _audit_rows(organisation, key, sizes)
    findings += _compared(result, checkpoints)
    if result.ok and not result.size:
        # An empty log without a head is consistent, so it is checked separately.
        said = "The log is empty. Its first entry was written when the organisation was made. All of it was removed."
        findings.append(Finding(FindingKind.REMOVED, said, 0))
    if files_too:
        findings += audit_files(organisation)
    return _report(name, key, result, findings)


def _audit_rows(organisation: Organisation, key: PublicKey, sizes: Sequence[int]) -> AuditResult:
    """Audits the rows in the database. If the desk adds an entry between head and rows, it looks again."""
    for _ in range(_TRIES):
        note = log.newest_note(organisation)
        result = audit_rows(log.stored_rows(organisation), note, key, organisation.requester_id, sizes)
        if result.ok or log.newest_note(organisation) == note:
            break
    return result


def _organisations(name: str | None) -> list[Organisation]:
    found = list(Organisation.objects.filter(requester_id=name) if name else Organisation.objects.all())
    if not found:
        raise ConfigurationError(
            f"There is no organisation {name}." if name else "There is no organisation.",
            remedy="Give its short name, as its page shows it."
            if name
            else "Nothing was logged yet: the first admin sets an organisation up, by the link that 'serve' prints.",
        )
    return found


def _kept(paths: Sequence[Path], key: PublicKey, name: str) -> tuple[dict[Path, Checkpoint], list[Finding]]:
    """Returns the kept checkpoints of that log, and a finding for each that this desk did not sign."""
    opened: dict[Path, Checkpoint] = {}
    findings = []
    for path in paths:
        note = files.read(path, MAX_NOTE_BYTES)
        # One command may take the checkpoints of all organisations (`_foreign`).
        if _log_of(note) != name:
            continue
        try:
            opened[path] = open_desk_checkpoint(note, key, name)
        except OpenError:
            said = f"{path.name}: this desk's key did not sign it. The desk or its key was replaced."
            findings.append(Finding(FindingKind.UNSIGNED, said))
    return opened, findings


def _foreign(paths: Sequence[Path], logs: Collection[str]) -> list[Finding]:
    """Returns a finding for each kept checkpoint that is of none of these logs, and so is compared with nothing."""
    # A log that was renamed, or removed with its organisation, would otherwise pass with the checkpoint that shows it.
    named = ((path.name, _log_of(files.read(path, MAX_NOTE_BYTES))) for path in paths)
    return [
        Finding(
            FindingKind.REMOVED,
            f"{name}: this is a checkpoint of the log “{log_name}”, and there is no such log here. It was removed or "
            "renamed, or this is another desk or file.",
        )
        for name, log_name in named
        if log_name not in logs
    ]


def _log_of(note: bytes) -> str:
    """Returns the name of the log that a checkpoint names in its first line."""
    return note.split(b"\n", 1)[0].decode("utf-8", "replace").rpartition("/")[2]


def _compared(result: AuditResult, kept: dict[Path, Checkpoint]) -> list[Finding]:
    return [finding for checkpoint in kept.values() for finding in compare_with_kept(result, checkpoint)]


def _report(name: str, key: PublicKey, result: AuditResult, more: Sequence[Finding]) -> bool:
    findings = [*result.findings, *more]
    click.echo(f"{name}: {result.size} entries, root {result.root.hex()}, key {key.text}")
    _print(findings)
    if not findings:
        click.secho("  ✓ nothing was removed, changed or reordered", fg="green")
    return not findings


def _print(findings: Sequence[Finding]) -> None:
    for each in findings:
        click.secho(f"  ✗ {each.kind.value}: {each.said}", fg="red")
