"""Writes tests/vectors/custody: python -m tests.desk.custody.vectors."""

from __future__ import annotations

from pathlib import Path

from desk.custody import tree
from desk.custody.entries import encode_entry
from desk.custody.log_file import make_extract, make_growth
from tests.desk.custody.logs import HEADER, MemoryLog, entry

FOLDER = Path(__file__).parents[2] / "vectors" / "custody"
_KEPT = 4


def _log(size: int) -> MemoryLog:
    log = MemoryLog()
    for number in range(size):
        log.add(
            entry(
                number, actor="Zoë “Zo” de Vries <zoe@rijnstad.example>", detail={"n": [number, None, True, {"é": ""}]}
            )
            if number % 3 == 0
            else entry(number)
        )
    return log


def files() -> dict[str, bytes]:
    log, kept = _log(11), _log(_KEPT)
    size = log.frontier.size
    chosen = [(each, tree.inclusion_proof(each, size, log.row)) for each in (0, 5, 10)]
    entries = [(number, encode_entry(row), path) for number, path in chosen if (row := log.rows[number].entry)]
    return {
        "log.jsonl": b"".join(log.file),
        "checkpoint.txt": log.note,
        "kept.txt": kept.note,
        "extract.json": make_extract(HEADER, log.note, entries),
        "growth.json": make_growth(HEADER, kept.note, log.note, tree.consistency_proof(_KEPT, size, log.row)),
    }


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    write()
