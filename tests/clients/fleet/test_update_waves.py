"""Staged updates: a wave is published only after the waves before run well, and a failure stops all later ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.fleet.inventory import inventory
from agent.clients.fleet.update_waves import WaveAction, WaveStep, next_step
from agent.clients.fleet.wave_folders import VerifiedRepository, WaveFolders
from agent.errors import ConfigurationError, DoorwardError, UpdateError
from agent.wire.health import HealthReport, HealthWord, UpdateWord
from agent.wire.identities import parse_public_key, private_key_from_seed, public_key_of
from tests.update_repositories import Repository, deb, package
from tests.wire import samples

OLD, NEW = "0.2.0", "0.2.1"
WAVES = {1: ["a", "b"], 2: ["c"], 3: ["d"]}


def report(name: str, version: str = OLD, **changes: Any) -> HealthReport:
    key = public_key_of(private_key_from_seed(name.encode().ljust(32, b"."))).text
    return samples.health(
        name=name, device=key, version=version, update=UpdateWord.NONE, update_version=None, **changes
    )


def step(published: list[int], *reports: HealthReport, now_s: int = samples.NOW_S) -> WaveStep:
    listed = {name: samples.SHA for names in WAVES.values() for name in names}
    return next_step(WAVES, published, inventory(listed, reports, now_s), NEW)


def test_the_first_wave_is_published_whatever_the_others_do() -> None:
    assert step([], report("a"), report("c", camera=HealthWord.FAULT)) == WaveStep(WaveAction.PUBLISH, 1)


def test_a_wave_that_does_not_run_the_version_is_waited_for() -> None:
    assert step([1], report("a", NEW), report("b")) == WaveStep(WaveAction.WAIT, 1, ("b",))
    assert step([1], report("a", NEW)) == WaveStep(WaveAction.WAIT, 1, ("b",))  # b was never heard
    assert step([1], report("a", NEW), report("b", "0.3.0")) == WaveStep(WaveAction.PUBLISH, 2)
    assert step([1], report("a", NEW), report("b", "1.0~x")) == WaveStep(WaveAction.WAIT, 1, ("b",))


@pytest.mark.parametrize(
    ("changes", "now_s", "reason"),
    [
        ({"camera": HealthWord.FAULT, "version": NEW}, samples.NOW_S, "b: camera"),
        ({"recorder": HealthWord.FAULT, "version": NEW}, samples.NOW_S, "b: recorder"),
        ({"update": UpdateWord.ROLLED_BACK, "update_version": NEW}, samples.NOW_S, "b: update 0.2.1 rolled back"),
        ({"update": UpdateWord.INTERRUPTED, "update_version": NEW}, samples.NOW_S, "b: update 0.2.1 interrupted"),
        ({"update": UpdateWord.REFUSED, "update_version": NEW}, samples.NOW_S, "b: update 0.2.1 refused"),
        ({"update": UpdateWord.REFUSED, "update_version": "0.3.0"}, samples.NOW_S, "b: update 0.3.0 refused"),
        ({"update": UpdateWord.REFUSED, "update_version": "1.0~x"}, samples.NOW_S, "b: update 1.0~x refused"),
        ({"at": samples.NOW_S - 3600, "version": NEW}, samples.NOW_S, "b: silent"),
    ],
)
def test_a_failed_doorbell_stops_all_later_waves(changes: dict[str, Any], now_s: int, reason: str) -> None:
    failed = msgspec.structs.replace(report("b"), **changes)
    assert step([1], report("a", NEW), failed, now_s=now_s) == WaveStep(WaveAction.STOP, 1, (reason,))


def test_a_doorbell_that_poses_as_a_failed_one_stops_all_later_waves() -> None:
    """A broker's operator withholds the report of the failed one, and makes up a doorbell of its name which runs."""
    listed = {name: samples.SHA for names in WAVES.values() for name in names}
    known = {"b": parse_public_key(report("b").device).id}
    posed = msgspec.structs.replace(report("b", NEW), device=report("x").device)
    rows = inventory(listed, [report("a", NEW), posed], samples.NOW_S, known)
    assert next_step(WAVES, [1], rows, NEW) == WaveStep(WaveAction.STOP, 1, ("b: another doorbell",))


def test_a_doorbell_that_updated_after_a_refusal_counts_as_well() -> None:
    again = msgspec.structs.replace(report("b", NEW), update=UpdateWord.REFUSED, update_version=NEW)
    assert step([1], report("a", NEW), again) == WaveStep(WaveAction.PUBLISH, 2)


def test_a_version_that_failed_stops_no_newer_one_and_is_named_while_the_doorbell_is_waited_for() -> None:
    """0.2.0 failed on b. 0.2.1 mends it, and b shows the old end until its owner has chosen the new version."""
    failed = msgspec.structs.replace(report("b", "0.1.9"), update=UpdateWord.ROLLED_BACK, update_version=OLD)
    assert step([1], report("a", NEW), failed) == WaveStep(WaveAction.WAIT, 1, ("b: update 0.2.0 rolled back",))
    broken = msgspec.structs.replace(failed, camera=HealthWord.FAULT)
    assert step([1], report("a", NEW), broken) == WaveStep(WaveAction.STOP, 1, ("b: camera",))
    silent = msgspec.structs.replace(failed, at=samples.NOW_S - 3600)
    assert step([1], report("a", NEW), silent) == WaveStep(WaveAction.STOP, 1, ("b: silent",))
    mended = msgspec.structs.replace(report("b", NEW), update=UpdateWord.INSTALLED, update_version=NEW)
    assert step([1], report("a", NEW), mended) == WaveStep(WaveAction.PUBLISH, 2)


def test_a_failure_in_a_wave_that_was_done_stops_the_next_one() -> None:
    late = step([1, 2], report("a", NEW, storage=HealthWord.FAULT), report("b", NEW), report("c", NEW))
    assert late == WaveStep(WaveAction.STOP, 1, ("a: storage",))


def test_it_is_done_when_all_run_the_version() -> None:
    everyone = [report(name, NEW) for name in "abcd"]
    assert step([1, 2, 3], *everyone) == WaveStep(WaveAction.DONE, 3)


# --- Copies


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "upstream")
    made.release(deb(NEW), package(NEW))
    return made


def check(repository: Repository, tmp_path: Path) -> VerifiedRepository:
    return VerifiedRepository.check(repository.folder, repository.first_root, tmp_path / "work")


def test_a_wave_sees_a_whole_copy_and_the_others_see_theirs(repository: Repository, tmp_path: Path) -> None:
    out = WaveFolders(tmp_path / "www")
    first = check(repository, tmp_path)
    assert first.version == NEW
    out.publish(first, 1)
    out.publish(first, 2)
    repository.release(deb("0.2.2"), package("0.2.2"))
    second = check(repository, tmp_path)
    assert second.version == "0.2.2"
    assert out.published(second, (1, 2)) == []
    out.publish(second, 1)
    assert (out.published(second, (1, 2)), out.published(first, (1, 2))) == ([1], [2])
    for wave, versions in ((1, {NEW, "0.2.2"}), (2, {NEW})):
        names = {path.name for path in (tmp_path / "www" / f"wave-{wave}" / "targets").iterdir()}
        assert {name.split("_")[1] for name in names} == versions
    out.publish(second, 2)
    assert [path.name for path in (tmp_path / "www" / "copies").iterdir()] == [second.name]


def test_a_copy_that_was_cut_off_is_made_again(repository: Repository, tmp_path: Path) -> None:
    found = check(repository, tmp_path)
    half = tmp_path / "www" / "copies" / f"{found.name}.part"
    half.mkdir(parents=True)
    (half / "rest").write_text("x")
    WaveFolders(tmp_path / "www").publish(found, 1)
    assert not (tmp_path / "www" / "wave-1" / "rest").exists()
    assert (tmp_path / "www" / "wave-1" / "metadata" / "timestamp.json").is_file()


def test_a_foreign_an_old_and_a_damaged_repository_reach_no_wave(repository: Repository, tmp_path: Path) -> None:
    stranger = Repository(tmp_path / "stranger")
    with pytest.raises(UpdateError):
        VerifiedRepository.check(stranger.folder, repository.first_root, tmp_path / "other")
    newest = check(repository, tmp_path)
    path = repository.folder / "metadata" / "timestamp.json"
    before = path.read_bytes()
    repository.publish()
    check(repository, tmp_path)
    path.write_bytes(before)
    with pytest.raises(DoorwardError):
        check(repository, tmp_path)
    path.write_bytes(b"{}")
    with pytest.raises(DoorwardError):
        check(repository, tmp_path)
    assert newest.version == NEW


def test_a_folder_without_a_repository_and_one_without_a_package_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not an update repository"):
        VerifiedRepository.check(tmp_path, b"", tmp_path / "work")
    empty = Repository(tmp_path / "empty")
    with pytest.raises(UpdateError, match="There is no package"):
        VerifiedRepository.check(empty.folder, empty.first_root, tmp_path / "work")
