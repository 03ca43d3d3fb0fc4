"""A root with several keys: found, listed, signed by people apart from each other, stamped and published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester.keys import FileSigner
from agent.clients.requester.root_folder import RootFolder
from agent.errors import ConfigurationError
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust import TrustStore
from agent.wire.trust_package import RootFile
from tests.wire import samples

NOW_S = samples.NOW_S
PEOPLE = tuple(private_key_from_seed(bytes([number]) * 32) for number in range(1, 4))
NEW = private_key_from_seed(bytes([9]) * 32)
ONLINE = private_key_from_seed(bytes([7]) * 32)
ENTRY = """
[[requesters]]
id = "rijnstad-police"
name = "Rijnstad Police"
kind = "police"
regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]
[[requesters.keys]]
key = "KEY"
from = 2026-01-01
until = 2030-12-31
"""


def root_file(*keys: Any, threshold: int = 2) -> RootFile:
    return samples.root_file(
        keys=tuple(public_key_of(key).text for key in keys or PEOPLE), threshold=threshold,
        timestamp_keys=(public_key_of(ONLINE).text,),
    )  # fmt: skip


def listed(folder: Path, version: int, body: str = ENTRY) -> Path:
    path = folder.parent / f"list-{version}.toml"
    text = body.replace("KEY", samples.REQUESTER_KEY.text)
    path.write_text(f"version = {version}\n{text}", encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    """Founded, with root file 1 and bundle 1 signed by the first two."""
    made = RootFolder(tmp_path / "root")
    first = made.found(root_file())
    bundle = made.propose(listed(made.folder, 1), NOW_S)
    for payload in (first, bundle):
        for key in PEOPLE[:2]:
            made.sign(payload, FileSigner(key))
    return made


def stamp(root: RootFolder) -> bytes:
    return root.stamp(FileSigner(ONLINE), NOW_S, 7)


def test_two_of_three_people_sign_and_doorbells_that_know_the_name_key_take_it(root: RootFolder) -> None:
    package = stamp(root)
    _, change = TrustStore().with_root(root.name_key).accept(package, NOW_S)
    assert change.added == ("rijnstad-police",)
    assert root.package() == package


def test_each_stamp_counts_on(root: RootFolder) -> None:
    store = TrustStore().with_root(root.name_key)
    numbers = []
    for _ in range(3):
        store, _ = store.accept(stamp(root), NOW_S)
        numbers.append(store.newest[root.name_key.id].timestamp)
    assert numbers == [1, 2, 3]


def test_the_name_key_is_written_nowhere(root: RootFolder) -> None:
    stamp(root)
    for path in root.folder.rglob("*"):
        assert b"PRIVATE" not in path.read_bytes()


def test_a_bundle_that_one_of_them_signed_is_not_stamped(root: RootFolder) -> None:
    bundle = root.propose(listed(root.folder, 2), NOW_S)
    with pytest.raises(ConfigurationError, match="has no signature"):
        stamp(root)
    root.sign(bundle, FileSigner(PEOPLE[2]))
    with pytest.raises(ConfigurationError, match="Doorbells would refuse"):
        stamp(root)
    root.sign(bundle, FileSigner(PEOPLE[0]))
    stamp(root)


def test_a_signature_of_a_stranger_is_noticed_before_doorbells_refuse_it(root: RootFolder) -> None:
    root.sign(root.folder / "bundle-1.json", FileSigner(NEW))
    with pytest.raises(ConfigurationError, match="Doorbells would refuse"):
        stamp(root)


def test_a_stolen_key_is_rotated_out_and_the_new_one_signs(root: RootFolder) -> None:
    store, _ = TrustStore().with_root(root.name_key).accept(stamp(root), NOW_S)
    second = root.rotate(root_file(PEOPLE[0], PEOPLE[1], NEW))
    for key in PEOPLE[:2]:
        root.sign(second, FileSigner(key))
    bundle = root.propose(listed(root.folder, 2, ""), NOW_S)
    for key in (PEOPLE[0], NEW):
        root.sign(bundle, FileSigner(key))
    store, change = store.accept(stamp(root), NOW_S)
    assert change.removed == ("rijnstad-police",)
    assert store.newest[root.name_key.id].root_version == 2


def test_a_root_that_owners_know_already_keeps_its_name_key(tmp_path: Path) -> None:
    root = RootFolder(tmp_path / "root")
    first = root.found(root_file(), FileSigner(samples.ROOT))
    assert root.name_key == samples.ROOT_KEY
    assert (first.parent / f"{first.name}.{samples.ROOT_KEY.id}.sig").is_file()


def test_nothing_is_founded_or_written_over(root: RootFolder) -> None:
    with pytest.raises(ConfigurationError, match="has a trust root"):
        root.found(root_file())
    with pytest.raises(ConfigurationError, match="not higher than 1"):
        root.propose(listed(root.folder, 1), NOW_S)
    with pytest.raises(ConfigurationError, match="no root file and no bundle"):
        root.sign(root.folder / "package.json", FileSigner(NEW))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    empty = RootFolder(tmp_path)
    with pytest.raises(ConfigurationError, match="no trust root"):
        _ = empty.name_key
    with pytest.raises(ConfigurationError, match="is missing"):
        empty.package()
    with pytest.raises(ConfigurationError, match="no bundle yet"):
        stamp(empty)
