"""Hashes of the sealed files of an answer, recorded in the custody log when the answer is complete.

The listing has one line for each file, as `sha256sum` writes it. The custody log keeps the SHA-256 of the listing, the
number of files and their bytes. The listing itself is stored beside the log, so that an audit can name a swapped file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.errors import StorageError
from desk.custody.audit import Finding, FindingKind

__all__ = ["Listing", "SealedFiles", "check_answer", "list_sealed_files"]

_MOST_NAMED: Final = 10
SealedFiles = Iterable[tuple[str, Iterator[bytes]]]
"""Names and contents of files that never change once an answer is complete, in the order of the listing."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Names and hashes of the sealed files of one answer."""

    text: bytes
    count: int
    size_bytes: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text).hexdigest()


def list_sealed_files(sealed: SealedFiles) -> Listing:
    """Reads and hashes each sealed file of an answer. Raises `StorageError` and `NetworkError`."""
    lines, size = [], 0
    for name, pieces in sealed:
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
        lines.append(f"{digest.hexdigest()}  {name}\n")
    return Listing("".join(lines).encode("ascii"), len(lines), size)


def check_answer(
    sealed: SealedFiles, what: str, sha256: str, known: bytes | None, number: int | None = None
) -> list[Finding]:
    """Returns the findings if the files `sealed` are not those of the listing with that hash.

    `what`: name of the answer. `known`: the stored listing, if there is one. `number`: the entry that holds the hash.
    """
    try:
        found = list_sealed_files(sealed)
    except StorageError as error:
        return [Finding(FindingKind.FILE_MISSING, f"{what}: {error.message}", number)]
    if found.sha256 == sha256:
        return []
    if known is None or hashlib.sha256(known).hexdigest() != sha256:
        said = f"{what}: its sealed files differ from those that arrived."
        return [Finding(FindingKind.FILE_CHANGED if found.count else FindingKind.FILE_MISSING, said, number)]
    return [Finding(kind, f"{what}: {said}", number) for kind, said in _differences(_by_name(known), found)]


def _differences(then: dict[str, str], found: Listing) -> Iterator[tuple[FindingKind, str]]:
    now = _by_name(found.text)
    missing = sorted(set(then) - set(now))
    if missing:
        yield FindingKind.FILE_MISSING, f"{_named(missing)} removed."
    changed = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    if changed:
        yield FindingKind.FILE_CHANGED, f"{_named(changed)} changed since it arrived."
    added = sorted(set(now) - set(then))
    if added:
        yield FindingKind.FILE_CHANGED, f"{_named(added)} added since it arrived."


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more + (" was" if len(names) == 1 else " were")


def _by_name(text: bytes) -> dict[str, str]:
    pairs = (line.split("  ", 1) for line in text.decode("ascii").splitlines())
    return {name: digest for digest, name in pairs}
