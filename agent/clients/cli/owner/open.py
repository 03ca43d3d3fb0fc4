"""`doorward owner open`: an owner's own footage, from a device or from the copied disk of a dead one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import counted, in_words, measured, say
from agent.cli.times import parse_time
from agent.clients.cli.owner.options import ask_passphrase, device_option, keys_option, load_keys
from agent.clients.cli.owner.review import opening_progress
from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.copied_vault import FolderVault
from agent.clients.owner.keys import AgeIdentity, OwnerKeys, read_identities
from agent.clients.owner.mp4_export import ExportedClip, clips_of, export_clip
from agent.clients.owner.segment_sources import EVERYTHING_MS, DeviceVault, FootageSource, ListedSegment
from agent.clients.owner.sync import sync
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.wire.identities import MldsaPublicKey, PublicKey, parse_public_key

__all__ = ["chosen_clips", "open_footage", "source_of"]

_MOST_NAMED = 3
Clips = tuple[tuple[ListedSegment, ...], ...]


@click.command("open")
@click.argument("names", metavar="[ID]...", nargs=-1)
@keys_option
@device_option
@click.option("--from", "start", metavar="TIME", help="From this time on, like 2027-01-15T18:00 (UTC).")
@click.option("--to", "end", metavar="TIME", help="Up to this time.")
@click.option("--vault", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="A copied state directory, instead of a device that answers.")  # fmt: skip
@click.option("--identity", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="With --vault: use this identity, for example the recovery page, instead of your keys.")  # fmt: skip
@click.option("--signed-by", metavar="KEY", help="With --vault: the device's public key.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The folder for the videos.")
@click.option("--no-sound", "mute", is_flag=True, help="Pictures only.")
@click.option("--list", "only_list", is_flag=True, help="Only list the footage.")
@json_option
def open_footage(
    names: tuple[str, ...], folder: Path, device: Path, start: str | None, end: str | None, vault: Path | None,
    identity: Path | None, signed_by: str | None, out: Path | None, mute: bool, only_list: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Open your own footage, on a device or a copied disk.

    ID is a segment's or an event's, or the beginning of one.  Each clip becomes one MP4 with a JPEG beside it. Every
    segment is compared with the record that the device signed at capture.
    """
    if vault is None and (identity or signed_by):
        raise ConfigurationError(
            "--identity and --signed-by go with --vault.", remedy="Name the copied disk's folder with --vault."
        )
    keys = None if identity else load_keys(folder)
    identities = read_identities(identity, ask_passphrase) if identity else ()
    with source_of(vault, device, keys, folder, signed_by) as source:
        clips = chosen_clips(source, names, start, end, everything=only_list)
        if only_list:
            _say_list(clips, as_json)
            return
        if out is None:
            raise ConfigurationError("There is no folder for the videos.", remedy="Name a folder with --out.")
        done = tuple(_export(source, identities or _own(keys), clips, out, sound=not mute))
    notes = _doubts(source)
    if as_json:
        emit_json({"clips": [_document(each) for each in done], "notes": notes})
    else:
        _say_exported(done, notes)
    if any(each.video is None or len(each.notes) for each in done):
        raise click.exceptions.Exit(1)


@contextmanager
def source_of(
    vault: Path | None, device: Path, keys: OwnerKeys | None, folder: Path, signed_by: str | None
) -> Iterator[FootageSource]:
    """Yields the source of footage: a copied state directory, or the device at `device`."""
    if vault is not None:
        known = keys.memory.devices() if keys else {}
        second = {name: MldsaPublicKey.parse(device.mldsa) for name, device in known.items()}
        yield FolderVault(vault, _device_keys(keys, signed_by), second)
        return
    keys = keys or load_keys(folder)
    with DeviceLink(device) as link:
        yield DeviceVault(link, sync(link, keys).key)


def _device_keys(keys: OwnerKeys | None, signed_by: str | None) -> dict[str, PublicKey]:
    known = {name: device.device_key for name, device in keys.memory.devices().items()} if keys else {}
    if signed_by is not None:
        key = parse_public_key(signed_by)
        known[key.id] = key
    return known


def _own(keys: OwnerKeys | None) -> tuple[AgeIdentity, ...]:
    return keys.identities if keys else ()


def chosen_clips(
    source: FootageSource,
    names: Sequence[str],
    start: str | None,
    end: str | None,
    *,
    everything: bool,
) -> Clips:
    """The clips, or the parts of clips, that are meant."""
    see = "List the footage: doorward owner open --list"
    if not names and start is None and end is None and not everything:
        raise ConfigurationError("No footage is named.", remedy=f"Give ids, or --from and --to.  {see}")
    from_ms = parse_time(start, "--from") if start else 0
    to_ms = parse_time(end, "--to") if end else EVERYTHING_MS
    listed = source.listed(from_ms, to_ms)
    for name in names:
        if not any(name and (item.id.startswith(name) or item.event.startswith(name)) for item in listed):
            raise ConfigurationError(f"There is no segment or event '{name}'.", remedy=see)
    chosen = [item for item in listed if not names or any(_means(name, item) for name in names)]
    if not chosen and not everything:
        raise ConfigurationError("There is no footage in that time.", remedy=see)
    return clips_of(chosen)


def _means(name: str, item: ListedSegment) -> bool:
    return item.id.startswith(name) or item.event.startswith(name)


def _export(
    source: FootageSource, identities: Sequence[AgeIdentity], clips: Clips, out: Path, *, sound: bool
) -> Iterator[ExportedClip]:
    progress, advance = opening_progress(sum(map(len, clips)))
    with progress, ConfinedMedia() as media:
        for clip in clips:
            yield export_clip(source, identities, clip, out, advance, sound=sound, media=media)


def _doubts(source: FootageSource) -> list[str]:
    """Returns the warnings that concern the whole source."""
    if not isinstance(source, FolderVault):
        return []
    notes = [str(fault) for fault in source.faults]
    if not source.signed:
        notes.append(
            "The device's signatures were not checked, because this machine does not know its key.  The footage "
            "was sealed to you, but anyone could have sealed it.  Give the device's key with --signed-by."
        )
    if source.unknown_mldsa:
        known_as = MldsaPublicKey.parse(source.unknown_mldsa).sha256
        notes.append(
            "This machine does not know the device's second key (ML-DSA-44).  The copy names the one with the hash "
            f"{known_as}.  Compare it with a list of its owners, or with an answer of that doorbell."
        )
    if source.signed_once:
        named = ", ".join(sorted(source.signed_once)[:_MOST_NAMED])
        named += ", …" if len(source.signed_once) > _MOST_NAMED else ""
        notes.append(
            f"{counted(len(source.signed_once), 'record')} signed by Ed25519 only.  The second signature comes within "
            f"an hour, so these are the newest: {named}"
        )
    return notes


def _document(each: ExportedClip) -> dict[str, Any]:
    return {
        "event": each.event,
        "start_ms": each.start_ms,
        "video": each.video,
        "still": each.still,
        "seconds": each.seconds,
        "seen": None if each.seen is None else [label.value for label in each.seen],
        "segments": [
            {
                "id": segment.id,
                "whole": segment.whole,
                "verified_bytes": segment.verified_bytes,
                "recorded": segment.record is not None,
            }
            for segment in each.segments
        ],
        "notes": list(each.notes),
    }


def _say_exported(done: Sequence[ExportedClip], notes: Sequence[str]) -> None:
    for each in done:
        if each.video is not None:
            of = f"{measured(each.seconds, 1, 's')}, {counted(len(each.segments), 'segment')}"
            click.echo(f"{each.video}  {of}{words.labels(each.seen)}")
        for note in each.notes:
            click.echo(click.style(f"  {in_words('Note:')} ", fg="yellow") + in_words(note))
    for note in notes:
        click.echo(click.style(f"{in_words('Note:')} ", fg="yellow") + in_words(note))


def _say_list(clips: Clips, as_json: bool) -> None:
    if as_json:
        emit_json(
            {"segments": [
                {"id": item.id, "event": item.event, "start_ms": item.start_ms, "end_ms": item.end_ms,
                 "clock": item.quality, "size_bytes": item.size_bytes, "whole": item.whole}
                for clip in clips for item in clip
            ]}
        )  # fmt: skip
        return
    if not clips:
        say("There is no footage.")
    for clip in clips:
        click.echo(f"{in_words('event')} {words.plain(clip[0].event)}  {words.day(clip[0].start_ms)} UTC")
        for item in clip:
            doubt = "" if item.whole else f"  ({in_words('its end is missing')})"
            length = words.duration(item.end_ms - item.start_ms)
            click.echo(f"    {words.plain(item.id)}  {words.clock(item.start_ms)}  {length}{doubt}")
