"""A test is skipped for a listed reason or fails, and what only runs at length is counted."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.skips import may_be_skipped

ROOT = Path(__file__).parents[2]
_SKIPS = re.compile(r"\.\s*skip(if)?\s*\(")
"""A file without it is not parsed."""


def written_reasons() -> Iterator[tuple[str, str]]:
    """Yield each reason in our tests that is written out, with any number in place of what is filled in."""
    for path in sorted((ROOT / "tests").glob("**/*.py")):
        if "node_modules" in path.parts or not _SKIPS.search(source := path.read_text()):
            continue
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            if not isinstance(node.func, ast.Attribute) or node.func.attr not in ("skip", "skipif"):
                continue  # before `unparse`, which takes longer than all the rest
            called = ast.unparse(node.func)
            values = node.args[:1] if called == "pytest.skip" else []
            values += [each.value for each in node.keywords if each.arg == "reason" and called.endswith("mark.skipif")]
            for value in values:
                if isinstance(value, ast.Constant):
                    yield f"{path.name}:{node.lineno}", str(value.value)


def test_every_reason_that_is_written_out_is_listed() -> None:
    reasons = list(written_reasons())
    assert len(reasons) > 25
    assert [(where, reason) for where, reason in reasons if not may_be_skipped(reason)] == []


def test_a_reason_that_is_not_listed_fails_and_a_test_at_length_is_left_out_and_counted(tmp_path: Path) -> None:
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    folder = tmp_path / "tests" / "core"
    folder.mkdir(parents=True)
    for name in ("conftest.py", "kept_decoder.py", "skips.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    (folder / "test_it.py").write_text(
        "import pytest\n"
        "def test_listed(): pytest.skip('there is no C compiler')\n"
        "def test_lazy(): pytest.skip('not today')\n"
        "@pytest.mark.skip(reason='flaky')\ndef test_marked(): pass\n"
        "@pytest.mark.at_length('make prove-consent')\ndef test_long(): raise AssertionError\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "1 failed, 1 skipped, 1 deselected, 1 error" in done.stdout
    assert "tests/skips.py does not list this reason for skipping: not today" in done.stdout
    assert "1 test runs at length only: make prove-consent" in done.stdout


@pytest.mark.parametrize("reason", ["", "flaky", "takes long", "mosquitto"])
def test_a_reason_that_says_nothing_of_the_machine_is_not_listed(reason: str) -> None:
    assert not may_be_skipped(reason)
