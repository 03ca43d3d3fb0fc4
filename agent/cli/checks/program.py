"""Is the program as it was installed?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.cli.checks.finding import Finding, bad
from agent.custodian.program_watch import read_changes
from agent.wire.fields import clean_text

__all__ = ["check_program"]


def check_program(report: Path) -> Iterator[Finding]:
    """`report`: root's file (`StateFolder.program`). Nothing is found without it."""
    changes = read_changes(report)
    if changes is not None:
        names = ", ".join(clean_text(name) for name in changes.files[:5])
        yield bad(
            "program",
            f"Files were changed since it was installed ({changes.count}): {names}",
            "Find out who changed them, then install again. See: docs/troubleshooting.md.",
        )
