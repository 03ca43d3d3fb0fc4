"""A doorbell gets only the code that runs there: clients and Python that opens footage stay away, however Doorward is
installed. The page's program is there as a file that the doorbell hands to browsers and never runs.

`make install` and the .deb copy `installation.versions.files_of`; pip installs the wheel.  Both are looked at as built.
"""

from __future__ import annotations

import ast
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.contracts.test_imports import OPENS
from tests.lengths import LONG

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.versions import files_of  # noqa: E402

SESSIONS = frozenset({"agent/core/talk/frames.py", "agent/wire/link/handshake.py", "agent/wire/link/session.py"})
"""These open messages of one session with keys that are made for it. They know nothing of age files."""
OPERATORS = (
    "run", "init", "status", "doctor", "page", "vault", "requests", "link", "config", "notify", "self-test", "backup",
    "restore", "reset", "take-bundle", "apply", "uninstall",
)  # fmt: skip
OF_CLIENTS = ("owner", "trust", "ledger", "requester", "broker")
BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"


def ours(name: str) -> bool:
    return name.startswith(("agent/", "desk/", "firmware_bridge/"))


def build(source: Path) -> Path:
    """The wheel of the project at `source`."""
    # -P as with pip: the desk has a package `numbers`, which must not hide the standard one.
    subprocess.run([sys.executable, "-P", "-c", BUILD], cwd=source, capture_output=True, check=True)
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def device_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from all of the code, clients and desk included, so that leaving them out is the wheel's own doing."""
    source = tmp_path_factory.mktemp("device")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    ignore = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in ("agent", "desk", "firmware_bridge"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    return build(source)


@pytest.fixture(scope="module")
def clients_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("clients") / "clients"
    shutil.copytree(ROOT / "agent" / "clients", source, ignore=shutil.ignore_patterns("__pycache__"))
    return build(source)


def files_in(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ours(name)}


def copied() -> dict[str, bytes]:
    """Files of the program that `make install` copies."""
    return {path.as_posix(): (ROOT / path).read_bytes() for path in files_of(ROOT) if ours(path.as_posix())}


@pytest.fixture(scope="module")
def in_the_deb(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of our files in the package."""
    folder = tmp_path_factory.mktemp("deb")
    words = [sys.executable, str(ROOT / "scripts" / "release.py"), "deb", "arm64", "--out", str(folder)]
    subprocess.run(words, env={**os.environ, "SOURCE_DATE_EPOCH": "1780000000"}, capture_output=True, check=True)
    data = next(folder.glob("*.deb")).read_bytes()
    packed = data[data.index(b"data.tar  ") + 60 :]
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        names = {member.name.removeprefix("./usr/lib/doorward/") for member in archive if member.isfile()}
    return {name for name in names if ours(name)}


@dataclass(frozen=True, slots=True)
class Words:
    """The imports of a module, and every name in it."""

    imports: frozenset[str]
    names: frozenset[str]


@cache  # the wheel and the installation hold the same bytes
def words_of(source: bytes) -> Words:
    imports, names = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Name):
            names.add(node.id)
    names |= {name.rpartition(".")[2] for name in imports}
    return Words(frozenset(imports), frozenset(names))


def code(files: dict[str, bytes]) -> dict[str, Words]:
    return {name: words_of(data) for name, data in files.items() if name.endswith(".py")}


def test_the_wheel_the_installation_and_the_deb_hold_the_same_program(device_wheel: Path, in_the_deb: set[str]) -> None:
    wheel = {name for name in files_in(device_wheel) if name.endswith(".py")}
    installed = {name for name in copied() if name.endswith(".py")}
    assert wheel == installed
    assert {name for name in in_the_deb if name.endswith(".py")} == installed


def test_a_doorbell_holds_no_client_and_no_desk(device_wheel: Path, in_the_deb: set[str]) -> None:
    for held in (files_in(device_wheel).keys(), copied().keys(), in_the_deb):
        assert [name for name in held if name.startswith(("agent/clients", "agent/web/src", "desk"))] == []
        assert "agent/web/static/app.js" in held
        assert "agent/core/motion/passes/kernel.c" in held


def test_nothing_that_is_installed_can_open_footage(device_wheel: Path) -> None:
    for files in (files_in(device_wheel), copied()):
        words = code(files)
        opening = {name: sorted(each.names & OPENS) for name, each in words.items()}
        assert {name for name, found in opening.items() if found} == SESSIONS
        for name in SESSIONS:
            assert not any(each.startswith("agent.core.vault") for each in words[name].imports), name
        assert [name for name, each in words.items() if any(i.startswith("agent.clients") for i in each.imports)] == []


def test_the_check_would_notice_code_that_opens() -> None:
    opening = (ROOT / "agent" / "clients" / "opening").rglob("*.py")
    assert any(words_of(path.read_bytes()).names & OPENS for path in opening)


def test_everything_that_is_imported_there_is_there(device_wheel: Path) -> None:
    files = files_in(device_wheel)
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    for name, words in code(files).items():
        packages = {each for each in words.imports if each.split(".")[0] in ("agent", "firmware_bridge")}
        gone = {each for each in packages if each not in modules and each.rpartition(".")[0] not in modules}
        assert gone == set(), name


def python(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`program` as it runs where only the wheels that were unpacked into `folder` are installed."""
    # -S leaves out the repository, which is linked into this environment; its libraries come by path.
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    where = {**os.environ, "PYTHONPATH": f"{folder}:{libraries}"}
    command = [sys.executable, "-S", "-c", program, *words]
    return subprocess.run(command, cwd=folder, env=where, capture_output=True, text=True, check=False)


HELP = """
import sys
from agent.cli.app import doorward
from agent.cli.frame import run
print("STATUS", *(run(doorward, [name, "--help"]) for name in sys.argv[1:]))
"""
DOORWARD = "import sys; from agent.cli import main; sys.exit(main())"


def helped(folder: Path, names: tuple[str, ...]) -> tuple[list[str], str]:
    """The exit status of each command's `--help`, and what was said on standard error."""
    done = python(folder, HELP, *names)
    return done.stdout.rpartition("STATUS ")[2].split(), done.stderr


def test_an_operator_finds_every_command_on_the_doorbell_and_no_other(device_wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(device_wheel).extractall(tmp_path)
    listed = python(tmp_path, DOORWARD, "--help").stdout
    assert [name for name in OPERATORS if f"\n  {name} " not in listed] == []
    assert helped(tmp_path, OPERATORS) == (["0"] * len(OPERATORS), "")
    assert [name for name in OF_CLIENTS if f"\n  {name} " in listed] == []
    statuses, said = helped(tmp_path, OF_CLIENTS)
    assert statuses == ["2"] * len(OF_CLIENTS)
    assert [name for name in OF_CLIENTS if f"'{name}' is not installed here." not in said] == []
    assert "doorward-clients" in said


def test_beside_the_device_s_wheel_the_clients_bring_their_commands(
    device_wheel: Path, clients_wheel: Path, tmp_path: Path
) -> None:
    first, second = files_in(device_wheel), files_in(clients_wheel)
    assert first.keys() & second.keys() == set()
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "agent" / "clients").rglob("*.py")}
    assert {name for name in second if name.endswith(".py")} == written
    for wheel in (device_wheel, clients_wheel):
        zipfile.ZipFile(wheel).extractall(tmp_path)
    assert helped(tmp_path, OF_CLIENTS) == (["0"] * len(OF_CLIENTS), "")
    made = python(tmp_path, DOORWARD, "broker", "init", "--host", "localhost", "--dir", str(tmp_path / "broker"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "broker" / "devices.acl").is_file()


def test_all_distributions_have_one_version() -> None:
    from agent import __version__

    clients, desk = settings_of("agent/clients"), settings_of("desk")
    assert clients["metadata"]["version"] == desk["metadata"]["version"] == __version__
    assert clients["options"]["install_requires"].strip() == f"doorward == {__version__}"
    wanted = desk["options"]["install_requires"].strip().splitlines()
    assert {f"doorward == {__version__}", f"doorward-clients == {__version__}"} <= set(wanted)


@pytest.mark.parametrize("folder", ["agent/clients", "desk"])
def test_every_package_of_a_distribution_is_listed(folder: str) -> None:
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / folder).rglob("__init__.py")}
    assert set(settings_of(folder)["options"]["packages"].split()) == packages


def settings_of(folder: str) -> ConfigParser:
    settings = ConfigParser()
    settings.read(ROOT / folder / "setup.cfg")
    return settings


@LONG
def test_the_desk_s_wheel_holds_its_pages_and_makes_a_desk(
    device_wheel: Path, clients_wheel: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source" / "desk"
    shutil.copytree(ROOT / "desk", source, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    wheel = build(source)
    held = files_in(wheel)
    assert held.keys().isdisjoint({*files_in(device_wheel), *files_in(clients_wheel)})
    for part in ("templates", "static"):
        written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "desk" / part).rglob("*") if path.is_file()}
        assert written <= held.keys(), part
    for each in (device_wheel, clients_wheel, wheel):
        zipfile.ZipFile(each).extractall(tmp_path / "installed")
    made = python(tmp_path / "installed", "from desk.cli import main; main()", "init", str(tmp_path / "made"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "made" / "data" / "desk.sqlite3").is_file()
