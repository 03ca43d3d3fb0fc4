"""`doorward owner say`: plays a sound at the door."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli import language
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.media.voice import mulaw_frames
from agent.clients.owner.talk import LONGEST_S, speak
from agent.ipc.control_client import DeviceLink

__all__ = ["say"]


@click.command()
@keys_option
@device_option
@click.argument("sound", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def say(folder: Path, device: Path, sound: Path) -> None:
    """Play the file SOUND at the door, as your voice.

    WAV, FLAC, Ogg, Opus and MP3 work, up to 15 seconds and 8 MB.  The visitor hears two notes first.  The doorbell
    keeps no copy.  While another owner talks, or while the privacy switch is on, it is not played.
    """
    keys = load_keys(folder)
    frames = mulaw_frames(sound, LONGEST_S)
    with DeviceLink(device) as link:
        speak(link, keys, frames)
    language.say("The visitor has heard it.")
