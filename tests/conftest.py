"""Fixtures for every test: where the shared test data lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data: beside the repository, or where DOORWARD_SHARED says."""
    path = Path(os.environ.get("DOORWARD_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not path.is_dir():
        pytest.skip(f"the shared test data is not at {path}: set DOORWARD_SHARED")
    return path
