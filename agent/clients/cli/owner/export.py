"""`doorward owner export`: an owner's clips as MP4 where they like, again and again."""

from __future__ import annotations

import time
from pathlib import Path

import click

from agent.cli.frame import Number, emit_json, json_option
from agent.cli.language import in_words, say
from agent.clients.cli.owner.open import source_of
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.clip_archive import BackupTarget, FolderBackup, WebDavBackup, back_up_clips
from agent.errors import ConfigurationError
from agent.platform import files

__all__ = ["export"]

_DAY_MS = 86_400_000
_LONGEST_BYTES = 4096


@click.command()
@click.argument("where", metavar="FOLDER|URL")
@keys_option
@device_option
@click.option("--days", metavar="DAYS", type=Number(1, 3650), default=2, show_default=True, help="Days to look back.")
@click.option("--credentials", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="For a URL: a file, yours alone, with one line: user:password.")  # fmt: skip
@json_option
def export(where: str, folder: Path, device: Path, days: int, credentials: Path | None, as_json: bool) -> None:
    """Save your clips as MP4 in a folder or by WebDAV.

    It writes every missing clip to FOLDER, or to URL, with a JPEG beside it.  FOLDER must exist; it may be a mounted
    share. Existing clips stay untouched, so a timer can run this: config/export/ has one.  It runs on your machine,
    because the doorbell cannot open its footage.
    """
    deposit = _deposit(where, credentials)
    keys = load_keys(folder)
    now_ms = time.time_ns() // 1_000_000
    done = []
    with source_of(None, device, keys, folder, None) as source:
        for each in back_up_clips(source, keys.identities, deposit, since_ms=now_ms - days * _DAY_MS, now_ms=now_ms):
            done.append(each)
            if not as_json:
                say("  ".join(each.names) or "A clip did not open.")
                for note in each.notes:
                    click.echo(click.style(f"  {in_words('Note:')} ", fg="yellow") + in_words(note))
    if as_json:
        emit_json({"clips": [{"files": list(each.names), "notes": list(each.notes)} for each in done]})
    elif not done:
        say("Nothing new.")
    if any(each.notes for each in done):
        raise click.exceptions.Exit(1)


def _deposit(where: str, credentials: Path | None) -> BackupTarget:
    if "://" not in where:
        return FolderBackup(Path(where))
    if credentials is None:
        return WebDavBackup(where)
    user, colon, password = files.read_private(credentials, _LONGEST_BYTES).decode().strip().partition(":")
    if not colon:
        raise ConfigurationError(f"{credentials} has no line user:password.")
    return WebDavBackup(where, user, password)
