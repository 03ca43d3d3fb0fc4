"""Takes a stopped doorbell's newest footage back to what a power cut leaves of it."""

from __future__ import annotations

from pathlib import Path

from agent.core.vault.age.header import split
from agent.core.vault.fields import FileKind, VaultFile
from agent.core.vault.manifest import read_chain
from agent.core.vault.records import SegmentRecord
from agent.custodian.state_folder import StateFolder

_SEVERAL_SECONDS_BYTES = 500_000


def cut_the_power(state_dir: Path) -> tuple[str, str]:
    """Takes back two segments to where they were being written: one half there, one hardly begun.

    They are the last two, if the last one has several whole seconds; shorter ones behind it were never begun.
    """
    folder = StateFolder(state_dir)
    manifest = folder.vault / "manifest.0"
    lines = manifest.read_bytes().splitlines(keepends=True)
    steps = read_chain(lines)
    found = [
        (number, step.signed.record)
        for number, step in enumerate(steps)
        if step.signed and isinstance(step.signed.record, SegmentRecord)
    ]
    while _file(folder, found[-1][1]).stat().st_size < _SEVERAL_SECONDS_BYTES:
        _, never_begun = found.pop()
        for path in _file(folder, never_begun).parent.glob(f"{never_begun.id}*"):
            path.unlink()
    (first, early), (_, half) = found[-2:]
    manifest.write_bytes(b"".join(lines[:first]))
    for record in (early, half):
        whole = _file(folder, record)
        data = whole.read_bytes()
        kept = split(data) + 100 if record is early else len(data) * 3 // 4
        whole.unlink()
        (whole.parent / VaultFile(record.id, FileKind.PART).name).write_bytes(data[:kept])
    for path in folder.index.parent.glob("index.sqlite*"):
        path.unlink()
    return early.id, half.id


def _file(folder: StateFolder, record: SegmentRecord) -> Path:
    return folder.vault / "segments" / record.id[0] / VaultFile(record.id, FileKind.SEGMENT).name
