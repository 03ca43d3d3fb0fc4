"""Runs the tool as `main` does, in this process, and gives back what a person would see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.cli.app import doorward
from agent.cli.frame import run


@dataclass(frozen=True, slots=True)
class Seen:
    status: int
    out: str
    err: str


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Callable[..., Seen]:
    """`tool("config", "check", path)` → exit status, standard output, standard error."""

    def call(*arguments: object) -> Seen:
        status = run(doorward, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Seen(status, out, err)

    return call
