"""`doorward owner live`: the live picture, as a stream for a player or a file."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

from agent.cli.frame import Fraction
from agent.cli.language import in_words, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.live_stream import Stream, watch
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus
from agent.platform import files

__all__ = ["live"]

_SIZES = {True: "Small picture (slow connection).", False: "Full picture."}


@click.command()
@keys_option
@device_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of to a player."
)
@click.option(
    "--seconds", metavar="SECONDS", type=Fraction(min=1), help="End after this many seconds.  Otherwise: Ctrl-C."
)
def live(folder: Path, device: Path, out: Path | None, seconds: float | None) -> None:
    """Watch the live picture of the camera.

    It has no sound.  The film is written to standard output, for a player:
    doorward owner live | mpv -

    Through a relay and a slow connection, the pictures are small.

    The doorbell seals it like all footage, and this machine opens it.  Watching changes nothing on the doorbell. While
    the privacy switch is on there is no picture.
    """
    keys = load_keys(folder)
    if out is None and sys.stdout.isatty():
        raise ConfigurationError(
            "A film cannot be printed on a terminal.", remedy="Run doorward owner live | mpv -    or use --out FILE."
        )
    with contextlib.ExitStack() as open_until_the_end:
        link = open_until_the_end.enter_context(DeviceLink(device))
        sink: BinaryIO = sys.stdout.buffer
        if out is not None:
            with files.storage_errors(out):
                # Before it is opened, and both: a file that is there already keeps its mode.
                out.touch(0o600)
                out.chmod(0o600)
                sink = open_until_the_end.enter_context(out.open("wb"))
        stream, ends_s, told, small = Stream(), time.monotonic() + (seconds or float("inf")), False, False
        for gops in watch(link, keys):
            for gop in gops:
                if gop.small is not small:
                    small = gop.small
                    say(_SIZES[small], err=True)
                sink.write(stream.add(gop))
            sink.flush()
            if not gops and not told:
                state = link.ask(GetStatus()).recorder.state
                say(f"There is no picture now: {in_words(state)}.  Waiting.", err=True)
            told = not gops
            if time.monotonic() >= ends_s:
                return
