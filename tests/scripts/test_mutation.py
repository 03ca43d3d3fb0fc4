"""The mutation runner makes the mistakes that a test should notice, also in the processes that a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.in_children import sitecustomize as in_children
from tests.mutation.mutants import mutants_of
from tests.mutation.run import GROUPS, _moved, _together, interval, modules

ROOT = Path(__file__).resolve().parents[2]


def whats(source: str) -> list[str]:
    return [mutant.what for mutant in mutants_of(source)]


def test_what_decides_is_changed_and_words_for_people_are_left_alone() -> None:
    assert whats("def f(a):\n    return a < 1") == ["return x → return None", "Lt → LtE", "Lt → GtE", "1 → 2"]
    for words in (
        "self._log.warning('lost', number=1)",
        "structlog.get_logger('page').error('lost')",
        "self._log = structlog.get_logger('page')",
        "thread = threading.Thread(target=run, name='alerts')",
        "x = cast('Name', y)",
        "raise FormatError('no ' + str(1))",
        "'''A documentation.'''",
    ):
        assert [what for what in whats(words) if what != "forgotten" or "raise" not in words] == [], words
    assert whats("log(1)") == ["forgotten", "1 → 2"], "only a logger's calls are entries in the log"
    assert whats("class A:\n    name: str = field(name='from')") == ["'from' → other text"]


def test_each_file_of_the_rooms_belongs_to_one_group() -> None:
    found = [path for group in GROUPS for path in modules(group, [])]
    assert len(found) == len(set(found))
    rooms = ("recorder", "custodian", "custodian/alerts", "custodian/page", "uplink", "ipc", "vault", "clients/owner",
             "clients/requester", "clients/opening")  # fmt: skip
    for room in rooms:
        assert set((ROOT / "agent" / room).glob("*.py")) <= set(found), room


def test_tests_of_a_changed_file_move_with_its_lines() -> None:
    passing = {"1": ["a"], "2": ["b"], "3": ["c"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [9, 1, 2, 4]) == {"2": ["a"], "3": ["b"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [1, 2, 7, 4]) == {"1": ["a"], "2": ["b"], "3": ["b", "c"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [1, 2, 3, 8, 4])["4"] == ["c"], "a new line has the tests of the one before"


def test_the_last_line_of_a_run_names_the_lowest_group() -> None:
    found = {"one": {"killed": 9, "survived": [1]}, "two": {"killed": 5, "survived": []}}
    assert _together(found) == "15 mutants in 2 groups, 14 noticed, 93.3%; lowest: one 90.0%"
    low, high = interval(96, 100)
    assert (round(low, 3), round(high, 3)) == (0.902, 0.984)


PROGRAM = "from agent.uplink import message_router as m; print(m.SCHEME, m.__name__)"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(in_children.__file__).parent)}


def test_a_process_that_a_test_starts_imports_the_module_with_the_mistake(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = ROOT / "agent" / "uplink" / "message_router.py"
    code = compile("SCHEME = 'a mistake'", str(path), "exec")
    file = tmp_path / "mistake"
    file.write_bytes(in_children.mistake("agent.uplink.message_router", str(path), code))
    command = [sys.executable, "-c", PROGRAM]
    environment[in_children.MISTAKE] = str(file)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "a mistake agent.uplink.message_router\n"
    file.write_bytes(file.read_bytes().replace(sys.version.encode(), b"x" * len(sys.version)))
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("webpush:"), "the code of another version is not loaded"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the runner needs sys.monitoring")
def test_a_process_that_a_test_starts_notes_each_line_once(environment: dict[str, str], tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_bytes(b"")
    program = "from agent.core.alerts import channels as c; [c.scheme_of('a://b') for _ in range(3)]"
    environment[in_children.NOTES] = str(notes)
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, check=True)
    path = ROOT / "agent" / "core" / "alerts" / "channels.py"
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "return url.partition" in text)
    assert notes.read_text().splitlines().count(f"{path}:{line}") == 1
