"""`doorward owner hold`, `release` and `delete`: the stored footage that an owner keeps or deletes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from agent.cli.frame import Number, emit_json, json_option
from agent.cli.language import confirm, counted, say
from agent.cli.words import clock, day
from agent.clients.cli.owner.open import Clips, chosen_clips
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner import holds
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.owner.sync import sync
from agent.ipc.control_client import DeviceLink

__all__ = ["delete", "hold", "release"]

_DAY_S = 86_400


def _footage(command: Callable[..., Any]) -> Callable[..., Any]:
    @click.argument("names", metavar="[ID]...", nargs=-1)
    @keys_option
    @device_option
    @click.option("--from", "start", metavar="TIME", help="From this time on, like 2027-01-15T18:00 (UTC).")
    @click.option("--to", "end", metavar="TIME", help="Up to this time.")
    @wraps(command)
    def found(
        names: tuple[str, ...], folder: Path, device: Path, start: str | None, end: str | None, **rest: Any
    ) -> Any:
        keys = load_keys(folder)
        with DeviceLink(device) as link:
            vault = DeviceVault(link, sync(link, keys).key)
            clips = chosen_clips(vault, names, start, end, everything=False)
        return command(keys, device, clips, **rest)

    return found


@click.command()
@_footage
@click.option("--days", metavar="DAYS", type=Number(1, 366), default=90, show_default=True, help="For how long.")
@json_option
def hold(keys: OwnerKeys, device: Path, clips: Clips, days: int, as_json: bool) -> None:
    """Keep footage from the rolling vault.

    ID is a segment's or an event's, or the beginning of one.  Everything held together may take half of the vault: the
    rest has to go on rolling.  When the disk is full and recording would stop, held footage goes too, and you are told.
    """
    names, until_s = _names(clips), wall_ms() // 1000 + days * _DAY_S
    with DeviceLink(device) as link:
        holds.hold(link, keys, names, until_s)
    if as_json:
        emit_json({"segments": names, "until_s": until_s})
        return
    say(f"Kept until {day(until_s * 1000)} UTC: {counted(len(names), 'segment')}.")


@click.command()
@_footage
@json_option
def release(keys: OwnerKeys, device: Path, clips: Clips, as_json: bool) -> None:
    """End a hold: the footage is deleted in its turn.

    ID is a segment's or an event's, or the beginning of one.
    """
    names = _names(clips)
    with DeviceLink(device) as link:
        holds.release(link, keys, names)
    if as_json:
        emit_json({"segments": names})
        return
    say(f"No longer kept: {counted(len(names), 'segment')}.")


@click.command()
@_footage
@yes_option
@json_option
def delete(keys: OwnerKeys, device: Path, clips: Clips, sure: bool, as_json: bool) -> None:
    """Delete footage from a device permanently.

    ID is a segment's or an event's, or the beginning of one.  You cannot undo it.  Copies that you shared stay with
    their recipients.  An answer with it that is still on its way is stopped.  The ledger records the deletion.
    """
    names = _names(clips)
    if not sure:
        for clip in clips:
            span = f"{day(clip[0].start_ms)} – {clock(clip[-1].end_ms)} UTC"
            click.echo(f"  {span}, {counted(len(clip), 'segment')}", err=True)
        confirm(f"Permanently delete {counted(len(names), 'segment')}?", err=True)
    with DeviceLink(device) as link:
        holds.erase(link, keys, names)
    if as_json:
        emit_json({"segments": names})
        return
    say(f"Deleted: {counted(len(names), 'segment')}.  The device removes them from its disk within seconds.")


def _names(clips: Clips) -> list[str]:
    return [item.id for clip in clips for item in clip]
