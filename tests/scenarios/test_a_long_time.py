"""A quarter of an hour in a few seconds, in every run; `python -m bench.day 24` is the same for a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.day import run
from tests.lengths import LONG

pytestmark = [LONG, pytest.mark.footage]


def test_memory_stays_flat_no_thread_is_left_and_the_times_stay_true(footage: Path, tmp_path: Path) -> None:
    found = run(0.25, footage, tmp_path)
    assert found["threads_left"] == 0
    assert found["dropped"] == 0
    assert found["segments"] == found["stored"] > 10
    assert found["worst_drift_us"] == 0
    assert found["with_whole_sound"] == found["stored"]
    assert found["worst_sound_drift_us"] <= 1000 * found["hours"], "a millisecond an hour"
    assert 600 < found["last_span_end_s"] <= 900
    assert found["rss_end_mb"] - found["rss_begin_mb"] < 40
