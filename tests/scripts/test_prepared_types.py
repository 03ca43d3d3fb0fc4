"""Each struct that threads may decode is prepared while its module is imported (agent/wire/strictjson.py)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.statements import statements

ROOT = Path(__file__).resolve().parents[2]
THREADED = ("agent/core", "agent/custodian", "agent/platform", "agent/recorder", "agent/uplink", "agent/wire", "desk")
"""Not agent/ipc: the metaclass of a request also prepares its answer."""
ONE_THREAD = {
    "agent/core/alerts/alert_messages.py": "inside messages of agent/ipc, which are prepared with all their fields",
    "agent/core/home_news.py": "inside messages of agent/ipc, which are prepared with all their fields",
    "agent/core/status.py": "an answer of agent/ipc",
    "agent/custodian/timeline.py": "its decoder is made at the custodian's start",
    "desk/config.py": "read once, before the desk has a thread",
}


def unprepared(path: Path) -> list[str]:
    """Returns the structs of a file without the metaclass that prepares them. Subclasses inherit it."""
    source = path.read_text(encoding="utf-8")
    return [
        each.name
        for each in (statements(ast.parse(source)) if "Struct" in source else ())
        if isinstance(each, ast.ClassDef)
        and any(ast.unparse(base) in ("msgspec.Struct", "Struct") for base in each.bases)
        and not any(word.arg == "metaclass" for word in each.keywords)
    ]


@pytest.mark.parametrize("folder", THREADED)
def test_no_thread_meets_a_type_of_messages_that_msgspec_has_not_examined(folder: str) -> None:
    found = {str(path.relative_to(ROOT)): unprepared(path) for path in (ROOT / folder).rglob("*.py")}
    assert {name for name, classes in found.items() if classes} == {
        name for name in ONE_THREAD if name.startswith(f"{folder}/")
    }
