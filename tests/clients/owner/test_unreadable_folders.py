"""A folder that the owner's user may not read is named, and never taken for an empty or a missing one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.clients.owner.clip_archive import FolderBackup
from agent.clients.owner.copied_vault import FolderVault
from agent.clients.owner.keys import KIT, OwnerCard, OwnerKeys, OwnerSeeds, read_kit_file
from agent.clients.owner.known_devices import KnownDevices
from agent.clients.owner.ledger_copy import read_copy
from agent.errors import ConfigurationError, StorageError
from tests.damage import unreadable

SEEDS = OwnerSeeds(b"i" * 32, b"a" * 32, b"r" * 32)


@pytest.fixture
def keys(tmp_path: Path) -> OwnerKeys:
    return OwnerKeys.create(tmp_path / "keys", name="marta", seeds=SEEDS)


def refused(folder: Path, look: Callable[[], object]) -> None:
    with unreadable(folder), pytest.raises(StorageError, match=f"{folder.name}.*Permission denied") as said:
        look()
    assert "permissions" in str(said.value.remedy)


@pytest.mark.parametrize(
    "look",
    [
        lambda keys: OwnerKeys.load(keys.folder),
        lambda keys: keys.sealed,
        lambda keys: keys.identities,
        lambda keys: keys.has_kit_of(keys.card.recovery),
        lambda keys: read_kit_file(keys.folder / KIT),
        lambda keys: KnownDevices(keys.folder / "known-devices.json").devices(),
        lambda keys: FolderBackup(keys.folder).has("a.mp4"),
        lambda keys: FolderBackup(keys.folder / "backup"),
        lambda keys: FolderVault(keys.folder, {}),
        lambda keys: read_copy(keys.folder),
    ],
    ids=[
        "keys",
        "sealed",
        "identity",
        "which kit",
        "kit",
        "known devices",
        "clip in a backup",
        "backup",
        "vault",
        "copy of a ledger",
    ],
)
def test_what_is_in_a_folder(keys: OwnerKeys, look: Callable[[OwnerKeys], object]) -> None:
    refused(keys.folder, lambda: look(keys))


def test_no_second_keys_are_made_in_a_folder_that_may_not_be_read(keys: OwnerKeys) -> None:
    refused(keys.folder, lambda: OwnerKeys.create(keys.folder, name="marta"))
    with pytest.raises(ConfigurationError, match=f"already holds keys: {OwnerCard.FILE}"):
        OwnerKeys.create(keys.folder, name="marta")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter too, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="doorward-vault-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("name", ["vault", "vault/segments", "vault/segments/2027-01-15"])
def test_segments_of_a_copied_vault_are_not_left_out_in_silence(open_folder: Path, name: str) -> None:
    (open_folder / "vault" / "segments" / "2027-01-15").mkdir(parents=True)
    (open_folder / "vault" / "manifest.jsonl").touch()
    refused(open_folder / name, lambda: FolderVault(open_folder, {}))
    assert FolderVault(open_folder, {}).listed() == ()
