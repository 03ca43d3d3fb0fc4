"""A private text is there as it was saved, for its owner alone, or the error names its place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.custodian.alerts.private_file import PrivateText
from agent.errors import StorageError


def test_a_text_is_read_as_it_was_saved_and_by_no_other_user(tmp_path: Path) -> None:
    text = PrivateText(tmp_path / "text")
    assert text.load() == ""
    for content in ("first", "ä second"):
        text.save(content)
        assert PrivateText(tmp_path / "text").load() == content
    assert (tmp_path / "text").stat().st_mode & 0o777 == 0o600


def test_damaged_bytes_are_read_as_damage(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\xff")
    assert PrivateText(tmp_path / "text").load() == "a\N{REPLACEMENT CHARACTER}"


def test_a_text_that_cannot_be_read_or_saved_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder cannot be read") as raised:
        PrivateText(tmp_path / "folder").load()
    assert raised.value.remedy == "Check the disk."
    with pytest.raises(StorageError, match="missing"):
        PrivateText(tmp_path / "missing" / "text").save("x")
