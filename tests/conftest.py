"""For every test: shared test data, examples without a time limit, second tries, listed skips, and what is left out."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.kept_decoder import kept_decoders
from tests.skips import AT_LENGTH, may_be_skipped

PROOFS: Final = frozenset(
    {"config", "conformity", "core", "crash", "fuzz", "media", "owner", "properties", "requester", "scripts", "wire"}
)
"""Folders with one try: a failure there is a defect. Other folders meet cameras, brokers, browsers, processes and
clocks, so their tests have a second try (decision 0017)."""

# A busy machine is no failure: bench/ measures the time of an example. And the same code gets the same examples:
# whether a change is sound must not depend on luck. `make explore` draws others.
settings.register_profile(
    "doorward",
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("explore", settings.get_profile("doorward"), derandomize=False, max_examples=500)
settings.register_profile("few", settings.get_profile("doorward"), max_examples=10)
settings.load_profile(os.environ.get("DOORWARD_EXAMPLES", "doorward"))


# A child of a fork must not free what its parent left behind: a film filter waits there for threads that the child
# lacks, for ever.
os.register_at_fork(after_in_child=gc.freeze)


class QuietLog(logging.Handler):
    """Takes what libraries log. A message that does not fit its arguments fails the test.

    Without a handler, Python would write it to the standard error, and tests compare what is written there.
    """

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()


def pytest_collection_finish() -> None:
    """After the imports, because a configuration of Django replaces the handlers of the root."""
    logging.getLogger().addHandler(QuietLog())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _with_the_same_limits())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _with_the_same_limits())


def _with_the_same_limits() -> Generator[None, object, object]:
    """A test and its fixtures must leave this process as later tests expect it.

    A less urgent process would wait for whatever else the machine does. With a higher limit on recursion, brackets
    without end would no longer be refused.
    """
    before, limit = os.getpriority(os.PRIO_PROCESS, 0), sys.getrecursionlimit()
    result = yield
    assert is_as_urgent(before), "This test has left its process less urgent than it was."
    assert sys.getrecursionlimit() == limit, "This test has left another limit on recursion."
    return result


def is_as_urgent(before: int) -> bool:
    """Returns whether this process is at least as urgent as it was, or as urgent as its parent: a person may change
    both while they run, for example with `renice`, and a proof of an hour must not fail for it."""
    now = os.getpriority(os.PRIO_PROCESS, 0)
    return now <= before or now == os.getpriority(os.PRIO_PROCESS, os.getppid())


@pytest.fixture(scope="session", autouse=True)
def decoders() -> Iterator[None]:
    with kept_decoders():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data: beside the repository, or where DOORWARD_SHARED says."""
    path = Path(os.environ.get("DOORWARD_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not path.is_dir():
        pytest.skip(f"the shared test data is not at {path}: set DOORWARD_SHARED")
    return path


@pytest.fixture(scope="session")
def footage() -> Path:
    """vtest.avi: 768×576, 795 frames at 10 fps, pedestrians; from Debian's opencv-doc, or where DOORWARD_VTEST says."""
    places = [
        Path(os.environ.get("DOORWARD_VTEST") or ""),
        Path(__file__).resolve().parents[1] / ".cache" / "vtest.avi",
        Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi"),
    ]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("real footage is missing: install opencv-doc, or set DOORWARD_VTEST to vtest.avi")
    return found


LEFT_OUT: Final[Counter[str]] = Counter()
"""Number of tests of each target at length that this run leaves out."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if PROOFS.isdisjoint(item.path.relative_to(here).parts[:-1]):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = {*items} - {*left_out}
        items[:] = [item for item in items if item in kept]


def _is_left_out(item: pytest.Item) -> bool:
    for marker in item.iter_markers("at_length"):
        variable, value = AT_LENGTH[marker.args[0]]
        said = os.environ.get(variable, "")
        if said != value if value else not said:
            LEFT_OUT[marker.args[0]] += 1
            return True
    return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped for a reason that is unlisted has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not may_be_skipped(reason):
            report.outcome = "failed"
            report.longrepr = f"tests/skips.py does not list this reason for skipping: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out, and in full how first tries failed: a second try hides nothing."""
    for target, count in LEFT_OUT.items():
        runs = "test runs" if count == 1 else "tests run"
        terminalreporter.write_line(f"{count} {runs} at length only: {target}")
    first_tries = terminalreporter.getreports("rerun")
    if not first_tries:
        return
    terminalreporter.write_sep("=", "FAILED AT THE FIRST TRY (to be mended: CONTRIBUTING.md)", yellow=True)
    for report in first_tries:
        terminalreporter.write_sep("_", report.nodeid)
        terminalreporter.write_line(report.longreprtext)
