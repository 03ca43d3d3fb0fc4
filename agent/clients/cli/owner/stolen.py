"""`doorward owner stolen`: the notice for requesters that a doorbell is in other hands."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli import times, words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, say
from agent.clients.cli.owner.options import keys_option, load_keys, match_one, yes_option
from agent.clients.owner.stolen_notice import stolen_notice
from agent.platform import files

__all__ = ["stolen"]


@click.command()
@click.argument("device_id", metavar="DEVICE")
@keys_option
@click.option("--since", metavar="TIME", help="The time of the theft, for example 2027-01-15T18:00 (UTC).  [now]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("stolen.json"),
    show_default=True,
    help="The file for the signed notice.",
)
@yes_option
@json_option
def stolen(device_id: str, folder: Path, since: str | None, out: Path, sure: bool, as_json: bool) -> None:
    """Declare a device stolen, in a signed file for requesters.

    DEVICE is its id, or the beginning of it.  The device is not needed.  Give the file to the requesters you trust.
    With 'doorward requester stolen FILE' they refuse every answer of the device that was approved after the theft.  You
    cannot revoke it.
    """
    keys = load_keys(folder)
    name = match_one("device", device_id, keys.memory.devices())
    if not sure:
        confirm(f"Declare the device {name} stolen?", err=True)
    notice = stolen_notice(keys, name, None if since is None else times.parse_seconds(since, "--since"))
    files.write(out, notice)
    if as_json:
        emit_json({"device_id": name, "file": out})
        return
    say(f"{out} declares the device {words.plain(name)} stolen, signed with your key.")
    say("Give it to the requesters you trust.  Also revoke the device's certificate at the broker.")
