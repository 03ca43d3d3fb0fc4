"""`doorward owner approve`, `deny` and `revoke`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.owner.options import device_option, keys_option, load_keys, the_one, yes_option
from agent.cli.owner.review import find_request, show
from agent.errors import ConfigurationError, FormatError, RequestError
from agent.owner import deciding
from agent.owner.clock import wall_ms
from agent.owner.link import DeviceLink
from agent.owner.meeting import meet
from agent.owner.reviewing import Review, ReviewedSegment, request_payload
from agent.wire.disclosures import ContactCard
from agent.wire.statements import Absence

__all__ = ["approve", "deny", "revoke"]

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@click.option("--segments", metavar="NUMBERS", help="Segments to share, as the review numbers them: 1,3-5.  Or ids.")
@click.option("--clips", metavar="NUMBERS", help="Clips to share as a whole.")
@click.option("--name", help="Tell the requester your name.  Without this and the next three they learn nothing.")
@click.option("--street", help="Tell them your address.")
@click.option("--email", help="Tell them how to reach you.")
@click.option("--note", help="Tell them something else.")
@click.option(
    "--gaps",
    is_flag=True,
    help="Tell them what the rest of the window holds: nothing happened, privacy switch, device off, …  "
    "They then also learn when there is footage that you do not share.",
)
@yes_option
@json_option
def approve(
    request_id: str, folder: Path, device: Path, segments: str | None, clips: str | None, name: str | None,
    street: str | None, email: str | None, note: str | None, gaps: bool, sure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Share the segments you choose, and no others.

    Without --segments and --clips you are shown the request and asked for numbers; none are chosen for you.  Look at
    the footage before: doorward owner review REQUEST --out FOLDER.
    """
    keys = load_keys(folder)
    contact = _contact(name, street, email, note)
    with DeviceLink(device) as link:
        seen = Review.fetch(link, keys, find_request(link, request_id))
    if seen.expired(wall_ms()):
        raise RequestError("The time to answer this request is over.", remedy="Nothing was shared; nothing will be.")
    if segments is None and clips is None:
        show(seen)
        click.echo("", err=True)
        segments = click.prompt(
            "Numbers to share, like 1,3-5 (Enter for none)", default="", show_default=False, err=True
        )
    chosen = _chosen(seen, segments or "", clips or "")
    if not chosen:
        raise RequestError("Nothing was chosen, so nothing is shared.", remedy="To say no: doorward owner deny.")
    told = None
    if gaps:
        with DeviceLink(device) as link:
            told = deciding.gaps_of(link, keys, seen)
        _show_gaps(told)
    if not sure:
        click.confirm(_summary(seen, chosen, contact), abort=True, err=True)
    # A fresh connection: the device does not wait while somebody reads.
    with DeviceLink(device) as link:
        disclosure = deciding.approve(link, keys, seen, [each.id for each in chosen], contact, gaps=told)
    if as_json:
        emit_json({"request": seen.request.id, "disclosure": disclosure, "segments": [each.id for each in chosen]})
        return
    click.echo(f"Approved: {words.counted(len(chosen), 'segment')} for {seen.requester.name}, disclosure {disclosure}.")
    click.echo(f"Until it is on its way you can take it back:  doorward owner revoke {seen.request.id[:8]}")


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@yes_option
@json_option
def deny(request_id: str, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Say no to a footage request.

    It stays on the device: whoever asked hears nothing, as if there were no footage.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        meet(link, keys)
        found = find_request(link, request_id)
        request_payload(link.ask("request", id=found), found)
    if not sure:
        click.confirm(f"Say no to request {found[:8]}?", abort=True, err=True)
    with DeviceLink(device) as link:
        deciding.deny(link, keys, found)
    if as_json:
        emit_json({"request": found, "state": "denied"})
        return
    click.echo("Denied.  Nothing was sent, and nothing will be.")


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@json_option
def revoke(request_id: str, folder: Path, device: Path, as_json: bool) -> None:
    """Take a yes back, as far as nothing has left yet.

    REQUEST is the request's id or the disclosure's.  What has already left cannot be called back; nothing more leaves.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        meet(link, keys)
        found = find_request(link, request_id)
        disclosure = link.ask("request", id=found).get("disclosure")
        if not isinstance(disclosure, str):
            raise RequestError("This request was never approved.", remedy="Nothing was shared.")
        state = deciding.revoke(link, keys, disclosure)
    if as_json:
        emit_json({"request": found, "disclosure": disclosure, "state": state})
        return
    if state == "revoked":
        click.echo("Revoked before anything had left.  Nothing was sent, and nothing will be.")
    else:
        click.echo(f"{words.plain(state).capitalize()}.  What had left cannot be called back; nothing more leaves.")


def _show_gaps(told: Sequence[Absence]) -> None:
    click.echo("They will also be told, of the window they asked about:", err=True)
    for gap in told:
        span = " – ".join(f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S}" for at in (gap.from_ms, gap.to_ms))
        click.echo(f"    {span} UTC  {gap.why.value}", err=True)


def _chosen(seen: Review, segments: str, clips: str) -> list[ReviewedSegment]:
    """The chosen segments in order, each once."""
    by_number = {each.number: each for each in seen.segments}
    by_clip = {clip.number: clip for clip in seen.clips}
    wanted: set[int] = set()
    for word in _words(segments):
        for number in _numbers(word):
            if number not in by_number:
                raise ConfigurationError(f"There is no segment {number} in this request.", remedy=_remedy(seen))
            wanted.add(number)
        if not _RANGE.fullmatch(word):
            found = the_one("segment", word, [each.id for each in seen.segments])
            wanted |= {each.number for each in seen.segments if each.id == found}
    for word in _words(clips):
        if not _RANGE.fullmatch(word):
            raise ConfigurationError(f"--clips: '{word}' is no number.", remedy="Write clips like 1,3-5.")
        for number in _numbers(word):
            if number not in by_clip:
                raise ConfigurationError(f"There is no clip {number} in this request.", remedy=_remedy(seen))
            wanted |= {each.number for each in by_clip[number].segments if each.shareable}
    return [by_number[number] for number in sorted(wanted)]


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text.strip().lower()) if word]


def _numbers(word: str) -> Sequence[int]:
    """The numbers that `7` or `3-5` means; none for anything else."""
    found = _RANGE.fullmatch(word)
    if found is None:
        return ()
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise ConfigurationError(f"'{word}' runs backwards.", remedy=f"Write {last}-{first}.")
    return range(first, last + 1)


def _remedy(seen: Review) -> str:
    return f"It has segments 1 to {len(seen.segments)} in clips 1 to {len(seen.clips)}."


def _summary(seen: Review, chosen: Sequence[ReviewedSegment], contact: ContactCard | None) -> str:
    length = words.duration(sum(each.end_ms - each.start_ms for each in chosen))
    numbers = ", ".join(str(each.number) for each in chosen)
    told = "your contact data" if contact else "nothing about you"
    return (
        f"Share {len(chosen)} of {len(seen.segments)} segments ({numbers}; {length}) with {seen.requester.name}, "
        f"and {told}?"
    )


def _contact(name: str | None, street: str | None, email: str | None, note: str | None) -> ContactCard | None:
    if not any((name, street, email, note)):
        return None
    try:
        return ContactCard(v=1, name=name, street=street, email=email, note=note)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error
