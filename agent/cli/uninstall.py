"""`doorward uninstall`: hands over to the installer of the version that runs, which removes this very program."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["uninstall"]

_INSTALLER = Path(__file__).resolve().parents[2] / "scripts" / "installation"


@click.command()
@click.option("--purge", is_flag=True, help="Keys, trust, footage, configuration and users too: nothing stays.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(purge: bool, yes: bool) -> None:
    """Remove Doorward from this machine.  What it recorded stays, unless --purge."""
    from agent.errors import ConfigurationError

    if not Path("/opt/doorward/current").exists():
        raise ConfigurationError("Doorward is not installed here.", remedy="A checkout is removed by deleting its folder.")
    if not yes:
        what = "Doorward and everything it keeps" if purge else "Doorward; what it keeps stays"
        click.confirm(f"Remove {what}?", abort=True)
    # The system's Python, because the environment's own goes.
    os.execv("/usr/bin/python3", ["python3", "-I", str(_INSTALLER), "uninstall", *(["--purge"] if purge else [])])  # noqa: S606
