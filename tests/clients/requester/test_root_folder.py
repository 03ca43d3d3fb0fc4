"""A root with several keys: found, listed, signed by people apart from each other, stamped and published."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.requester.keys import FileSigner
from agent.clients.requester.root_folder import RootFolder
from agent.clients.requester.trust_bundles import read_list
from agent.errors import ConfigurationError, FormatError
from agent.wire import envelope, strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust import TrustBundle, TrustStore
from agent.wire.trust_package import RootFile, TrustPackage, TrustTimestamp
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
        keys=tuple(samples.pair_text(key) for key in keys or PEOPLE), threshold=threshold,
        timestamp_keys=(samples.pair_text(ONLINE),),
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
        numbers.append(store.newest[root.name_key.text].timestamp)
    assert numbers == [NOW_S, NOW_S + 1, NOW_S + 2]


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


def test_a_stamp_of_named_versions_does_not_look_at_newer_files(root: RootFolder) -> None:
    root.propose(listed(root.folder, 2), NOW_S)
    root.rotate(root_file())
    package = root.stamp(FileSigner(ONLINE), NOW_S, 7, root_version=1, bundle_version=1)
    store, _ = TrustStore().with_root(root.name_key).accept(package, NOW_S)
    assert [each.version for each in store.bundles.values()] == [1]


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
    assert store.newest[root.name_key.text].root_version == 2


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


# -- whole files and whole errors --------------------------------------------------------------------------------------


def error_of(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        act()
    return raised.value.message, raised.value.remedy


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_founded_root_has_its_file_its_signature_and_its_name_key(tmp_path: Path) -> None:
    root, folder = RootFolder(tmp_path / "root"), tmp_path / "root"
    path = root.found(msgspec.structs.replace(root_file(), version=7), FileSigner(samples.ROOT))
    name = f"root-1.json.{samples.ROOT_KEY.id}.sig"
    assert path == folder / "root-1.json"
    assert names_in(folder) == {"root-1.json", name, "root.pub"}
    expected = msgspec.structs.replace(root_file(), root=samples.ROOT_KEY.id, version=1)
    assert strictjson.decode(path.read_bytes(), RootFile) == expected
    assert (folder / "root.pub").read_text() == f"{samples.ROOT_KEY.text}\n"
    signed = envelope.pae(RootFile.PAYLOAD_TYPE, strictjson.encode(expected))
    assert (folder / name).read_text().endswith("\n")
    assert samples.ROOT_KEY.verifies(strictjson.decode_base64((folder / name).read_text().strip()), signed)


def test_each_root_file_counts_on_also_beyond_nine(root: RootFolder) -> None:
    for number in range(2, 17):
        assert root.rotate(root_file()).name == f"root-{number}.json"
    assert error_of(lambda: root.rotate(root_file())) == (
        "A trust root has at most 16 sets of keys.",
        "Found a new root, and ask owners and requesters to choose it.",
    )
    assert not (root.folder / "root-17.json").exists(), "no package holds it"
    written = strictjson.decode((root.folder / "root-11.json").read_bytes(), RootFile)
    assert (written.version, written.root) == (11, root.name_key.id)


def test_a_proposed_bundle_is_what_the_list_says_with_its_directory_beside_it(root: RootFolder) -> None:
    brokers = """
[[brokers]]
host = "north.broker.example"
port = 8884
areas = [{ south = 52, west = 4, north = 53, east = 6 }]
"""
    source = listed(root.folder, 12, ENTRY + brokers)
    found = read_list(source)
    path = root.propose(source, NOW_S)
    assert path == root.folder / "bundle-12.json"
    assert strictjson.decode(path.read_bytes(), TrustBundle) == found.bundle(root.name_key.id, NOW_S)
    assert root.directory_path(12) == root.folder / "brokers-12.json"
    assert root.directory_path(12).read_bytes() == found.directory(root.name_key.id)
    assert not root.directory_path(1).exists(), "bundle 1 names no directory"
    assert error_of(lambda: root.propose(listed(root.folder, 12), NOW_S)) == (
        f"{listed(root.folder, 12)}: version: 12 is not higher than 12, the newest in {root.folder}.",
        "Set version = 13.",
    )


def test_a_stamp_names_the_newest_files_by_their_hashes_and_joins_all_signatures(root: RootFolder) -> None:
    second = root.rotate(root_file())
    for key in PEOPLE:
        root.sign(second, FileSigner(key))
    data = root.stamp(FileSigner(ONLINE), NOW_S, 7)
    package = strictjson.decode(data, TrustPackage, limit_bytes=1 << 24)
    assert (root.folder / "package.json").read_bytes() == data

    def opened(text: str, kind: Any) -> tuple[bytes, set[str]]:
        made = envelope.read_several(text.encode(), kind.PAYLOAD_TYPE, limit_bytes=1 << 24)
        return made.payload, set(made.signatures)

    ids = [public_key_of(key).id for key in PEOPLE]
    payloads = {name: (root.folder / name).read_bytes() for name in ("root-1.json", "root-2.json", "bundle-1.json")}
    assert [opened(each, RootFile) for each in package.roots] == [
        (payloads["root-1.json"], {root.name_key.id, *ids[:2]}),
        (payloads["root-2.json"], set(ids)),
    ]
    assert opened(package.bundle, TrustBundle) == (payloads["bundle-1.json"], set(ids[:2]))
    payload, signers = opened(package.timestamp, TrustTimestamp)
    assert signers == {public_key_of(ONLINE).id}
    assert strictjson.decode(payload, TrustTimestamp) == TrustTimestamp(
        v=1,
        root=root.name_key.id,
        version=NOW_S,
        issued_s=NOW_S,
        expires_s=NOW_S + 7 * 86_400,
        root_version=2,
        root_sha256=hashlib.sha256(payloads["root-2.json"]).hexdigest(),
        bundle_version=1,
        bundle_sha256=hashlib.sha256(payloads["bundle-1.json"]).hexdigest(),
    )


def test_timestamps_count_on_and_a_folder_from_a_backup_signs_with_higher_numbers(root: RootFolder) -> None:
    def version() -> int:
        return TrustStore().with_root(root.name_key).accept(stamped)[0].newest[root.name_key.text].timestamp

    stamped = root.stamp(FileSigner(ONLINE), NOW_S, 7)
    assert version() == NOW_S
    kept = (root.folder / "package.json").read_bytes()
    stamped = root.stamp(FileSigner(ONLINE), NOW_S - 100, 7)
    assert version() == NOW_S + 1
    for day in range(1, 4):
        newest = root.stamp(FileSigner(ONLINE), NOW_S + day * 86_400, 7)
    (root.folder / "package.json").write_bytes(kept)
    store, _ = TrustStore().with_root(root.name_key).accept(newest)
    store.accept(root.stamp(FileSigner(ONLINE), NOW_S + 4 * 86_400, 7))


def test_files_that_only_resemble_payloads_and_signatures_are_left_out(root: RootFolder) -> None:
    for name in ("bundle-99.json.bak", "bundle-0.json", "root-99.txt", "bundle-1.json.old", "xbundle-98.json"):
        (root.folder / name).write_text("no payload")
    (root.folder / "bundle-1.jsonx.0011223344556677.sig").write_text("no signature")
    stamp(root)
    assert root.propose(listed(root.folder, 2), NOW_S).name == "bundle-2.json"


def test_each_mistake_with_a_root_is_named_with_what_to_do(root: RootFolder, tmp_path: Path) -> None:
    empty = RootFolder(tmp_path / "empty")
    empty.folder.mkdir()
    assert error_of(lambda: empty.name_key) == (
        f"There is no trust root in {empty.folder}.",
        "Found one: doorward requester trust-root found.",
    )
    assert error_of(lambda: root.found(root_file())) == (
        f"{root.folder} has a trust root.",
        "Choose another folder, or rotate.",
    )
    for name in ("package.json", "root-1.json.old", "bundle-01.json", "brokers-1.json"):
        assert error_of(lambda name=name: root.sign(root.folder / name, FileSigner(NEW))) == (  # type: ignore[misc]
            f"{name} is no root file and no bundle.",
            "Name root-N.json or bundle-N.json.",
        )
    assert error_of(lambda: stamp(empty)) == (
        "There is no bundle yet.",
        "Make it: doorward requester trust-root list.",
    )
    assert error_of(root.package) == (
        f"{root.folder / 'package.json'} is missing.",
        "Make it: doorward requester trust-root stamp.",
    )
    root.propose(listed(root.folder, 2), NOW_S)
    assert error_of(lambda: stamp(root)) == ("bundle-2.json has no signature.", "doorward requester trust-root sign")
    root.sign(root.folder / "bundle-2.json", FileSigner(PEOPLE[0]))
    said, remedy = error_of(lambda: stamp(root))
    assert said.startswith("Doorbells would refuse this package: ")
    assert remedy == "Check that enough listed keys signed each root file and the bundle, and the timestamp's key."
    assert not (root.folder / "package.json").exists(), "a package that doorbells refuse is not written"


def test_a_key_or_signature_of_other_bytes_than_text_is_malformed(root: RootFolder) -> None:
    (root.folder / f"bundle-1.json.{public_key_of(PEOPLE[0]).id}.sig").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError):
        stamp(root)
    (root.folder / "root.pub").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError):
        _ = root.name_key
