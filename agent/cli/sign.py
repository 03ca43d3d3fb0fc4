"""`doorward sign`: a sign for the door, made from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from agent.cli.effective_config import owners_settings
from agent.cli.frame import config_option
from agent.cli.language import say
from agent.config import Configuration, load
from agent.config.overlay import effective
from agent.config.settings import ObjectDetectionUse
from agent.core.languages import ENGLISH, LANGUAGES
from agent.platform import files
from agent.sentences import in_language
from agent.wire.fields import ZoneKind

__all__ = ["sign"]

_SIZES: Final = {"a6": (105, 148), "a5": (148, 210)}
"""Width and height, mm."""
_PURPOSES: Final = ("To see who is at the door, and to have evidence of a crime.",)


@click.command()
@config_option
@click.option(
    "--ask",
    required=True,
    metavar="NAME",
    help="The person who is responsible for the camera, and how to reach them.",
)
@click.option(
    "--purpose", "purposes", metavar="WORDS", multiple=True, help="What the camera is for, in your words. Repeatable."
)
@click.option(
    "--language",
    "languages",
    type=click.Choice(list(LANGUAGES)),
    multiple=True,
    default=(ENGLISH,),
    show_default=True,
    help="One sheet for each language. Repeatable.",
)
@click.option("--more", metavar="URL", help="Where to read more, as a QR code too.")
@click.option("--size", type=click.Choice(list(_SIZES)), default="a6", show_default=True, help="The size of a sheet.")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), default=Path("door-sign.html"))
def sign(
    config: Path,
    ask: str,
    purposes: tuple[str, ...],
    languages: tuple[str, ...],
    more: str | None,
    size: str,
    out: Path,
) -> None:
    """Write a sign for the door to OUT: what is recorded, why, for how long, and who answers questions.

    The facts come from the configuration and from the settings of the owners, if the doorbell runs.  Open OUT in a
    browser, and print it or save it as PDF.  Make a new sign after a change.  Check with the data protection authority
    of your country whether it requires more.
    """
    file = load(config)
    answers, settings = owners_settings(file)
    page = _page(effective(file, settings), ask, purposes, languages, more, size)
    files.write(out, page.encode())
    say(f"Wrote {out}.  Open it in a browser, and print it at its full size.")
    if not answers:
        say("No device answers: the sign follows the configuration file alone.", err=True)


def _page(
    in_force: Configuration,
    ask: str,
    purposes: Sequence[str],
    languages: Sequence[str],
    more: str | None,
    size: str,
) -> str:
    """Returns the HTML document. Words of the household stay as written, and the browser finds their direction."""
    templates = Environment(
        loader=PackageLoader("agent", "web/templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sheets = [
        {
            "language": language,
            "direction": LANGUAGES[language].direction,
            "say": lambda sentence, language=language: in_language(sentence, language),
            "facts": [in_language(each, language) for each in _facts(in_force)],
            "purposes": purposes or [in_language(each, language) for each in _PURPOSES],
        }
        for language in dict.fromkeys(languages)
    ]
    width, height = _SIZES[size]
    return templates.get_template("sign.html").render(
        sheets=sheets, ask=ask, more=more or "", qr=_qr(more), width=width, height=height, big=size == "a5"
    )


def _facts(in_force: Configuration) -> Iterator[str]:
    sound = " and sound" if in_force.sound is not None else ""
    moment = "all the time" if in_force.clips.continuous else "if a person rings or something moves in front of it"
    yield f"This doorbell records video{sound} {moment}."
    if any(zone.kind is ZoneKind.PRIVACY for zone in in_force.motion.zones):
        yield "Parts of the picture are black and are not recorded."
    if in_force.object_detection.use is ObjectDetectionUse.OFF:
        yield "It does not recognise faces."
    else:
        yield "It can tell people, vehicles and animals apart. It does not recognise faces."
    yield f"Longest storage, in days: {in_force.vault.max_age_days}. A single event can be kept for up to a year."


def _qr(more: str | None) -> str:
    if not more:
        return ""
    import segno

    return segno.make(more, error="m").svg_inline(border=0, dark="#111", svgclass="qr", lineclass=None, omitsize=True)
