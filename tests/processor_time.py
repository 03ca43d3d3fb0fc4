"""Tells the processor time of each folder and file of tests: `make test ARGS="-p tests.processor_time"`.

A test's time is that of its process and of the processes that it started and waited for. A process that outlives its
test, for example a broker that a file shares, counts for the test during which it ends, or for "the rest". The rest
also holds imports, collection and the parent's own work.

`DOORWARD_PROCESSOR_TIME=file.json` keeps the seconds of each test in a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

SHOWN_FILES: Final = 40


class Clock:
    """Adds up the processor time of this process and its ended children; forked workers append to one file."""

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile(prefix="doorward-processor-time-", delete=False) as file:
            self._path = Path(file.name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = used_s()
        result = yield
        with self._path.open("a") as file:
            file.write(json.dumps([item.nodeid, round(used_s() - before, 3)]) + "\n")
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        tests = self._seconds_of_tests()
        rest = used_s() - sum(tests.values())
        write = terminalreporter.write_line
        terminalreporter.write_sep("=", "PROCESSOR TIME (s)")
        for name, took in _sums(tests, folder=True).most_common():
            write(f"{took:8.1f}  {name}")
        write(f"{rest:8.1f}  the rest\n{used_s():8.1f}  all")
        for name, took in _sums(tests, folder=False).most_common(SHOWN_FILES):
            write(f"{took:8.1f}  {name}")
        kept = os.environ.get("DOORWARD_PROCESSOR_TIME")
        if kept:
            Path(kept).write_text(json.dumps(dict(tests.most_common()), indent=0))

    def _seconds_of_tests(self) -> Counter[str]:
        tests: Counter[str] = Counter()
        for line in self._path.read_text().splitlines():
            name, took = json.loads(line)
            tests[name] += took
        self._path.unlink()
        return tests


def _sums(tests: Counter[str], *, folder: bool) -> Counter[str]:
    sums: Counter[str] = Counter()
    for name, took in tests.items():
        file = name.split("::")[0]
        sums["/".join(file.split("/")[:2]) if folder else file] += took
    return sums


def used_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Clock(), "doorward-processor-time")
