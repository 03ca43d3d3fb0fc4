"""A repository made with `scripts/releasing` is what a doorbell takes: over its client, and as one file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.core.updates import UpdateResult
from agent.updater.fetchers import FolderFetcher, TarFetcher
from agent.updater.machine import Machine, output_of
from agent.updater.release_store import ReleaseStore
from agent.updater.root_step import unpack
from tests.releasing.release_folders import Maintainers
from tests.update_repositories import deb
from tests.updater.doors import reading

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@pytest.mark.parametrize("form", ["repository", "file"])
def test_a_release_of_three_people_is_admitted_and_unpacked(tmp_path: Path, form: str) -> None:
    from releasing.update_file import write_update_file

    architecture = output_of(["dpkg", "--print-architecture"]).strip()
    name = f"doorward_0.2.1_{architecture}.deb"
    people = Maintainers(tmp_path / "people", packages={name: deb("0.2.1", architecture)})
    first_root = people.begin("0.2.1")
    store = ReleaseStore(tmp_path / "update", first_root, Machine("0.2.0", architecture, "13"))
    store.folder.mkdir()
    if form == "repository":
        source: FolderFetcher | TarFetcher = FolderFetcher(people.repository.folder, store.folder)
    else:
        made = write_update_file(people.repository, "0.2.1", architecture, tmp_path)
        source = TarFetcher(made, store.folder)
    offer = store.admit(source, reading(), by_hand=form == "file")
    assert offer is not None
    assert (offer.version, offer.notes["en"]) == ("0.2.1", "- It works.\n")
    tree = unpack(store.package(offer, reading()), "0.2.1", tmp_path / "incoming")
    assert (tree / "scripts" / "installation" / "__main__.py").is_file()
    store.record("0.2.1", UpdateResult.INSTALLED, "", reading())
    assert store.state.offer is None
