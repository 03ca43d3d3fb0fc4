"""The check of branches runs few tests, and all of them if the few do not take every branch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from scripts import branches


def test_the_few_tests_take_every_branch_that_all_tests_take_and_leave_out_those_that_add_none(tmp_path: Path) -> None:
    taken = {"": [1], "a": [1, 2, 3], "b": [3, 4], "c": [2, 4, 5], "d": [5], "e": [1, 6]}
    with closing(sqlite3.connect(tmp_path / "data")) as data, data:
        data.execute("CREATE TABLE context (id INTEGER, context TEXT)")
        data.execute("CREATE TABLE arc (file_id INTEGER, context_id INTEGER, fromno INTEGER, tono INTEGER)")
        for number, (name, lines) in enumerate(taken.items()):
            data.execute("INSERT INTO context VALUES (?, ?)", (number, name))
            data.executemany("INSERT INTO arc VALUES (1, ?, ?, 0)", [(number, line) for line in lines])
    chosen = branches.chosen_tests(tmp_path / "data")
    assert {line for name in chosen for line in taken[name]} == {1, 2, 3, 4, 5, 6}
    assert chosen == ["b", "c", "e"]


def test_all_cases_of_a_test_run_if_a_chosen_case_is_gone() -> None:
    there = ["t.py::a[x1]", "t.py::a[x2]", "t.py::b[y0]", "t.py::b[y1]", "t.py::c"]
    assert branches.still_chosen(["t.py::a[x0]", "t.py::b[y1]"], there) == {there[0], there[1], there[3]}
    assert branches.still_chosen(["t.py::renamed"], there) == set()


def test_a_module_that_no_chosen_test_imports_is_measured_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not imported counts as complete: the branches of `agent/wire/uploads.py` were not looked at."""
    commands = list[tuple[str, ...]]()

    def run(command: list[str], **_more: object) -> CompletedProcess[str]:
        commands.append(tuple(command))
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("scripts.branches.subprocess.run", run)
    branches._measure()
    branches._measure(["tests/wire/test_topics.py::test_one"])
    assert commands[0] == commands[1], "both collect the same files"
    assert "tests/wire" in commands[0]


@pytest.mark.parametrize(
    ("few_pass", "few_take_all", "arguments", "runs"),
    [
        (True, True, [], ["few"]),
        (True, False, [], ["few", "all"]),
        (False, True, [], ["few", "all"]),
        (True, True, ["--all"], ["all"]),
    ],
)
def test_all_tests_run_if_the_few_fail_or_miss_a_branch(
    monkeypatch: pytest.MonkeyPatch, few_pass: bool, few_take_all: bool, arguments: list[str], runs: list[str]
) -> None:
    few, ran = json.loads(branches.FEW.read_text()), list[str]()

    def measure(tests: Iterable[str] = ()) -> CompletedProcess[str]:
        ran.append("few" if tests == few else "all")
        return CompletedProcess([], 0 if few_pass or ran[-1] == "all" else 1, "", "")

    def report() -> CompletedProcess[str]:
        return CompletedProcess([], 0 if few_take_all and ran[-1] == "few" else 2, "the missed branch", "")

    monkeypatch.setattr(branches, "_measure", measure)
    monkeypatch.setattr(branches, "_report", report)
    assert branches.main(arguments) == (0 if runs == ["few"] else 2)
    assert ran == runs
