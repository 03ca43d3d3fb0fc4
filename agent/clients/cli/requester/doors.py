"""`doorward requester doors` and `stolen`: the doorbells that have answered, and notices of theft."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.clients.cli.requester.options import folder_option, now_s
from agent.clients.requester.identity import Requester
from agent.clients.requester.known_doorbells import KnownDoorbell, KnownDoorbells
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.statements import StolenNotice, open_stolen

__all__ = ["doors", "stolen"]

_NOTICE_LIMIT_BYTES = 64 * 1024 * 1024


@click.command()
@folder_option
@click.option("--forget", metavar="ID", help="Treat the next answer of this doorbell as its first.")
@json_option
def doors(folder: Path, forget: str | None, as_json: bool) -> None:
    """List the doorbells that have answered: since when, under which list of owners, and if one was stolen.

    An answer from a doorbell that shows other owners than before fails verification.  Ask the household first. If the
    new list is theirs, use --forget and receive the next answer of the doorbell as its first one.
    """
    known = KnownDoorbells(Requester.open(folder).notes)
    if forget is not None:
        known.forget(forget)
    found = known.all()
    if as_json:
        emit_json({"doors": [_document(each) for each in found]})
        return
    if forget is not None:
        click.echo(f"{forget} is forgotten.")
    for each in found:
        owners = ", ".join(words.plain(approver.name) for approver in each.enrolled.approvers)
        since = f"since {words.day(each.seen_s * 1000)} UTC"
        click.echo(f"{each.id}  {since}  owners {owners} (list number {len(each.enrolments)})")
        if each.stolen is not None:
            statement, _, by = open_stolen(each.stolen)
            click.secho(f"    stolen as of {words.day(statement.since_s * 1000)} UTC, says {words.plain(by)}", fg="red")
    if not found and forget is None:
        click.echo("No doorbell has answered yet.")


@click.command()
@folder_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def stolen(folder: Path, file: Path, as_json: bool) -> None:
    """Import the notice FILE of an owner: their doorbell was stolen.

    From then on an answer of that doorbell fails verification if it was approved after the time in the notice, or under
    owners other than those in the notice.  'doorward owner stolen' makes the file.
    """
    known = KnownDoorbells(Requester.open(folder).notes)
    try:
        notice = strictjson.decode(files.read(file, _NOTICE_LIMIT_BYTES), StolenNotice, limit_bytes=_NOTICE_LIMIT_BYTES)
        door, statement, by = known.declare_stolen(notice, now_s())
    except FormatError as error:
        raise ConfigurationError(
            f"{file}: {error.message}", remedy=error.remedy or "Ask the owner for the file again."
        ) from error
    if as_json:
        emit_json(_document(door))
        return
    click.echo(f"{words.plain(by)}, an owner of the doorbell {door.id}, declares it stolen as of "
               f"{words.day(statement.since_s * 1000)} UTC.")  # fmt: skip
    if door.first is None:
        click.echo("It has not answered here yet.  Check with the household that this notice is theirs.")


def _document(door: KnownDoorbell) -> dict[str, object]:
    since = None if door.stolen is None else open_stolen(door.stolen)[0].since_s
    return {
        "device_id": door.id,
        "seen_s": door.seen_s,
        "epoch": len(door.enrolments),
        "owners": [approver.name for approver in door.enrolled.approvers],
        "first": door.first,
        "stolen_since_s": since,
    }
