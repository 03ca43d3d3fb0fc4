"""Checks that import contracts cannot make: imports by a name from run time, and other decryption.

Source: docs/security/promises.md, promise 1.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.versions import files_of  # noqa: E402

BY_NAME = frozenset({"import_module", "__import__", "exec", "eval", "runpy", "spec_from_file_location", "compile"})
OPENS = frozenset({"decrypt", "decrypt_into", "MLKEM768PrivateKey", "MLKEM768X25519PrivateKey"})
MAY_IMPORT_BY_NAME = frozenset({"agent/cli/frame.py", "agent/uplink/apprise_sender.py"})
"""Commands by the table in agent/cli/app.py; plugins of Apprise by the fixed list in agent/core/alerts/channels.py."""


@cache
def names_on_the_device() -> dict[str, set[str]]:
    """The names in all that is installed on a doorbell, as the installer and the wheel have it."""
    return {
        path.as_posix(): names_in(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        for path in files_of(ROOT)
        if path.suffix == ".py" and path.parts[0] in ("agent", "firmware_bridge")
    }


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
    assert {path for path, names in names_on_the_device().items() if names & BY_NAME} <= MAY_IMPORT_BY_NAME


def test_nothing_on_the_device_decrypts_but_messages_of_one_conversation() -> None:
    """Their keys are made for one session and open nothing else; the contracts name who may import these modules."""
    sessions = {"agent/core/talk/frames.py", "agent/wire/link/handshake.py", "agent/wire/link/session.py"}
    assert {path for path, names in names_on_the_device().items() if names & OPENS} == sessions


@pytest.mark.parametrize(
    "planted",
    [
        "import importlib\nimportlib.import_module('agent.clients.opening')",
        "from importlib import import_module",
        "__import__('agent.clients.owner')",
        "exec('import agent.clients.owner')",
        "import runpy",
    ],
)
def test_an_import_that_somebody_plants_is_seen(planted: str) -> None:
    assert names_in(ast.parse(planted)) & BY_NAME
