"""The playground's commands, typed as a person would: enrol, trust, ask, review, approve, receive, open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import demo.playground
from agent.config import Configuration
from agent.wire.identities import PublicKey
from demo.playground import STEPS, Playground, Step
from tests.lengths import LONG
from tests.scenarios.witness import WitnessedStage

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Terminal:
    """A shell with the playground's environment, and `doorward` on its PATH."""

    def __init__(self, playground: Playground, folder: Path) -> None:
        tools = folder / "bin"
        tools.mkdir()
        (tools / "doorward").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent.cli "$@"\n')
        (tools / "doorward").chmod(0o755)
        self._environment = os.environ | dict(playground.environment) | {"PYTHONPATH": str(ROOT)}
        self._environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        self._folder = folder

    def type(self, command: str, answers: str = "") -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            input=answers,
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, command: str, key: str, at_least: int) -> list[dict[str, object]]:
        """Waits until `command --json` has enough under `key`, and returns it."""
        until_s = time.monotonic() + PATIENCE_S
        while len(found := json.loads(self.type(f"{command} --json"))[key]) < at_least:
            assert time.monotonic() < until_s, f"{command}: only {found}"
            time.sleep(0.5)
        return list(found)


class SmallStage(WitnessedStage):
    """With a small picture. The real one costs half of a processor as long as the doorbell films."""

    def device(self, camera: str) -> tuple[Configuration, PublicKey]:
        return super().device(f"{camera}\nsize = [320, 240]\nfps = 10")


@pytest.fixture
def playground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Playground]:
    monkeypatch.setattr(demo.playground, "Stage", SmallStage)
    with Playground(tmp_path / "playground", video=None) as playground:
        yield playground


def step(words: str) -> Step:
    [found] = [each for each in STEPS if words in each.command]
    return found


@pytest.mark.broker
def test_the_playground_shows_the_id_that_enrol_asks_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids: list[str] = []

    def wait(playground: Playground) -> int:
        ids.append(playground.device.id)
        return 0

    monkeypatch.setattr(demo.playground, "Stage", WitnessedStage)
    monkeypatch.setattr(Playground, "wait", wait)
    assert demo.playground.main(["--folder", str(tmp_path / "playground")]) == 0
    shown = capsys.readouterr().out
    assert shown.index(f"The doorbell's id is {ids[0]}") < shown.index(" 1. ")
    assert "doorward page code" in shown


@pytest.mark.broker
def test_the_playground_leaves_nothing_running_when_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "demo.playground", "--folder", str(tmp_path / "playground")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert any("Ctrl-C here stops" in line for line in started.stdout)
        running = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        started.terminate()
        assert started.wait(PATIENCE_S) == 0
        assert started.stdout.read() == "\nStopped.\n"
    assert len(running) == 2, "a broker and a doorbell"
    assert not [pid for pid in running if Path(f"/proc/{pid}").exists()]


@LONG
@pytest.mark.broker
def test_what_the_playground_says_to_type_works_in_that_order(playground: Playground, tmp_path: Path) -> None:
    terminal = Terminal(playground, tmp_path)
    request = ""
    assert "https://127.0.0.1:" in terminal.type("doorward page code"), "the page, in place of the first steps"
    for each in STEPS:
        if each is step("vault list"):
            terminal.until("doorward vault list", "segments", 2)
        if each is step("owner review REQUEST"):
            request = str(terminal.until("doorward requests", "requests", 1)[0]["id"])
        said = terminal.type(each.command.replace("REQUEST", request), each.answers)
        if each is step("owner trust bundle"):
            assert "Rijnstad Police" in said
    assert len(list(playground.asker.requester.folder.glob("opened/*/*.mp4"))) >= 1
    assert list((tmp_path / "playground" / "look").iterdir())
