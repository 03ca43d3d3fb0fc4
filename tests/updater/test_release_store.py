"""Root remembers the offer, why a check failed, and how an installation ended, also over a power cut."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.core.updates import Offer, UpdateResult, UpdateState, UpdateTrouble
from agent.errors import ConfigurationError, StorageError, UpdateError
from agent.updater import fetchers, release_client
from agent.updater.fetchers import FolderFetcher, require_room
from agent.updater.machine import Machine, output_of, this_machine
from agent.updater.release_store import ReleaseStore
from agent.updater.root_step import install_tree
from tests.update_repositories import Repository, deb, package
from tests.updater.doors import reading

MACHINE = Machine("0.2.0", "amd64", "13")


class Stick:
    """A repository, and root's folder."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder / "repository")
        self.folder = folder / "update"
        self.folder.mkdir()
        self.root = self.repository.first_root

    def store(self, running: str = "0.2.0") -> ReleaseStore:
        return ReleaseStore(self.folder, self.root, Machine(running, "amd64", "13"))

    def admit(self, running: str = "0.2.0") -> Offer | None:
        return self.store(running).admit(FolderFetcher(self.repository.folder, self.folder), reading())

    def offered(self, version: str = "0.2.1", **custom: Any) -> Offer:
        self.repository.release(deb(version), package(version, **custom))
        offer = self.admit()
        assert offer is not None
        return offer


@pytest.fixture
def stick(tmp_path: Path) -> Stick:
    return Stick(tmp_path)


def test_an_offer_says_what_its_makers_signed(stick: Stick) -> None:
    offer = stick.offered(rollout_hours=48, security_below="0.2.1", notes={"en": "- Faster.\n"})
    assert offer.length == len(deb("0.2.1"))
    assert (offer.version, offer.released, offer.rollout_hours) == ("0.2.1", "2026-11-01", 48)
    assert (offer.security, offer.notes) == (True, {"en": "- Faster.\n"})
    state = stick.store().state
    assert state == UpdateState(
        v=1, running="0.2.0", checked_ms=state.checked_ms, offer=offer, floor="0.2.1", change=state.change
    )


@pytest.mark.parametrize(("below", "security"), [("0.2.0", False), ("0.2.1", True), ("0.10.0", True), (None, False)])
def test_an_update_is_for_security_if_the_running_version_is_below_the_one_that_cured_it(
    stick: Stick, below: str | None, security: bool
) -> None:
    assert stick.offered(security_below=below).security is security


def test_a_release_after_the_one_that_mends_a_vulnerability_is_for_security_too_and_can_be_installed(
    stick: Stick,
) -> None:
    """Otherwise a doorbell that skips the mended version waits for an owner, with a hole and the setting against it."""
    assert stick.offered("0.2.1", security_below="0.2.1").security
    offer = stick.offered("0.3.0")
    assert (offer.version, offer.security) == ("0.3.0", True)
    stick.repository.files.clear()  # the mended version is withdrawn, and nothing names the vulnerability any more
    offer = stick.offered("0.3.0")
    assert (offer.security, stick.store().state.floor) == (True, "0.2.1")
    assert stick.store().package(offer, reading()).is_file()
    assert stick.store("0.2.1").state.offer is None


def test_an_installed_version_runs_and_its_offer_is_gone(stick: Stick) -> None:
    stick.offered()
    stick.store().record("0.2.1", UpdateResult.INSTALLED, "ab" * 16, reading())
    state = stick.store("0.2.1").state
    assert (state.running, state.offer) == ("0.2.1", None)
    assert state.outcome is not None
    assert (state.outcome.version, state.outcome.result) == ("0.2.1", UpdateResult.INSTALLED)
    assert state.outcome.wish == "ab" * 16
    assert abs(state.outcome.at_ms * 1_000_000 - reading().utc_ns) < 600 * 10**9


@pytest.mark.parametrize("result", [UpdateResult.REFUSED, UpdateResult.ROLLED_BACK, UpdateResult.INTERRUPTED])
def test_after_an_installation_that_failed_the_offer_stays(stick: Stick, result: UpdateResult) -> None:
    offer = stick.offered()
    before = stick.store().state
    stick.store().record("0.2.1", result, "", reading())
    state = stick.store().state
    assert (state.running, state.offer, state.checked_ms) == ("0.2.0", offer, before.checked_ms)
    assert state.outcome is not None
    assert state.outcome.result is result


def test_an_update_that_a_power_cut_ended_after_the_switch_counts_as_installed(stick: Stick) -> None:
    stick.offered()
    stick.store().record("0.2.1", UpdateResult.INTERRUPTED, "", reading())
    after = stick.store("0.2.1").state.outcome
    assert after is not None
    assert after.result is UpdateResult.INSTALLED
    other = stick.store("0.2.2").state
    assert other.outcome is not None
    assert other.outcome.result is UpdateResult.INTERRUPTED, "another version than the one that runs"
    assert (other.running, other.offer, other.checked_ms) == ("0.2.2", None, None), "it must be judged again"


def test_a_check_that_failed_leaves_the_offer_and_the_time_of_the_last_one_that_ended_well(stick: Stick) -> None:
    offer = stick.offered()
    before = stick.store().state
    shutil.rmtree(stick.repository.folder / "metadata")
    with pytest.raises(Exception, match="cannot be fetched"):
        stick.admit()
    state = stick.store().state
    assert (state.offer, state.checked_ms, state.trouble) == (offer, before.checked_ms, UpdateTrouble.NETWORK)
    stick.store().report(UpdateTrouble.DISK)
    assert stick.store().state.trouble is UpdateTrouble.DISK
    assert stick.store().state.offer == offer


@pytest.mark.parametrize("damaged", [b"", b"{", b'{"v":2,"running":"0.2.0"}'])
def test_a_damaged_state_is_made_again_by_the_next_check(stick: Stick, damaged: bytes) -> None:
    offer = stick.offered()
    (stick.folder / "state.json").write_bytes(damaged)
    assert stick.store().state == UpdateState(v=1, running="0.2.0")
    assert stick.admit() == offer
    assert stick.store().state.offer == offer


def test_an_offer_that_has_changed_meanwhile_is_not_installed(stick: Stick) -> None:
    """An owner chose what they were shown. Other notes are another offer."""
    chosen = stick.offered()
    assert stick.store().package(chosen, reading()).read_bytes() == deb("0.2.1")
    stick.offered("0.2.2")
    with pytest.raises(UpdateError, match="Another version is on offer now"):
        stick.store().package(chosen, reading())


def test_only_the_package_on_offer_takes_room(stick: Stick) -> None:
    stick.offered()
    stick.offered("0.2.2")
    assert [path.read_bytes() for path in (stick.folder / "repository" / "targets").iterdir()] == [deb("0.2.2")]
    names = {path.name for path in (stick.folder / "repository" / "metadata").iterdir()}
    assert len(names) == 4, "root, snapshot, targets, timestamp: what came before is gone"


def test_a_repository_with_more_files_than_any_has_is_refused(stick: Stick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_client, "_MOST_TARGETS", 2)
    stick.offered()
    stick.offered("0.2.2")
    with pytest.raises(UpdateError, match="too many files"):
        stick.offered("0.2.3")


def test_an_update_starts_only_with_room_for_two_copies_and_both_versions(
    stick: Stick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills while a version is built would end a recording."""
    wanted = 7 * len(deb()) + (32 << 20)
    monkeypatch.setattr(fetchers.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, wanted - 1))
    with pytest.raises(StorageError, match="are free"):
        stick.offered()
    monkeypatch.setattr(fetchers.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, wanted))
    assert stick.admit() is not None
    require_room(stick.folder, 7 * len(deb()))


# --- The machine


@pytest.mark.parametrize(
    ("end", "result"),
    [
        ("sys.exit(0)", UpdateResult.INSTALLED), ("sys.exit(3)", UpdateResult.ROLLED_BACK),
        ("sys.exit(1)", UpdateResult.REFUSED), ("sys.exit(2)", UpdateResult.REFUSED),
        ("os.kill(os.getpid(), 9)", UpdateResult.INTERRUPTED),
    ],
)  # fmt: skip
def test_the_new_versions_installer_says_how_it_ended(tmp_path: Path, end: str, result: UpdateResult) -> None:
    """It runs with the system's Python, apart from the running version's modules and environment."""
    folder = tmp_path / "scripts" / "installation"
    folder.mkdir(parents=True)
    (folder / "__main__.py").write_text(
        "import os, pathlib, sys\n"
        "here = pathlib.Path(__file__).parents[2]\n"
        "said = [*sys.argv[1:], sys.flags.isolated, sys.flags.dont_write_bytecode]\n"
        "(here / 'said').write_text(repr(said))\n"
        f"{end}\n"
    )
    assert install_tree(tmp_path) is result
    assert (tmp_path / "said").read_text() == repr(["install", "--update", "--source", str(tmp_path), 1, 1])


def test_a_machine_that_is_no_debian_is_told_to_upgrade_with_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="no-such-tool is not here: this is no Debian"):
        output_of(["no-such-tool"])
    with pytest.raises(UpdateError, match="sh refuses the package: because"):
        output_of(["sh", "-c", "echo because >&2; exit 1"])
    assert output_of(["sh", "-c", "echo said"]) == "said\n"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="dpkg is not here"):
        this_machine("0.2.0")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_this_machine_names_its_architecture_and_its_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_ID": "13"})
    here = this_machine("0.2.0")
    assert here == Machine("0.2.0", output_of(["dpkg", "--print-architecture"]).strip(), "13")

    def missing() -> dict[str, str]:
        raise FileNotFoundError

    monkeypatch.setattr("platform.freedesktop_os_release", dict)
    assert this_machine("0.2.0").debian == "", "Debian's next version has no number yet"
    monkeypatch.setattr("platform.freedesktop_os_release", missing)
    with pytest.raises(ConfigurationError, match="/etc/os-release"):
        this_machine("0.2.0")
