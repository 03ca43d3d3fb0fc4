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
        "from agent.cli.frame import without_rich\n"
        "without_rich()\n"
        f"importlib.import_module('agent.platform.logs'), importlib.import_module('agent.{role}.{role}_process')\n"
        "print([name for name, module in sys.modules.items() if name.split('.')[0] == 'rich' and module])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "command",
    [["broker", "est"], ["broker", "digest", "--host", "broker.example"], ["run"]],
    ids=["est", "digest", "run"],
)
def test_a_command_that_runs_for_months_keeps_them_out_before_structlog_could_load_them(command: list[str]) -> None:
    """The command is stopped where it first imports structlog."""
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'structlog':\n"
        "            print(sys.modules.get('rich', 'may be loaded'), flush=True)\n"
        "            raise SystemExit\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from agent.cli import main\n"
        f"sys.argv = ['doorward', *{command!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", done.stderr
