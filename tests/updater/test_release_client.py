"""The client of a repository above python-tuf: which package it names, and what it keeps, call by call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.updates import MAX_PACKAGE_BYTES, Offer, Package
from agent.errors import DoorwardError, NetworkError, StorageError, UpdateError
from agent.platform import files
from agent.platform.system_clock import PLAUSIBLE_FROM_NS
from agent.updater import release_client
from agent.updater.release_client import ReleaseClient, require_clock, update_errors

SHA = "ab" * 32
DAY = "2026-12-01"


def custom(version: str = "0.3.0", **changes: object) -> dict[str, object]:
    values = {"kind": "package", "version": version, "architecture": "arm64", "released": DAY, "debian": ["13"]}
    return {**values, **changes}


def target(said: object, length: int = 100, hashes: dict[str, str] | None = None) -> Any:
    return SimpleNamespace(custom=said, length=length, hashes={"sha256": SHA} if hashes is None else hashes)


class Repository:
    """In place of python-tuf: its targets by path. `fails`: the next call raises this."""

    def __init__(self, targets: dict[str, Any]) -> None:
        self.targets, self.fails = targets, None
        self.calls: list[tuple[Any, ...]] = []

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails

    def refresh(self) -> None:
        self._note("refresh")

    def get_targetinfo(self, path: str) -> Any:
        self._note("target", path)
        return self.targets.get(path)

    def download_target(self, found: Any, path: str) -> None:
        Path(path).write_bytes(b"package")
        self._note("download", found, path)

    def find_cached_target(self, found: Any, path: str) -> str | None:
        self._note("cached", found, path)
        return path if Path(path).exists() else None


Make = Callable[[dict[str, Any]], ReleaseClient]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A client of a repository with these targets. Its metadata are in `trusted`."""

    def make(targets: dict[str, Any]) -> ReleaseClient:
        found = ReleaseClient.__new__(ReleaseClient)
        vars(found).update(_trusted=tmp_path / "trusted", _updater=Repository(targets))
        versions = {"snapshot.json": 7, "targets.json": 12}

        def from_file(path: str) -> Any:
            assert Path(path).parent == tmp_path / "trusted"
            return SimpleNamespace(signed=SimpleNamespace(version=versions[Path(path).name], targets=targets))

        metadata = type(
            "Metadata", (), {"from_file": staticmethod(from_file), "__class_getitem__": lambda _cls, _kind: metadata}
        )
        monkeypatch.setattr(release_client, "Metadata", metadata)
        return found

    return make


def deb(version: str) -> str:
    return f"doorward_{version}_arm64.deb"


def test_the_newest_package_is_offered_with_its_size_and_hash(client: Make) -> None:
    newest = target(custom("0.10.0", rollout_hours=24, notes={"en": "News."}, security_below="0.2.1"), 4096)
    targets = {
        deb("0.9.9"): target(custom("0.9.9")),
        deb("0.10.0"): newest,
        "elsewhere.deb": target(custom("0.11.0")),
        deb("0.12.0"): target(custom("0.12.0", kind="other")),
        deb("0.13.0"): target(custom("0.13.0", released="yesterday")),
        deb("0.14.0"): target(None),
    }
    found = client(targets)
    assert found.newest_version() == "0.10.0"
    offer = Offer(
        version="0.10.0", sha256=SHA, length=4096, released=DAY, security=True, rollout_hours=24, notes={"en": "News."}
    )
    (package, offered) = found.newest("0.2.0", "arm64", "13") or (None, None)
    assert (getattr(package, "version", None), offered) == ("0.10.0", offer)
    for running, secure in (("0.2.0", True), ("0.2.1", False)):
        assert (found.newest(running, "arm64", "13") or (None, offer))[1].security is secure
    assert found.newest("0.10.0", "arm64", "13") is None
    assert (client({}).newest_version(), client({}).newest("0.2.0", "arm64", "13")) == (None, None)


@pytest.mark.parametrize(
    ("running", "below", "secure"),
    [("0.2.0", "0.2.1", True), ("0.2.1", "0.2.1", False), ("0.2.0", "0.3.0", True), ("0.2.0", "0.3.1", False)],
)
def test_what_an_earlier_release_mended_a_later_one_mends_too(
    client: Make, running: str, below: str, secure: bool
) -> None:
    """The last row: the version that can be reached now has the vulnerability as well."""
    mended = target(custom("0.4.0", security_below=below, upgrade_from="0.3.0"))
    found = client({deb("0.3.0"): target(custom("0.3.0")), deb("0.4.0"): mended}).newest(running, "arm64", "13")
    assert found is not None
    assert (found[1].version, found[1].security) == ("0.3.0", secure)


@pytest.mark.parametrize(
    ("changed", "sound"),
    [
        ({}, True),
        ({"length": 1}, True),
        ({"length": MAX_PACKAGE_BYTES}, True),
        ({"length": 0}, False),
        ({"length": MAX_PACKAGE_BYTES + 1}, False),
        ({"hashes": {}}, False),
        ({"hashes": {"sha512": SHA}}, False),
        ({"hashes": {"sha256": SHA, "sha512": SHA}}, False),
    ],
)
def test_size_and_hash_must_be_stated_as_they_are_needed(client: Make, changed: dict[str, Any], sound: bool) -> None:
    package = Package(kind="package", version="0.3.0", architecture="arm64", released=DAY)
    found = client({deb("0.3.0"): target(custom(), **changed)})
    if sound:
        assert found.file_name(package) == f"{SHA}.{deb('0.3.0')}"
        return
    with pytest.raises(UpdateError) as refused:
        found.file_name(package)
    assert refused.value.message == f"The repository does not state size and hash of {deb('0.3.0')} as it must."
    with pytest.raises(UpdateError):
        client({}).file_name(package)


def test_a_repository_with_too_many_files_is_refused(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_client, "_MOST_TARGETS", 2)
    targets = {deb(version): target(custom(version)) for version in ("0.3.0", "0.4.0")}
    assert client(targets).newest_version() == "0.4.0"
    with pytest.raises(UpdateError, match="lists too many files"):
        client({**targets, "third": target(None)}).newest_version()


def test_a_package_is_there_under_its_name_when_it_is_whole_and_durable(
    client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Package(kind="package", version="0.3.0", architecture="arm64", released=DAY)
    stated = target(custom())
    found, to = client({deb("0.3.0"): stated}), tmp_path / "store" / "package.deb"
    repository: Any = found._updater
    to.parent.mkdir()
    making, durable = to.parent / ".package.deb.part", list[str]()
    sync_folder = files.sync_folder

    def synced(folder: Path) -> None:
        durable.append(f"folder {folder.name}, with {[each.name for each in folder.iterdir()]}")
        sync_folder(folder)

    monkeypatch.setattr(os, "fsync", lambda _handle: durable.append(f"file {making.exists()}"))
    monkeypatch.setattr(files, "sync_folder", synced)
    assert not found.has(package, to)
    found.download(package, to)
    assert found.has(package, to)
    assert to.read_bytes() == b"package"
    assert durable[:2] == ["file True", "folder store, with ['package.deb']"]
    named, looked_for = ("target", deb("0.3.0")), ("cached", stated, str(to))
    assert repository.calls == [
        named, looked_for, named, ("download", stated, str(making)), named, looked_for,
    ]  # fmt: skip
    repository.fails = DownloadError("cut off")
    with pytest.raises(NetworkError):
        found.download(package, to)
    assert [each.name for each in to.parent.iterdir()] == ["package.deb"], "no half package stays"


def test_metadata_that_were_believed_are_written_as_a_repository_and_older_ones_leave(
    client: Make, tmp_path: Path
) -> None:
    trusted, out = tmp_path / "trusted", tmp_path / "out"
    (trusted / "root_history").mkdir(parents=True)
    for name in ("root_history/1.root.json", "root_history/2.root.json", "root_history/notes.txt", "root.json",
                 "snapshot.json", "targets.json", "timestamp.json"):  # fmt: skip
        (trusted / name).write_text(f"bytes of {name}")
    out.mkdir()
    for stale in ("6.snapshot.json", "11.targets.json", "timestamp.json"):
        (out / stale).write_text("stale")
    client({}).write_metadata(out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "1.root.json": "bytes of root_history/1.root.json",
        "2.root.json": "bytes of root_history/2.root.json",
        "7.snapshot.json": "bytes of snapshot.json",
        "12.targets.json": "bytes of targets.json",
        "timestamp.json": "bytes of timestamp.json",
    }


def test_what_was_believed_is_durable_also_after_a_failure(
    client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted"
    (trusted / "root_history").mkdir(parents=True)
    for name in ("timestamp.json", "root_history/1.root.json"):
        (trusted / name).write_text(name)
    (trusted / "root.json").symlink_to("root_history/1.root.json")
    found, synced = client({}), list[str]()
    repository: Any = found._updater
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    found.refresh()
    assert sorted(synced) == ["1.root.json", "root_history", "timestamp.json", "trusted"]
    synced.clear()
    repository.fails = RepositoryError("a wrong signature")
    with pytest.raises(UpdateError):
        found.refresh()
    assert len(synced) == 4


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            ExpiredMetadataError("timestamp is old"),
            UpdateError,
            "The news of updates is too old (timestamp is old). "
            "Try again later. If it stays so, an attacker may hold newer news back.",
        ),
        (
            RepositoryError("a wrong hash"),
            UpdateError,
            "The update is not what its makers signed (a wrong hash). "
            "Nothing was changed. Try again later, or from another network.",
        ),
        (
            DownloadLengthMismatchError("too long"),
            UpdateError,
            "The update is not what its makers signed (too long). "
            "Nothing was changed. Try again later, or from another network.",
        ),
        (
            DownloadError("no route"),
            NetworkError,
            "Updates cannot be fetched (no route). Check the network and updates.source.",
        ),
        (OSError(28, "No space left"), StorageError, "The disk refuses an update: No space left. Run doorward doctor."),
        (OSError("odd"), StorageError, "The disk refuses an update: odd. Run doorward doctor."),
    ],
)
def test_each_fault_names_who_is_at_fault_and_a_remedy(error: Exception, kind: type[DoorwardError], words: str) -> None:
    with pytest.raises(kind) as told, update_errors():
        raise error
    assert str(told.value) == words
    if isinstance(told.value, UpdateError):
        assert told.value.reason == ("expired" if isinstance(error, ExpiredMetadataError) else "refused")


@pytest.mark.parametrize(
    ("quality", "by_hand", "utc_ns", "believed"),
    [
        (ClockQuality.SYNCED, False, 0, True),
        (ClockQuality.HELD, False, 0, True),
        (ClockQuality.UNKNOWN, False, 2 * PLAUSIBLE_FROM_NS, False),
        (ClockQuality.UNKNOWN, True, PLAUSIBLE_FROM_NS, True),
        (ClockQuality.UNKNOWN, True, PLAUSIBLE_FROM_NS - 1, False),
    ],
)
def test_old_news_cannot_be_told_from_new_without_the_time(
    quality: ClockQuality, by_hand: bool, utc_ns: int, believed: bool
) -> None:
    reading = ClockReading(BootNs(0), UtcNs(utc_ns), quality)
    if believed:
        require_clock(reading, by_hand=by_hand)
        return
    with pytest.raises(UpdateError) as refused:
        require_clock(reading, by_hand=by_hand)
    assert refused.value.reason == "clock"
