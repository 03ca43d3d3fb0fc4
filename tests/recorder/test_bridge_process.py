"""The bridge as a child process: started with the configuration, started again after it ends, and never left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.recorder import bridge_process
from agent.recorder.bridge_process import BridgeProcess
from tests.recorder.test_panel_handler import until


def program(folder: Path, then: str) -> Path:
    """Stands in for the interpreter: writes its number and its words to `started`, and goes on with `then`."""
    made = folder / "program"
    made.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys, time\n"
        f"{then.partition('|')[0]}\n"
        f"with open({str(folder / 'started')!r}, 'a') as file:\n"
        "    file.write(f'{os.getpid()} {\" \".join(sys.argv[1:])}\\n')\n"
        f"{then.partition('|')[2]}\n"
    )
    made.chmod(0o755)
    return made


def started(folder: Path) -> list[str]:
    lines = (folder / "started").read_text() if (folder / "started").exists() else ""
    return lines.splitlines()


def is_running(line: str) -> bool:
    try:
        os.kill(int(line.split()[0]), 0)
    except ProcessLookupError:
        return False
    return True


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> BridgeProcess:
    monkeypatch.setattr(sys, "executable", str(program(folder, then)))
    monkeypatch.chdir(folder)
    return BridgeProcess(Path("doorward.toml"), Path("state"))


def test_the_bridge_gets_its_files_by_their_whole_paths_and_ends_with_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = made(tmp_path, monkeypatch, "|time.sleep(600)")
    bridge.start()
    until(lambda: started(tmp_path))
    (line,) = started(tmp_path)
    files = f"--config {tmp_path / 'doorward.toml'} --state {tmp_path / 'state'}"
    assert line.split(" ", 1)[1] == f"-P -m firmware_bridge {files} run"
    assert is_running(line)
    bridge.stop()
    assert not is_running(line)
    assert len(started(tmp_path)) == 1
    bridge.stop()


def test_a_bridge_that_ends_is_started_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_process, "_PAUSE_S", 0.01)
    bridge = made(tmp_path, monkeypatch, "|sys.exit(3)")
    bridge.start()
    until(lambda: len(started(tmp_path)) >= 3)
    bridge.stop()
    count = len(started(tmp_path))
    assert not any(map(is_running, started(tmp_path)))
    assert len(started(tmp_path)) == count


def test_a_bridge_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_process, "_ENDING_S", 0.2)
    bridge = made(tmp_path, monkeypatch, "signal.signal(signal.SIGTERM, signal.SIG_IGN)|time.sleep(600)")
    bridge.start()
    until(lambda: started(tmp_path))
    bridge.stop()
    assert not is_running(started(tmp_path)[0])


def test_a_bridge_that_was_stopped_before_it_was_started_has_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = made(tmp_path, monkeypatch, "|time.sleep(600)")
    bridge.stop()
    bridge.start()
    bridge.stop()
    assert started(tmp_path) == []
