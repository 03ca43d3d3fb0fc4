"""Mutation testing of the code about consent: `python -m tests.mutation.run [OPTION …] [FILE …]` (make mutate).

`--functions` and `--definitions` do one half only, `--every=N` one mutant of N.

For each mutant of `mutants.py` the tests that mirror the package run until one fails.  A mistake in a function is made
in a fork of a process that has everything imported and collected, by giving the function another code object, and only
the tests that pass its line run, the quickest first; a mistake in what a module or class defines is made as the module
is imported.  What survives is listed, and written to `.cache/mutation.json`.  That without a mistake nothing is noticed
is checked first.
"""

from __future__ import annotations

import ast
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
QUIET = ["-q", "-p", "no:cacheprovider", "--timeout=0", "--capture=no", "-W", "ignore"]
SLOWER = 10
PATIENCE_S = 20.0
"""A mutant that runs so much longer than its tests do, or so long at all, has been noticed."""

hypothesis.settings.register_profile("mutation", derandomize=True, max_examples=40, database=None, deadline=None)


def modules(named: Sequence[str]) -> list[Path]:
    patterns = [*(f"agent/core/{name}" for name in CODE), "agent/wire/*.py"]
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.suffix == ".py"]
    return [path for path in found if not named or any(str(path).endswith(name) for name in named)]


def tests() -> list[str]:
    return [*(f"tests/core/{name}" for name in TESTS), "tests/wire"]


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
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


# -- in functions ------------------------------------------------------------------------------------------------------


class InFunctions:
    """A pytest plugin in whose loop the mutants run."""

    def __init__(self, paths: Sequence[Path], every: int, score: Score) -> None:
        self._paths = paths
        self._every = every
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
        for path in self._paths:
            self._module(path, coverage.get_data().contexts_by_lineno(str(path)))
        return True

    def _module(self, path: Path, passing: dict[int, list[str]]) -> None:
        source = path.read_text()
        spans = _statements(ast.parse(source))
        everything = sorted({name for names in passing.values() for name in names if name in self._items})
        unchanged = Mutant(0, "nothing", True, ast.parse(source))
        act = functools.partial(self._try, path, unchanged, [self._items[name] for name in everything])
        assert not noticed(act, 600.0), f"{path}: without a mistake something is noticed"
        for mutant in itertools.islice((m for m in mutants_of(source) if m.function), 0, None, self._every):
            lines = spans.get(mutant.line, [mutant.line])
            names = {name for line in lines for name in passing.get(line, []) if name in self._items}
            chosen = sorted(names, key=lambda name: self._took_s[name])
            patience_s = PATIENCE_S + SLOWER * sum(self._took_s[name] for name in chosen)
            act = functools.partial(self._try, path, mutant, [self._items[name] for name in chosen])
            self._score.note(path, mutant, bool(chosen) and noticed(act, patience_s))

    def _try(self, path: Path, mutant: Mutant, items: list[pytest.Item]) -> bool:
        exchange(path, compile(mutant.tree, str(path), "exec", dont_inherit=True))
        self._failed = False
        for item, following in itertools.pairwise([*items, None]):
            self._run(item, following)
            if self._failed:
                return True
        return False

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def exchange(path: Path, code: types.CodeType) -> None:
    """Give every function of the module its code in `code`, and forget what was cached."""
    wanted = {(each.co_qualname, each.co_firstlineno): each for each in _functions_of(code)}
    for found in gc.get_objects():
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


def in_definitions(paths: Sequence[Path], every: int, score: Score) -> None:
    """Nothing of the project may be imported here: each fork imports it with its mistake."""
    assert not any(name.startswith("agent") for name in sys.modules)
    unchanged = Mutant(0, "nothing", False, ast.parse(paths[0].read_text()))
    assert not noticed(functools.partial(_import_and_test, paths[0], unchanged), 600.0), "something is noticed anyway"
    for path in paths:
        for mutant in itertools.islice((m for m in mutants_of(path.read_text()) if not m.function), 0, None, every):
            act = functools.partial(_import_and_test, path, mutant)
            score.note(path, mutant, noticed(act, PATIENCE_S * 6))


def _import_and_test(path: Path, mutant: Mutant) -> bool:
    sys.meta_path.insert(0, _Finder(path, compile(mutant.tree, str(path), "exec", dont_inherit=True)))
    mirrors = [name for name in tests() if path.stem in name or path.parent.name in name.split("/")]
    own = ROOT / "tests" / "wire" / f"test_{path.stem}.py"
    quickest = ["tests/wire/test_schemas.py"]
    if path.parent.name == "wire":
        quickest += [str(own)] if own.exists() else []
    else:
        quickest += [mirror for mirror in mirrors if mirror != "tests/wire"]
    if pytest.main([*QUIET, "-x", "--hypothesis-profile=mutation", *quickest]) != 0:
        return True
    return pytest.main([*QUIET, "-x", "--hypothesis-profile=mutation", *tests()]) != 0


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    options = {each for each in arguments if each.startswith("--")}
    every = next((int(each.removeprefix("--every=")) for each in options if each.startswith("--every=")), 1)
    paths, began = modules([each for each in arguments if each not in options]), time.monotonic()
    score = Score()
    for library in ("cryptography.hazmat.primitives.asymmetric.ed25519", "msgspec", "json", "hypothesis.strategies"):
        importlib.import_module(library)  # the same for every fork
    if "--functions" not in options:
        in_definitions(paths, every, score)
    if "--definitions" not in options:
        plugin = InFunctions(paths, every, score)
        status = pytest.main([*QUIET, "--hypothesis-profile=mutation", *tests()], plugins=[plugin])
        assert status == 0, status
    total = score.killed + len(score.survived)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"total": total, "killed": score.killed, "survived": score.survived}, indent=1))
    share = score.killed / total if total else 1.0
    took_s = time.monotonic() - began
    print(f"{total} mutants, {score.killed} noticed, {len(score.survived)} survived: {share:.1%}, in {took_s:.0f} s")
    return 0 if share >= 0.9 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
