"""Checks that the mirroring tests take every branch of the code that decides about consent.

It runs only the mirroring tests, so a branch that a scenario happens to pass still counts as missed. A property gets
ten examples: a branch that only the hundredth one takes counts as missed. It lists the missed lines and branches.
Exit status 0 only if every branch is taken.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = (
    "consent.py", "requests.py", "admission.py", "case_marks.py", "matching.py", "disclosure/*", "ledger/*",
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


def main() -> int:
    data = ROOT / ".cache" / "coverage"
    data.parent.mkdir(exist_ok=True)
    include = ",".join([*(f"agent/core/{name}" for name in CODE), "agent/wire/*"])
    tests = [*(f"tests/core/{name}" for name in TESTS), "tests/wire"]
    tests += [f"--deselect=tests/{name}" for name in LEFT_OUT]
    coverage = [sys.executable, "-m", "coverage"]
    run = [*coverage, "run", "--branch", f"--data-file={data}", f"--include={include}", "-m", "pytest", "-q", "-r", "N"]
    few = {**os.environ, "DOORWARD_EXAMPLES": "few"}
    done = subprocess.run([*run, *tests], cwd=ROOT, env=few, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-2000:])
        return done.returncode
    report = [*coverage, "report", f"--data-file={data}", "--show-missing", "--skip-covered", "--fail-under=100"]
    return subprocess.run(report, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
