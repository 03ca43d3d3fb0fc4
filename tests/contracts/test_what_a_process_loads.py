"""A role loads what it uses: the memory of a small board pays for everything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("role", ["recorder", "custodian", "uplink"])
def test_a_role_does_not_load_what_draws_on_terminals(role: str) -> None:
    code = (
        "import importlib, sys\n"
        "from agent.cli.run import without_rich\n"
        "without_rich()\n"
        f"importlib.import_module('agent.platform.logs'), importlib.import_module('agent.{role}.{role}_process')\n"
        "print([name for name, module in sys.modules.items() if name.split('.')[0] == 'rich' and module])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
