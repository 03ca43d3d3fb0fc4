"""`doorward apply` and `uninstall`: hand over to the installer of the version that runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from agent.cli.language import confirm

__all__ = ["apply", "uninstall"]

_INSTALLER = Path(__file__).resolve().parents[2] / "scripts" / "installation"


@click.command()
def apply() -> None:
    """Apply a changed configuration: open or close page, panel and network camera, and restart."""
    _installed()
    if os.spawnv(os.P_WAIT, "/usr/bin/python3", ["python3", "-I", str(_INSTALLER), "apply"]):  # noqa: S606
        raise click.exceptions.Exit(1)
    roles = [f"doorward-{role}.service" for role in ("custodian", "recorder", "uplink", "bridge")]
    os.execv("/usr/bin/systemctl", ["systemctl", "restart", "--no-block", "doorward.target", *roles])  # noqa: S606


@click.command()
@click.option("--purge", is_flag=True, help="Also remove keys, trust, footage, configuration and users.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(purge: bool, yes: bool) -> None:
    """Remove Doorward from this machine. The recorded footage stays, except with --purge."""
    _installed()
    if not yes:
        confirm("Remove Doorward and all its data?" if purge else "Remove Doorward? Its data stays.")
    # The system's Python, because the environment's own goes.
    os.execv("/usr/bin/python3", ["python3", "-I", str(_INSTALLER), "uninstall", *(["--purge"] if purge else [])])  # noqa: S606


def _installed() -> None:
    from agent.errors import ConfigurationError

    if not Path("/opt/doorward/current").exists():
        raise ConfigurationError("Doorward is not installed here.", remedy="To remove a checkout, delete its folder.")
