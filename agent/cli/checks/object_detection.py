"""Checks that object detection works, if it is installed or wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration
from agent.config.settings import ObjectDetectionUse
from agent.errors import DoorwardError
from agent.recorder.detection_setup import why_unavailable
from agent.recorder.detector_opencv import MODELS, open_detector

__all__ = ["check_object_detection"]

_REMEDY = "Run `make models` in the repository, then `sudo make install` again; or set object_detection.use = 'off'."


def check_object_detection(configuration: Configuration) -> Iterator[Finding]:
    """Loads the network and looks at one grey picture."""
    wanted = configuration.object_detection
    why = why_unavailable(configuration)
    if why and wanted.use is ObjectDetectionUse.ON:
        yield poor("object detection", why, _REMEDY)
    elif why:
        hint = (
            ""
            if wanted.use is ObjectDetectionUse.OFF
            else "  To install it, run `make models` before the installation."
        )
        yield fine("object detection", f"Off, and no setting depends on it. {why}{hint}")
    else:
        yield from _try(configuration)


def _try(configuration: Configuration) -> Iterator[Finding]:
    try:
        object_detector = open_detector(configuration.object_detection.models or MODELS)
        begun_s = time.thread_time()
        object_detector.detect(np.full((240, 320), 128, np.uint8))
        took_ms = 1000 * (time.thread_time() - begun_s)
    except DoorwardError as error:
        yield bad("object detection", error.message, error.remedy)
        return
    yield fine(
        "object detection",
        f"Works: {took_ms:.0f} ms of one core per frame, at most two frames a second during an event.",
    )
