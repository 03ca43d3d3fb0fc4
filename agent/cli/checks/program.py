"""Is the program as it was installed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.checks.finding import Finding, bad
from agent.wire.text import clean

__all__ = ["check_program"]


def check_program(status: Mapping[str, Any]) -> Iterator[Finding]:
    """`status`: of the running doorbell, or empty. Nothing is found if root reported no change."""
    program = status.get("program")
    if program:
        names = ", ".join(clean(str(name)) for name in program["files"][:5])
        yield bad(
            "program",
            f"Files were changed since it was installed ({program['changed']}): {names}",
            "Find out who changed them, then install again. See: docs/troubleshooting.md.",
        )
