"""Switching versions, cut after every step: what runs is the old version or the new one, and whole."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import kernel  # noqa: E402
from installation.environment import pins_for, put_kernel  # noqa: E402
from installation.places import Places  # noqa: E402
from installation.versions import Versions, tree_digest  # noqa: E402

CALLS = ("replace", "symlink", "unlink", "rename", "mkdir", "rmdir", "open")


class Cut(BaseException):
    """The power goes."""


@contextmanager
def cut_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The power goes after this many calls that change a file system."""
    left = [calls]

    def counting(name: str) -> object:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            if left[0] <= 0:
                raise Cut
            left[0] -= 1
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, counting(name))
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "agent").mkdir(parents=True)
    (folder / "agent" / "__init__.py").write_text('__version__ = "1"\n')
    return folder


def make(versions: Versions, name: str, source: Path) -> None:
    versions.begin(name, source)
    versions.complete(name)


def upgrade(versions: Versions, source: Path) -> None:
    versions.sweep()
    make(versions, "new", source)
    versions.switch("new")
    versions.sweep()


def test_a_cut_at_any_step_leaves_the_old_version_or_the_new_one(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for calls in range(60):
        places = Places(tmp_path / f"root-{calls}")
        places.versions.mkdir(parents=True)
        versions = Versions(places)
        make(versions, "old", source)
        versions.switch("old")
        try:
            with cut_after(calls, monkeypatch):
                upgrade(versions, source)
        except Cut:
            pass
        running = versions.current()
        assert running in ("old", "new")
        assert versions.is_complete(running)
        assert (places.current / "app" / "agent" / "__init__.py").is_file()
        seen.add(running)
        upgrade(versions, source)  # whatever was left, the same command ends it
        assert (versions.current(), versions.previous()) == ("new", "old")
    assert seen == {"old", "new"}


def test_a_failed_update_keeps_the_version_before_at_every_cut(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One update that failed must not take the only way back: "two" ran well, and "one" before it."""
    for calls in range(60):
        versions = three_versions(Places(tmp_path / f"root-{calls}"), source)
        cut = True
        with suppress(Cut), cut_after(calls, monkeypatch):
            versions.begin_trial("three")
            versions.switch("three")
            versions.count_boot()
            versions.roll_back()
            versions.end_trial()
            cut = False
        found = versions.trial()
        if found is not None:  # the next boot
            assert versions.previous() is not None, "it runs the judge"
            if versions.current() == "three":
                versions.roll_back()
            versions.sweep()
            versions.end_trial()
        versions.sweep()
        assert (versions.current(), versions.previous(), versions.trial()) == ("two", "one", None)
        if not cut:
            break
    assert calls > 12, "the cuts were tried"


def test_an_update_that_runs_well_makes_the_version_that_it_replaced_the_one_before(
    tmp_path: Path, source: Path
) -> None:
    versions = three_versions(Places(tmp_path), source)
    versions.begin_trial("three")
    versions.switch("three")
    versions.end_trial()
    versions.sweep()
    assert (versions.current(), versions.previous()) == ("three", "two")
    assert not versions.folder("one").exists()


def three_versions(places: Places, source: Path) -> Versions:
    """Runs "two" after "one"; "three" is made."""
    places.versions.mkdir(parents=True)
    versions = Versions(places)
    for name in ("one", "two", "three"):
        make(versions, name, source)
    versions.switch("one")
    versions.switch("two")
    return versions


def test_a_version_that_is_not_complete_is_never_run_and_swept_away(tmp_path: Path, source: Path) -> None:
    versions = Versions(Places(tmp_path))
    versions.begin("half", source)
    with pytest.raises(RuntimeError, match="not complete"):
        versions.switch("half")
    versions.sweep()
    assert not versions.folder("half").exists()


def test_rolling_back_goes_to_the_version_before_and_only_to_a_whole_one(tmp_path: Path, source: Path) -> None:
    versions = Versions(Places(tmp_path))
    for name in ("one", "two"):
        make(versions, name, source)
        versions.switch(name)
    (versions.folder("one") / "complete").unlink()
    assert versions.roll_back() is None
    assert versions.current() == "two"
    versions.complete("one")
    assert versions.roll_back() == "one"
    assert versions.current() == "one"


def test_the_same_tree_is_the_same_version_and_another_byte_is_another(source: Path) -> None:
    before = tree_digest(source)
    assert tree_digest(source) == before
    (source / "agent" / "__init__.py").write_text('__version__ = "2"\n')
    assert tree_digest(source) != before


def test_beside_the_systems_camera_packages_numpy_is_the_systems() -> None:
    requirements = ROOT / "requirements"
    assert "\nnumpy==" in pins_for(requirements, None)
    trixie, bookworm = pins_for(requirements, "2.2.4"), pins_for(requirements, "1.24.2")
    assert "\nnumpy==" not in trixie
    assert "\nopencv-python-headless==5" in trixie
    assert "opencv-python-headless==4.11.0.86" in bookworm
    assert "opencv-python-headless==5" not in bookworm
    assert "\nnumpy==" not in bookworm


def test_the_network_comes_along_if_it_was_fetched(tmp_path: Path, source: Path) -> None:
    versions = Versions(Places(tmp_path / "root"))
    assert not (versions.begin("without", source) / "app" / "models").exists()
    before = tree_digest(source)
    (source / "models").mkdir()
    (source / "models" / "objects.onnx").write_bytes(b"ONNX")
    assert tree_digest(source) != before, "with it this is another version"
    assert (versions.begin("with", source) / "app" / "models" / "objects.onnx").read_bytes() == b"ONNX"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_kernel_that_could_not_be_made_is_made_when_there_is_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "versions" / "one"
    version.mkdir(parents=True)
    (version / "app").symlink_to(ROOT)
    library = version / "venv" / kernel.LIBRARY
    monkeypatch.setenv("CC", "no-such-compiler")
    put_kernel(version, None)
    assert not library.exists()
    assert "apt-get install gcc" in capsys.readouterr().out
    monkeypatch.delenv("CC")
    put_kernel(version, None)
    made = library.stat().st_mtime_ns
    put_kernel(version, None)
    assert [path.name for path in version.parent.iterdir()] == ["one"]
    assert library.stat().st_mtime_ns == made, "made once"
