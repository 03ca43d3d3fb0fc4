"""The files and notes of an answer or a tip, wherever a desk has its stores: a folder, or a database and a bucket.

Tests look and damage through these functions, so that one test holds for both (`DOORWARD_TEST_DESK=grown`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester import disclosure_folder
from agent.clients.requester.disclosure_folder import ANSWERS, DisclosureOrigin
from agent.clients.requester.identity import Requester
from agent.core.transfer import PartSize
from agent.errors import StorageError
from desk.storage.s3_parts import S3Parts

__all__ = ["change_part", "is_kept", "lose", "lose_part", "refuse_deletion", "spoil", "store", "write_note"]


def store(requester: Requester, disclosure: str, *parts: bytes) -> None:
    """Stores parts as they arrive, with a note of their origin. Their content is of no matter here."""
    answer = requester.answer(disclosure)
    first = _size_of(parts[0])
    device = "0" * 16
    origin = DisclosureOrigin(v=1, device=device, parts=len(parts), size_bytes=first.size_bytes, sha256=first.sha256)
    answer.create(origin)
    for number, part in enumerate(parts):
        answer.write(number, 0, part)
        assert answer.seal(number, _size_of(part))


def _size_of(data: bytes) -> PartSize:
    return PartSize(len(data), hashlib.sha256(data).hexdigest())


def is_kept(requester: Requester, disclosure: str) -> bool:
    """Returns True if a note or a part of it is there."""
    answer = requester.answer(disclosure)
    return answer.is_known() or bool(answer.sealed()) or answer.path.exists()


def lose(requester: Requester, disclosure: str) -> None:
    """Removes all of it without telling the desk, as a person with access to the stores can."""
    requester.answer(disclosure).delete()


def write_note(requester: Requester, disclosure: str, name: str, data: bytes) -> None:
    """Puts other bytes in the place of a note."""
    requester.notes.write(f"{ANSWERS}/{disclosure}/{name}", data)


def change_part(requester: Requester, disclosure: str, number: int, change: Callable[[bytes], bytes]) -> None:
    """Puts other bytes in the place of a part, with the hash that a bucket keeps beside it, as a person with access to
    the stores can."""
    answer, parts = requester.answer(disclosure), requester._parts
    data = change(answer.read_part(number, 1 << 30))
    if isinstance(parts, S3Parts):
        key = parts._key(disclosure, number)
        beside = {"sha256": hashlib.sha256(data).hexdigest()}
        parts._client.put_object(Bucket=parts._bucket, Key=key, Body=data, Metadata=beside)
    else:
        (answer.path / f"{number}.age").write_bytes(data)


def spoil(data: bytes) -> bytes:
    """Returns the bytes with another last one."""
    return data[:-1] + bytes([data[-1] ^ 1])


def lose_part(requester: Requester, disclosure: str, number: int) -> None:
    """Removes one part without telling the desk."""
    parts = requester._parts
    if isinstance(parts, S3Parts):
        parts._client.delete_object(Bucket=parts._bucket, Key=parts._key(disclosure, number))
    else:
        (requester.answer(disclosure).path / f"{number}.age").unlink()


def refuse_deletion(monkeypatch: pytest.MonkeyPatch, disclosure: str = "") -> None:
    """Lets the stores refuse to delete the parts of that answer, or of all."""
    remove_folder, remove_parts = disclosure_folder.shutil.rmtree, S3Parts.remove

    def refuse_folder(path: Path) -> None:
        if disclosure in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        remove_folder(path)

    def refuse_parts(parts: S3Parts, named: str) -> None:
        if disclosure in named:
            raise StorageError(f"The parts of {named} could not be deleted.", remedy="The bucket locks them.")
        remove_parts(parts, named)

    monkeypatch.setattr(disclosure_folder.shutil, "rmtree", refuse_folder)
    monkeypatch.setattr(S3Parts, "remove", refuse_parts)
