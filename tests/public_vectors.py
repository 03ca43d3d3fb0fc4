"""The folders of the public test vectors that set-up fetched (scripts/public_vectors.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]


def places(name: str) -> list[Path]:
    """Return where the set `name` may be: set-up's copy first, then the shared test data."""
    shared = Path(os.environ.get("DOORWARD_SHARED") or ROOT.parent / "shared")
    return [ROOT / ".cache" / "vectors" / name, shared / "vectors" / name]


def files(name: str) -> list[Path]:
    """Returns the files of the set `name` in order; none if it could not be fetched."""
    return next((found for place in places(name) if (found := sorted(place.glob("*")))), [])


def folder(name: str) -> Path:
    """Return the folder of the set `name`; skip the test if it could not be fetched."""
    found = files(name)
    if not found:
        pytest.skip("the public test vectors could not be fetched: make setup-test")
    return found[0].parent
