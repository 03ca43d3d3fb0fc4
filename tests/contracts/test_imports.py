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

BY_NAME = frozenset({
    "__import__", "import_module", "exec", "eval", "compile", "builtins", "__builtins__", "__loader__", "modules",
    "runpy", "pkgutil", "zipimport", "pydoc", "code", "codeop", "imp", "pickle", "marshal", "shelve",
    "machinery", "spec_from_file_location", "spec_from_loader", "module_from_spec", "exec_module", "load_module",
    "SourceFileLoader", "SourcelessFileLoader", "ExtensionFileLoader", "entry_points", "EntryPoint",
})  # fmt: skip
"""Names that load code by a name, a path or bytes of run time. `code` is the module, `modules` is that of `sys`."""
OPENS = frozenset({
    "decrypt", "decrypt_into", "decryptor", "decrypt_at_time", "MLKEM768PrivateKey", "MLKEM768X25519PrivateKey",
    "Cipher", "ChaCha20", "Fernet", "MultiFernet",
})  # fmt: skip
"""A stream cipher is here too: its `encryptor` opens as well as it seals."""
MAY_IMPORT_BY_NAME = frozenset({"agent/cli/frame.py", "agent/uplink/apprise_sender.py"})
"""Commands by the table in agent/cli/app.py; plugins of Apprise by the fixed list in agent/core/alerts/channels.py."""
_MODULES = frozenset({"code", "imp"})
"""Modules with names that are ordinary words for values, too."""
_QUOTED = frozenset({"__import__", "import_module", "exec_module", "load_module", "find_module"})
"""These are found also as a text, for example in `getattr(importlib, "import_module")`."""


@cache
def names_on_the_device() -> dict[str, set[str]]:
    """The names in all Python that is installed on a doorbell, the installer itself included."""
    return {
        path.as_posix(): names_in(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        for path in files_of(ROOT)
        if path.suffix == ".py"
    }


def names_in(tree: ast.AST) -> set[str]:
    """Every name that is called, imported or taken of something; `re.compile` is none of Python's own `compile`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in _MODULES:
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr == "modules":
            found |= {"modules"} if isinstance(node.value, ast.Name) and node.value.id == "sys" else set()
        elif isinstance(node, ast.Attribute) and node.attr not in ("compile", "exec", "eval", *_MODULES):
            found.add(node.attr)
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
            found |= {"modules" for alias in node.names if alias.name == "sys" and alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                part for name in (node.module or "", *(alias.name for alias in node.names)) for part in name.split(".")
            }
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in _QUOTED:
            found.add(node.value)
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
        "from importlib.machinery import SourceFileLoader",
        "import importlib.machinery as m",
        "import importlib.util as u\nu.module_from_spec(u.spec_from_loader('a', None))",
        "import importlib\ngetattr(importlib, 'import_module')('agent.clients')",
        "import sys\nsys.modules['agent.recorder']",
        "import sys as s\ns.modules['agent.recorder']",
        "from sys import modules",
        "import builtins\nbuiltins.exec('import agent.clients')",
        "__builtins__['exec']('import agent.clients')",
        "import pkgutil\npkgutil.resolve_name('agent.clients.owner')",
        "from importlib.metadata import entry_points",
        "from pickle import loads",
        "import code",
    ],
)
def test_an_import_that_somebody_plants_is_seen(planted: str) -> None:
    assert names_in(ast.parse(planted)) & BY_NAME


@pytest.mark.parametrize(
    "planted",
    [
        "AESGCM(key).decrypt(nonce, sealed, None)",
        "from cryptography.hazmat.primitives.ciphers import Cipher as C",
        "algorithms.ChaCha20(key, nonce)",
        "from cryptography.fernet import Fernet",
    ],
)
def test_code_that_opens_is_seen(planted: str) -> None:
    assert names_in(ast.parse(planted)) & OPENS
