"""Runs every check and every test and ends with one table.

`check.py static` runs the linters, the formatters, the type checkers, the import contracts and the check of plain
words, of Python and of the JavaScript of the page and of the tests, quiet if they find nothing.
`check.py all [pytest arguments]` runs the tests in several processes, and beside them the static checks and the check
that the code about consent has no untested branch. `check.py quick` runs the static checks, the tests that mirror
changed files, and the fast tests of core and wire: about a minute, for the edit loop. No failure stops the other
checks. Exit status 0 only if every line says passed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SCOPES = ("all", "quick", "static")
PAGE = ROOT / "agent" / "web" / "src"
DESK_WEB = ROOT / "desk" / "web"
WORKERS = int(os.environ.get("DOORWARD_WORKERS") or 6 * len(os.sched_getaffinity(0)))
"""More than processors, because many tests wait for a camera, a broker or a clock most of their time."""
MEMORY_BYTES = 8 << 30
"""The free memory for the tests and their files, so that a board with less keeps the files on its disk."""
ROOM_BYTES = 4 << 30
FAST_S = 1.5
"""A file of tests that takes longer stays out of the quick run, unless it mirrors a change (then ten times as long)."""

STATIC_CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("types (mypy --strict)", ("mypy",)),
    ("lint (ruff)", ("ruff", "check", ".")),
    ("format (ruff)", ("ruff", "format", "--check", ".")),
    ("import contracts", ("lint-imports",)),
    ("plain words", ("python", "scripts/plain_words.py")),
    ("JavaScript (biome)", ("biome", "ci", "--error-on-warnings", ".")),
    ("JavaScript types (tsc)", ("npm", "--prefix", str(PAGE), "run", "--silent", "types")),
    ("desk's types (tsc)", ("npm", "--prefix", str(DESK_WEB), "run", "--silent", "types")),
)
BRANCHES = ("branches of consent", ("python", "scripts/branches.py"))


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str
    passed: bool
    seconds: float
    output: str


def run_check(name: str, command: tuple[str, ...]) -> Outcome:
    """Run one tool and keep what it says."""
    started = time.monotonic()
    tool = find_tool(command[0])
    if tool is None:
        return Outcome(name, False, 0.0, f"{command[0]} is not installed.\n  What to do: run `make setup-test`.")
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    return Outcome(name, done.returncode == 0, time.monotonic() - started, done.stdout + done.stderr)


def find_tool(name: str) -> str | None:
    """The program of the virtual environment, or of the page's npm packages, or of the system (npm)."""
    folders = (BIN, PAGE / "node_modules" / ".bin")
    return shutil.which(name, path=os.pathsep.join(map(str, folders))) or (
        shutil.which(name) if name == "npm" else None
    )


def folder_for_tests() -> str | None:
    """Returns the folder for the tests' files, or None for Python's own choice.

    Memory, if there is enough of it: a test on a disk waits for it at every flush. The tests of 12 processes keep up to
    ROOM_BYTES, because many keep films and databases until their file has ended. Debian 13 has /tmp in half of the
    memory, which is less on a board.
    """
    if "TMPDIR" in os.environ:
        return None
    memory = Path("/dev/shm")  # noqa: S108 — pytest makes a private folder below it
    available_kib = re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())
    if (
        available_kib is not None
        and int(available_kib[1]) << 10 > MEMORY_BYTES
        and os.access(memory, os.W_OK)
        and not os.statvfs(memory).f_flag & os.ST_NOEXEC
        and _free_bytes(memory) > MEMORY_BYTES
    ):
        return str(memory)
    usual, disk = Path(tempfile.gettempdir()), Path("/var/tmp")  # noqa: S108 — as above
    has_room = _free_bytes(usual) >= ROOM_BYTES or not os.access(disk, os.W_OK)
    return None if has_room or _free_bytes(disk) <= _free_bytes(usual) else str(disk)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free if folder.is_dir() else 0


def run_tests(arguments: list[str]) -> Outcome:
    """Runs pytest in several processes, with its output on the terminal."""
    started = time.monotonic()
    workers = "0" if "--pdb" in arguments else str(WORKERS)
    # Quiet, because workers change from file to file, and each change would be a line with the name of a file.
    command = [str(BIN / "python"), "-m", "pytest", "-q", "-p", "tests.parallel", "--workers", workers, *arguments]
    folder = folder_for_tests()
    environment = os.environ | ({"TMPDIR": folder} if folder else {})
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return Outcome("tests (pytest)", done.returncode == 0, time.monotonic() - started, "")


def run_checks(checks: tuple[tuple[str, tuple[str, ...]], ...]) -> list[Outcome]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda check: run_check(*check), checks))


# --- The quick run


def changed_files() -> list[str]:
    """Returns the files that differ from the last commit; if there are none, the files of the last commit."""
    status = _git("status", "--porcelain", "--untracked-files=all")
    changed = [line[3:].split(" -> ")[-1] for line in status]
    return changed or _git("diff", "--name-only", "HEAD~1")


def _git(*words: str) -> list[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()


def mirrors(changed: list[str]) -> list[str]:
    """Return the test files that are changed themselves or import a changed module."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__") for name in changed if name.endswith(".py")}
    parted = [each.rpartition(".") for each in modules]
    words = [rf"{re.escape(a)}\.{b}\b|from {re.escape(a)} import [^\n]*\b{b}\b" for a, _, b in parted]
    importing = re.compile("|".join(words) or "(?!)")
    tests = [path for path in ROOT.glob("tests/**/test_*.py") if "node_modules" not in path.parts]
    names = {str(path.relative_to(ROOT)): path for path in tests}
    return sorted(name for name, path in names.items() if name in changed or importing.search(path.read_text()))


def quick_selection(changed: list[str]) -> tuple[list[str], list[str]]:
    """Return the test files of a quick run, and those that mirror a change but take too long for it."""
    took = seconds_of_files()
    mirroring = mirrors(changed)
    slow = [name for name in mirroring if took.get(Path(name).name, 0.0) > 10 * FAST_S]
    pure = [
        str(path.relative_to(ROOT)) for folder in ("core", "wire") for path in ROOT.glob(f"tests/{folder}/**/test_*.py")
    ]
    fast = [name for name in pure if took.get(Path(name).name, 0.0) <= FAST_S]
    return sorted({*mirroring, *fast} - set(slow)), slow


def seconds_of_files() -> dict[str, float]:
    """Return the seconds each file of tests took at last, by its bare name (tests/parallel.py writes them)."""
    known: dict[str, float] = {}
    for path in (ROOT / "tests" / "seconds.json", ROOT / ".cache" / "seconds.json"):
        if path.exists():
            known |= json.loads(path.read_text())
    return known


def run_quick(arguments: list[str]) -> list[Outcome]:
    chosen, slow = quick_selection(changed_files())
    for name in slow:
        print(f"  {name} mirrors a change and takes long: run it yourself, or make test.", flush=True)
    with ThreadPoolExecutor(max_workers=1) as beside:
        checks = beside.submit(run_checks, STATIC_CHECKS)
        tests = run_tests([*chosen, *arguments])
        return [*checks.result(), tests]


def run_all(arguments: list[str]) -> list[Outcome]:
    with ThreadPoolExecutor(max_workers=1) as beside:
        checks = beside.submit(run_checks, (BRANCHES, *STATIC_CHECKS))
        tests = run_tests(arguments)
        return [*checks.result(), tests]


def main(arguments: list[str]) -> int:
    scope, *pytest_arguments = arguments or ["all"]
    if scope not in SCOPES or (scope == "static" and pytest_arguments):
        print(__doc__, file=sys.stderr)  # a wrong word must not start a run of minutes
        return 2
    # The tests start hundreds of processes. With this each of them would compile the agent's modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if scope == "static":
        print("Checking types, lint, format and import contracts …", flush=True)
        outcomes = run_checks(STATIC_CHECKS)
    else:
        outcomes = (run_quick if scope == "quick" else run_all)(pytest_arguments)
    for outcome in outcomes:
        if not outcome.passed and outcome.output:
            print(f"\n--- {outcome.name} ---\n{outcome.output.strip()}\n", flush=True)
    print("\nSummary")
    for outcome in outcomes:
        print(f"  {'passed' if outcome.passed else 'FAILED'}  {outcome.name:24} {outcome.seconds:6.1f} s")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
