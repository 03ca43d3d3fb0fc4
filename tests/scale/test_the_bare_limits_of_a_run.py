"""The limits beside the figures of a run: bare clients at a bare mosquitto, and calls of several threads."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from tests.scale.bare_peer import measure_bare
from tests.scale.bare_stores import calls_per_s


@pytest.mark.broker
def test_all_bare_clients_connect_hear_and_come_back_with_one_file_each(tmp_path: Path) -> None:
    files = len(list(Path("/proc/self/fd").iterdir()))
    found = measure_bare(tmp_path / "bare", 5, 100)
    assert min(found.connected_s, found.heard_s, found.back_s) > 0
    assert max(found.connected_s, found.heard_s, found.back_s) < 60
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 1, "nothing stays open"
    log = (tmp_path / "bare" / "bare.log").read_text()
    assert log.count("New client connected") == 5, "after the kill, as before"


def test_calls_of_several_threads_are_counted_together() -> None:
    calls, threads = itertools.count(), set[int]()

    def act() -> None:
        next(calls)
        threads.add(threading.get_ident())
        time.sleep(0.005)

    found = calls_per_s([act] * 4, 0.1)
    assert 0 < found <= next(calls) / 0.1
    assert len(threads) > 1
