"""The build of a release: every byte depends on the commit, and what is said about it is right."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.recorder import motion_kernel
from tests.core.motion import test_known_answers
from tests.releasing.release_folders import ROOT, sha256

# isort: split
from installation.words import FailedError
from releasing import build, reproduce, vulnerability_notes, wheels
from releasing.package_rules import numbers
from wheelhouse import ZIG_TARGETS

AT_S = 1_780_000_000
RELEASE_PYTHON = ROOT / ".cache" / "release" / "bin" / "python"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
WITHOUT_NETWORK = "the bytes of the network of object detection are not in models/. Run `make models`."
VEX = ROOT / "docs" / "security" / "vex.toml"


def in_surroundings(each: reproduce.Surroundings, *words: str, cwd: Path) -> None:
    script = f'umask {each.umask:04o}; exec "$@"'
    environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": str(AT_S), **each.environment}
    subprocess.run(["sh", "-c", script, "sh", *words], cwd=cwd, env=environment, capture_output=True, check=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The arm64 package of this tree with its network, if that is at hand, built in two surroundings."""
    made = []
    folder = tmp_path_factory.mktemp("packages")
    for each, names in ((reproduce.PLAIN, sorted), (reproduce.ODD, lambda found: sorted(found, reverse=True))):
        tree = folder / f"a {each.name} place"
        for name in names(["agent", "config", "firmware_bridge", "requirements", "scripts", "systemd"]):
            ignore = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        for name in ("LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md"):
            shutil.copy(ROOT / name, tree)
        if not build.fetch_models.is_missing(ROOT / "models"):
            build.take_network(ROOT, tree)
        words = (sys.executable, "scripts/release.py", "deb", "arm64", "--out", str(folder / each.name))
        in_surroundings(each, *words, cwd=tree)
        made.append(next((folder / each.name).glob("*.deb")))
    return made


def test_a_package_is_the_same_whatever_the_time_zone_locale_umask_path_and_order_of_files(
    packages: list[Path],
) -> None:
    assert sha256(packages[0]) == sha256(packages[1])


@pytest.mark.skipif(build.fetch_models.is_missing(ROOT / "models"), reason=WITHOUT_NETWORK)
def test_a_package_holds_the_network_whose_hash_is_pinned(packages: list[Path]) -> None:
    file = data_of(packages[0]).extractfile(f"./usr/lib/doorward/models/{build.fetch_models.MODEL.name}")
    assert file is not None
    assert hashlib.sha256(file.read()).hexdigest() == build.fetch_models.MODEL.sha256


def data_of(package: Path) -> tarfile.TarFile:
    """Returns the archive of a package's files, which is its last member and is not compressed. Source: ar(5)."""
    data, at = package.read_bytes(), len(b"!<arch>\n")
    while not data[at : at + 16].startswith(b"data.tar"):
        size = int(data[at + 48 : at + 58])
        at += 60 + size + size % 2
    return tarfile.open(fileobj=io.BytesIO(data[at + 60 :]))


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_nothing_in_a_package_is_compressed_so_no_zlib_decides_about_its_bytes(tmp_path: Path) -> None:
    words = (sys.executable, "scripts/release.py", "deb", "arm64", "--out", str(tmp_path))
    in_surroundings(reproduce.PLAIN, *words, cwd=ROOT)
    package = next(tmp_path.glob("*.deb"))
    members = subprocess.run(["ar", "t", package], capture_output=True, text=True).stdout.split()
    assert members in (["debian-binary", "control.tar", "data.tar"], [])  # ar comes with binutils
    assert subprocess.run(["dpkg-deb", "--info", package], capture_output=True).returncode == 0


def test_a_wheel_is_packed_again_the_same_way_from_any_order_time_and_compression(tmp_path: Path) -> None:
    files = {"a/one.py": b"1", "b.py": b"2" * 1000, "x-1.dist-info/RECORD": b"b.py,,\na/one.py,,\n"}
    for number, (order, method) in enumerate(((1, zipfile.ZIP_DEFLATED), (-1, zipfile.ZIP_STORED))):
        with zipfile.ZipFile(tmp_path / f"{number}.whl", "w", method) as wheel:
            for name in list(files)[::order]:
                record = files[name] if order == 1 or "RECORD" not in name else b"a/one.py,,\nb.py,,\n"
                wheel.writestr(zipfile.ZipInfo(name, (2000 + number, 1, 1, 0, 0, 0)), record)
        wheels.repack(tmp_path / f"{number}.whl", tmp_path / f"packed-{number}", AT_S)
    assert sha256(tmp_path / "packed-0") == sha256(tmp_path / "packed-1")
    with zipfile.ZipFile(tmp_path / "packed-0") as wheel:
        assert wheel.testzip() is None
        assert {each.compress_type for each in wheel.infolist()} == {zipfile.ZIP_STORED}
        assert wheel.namelist()[-1] == "x-1.dist-info/RECORD"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small git repository with the places of a version."""
    root = tmp_path / "repository"
    for name in build.VERSION_PLACES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0 (unreleased)\n\n- New.\n")
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (
        ["init", "-q"],
        ["config", "user.name", "x"],
        ["config", "user.email", "x@example.org"],
        ["add", "-A"],
    ):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    return root


def test_a_version_is_written_into_all_places_and_the_change_log_as_one_commit(repository: Path) -> None:
    build.set_version(repository, "0.2.0", "2026-11-28")
    assert build.version_of(repository) == "0.2.0"
    for name in ("agent/clients/setup.cfg", "desk/setup.cfg"):
        text = (repository / name).read_text()
        assert re.findall(r"(?m)^version = (.*)$", text) == ["0.2.0"]
        assert set(re.findall(r"doorward(?:-clients)? == (.*)", text)) == {"0.2.0"}
    assert build.notes_of((repository / "CHANGELOG.md").read_text(), "0.2.0") == "- New.\n"
    said = subprocess.run(["git", "-C", repository, "log", "-1", "--format=%s"], capture_output=True, text=True).stdout
    assert said == "release: 0.2.0\n"
    with pytest.raises(FailedError, match="no section that is unreleased"):
        build.set_version(repository, "0.2.1", "2026-11-29")
    assert build.release_commit(repository)


def test_files_that_differ_from_the_commit_stop_a_release(repository: Path) -> None:
    (repository / "stray.py").write_text("")
    with pytest.raises(FailedError, match="differ from the last commit"):
        build.release_commit(repository)


def test_every_place_of_the_version_is_there() -> None:
    for name, pattern in build.VERSION_PLACES.items():
        assert re.search(pattern, (ROOT / name).read_text()), name


def test_what_doorbells_are_told_is_short_plain_text() -> None:
    log = (
        "## 0.2.0 (2026-11-28)\n\n**Owners**\n\n- The page\n  speaks `Dutch`.\n"
        + "- More.\n" * 900
        + "\n## 0.1.0 (x)\n- Old.\n"
    )
    notes = build.short_notes(build.notes_of(log, "0.2.0"))
    assert notes.startswith("Owners\n\n- The page speaks Dutch.\n- More.\n")
    assert 3000 < len(notes.encode()) <= 4096
    assert "Old" not in notes
    with pytest.raises(FailedError, match=r"no section for 0\.3\.0"):
        build.notes_of(log, "0.3.0")


def test_a_release_names_the_last_day_of_its_support_from_the_first_release_of_its_minor_version() -> None:
    log = "## 0.2.1 (2027-01-09)\n\n## 0.2.0 (2026-12-01)\n"
    assert build.support_line(log, "0.2.1", AT_S) == "Security updates for 0.2 until 2031-12-01.\n"
    assert build.support_line("", "0.3.0", AT_S) == "Security updates for 0.3 until 2031-05-28.\n"
    assert "2033-03-01" in build.support_line("## 0.2.0 (2028-02-29)\n", "0.2.0", AT_S)


def test_the_kernel_is_compiled_by_one_pinned_compiler_for_the_oldest_glibc() -> None:
    assert "ziglang==" in (ROOT / "requirements" / "release.txt").read_text()
    assert {target.rpartition("gnu.")[2] for target in ZIG_TARGETS.values()} == {"2.36"}


def test_the_values_for_the_next_release_are_right() -> None:
    told = tomllib.loads((ROOT / "scripts" / "releasing" / "release.toml").read_text())
    assert set(told) == {"security_below", "upgrade_from", "rollout_hours", "debian"}
    assert all(numbers(told[name]) for name in ("security_below", "upgrade_from") if told[name])
    assert told["debian"] == ["12", "13"]


def test_each_judged_vulnerability_is_complete_and_a_repair_is_in_the_pinned_version() -> None:
    found = vulnerability_notes.judgements(VEX)
    assert found
    assert vulnerability_notes.faults(found) == []
    pins = dict(re.findall(r"(?m)^([a-z0-9._-]+)==([0-9.]+)", (ROOT / "requirements" / "run.txt").read_text()))
    for each in found:
        if each["status"] == "fixed":
            pinned = pins[each["part"].removeprefix("pkg:pypi/")]
            assert as_numbers(pinned) >= as_numbers(each["fixed_in"]), each["id"]


def as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_vex_of_a_release_says_each_judgement_again_and_is_the_same_each_time() -> None:
    made = vulnerability_notes.document(VEX, "0.2.0", AT_S)
    assert made == vulnerability_notes.document(VEX, "0.2.0", AT_S)
    document = json.loads(made)
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert len(document["statements"]) == len(vulnerability_notes.judgements(VEX))
    for each in document["statements"]:
        assert each["status"] in vulnerability_notes.STATUSES
        assert each["products"][0]["@id"] == "pkg:generic/doorward@0.2.0"
    faulty = [{"id": "CVE-1", "status": "not_affected"}, {"id": "CVE-2", "status": "fixed"}, {"status": "maybe"}]
    said = " ".join(vulnerability_notes.faults(faulty))
    for word in ("needs a justification", "needs the version", "none of", "why is missing"):
        assert word in said


def test_two_builds_that_differ_in_one_file_are_told_apart(tmp_path: Path) -> None:
    for name, data in (("a", b"1"), ("b", b"1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_bytes(b"x")
        (tmp_path / name / "other").write_bytes(data)
    first, second = reproduce.hashes(tmp_path / "a"), reproduce.hashes(tmp_path / "b")
    assert reproduce.differences(first, second) == []
    (tmp_path / "b" / "other").write_bytes(b"2")
    os.link(tmp_path / "b" / "same", tmp_path / "b" / "more")
    assert reproduce.differences(first, reproduce.hashes(tmp_path / "b")) == ["more", "other"]


def test_both_builds_take_the_network_that_is_at_hand_and_a_damaged_one_is_fetched_again(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(build.fetch_models.MODEL, sha256=hashlib.sha256(b"a network").hexdigest())
    monkeypatch.setattr(build.fetch_models, "MODEL", model)
    fetched: list[Path] = []

    def fetch(folder: Path) -> None:
        if build.fetch_models.is_missing(folder):
            fetched.append(folder)

    monkeypatch.setattr(build.fetch_models, "fetch", fetch)
    (repository / "models").mkdir()
    for name, data in (("right", b"a network"), ("damaged", b"a netw")):
        (repository / "models" / model.name).write_bytes(data)
        clone, tree = tmp_path / name, tmp_path / f"{name} tree"
        tree.mkdir()
        reproduce.clone(repository, clone)
        build.take_network(clone, tree)
        assert [path.read_bytes() for path in (tree / "models").iterdir()] == ([data] if name == "right" else [])
    assert fetched == [tmp_path / "damaged tree" / "models"]


@pytest.mark.skipif(not RELEASE_PYTHON.exists(), reason="the tools of a release are not in .cache/release.")
def test_the_kernel_of_the_pinned_compiler_gives_the_known_answers(tmp_path: Path) -> None:
    words = "import pathlib, sys, wheelhouse; print(wheelhouse.build_kernel(sys.argv[1], pathlib.Path(sys.argv[2])))"
    command = [RELEASE_PYTHON, "-c", words, MACHINE, tmp_path / "k"]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    built = motion_kernel.load(tmp_path / "k")
    assert built.native, built.told
    test_known_answers.test_frames_made_of_integers_give_the_known_answers(built.make_passes)
