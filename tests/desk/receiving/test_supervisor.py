"""The supervisor outlives a database that fails for a moment."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from desk.receiving import supervisor
from desk.receiving.supervisor import Supervisor


def test_a_database_that_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, again = [], threading.Event()

    def organisations() -> list[object]:
        asked.append(None)
        if len(asked) == 1:
            raise OperationalError("the server closed the connection")
        again.set()
        return []

    rows = SimpleNamespace(objects=SimpleNamespace(all=organisations))
    monkeypatch.setattr(supervisor, "Organisation", rows)
    with Supervisor(None, None, look_every_s=0.01):  # type: ignore[arg-type]
        assert again.wait(20), "The supervisor asked the database once and then ended."
