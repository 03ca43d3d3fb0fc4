"""`doorward owner bulletins`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import in_words, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.bulletins import read_bulletins
from agent.ipc.control_client import DeviceLink

__all__ = ["bulletins"]


@click.command()
@keys_option
@device_option
@json_option
def bulletins(folder: Path, device: Path, as_json: bool) -> None:
    """Read the safety messages of requesters you trust.

    They do not learn that you read them, and there is no answer.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        found = read_bulletins(link, keys)
    if as_json:
        emit_json(
            {
                "bulletins": [
                    {
                        "id": each.bulletin.id,
                        "requester": each.requester.id,
                        "name": each.requester.name,
                        "kind": each.requester.kind,
                        "title": each.bulletin.title,
                        "description": each.bulletin.description,
                        "language": each.bulletin.language,
                        "not_after_s": each.bulletin.not_after_s,
                    }
                    for each in found
                ]
            }
        )
        return
    if not found:
        say("There are no bulletins.")
    for each in found:
        bulletin = each.bulletin
        click.echo(f"{words.plain(bulletin.title)}\n    {words.plain(bulletin.description)}")
        where = in_words("everywhere") if bulletin.area is None else words.area(bulletin.area)
        until = words.day(bulletin.not_after_s * 1000)
        kind = in_words(each.requester.kind.value)
        click.echo(f"    {each.requester.name} ({kind}), {where}, {in_words(f'until {until} UTC')}\n")
