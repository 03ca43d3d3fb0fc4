"""Which tests are tried twice, and that what the first try said is told (decision record 0017)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONCE_WRONG = """
from pathlib import Path

def test_it() -> None:
    tried = Path(__file__).with_suffix(".tried")
    if not tried.exists():
        tried.touch()
        raise AssertionError("the first try of {}")
"""


def test_a_test_of_the_outside_is_tried_twice_and_a_proof_once_and_both_failures_are_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    for folder in ("cli", "core"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / f"test_{folder}.py").write_text(ONCE_WRONG.format(folder))
    for name in ("conftest.py", "kept_decoder.py", "skips.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said, told = done.stdout.split("FAILED AT THE FIRST TRY")
    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 rerun" in told
    assert "the first try of core" in said
    assert "the first try of cli" in told
    assert "the first try of cli" not in said
