"""The command line: one tool, `doorward`, whose subcommands load only what they use.

click and rich are imported in this package and nowhere else.  `frame.py` has what every command shares: lazy loading,
how errors read, exit statuses, `--json`.  Each other module is one group of commands.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Entry point of the `doorward` script: run the command of `sys.argv`, return its exit status."""
    # Here, so that importing one command's module does not load the tool.
    from agent.cli.app import doorward
    from agent.cli.frame import run

    return run(doorward)
