"""Looks for words in every byte under a folder, as a person would who took the card: plain, in base64 and in hex.

Base64 is looked for at each of its three alignments, as far as it depends on the word alone.  Capitals count.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["spellings", "traces"]


def traces(folder: Path, words: Iterable[str]) -> list[tuple[str, str]]:
    """(path below `folder`, word) for each word that a file holds; a database's free pages and log are in files."""
    looked_for = {spelling: word for word in words for spelling in spellings(word)}
    found = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found |= {(str(path.relative_to(folder)), word) for spelling, word in looked_for.items() if spelling in data}
    return sorted(found)


def spellings(word: str) -> Iterator[bytes]:
    """Yields the spellings that `word` may have in a file."""
    data = word.encode()
    assert len(data) >= 6, "a shorter word turns up by chance"
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for before in range(3):
        whole = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + data)[-(-before * 8 // 6) : whole]
