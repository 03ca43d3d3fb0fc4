"""`doorward owner follow`: covers of a plan that go with what is below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import counted, in_words, say
from agent.clients.cli.owner.options import (
    device_option,
    keys_option,
    load_keys,
    plan_argument,
    plan_out_option,
)
from agent.clients.cli.owner.redact import read_plan_file
from agent.clients.cli.owner.review import find_request
from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Followed
from agent.clients.owner.redaction import FollowedCover, film_length_ms, follow_plan
from agent.clients.owner.review import RequestReview, ReviewedSegment
from agent.core.vault.redactions import Redaction
from agent.ipc.control_client import DeviceLink
from agent.platform import files

__all__ = ["follow"]


@click.command()
@click.argument("request_id", metavar="REQUEST")
@plan_argument
@keys_option
@device_option
@plan_out_option
@json_option
def follow(request_id: str, plan: Path, folder: Path, device: Path, out: Path, as_json: bool) -> None:
    """Let covers of a plan follow what is below them.

    Give a cover of PLAN at least one place, and "follow": true:

    \b
    {"redactions": [
      {"clip": 1, "kind": "plate", "follow": true,
       "places": [[4, 40, 60, 9, 4]]}]}

    This machine follows what is in that place through the film, forwards and backwards, until the next place of the
    cover, and writes a plan with all of its places.  It recognises no one.  Nothing is sent.  REQUEST is its id or the
    beginning of it.

    Where it is unsure, the cover stays and grows, and the stretch is named.  Look there with 'doorward owner redact'.
    To correct it, add a place there to your own plan, and follow again.
    """
    keys = load_keys(folder)
    data = read_plan_file(plan)
    with DeviceLink(device) as link:
        seen = RequestReview.fetch(link, keys, find_request(link, request_id))
        seen.require_same_numbers()
        seen.note_numbers()  # the plan names clips by their numbers
        with ConfinedMedia() as media:

            def followed(segments: Sequence[ReviewedSegment], cover: Redaction) -> Followed:
                films = [(seen.open(each.id).media, film_length_ms(each.record.span)) for each in segments]
                return media.follow(films, cover.places, cover.from_ms, cover.until_ms)

            made, covers = follow_plan(data, seen, followed)
    files.write(out, made)
    if as_json:
        emit_json({"request": seen.request.id, "plan": str(out), "covers": [_as_json(each) for each in covers]})
        return
    for each in covers:
        click.echo(f"{each.number}. {counted(len(each.followed.places), 'place')}")
        for from_ms, until_ms in each.followed.unsure:
            click.echo(f"    {in_words(f'unsure from {from_ms / 1000:.2f} s to {until_ms / 1000:.2f} s: look there')}")
    say("Nothing was sent.  Look at every picture:", err=True)
    click.echo(f"    doorward owner redact {seen.name[:8]} {out} --out FOLDER", err=True)


def _as_json(each: FollowedCover) -> dict[str, object]:
    stretches = [[from_ms / 1000, until_ms / 1000] for from_ms, until_ms in each.followed.unsure]
    return {"redaction": each.number, "places": len(each.followed.places), "unsure_s": stretches}
