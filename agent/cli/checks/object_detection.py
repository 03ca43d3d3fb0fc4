"""Is there a second opinion, does it work, and does somebody count on one that is not there?"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration, Keep, OpinionUse
from agent.errors import DoorwardError
from agent.recorder.detection_setup import why_none
from agent.recorder.detector_litert import MODELS, open_eye

__all__ = ["check_opinion"]

_REMEDY = "Run `make models` in the repository, then `sudo make install` again; or set opinion.use = 'off'."


def check_opinion(configuration: Configuration) -> Iterator[Finding]:
    """Loads both networks and looks at one grey picture."""
    wanted, keep = configuration.opinion, configuration.clips.keep
    why = why_none(configuration)
    if why and keep is not Keep.ALL:
        yield poor("opinion", f"clips.keep is '{keep.value}', but every event is kept: {_small(why)}", _REMEDY)
    elif why and wanted.use is OpinionUse.ON:
        yield poor("opinion", why, _REMEDY)
    elif why:
        hint = "" if wanted.use is OpinionUse.OFF else "  `make models` before an installation brings it."
        yield fine("opinion", f"None, and nothing else depends on one. {why}{hint}")
    else:
        yield from _try(configuration)


def _try(configuration: Configuration) -> Iterator[Finding]:
    try:
        eye = open_eye(configuration.opinion.models or MODELS)
        begun_s = time.thread_time()
        eye.look(np.full((240, 320), 128, np.uint8))
        took_ms = 1000 * (time.thread_time() - begun_s)
    except DoorwardError as error:
        yield bad("opinion", error.message, error.remedy)
        return
    yield fine(
        "opinion", f"Works: {took_ms:.0f} ms of one core for a look, at most two a second while something happens."
    )
    if configuration.clips.keep is not Keep.ALL:
        kept = configuration.clips.keep.value
        yield fine("opinion", f"Events stay by what it sees ({kept}): those it is wrong about are lost.")


def _small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
