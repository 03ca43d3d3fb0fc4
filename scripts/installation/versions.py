"""Versions as folders, and the choice of the one that runs: built completely, switched by one rename, rolled back by
another.

    versions/<id>/ … being made … → `complete` written and synced, last → trial → previous → current.new → rename
    → current → healthy → trial removed

A folder without `complete` is the rest of an interrupted run, and the next run removes it. Once created, `current`
always exists. `trial` names a version that has not proved healthy yet. If the power fails meanwhile, the next boot
watches the version, and goes back to the one before if need be (`doorward-update-trial.service`). `trial` also names
the version that `previous` named before. If the trial fails, `previous` names that one again, so one update that failed
does not take the way back.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from installation.places import Places

__all__ = ["Versions", "numbers_of", "tree_digest"]

_COMPLETE = "complete"
_PARTS = ("agent", "firmware_bridge", "config", "models", "systemd", "requirements", "scripts/installation")
"""`models` exists after `make models`; its presence tells an installation to include the network."""
_NOT_ON_A_DOORBELL = ("agent/clients", "agent/web/src")
"""The clients are a separate distribution, so a doorbell holds no code that opens footage. The page is built from
`src`."""
_FILES = ("LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md")


def files_of(source: Path) -> Iterator[Path]:
    """Yields the files of a source tree that are installed, relative and sorted."""
    found = [Path(name) for name in _FILES if (source / name).is_file()]
    for part in _PARTS:
        found += [
            path.relative_to(source)
            for path in (source / part).rglob("*")
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
        ]
    apart = [Path(name) for name in _NOT_ON_A_DOORBELL]
    found = [path for path in found if not any(path.is_relative_to(each) for each in apart)]
    yield from sorted(found)


def tree_digest(source: Path) -> str:
    """One hash over names and bytes of what is installed: the same tree, the same version."""
    total = hashlib.sha256()
    for path in files_of(source):
        data = (source / path).read_bytes()
        total.update(f"{path}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def numbers_of(name: str) -> tuple[int, ...]:
    """The numbers of a version's folder, to compare: "0.2.1-3f…" has (0, 2, 1)."""
    return tuple(int(part) for part in name.partition("-")[0].split(".") if part.isdigit())


class Versions:
    """All of them below `places.versions`."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def folder(self, name: str) -> Path:
        return self._places.versions / name

    def is_complete(self, name: str) -> bool:
        return (self.folder(name) / _COMPLETE).is_file()

    def current(self) -> str | None:
        return self._target(self._places.current)

    def previous(self) -> str | None:
        return self._target(self._places.previous)

    def begin(self, name: str, source: Path) -> Path:
        """Creates an incomplete version: a new folder with a copy of the source."""
        folder = self.folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        for path in files_of(source):
            target = folder / "app" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target)
            target.chmod(0o644)
        return folder

    def complete(self, name: str) -> None:
        """Marks a version as complete, once everything in it is synced."""
        # First: a file system may write the mark before the files that it stands for, and then the power may fail.
        os.sync()
        marker = self.folder(name) / _COMPLETE
        with marker.open("w") as file:
            file.flush()
            os.fsync(file.fileno())
        _sync(marker.parent)

    def switch(self, name: str) -> None:
        """Run `name` from now on, and remember what ran before."""
        if not self.is_complete(name):
            raise RuntimeError(f"{self.folder(name)} is not complete.")
        self._remember_current(name)
        self._point(self._places.current, name)

    def roll_back(self) -> str | None:
        """Switches back to the version before. Returns None for the first version."""
        before = self.previous()
        if before is None or not self.is_complete(before):
            return None
        self._point(self._places.current, before)
        return before

    def begin_trial(self, name: str, *, is_way_back: bool = False, films: bool = False) -> None:
        """Marks `name` as a version to watch. Call it before `switch`.

        `is_way_back`: `name` ran before. If it fails, it stays the version before.
        `films`: it got pictures from the camera in its test, so it must get some while it is watched.
        """
        # Read before `previous` changes: a failed trial needs it to give the way back its old target again.
        earlier = self.previous()
        if earlier is None:
            self._remember_current(name)  # first: the version before watches the trial
        elif earlier == self.current() or (earlier == name and not is_way_back) or not self.is_complete(earlier):
            earlier = None
        # Trial, then `previous`, then `current`: whatever a power cut leaves, the version that runs can judge or end
        # the trial.
        self._write_trial(name, 0, earlier, films=films)
        self._remember_current(name)

    def trial(self) -> tuple[str, int] | None:
        """Returns the version on trial and how many boots have watched it, or None."""
        try:
            name, boots, *_ = self._trial_words()
            return name, int(boots)
        except ValueError:
            return None

    def is_way_back(self) -> bool:
        """Returns whether the version on trial is one that ran before, and not a new one."""
        found = self.trial()
        return found is not None and self._earlier() == found[0]

    def must_film(self) -> bool:
        """Returns whether the version on trial got pictures in its test."""
        return self._trial_words()[3:] == ["films"]

    def count_boot(self) -> int:
        """Counts a boot of the version on trial, durably, and returns the number."""
        found = self.trial()
        if found is None:
            return 0
        self._write_trial(found[0], found[1] + 1, self._earlier(), films=self.must_film())
        return found[1] + 1

    def end_trial(self) -> None:
        found, earlier = self.trial(), self._earlier()
        if found is not None and self.current() != found[0] and earlier is not None and self.is_complete(earlier):
            self._point(self._places.previous, earlier)
        self._places.trial.unlink(missing_ok=True)
        _sync(self._places.opt)

    def _earlier(self) -> str | None:
        """Returns the version before the one that the trial's version replaces. None if it is not kept."""
        words = self._trial_words()
        return words[2] if len(words) > 2 and self.folder(words[2]).is_dir() else None

    def _trial_words(self) -> list[str]:
        """Returns the version's name, boots, the earlier version's name or "-", and "films" if it must film."""
        try:
            return self._places.trial.read_text().split()
        except (OSError, ValueError):
            return []

    def _remember_current(self, name: str) -> None:
        now = self.current()
        if now is not None and now != name:
            self._point(self._places.previous, now)

    def _write_trial(self, name: str, boots: int, earlier: str | None, *, films: bool) -> None:
        making = self._places.trial.with_name("trial.new")
        with making.open("w") as file:
            file.write(" ".join([name, str(boots), earlier or "-", *(["films"] if films else [])]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        making.replace(self._places.trial)
        _sync(self._places.opt)

    def sweep(self) -> None:
        """Remove what is incomplete, and every version but the current and those before that can come back."""
        if not self._places.versions.is_dir():
            return
        keep = {self.current(), self.previous(), self._earlier()}
        for folder in self._places.versions.iterdir():
            if folder.name not in keep or not self.is_complete(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def _target(self, link: Path) -> str | None:
        try:
            name = link.readlink().name
        except OSError:
            return None
        return name if self.folder(name).is_dir() else None

    def _point(self, link: Path, name: str) -> None:
        making = link.with_name(f"{link.name}.new")
        # A killed run may have left it.
        making.unlink(missing_ok=True)
        making.symlink_to(Path("versions") / name)
        # A link cannot be changed in place. The rename leaves no moment in which a unit that starts finds no program.
        making.replace(link)
        _sync(link.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
