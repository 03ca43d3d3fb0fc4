"""The only writer of the custody log, and its reader.

    with transaction.atomic():
        case.delete_footage()
        log.record(organisation, person, "case.deleted", f"case {case.number}", case=case.number)

`record` belongs in the transaction of the act. For an act without a change, for example a view, call it before the
first byte leaves. Give `case=` whenever the act is about a case, so that the report of the case shows it. The objects
`case <number>` and `answer <disclosure id>` have a meaning: the case's extract and the audit of files read them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from django.db import transaction

from agent.core.ledger.checkpoint import sign_desk_checkpoint
from agent.core.ledger.merkle import Frontier
from agent.errors import FormatError
from agent.wire.fields import clean_text
from desk.custody import tree
from desk.custody.audit import StoredRow
from desk.custody.entries import CustodyEntry, encode_entry, entry_hash, plain_detail, plain_text
from desk.custody.keys import desk_key, private_key
from desk.custody.log_file import LogHeader, make_extract
from desk.custody.models import Entry, LogHead
from desk.people.models import Organisation, Person

__all__ = ["entry_of", "extract", "header_of", "name_of", "newest_note", "record", "row_reader", "stored_rows"]

_TEXT_LIMITS: Final = {"actor": 160, "action": 40, "object": 120, "case_number": 64}
_NS_PER_MS: Final = 1_000_000
_BATCH: Final = 2000
_CASE: Final = "case "
_BRACKETS: Final = {ord("<"): "(", ord(">"): ")"}


@transaction.atomic
def record(
    organisation: Organisation,
    actor: Person | str,
    action: str,
    object: str,
    **detail: object,
) -> Entry:
    """Appends one entry, in the transaction of the act that it tells of.

    `actor`: the person, or the name of a process, for example "receiver".
    """
    LogHead.objects.get_or_create(organisation=organisation)
    # The lock gives numbers without gaps: entries of one organisation are written one after the other, until each
    # commit.
    head = LogHead.objects.select_for_update(no_key=True).get(organisation=organisation)
    frontier = _frontier(head)
    entry = _fitting(
        CustodyEntry(
            v=1,
            organisation=organisation.requester_id,
            number=frontier.size,
            at_ms=time.time_ns() // _NS_PER_MS,
            actor=_cut("actor", name_of(actor)),
            action=_cut("action", action),
            object=_cut("object", str(object)),
            detail=plain_detail(detail),
        )
    )
    hashed = entry_hash(encode_entry(entry))
    frontier, nodes = tree.append(frontier, hashed)
    head.frontier = frontier.dump()
    head.note = sign_desk_checkpoint(frontier, private_key(), organisation.requester_id).decode("utf-8")
    head.save()
    return Entry.objects.create(
        organisation=organisation,
        number=entry.number,
        at_ms=entry.at_ms,
        actor=entry.actor,
        action=entry.action,
        object=entry.object,
        detail=entry.detail,
        case_number=_case_of(entry),
        leaf=hashed,
        nodes=nodes,
    )


def entry_of(row: Entry) -> CustodyEntry:
    """Returns the entry that the fields of the row make."""
    return CustodyEntry(
        v=1,
        organisation=row.organisation.requester_id,
        number=row.number,
        at_ms=row.at_ms,
        actor=row.actor,
        action=row.action,
        object=row.object,
        detail=row.detail,
    )


def stored_rows(organisation: Organisation) -> Iterator[StoredRow]:
    """Yields all rows of a log as the database has them, in the order in which they were inserted."""
    rows = Entry.objects.filter(organisation=organisation).select_related("organisation").order_by("pk")
    for row in rows.iterator(chunk_size=_BATCH):
        problem = "" if row.case_number == _case_of(row) else "its case differs from its detail."
        # The case number is not hashed. It repeats a part of the entry for the index, so it must follow from the entry.
        entry = None if problem else entry_of(row)
        yield StoredRow(row.number, entry, bytes(row.leaf), problem)


def newest_note(organisation: Organisation) -> bytes:
    """Returns the signed checkpoint of the newest entry, or nothing before the first."""
    head = LogHead.objects.filter(organisation=organisation).first()
    return head.note.encode("utf-8") if head else b""


def header_of(organisation: Organisation) -> LogHeader:
    """Returns the first line of the log file."""
    return LogHeader(format="doorward-desk-custody/1", log=organisation.requester_id, key=desk_key().text)


def row_reader(organisation: Organisation) -> tree.GetRow:
    """Returns a reader of single rows, for proofs."""

    def read(number: int) -> tuple[bytes, bytes]:
        found = Entry.objects.filter(organisation=organisation, number=number).values_list("leaf", "nodes").first()
        if found is None:
            raise FormatError(f"Entry {number} is missing.", remedy="Run 'doorward-desk audit'.")
        return bytes(found[0]), bytes(found[1])

    return read


def extract(organisation: Organisation, rows: Iterable[Entry]) -> bytes:
    """Returns the extract with those entries, each with the proof to the newest checkpoint."""
    with transaction.atomic():
        head = LogHead.objects.get(organisation=organisation)
        # Proofs lead to this head, although further entries may come meanwhile.
        size, read = _frontier(head).size, row_reader(organisation)
        entries = [
            (row.number, encode_entry(entry_of(row)), tree.inclusion_proof(row.number, size, read)) for row in rows
        ]
        return make_extract(header_of(organisation), head.note.encode("utf-8"), entries)


def name_of(actor: Person | str) -> str:
    """Returns name and address of a person. The address stays whole, and only the address has angle brackets."""
    if not isinstance(actor, Person):
        return actor
    address = f"<{actor.email[: _TEXT_LIMITS['actor'] - 2]}>"
    # People choose their names: a long one must leave the address in the entry, and none may look like another address.
    name = plain_text(clean_text(actor.get_full_name()).translate(_BRACKETS), _TEXT_LIMITS["actor"] - len(address) - 1)
    return f"{name} {address}".strip()


def _frontier(head: LogHead) -> Frontier:
    stored = bytes(head.frontier)
    return Frontier.load(stored) if stored else Frontier()


def _case_of(entry: CustodyEntry | Entry) -> str:
    """Returns the number of the case that an entry is about, from its detail, or from its object `case <number>`."""
    stated = entry.detail.get("case") if isinstance(entry.detail, dict) else None
    if stated is None and entry.object.startswith(_CASE):
        stated = entry.object.removeprefix(_CASE)
    return _cut("case_number", str(stated)) if stated is not None else ""


def _cut(name: str, text: str) -> str:
    return plain_text(text, _TEXT_LIMITS[name])


def _fitting(entry: CustodyEntry) -> CustodyEntry:
    """Returns the entry. A detail that is too long is cut to the case, so that the act does not fail for it."""
    try:
        encode_entry(entry)
    except FormatError:
        return msgspec.structs.replace(entry, detail={"case": _case_of(entry), "cut": True})
    return entry
