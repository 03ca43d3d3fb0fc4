"""Runs pytest's tests in several processes: `python -m pytest -p tests.parallel --workers 5`.

The parent collects once and forks its workers, which saves them imports and collection. A worker takes one unit at a
time: a file, or a single test of a long file without shared fixtures. Long units start first. The seconds come from the
last run here (`.cache/seconds.json`), else from `tests/seconds.json`, which lists the longest files. A file without
seconds starts before the shorter half of the work. In the proofs of consent, of crashes and of properties every file is
long. Tests at length have their own seconds (`.cache/seconds-at-length.json`).

`python -m tests.parallel` writes `tests/seconds.json` again from the last `make test` here.

A worker has its own temporary folder and its own capture of output. If a worker dies, its test fails and another
worker takes its place. Reports reach the parent's plugins as in a run with one process.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from tests.once import OF_THE_RUN

# OpenBLAS starts its threads when numpy is imported, and a process with threads cannot be forked safely.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Collected tests stay until the end, so the collector would look through them again and again for nothing.
gc.disable()

ROOT: Final = Path(__file__).resolve().parents[1]
AT_LENGTH: Final = (
    os.environ.get("DOORWARD_PROVE") == "all"
    or bool(os.environ.get("DOORWARD_THOROUGH"))
    or os.environ.get("DOORWARD_EXAMPLES") == "explore"
)
OTHER_TESTS: Final = AT_LENGTH or "all" in (os.environ.get("DOORWARD_LONG"), os.environ.get("DOORWARD_BROWSER"))
OWN_SECONDS: Final = ROOT / ".cache" / ("seconds-at-length.json" if OTHER_TESTS else "seconds.json")
KNOWN_SECONDS: Final = Path(__file__).with_name("seconds.json")
LONG_FILE_S: Final = 0.0 if AT_LENGTH else 6.0
"""A file that takes longer is dealt out test by test, unless its tests share a fixture."""
UNKNOWN_FILE_S: Final = 20.0
"""A file without seconds starts among files of this length. It may be new and long: started last, it would end alone.

Files from 20 s up are half of the seconds in `tests/seconds.json`.
"""
LISTED_FILE_S: Final = 1.5
"""`tests/seconds.json` lists files from this length up."""
LAST_WORDS_S: Final = 60.0
"""Time for a worker to stop its session's fixtures, for example a broker."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=0, help="run the tests in this many processes (0: in this one)")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    config = session.config
    gc.enable()
    os.environ.pop("OPENBLAS_NUM_THREADS", None)  # the tests' own subprocesses run as they would elsewhere
    if config.option.workers < 1 or config.option.collectonly or session.testsfailed:
        return None
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 — no paths are wanted
    if threads > 1:
        gc.collect()  # a decoder in a circle of objects has threads until then
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads > 1:
        pytest.exit(f"Importing the tests has started {threads - 1} threads, and a fork would lose them.", returncode=3)
    Parent(session).run(config.option.workers)
    return True


# --- Units of work


def seconds_of_files() -> dict[str, float]:
    """Return the seconds each file took at last, by its bare name, because folders move."""
    known: dict[str, float] = {}
    for path in (KNOWN_SECONDS, OWN_SECONDS):
        if path.exists():
            known |= json.loads(path.read_text())
    return known


def list_seconds(tests: Path) -> None:
    """Write `tests/seconds.json` from the last run here: the longest files that are below `tests`, the longest first.

    Raises `OSError` if there was no run. Run all of `make test` on a quiet machine before it.
    """
    took: dict[str, float] = json.loads(OWN_SECONDS.read_text())
    there = {path.name for path in tests.rglob("test_*.py") if "node_modules" not in path.parts}
    longest = sorted((name for name in took if name in there), key=lambda name: -took[name])
    listed = {name: took[name] for name in longest if took[name] >= LISTED_FILE_S}
    KNOWN_SECONDS.write_text(json.dumps(listed, indent=0) + "\n")


def units_of(items: list[pytest.Item], seconds: dict[str, float]) -> list[list[int]]:
    """Deal the items into units, the longest first."""
    units: list[tuple[float, list[int]]] = []
    for path, group in groupby(range(len(items)), key=lambda number: items[number].path):
        numbers, known = list(group), seconds.get(path.name)
        length = UNKNOWN_FILE_S if known is None else known
        # A file without seconds stays whole. Most of them are short, and their tests share what a module has read.
        deal_out = AT_LENGTH if known is None else known >= LONG_FILE_S
        if deal_out and not any(_shares_fixtures(items[number]) for number in numbers):
            units += [(length, [number]) for number in numbers]
        else:
            units.append((length, numbers))
    return [numbers for _, numbers in sorted(units, key=lambda unit: -unit[0])]


def _shares_fixtures(item: pytest.Item) -> bool:
    """Returns True if the item uses a fixture that its file builds once for several tests."""
    found = getattr(item, "_fixtureinfo", None)
    definitions = [each[-1] for each in (found.name2fixturedefs if found else {}).values() if each]
    file = item.nodeid.partition("::")[0]
    # Workers share no session, so each of them would build a session's fixture of this file again.
    return any(
        each.scope in ("class", "module", "package") or (each.scope == "session" and each.baseid == file)
        for each in definitions
    )


# --- The parent


class Worker:
    """A forked process, the connection to it, and the tests it has still to finish."""

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self.connection = connection
        self.ended = os.pidfd_open(pid)
        self.unit: deque[int] = deque()
        self.running: int | None = None

    def close(self) -> None:
        self.connection.close()
        os.close(self.ended)


class Parent:
    """Deals units to workers and passes on their reports."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._items = session.items
        self._waiting = deque(units_of(session.items, seconds_of_files()))
        self._workers: list[Worker] = []
        self._count = 0
        self._seconds: dict[str, float] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, workers: int) -> None:
        # Before the forks: otherwise each worker makes a folder of a run, and shares nothing (tests/once.py).
        self._session.config._tmp_path_factory.getbasetemp()
        gc.collect()
        # The workers share these pages as long as no collector touches them, and the parent needs no more of it.
        gc.freeze()
        try:
            for _ in range(min(workers, len(self._waiting))):
                self._fork()
            while self._workers:
                self._hear()
        finally:
            self._end()
            self._selector.close()
        if not self._session.shouldstop and not self._session.config.option.keyword:
            self._remember()

    def _fork(self) -> None:
        mine, theirs = Pipe()
        self._count += 1
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            for other in self._workers:
                other.close()
            mine.close()
            work(self._session, theirs, self._count)
        theirs.close()
        worker = Worker(pid, mine)
        self._workers.append(worker)
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        self._selector.register(worker.ended, selectors.EVENT_READ, worker)
        self._deal(worker)

    def _deal(self, worker: Worker) -> None:
        """Give the worker its next unit, or None, after which it ends."""
        stop = self._session.shouldstop or self._session.shouldfail
        if stop or not self._waiting:
            worker.connection.send(None)
            return
        worker.unit = deque(self._waiting.popleft())
        worker.connection.send(list(worker.unit))

    def _hear(self) -> None:
        ready = {key.fileobj: key.data for key, _ in self._selector.select()}
        for source, worker in ready.items():
            if source is worker.connection:
                self._take(worker)
        for source, worker in ready.items():
            # The last messages of a dead worker come first, in this round and the next ones.
            if source is not worker.connection and worker in self._workers and worker.connection not in ready:
                self._bury(worker)

    def _take(self, worker: Worker) -> None:
        try:
            messages = worker.connection.recv()
        except EOFError:
            self._bury(worker)
            return
        for kind, said in messages:
            self._take_one(worker, kind, said)

    def _take_one(self, worker: Worker, kind: str, said: Any) -> None:
        if kind == "done":
            self._deal(worker)
        elif kind == "start":
            worker.running = said
        elif kind == "finish":
            item = self._items[said]
            worker.running = None
            worker.unit.remove(said)
            self._session.config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        elif kind == "took":
            self._count_seconds(*said)
        elif kind == "broken":
            raise RuntimeError(f"A worker broke outside a test:\n{said}")
        else:
            self._pass_on(said)

    def _pass_on(self, data: dict[str, Any]) -> None:
        config = self._session.config
        report = config.hook.pytest_report_from_serializable(config=config, data=data)
        self._count_seconds(report.nodeid, report.duration)
        self._log(report)

    def _count_seconds(self, nodeid: str, took_s: float) -> None:
        name = nodeid.split("::")[0].rsplit("/", 1)[-1]
        self._seconds[name] = self._seconds.get(name, 0.0) + took_s

    def _log(self, report: pytest.TestReport) -> None:
        """The terminal writes a letter beside the file that it was last told, so it is told the file first.

        Other workers start tests meanwhile. A second try is named, in case the run is stopped before its summary.
        """
        hook = self._session.config.hook
        if report.when == "call" or not report.passed:
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        hook.pytest_runtest_logreport(report=report)
        terminal = self._session.config.pluginmanager.getplugin("terminalreporter")
        if report.outcome == "rerun" and terminal is not None:
            terminal.write_line(f"tried again: {report.nodeid}")

    def _bury(self, worker: Worker) -> None:
        """A worker has ended.  If it had not finished, its test has failed and another worker takes the rest."""
        self._workers.remove(worker)
        self._selector.unregister(worker.connection)
        self._selector.unregister(worker.ended)
        _, status = os.waitpid(worker.pid, 0)
        worker.close()
        if worker.running is not None:
            self._fail(
                self._items[worker.running], f"The process of this test ended: {os.waitstatus_to_exitcode(status)}."
            )
            worker.unit.remove(worker.running)
        if worker.unit:
            self._waiting.appendleft(list(worker.unit))
        if self._waiting and not (self._session.shouldstop or self._session.shouldfail):
            self._fork()

    def _fail(self, item: pytest.Item, why: str) -> None:
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
        self._log(report)
        self._session.config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _end(self) -> None:
        """After an interruption: the workers see their connection close, stop their fixtures and end."""
        for worker in self._workers:
            worker.connection.close()
        patience = time.monotonic() + LAST_WORDS_S
        for worker in self._workers:
            if not wait([worker.ended], max(0.0, patience - time.monotonic())):
                os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            os.close(worker.ended)
        self._workers.clear()

    def _remember(self) -> None:
        OWN_SECONDS.parent.mkdir(exist_ok=True)
        part = OWN_SECONDS.with_suffix(f".{os.getpid()}")
        kept = json.loads(OWN_SECONDS.read_text()) if OWN_SECONDS.exists() else {}
        part.write_text(json.dumps(kept | {name: round(took, 2) for name, took in self._seconds.items()}, indent=0))
        part.replace(OWN_SECONDS)


# --- A worker


class UnitsEnd:
    """Stands for the next test after a unit: it shares the session with the last one and nothing else."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def listchain(self) -> list[object]:
        return [self._session]


class Sender:
    """Sends a worker's reports to the parent, together with the start of the next test: one message for each test."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config = config
        self._connection = connection
        self._pid = os.getpid()
        self._messages: list[tuple[str, Any]] = []

    def add(self, kind: str, said: Any = None) -> None:
        self._messages.append((kind, said))

    def send(self) -> None:
        if os.getpid() != self._pid:
            # A test forked, and an exception led its child out of the test, for example on a full disk. The child would
            # go on as a second worker on the same pipe.
            os._exit(os.EX_SOFTWARE)
        messages, self._messages = self._messages, []
        if messages:
            self._connection.send(messages)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed and self._config.option.durations is None:
            # Two of three reports are of fixtures and say only how long they took.
            self.add("took", (report.nodeid, report.duration))
            return
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self.add("report", data)
        if report.outcome in ("failed", "rerun"):
            self.send()  # the process may die in the teardown, and the reason with it


class SilentTerminal:
    """Takes the place of the terminal in a worker: plugins find all that it has, and its words go nowhere.

    Only the hooks of the terminal are gone. It would format each report, for the parent to do so again.
    """

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


def work(session: pytest.Session, connection: Connection, number: int) -> NoReturn:
    """Runs units until the parent has no more, then leaves without the parent's own clearing up."""
    atexit._clear()  # what the parent registered is the parent's to run
    sender = Sender(session.config, connection)
    try:
        _become_a_worker(session.config, sender, number)
        for unit in _units(connection):
            _run(session, unit, sender)
            sender.add("done")
            sender.send()
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # the parent was interrupted as well, and says so
    except BaseException:  # noqa: BLE001 — the parent must learn of anything, and raises it
        _tell(sender, traceback.format_exc())
    _leave(session, sender)


def _leave(session: pytest.Session, sender: Sender) -> NoReturn:
    """Take the fixtures of the session down, as a run in one process does at its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # the parent may have ended
        sender.send()
    try:
        session._setupstate.teardown_exact(None)
    except BaseException:  # noqa: BLE001 — as above
        _tell(sender, traceback.format_exc())
    atexit._run_exitfuncs()
    os._exit(0)


def _units(connection: Connection) -> Iterator[list[int]]:
    while True:
        try:
            unit = connection.recv()
        except EOFError:  # the parent was interrupted
            return
        if unit is None:
            return
        yield unit


def _run(session: pytest.Session, unit: list[int], sender: Sender) -> None:
    items = [session.items[number] for number in unit]
    for number, item, following in zip(unit, items, [*items[1:], UnitsEnd(session)], strict=True):
        sender.add("start", number)
        sender.send()
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        sender.add("finish", number)


def _become_a_worker(config: pytest.Config, sender: Sender, number: int) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture._global_capturing is not None:
        # The parent's files for captured output would be one file for all workers.
        capture.stop_global_capturing()
        capture.start_global_capturing()
    terminal = config.pluginmanager.unregister(name="terminalreporter")
    terminal._tw._file = Path(os.devnull).open("w")  # noqa: SIM115 — open until the worker ends
    config.pluginmanager.register(SilentTerminal(terminal), "terminalreporter")
    factory = config._tmp_path_factory
    (factory.getbasetemp() / OF_THE_RUN).mkdir(mode=0o700, exist_ok=True)
    base = factory.getbasetemp() / f"w{number}"
    base.mkdir(mode=0o700)
    factory._basetemp = base
    config.pluginmanager.register(sender, "doorward-sender")


def _tell(sender: Sender, trouble: str) -> None:
    sender.add("broken", trouble)
    try:
        sender.send()
    except OSError:
        os.write(2, trouble.encode())


if __name__ == "__main__":
    list_seconds(ROOT / "tests")
