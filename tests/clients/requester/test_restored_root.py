"""A root's folder from a backup: for each thing that it can lack or have, a way out that ends."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.clients.requester.keys import FileSigner
from agent.clients.requester.package_publisher import require_newest
from agent.clients.requester.root_folder import RootFolder, TakenBack
from agent.errors import ConfigurationError
from agent.wire.trust import TrustStore
from tests.clients.requester.test_root_folder import ENTRY, NEW, NOW_S, ONLINE, PEOPLE, listed, root_file

DAY_S = 86_400


def stamp(root: RootFolder, at_s: int) -> bytes:
    return root.stamp(FileSigner(ONLINE), at_s, 7)


def sign_list(root: RootFolder, version: int, at_s: int, name: str = "Rijnstad Police") -> bytes:
    payload = root.propose(listed(root.folder, version, ENTRY.replace("Rijnstad Police", name)), NOW_S)
    for person in PEOPLE[:2]:
        root.sign(payload, FileSigner(person))
    return stamp(root, at_s)


def rotate(root: RootFolder, people: Sequence[object] = (*PEOPLE, NEW)) -> None:
    payload = root.rotate(root_file(*people))
    for person in PEOPLE[:2]:
        root.sign(payload, FileSigner(person))


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    """It has list 1, which is copied to `restored`."""
    made = RootFolder(tmp_path / "root")
    first = made.found(root_file())
    for person in PEOPLE[:2]:
        made.sign(first, FileSigner(person))
    sign_list(made, 1, NOW_S)
    return made


@pytest.fixture
def restored(root: RootFolder, tmp_path: Path) -> RootFolder:
    (tmp_path / "put-back").mkdir()
    shutil.copytree(root.folder, tmp_path / "put-back" / "root")
    return RootFolder(tmp_path / "put-back" / "root")


def takes(root: RootFolder, there: bytes, package: bytes) -> None:
    """A doorbell that saw `there` and a broker that has it take the package."""
    require_newest(root.name_key, package, there)
    TrustStore().with_root(root.name_key).accept(there)[0].accept(package, NOW_S + 3 * DAY_S)


def test_a_stamp_that_a_timer_made_before_the_fetch_is_no_newer_news(root: RootFolder, restored: RootFolder) -> None:
    there = sign_list(root, 2, NOW_S + DAY_S)
    by_timer = stamp(restored, NOW_S + 2 * DAY_S)
    with pytest.raises(ConfigurationError, match="list 2 is there, and list 1 here"):
        require_newest(root.name_key, by_timer, there)
    assert restored.take_back(there) == TakenBack(0)
    assert restored.package() == there
    # Another broker, which had lost list 2, may have given doorbells the stamp of list 1.
    package = stamp(restored, NOW_S + DAY_S + 1)
    takes(root, there, package)
    takes(root, by_timer, package)


def test_two_lists_with_one_number_are_named_and_the_next_number_is_above_both(
    root: RootFolder, restored: RootFolder
) -> None:
    there = sign_list(root, 2, NOW_S + DAY_S)
    here = sign_list(restored, 2, NOW_S + 2 * DAY_S, "Harbour Police")
    with pytest.raises(ConfigurationError, match="another list 2 of this root") as raised:
        require_newest(root.name_key, here, there)
    assert "fetch --replace" in str(raised.value.remedy)
    assert "sign list 3" in str(raised.value.remedy)
    ours = (restored.folder / "bundle-2.json").read_bytes()
    with pytest.raises(ConfigurationError, match=r"has bundle-2\.json with other content"):
        restored.take_back(there)
    assert restored.package() == here
    assert restored.take_back(there, replaces=True) == TakenBack(0, (restored.folder / "bundle-2.json.ours",))
    assert restored.package() == there
    assert (restored.folder / "bundle-2.json.ours").read_bytes() == ours
    third = sign_list(restored, 3, NOW_S + DAY_S)
    takes(root, there, third)
    takes(root, here, third)


def test_a_second_list_of_that_number_is_kept_beside_the_first(root: RootFolder, restored: RootFolder) -> None:
    """A broker that a thief serves may have a third list 2. Each of ours may revoke a key that no other one does."""
    there = sign_list(root, 2, NOW_S + DAY_S)
    kept = []
    for name in ("Harbour Police", "Canal Police", "Canal Police"):
        payload = restored.propose(listed(restored.folder, 2, ENTRY.replace("Rijnstad Police", name)), NOW_S)
        kept.append(payload.read_bytes())
        taken = restored.take_back(there, replaces=True)
        assert taken.kept[0].read_bytes() == kept[-1]
        for each in restored.folder.glob("bundle-2.json*"):
            if ".ours" not in each.name:
                each.unlink()
    assert kept[1] == kept[2] != kept[0]
    assert sorted(each.name for each in restored.folder.glob("*.ours*")) == [
        "bundle-2.json.ours", "bundle-2.json.ours-2",
    ]  # fmt: skip
    assert (restored.folder / "bundle-2.json.ours").read_bytes() == kept[0]


def test_a_list_that_waits_for_signatures_is_not_lost_by_a_fetch(root: RootFolder, restored: RootFolder) -> None:
    there = sign_list(root, 2, NOW_S + DAY_S)
    draft = restored.propose(listed(restored.folder, 2, ENTRY.replace("Rijnstad", "Harbour")), NOW_S)
    with pytest.raises(ConfigurationError, match="other content"):
        restored.take_back(there)
    kept = draft.read_bytes()
    restored.take_back(there, replaces=True)
    assert draft.with_name("bundle-2.json.ours").read_bytes() == kept
    assert restored.package() == there


def test_newer_keys_here_and_a_newer_list_there_end_with_the_next_list(root: RootFolder, restored: RootFolder) -> None:
    there = sign_list(root, 2, NOW_S + DAY_S)
    rotate(restored)
    here = stamp(restored, NOW_S + 2 * DAY_S)
    for refused in (lambda: require_newest(root.name_key, here, there), lambda: restored.take_back(there)):
        with pytest.raises(ConfigurationError) as raised:
            refused()
        assert "Sign list 3 with the keys of now" in str(raised.value.remedy)
    takes(root, there, sign_list(restored, 3, NOW_S + 2 * DAY_S))


def test_newer_keys_there_and_a_newer_list_here_end_with_a_fetch_and_a_stamp(
    root: RootFolder, restored: RootFolder
) -> None:
    rotate(root)
    there = stamp(root, NOW_S + DAY_S)
    here = sign_list(restored, 2, NOW_S + 2 * DAY_S)
    with pytest.raises(ConfigurationError, match="newer set of keys") as raised:
        require_newest(root.name_key, here, there)
    assert "fetch" in str(raised.value.remedy)
    restored.take_back(there)
    takes(root, there, stamp(restored, NOW_S + 2 * DAY_S))


def test_two_sets_of_keys_with_one_number_are_named(root: RootFolder, restored: RootFolder) -> None:
    rotate(root)
    there = sign_list(root, 2, NOW_S + DAY_S)
    rotate(restored, PEOPLE[:2])
    here = stamp(restored, NOW_S + 2 * DAY_S)
    with pytest.raises(ConfigurationError, match="another set of keys 2"):
        require_newest(root.name_key, here, there)
    with pytest.raises(ConfigurationError, match=r"has root-2\.json with other content"):
        restored.take_back(there)
    restored.take_back(there, replaces=True)
    takes(root, there, stamp(restored, NOW_S + 2 * DAY_S))


def test_a_stamp_by_a_clock_that_is_behind_says_so(root: RootFolder, restored: RootFolder) -> None:
    there = stamp(root, NOW_S + DAY_S)
    here = stamp(restored, NOW_S + 1)
    with pytest.raises(ConfigurationError, match="newer stamp of this root") as raised:
        require_newest(root.name_key, here, there)
    assert "clock" in str(raised.value.remedy)
    takes(root, there, stamp(restored, NOW_S + DAY_S + 1))


def test_what_is_newer_here_is_published(root: RootFolder, restored: RootFolder) -> None:
    there = root.package()
    for package in (stamp(restored, NOW_S + 1), sign_list(restored, 2, NOW_S + DAY_S)):
        with pytest.raises(ConfigurationError, match="something newer than list 1"):
            restored.take_back(there)
        takes(root, there, package)
    rotate(restored)
    takes(root, there, stamp(restored, NOW_S + 2 * DAY_S))
    with pytest.raises(ConfigurationError, match="something newer than list 1"):
        restored.take_back(there)
