"""A name that a requester's command makes, changes or removes is on the disk before the command goes on.

Else a power cut would bring back the key of a deletion that was stated, or take a request that was published.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.core.transfer import PartSize
from tests.clients.requester.conftest import NOW_S, question
from tests.clients.requester.house import House
from tests.clients.requester.test_known_doorbells import remember
from tests.clients.requester.test_verification import verified
from tests.open_files import open_below

CELL = "287-379"


class Disk:
    """The folders in which a name has changed and that were not flushed since, and the files that were flushed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: set[Path] = set()
        self.flushed: list[str] = []
        for name in ("rename", "replace", "unlink"):
            monkeypatch.setattr(Path, name, self._noted(getattr(Path, name)))
        flush = os.fsync

        def flushes(handle: int) -> None:
            flush(handle)
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                self.waiting.discard(path)
            self.flushed.append(path.name)

        monkeypatch.setattr(os, "fsync", flushes)

    def _noted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(path: Path, *values: Any, **named: Any) -> Any:
            before = path.exists()
            done = act(path, *values, **named)
            if before:
                self.waiting.add((values[0] if values else path).parent)
            return done

        return noted


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_request_and_the_end_of_its_key(requester: Requester, disk: Disk) -> None:
    made = messages.make_request(requester, question(), now_s=NOW_S)
    assert disk.waiting == set()
    asked = requester.sent_request(made.id)
    asked.delete_reply_identity()
    assert disk.waiting == set()
    assert requester.reply_identity(made.id) is None


def test_a_doorbell_that_is_forgotten(requester: Requester, asked: SentRequest, house: House, disk: Disk) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    doors = KnownDoorbells(requester.notes)
    doors.forget(doors.all()[0].id)
    assert disk.waiting == set()
    assert doors.all() == ()


def test_a_part_is_flushed_before_it_has_its_name(tmp_path: Path, disk: Disk) -> None:
    folder = AnswerFolder(tmp_path, "1" * 32)
    folder.create(DisclosureOrigin(v=1, device="ab" * 8, parts=2, size_bytes=5, sha256="5e" * 32))
    folder.write(1, 0, b"whole")
    disk.flushed.clear()
    assert folder.seal(1, PartSize(5, hashlib.sha256(b"whole").hexdigest()))
    assert disk.flushed == ["1.part", "1.part", "1" * 32]  # before it is read back, and again by the store of parts
    assert disk.waiting == set()
    assert open_below(tmp_path) == [], "no file stays open"


@pytest.mark.parametrize(
    ("lock", "act"),
    [
        (
            "slots/lock",
            lambda who, asked: TopicSlots(who.notes).take(SlotKind.REQUESTS, CELL, asked.request.id, NOW_S),
        ),
        ("sequence.lock", lambda who, asked: who.next_number()),
        ("sequence.lock", lambda who, asked: SequenceCounter(who.notes).skip(5)),
    ],
)
def test_a_program_waits_while_another_one_counts(
    requester: Requester, asked: SentRequest, lock: str, act: Callable[[Requester, SentRequest], object]
) -> None:
    done = threading.Event()
    with (requester.folder / lock).open("ab") as another_program:
        fcntl.flock(another_program, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: (act(requester, asked), done.set()))
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(20)
    thread.join()
