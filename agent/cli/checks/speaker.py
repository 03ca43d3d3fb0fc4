"""Plays a short tone on the configured speaker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.cli.checks.finding import Finding, bad, fine
from agent.config.settings import SpeakerConfig, SpeakerKind
from agent.errors import DoorwardError
from agent.recorder.playback.sounds import FRAME_SAMPLES, attention, scaled
from agent.recorder.translation import make_speaker

__all__ = ["check_speaker"]


def check_speaker(settings: SpeakerConfig, status: Mapping[str, Any] | None) -> Finding:
    """Plays the tone that visitors hear. `status`: that of a doorbell that runs here; then only its report counts if an
    owner is talking."""
    name = settings.device if settings.kind is SpeakerKind.ALSA else str(settings.path)
    if status is not None and status.get("recorder", {}).get("speaker") == "talking":
        return fine("speaker", f"{name} is in use: an owner is talking.")
    speaker = make_speaker(settings)
    try:
        speaker.open()
        tone = scaled(attention(), settings.volume)
        for begin in range(0, len(tone), FRAME_SAMPLES):
            speaker.play(tone[begin : begin + FRAME_SAMPLES].tobytes())
    except DoorwardError as error:
        return bad("speaker", error.message, error.remedy)
    finally:
        speaker.close()
    return fine("speaker", f"{name} played two notes. If you did not hear them, raise speaker.volume.")
