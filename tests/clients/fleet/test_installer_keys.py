"""An installer's folder: keys that are made once, and the doorbells that were heard before."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.fleet.installer_keys import InstallerKeys
from agent.errors import ConfigurationError


def test_keys_are_made_once_and_others_cannot_read_them(tmp_path: Path) -> None:
    made = InstallerKeys.create(tmp_path / "installer")
    assert InstallerKeys.load(made.folder) == made
    assert (made.folder / "identity.txt").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="is there already"):
        InstallerKeys.create(made.folder)


def test_doorbells_are_remembered_by_their_names(tmp_path: Path) -> None:
    keys = InstallerKeys.create(tmp_path / "installer")
    assert keys.doorbells() == {}
    keys.remember({"mill-lane-3": "3" * 16, "mill-lane-1": "1" * 16})
    assert InstallerKeys.load(keys.folder).doorbells() == {"mill-lane-1": "1" * 16, "mill-lane-3": "3" * 16}
    assert (keys.folder / "doorbells.json").read_text().splitlines()[1] == f'  "mill-lane-1": "{"1" * 16}",'


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_list_of_doorbells_is_named_with_what_to_do(tmp_path: Path, damaged: bytes) -> None:
    """Else each doorbell would be believed as at the first look."""
    keys = InstallerKeys.create(tmp_path / "installer")
    (keys.folder / "doorbells.json").write_bytes(damaged)
    with pytest.raises(ConfigurationError, match=r"doorbells\.json is damaged") as raised:
        keys.doorbells()
    assert raised.value.remedy == "Remove it: the next look writes it, as if it were the first."
