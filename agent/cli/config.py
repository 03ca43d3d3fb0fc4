"""`doorward config`: is a configuration right, and what does it mean?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from agent.cli.checks.local_time import check_local_time
from agent.cli.checks.place import note_on, position_in_words
from agent.cli.effective_config import show
from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.cli.language import in_words, say
from agent.config import Configuration, load
from agent.config.reading import shown
from agent.config.settings import BoardName, CameraConfig, CameraKind
from agent.errors import ConfigurationError
from firmware_bridge.boards import board_here

__all__ = ["config"]


@click.group(cls=Group)
def config() -> None:
    """Check a configuration and explain it.

    config/doorward.toml documents every key.
    """


config.add_command(show)


@config.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False), required=False)
@config_option
@json_option
def check(file: Path | None, config: Path, as_json: bool) -> None:
    """Check FILE (or the configuration that `run` would use) and explain it in words.

    If there is a mistake, it shows the line, the key and the correction.  With --json the document contains the
    mistake.  Exit status 0 if the file is right, otherwise 2.
    """
    path = file or config
    try:
        configuration = load(path)
    except ConfigurationError as error:
        if as_json:
            emit_json({"ok": False, "file": path, "message": error.message, "remedy": error.remedy})
            raise click.exceptions.Exit(2) from error
        raise
    notes = list(_notes(configuration, path))
    if as_json:
        emit_json({"ok": True, "file": path, "notes": notes, "configuration": shown(configuration)})
        return
    say(f"{path} is right.\n")
    for sentence in _meaning(configuration):
        say(f"  {sentence}")
    for note in notes:
        say(click.style(f"  {in_words('Note:')} ", fg="yellow") + in_words(note))


@config.command()
@click.option("--fleet", is_flag=True, help="For a fleet file instead.")
def schema(fleet: bool) -> None:
    """Print the JSON Schema of a configuration, for editors.  It knows every key, type and range."""
    from agent.config.schema import configuration_schema, fleet_schema

    click.echo(fleet_schema() if fleet else configuration_schema(), nl=False)


def _meaning(configuration: Configuration) -> Iterator[str]:
    clips, vault = configuration.clips, configuration.vault
    yield f"'{configuration.device.name}' watches {_source(configuration.camera)}."
    yield (
        f"An event keeps {clips.pre_roll_s:g} s from before it and {clips.post_roll_s:g} s after its last motion, "
        f"in segments of about {clips.segment_s:g} s."
    )
    yield (
        f"The oldest segments are deleted after {vault.max_age_days} days, beyond {vault.max_bytes / 1e9:.3g} GB, "
        f"or when less than {vault.free_floor:.0%} of the disk is free."
    )
    if configuration.device.position is not None:
        yield f"Its position is {position_in_words(configuration.device.position)}."
    yield f"State is kept in {configuration.device.state_dir}."
    if configuration.broker:
        yield f"Footage requests arrive through {configuration.broker.host}:{configuration.broker.port}."


def _source(camera: CameraConfig) -> str:
    match camera.kind:
        case CameraKind.PI:
            return f"the Raspberry Pi camera {camera.number}"
        case CameraKind.USB:
            return f"the USB camera {camera.device}"
        case CameraKind.RTSP:
            # Leave out the rest of the address, which may hold a password.
            return f"the network camera at {urlsplit(camera.url or '').hostname}"
        case CameraKind.FILE:
            return f"the video {camera.path}"
        case CameraKind.SCRIPTED:
            return "a drawn scene"


def _notes(configuration: Configuration, path: Path) -> Iterator[str]:
    """Yields notes about valid settings that may surprise."""
    if configuration.broker is None:
        yield "There is no [broker]: Doorward only records and uses no network."
    elif configuration.device.position is None:
        yield "device.position is not set: no footage request can match."
    zone = configuration.device.time_zone
    local_time = check_local_time(zone, path)
    if local_time.remedy:
        yield f"{local_time.message} {local_time.remedy}"
    if configuration.device.position is not None and (note := note_on(configuration.device.position, zone)):
        yield note
    yield from _board_notes(configuration)
    camera = configuration.camera
    broker = configuration.broker
    named = (broker.ca, broker.certificate, broker.key, broker.password_file) if broker is not None else ()
    for each in (*named, camera.path if camera.kind is CameraKind.FILE else None):
        if each is not None and _absent(each):
            yield f"{each} does not exist now."


def _absent(path: Path) -> bool:
    try:
        return not path.exists()
    except PermissionError:
        return False  # in a folder of root: only the services can tell


def _board_notes(configuration: Configuration) -> Iterator[str]:
    """Yields modes that this machine cannot record. For a board that the file names, these modes are errors."""
    camera, board = configuration.camera, board_here()
    if camera.kind is CameraKind.PI and board.name is not BoardName.OTHER and camera.size[0] > board.widest_px:
        yield f"This board films at most {board.widest_px} pixels wide: {camera.size[0]} are reduced to that."
