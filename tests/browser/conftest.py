"""Shared fixtures of the browser tests: a claimed door with footage, and the folder for screenshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.browser import require_browser
from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.browser.looking import Looking


@pytest.fixture
def home(tmp_path: Path, footage: Path) -> Iterator[Home]:
    require_browser()
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        yield Home(house, people)


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Screenshots of every page, to look at."""
    folder = Path(__file__).resolve().parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def looking(screenshots: Path) -> Looking:
    return Looking(screenshots)
