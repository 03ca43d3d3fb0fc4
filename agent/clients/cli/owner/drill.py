"""`doorward owner drill`: the newest segment opened with every key that must open it, before the day it matters."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import in_words, say
from agent.clients.cli.owner.open import source_of
from agent.clients.cli.owner.options import ask_passphrase, device_option, keys_option, load_keys
from agent.clients.owner.keys import AgeIdentity, read_identities
from agent.clients.owner.segment_sources import FootageSource
from agent.errors import ConfigurationError, DoorwardError

__all__ = ["drill"]


@click.command()
@keys_option
@device_option
@click.option("--vault", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="A copied state directory, instead of a device that answers.")  # fmt: skip
@click.option("--recovery", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="The recovery key: the printed page, typed or scanned into a file.")  # fmt: skip
@json_option
def drill(folder: Path, device: Path, vault: Path | None, recovery: Path | None, as_json: bool) -> None:
    """Test that your key and the recovery key open the stored footage.

    It opens the newest segment with each key and deletes the result.  Run it after enrolment, after every change of
    owners, and once a year with the printed page in your hand.  Exit status 0 if every given key opens, 1 if one does
    not.
    """
    keys = load_keys(folder)
    wanted: list[tuple[str, tuple[AgeIdentity, ...]]] = [("your key", (keys.identity,))]
    if recovery is not None:
        wanted.append(("the recovery key", tuple(read_identities(recovery, ask_passphrase))))
    with source_of(vault, device, keys, folder, None) as source:
        listed = source.listed()
        if not listed:
            raise ConfigurationError("Nothing is stored yet.", remedy="Ring the bell, wait a minute, and try again.")
        newest = max(listed, key=lambda item: (item.start_ms, item.ordinal))
        results = [(name, *_tried(source, newest.id, identities)) for name, identities in wanted]
    if as_json:
        emit_json({"segment": newest.id, "keys": [{"key": n, "opens": ok, "detail": text} for n, ok, text in results]})
    else:
        for name, opens, detail in results:
            mark = click.style(in_words("opens" if opens else "DOES NOT OPEN"), fg="green" if opens else "red")
            click.echo(f"{in_words(name)}: {mark}: {newest.id} ({in_words(detail)})")
        if recovery is None:
            say("The recovery key was not tested. Give the printed page with --recovery FILE.")
        say("To do the same on a copied disk with stock age (1.3 or newer):")
        click.echo(f"    age -d -i RECOVERY-KIT.txt -o film.mp4 vault/segments/{newest.id[0]}/{newest.id}.age")
    if not all(opens for _name, opens, _detail in results):
        raise click.exceptions.Exit(1)


def _tried(source: FootageSource, segment: str, identities: tuple[AgeIdentity, ...]) -> tuple[bool, str]:
    try:
        opened = source.open(segment, identities)
    except DoorwardError as error:
        return False, error.message
    size = f"{len(opened.media) / 1e6:.1f} MB of video"
    return True, in_words(size) + ("" if opened.whole else f", {in_words('its end is missing')}")
