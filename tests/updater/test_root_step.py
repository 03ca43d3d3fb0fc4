"""Root's part of an update, with real packages and a real `versions` folder: what is installed, and what a cut leaves.

Only the building of an environment is left out: `switch_versions` does what the package's own installer does with the
folders (scripts/installation), in the same order.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.timebase import ClockQuality
from agent.core.updates import (
    Offer,
    ReversalRefusal,
    UpdateResult,
    UpdateSource,
    UpdateState,
    UpdateTrouble,
    UpdateWish,
)
from agent.errors import StorageError, UpdateError
from agent.platform import files
from agent.updater import root_step
from agent.updater.fetchers import FolderFetcher, TarFetcher, fetcher_for
from agent.updater.fetching import Staging
from agent.updater.machine import Machine, output_of
from agent.updater.release_store import ReleaseStore
from agent.updater.root_step import RootStep, unpack
from agent.wire import strictjson
from tests.damage import with_another_end
from tests.update_repositories import Repository, deb, package
from tests.updater.doors import pass_days, reading

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.places import Places  # noqa: E402
from installation.versions import Versions  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
WISH = "ab" * 16


def machine() -> Machine:
    return Machine("0.2.0", output_of(["dpkg", "--print-architecture"]).strip(), "13")


class House:
    """A doorbell's disk, with version 0.2.0 running, and a repository on a stick."""

    def __init__(self, folder: Path, *, healthy: bool = True) -> None:
        self.repository = Repository(folder / "repository")
        self.places = Places(folder / "disk")
        self.versions = Versions(self.places)
        self.state = self.places.state
        for each in (self.state / "update", self.places.runtime / "update", self.places.versions):
            each.mkdir(parents=True)
        self.healthy = healthy
        old = folder / "old"
        (old / "agent").mkdir(parents=True)
        (old / "agent" / "__init__.py").write_text('__version__ = "0.2.0"\n')
        self.versions.begin("0.2.0", old)
        self.versions.complete("0.2.0")
        self.versions.switch("0.2.0")

    def release(self, version: str = "0.2.1", body: bytes = b"the program") -> None:
        architecture = machine().architecture
        self.repository.release(deb(version, architecture, body), package(version, architecture))

    def step(self) -> RootStep:
        store = ReleaseStore(self.state / "update", self.repository.first_root, machine())
        return RootStep(
            store,
            self.state / "updater",
            self.places.runtime / "update",
            self.places.opt,
            reading,
            self.switch_versions,
        )

    def stage(self) -> None:
        root = self.repository.first_root.decode()
        source = UpdateSource(v=1, source=str(self.repository.folder), root=root)
        Staging(self.state / "updater").fetch(source, machine(), reading())

    def take_offer(self) -> Offer:
        """Releases the next version, and takes it in from the staged files."""
        self.release()
        self.stage()
        self.step().run()
        offer = self.step().store.state.offer
        assert offer is not None
        return offer

    def wish(self, version: str, sha256: str, wish: str = WISH) -> None:
        """As the custodian puts it, which reads the state of this moment."""
        change = json.loads((self.state / "update" / "state.json").read_bytes())["change"]
        data = strictjson.encode(UpdateWish(v=1, id=wish, version=version, sha256=sha256, change=change))
        (self.places.runtime / "update" / "wish.json").write_bytes(data)

    def switch_versions(self, tree: Path) -> UpdateResult:
        source = tree.parents[2] / "source"
        (source / "scripts").mkdir(parents=True)
        shutil.copytree(tree / "scripts" / "installation", source / "scripts" / "installation")
        self.versions.sweep()
        self.versions.begin("0.2.1", source)
        self.versions.complete("0.2.1")
        self.versions.begin_trial("0.2.1")
        self.versions.switch("0.2.1")
        if not self.healthy:
            self.versions.roll_back()
            self.versions.end_trial()
            return UpdateResult.ROLLED_BACK
        self.versions.end_trial()
        return UpdateResult.INSTALLED

    def update(self) -> None:
        """Everything from the server to the installation, as the three units do it."""
        self.stage()
        step = self.step()
        step.run()
        offer = step.store.state.offer
        if offer is not None:
            self.wish(offer.version, offer.sha256)
            self.step().run()


def test_a_release_is_installed_only_after_an_owner_wished_for_exactly_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    offer = house.take_offer()
    assert house.versions.current() == "0.2.0"
    house.wish("0.2.1", "0" * 64)
    house.step().run()
    assert house.versions.current() == "0.2.0", "another package"
    house.wish(offer.version, offer.sha256)
    house.step().run()
    assert (house.versions.current(), house.versions.previous()) == ("0.2.1", "0.2.0")
    outcome = newer_step(house).store.state.outcome
    assert outcome is not None
    assert (outcome.result, outcome.wish) == (UpdateResult.INSTALLED, WISH)
    assert not (house.places.opt / "incoming").exists()


def test_a_wish_is_carried_out_once_whatever_came_of_it(tmp_path: Path) -> None:
    house = House(tmp_path, healthy=False)
    house.release()
    house.update()
    assert house.versions.current() == "0.2.0"
    outcome = house.step().store.state.outcome
    assert outcome is not None
    assert outcome.result is UpdateResult.ROLLED_BACK
    house.healthy = True
    house.step().run()
    assert house.versions.current() == "0.2.0", "the same wish does not try a version again that failed"
    offer = house.step().store.state.offer
    assert offer is not None
    house.wish(offer.version, offer.sha256, "cd" * 16)
    house.step().run()
    assert house.versions.current() == "0.2.1", "a new wish does"


@pytest.mark.parametrize("spoiled", ["pipe", "link", "junk", "long", "folder"])
def test_a_custodian_that_was_taken_over_gets_nothing_done_with_a_spoiled_wish(tmp_path: Path, spoiled: str) -> None:
    house = House(tmp_path)
    house.release()
    house.stage()
    house.step().run()
    wish = house.places.runtime / "update" / "wish.json"
    if spoiled == "pipe":
        os.mkfifo(wish)
    elif spoiled == "link":
        wish.symlink_to("/dev/zero")
    elif spoiled == "folder":
        wish.mkdir()
    else:
        wish.write_bytes(b"{" if spoiled == "junk" else b" " * 100_000)
    house.step().run()
    assert house.versions.current() == "0.2.0"


def test_the_reason_of_the_updater_reaches_the_state_and_an_offer_from_before_stays(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.release()
    house.stage()
    house.step().run()
    (house.state / "updater" / "report.json").write_bytes(b'{"trouble":"network","v":1}')
    house.step().run()
    state = house.step().store.state
    assert state.trouble is UpdateTrouble.NETWORK
    assert state.offer is not None


def test_a_package_that_says_it_is_something_else_is_not_unpacked(tmp_path: Path) -> None:
    for data in (deb("0.2.2", machine().architecture), deb("0.2.1", "riscv64")):
        (tmp_path / "x.deb").write_bytes(data)
        with pytest.raises(UpdateError, match="was announced"):
            unpack(tmp_path / "x.deb", "0.2.1", tmp_path / "incoming")
    (tmp_path / "x.deb").write_bytes(b"no package")
    with pytest.raises(UpdateError, match="refuses the package"):
        unpack(tmp_path / "x.deb", "0.2.1", tmp_path / "incoming")
    assert not (tmp_path / "incoming").exists()


def test_bytes_that_change_in_roots_own_folder_are_not_installed(tmp_path: Path) -> None:
    """Memory cards change bytes. The bytes are verified again a moment before they are unpacked."""
    house = House(tmp_path)
    offer = house.take_offer()
    store = house.step().store
    stored = next((store.folder / "repository" / "targets").iterdir())
    stored.write_bytes(with_another_end(stored.read_bytes()))
    with pytest.raises(UpdateError, match="damaged"):
        house.step().install(offer)
    assert house.versions.current() == "0.2.0"
    assert (house.step().store.state.outcome, house.step().store.state.withdrawn) == (None, ())


@pytest.mark.parametrize("passing", ["the clock is unknown", "the news is too old", "the disk is full", "no room"])
def test_a_wish_waits_for_what_says_nothing_of_the_version_and_is_carried_out_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: str
) -> None:
    """A security update would be barred for ever because the board started without a time server."""
    house = House(tmp_path)
    offer = house.take_offer()
    house.wish(offer.version, offer.sha256)
    # The network is away, so nothing new is taken in.
    (house.state / "updater" / "report.json").write_bytes(b'{"trouble":"network","v":1}')
    with monkeypatch.context() as now:
        step = house.step()
        if passing == "the clock is unknown":
            step = dataclasses.replace(step, now=lambda: reading(ClockQuality.UNKNOWN))
        elif passing == "the news is too old":
            pass_days(now, 8)
        elif passing == "the disk is full":
            now.setattr(root_step, "unpack", full)
        else:
            usage = shutil._ntuple_diskusage(10**9, 10**9, 10**6)
            now.setattr(shutil, "disk_usage", lambda _: usage)
        step.run()
    state = house.step().store.state
    assert (house.versions.current(), state.outcome, state.withdrawn) == ("0.2.0", None, ())
    is_disk = passing in ("the disk is full", "no room")
    assert state.trouble is (UpdateTrouble.DISK if is_disk else UpdateTrouble.NETWORK)
    house.stage()
    house.step().run()
    assert house.versions.current() == "0.2.1", "the same wish"


def full(*_: object) -> Path:
    raise StorageError("No space left on device.")


@pytest.mark.parametrize(
    ("result", "withdrawn"),
    [
        (UpdateResult.REFUSED, ()), (UpdateResult.ROLLED_BACK, ("0.2.1",)), (UpdateResult.INTERRUPTED, ("0.2.1",)),
        (OSError("no memory"), ()), (KeyboardInterrupt(), ("0.2.1",)),
    ],
)  # fmt: skip
def test_only_a_version_that_failed_itself_is_withdrawn(
    tmp_path: Path, result: UpdateResult | BaseException, withdrawn: tuple[str, ...]
) -> None:
    """An installer that ends because a download failed, for example, says nothing of the version."""
    house = House(tmp_path)
    house.release()

    def end(_: Path) -> UpdateResult:
        assert house.step().store.state.withdrawn == ("0.2.1",), "a cut now must not bring it again at each boot"
        if isinstance(result, UpdateResult):
            return result
        raise result

    house.switch_versions = end  # type: ignore[method-assign]
    with nullcontext() if isinstance(result, UpdateResult) else pytest.raises(type(result)):
        house.update()
    state = house.step().store.state
    assert state.outcome is not None
    assert (state.withdrawn, state.outcome.wish) == (withdrawn, WISH)
    if not isinstance(result, UpdateResult):
        told = UpdateResult.REFUSED if isinstance(result, OSError) else UpdateResult.INTERRUPTED
        assert state.outcome.result is told


def test_a_version_that_failed_before_stays_withdrawn_if_a_later_try_says_nothing_of_it(tmp_path: Path) -> None:
    house = House(tmp_path, healthy=False)
    house.release()
    house.update()
    offer = house.step().store.state.offer
    assert offer is not None
    house.switch_versions = lambda _: UpdateResult.REFUSED  # type: ignore[method-assign]
    assert house.step().install(offer, "cd" * 16) is UpdateResult.REFUSED
    assert house.step().store.state.withdrawn == ("0.2.1",)


def test_a_wish_from_before_its_version_failed_by_hand_is_not_carried_out(tmp_path: Path) -> None:
    """A person with root installs it while the wish waits. That trial leaves no id of the wish."""
    house = House(tmp_path, healthy=False)
    offer = house.take_offer()
    house.wish(offer.version, offer.sha256)
    assert house.step().install(offer, by_hand=True) is UpdateResult.ROLLED_BACK
    house.healthy = True
    house.step().run()
    assert house.versions.current() == "0.2.0"
    house.wish(offer.version, offer.sha256)
    house.step().run()
    assert house.versions.current() == "0.2.1", "a yes that comes later counts"


@pytest.mark.parametrize("file", ["wish.json", "back.dsse", "owners", "report.json"])
def test_a_file_that_is_written_while_roots_step_runs_is_read_right_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """systemd starts nothing for it, and the custodian would write it again only after ten minutes."""
    step = House(tmp_path).step()
    step.staging.mkdir()
    path = (step.staging if file == "report.json" else step.wishes) / file

    def meanwhile(_: RootStep) -> None:
        files.write(path, b"{}")

    with monkeypatch.context() as other:
        other.setattr(RootStep, "_run_locked", meanwhile)
        assert step.run()
        assert step.run(), "the same words again are another file"
    assert not step.run(), "it was read"
    path.unlink()
    assert not step.run(), "a file that is gone is no news"


def test_an_owners_choice_that_comes_when_the_wishes_were_just_read_is_installed_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    offer = house.take_offer()
    read = root_step._read

    def read_then_choose(path: Path, kind: Any) -> Any:
        found = read(path, kind)
        if path.name == "wish.json":
            house.wish(offer.version, offer.sha256)
        return found

    with monkeypatch.context() as owner:
        owner.setattr(root_step, "_read", read_then_choose)
        assert house.step().run()
    assert house.versions.current() == "0.2.0"
    assert not house.step().run()
    assert house.versions.current() == "0.2.1"


def test_a_step_beside_an_installation_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read that the installation is interrupted, and write that over its outcome, or remove its package."""
    house = House(tmp_path)
    house.release()
    house.stage()
    step = house.step()
    step.run()
    offer = step.store.state.offer
    assert offer is not None
    house.release("0.2.2")
    written = []

    def meanwhile(tree: Path) -> UpdateResult:
        monkeypatch.setattr(ReleaseStore, "_put", lambda *_: written.append("state"))
        house.stage()
        house.step().run()
        with pytest.raises(UpdateError, match="Another update is being installed"):
            house.step().admit(FolderFetcher(house.repository.folder, step.store.folder))
        monkeypatch.undo()
        return UpdateResult.REFUSED

    house.switch_versions = meanwhile  # type: ignore[method-assign]
    house.step().install(offer, by_hand=True)
    assert written == []
    assert len(list((step.store.folder / "repository" / "targets").iterdir())) == 1


def test_a_second_update_at_once_leaves_the_first_ones_folder_alone_and_says_what_to_do(tmp_path: Path) -> None:
    """For example, a person installs from a stick while an owner's choice is being installed."""
    house = House(tmp_path)
    offer = house.take_offer()
    switch, refused = house.switch_versions, list[UpdateError]()

    def meanwhile(tree: Path) -> UpdateResult:
        house.switch_versions = switch  # type: ignore[method-assign]
        with pytest.raises(UpdateError, match="Another update is being installed") as second:
            house.step().install(offer, "cd" * 16, by_hand=True)
        refused.append(second.value)
        house.step().run()
        assert (tree / "scripts" / "installation").is_dir()
        return switch(tree)

    house.switch_versions = meanwhile  # type: ignore[method-assign]
    assert house.step().install(offer, WISH) is UpdateResult.INSTALLED
    assert refused[0].remedy == "Wait for it to end."
    outcome = house.step().store.state.outcome
    assert outcome is not None
    assert outcome.wish == WISH


def test_the_folder_that_a_killed_step_left_is_removed_at_the_next_look(tmp_path: Path) -> None:
    house = House(tmp_path)
    left = house.places.opt / "incoming" / "usr"
    left.mkdir(parents=True)
    house.step().run()
    assert not left.parent.exists()


# --- From a stick


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_doorbell_without_a_network_updates_from_a_stick_with_the_same_checks(tmp_path: Path, form: str) -> None:
    house = House(tmp_path)
    house.release()
    stick = house.repository.folder if form == "folder" else _tar(house.repository, tmp_path / "x.update")
    step = house.step()
    offer = step.store.admit(fetcher_for(str(stick), step.store.folder), reading(), by_hand=True)
    assert offer is not None
    assert step.install(offer, by_hand=True) is UpdateResult.INSTALLED
    assert house.versions.current() == "0.2.1"


def test_a_package_alone_on_a_stick_is_no_update(tmp_path: Path) -> None:
    house = House(tmp_path)
    stick = tmp_path / "stick"
    stick.mkdir()
    alone = stick / "doorward_0.2.1_amd64.deb"
    alone.write_bytes(deb())
    step = house.step()
    with pytest.raises(Exception, match="cannot be fetched"):
        step.store.admit(FolderFetcher(stick, step.store.folder), reading(), by_hand=True)
    with pytest.raises(UpdateError, match="is no update"):
        step.store.admit(TarFetcher(alone, step.store.folder), reading(), by_hand=True)
    assert house.versions.current() == "0.2.0"


def test_a_way_back_is_in_the_state_before_it_begins_and_a_version_that_stays_counts_as_installed(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    step = house.step()
    assert step.go_back(lambda: True)
    assert not (step.store.folder / "state.json").exists(), "a doorbell that looks for no updates has no state of them"
    house.release()
    house.update()
    newer = RootStep(
        ReleaseStore(step.store.folder, house.repository.first_root, Machine("0.2.1", machine().architecture, "13")),
        step.staging, step.wishes, step.opt, reading, step.install_tree,
    )  # fmt: skip
    seen = []

    def installer(*, gone: bool) -> Callable[[], bool]:
        def run() -> bool:
            outcome = strictjson.decode((step.store.folder / "state.json").read_bytes(), UpdateState).outcome
            assert outcome is not None
            seen.append((outcome.version, outcome.result))
            return gone

        return run

    assert not newer.go_back(installer(gone=False))
    assert newer.store.state.outcome.result is UpdateResult.INSTALLED  # type: ignore[union-attr]
    with pytest.raises(OSError, match="killed"):
        newer.go_back(lambda: (_ for _ in ()).throw(OSError("killed")))
    assert newer.store.state.outcome.result is UpdateResult.INSTALLED  # type: ignore[union-attr]
    assert newer.go_back(installer(gone=True))
    assert seen == [("0.2.1", UpdateResult.TAKEN_BACK)] * 2
    outcome = house.step().store.state.outcome  # as version 0.2.0 reads it
    assert outcome is not None
    assert (outcome.version, outcome.result) == ("0.2.1", UpdateResult.TAKEN_BACK)
    with (step.opt / "update.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UpdateError, match="Another update"):
            newer.go_back(installer(gone=True))


def newer_step(house: House) -> RootStep:
    """Root's step after 0.2.1 was installed."""
    step = house.step()
    there = Machine("0.2.1", machine().architecture, "13")
    store = ReleaseStore(step.store.folder, house.repository.first_root, there)
    return RootStep(store, step.staging, step.wishes, step.opt, reading, step.install_tree)


def back_to_before(house: House) -> bool:
    house.versions.switch("0.2.0")
    return True


@pytest.mark.parametrize("by_hand", [False, True])
def test_an_owners_old_yes_does_not_bring_a_version_again_that_was_taken_back(tmp_path: Path, by_hand: bool) -> None:
    house = House(tmp_path)
    house.release()
    house.update()
    if by_hand:
        house.step().store.record("0.2.1", UpdateResult.INSTALLED, "", reading())
    assert newer_step(house).go_back(lambda: back_to_before(house))
    assert not (house.places.runtime / "update" / "wish.json").exists()
    house.stage()
    house.step().run()
    state = house.step().store.state
    assert state.offer is not None, "an owner may still choose it"
    assert state.outcome is not None
    assert (state.outcome.result, state.outcome.wish) == (UpdateResult.TAKEN_BACK, "" if by_hand else WISH)
    if not by_hand:  # the custodian has it in its journal, and writes it again
        house.wish(state.offer.version, state.offer.sha256)
        house.step().run()
    assert house.versions.current() == "0.2.0"
    house.wish(state.offer.version, state.offer.sha256, "cd" * 16)
    house.step().run()
    assert house.versions.current() == "0.2.1", "a new yes does"


@pytest.mark.parametrize("spoiled", ["folder", "nothing"])
def test_a_wish_that_cannot_be_removed_does_not_keep_root_from_going_back(tmp_path: Path, spoiled: str) -> None:
    house = House(tmp_path)
    house.release()
    house.update()
    wish = house.places.runtime / "update" / "wish.json"
    wish.unlink()
    if spoiled == "folder":
        wish.mkdir()
    assert newer_step(house).go_back(lambda: back_to_before(house))


def test_a_way_back_that_failed_forgets_neither_the_outcome_before_nor_the_offer(tmp_path: Path) -> None:
    """A version that failed here would be tried again without a yes."""
    house = House(tmp_path)
    house.release()
    house.stage()
    house.step().run()
    house.step().store.record("0.2.1", UpdateResult.ROLLED_BACK, WISH, reading())
    before = house.step().store.state
    assert before.offer is not None
    assert not house.step().go_back(lambda: False)
    now = house.step().store.state
    assert now.change != before.change, "an owner's statement that failed does not count again"
    assert now == replace(before, change=now.change)


def test_an_installation_by_hand_that_failed_does_not_open_an_old_wish_again(tmp_path: Path) -> None:
    house = House(tmp_path, healthy=False)
    house.release()
    house.update()
    offer = house.step().store.state.offer
    assert offer is not None
    assert house.step().install(offer, by_hand=True) is UpdateResult.ROLLED_BACK
    house.healthy = True
    house.step().run()
    assert house.versions.current() == "0.2.0"


def test_a_version_that_was_installed_and_left_for_an_older_one_counts_as_withdrawn(tmp_path: Path) -> None:
    """It failed its trial after a power cut, while its own root's step ran, or a person with root left it."""
    house = House(tmp_path)
    store = house.step().store
    store.record("0.2.1", UpdateResult.INTERRUPTED, WISH, reading())
    newer_step(house).run()
    outcome = newer_step(house).store.state.outcome
    assert outcome is not None
    assert (outcome.result, newer_step(house).store.state.withdrawn) == (UpdateResult.INSTALLED, ())
    house.step().run()
    written = strictjson.decode((store.folder / "state.json").read_bytes(), UpdateState)
    assert written.outcome is not None
    assert (written.running, written.withdrawn, written.outcome.wish) == ("0.2.0", ("0.2.1",), WISH)


def test_root_remembers_the_versions_that_were_withdrawn_until_one_of_them_is_installed_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    store = house.step().store

    def withdrawn(running: str = "0.2.0") -> tuple[str, ...]:
        there = Machine(running, machine().architecture, "13")
        return ReleaseStore(store.folder, house.repository.first_root, there).state.withdrawn

    for version, result in (
        ("0.2.1", UpdateResult.TAKEN_BACK), ("0.2.2", UpdateResult.INTERRUPTED), ("0.2.2", UpdateResult.ROLLED_BACK),
        ("0.2.3", UpdateResult.INTERRUPTED), ("0.2.3", UpdateResult.INSTALLED), ("0.2.4", UpdateResult.REFUSED),
        ("0.2.5", UpdateResult.INTERRUPTED),
    ):  # fmt: skip
        there = Machine("0.2.3" if version in ("0.2.4", "0.2.5") else "0.2.0", machine().architecture, "13")
        ReleaseStore(store.folder, house.repository.first_root, there).record(version, result, "", reading())
    assert withdrawn() == withdrawn("0.2.3") == ("0.2.1", "0.2.2", "0.2.5"), "what was only refused is none"
    assert withdrawn("0.2.1") == ("0.2.2", "0.2.5"), "it runs"
    house.release("0.2.9")
    house.stage()
    house.step().run()
    before = house.step().store.state
    assert before.withdrawn == withdrawn(), "a look for updates forgets none"
    store.record("0.2.2", UpdateResult.INSTALLED, "", reading())
    assert withdrawn("0.2.2") == ("0.2.1", "0.2.5"), "an owner chose it again, and it runs"
    store.restore(before)
    assert withdrawn() == before.withdrawn
    for number in range(20):
        store.record(f"1.0.{number}", UpdateResult.ROLLED_BACK, "", reading())
    assert withdrawn() == tuple(f"1.0.{number}" for number in range(4, 20)), "the newest sixteen"


def test_what_a_newer_version_wrote_counts_also_if_this_one_does_not_know_all_of_it(tmp_path: Path) -> None:
    """After a way back the version before reads it. Without it, an automatic update would undo the way back."""
    store = House(tmp_path).step().store
    store.record("0.2.1", UpdateResult.TAKEN_BACK, WISH, reading())
    store.refuse(b"a statement", ReversalRefusal.FAILED)
    written = json.loads((store.folder / "state.json").read_bytes())
    for each in (written, written["outcome"], written["refused"]):
        each["later"] = {"of": "a newer version"}
    (store.folder / "state.json").write_text(json.dumps({**written, "floor": "0.2.0"}))
    state = store.state
    assert state.outcome is not None
    assert (state.outcome.result, state.outcome.wish, state.floor) == (UpdateResult.TAKEN_BACK, WISH, "0.2.0")
    assert (state.withdrawn, state.refused is not None) == (("0.2.1",), True)


def _tar(repository: Repository, to: Path) -> Path:
    with tarfile.open(to, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for part in ("metadata", "targets"):
            for path in sorted((repository.folder / part).iterdir()):
                tar.add(path, f"{part}/{path.name}")
    return to


# --- Power cuts


STRIDE = int(os.environ.get("DOORWARD_UPDATE_CUTS", "17"))
"""1: a kill before every single change of the disk."""
CALLS = ("fsync", "replace", "rename", "symlink", "unlink", "mkdir")


def _dies_at(house: House, call: int) -> bool:
    """Runs an update in a process that is killed before its `call`-th change of the disk. Returns whether it was."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(call)
            house.update()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _kill_at(call: int) -> None:
    left = [call]

    def counting(real: object) -> object:
        def do(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)  # type: ignore[operator]

        return do

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


def test_a_kill_at_any_change_of_the_disk_leaves_one_whole_version_and_the_next_try_ends_the_update(
    tmp_path: Path,
) -> None:
    seen = set()
    call = 0
    while True:
        house = House(tmp_path / str(call))
        house.release()
        killed = _dies_at(house, call)
        running = house.versions.current()
        assert running in ("0.2.0", "0.2.1")
        assert house.versions.is_complete(running)
        seen.add(running)
        trial = house.versions.trial()
        assert trial is None or trial[0] == "0.2.1"
        if running == "0.2.0":
            house.stage()
            house.step().run()
            # A wish that was not begun is carried out now. One that was begun needs a new tap.
            offer = house.step().store.state.offer
            if offer is not None:
                house.wish(offer.version, offer.sha256, "ef" * 16)
                house.step().run()
            assert house.versions.current() == "0.2.1"
        shutil.rmtree(tmp_path / str(call))
        if not killed:
            break
        call += STRIDE
    assert seen == {"0.2.0", "0.2.1"}
