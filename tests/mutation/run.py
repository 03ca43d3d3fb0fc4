"""Mutation testing: `python -m tests.mutation.run [OPTION …] [FILE …]` (make mutate).

For example, `--every=8 services web` tries one mutant of eight in two groups, and `owner/deciding.py` all of one file.

- A group is a set of files and the tests that mirror them (`GROUPS`).  Without a name every group runs.
- `--functions` and `--definitions` do one half only.  `--every=N` takes one mutant of N, and
  `--first=K` starts with the K-th.
- For each mutant of `mutants.py` the group's tests run until one fails.  A mistake in a function is made in a fork of a
  process that has everything imported and collected.  The function gets another code object, and only the tests that
  pass its line run, the quickest first.  A mistake in a definition is made as the module is imported.
- Survivors are listed and written to `.cache/mutation.json`.  First the runner checks that an unchanged file passes.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import itertools
import json
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from scripts.branches import CODE, TESTS
from tests.mutation.mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / ".cache" / "mutation.json"
NOTICED_BY = ROOT / ".cache" / "mutation-noticed-by.txt"
"""The test that failed last, for the case that an unchanged file is taken for a mistake."""
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:rerunfailures", "--timeout=0", "--capture=no"]
QUIET += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
SLOWER = 10
PATIENCE_S = 20.0
"""A mutant counts as noticed when it runs for this many seconds plus ten times what its tests take."""
GOAL = 0.95


@dataclass(frozen=True)
class Group:
    """Files (globs below the repository) and the tests that mirror them.  `quickest`: tried first on a definition."""

    name: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    quickest: tuple[str, ...] = ()


GROUPS = (
    Group(
        "consent",
        (*(f"agent/core/{name}" for name in CODE), "agent/wire/*.py"),
        (*(f"tests/core/{name}" for name in TESTS), "tests/wire"),
        ("tests/wire/test_schemas.py",),
    ),
    Group("services", ("agent/services/*.py",), ("tests/services",)),
    Group("web", ("agent/web/*.py",), ("tests/web",)),
    Group("owner", ("agent/owner/*.py",), ("tests/owner",)),
    Group("requester", ("agent/requester/*.py",), ("tests/requester",)),
    Group(
        "journal",
        ("agent/adapters/journal_sqlite.py",),
        ("tests/contracts/test_journal.py", "tests/services/test_what_a_thief_reads.py"),
    ),
)

hypothesis.settings.register_profile("mutation", derandomize=True, max_examples=40, database=None, deadline=None)


def modules(group: Group, named: Sequence[str]) -> list[Path]:
    """The files of the group that are named, by the end of their path or by the group's name.  No name means all."""
    found = [path for pattern in group.code for path in sorted(ROOT.glob(pattern)) if path.suffix == ".py"]
    if not named or group.name in named:
        return found
    return [path for path in found if any(str(path).endswith(name) for name in named)]


@dataclass
class Score:
    """`survived`: file, line and mistake."""

    killed: int = 0
    survived: list[tuple[str, int, str]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.survived = []

    def note(self, path: Path, mutant: Mutant, killed: bool) -> None:
        if killed:
            self.killed += 1
        else:
            self.survived.append((str(path.relative_to(ROOT)), mutant.line, mutant.what))
            print(f"  survived  {path.relative_to(ROOT)}:{mutant.line}  {mutant.what}", flush=True)


def noticed(act: Any, patience_s: float) -> bool:
    """Run `act` in a fork: whether it failed, died, or took too long."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a mutant that hangs is killed with every process that it has started
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        try:
            failed = act()
        except BaseException:  # noqa: BLE001 — whatever it is, it was noticed
            failed = True
        os._exit(1 if failed else 0)
    deadline = time.monotonic() + patience_s
    pause_s = 0.002
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


# -- in functions ------------------------------------------------------------------------------------------------------


class InFunctions:
    """A pytest plugin in whose loop the mutants run."""

    def __init__(self, paths: Sequence[Path], sample: slice, score: Score) -> None:
        self._paths = paths
        self._sample = sample
        self._score = score
        self._took_s: dict[str, float] = {}
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._took_s[report.nodeid] = self._took_s.get(report.nodeid, 0.0) + report.duration
        self._failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from coverage import Coverage

        coverage = Coverage(data_file=None, include=[str(path) for path in self._paths], config_file=False)
        coverage.start()
        for item, following in itertools.pairwise([*session.items, None]):
            coverage.switch_context(item.nodeid)
            self._run(item, following)
        coverage.stop()
        assert not self._failed, "the tests fail without any mutant"
        self._items = {item.nodeid: item for item in session.items}
        gc.collect()
        self._live = gc.get_objects()
        # A fork has no thread of a native decoder. Collecting such a decoder in the fork would crash it.
        gc.freeze()
        for path in self._paths:
            self._module(path, coverage.get_data().contexts_by_lineno(str(path)))
        return True

    def _module(self, path: Path, passing: dict[int, list[str]]) -> None:
        source = path.read_text()
        spans = _statements(ast.parse(source))
        everything = sorted({name for names in passing.values() for name in names if name in self._items})
        unchanged = Mutant(0, "nothing", True, ast.parse(source))
        act = functools.partial(self._try, path, unchanged, [self._items[name] for name in everything])
        NOTICED_BY.unlink(missing_ok=True)
        if noticed(act, 600.0):
            by = NOTICED_BY.read_text() if NOTICED_BY.exists() else "a test that crashed or took too long"
            raise AssertionError(f"{path}: without a mistake something is noticed, by {by}")
        for mutant in _sampled(source, self._sample, in_function=True):
            lines = spans.get(mutant.line, [mutant.line])
            names = {name for line in lines for name in passing.get(line, []) if name in self._items}
            chosen = sorted(names, key=lambda name: self._took_s[name])
            patience_s = PATIENCE_S + SLOWER * sum(self._took_s[name] for name in chosen)
            act = functools.partial(self._try, path, mutant, [self._items[name] for name in chosen])
            self._score.note(path, mutant, bool(chosen) and noticed(act, patience_s))

    def _try(self, path: Path, mutant: Mutant, items: list[pytest.Item]) -> bool:
        exchange(self._live, path, compile(mutant.tree, str(path), "exec", dont_inherit=True))
        self._failed = False
        for item, following in itertools.pairwise([*items, None]):
            self._run(item, following)
            if self._failed:
                NOTICED_BY.write_text(item.nodeid)
                return True
        return False

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def exchange(live: Sequence[object], path: Path, code: types.CodeType) -> None:
    """Give every function of the module its code in `code`, and empty every cache.  `live`: all objects there are."""
    wanted = {(each.co_qualname, each.co_firstlineno): each for each in _functions_of(code)}
    for found in live:
        if isinstance(found, types.FunctionType) and found.__code__.co_filename == str(path):
            new = wanted.get((found.__code__.co_qualname, found.__code__.co_firstlineno))
            if new is not None:
                found.__code__ = new
        elif isinstance(found, functools._lru_cache_wrapper):
            found.cache_clear()


def _functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """The outermost functions: those of a module, and of the classes in it."""
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            if const.co_flags & 0x1:  # optimised: a function, not the body of a class
                yield const
            else:
                yield from _functions_of(const)


def _statements(tree: ast.Module) -> dict[int, list[int]]:
    """By line: the lines of the smallest statement around it, any of which a tracer may name."""
    found: dict[int, list[int]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            lines = list(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            found.update(dict.fromkeys(lines, lines))
        elif isinstance(node, ast.If | ast.While):
            lines = list(range(node.lineno, node.body[0].lineno))
            found.update({line: lines for line in lines if line not in found})
    return found


# -- in what modules and classes define --------------------------------------------------------------------------------


class _Mutated(importlib.abc.Loader):
    def __init__(self, code: types.CodeType) -> None:
        self._code = code

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with its mistake."""

    def __init__(self, path: Path, code: types.CodeType) -> None:
        relative = path.relative_to(ROOT).with_suffix("")
        self._name = ".".join(relative.parts).removesuffix(".__init__")
        self._path, self._code = path, code

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        places = [str(self._path.parent)] if self._path.stem == "__init__" else None
        spec = importlib.machinery.ModuleSpec(name, _Mutated(self._code), is_package=places is not None)
        spec.submodule_search_locations = places
        spec.origin, spec.has_location = str(self._path), True
        return spec


def in_definitions(group: Group, paths: Sequence[Path], sample: slice, score: Score) -> None:
    """No module of the project may be imported here: each fork imports the project with its mistake."""
    assert not any(name.startswith("agent") for name in sys.modules)
    unchanged = Mutant(0, "nothing", False, ast.parse(paths[0].read_text()))
    began = time.monotonic()
    assert not noticed(functools.partial(_import_and_test, group, paths[0], unchanged), 1800.0), (
        f"{group.name}: the tests fail without any mutant"
    )
    patience_s = PATIENCE_S * 6 + 3 * (time.monotonic() - began)
    for path in paths:
        for mutant in _sampled(path.read_text(), sample, in_function=False):
            act = functools.partial(_import_and_test, group, path, mutant)
            score.note(path, mutant, noticed(act, patience_s))


def _sampled(source: str, sample: slice, *, in_function: bool) -> Iterator[Mutant]:
    """The chosen mutants: those in functions, or those in definitions."""
    chosen = (mutant for mutant in mutants_of(source) if mutant.function is in_function)
    return itertools.islice(chosen, sample.start, sample.stop, sample.step)


def _import_and_test(group: Group, path: Path, mutant: Mutant) -> bool:
    sys.meta_path.insert(0, _Finder(path, compile(mutant.tree, str(path), "exec", dont_inherit=True)))
    named = [each for folder in group.tests for each in _tests_named_after(path.stem, ROOT / folder)]
    for chosen in ([*group.quickest, *named], list(group.tests)):
        if chosen and pytest.main([*QUIET, "-x", "--hypothesis-profile=mutation", *chosen]) != 0:
            return True
    return False


def _tests_named_after(stem: str, place: Path) -> list[str]:
    """The test files at or below `place` whose names mention the module, for example `test_deciding.py`."""
    files = [place] if place.is_file() else sorted(place.rglob("test_*.py"))
    return [str(each) for each in files if stem in each.stem or stem == each.parent.name]


def run_group(group: Group, paths: Sequence[Path], options: frozenset[str], sample: slice) -> Score:
    score = Score()
    if "--functions" not in options:
        in_definitions(group, paths, sample, score)
    if "--definitions" not in options:
        plugin = InFunctions(paths, sample, score)
        status = pytest.main([*QUIET, "--hypothesis-profile=mutation", *group.tests], plugins=[plugin])
        assert status == 0, status
    return score


def _run_apart(group: Group, paths: Sequence[Path], options: frozenset[str], sample: slice) -> dict[str, Any]:
    """Run one group in a process of its own, because the next group must find no module of the project imported."""
    result = RESULT.with_name(f"mutation-{group.name}.json")
    result.parent.mkdir(exist_ok=True)
    result.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            score = run_group(group, paths, options, sample)
            result.write_text(json.dumps({"killed": score.killed, "survived": score.survived}))
        except BaseException:  # noqa: BLE001 - the parent reports a group without a result
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    assert result.exists(), f"{group.name}: the run was not finished"
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _share(killed: int, survived: int) -> float:
    return killed / (killed + survived) if killed + survived else 1.0


def _number(options: frozenset[str], name: str, default: int) -> int:
    return next((int(each.removeprefix(name)) for each in options if each.startswith(name)), default)


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    options = frozenset(each for each in arguments if each.startswith("--"))
    sample = slice(_number(options, "--first=", 0), None, _number(options, "--every=", 1))
    named, reached = [each for each in arguments if each not in options], True
    for library in ("cryptography.hazmat.primitives.asymmetric.ed25519", "msgspec", "json", "hypothesis.strategies"):
        importlib.import_module(library)  # the same for every fork
    found: dict[str, Any] = {}
    for group in GROUPS:
        paths, began = modules(group, named), time.monotonic()
        if not paths:
            continue
        result = found[group.name] = _run_apart(group, paths, options, sample)
        killed, survived = result["killed"], len(result["survived"])
        share = _share(killed, survived)
        reached &= share >= GOAL
        took_s = time.monotonic() - began
        print(
            f"{group.name}: {killed + survived} mutants, {killed} noticed, {share:.1%}, in {took_s:.0f} s", flush=True
        )
    RESULT.write_text(json.dumps(found, indent=1))
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
