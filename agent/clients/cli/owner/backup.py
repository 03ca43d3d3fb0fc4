"""`doorward owner open-backup`: opens a sealed `doorward backup` for `doorward restore`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.clients.cli.owner.options import ask_passphrase, keys_option, load_keys
from agent.clients.opening import open_bytes
from agent.clients.owner.keys import read_identities
from agent.errors import ConfigurationError

__all__ = ["open_backup"]


@click.command("open-backup")
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@keys_option
@click.option("--identity", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Use this identity, for example the recovery page, instead of your keys.")  # fmt: skip
def open_backup(backup: Path, folder: Path, identity: Path | None) -> None:
    """Open a device's backup, for doorward restore.

    \b
    It holds the device's keys. Pipe it straight into doorward restore. Do not store it:
    doorward owner open-backup BACKUP | ssh doorbell sudo doorward restore -
    """
    if sys.stdout.isatty():
        raise ConfigurationError(
            "An opened backup holds the device's keys, so it is not printed on a terminal.",
            remedy=f"doorward owner open-backup {backup} | ssh doorbell sudo doorward restore -",
        )
    identities = read_identities(identity, ask_passphrase) if identity else load_keys(folder).identities
    sys.stdout.buffer.write(open_bytes(backup.read_bytes(), identities))
