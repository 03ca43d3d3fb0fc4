"""A function fits on a screen: at most 60 lines, its docstring included."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.statements import statements

ROOT = Path(__file__).resolve().parents[2]
CODE = ("agent", "desk", "firmware_bridge")
MOST_LINES = 60


def too_long(path: str, source: str) -> list[str]:
    return [
        f"{path}:{node.lineno} {node.name}: {length} lines"
        for node in statements(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES
    ]


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        long
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts
        for long in too_long(str(path.relative_to(ROOT)), path.read_text())
    ]
    assert found == [], "split it into named steps"


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * MOST_LINES
    assert too_long("a.py", f"def short():\n{body[:-9]}") == []
    assert too_long("a.py", f"def long():\n{body}") == ["a.py:1 long: 61 lines"]
    inside = body.replace("    ", "            ")
    hidden = f"class A:\n    try:\n        pass\n    except OSError:\n        def long():\n{inside}"
    assert too_long("a.py", hidden) == ["a.py:5 long: 61 lines"]
