"""The program that keeps an open page of a request true, run in node. A real browser: test_in_a_browser.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop


def test_an_open_page_follows_its_request_and_never_changes_the_words_below_its_reader() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node or the page's packages are missing: run `npm ci` in agent/web/src")
    done = subprocess.run([node, Path(__file__).with_name("follow.mjs")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6"
