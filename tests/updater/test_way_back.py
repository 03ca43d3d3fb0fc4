"""An owner's signed way back to the version before: root verifies all of it, and believes only the owners it pinned."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.timebase import ClockQuality
from agent.core.updates import RefusedReversal, ReversalRefusal, UpdateResult, UpdateState
from agent.errors import DoorwardError, FormatError, StorageError, UpdateError
from agent.updater import root_step
from agent.updater.pinned_owners import OwnerPin
from agent.updater.release_store import ReleaseStore
from agent.updater.root_step import RootStep
from agent.wire import envelope, strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import Enrolment, NamedKey, UpdateChoice, UpdateReversal, sign_statement
from tests.update_repositories import deb, package
from tests.updater.doors import reading
from tests.updater.test_root_step import House, back_to_before, machine, newer_step
from tests.wire import samples

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

THIEF = private_key_from_seed(b"t" * 32)


def listed(wanted: Enrolment, by: Any = samples.OWNER) -> bytes:
    return sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(wanted), by)


FIRST = samples.enrolment()
LISTS = listed(FIRST)
SECOND = samples.enrolment(
    epoch=2,
    previous=hashlib.sha256(strictjson.encode(FIRST)).hexdigest(),
    approvers=(NamedKey.of("owner-2", samples.ROOT),),
)
"""The first owner has left."""
BOTH_LISTS = LISTS + b"\n" + listed(SECOND)


class Door(House):
    """Version 0.2.1 runs after 0.2.0, root has pinned the first owner, and counts how often it goes back."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, below: str | None = None) -> None:
        super().__init__(folder)
        architecture = machine().architecture
        self.repository.release(deb("0.2.1", architecture, b"it"), package("0.2.1", architecture, security_below=below))
        self.update()
        self.wishes = self.places.runtime / "update"
        self.went = 0
        self.runs_well = True
        monkeypatch.setattr(root_step, "run_version_before", lambda _: self.go())
        self.show(LISTS)
        self.root()
        assert self.went == 0

    def go(self) -> bool:
        self.went += 1
        return back_to_before(self) if self.runs_well else False

    def show(self, lists: bytes) -> None:
        (self.wishes / "owners").write_bytes(lists)

    def statement(self, **changes: Any) -> UpdateReversal:
        change = newer_step(self).store.state.change
        values = {
            "v": 1, "device": samples.DEVICE_KEY.text, "owner_time_ms": time.time_ns() // 10**6, "nonce": "ab" * 16,
            "version": "0.2.1", "before": "0.2.0", "change": change,
        }  # fmt: skip
        return UpdateReversal(**{**values, **changes})

    def sign(self, by: Any = samples.OWNER, **changes: Any) -> bytes:
        data = sign_statement(UpdateReversal.PAYLOAD_TYPE, strictjson.encode(self.statement(**changes)), by)
        (self.wishes / "back.dsse").write_bytes(data)
        return data

    def refusal(self) -> tuple[ReversalRefusal, str | None] | None:
        refused = strictjson.decode((newer_step(self).store.folder / "state.json").read_bytes(), UpdateState).refused
        return None if refused is None else (refused.reason, refused.statement)

    def root(self, step: Callable[[House], RootStep] = newer_step) -> None:
        step(self).run()


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(tmp_path, monkeypatch)


def test_an_owners_signed_way_back_is_carried_out_once_and_never_again(door: Door) -> None:
    data = door.sign()
    door.root()
    assert (door.went, door.versions.current()) == (1, "0.2.0")
    outcome = door.step().store.state.outcome
    assert outcome is not None
    assert (outcome.version, outcome.result) == ("0.2.1", UpdateResult.TAKEN_BACK)
    assert not (door.wishes / "back.dsse").exists()
    # The same version is installed again, and a custodian that was taken over has kept the statement.
    door.step().store.record("0.2.1", UpdateResult.INSTALLED, "", reading())
    door.versions.switch("0.2.1")
    (door.wishes / "back.dsse").write_bytes(data)
    door.root()
    assert (door.went, door.versions.current()) == (1, "0.2.1")


def test_root_says_which_list_of_owners_it_believes(door: Door) -> None:
    def believed() -> str | None:
        return newer_step(door).store.state.owners

    first = hashlib.sha256(strictjson.encode(FIRST)).hexdigest()
    assert believed() == first
    door.show(listed(samples.enrolment(nonce="ff" * 16)))
    door.root()
    assert believed() == first, "an owner of the new list reads that root knows others"
    door.show(BOTH_LISTS)
    door.root()
    assert believed() == hashlib.sha256(strictjson.encode(SECOND)).hexdigest()


def test_a_way_back_that_failed_is_not_tried_again(door: Door) -> None:
    door.runs_well = False
    data = door.sign()
    door.root()
    assert door.refusal() == (ReversalRefusal.FAILED, hashlib.sha256(data).hexdigest())
    (door.wishes / "back.dsse").write_bytes(data)
    door.root()
    assert (door.went, door.versions.current()) == (1, "0.2.1")
    assert door.refusal() == (ReversalRefusal.FAILED, hashlib.sha256(data).hexdigest()), "the first reason stays"
    assert newer_step(door).store.state.outcome.result is UpdateResult.INSTALLED  # type: ignore[union-attr]
    door.runs_well = True
    door.sign()
    door.root()
    assert door.went == 2, "a new statement counts"


HOUR_MS = 3_600_000


@pytest.mark.parametrize("cut", ["before the switch", "after the switch"])
def test_after_a_power_cut_and_a_trial_that_failed_root_says_which_version_runs(
    door: Door, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """Root writes that the running version was taken back before the way back begins. That must not stay."""

    def power_cut(*_: object) -> bool:
        if cut == "after the switch":
            door.versions.switch("0.2.0")
        raise KeyboardInterrupt

    monkeypatch.setattr(root_step, "run_version_before", power_cut)
    monkeypatch.setattr(ReleaseStore, "restore", lambda *_: None)  # a power cut leaves no time for it
    data = door.sign()
    with pytest.raises(KeyboardInterrupt):
        door.root()
    if cut == "after the switch":  # the next boot watches 0.2.0, whose step of root may run, and goes back to 0.2.1
        door.root(House.step)
        assert door.step().store.state.outcome.result is UpdateResult.TAKEN_BACK  # type: ignore[union-attr]
        door.versions.switch("0.2.1")
    door.root()
    written = strictjson.decode((newer_step(door).store.folder / "state.json").read_bytes(), UpdateState)
    assert written.outcome is not None
    assert (written.running, written.outcome.result, written.withdrawn) == ("0.2.1", UpdateResult.INSTALLED, ())
    # If a step of 0.2.0 came between, root cannot tell this from an installation of 0.2.1 by hand.
    told = RefusedReversal(reason=ReversalRefusal.FAILED, statement=hashlib.sha256(data).hexdigest())
    assert written.refused == (told if cut == "before the switch" else None)


def test_after_a_power_cut_in_a_way_back_of_a_person_with_root_no_owner_hears_of_a_signature(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No owner signed it, so "sign again" would be wrong."""

    def power_cut() -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(ReleaseStore, "restore", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            newer_step(door).go_back(power_cut)
    door.root()
    written = strictjson.decode((newer_step(door).store.folder / "state.json").read_bytes(), UpdateState)
    assert written.outcome is not None
    assert (written.outcome.result, written.refused) == (UpdateResult.INSTALLED, None)


def test_a_way_back_at_work_is_not_called_over_by_another_step_of_root(door: Door) -> None:
    """The power may go right after: then the version that was left must not come again by an automatic update."""
    seen = []

    def meanwhile() -> bool:
        door.root()
        seen.append(newer_step(door).store.state.outcome.result)  # type: ignore[union-attr]
        return back_to_before(door)

    assert newer_step(door).go_back(meanwhile)
    assert seen == [UpdateResult.TAKEN_BACK]


def test_a_way_back_that_an_owner_did_not_sign_for_this_moment_is_refused(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms = time.time_ns() // 10**6
    for changes, reason in (
        ({"by": THIEF}, ReversalRefusal.OWNERS),
        ({"device": samples.OWNER_KEY.text}, ReversalRefusal.CHANGED),
        ({"version": "0.2.2"}, ReversalRefusal.CHANGED),
        ({"before": "0.1.9"}, ReversalRefusal.CHANGED),
        ({"before": "0.2.1"}, ReversalRefusal.CHANGED),
        ({"change": "00" * 16}, ReversalRefusal.CHANGED),
        ({"owner_time_ms": now_ms - HOUR_MS - 60_000}, ReversalRefusal.TIME),
        ({"owner_time_ms": now_ms + HOUR_MS + 600_000}, ReversalRefusal.TIME),
    ):
        data = door.sign(**changes)
        door.root()
        assert door.went == 0, changes
        assert door.refusal() == (reason, hashlib.sha256(data).hexdigest()), changes
        told = capsys.readouterr().out
        assert ("more than an hour" in told) is (reason is ReversalRefusal.TIME), changes
    door.sign(owner_time_ms=now_ms - HOUR_MS // 2)
    door.root()
    assert (door.went, door.refusal()) == (1, None)


def test_one_of_the_two_signatures_is_not_enough(door: Door) -> None:
    payload = strictjson.encode(door.statement())
    alone = envelope.sign(UpdateReversal.PAYLOAD_TYPE, payload, samples.OWNER)
    (door.wishes / "back.dsse").write_bytes(alone)
    door.root()
    assert door.went == 0


def test_an_owners_yes_to_an_update_is_no_way_back(door: Door) -> None:
    given = {name: getattr(door.statement(), name) for name in ("v", "device", "owner_time_ms", "nonce", "version")}
    payload = strictjson.encode(UpdateChoice(**given, sha256="ab" * 32))
    (door.wishes / "back.dsse").write_bytes(sign_statement(UpdateChoice.PAYLOAD_TYPE, payload, samples.OWNER))
    door.root()
    assert door.went == 0


def test_an_owner_who_has_left_takes_nothing_back_also_if_the_older_list_is_shown_again(door: Door) -> None:
    door.show(BOTH_LISTS)
    door.sign()
    door.root()
    door.show(LISTS)
    door.sign()
    door.root()
    assert door.went == 0
    fork = samples.enrolment(epoch=2, previous=SECOND.previous, nonce="ff" * 16)
    door.show(LISTS + b"\n" + listed(fork))  # signed by an owner of the first list, beside the true second one
    door.sign()
    door.root()
    assert door.went == 0
    door.show(BOTH_LISTS)
    door.sign(by=samples.ROOT)
    door.root()
    assert door.went == 1, "the owner who followed may"


def test_owners_that_a_custodian_invents_are_not_believed(door: Door) -> None:
    invented = samples.enrolment(approvers=(NamedKey.of("owner-1", THIEF),), nonce="ff" * 16)
    door.show(listed(invented, THIEF))
    door.sign(by=THIEF)
    door.root()
    follows = samples.enrolment(epoch=2, previous=SECOND.previous, approvers=(NamedKey.of("owner-1", THIEF),))
    door.show(LISTS + b"\n" + listed(follows, THIEF))
    door.sign(by=THIEF)
    door.root()
    assert door.went == 0


def test_files_of_a_custodian_that_was_taken_over_get_nothing_done(door: Door) -> None:
    elsewhere = door.wishes / "elsewhere"
    for spoiled in ("empty", "nonsense", "link", "pipe", "folder", "huge", "no owners"):
        door.show(LISTS)
        door.sign()
        path = door.wishes / ("owners" if spoiled in ("huge", "no owners") else "back.dsse")
        path.replace(elsewhere)
        if spoiled == "link":
            path.symlink_to(elsewhere)
        elif spoiled == "pipe":
            os.mkfifo(path)
        elif spoiled == "folder":
            path.mkdir()
        elif spoiled != "no owners":
            path.write_bytes({"empty": b"", "nonsense": b"{", "huge": LISTS + b"\n" * 17_000_000}[spoiled])
        door.root()
        assert door.went == 0, spoiled
        if spoiled == "folder":
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def test_below_the_floor_of_known_faults_only_root_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(tmp_path, monkeypatch, below="0.2.1")
    assert newer_step(door).store.state.floor == "0.2.1"
    door.sign()
    door.root()
    assert door.went == 0
    assert door.refusal() is not None
    assert door.refusal()[0] is ReversalRefusal.FAULT  # type: ignore[index]
    newer = newer_step(door)
    newer.store.report(None)  # type: ignore[arg-type]
    newer.store.record("0.2.1", UpdateResult.INSTALLED, "", reading())
    assert newer_step(door).store.state.floor == "0.2.1", "it does not sink"
    assert newer.go_back(door.go), "a person with root may"


def test_without_the_time_of_day_no_way_back_counts(door: Door) -> None:
    data = door.sign()
    step = newer_step(door)
    RootStep(
        step.store, step.staging, step.wishes, step.opt, lambda: reading(ClockQuality.UNKNOWN), step.install_tree
    ).run()
    assert (door.went, door.refusal()) == (0, (ReversalRefusal.TIME, hashlib.sha256(data).hexdigest()))


def test_a_way_back_waits_while_the_disk_is_full(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("No space left on device.")

    door.sign()
    with monkeypatch.context() as disk:
        disk.setattr(ReleaseStore, "record", full)
        door.root()
    assert (door.went, door.refusal()) == (0, None)
    door.root()
    assert door.went == 1


def test_many_lines_of_a_custodian_take_no_more_memory_than_they_have(tmp_path: Path) -> None:
    lines = b"\n" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            OwnerPin(tmp_path / "owners.json").follow(lines)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(lines)
    finally:
        tracemalloc.stop()


def test_a_damaged_pin_counts_for_no_owner_and_root_can_forget_it(tmp_path: Path) -> None:
    file = tmp_path / "owners.json"
    pin = OwnerPin(file)
    pin.follow(LISTS)
    file.write_bytes(b"{")
    with pytest.raises(FormatError):
        pin.follow(LISTS)
    pin.forget()
    assert pin.follow(BOTH_LISTS)[0].epoch == 2
    with pytest.raises(UpdateError, match="other owners"):
        pin.follow(LISTS)
    for shown in (b"", b"\n", LISTS + b"\n", BOTH_LISTS + b"\n" + LISTS):
        with pytest.raises(DoorwardError):
            pin.follow(shown)


@pytest.mark.parametrize(("status", "well"), [(0, True), (1, False)])
def test_the_present_versions_own_installer_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, well: bool
) -> None:
    """With the system's Python, because the installer replaces the environment of the version."""
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", run)
    assert root_step.run_version_before(tmp_path) is well
    installer = tmp_path / "current" / "app" / "scripts" / "installation"
    assert ran == [["/usr/bin/python3", "-I", "-B", str(installer), "back"]]
