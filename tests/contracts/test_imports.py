"""What the import contracts cannot see: an import by a name that is made at run time, and other decryption.

Source: SECURITY.md, promise 1.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ON_THE_DEVICE = ("roles", "adapters", "services", "web", "core", "wire", "media", "config")
BY_NAME = frozenset({"import_module", "__import__", "exec", "eval", "runpy", "spec_from_file_location", "compile"})
OPENS = frozenset({"decrypt", "decrypt_into", "MLKEM768PrivateKey", "MLKEM768X25519PrivateKey"})
MAY_IMPORT_BY_NAME = frozenset({"agent/adapters/courier_apprise.py"})
"""Plugins of Apprise, by the fixed list in agent/core/alerts/channels.py."""
OPENING = "agent/core/vault/age/opening/"


def sources() -> Iterator[tuple[str, ast.AST]]:
    for package in ON_THE_DEVICE:
        for path in sorted((ROOT / "agent" / package).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names_in(tree: ast.AST) -> set[str]:
    """Every name that is called, imported or taken of something; `re.compile` is none of Python's own `compile`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr not in ("compile", "exec", "eval"):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_nothing_on_the_device_imports_by_a_name_that_is_made_at_run_time() -> None:
    assert {path for path, tree in sources() if names_in(tree) & BY_NAME} <= MAY_IMPORT_BY_NAME


def test_nothing_on_the_device_decrypts_but_the_package_that_no_role_imports() -> None:
    assert [path for path, tree in sources() if names_in(tree) & OPENS and not path.startswith(OPENING)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "import importlib\nimportlib.import_module('agent.core.vault.age.opening')",
        "from importlib import import_module",
        "__import__('agent.owner')",
        "exec('import agent.owner')",
        "import runpy",
    ],
)
def test_an_import_that_somebody_plants_is_seen(planted: str) -> None:
    assert names_in(ast.parse(planted)) & BY_NAME
