"""Root's part of an update: take in what was staged, and do what an owner chose: install it, or go back.

The package's own installer does the work, from a copy that root unpacked (scripts/installation): a new folder beside
the running version, its self-test, the camera, one rename, and the way back. A power cut anywhere leaves one of the two
versions. This module decides only whether it is started.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog

from agent.core.timebase import NS_PER_MS, ClockReading
from agent.core.updates import (
    FetchReport,
    Offer,
    ReversalRefusal,
    UpdateResult,
    UpdateTrouble,
    UpdateWish,
    numbers,
)
from agent.errors import DoorwardError, FormatError, StorageError, UpdateError
from agent.updater.fetchers import BoundedFetcher, FolderFetcher, require_room
from agent.updater.machine import output_of
from agent.updater.pinned_owners import MOST_OWNERS_BYTES, OwnerPin
from agent.updater.release_client import require_clock
from agent.updater.release_store import ROOM_TO_INSTALL, ReleaseStore
from agent.wire import strictjson
from agent.wire.statements import Enrolment, UpdateReversal, open_statement

__all__ = [
    "RootStep",
    "debian_fields",
    "install_tree",
    "is_at_work",
    "run_version_before",
    "unpack",
    "version_before",
]

_LOCK: Final = "update.lock"
_ROLLED_BACK: Final = 3
"""Exit status of `installation install --update`: the new version failed here, and the version before runs."""
_MOST_NOTE_BYTES: Final = 4096
_MOST_STATEMENT_BYTES: Final = 64 * 1024
_LIFE_MS: Final = 3_600_000
"""An owner's way back counts for this long, by the clocks of the owner's phone and of this doorbell."""
_TREE: Final = Path("usr/lib/doorward")

_Note = TypeVar("_Note", FetchReport, UpdateWish)

Install = Callable[[Path], UpdateResult]
"""Installs the unpacked package in a folder. Its default is `install_tree`."""


class _RefusedError(UpdateError):
    """A way back does not count, for this reason."""

    def __init__(self, reason: ReversalRefusal, message: str, remedy: str = "Sign it again.") -> None:
        super().__init__(message, remedy=remedy)
        self.refusal = reason


@dataclass(frozen=True)
class RootStep:
    """`staging`: the updater's folder. `wishes`: the custodian's. `opt`: where a package is unpacked."""

    store: ReleaseStore
    staging: Path
    wishes: Path
    opt: Path
    now: Callable[[], ClockReading]
    install_tree: Install

    def run(self) -> bool:
        """Takes in what is staged, then carries out the owner's wish if there is a new one.

        Returns whether one of the files that it reads was written meanwhile: systemd does not start it again for these.
        It does nothing beside another update, and a person with root who ends one starts this step.
        """
        before = self._written()
        try:
            with self._locked():
                self._run_locked()
        except UpdateError as error:
            structlog.get_logger("updater").warning("no_step", error=error.message, remedy=error.remedy)
            return False
        return any(mark is not None and mark != before[path] for path, mark in self._written().items())

    def _written(self) -> dict[Path, tuple[int, ...] | None]:
        """Returns for each file that starts this step what changes if it is written again, None if it is missing."""
        notes = ("wish.json", "back.dsse", "owners")
        return {path: _mark(path) for path in (self.staging / "report.json", *(self.wishes / name for name in notes))}

    def _run_locked(self) -> None:
        log = structlog.get_logger("updater")
        shutil.rmtree(self._incoming, ignore_errors=True)  # left by a step that was killed
        with suppress(DoorwardError):
            self.store.settle()
        try:
            self._admit_staged()
        except DoorwardError as error:
            log.warning("no_update_taken_in", error=error.message, remedy=error.remedy)
        try:
            if self._apply_reversal():
                return  # this program is that of the version that was left
        except DoorwardError as error:
            log.warning("no_way_back", error=error.message, remedy=error.remedy)
        try:
            self._install_wished()
        except DoorwardError as error:
            log.warning("not_installed", error=error.message, remedy=error.remedy)
            if isinstance(error, StorageError):  # the owner reads why the wish waits
                with suppress(DoorwardError):
                    self.store.report(UpdateTrouble.DISK)

    def _admit_staged(self) -> None:
        """Verifies and copies what the updater staged."""
        report = _read(self.staging / "report.json", FetchReport)
        if report is None:
            return
        if report.trouble is not None:
            self.store.report(report.trouble)
            return
        # Copied into root's folder and verified there: the updater may exchange its own files at any moment.
        self.store.admit(FolderFetcher(self.staging / "repository", self.store.folder), self.now())

    def _install_wished(self) -> None:
        """Installs the package of the wish that waits. Inside the lock, so that it counts what ended a moment ago."""
        log = structlog.get_logger("updater")
        wish = _read(self.wishes / "wish.json", UpdateWish)
        state = self.store.state
        # Once for each wish. The custodian keeps its file after the installation.
        if wish is None or (state.outcome is not None and state.outcome.wish == wish.id):
            return
        if state.bars(wish):
            log.warning("wish_from_before_the_version_failed", version=wish.version)
            return
        offer = state.offer
        # The wish only chooses among what root has verified, because the custodian may be taken over.
        if offer is None or (offer.version, offer.sha256) != (wish.version, wish.sha256):
            log.warning("wish_without_offer", version=wish.version)
            return
        self._install_locked(offer, wish.id, by_hand=False)

    def admit(self, source: BoundedFetcher) -> Offer | None:
        """Verifies and copies what a person with root has, for example on a stick. Returns the offer, or None.

        Raises `UpdateError` if another update is being installed, and as `ReleaseStore.admit`.
        """
        with self._locked():
            return self.store.admit(source, self.now(), by_hand=True)

    def install(self, offer: Offer, wish: str = "", *, by_hand: bool = False) -> UpdateResult:
        """Verifies the stored package once more and installs it. Writes the outcome and returns it.

        Raises `UpdateError` if another update is being installed. Raises `UpdateError` or `StorageError` if the package
        cannot be verified now, or the disk is full. Then it writes no outcome: the version may be sound.
        """
        with self._locked():
            return self._install_locked(offer, wish, by_hand=by_hand)

    def _install_locked(self, offer: Offer, wish: str, *, by_hand: bool) -> UpdateResult:
        wish = wish or self._newest_wish
        # Before anything is recorded: a clock that is unknown for a minute, or a full disk, must not bar this version.
        package = self.store.package(offer, self.now(), by_hand=by_hand)
        require_room(self.opt, ROOM_TO_INSTALL * offer.length)
        before = self.store.state
        # Before it begins, so that a version that takes the board down is not tried again at each boot.
        self.store.record(offer.version, UpdateResult.INTERRUPTED, wish, self.now())
        try:
            result = self._unpack_and_install(package, offer.version)
        except StorageError:
            # A full disk says nothing about the version, so the wish still counts.
            self.store.undo(before)
            raise
        except Exception:
            self.store.record(offer.version, UpdateResult.REFUSED, wish, self.now(), withdrawn=before.withdrawn)
            raise
        # Refused before the switch, for a reason of this machine: the version may be tried again.
        withdrawn = before.withdrawn if result is UpdateResult.REFUSED else None
        self.store.record(offer.version, result, wish, self.now(), withdrawn=withdrawn)
        return result

    def _unpack_and_install(self, package: Path, version: str) -> UpdateResult:
        try:
            return self.install_tree(unpack(package, version, self._incoming))
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _apply_reversal(self) -> bool:
        """Goes back to the version before if an owner signed that. Returns whether it runs now.

        Everything is verified here: the custodian may be taken over (docs/updates.md). Raises `DoorwardError` if the
        statement does not count. Its owner reads why in the state.
        """
        # Read first: the custodian writes the owners first, so this statement is not newer than the owners below.
        data = _bytes_of(self.wishes / "back.dsse", _MOST_STATEMENT_BYTES)
        shown = _bytes_of(self.wishes / "owners", MOST_OWNERS_BYTES)
        if shown is None:
            return False
        try:
            owners, sha256 = OwnerPin(self.store.folder / "owners.json").follow(shown)
            self.store.know_owners(sha256)
            if data is None:
                return False
            self._require_reversal(data, owners)
        except _RefusedError as error:
            self.store.refuse(data or b"", error.refusal)
            raise
        except FormatError:
            if data is not None:
                self.store.refuse(data, ReversalRefusal.OWNERS)
            raise
        # Another installation at work, or a full disk, is no refusal: the custodian writes the statement again.
        if self._go_back_locked(lambda: run_version_before(self.opt), hashlib.sha256(data).hexdigest()):
            return True
        self.store.refuse(data, ReversalRefusal.FAILED)
        return False

    def _require_reversal(self, data: bytes, owners: Enrolment) -> None:
        opened = open_statement(data, UpdateReversal.PAYLOAD_TYPE, owners.signers)
        wanted = strictjson.decode(opened.payload, UpdateReversal, limit_bytes=_MOST_STATEMENT_BYTES)
        state, before, now = self.store.state, version_before(self.opt), self.now()
        try:
            require_clock(now)
        except UpdateError as error:
            raise _RefusedError(ReversalRefusal.TIME, error.message, error.remedy) from error
        age_ms = abs(now.utc_ns // NS_PER_MS - wanted.owner_time_ms)
        is_same = (wanted.device, wanted.version, wanted.before) == (owners.device, state.running, before)
        if not is_same or state.change is None or wanted.change != state.change:
            raise _RefusedError(ReversalRefusal.CHANGED, "Something has changed since this way back was signed.")
        if age_ms > _LIFE_MS:
            raise _RefusedError(
                ReversalRefusal.TIME,
                "This way back was signed more than an hour ago, or the clocks differ by more than an hour.",
            )
        # A way back has fewer checks than an update, so it must not lead to a newer version.
        if not numbers(wanted.before) < numbers(state.running):
            raise _RefusedError(
                ReversalRefusal.CHANGED, "The version before is not older than this one.", "Install it as an update."
            )
        if state.floor is not None and numbers(wanted.before) < numbers(state.floor):
            raise _RefusedError(
                ReversalRefusal.FAULT,
                f"{wanted.before} has a known vulnerability.",
                "Only root goes back: sudo doorward update back",
            )

    def go_back(self, run_installer: Callable[[], bool]) -> bool:
        """Runs the version before again. Returns False if the present one goes on. Raises as `install` does."""
        with self._locked():
            return self._go_back_locked(run_installer)

    def _go_back_locked(self, run_installer: Callable[[], bool], reversal: str | None = None) -> bool:
        before, has_state = self.store.state, (self.store.folder / "state.json").exists()
        if has_state:  # otherwise this doorbell looks for no updates
            # First: a power cut after the switch must not let an automatic update undo it. The wish that was carried
            # out stays in it, because the custodian keeps that wish and would have it carried out again.
            self.store.record(before.running, UpdateResult.TAKEN_BACK, self._newest_wish, self.now(), reversal=reversal)
        # A wish that waits would install the version again that is being left.
        for name in ("wish.json", "back.dsse"):
            with suppress(OSError):  # the custodian's folder: anything may be there
                (self.wishes / name).unlink()
        if not has_state:
            return run_installer()
        gone = False
        try:
            gone = run_installer()
        finally:
            if not gone:
                self.store.restore(before)
        return gone

    @property
    def _newest_wish(self) -> str:
        """Returns the id of the newest wish that was carried out. An installation by hand does not open it again."""
        outcome = self.store.state.outcome
        return "" if outcome is None else str(outcome.wish)

    @property
    def _incoming(self) -> Path:
        return self.opt / "incoming"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two steps at once, one of them by hand, would unpack into the same folder."""
        with (self.opt / _LOCK).open("w") as lock:
            try:
                # The kernel releases it when the process dies, so a killed step leaves no stale lock.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UpdateError("Another update is being installed.", remedy="Wait for it to end.") from error
            yield


def version_before(opt: Path) -> str | None:
    """Returns the number of the version that the installer kept, None if there is none."""
    kept = opt / "previous"
    try:
        return kept.readlink().name.partition("-")[0] if kept.exists() else None
    except OSError:
        return None


def is_at_work(opt: Path) -> bool:
    """Returns True while an update is being installed. Until it ends, its outcome is recorded as interrupted."""
    try:
        with (opt / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no update was ever installed here, or the file may not be read
        return False
    return False


def unpack(package: Path, version: str, folder: Path) -> Path:
    """Unpacks a verified package into a new folder of root's. Returns the folder with its source and wheels.

    Raises `UpdateError` if the package says that it is another version, or for another machine.
    """
    fields = debian_fields(package)
    architecture = output_of(["dpkg", "--print-architecture"]).strip()
    if fields != {"Package": "doorward", "Version": version, "Architecture": architecture}:
        raise UpdateError(f"The package is {fields}, and doorward {version} for {architecture} was announced.")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
        output_of(["dpkg-deb", "--extract", str(package), str(folder)])
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}.", remedy="Run doorward doctor.") from error
    return folder / _TREE


def debian_fields(package: Path) -> dict[str, str]:
    """Returns three fields of the package's control file."""
    lines = output_of(["dpkg-deb", "--field", str(package), "Package", "Version", "Architecture"]).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def install_tree(tree: Path) -> UpdateResult:
    """Runs the new version's own installer, with the system's Python."""
    # `-I` leaves out the environment's module paths, `-B` writes no bytecode into the verified tree.
    words = ["/usr/bin/python3", "-I", "-B", str(tree / "scripts" / "installation"), "install", "--update"]
    done = subprocess.run([*words, "--source", str(tree)], check=False)  # noqa: S603 (fixed words, verified tree)
    if done.returncode == 0:
        return UpdateResult.INSTALLED
    if done.returncode < 0:  # killed: a unit of systemd ends what it left
        return UpdateResult.INTERRUPTED
    return UpdateResult.ROLLED_BACK if done.returncode == _ROLLED_BACK else UpdateResult.REFUSED


def run_version_before(opt: Path) -> bool:
    """Runs the present version's own installer to go back, with the system's Python."""
    installer = opt / "current" / "app" / "scripts" / "installation"
    done = subprocess.run(["/usr/bin/python3", "-I", "-B", str(installer), "back"], check=False)  # noqa: S603
    return done.returncode == 0


def _read(path: Path, kind: type[_Note]) -> _Note | None:
    """Returns a small file of another user, or None if it is nonsense."""
    data = _bytes_of(path, _MOST_NOTE_BYTES)
    try:
        return None if data is None else strictjson.decode(data, kind, limit_bytes=_MOST_NOTE_BYTES)
    except FormatError:
        return None


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    # The inode differs after each replacement, also by an equal file within one tick of the clock.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _bytes_of(path: Path, limit_bytes: int) -> bytes | None:
    """Returns a file of another user, or None. It may be a link, a pipe, endless or growing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        data = file.read(limit_bytes + 1)
    return data if 0 < len(data) <= limit_bytes else None
