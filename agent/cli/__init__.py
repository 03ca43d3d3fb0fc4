"""The command line: one tool, `doorward`. Each subcommand loads only the modules it uses.

Only this package imports click and rich. `frame.py` has the shared parts of all commands: lazy loading, the form of
errors, exit statuses, `--json`. Each other module is one group of commands.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Entry point of the `doorward` script: run the command of `sys.argv`, return its exit status."""
    # Import it here, so that importing one command's module does not load the tool.
    from agent.cli.app import doorward
    from agent.cli.frame import run

    return run(doorward)
