"""Tests in several processes end as in one: each once, with its output, and a process that dies fails its own test."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from tests import parallel

ROOT = Path(__file__).parents[2]


class Run:
    """A folder of tests, and what pytest says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holds(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"import os, subprocess, time, pytest\n{text}")

    @property
    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.parallel",
            "--workers",
            "3",
            "-v",
        ]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT)}

    def __call__(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *more], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_each_test_runs_once_and_its_outcome_and_output_are_told(run: Run) -> None:
    for number in range(8):
        run.holds(
            f"test_{number}.py",
            "def test_good(tmp_path): assert not list(tmp_path.iterdir())\n"
            f"def test_bad(): os.system('echo of the process {number}'); print('of the test {number}'); assert 0\n"
            "def test_skipped(): pytest.skip('a reason')\n",
        )
    done = run()
    assert done.returncode == 1
    assert "8 failed, 8 passed, 8 skipped" in done.stdout
    for number in range(8):
        assert done.stdout.count(f"of the process {number}\n") == 1
        assert done.stdout.count(f"of the test {number}\n") == 1


def test_a_child_that_an_exception_leads_out_of_its_test_is_no_second_worker(run: Run) -> None:
    """On a full disk the child of a fork took a worker's pipe for its own, and the run ended with an internal error."""
    run.holds(
        "test_fork.py",
        "def test_forks():\n    if os.fork() == 0: raise OSError('No space left on device')\n    os.wait()\n"
        "def test_after(): pass\ndef test_more(): pass\n",
    )
    done = run()
    assert "INTERNALERROR" not in done.stdout
    assert "= 3 passed in " in done.stdout


def test_an_outcome_stands_beside_its_own_file_while_others_start(run: Run) -> None:
    """Otherwise a second try is looked for in a file that had none."""
    (run.folder / "setup.cfg").write_text("[tool:pytest]\nmarkers = flaky\n")
    run.holds(
        "test_long.py",
        "@pytest.mark.flaky(reruns=1)\n"
        "def test_it():\n"
        "    while not os.path.exists('short'): time.sleep(0.01)\n"
        "    assert os.path.exists('tried') or open('tried', 'w').close()\n",
    )
    run.holds("test_short.py", "def test_it(): open('short', 'w').close()\n")
    done = run("-q")
    assert "\ntest_long.py R" in done.stdout
    assert "\ntried again: test_long.py::test_it\n" in done.stdout
    assert done.returncode == 0, "the second try ran in the worker, and passed"


def test_a_test_of_a_worker_that_fails_at_both_tries_is_told_once_and_the_others_run(run: Run) -> None:
    (run.folder / "setup.cfg").write_text("[tool:pytest]\nmarkers = flaky\n")
    run.holds(
        "test_it.py",
        "@pytest.mark.flaky(reruns=1)\ndef test_bad(subtests):\n    with subtests.test(): assert 0\n    assert 0\n"
        "def test_good(): pass\n",
    )
    said = run().stdout
    assert "tried again: test_it.py::test_bad" in said
    assert "1 passed" in said
    assert "1 rerun" in said
    assert "INTERNALERROR" not in said


def test_what_one_worker_has_made_for_all_the_others_do_not_make_again(run: Run) -> None:
    # Each test waits until all three have what is shared, so that each runs in another worker.
    for number in range(3):
        run.holds(
            f"test_{number}.py",
            "from pathlib import Path\n"
            "from tests.once import made_once\n"
            "def make(path):\n"
            "    path.touch()\n"
            "    with open('made', 'a') as file: file.write('x')\n"
            "def test_it(tmp_path_factory):\n"
            "    made_once(tmp_path_factory, 'it', make)\n"
            f"    Path('has{number}').touch()\n"
            "    while len(list(Path().glob('has*'))) < 3: time.sleep(0.01)\n",
        )
    assert run().returncode == 0
    assert (run.folder / "made").read_text() == "x"


def test_a_process_that_dies_fails_its_own_test_and_no_other(run: Run) -> None:
    run.holds(
        "test_it.py",
        "def test_before(): pass\n"
        "def test_exits(): os._exit(3)\n"
        "def test_is_killed_and_leaves_a_child(): subprocess.Popen(['sleep', '20']); os.kill(os.getpid(), 9)\n"
        "def test_after(): pass\n",
    )
    done = run()
    assert "2 failed, 2 passed" in done.stdout
    assert "The process of this test ended: 3." in done.stdout
    assert "The process of this test ended: -9." in done.stdout


def test_the_reason_of_a_failure_is_told_also_if_the_process_dies_in_the_teardown(run: Run) -> None:
    run.holds(
        "test_it.py",
        "@pytest.fixture\ndef broken():\n    yield\n    os._exit(7)\n"
        "def test_bad(broken): assert 'the reason' == 'another one'\n"
        "def test_after(): pass\n",
    )
    done = run()
    assert "'the reason' == 'another one'" in done.stdout
    assert "The process of this test ended: 7." in done.stdout
    assert "1 passed" in done.stdout


def test_a_fixture_of_a_file_is_built_once_and_one_of_the_session_is_taken_down(run: Run) -> None:
    run.holds(
        "conftest.py",
        "@pytest.fixture(scope='session')\n"
        "def broker(tmp_path_factory):\n"
        f"    yield\n    (__import__('pathlib').Path({str(run.folder)!r}) / 'stopped').touch()\n",
    )
    run.holds(
        "test_it.py",
        "built = []\n@pytest.fixture(scope='module')\ndef house(broker): built.append(1)\n"
        "def test_one(house): assert built == [1]\ndef test_two(house): assert built == [1]\n",
    )
    assert run().returncode == 0
    assert (run.folder / "stopped").exists()


def test_an_interruption_takes_the_fixtures_down(run: Run) -> None:
    marks = {name: run.folder / name for name in ("started", "stopped")}
    run.holds(
        "test_it.py",
        "@pytest.fixture\ndef broker():\n"
        f"    yield\n    open({str(marks['stopped'])!r}, 'w')\n"
        f"def test_it(broker): open({str(marks['started'])!r}, 'w').close(); time.sleep(600)\n",
    )

    def hear_interruptions() -> None:
        """A run in the background ignores SIGINT, and its subprocesses inherit that."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        run.command,
        cwd=run.folder,
        env=run.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=hear_interruptions,  # noqa: PLW1509 — this process has no threads
    ) as pytest_process:
        while not marks["started"].exists():
            time.sleep(0.05)
        os.killpg(pytest_process.pid, signal.SIGINT)  # as a terminal sends it, to the workers too
    assert pytest_process.returncode == 2
    assert marks["stopped"].exists()


def test_long_files_come_first_and_are_dealt_out_unless_they_share_a_fixture(pytestconfig: pytest.Config) -> None:
    class Item:
        def __init__(self, name: str, scope: str | None = None) -> None:
            self.path, self.nodeid = Path(name), f"{name}::test"
            definition = type("Definition", (), {"scope": scope, "baseid": name})
            self._fixtureinfo = type("Info", (), {"name2fixturedefs": {"it": [definition]} if scope else {}})

    items = [
        *(Item("test_short.py") for _ in range(2)),
        *(Item("test_long.py") for _ in range(2)),
        *(Item("test_sharing.py", "module") for _ in range(2)),
        *(Item("test_of_a_session.py", "session") for _ in range(2)),
    ]
    seconds = {"test_long.py": 20.0, "test_sharing.py": 30.0, "test_short.py": 1.0, "test_of_a_session.py": 40.0}
    assert parallel.units_of(items, seconds) == [[6, 7], [4, 5], [2], [3], [0, 1]]  # type: ignore[arg-type]


def test_a_file_without_seconds_starts_before_shorter_ones_and_stays_whole() -> None:
    class Item:
        def __init__(self, name: str) -> None:
            self.path, self.nodeid = Path(name), f"{name}::test"

    items = [Item("test_short.py"), Item("test_new.py"), Item("test_new.py"), Item("test_long.py")]
    seconds = {"test_short.py": 5.0, "test_long.py": 30.0}
    assert parallel.units_of(items, seconds) == [[3], [1, 2], [0]]  # type: ignore[arg-type]


def test_the_longest_files_of_a_run_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("test_short.py", "test_long.py", "test_longest.py"):
        (tmp_path / name).touch()
    monkeypatch.setattr(parallel, "OWN_SECONDS", tmp_path / "own.json")
    monkeypatch.setattr(parallel, "KNOWN_SECONDS", tmp_path / "known.json")
    took = {"test_long.py": 9.0, "test_gone.py": 20.0, "test_short.py": 0.1, "test_longest.py": 30.0}
    parallel.OWN_SECONDS.write_text(json.dumps(took))
    parallel.list_seconds(tmp_path)
    # One file a line, so that a commit shows which files changed.
    assert parallel.KNOWN_SECONDS.read_text() == '{\n"test_longest.py": 30.0,\n"test_long.py": 9.0\n}\n'


def test_the_committed_seconds_are_of_files_that_are_there() -> None:
    there = {path.name for path in (ROOT / "tests").glob("**/test_*.py")}
    assert set(json.loads(parallel.KNOWN_SECONDS.read_text())) <= there


def test_a_child_of_a_fork_frees_nothing_that_its_parent_left_behind() -> None:
    class Film:
        """Part of a circle, so that only the collector frees it."""

        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    try:
        left = weakref.ref(Film())
        child = os.fork()
        if child == 0:
            gc.collect()
            os._exit(0 if left() is not None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        gc.enable()
