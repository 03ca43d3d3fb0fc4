"""`doorward owner redact`, and the option `--redact` of `approve`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import counted, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, plan_argument
from agent.clients.cli.owner.review import find_request
from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.decisions import ShareChoice
from agent.clients.owner.redaction import PLAN_LIMIT_BYTES, Redactions, film_length_ms, read_plan
from agent.clients.owner.review import RequestReview, ReviewedSegment
from agent.core.vault.redactions import Redaction, RedactionKind
from agent.errors import ConfigurationError, DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.platform import files

__all__ = ["read_plan_file", "redact", "redacted_choice"]


@click.command()
@click.argument("request_id", metavar="REQUEST")
@plan_argument
@keys_option
@device_option
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", required=True,
    help="Write the redacted films here.",
)  # fmt: skip
@json_option
def redact(request_id: str, plan: Path, folder: Path, device: Path, out: Path, as_json: bool) -> None:
    """See your film with covers and mutes, before you share it.

    The films are exactly those that 'doorward owner approve --redact PLAN' shares.  Nothing is signed, and nothing
    leaves.  REQUEST is its id or the beginning of it.  PLAN is a JSON file:

    \b
    {"redactions": [
      {"clip": 1, "kind": "face", "from_s": 2, "until_s": 6,
       "places": [[2, 40, 10, 12, 20], [6, 55, 10, 12, 20]]},
      {"segment": 3, "kind": "voice"}]}

    The kinds are face, plate and area, which need places, and voice, which mutes the sound.  A place is second, left,
    top, width and height, the last four in percent of the picture.  Between two places the cover moves in a straight
    line.  Seconds count from the begin of the clip or segment, as 'doorward owner review --out' writes it.  Without
    from_s and until_s a redaction lasts for all of it.

    A segment with a redaction is encoded again as a whole, so its other pixels change slightly.  With "exact": true
    beside "redactions" they keep their values.  The film is then about three times larger, and some players do not
    play it.

    A cover with "follow": true goes through 'doorward owner follow' first.

    Look at every second of the result: you decide if all faces
    are covered, and no program recognises any.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        seen = RequestReview.fetch(link, keys, find_request(link, request_id))
        seen.require_same_numbers()
        seen.note_numbers()
        planned = _read(seen, plan)
        with ConfinedMedia() as media:
            written = [
                path for each in seen.segments for path in _write(seen, each, planned, files.make_folder(out), media)
            ]
    if as_json:
        emit_json({"request": seen.request.id, "files": [str(path) for path in written]})
        return
    for path in written:
        click.echo(str(path))
    say("Nothing was sent.  To share them like this:", err=True)
    click.echo(f"    doorward owner approve {seen.name[:8]} --segments NUMBERS --redact {plan}", err=True)


def redacted_choice(seen: RequestReview, choice: ShareChoice, plan: Path | None) -> ShareChoice:
    """Returns the choice with the redactions of the plan.

    Raises `ConfigurationError` if the plan changes nothing of what is shared: then it is for another choice, and the
    owner would believe that something is covered.
    """
    if plan is None:
        return choice
    planned = replace(choice, redactions=_read(seen, plan))
    if not planned.redacted:
        raise ConfigurationError(
            "The plan of redactions names nothing that you share.", remedy="Correct its clips, segments or times."
        )
    return planned


def _read(seen: RequestReview, plan: Path) -> Redactions:
    return read_plan(read_plan_file(plan), seen)


def read_plan_file(plan: Path) -> bytes:
    """Returns the bytes of a plan. Raises `ConfigurationError` if it is not there."""
    data = files.read_if_there(plan, PLAN_LIMIT_BYTES)
    if data is None:
        raise ConfigurationError(f"{plan} is not there.", remedy="Write the plan first.")
    return data


def _write(
    seen: RequestReview, segment: ReviewedSegment, planned: Redactions, out: Path, media: ConfinedMedia
) -> list[Path]:
    """Writes the redacted film of one segment, and its sound beside it. Returns their paths."""
    written = []
    for content, redactions, fetch in (
        ("segment", planned.films.get(segment.id), lambda: seen.open(segment.id).media),
        ("sound", planned.sounds.get(segment.id), lambda: seen.sound(segment.id)),
    ):
        exact = planned.exact and content == "segment"
        made = _redacted(content, redactions, fetch, media, segment, exact=exact)
        if made is not None:
            ending = "" if content == "segment" else "-sound"
            path = out / f"segment-{segment.number:03}-redacted{ending}.mp4"
            files.write(path, made, secret=True)  # a film for its owner's eyes, wherever they put it
            written.append(path)
    return written


def _redacted(
    content: str,
    redactions: tuple[Redaction, ...] | None,
    fetch: Callable[[], bytes | None],
    media: ConfinedMedia,
    segment: ReviewedSegment,
    *,
    exact: bool,
) -> bytes | None:
    captured = fetch() if redactions else None
    if captured is None or not redactions:
        return None
    try:
        made = media.redact(content, captured, redactions, film_length_ms(segment.record.span), exact=exact)
        media.check_redacted(content, made, redactions, exact=exact)
    except DoorwardError as error:
        raise type(error)(f"Segment {segment.number}: {error.message}", remedy=error.remedy) from error
    covers = sum(each.kind is not RedactionKind.VOICE for each in redactions)
    said = counted(covers, "cover") if covers else counted(len(redactions), "mute")
    say(f"Segment {segment.number}: {said}", err=True)
    if exact:
        say("    Outside of the covers each pixel is as recorded.", err=True)
    return made
