"""Every state in which a cut can leave a vault: made while the story is told, at every call, for every survival.

A state is what lies on the disk, how old the index is, and what the outside world had been told.  States that do not
differ are visited once.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from agent.core.retention import ChapterLimits
from agent.core.vault.entries import VaultEntry
from agent.core.vault.manifest import ChainHead
from tests.crash.vault_story import Story, tell
from tests.fake_disk import FakeDisk, Survival
from tests.fake_index import FakeIndex

__all__ = ["CrashState", "explore"]

_AGES = (0.0, 0.5, 1.0)
"""Ages of the index found after the cut: as new as it can be, from the middle of its life, empty."""


@dataclass(frozen=True)
class CrashState:
    """The disk found after a cut before the `call`-th call, which would have been `name`."""

    call: int
    name: str
    disk: FakeDisk
    index: tuple[ChainHead, dict[str, VaultEntry]]
    story: Story
    chapters: ChapterLimits | None = None


def explore(
    visit: Callable[[CrashState], None],
    *,
    draws: int,
    step: int = 1,
    without_effect: frozenset[str] = frozenset(),
    chapters: ChapterLimits | None = None,
) -> int:
    """Visit every `step`-th state of one telling of the story; returns how many different ones were visited.

    draws: how many times "any part of it, torn" is drawn at each call.
    """
    seen: set[bytes] = set()
    index, story = FakeIndex(), Story()
    survivals = [(survival, draw) for survival in Survival for draw in range(draws if survival is Survival.SOME else 1)]
    number = 0

    def before(call: int, name: str) -> None:
        nonlocal number
        told = story.copy()
        for survival, draw in survivals:
            wanted = [age for at, age in enumerate(_AGES, start=number) if at % step == 0]
            number += len(_AGES)
            if not wanted:
                continue
            after = disk.after_cut(survival, random.Random(call * 1000 + draw))
            mark = _mark(after, told)
            for age in wanted:
                known = index.history[round((len(index.history) - 1) * (1 - age))]
                if (mark + known[0].previous.encode()) not in seen:
                    seen.add(mark + known[0].previous.encode())
                    visit(CrashState(call, name, after, known, told, chapters))

    disk = FakeDisk(before=before, without_effect=without_effect)
    tell(disk, index, story, chapters=chapters)
    return len(seen)


def _mark(disk: FakeDisk, story: Story) -> bytes:
    mark = hashlib.sha256(repr((sorted(story.media), sorted(story.held), sorted(story.evicted))).encode())
    for directory, name, data in disk.state():
        mark.update(f"{directory}/{name}:{len(data)}:".encode() + data)
    return mark.digest()
