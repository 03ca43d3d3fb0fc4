"""`doorward owner suggest`: a plan of redactions to begin with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import counted, in_words, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, plan_out_option
from agent.clients.cli.owner.review import find_request
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Suggestion
from agent.clients.media.pinned_file import OBJECTS_SHA256, read_pinned
from agent.clients.owner.redaction import film_length_ms, plan_of
from agent.clients.owner.review import RequestReview, ReviewedClip
from agent.core.vault.redactions import RedactionKind
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_client import DeviceLink
from agent.platform import files

__all__ = ["suggest"]


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@plan_out_option
@click.option("--plates", is_flag=True, help="Look for number plates, too. Many covers are in vain.")
@click.option(
    "--people", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="NETWORK",
    help="Cover the head of each person, too. NETWORK is objects.onnx of a doorbell's installation.",
)  # fmt: skip
@click.option(
    "--vehicles", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="NETWORK",
    help="Cover whole vehicles, too. NETWORK is objects.onnx of a doorbell's installation.",
)  # fmt: skip
@json_option
def suggest(
    request_id: str,
    folder: Path,
    device: Path,
    out: Path,
    plates: bool,
    people: Path | None,
    vehicles: Path | None,
    as_json: bool,
) -> None:
    """Suggest covers for the faces in a request's footage.

    This machine looks for faces in each clip that matches, and writes covers for them as a plan.  It recognises no one.
    Nothing is sent.  REQUEST is its id or the beginning of it.

    The suggestions are a beginning.  Some faces are missed, for example turned, far or in the dark, and some covers are
    in vain.  --people covers the head of each person that is seen: use it for footage by infrared.  Number plates are
    looked for with --plates, and small or slanted ones are missed.  --vehicles covers each vehicle with its plate:
    shrink such a cover if you can.  Correct the plan, and look at every picture with 'doorward owner redact' before you
    share.
    """
    for option, file in (("--people", people), ("--vehicles", vehicles)):
        if file is not None:
            _require_network(option, file)
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        seen = RequestReview.fetch(link, keys, find_request(link, request_id))
        seen.require_same_numbers()
        seen.note_numbers()  # the plan names clips by their numbers
        with ConfinedMedia() as media:
            look = partial(media.suggest, plates=plates, people=people, vehicles=vehicles)
            found: list[tuple[int, Suggestion]] = []
            colourless: list[int] = []
            for clip in seen.clips:
                films = _films(seen, clip)
                found += ((clip.number, each) for each in _covers(clip, films, look))
                if any(media.is_colourless(film) for film, _length in films):
                    colourless.append(clip.number)
    files.write(out, json.dumps(plan_of(found), indent=1).encode() + b"\n")
    if as_json:
        emit_json({"request": seen.request.id, "plan": str(out), "covers": len(found), "without_colour": colourless})
        return
    for number, (clip_number, each) in enumerate(found, start=1):
        click.echo(f"{number}. {in_words('clip')} {clip_number}: {_words(each, is_head_looked_for=people is not None)}")
    say(
        f"{counted(len(found), 'cover')} in {out}.  Nothing was sent.  Correct them, and look at every picture:",
        err=True,
    )
    click.echo(f"    doorward owner redact {seen.name[:8]} {out} --out FOLDER", err=True)
    if plates and vehicles is None:  # 60 % of labelled plates, and 98 % with vehicles (docs/decisions/0076)
        say(
            "Many number plates are missed.  --vehicles covers vehicles with theirs, and a box that you draw on one can"
            " follow it: doorward owner follow.",
            err=True,
        )
    # Small faces by infrared are dark ovals without features (docs/decisions/0076).
    for number in colourless if people is None else ():
        say(f"Clip {number} has no colour, as by infrared.  Many small faces are missed there: use --people.", err=True)


def _require_network(option: str, path: Path) -> None:
    """Raises `ConfigurationError` before a clip is fetched. Otherwise each clip would fail."""
    try:
        read_pinned(path, OBJECTS_SHA256)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{option}: {path} is not the network that finds people and vehicles.",
            remedy="Give objects.onnx of a doorbell's installation of the same version.",
        ) from error


def _words(each: Suggestion, *, is_head_looked_for: bool) -> str:
    span = f"{each.from_ms / 1000:.2f} s – {each.until_ms / 1000:.2f} s"
    if each.kind is RedactionKind.PLATE:
        return in_words(f"a number plate, {span}, {each.score:.0%} sure")
    if each.kind is RedactionKind.AREA:
        return in_words(f"a vehicle or several things, {span}, {each.score:.0%} sure")
    if is_head_looked_for:
        return in_words(f"a face or a head, {span}, {each.score:.0%} sure")
    return in_words(f"a face, {span}, {each.score:.0%} sure")


def _films(seen: RequestReview, clip: ReviewedClip) -> list[tuple[bytes, int]]:
    """Returns the films of a clip, and the length of each by its record, in ms."""
    return [(seen.open(each.id).media, film_length_ms(each.record.span)) for each in clip.segments]


def _covers(
    clip: ReviewedClip,
    films: Sequence[tuple[bytes, int]],
    look: Callable[[Sequence[tuple[bytes, int]]], list[Suggestion]],
) -> list[Suggestion]:
    try:
        return look(films)
    except FormatError as error:
        raise FormatError(f"Clip {clip.number} cannot be examined: {error.message}") from error
