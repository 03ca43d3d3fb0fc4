"""The check of branches runs few tests, and all of them if the few do not take every branch."""

from __future__ import annotations

import json
import sqlite3
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

    def measure(tests: list[str], *_options: str) -> CompletedProcess[str]:
        ran.append("few" if tests == few else "all")
        return CompletedProcess([], 0 if few_pass or ran[-1] == "all" else 1, "", "")

    def report() -> CompletedProcess[str]:
        return CompletedProcess([], 0 if few_take_all and ran[-1] == "few" else 2, "the missed branch", "")

    monkeypatch.setattr(branches, "_measure", measure)
    monkeypatch.setattr(branches, "_report", report)
    assert branches.main(arguments) == (0 if runs == ["few"] else 2)
    assert ran == runs
