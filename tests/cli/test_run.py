"""`doorward run`: a role that cannot start, or is told to stop while it does, ends; its supervisor can try again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.run import _EndOfRole
from tests.cli.conftest import Seen
from tests.scenarios.street import ROOT

PATIENCE_S = 60.0

CONFIGURATION = """
[device]
name = "Door"
state_dir = "{state}"

[camera]
kind = "scripted"

[metrics]
socket = "{metrics}"

[[alerts.channels]]
name = "phone"
url = "ntfy://localhost:1/door"
"""

TOLD_TO_STOP = """
import os, signal, sys
from agent.cli import main
from agent.custodian.custodian import Custodian

start = Custodian.start

def start_and_be_told_to_stop(self):
    start(self)
    os.kill(os.getpid(), signal.SIGTERM)

Custodian.start = start_and_be_told_to_stop
sys.exit(main())
"""
"""In the middle of the start: parts of the role have started, others will."""


def configured(tmp_path: Path, tool: Callable[..., Seen], metrics: str) -> Path:
    configuration = tmp_path / "doorward.toml"
    configuration.write_text(CONFIGURATION.format(state=tmp_path / "state", metrics=tmp_path / metrics))
    assert tool("init", "--config", configuration).status == 0
    return configuration


def ended(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("role", ["solo", "custodian"])
def test_a_role_that_cannot_start_ends_although_parts_of_it_have_started(
    tmp_path: Path, tool: Callable[..., Seen], role: str
) -> None:
    configuration = configured(tmp_path, tool, "metrics.sock")
    (tmp_path / "state/control.sock").mkdir()
    seen = ended("-m", "agent.cli", "run", "--role", role, "--config", configuration)
    assert seen.returncode == 2, seen.stderr
    assert "control.sock" in seen.stderr
    assert "Traceback" not in seen.stderr


@pytest.mark.parametrize("role", ["solo", "custodian"])
def test_a_role_that_is_told_to_stop_while_it_starts_ends(tmp_path: Path, tool: Callable[..., Seen], role: str) -> None:
    configuration = configured(tmp_path, tool, "metrics.sock")
    for folder in ("recorder", "uplink"):
        (tmp_path / folder).mkdir()
    seen = ended("-c", TOLD_TO_STOP, "run", "--role", role, "--config", configuration, "--runtime-dir", tmp_path)
    assert seen.returncode == 0, seen.stderr
    assert "Traceback" not in seen.stderr


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_what_starts_is_stopped_when_it_has_started_and_need_not_wait_for_anybody() -> None:
    given_up = threading.Event()
    done: list[str] = []
    with _EndOfRole(lambda: done.append("stopped"), given_up.set) as stopping:
        signal.raise_signal(signal.SIGTERM)
        assert given_up.wait(10)
        done.append("started")
        stopping.when_asked()
    assert done == ["started", "stopped"]


@pytest.mark.usefixtures("handlers")
def test_what_has_started_gives_up_nothing_when_it_is_stopped() -> None:
    done: list[str] = []
    with _EndOfRole(lambda: done.append("stopped"), lambda: done.append("gave up")) as stopping:
        stopping.when_asked()
        signal.raise_signal(signal.SIGTERM)
    assert done == ["stopped"]


@pytest.mark.usefixtures("handlers")
def test_a_signal_upon_another_stops_once() -> None:
    """Ctrl-C twice, or timeout(1), which tells the process and then its whole group."""
    done: list[str] = []

    def stop() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("stopped")

    with _EndOfRole(stop) as stopping:
        stopping.when_asked()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)  # while the role closes its files
    assert done == ["stopped"]


@pytest.mark.usefixtures("handlers")
def test_a_role_whose_main_thread_waits_is_stopped_by_a_signal_that_does_not_wake_that_thread() -> None:
    """An unowned doorbell waits like this for its owner: each stop of its service hung for 90 seconds, now and then."""
    enrolled = threading.Event()
    with _EndOfRole(enrolled.set) as stopping:
        stopping.when_asked()
        asked = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        asked.start()
        assert enrolled.wait(PATIENCE_S)
    asked.join()
