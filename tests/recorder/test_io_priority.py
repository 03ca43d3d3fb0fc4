"""The priority of a thread beside the recording: lowered where the system can do it, and never an error."""

from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace
from typing import Any

import pytest

from agent.recorder import io_priority


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The system calls that would be made."""
    calls: list[Any] = []

    def syscall(*numbers: int) -> int:
        calls.append(numbers)
        return 0

    monkeypatch.setattr(os, "setpriority", lambda *numbers: calls.append(("nice", numbers[0], numbers[2])))
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(syscall=syscall))
    return calls


NICE, LESS = ("nice", os.PRIO_PROCESS, 19), ("nice", os.PRIO_PROCESS, 10)


@pytest.mark.parametrize(
    ("machine", "bits", "number"),
    [("x86_64", 64, 251), ("aarch64", 64, 30), ("riscv64", 64, 30), ("armv7l", 32, 314), ("armv6l", 32, 314)],
)
def test_an_idle_thread_asks_by_its_systems_own_number(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, machine: str, bits: int, number: int
) -> None:
    monkeypatch.setattr(io_priority.platform, "machine", lambda: machine)
    monkeypatch.setattr(ctypes, "sizeof", lambda _type: bits // 8)
    assert io_priority.work_idly() is True
    assert asked == [NICE, (number, 1, 0, 3 << 13)]


@pytest.mark.parametrize(("machine", "bits"), [("mips", 32), ("x86_64", 32), ("armv7l", 64), ("aarch64", 32)])
def test_a_number_of_another_kernel_is_never_called(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, machine: str, bits: int
) -> None:
    monkeypatch.setattr(io_priority.platform, "machine", lambda: machine)
    monkeypatch.setattr(ctypes, "sizeof", lambda _type: bits // 8)
    assert io_priority.work_idly() is False
    assert asked == [NICE]


def test_a_thread_that_computes_now_and_then_stays_above_the_idle_ones(asked: list[Any]) -> None:
    io_priority.work_behind()
    assert asked == [LESS]


def test_a_system_that_refuses_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_numbers: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(syscall=lambda *_numbers: -1))
    assert io_priority.work_idly() is False
    io_priority.work_behind()
