"""For every test: where the shared test data lies, that no example is timed, and which tests have a second try."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

OUTSIDE: Final = frozenset(
    {
        *("adapters", "browser", "cli", "contracts", "firmware_bridge", "hardware"),
        *("install", "interop", "roles", "scenarios", "services", "web"),
    }
)
"""Where tests meet cameras, brokers, browsers, processes and clocks (decision record 0017)."""

# A busy machine is no failure: how long an example takes is measured in bench/, not asserted here.  And the same code
# gets the same examples: whether a change is sound must not depend on luck.  `make explore` draws others.
settings.register_profile(
    "doorward", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", settings.get_profile("doorward"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("DOORWARD_EXAMPLES", "doorward"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """A test that leaves this process less urgent makes every later one wait for whatever else the machine does."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    result = yield
    assert os.getpriority(os.PRIO_PROCESS, 0) == before, "This test has left its process less urgent than it was."
    return result


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in OUTSIDE:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A second try hides nothing: how the first one failed is told in full."""
    first_tries = terminalreporter.getreports("rerun")
    if not first_tries:
        return
    terminalreporter.write_sep("=", "FAILED AT THE FIRST TRY (to be mended: CONTRIBUTING.md)", yellow=True)
    for report in first_tries:
        terminalreporter.write_sep("_", report.nodeid)
        terminalreporter.write_line(report.longreprtext)
