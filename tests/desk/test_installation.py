"""The installer of the desk: complete versions, one switch, a configuration that stays, and a sandboxed unit."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "desk" / "systemd" / "doorward-desk.service"
EXPOSURE = 12
"""In tenths, as systemd-analyze's --threshold wants it."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with programs that are only noted."""
    spec = importlib.util.spec_from_file_location("install_desk", ROOT / "scripts" / "install_desk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran = ran = []  # type: ignore[attr-defined]

    def run(words: list[str], _failure: str) -> None:
        ran.append(words)
        if "venv" in words:
            (Path(words[-1]) / "lib" / "python3.13" / "site-packages").mkdir(parents=True)

    monkeypatch.setattr(module, "_run", run)
    return module


@needs_systemd
def test_the_unit_is_no_more_exposed_than_it_may_be_and_systemd_knows_its_words() -> None:
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
    said = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if "doorward" in line and "is not executable" not in line] == []


def test_the_installed_files_are_enough_to_start_every_command(installer: ModuleType, tmp_path: Path) -> None:
    for name in installer.files_of(ROOT):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    assert not list(tmp_path.rglob("node_modules"))
    assert not (tmp_path / "tests").exists()
    script = (
        "import sys\n"
        f"sys.path = [{str(tmp_path)!r}] + [each for each in sys.path if each != {str(ROOT)!r}]\n"
        "from desk.cli import start_django\n"
        "start_django()\n"
        "import desk.server, desk.backup, desk.custody.command, desk.people.operator_links, desk.urls\n"
        f"inside = lambda name: name.startswith({str(ROOT)!r} + '/') and '.venv' not in name\n"
        "print([name for each in list(sys.modules.values()) if inside(name := getattr(each, '__file__', '') or '')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", "a module of the repository, which is not installed, was needed"


def test_an_installation_is_switched_at_its_end_and_keeps_the_configuration(
    installer: ModuleType, tmp_path: Path
) -> None:
    installer.main(["--root", str(tmp_path)])
    base = tmp_path / "opt/doorward-desk"
    version = (base / "current").readlink().name
    assert (base / version / "complete").is_file()
    assert (base / version / "bin" / "doorward-desk").stat().st_mode & 0o777 == 0o755
    configuration = tmp_path / "etc/doorward-desk/desk.toml"
    assert 'data = "/var/lib/doorward-desk"' in configuration.read_text()
    assert configuration.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "etc/systemd/system/doorward-desk.service").is_symlink()
    configuration.write_text("# changed by the operator\n")
    before = len(installer.ran)
    installer.main(["--root", str(tmp_path)])
    assert len(installer.ran) == before, "the version is there already"
    assert configuration.read_text() == "# changed by the operator\n"


def test_an_interrupted_version_is_made_again_and_an_older_one_stays_for_a_roll_back(
    installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "digest_of", lambda _source: "first")
    installer.main(["--root", str(tmp_path)])
    base = tmp_path / "opt/doorward-desk"
    monkeypatch.setattr(installer, "digest_of", lambda _source: "second")
    whole = installer._run

    def stops(words: list[str], failure: str) -> None:
        if "pip" in words:
            raise KeyboardInterrupt
        whole(words, failure)

    monkeypatch.setattr(installer, "_run", stops)
    with pytest.raises(KeyboardInterrupt):
        installer.main(["--root", str(tmp_path)])
    assert (base / "current").readlink().name == "first"
    monkeypatch.setattr(installer, "_run", whole)
    installer.main(["--root", str(tmp_path)])
    assert (base / "current").readlink().name == "second"
    assert {each.name for each in base.iterdir()} == {"current", "first", "second"}
    assert installer.switch(base, "first") == "second"


def test_a_version_that_does_not_come_up_is_rolled_back(
    installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installer, "_comes_up", lambda: False)
    installer.switch(tmp_path, "second")
    with pytest.raises(SystemExit):
        installer.start(tmp_path, "first")
    assert (tmp_path / "current").readlink().name == "first"
    assert installer.ran.count(["systemctl", "restart", "--no-block", "doorward-desk.service"]) == 2
    assert "version before runs again" in capsys.readouterr().err


@pytest.mark.parametrize(("fails_s", "comes_up"), [(8.0, False), (20.0, False), (None, True)])
def test_a_version_that_takes_its_time_to_fail_does_not_pass_for_one_that_runs(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, fails_s: float | None, comes_up: bool
) -> None:
    """systemd starts it again two seconds later, and shows it as active each time."""
    now_s = [0.0]

    def state(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        now_s[0] += 0.3
        restarts = 0 if fails_s is None else int(now_s[0] // (fails_s + 2))
        return subprocess.CompletedProcess([], 0, f"active\n{restarts}\n")

    monkeypatch.setattr(installer.subprocess, "run", state)
    monkeypatch.setattr(installer.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(installer.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    assert installer._comes_up() is comes_up


@pytest.mark.parametrize(("ready_s", "comes_up"), [(900.0, True), (None, False)])
def test_a_version_that_brings_a_large_database_to_its_form_is_not_cut(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, ready_s: float | None, comes_up: bool
) -> None:
    """Until READY=1 systemd shows it as activating. One that never gets ready is rolled back after an hour."""
    now_s = [0.0]

    def state(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        is_ready = ready_s is not None and now_s[0] >= ready_s
        return subprocess.CompletedProcess([], 0, f"{'active' if is_ready else 'activating'}\n0\n")

    monkeypatch.setattr(installer.subprocess, "run", state)
    monkeypatch.setattr(installer.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(installer.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    assert installer._comes_up() is comes_up
    assert now_s[0] <= (ready_s or 3600) + 200
