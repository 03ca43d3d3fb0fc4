"""Walks the statements of a file without their expressions, which is several times as fast as `ast.walk`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["statements"]


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yields the module and each statement in it at any depth: every class and function, for example."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, inside, ())
