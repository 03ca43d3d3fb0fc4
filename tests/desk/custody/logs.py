"""Logs made in memory, with what a database would keep of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.core.ledger.checkpoint import sign_desk_checkpoint
from agent.core.ledger.merkle import Frontier
from agent.wire.identities import private_key_from_seed, public_key_of
from desk.custody import tree
from desk.custody.audit import StoredRow
from desk.custody.entries import CustodyEntry, encode_entry, entry_hash
from desk.custody.log_file import LogHeader, write_log

PRIVATE = private_key_from_seed(bytes(range(32)))
KEY = public_key_of(PRIVATE)
LOG = "rijnstad-police"
NOW_MS = 1_800_000_000_000


def entry(number: int, **changed: Any) -> CustodyEntry:
    said: dict[str, Any] = {
        "actor": "Mira Jansen <mira@rijnstad.example>",
        "action": "clip.played",
        "object": f"clip {number}",
        "detail": {"case": "2026-17", "sha256": f"{number:064x}"},
    }
    said |= changed
    return CustodyEntry(v=1, organisation=LOG, number=number, at_ms=NOW_MS + number, **said)


@dataclass
class MemoryLog:
    """A log and its rows. `rows` is what an attacker edits."""

    rows: list[StoredRow] = field(default_factory=list)
    nodes: list[bytes] = field(default_factory=list)
    frontier: Frontier = field(default_factory=Frontier)

    def add(self, each: CustodyEntry) -> None:
        hashed = entry_hash(encode_entry(each))
        self.frontier, nodes = tree.append(self.frontier, hashed)
        self.rows.append(StoredRow(each.number, each, hashed))
        self.nodes.append(nodes)

    @property
    def note(self) -> bytes:
        return sign_desk_checkpoint(self.frontier, PRIVATE, LOG)

    def row(self, number: int) -> tuple[bytes, bytes]:
        return self.rows[number].leaf, self.nodes[number]

    @property
    def file(self) -> list[bytes]:
        return list(write_log(HEADER, (each.entry for each in self.rows if each.entry)))


HEADER = LogHeader(format="doorward-desk-custody/1", log=LOG, key=KEY.text)


def grown(size: int) -> MemoryLog:
    log = MemoryLog()
    for number in range(size):
        log.add(entry(number))
    return log
