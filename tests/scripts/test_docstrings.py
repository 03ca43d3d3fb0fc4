"""A docstring that explains an argument or a field names one that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.statements import statements

ROOT = Path(__file__).resolve().parents[2]
_EXPLAINED = re.compile(r"((?:`[a-z_][a-z0-9_]*`(?:,\s+|\s+and\s+)?)+):")


def code_files() -> list[Path]:
    folders = ("agent", "bench", "demo", "desk", "firmware_bridge", "scripts", "tests")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "node_modules" not in path.parts]


def names_of(tree: ast.Module) -> Iterator[str]:
    """Names of the code, and its short texts: the fields of a message or of a table may be texts."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                yield name
            case ast.Constant(value=bytes(text)):
                yield text.decode("ascii", "replace")


def stale_names(source: str) -> list[tuple[str, str]]:
    """(class or function, name) of each explained name that the file lacks."""
    if not _EXPLAINED.search(source):
        return []
    tree = ast.parse(source)
    known = set(names_of(tree))
    return [
        (node.name, name)
        for node in statements(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for names in _EXPLAINED.findall(ast.get_docstring(node) or "")
        for name in re.findall(r"`(\w+)`", names)
        if name not in known
    ]


def test_every_explained_name_exists_in_its_file() -> None:
    found = {str(path.relative_to(ROOT)): stale_names(path.read_text(encoding="utf-8")) for path in code_files()}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_planted_stale_name_is_found() -> None:
    told = '"""`size`: pixels. `rate` and\n    `pace`: frames a second."""'
    assert stale_names(f"def film(size, pace):\n    {told}\n") == [("film", "rate")]
