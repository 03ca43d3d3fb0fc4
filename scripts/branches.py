"""Checks that the mirroring tests take every branch of the code that decides about consent.

It runs only the mirroring tests, so a branch that a scenario happens to pass still counts as missed. A property gets
ten examples: a branch that only the hundredth one takes counts as missed. It lists the missed lines and branches.
Exit status 0 only if every branch is taken.

`branches.py` first runs the few tests of `tests/branches.json`, which take every branch between them. It runs all
mirroring tests only if those few fail or miss a branch, for example after a change of the code. `branches.py --all`
runs them all and chooses the few again (`make branches`).

Both collect the same files, because a module that no test imports is not measured, and would count as complete.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
FEW = ROOT / "tests" / "branches.json"
DATA = ROOT / ".cache" / "coverage"
_CHOSEN = "DOORWARD_CHOSEN_TESTS"
CODE = (
    "consent.py", "requests.py", "admission.py", "disclosure/*", "ledger/*",
    "vault/following.py",
)  # fmt: skip
TESTS = (
    "test_consent.py", "test_requests.py", "test_case_marks.py", "test_matching.py", "test_disclosure.py",
    "test_addressing.py", "test_tips.py", "ledger", "vault/test_following.py",
)  # fmt: skip

LEFT_OUT = (
    "wire/test_area.py::test_no_outline_counts_one_door_at_the_tip_of_a_needle_of_ninety_thousand",
    "wire/test_area.py::test_whatever_counts_does_so_with_all_of_a_disc_of_60_m",
    "wire/test_area.py::test_rows_hold_exactly_the_places_that_count",
    "wire/link/test_session.py::test_a_hundred_thousand_changed_frames_change_nothing",
    "wire/link/test_session.py::test_data_of_any_length_arrives_whole_in_records_of_four_lengths[2000000]",
    "wire/test_vectors.py::test_a_vector_with_one_byte_changed_is_never_accepted_as_another",
    "wire/test_vectors.py::test_the_vectors_are_those_the_code_makes",
    "wire/test_prepared.py::test_threads_may_decode_a_message_a_request_and_an_answer_for_the_first_time_at_once",
    "wire/test_mldsa.py::test_a_javascript_implementation_reads_and_refuses_the_same_signatures",
    "core/ledger/test_merkle.py::test_every_entry_of_every_small_log_is_provably_in_it_and_nowhere_else",
)
"""Tests that take as long as everything else if they are measured, or start processes, which are not measured. Shorter
tests take their branches too."""


def main(arguments: list[str]) -> int:
    DATA.parent.mkdir(exist_ok=True)
    if arguments != ["--all"] and take_every_branch(json.loads(FEW.read_text())):
        return 0
    done = _measure()
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-2000:])
        return done.returncode
    reported = _report()
    print(reported.stdout + reported.stderr, end="")
    if reported.returncode == 0 and arguments == ["--all"]:
        FEW.write_text(json.dumps(chosen_tests(DATA), indent=0) + "\n")
    return reported.returncode


def take_every_branch(tests: list[str]) -> bool:
    """Returns whether these tests pass and take every branch between them."""
    return _measure(tests).returncode == 0 and _report().returncode == 0


def _measure(few: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
    """Runs these tests, or all."""
    include = ",".join([*(f"agent/core/{name}" for name in CODE), "agent/wire/*"])
    run = ["coverage", "run", "--branch", f"--data-file={DATA}", f"--include={include}"]
    tests = [*(f"tests/core/{name}" for name in TESTS), "tests/wire"]
    tests += [f"--deselect=tests/{name}" for name in LEFT_OUT]
    command = [sys.executable, "-m", *run, "-m", "pytest", "-q", "-r", "N", "-p", "scripts.branches", *tests]
    told = {**os.environ, "DOORWARD_EXAMPLES": "few", _CHOSEN: json.dumps([*few])}
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)


def _report() -> subprocess.CompletedProcess[str]:
    report = ["report", f"--data-file={DATA}", "--show-missing", "--skip-covered", "--fail-under=100"]
    command = [sys.executable, "-m", "coverage", *report]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As a plugin of pytest, this module leaves the chosen tests."""
    few = json.loads(os.environ[_CHOSEN])
    if few:
        left = still_chosen(few, [item.nodeid for item in items])
        items[:] = [item for item in items if item.nodeid in left]


def still_chosen(few: Iterable[str], there: Iterable[str]) -> set[str]:
    """Returns the chosen tests of those that are there. A new case gives other numbers to the cases behind it. So of a
    test with a chosen case that is gone, all cases are chosen."""
    found, few = set(there), set(few)
    changed = {_function(each) for each in few if each not in found}
    return {each for each in found if each in few or _function(each) in changed}


def _function(test: str) -> str:
    return test.partition("[")[0]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """If all tests run, it notes which one takes which branches."""
    measuring = coverage.Coverage.current()
    if measuring is None or json.loads(os.environ[_CHOSEN]):
        return (yield)
    measuring.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        measuring.switch_context("")


def chosen_tests(data: Path) -> list[str]:
    """Returns few tests that take every branch, each time the one that takes most of those still missing."""
    taken: defaultdict[str, set[tuple[int, int, int]]] = defaultdict(set)
    with closing(sqlite3.connect(data)) as measured:
        rows = "SELECT context, file_id, fromno, tono FROM arc JOIN context ON context.id = context_id"
        for context, *branch in measured.execute(rows):
            taken[context].add((branch[0], branch[1], branch[2]))
    imports = taken.pop("", set())
    missing, chosen = set[tuple[int, int, int]]().union(*taken.values()) - imports, list[str]()
    while missing:
        best = max(taken, key=lambda test: (len(taken[test] & missing), test))
        chosen.append(best)
        missing -= taken[best]
    return sorted(chosen)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
