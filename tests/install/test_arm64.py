"""A run on arm64 says which test failed, and runs again after a change of its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.install import arm64

FAILED = """\
..F.                                                                     [100%]
=================================== FAILURES ===================================
E   assert 1 == 2
=========================== short test summary info ============================
FAILED src/tests/wire/test_area.py::test_a_place_counts[a/b] - assert 1 == 2
ERROR src/tests/wire/test_time.py - ImportError
1 failed, 3 passed, 1 error in 2.00s
"""


def test_the_last_line_of_a_failed_run_names_the_tests() -> None:
    with pytest.raises(AssertionError) as caught:
        arm64.outcome(FAILED)
    assert str(caught.value).splitlines()[-1] == (
        "1 failed, 3 passed, 1 error in 2.00s: test_area.py::test_a_place_counts[a/b], test_time.py"
    )


@pytest.mark.parametrize("said", ["", "no tests ran in 0.01s", "3 passed, 1 error in 2.00s"])
def test_a_run_without_a_whole_success_has_failed(said: str) -> None:
    with pytest.raises(AssertionError):
        arm64.outcome(said)


def test_a_whole_success_gives_its_summary() -> None:
    assert arm64.outcome("....\n4 passed, 12 skipped in 2.00s\n") == "4 passed, 12 skipped in 2.00s"


def test_a_changed_test_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in arm64.TESTS:
        path = tmp_path / name if name.endswith(".py") else tmp_path / name / "test_one.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    monkeypatch.setattr(arm64, "ROOT", tmp_path)
    keys = {arm64._key()}
    for name in arm64.TESTS:
        path = tmp_path / name if name.endswith(".py") else tmp_path / name / "test_one.py"
        path.write_text("after")
        keys.add(arm64._key())
    assert len(keys) == len(arm64.TESTS) + 1
