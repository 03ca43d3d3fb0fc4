"""The index is copied once a day, and thread and recording survive a copy that fails."""

from __future__ import annotations

import pytest

from agent.errors import StorageError
from agent.recorder import index_copy
from agent.recorder.index_copy import copy_index_daily


def test_the_first_copy_comes_soon_and_the_others_daily_though_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_copy, "work_idly", lambda: None)
    waits: list[float] = []
    copies: list[int] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    def keep() -> None:
        copies.append(len(waits))
        if len(waits) == 2:
            raise StorageError("The disk is full.")

    copy_index_daily(keep, wait)
    assert waits == [600, 86_400, 86_400, 86_400]
    assert copies == [1, 2, 3]
