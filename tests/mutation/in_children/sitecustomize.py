"""Python imports this as it starts, in every process that a test starts while mutants are made.

`tests/mutation/run.py` names this folder in PYTHONPATH.  In a run on sound code the process notes which lines of
`agent` it passes.  In a run with a mutant it imports one module with the mistake.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import marshal
import os
import sys
import types
from pathlib import Path

NOTES = "DOORWARD_PASSED_LINES"
"""The file that every process appends `path:line` to, for each line once."""
MISTAKE = "DOORWARD_MUTANT"
"""The file with a mistake: what `mistake` returns."""
CODE = f"{Path(__file__).resolve().parents[3] / 'agent'}/"
TOOL = 4


def note_lines(file: str) -> None:
    """Append every line of `agent` that this process, its threads and its forks pass.  A line comes once."""
    notes = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def passed(code: types.CodeType, line: int) -> object:
        if code.co_filename.startswith(CODE):
            os.write(notes, f"{code.co_filename}:{line}\n".encode())
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(TOOL, "mutation")
    sys.monitoring.register_callback(TOOL, sys.monitoring.events.LINE, passed)
    sys.monitoring.set_events(TOOL, sys.monitoring.events.LINE)


def note_lines_again() -> None:
    """From now on each line comes once more."""
    sys.monitoring.restart_events()


def note_no_lines() -> None:
    sys.monitoring.set_events(TOOL, 0)
    sys.monitoring.free_tool_id(TOOL)


def mistake(name: str, path: str, code: types.CodeType) -> bytes:
    """A module's name, its path and its code, for a Python of this version only."""
    return marshal.dumps((sys.version, name, path, code))


class Mutated(importlib.abc.Loader):
    def __init__(self, code: types.CodeType) -> None:
        self._code = code

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, module.__dict__)


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with its mistake."""

    def __init__(self, name: str, path: str, code: types.CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        places = [str(Path(self._path).parent)] if self._path.endswith("/__init__.py") else None
        spec = importlib.machinery.ModuleSpec(name, Mutated(self._code), is_package=places is not None)
        spec.submodule_search_locations = places
        spec.origin, spec.has_location = self._path, True
        return spec


def _begin() -> None:
    if file := os.environ.get(MISTAKE):
        content = Path(file).read_bytes()
        if sys.version.encode() in content[:200]:
            _, name, path, code = marshal.loads(content)
            sys.meta_path.insert(0, Finder(name, path, code))
    elif file := os.environ.get(NOTES):
        note_lines(file)


if __name__ == "sitecustomize":
    _begin()
