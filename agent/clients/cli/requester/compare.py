"""`doorward requester compare`: a covered film beside the recorded one, once an owner has shown that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from agent.cli.frame import emit_json, json_option
from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester.redaction_list import read_redactions
from agent.errors import FormatError
from agent.platform import files

__all__ = ["compare"]

_MOST_FILM_BYTES: Final = 1 << 30
_MOST_LIST_BYTES: Final = 64 << 10
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("recorded", type=_FILE)
@click.argument("covered", type=_FILE)
@click.argument("redactions", metavar="LIST", type=_FILE)
@json_option
def compare(recorded: Path, covered: Path, redactions: Path, as_json: bool) -> int:
    """Compare the film of a covered segment with the recorded one, outside of the covers.

    RECORDED and COVERED are MP4s of the same segment, for example from two answers.  LIST is the file
    redactions-NNN.json in the bundle of the covered one.  Each value of brightness and colour is compared in each
    picture, also at the rim of a cover.

    Exit status 1 if any differs.  Then a film that its owner called exact is not.  Others were encoded again.

    This compares two files.  Verify the answers that they come from:  record_sha256 of both is then the same.
    """
    listed = read_redactions(files.read(redactions, _MOST_LIST_BYTES))
    covers = [each for each in listed if each.places]
    if not covers:
        raise FormatError(f"{redactions} lists no cover of a film.", remedy="Choose the list of the covered film.")
    films = files.read(recorded, _MOST_FILM_BYTES), files.read(covered, _MOST_FILM_BYTES)
    with ConfinedMedia() as media:
        # Two equal films, or one film twice, differ nowhere. So the second has to be the covered one.
        media.check_redacted("segment", films[1], covers)
        pictures, values, changed, greatest = media.compare(*films, covers)
    if not values:
        raise FormatError("The covers hide all pictures, so nothing can be compared.")
    if as_json:
        emit_json({"pictures": pictures, "outside": values, "changed": changed, "greatest": greatest})
    elif changed:
        click.echo(
            f"{changed} of {values} values outside of the covers differ, in {pictures} pictures. "
            f"The greatest difference is {greatest} of 255."
        )
    else:
        click.echo(f"All {values} values outside of the covers are as recorded, in {pictures} pictures.")
    return 1 if changed else 0
