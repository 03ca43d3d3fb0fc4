"""Checks while a test runs that every attribute of the recorder is written by its owner (`platform.thread_owners`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from agent.platform.thread_owners import AttributeOwner, ThreadOwned


class WrongThreadError(AssertionError):
    """A thread wrote an attribute of another owner."""


class ThreadOwnerCheck:
    """`write` replaces `ThreadOwned.__setattr__`. The first thread that writes for an owner is that owner.

    Another thread may take over only after the first one has ended: each stream has its own analysis thread.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._lock = threading.Lock()
        self._owners: WeakKeyDictionary[ThreadOwned, dict[AttributeOwner, threading.Thread]] = WeakKeyDictionary()

    def write(self, written: ThreadOwned, name: str, value: Any) -> None:
        if name in vars(written):  # the first write is that of `__init__`, before other threads know the object
            self._check(written, name)
        object.__setattr__(written, name, value)

    def _check(self, written: ThreadOwned, name: str) -> None:
        owner, writer = type(written).WRITTEN_BY.get(name), threading.current_thread()
        place = f"{type(written).__name__}.{name}"
        if owner is None:
            self._report(f"{place} has no declared owner, and '{writer.name}' writes it after __init__.")
        if owner is AttributeOwner.LOCK:
            if not vars(written)["lock"]._is_owned():
                self._report(f"'{writer.name}' writes {place} without holding its lock.")
            return
        with self._lock:
            owners = self._owners.setdefault(written, {})
            known = owners.get(owner)
            if known is None or not known.is_alive():
                owners[owner] = known = writer
        if known is not writer:
            self._report(f"'{writer.name}' writes {place}, which belongs to '{known.name}'.")

    def _report(self, violation: str) -> None:
        self.violations.append(violation)
        raise WrongThreadError(violation)


def plant(written: object, **values: object) -> None:
    """Sets attributes of a part for a test, past the check."""
    for name, value in values.items():
        assert name in vars(written), f"{type(written).__name__} has no attribute {name}"
        object.__setattr__(written, name, value)


@contextmanager
def checked_owners() -> Iterator[ThreadOwnerCheck]:
    """Checks every write inside the block; the caller looks at `violations`."""
    check = ThreadOwnerCheck()

    def write(written: ThreadOwned, name: str, value: Any) -> None:
        check.write(written, name, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadOwned, "__setattr__", write)
        yield check


@pytest.fixture(autouse=True)
def thread_owners() -> Iterator[ThreadOwnerCheck]:
    """Fails every test of a folder with a conftest.py that imports this fixture, if a thread wrote an attribute of
    another thread."""
    with checked_owners() as check:
        yield check
    assert not check.violations, "\n".join(check.violations)
