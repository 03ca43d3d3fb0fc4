"""Runs every check and every test, lets each speak for itself, and ends with one table.

`check.py static` runs the linter, the formatter, the type checker and the import contracts, two at a time and quiet
unless they find something.  `check.py all [pytest arguments]` runs the tests as well, and beside the static checks the
one that the code about consent has no untested branch.  All of them run even when one fails: who mends things wants the
whole list.  Exit status 0 only when every line says passed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

STATIC_CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("types (mypy --strict)", ("mypy",)),
    ("lint (ruff)", ("ruff", "check", ".")),
    ("format (ruff)", ("ruff", "format", "--check", ".")),
    ("import contracts", ("lint-imports",)),
)
BRANCHES = ("branches of consent", ("python", "scripts/branches.py"))


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str
    passed: bool
    seconds: float
    output: str


def run_check(name: str, command: tuple[str, ...]) -> Outcome:
    """Run one tool of the virtual environment and keep what it says."""
    started = time.monotonic()
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    return Outcome(name, done.returncode == 0, time.monotonic() - started, done.stdout + done.stderr)


def run_tests(arguments: list[str]) -> Outcome:
    """Run pytest, which speaks to the terminal itself."""
    started = time.monotonic()
    done = subprocess.run([str(BIN / "python"), "-m", "pytest", *arguments], cwd=ROOT, check=False)
    return Outcome("tests (pytest)", done.returncode == 0, time.monotonic() - started, "")


def run_checks(checks: tuple[tuple[str, tuple[str, ...]], ...]) -> list[Outcome]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(pool.map(lambda check: run_check(*check), checks))
    for outcome in outcomes:
        if not outcome.passed:
            print(f"\n--- {outcome.name} ---\n{outcome.output.strip()}\n", flush=True)
    return outcomes


def main(arguments: list[str]) -> int:
    scope, *pytest_arguments = arguments or ["all"]
    print("Checking types, lint, format and import contracts …", flush=True)
    outcomes = run_checks((*STATIC_CHECKS, BRANCHES) if scope == "all" else STATIC_CHECKS)
    if scope == "all":
        outcomes.append(run_tests(pytest_arguments))
    print("\nSummary")
    for outcome in outcomes:
        print(f"  {'passed' if outcome.passed else 'FAILED'}  {outcome.name:24} {outcome.seconds:6.1f} s")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
