"""For every test here: what the thousands of crash states have in common is computed once."""

from __future__ import annotations

from functools import lru_cache

import pytest

from agent.core.vault import manifest
from agent.vault import manifest_reader
from agent.wire.identities import PublicKey

# Both are functions of their arguments alone, and the states of one story hold the same few hundred lines.
_parse_line = lru_cache(maxsize=1 << 13)(manifest.parse_line)
_verifies = lru_cache(maxsize=1 << 13)(PublicKey.verifies)


@pytest.fixture(autouse=True)
def _lines_are_parsed_and_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "parse_line", _parse_line)
    monkeypatch.setattr(manifest_reader, "parse_line", _parse_line)
    monkeypatch.setattr(PublicKey, "verifies", _verifies)
