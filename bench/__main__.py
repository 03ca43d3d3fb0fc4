"""`python -m bench` lists the benchmarks; `python -m bench NAME [arguments]` runs one; `python -m bench all` runs each.

A benchmark is a module or package here with a `main`.  Its docstring's first line says what it measures.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """Name → what it measures, read without importing anything."""
    found: dict[str, str] = {}
    for path in sorted([*FOLDER.glob("[a-z]*.py"), *FOLDER.glob("[a-z]*/__main__.py")]):
        tree = ast.parse(path.read_text())
        name = path.parent.name if path.name == "__main__.py" else path.stem
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    known = benchmarks()
    if not arguments:
        for name, summary in known.items():
            print(f"  {name:14} {summary}")
        return 0
    chosen = list(known) if arguments[0] == "all" else [arguments[0]]
    if unknown := set(chosen) - set(known):
        print(f"Error: there is no benchmark '{unknown.pop()}'.\n  What to do: choose from {', '.join(known)}.")
        return 2
    status = 0
    for name in chosen:
        print(f"\n## {name}: {known[name]}\n", flush=True)
        status |= subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments[1:]], check=False).returncode
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
