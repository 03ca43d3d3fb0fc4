"""The mutation runner makes the mistakes that a test should notice, also in the processes that a test starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import CodeType

import pytest

from tests.mutation import run
from tests.mutation.in_children import sitecustomize as in_children
from tests.mutation.mutants import mutants_of
from tests.mutation.run import (
    GROUPS,
    Draw,
    Group,
    InFunctions,
    Score,
    _exchangeable,
    _is_joined,
    _is_reached,
    _moved,
    _together,
    interval,
    modules,
)

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


def test_a_forgotten_call_of_super_is_a_mistake_that_the_running_function_can_be_given() -> None:
    source = "class A:\n    def f(self):\n        super().__init__()\n"
    (forgotten,) = [mutant for mutant in mutants_of(source) if mutant.what == "forgotten"]

    def code_of(tree: object) -> CodeType:
        (outer,) = [each for each in compile(tree, "f", "exec").co_consts if isinstance(each, CodeType)]  # type: ignore[call-overload]
        return next(each for each in outer.co_consts if isinstance(each, CodeType))

    before, after = code_of(source), code_of(forgotten.tree())
    assert after.co_freevars == before.co_freevars == ("__class__",)
    assert "__init__" not in after.co_names


def test_the_runner_looks_at_a_lazy_object_without_setting_it_up() -> None:
    class Lazy:
        def __getattribute__(self, name: str) -> object:
            raise LookupError(name)

    functions, _ = _exchangeable([Lazy(), whats], [Path(__file__)])
    assert functions == {Path(__file__): [whats]}


def test_each_file_of_the_rooms_belongs_to_one_group() -> None:
    found = [path for group in GROUPS for path in modules(group, [])]
    assert len(found) == len(set(found))
    rooms = ("recorder", "custodian", "custodian/alerts", "custodian/page", "uplink", "ipc", "vault", "clients/owner",
             "clients/requester", "clients/opening")  # fmt: skip
    for room in rooms:
        assert set((ROOT / "agent" / room).glob("*.py")) <= set(found), room


WITHOUT_GROUP = {
    "agent": "ports, errors, and the process that runs all roles",
    "agent/cli": "commands, tested as processes",
    "agent/cli/checks": "commands, tested as processes",
    "agent/clients": "what a requester promises, in words",
    "agent/clients/broker": "commands of a broker's operator, tested with a real broker",
    "agent/clients/cli": "commands, tested as processes",
    "agent/clients/cli/owner": "commands, tested as processes",
    "agent/clients/cli/requester": "commands, tested as processes",
    "agent/clients/fleet": "an installer's table, tested with a real broker (tests/scenarios/test_a_fleet.py)",
    "agent/config": "every key is tested by its mistakes (tests/config)",
    "agent/core/motion": "its tests compare figures of whole films",
    "agent/core/motion/passes": "its tests compare figures of whole films",
    "agent/core/motion_accuracy": "its tests compare figures of whole films",
    "agent/core/object_detection": "its tests compare figures of whole films",
    "agent/mqtt": "tested with a real broker (tests/contracts)",
    "agent/platform": "tested with what uses it",
    "agent/recorder/capture": "tested with cameras (tests/contracts, tests/hardware)",
    "agent/recorder/capture/camera_picamera2": "tested with cameras (tests/contracts, tests/hardware)",
    "agent/recorder/playback": "tested with speakers (tests/contracts)",
}
"""Packages without mutants, and why.  The desk, the bridge and the scripts have none either."""


def test_each_package_of_the_agent_is_in_a_group_or_says_why_not() -> None:
    grouped = {path.relative_to(ROOT) for group in GROUPS for path in modules(group, [])}
    left = {path.relative_to(ROOT) for path in (ROOT / "agent").rglob("*.py")} - grouped
    without = {str(path.parent) for path in left if path.name != "__init__.py" and "static" not in path.parts}
    assert without == WITHOUT_GROUP.keys()


def test_tests_of_a_changed_file_move_with_its_lines() -> None:
    passing = {"1": ["a"], "2": ["b"], "3": ["c"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [9, 1, 2, 4]) == {"2": ["a"], "3": ["b"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [1, 2, 7, 4]) == {"1": ["a"], "2": ["b"], "3": ["b", "c"], "4": ["d"]}
    assert _moved(passing, [1, 2, 3, 4], [1, 2, 3, 8, 4])["4"] == ["c"], "a new line has the tests of the one before"


def test_a_file_that_another_one_has_joined_has_tests_that_are_not_known_yet() -> None:
    """Otherwise each mistake in what joined it would survive, because no test is known to pass it."""
    before = list(range(100))
    assert not _is_joined(before, before)
    assert not _is_joined(before, [*before[:50], 1000, 1001, *before[50:]]), "a change of some lines"
    assert not _is_joined(before, before[30:]), "lines that left"
    assert _is_joined(before, [*before, *range(1000, 1030)])


def test_the_last_line_of_a_run_names_the_lowest_group() -> None:
    found = {"one": {"killed": 9, "survived": [1]}, "two": {"killed": 5, "survived": []}}
    assert _together(found) == "15 mutants in 2 groups, 14 noticed, 93.3%; lowest: one 90.0%"
    low, high = interval(96, 100)
    assert (round(low, 3), round(high, 3)) == (0.902, 0.984)


@pytest.mark.parametrize(
    ("counts", "whole", "sample"),
    [
        ([(19, 1), (20, 0)], True, True),
        ([(18, 2), (20, 0)], False, True),  # one group by chance, all together reach it
        ([(18, 2), (19, 1)], False, False),  # all together do not
        ([(10, 10), (300, 0)], False, False),  # one group surely does not
        ([(0, 0)], True, True),
    ],
)
def test_a_sample_is_judged_as_a_sample(counts: list[tuple[int, int]], whole: bool, sample: bool) -> None:
    found = {str(n): {"killed": killed, "survived": [0] * missed} for n, (killed, missed) in enumerate(counts)}
    assert (_is_reached(found, False), _is_reached(found, True)) == (whole, sample)


def plugin(code: Path, score: Score) -> InFunctions:
    made = InFunctions(Group("one", (), ()), Draw([code]), score)
    made._paths, made._items = [code], {}
    return made


def test_a_run_that_was_cut_off_goes_on_with_the_same_mutants_of_the_same_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RESULT", tmp_path / "mutation.json")
    monkeypatch.setattr(run, "_key", lambda path, mutant: (path.name, mutant.line, mutant.what))
    code = tmp_path / "code.py"
    code.write_text("def f(a):\n    return a < 1\n")
    mutants = [(code, each) for each in mutants_of(code.read_text())]
    cut = plugin(code, Score(killed=1, survived=[("code.py", 2, "Lt → LtE")]))
    cut._go_on_after_a_cut(mutants)
    cut._partial.write_text(json.dumps(asdict(cut._score)))
    again = Score()
    plugin(code, again)._go_on_after_a_cut(mutants)
    assert (again.killed, again.tried()) == (1, 2)
    for others, text in ((mutants[1:], code.read_text()), (mutants, "def f(a):\n    return a < 2\n")):
        code.write_text(text)
        other = Score()
        plugin(code, other)._go_on_after_a_cut(others)
        assert other.tried() == 0


def test_groups_run_beside_each_other_and_one_that_broke_is_named_after_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "RESULT", tmp_path / "mutation.json")

    def run_group(group: Group, _draw: Draw, _options: frozenset[str]) -> Score:
        (tmp_path / group.name).touch()
        while not all((tmp_path / name).exists() for name in ("one", "two")):
            time.sleep(0.01)
        if group.name == "broken":
            raise RuntimeError("no tests")
        return Score(killed=3, survived=[("code.py", 2, "Lt → LtE")])

    monkeypatch.setattr(run, "run_group", run_group)
    groups = [(Group(name, (), ()), Draw([])) for name in ("one", "two", "broken")]
    found = run._run_groups(groups[:2], frozenset({"--jobs=2"}))
    assert [(name, each["killed"]) for name, each in found.items()] == [("one", 3), ("two", 3)]
    with pytest.raises(AssertionError, match="broken: the run was not finished"):
        run._run_groups(groups[::-1], frozenset())
    said = capfd.readouterr().out
    assert said.count("one: 4 mutants, 3 noticed, 75.0%") == 2
    assert said.count("two: 4 mutants, 3 noticed, 75.0%") == 2


def test_tests_that_take_too_long_together_are_ended_though_none_does_alone() -> None:
    def act(starts: Callable[[str], None]) -> None:
        for number in range(600):
            starts(f"test {number}")
            time.sleep(0.05)

    began_s = time.monotonic()
    name = run.run_in_fork(act, lambda _: 3600.0, all_s=0.2)
    assert name is not None
    assert time.monotonic() - began_s < 25


def test_a_line_without_a_test_belongs_to_the_innermost_function_around_it(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("def f():\n    def g():\n        return 1\n    return g\n")
    assert run._lines_of_functions(code) == [range(2, 4), range(1, 5)]


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
