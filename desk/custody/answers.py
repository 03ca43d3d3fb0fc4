"""Entries about the sealed files of an answer or a tip, which `doorward-desk audit` compares with the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Q

from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import is_id
from agent.errors import StorageError
from agent.platform import files
from desk.custody.audit import Finding, FindingKind
from desk.custody.models import Entry
from desk.custody.sealed_files import check_answer, list_sealed_files
from desk.people.models import Organisation
from desk.people.organisations import folder_of
from desk.storage.shared_parts import shared_parts
from desk.storage.shared_stores import shared_stores

__all__ = ["DELETED", "FILES_SHA256", "audit_files", "sealed_files", "sealed_in"]

DELETED: Final = frozenset({"answer.deleted", "tip.deleted"})
FILES_SHA256: Final = "files_sha256"
_OBJECT: Final = re.compile(r"(answer|tip) ([0-9a-f]+)")
"""Object of an entry about an answer or a tip, with its id."""
_NOTES: Final = ("origin.json", "request.dsse")
_LISTING_LIMIT_BYTES: Final = 128 << 20


def sealed_files(organisation: Organisation, disclosure: str) -> dict[str, object]:
    """Returns the detail for the entry that states that an answer or a tip has arrived: the hash of the list of its
    files.

    It also stores the list beside the log, so that an audit can name a swapped file. Raises `StorageError`.
    """
    listing = list_sealed_files(sealed_in(_answer(organisation, disclosure)))
    path = _listing_path(organisation, disclosure)
    files.make_folder(path.parent)
    # Before the entry: a list without an entry shows that the log was put back to an older state (`_unnamed`).
    files.write(path, listing.text)
    return {"files": listing.count, "size_bytes": listing.size_bytes, FILES_SHA256: listing.sha256}


def audit_files(organisation: Organisation) -> Iterator[Finding]:
    """Yields the findings about sealed files: all that the log states as complete and not as deleted."""
    present: dict[str, tuple[int, str]] = {}
    deleted: dict[str, int] = {}
    rows = Entry.objects.filter(organisation=organisation).order_by("number")
    names: dict[str, str] = {}
    for row in rows.filter(Q(object__startswith="answer ") | Q(object__startswith="tip ")).iterator():
        matched = _OBJECT.fullmatch(row.object)
        if matched is None or not is_id(matched[2]):
            continue
        disclosure = matched[2]
        names[disclosure] = row.object.capitalize()
        if row.action in DELETED:
            present.pop(disclosure, None)
            deleted[disclosure] = row.number
        elif sha256 := row.detail.get(FILES_SHA256):
            present[disclosure] = (row.number, str(sha256))
    yield from _unnamed(organisation, present.keys() | deleted.keys())
    for disclosure, (number, sha256) in present.items():
        known, sealed = _known(organisation, disclosure), sealed_in(_answer(organisation, disclosure))
        yield from check_answer(sealed, names[disclosure], sha256, known, number)
    for disclosure, number in deleted.items():
        if list_sealed_files(sealed_in(_answer(organisation, disclosure))).count:
            said = f"{names[disclosure]}: the log states that it is deleted, and sealed files of it are there."
            yield Finding(FindingKind.FILE_LEFT, said, number)


def _unnamed(organisation: Organisation, named: Set[str]) -> Iterator[Finding]:
    """Yields a finding for each stored listing of an answer that the log lacks. It was written with an entry, so
    the entry was removed, for example by an old backup of the database. The files on the disk show it."""
    folder = _listing_path(organisation, "any").parent
    for path in (folder / name for name in files.names_in(folder) if name.endswith(".sha256")):
        if is_id(path.stem) and path.stem not in named:
            said = f"Answer {path.stem}: it arrived, and the log does not name it. An old backup of the database was "
            yield Finding(FindingKind.ROLLED_BACK, f"{said}put back, or the newest entries were removed.")


def sealed_in(answer: AnswerFolder) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yields the files that never change once the answer is complete. The receipt may follow later."""
    for number in sorted(answer.sealed()):
        yield f"{number}.age", answer.pieces_of(number)
    for name in _NOTES:
        data = answer.note(name)
        if data is not None:
            yield name, iter((data,))


def _answer(organisation: Organisation, disclosure: str) -> AnswerFolder:
    folder, parts = folder_of(organisation), shared_parts(organisation.requester_id)
    stores = shared_stores(organisation.requester_id, folder, parts)
    return AnswerFolder(folder, disclosure, parts, stores.notes if stores else None)


def _listing_path(organisation: Organisation, disclosure: str) -> Path:
    folder: Path = settings.DATA / "custody" / organisation.requester_id
    return folder / f"{disclosure}.sha256"


def _known(organisation: Organisation, disclosure: str) -> bytes | None:
    try:
        return files.read(_listing_path(organisation, disclosure), _LISTING_LIMIT_BYTES)
    except StorageError:
        return None  # the listing helps to name a file; its hash in the log decides
