"""`doorward owner tip`: sends a tip to one requester, without your name."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, counted, in_words, listed, say
from agent.clients.cli.owner.ledger import entry_line
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, match_one, yes_option
from agent.clients.cli.owner.shared import shared_document, shared_lines
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.outgoing_tips import (
    CannotTellError,
    send_tip,
    taker_names,
    tip_recipients,
    tip_taker,
)
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.owner.shared_footage import shared_of
from agent.clients.owner.sync import sync
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import ListTips

__all__ = ["tip"]


@click.group()
def tip() -> None:
    """Send a tip to one requester, without your name.

    They learn your message and the footage you attach.  The broker sees the sending doorbell and the recipient, but not
    the content. Footage identifies its camera: the requester can link it to everything else that this camera sent them.
    """


@tip.command()
@click.argument("requester")
@keys_option
@device_option
@click.option("--message", metavar="WORDS", help="Your message, at most 2000 characters, no links.")
@click.option("--segments", metavar="IDS", help="Segments to send, by their ids (doorward owner open lists them).")
@click.option("--posters", metavar="IDS", help="Posters to send, by the ids of the first segments of their clips.")
@yes_option
@json_option
def send(
    requester: str, folder: Path, device: Path, message: str | None, segments: str | None, posters: str | None,
    sure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send a tip to REQUESTER (its id in the trust bundle).

    If two of your trust roots have a requester of this id: ID@ROOT, as 'doorward owner tip list' shows it.
    """
    keys = load_keys(folder)
    if message is None and not segments and not posters:
        raise ConfigurationError("A tip needs a message or footage.", remedy="Give --message, --segments or --posters.")
    with DeviceLink(device) as link:
        met = sync(link, keys)
        names = [each.id for each in DeviceVault(link, met.key).listed()] if segments or posters else []
        _, entry = tip_taker(tip_recipients(link, keys), requester)
    shown = [match_one("segment", word, names) for word in _words(segments)]
    stills = [match_one("segment", word, names) for word in _words(posters)]
    if not sure:
        confirm(_question(entry.name, message, shown, stills), err=True)
    try:
        with DeviceLink(device) as link:
            sent = send_tip(link, keys, requester, message, segments=shown, posters=stills)
    except CannotTellError as error:
        shown, stills = _left_out(entry.name, message, error, sure=sure)
        with DeviceLink(device) as link:
            sent = send_tip(link, keys, requester, message, segments=shown, posters=stills)
    if as_json:
        emit_json({"tip": sent, "requester": requester, "segments": shown, "posters": stills})
        return
    say(f"Tip {sent} is ready.  Until it is sent you can revoke it:  doorward owner revoke {sent[:8]}")


@tip.command("list")
@keys_option
@device_option
@json_option
def list_tips(folder: Path, device: Path, as_json: bool) -> None:
    """Show your tips, what left with each, and who takes tips."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        sync(link, keys)
        tips = link.ask(ListTips()).tips
        entries = read_ledger(link, keys).entries
        met = sync(link, keys)
        sent = {each.id: shared_of(link, met, entries, each.id, keys.identity) for each in tips}
        found = tip_recipients(link, keys)
    if as_json:
        shown = [{**msgspec.to_builtins(each), "shared": shared_document(sent[each.id])} for each in tips]
        emit_json({"tips": shown, "takers": taker_names(found)})
        return
    for each in tips:
        name, to, where = (words.plain(value) for value in (each.id, each.requester, each.state))
        click.echo(f"{name[:8]}  {to}: {in_words(where)}")
        for line in shared_lines(sent[each.id]):
            click.echo(f"    {line}")
        for entry in entries:
            if entry.disclosure == each.id:
                click.echo(f"        {entry_line(entry)}")
    named = zip(taker_names(found), found, strict=True)
    takers = ", ".join(f"{name} ({entry.name})" for name, (_, entry) in named) or in_words("no requester you trust")
    say(f"Tips are accepted by: {takers}.")


def _left_out(to: str, message: str | None, error: CannotTellError, *, sure: bool) -> tuple[list[str], list[str]]:
    """Returns the rest of the footage after the owner has agreed. With --yes it does not ask."""
    shown, stills = list(error.segments), list(error.posters)
    if sure or not (message or shown or stills):
        raise error
    say(error.message, err=True)
    confirm(f"{in_words('Leave that out?')}  {_question(to, message, shown, stills)}", err=True)
    return shown, stills


def _question(to: str, message: str | None, segments: list[str], posters: list[str]) -> str:
    said = [
        in_words("your words") if message else "",
        counted(len(segments), "segment") if segments else "",
        counted(len(posters), "poster") if posters else "",
    ]
    asked = in_words(f"Send {listed([each for each in said if each])} to {to}?")
    if segments or posters:
        asked = f"{in_words('Footage identifies its camera.')}  {asked}"
    return asked


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[\s,]+", (text or "").strip().lower()) if word]
